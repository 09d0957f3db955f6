-- basic: CPython's tests of plain connections, datagrams, pairs, timeouts and
-- names (test_socket.py), by its classes.  Where the original has a thread for
-- the client, there is a task; what needs none is done outside of tasks too.
-- Not here: what no test of CPython's asks (socket_spec), and the life of a
-- descriptor (descriptor_spec).

local helper = require "spec.helper"
local transports = require "spec.transports"
local csock = require "csock"
local core = require "csock.core"
local loop = require "csock.loop"

local AF_INET, AF_UNIX = csock.AF_INET, csock.AF_UNIX
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM
local MSG = transports.MSG
local misuse, refused = transports.misuse, transports.refused

-- Tools -------------------------------------------------------------------

-- What runs inside a fixture: the sockets are fields, and closed at the end.
local Fixture = {}
Fixture.__index = Fixture

function Fixture:keep(sock)
  table.insert(self.kept, sock)
  return sock
end

function Fixture:__close()
  for i = #self.kept, 1, -1 do self.kept[i]:close() end
end

local function fixture() return setmetatable({kept = {}}, Fixture) end

local function server_of(kind)
  return function()
    local self = fixture()
    self.serv = self:keep(csock.socket(AF_INET, kind))
    self.serv:bind{"127.0.0.1", 0}
    self.address = self.serv:getsockname()
    if kind == SOCK_STREAM then self.serv:listen() end
    return self
  end
end

local tcp, udp = server_of(SOCK_STREAM), server_of(SOCK_DGRAM)

-- SocketConnectedTest: cli_conn is the server's end, serv_conn the client's.
local function connected()
  local self = tcp()
  self.serv_conn = self:keep(csock.socket())
  self.serv_conn:connect(self.address)
  self.cli_conn = self:keep((self.serv:accept()))
  return self
end

local function socketpair()
  local self = fixture()
  self.serv, self.cli = csock.socketpair()
  self:keep(self.serv)
  self:keep(self.cli)
  return self
end

-- The server's part beside the client's, each in a task.
local function threads(make, server, client)
  loop.run(function()
    local self <close> = make()
    local task = loop.spawn(client, self)
    server(self)
    task:join()
  end)
end

-- First what the client does, then the server; and again as tasks, where the
-- server waits.
local function both(name, make, server, client)
  it(name, function()
    local self <close> = make()
    client(self)
    server(self)
  end)
  it(name .. ", in tasks", function()
    threads(make, server, function(self)
      loop.sleep(0)
      client(self)
    end)
  end)
end

local function has_nonblock(sock)
  return (helper.flags(sock:fileno()) or pending "no /proc/self/fdinfo here") &
    helper.O_NONBLOCK ~= 0
end

-- A Lua program gets to wait in the last statement, and then a SIGINT, whose
-- handler is the interpreter's: a hook that raises an error.  The statement
-- must fail with that, and with no error of a socket.
local function interrupts(prepare, statement)
  local process = helper.spawn_process(("%s -e %s 2>&1"):format(helper.lua,
    helper.quote([[
      local csock = require "csock"
      require "csock.core".process.alarm(60)
      ]] .. prepare .. [[

      io.stdout:write "go\n"
      io.stdout:flush()
      local ok, err = pcall(function() ]] .. statement .. [[ end)
      print(ok, type(err), err)]])))
  assert.are.equal("go", process:read "l")
  repeat
    local file <close> = io.open(("/proc/%d/stat"):format(process.pid))
    if not file then pending "no /proc here" end
  until file:read("a"):match "%) (%a)" == "S"
  process:kill "INT"
  local output = process:read "a"
  assert.matches("^false\tstring\t.*interrupted!", output)
  assert.is_nil(output:find "timed out")
end

-- Streams -----------------------------------------------------------------

