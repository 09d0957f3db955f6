-- descriptor: whence a socket has its descriptor and where that goes: adopted,
-- copied, detached, inherited, closed by others; and what it means that several
-- know one open file.  Not here: how a socket ends (socket_spec).

local helper = require "spec.helper"
local transports = require "spec.transports"
local csock = require "csock"
local loop = require "csock.loop"
local closer, pair, until_waiting =
  helper.closer, helper.pair, helper.until_waiting
local misused = helper.misused

local class = csock.class
local AF_INET, AF_INET6, AF_UNIX = csock.AF_INET, csock.AF_INET6, csock.AF_UNIX
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM
local refused = transports.refused

-- Tools -------------------------------------------------------------------

local has_v6 = pcall(function()
  local sock <close> = csock.socket(AF_INET6)
  sock:bind {"::1", 0}
end)

local function need_v6()
  if not has_v6 then pending "no IPv6 here" end
end

local function listening()
  local sock = csock.socket()
  sock:bind{"127.0.0.1", 0}
  sock:listen()
  return sock
end

local function connected()
  local listener <close> = listening()
  local client = csock.socket()
  client:connect(listener:getsockname())
  return closer(client, (listener:accept()))
end

local function has_flag(fd, flag)
  return (helper.flags(fd) or pending "no /proc/self/fdinfo here") & flag ~= 0
end

-- A number that is no descriptor.
local function bad_fd()
  local sock <close> = csock.socket()
  return sock:fileno()
end

-- An open file, and its descriptor.
local function open_file()
  local before = helper.descriptors()
  local file = assert(io.open "Makefile")
  for fd in pairs((helper.descriptors())) do
    if not before[fd] then return file, fd end
  end
  file:close()
  pending "no /proc/self/fd here"
end

-- What a Lua program of its own prints, errors too; it is given 20 seconds.
local function run_lua(script)
  local pipe <close> = assert(io.popen(("%s -e %s 2>&1"):format(helper.lua,
    helper.quote('require "csock.core".process.alarm(20)\n' .. script))))
  return pipe:read "a"
end

-- CPython's tests ---------------------------------------------------------

describe("GeneralModuleTests", function()
  it("test_SocketType_is_socketobject: another name of the class", function()
    assert.are.equal(csock.socket, csock.SocketType)
    local sock <close> = csock.socket()
    assert.is_true(csock.isinstance(sock, csock.SocketType))
  end)

  it("testCloseException: somebody has closed it", function()
    local sock = csock.socket()
    sock:bind{"127.0.0.1", 0}
    csock.socket(nil, nil, nil, sock:fileno()):close()
    refused("EBADF", sock.close, sock)
  end)

  it("test_socket_close: by its number", function()
    local sock = csock.socket()
    sock:bind{"127.0.0.1", 0}
    assert.is_true(csock.close(sock:fileno()))
    refused("EBADF", sock.listen, sock, 1)
    refused("EBADF", sock.close, sock)
    misused("integer expected", csock.close, nil)
    refused("EBADF", csock.close, -1)
  end)

  local function check_fileno(s, family, kind)
    local fd = s:fileno()
    local s2 <close> = csock.socket(nil, nil, nil, fd)
    s:detach()
    assert.are.same({family, kind, fd}, {s2.family, s2.type, s2:fileno()})
    local s3 <close> = csock.socket(-1, -1, -1, s2:detach())
    assert.are.same({family, kind, fd}, {s3.family, s3.type, s3:fileno()})
  end

  it("test_socket_fileno: tells what it is", function()
    for _, kind in ipairs {SOCK_STREAM, SOCK_DGRAM} do
      local sock <close> = csock.socket(AF_INET, kind)
      sock:bind{"127.0.0.1", 0}
      check_fileno(sock, AF_INET, kind)
    end
    local sock <close> = csock.socket(AF_UNIX, SOCK_STREAM)
    sock:bind(helper.tmpdir() .. "/socket")
    check_fileno(sock, AF_UNIX, SOCK_STREAM)
    need_v6()
    local sock6 <close> = csock.socket(AF_INET6, SOCK_STREAM)
    sock6:bind{"::1", 0, 0, 0}
    check_fileno(sock6, AF_INET6, SOCK_STREAM)
  end)

  local function with_fileno(fileno)
    return csock.socket(AF_INET, SOCK_STREAM, nil, fileno)
  end

  it("test_socket_fileno_rejects_float: even one that is whole", function()
    misused("integer expected", with_fileno, 42.5)
    misused("integer expected", with_fileno, 42.0)
  end)

  it("test_socket_fileno_rejects_other_types: digits too", function()
    for _, wrong in ipairs {"foo", "42", {}, true, print} do
      misused("integer expected, got " .. type(wrong), with_fileno, wrong)
    end
  end)

  it("test_socket_fileno_rejects_invalid_socket: -1", function()
    misused("negative file descriptor", with_fileno, -1)
  end)

  it("test_socket_fileno_rejects_negative: -42", function()
    misused("negative file descriptor", with_fileno, -42)
  end)

  it("test_socket_fileno_requires_valid_fd: not one that is closed", function()
    local fd = bad_fd()
    refused("EBADF", csock.socket, nil, nil, nil, fd)
    refused("EBADF", csock.socket, AF_INET, SOCK_STREAM, nil, fd)
  end)

  it("test_socket_fileno_requires_socket_fd: not a file", function()
    local file <close>, fd = open_file()
    refused("ENOTSOCK", csock.socket, nil, nil, nil, fd)
    refused("ENOTSOCK", csock.socket, AF_INET, SOCK_STREAM, nil, fd)
    assert.are.equal("#", file:read(1)) -- it is open as before
  end)
end)

