-- loop: the event loop as Lua sees it: run, spawn, sleep, now, timeout,
-- current, poller, the methods of tasks, and in which order all that happens.
-- Not here: what each operation of a socket does in a task (socket_spec), and
-- coroutines of one's own inside tasks (coroutine_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local closing, pair = helper.closing, helper.pair
local failure = helper.failure

local isinstance = csock.isinstance
local misused, until_waiting = helper.misused, helper.until_waiting

-- Tools -------------------------------------------------------------------

local function timed_out(err)
  assert.is_true(isinstance(err, csock.timeout), tostring(err))
  assert.are.equal("ETIMEDOUT", err.code)
end

local function cancelled(err)
  assert.is_true(isinstance(err, loop.CancelledError), tostring(err))
end

local callable = setmetatable({}, {__call = function(_, ...) return ... end})

-- Long enough to be noticed: a test that really waits for it fails.
local function for_ever() loop.sleep(1000) end

-- Runs a program in a Lua of its own, with its environment and its options in
-- front and behind: what it prints on stdout and stderr, and its exit code.
local function program(text, environment, options)
  local directory = helper.tmpdir()
  local file = assert(io.open(directory .. "/program.lua", "w"))
  file:write 'local csock = require "csock"\nlocal loop = csock.loop\n'
  file:write(text)
  file:close()
  local process = helper.spawn_process(("env %s %s %s %s 2>%s"):format(
    environment or "", helper.lua, options or "",
    directory .. "/program.lua", directory .. "/errors"))
  local output = process:read "a"
  local _, _, code = process:wait()
  local errors <close> = assert(io.open(directory .. "/errors"))
  return output, errors:read "a", code
end

local function count(text, part)
  local n, from = 0, 1
  while true do
    local _, last = text:find(part, from, true)
    if not last then return n end
    n, from = n + 1, last + 1
  end
end

-- The loop ----------------------------------------------------------------

describe("loop.run", function()
  it("returns what the main task returns, nils included", function()
    local results = table.pack(loop.run(function() return 1, nil, "x", nil end))
    assert.are.same({n = 4, 1, nil, "x", nil}, results)
  end)

  it("hands its arguments to the main task", function()
    local results = table.pack(loop.run(callable, nil, 2, nil))
    assert.are.same({n = 3, nil, 2, nil}, results)
  end)

  it("returns as many results as there are", function()
    local results = table.pack(loop.run(function()
      local many = {}
      for i = 1, 5000 do many[i] = i end
      loop.sleep(0)
      return table.unpack(many)
    end))
    assert.are.equal(5000, results.n)
    assert.are.equal(5000, results[5000])
  end)

  it("raises the error object of the main task, unchanged", function()
    local object = setmetatable({}, {__tostring = function() return "no" end})
    local err = failure(loop.run, function()
      loop.sleep(0)
      error(object)
    end)
    assert.are.equal(object, err)
  end)

  it("raises a message as it is", function()
    assert.are.equal("as it is", failure(loop.run, function()
      error("as it is", 0)
    end))
  end)

  it("raises nil", function()
    assert.is_nil(failure(loop.run, function() error(nil) end))
  end)

  it("says in which line the main task failed", function()
    local line
    local err = failure(loop.run, function()
      line = debug.getinfo(1, "l").currentline + 1
      local _ = nil + 1
    end)
    assert.matches(("loop_spec%%.lua:%d: attempt to perform arithmetic"):format(
      line), err)
  end)

  it("refuses what cannot be called", function()
    misused("bad argument #1 to 'run' %(function expected", function()
      loop.run(nil)
    end)
    misused("bad argument #1 to 'run'", function() loop.run(42) end)
    misused("bad argument #1 to 'run'", function() loop.run {} end)
  end)

  it("can be called again after it has refused", function()
    pcall(loop.run, nil)
    assert.are.equal(1, loop.run(callable, 1))
  end)

  it("can be called again after its main task has failed", function()
    pcall(loop.run, error, "no")
    assert.are.equal(1, loop.run(callable, 1))
  end)

  it("refuses to run inside a task", function()
    loop.run(function()
      assert.matches("the loop runs already", failure(loop.run, callable))
    end)
  end)

  it("goes on after it was refused inside a task", function()
    assert.are.equal("still here", loop.run(function()
      pcall(loop.run, callable)
      loop.sleep(0)
      return "still here"
    end))
  end)

  it("does not end while its main task waits for others", function()
    assert.are.equal(3, loop.run(function()
      local a = loop.spawn(function() loop.sleep(0.001) return 1 end)
      local b = loop.spawn(function() loop.sleep(0.002) return 2 end)
      return a:join() + b:join()
    end))
  end)

  it("raises the cancellation of its main task", function()
    cancelled(failure(loop.run, function()
      loop.current():cancel()
      loop.sleep(0)
    end))
  end)

  it("says when every task waits for another one", function()
    assert.matches("deadlock", failure(loop.run, function()
      local b
      local a = loop.spawn(function() b:join() end)
      b = loop.spawn(function() a:join() end)
      a:join()
    end))
  end)

  -- Two tasks that wait for each other, after each has done something else.
  local function deadlock(f)
    assert.matches("deadlock", failure(loop.run, function()
      local b
      local a = loop.spawn(function()
        f()
        b:join()
      end)
      b = loop.spawn(function()
        f()
        a:join()
      end)
      a:join()
    end))
  end

  it("says so also when they have slept before", function()
    deadlock(function() loop.sleep(0.001) end)
  end)

  it("says so also when they have waited for sockets before", function()
    deadlock(function()
      local _both <close>, a, b = pair()
      loop.spawn(b.send, b, "x")
      a:recv(1)
    end)
  end)

  it("says so also when a deadline is left that was not needed", function()
    deadlock(function()
      local _both <close>, a, b = pair()
      a.timeout = 0.005
      loop.spawn(b.send, b, "x")
      a:recv(1)
    end)
  end)

  it("closes the variables of tasks in a deadlock", function()
    local closed
    pcall(loop.run, function()
      local main = loop.current()
      loop.spawn(function()
        local _guard <close> = closing(function() closed = true end)
        main:join()
      end):join()
    end)
    assert.is_true(closed)
  end)
end)

