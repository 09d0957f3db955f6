-- admit: how a threading server takes all connections that are there at once
-- (csrc/admit.c), and that whoever has a say in that is heard, whenever it
-- says so.  What becomes of a request is mixin_spec's.

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local core = require "csock.core"
local loop = require "csock.loop"
local safe = require "csock.safe"
local socketserver = require "csock.socketserver"

local admit, await = core.socket.admit, core.socket.await
local pending = core.socket.pending
local anywhere, ask, connect = visit.anywhere, visit.ask, visit.connect
local class = csock.class
local ThreadingTCPServer = socketserver.ThreadingTCPServer

-- Answers what a client says, in capitals.
local Upper = {handle = function(self)
  self.request:sendall(self.request:recv(100):upper())
end}

-- Many that are closed together.
local function list()
  return setmetatable({}, {__close = function(self)
    for i = 1, #self do self[i]:close() end
  end})
end

local function nothing() end

local function close(_, sock) sock:close() end

-- A listener, and a function that makes clients of it.
local function listening(module)
  local listener = (module or csock).create_server(anywhere)
  local address = listener:getsockname()
  return listener, function(count)
    local clients = list()
    for i = 1, count do clients[i] = csock.create_connection(address) end
    return clients
  end
end

describe("what is there", function()
  it("is taken at once, each for a task", function()
    local listener <close>, clients_of = listening()
    loop.run(function()
      local seen = {}
      local group = core.loop.group("owner", close, error)
      local clients <close> = clients_of(3)
      local account = {accepted = 4}
      assert.is_true(admit(listener, group, function(owner, sock, address)
        seen[#seen + 1] = {owner, sock:getpeername() == address, address}
      end, account))
      assert.are.equal(3, #group)
      assert.are.equal(7, account.accepted)
      assert.is_nil(pending(group))
      while #group > 0 do group:other():join() end
      for i = 1, 3 do
        assert.are.same({"owner", true, clients[i]:getsockname()}, seen[i])
      end
    end)
  end)

  it("may be nothing", function()
    local listener <close> = listening()
    loop.run(function()
      local account = {accepted = 0}
      local group = core.loop.group(nil, close, error)
      assert.is_true(admit(listener, group, nothing, account))
      assert.are.equal(0, account.accepted)
      assert.is_nil(pending(group))
    end)
  end)

  it("is waited for, without a system call", function()
    local listener <close>, clients_of = listening()
    loop.run(function()
      local account = {accepted = 0}
      local group = core.loop.group(nil, close, error)
      assert.is_true(await(listener)) -- nobody knows yet
      assert.is_true(admit(listener, group, nothing, account))
      local waiter = loop.spawn(await, listener)
      helper.until_waiting(waiter)
      local _clients <close> = clients_of(1)
      assert.is_true(waiter:join())
      assert.is_true(admit(listener, group, nothing, account))
      assert.are.equal(1, account.accepted)
      group:other():join()
    end)
  end)

  it("has the timeout that is the default then", function()
    local listener <close>, clients_of = listening()
    loop.run(function()
      local seen
      local group = core.loop.group(nil, close, error)
      local function look(_, sock) seen = sock.timeout end
      admit(listener, group, look, {accepted = 0}) -- prepares a socket
      local _clients <close> = clients_of(1)
      csock.setdefaulttimeout(7)
      local _back <close> = setmetatable({}, {
        __close = function() csock.setdefaulttimeout(nil) end,
      })
      admit(listener, group, look, {accepted = 0})
      group:other():join()
      assert.are.equal(7, seen)
    end)
  end)

  it("is not lost when something fails behind accept", function()
    local listener <close>, clients_of = listening()
    loop.run(function()
      local group = core.loop.group(nil, close, error)
      local clients <close> = clients_of(2)
      local account = setmetatable({}, {__newindex = function() error "no" end})
      assert.has_error(function()
        admit(listener, group, nothing, account)
      end)
      local sock <close> = pending(group)
      assert.are.equal(clients[1]:getsockname(), sock:getpeername())
      assert.is_nil(pending(group))
      assert.are.equal(0, #group)
      assert.is_true(admit(listener, group, nothing, {accepted = 0}))
      group:other():join()
    end)
  end)

  it("is not mixed up with what failed before", function()
    local listener <close>, clients_of = listening()
    loop.run(function()
      local group = core.loop.group(nil, close, error)
      local clients <close> = clients_of(2)
      local account = setmetatable({}, {__newindex = function() error "no" end})
      for _ = 1, 2 do
        assert.is_false(pcall(admit, listener, group, nothing, account))
      end
      local sock <close> = pending(group)
      assert.are.equal(clients[2]:getsockname(), sock:getpeername())
      collectgarbage() -- nobody has asked for the first one
      assert.are.equal("", clients[1]:recv(1))
    end)
  end)

  it("is of the kind of its listener", function()
    local raising <close> = listening()
    local listener <close>, clients_of = listening(safe)
    loop.run(function()
      local result
      local group = core.loop.group(nil, close, error)
      local function look(_, sock) result = {sock:bind {"127.0.0.1", 0}} end
      admit(raising, group, look, {accepted = 0}) -- prepares a socket
      local _clients <close> = clients_of(1)
      admit(listener, group, look, {accepted = 0})
      group:other():join()
      assert.is_nil(result[1])
      assert.are.equal("EINVAL", result[2].code)
    end)
  end)

  it("is taken in parts, so that others can run", function()
    local listener <close>, clients_of = listening()
    loop.run(function()
      local group = core.loop.group(nil, close, error)
      local _clients <close> = clients_of(200)
      local account = {accepted = 0}
      while account.accepted < 200 do
        local before, turns = account.accepted, 0
        local other = loop.spawn(function() turns = turns + 1 end)
        assert.is_true(await(listener))
        admit(listener, group, nothing, account)
        assert.is_true(account.accepted - before <= 100)
        other:join()
      end
      while #group > 0 do group:other():join() end
    end)
  end)

  it("cannot be asked of a closed listener", function()
    for _, module in ipairs {csock, safe} do
      local listener <close> = listening(module)
      listener:close()
      loop.run(function()
        local group = core.loop.group(nil, close, error)
        for _, f in ipairs {await, admit} do
          local ok, a, err = pcall(f, listener, group, nothing, {accepted = 0})
          err = ok and err or a
          assert.are.equal(module == safe, ok)
          assert.are.equal("EBADF", err.code)
          assert.are.equal("accept", err.op)
        end
      end)
    end
  end)

  it("takes sockets, groups and accounts only", function()
    local listener <close> = listening()
    local group = core.loop.group(nil, close, error)
    for i, args in ipairs {{1, group, nothing, {}}, {listener, 1, nothing, {}},
      [4] = {listener, group, nothing, 1}} do
      local ok, err = pcall(admit, table.unpack(args))
      assert.is_false(ok)
      assert.matches("bad argument #" .. i, err)
    end
    assert.is_false(pcall(pending, 1))
    assert.is_false(pcall(await, 1))
  end)
end)

describe("a threading server that waits", function()
  -- f(server, task) with a server whose task waits for a connection.
  local function waiting(Server, f)
    visit.serving(Server(anywhere, Upper), function(server, task)
      assert.are.equal("X", ask(server, "x"))
      helper.until_waiting(task)
      f(server)
    end)
  end

  -- Each sets a hook, in a server or its class; it says "hooked" instead.
  local hooks = {
    get_request = function(self)
      local request, address = self.socket:accept()
      request:sendall "hooked "
      return request, address
    end,
    verify_request = function(_, request)
      request:sendall "hooked "
      return true
    end,
    process_request = function(self, request, address)
      request:sendall "hooked "
      return ThreadingTCPServer.process_request(self, request, address)
    end,
    process_request_thread = function(self, request, address)
      request:sendall "hooked "
      return ThreadingTCPServer.process_request_thread(self, request, address)
    end,
    finish_request = function(self, request, address)
      request:sendall "hooked "
      return ThreadingTCPServer.finish_request(self, request, address)
    end,
    shutdown_request = function(self, request)
      request:sendall " hooked"
      return ThreadingTCPServer.shutdown_request(self, request)
    end,
    close_request = function(self, request)
      request:sendall " hooked"
      return ThreadingTCPServer.close_request(self, request)
    end,
  }
  for name, hook in pairs(hooks) do
    it("hears of " .. name, function()
      local Server = class("Server", ThreadingTCPServer, {})
      waiting(Server, function(server)
        for _, place in ipairs {server, Server} do
          place[name] = hook
          local text = ask(server, "a")
          assert.is_truthy(text == "hooked A" or text == "A hooked", text)
          place[name] = nil
          if name == "get_request" then ask(server, "") end -- it waits in that
          assert.are.equal("B", ask(server, "b"))
        end
      end)
    end)
  end

  it("hears of max_connections", function()
    waiting(ThreadingTCPServer, function(server)
      server.max_connections = 1
      local clients <close> = list()
      for i = 1, 2 do
        clients[i] = connect(server)
        clients[i]:sendall "a"
      end
      clients[2].timeout = visit.patience
      assert.are.equal("A", clients[1]:recv(1))
      assert.are.equal("A", clients[2]:recv(1))
      assert.are.equal(3, server.stats.accepted)
    end)
  end)

  it("hears of the accept of its listener's class", function()
    local accepted = 0
    local Listener = class("Listener", csock.socket, {})
    local listener <close> = Listener()
    listener:bind(anywhere)
    listener:listen()
    local Server = class("Server", ThreadingTCPServer, {})
    visit.serving(Server(listener, Upper), function(server)
      assert.are.equal("X", ask(server, "x"))
      function Listener:accept()
        local sock, address = csock.socket.accept(self)
        accepted = accepted + 1
        return sock, address
      end
      assert.are.equal("Y", ask(server, "y"))
    end)
    assert.are.equal(1, accepted)
  end)

  it("closes a connection that cannot become a request, and goes on", function()
    local failures = {}
    local Server = class("Server", ThreadingTCPServer, {
      handle_error = function(_, request, _, err, traceback)
        failures[#failures + 1] = {request.closed, err, traceback}
      end,
    })
    local fails = true
    waiting(Server, function(server)
      local account = server._account
      local accepted = account.accepted
      account.accepted = nil
      setmetatable(account, {
        __index = function(_, name) return name == "accepted" and accepted end,
        __newindex = function(self, name, value)
          if fails then error("not enough memory", 0) end
          rawset(self, name, value)
        end,
      })
      local client <close> = connect(server)
      assert.are.equal("", client:recv(1))
      fails = false
      assert.are.equal("Y", ask(server, "y"))
    end)
    assert.are.same({{false, "not enough memory", "not enough memory"}},
      failures)
  end)

  it("rests when memory ends before there is a connection", function()
    local server <close> = ThreadingTCPServer(anywhere, Upper)
    loop.run(function() server:accept_error "not enough memory" end)
    assert.has_error(function() server:accept_error "another error" end)
  end)

  it("takes the connections of csock.safe's listener", function()
    local listener <close> = safe.create_server(anywhere)
    visit.serving(ThreadingTCPServer(listener, Upper), function(server)
      assert.are.equal("X", ask(server, "x"))
      assert.are.equal("Y", ask(server, "y"))
      assert.are.equal(2, server.stats.accepted)
    end)
  end)

  it("lets others run while connections come without end", function()
    waiting(ThreadingTCPServer, function(server)
      local clients <close> = list()
      for i = 1, 200 do clients[i] = connect(server) end
      for i = 1, 200 do clients[i]:sendall "a" end
      for i = 1, 200 do assert.are.equal("A", clients[i]:recv(1)) end
      assert.are.equal(201, server.stats.accepted)
    end)
  end)
end)