describe("InheritanceTest", function()
  it("test_SOCK_CLOEXEC: is no part of the type", function()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_CLOEXEC)
    assert.are.equal(SOCK_STREAM, sock.type)
    assert.is_false(sock:get_inheritable())
  end)

  it("test_default_inheritable: none is", function()
    local sock <close> = csock.socket()
    assert.is_false(sock:get_inheritable())
  end)

  it("test_dup: a copy is not", function()
    local sock <close> = csock.socket()
    sock:set_inheritable(true)
    local copy <close> = sock:dup()
    sock:close()
    assert.is_false(copy:get_inheritable())
  end)

  it("test_set_inheritable: on and off", function()
    local sock <close> = csock.socket()
    sock:set_inheritable(true)
    assert.is_true(sock:get_inheritable())
    sock:set_inheritable(false)
    assert.is_false(sock:get_inheritable())
  end)

  it("test_get_inheritable_cloexec: asks the system", function()
    local sock <close> = csock.socket()
    assert.is_false(sock:get_inheritable())
    local twin = csock.socket(nil, nil, nil, sock:fileno())
    twin:set_inheritable(true)          -- behind its back
    twin:detach()
    assert.is_true(sock:get_inheritable())
  end)

  it("test_set_inheritable_cloexec: tells the system", function()
    local sock <close> = csock.socket()
    assert.is_true(has_flag(sock:fileno(), helper.O_CLOEXEC))
    sock:set_inheritable(true)
    assert.is_false(has_flag(sock:fileno(), helper.O_CLOEXEC))
  end)

  it("test_socketpair: neither is", function()
    local _pair <close>, a, b = pair()
    assert.are.same({false, false}, {a:get_inheritable(), b:get_inheritable()})
  end)
end)

-- Making one of another ---------------------------------------------------

describe("csock.socket(..., fileno)", function()
  it("finds out what the descriptor is", function()
    need_v6()
    local fd = csock.socket(AF_INET6, SOCK_DGRAM, csock.IPPROTO_UDP):detach()
    local sock <close> = csock.socket(nil, nil, nil, fd)
    assert.are.same({fd, AF_INET6, SOCK_DGRAM, csock.IPPROTO_UDP},
      {sock:fileno(), sock.family, sock.type, sock.proto})
  end)

  it("believes what it is told instead", function()
    local fd = csock.socket(AF_INET, SOCK_STREAM):detach()
    local sock <close> = csock.socket(AF_INET6, SOCK_DGRAM, 17, fd)
    assert.are.same({AF_INET6, SOCK_DGRAM, 17},
      {sock.family, sock.type, sock.proto})
  end)

  it("works on", function()
    local a, b <close> = csock.socketpair()
    local sock <close> = csock.socket(nil, nil, nil, a:detach())
    b:send "still here"
    assert.are.equal("still here", sock:recv(100))
  end)

  it("takes SOCK_NONBLOCK as a timeout of 0", function()
    local fd = csock.socket():detach()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK, 0, fd)
    assert.are.same({SOCK_STREAM, 0.0}, {sock.type, sock.timeout})
    assert.is_true(has_flag(fd, helper.O_NONBLOCK))
  end)

  it("gives it the default timeout", function()
    local fd = csock.socket():detach()
    csock.setdefaulttimeout(7)
    local ok, sock = pcall(csock.socket, nil, nil, nil, fd)
    csock.setdefaulttimeout(nil)
    assert.is_true(ok)
    assert.are.equal(7, sock.timeout)
    assert.is_true(has_flag(fd, helper.O_NONBLOCK))
    sock:close()
  end)

  it("waits though the descriptor has O_NONBLOCK", function()
    local a, b <close> = csock.socketpair(AF_UNIX,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    local sock <close> = csock.socket(nil, nil, nil, a:detach())
    assert.is_nil(sock.timeout)
    loop.run(function()
      local reader = loop.spawn(sock.recv, sock, 10)
      until_waiting(reader)
      b:send "late"
      assert.are.equal("late", reader:join())
    end)
  end)
end)