describe("the end of loop.run", function()
  it("cancels the tasks that wait", function()
    local err
    loop.run(function()
      local task = loop.spawn(function() err = failure(for_ever) end)
      until_waiting(task)
    end)
    cancelled(err)
  end)

  it("cancels the tasks that wait for a socket", function()
    local err
    local _both <close>, a, b = pair()
    loop.run(function()
      until_waiting(loop.spawn(function() err = failure(a.recv, a, 1) end))
    end)
    cancelled(err)
    b:send "x"
    assert.are.equal("x", a:recv(1))
  end)

  it("cancels what is left when the main task fails", function()
    local err
    pcall(loop.run, function()
      until_waiting(loop.spawn(function() err = failure(for_ever) end))
      error "no"
    end)
    cancelled(err)
  end)

  it("closes the variables of cancelled tasks", function()
    local reason
    loop.run(function()
      until_waiting(loop.spawn(function()
        local _guard <close> = closing(function(_, err) reason = err end)
        for_ever()
      end))
    end)
    cancelled(reason)
  end)

  it("lets a cancelled task clean up", function()
    local steps = {}
    local task
    loop.run(function()
      task = loop.spawn(function()
        pcall(for_ever)
        steps[1] = "cleaned up"
        return "result"
      end)
      until_waiting(task)
    end)
    assert.are.same({"cleaned up"}, steps)
    assert.are.equal("result", task:join())
  end)

  it("ends a task that swallows its cancellation", function()
    local rounds, closed = 0, false
    local task
    loop.run(function()
      task = loop.spawn(function()
        local _guard <close> = closing(function() closed = true end)
        while true do
          pcall(for_ever)
          rounds = rounds + 1
        end
      end)
      until_waiting(task)
    end)
    assert.are.equal(1, rounds)
    assert.is_true(closed)
    assert.are.equal("cancelled", task:status())
    cancelled(failure(task.join, task))
  end)

  it("ends a task that yields for ever", function()
    local task
    loop.run(function()
      task = loop.spawn(function()
        while true do coroutine.yield() end
      end)
      loop.sleep(0)
    end)
    assert.are.equal("cancelled", task:status())
  end)

  it("ends a task that always has something to read", function()
    local task
    local _both <close>, a, b = pair()
    loop.run(function()
      task = loop.spawn(function()
        while true do
          pcall(a.send, a, "x")
          pcall(b.recv, b, 1)
        end
      end)
      loop.sleep(0)
    end)
    assert.are.equal("cancelled", task:status())
  end)

  it("survives an error in a variable that closes", function()
    local other
    loop.run(function()
      until_waiting(loop.spawn(function()
        local _guard <close> = closing(function() error "no" end)
        while true do pcall(for_ever) end
      end))
      until_waiting(loop.spawn(function()
        local _guard <close> = closing(function() other = "closed" end)
        while true do pcall(for_ever) end
      end))
    end)
    assert.are.equal("closed", other)
  end)

  it("takes no new tasks", function()
    local err
    loop.run(function()
      until_waiting(loop.spawn(function()
        pcall(for_ever)
        err = failure(loop.spawn, for_ever)
      end))
    end)
    assert.matches("the loop is ending", err)
  end)

  it("wakes those who join a task that is cancelled", function()
    local err
    loop.run(function()
      local task = loop.spawn(for_ever)
      until_waiting(loop.spawn(function() err = failure(task.join, task) end))
    end)
    cancelled(err)
  end)
end)

-- Tasks -------------------------------------------------------------------

