-- inspect: how tasks look from outside: names, tracebacks, and what each live
-- one waits for.  Not here: status, which loop_spec has.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

local misused, until_waiting = helper.misused, helper.until_waiting

-- Where it is called, as tracebacks say it.
local function here(offset)
  local info = debug.getinfo(2, "Sl")
  return ("%s:%d:"):format(info.short_src, info.currentline + (offset or 0))
end

local function nothing() end

-- What loop.tasks says of a task; nil when it is not in the list.
local function about(task)
  for _, entry in ipairs(loop.tasks()) do
    if entry.task == task then return entry end
  end
end

describe("the name of a task", function()
  it("is Task and a number of its own", function()
    loop.run(function()
      local first, second = loop.spawn(nothing), loop.spawn(nothing)
      local one = assert(first.name:match "^Task%-(%d+)$", first.name)
      local two = assert(second.name:match "^Task%-(%d+)$", second.name)
      assert.are.equal(tonumber(one) + 1, tonumber(two))
      assert.are.equal("Task-" .. one, first.name)
    end)
  end)

  it("can be given, and taken back", function()
    loop.run(function()
      local task = loop.current()
      local name = task.name
      task.name = "main"
      assert.are.equal("main", task.name)
      task.name = nil
      assert.are.equal(name, task.name)
    end)
  end)

  it("outlives the task", function()
    local task
    loop.run(function()
      task = loop.spawn(function() return 1 end)
      task.name = "one"
      task:join()
    end)
    assert.are.equal("one", task.name)
  end)

  it("is a string, and the only field", function()
    loop.run(function()
      local task = loop.current()
      misused("bad value for property 'name' %(string expected, got number%)",
        function() task.name = 1 end)
      misused("a task has no field 'nmae'", function() task.nmae = "x" end)
      misused("a task has no field '1'", function() task[1] = "x" end)
      assert.is_nil(task.nmae)
      assert.is_nil(task[1])
    end)
  end)
end)

describe("task:traceback", function()
  it("says where the task waits", function()
    loop.run(function()
      local line
      local task = loop.spawn(function()
        line = here(1)
        loop.sleep(1000)
      end)
      until_waiting(task)
      assert.matches(line, task:traceback(), 1, true)
      assert.matches("^stack traceback:\n", task:traceback())
      task:cancel()
    end)
  end)

  it("goes through coroutines inside the task, innermost first", function()
    local coroutine = csock.coroutine
    loop.run(function()
      local inner, middle, outer
      local task = loop.spawn(function()
        local co = coroutine.create(function()
          local f = coroutine.wrap(function()
            inner = here(1)
            loop.sleep(1000)
          end)
          middle = here(1)
          f()
        end)
        outer = here(1)
        coroutine.resume(co)
      end)
      until_waiting(task)
      local text = task:traceback()
      local one = assert(text:find(inner, 1, true), text)
      local two = assert(text:find(middle, one, true), text)
      assert(text:find(outer, two, true), text)
      local _, count = text:gsub("\nresumed by\n", "")
      assert.are.equal(2, count)
      task:cancel()
    end)
  end)

  it("says where the running task is", function()
    loop.run(function()
      local text = loop.current():traceback()
      assert.matches(here(-1), text, 1, true)
    end)
  end)

  it("says where the running task is, inside a coroutine too", function()
    loop.run(function()
      local outer
      local f = csock.coroutine.wrap(function()
        local text = loop.current():traceback()
        return text, here(-1)
      end)
      outer = here(1)
      local text, inner = f()
      local one = assert(text:find(inner, 1, true), text)
      assert(text:find(outer, one, true), text)
    end)
  end)

  it("of one that has not begun is empty", function()
    loop.run(function()
      local task = loop.spawn(nothing)
      assert.matches("^stack traceback:%s*$", task:traceback())
    end)
  end)

  it("of a failed one says where its error came from", function()
    loop.run(function()
      local line
      local task = loop.spawn(function()
        line = here(1)
        error "oh"
      end)
      pcall(task.join, task)
      assert.matches(line, task:traceback(), 1, true)
    end)
  end)

  it("of a cancelled one is nil", function()
    loop.run(function()
      local task = loop.spawn(loop.sleep, 1000)
      until_waiting(task)
      task:cancel()
      pcall(task.join, task)
      assert.is_nil(task:traceback())
    end)
  end)

  it("of one that has returned is nil", function()
    loop.run(function()
      local task = loop.spawn(function() return 1 end)
      task:join()
      assert.is_nil(task:traceback())
    end)
  end)
end)