describe("csock.socket(family, type, proto)", function()
  it("takes -1 as what is usual, as Python", function()
    local sock <close> = csock.socket(-1, -1, -1)
    assert.are.same({AF_INET, SOCK_STREAM, 0},
      {sock.family, sock.type, sock.proto})
  end)

  it("takes no digits in a string", function()
    misused("#2 to 'socket' .integer expected, got string", csock.socket,
      AF_INET, "1")
  end)
end)

describe("dup", function()
  it("makes a socket of its own", function()
    local _pair <close>, a, b = pair()
    local copy <close> = a:dup()
    assert.are_not.equal(a:fileno(), copy:fileno())
    assert.are.same({a.family, a.type, a.proto},
      {copy.family, copy.type, copy.proto})
    a:close()
    b:send "still there"
    assert.are.equal("still there", copy:recv(100))
    copy:close()
    assert.are.equal("", b:recv(1))
  end)

  it("keeps the timeout, whatever the default is", function()
    csock.setdefaulttimeout(7)
    local made, sock = pcall(csock.socket)
    local copies = {}
    for i, timeout in ipairs {0.0, 3.5, false} do
      sock:settimeout(timeout or nil)
      copies[i] = sock:dup()
    end
    csock.setdefaulttimeout(nil)
    assert.is_true(made)
    assert.are.same({0.0, 3.5}, {copies[1].timeout, copies[2].timeout})
    assert.is_nil(copies[3].timeout)
    for _, copy in ipairs(copies) do copy:close() end
    sock:close()
  end)

  it("refuses when it is closed", function()
    local sock = csock.socket()
    sock:close()
    local err = refused("EBADF", sock.dup, sock)
    assert.are.equal("dup", err.op)
  end)

  it("keeps a safe one safe", function()
    local found, safe = pcall(require, "csock.safe")
    if not found then return pending "no csock.safe" end
    local sock <close> = safe.socket()
    local copy <close> = sock:dup()
    copy.timeout = 0
    local data, err = copy:recv(1)
    assert.is_nil(data)
    assert.is_true(csock.isinstance(err, csock.error))
  end)

  it("makes an instance of the class, by its __init", function()
    local seen
    local Named = class("Named", csock.socket, {
      __init = function(self, ...)
        seen = {...}
        csock.socket.__init(self, ...)
        self.name = "made"
      end,
    })
    local sock <close> = Named(AF_UNIX, SOCK_DGRAM)
    sock.name = "changed"
    local copy <close> = sock:dup()
    assert.is_true(csock.isinstance(copy, Named))
    assert.are.equal("made", copy.name)
    assert.are.same({AF_UNIX, SOCK_DGRAM, 0, copy:fileno()}, seen)
  end)

  -- The helper finds what is left open; and the number must not be closed
  -- twice, for it may be another's by then.
  local function fails(body)
    local Failing = class("Failing", csock.socket, {})
    local sock <close> = Failing()
    Failing.__init = body
    local ok, err = pcall(sock.dup, sock)
    assert.are.same({false, "no"}, {ok, err})
    local others = {}
    for i = 1, 5 do others[i] = csock.socket() end
    collectgarbage()
    collectgarbage()
    for _, other in ipairs(others) do assert.is_true(other:close()) end
  end

  it("leaves nothing open when that fails at once", function()
    fails(function() error("no", 0) end)
  end)

  it("leaves nothing open when that fails late", function()
    fails(function(self, ...)
      csock.socket.__init(self, ...)
      error("no", 0)
    end)
  end)

  it("leaves nothing with the poller of the loop", function()
    loop.run(function()
      local _pair <close>, a, b = pair()
      local reader = loop.spawn(a.recv, a, 1)
      until_waiting(reader)
      b:send "x"
      reader:join()
      local copy <close> = a:dup()      -- keeps the open file alive
      local number = a:fileno()
      a:close()
      for fd, target in pairs((helper.descriptors())) do
        local info = target:find "eventpoll" and
          io.open("/proc/self/fdinfo/" .. fd)
        if info then
          for watched in info:read("a"):gmatch "tfd:%s*(%d+)" do
            assert.are_not.equal(number, tonumber(watched))
          end
          info:close()
        end
      end
      assert.is_false(copy.closed)
    end)
  end)
end)

