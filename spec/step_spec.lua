-- step: the loop driven by a host: loop.step, loop.fileno, loop.close; by this
-- program, and by one in C (spec/host.c).

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local pair = helper.pair

local misused = helper.misused

-- A test after which the loop is closed, passed or failed.
local function hosted(name, f)
  it(name, function()
    finally(loop.close)
    f()
  end)
end

-- Drives the loop until the task has ended, with csock.select as the host's own
-- loop where there is a descriptor: how many steps it took.
local function drive(task)
  local steps = 0
  repeat
    local due = loop.step(0)
    steps = steps + 1
    local fd = loop.fileno()
    if not fd then due = math.min(due or 0.001, 0.001) end
    if not ("done failed cancelled"):find(task:status()) then
      csock.select({fd}, {}, {}, due)
    end
  until ("done failed cancelled"):find(task:status())
  return steps
end

describe("loop.step", function()
  hosted("runs what is ready", function()
    local ran = 0
    loop.spawn(function()
      ran = ran + 1
      loop.sleep(1000)
      ran = ran + 1
    end)
    assert.are.equal(0, ran)
    loop.step(0)
    assert.are.equal(1, ran)
  end)

  hosted("says when the next one is due", function()
    assert.is_nil(loop.step(0))
    local sleeper = loop.spawn(loop.sleep, 100)
    local due = loop.step(0)
    assert.is_true(due > 90 and due <= 100, due)
    loop.spawn(function()
      while true do coroutine.yield() end
    end)
    assert.are.equal(0, loop.step(0))
    sleeper:cancel()
    assert.are.equal(0, loop.step(0))
  end)

  hosted("of nothing says nothing, and does not wait for ever", function()
    assert.is_nil(loop.step())
  end)

  hosted("waits as long as it is told, and no longer", function()
    local start = loop.now()
    loop.step(0.02)
    assert.is_true(loop.now() - start >= 0.02)
    loop.spawn(loop.sleep, 0.01)
    loop.step(0)
    loop.step(1000)
  end)

  hosted("without a time waits until something happens", function()
    local task = loop.spawn(loop.sleep, 0.005)
    loop.step()
    while task:status() == "waiting" do loop.step() end
    assert.is_true(task:join())
  end)

  hosted("hands over what the poller has", function()
    local _both <close>, a, b = pair()
    local task = loop.spawn(b.recv, b, 10)
    assert.is_nil(loop.step(0))
    a:sendall "x"
    loop.step(1000)
    assert.are.equal("x", task:join())
  end)

  hosted("wakes whom the host has woken", function()
    local queue = loop.Queue()
    local task = loop.spawn(queue.get, queue)
    loop.step(0)
    queue:put_nowait "x"
    loop.step(0)
    assert.are.equal("x", task:join())
  end)

  hosted("keeps the error of a task for who joins it", function()
    local task = loop.spawn(error, "oh", 0)
    loop.step(0)
    assert.are.equal("failed", task:status())
    assert.are.same({false, "oh"}, {pcall(task.join, task)})
  end)

  hosted("says when every task waits for another one", function()
    local event = loop.Event()
    loop.spawn(event.wait, event)
    loop.step(0)
    local ok, err = pcall(loop.step)
    assert.is_false(ok)
    assert.matches("deadlock", err)
    event:set()
    loop.step()
  end)

  hosted("drives a program of servers and clients", function()
    local listener <close> = csock.create_server {"127.0.0.1", 0}
    loop.spawn(function()
      while true do
        local conn = listener:accept()
        loop.spawn(function()
          local _conn <close> = conn
          while true do
            local data = conn:recv(100)
            if data == "" then return end
            conn:sendall(data:upper())
          end
        end)
      end
    end)
    local main = loop.spawn(function()
      local answers, clients = {}, {}
      for i = 1, 10 do
        clients[i] = loop.spawn(function()
          local sock <close> = csock.create_connection(
            listener:getsockname())
          for _ = 1, 3 do
            loop.sleep(0.001)
            sock:sendall("hello " .. i)
            answers[i] = sock:recv(100)
          end
        end)
      end
      for _, client in ipairs(clients) do client:join() end
      return answers
    end)
    drive(main)
    for i, answer in ipairs(main:join()) do
      assert.are.equal("HELLO " .. i, answer)
    end
    assert.are.equal(10, #main:join())
  end)

  it("refuses to run in a task, and inside run", function()
    loop.run(function()
      misused("step while the loop runs", function() loop.step(0) end)
      misused("close while the loop runs", function() loop.close() end)
    end)
  end)

  hosted("keeps run away until the loop is closed", function()
    loop.step(0)
    local ok, err = pcall(loop.run, function() end)
    assert.is_false(ok)
    assert.matches("the loop runs already, step by step", err)
    loop.close()
    assert.are.equal(1, loop.run(function() return 1 end))
  end)

  hosted("refuses a bad timeout", function()
    misused("bad argument #1 to 'step'", function() loop.step(-1) end)
    misused("bad argument #1 to 'step'", function() loop.step "x" end)
    assert.is_nil(loop.poller())
  end)
end)

describe("loop.close", function()
  it("without a loop does nothing", function()
    assert.is_true(loop.close())
    assert.is_true(loop.close())
  end)

  it("cancels what is left, and closes its variables", function()
    local heard, closed
    local task = loop.spawn(function()
      local _guard <close> = setmetatable({}, {__close = function()
        closed = true
      end})
      local _, err = pcall(loop.sleep, 1000)
      heard = err
      loop.sleep(1000)
    end)
    loop.step(0)
    assert.is_true(loop.close())
    assert.is_true(csock.isinstance(heard, loop.CancelledError))
    assert.is_true(closed)
    assert.are.equal("cancelled", task:status())
    assert.is_nil(loop.poller())
  end)
end)

describe("loop.fileno", function()
  hosted("is a descriptor, with epoll", function()
    local fd = loop.fileno()
    if loop.poller() == "epoll" then
      assert.are.equal("integer", math.type(fd))
      assert.are.equal(fd, loop.fileno())
    else
      assert.is_nil(fd)
    end
  end)

  hosted("is readable as long as something is to do", function()
    local fd = loop.fileno()
    if not fd then return end
    local _both <close>, a, b = pair()
    local task = loop.spawn(b.recv, b, 10)
    loop.step(0)
    assert.are.same({}, (csock.select({fd}, {}, {}, 0)))
    a:sendall "x"
    assert.are.same({fd}, (csock.select({fd}, {}, {}, 5)))
    loop.step(0)
    assert.are.same({}, (csock.select({fd}, {}, {}, 0)))
    assert.are.equal("x", task:join())
  end)

  it("is there inside run too", function()
    loop.run(function()
      assert.are.equal(loop.poller() == "epoll", loop.fileno() ~= nil)
    end)
  end)
end)

describe("a host in C", function()
  local script = [[
    local csock = require "csock"
    loop = require "csock.loop"
    loop.spawn(function()
      local a, b = csock.socketpair()
      loop.spawn(function()
        for i = 1, 5 do
          loop.sleep(0.002)
          a:sendall("ping " .. i)
        end
        a:close()
      end)
      local got = {}
      for data in function() return b:recv(100) end do
        if data == "" then break end
        got[#got + 1] = data
      end
      b:close()
      print(table.concat(got, ","))
      over = true
    end)
    loop.spawn(loop.sleep, 1000)
  ]]

  it("drives the loop beside its own", function()
    local process = helper.embed("host", script)
    assert.are.equal("ping 1,ping 2,ping 3,ping 4,ping 5\nserved 3\n",
      process:read "a")
    local _, _, code = process:wait()
    assert.are.equal(0, code)
  end)
end)
