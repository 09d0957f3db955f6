-- socketserver: CPython's test_socketserver.py, by its classes and the names of
-- its tests: every server with the same handlers (handlers_shared).
-- Not here: what csock adds, which the specs of server, handler and mixin have.

local helper = require "spec.helper"
local csock = require "csock"
local handlers = require "spec.handlers_shared"
local loop = require "csock.loop"
local process = require "csock.core".process
local socketserver = require "csock.socketserver"
local failure = helper.failure

local class = csock.class
local TCPServer = socketserver.TCPServer
local ThreadingTCPServer = socketserver.ThreadingTCPServer

local TEST_STR = "hello world\n"
local HOST = "127.0.0.1"

local function pickaddr(family)
  if family == csock.AF_INET then return {HOST, 0} end
  return helper.tmpdir() .. "/socket"
end

local function receive_line(sock)
  local pieces = {}
  sock.timeout = 40
  repeat
    local data = sock:recv(100)
    pieces[#pieces + 1] = data
  until data == "" or data:find("\n", 1, true)
  return table.concat(pieces)
end

describe("SocketServerTest", function()
  local function stream_examine(family, address)
    local sock <close> = csock.socket(family, csock.SOCK_STREAM)
    sock:connect(address)
    sock:sendall(TEST_STR)
    assert.are.equal(TEST_STR, receive_line(sock))
  end

  local function dgram_examine(family, address)
    local sock <close> = csock.socket(family, csock.SOCK_DGRAM)
    if family == csock.AF_UNIX then sock:bind(pickaddr(family)) end
    sock:sendto(TEST_STR, address)
    assert.are.equal(TEST_STR, receive_line(sock))
  end

  local function make_server(Server, handler)
    local MyServer = class("MyServer", Server, {
      handle_error = function(self, request, _, err)
        self:close_request(request)
        error(err, 0)
      end,
    })
    local server = MyServer(pickaddr(Server.address_family), handler)
    assert.are.equal(server.socket:getsockname(), server.server_address)
    return server
  end

  local function run_server(Server, handler, examine)
    local server = make_server(Server, handler)
    loop.run(function()
      local task = loop.spawn(server.serve_forever, server, 0.01)
      for _ = 1, 3 do examine(Server.address_family, server.server_address) end
      server:shutdown()
      task:join()
      server:server_close()
    end)
    assert.are.equal(-1, server.socket:fileno())
    if csock.isinstance(server, socketserver.ForkingMixIn) then
      assert.is_nil(next(server.active_children))
    end
  end

  -- A child that is not the server's is not waited for by the server.
  local function run_beside_child(...)
    local child = helper.spawn_process "sh -c 'exit 72'"
    run_server(...)
    local _, how, status = child:wait()
    assert.are.equal("exit 72", how .. " " .. status)
  end

  local function run_stream(name)
    run_beside_child(socketserver[name], handlers.stream, stream_examine)
  end

  local function run_datagram(name)
    run_beside_child(socketserver[name], handlers.datagram, dgram_examine)
  end

  it("test_TCPServer: answers its clients", function()
    run_stream "TCPServer"
  end)

  it("test_ThreadingTCPServer: answers its clients", function()
    run_stream "ThreadingTCPServer"
  end)

  it("test_ForkingTCPServer: answers its clients", function()
    run_stream "ForkingTCPServer"
  end)

  it("test_UnixStreamServer: answers its clients", function()
    run_stream "UnixStreamServer"
  end)

  it("test_ThreadingUnixStreamServer: answers its clients", function()
    run_stream "ThreadingUnixStreamServer"
  end)

  it("test_ForkingUnixStreamServer: answers its clients", function()
    run_stream "ForkingUnixStreamServer"
  end)

  it("test_UDPServer: answers its clients", function()
    run_datagram "UDPServer"
  end)

  it("test_ThreadingUDPServer: answers its clients", function()
    run_datagram "ThreadingUDPServer"
  end)

  it("test_ForkingUDPServer: answers its clients", function()
    run_datagram "ForkingUDPServer"
  end)

  it("test_UnixDatagramServer: answers its clients", function()
    run_datagram "UnixDatagramServer"
  end)

  it("test_ThreadingUnixDatagramServer: answers its clients", function()
    run_datagram "ThreadingUnixDatagramServer"
  end)

  it("test_ForkingUnixDatagramServer: answers its clients", function()
    run_datagram "ForkingUnixDatagramServer"
  end)

  -- shutdown() succeeds in making another task leave serve_forever.
  local function shut_down_many(Server)
    local Handler = class("MyHandler", socketserver.StreamRequestHandler)
    loop.run(function()
      local servers, tasks = {}, {}
      for i = 1, 20 do servers[i] = Server({HOST, 0}, Handler) end
      for i, server in ipairs(servers) do
        tasks[i] = loop.spawn(server.serve_forever, server, 0.01)
        if i % 2 == 0 then loop.sleep(0) end
        server:shutdown()
      end
      for i, server in ipairs(servers) do
        tasks[i]:join()
        server:server_close()
        assert.are.equal(-1, server.socket:fileno())
      end
    end)
  end

  it("test_shutdown: makes each of twenty leave serve_forever", function()
    shut_down_many(TCPServer)
    shut_down_many(ThreadingTCPServer)
    shut_down_many(socketserver.ForkingTCPServer)
  end)

  it("test_close_immediately: a server that never served", function()
    local MyServer = class("MyServer", socketserver.ThreadingMixIn, TCPServer)
    local server = MyServer({HOST, 0}, function() end)
    server:server_close()
    assert.are.equal(-1, server.socket:fileno())
  end)

  it("test_tcpserver_bind_leak: a failing bind leaves nothing", function()
    local _, before = helper.descriptors()
    for _ = 1, helper.slow and 100 or 1024 do
      local err = failure(TCPServer, {HOST, -1},
        socketserver.StreamRequestHandler)
      assert.matches("port", err)
    end
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("test_context_manager: the end of a block closes it", function()
    local server
    do
      local inner <close> = TCPServer({HOST, 0},
        socketserver.StreamRequestHandler)
      server = inner
    end
    assert.are.equal(-1, server.socket:fileno())
  end)
end)

-- What Python's SystemExit is to a thread a cancellation is to a task: it ends
-- the request, and is no error of it.
describe("ErrorHandlerTest", function()
  local function append(name, line)
    local file <close> = assert(io.open(name, "a"))
    file:write(line, "\n")
  end

  local raising = {
    ValueError = function() error "Test error" end,
    SystemExit = function()
      loop.current():cancel()
      loop.sleep(0)
    end,
  }

  -- One request, whose handler ends as `what` says; the log of it.
  local function log_of(Server, what)
    local name = helper.tmpdir() .. "/log"
    local ErrorTestServer = class("ErrorTestServer", Server, {
      handle_error = function() append(name, "Error handled") end,
    })
    local BadHandler = class("BadHandler", socketserver.BaseRequestHandler, {
      handle = function()
        append(name, "Handler called")
        raising[what]()
      end,
    })
    local server <close> = ErrorTestServer({HOST, 0}, BadHandler)
    csock.create_connection(server.server_address):close()
    local ok, err = pcall(server.handle_request, server)
    local file <close> = assert(io.open(name))
    return file:read "a", ok, err
  end

  local function check_handled(Server)
    local log, ok = log_of(Server, "ValueError")
    assert.are.equal("Handler called\nError handled\n", log)
    assert.is_true(ok)
  end

  it("test_sync_handled: an error goes to handle_error", function()
    check_handled(TCPServer)
  end)

  it("test_sync_not_handled: a cancellation leaves the server", function()
    local log, ok, err = log_of(TCPServer, "SystemExit")
    assert.are.equal("Handler called\n", log)
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, loop.CancelledError))
  end)

  it("test_threading_handled: an error goes to handle_error", function()
    check_handled(ThreadingTCPServer)
  end)

  it("test_threading_not_handled: a cancellation ends its task", function()
    assert.are.equal("Handler called\n",
      (log_of(ThreadingTCPServer, "SystemExit")))
  end)

  it("test_forking_handled: an error goes to handle_error", function()
    check_handled(socketserver.ForkingTCPServer)
  end)

  it("test_forking_not_handled: a cancellation ends its process", function()
    assert.are.equal("Handler called\n",
      (log_of(socketserver.ForkingTCPServer, "SystemExit")))
  end)
end)

