-- sync: what tasks share: Event, Semaphore, Lock, Queue, with the meaning of
-- Python's asyncio and its tests (test_locks, test_queues).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

local misused, raises, until_waiting =
  helper.misused, helper.raises, helper.until_waiting

local function cancelled(task)
  raises(loop.CancelledError, task.join, task)
end

local function timed_out(f, ...)
  return raises(csock.timeout, f, ...)
end

-- An `it` whose body is the main task of a loop.
local function inside(name, f)
  it(name, function() loop.run(f) end)
end

-- Lets everything run that can.
local function settle()
  for _ = 1, 5 do loop.sleep(0) end
end

-- A task that calls method(object, ...), and waits in it.
local function waiting(object, method, ...)
  local task = loop.spawn(object[method], object, ...)
  until_waiting(task)
  return task
end

describe("EventTests", function()
  inside("test_wait: all who wait go on, in their order", function()
    local event, result = loop.Event(), {}
    assert.is_false(event:is_set())
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = loop.spawn(function()
        assert.is_true(event:wait())
        result[#result + 1] = i
      end)
    end
    settle()
    assert.are.same({}, result)
    assert.is_true(event:set())
    for _, task in ipairs(tasks) do task:join() end
    assert.are.same({1, 2, 3}, result)
  end)

  inside("test_wait_on_set: nobody waits for one that is set", function()
    local event = loop.Event()
    event:set()
    assert.is_true(event:wait())
  end)

  inside("test_wait_cancel: a cancelled one is gone", function()
    local event = loop.Event()
    local task = waiting(event, "wait")
    task:cancel()
    cancelled(task)
    event:set()
  end)

  inside("test_clear: makes it wait again", function()
    local event = loop.Event()
    event:set()
    assert.is_true(event:is_set())
    assert.is_true(event:clear())
    assert.is_false(event:is_set())
    assert.is_false(event:wait(0))
  end)

  inside("test_clear_with_waiters: those who were woken go on", function()
    local event = loop.Event()
    local task = waiting(event, "wait")
    event:set()
    event:clear()
    assert.is_true(task:join())
    assert.is_false(event:is_set())
  end)

  inside("is false when its time is over", function()
    assert.is_false(loop.Event():wait(0.001))
    assert.is_false(loop.Event():wait(0))
  end)

  inside("is heard even if it was set in the last moment", function()
    local event = loop.Event()
    local task = waiting(event, "wait", 0.001)
    event:set()
    local till = loop.now() + 0.002
    while loop.now() < till do event:is_set() end
    assert.is_true(task:join())
  end)

  inside("obeys loop.timeout", function()
    local event = loop.Event()
    assert.are.equal("wait",
      timed_out(loop.timeout, 0.001, event.wait, event).op)
    assert.are.equal("wait",
      timed_out(loop.timeout, 0.001, event.wait, event, 1000).op)
  end)

  it("can be set outside of tasks, but not waited for", function()
    local event = loop.Event()
    misused("wait would have to wait, outside a task",
      function() event:wait() end)
    assert.is_false(event:wait(0))
    local task = loop.spawn(event.wait, event)
    event:set()
    assert.is_true(event:wait())
    loop.run(function() assert.is_true(task:join()) end)
  end)

  inside("is seen in loop.tasks", function()
    local event = loop.Event()
    local task = waiting(event, "wait")
    local entry = loop.tasks()[2]
    assert.are.same({task, "wait", event}, {entry.task, entry.op, entry.on})
    task:cancel()
  end)
end)

describe("LockTests", function()
  inside("test_lock: is held or not", function()
    local lock = loop.Lock()
    assert.is_false(lock:locked())
    assert.is_true(lock:acquire())
    assert.is_true(lock:locked())
    assert.is_true(lock:release())
    assert.is_false(lock:locked())
  end)

  inside("test_acquire: one after the other, in their order", function()
    local lock, result = loop.Lock(), {}
    lock:acquire()
    local function taker(i)
      return loop.spawn(function()
        assert.is_true(lock:acquire())
        result[#result + 1] = i
        return true
      end)
    end
    local t1, t2 = taker(1), taker(2)
    settle()
    assert.are.same({}, result)
    lock:release()
    settle()
    assert.are.same({1}, result)
    local t3 = taker(3)
    lock:release()
    settle()
    assert.are.same({1, 2}, result)
    lock:release()
    settle()
    assert.are.same({1, 2, 3}, result)
    for _, task in ipairs {t1, t2, t3} do assert.is_true(task:join()) end
  end)

  inside("test_acquire_cancel: a cancelled one is gone", function()
    local lock = loop.Lock()
    lock:acquire()
    local task = waiting(lock, "acquire")
    task:cancel()
    cancelled(task)
    lock:release()
    assert.is_false(lock:locked())
  end)

  inside("test_cancel_race: the next one has it, not the cancelled", function()
    local lock, gate = loop.Lock(), loop.Event()
    local function lockit(wait)
      return loop.spawn(function()
        local _held <close> = lock:guard()
        if wait then gate:wait() end
      end)
    end
    local a, b, c = lockit(true), lockit(), lockit()
    settle()
    gate:set()
    b:cancel()
    settle()
    assert.are.same({"done", "cancelled", "done"},
      {a:status(), b:status(), c:status()})
    assert.is_false(lock:locked())
  end)

  inside("test_cancel_release_race: one release, one holder", function()
    local lock, calls, count = loop.Lock(), 0, 0
    local function lockit()
      calls = calls + 1
      lock:acquire()
      count = count + 1
    end
    lock:acquire()
    local t1, t2, t3 = loop.spawn(lockit), loop.spawn(lockit),
      loop.spawn(lockit)
    settle()
    t1:cancel()
    lock:release()
    cancelled(t1)
    settle()
    assert.are.equal(1, count)
    assert.are.equal(3, calls)
    assert.are.equal("done", t2:status())
    t3:cancel()
    cancelled(t3)
  end)

  inside("test_finished_waiter_cancelled: the one behind has it", function()
    local lock = loop.Lock()
    lock:acquire()
    local b, c = waiting(lock, "acquire"), waiting(lock, "acquire")
    lock:release() -- to b, which is cancelled before it goes on
    b:cancel()
    settle()
    assert.is_true(lock:locked())
    cancelled(b)
    assert.is_true(c:join())
    lock:release()
    assert.is_false(lock:locked())
  end)

  inside("test_release_not_acquired: is misuse", function()
    misused("release of what is not acquired",
      function() loop.Lock():release() end)
  end)

  inside("test_context_manager: a variable that closes releases", function()
    local lock = loop.Lock()
    do
      local held <close> = lock:guard()
      assert.are.equal(lock, held)
      assert.is_true(lock:locked())
    end
    assert.is_false(lock:locked())
    local function fail()
      local _held <close> = lock:guard()
      error("oh", 0)
    end
    assert.are.equal("oh", helper.failure(fail))
    assert.is_false(lock:locked())
  end)

  inside("a variable that closes waits for its turn", function()
    local lock = loop.Lock()
    lock:acquire()
    local task = loop.spawn(function()
      local _held <close> = lock:guard()
      return lock:locked()
    end)
    until_waiting(task)
    lock:release()
    assert.is_true(task:join())
    assert.is_false(lock:locked())
  end)

  inside("is false when its time is over, and in the line no more", function()
    local lock = loop.Lock()
    lock:acquire()
    assert.is_false(lock:acquire(0))
    assert.is_false(lock:acquire(0.001))
    assert.are.equal("acquire",
      timed_out(loop.timeout, 0.001, lock.acquire, lock).op)
    assert.are.equal("acquire",
      timed_out(loop.timeout, 0.001, lock.guard, lock).op)
    lock:release()
    assert.is_false(lock:locked())
  end)

  inside("passes nobody in the line, be it free or not", function()
    local lock, order = loop.Lock(), {}
    lock:acquire()
    local task = loop.spawn(function()
      lock:acquire()
      order[1] = "waited"
      lock:release()
    end)
    until_waiting(task)
    lock:release()
    assert.is_true(lock:locked()) -- as good as held
    assert.is_false(lock:acquire(0))
    lock:acquire()
    order[2] = "came later"
    assert.are.same({"waited", "came later"}, order)
  end)

  it("works outside of tasks where nobody has to wait", function()
    local lock = loop.Lock()
    assert.is_true(lock:acquire())
    misused("acquire would have to wait, outside a task",
      function() lock:acquire() end)
    misused("acquire would have to wait, outside a task",
      function() lock:guard() end)
    assert.is_false(lock:acquire(0))
    lock:release()
    assert.is_false(lock:locked())
  end)

  it("is not lost with a task that is ended while it has the promise",
    function()
      local ping, pong = loop.Semaphore(1), loop.Semaphore(0)
      local function play(mine, yours)
        while true do
          if pcall(mine.acquire, mine) then yours:release() end
        end
      end
      loop.run(function()
        loop.spawn(play, ping, pong) -- for ever: no cancellation ends them
        loop.spawn(play, pong, ping)
        settle()
      end)
      assert.is_true(ping:acquire(0) or pong:acquire(0))
      assert.is_false(ping:acquire(0) or pong:acquire(0))
    end)
end)

describe("SemaphoreTests", function()
  inside("test_initial_value_zero: is locked", function()
    assert.is_true(loop.Semaphore(0):locked())
  end)

  inside("test_semaphore: has one permit by itself", function()
    local semaphore = loop.Semaphore()
    assert.is_false(semaphore:locked())
    semaphore:acquire()
    assert.is_true(semaphore:locked())
  end)

  it("test_semaphore_value: is not negative", function()
    misused("bad argument #1 to 'Semaphore' %(initial value must be >= 0%)",
      function() loop.Semaphore(-1) end)
    misused("bad argument #1 to 'BoundedSemaphore'",
      function() loop.BoundedSemaphore(-1) end)
    misused("integer expected, got string",
      function() loop.Semaphore "1" end)
  end)

  inside("test_acquire: as many as there are permits", function()
    local semaphore, result = loop.Semaphore(3), {}
    semaphore:acquire()
    semaphore:acquire()
    assert.is_false(semaphore:locked())
    local tasks = {}
    local function taker(i)
      tasks[i] = loop.spawn(function()
        semaphore:acquire()
        result[#result + 1] = i
      end)
    end
    taker(1) taker(2) taker(3)
    settle()
    assert.are.same({1}, result)
    assert.is_true(semaphore:locked())
    taker(4)
    semaphore:release()
    semaphore:release()
    settle()
    assert.are.same({1, 2, 3}, result)
    assert.is_true(semaphore:locked())
    semaphore:release()
    tasks[4]:join()
  end)

  inside("test_acquire_cancel_before_awoken: the next in line has it",
    function()
      local semaphore, tasks = loop.Semaphore(0), {}
      for i = 1, 4 do tasks[i] = waiting(semaphore, "acquire") end
      tasks[1]:cancel()
      tasks[2]:cancel()
      semaphore:release()
      settle()
      assert.are.equal("done", tasks[3]:status())
      assert.are.equal("waiting", tasks[4]:status())
      tasks[4]:cancel()
    end)

  inside("test_acquire_hang: a cancelled one takes nothing along", function()
    local semaphore = loop.Semaphore(0)
    local t1, t2 = waiting(semaphore, "acquire"), waiting(semaphore, "acquire")
    t1:cancel()
    semaphore:release()
    settle()
    assert.is_true(semaphore:locked())
    assert.are.equal("done", t2:status())
  end)

  inside("test_acquire_no_hang: nor one cancelled with the promise", function()
    local semaphore = loop.Semaphore(1)
    local t2
    local t1 = loop.spawn(function()
      do
        local _held <close> = semaphore:guard()
        loop.sleep(0)
      end
      t2:cancel()
    end)
    t2 = loop.spawn(function()
      local _held <close> = semaphore:guard()
      error "not reached"
    end)
    t1:join()
    cancelled(t2)
    assert.is_true(semaphore:acquire(1))
  end)

  inside("test_release_not_acquired: is misuse of a bounded one", function()
    local semaphore = loop.BoundedSemaphore(2)
    semaphore:acquire()
    semaphore:release()
    misused("release of what is not acquired",
      function() semaphore:release() end)
    local free = loop.Semaphore(0)
    free:release()
    assert.is_false(free:locked())
  end)

  inside("test_acquire_fifo_order: they take turns", function()
    local semaphore, result, tasks = loop.Semaphore(1), {}, {}
    for i = 1, 3 do
      tasks[i] = loop.spawn(function()
        for round = 1, 2 do
          semaphore:acquire()
          result[#result + 1] = round .. i
          loop.sleep(0)
          semaphore:release()
        end
      end)
    end
    for _, task in ipairs(tasks) do task:join() end
    assert.are.same({"11", "12", "13", "21", "22", "23"}, result)
  end)

  inside("test_acquire_fifo_order_2: one that comes again is last", function()
    local semaphore, result = loop.Semaphore(1), {}
    local function take(i)
      semaphore:acquire()
      result[#result + 1] = i
    end
    local t1, t3
    t1 = loop.spawn(take, 1)
    local t2 = loop.spawn(function()
      take(2)
      semaphore:release()
      take(4)
    end)
    t3 = loop.spawn(take, 3)
    settle()
    semaphore:release()
    semaphore:release()
    for _, task in ipairs {t1, t2, t3} do task:join() end
    assert.are.same({1, 2, 3, 4}, result)
  end)
end)

describe("QueueBasicTests", function()
  inside("test_empty: as long as nothing is there", function()
    local q = loop.Queue()
    assert.is_true(q:empty())
    assert.is_true(q:put(1))
    assert.is_false(q:empty())
    assert.are.equal(1, q:get())
    assert.is_true(q:empty())
  end)

  inside("test_full: with maxsize items", function()
    assert.is_false(loop.Queue():full())
    local q = loop.Queue(1)
    q:put(1)
    assert.is_true(q:full())
  end)

  inside("test_order: first in, first out", function()
    local q = loop.Queue()
    for _, item in ipairs {1, 3, 2} do q:put(item) end
    assert.are.same({1, 3, 2}, {q:get(), q:get(), q:get()})
  end)

  inside("test_maxsize: a put waits for a place", function()
    local q, put = loop.Queue(2), {}
    assert.are.equal(2, q.maxsize)
    local task = loop.spawn(function()
      for i = 0, 2 do
        q:put(i)
        put[#put + 1] = i
      end
      return true
    end)
    settle()
    assert.are.same({0, 1}, put)
    assert.are.equal(0, q:get())
    settle()
    assert.are.same({0, 1, 2}, put)
    assert.are.same({1, 2}, {q:get(), q:get()})
    assert.is_true(task:join())
  end)

  it("has no limit when maxsize is 0, less, or not given", function()
    for _, maxsize in ipairs {0, -1} do
      local q = loop.Queue(maxsize)
      assert.are.equal(maxsize, q.maxsize)
      for i = 1, 100 do q:put(i) end
      assert.are.equal(100, q:qsize())
    end
    assert.are.equal(0, loop.Queue().maxsize)
    assert.is_nil(loop.Queue().minsize)
    misused("bad argument #1 to 'Queue' %(integer expected, got string%)",
      function() loop.Queue "1" end)
    misused("integer expected", function() loop.Queue(1.5) end)
  end)

  it("keeps the order while it grows, wherever its head is", function()
    for shift = 0, 20 do
      local q, first = loop.Queue(), 1
      for i = 1, shift do q:put(i) end
      for _ = 1, shift // 2 do
        assert.are.equal(first, q:get())
        first = first + 1
      end
      for i = shift + 1, 100 do q:put(i) end
      for i = first, 100 do assert.are.equal(i, q:get()) end
      assert.are.equal(0, q:qsize())
    end
  end)

  it("holds any value, nil too, but not nothing", function()
    local q = loop.Queue()
    q:put(nil)
    q:put(false)
    q:put_nowait(nil)
    assert.are.equal(3, q:qsize())
    assert.is_nil(q:get())
    assert.is_false(q:get())
    assert.is_nil(q:get_nowait())
    misused("bad argument #1 to 'put' %(value expected%)",
      function() q:put() end)
    misused("bad argument #1 to 'put_nowait' %(value expected%)",
      function() q:put_nowait() end)
  end)

  it("lets go of what was taken out", function()
    local q, seen = loop.Queue(), setmetatable({}, {__mode = "k"})
    do
      local item = {}
      seen[item] = true
      q:put(item)
    end
    q:get()
    collectgarbage()
    assert.is_nil(next(seen))
  end)
end)

describe("QueueGetTests", function()
  inside("test_blocking_get: takes what is there", function()
    local q = loop.Queue()
    q:put_nowait(1)
    assert.are.equal(1, q:get())
  end)

  inside("test_blocking_get_wait: waits for it", function()
    local q = loop.Queue()
    local task = waiting(q, "get")
    q:put_nowait(1)
    assert.are.equal(1, task:join())
  end)

  it("test_nonblocking_get: takes what is there", function()
    local q = loop.Queue()
    q:put_nowait(1)
    assert.are.equal(1, q:get_nowait())
  end)

  it("test_nonblocking_get_exception: or raises QueueEmpty", function()
    local q = loop.Queue()
    local err = raises(loop.QueueEmpty, q.get_nowait, q)
    assert.is_false(csock.isinstance(err, csock.error))
    assert.matches("get_nowait: the queue is empty$", tostring(err))
  end)

  inside("test_get_cancelled_race: the other one gets it", function()
    local q = loop.Queue()
    local t1, t2 = waiting(q, "get"), waiting(q, "get")
    t1:cancel()
    cancelled(t1)
    q:put "a"
    assert.are.equal("a", t2:join())
  end)

  inside("test_get_with_waiting_putters: lets them in", function()
    local q = loop.Queue(1)
    loop.spawn(q.put, q, "a")
    loop.spawn(q.put, q, "b")
    assert.are.equal("a", q:get())
    assert.are.equal("b", q:get())
  end)

  inside("test_why_are_getters_waiting: nobody is forgotten", function()
    local q = loop.Queue(1)
    local producer = loop.spawn(function() for i = 1, 5 do q:put(i) end end)
    local consumer = loop.spawn(function() for _ = 1, 5 do q:get() end end)
    producer:join()
    consumer:join()
  end)

  inside("test_cancelled_getters_not_being_held_in_self_getters: time is over",
    function()
      local q = loop.Queue(5)
      assert.are.equal("get", timed_out(q.get, q, 0.001).op)
      assert.are.equal("get", timed_out(q.get, q, 0).op)
      timed_out(loop.timeout, 0.001, q.get, q)
      q:put(1)
      assert.are.equal(1, q:qsize()) -- promised to nobody
    end)

  it("outside of tasks takes what is there", function()
    local q = loop.Queue()
    q:put(1)
    assert.are.equal(1, q:get())
    misused("get would have to wait, outside a task", function() q:get() end)
    timed_out(q.get, q, 0)
  end)
end)

describe("QueuePutTests", function()
  inside("test_blocking_put_wait: waits for a place", function()
    local q = loop.Queue(1)
    q:put(1)
    local task = waiting(q, "put", 2)
    assert.are.equal(1, q:get_nowait())
    assert.is_true(task:join())
    assert.are.equal(2, q:get_nowait())
  end)

  inside("test_get_cancel_drop_one_pending_reader: nothing is lost", function()
    local q = loop.Queue()
    local reader = waiting(q, "get")
    q:put_nowait(1)
    q:put_nowait(2)
    reader:cancel()
    cancelled(reader)
    assert.are.equal(2, q:qsize())
    assert.are.equal(1, q:get())
  end)

  inside("test_get_cancel_drop_many_pending_readers: others get it", function()
    local q = loop.Queue()
    local r1, r2, r3 = waiting(q, "get"), waiting(q, "get"), waiting(q, "get")
    q:put_nowait(1)
    q:put_nowait(2)
    r1:cancel()
    cancelled(r1)
    assert.are.same({1, 2}, {r2:join(), r3:join()})
  end)

  inside("test_put_cancel_drop: nothing comes twice", function()
    local q = loop.Queue(1)
    q:put_nowait(1)
    local writer = waiting(q, "put", 2)
    assert.are.equal(1, q:get_nowait())
    writer:cancel()
    cancelled(writer)
    q:put(2)
    assert.are.equal(2, q:get_nowait())
    assert.are.equal(0, q:qsize())
  end)

  it("test_nonblocking_put_exception: raises QueueFull", function()
    local q = loop.Queue(1)
    q:put_nowait(1)
    local err = raises(loop.QueueFull, q.put_nowait, q, 2)
    assert.matches("put_nowait: the queue is full$", tostring(err))
  end)

  inside("test_put_cancelled_race: those before and behind it put", function()
    local q = loop.Queue(1)
    local a, b, c = loop.spawn(q.put, q, "a"), loop.spawn(q.put, q, "b"),
      loop.spawn(q.put, q, "X")
    settle()
    assert.are.equal("done", a:status())
    assert.are.equal("waiting", b:status())
    c:cancel()
    cancelled(c)
    assert.are.equal("a", q:get_nowait())
    settle()
    assert.are.equal("b", q:get_nowait())
    assert.is_true(b:join())
    assert.are.equal(0, q:qsize())
  end)

  inside("test_why_are_putters_waiting: nobody is forgotten", function()
    local q, tasks = loop.Queue(2), {}
    for i = 1, 4 do tasks[i] = loop.spawn(q.put, q, i) end
    settle()
    for _ = 1, q:qsize() do q:get_nowait() end
    for _, task in ipairs(tasks) do task:join() end
    assert.are.same({3, 4}, {q:get(), q:get()})
  end)

  inside("test_cancelled_puts_not_being_held_in_self_putters: time is over",
    function()
      local q = loop.Queue(1)
      q:put(1)
      assert.are.equal("put", timed_out(q.put, q, 2, 0.001).op)
      assert.are.equal("put", timed_out(q.put, q, 2, 0).op)
      timed_out(loop.timeout, 0.001, q.put, q, 2)
      q:get()
      assert.is_false(q:full())
      assert.are.equal(0, q:qsize())
    end)

  inside("keeps the order of those who waited and those who come", function()
    local q = loop.Queue(2)
    q:put(1)
    q:put(2)
    local task = waiting(q, "put", 3)
    assert.are.same({1, 2}, {q:get_nowait(), q:get_nowait()})
    q:put(4) -- there is a place, but somebody was before
    assert.are.same({3, 4}, {q:get(), q:get()})
    assert.is_true(task:join())
  end)

  it("outside of tasks puts where there is room", function()
    local q = loop.Queue(1)
    q:put(1)
    misused("put would have to wait, outside a task", function() q:put(2) end)
    timed_out(q.put, q, 2, 0)
    local getter = loop.spawn(function() return q:get() + q:get() end)
    local putter = loop.spawn(q.put, q, 2)
    loop.run(function()
      assert.are.equal(3, getter:join())
      putter:join()
    end)
  end)

  inside("refuses a bad timeout, and puts nothing", function()
    local q = loop.Queue()
    misused("bad argument #2 to 'put'", function() q:put(1, -1) end)
    misused("bad argument #1 to 'get'", function() q:get "x" end)
    assert.are.equal(0, q:qsize())
  end)
end)

describe("QueueJoinTests", function()
  it("test_task_done_underflow: is misuse", function()
    misused("task_done called too often",
      function() loop.Queue():task_done() end)
  end)

  inside("test_task_done: join waits for every item", function()
    local q, sum = loop.Queue(), 0
    for i = 1, 100 do q:put_nowait(i) end
    local running = true
    local workers = {}
    for i = 1, 2 do
      workers[i] = loop.spawn(function()
        while running do
          sum = sum + q:get()
          loop.sleep(0)
          q:task_done()
        end
      end)
    end
    assert.is_true(q:join())
    assert.are.equal(5050, sum)
    running = false
    q:put(0)
    q:put(0)
    for _, worker in ipairs(workers) do worker:join() end
  end)

  inside("test_join_empty_queue: does not wait", function()
    local q = loop.Queue()
    assert.is_true(q:join())
    assert.is_true(q:join())
  end)

  inside("is over when its time is, or when it is cancelled", function()
    local q = loop.Queue()
    q:put(1)
    assert.are.equal("join", timed_out(q.join, q, 0.001).op)
    assert.are.equal("join", timed_out(q.join, q, 0).op)
    timed_out(loop.timeout, 0.001, q.join, q)
    local task = waiting(q, "join")
    task:cancel()
    cancelled(task)
    q:task_done()
    assert.is_true(q:join())
  end)
end)

describe("what tasks share", function()
  inside("loses nothing, whoever is cancelled, and when", function()
    local q, got, live = loop.Queue(3), {}, {}
    math.randomseed(7)
    local function consumer()
      while true do
        local item = q:get()
        got[#got + 1] = item -- before the next wait
        if math.random(3) == 1 then loop.sleep(0) end
      end
    end
    for i = 1, 8 do live[i] = loop.spawn(consumer) end
    for i = 1, 500 do
      q:put(i)
      if math.random(2) == 1 then
        local k = math.random(8)
        live[k]:cancel()
        live[k] = loop.spawn(consumer)
      end
    end
    settle()
    table.sort(got)
    local all = {}
    for i = 1, 500 do all[i] = i end
    assert.are.same(all, got)
  end)

  inside("obeys a cancellation that came before", function()
    local q, lock, event = loop.Queue(), loop.Lock(), loop.Event()
    q:put(1)
    event:set()
    for _, f in ipairs {
      function() q:get() end, function() q:put(2) end,
      function() lock:acquire() end, function() event:wait() end,
      function() q:join() end,
    } do
      local task = loop.spawn(function()
        loop.current():cancel()
        f()
      end)
      cancelled(task)
    end
    assert.are.equal(1, q:qsize())
    assert.is_false(lock:locked())
  end)

  inside("lets a wait pass through csock.coroutine", function()
    local q = loop.Queue()
    local task = loop.spawn(csock.coroutine.wrap(function() return q:get() end))
    until_waiting(task)
    q:put "x"
    assert.are.equal("x", task:join())
  end)

  it("can be used again in the next loop", function()
    local q, event = loop.Queue(1), loop.Event()
    loop.run(function()
      waiting(q, "get")
      waiting(event, "wait")
    end)
    loop.run(function()
      local task = waiting(q, "get")
      q:put(1)
      assert.are.equal(1, task:join())
      event:set()
    end)
  end)

  it("refuses methods on something else", function()
    misused("csock.Queue expected", function() loop.Queue().get(1) end)
    misused("csock.Event expected", function() loop.Event().wait({}) end)
    misused("csock.Semaphore expected",
      function() loop.Lock().acquire(loop.Event()) end)
  end)
end)
