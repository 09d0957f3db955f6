-- server: BaseServer, TCPServer, UDPServer, UnixStreamServer and
-- UnixDatagramServer: classes and attributes, the hooks and their order, how
-- serving begins and ends, signals, bad clients, other programs' clients.
-- Not here: handlers (handler_spec), requests side by side (mixin_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"
local closing, read_all = helper.closing, helper.read_all
local failure, refused = helper.failure, helper.refused

local class = csock.class
local BaseServer = socketserver.BaseServer
local TCPServer, UDPServer = socketserver.TCPServer, socketserver.UDPServer
local UnixStreamServer = socketserver.UnixStreamServer
local UnixDatagramServer = socketserver.UnixDatagramServer

-- Tools -------------------------------------------------------------------

local anywhere, connect = visit.anywhere, visit.connect
local ask, ask_datagram = visit.ask, visit.ask_datagram
local serving = visit.serving

-- Answers what a client says, in capitals, until the client has finished.
local Upper = class("Upper", socketserver.BaseRequestHandler, {
  handle = function(self)
    repeat
      local data = self.request:recv(4096)
      self.request:sendall(data:upper())
    until data == ""
  end,
})

-- The same for one datagram.
local UpperDatagram = class("UpperDatagram", socketserver.BaseRequestHandler, {
  handle = function(self)
    local data, sock = self.request[1], self.request[2]
    sock:sendto(data:upper(), self.client_address)
  end,
})

local Nothing = {handle = function() end}
local Failing = {handle = function() error "no" end}

local hooks = {
  "server_bind", "server_activate", "get_request", "verify_request",
  "process_request", "finish_request", "shutdown_request", "close_request",
  "handle_timeout", "handle_error", "server_close",
}

-- A class derived from Server that notes which hooks are called, and does in
-- them what `body` says instead of what Server does.
local function noting(Server, log, body)
  local members = {}
  for _, hook in ipairs(hooks) do
    members[hook] = function(self, ...)
      log[#log + 1] = hook
      return (body and body[hook] or Server[hook])(self, ...)
    end
  end
  return class("Noting", Server, members)
end

local function noting_handler(log, handle)
  local members = {}
  for _, name in ipairs {"setup", "handle", "finish"} do
    members[name] = function(self)
      log[#log + 1] = name
      if name == "handle" and handle then handle(self) end
    end
  end
  return class("NotingHandler", socketserver.BaseRequestHandler, members)
end

local function words(list) return table.concat(list, " ") end

-- A file with a program that knows csock; its name.
local function program(text)
  local name = helper.tmpdir() .. "/program.lua"
  local file = assert(io.open(name, "w"))
  file:write([[
    local csock = require "csock"
    local loop, class = csock.loop, csock.class
    local socketserver = require "csock.socketserver"
    io.stdout:setvbuf "line"
  ]], text)
  file:close()
  return name
end

-- Starts it, or a program of examples/, in a Lua of its own; `before` is shell
-- code that prepares it.  It prints "...:port" first.
local function start(name, arguments, before)
  local command = helper.lua .. " " .. name .. " " .. (arguments or "") ..
    " 2>&1"
  if before then
    command = "sh -c " .. helper.quote(before .. "; exec env " .. command)
  end
  local process = helper.spawn_process(command)
  local line = process:read "l"
  process.port = tonumber(line and line:match ":(%d+)$")
  assert.is_truthy(process.port, line)
  process.server_address = {"127.0.0.1", process.port}
  process.address_family = csock.AF_INET
  return process
end

-- How many descriptors a child may open at most.
local function most_descriptors()
  local pipe <close> = assert(io.popen "ulimit -Hn")
  return pipe:read "n" or math.maxinteger
end

-- Classes -----------------------------------------------------------------

describe("the classes", function()
  local function order(cls)
    local names = {}
    for i, base in ipairs(cls.__mro) do names[i] = base.__name end
    return words(names)
  end

  it("derive as documented", function()
    assert.are.equal("BaseServer object", order(BaseServer))
    assert.are.equal("TCPServer BaseServer object", order(TCPServer))
    assert.are.equal("UDPServer TCPServer BaseServer object", order(UDPServer))
    assert.are.equal("UnixStreamServer TCPServer BaseServer object",
      order(UnixStreamServer))
    assert.are.equal("UnixDatagramServer UDPServer TCPServer BaseServer object",
      order(UnixDatagramServer))
  end)

  it("are what isinstance says", function()
    local server <close> = UnixDatagramServer("", Nothing, false)
    assert.is_true(class.isinstance(server, UnixDatagramServer))
    assert.is_true(class.isinstance(server, UDPServer))
    assert.is_true(class.isinstance(server, TCPServer))
    assert.is_true(class.isinstance(server, BaseServer))
    assert.is_false(class.isinstance(server, UnixStreamServer))
  end)

  it("are all that the module has, by their names", function()
    for name, value in pairs(socketserver) do
      assert.is_true(class.isinstance(value, class.type), name)
      assert.are.equal(name, value.__name)
      assert.are.equal("csock.socketserver", value.__module)
    end
  end)

  it("are documented", function()
    for name, value in pairs(socketserver) do
      if not name:find "^%u%l+%u.*Server" then
        assert.are.equal("string", type(value.__doc), name)
      end
    end
  end)

  it("have the attributes of Python", function()
    assert.is_nil(BaseServer.timeout)
    assert.are.equal(csock.AF_INET, TCPServer.address_family)
    assert.are.equal(csock.SOCK_STREAM, TCPServer.socket_type)
    assert.is_false(TCPServer.allow_reuse_port)
    assert.are.equal(csock.SOCK_DGRAM, UDPServer.socket_type)
    assert.is_false(UDPServer.allow_reuse_address)
    assert.is_false(UDPServer.allow_reuse_port)
    assert.are.equal(8192, UDPServer.max_packet_size)
    assert.are.equal(csock.AF_UNIX, UnixStreamServer.address_family)
    assert.are.equal(csock.SOCK_STREAM, UnixStreamServer.socket_type)
    assert.are.equal(csock.AF_UNIX, UnixDatagramServer.address_family)
    assert.are.equal(csock.SOCK_DGRAM, UnixDatagramServer.socket_type)
  end)

  it("have better defaults where Python's are old", function()
    assert.are.equal(csock.SOMAXCONN, TCPServer.request_queue_size)
    assert.is_true(TCPServer.allow_reuse_address)
    assert.is_true(BaseServer.handle_signals)
  end)

  it("take attributes from a derived class", function()
    local Server = class("Server", TCPServer, {
      address_family = csock.AF_UNIX,
      socket_type = csock.SOCK_SEQPACKET,
      allow_reuse_address = false,
    })
    local server <close> = Server(helper.tmpdir() .. "/socket", Nothing)
    assert.are.equal(csock.AF_UNIX, server.socket.family)
    assert.are.equal(csock.SOCK_SEQPACKET, server.socket.type)
  end)

  it("serve IPv6 with address_family", function()
    if not pcall(function()
      local sock <close> = csock.socket(csock.AF_INET6)
      sock:bind {"::1", 0}
    end) then pending "no IPv6 here" end
    local Server = class("Server", TCPServer, {address_family = csock.AF_INET6})
    assert.are.equal("SIX", serving(Server({"::1", 0}, Upper), function(server)
      return ask(server, "six")
    end))
  end)

  it("set SO_REUSEADDR by allow_reuse_address", function()
    for _, flag in ipairs {true, false} do
      local Server = class("Server", TCPServer, {allow_reuse_address = flag})
      local server <close> = Server(anywhere, Nothing)
      assert.are.equal(flag, server.socket.reuseaddr)
    end
  end)

  it("give TCP_NODELAY to connections by nodelay", function()
    for _, flag in ipairs {true, false} do
      local Server = class("Server", TCPServer, {nodelay = flag})
      local server <close> = Server(anywhere, Nothing)
      local _client <close> = connect(server)
      local request <close> = server:get_request()
      assert.are.equal(flag, request.nodelay)
    end
    assert.is_true(TCPServer.nodelay)
  end)

  it("leave the listener that they are given as it is", function()
    local listener = csock.create_server(anywhere)
    local server <close> = TCPServer(listener, Nothing)
    local _client <close> = connect(server)
    local request <close> = server:get_request()
    assert.is_false(request.nodelay)
  end)

  it("set SO_REUSEPORT by allow_reuse_port", function()
    local Server = class("Server", TCPServer, {allow_reuse_port = true})
    local first <close> = Server(anywhere, Nothing)
    local second <close> = Server(first.server_address, Nothing)
    assert.are.equal(first.server_address.port, second.server_address.port)
  end)
end)

describe("a new server", function()
  it("is bound, and says where", function()
    local server <close> = TCPServer(anywhere, Nothing)
    assert.are.equal(server.socket:getsockname(), server.server_address)
    assert.is_true(server.server_address.port > 0)
  end)

  it("listens", function()
    local server <close> = TCPServer(anywhere, Nothing)
    local _client <close> = connect(server)
  end)

  it("has its handler class and its socket", function()
    local server <close> = TCPServer(anywhere, Upper)
    assert.are.equal(Upper, server.RequestHandlerClass)
    assert.is_true(class.isinstance(server.socket, csock.socket))
    assert.are.equal(server.socket:fileno(), server:fileno())
  end)

  it("looks names up", function()
    local server <close> = TCPServer({"localhost", 0}, Nothing)
    assert.is_true(server.server_address.port > 0)
  end)

  it("is neither bound nor listening with bind_and_activate false", function()
    local log = {}
    local server <close> = noting(TCPServer, log)(anywhere, Nothing, false)
    assert.are.same({}, log)
    assert.are.equal(anywhere, server.server_address)
    server:server_bind()
    server:server_activate()
    local _client <close> = connect(server)
  end)

  it("is bound and listening with bind_and_activate nil or true", function()
    for _, flag in ipairs {true, "yes"} do
      local server <close> = TCPServer(anywhere, Nothing, flag)
      local _client <close> = connect(server)
    end
    local server <close> = TCPServer(anywhere, Nothing, nil)
    local _client <close> = connect(server)
  end)

  it("binds first, then listens", function()
    local log = {}
    local _server <close> = noting(TCPServer, log)(anywhere, Nothing)
    assert.are.equal("server_bind server_activate", words(log))
  end)

  it("does not listen for datagrams", function()
    local server <close> = UDPServer(anywhere, Nothing)
    assert.is_true(server.server_address.port > 0)
    assert.is_falsy(server.socket.acceptconn)
  end)

  it("raises what bind says", function()
    local server <close> = TCPServer(anywhere, Nothing)
    local err = refused("EADDRINUSE", TCPServer, server.server_address, Nothing)
    assert.are.equal("bind", err.op)
  end)

  it("is closed, by its hook, when it cannot bind", function()
    local log = {}
    local first <close> = TCPServer(anywhere, Nothing)
    refused("EADDRINUSE", noting(TCPServer, log), first.server_address, Nothing)
    assert.are.equal("server_bind server_close", words(log))
  end)

  it("is closed, by its hook, when it cannot listen", function()
    local log = {}
    local err = failure(noting(TCPServer, log, {
      server_activate = function() error("no", 0) end,
    }), anywhere, Nothing)
    assert.are.equal("no", err)
    assert.are.equal("server_bind server_activate server_close", words(log))
  end)

  it("leaves no descriptor when it cannot bind", function()
    local first <close> = TCPServer(anywhere, Nothing)
    local _, before = helper.descriptors()
    for _ = 1, 100 do
      pcall(TCPServer, first.server_address, Nothing)
    end
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("leaves no descriptor for a bad port", function()
    local _, before = helper.descriptors()
    for _, port in ipairs {-1, 65536, 1 << 40, 1.5} do
      assert.is_string(failure(TCPServer, {"127.0.0.1", port}, Nothing))
    end
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("leaves no descriptor for an address of the wrong type", function()
    local _, before = helper.descriptors()
    for _, address in ipairs {42, "127.0.0.1", {}, true} do
      failure(TCPServer, address, Nothing)
    end
    failure(TCPServer, nil, Nothing)
    failure(UnixStreamServer, {"127.0.0.1", 0}, Nothing)
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("leaves no descriptor for an unknown host", function()
    local _, before = helper.descriptors()
    local err = failure(TCPServer, {"no.such.host.invalid", 0}, Nothing)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("says which path is taken", function()
    local path = helper.tmpdir() .. "/socket"
    local _server <close> = UnixStreamServer(path, Nothing)
    local err = refused("EADDRINUSE", UnixStreamServer, path, Nothing)
    assert.are.equal(path, err.address)
  end)
end)

-- Hooks -------------------------------------------------------------------

describe("the order of calls is Python's", function()
  -- What is called after one client has come, and then the server is closed.
  local function calls(body, handle)
    local log = {}
    local server = noting(TCPServer, log, body)(anywhere,
      noting_handler(log, handle))
    local client <close> = connect(server)
    server:handle_request()
    server:server_close()
    assert.are.equal("", client:recv(1))
    return words(log)
  end

  it("for a request that is answered", function()
    assert.are.equal("server_bind server_activate get_request " ..
      "verify_request process_request finish_request setup handle finish " ..
      "shutdown_request close_request server_close", calls())
  end)

  it("for a request that is refused", function()
    assert.are.equal("server_bind server_activate get_request " ..
      "verify_request shutdown_request close_request server_close",
      calls {verify_request = function() return false end})
  end)

  it("for a request whose handler fails", function()
    assert.are.equal("server_bind server_activate get_request " ..
      "verify_request process_request finish_request setup handle finish " ..
      "handle_error shutdown_request close_request server_close",
      calls({handle_error = function() end}, function() error "no" end))
  end)

  it("for no request", function()
    local log = {}
    local server = noting(TCPServer, log)(anywhere, Nothing)
    server.timeout = 0
    server:handle_request()
    server:server_close()
    assert.are.equal("server_bind server_activate handle_timeout server_close",
      words(log))
  end)

  it("for a datagram", function()
    local log = {}
    local server = noting(UDPServer, log)(anywhere, noting_handler(log))
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    client:sendto("x", server.server_address)
    server:handle_request()
    server:server_close()
    assert.are.equal("server_bind server_activate get_request " ..
      "verify_request process_request finish_request setup handle finish " ..
      "shutdown_request close_request server_close", words(log))
  end)

  it("in serve_forever too", function()
    local log = {}
    local Server = noting(TCPServer, log)
    function Server:service_actions()
      log[#log + 1] = "service_actions"
      if #log > 10 then self:shutdown() end
    end
    local server = Server(anywhere, noting_handler(log))
    local _client <close> = connect(server)
    server:serve_forever(1000)
    server:server_close()
    assert.are.equal("server_bind server_activate get_request " ..
      "verify_request process_request finish_request setup handle finish " ..
      "shutdown_request close_request service_actions server_close",
      words(log))
  end)
end)

describe("a hook can be overridden:", function()
  -- What a client gets from a server of a class with this body.
  local function asked(body, handler)
    local Server = class("Server", TCPServer, body)
    return serving(Server(anywhere, handler or Upper), function(server)
      return ask(server, "words")
    end)
  end

  it("server_bind", function()
    assert.are.equal("WORDS", asked {server_bind = function(self)
      self.socket:bind {"127.0.0.1", 0}
      self.server_address = self.socket:getsockname()
    end})
  end)

  it("server_activate", function()
    assert.are.equal("WORDS", asked {server_activate = function(self)
      self.socket:listen(1)
    end})
  end)

  it("get_request", function()
    assert.are.equal("changed", asked({get_request = function(self)
      local request = self.socket:accept()
      return request, "changed"
    end}, {handle = function(self)
      self.request:recv(100)
      self.request:sendall(self.client_address)
    end}))
  end)

  it("get_request, which may wrap the connection", function()
    local Counting = class("Counting", csock.socket, {
      sendall = function(self, data)
        return csock.socket.sendall(self, #data .. " " .. data)
      end,
    })
    assert.are.equal("5 WORDS0 ", asked {get_request = function(self)
      local request, address = self.socket:accept()
      return Counting(nil, nil, nil, request:detach()), address
    end})
  end)

  it("verify_request, which gets request and address", function()
    local seen
    asked {verify_request = function(_, request, address)
      seen = {request:getpeername(), address}
      return true
    end}
    assert.are.equal(seen[1], seen[2])
  end)

  it("verify_request, which may refuse", function()
    local Server = class("Server", TCPServer, {
      verify_request = function(self)
        self.n = (self.n or 0) + 1
        return self.n > 1
      end,
    })
    serving(Server(anywhere, Upper), function(server)
      local refused_one <close> = connect(server)
      assert.are.equal("", refused_one:recv(1))
      assert.are.equal("WORDS", ask(server, "words"))
    end)
  end)

  it("verify_request, for which nil is no", function()
    local Server = class("Server", TCPServer, {verify_request = function() end})
    serving(Server(anywhere, Upper), function(server)
      local client <close> = connect(server)
      assert.are.equal("", client:recv(1))
    end)
  end)

  it("process_request", function()
    assert.are.equal("processed", asked {
      process_request = function(self, request)
        request:recv(100)
        request:sendall "processed"
        self:shutdown_request(request)
      end,
    })
  end)

  it("finish_request, which may make any handler", function()
    assert.are.equal("answer for words", asked {
      finish_request = function(self, request, address)
        assert.are.equal(request:getpeername(), address)
        assert.are.equal(Upper, self.RequestHandlerClass)
        request:sendall("answer for " .. request:recv(100))
      end,
    })
  end)

  it("shutdown_request, which may say good-bye", function()
    assert.are.equal("WORDSbye", asked {
      shutdown_request = function(self, request)
        request:sendall "bye"
        self:close_request(request)
      end,
    })
  end)

  it("close_request, which may keep the connection", function()
    local kept
    local Server = class("Server", TCPServer, {
      close_request = function(_, request) kept = request end,
    })
    local server <close> = Server(anywhere, Nothing)
    local client <close> = connect(server)
    server:handle_request()
    assert.is_false(kept.closed)
    client:sendall "still heard"
    assert.are.equal("still heard", kept:recv(100))
    kept:close()
  end)

  it("server_close", function()
    local log = {}
    local server = noting(TCPServer, log)(anywhere, Nothing)
    do
      local _closing <close> = server
    end
    assert.are.equal("server_bind server_activate server_close", words(log))
    assert.is_true(server.socket.closed)
  end)

  it("accept_error, which gets the error of get_request", function()
    local seen = {}
    local Server = class("Server", TCPServer, {
      get_request = function(self)
        local request = self.socket:accept()
        if #seen > 0 then return request, "address" end
        request:close()
        error("no", 0)
      end,
      accept_error = function(_, err) seen[#seen + 1] = err end,
    })
    serving(Server(anywhere, Upper), function(server)
      local client <close> = connect(server)
      assert.are.equal("", client:recv(1))
      assert.are.equal("WORDS", ask(server, "words"))
    end)
    assert.are.same({"no"}, seen)
  end)

  it("handle, which may shut the server down before it waits again", function()
    -- with 64 clients its task has just let the others run
    for count = 60, 68 do
      local server <close> = socketserver.ThreadingTCPServer(anywhere, {
        handle = function(self) self.server:shutdown() end,
      })
      local clients = {}
      for i = 1, count do clients[i] = connect(server) end
      local _clients <close> = helper.closer(table.unpack(clients))
      server:serve_forever()
    end
  end)

  it("accept_error, which hears nothing of a shutdown", function()
    local seen = {}
    local Server = class("Server", TCPServer, {
      accept_error = function(_, err) seen[#seen + 1] = err end,
    })
    serving(Server(anywhere, Upper), function(server)
      assert.are.equal("WORDS", ask(server, "words"))
      loop.sleep(0) -- it waits for the next client
    end)
    assert.are.same({}, seen)
  end)

  it("get_request, only when there is one, of a listener that never waits",
    function()
      local calls, errors = 0, 0
      local Server = class("Server", TCPServer, {
        accept_error = function() errors = errors + 1 end,
      })
      local Counting = class("Counting", Server)
      function Counting:get_request()
        calls = calls + 1
        return class.super(Counting, self):get_request()
      end
      for _, Kind in ipairs {Server, Counting} do
        local server = Kind(anywhere, Upper)
        server.socket.blocking = false
        serving(server, function()
          for _ = 1, 20 do loop.sleep(0) end
          assert.are.equal("WORDS", ask(server, "words"))
        end)
      end
      assert.are.same({1, 0}, {calls, errors})
      local changing = Server(anywhere, Upper)
      serving(changing, function()
        loop.sleep(0)
        changing.socket.blocking = false
        for _ = 1, 3 do
          assert.are.equal("WORDS", ask(changing, "words"))
          for _ = 1, 20 do loop.sleep(0) end
        end
      end)
      assert.are.equal(0, errors)
    end)

  it("all, in a server that has no socket but a pair's end", function()
    local ours, theirs = csock.socketpair()
    local Server = class("Server", BaseServer, {
      __init = function(self, handler)
        BaseServer.__init(self, "nowhere", handler)
        self.socket = ours
      end,
      get_request = function(self)
        return self.socket:recv(100), "somebody"
      end,
      server_close = function(self) self.socket:close() end,
    })
    local seen
    do
      local server <close> = Server {handle = function(self)
        seen = {self.request, self.client_address}
      end}
      theirs:send "request"
      server:handle_request()
    end
    theirs:close()
    assert.are.same({"request", "somebody"}, seen)
    assert.is_true(ours.closed)
  end)
end)

describe("an error", function()
  it("in verify_request goes to handle_error", function()
    local seen
    local Server = class("Server", TCPServer, {
      verify_request = function() error("no", 0) end,
      handle_error = function(_, _, _, err) seen = err end,
    })
    local server <close> = Server(anywhere, Nothing)
    local client <close> = connect(server)
    server:handle_request()
    assert.are.equal("no", seen)
    assert.are.equal("", client:recv(1))
  end)

  it("in process_request goes to handle_error", function()
    local seen
    local Server = class("Server", TCPServer, {
      process_request = function() error("no", 0) end,
      handle_error = function(_, _, _, err) seen = err end,
    })
    local server <close> = Server(anywhere, Nothing)
    local client <close> = connect(server)
    server:handle_request()
    assert.are.equal("no", seen)
    assert.are.equal("", client:recv(1))
  end)

  it("in handle_error leaves serve_forever, as in Python", function()
    local Server = class("Server", TCPServer, {
      handle_error = function() error("worse", 0) end,
    })
    local server <close> = Server(anywhere, Failing)
    local _client <close> = connect(server)
    assert.are.equal("worse", failure(server.serve_forever, server))
  end)

  it("in handle_error leaves no request open", function()
    local Server = class("Server", TCPServer, {
      handle_error = function() error("worse", 0) end,
    })
    local server <close> = Server(anywhere, Failing)
    local client <close> = connect(server)
    pcall(server.serve_forever, server)
    assert.are.equal("", client:recv(1))
  end)

  it("in service_actions leaves serve_forever", function()
    local Server = class("Server", TCPServer, {
      service_actions = function() error("no", 0) end,
    })
    local server <close> = Server(anywhere, Nothing)
    assert.are.equal("no", failure(server.serve_forever, server, 0.001))
  end)

  it("in service_actions does not keep the server from serving", function()
    local Server = class("Server", TCPServer, {
      service_actions = function(self)
        self.n = (self.n or 0) + 1
        if self.n == 1 then error("no", 0) end
      end,
    })
    local server = Server(anywhere, Upper)
    pcall(server.serve_forever, server, 0.001)
    assert.are.equal("AGAIN", serving(server, function()
      return ask(server, "again")
    end))
  end)

  it("in handle_timeout leaves handle_request", function()
    local Server = class("Server", TCPServer, {
      timeout = 0, handle_timeout = function() error("no", 0) end,
    })
    local server <close> = Server(anywhere, Nothing)
    assert.are.equal("no", failure(server.handle_request, server))
  end)

  it("in get_request leaves serve_forever when it is no OSError", function()
    local Server = class("Server", TCPServer, {
      get_request = function() error("no", 0) end,
    })
    local server <close> = Server(anywhere, Nothing)
    local _client <close> = connect(server)
    assert.are.equal("no", failure(server.serve_forever, server))
  end)

  for _, code in ipairs {"EAGAIN", "ECONNABORTED", "ECONNRESET", "EPIPE",
    "ETIMEDOUT", "EPROTO", "ENOTCONN"} do
    it("in get_request ends no serving, as in Python: " .. code, function()
      local Server = class("Server", TCPServer, {
        get_request = function(self)
          local request, address = self.socket:accept()
          self.n = (self.n or 0) + 1
          if self.n > 1 then return request, address end
          request:close()
          error(csock.OSError(csock[code], "no"))
        end,
      })
      serving(Server(anywhere, Upper), function(server)
        local client <close> = connect(server)
        assert.are.equal("", client:recv(1))
        assert.are.equal("FINE", ask(server, "fine"))
      end)
    end)
  end

  it("of a listening socket that was closed ends the serving", function()
    local server <close> = TCPServer(anywhere, Nothing)
    server.socket:close()
    refused("EBADF", server.serve_forever, server)
  end)

  it("of a socket that does not listen ends the serving", function()
    local server <close> = TCPServer(anywhere, Nothing, false)
    server:server_bind()
    refused("EINVAL", server.serve_forever, server)
  end)
end)

-- Serving -----------------------------------------------------------------

describe("serve_forever", function()
  for _, Server in ipairs {TCPServer, UnixStreamServer} do
    it("answers one client after the other: " .. Server.__name, function()
      local address = Server == TCPServer and anywhere or
        helper.tmpdir() .. "/socket"
      serving(Server(address, Upper), function(server)
        for i = 1, 3 do
          assert.are.equal("CLIENT " .. i, ask(server, "client " .. i))
        end
      end)
    end)
  end

  for _, Server in ipairs {UDPServer, UnixDatagramServer} do
    it("answers one datagram after the other: " .. Server.__name, function()
      local address = Server == UDPServer and anywhere or
        helper.tmpdir() .. "/socket"
      serving(Server(address, UpperDatagram), function(server)
        for i = 1, 3 do
          assert.are.equal("CLIENT " .. i, ask_datagram(server, "client " .. i))
        end
      end)
    end)
  end

  it("serves one request at a time", function()
    local running, most = 0, 0
    local handler = {handle = function(self)
      running = running + 1
      most = math.max(most, running)
      self.request:recv(1)
      loop.sleep(0)
      running = running - 1
    end}
    serving(TCPServer(anywhere, handler), function(server)
      local tasks = {}
      for i = 1, 3 do tasks[i] = loop.spawn(ask, server, "x") end
      for i = 1, 3 do tasks[i]:join() end
    end)
    assert.are.equal(1, most)
  end)

  it("outside of tasks runs the loop itself", function()
    local server <close> = TCPServer(anywhere, {handle = function(self)
      self.request:sendall(loop.poller())
      self.server:shutdown()
    end})
    local client <close> = connect(server)
    server:serve_forever()
    assert.is_nil(loop.poller())
    assert.is_true(#client:recv(100) > 0)
  end)

  it("lets other tasks of its loop run", function()
    local turns = 0
    serving(TCPServer(anywhere, Nothing), function()
      for _ = 1, 3 do
        loop.sleep(0)
        turns = turns + 1
      end
    end)
    assert.are.equal(3, turns)
  end)

  it("may be called for several servers in one loop", function()
    loop.run(function()
      local servers, tasks = {}, {}
      local _all <close> = closing(function()
        for i = 1, #servers do servers[i]:server_close() end
      end)
      for i = 1, 3 do
        servers[i] = TCPServer(anywhere, {handle = function(self)
          self.request:sendall("server " .. i)
        end})
        tasks[i] = loop.spawn(servers[i].serve_forever, servers[i])
      end
      for i = 3, 1, -1 do
        local client <close> = connect(servers[i])
        assert.are.equal("server " .. i, read_all(client))
        servers[i]:shutdown()
        tasks[i]:join()
      end
    end)
  end)

  it("refuses to be called twice at once", function()
    serving(TCPServer(anywhere, Nothing), function(server)
      assert.matches("serves already", failure(server.serve_forever, server))
      assert.matches("server_spec%.lua:%d+: ", failure(function()
        server:serve_forever()
      end))
    end)
  end)

  it("goes on after it was refused", function()
    serving(TCPServer(anywhere, Upper), function(server)
      pcall(server.serve_forever, server)
      assert.are.equal("STILL", ask(server, "still"))
    end)
  end)

  it("may be called again after shutdown", function()
    loop.run(function()
      local server <close> = TCPServer(anywhere, Upper)
      for i = 1, 3 do
        local task = loop.spawn(server.serve_forever, server)
        assert.are.equal("ROUND " .. i, ask(server, "round " .. i))
        server:shutdown()
        task:join()
      end
    end)
  end)

  it("may be called again in another loop", function()
    local server = TCPServer(anywhere, Upper)
    local _closing <close> = server
    for _ = 1, 2 do
      loop.run(function()
        local task = loop.spawn(server.serve_forever, server)
        assert.are.equal("X", ask(server, "x"))
        server:shutdown()
        task:join()
      end)
    end
  end)

  it("may be called again after its task was cancelled", function()
    loop.run(function()
      local server <close> = TCPServer(anywhere, Upper)
      local task = loop.spawn(server.serve_forever, server)
      assert.are.equal("X", ask(server, "x"))
      task:cancel()
      pcall(task.join, task)
      assert.are.equal("cancelled", task:status())
      task = loop.spawn(server.serve_forever, server)
      assert.are.equal("Y", ask(server, "y"))
      server:shutdown()
      task:join()
    end)
  end)

  it("is ended by loop.timeout", function()
    local server <close> = TCPServer(anywhere, Nothing)
    loop.run(function()
      refused("ETIMEDOUT", loop.timeout, 0.001, server.serve_forever, server)
    end)
  end)

  it("is ended by loop.timeout outside of tasks", function()
    local Server = class("Server", TCPServer, {
      service_actions = function(self) -- not for ever, if all goes wrong
        self.n = (self.n or 0) + 1
        if self.n == 100 then self:shutdown() end
      end,
    })
    local server <close> = Server(anywhere, Nothing)
    refused("ETIMEDOUT", loop.timeout, 0.001, server.serve_forever, server,
      0.001)
  end)

  it("calls service_actions every poll_interval seconds", function()
    local n = 0
    local Server = class("Server", TCPServer, {service_actions = function(self)
      n = n + 1
      if n == 3 then self:shutdown() end
    end})
    local server <close> = Server(anywhere, Nothing)
    local before = loop.now()
    server:serve_forever(0.005)
    assert.are.equal(3, n)
    assert.is_true(loop.now() - before >= 0.015)
  end)

  it("calls service_actions after each request", function()
    local n = 0
    local Server = class("Server", TCPServer, {
      service_actions = function() n = n + 1 end,
    })
    serving(Server(anywhere, Upper), function(server)
      for _ = 1, 3 do ask(server, "x") end
      assert.is_true(n >= 2)
    end, 1000)
  end)

  it("does not call service_actions after shutdown, as Python", function()
    local n = 0
    local Server = class("Server", TCPServer, {
      service_actions = function() n = n + 1 end,
    })
    serving(Server(anywhere, Nothing), function(server, task)
      server:shutdown()
      task:join()
    end, 1000)
    assert.are.equal(0, n)
  end)

  it("calls service_actions that were given to the instance", function()
    local server <close> = TCPServer(anywhere, Nothing)
    local n = 0
    function server.service_actions(self)
      n = n + 1
      if n == 2 then self:shutdown() end
    end
    server:serve_forever(0.001)
    assert.are.equal(2, n)
  end)

  it("ignores timeout, as Python", function()
    local Server = class("Server", TCPServer, {
      timeout = 0.001,
      handle_timeout = function() error "not its business" end,
    })
    serving(Server(anywhere, Upper), function(server)
      loop.sleep(0.005)
      assert.are.equal("X", ask(server, "x"))
    end)
  end)

  it("leaves requests that it did not take to the next", function()
    local n = 0
    local server <close> = TCPServer(anywhere, {handle = function(self)
      n = n + 1
      self.server:shutdown()
    end})
    local _first <close> = connect(server)
    local _second <close> = connect(server)
    server:serve_forever()
    assert.are.equal(1, n)
    server:serve_forever()
    assert.are.equal(2, n)
  end)
end)

describe("handle_request", function()
  it("answers one request", function()
    local n = 0
    local server <close> = TCPServer(anywhere, {handle = function()
      n = n + 1
    end})
    local _first <close> = connect(server)
    local _second <close> = connect(server)
    server:handle_request()
    assert.are.equal(1, n)
  end)

  it("waits until one comes", function()
    loop.run(function()
      local server <close> = TCPServer(anywhere, Upper)
      local task = loop.spawn(server.handle_request, server)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      assert.are.equal("X", ask(server, "x"))
      task:join()
    end)
  end)

  local function with(timeout, socket_timeout)
    local n = 0
    local Server = class("Server", TCPServer, {
      timeout = timeout, handle_timeout = function() n = n + 1 end,
    })
    local server <close> = Server(anywhere, Nothing)
    server.socket.timeout = socket_timeout
    local before = loop.now()
    server:handle_request()
    return n, loop.now() - before
  end

  it("calls handle_timeout after timeout seconds", function()
    local n, seconds = with(0.01)
    assert.are.equal(1, n)
    assert.is_true(seconds >= 0.01)
  end)

  it("calls handle_timeout at once when timeout is 0", function()
    assert.are.equal(1, (with(0)))
  end)

  it("takes a request that is there when timeout is 0", function()
    local server <close> = TCPServer(anywhere, Nothing)
    server.timeout = 0
    function server.handle_timeout() error "it is there" end
    local client <close> = connect(server)
    csock.select({server}, {}, {})
    server:handle_request()
    assert.are.equal("", client:recv(1))
  end)

  it("obeys the socket's timeout too", function()
    local n, seconds = with(nil, 0.01)
    assert.are.equal(1, n)
    assert.is_true(seconds >= 0.01)
  end)

  it("obeys the shorter one of both", function()
    assert.are.equal(1, (with(1000, 0.001)))
    assert.are.equal(1, (with(0.001, 1000)))
  end)

  it("does not call handle_timeout when a request comes", function()
    local log = {}
    local server <close> = noting(TCPServer, log)(anywhere, Nothing)
    server.timeout = 1000
    local _client <close> = connect(server)
    server:handle_request()
    assert.is_nil(words(log):find "handle_timeout")
  end)

  it("is no business of shutdown, as in Python", function()
    local log = {}
    local server <close> = noting(TCPServer, log)(anywhere, Nothing)
    server:shutdown()
    local _client <close> = connect(server)
    server:handle_request()
    assert.is_nil(words(log):find "handle_timeout")
    assert.is_truthy(words(log):find "finish_request")
  end)

  it("touches no signals", function()
    local process = start(program [[
      local server <close> = socketserver.TCPServer({"127.0.0.1", 0},
        {handle = print})
      print("port :" .. server.server_address.port)
      server.timeout = 0
      server:handle_request()
      server.timeout = nil
      server:handle_request()
    ]])
    process:kill "TERM"
    local _, how = process:ending()
    assert.are.equal("signal 15", how)
  end)

  it("takes a datagram", function()
    local server <close> = UDPServer(anywhere, UpperDatagram)
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    client.timeout = 40
    client:sendto("x", server.server_address)
    server:handle_request()
    assert.are.equal("X", client:recv(10))
  end)
end)

-- The end -----------------------------------------------------------------

describe("shutdown", function()
  it("from another task ends serve_forever", function()
    loop.run(function()
      local server <close> = TCPServer(anywhere, Nothing)
      local task = loop.spawn(server.serve_forever, server)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      server:shutdown()
      task:join()
    end)
  end)

  it("does not wait for poll_interval", function()
    loop.run(function()
      local Server = class("Server", TCPServer, {
        service_actions = function() end,
      })
      local server <close> = Server(anywhere, Nothing)
      local task = loop.spawn(server.serve_forever, server, 1000)
      loop.sleep(0)
      server:shutdown()
      task:join()
    end)
  end)

  it("from a handler ends serve_forever after it", function()
    local server <close> = TCPServer(anywhere, {handle = function(self)
      self.server:shutdown()
      self.request:sendall "answered all the same"
    end})
    local client <close> = connect(server)
    server:serve_forever()
    assert.are.equal("answered all the same", read_all(client))
  end)

  it("from service_actions ends serve_forever", function()
    local Server = class("Server", TCPServer, {
      service_actions = function(self) self:shutdown() end,
    })
    local server <close> = Server(anywhere, Nothing)
    server:serve_forever(0)
  end)

  it("from get_request ends serve_forever", function()
    local Server = class("Server", TCPServer, {
      get_request = function(self)
        self:shutdown()
        return TCPServer.get_request(self)
      end,
    })
    local server <close> = Server(anywhere, Nothing)
    local client <close> = connect(server)
    server:serve_forever()
    assert.are.equal("", client:recv(1))
  end)

  it("before serve_forever lets it return at once, as in Python", function()
    local server <close> = TCPServer(anywhere, Nothing)
    server:shutdown()
    server:serve_forever()
  end)

  it("before serve_forever does not concern the time after that", function()
    local server = TCPServer(anywhere, Upper)
    server:shutdown()
    server:serve_forever()
    assert.are.equal("X", serving(server, function()
      return ask(server, "x")
    end))
  end)

  it("twice is as good as once", function()
    loop.run(function()
      local server <close> = TCPServer(anywhere, Upper)
      local task = loop.spawn(server.serve_forever, server)
      loop.sleep(0)
      server:shutdown()
      server:shutdown()
      task:join()
      task = loop.spawn(server.serve_forever, server)
      assert.are.equal("X", ask(server, "x"))
      server:shutdown()
      task:join()
    end)
  end)

  it("lets the listening socket be", function()
    local server <close> = TCPServer(anywhere, Nothing)
    server:shutdown()
    server:serve_forever()
    assert.is_false(server.socket.closed)
    local _client <close> = connect(server)
  end)

  it("wakes no handler that waits for its client", function()
    local seen
    local handler = {handle = function(self)
      self.request:sendall "begun"
      seen = self.request:recv(100)
    end}
    loop.run(function()
      local server <close> = TCPServer(anywhere, handler)
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = connect(server)
      assert.are.equal("begun", client:recv(100))
      server:shutdown()
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      client:sendall "in peace"
      task:join()
    end)
    assert.are.equal("in peace", seen)
  end)

  it("ends a listener that rests after an exhaustion", function()
    local rests
    local Server = class("Server", TCPServer, {
      get_request = function()
        rests = true
        error(csock.OSError(csock.EMFILE))
      end,
    })
    loop.run(function()
      local server <close> = Server(anywhere, Nothing)
      local task = loop.spawn(server.serve_forever, server)
      local _client <close> = connect(server)
      while not rests do loop.sleep(0) end
      server:shutdown()
      loop.sleep(0)
      assert.are.equal("done", task:status())
    end)
  end)
end)

describe("server_close", function()
  it("closes the socket", function()
    local server = TCPServer(anywhere, Nothing)
    server:server_close()
    assert.is_true(server.socket.closed)
    assert.are.equal(-1, server:fileno())
  end)

  it("twice is as good as once", function()
    local server = TCPServer(anywhere, Nothing)
    server:server_close()
    server:server_close()
  end)

  it("is what the end of a block calls", function()
    local server
    do
      server = TCPServer(anywhere, Nothing)
      local _closing <close> = server
    end
    assert.is_true(server.socket.closed)
  end)

  it("is what an error that leaves the block calls", function()
    local server = TCPServer(anywhere, Nothing)
    pcall(function()
      local _closing <close> = server
      error "no"
    end)
    assert.is_true(server.socket.closed)
  end)

  it("while serving ends serve_forever", function()
    loop.run(function()
      local server = TCPServer(anywhere, Nothing)
      local task = loop.spawn(server.serve_forever, server)
      loop.sleep(0)
      server:server_close()
      task:join()
    end)
  end)

  it("in a handler ends serve_forever after it", function()
    local server = TCPServer(anywhere, {handle = function(self)
      self.server:server_close()
      self.request:sendall "the last one"
    end})
    local client <close> = connect(server)
    server:serve_forever()
    assert.are.equal("the last one", read_all(client))
  end)

  it("of a server that never served, in the collector, leaves nothing",
    function()
      local server = TCPServer(anywhere, Nothing)
      server:server_close()
      assert.are.equal(-1, server.socket:fileno())
    end)
end)

-- Signals -----------------------------------------------------------------

describe("server_ready", function()
  it("is called when signals are heard", function()
    local process = start(program [[
      local Server = csock.class("Server", socketserver.TCPServer)
      function Server:server_ready()
        print("port :" .. self.server_address.port)
        os.execute "kill -TERM $PPID"
      end
      local server <close> = Server({"127.0.0.1", 0}, {handle = print})
      server:serve_forever()
      print "stopped"
    ]])
    local output, how = process:ending()
    assert.are.equal("exit 0", how)
    assert.are.equal("stopped\n", output)
  end)

  it("is called once each time, before the first request", function()
    local log = {}
    local Server = class("Server", TCPServer, {
      server_ready = function() log[#log + 1] = "ready" end,
      handle_timeout = function() log[#log + 1] = "no" end,
    })
    local server <close> = Server(anywhere, {handle = function(self)
      log[#log + 1] = "request"
      if #log % 3 == 0 then self.server:shutdown() end
    end})
    for _ = 1, 2 do
      local _one <close> = connect(server)
      local _two <close> = connect(server)
      server:serve_forever()
    end
    assert.are.equal("ready request request ready request request",
      table.concat(log, " "))
  end)

  it("may shut the server down, and fail", function()
    local Server = class("Server", TCPServer, {
      server_ready = function(self) self:shutdown() end,
    })
    local server <close> = Server(anywhere, Nothing)
    server:serve_forever()
    function Server:server_ready() error("no " .. self.server_address[1], 0) end
    assert.are.equal("no 127.0.0.1", failure(server.serve_forever, server))
  end)
end)

describe("the documented server", function()
  local function ended_by(...)
    local process = start("examples/server.lua", "0 TCPServer")
    assert.are.equal("HELLO", ask(process, "hello"))
    for _, signal in ipairs {...} do process:kill(signal) end
    local output, how = process:ending()
    assert.are.equal("exit 0", how)
    assert.are.equal("127.0.0.1 wrote: hello\nstopped\n", output)
  end

  it("is stopped by SIGTERM", function() ended_by "TERM" end)

  it("is stopped by SIGINT", function()
    ended_by "INT"
  end)

  it("is stopped at once by a second signal, with an idle client", function()
    local process = start("examples/server.lua", "0 ThreadingTCPServer")
    local idle <close> = connect(process)
    assert.are.equal("X", ask(process, "x")) -- it came after the idle one
    process:kill "TERM"
    process:kill "INT"
    local output, how = process:ending()
    assert.are.equal("exit 0", how)
    assert.matches("stopped\n$", output)
    assert.are.equal("", idle:recv(1))
  end)
end)

describe("a signal", function()
  local served = [[
    local server <close> = socketserver.TCPServer({"127.0.0.1", 0}, {
      handle = function(self)
        self.request:sendall "begun"
        self.request:sendall(self.request:recv(100):upper())
      end})
    server.drain_timeout = 0.05
    print("port :" .. server.server_address.port)
    server:serve_forever()
    print("closed", server.socket.closed)
  ]]

  it("closes the server", function()
    local process = start(program(served))
    assert.are.equal("begunX", ask(process, "x"))
    process:kill "TERM"
    local output, how = process:ending()
    assert.are.equal("closed\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("lets the running request finish", function()
    local process = start(program((served:gsub("0%.05", "1000"))))
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    process:kill "TERM"
    client:sendall "finished"
    assert.are.equal("FINISHED", client:recv(100))
    local output, how = process:ending()
    assert.are.equal("closed\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("lets it finish within drain_timeout only", function()
    local process = start(program(served))
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    process:kill "TERM"
    assert.are.equal("", client:recv(100))
    local output, how = process:ending()
    assert.are.equal("closed\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("that follows ends the running request at once", function()
    local process = start(program((served:gsub("0%.05", "1000"))))
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    process:kill "TERM"
    process:kill "INT"
    assert.are.equal("", client:recv(100))
    local output, how = process:ending()
    assert.are.equal("closed\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("ends a handler that computes, at the third time of asking", function()
    local process = start(program [[
      local server <close> = socketserver.TCPServer({"127.0.0.1", 0}, {
        handle = function(self)
          self.request:sendall "begun"
          local latest = loop.now() + 60
          repeat until loop.now() > latest
          print "computed to the end"
        end})
      print("port :" .. server.server_address.port)
      server:serve_forever()
    ]])
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    client.timeout = 0.05
    local over
    repeat -- the system may make one signal of two that come close together
      process:kill "INT"
      over = pcall(client.recv, client, 1)
    until over
    local output, how = process:ending()
    assert.is_nil(output:find "computed to the end")
    assert.are.equal("signal 2", how)
  end)

  it("cuts no sendall short", function()
    local process = start(program [[
      local server <close> = socketserver.TCPServer({"127.0.0.1", 0}, {
        handle = function(self)
          self.request:sendall "begun"
          self.request:sendall(("x"):rep(4000000))
        end})
      print("port :" .. server.server_address.port)
      server:serve_forever()
      print "stopped"
    ]])
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(5))
    process:kill "TERM"
    assert.are.equal(4000000, #read_all(client))
    assert.are.equal("stopped\n", (process:ending()))
  end)

  it("is not csock's when handle_signals is false", function()
    local process = start(program((served:gsub("server%.drain",
      "server.handle_signals = false\n%0"))))
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    process:kill "TERM"
    local output, how = process:ending()
    assert.are.equal("signal 15", how)
    assert.are.equal("", output)
  end)

  it("is not csock's when handle_signals is false: Lua's Ctrl-C", function()
    local process = start(program((served:gsub("server%.drain",
      "server.handle_signals = false\n%0"))))
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    process:kill "INT"
    local output, how = process:ending()
    assert.are.equal("exit 1", how)
    assert.matches("interrupted!", output)
  end)

  it("is again what it was when the serving has ended", function()
    local process = start(program [[
      local server <close> = socketserver.TCPServer({"127.0.0.1", 0},
        {handle = print})
      server:shutdown()
      server:serve_forever()
      print("port :" .. server.server_address.port)
      loop.sleep(1000)
    ]])
    process:kill "TERM"
    local _, how = process:ending()
    assert.are.equal("signal 15", how)
  end)

  it("is again Lua's Ctrl-C when the serving has ended", function()
    local process = start(program [[
      local server <close> = socketserver.TCPServer({"127.0.0.1", 0},
        {handle = print})
      server:shutdown()
      server:serve_forever()
      print(pcall(function()
        print("port :" .. server.server_address.port)
        loop.sleep(1000)
      end))
    ]])
    process:kill "INT"
    local output, how = process:ending()
    assert.matches("interrupted!", output)
    assert.are.equal("exit 0", how)
  end)

  it("is again what it was when the serving has failed", function()
    local process = start(program [[
      local Server = class("Server", socketserver.TCPServer, {
        service_actions = function() error "no" end})
      local server <close> = Server({"127.0.0.1", 0}, {handle = print})
      pcall(server.serve_forever, server, 0)
      print("port :" .. server.server_address.port)
      loop.sleep(1000)
    ]])
    process:kill "TERM"
    local _, how = process:ending()
    assert.are.equal("signal 15", how)
  end)

  it("that is ignored stays ignored", function()
    local process = start(program(served), nil, "trap '' TERM")
    process:kill "TERM"
    local client <close> = connect(process)
    assert.are.equal("begun", client:recv(100))
    client:sendall "still here"
    assert.are.equal("STILL HERE", client:recv(100))
    process:kill "INT"
    local output, how = process:ending()
    assert.are.equal("closed\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("stops all servers of a loop", function()
    local process = start(program [[
      loop.run(function()
        local tasks = {}
        for i = 1, 3 do
          local server = socketserver.TCPServer({"127.0.0.1", 0},
            {handle = print})
          tasks[i] = loop.spawn(function()
            local closing <close> = server
            server:serve_forever()
          end)
          loop.sleep(0)
          if i == 3 then print("port :" .. server.server_address.port) end
        end
        for i = 1, 3 do tasks[i]:join() end
        print "all stopped"
      end)
    ]])
    process:kill "TERM"
    local output, how = process:ending()
    assert.are.equal("all stopped\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("is not kept by one server when another one ends", function()
    local process = start(program [[
      loop.run(function()
        local one <close> = socketserver.TCPServer({"127.0.0.1", 0},
          {handle = print})
        local two <close> = socketserver.TCPServer({"127.0.0.1", 0},
          {handle = print})
        local first = loop.spawn(one.serve_forever, one)
        local second = loop.spawn(two.serve_forever, two)
        loop.sleep(0)
        one:shutdown()
        first:join()
        print("port :" .. two.server_address.port)
        second:join()
        print("stopped", one.socket.closed, two.socket.closed)
      end)
    ]])
    process:kill "TERM"
    local output, how = process:ending()
    assert.are.equal("stopped\tfalse\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)
end)

-- Bad days ----------------------------------------------------------------

describe("a server survives", function()
  it("a hundred clients that reset", function()
    local Server = class("Server", TCPServer, {
      handle_error = function(_, _, _, err)
        if not csock.isinstance(err, csock.ConnectionError) then error(err) end
      end,
    })
    local _, before = helper.descriptors()
    serving(Server(anywhere, Upper), function(server)
      for _ = 1, 100 do
        local client <close> = connect(server)
        client:sendall "x"
        client.linger = 0
      end
      assert.are.equal("FINE", ask(server, "fine"))
    end)
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("a hundred handlers that throw", function()
    local failures = 0
    local Server = class("Server", TCPServer, {
      handle_error = function() failures = failures + 1 end,
    })
    serving(Server(anywhere, {handle = function(self)
      if self.request:recv(100) == "throw" then error "no" end
      self.request:sendall "fine"
    end}), function(server)
      for _ = 1, 100 do
        assert.are.equal("", ask(server, "throw"))
      end
      assert.are.equal("fine", ask(server, "?"))
    end)
    assert.are.equal(100, failures)
  end)

  it("clients that come and say nothing", function()
    serving(TCPServer(anywhere, Upper), function(server)
      for _ = 1, 20 do connect(server):close() end
      assert.are.equal("FINE", ask(server, "fine"))
    end)
  end)

  it("a datagram that cannot be answered", function()
    serving(UDPServer(anywhere, UpperDatagram), function(server)
      local gone = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      gone:sendto("x", server.server_address)
      gone:close()
      assert.are.equal("FINE", ask_datagram(server, "fine"))
    end)
  end)

  it("and keeps nothing of its requests", function()
    local function round(server, n)
      for _ = 1, n do ask(server, "x") end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    serving(TCPServer(anywhere, Upper), function(server)
      round(server, 50)
      local before = round(server, 50)
      local after = round(server, helper.slow and 100 or 500)
      assert.is_true(after - before < 20, after - before .. " KiB more")
    end)
  end)
end)

describe("without descriptors", function()
  local exhausted = [[
    local Server = class("Server", socketserver.ThreadingTCPServer)
    function Server:accept_error(err)
      print("exhausted", loop.now(), err.code)
      return class.super(Server, self):accept_error(err)
    end
    local server <close> = Server({"127.0.0.1", 0}, {
      handle = function(self)
        repeat
          local data = self.request:recv(100)
          self.request:sendall(data:upper())
        until data == ""
      end})
    print("port :" .. server.server_address.port)
    server:serve_forever()
  ]]

  it("a server rests instead of spinning", function()
    local process = start(program(exhausted), nil, "ulimit -n 24")
    local clients = {}
    local _all <close> = closing(function()
      for i = 1, #clients do clients[i]:close() end
    end)
    for i = 1, 30 do clients[i] = connect(process) end
    local times = {}
    for i = 1, 4 do
      local time, code = process:read("l"):match "^exhausted\t(%S+)\t(%u+)$"
      assert.are.equal("EMFILE", code)
      times[i] = tonumber(time)
    end
    assert.is_true(times[4] - times[1] >= 0.03, "it spins")
  end)

  it("a server goes on with the clients it has", function()
    local process = start(program(exhausted), nil, "ulimit -n 24")
    local clients = {}
    local _all <close> = closing(function()
      for i = 1, #clients do clients[i]:close() end
    end)
    for i = 1, 30 do clients[i] = connect(process) end
    assert.matches("^exhausted", process:read "l")
    clients[1]:sendall "first"
    assert.are.equal("FIRST", clients[1]:recv(100))
  end)

  it("a server takes new clients when others have gone", function()
    local process = start(program(exhausted), nil, "ulimit -n 24")
    local clients = {}
    for i = 1, 30 do clients[i] = connect(process) end
    assert.matches("^exhausted", process:read "l")
    for i = 1, 30 do clients[i]:close() end
    assert.are.equal("NEW", ask(process, "new"))
    process:kill "TERM"
    local _, how = process:ending()
    assert.are.equal("exit 0", how)
  end)
end)

-- Other programs ----------------------------------------------------------

describe("the documented server is understood by", function()
  local function need(command)
    if not helper.has(command) then pending(command .. " is not installed") end
  end

  it("Python's socket", function()
    need "python3"
    local process = start("examples/server.lua", "0")
    local client = helper.spawn_process("python3 -c " .. helper.quote [[
import socket, sys
for word in b"one", b"two", "drei \u00fc".encode():
    with socket.create_connection(("localhost", int(sys.argv[1])), 5) as s:
        s.sendall(word)
        print(s.recv(1024).decode())
        assert s.recv(1) == b""
]] .. " " .. process.port)
    assert.are.equal("ONE\nTWO\nDREI ü\n", (client:ending()))
  end)

  it("nc", function()
    need "nc"
    local process = start("examples/server.lua", "0")
    local client = helper.spawn_process("sh -c " .. helper.quote(
      "printf 'hello from nc' | nc -w 5 127.0.0.1 " .. process.port))
    assert.are.equal("HELLO FROM NC", (client:ending()))
  end)

  it("a thousand clients at once", function()
    local n = math.min(helper.slow and 100 or 1000, most_descriptors() - 20)
    local process = start("examples/server.lua", "0 ThreadingTCPServer",
      "ulimit -n $(ulimit -Hn)")
    local clients = helper.spawn_process("sh -c " .. helper.quote(
      "ulimit -n $(ulimit -Hn); exec env " .. helper.lua .. " " ..
      program([[
        local n, port = tonumber(arg[1]), tonumber(arg[2])
        local function ask(sock, i)
          sock:sendall("w" .. i)
          return sock:recv(100) == "W" .. i and sock:recv(100) == ""
        end
        loop.run(function()
          local socks, tasks, right = {}, {}, 0
          for i = 1, n do
            socks[i] = csock.create_connection({"127.0.0.1", port}, 60)
          end
          for i = n, 1, -1 do tasks[i] = loop.spawn(ask, socks[i], i) end
          for i = 1, n do
            if tasks[i]:join() then right = right + 1 end
            socks[i]:close()
          end
          print(right)
        end)
      ]]) .. " " .. n .. " " .. process.port))
    local lines = 0
    while lines < n do
      assert.matches("^127%.0%.0%.1 wrote: w%d+$", process:read "l")
      lines = lines + 1
    end
    assert.are.equal(n .. "\n", (clients:ending()))
    process:kill "TERM"
    local output, how = process:ending()
    assert.are.equal("stopped\n", output)
    assert.are.equal("exit 0", how)
  end)
end)