describe("SocketWriterTest", function()
  it("test_basics: wfile is a file over the connection", function()
    local wfile, wfile_fileno, request_fileno
    local server <close> = TCPServer({HOST, 0}, class("Handler",
      socketserver.StreamRequestHandler, {
        handle = function(self)
          wfile = self.wfile
          wfile_fileno = self.wfile:fileno()
          request_fileno = self.request:fileno()
        end,
      }))
    csock.create_connection(server.server_address):close()
    server:handle_request()
    assert.is_true(csock.isinstance(wfile, csock.file))
    assert.are.equal(request_fileno, wfile_fileno)
  end)

  -- The client sends the signal while the server is in the middle of a write
  -- that is far too large for the system's buffers.
  it("test_write: sends at once, and all of it despite signals", function()
    local size = helper.slow and 4 * 1024 * 1024 or 16 * 1024 * 1024 - 1
    local sent1, received, sent2
    local server <close> = TCPServer({HOST, 0}, class("Handler",
      socketserver.StreamRequestHandler, {
        handle = function(self)
          sent1 = self.wfile:write "write data\n"
          received = self.rfile:readline()
          sent2 = self.wfile:write(("\0"):rep(size))
        end,
      }))
    local name = helper.tmpdir() .. "/client.lua"
    local file = assert(io.open(name, "w"))
    file:write(([[
      local sock = require "csock".create_connection {%q, %d}
      local reader = sock:makefile "rb"
      io.write(reader:readline())
      sock:sendall "client response\n"
      reader:read(100)
      for _ = 1, 2 do os.execute "kill -TERM %d" end
      print(#reader:read())
    ]]):format(HOST, server.server_address[2], process.getpid()))
    file:close()
    local watch <close> = process.signals(process.SIGTERM)
    local client = helper.spawn_process(helper.lua .. " " .. name)
    server.timeout = helper.slow and 50 or 5
    server:handle_request()
    local response1, received2 = client:read("L", "n")
    assert.are.equal("write data\n", response1)
    assert.are.equal(#response1, sent1)
    assert.are.equal("client response\n", received)
    assert.are.equal(size, sent2)
    assert.are.equal(size - 100, received2)
    assert.are.equal(process.SIGTERM, watch:wait())
  end)
end)

describe("MiscTestCase", function()
  it("test_all: Python's names are there, and classes only", function()
    for _, name in ipairs {
      "BaseServer", "TCPServer", "UDPServer", "UnixStreamServer",
      "UnixDatagramServer", "ThreadingMixIn", "ThreadingTCPServer",
      "ThreadingUDPServer", "ThreadingUnixStreamServer",
      "ThreadingUnixDatagramServer", "ForkingMixIn", "ForkingTCPServer",
      "ForkingUDPServer", "BaseRequestHandler", "StreamRequestHandler",
      "DatagramRequestHandler",
    } do
      assert.is_truthy(socketserver[name], name)
    end
    for name, value in pairs(socketserver) do
      assert.is_true(csock.isinstance(value, class.type), name)
      assert.are.equal(name, value.__name)
      assert.are.equal("csock.socketserver", value.__module)
    end
  end)

  it("test_shutdown_request_called_if_verify_request_false: once", function()
    local shutdown_called = 0
    local MyServer = class("MyServer", TCPServer, {
      verify_request = function() return false end,
      shutdown_request = function(self, request)
        shutdown_called = shutdown_called + 1
        TCPServer.shutdown_request(self, request)
      end,
    })
    local server <close> = MyServer({HOST, 0},
      socketserver.StreamRequestHandler)
    csock.create_connection(server.server_address):close()
    server:handle_request()
    assert.are.equal(1, shutdown_called)
  end)

  it("test_threads_reaped: finished requests are not kept", function()
    loop.run(function()
      local server <close> = ThreadingTCPServer({HOST, 0},
        socketserver.StreamRequestHandler)
      for _ = 1, 10 do
        local client <close> = csock.create_connection(server.server_address)
        server:handle_request()
        assert.are.equal("", client:recv(1))
      end
      assert.are.equal(0, #server._requests)
    end)
  end)
end)
