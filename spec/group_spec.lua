-- group: the tasks of one owner (csrc/group.c), which ThreadingMixIn's requests
-- are.  What a server makes of them is in mixin_spec.lua.

require "spec.helper"
local class = require "csock.class"
local core = require "csock.core"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local new_group = core.loop.group
local function nothing() end

-- What happened in a group, as a list of words.
local function recorder(words)
  return function(owner, subject)
    words[#words + 1] = "after " .. owner.name .. " " .. subject
  end, function(owner, subject, address, err, traceback)
    words[#words + 1] = table.concat({
      "failed", owner.name, subject, tostring(address),
      tostring(err):match "[^:]*$", type(traceback),
    }, " ")
  end
end

describe("a group", function()
  it("runs a step for a subject, then the one for all", function()
    local words = {}
    loop.run(function()
      local group = new_group({name = "o"}, recorder(words))
      group:spawn(function(owner, subject, address)
        words[#words + 1] = table.concat({"step", owner.name, subject, address},
          " ")
        loop.sleep(0)
      end, "s", "a")
      assert.are.equal(1, #group)
      assert.are.same({"s"}, group:subjects())
      group:other():join()
      assert.are.equal(0, #group)
      assert.is_nil(group:other())
    end)
    assert.are.same({"step o s a", "after o s"}, words)
  end)

  it("tells of a step that fails, also after a wait", function()
    for _, wait in ipairs {nothing, function() loop.sleep(0) end} do
      local words = {}
      loop.run(function()
        local group = new_group({name = "o"}, recorder(words))
        group:spawn(function()
          wait()
          error "broken"
        end, "s", "a")
        group:other():join()
      end)
      assert.are.same({"failed o s a  broken string"}, words)
    end
  end)

  it("tells of a failure after the step", function()
    local failed
    loop.run(function()
      local group = new_group({}, function() error("late", 0) end,
        function(_, subject, address, err)
          failed = {subject, address, err}
        end)
      group:spawn(nothing, "s", "a")
      group:other():join()
    end)
    assert.are.same({"s", "a", "late"}, failed)
  end)

  it("lets a failure of that fail the task", function()
    loop.run(function()
      local group = new_group({}, nothing, function() error("lost", 0) end)
      group:spawn(function() error "first" end)
      local task = group:other()
      assert.are.equal("lost", select(2, pcall(task.join, task)))
      assert.are.equal("failed", task:status())
      assert.are.equal(0, #group)
    end)
  end)

  it("cancels all but the current task, and knows its own", function()
    loop.run(function()
      local group = new_group({}, nothing, nothing)
      local mine
      for _ = 1, 3 do group:spawn(loop.sleep, 1000) end
      group:spawn(function()
        mine = group:mine()
        assert.are_not.equal(loop.current(), group:other())
        group:cancel()
      end)
      assert.is_false(group:mine())
      while group:other() do group:other():join() end
      assert.is_true(mine)
    end)
  end)

  it("adopts a task that does all by itself", function()
    loop.run(function()
      local group = new_group({}, nothing, nothing)
      local task = loop.spawn(loop.sleep, 0)
      group:adopt(task, "s")
      group:adopt(task, "s")
      assert.are.same({"s"}, group:subjects())
      task:join()
      assert.are.equal(0, #group)
      group:adopt(task, "s") -- it has ended
      assert.are.equal(0, #group)
    end)
  end)

  it("may be collected before its tasks end", function()
    loop.run(function()
      local task = loop.spawn(loop.sleep, 0)
      new_group({}, nothing, nothing):adopt(task, "s")
      collectgarbage()
      collectgarbage()
      assert.is_true(task:join())
    end)
  end)
end)

-- The stack of a coroutine has room for 40 values, and is doubled when they are
-- not enough; ten thousand idle connections would show it.
it("a connection that waits fits into the smallest stack", function()
  local Handler = class("Handler", socketserver.BaseRequestHandler)
  function Handler:handle()
    self.request.timeout = 600
    while true do
      local data = self.request:recv(16384)
      if data == "" then return end
      self.request:sendall(data)
    end
  end
  local MANY = 100
  loop.run(function()
    local server <close> = socketserver.ThreadingTCPServer({"127.0.0.1", 0},
      Handler)
    local serving = loop.spawn(server.serve_forever, server)
    local clients = {}
    local function connect(n)
      for _ = 1, n do
        local client = require "csock".create_connection(server.server_address)
        client:sendall "x"
        client:recv(1)
        clients[#clients + 1] = client
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count" * 1024
    end
    local before = connect(MANY)
    local each = (connect(MANY) - before) / MANY
    for _, client in ipairs(clients) do client:close() end
    server:shutdown()
    serving:join()
    -- with the client's socket and its place in the table
    assert.is_true(each < 2300, each)
  end)
end)