describe("loop.spawn", function()
  it("begins the task in the next turn", function()
    loop.run(function()
      local begun = false
      loop.spawn(function() begun = true end)
      assert.is_false(begun)
      loop.sleep(0)
      assert.is_true(begun)
    end)
  end)

  it("begins tasks in the order in which they were made", function()
    local order = {}
    loop.run(function()
      for i = 1, 5 do
        loop.spawn(function() order[#order + 1] = i end)
      end
      loop.sleep(0)
    end)
    assert.are.same({1, 2, 3, 4, 5}, order)
  end)

  it("hands its arguments over, nils included", function()
    loop.run(function()
      local results = table.pack(loop.spawn(callable, nil, "b", nil):join())
      assert.are.same({n = 3, nil, "b", nil}, results)
    end)
  end)

  it("hands over as many arguments as there are", function()
    loop.run(function()
      local many = {}
      for i = 1, 5000 do many[i] = i end
      local task = loop.spawn(select, "#", table.unpack(many))
      assert.are.equal(5000, task:join())
    end)
  end)

  it("gives a task no value of an earlier one", function()
    loop.run(function()
      for _ = 1, 3 do
        loop.spawn(callable, "a", "b"):join()
        loop.spawn(function() end):join()
        assert.are.equal(0, loop.spawn(select, "#"):join())
      end
    end)
  end)

  it("takes C functions and callable objects", function()
    loop.run(function()
      assert.are.equal(7, loop.spawn(math.max, 3, 7):join())
      assert.are.equal("x", loop.spawn(callable, "x"):join())
    end)
  end)

  it("refuses what cannot be called", function()
    local what = "bad argument #1 to 'spawn' %(function expected"
    misused(what, function() loop.spawn() end)
    misused(what, function() loop.spawn(nil) end)
    misused(what, function() loop.spawn("f") end)
    misused(what, function() loop.spawn({}) end)
    misused(what, function() loop.spawn(coroutine.create(print)) end)
  end)

  it("works before the loop runs", function()
    local task = loop.spawn(callable, "early")
    assert.are.equal("ready", task:status())
    assert.are.equal("early", loop.run(task.join, task))
  end)

  it("works in a task of a task", function()
    assert.are.equal("deep", loop.run(function()
      return loop.spawn(function()
        return loop.spawn(callable, "deep"):join()
      end):join()
    end))
  end)

  it("makes ten thousand tasks", function()
    local n = helper.slow and 1000 or 10000
    local sum = loop.run(function()
      local tasks = {}
      for i = 1, n do
        tasks[i] = loop.spawn(function()
          loop.sleep(0.001)
          return i
        end)
      end
      local total = 0
      for i = 1, n do total = total + tasks[i]:join() end
      return total
    end)
    assert.are.equal(n * (n + 1) // 2, sum)
  end)

  it("keeps nothing of tasks that have ended", function()
    local function round(n)
      loop.run(function()
        for _ = 1, n do loop.spawn(loop.sleep, 0):join() end
      end)
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    round(200)
    local before = round(200)
    local after = round(2000)
    assert.is_true(after - before < 20, after - before .. " KiB more")
  end)
end)

describe("a task", function()
  it("shows what it is and how it is", function()
    loop.run(function()
      local task = loop.spawn(callable)
      assert.matches("^<csock%.task ready: ", tostring(task))
    end)
  end)

  it("survives that its coroutine is resumed by hand", function()
    local output, _, code = program [[
      loop.run(function()
        local a, b = csock.socketpair()
        for _, wait in ipairs {coroutine.yield, loop.sleep, a.recv} do
          local thread
          local task = loop.spawn(function()
            thread = coroutine.running()
            pcall(wait, wait == a.recv and a or 1000, 1)
          end)
          loop.sleep(0)
          coroutine.resume(thread)
          coroutine.close(thread)
          b:send "x"
          pcall(task.join, task, 0.001)
          loop.sleep(0)
          print(task:status() ~= "running")
        end
        a:close() b:close()
      end)
    ]]
    assert.are.equal("true\ntrue\ntrue\n", output)
    assert.are.equal(0, code)
  end)

  it("refuses methods on something else", function()
    loop.run(function()
      local task = loop.spawn(callable)
      assert.matches("csock%.task expected", failure(task.join, {}))
      assert.matches("csock%.task expected", failure(task.cancel, io.stdout))
      assert.matches("csock%.task expected", failure(task.status))
    end)
  end)

  it("gives others a turn by a plain coroutine.yield", function()
    local order = {}
    loop.run(function()
      local task = loop.spawn(function()
        for i = 1, 3 do
          order[#order + 1] = "a" .. i
          coroutine.yield()
        end
      end)
      for i = 1, 3 do
        order[#order + 1] = "b" .. i
        coroutine.yield()
      end
      task:join()
    end)
    assert.are.same({"b1", "a1", "b2", "a2", "b3", "a3"}, order)
  end)

  it("gets nothing back from a plain coroutine.yield", function()
    loop.run(function()
      assert.are.equal(0, select("#", coroutine.yield(1, 2, 3)))
    end)
  end)

  it("is ready before its first turn", function()
    loop.run(function()
      assert.are.equal("ready", loop.spawn(callable):status())
    end)
  end)

  it("is running while it runs", function()
    assert.are.equal("running", loop.run(function()
      return loop.current():status()
    end))
  end)

  it("is waiting while it sleeps, joins, or waits for a socket", function()
    local _both <close>, a, _b = pair()
    loop.run(function()
      local sleeper = loop.spawn(for_ever)
      local joiner = loop.spawn(sleeper.join, sleeper)
      local reader = loop.spawn(a.recv, a, 1)
      loop.sleep(0)
      assert.are.equal("waiting", sleeper:status())
      assert.are.equal("waiting", joiner:status())
      assert.are.equal("waiting", reader:status())
    end)
  end)

  it("is done when it has returned", function()
    loop.run(function()
      local task = loop.spawn(callable)
      task:join()
      assert.are.equal("done", task:status())
    end)
  end)

  it("is failed when it has raised", function()
    loop.run(function()
      local task = loop.spawn(error, "no")
      pcall(task.join, task)
      assert.are.equal("failed", task:status())
    end)
  end)

  it("is cancelled when its cancellation has ended it", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      until_waiting(task)
      task:cancel()
      pcall(task.join, task)
      assert.are.equal("cancelled", task:status())
    end)
  end)

  it("is failed when it raised something else after a cancellation", function()
    loop.run(function()
      local task = loop.spawn(function()
        pcall(for_ever)
        error "a mistake while cleaning up"
      end)
      until_waiting(task)
      task:cancel()
      assert.matches("a mistake", failure(task.join, task))
      assert.are.equal("failed", task:status())
    end)
  end)

  it("is done when it swallowed its cancellation and returned", function()
    loop.run(function()
      local task = loop.spawn(function() pcall(for_ever) end)
      until_waiting(task)
      task:cancel()
      task:join()
      assert.are.equal("done", task:status())
    end)
  end)

  it("closes its variables when it fails", function()
    local reason
    loop.run(function()
      local task = loop.spawn(function()
        local _guard <close> = closing(function(_, err) reason = err end)
        error("no", 0)
      end)
      pcall(task.join, task)
    end)
    assert.are.equal("no", reason)
  end)

  it("waits through the loop in a variable that closes after an error",
    function()
      loop.run(function()
        local order = {}
        local task = loop.spawn(function()
          local _guard <close> = closing(function()
            order[#order + 1] = "close begins"
            while order[2] == nil do loop.sleep(0.001) end
            order[#order + 1] = "close ends"
          end)
          loop.sleep(0)
          error("no", 0)
        end)
        local other = loop.spawn(function()
          while order[1] == nil do loop.sleep(0) end
          order[#order + 1] = "another task"
        end)
        assert.are.equal("no", failure(task.join, task))
        other:join()
        assert.are.same({"close begins", "another task", "close ends"}, order)
      end)
    end)

  it("raises the error of a variable that fails to close", function()
    loop.run(function()
      local task = loop.spawn(function()
        local _guard <close> = closing(function() error("second", 0) end)
        error("first", 0)
      end)
      assert.are.equal("second", failure(task.join, task))
    end)
  end)

  it("shares the loop with one that never has to wait", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local turns, rounds = 0, 0
      local busy = loop.spawn(function()
        while turns < 5 and rounds < 100000 do
          a:send "x"
          b:recv(1)
          rounds = rounds + 1
        end
      end)
      for _ = 1, 5 do
        loop.sleep(0)
        turns = turns + 1
      end
      busy:join()
      assert.is_true(rounds < 100000, "the other one was starved")
    end)
  end)

  it("that waits for a socket is not starved by one that sleeps 0", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local heard
      loop.spawn(function() heard = a:recv(1) end)
      loop.sleep(0)
      b:send "x"
      local turns = 0
      while not heard and turns < 1000 do
        loop.sleep(0)
        turns = turns + 1
      end
      assert.are.equal("x", heard)
    end)
  end)

  it("that sleeps is not starved by one that never has to wait", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local slept, rounds = false, 0
      loop.spawn(function()
        loop.sleep(0.001)
        slept = true
      end)
      while not slept and rounds < 1000000 do
        a:send "x"
        b:recv(1)
        rounds = rounds + 1
      end
      assert.is_true(slept)
    end)
  end)
end)

describe("an error that nobody has seen", function()
  it("is printed on stderr, with its traceback", function()
    local output, errors, code = program [[
      loop.run(function()
        loop.spawn(function() error "nobody looks" end)
        loop.sleep(0)
        collectgarbage()
      end)
      print "goes on"
    ]]
    assert.are.equal("goes on\n", output)
    assert.matches("program%.lua:4: nobody looks\n", errors)
    assert.matches("stack traceback:\n", errors)
    assert.are.equal(2, count(errors, "program.lua:4:"))
    assert.are.equal(0, code)
  end)

  it("is printed at the exit at the latest", function()
    local _, errors = program [[
      kept = {}
      loop.run(function()
        kept[1] = loop.spawn(error, "kept until the end", 0)
        loop.sleep(0)
      end)
    ]]
    assert.are.equal(1, count(errors, "kept until the end"))
  end)

  it("is printed also when it is an object of its own", function()
    local _, errors = program [[
      loop.run(function()
        loop.spawn(function()
          error(setmetatable({}, {__tostring = function() return "odd" end}))
        end)
        loop.sleep(0)
      end)
    ]]
    assert.are.equal(1, count(errors, "odd"))
  end)

  it("is not printed when a join has raised it", function()
    local output, errors = program [[
      loop.run(function()
        local task = loop.spawn(error, "seen", 0)
        print(pcall(task.join, task))
      end)
    ]]
    assert.are.equal("false\tseen\n", output)
    assert.are.equal("", errors)
  end)

  it("is not printed when it is a cancellation", function()
    local _, errors = program [[
      loop.run(function()
        local task = loop.spawn(loop.sleep, 1000)
        loop.sleep(0)
        task:cancel()
        loop.spawn(loop.sleep, 1000)
        loop.sleep(0)
      end)
    ]]
    assert.are.equal("", errors)
  end)

  it("is not printed when it is that of a cancelled task it joined", function()
    local _, errors = program [[
      loop.run(function()
        local task = loop.spawn(loop.sleep, 1000)
        loop.spawn(task.join, task)
        loop.sleep(0)
        task:cancel()
        loop.sleep(0)
        loop.sleep(0)
      end)
    ]]
    assert.are.equal("", errors)
  end)

  it("is printed when it came after a cancellation", function()
    local _, errors = program [[
      loop.run(function()
        local task = loop.spawn(function()
          pcall(loop.sleep, 1000)
          error "a mistake while cleaning up"
        end)
        loop.sleep(0)
        task:cancel()
        loop.sleep(0)
      end)
    ]]
    assert.are.equal(1, count(errors, "a mistake while cleaning up"))
  end)
end)

-- join, cancel ------------------------------------------------------------

describe("task:join", function()
  it("returns the results, again and again", function()
    loop.run(function()
      local task = loop.spawn(callable, "a", nil, "c", nil)
      for _ = 1, 2 do
        local results = table.pack(task:join())
        assert.are.same({n = 4, "a", nil, "c", nil}, results)
      end
    end)
  end)

  it("returns nothing of a task that returned nothing", function()
    loop.run(function()
      local task = loop.spawn(callable)
      assert.are.equal(0, select("#", task:join()))
      assert.are.equal(0, select("#", task:join()))
    end)
  end)

  it("returns the results after the loop has ended", function()
    local task
    loop.run(function()
      task = loop.spawn(callable, "kept")
      loop.sleep(0)
    end)
    assert.are.equal("kept", task:join())
  end)

  it("raises the task's error, unchanged, again and again", function()
    loop.run(function()
      local object = {}
      local task = loop.spawn(error, object)
      assert.are.equal(object, failure(task.join, task))
      assert.are.equal(object, failure(task.join, task))
    end)
  end)

  it("raises the task's error after the loop has ended", function()
    local task
    loop.run(function()
      task = loop.spawn(error, "late", 0)
      loop.sleep(0)
    end)
    assert.are.equal("late", failure(task.join, task))
  end)

  it("raises CancelledError for a cancelled task", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      until_waiting(task)
      task:cancel()
      cancelled(failure(task.join, task))
    end)
  end)

  it("serves several tasks, all with the results", function()
    loop.run(function()
      local task = loop.spawn(function()
        loop.sleep(0.001)
        return "for all"
      end)
      local joiners = {}
      for i = 1, 5 do joiners[i] = loop.spawn(task.join, task) end
      for i = 1, 5 do assert.are.equal("for all", joiners[i]:join()) end
    end)
  end)

  it("wakes those who join in the order in which they came", function()
    local order = {}
    loop.run(function()
      local task = loop.spawn(loop.sleep, 0.001)
      local last
      for i = 1, 4 do
        last = loop.spawn(function()
          task:join()
          order[#order + 1] = i
        end)
      end
      last:join()
    end)
    assert.are.same({1, 2, 3, 4}, order)
  end)

  it("raises csock.timeout when the task takes longer", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      timed_out(failure(task.join, task, 0.001))
    end)
  end)

  it("with timeout 0 does not wait", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      until_waiting(task)
      timed_out(failure(task.join, task, 0))
    end)
  end)

  it("with timeout 0 returns the results that are there", function()
    loop.run(function()
      local task = loop.spawn(callable, "there")
      loop.sleep(0)
      assert.are.equal("there", task:join(0))
    end)
  end)

  it("leaves the task alone when its own time is up", function()
    loop.run(function()
      local go = false
      local task = loop.spawn(function()
        while not go do loop.sleep(0) end
        return "in the end"
      end)
      timed_out(failure(task.join, task, 0.001))
      go = true
      assert.are.equal("in the end", task:join())
    end)
  end)

  it("within its timeout returns the results", function()
    loop.run(function()
      local task = loop.spawn(function()
        loop.sleep(0.001)
        return "in time"
      end)
      assert.are.equal("in time", task:join(1000))
    end)
  end)

  it("refuses a bad timeout", function()
    loop.run(function()
      local task = loop.spawn(callable)
      misused("bad argument", function() task:join(-1) end)
      misused("bad argument", function() task:join "soon" end)
      misused("bad argument", function() task:join(0 / 0) end)
    end)
  end)

  it("refuses to wait for itself", function()
    loop.run(function()
      local main = loop.current()
      misused("a task cannot join itself", function() main:join() end)
    end)
  end)

  it("refuses to wait outside of tasks", function()
    local task = loop.spawn(callable, 1)
    misused("outside a task", function() task:join() end)
    assert.are.equal(1, loop.run(task.join, task))
  end)
end)

describe("task:cancel", function()
  it("ends the wait with CancelledError", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      until_waiting(task)
      assert.is_true(task:cancel())
      local err = failure(task.join, task)
      cancelled(err)
      assert.are.equal("ECANCELED", err.code)
      assert.are.equal("sleep", err.op)
    end)
  end)

  it("is no csock.error, which handlers of sockets catch", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      until_waiting(task)
      task:cancel()
      assert.is_false(isinstance(failure(task.join, task), csock.error))
    end)
  end)

  it("of one that has not begun hits its first wait", function()
    loop.run(function()
      local steps = {}
      local task = loop.spawn(function()
        steps[#steps + 1] = "begun"
        for_ever()
        steps[#steps + 1] = "gone on"
      end)
      assert.is_true(task:cancel())
      cancelled(failure(task.join, task))
      assert.are.same({"begun"}, steps)
    end)
  end)

  it("of oneself hits the next wait", function()
    loop.run(function()
      local steps = {}
      local task = loop.spawn(function()
        assert.is_true(loop.current():cancel())
        steps[#steps + 1] = "before"
        loop.sleep(0)
        steps[#steps + 1] = "after"
      end)
      cancelled(failure(task.join, task))
      assert.are.same({"before"}, steps)
    end)
  end)

  it("of oneself hits an operation that would not have to wait", function()
    local _both <close>, a, b = pair()
    b:send "x"
    loop.run(function()
      loop.current():cancel()
      cancelled(failure(a.recv, a, 1))
      assert.are.equal("x", a:recv(1))
    end)
  end)

  it("of a finished one says false and changes nothing", function()
    loop.run(function()
      local task = loop.spawn(callable, "result")
      task:join()
      assert.is_false(task:cancel())
      assert.are.equal("done", task:status())
      assert.are.equal("result", task:join())
    end)
  end)

  it("of a failed one says false and changes nothing", function()
    loop.run(function()
      local task = loop.spawn(error, "no", 0)
      pcall(task.join, task)
      assert.is_false(task:cancel())
      assert.are.equal("failed", task:status())
    end)
  end)

  it("is heard once", function()
    loop.run(function()
      local task = loop.spawn(function()
        cancelled(failure(for_ever))
        loop.sleep(0)
        return "went on"
      end)
      until_waiting(task)
      task:cancel()
      assert.are.equal("went on", task:join())
    end)
  end)

  it("twice before it is heard is heard once", function()
    loop.run(function()
      local task = loop.spawn(function()
        pcall(for_ever)
        loop.sleep(0)
        return "went on"
      end)
      until_waiting(task)
      assert.is_true(task:cancel())
      assert.is_true(task:cancel())
      assert.are.equal("went on", task:join())
    end)
  end)

  it("again, after it was swallowed, is heard again", function()
    loop.run(function()
      local task = loop.spawn(function()
        pcall(for_ever)
        for_ever()
      end)
      until_waiting(task)
      task:cancel()
      until_waiting(task)
      task:cancel()
      cancelled(failure(task.join, task))
    end)
  end)

  it("ends a join, and leaves the joined task alone", function()
    loop.run(function()
      local go = false
      local task = loop.spawn(function()
        while not go do loop.sleep(0) end
        return "untouched"
      end)
      local joiner = loop.spawn(task.join, task)
      until_waiting(joiner)
      joiner:cancel()
      cancelled(failure(joiner.join, joiner))
      go = true
      assert.are.equal("untouched", task:join())
    end)
  end)

  it("ends the wait for a socket, which stays as good as before", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local task = loop.spawn(a.recv, a, 1)
      until_waiting(task)
      task:cancel()
      cancelled(failure(task.join, task))
      b:send "x"
      assert.are.equal("x", a:recv(1))
    end)
  end)

  it("takes no data away from the next reader", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local task = loop.spawn(a.recv, a, 1)
      until_waiting(task)
      b:send "x"
      task:cancel()
      pcall(task.join, task)
      assert.are.equal("x", a:recv(1))
    end)
  end)

  it("ends an accept, and leaves the connection to the next", function()
    local listener <close> = csock.socket()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    loop.run(function()
      local task = loop.spawn(listener.accept, listener)
      until_waiting(task)
      task:cancel()
      cancelled(failure(task.join, task))
      local _client <close> = csock.create_connection(listener:getsockname())
      local _server <close> = listener:accept()
    end)
  end)

  it("closes the variables of the task", function()
    loop.run(function()
      local reason
      local task = loop.spawn(function()
        local _guard <close> = closing(function(_, err) reason = err end)
        for_ever()
      end)
      until_waiting(task)
      task:cancel()
      pcall(task.join, task)
      cancelled(reason)
    end)
  end)

  it("lets the task wait in its variables that close", function()
    loop.run(function()
      local cleaned
      local task = loop.spawn(function()
        local _guard <close> = closing(function()
          loop.sleep(0.001)
          cleaned = true
        end)
        for_ever()
      end)
      until_waiting(task)
      task:cancel()
      pcall(task.join, task)
      assert.is_true(cleaned)
    end)
  end)
end)

-- Time --------------------------------------------------------------------

describe("loop.now", function()
  it("is a float", function()
    assert.are.equal("float", math.type(loop.now()))
  end)

  it("never goes back", function()
    local last = loop.now()
    for _ = 1, 1000 do
      local now = loop.now()
      assert.is_true(now >= last)
      last = now
    end
  end)

  it("tells how long a sleep took", function()
    local before = loop.now()
    loop.sleep(0.01)
    assert.is_true(loop.now() - before >= 0.01)
  end)
end)

describe("loop.sleep", function()
  it("returns true, in a task and outside", function()
    assert.is_true(loop.sleep(0))
    assert.is_true(loop.run(loop.sleep, 0))
  end)

  it("does not end early in a task", function()
    loop.run(function()
      for _, seconds in ipairs {0.0005, 0.001, 0.0123} do
        local before = loop.now()
        loop.sleep(seconds)
        assert.is_true(loop.now() - before >= seconds)
      end
    end)
  end)

  it("lets the others run", function()
    local order = {}
    loop.run(function()
      local task = loop.spawn(function()
        loop.sleep(0.02)
        order[#order + 1] = "long"
      end)
      loop.sleep(0.001)
      order[#order + 1] = "short"
      task:join()
    end)
    assert.are.same({"short", "long"}, order)
  end)

  it("of 0 lets each of the others run once", function()
    loop.run(function()
      local turns = {0, 0}
      for i = 1, 2 do
        loop.spawn(function()
          while true do
            turns[i] = turns[i] + 1
            loop.sleep(0)
          end
        end)
      end
      for n = 1, 3 do
        loop.sleep(0)
        assert.are.same({n, n}, turns)
      end
    end)
  end)

  it("takes integers and floats", function()
    loop.run(function()
      assert.is_true(loop.sleep(0))
      assert.is_true(loop.sleep(0.0))
    end)
  end)

  it("refuses other values", function()
    local what = "bad argument #1 to 'sleep'"
    misused(what, function() loop.sleep() end)
    misused(what, function() loop.sleep(nil) end)
    misused(what, function() loop.sleep "soon" end)
    misused(what, function() loop.sleep {} end)
    misused(what, function() loop.sleep(-1) end)
    misused(what, function() loop.sleep(-0.001) end)
    misused(what, function() loop.sleep(0 / 0) end)
    misused(what, function() loop.sleep(math.huge) end)
    misused(what, function() loop.sleep(1e300) end)
  end)
end)

describe("deadlines", function()
  -- Many tasks sleep for random times, those are cancelled of which this says
  -- so, and the others wake in the order of their deadlines.
  local function in_order(is_cancelled)
    math.randomseed(54)
    local n = helper.slow and 100 or 500
    local begun, woken, left = {}, {}, 0
    loop.run(function()
      local tasks = {}
      for i = 1, n do
        local seconds = math.random(1000, 4000) / 100000
        tasks[i] = loop.spawn(function()
          begun[i] = {at = loop.now(), seconds = seconds}
          loop.sleep(seconds)
          woken[#woken + 1] = i
        end)
      end
      loop.sleep(0)
      begun[n + 1] = {at = loop.now()}
      for i = 1, n do
        if is_cancelled(i) then tasks[i]:cancel() else left = left + 1 end
      end
      for i = 1, n do
        if not is_cancelled(i) then tasks[i]:join() end
      end
    end)
    -- a task's sleep began after it looked at the clock and before the next
    -- task did
    for k = 2, #woken do
      local a, b = woken[k - 1], woken[k]
      local a_earliest = begun[a].at + begun[a].seconds
      local b_latest = begun[b + 1].at + begun[b].seconds
      assert.is_true(a_earliest <= b_latest, k .. "th out of order")
    end
    assert.are.equal(left, #woken)
  end

  it("come in their order", function()
    in_order(function() return false end)
  end)

  it("come in their order when others are taken away", function()
    in_order(function(i) return i % 3 ~= 0 end)
  end)

  it("that were not needed cut no later wait short", function()
    local _both <close>, a, b = pair()
    a.timeout = 0.005
    loop.run(function()
      b:send "x"
      a:recv(1)
      loop.spawn(function() b:send "y" end)
      assert.are.equal("y", a:recv(1))
      local before = loop.now()
      loop.sleep(0.02)
      assert.is_true(loop.now() - before >= 0.02)
    end)
  end)

  it("that were not needed delay no later wait", function()
    local _both <close>, a, b = pair()
    a.timeout = 1000
    loop.run(function()
      loop.spawn(function() b:send "x" end)
      assert.are.equal("x", a:recv(1))
      loop.sleep(0.001)
    end)
  end)

  it("of a task that was cancelled wake nobody", function()
    loop.run(function()
      local task = loop.spawn(loop.sleep, 0.002)
      until_waiting(task)
      task:cancel()
      pcall(task.join, task)
      -- another task, which may have the first one's place in memory
      task = nil
      collectgarbage()
      local before = loop.now()
      loop.spawn(loop.sleep, 0.01):join()
      assert.is_true(loop.now() - before >= 0.01)
      assert.is_nil(task)
    end)
  end)
end)

describe("loop.timeout", function()
  it("returns what its function returns", function()
    loop.run(function()
      local results = table.pack(loop.timeout(1000, callable, 1, nil, 3, nil))
      assert.are.same({n = 4, 1, nil, 3, nil}, results)
    end)
  end)

  it("raises csock.timeout for a wait that takes longer", function()
    loop.run(function()
      local err = failure(loop.timeout, 0.001, for_ever)
      timed_out(err)
      assert.are.equal("sleep", err.op)
    end)
  end)

  it("does not raise early", function()
    loop.run(function()
      local before = loop.now()
      pcall(loop.timeout, 0.01, for_ever)
      assert.is_true(loop.now() - before >= 0.01)
    end)
  end)

  it("lets errors pass, unchanged", function()
    loop.run(function()
      local object = {}
      assert.are.equal(object, failure(loop.timeout, 1000, error, object))
    end)
  end)

  it("is over when its function has returned", function()
    loop.run(function()
      loop.timeout(0.001, callable)
      loop.sleep(0.005)
    end)
  end)

  it("is over when its function has failed", function()
    loop.run(function()
      pcall(loop.timeout, 0.001, error, "no")
      pcall(loop.timeout, 0.001, for_ever)
      loop.sleep(0.005)
    end)
  end)

  it("lets the task go on in time", function()
    loop.run(function()
      assert.is_true(loop.timeout(1000, loop.sleep, 0.001))
    end)
  end)

  it("ends an inner one that allows more", function()
    loop.run(function()
      timed_out(failure(loop.timeout, 0.001, function()
        loop.timeout(1000, for_ever)
      end))
    end)
  end)

  it("goes on after an inner one that allows less", function()
    loop.run(function()
      assert.are.equal("outer", loop.timeout(1000, function()
        timed_out(failure(loop.timeout, 0.001, for_ever))
        loop.sleep(0.001)
        return "outer"
      end))
    end)
  end)

  it("holds again after an inner one has ended", function()
    loop.run(function()
      timed_out(failure(loop.timeout, 0.005, function()
        loop.timeout(1000, callable)
        for_ever()
      end))
    end)
  end)

  it("does not stop a function that only computes", function()
    loop.run(function()
      assert.are.equal("computed", loop.timeout(0, function()
        local latest = loop.now() + 0.002
        repeat until loop.now() > latest
        return "computed"
      end))
    end)
  end)

  it("hits the first wait of one that has computed too long", function()
    local _both <close>, a, b = pair()
    b:send "x"
    loop.run(function()
      timed_out(failure(loop.timeout, 0.001, function()
        local latest = loop.now() + 0.002
        repeat until loop.now() > latest
        a:recv(1)
      end))
      assert.are.equal("x", a:recv(1))
    end)
  end)

  it("of 0 stops the first wait", function()
    loop.run(function()
      timed_out(failure(loop.timeout, 0, loop.sleep, 0))
    end)
  end)

  it("concerns its own task only", function()
    loop.run(function()
      local other = loop.spawn(function()
        loop.sleep(0.01)
        return "untouched"
      end)
      timed_out(failure(loop.timeout, 0.001, for_ever))
      assert.are.equal("untouched", other:join())
    end)
  end)

  it("does not hold for a task that its function spawns", function()
    loop.run(function()
      local other
      loop.timeout(0.001, function()
        other = loop.spawn(function()
          loop.sleep(0.005)
          return "untouched"
        end)
      end)
      assert.are.equal("untouched", other:join())
    end)
  end)

  it("ends a recv", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      timed_out(failure(loop.timeout, 0.001, a.recv, a, 1))
      b:send "x"
      assert.are.equal("x", a:recv(1))
    end)
  end)

  it("ends a recv whose own timeout is longer", function()
    local _both <close>, a, _b = pair()
    a.timeout = 1000
    loop.run(function()
      timed_out(failure(loop.timeout, 0.001, a.recv, a, 1))
    end)
  end)

  it("lets a shorter timeout of the socket's own come first", function()
    local _both <close>, a, _b = pair()
    a.timeout = 0.001
    loop.run(function()
      assert.are.equal("went on", loop.timeout(1000, function()
        timed_out(failure(a.recv, a, 1))
        loop.sleep(0.001)
        return "went on"
      end))
    end)
  end)

  it("ends a sendall", function()
    local _both <close>, a, _b = pair()
    loop.run(function()
      timed_out(failure(loop.timeout, 0.001, a.sendall, a,
        ("x"):rep(4000000)))
    end)
  end)

  it("ends an accept", function()
    local listener <close> = csock.socket()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    loop.run(function()
      timed_out(failure(loop.timeout, 0.001, listener.accept, listener))
    end)
  end)

  it("ends a join, and leaves the joined task alone", function()
    loop.run(function()
      local task = loop.spawn(for_ever)
      timed_out(failure(loop.timeout, 0.001, task.join, task))
      assert.are.equal("waiting", task:status())
    end)
  end)

  it("holds outside of tasks for sleep", function()
    timed_out(failure(loop.timeout, 0.001, for_ever))
  end)

  it("holds outside of tasks for sockets", function()
    local _both <close>, a, b = pair()
    timed_out(failure(loop.timeout, 0.001, a.recv, a, 1))
    b:send "x"
    assert.are.equal("x", a:recv(1))
  end)

  it("outside of tasks is over when its function has ended", function()
    loop.timeout(0.001, callable)
    pcall(loop.timeout, 0.001, error)
    loop.sleep(0.005)
  end)

  it("round a loop holds for its main task", function()
    timed_out(failure(loop.timeout, 0.001, loop.run, function()
      loop.sleep(0.1)
    end))
  end)

  it("refuses bad times", function()
    local what = "bad argument #1 to 'timeout'"
    misused(what, function() loop.timeout("soon", callable) end)
    misused(what, function() loop.timeout(-1, callable) end)
    misused(what, function() loop.timeout(0 / 0, callable) end)
    misused(what, function() loop.timeout(math.huge, callable) end)
    misused(what, function() loop.timeout({}, callable) end)
  end)

  it("refuses what cannot be called", function()
    assert.is_string(failure(loop.timeout, 1000, nil))
    assert.is_string(failure(loop.timeout, 1000, 42))
  end)

  it("that was refused leaves no limit behind", function()
    loop.run(function()
      pcall(loop.timeout, 0.001, nil)
      loop.sleep(0.005)
    end)
  end)
end)

-- Where am I --------------------------------------------------------------

describe("loop.current", function()
  it("is nil outside of tasks", function()
    assert.is_nil(loop.current())
  end)

  it("is nil again after the loop has ended", function()
    loop.run(callable)
    assert.is_nil(loop.current())
  end)

  it("is the task that spawn returned", function()
    loop.run(function()
      local task = loop.spawn(function() return loop.current() end)
      assert.are.equal(task, task:join())
      assert.are_not.equal(task, loop.current())
    end)
  end)

  it("is the same after a wait", function()
    loop.run(function()
      local before = loop.current()
      loop.spawn(loop.sleep, 0):join()
      assert.are.equal(before, loop.current())
    end)
  end)

  it("is the task also inside a coroutine", function()
    loop.run(function()
      assert.are.equal(loop.current(), coroutine.wrap(loop.current)())
    end)
  end)
end)

describe("loop.poller", function()
  local ask = "print(loop.poller()) print(loop.run(loop.poller)) " ..
    "print(loop.poller())"

  it("is nil while no loop runs", function()
    assert.is_nil(loop.poller())
    loop.run(callable)
    assert.is_nil(loop.poller())
  end)

  it("obeys CSOCK_POLLER", function()
    assert.are.equal("nil\npoll\nnil\n", (program(ask, "CSOCK_POLLER=poll")))
  end)

  it("is the best one by itself", function()
    local best = csock.EPOLLIN ~= nil or
      io.open "/proc/sys/fs/epoll/max_user_watches" and "epoll" or "poll"
    assert.are.equal(("nil\n%s\nnil\n"):format(best),
      (program(ask, "-u CSOCK_POLLER")))
    assert.are.equal(("nil\n%s\nnil\n"):format(best),
      (program(ask, "CSOCK_POLLER=")))
  end)

  it("fails clearly when CSOCK_POLLER names none", function()
    local output = program("print(pcall(loop.run, print))",
      "CSOCK_POLLER=nonsense")
    assert.matches("^false\t", output)
    assert.matches("poller", output)
  end)
end)

-- Waits that cannot pass --------------------------------------------------

describe("a wait inside a plain coroutine", function()
  local inside = [[
    loop.run(function()
      local a, b = csock.socketpair()
      local turns = 0
      loop.spawn(function()
        while true do turns = turns + 1 loop.sleep(0) end
      end)
      loop.sleep(0)
      local before = turns
      b:send "x"
      local f = coroutine.wrap(function()
        loop.sleep(0.001)
        coroutine.yield(a:recv(1))
        loop.sleep(0.001)
        return "end"
      end)
      print(f(), f(), turns - before)
      loop.sleep(0)
      print(turns - before)
      a:close() b:close()
    end)
  ]]

  it("is correct, and blocks the loop", function()
    local output = program(inside)
    assert.are.equal("x\tend\t0\n1\n", output)
  end)

  it("is warned of, once", function()
    local _, errors = program(inside, "", "-W")
    assert.are.equal(1, count(errors, "Lua warning: csock: a wait inside a " ..
      "plain coroutine"))
    assert.are.equal(1, count(errors, "\n"))
  end)

  it("is not warned of when warnings are off", function()
    local _, errors = program(inside)
    assert.are.equal("", errors)
  end)

  it("raises what it should", function()
    loop.run(function()
      timed_out(failure(coroutine.wrap(function()
        loop.timeout(0.001, for_ever)
      end)))
    end)
  end)
end)

describe("a wait across a C function", function()
  it("is correct, and warned of", function()
    local output, errors = program([[
      loop.run(function()
        local list = {3, 1, 2}
        table.sort(list, function(x, y)
          loop.sleep(0)
          return x < y
        end)
        print(table.concat(list, " "))
      end)
    ]], "", "-W")
    assert.are.equal("1 2 3\n", output)
    assert.are.equal(1, count(errors, "blocks the whole loop"))
  end)
end)
