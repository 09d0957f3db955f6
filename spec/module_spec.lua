-- module: what the module csock is as a whole: names that are there, and those
-- of CPython's GeneralModuleTests that belong to no other noun.  Not here:
-- names that are looked up (resolve_spec), addresses as bytes (inet_spec),
-- files (file_spec).

local csock = require "csock"
local helper = require "spec.helper"

local AF_INET = csock.AF_INET
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM
local HOST = "127.0.0.1"
local misused, raises = helper.misused, helper.raises

describe("GeneralModuleTests", function()
  it("test_repr: descriptor, family, type, protocol, name", function()
    local s <close> = csock.socket(AF_INET, SOCK_STREAM)
    local function shows(text)
      return tostring(s):find(text, 1, true) ~= nil
    end
    assert.is_true(shows("fd=" .. s:fileno()))
    assert.is_true(shows("family=" .. AF_INET))
    assert.is_true(shows("type=" .. SOCK_STREAM))
    assert.is_true(shows "proto=0")
    assert.is_false(shows "raddr")
    s:bind {HOST, 0}
    assert.is_true(shows "laddr")
    assert.is_true(shows(tostring(s:getsockname())))
    s:close()
    assert.is_true(shows "[closed]")
    assert.is_false(shows "laddr")
  end)

  it("test_weakref: a socket that nobody holds goes", function()
    local weak = setmetatable({}, {__mode = "v"})
    do
      local s <close> = csock.socket(AF_INET, SOCK_STREAM)
      weak.s = s
      assert.are.equal(s:fileno(), weak.s:fileno())
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak.s)
  end)

  it("testSocketError: the classes can be raised", function()
    raises(csock.OSError, error, csock.OSError())
    raises(csock.OSError, error, csock.herror())
    raises(csock.OSError, error, csock.gaierror())
    assert.are.equal(csock.OSError, csock.error)
  end)

  it("testSendtoErrors: what is wrong is told, and not sent", function()
    local s <close> = csock.socket(AF_INET, SOCK_DGRAM)
    s:bind {"", 0}
    local name = {HOST, s:getsockname()[2]}
    local sendto = s.sendto
    for _, data in ipairs {{}, true, s, print} do
      local got = "#%d.*string or buffer expected, got "
      misused(got, sendto, s, data, name)
      misused(got, sendto, s, data, 0, name)
    end
    misused("got nil", sendto, s, "foo", nil)
    misused("got nil", sendto, s, "foo", 0, nil)
    misused("integer expected, got string", sendto, s, "foo", "bar", name)
    misused("integer expected, got nil", sendto, s, "foo", nil, nil)
    misused("#3.*got nil", sendto, s, "foo")
    misused("#5.*3 arguments at most", sendto, s, "foo", 0, name, 4)
    s.timeout = 0
    raises(csock.BlockingIOError, s.recv, s, 10)
    s:sendto("foo", 0, name)
    s.timeout = nil
    assert.are.equal("foo", s:recv(10))
  end)

  it("testCrucialConstants: they are there", function()
    for _, name in ipairs {"AF_INET", "SOCK_STREAM", "SOCK_DGRAM", "SOCK_RAW",
      "SOCK_RDM", "SOCK_SEQPACKET", "SOL_SOCKET", "SO_REUSEADDR",
      csock.has_ipv6 and "AF_INET6" or nil} do
      assert.are.equal("integer", math.type(csock[name]), name)
    end
  end)

  it("testCrucialIpProtoConstants: they are there", function()
    for _, name in ipairs {"IPPROTO_TCP", "IPPROTO_UDP",
      csock.has_ipv6 and "IPPROTO_IPV6" or nil} do
      assert.are.equal("integer", math.type(csock[name]), name)
    end
  end)

  it("test_socket_methods: they are there", function()
    for _, name in ipairs {"accept", "bind", "connect", "connect_ex",
      "getpeername", "getsockname", "listen", "recvfrom", "recvfrom_into",
      "sendto", "setsockopt", "shutdown"} do
      assert.is_function(csock.socket[name], name)
    end
  end)

  it("testDefaultTimeout: none, until it is set", function()
    finally(function() csock.setdefaulttimeout(nil) end)
    local function check(timeout)
      assert.are.equal(timeout, csock.getdefaulttimeout())
      local s <close> = csock.socket()
      assert.are.equal(timeout, s:gettimeout())
    end
    check(nil)
    csock.setdefaulttimeout(10)
    check(10)
    csock.setdefaulttimeout(nil)
    check(nil)
    misused("negative", csock.setdefaulttimeout, -1)
    misused("got string", csock.setdefaulttimeout, "spam")
    check(nil)
  end)

  it("testSockName: where it was bound", function()
    local sock <close> = csock.socket(AF_INET, SOCK_STREAM)
    local port = helper.bind_unused(sock, "0.0.0.0")
    local name = sock:getsockname()
    assert.are.equal("0.0.0.0", name[1])
    assert.are.equal(port, name[2])
  end)

  it("testGetSockOpt: a socket begins without SO_REUSEADDR", function()
    local sock <close> = csock.socket(AF_INET, SOCK_STREAM)
    assert.are.equal(0, sock:getsockopt(csock.SOL_SOCKET, csock.SO_REUSEADDR))
  end)

  it("testSetSockOpt: it can be given it", function()
    local sock <close> = csock.socket(AF_INET, SOCK_STREAM)
    sock:setsockopt(csock.SOL_SOCKET, csock.SO_REUSEADDR, 1)
    assert.are_not.equal(0,
      sock:getsockopt(csock.SOL_SOCKET, csock.SO_REUSEADDR))
  end)

  it("testSendAfterClose: refused, with a timeout too", function()
    local sock = csock.socket(AF_INET, SOCK_STREAM)
    sock:settimeout(1)
    sock:close()
    assert.are.equal(csock.EBADF, raises(csock.error, sock.send, sock,
      "spam").errno)
  end)

  it("testNewAttributes: family, type, protocol", function()
    local sock <close> = csock.socket(AF_INET, SOCK_STREAM)
    assert.are.equal(AF_INET, sock.family)
    assert.are.equal(SOCK_STREAM, sock.type)
    assert.are.equal(0, sock.proto)
  end)

  -- Ctrl-C's hook in the stand-alone interpreter is the handler that raises; a
  -- process that is stopped and goes on had one that does not.
  local function check_sendall_interrupted(with_timeout)
    local process = helper.spawn_process(("%s -e %s 2>&1"):format(helper.lua,
      helper.quote(([[
        local csock = require "csock"
        local with_timeout = %s
        local data = ("x"):rep(16 * 1024 * 1024 + 1)
        local c, s = csock.socketpair()
        if with_timeout then c:settimeout(60) end
        io.stdout:setvbuf "no"
        print "go"
        print(pcall(c.sendall, c, data))
        if not with_timeout then return end
        c:settimeout(0.2)
        print "again"
        local start = csock.loop.now()
        local ok, err = pcall(c.sendall, c, data)
        print(ok, csock.isinstance(err, csock.timeout), err.op,
          csock.loop.now() - start >= 0.2)]]):format(with_timeout))))
    assert.are.equal("go", process:read "l")
    process:until_asleep()
    process:kill "INT"
    assert.matches("^false\t.*interrupted!$", process:read "l")
    if with_timeout then
      assert.are.equal("again", process:read "l")
      process:until_asleep()
      process:kill "STOP"
      process:kill "CONT"
      assert.are.equal("false\ttrue\tsendall\ttrue", process:read "l")
    end
    assert.are.equal("", process:read "a")
    assert.is_true(process:wait())
  end

  it("test_sendall_interrupted: by a handler that raises", function()
    check_sendall_interrupted(false)
  end)

  it("test_sendall_interrupted_with_timeout: which is for the whole",
  function()
    check_sendall_interrupted(true)
  end)

  it("test_listen_backlog: small, negative, none", function()
    for _, backlog in ipairs {0, -1} do
      local srv <close> = csock.socket(AF_INET, SOCK_STREAM)
      srv:bind {HOST, 0}
      assert.is_true(srv:listen(backlog))
    end
    local srv <close> = csock.socket(AF_INET, SOCK_STREAM)
    srv:bind {HOST, 0}
    assert.is_true(srv:listen())
  end)

  it("test_listen_backlog_overflow: no C integer", function()
    local srv <close> = csock.socket(AF_INET, SOCK_STREAM)
    srv:bind {HOST, 0}
    misused("out of range", srv.listen, srv, 1 << 31)
  end)

  it("test_socket_consistent_sock_type: the type has no flags", function()
    local sock_type = SOCK_STREAM | (csock.SOCK_NONBLOCK or 0) |
      (csock.SOCK_CLOEXEC or 0)
    local s <close> = csock.socket(AF_INET, sock_type)
    assert.are.equal(SOCK_STREAM, s.type)
    s:settimeout(1)
    assert.are.equal(SOCK_STREAM, s.type)
    s:settimeout(0)
    assert.are.equal(SOCK_STREAM, s.type)
    s:setblocking(true)
    assert.are.equal(SOCK_STREAM, s.type)
    s:setblocking(false)
    assert.are.equal(SOCK_STREAM, s.type)
  end)

  it("test_unknown_socket_family_repr: a number without a name", function()
    local function unknown(prefix)
      local most = 0
      for name, value in pairs(csock) do
        if type(name) == "string" and name:find("^" .. prefix) and
          name ~= "SOCK_NONBLOCK" and name ~= "SOCK_CLOEXEC" then
          most = math.max(most, value)
        end
      end
      return most + 1
    end
    local family, kind = unknown "AF_", unknown "SOCK_"
    local fd = csock.socket(AF_INET, SOCK_STREAM):detach()
    local s <close> = csock.socket(family, kind, 23, fd)
    assert.are.equal(family, s.family)
    assert.are.equal(kind, s.type)
    assert.are.equal(23, s.proto)
    assert.matches(("family=%d, type=%d, proto=23"):format(family, kind),
      tostring(s))
  end)
end)