describe("csock.dup", function()
  it("gives another number for the same open file", function()
    local _pair <close>, a, b = pair()
    local fd = csock.dup(a:fileno())
    assert.are_not.equal(a:fileno(), fd)
    assert.is_true(has_flag(fd, helper.O_CLOEXEC))
    local sock <close> = csock.socket(nil, nil, nil, fd)
    b:send "x"
    assert.are.equal("x", sock:recv(10))
  end)

  it("refuses what is no open descriptor", function()
    refused("EBADF", csock.dup, bad_fd())
    refused("EBADF", csock.dup, -1)
    for _, wrong in ipairs {"1", 1.0, 1.5, {}, 1 << 31} do
      misused("", csock.dup, wrong)
    end
    misused("integer expected", csock.dup)
  end)
end)

describe("csock.close", function()
  it("refuses what is no open descriptor", function()
    refused("EBADF", csock.close, bad_fd())
    for _, wrong in ipairs {"1", 1.0, 1.5, {}, 1 << 31} do
      misused("", csock.close, wrong)
    end
  end)
end)

describe("csock.fromfd", function()
  it("copies a descriptor, which stays its owner's", function()
    local _pair <close>, a, b = pair()
    local sock <close> = csock.fromfd(a:fileno(), AF_UNIX, SOCK_STREAM)
    assert.are.same({AF_UNIX, SOCK_STREAM, 0},
      {sock.family, sock.type, sock.proto})
    assert.is_false(sock:get_inheritable())
    sock:close()
    b:send "x"
    assert.are.equal("x", a:recv(10))
  end)

  it("finds out what it is not told, but takes proto for 0", function()
    local udp <close> = csock.socket(AF_INET, SOCK_DGRAM)
    local sock <close> = csock.fromfd(udp:fileno())
    assert.are.same({AF_INET, SOCK_DGRAM, 0},
      {sock.family, sock.type, sock.proto})
    local other <close> = csock.fromfd(udp:fileno(), -1, -1, -1)
    assert.are.equal(csock.IPPROTO_UDP, other.proto)
  end)

  it("makes plain sockets with the default timeout", function()
    local _pair <close>, a = pair()
    csock.setdefaulttimeout(3)
    local ok, sock = pcall(csock.fromfd, a:fileno(), AF_UNIX, SOCK_STREAM)
    csock.setdefaulttimeout(nil)
    assert.is_true(ok)
    assert.are.equal(3.0, sock.timeout)
    sock:close()
  end)

  it("refuses what is no socket, and leaves nothing open", function()
    local file <close>, fd = open_file()
    local err = refused("ENOTSOCK", csock.fromfd, fd, AF_INET, SOCK_STREAM)
    assert.are.equal("fromfd", err.op)
    refused("EBADF", csock.fromfd, bad_fd(), AF_INET, SOCK_STREAM)
    refused("EBADF", csock.fromfd, -1, AF_INET, SOCK_STREAM)
    for _, wrong in ipairs {"1", 1.0, {}, 1 << 31} do
      misused("#1", csock.fromfd, wrong, AF_INET, SOCK_STREAM)
    end
    misused("#2", csock.fromfd, fd, "2")
    misused("#4", csock.fromfd, fd, AF_INET, SOCK_STREAM, {})
    assert.are.equal("#", file:read(1))
  end)
end)

