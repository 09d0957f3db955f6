-- limits: how many requests at once, and how long one may take.
-- Not here: a system without descriptors (server_spec), drain_timeout
-- (mixin_spec), lines (handler_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local anywhere, connect = visit.anywhere, visit.connect
local serving = visit.serving

local class = csock.class
local TCPServer = socketserver.TCPServer
local ThreadingTCPServer = socketserver.ThreadingTCPServer

local Echo = {handle = function(self)
  repeat
    local data = self.request:recv(100)
    self.request:sendall(data)
  until data == ""
end}

local function ask(client, words)
  client:sendall(words)
  return client:recv(100)
end

-- Has the server nothing to say to this client, when all have had their turn?
local function is_waiting(client)
  for _ = 1, 20 do loop.sleep(0) end
  client.timeout = 0
  local ok, err = pcall(client.recv, client, 100)
  client.timeout = 40
  return not ok and csock.isinstance(err, csock.BlockingIOError)
end

local function limited(n, members)
  members = members or {}
  members.max_connections = n
  return class("Limited", ThreadingTCPServer, members)
end

describe("max_connections", function()
  it("is nil: there is no limit", function()
    assert.is_nil(TCPServer.max_connections)
    assert.is_nil(ThreadingTCPServer.max_connections)
  end)

  it("lets clients above it wait, and refuses none", function()
    serving(limited(2)(anywhere, Echo), function(server)
      local first <close> = connect(server)
      local second <close> = connect(server)
      assert.are.equal("a", ask(first, "a"))
      assert.are.equal("b", ask(second, "b"))
      local third <close> = connect(server)
      local fourth <close> = connect(server)
      third:sendall "c"
      fourth:sendall "d"
      assert.is_true(is_waiting(third))
      assert.are.equal(2, server.stats.active)
      assert.are.equal("a", ask(first, "a"))
      second:close()
      assert.are.equal("c", third:recv(100))
      assert.is_true(is_waiting(fourth))
      first:close()
      assert.are.equal("d", fourth:recv(100))
    end)
  end)

  it("is never exceeded", function()
    local now, most = 0, 0
    serving(limited(3)(anywhere, {handle = function(self)
      now = now + 1
      most = math.max(most, now)
      self.request:recv(100)
      loop.sleep(0)
      now = now - 1
    end}), function(server)
      local clients = {}
      for i = 1, 20 do clients[i] = connect(server) end
      for _, client in ipairs(clients) do client:sendall "x" end
      for _, client in ipairs(clients) do
        assert.are.equal("", client:recv(1))
        client:close()
      end
      assert.are.equal(20, server.stats.finished)
    end)
    assert.are.equal(3, most)
  end)

  it("makes room also after requests that fail", function()
    local Server = limited(1, {handle_error = function() end})
    serving(Server(anywhere, {handle = function(self)
      self.request:sendall "served"
      error "no"
    end}), function(server)
      for _ = 1, 3 do
        local client <close> = connect(server)
        assert.are.equal("served", client:recv(100))
      end
    end)
  end)

  it("makes room after a handle_error that waits", function()
    local Server = limited(1, {handle_error = function(self, request)
      loop.sleep(0.01)
      request:sendall(" failed")
      if self.worse then error(loop.CancelledError(), 0) end
    end})
    for _, worse in ipairs {false, true} do
      local server = Server(anywhere, {handle = function(self)
        self.request:sendall "served"
        error "no"
      end})
      server.worse = worse
      serving(server, function()
        local clients = {}
        for i = 1, 3 do clients[i] = connect(server) end
        for _, client in ipairs(clients) do
          local _client <close> = client
          assert.are.equal("served failed", helper.read_all(client))
        end
      end)
    end
  end)

  it("makes room also after requests that are cancelled", function()
    serving(limited(1)(anywhere, Echo), function(server)
      local first <close> = connect(server)
      local second <close> = connect(server)
      assert.are.equal("a", ask(first, "a"))
      server:cancel_requests()
      assert.are.equal("b", ask(second, "b"))
    end)
  end)

  it("may be changed while it serves", function()
    serving(limited(1)(anywhere, Echo), function(server)
      local first <close> = connect(server)
      local second <close> = connect(server)
      local third <close> = connect(server)
      assert.are.equal("a", ask(first, "a"))
      second:sendall "b"
      assert.is_true(is_waiting(second))
      server.max_connections = 2
      first:close()
      assert.are.equal("b", second:recv(100))
      assert.are.equal("c", ask(third, "c"))
    end)
  end)

  it("may be taken away while clients wait for it", function()
    serving(limited(1)(anywhere, Echo), function(server)
      local first <close> = connect(server)
      local second <close> = connect(server)
      assert.are.equal("a", ask(first, "a"))
      second:sendall "b"
      assert.is_true(is_waiting(second))
      server.max_connections = nil
      server.__class.max_connections = nil
      first:close()
      assert.are.equal("b", second:recv(100))
    end)
  end)

  it("does not keep shutdown waiting", function()
    serving(limited(1)(anywhere, Echo), function(server, task)
      do
        local client <close> = connect(server)
        local _waiting <close> = connect(server)
        assert.are.equal("a", ask(client, "a"))
        loop.sleep(0)
        server:shutdown()
      end
      task:join()
      assert.are.equal(1, server.stats.accepted)
    end)
  end)

  it("does not keep service_actions waiting", function()
    local n = 0
    local Server = limited(1, {service_actions = function(self)
      n = n + 1
      if n > 5 and self.stats.active == 1 then self:shutdown() end
    end, drain_timeout = 0})
    loop.run(function()
      local server <close> = Server(anywhere, Echo)
      local task = loop.spawn(server.serve_forever, server, 0.001)
      local client <close> = connect(server)
      assert.are.equal("a", ask(client, "a"))
      task:join()
    end)
    assert.is_true(n > 5)
  end)

  it("bears the end of a serving that was cancelled at rest", function()
    loop.run(function()
      local server <close> = limited(1)(anywhere, Echo)
      local client <close> = connect(server)
      local task = loop.spawn(server.serve_forever, server)
      assert.are.equal("a", ask(client, "a"))
      loop.sleep(0)
      task:cancel()
      assert.is_false(pcall(task.join, task))
      assert.are.equal("b", ask(client, "b"))
      client:close()
      server:drain()
      local again = loop.spawn(server.serve_forever, server)
      local other <close> = connect(server)
      assert.are.equal("c", ask(other, "c"))
      other:close()
      server:shutdown()
      again:join()
    end)
  end)

  it("holds for handle_request, within its timeout", function()
    loop.run(function()
      local log = {}
      local Server = limited(1, {
        timeout = 0.01,
        handle_timeout = function() log[#log + 1] = "timeout" end,
      })
      local server <close> = Server(anywhere, Echo)
      local first <close> = connect(server)
      local second <close> = connect(server)
      server:handle_request()
      assert.are.equal("a", ask(first, "a"))
      server:handle_request()
      assert.are.same({"timeout"}, log)
      assert.are.equal(1, server.stats.accepted)
      first:close()
      server.timeout = nil
      server.timeout = 40
      server:handle_request()
      assert.are.equal("b", ask(second, "b"))
    end)
  end)

  it("holds for datagrams", function()
    local Server = class("Server", socketserver.ThreadingUDPServer,
      {max_connections = 1})
    local held, now, most = {}, 0, 0
    serving(Server(anywhere, {handle = function(self)
      now = now + 1
      most = math.max(most, now)
      while not held[self.request[1]] do loop.sleep(0.001) end
      now = now - 1
      self.request[2]:sendto(self.request[1], self.client_address)
    end}), function(server)
      local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      client.timeout = 40
      client:sendto("1", server.server_address)
      client:sendto("2", server.server_address)
      assert.is_true(is_waiting(client))
      held["2"] = true
      assert.is_true(is_waiting(client))
      held["1"] = true
      assert.are.equal("1", client:recv(100))
      assert.are.equal("2", client:recv(100))
    end)
    assert.are.equal(1, most)
  end)
end)

describe("slow_callback", function()
  it("is nil: handlers may compute", function()
    assert.is_nil(TCPServer.slow_callback)
  end)

  it("is the loop's while a server serves: of several the least", function()
    local function with(seconds)
      return class("Server", TCPServer, {slow_callback = seconds})(anywhere,
        Echo)
    end
    loop.run(function()
      local seen, servers, tasks = {}, {with(3), with(2), with(nil)}, {}
      loop.slow_callback = 4
      for i, server in ipairs(servers) do
        tasks[i] = loop.spawn(server.serve_forever, server)
        loop.sleep(0)
        seen[#seen + 1] = loop.slow_callback
      end
      for _, i in ipairs {2, 3, 1} do
        servers[i]:shutdown()
        tasks[i]:join()
        servers[i]:server_close()
        seen[#seen + 1] = loop.slow_callback
      end
      loop.slow_callback = nil
      assert.are.same({3, 2, 2, 3, 3, 4}, seen)
    end)
  end)

  it("is refused at once when it is none, and the server can serve", function()
    local server <close> = TCPServer(anywhere, Echo)
    for _, value in ipairs {"1", -1, 0, true} do
      server.slow_callback = value
      local ok, err = pcall(server.serve_forever, server)
      assert.is_false(ok)
      assert.matches("bad slow_callback", err)
    end
    server.slow_callback = 1
    server:shutdown()
    server:serve_forever()
    assert.is_nil(loop.slow_callback)
  end)

  it("reports a handler that lets no other task run, with its line", function()
    local name = helper.tmpdir() .. "/slow.lua"
    local file = assert(io.open(name, "w"))
    file:write [[
      local seconds = tonumber(...)
      local csock = require "csock"
      local loop, socketserver = csock.loop, csock.socketserver
      local Server = csock.class("Server", socketserver.ThreadingTCPServer, {
        slow_callback = seconds,
      })
      warn "@on"
      local server = Server({"127.0.0.1", 0}, {handle = function(self)
        if self.request:recv(10) == "quick" then return end
        local start = loop.now()
        while loop.now() < start + 2 * seconds do end -- line 11
      end})
      loop.run(function()
        local task = loop.spawn(server.serve_forever, server)
        for _, word in ipairs {"quick", "slow"} do
          local client <close> = csock.create_connection(server.server_address)
          client:sendall(word)
          client:recv(1)
        end
        server:shutdown()
        task:join()
        server:server_close()
      end)
    ]]
    file:close()
    helper.by_clock(0.05, function(seconds)
      local process = helper.spawn_process("sh -c " .. helper.quote(
        ("exec env %s %s %g 2>&1"):format(helper.lua, name, seconds)))
      local text = process:read "a"
      assert.matches("ran [%d.]+ s without a wait, at %S*slow%.lua:11", text)
      assert.are.equal(1, select(2, text:gsub("slow%.lua:", "")), text)
    end)
  end)
end)

describe("request_timeout", function()
  -- A class derived from Server that keeps its errors.
  local function keeping(Server, seconds, errors)
    return class("Keeping", Server, {
      request_timeout = seconds,
      handle_error = function(_, _, _, err) errors[#errors + 1] = err end,
    })
  end

  it("is nil: a handler takes its time", function()
    assert.is_nil(TCPServer.request_timeout)
  end)

  for _, Server in ipairs {TCPServer, ThreadingTCPServer} do
    it("ends a handler that waits longer: " .. Server.__name, function()
      local errors = {}
      local server <close> = keeping(Server, 0.01, errors)(anywhere, Echo)
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("", client:recv(1))
      assert.are.equal(1, #errors)
      assert.is_true(csock.isinstance(errors[1], csock.timeout))
    end)

    it("does not concern one that is quicker: " .. Server.__name, function()
      local errors = {}
      local server <close> = keeping(Server, 5, errors)(anywhere,
        {handle = function(self) self.request:sendall "quick" end})
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("quick", client:recv(100))
      assert.are.equal(0, #errors)
    end)
  end

  it("is for the whole, however often the client says something", function()
    local errors = {}
    loop.run(function()
      local server <close> = keeping(TCPServer, 0.05, errors)(anywhere, Echo)
      local client <close> = connect(server)
      local task = loop.spawn(server.handle_request, server)
      pcall(function()
        while #errors == 0 do
          ask(client, "x")
          loop.sleep(0.005)
        end
      end)
      task:join()
    end)
    assert.is_true(csock.isinstance(errors[1], csock.timeout))
  end)

  it("may be caught by the handler, whose waits have no more time", function()
    local errors, caught = {}, {}
    local server <close> = keeping(TCPServer, 0.01, errors)(anywhere, {
      handle = function(self)
        for i = 1, 2 do
          caught[i] = select(2, pcall(self.request.recv, self.request, 1))
        end
      end,
    })
    local _client <close> = connect(server)
    server:handle_request()
    assert.are.equal(0, #errors)
    for i = 1, 2 do
      assert.is_true(csock.isinstance(caught[i], csock.timeout))
    end
  end)

  it("lets finish run", function()
    local errors, finished = {}, false
    local server <close> = keeping(TCPServer, 0.01, errors)(anywhere, {
      handle = Echo.handle, finish = function() finished = true end,
    })
    local _client <close> = connect(server)
    server:handle_request()
    assert.is_true(finished)
    assert.are.equal(1, #errors)
  end)

  it("is each request's own", function()
    local errors = {}
    serving(keeping(ThreadingTCPServer, 0.05, errors)(anywhere, Echo),
      function(server)
        local silent <close> = connect(server)
        assert.are.equal("", silent:recv(1))
        local client <close> = connect(server)
        assert.are.equal("a", ask(client, "a"))
        assert.are.equal(1, #errors)
      end)
  end)
end)
