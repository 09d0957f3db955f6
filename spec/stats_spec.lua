-- stats: what a server says it has done: requests and bytes.

require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local core = require "csock.core"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local anywhere, connect = visit.anywhere, visit.connect
local ask, serving = visit.ask, visit.serving

local class = csock.class
local TCPServer = socketserver.TCPServer
local ThreadingTCPServer = socketserver.ThreadingTCPServer
local ThreadingMixIn = socketserver.ThreadingMixIn

local servers = {TCPServer, ThreadingTCPServer}

-- Derived from Server, and says nothing of errors.
local function quiet(Server, members)
  members = members or {}
  members.handle_error = function() end
  return class("Quiet", Server, members)
end

local Double = {handle = function(self)
  local data = self.request:recv(100)
  self.request:sendall(data .. data)
  self.request:recv(100)
end}

-- What the counters of a server say, in this order.
local function counts(server)
  local stats = server.stats
  return {stats.accepted, stats.active, stats.finished, stats.failed}
end

local function bytes(server)
  local stats = server.stats
  return {stats.bytes_in, stats.bytes_out}
end

describe("the stats of a server", function()
  it("are zero when it is new, and say since when", function()
    local before = os.time()
    for _, Server in ipairs(servers) do
      local server <close> = Server(anywhere, Double)
      local stats = server.stats
      assert.is_true(stats.since >= before and stats.since <= os.time())
      stats.since = nil
      assert.are.same({accepted = 0, active = 0, finished = 0, failed = 0,
        bytes_in = 0, bytes_out = 0}, stats)
    end
  end)

  it("are a copy, and cannot be set", function()
    local server <close> = TCPServer(anywhere, Double)
    server.stats.accepted = 100
    assert.are.equal(0, server.stats.accepted)
    assert.matches("read%-only", select(2, pcall(function()
      server.stats = {}
    end)))
  end)

  for _, Server in ipairs(servers) do
    local name = Server.__name

    it("count requests and bytes: " .. name, function()
      serving(Server(anywhere, Double), function(server)
        for _ = 1, 3 do assert.are.equal("abab", ask(server, "ab")) end
        assert.are.same({3, 0, 3, 0}, counts(server))
        assert.are.same({6, 12}, bytes(server))
      end)
    end)

    it("count what fails, with its bytes: " .. name, function()
      serving(quiet(Server)(anywhere, {handle = function(self)
        self.request:recv(1)
        error "no"
      end}), function(server)
        pcall(ask, server, "abc")
        assert.are.same({1, 0, 0, 1}, counts(server))
        assert.are.same({1, 0}, bytes(server))
      end)
    end)

    it("count what was refused as finished: " .. name, function()
      serving(quiet(Server, {verify_request = function() return false end})(
        anywhere, Double), function(server)
        local client <close> = connect(server)
        assert.are.equal("", client:recv(1))
        assert.are.same({1, 0, 1, 0}, counts(server))
      end)
    end)

    it("tell of a request while it runs: " .. name, function()
      serving(Server(anywhere, Double), function(server)
        local client <close> = connect(server)
        client:sendall "abc"
        assert.are.equal("abcabc", client:recv(100))
        assert.are.same({1, 1, 0, 0}, counts(server))
        assert.are.same({3, 6}, bytes(server))
      end)
    end)

    it("can be read in a handler: " .. name, function()
      local seen
      serving(Server(anywhere, {handle = function(self)
        self.request:sendall "x"
        seen = self.server.stats
      end}), function(server)
        ask(server, "")
        assert.are.equal(1, seen.active)
        assert.are.equal(1, seen.bytes_out)
      end)
    end)

    it("can be read in handle_error: " .. name, function()
      local seen
      serving(class("Server", Server, {
        handle_error = function(self) seen = self.stats end,
      })(anywhere, {handle = function() error "no" end}), function(server)
        pcall(ask, server, "")
        assert.are.equal(1, seen.accepted)
        assert.is_true(seen.finished == 0 or seen.active == 0)
        assert.are.same({1, 0, 0, 1}, counts(server))
      end)
    end)
  end

  it("tell of several at once", function()
    serving(ThreadingTCPServer(anywhere, Double), function(server)
      local first <close> = connect(server)
      local second <close> = connect(server)
      first:sendall "a"
      second:sendall "bc"
      assert.are.equal("aa", first:recv(100))
      assert.are.equal("bcbc", second:recv(100))
      assert.are.same({2, 2, 0, 0}, counts(server))
      assert.are.same({3, 6}, bytes(server))
      first:shutdown(csock.SHUT_WR)
      assert.are.equal("", first:recv(1))
      assert.are.same({2, 1, 1, 0}, counts(server))
      assert.are.same({3, 6}, bytes(server))
    end)
  end)

  it("count what is cancelled as failed", function()
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, Double)
      local client <close> = connect(server)
      server:handle_request()
      loop.sleep(0)
      server:cancel_requests()
      assert.are.equal("", client:recv(1))
      assert.are.same({1, 0, 0, 1}, counts(server))
    end)
  end)

  it("count bytes once when a request is closed twice", function()
    local Server = class("Server", TCPServer, {
      shutdown_request = function(self, request)
        self:close_request(request)
        TCPServer.shutdown_request(self, request)
      end,
      handle_error = function(self, request)
        self:close_request(request)
      end,
    })
    local server <close> = Server(anywhere, {handle = function(self)
      self.request:sendall "abc"
      error "no"
    end})
    local client <close> = connect(server)
    server:handle_request()
    assert.are.equal("abc", client:recv(100))
    assert.are.same({0, 3}, bytes(server))
  end)

  it("go on over several times of serving", function()
    local server <close> = TCPServer(anywhere, Double)
    for i = 1, 2 do
      local client <close> = connect(server)
      client:sendall "a"
      client:shutdown(csock.SHUT_WR)
      server:handle_request()
      assert.are.same({i, 0, i, 0}, counts(server))
    end
    assert.are.same({2, 4}, bytes(server))
  end)

  it("count datagrams", function()
    for _, Server in ipairs {socketserver.UDPServer,
      socketserver.ThreadingUDPServer} do
      local server <close> = Server(anywhere, {handle = function(self)
        self.request[2]:sendto(self.request[1] .. "!", self.client_address)
      end})
      local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      client.timeout = 40
      for _ = 1, 2 do
        client:sendto("abc", server.server_address)
        server:handle_request()
        assert.are.equal("abc!", client:recv(100))
      end
      assert.are.same({2, 0, 2, 0}, counts(server))
      assert.are.same({6, 8}, bytes(server))
    end
  end)

  it("count the children of a forking server", function()
    local server <close> = quiet(socketserver.ForkingTCPServer)(anywhere,
      Double)
    local client <close> = connect(server)
    client:sendall "abc"
    client:shutdown(csock.SHUT_WR)
    server:handle_request()
    assert.are.equal("abcabc", client:recv(100))
    server:drain()
    assert.are.same({1, 0, 1, 0}, counts(server))
  end)

  it("bear requests that are no sockets, and a process_request of one's own",
    function()
      local handled = 0
      local Server = class("Server", ThreadingMixIn, TCPServer, {
        get_request = function(self)
          self.socket:accept():close()
          return "a request", "an address"
        end,
        close_request = function() end,
      })
      local server <close> = Server(anywhere, {handle = function(self)
        assert.are.equal("a request", self.request)
        handled = handled + 1
      end})
      connect(server):close()
      server:handle_request()
      assert.are.equal(1, handled)
      assert.are.same({1, 0, 1, 0}, counts(server))
      server.process_request = function(self, request, client_address)
        self:finish_request(request, client_address)
      end
      connect(server):close()
      server:handle_request()
      assert.are.same({2, 0, 2, 0}, counts(server))
    end)