describe("loop.tasks", function()
  it("is empty when nothing lives", function()
    assert.are.same({}, loop.tasks())
  end)

  it("lists the tasks in the order in which they were spawned", function()
    loop.run(function()
      local tasks = {loop.current()}
      for i = 2, 20 do tasks[i] = loop.spawn(loop.sleep, 1000) end
      local list = loop.tasks()
      assert.are.equal(20, #list)
      for i, task in ipairs(tasks) do assert.are.equal(task, list[i].task) end
    end)
  end)

  it("says what each of them does", function()
    local a, b = csock.socketpair()
    finally(function() a:close() b:close() end)
    loop.run(function()
      local reader = loop.spawn(a.recv, a, 1)
      local sleeper = loop.spawn(loop.sleep, 1000)
      local joiner = loop.spawn(reader.join, reader)
      reader.name = "reader"
      until_waiting(reader, sleeper, joiner)
      local entry = about(reader)
      assert.are.same({"reader", "waiting", "recv", a},
        {entry.name, entry.status, entry.op, entry.on})
      entry = about(sleeper)
      assert.are.same({sleeper.name, "waiting", "sleep"},
        {entry.name, entry.status, entry.op, entry.on})
      entry = about(joiner)
      assert.are.same({"waiting", "join", reader},
        {entry.status, entry.op, entry.on})
      entry = about(loop.current())
      assert.are.same({"running"}, {entry.status, entry.op, entry.on})
      assert.is_nil(entry.since)
    end)
  end)

  it("says what a coroutine inside a task waits for", function()
    local a, b = csock.socketpair()
    finally(function() a:close() b:close() end)
    loop.run(function()
      local reader = loop.spawn(csock.coroutine.wrap(function()
        a:recv_into(csock.buffer(10))
      end))
      until_waiting(reader)
      local entry = about(reader)
      assert.are.same({"recv_into", a}, {entry.op, entry.on})
    end)
  end)

  it("says since when", function()
    loop.run(function()
      local before = loop.now()
      loop.sleep(0.001)
      local task = loop.spawn(loop.sleep, 1000)
      until_waiting(task)
      local since = about(task).since
      assert.is_true(since > before)
      assert.is_true(since <= loop.now())
      loop.sleep(0.001)
      assert.are.equal(since, about(task).since)
    end)
  end)

  it("forgets the wait when it is over", function()
    loop.run(function()
      local task = loop.spawn(function()
        loop.sleep(0)
        for _ = 1, 1000 do coroutine.yield() end
      end)
      until_waiting(task)
      while task:status() == "waiting" do loop.sleep(0) end
      local entry = about(task)
      assert.are.same({"ready"}, {entry.status, entry.op, entry.since})
    end)
  end)

  it("forgets tasks that have ended", function()
    loop.run(function()
      local task = loop.spawn(nothing)
      assert.is_truthy(about(task))
      task:join()
      assert.is_nil(about(task))
    end)
  end)

  it("survives that a coroutine is resumed by hand while it waits", function()
    loop.run(function()
      local thread
      local task = loop.spawn(function()
        local co = coroutine.create(function() loop.sleep(1000) end)
        thread = co
        csock.coroutine.resume(co)
      end)
      until_waiting(task)
      assert.is_false(coroutine.resume(thread))
      assert.is_nil(about(task).on)
      assert.is_string(task:traceback())
      task:cancel()
    end)
  end)
end)