describe("detach", function()
  it("gives the descriptor away, open", function()
    local a, b <close> = csock.socketpair()
    local number = a:fileno()
    local fd = a:detach()
    assert.are.same({number, true, -1}, {fd, a.closed, a:fileno()})
    local again <close> = csock.socket(nil, nil, nil, fd)
    again:send "open"
    assert.are.equal("open", b:recv(10))
  end)

  it("leaves nothing for the second time", function()
    local sock = csock.socket()
    local again <close> = csock.socket(nil, nil, nil, sock:detach())
    assert.are.equal(-1, sock:detach())
    refused("EBADF", sock.recv, sock, 1)
    assert.is_false(again.closed)
  end)

  it("wakes whoever waits, and frees the number for a new object", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local reader = loop.spawn(a.recv, a, 10)
      until_waiting(reader)
      local again <close> = csock.socket(nil, nil, nil, a:detach())
      refused("EBADF", reader.join, reader)
      local second = loop.spawn(again.recv, again, 10)
      until_waiting(second)
      b:send "mine"
      assert.are.equal("mine", second:join())
    end)
  end)
end)


describe("two objects on one descriptor", function()
  it("both work outside of tasks", function()
    local _pair <close>, a, b = pair()
    local twin = csock.socket(nil, nil, nil, a:fileno())
    b:send "ab"
    assert.are.same({"a", "b"}, {a:recv(1), twin:recv(1)})
    twin:detach()
  end)

  -- Each in a program of its own, which has to end in good order.
  local function survives(script)
    assert.are.equal("fine\n", run_lua([[
      local csock = require "csock"
      local loop = require "csock.loop"
      local a, b = csock.socketpair()
      local twin = csock.socket(nil, nil, nil, a:fileno())
      local function read(sock)         -- a task that has begun to wait
        local task = loop.spawn(pcall, sock.recv, sock, 1)
        repeat loop.sleep(0) until task:status() ~= "ready"
        return task
      end
      ]] .. script .. [[
      print "fine"]]))
  end

  it("end in good order when both wait as the loop ends", function()
    survives [[
      loop.run(function()
        read(a)
        read(twin)
      end)
      twin:detach()
      a:close()]]
  end)

  it("end in good order when the second leaves first", function()
    survives [[
      loop.run(function()
        read(a)
        read(twin)
        twin:detach()
        loop.sleep(0)
      end)
      a:close()]]
  end)

  it("end in good order when the first leaves first", function()
    survives [[
      loop.run(function()
        read(a)
        read(twin)
        a:close()
        loop.sleep(0)
      end)
      twin:detach()]]
  end)

  it("do not keep a later owner of the number from its data", function()
    survives [[
      loop.run(function()
        read(a)
        local number = a:fileno()
        twin:close()                    -- and `a` knows nothing of it
        local c, d = csock.socketpair()
        assert(c:fileno() == number)
        local reader = read(c)
        d:send "x"
        local ok, data = reader:join(40)
        assert(ok and data == "x")
        a:detach()
        reader = read(c)
        d:send "y"
        ok, data = reader:join(40)
        assert(ok and data == "y")
        c:close()
        d:close()
      end)]]
  end)
end)

describe("every descriptor is closed by exec:", function()
  local function check(fd) assert.is_true(has_flag(fd, helper.O_CLOEXEC)) end

  it("a new socket's", function()
    local sock <close> = csock.socket()
    check(sock:fileno())
  end)

  it("a new socket's with a timeout", function()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    check(sock:fileno())
  end)

  it("both ends of a pair", function()
    local _pair <close>, a, b = pair()
    check(a:fileno())
    check(b:fileno())
  end)

  local function accepted()
    local _pair <close>, client, server = connected()
    check(client:fileno())
    check(server:fileno())
  end
  it("an accepted socket's, outside of tasks", accepted)
  it("an accepted socket's, in a task", function() loop.run(accepted) end)

  it("a created connection's", function()
    local listener <close> = listening()
    local sock <close> = csock.create_connection(listener:getsockname())
    check(sock:fileno())
  end)

  it("whatever the loop opens", function()
    local before = helper.descriptors()
    loop.run(function()
      for fd in pairs((helper.descriptors())) do
        if not before[fd] then check(fd) end
      end
    end)
  end)
end)

