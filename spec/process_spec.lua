-- process: children made by fork: what they run, what they keep of the parent,
-- how they end and how that is waited for. Not here: servers made of them
-- (forking_spec, prefork_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local process = require "csock.process"
local core = require "csock.core"
local pair = helper.pair

-- A child that has nothing to do until it is killed, which it is in any case.
local function idle()
  local child = process.fork(function()
    core.process.alarm(100)
    while true do loop.sleep(1000) end
  end)
  return child, setmetatable({}, {__close = function()
    child:kill(process.SIGKILL)
    child:wait()
  end})
end

-- What a child has written into a pair before it ended with 0.
local function told(f, ...)
  local _pair <close>, ours, theirs = pair()
  local child = process.fork(function(...)
    theirs:sendall(tostring(f(...)))
  end, ...)
  theirs:close()
  local words = {}
  repeat
    words[#words + 1] = ours:recv(4096)
  until words[#words] == ""
  assert.are.same({"exit", 0}, {child:wait()})
  return table.concat(words)
end

-- What a program prints that uses csock; it ends well.
local function output(text, before)
  local name = helper.tmpdir() .. "/program.lua"
  local file = assert(io.open(name, "w"))
  file:write([[
    local csock = require "csock"
    local loop = csock.loop
    local process = require "csock.process"
  ]], text)
  file:close()
  local command = helper.lua .. " " .. name .. " 2>&1"
  if before then
    command = "python3 -c " .. helper.quote(before) .. " " .. command
  end
  local program = helper.spawn_process(command)
  local printed = program:read "a"
  local _, how, number = program:wait()
  assert.are.equal("exit 0", how .. " " .. number, printed)
  return printed
end

describe("a child", function()
  it("runs a function, with its arguments", function()
    assert.are.equal("7 nil x", told(function(a, b, c)
      return a .. " " .. tostring(b) .. " " .. c
    end, 7, nil, "x"))
  end)

  it("ends with what its function returns as its status", function()
    assert.are.same({"exit", 7}, {process.fork(function() return 7 end):wait()})
    assert.are.same({"exit", 0}, {process.fork(function() end):wait()})
  end)

  it("ends with what os.exit says", function()
    assert.are.same({"exit", 3}, {process.fork(os.exit, 3):wait()})
  end)

  it("tells on stderr that its function failed", function()
    local text = output [[
      print(process.fork(function() error "no good" end):wait())
    ]]
    assert.matches("a child process failed: .-: no good\nstack traceback:",
      text)
    assert.matches("exit\t1\n$", text)
  end)

  it("ends by a signal that it does not take", function()
    local child, _guard <close> = idle()
    assert.is_true(child:kill(process.SIGTERM))
    assert.are.same({"signal", process.SIGTERM}, {child:wait()})
  end)

  it("has a number, also when it has ended", function()
    local child = process.fork(function() end)
    local pid = child:pid()
    assert.is_true(pid > 1)
    assert.are_not.equal(core.process.getpid(), pid)
    child:wait()
    assert.are.equal(pid, child:pid())
  end)

  it("is waited for once, and then remembered", function()
    local child = process.fork(function() return 5 end)
    for _ = 1, 3 do assert.are.same({"exit", 5}, {child:wait()}) end
    assert.are.same({"exit", 5}, {child:poll()})
    assert.are.same({"exit", 5}, {child:wait(0)})
    assert.is_false(child:kill(process.SIGTERM))
  end)

  it("is not waited for longer than the timeout", function()
    local child, _guard <close> = idle()
    local function check()
      local ok, err = pcall(child.wait, child, 0.01)
      assert.is_false(ok)
      assert.is_true(csock.isinstance(err, csock.timeout), tostring(err))
      assert.is_nil(child:poll())
    end
    check()
    loop.run(check)
    local _, err = pcall(child.wait, child, 0)
    assert.is_true(csock.isinstance(err, csock.BlockingIOError), tostring(err))
  end)

  it("may be waited for by several tasks while others run", function()
    loop.run(function()
      local child, _guard <close> = idle()
      local tasks = {}
      for i = 1, 3 do tasks[i] = loop.spawn(child.wait, child) end
      for _ = 1, 3 do loop.sleep(0) end
      assert.are.equal("waiting", tasks[3]:status())
      child:kill(process.SIGKILL)
      for i = 1, 3 do
        assert.are.same({"signal", process.SIGKILL}, {tasks[i]:join()})
      end
    end)
  end)

  it("that somebody else waits for ends in an unknown way", function()
    if not helper.has "python3" then pending "python3 is not installed" end
    -- where SIGCHLD is ignored the system itself waits; dash never ignores it
    assert.are.equal("unknown\n", output([[
      print(process.fork(function() return 7 end):wait())
    ]], [[
import os, signal, sys
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
os.execvp("env", ["env"] + sys.argv[1:])]]))
  end)

  it("is refused without a function, or a signal's number", function()
    assert.has_error(function() core.process.fork(7) end,
      "bad argument #1 to 'fork' (function expected, got number)")
    local child, _guard <close> = idle()
    assert.is_false(pcall(child.kill, child, "TERM"))
    assert.is_false(pcall(child.wait, child, -1))
    assert.is_nil(child:poll())
  end)

  it("leaves the other children of the program alone", function()
    local other = process.fork(function() return 72 end)
    local pipe = io.popen "exit 3"
    assert.are.equal("exit", (process.fork(function() end):wait()))
    assert.are.same({"exit", 72}, {other:wait()})
    assert.are.same({nil, "exit", 3}, {pipe:close()})
  end)
end)

describe("in a child", function()
  it("there is no task, and none of the parent's runs", function()
    assert.are.equal("nil cancelled cancelled 0", loop.run(function()
      local ran = false
      local ready = loop.spawn(function() ran = true end)
      local asleep = loop.spawn(loop.sleep, 1000)
      return told(function()
        local states = ready:status() .. " " .. asleep:status()
        loop.run(loop.sleep, 0.001)
        assert(not ran)
        ready:cancel()
        asleep:cancel()
        assert(not pcall(asleep.join, asleep))
        return tostring(loop.current()) .. " " .. states .. " " ..
          core.loop.live()
      end)
    end))
  end)

  it("a loop can be run, also when the parent runs one", function()
    assert.are.equal("42", loop.run(function()
      return told(loop.run, function()
        local _pair <close>, a, b = pair()
        local task = loop.spawn(a.recv, a, 100)
        loop.sleep(0.001)
        b:sendall "42"
        return task:join()
      end)
    end))
  end)

  it("a coroutine.yield is no way back to the parent's loop", function()
    assert.are.equal("false", loop.run(function()
      return told(function() return (pcall(coroutine.yield)) end)
    end))
  end)

  it("the end is the end in a coroutine, too", function()
    local co = coroutine.wrap(function()
      return process.fork(function() return 4 end)
    end)
    assert.are.same({"exit", 4}, {co():wait()})
  end)

  it("a child can be forked", function()
    assert.are.equal("exit 6", loop.run(function()
      return told(function()
        return table.concat({process.fork(function() return 6 end):wait()}, " ")
      end)
    end))
  end)

  it("sockets that the parent's tasks wait for are closed", function()
    assert.are.equal("true false", loop.run(function()
      local _pair <close>, a, b = pair()
      local task = loop.spawn(a.recv, a, 100)
      loop.sleep(0.001)
      local text = told(function()
        return tostring(a.closed) .. " " .. tostring(b.closed)
      end)
      b:sendall "not here"
      assert.are.equal("not here", task:join())
      return text
    end))
  end)

  it("a socket keeps its peer waiting no longer than the parent's", function()
    loop.run(function()
      local a, b <close> = csock.socketpair()
      local task = loop.spawn(a.recv, a, 100)
      loop.sleep(0.001)
      local _, _guard <close> = idle()
      a:close()
      assert.are.equal("", b:recv(100))
      assert.is_false(pcall(task.join, task))
    end)
  end)

  it("sockets that nobody waits for are there", function()
    local _pair <close>, a, b = pair()
    loop.run(function()
      local task = loop.spawn(a.recv, a, 100)
      b:sendall "known to the poller"
      task:join()
      local child = process.fork(function()
        assert(a:recv(100) == "question")
        a:sendall "answer"
      end)
      b:sendall "question"
      assert.are.equal("answer", b:recv(100))
      assert.are.same({"exit", 0}, {child:wait()})
    end)
  end)

  it("nothing of the parent is closed or finalized", function()
    assert.are.equal("closed by 1\ncollected by 1\n", output([[
      local getpid = require "csock.core".process.getpid
      local parent = getpid()
      local function say(word)
        print(word .. " by " .. (getpid() == parent and 1 or 2))
      end
      loop.run(function()
        local guard <close> = setmetatable({}, {
          __close = function() say "closed" end,
          __gc = function() say "collected" end,
        })
        loop.spawn(function()
          local inner <close> = setmetatable({}, {
            __close = function() end,
            __gc = function()
              if getpid() ~= parent then say "collected" end
            end,
          })
          loop.sleep(1000)
        end)
        loop.sleep(0.001)
        local child = process.fork(function()
          collectgarbage()
          loop.run(loop.sleep, 0)
          collectgarbage()
          return 0
        end)
        child:wait()
      end)
    ]]))
  end)

  it("what was written before is not written again", function()
    assert.are.equal("before child after\n", output [[
      io.stdout:setvbuf("full", 4096)
      io.write "before "
      process.fork(function() io.write "child " end):wait()
      process.fork(function() end):wait()
      process.fork(os.exit, 0):wait()
      print "after"
    ]])
  end)

  it("random numbers are its own", function()
    math.randomseed(7)
    local seen = {}
    for _ = 1, 4 do
      local number = told(math.random, 1 << 40)
      assert.is_nil(seen[number])
      seen[number] = true
    end
  end)

  it("signals are not the parent's watch's any more", function()
    local watch = core.process.signals(process.SIGTERM)
    local _watch <close> = watch
    local child, _guard <close> = idle()
    child:kill(process.SIGTERM)
    assert.are.same({"signal", process.SIGTERM}, {child:wait()})
    loop.run(function()
      local ok, err = pcall(loop.timeout, 0.01, watch.wait, watch)
      assert.is_false(ok, "the parent heard of it")
      assert.is_true(csock.isinstance(err, csock.timeout), tostring(err))
    end)
  end)

  it("signals can be ignored", function()
    assert.are.equal("ignored", told(function()
      process.ignore(process.SIGTERM)
      os.execute("kill -TERM " .. core.process.getpid())
      return "ignored"
    end))
  end)

  it("names can be looked up while the parent's look-ups are under way",
    function()
      loop.run(function()
        local tasks = {}
        for i = 1, 5 do
          tasks[i] = loop.spawn(csock.getaddrinfo, "localhost", 80)
        end
        loop.sleep(0)
        assert.are.equal("80 80", told(function()
          local function port()
            return csock.getaddrinfo("localhost", 80)[1][5].port
          end
          return port() .. " " .. loop.run(port)
        end))
        for i = 1, 5 do
          assert.are.equal(80, tasks[i]:join()[1][5].port)
        end
      end)
    end)
end)

describe("cpus", function()
  it("is how many processors may be used", function()
    assert.is_true(process.cpus() >= 1)
    if not helper.has "nproc" then pending "nproc is not installed" end
    local pipe <close> = assert(io.popen "env -u OMP_NUM_THREADS nproc")
    assert.are.equal(pipe:read "n", process.cpus())
  end)
end)