end)

-- What counts -------------------------------------------------------------

describe("bytes are counted", function()
  local traffic, settle = core.socket.traffic, core.socket.settle

  -- f(a, b) on a pair of sockets moves five bytes from a to b.
  local function counted(f, family)
    return function()
      local a, b = csock.socketpair(csock.AF_UNIX, family)
      a.timeout, b.timeout = 40, 40
      f(a, b)
      assert.are.same({0, 5, 5, 0}, {traffic(a), select(2, traffic(a)),
        traffic(b)})
      a:close()
      b:close()
    end
  end

  local function sent(a) a:sendall "hello" end

  it("by sendall and recv", counted(function(a, b)
    sent(a)
    b:recv(10)
  end))

  it("by send, and not by a look", counted(function(a, b)
    a:send "hello"
    b:recv(10, csock.MSG_PEEK)
    b:recv(10)
  end))

  it("by recv of all", counted(function(a, b)
    sent(a)
    b.timeout = nil
    b:recv(5, csock.MSG_WAITALL)
  end))

  it("by recv_into", counted(function(a, b)
    sent(a)
    b:recv_into(csock.buffer(10))
  end))

  it("by recvfrom", counted(function(a, b)
    sent(a)
    b:recvfrom(10)
  end, csock.SOCK_DGRAM))

  it("by recvfrom_into", counted(function(a, b)
    sent(a)
    b:recvfrom_into(csock.buffer(10))
  end, csock.SOCK_DGRAM))

  it("by sendmsg and recvmsg", counted(function(a, b)
    a:sendmsg {"he", "llo"}
    b:recvmsg(10)
  end))

  it("by recvmsg_into", counted(function(a, b)
    sent(a)
    b:recvmsg_into {csock.buffer(3), csock.buffer(3)}
  end))

  it("by files: counts, and what is not read yet", counted(function(a, b)
    local out <close> = a:makefile "w"
    local file <close> = b:makefile()
    out:write "hello"
    out:flush()
    file:read(1)
  end))

  it("by files: unbuffered", counted(function(a, b)
    local out <close> = a:makefile("w", 0)
    local file <close> = b:makefile("r", 0)
    out:write "he\nlo"
    file:readline()
    file:read(1)
    file:readinto(csock.buffer(1))
  end))

  it("by sendfile", counted(function(a, b)
    local file <close> = assert(io.tmpfile())
    file:write "hello"
    file:flush()
    a:sendfile(file, 0)
    b:recv(10)
  end))

  it("by sendfile that reads", counted(function(a, b)
    local pieces = {"he", "llo"}
    a:sendfile {read = function() return table.remove(pieces, 1) or "" end}
    b:recv(10)
  end))

  it("until they are taken", function()
    local a, b = csock.socketpair()
    sent(a)
    assert.are.same({0, 5}, {settle(a)})
    assert.are.same({0, 0}, {settle(a)})
    sent(a)
    a:close()
    assert.are.same({0, 5}, {traffic(a)})
    b:close()
    assert.are.same({}, {traffic "no socket"})
    assert.are.same({}, {settle {}})
  end)
end)

describe("the end of a request", function()
  it("is told to the client, also if a file was left open", function()
    local kept
    local server <close> = TCPServer(anywhere, {handle = function(self)
      kept = self.request:makefile "rw"
      kept:write "bye"
      kept:flush()
    end})
    local client <close> = connect(server)
    server:handle_request()
    assert.are.equal("bye", client:recv(100))
    assert.are.equal("", client:recv(100))
    kept:close()
  end)

  it("spares a connection that was kept", function()
    local kept
    local server <close> = class("Server", TCPServer, {
      shutdown_request = function(_, request) kept = request end,
    })(anywhere, {handle = function() end})
    local client <close> = connect(server)
    server:handle_request()
    kept:sendall "still open"
    assert.are.equal("still open", client:recv(100))
    kept:close()
  end)
end)
