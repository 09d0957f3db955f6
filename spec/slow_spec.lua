-- slow: loop.slow_callback, the warning of tasks that hold up the others.

local helper = require "spec.helper"
local loop = require "csock.loop"

local misused = helper.misused

-- The warnings of a program, as a list.  In it `limit` is so many seconds,
-- till() is when one has computed for too long, line numbers are the text's.
local function warnings(limit, text)
  local directory = helper.tmpdir()
  local file = assert(io.open(directory .. "/program.lua", "w"))
  file:write([[local csock = require "csock" local loop = csock.loop ]] ..
    [[warn "@on" local limit = ]] .. limit .. " " ..
    [[local function till() return loop.now() + 1.2 * limit end ]] .. text)
  file:close()
  local process = helper.spawn_process(("%s %s/program.lua 2>&1"):format(
    helper.lua, directory))
  local list = {}
  for line in process:read "a":gmatch "[^\n]+" do
    list[#list + 1] = line:gsub("^Lua warning: csock: ", "")
      :gsub("%S*/program.lua", "program.lua")
  end
  return list
end

-- A test that counts what takes longer than a limit.
local function by_clock(f)
  return function() helper.by_clock(0.05, f) end
end

describe("loop.slow_callback", function()
  it("names who computes too long, and where", by_clock(function(limit)
    local list = warnings(limit, [[
      loop.slow_callback = limit
      loop.run(function()
        loop.spawn(function()
          loop.current().name = "cruncher"
          local stop, n = till(), 0
          while loop.now() < stop do
            n = n + 1
          end
          loop.sleep(0)
        end)
        loop.spawn(loop.sleep, 0):join()
        loop.sleep(0)
      end)]])
    assert.are.equal(1, #list, table.concat(list, "\n"))
    local seconds, line = list[1]:match(
      "^cruncher ran (%d%.%d%d%d) s without a wait, at program%.lua:(%d+)$")
    assert.is_truthy(seconds, list[1])
    assert.is_true(tonumber(seconds) > 1.19 * limit)
    assert.is_true(line == "6" or line == "7", line)
  end))

  it("finds the line in a loop that calls nothing", by_clock(function(limit)
    local list = warnings(limit, [[
      loop.slow_callback = limit / 20
      loop.run(function()
        local n = 0
        for i = 1, 2e8 * limit do n = n + i end
        loop.sleep(0)
      end)]])
    assert.are.equal(1, #list, table.concat(list, "\n"))
    assert.matches("^Task%-1 ran .* at program%.lua:4$", list[1])
  end))

  it("finds the call that blocks, though the task ends after it",
    by_clock(function(limit)
      local list = warnings(limit, [[
        loop.slow_callback = limit
        local function block()
          os.execute("sleep " .. 1.5 * limit)
        end
        loop.run(function()
          block()
          return 1
        end)]])
      assert.are.equal(1, #list, table.concat(list, "\n"))
      assert.matches("^Task%-1 ran .* at program%.lua:3$", list[1])
    end))

  it("finds the handler of a server", by_clock(function(limit)
    local list = warnings(limit, [[
      local socketserver = csock.socketserver
      local Handler = csock.class("Handler", socketserver.BaseRequestHandler)
      function Handler:handle()
        os.execute("sleep " .. 1.5 * limit)
        self.request:sendall "done"
      end
      loop.slow_callback = limit
      loop.run(function()
        local server <close> = socketserver.ThreadingTCPServer(
          {"127.0.0.1", 0}, Handler)
        loop.spawn(server.serve_forever, server)
        local sock <close> = csock.create_connection(server.server_address)
        sock:recv(10)
        server:shutdown()
      end)]])
    assert.are.equal(1, #list, table.concat(list, "\n"))
    assert.matches("^Task%-%d+ ran .* at program%.lua:4$", list[1])
  end))

  it("tells each time, and only of what is too long", by_clock(function(limit)
    local list = warnings(limit, [[
      loop.slow_callback = limit
      loop.run(function()
        for _ = 1, 3 do
          local stop = till()
          while loop.now() < stop do end
          loop.sleep(0)
          loop.sleep(limit * 1.5)
        end
      end)]])
    assert.are.equal(3, #list, table.concat(list, "\n"))
  end))

  it("is off by itself, and can be turned off", by_clock(function(limit)
    local list = warnings(limit, [[
      local function busy()
        local stop = till()
        while loop.now() < stop do end
      end
      loop.run(busy)
      loop.slow_callback = limit
      loop.run(function()
        loop.slow_callback = nil
        busy()
        loop.sleep(0)
        busy()
      end)]])
    assert.are.same({}, list)
  end))

  it("leaves debug hooks as they were", function()
    local list = warnings(1, [[
      local calls = 0
      local function hook() calls = calls + 1 end
      loop.slow_callback = 1000
      local thread
      loop.run(function()
        thread = coroutine.create(function()
          for _ = 1, 3 do coroutine.yield() end
        end)
        coroutine.resume(thread)
      end)
      loop.slow_callback = nil
      coroutine.resume(thread)
      print(debug.gethook(thread))
      local co
      loop.run(function()
        co = coroutine.running()
        debug.sethook(hook, "c")
        loop.slow_callback = 1000
        loop.sleep(0)
        loop.slow_callback = nil
        loop.sleep(0)
        print(debug.gethook() == hook, calls > 0)
      end)]])
    assert.are.same({"nil", "true\ttrue"}, {list[1]:match "^%S+", list[2]})
  end)

  it("is a number of seconds, or nil", function()
    assert.is_nil(loop.slow_callback)
    loop.slow_callback = 2
    assert.are.equal(2, loop.slow_callback)
    loop.slow_callback = 0
    assert.is_nil(loop.slow_callback)
    loop.slow_callback = 0.5
    loop.slow_callback = nil
    assert.is_nil(loop.slow_callback)
    for _, value in ipairs {-1, "1", 0 / 0, 1e10, true} do
      misused("bad value for 'slow_callback' %(seconds expected, got ",
        function() loop.slow_callback = value end)
    end
    assert.is_nil(loop.slow_callback)
    assert.is_nil(loop.slow_callbak)
  end)
end)