-- Somebody else takes O_NONBLOCK from the open file: what has no flag of its
-- own for "do not wait" must look again.  In a program of its own, which would
-- hang for ever.
describe("an open file that somebody makes block", function()
  local function prints(expected, script)
    assert.are.equal(expected, run_lua([[
      local csock = require "csock"
      local loop = require "csock.loop"
      local function block(sock)        -- as another process would
        local twin = csock.socket(nil, nil, nil, sock:fileno())
        twin.timeout = 1
        twin.timeout = nil
        twin:detach()
      end
      local function full(sock)         -- the peer takes no more
        sock.timeout = 0
        while pcall(sock.send, sock, ("x"):rep(65536)) do end
      end
      local function fails(f, ...)
        local ok, err = pcall(f, ...)
        print(not ok and err.code)
      end
      local function everywhere(f)
        f()
        loop.run(f)
      end
      ]] .. script))
  end

  it("keeps the timeout of accept", function()
    prints("ETIMEDOUT\nETIMEDOUT\n", [[
      everywhere(function()
        local listener <close> = csock.create_server{"127.0.0.1", 0}
        listener.timeout = 0.02
        block(listener)
        fails(listener.accept, listener)
      end)]])
  end)

  it("keeps an accept that does not wait from waiting", function()
    prints("EAGAIN\nEAGAIN\n", [[
      everywhere(function()
        local listener <close> = csock.create_server{"127.0.0.1", 0}
        listener.timeout = 0
        block(listener)
        fails(listener.accept, listener)
      end)]])
  end)

  it("keeps an accept in a task from blocking the loop", function()
    prints("turn\ntrue\n", [[
      loop.run(function()
        local listener <close> = csock.create_server{"127.0.0.1", 0}
        pcall(loop.timeout, 0.01, listener.accept, listener)
        block(listener)
        local task = loop.spawn(listener.accept, listener)
        loop.sleep(0)
        print "turn"
        local client <close> = csock.create_connection(listener:getsockname())
        local conn <close> = task:join()
        print(conn:getpeername() == client:getsockname())
      end)]])
  end)

  it("keeps an accept that has begun to wait from blocking the loop", function()
    prints("turn\ncancelled\n", [[
      loop.run(function()
        local listener <close> = csock.socket(csock.AF_UNIX)
        listener:bind ""
        listener:listen()
        local copy <close> = listener:dup()
        local task = loop.spawn(listener.accept, listener)
        while task:status() ~= "waiting" do loop.sleep(0) end
        local client <close> = csock.socket(csock.AF_UNIX)
        client:connect(listener:getsockname())  -- does not wait
        local conn <close> = copy:accept()      -- and none is left
        block(copy)
        for _ = 1, 10 do loop.sleep(0) end      -- the task has looked
        print "turn"
        task:cancel()
        local ok, err = pcall(task.join, task)
        print(csock.isinstance(err, csock.CancelledError) and "cancelled")
      end)]])
  end)

  it("keeps the timeout of connect", function()
    prints("ETIMEDOUT\nETIMEDOUT\n", [[
      everywhere(function()
        local listener <close> = csock.socket(csock.AF_UNIX)
        listener:bind ""
        listener:listen(0)
        local crowd = {}
        repeat
          local sock = csock.socket(csock.AF_UNIX)
          crowd[#crowd + 1] = sock
          sock.timeout = 0
        until not pcall(sock.connect, sock, listener:getsockname())
        local sock <close> = csock.socket(csock.AF_UNIX)
        sock.timeout = 0.02
        block(sock)
        fails(sock.connect, sock, listener:getsockname())
        for _, one in ipairs(crowd) do one:close() end
      end)]])
  end)

  it("keeps the timeout of sendfile", function()
    prints("ETIMEDOUT\nETIMEDOUT\n", [[
      everywhere(function()
        local a, b = csock.socketpair()
        full(a)
        a.timeout = 0.02
        block(a)
        local file <close> = io.open "Makefile"
        fails(a.sendfile, a, file)
        a:close()
        b:close()
      end)]])
  end)

  it("is made not to again by settimeout", function()
    local _pair <close>, a = pair()
    local copy <close> = a:dup()
    a.timeout = 5
    copy.timeout = 5
    copy.timeout = nil
    a.timeout = 6
    assert.is_true(has_flag(a:fileno(), helper.O_NONBLOCK))
  end)

  it("lets the one wait and the other not", function()
    local _pair <close>, a, b = pair()
    local copy <close> = a:dup()
    copy.timeout = 0
    refused("EAGAIN", copy.recv, copy, 1)
    loop.run(function()
      local reader = loop.spawn(a.recv, a, 10)
      until_waiting(reader)
      refused("EAGAIN", copy.recv, copy, 1)
      b:send "late"
      assert.are.equal("late", reader:join())
    end)
  end)
end)
