-- signal: loop.on_signal.  Not here: what a server does about SIGINT and
-- SIGTERM by itself (server_spec).

local helper = require "spec.helper"
local loop = require "csock.loop"

local misused = helper.misused

-- Sends this process a signal.
local function kill(name)
  assert(os.execute("kill -" .. name .. " $PPID"))
end

-- What a program, begun with a signal ignored, prints, and how it ends.
local function program(text, ignored)
  local command = helper.lua .. " -e " .. helper.quote(
    "local csock = require 'csock' local loop = csock.loop " ..
    "local function kill(name) os.execute('kill -' .. name .. ' $PPID') end " ..
    text) .. " 2>/dev/null"
  if ignored then
    command = "sh -c " .. helper.quote("trap '' " .. ignored ..
      "; exec env " .. command)
  end
  local process = helper.spawn_process(command)
  local output = process:read "a"
  return output, select(2, process:wait())
end

describe("loop.on_signal", function()
  it("runs a function in a task of its own", function()
    loop.run(function()
      local done, got, task = loop.Event()
      local handle = loop.on_signal("USR1", function(...)
        got, task = {...}, loop.current()
        loop.sleep(0)
        done:set()
      end)
      kill "USR1"
      done:wait()
      assert.are.equal("integer", math.type(got[1]))
      assert.are.equal("SIGUSR1", got[2])
      assert.are_not.equal(loop.current(), task)
      assert.is_true(handle:close())
    end)
  end)

  it("takes a name in both forms, and a number", function()
    loop.run(function()
      local queue = loop.Queue()
      local function put(...) queue:put {...} end
      local handle = loop.on_signal("SIGUSR2", put)
      kill "USR2"
      local first = queue:get()
      handle:close()
      handle = loop.on_signal(first[1], put)
      kill "USR2"
      assert.are.same(first, queue:get())
      assert.are.equal("SIGUSR2", first[2])
      handle:close()
    end)
  end)

  it("hears of it each time, in every handle", function()
    loop.run(function()
      local queue = loop.Queue()
      local one = loop.on_signal("HUP", function() queue:put "one" end)
      local two = loop.on_signal("HUP", function() queue:put "two" end)
      for _ = 1, 5 do
        kill "HUP"
        local names = {queue:get(), queue:get()}
        table.sort(names)
        assert.are.same({"one", "two"}, names)
      end
      one:close()
      kill "HUP"
      assert.are.equal("two", queue:get())
      two:close()
    end)
  end)

  it("takes callable objects", function()
    loop.run(function()
      local queue = loop.Queue()
      local handle <close> = loop.on_signal("USR1", setmetatable({}, {
        __call = function(_, signo, name) queue:put {signo, name} end}))
      kill "USR1"
      assert.are.equal("SIGUSR1", queue:get()[2])
      assert.is_truthy(handle)
    end)
  end)

  it("lets one function wait while the next signal comes", function()
    loop.run(function()
      local count, both = 0, loop.Event()
      local handle <close> = loop.on_signal("USR1", function()
        count = count + 1
        if count == 2 then both:set() end
        both:wait()
      end)
      kill "USR1"
      while count < 1 do loop.sleep(0) end
      kill "USR1"
      both:wait()
      assert.is_truthy(handle)
    end)
  end)

  it("shows as a task with a name", function()
    loop.run(function()
      local handle <close> = loop.on_signal("USR1", print)
      loop.sleep(0)
      local entry = loop.tasks()[2]
      assert.are.same({"on SIGUSR1", "signal"}, {entry.name, entry.op})
      assert.is_truthy(handle)
    end)
  end)

  it("can be closed from its own function, and more than once", function()
    loop.run(function()
      local handle, done = nil, loop.Event()
      handle = loop.on_signal("USR1", function()
        handle:close()
        loop.sleep(0)
        done:set()
      end)
      kill "USR1"
      done:wait()
      assert.is_true(handle:close())
    end)
  end)

  it("goes on after an error of the function", function()
    loop.run(function()
      local queue, count = loop.Queue(), 0
      local handle <close> = loop.on_signal("USR1", function()
        count = count + 1
        queue:put(loop.current())
        if count == 1 then error "oh" end
      end)
      kill "USR1"
      local failed = queue:get()
      assert.is_false((pcall(failed.join, failed)))
      kill "USR1"
      queue:get()
      assert.are.equal(2, count)
      assert.is_truthy(handle)
    end)
  end)

  it("puts back what the signal did when it is closed", function()
    local output, how, code = program [[
      loop.run(function()
        local done = loop.Event()
        local handle = loop.on_signal("TERM", function() done:set() end)
        kill "TERM"
        done:wait()
        print "heard"
        io.stdout:flush()
        handle:close()
        kill "TERM"
        print "not reached"
      end)]]
    assert.are.equal("heard\n", output)
    assert.are.same({"signal", 15}, {how, code})
  end)

  it("puts back what the signal did when the loop ends", function()
    local output, how, code = program [[
      loop.run(function()
        loop.on_signal("TERM", print)
        loop.sleep(0)
      end)
      print "over"
      io.stdout:flush()
      kill "TERM"
      print "not reached"]]
    assert.are.equal("over\n", output)
    assert.are.same({"signal", 15}, {how, code})
  end)

  it("can be asked for before the loop runs", function()
    local output = program [[
      local done = loop.Event()
      loop.on_signal("TERM", function() done:set() end)
      kill "TERM"
      loop.run(function() done:wait() print "heard" end)]]
    assert.are.equal("heard\n", output)
  end)

  it("survives any number of signals in a program that computes", function()
    local output = program [[
      loop.run(function()
        local heard = loop.Event()
        loop.on_signal("USR1", function() heard:set() end)
        for _ = 1, 10 do kill "USR1" end
        heard:wait()
        print "alive"
      end)]]
    assert.are.equal("alive\n", output)
  end)

  it("takes a signal that is ignored", function()
    local output = program([[
      loop.run(function()
        local done = loop.Event()
        loop.on_signal("HUP", function() done:set() end)
        kill "HUP"
        done:wait()
        print "heard"
      end)]], "HUP")
    assert.are.equal("heard\n", output)
  end)

  it("works beside a server, which shuts down", function()
    local output = program [[
      local socketserver = require "csock.socketserver"
      loop.run(function()
        local server <close> = socketserver.ThreadingTCPServer(
          {"127.0.0.1", 0}, {handle = function() end})
        local heard = loop.Event()
        loop.on_signal("TERM", function() heard:set() end)
        local task = loop.spawn(server.serve_forever, server)
        while task:status() ~= "waiting" do loop.sleep(0) end
        kill "TERM"
        task:join()
        heard:wait()
        print "both"
      end)]]
    assert.are.equal("both\n", output)
  end)

  it("refuses what is no signal, or cannot be caught", function()
    local function f() end
    misused("bad argument #1 to 'on_signal' %(SIGKILL cannot be caught%)",
      function() loop.on_signal("KILL", f) end)
    for _, name in ipairs {"STOP", "SEGV", "BUS", "FPE", "ILL", "SIGSEGV"} do
      misused("cannot be caught", function() loop.on_signal(name, f) end)
    end
    misused("cannot be caught", function() loop.on_signal(9, f) end)
    misused("no signal 'FOO'", function() loop.on_signal("FOO", f) end)
    misused("no signal 'term'", function() loop.on_signal("term", f) end)
    misused("no signal 0", function() loop.on_signal(0, f) end)
    misused("no signal 65", function() loop.on_signal(65, f) end)
    misused("number of a signal expected, got nil",
      function() loop.on_signal(nil, f) end)
    misused("number of a signal expected",
      function() loop.on_signal(1.5, f) end)
    misused("bad argument #2 to 'on_signal' %(function expected, got nil%)",
      function() loop.on_signal "TERM" end)
    misused("bad argument #2", function() loop.on_signal("TERM", {}) end)
  end)
end)