describe("BasicTCPTest", function()
  local function send(self) self.serv_conn:send(MSG) end

  both("testRecv: all at once", connected, function(self)
    assert.are.equal(MSG, self.cli_conn:recv(1024))
  end, send)

  both("testOverFlowRecv: in pieces", connected, function(self)
    local first = self.cli_conn:recv(#MSG - 3)
    assert.are.equal(#MSG - 3, #first)
    assert.are.equal(MSG, first .. self.cli_conn:recv(1024))
  end, send)

  both("testRecvFrom: all at once", connected, function(self)
    assert.are.equal(MSG, (self.cli_conn:recvfrom(1024)))
  end, send)

  both("testOverFlowRecvFrom: in pieces", connected, function(self)
    local first = self.cli_conn:recvfrom(#MSG - 3)
    assert.are.equal(#MSG - 3, #first)
    assert.are.equal(MSG, first .. self.cli_conn:recvfrom(1024))
  end, send)

  both("testSendAll: 2048 bytes", connected, function(self)
    local parts = {}
    repeat
      local data = self.cli_conn:recv(1024)
      parts[#parts + 1] = data
    until data == ""
    assert.are.equal(("f"):rep(2048), table.concat(parts))
  end, function(self)
    self.serv_conn:sendall(("f"):rep(2048))
    self.serv_conn:close()
  end)

  both("testFromFd: another socket on the same connection", connected,
    function(self)
      local sock <close> = csock.fromfd(self.cli_conn:fileno(), AF_INET,
        SOCK_STREAM)
      assert.is_true(csock.isinstance(sock, csock.socket))
      assert.are.equal(MSG, sock:recv(1024))
    end, send)

  both("testDup: another socket on the same connection", connected,
    function(self)
      local sock <close> = self.cli_conn:dup()
      assert.are.equal(MSG, sock:recv(1024))
    end, send)

  both("testShutdown: what was sent arrives", connected, function(self)
    assert.are.equal(MSG, self.cli_conn:recv(1024))
  end, function(self)
    self.serv_conn:send(MSG)
    self.serv_conn:shutdown(2)
  end)

  both("testShutdown_overflow: numbers of other sizes", connected,
    function(self)
      assert.are.equal(MSG, self.cli_conn:recv(1024))
    end, function(self)
      self.serv_conn:send(MSG)
      misuse(self.serv_conn.shutdown, self.serv_conn, 0x80000000)
      misuse(self.serv_conn.shutdown, self.serv_conn, 2 + 0x100000000)
      self.serv_conn:shutdown(2)
    end)

  both("testDetach: the descriptor lives on", connected, function(self)
    local number = self.cli_conn:fileno()
    local fd = self.cli_conn:detach()
    assert.are.equal(number, fd)
    assert.is_true(self.cli_conn.closed)
    refused("EBADF", self.cli_conn.recv, self.cli_conn, 1024)
    self.cli_conn:close()
    local sock <close> = csock.socket(AF_INET, SOCK_STREAM, nil, fd)
    assert.are.equal(MSG, sock:recv(1024))
  end, send)
end)

describe("TCPCloserTest", function()
  both("testClose: the peer sees the end, and close may be called again", tcp,
    function(self)
      local conn = self.serv:accept()
      conn:close()
      local readable = core.socket.readable(self.cli, 1)
      assert.is_true(readable)
      assert.are.equal("", self.cli:recv(1))
      assert.is_true(conn:close())
      assert.is_true(conn:close())
    end, function(self)
      self.cli = self:keep(csock.socket())
      self.cli:connect(self.address)
    end)
end)

describe("BasicSocketPairTest", function()
  it("testDefaults: two AF_UNIX streams", function()
    local self <close> = socketpair()
    for _, sock in ipairs {self.serv, self.cli} do
      assert.is_true(csock.isinstance(sock, csock.socket))
      assert.are.same({AF_UNIX, SOCK_STREAM, 0},
        {sock.family, sock.type, sock.proto})
    end
  end)

  both("testRecv: from the first of the two", socketpair, function(self)
    assert.are.equal(MSG, self.serv:recv(1024))
  end, function(self) self.cli:send(MSG) end)

  both("testSend: to the first of the two", socketpair, function(self)
    assert.are.equal(MSG, self.cli:recv(1024))
  end, function(self) self.serv:send(MSG) end)
end)

-- Datagrams ---------------------------------------------------------------

describe("BasicUDPTest", function()
  local function send(self)
    local cli <close> = csock.socket(AF_INET, SOCK_DGRAM)
    cli:sendto(MSG, 0, self.address)
  end

  both("testSendtoAndRecv: arrives", udp, function(self)
    assert.are.equal(MSG, self.serv:recv(#MSG))
  end, send)

  both("testRecvFrom: arrives", udp, function(self)
    assert.are.equal(MSG, (self.serv:recvfrom(#MSG)))
  end, send)

  both("testRecvFromNegative: sizes are not", udp, function(self)
    misuse(self.serv.recvfrom, self.serv, -1)
  end, send)
end)

-- Signals -----------------------------------------------------------------

describe("InterruptedRecvTimeoutTest", function()
  local prepare = [[
    local serv = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    serv:bind{"127.0.0.1", 0}
    serv.timeout = 50]]

  for _, test in ipairs {
    {"Recv", "serv:recv(1024)"},
    {"RecvInto", "serv:recv_into(csock.buffer(1024))"},
    {"Recvfrom", "serv:recvfrom(1024)"},
    {"RecvfromInto", "serv:recvfrom_into(csock.buffer(1024))"},
    {"Recvmsg", "serv:recvmsg(1024)"},
    {"RecvmsgInto", "serv:recvmsg_into{csock.buffer(1024)}"},
  } do
    it(("testInterrupted%sTimeout: a hook's error ends it"):format(test[1]),
      function() interrupts(prepare, test[2]) end)
  end
end)

describe("InterruptedSendTimeoutTest", function()
  local prepare = [[
    local serv = csock.create_server{"127.0.0.1", 0}
    local conn = csock.create_connection(serv:getsockname(), 50)
    local peer = serv:accept()]]

  for _, test in ipairs {
    {"Send", "conn:send(('a'):rep(512))"},
    {"Sendto", "conn:sendto(('a'):rep(512), serv:getsockname())"},
    {"Sendmsg", "conn:sendmsg{('a'):rep(512)}"},
  } do
    it(("testInterrupted%sTimeout: a hook's error ends it"):format(test[1]),
      function() interrupts(prepare, "while true do " .. test[2] .. " end") end)
  end
end)

-- Timeouts ----------------------------------------------------------------

-- Sets the default timeout for the time of a call.
local function with_default(timeout, f, ...)
  csock.setdefaulttimeout(timeout)
  local result = table.pack(pcall(f, ...))
  csock.setdefaulttimeout(nil)
  assert(result[1], result[2])
  return table.unpack(result, 2, result.n)
end

describe("NonBlockingTCPTests", function()
  local function check(sock, timeout)
    assert.are.equal(timeout, sock:gettimeout())
    assert.are.equal(timeout ~= 0, sock:getblocking())
    assert.are.equal(timeout ~= nil, has_nonblock(sock))
  end

  it("testSetBlocking: back and forth", function()
    local self <close> = tcp()
    self.serv:setblocking(true)
    check(self.serv, nil)
    self.serv:setblocking(false)
    check(self.serv, 0.0)
    self.serv:settimeout(nil)
    check(self.serv, nil)
    self.serv:settimeout(0)
    check(self.serv, 0.0)
    self.serv:settimeout(10)
    check(self.serv, 10.0)
    self.serv:settimeout(0)
    check(self.serv, 0.0)
  end)

  it("testInitNonBlocking: SOCK_NONBLOCK", function()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    check(sock, 0.0)
  end)

  local function connect(self)
    self:keep(csock.socket()):connect(self.address)
  end

  both("testInheritFlagsBlocking: the listener's timeout is its own", tcp,
    function(self)
      self.serv:settimeout(10)
      local conn <close> = self.serv:accept()
      check(conn, nil)
    end, connect)

  both("testInheritFlagsTimeout: the default timeout is all's", tcp,
    function(self)
      self.serv:settimeout(10)
      local conn <close> = with_default(20.0, self.serv.accept, self.serv)
      check(conn, 20.0)
    end, connect)

  it("testAccept: only what is there", function()
    threads(tcp, function(self)
      self.serv:setblocking(false)
      local err = refused("EAGAIN", self.serv.accept, self.serv)
      assert.is_true(csock.isinstance(err, csock.BlockingIOError))
      self.event = true
      assert.is_true(core.socket.readable(self.serv, 60))
      local conn <close> = self.serv:accept()
      assert.is_nil(conn:gettimeout())
    end, function(self)
      while not self.event do loop.sleep(0) end
      connect(self)
    end)
  end)

  it("testRecv: only what is there", function()
    threads(tcp, function(self)
      local conn <close> = self.serv:accept()
      conn:setblocking(false)
      local err = refused("EAGAIN", conn.recv, conn, #MSG)
      assert.is_true(csock.isinstance(err, csock.BlockingIOError))
      self.event = true
      assert.is_true(core.socket.readable(conn, 60))
      assert.are.equal(MSG, conn:recv(#MSG))
    end, function(self)
      local cli = self:keep(csock.socket())
      cli:connect(self.address)
      while not self.event do loop.sleep(0) end
      cli:sendall(MSG)
    end)
  end)
end)

describe("NonblockConstantTest", function()
  local function check(sock, timeout)
    assert.are.equal(SOCK_STREAM, sock.type)
    assert.are.equal(timeout, sock:gettimeout())
    assert.are.equal(timeout ~= nil, has_nonblock(sock))
    assert.are.equal(timeout ~= 0, sock:getblocking())
  end

  it("test_SOCK_NONBLOCK: changing back and forth", function()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    check(sock, 0.0)
    sock:setblocking(true)
    check(sock, nil)
    sock:setblocking(false)
    check(sock, 0.0)
    sock:settimeout(nil)
    check(sock, nil)
    sock:settimeout(2.0)
    check(sock, 2.0)
    sock:setblocking(true)
    check(sock, nil)
    for _, timeout in ipairs {0.0, false, 2.0, false} do
      local made <close> = with_default(timeout or nil, csock.socket)
      check(made, timeout or nil)
    end
  end)
end)

describe("TCPTimeoutTest", function()
  it("testTCPTimeout: is a timeout", function()
    local self <close> = tcp()
    self.serv:settimeout(0.02)
    local err = refused("ETIMEDOUT", self.serv.accept, self.serv)
    assert.is_true(csock.isinstance(err, csock.TimeoutError))
  end)

  it("testTimeoutZero: is an error, and no timeout", function()
    local self <close> = tcp()
    self.serv:settimeout(0.0)
    local err = refused("EAGAIN", self.serv.accept, self.serv)
    assert.is_false(csock.isinstance(err, csock.timeout))
  end)

  it("testInterruptedTimeout: a hook's error ends it", function()
    interrupts([[
      local serv = csock.create_server{"127.0.0.1", 0}
      serv:settimeout(50.0)]], "serv:accept()")
  end)
end)

describe("UDPTimeoutTest", function()
  it("testUDPTimeout: is a timeout", function()
    local self <close> = udp()
    self.serv:settimeout(0.02)
    local err = refused("ETIMEDOUT", self.serv.recv, self.serv, 1024)
    assert.is_true(csock.isinstance(err, csock.TimeoutError))
  end)

  it("testTimeoutZero: is an error, and no timeout", function()
    local self <close> = udp()
    self.serv:settimeout(0.0)
    local err = refused("EAGAIN", self.serv.recv, self.serv, 1024)
    assert.is_false(csock.isinstance(err, csock.timeout))
  end)
end)

describe("TestExceptions", function()
  it("testExceptionTree: Python's names", function()
    assert.is_true(csock.issubclass(csock.OSError, csock.Exception))
    assert.is_true(csock.issubclass(csock.herror, csock.OSError))
    assert.is_true(csock.issubclass(csock.gaierror, csock.OSError))
    assert.is_true(csock.issubclass(csock.timeout, csock.OSError))
    assert.are.equal(csock.OSError, csock.error)
    assert.are.equal(csock.TimeoutError, csock.timeout)
  end)

  it("test_setblocking_invalidfd: somebody has closed it", function()
    local sock0 = csock.socket(AF_INET, SOCK_STREAM, 0)
    local sock = csock.socket(AF_INET, SOCK_STREAM, 0, sock0:fileno())
    sock0:close()
    refused("EBADF", sock.setblocking, sock, false)
    sock:detach()
  end)
end)

-- Names of Unix sockets ---------------------------------------------------

describe("TestLinuxAbstractNamespace", function()
  local UNIX_PATH_MAX = 108

  -- No two runs at the same time may use one name.
  local function unique(name)
    return ("\0%s%016x"):format(name, math.random(0))
  end

  it("testLinuxAbstractNamespace: zeros and all", function()
    local address = unique "python-test-hello" .. "\0\xff"
    local s1 <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    s1:bind(address)
    s1:listen()
    local s2 <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    s2:connect(s1:getsockname())
    local s3 <close> = s1:accept()
    assert.is_false(s3.closed)
    assert.are.equal(address, s1:getsockname())
    assert.are.equal(address, s2:getpeername())
  end)

  it("testMaxName: as long as may be", function()
    local address = unique(("h"):rep(UNIX_PATH_MAX - 17))
    assert.are.equal(UNIX_PATH_MAX, #address)
    local sock <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    sock:bind(address)
    assert.are.equal(address, sock:getsockname())
  end)

  it("testNameOverflow: too long", function()
    local address = "\0" .. ("h"):rep(UNIX_PATH_MAX)
    local sock <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    local err = refused(nil, sock.bind, sock, address)
    assert.are.equal("AF_UNIX path too long", err.strerror)
    assert.are.equal("", sock:getsockname())
  end)

  it("testStrName: zeros inside and behind", function()
    local sock <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    local address = unique "python\0test" .. "\0"
    sock:bind(address)
    assert.are.equal(address, sock:getsockname())
  end)

  it("testAutobind: the system's choice", function()
    local s1 <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    s1:bind ""
    assert.matches("^\0%x%x%x%x%x$", s1:getsockname())
    local s2 <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    s2:bind ""
    assert.matches("^\0%x%x%x%x%x$", s2:getsockname())
    assert.are_not.equal(s1:getsockname(), s2:getsockname())
  end)
end)

describe("TestUnixDomain", function()
  it("testUnbound: no name", function()
    local sock <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    assert.are.equal("", sock:getsockname())
  end)

  -- Python's str, bytes and surrogates are one type here: any bytes but zero.
  for _, row in ipairs {
    {"testStrAddr: a path", "/@test_1_tmp"},
    {"testBytesAddr: a path of any bytes", "/@test_\x01\x80\xff_tmp"},
    {"testSurrogateescapeBind: a path in UTF-8",
      "/@test_1_tmp-\xc3\xa0\xc3\xb2\xc9\x98\xc5\x81\xc4\x9f"},
    {"testUnencodableAddr: a path that is no UTF-8", "/@test_1_tmp\xe7w\xf0"},
  } do
    it(row[1], function()
      local path = helper.tmpdir() .. row[2]
      local sock <close> = csock.socket(AF_UNIX, SOCK_STREAM)
      sock:bind(path)
      assert.are.equal(path, sock:getsockname())
    end)
  end
end)

-- Scopes ------------------------------------------------------------------

describe("ContextManagersTest", function()
  it("closed at the end of the scope", function()
    local outer
    do
      local sock <close> = csock.socket()
      assert.is_false(sock.closed)
      outer = sock
    end
    assert.is_true(outer.closed)
    do
      local sock <close> = csock.socket()
      sock:close()
      outer = sock
    end
    assert.is_true(outer.closed)
    do
      local sock <close> = csock.socket()
      refused("EPIPE", sock.sendall, sock, "foo")
      outer = sock
    end
    assert.is_true(outer.closed)
  end)

  local function echo(self)
    local conn <close> = self.serv:accept()
    conn:sendall(conn:recv(1024))
  end

  it("testCreateConnectionBase: closed at the end of the scope", function()
    threads(tcp, echo, function(self)
      local outer
      do
        local sock <close> = csock.create_connection(self.address)
        assert.is_false(sock.closed)
        sock:sendall "foo"
        assert.are.equal("foo", sock:recv(1024))
        outer = sock
      end
      assert.is_true(outer.closed)
    end)
  end)

  it("testCreateConnectionClose: closed before", function()
    threads(tcp, echo, function(self)
      local outer
      do
        local sock <close> = csock.create_connection(self.address)
        sock:close()
        outer = sock
      end
      assert.is_true(outer.closed)
      refused("EBADF", outer.sendall, outer, "foo")
    end)
  end)
end)
