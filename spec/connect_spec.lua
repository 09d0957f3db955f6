-- connect: create_connection.  An address that does not answer is a listener
-- whose queue is full; a host with such addresses, a getaddrinfo of the test's.

local csock = require "csock"
local helper = require "spec.helper"
local deserted_port = helper.deserted_port
local misused, raises = helper.misused, helper.raises

local loop = csock.loop
local HOST = "localhost"

-- Runs f inside a task and outside of tasks.
local function both(f)
  f()
  loop.run(f)
end

-- The addresses of hosts made of them: "::1 127.0.0.1".
local function made_up(finally)
  local real = csock.getaddrinfo
  finally(function() csock.getaddrinfo = real end)
  csock.getaddrinfo = function(hosts, port)
    local infos = {}
    for host in hosts:gmatch "%S+" do
      infos[#infos + 1] = real(host, port, 0, csock.SOCK_STREAM)[1]
    end
    return infos
  end
end

-- A listener that answers nobody any more, and what fills its queue.
local function silent(host)
  local family = host:find ":" and csock.AF_INET6 or csock.AF_INET
  local listener = csock.create_server({host, 0},
    {family = family, backlog = 0})
  local filler = csock.socket(family)
  filler:connect(listener:getsockname())
  return setmetatable({listener:getsockname()[2]}, {__close = function()
    listener:close()
    filler:close()
  end})
end

-- A hole at ::1 and what make({"127.0.0.1", port}) returns, on one port: the
-- system may have given the hole's number to somebody else there.
local function hole_and(make)
  while true do
    local hole = silent "::1"
    local ok, other = pcall(make, {"127.0.0.1", hole[1]})
    if ok then return hole, other end
    getmetatable(hole).__close()
  end
end

local function hole_and_server()
  return hole_and(csock.create_server)
end

-- A socket that has an address, where nobody is listened to.
local function refusing(address)
  local sock = csock.socket(address[1]:find ":" and csock.AF_INET6 or
    csock.AF_INET)
  local ok, err = pcall(sock.bind, sock, address)
  if ok then return sock end
  sock:close()
  error(err, 0)
end

-- A server at 127.0.0.1 whose port is refused at ::1 and at 127.0.0.2, and a
-- value that closes all three.
local function server_and_refusals()
  while true do
    local server = csock.create_server {"127.0.0.1", 0}
    local port = server:getsockname()[2]
    local all, free = {server}, true
    for _, host in ipairs {"::1", "127.0.0.2"} do
      local ok, sock = pcall(refusing, {host, port})
      if ok then all[#all + 1] = sock
      elseif sock.code == "EADDRINUSE" then free = false end
    end
    local closing = helper.closer(table.unpack(all))
    if free then return server, closing end
    getmetatable(closing).__close()
  end
end

describe("NetworkConnectionNoServer", function()
  it("test_connect: ECONNREFUSED", function()
    local sock <close> = csock.socket()
    local err = raises(csock.error, sock.connect, sock, {HOST, deserted_port()})
    assert.are.equal(csock.ECONNREFUSED, err.errno)
  end)

  it("test_create_connection: ECONNREFUSED", function()
    local address = {HOST, deserted_port()}
    local err = raises(csock.error, csock.create_connection, address)
    assert.are.equal(csock.ECONNREFUSED, err.errno)
  end)

  it("test_create_connection_all_errors: one for each address", function()
    local port = deserted_port()
    local group = raises(csock.ExceptionGroup, csock.create_connection,
      {HOST, port}, {all_errors = true})
    for _, err in ipairs(group.exceptions) do
      assert.is_true(csock.isinstance(err, csock.error))
    end
    local infos = csock.getaddrinfo("localhost", port, 0, csock.SOCK_STREAM)
    assert.are.equal(#infos, #group.exceptions)
  end)

  it("test_create_connection_timeout: stays what it is", function()
    local socket = csock.socket
    finally(function() csock.socket = socket end)
    csock.socket = csock.class("MockSocket", socket, {
      connect = function()
        error(csock.TimeoutError(csock.ETIMEDOUT, "timed out"), 0)
      end,
    })
    raises(csock.TimeoutError, csock.create_connection, {HOST, 1234})
  end)
end)

describe("NetworkConnectionAttributesTest", function()
  local server, port

  before_each(function()
    server = csock.create_server {HOST, 0}
    port = server:getsockname()[2]
  end)

  after_each(function()
    server:close()
    csock.setdefaulttimeout(nil)
  end)

  it("testFamily: AF_INET", function()
    local sock <close> = csock.create_connection({HOST, port}, {timeout = 40})
    assert.are.equal(2, sock.family)
  end)

  it("testSourceAddress: is bound", function()
    helper.with_unused_port(function(source)
      local sock <close> = csock.create_connection({HOST, port},
        {timeout = 40, source_address = {"", source}})
      assert.are.equal(source, sock:getsockname()[2])
    end)
  end)

  it("testTimeoutDefault: the default timeout", function()
    assert.is_nil(csock.getdefaulttimeout())
    csock.setdefaulttimeout(42)
    local sock <close> = csock.create_connection {HOST, port}
    assert.are.equal(42, sock:gettimeout())
  end)

  it("testTimeoutNone: none, whatever the default", function()
    csock.setdefaulttimeout(30)
    local sock <close> = csock.create_connection({HOST, port}, nil)
    assert.is_nil(sock:gettimeout())
    local other <close> = csock.create_connection({HOST, port},
      {timeout = false})
    assert.is_nil(other:gettimeout())
    local third <close> = csock.create_connection({HOST, port},
      {all_errors = true})
    assert.are.equal(30, third:gettimeout())
  end)

  it("testTimeoutValueNamed: as an option", function()
    local sock <close> = csock.create_connection({HOST, port}, {timeout = 30})
    assert.are.equal(30, sock:gettimeout())
  end)

  it("testTimeoutValueNonamed: as an argument", function()
    local sock <close> = csock.create_connection({HOST, port}, 30)
    assert.are.equal(30, sock:gettimeout())
  end)
end)

describe("NetworkConnectionBehaviourTest", function()
  -- Python's server sleeps between; here it waits until it is told.
  local function serve(client, answers)
    loop.run(function()
      local server <close> = csock.create_server {HOST, 0}
      local sock <close> = client(server:getsockname())
      local conn <close> = server:accept()
      local task = loop.spawn(sock.recv, sock, 5)
      helper.until_waiting(task)
      answers(conn, task)
    end)
  end

  it("testInsideTimeout: the answer", function()
    serve(csock.create_connection, function(conn, task)
      conn:send "done!"
      assert.are.equal("done!", task:join())
    end)
  end)

  it("testOutsideTimeout: csock.timeout", function()
    helper.by_clock(0.05, function(seconds)
      serve(function(address)
        return csock.create_connection(address, {timeout = seconds})
      end, function(_, task) raises(csock.TimeoutError, task.join, task) end)
    end)
  end)
end)

describe("BasicTCPTest2", function()
  local MESSAGE = "Michael Gilfix was here\r\n"
  local server, serv_conn, cli_conn -- the names are Python's: cli_conn accepts

  before_each(function()
    server = csock.create_server {HOST, 0}
    serv_conn = csock.create_connection {HOST, server:getsockname()[2]}
    cli_conn = server:accept()
  end)

  after_each(function()
    server:close()
    serv_conn:close()
    cli_conn:close()
  end)

  it("testRecv: all at once", function()
    serv_conn:send(MESSAGE)
    assert.are.equal(MESSAGE, cli_conn:recv(1024))
  end)

  it("testOverFlowRecv: in pieces", function()
    serv_conn:send(MESSAGE)
    local first = cli_conn:recv(#MESSAGE - 3)
    assert.are.equal(MESSAGE, first .. cli_conn:recv(1024))
  end)

  it("testRecvFrom: all at once", function()
    serv_conn:send(MESSAGE)
    assert.are.equal(MESSAGE, (cli_conn:recvfrom(1024)))
  end)

  it("testOverFlowRecvFrom: in pieces", function()
    serv_conn:send(MESSAGE)
    local first = cli_conn:recvfrom(#MESSAGE - 3)
    assert.are.equal(MESSAGE, first .. cli_conn:recvfrom(1024))
  end)

  it("testSendAll: 2048 bytes", function()
    serv_conn:sendall(("f"):rep(2048))
    serv_conn:close()
    local parts = {}
    for data in function() return cli_conn:recv(1024) end do
      if data == "" then break end
      parts[#parts + 1] = data
    end
    assert.are.equal(("f"):rep(2048), table.concat(parts))
  end)

  it("testFromFd: another socket on the same connection", function()
    serv_conn:send(MESSAGE)
    local sock <close> = csock.fromfd(cli_conn:fileno(), csock.AF_INET,
      csock.SOCK_STREAM)
    assert.is_true(csock.isinstance(sock, csock.socket))
    assert.are.equal(MESSAGE, sock:recv(1024))
  end)

  it("testDup: another socket on the same connection", function()
    serv_conn:send(MESSAGE)
    local sock <close> = cli_conn:dup()
    assert.are.equal(MESSAGE, sock:recv(1024))
  end)

  it("testShutdown: what was sent arrives", function()
    serv_conn:send(MESSAGE)
    serv_conn:shutdown(2)
    assert.are.equal(MESSAGE, cli_conn:recv(1024))
  end)

  it("testShutdown_overflow: numbers of other sizes", function()
    serv_conn:send(MESSAGE)
    misused("out of range", serv_conn.shutdown, serv_conn, 0x80000000)
    misused("out of range", serv_conn.shutdown, serv_conn, 2 + 0x100000000)
    serv_conn:shutdown(2)
    assert.are.equal(MESSAGE, cli_conn:recv(1024))
  end)

  it("testDetach: the descriptor lives on", function()
    serv_conn:send(MESSAGE)
    local number = cli_conn:fileno()
    local fd = cli_conn:detach()
    assert.are.equal(number, fd)
    assert.is_true(cli_conn.closed)
    raises(csock.error, cli_conn.recv, cli_conn, 1024)
    cli_conn:close()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_STREAM, 0, fd)
    assert.are.equal(MESSAGE, sock:recv(1024))
  end)
end)

describe("create_connection", function()
  it("passes by an address that does not answer", function()
    made_up(finally)
    both(function()
      local hole, server = hole_and_server()
      local _hole <close> = hole
      local _server <close> = server
      local sock <close> = csock.create_connection {"::1 127.0.0.1", hole[1]}
      assert.are.equal(csock.AF_INET, sock.family)
      assert.is_nil(sock.timeout)
      sock:sendall "x"
      local conn <close> = server:accept()
      assert.are.equal("x", conn:recv(5))
    end)
  end)

  it("passes by an address that refuses, at once", function()
    made_up(finally)
    both(function()
      local server, all = server_and_refusals()
      local _all <close> = all
      local port = server:getsockname()[2]
      local took
      repeat -- one that passes by later than at once does so each time
        local started = loop.now()
        local sock <close> = csock.create_connection(
          {"::1 127.0.0.2 127.0.0.1", port}, 50)
        took = loop.now() - started
        assert.are.equal("127.0.0.1", sock:getpeername()[1])
        assert.are.equal(50, sock.timeout)
      until took < 0.25
    end)
  end)

  it("takes the first that answers, though begun earlier", function()
    made_up(finally)
    loop.run(function()
      local hole <close> = silent "127.0.0.1"
      local other <close> = silent "127.0.0.2"
      -- the second hole has another port: what misused there is done with
      local task = loop.spawn(csock.create_connection,
        {"127.0.0.1 127.0.0.1", hole[1]}, 5)
      loop.sleep(0.4)                 -- both are under way
      assert.are.equal("waiting", task:status())
      assert.are_not.equal(hole[1], other[1])
      task:cancel()
      raises(loop.CancelledError, task.join, task)
    end)
  end)

  it("lets the families take turns", function()
    made_up(finally)
    both(function()
      local group = raises(csock.ExceptionGroup, csock.create_connection,
        {"::1 127.0.0.1 127.0.0.2 127.0.0.3", deserted_port()},
        {all_errors = true})
      local order = {}
      for i, err in ipairs(group.exceptions) do
        order[i] = err.address[1]
        assert.are.equal("ECONNREFUSED", err.code)
      end
      assert.are.same({"::1", "127.0.0.1", "127.0.0.2", "127.0.0.3"}, order)
      group = raises(csock.ExceptionGroup, csock.create_connection,
        {"127.0.0.1 127.0.0.2 ::1", deserted_port()}, nil, nil, true)
      assert.are.equal("::1", group.exceptions[2].address[1])
      assert.is_truthy(tostring(group):find("create_connection failed", 1,
        true))
    end)
  end)

  it("raises the last error, which has them all", function()
    made_up(finally)
    both(function()
      local hole, taken = hole_and(refusing)
      local _hole <close> = hole
      local _taken <close> = taken
      local err = raises(csock.error, csock.create_connection,
        {"::1 127.0.0.1", hole[1]}, 0.4)
      assert.are.equal("ECONNREFUSED", err.code)
      assert.are.equal(2, #err.errors)
      assert.are.equal(err, err.errors[2])
      assert.is_true(csock.isinstance(err.errors[1], csock.timeout))
      assert.are.equal("::1", err.errors[1].address[1])
      assert.are.equal("connect", err.errors[1].op)
    end)
  end)

  it("gives each address the timeout, from its own start", function()
    made_up(finally)
    both(function()
      local hole <close> = silent "::1"
      local took, group
      repeat
        local started = loop.now()
        group = raises(csock.ExceptionGroup, csock.create_connection,
          {"::1 ::1", hole[1]}, {timeout = 0.1, all_errors = true})
        took = loop.now() - started
        assert.is_true(took >= 0.2)
      until took < 1
      assert.are.equal(2, #group.exceptions)
      for _, err in ipairs(group.exceptions) do
        assert.is_true(csock.isinstance(err, csock.timeout))
      end
    end)
  end)

  it("is ended by loop.timeout, and by cancel", function()
    made_up(finally)
    both(function()
      local hole <close> = silent "::1"
      local err = raises(csock.timeout, loop.timeout, 0.3,
        csock.create_connection, {"::1 ::1 ::1", hole[1]})
      assert.are.equal("connect", err.op)
    end)
    loop.run(function()
      local hole <close> = silent "::1"
      local task = loop.spawn(csock.create_connection, {"::1 ::1", hole[1]})
      loop.sleep(0.01)
      assert.is_true(task:cancel())
      raises(loop.CancelledError, task.join, task)
    end)
  end)

  it("does not wait with a timeout of 0", function()
    local hole <close> = silent "127.0.0.1"
    local err = raises(csock.BlockingIOError, csock.create_connection,
      {"127.0.0.1", hole[1]}, 0)
    assert.are.equal("EINPROGRESS", err.code)
  end)

  it("keeps a source address that does not fit as that address' error",
  function()
    made_up(finally)
    both(function()
      local server <close> = csock.create_server {"127.0.0.1", 0}
      local port = server:getsockname()[2]
      local sock <close> = csock.create_connection({"::1 127.0.0.1", port}, 5,
        {"127.0.0.1", 0})
      assert.are.equal(csock.AF_INET, sock.family)
      local group = raises(csock.ExceptionGroup, csock.create_connection,
        {"::1", port}, 5, {"127.0.0.1", 0}, true)
      assert.is_true(csock.isinstance(group.exceptions[1], csock.gaierror))
    end)
  end)

  it("passes on what the resolver says", function()
    local err = raises(csock.gaierror, csock.create_connection,
      {"nosuch.invalid", 80}, {all_errors = true})
    assert.are.equal("getaddrinfo", err.op)
    csock.getaddrinfo = function() return {} end
    local ok, empty = pcall(csock.create_connection, {HOST, 80})
    csock.getaddrinfo = require("csock.core").getaddrinfo
    assert.is_false(ok)
    assert.are.equal("getaddrinfo returns an empty list", empty.strerror)
  end)

  it("waits in a plain coroutine too, and holds up the loop", function()
    made_up(finally)
    warn "@off"
    loop.run(function()
      local hole, server = hole_and_server()
      local _hole <close> = hole
      local _server <close> = server
      local sock <close> = coroutine.wrap(csock.create_connection) {
        "::1 127.0.0.1", hole[1]}
      assert.are.equal(server:getsockname(), sock:getpeername())
    end)
  end)

  it("that stalls is no hindrance to what else the loop serves", function()
    local hole <close> = silent "127.0.0.1"
    local address = {"127.0.0.1", hole[1]}
    loop.run(function()
      local stalled = loop.spawn(csock.create_connection, address)
      local before <close> = csock.socket()
      local second = loop.spawn(before.connect, before, address)
      helper.until_waiting(stalled, second)
      local tasks = {}
      for i = 1, 200 do
        local a, b = csock.socketpair()
        loop.spawn(function()
          local _ <close> = b
          for data in function() return b:recv(100) end do
            if data == "" then return end
            b:sendall(data)
          end
        end)
        tasks[i] = loop.spawn(function()
          local _ <close> = a
          for round = 1, 5 do
            local text = i .. ":" .. round
            a:sendall(text)
            assert.are.equal(text, a:recv(100))
          end
        end)
      end
      for _, task in ipairs(tasks) do task:join() end
      for _, task in ipairs {stalled, second} do
        assert.are.equal("waiting", task:status())
        task:cancel()
        raises(loop.CancelledError, task.join, task)
      end
    end)
  end)

  it("refuses misuse at once", function()
    local connect = csock.create_connection
    misused("#1.*{host, port} expected", connect)
    misused("#1.*{host, port} expected", connect, "localhost")
    misused("#2.*seconds", connect, {HOST, 1}, -1)
    misused("#2.*seconds", connect, {HOST, 1}, 0 / 0)
    misused("#2.*seconds", connect, {HOST, 1}, "5")
    misused("#2.*seconds", connect, {HOST, 1}, {timeout = "5"})
    misused("unknown option 'timeuot'", connect, {HOST, 1}, {timeuot = 5})
    misused("#3.*source_address", connect, {HOST, 1}, 5, "localhost")
    misused("#2.*no options", connect, {HOST, 1}, {})
    misused("#3", connect, {HOST, 1}, {timeout = 5}, {HOST, 0})
    misused("port must be", connect, {HOST, 65536})
  end)

  it("says in its error where it was called", function()
    local address = {HOST, deserted_port()}
    local _, err = pcall(function()
      local sock = csock.create_connection(address)
      return sock
    end)
    assert.is_truthy(tostring(err):find("connect_spec.lua:", 1, true))
  end)
end)
