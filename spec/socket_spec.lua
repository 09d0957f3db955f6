-- socket: the class csock.socket: how one is made, what its methods and
-- properties do on each family, how it waits, inside and outside of tasks, and
-- how it ends.  Not here: descriptors that are adopted, copied or given away
-- (descriptor_spec), what addresses look like (address_spec), each option
-- (option_spec), the shape of errors (error_spec), Python (interop_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local closer, pair, random_bytes, until_waiting =
  helper.closer, helper.pair, helper.random_bytes, helper.until_waiting
local misused, refused = helper.misused, helper.refused

local class = csock.class
local AF_INET, AF_INET6, AF_UNIX = csock.AF_INET, csock.AF_INET6, csock.AF_UNIX
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM
local SOCK_SEQPACKET = csock.SOCK_SEQPACKET

-- Tools -------------------------------------------------------------------

-- The same test twice: waits go to the system, and waits go to the loop.
local function everywhere(name, f)
  it(name .. ", outside of tasks", f)
  it(name .. ", in a task", function() loop.run(f) end)
end

local has_v6 = pcall(function()
  local sock <close> = csock.socket(AF_INET6)
  sock:bind {"::1", 0}
end)

local function need(family)
  if family == AF_INET6 and not has_v6 then pending "no IPv6 here" end
end

-- An address of this family to bind to.
local function place(family)
  need(family)
  if family == AF_INET then return {"127.0.0.1", 0} end
  if family == AF_INET6 then return {"::1", 0} end
  return helper.tmpdir() .. "/socket"
end

local function bound(family, kind)
  local sock = csock.socket(family, kind)
  sock:bind(place(family))
  return sock
end

local function listening(family, kind)
  local sock = bound(family or AF_INET, kind or SOCK_STREAM)
  sock:listen()
  return sock
end

-- Two sockets connected to each other through a listener, behind their closer.
local function connected(family, kind)
  local listener <close> = listening(family, kind)
  local client = csock.socket(family or AF_INET, kind or SOCK_STREAM)
  client:connect(listener:getsockname())
  return closer(client, (listener:accept()))
end

-- A listener whose queue is full, and what fills it, behind their closer.
local function crowded(family)
  local listener = bound(family, SOCK_STREAM)
  listener:listen(0)
  local all = {listener}
  repeat
    local sock = csock.socket(family)
    all[#all + 1] = sock
    sock.timeout = 0.1
  until not pcall(sock.connect, sock, listener:getsockname())
  return closer(table.unpack(all))
end

-- Sends until the system takes no more.
local function fill(sock)
  local timeout = sock.timeout
  sock.timeout = 0
  local piece = ("x"):rep(65536)
  while pcall(sock.send, sock, piece) do end
  sock.timeout = timeout
end

-- A datagram socket, and one that has had all that it can take; first their
-- closer.
local function full_receiver()
  local receiver = bound(AF_UNIX, SOCK_DGRAM)
  local sender = csock.socket(AF_UNIX, SOCK_DGRAM)
  sender.timeout = 0
  while pcall(sender.sendto, sender, "x", receiver:getsockname()) do end
  sender.timeout = nil
  return closer(sender, receiver)
end

-- Reads up to the end of the stream.
local function read_all(sock, most)
  local parts = {}
  repeat
    local data = sock:recv(math.random(1, most or 100000))
    parts[#parts + 1] = data
  until data == ""
  return table.concat(parts)
end

local function nonblocking(fd)
  return (helper.flags(fd) or pending "no /proc/self/fdinfo here") &
    helper.O_NONBLOCK ~= 0
end

-- Runs a Lua program in a process of its own; what it prints, errors too.
local function run_lua(script, options)
  local pipe <close> = assert(io.popen(("%s %s -e %s 2>&1"):format(helper.lua,
    options or "", helper.quote(script))))
  return pipe:read "a"
end

-- Making ------------------------------------------------------------------

describe("csock.socket(...)", function()
  it("makes an IPv4 stream when it is told nothing", function()
    local sock <close> = csock.socket()
    assert.are.same({AF_INET, SOCK_STREAM, 0},
      {sock.family, sock.type, sock.proto})
  end)

  for _, kind in ipairs {
    {"AF_INET", "SOCK_STREAM"}, {"AF_INET", "SOCK_DGRAM"},
    {"AF_INET6", "SOCK_STREAM"}, {"AF_INET6", "SOCK_DGRAM"},
    {"AF_UNIX", "SOCK_STREAM"}, {"AF_UNIX", "SOCK_DGRAM"},
    {"AF_UNIX", "SOCK_SEQPACKET"},
  } do
    it(("makes one of %s, %s"):format(kind[1], kind[2]), function()
      need(csock[kind[1]])
      local sock <close> = csock.socket(csock[kind[1]], csock[kind[2]])
      assert.are.same({csock[kind[1]], csock[kind[2]]},
        {sock.family, sock.type})
      assert.are.equal(csock[kind[2]],
        sock:getsockopt(csock.SOL_SOCKET, csock.SO_TYPE))
    end)
  end

  it("keeps the protocol it is given", function()
    local sock <close> = csock.socket(AF_INET, SOCK_DGRAM, csock.IPPROTO_UDP)
    assert.are.equal(csock.IPPROTO_UDP, sock.proto)
  end)

  it("makes an instance of the class", function()
    local sock <close> = csock.socket()
    assert.is_true(csock.isinstance(sock, csock.socket))
    assert.are.equal("userdata", type(sock))
  end)

  it("takes SOCK_NONBLOCK as a timeout of 0", function()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    assert.are.equal(0, sock.timeout)
    assert.is_true(nonblocking(sock:fileno()))
  end)

  it("keeps flags out of the type", function()
    local sock <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK | csock.SOCK_CLOEXEC)
    assert.are.equal(SOCK_STREAM, sock.type)
  end)

  it("refuses a family that does not exist", function()
    refused("EAFNOSUPPORT", csock.socket, 12345)
  end)

  it("refuses a type that the family has not", function()
    refused("ESOCKTNOSUPPORT", csock.socket, AF_INET, SOCK_SEQPACKET)
  end)

  it("refuses a protocol that the type has not", function()
    refused("EPROTONOSUPPORT", csock.socket, AF_INET, SOCK_STREAM,
      csock.IPPROTO_UDP)
  end)

  for i, name in ipairs {"family", "type", "proto", "fileno"} do
    it("refuses a wrong " .. name, function()
      for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
        local args = {}
        args[i] = wrong
        misused("bad argument #" .. i .. " ", function()
          local sock = csock.socket(args[1], args[2], args[3], args[4])
          sock:close()
        end)
      end
    end)
  end
end)

describe("the default timeout", function()
  local function with_default(timeout, f)
    csock.setdefaulttimeout(timeout)
    local _back <close> = setmetatable({}, {
      __close = function() csock.setdefaulttimeout(nil) end,
    })
    f()
  end

  it("is none at first", function()
    assert.is_nil(csock.getdefaulttimeout())
    local sock <close> = csock.socket()
    assert.is_nil(sock.timeout)
  end)

  it("is told as it was set", function()
    with_default(2.5, function()
      assert.are.equal(2.5, csock.getdefaulttimeout())
    end)
  end)

  it("is that of a new socket", function()
    with_default(2.5, function()
      local sock <close> = csock.socket()
      assert.are.equal(2.5, sock.timeout)
    end)
  end)

  it("is that of both ends of a pair", function()
    with_default(2.5, function()
      local _pair <close>, a, b = pair()
      assert.are.same({2.5, 2.5}, {a.timeout, b.timeout})
    end)
  end)

  it("leaves older sockets alone", function()
    local sock <close> = csock.socket()
    with_default(2.5, function() assert.is_nil(sock.timeout) end)
  end)

  it("of 0 makes sockets that do not wait", function()
    with_default(0, function()
      local _pair <close>, a = pair()
      refused("EAGAIN", a.recv, a, 1)
    end)
  end)

  it("refuses what is no timeout, and stays", function()
    with_default(2.5, function()
      for _, wrong in ipairs {-1, 0 / 0, 1 / 0, "x", {}, false} do
        misused("bad argument #1 to 'setdefaulttimeout'", function()
          csock.setdefaulttimeout(wrong)
        end)
      end
      misused("bad argument #1", function() csock.setdefaulttimeout() end)
      assert.are.equal(2.5, csock.getdefaulttimeout())
    end)
  end)
end)

describe("csock.socketpair(...)", function()
  it("makes two connected Unix streams", function()
    local _pair <close>, a, b = pair()
    assert.are.same({AF_UNIX, SOCK_STREAM, AF_UNIX, SOCK_STREAM},
      {a.family, a.type, b.family, b.type})
    a:send "there"
    b:send "back"
    assert.are.same({"there", "back"}, {b:recv(10), a:recv(10)})
  end)

  it("makes datagram and seqpacket pairs", function()
    for _, kind in ipairs {SOCK_DGRAM, SOCK_SEQPACKET} do
      local _pair <close>, a, b = pair(AF_UNIX, kind)
      assert.are.equal(kind, a.type)
      a:send "one"
      a:send "two"
      assert.are.same({"one", "two"}, {b:recv(10), b:recv(10)})
    end
  end)

  it("takes SOCK_NONBLOCK as a timeout of 0", function()
    local _pair <close>, a, b = pair(AF_UNIX,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    assert.are.same({0.0, 0.0}, {a.timeout, b.timeout})
    assert.is_true(nonblocking(b:fileno()))
  end)

  it("refuses a family that has no pairs", function()
    refused("EOPNOTSUPP", csock.socketpair, AF_INET)
  end)

  it("refuses wrong arguments", function()
    for i = 1, 3 do
      for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
        local args = {}
        args[i] = wrong
        misused("bad argument #" .. i .. " to 'socketpair'", function()
          csock.socketpair(args[1], args[2], args[3])
        end)
      end
    end
  end)
end)

-- Names -------------------------------------------------------------------

describe("bind and getsockname", function()
  for _, name in ipairs {"AF_INET", "AF_INET6"} do
    local family = csock[name]

    it("give a port of the system's choice on " .. name, function()
      local sock <close> = csock.socket(family)
      assert.is_true(sock:bind(place(family)))
      local address = sock:getsockname()
      assert.are.equal(place(family)[1], address[1])
      assert.is_true(address[2] > 0)
    end)

    it("tell port 0 before, on " .. name, function()
      need(family)
      local sock <close> = csock.socket(family)
      assert.are.equal(0, sock:getsockname()[2])
    end)

    it("refuse an address in use on " .. name, function()
      local one <close> = listening(family)
      local two <close> = csock.socket(family)
      refused("EADDRINUSE", two.bind, two, one:getsockname())
    end)
  end

  it("refuse an address of another machine", function()
    local sock <close> = csock.socket()
    refused("EADDRNOTAVAIL", sock.bind, sock, {"198.51.100.7", 0})
  end)

  it("refuse a second name", function()
    local sock <close> = bound(AF_INET)
    refused("EINVAL", sock.bind, sock, {"127.0.0.1", 0})
  end)
end)

describe("getpeername", function()
  for _, name in ipairs {"AF_INET", "AF_INET6", "AF_UNIX"} do
    it("tells the name of the other end on " .. name, function()
      local listener <close> = listening(csock[name])
      local client <close> = csock.socket(csock[name])
      client:connect(listener:getsockname())
      local server <close> = listener:accept()
      assert.are.equal(listener:getsockname(), client:getpeername())
      assert.are.equal(client:getsockname(), server:getpeername())
    end)
  end

  it("refuses when there is no other end", function()
    local sock <close> = csock.socket()
    refused("ENOTCONN", sock.getpeername, sock)
  end)
end)

describe("an AF_UNIX name", function()
  local function abstract(name)
    return ("\0csock-%x-%s"):format(math.random(0), name)
  end

  local function own_name(name)
    local sock <close> = csock.socket(AF_UNIX)
    sock:bind(name)
    return sock:getsockname()
  end

  it("is empty for both ends of a pair", function()
    local _pair <close>, a = pair()
    assert.are.same({"", ""}, {a:getsockname(), a:getpeername()})
  end)

  it("may have 107 bytes as a path, the most with its zero", function()
    local directory = helper.tmpdir() .. "/"
    local path = directory .. ("p"):rep(107 - #directory)
    assert.are.equal(path, own_name(path))
  end)

  it("is refused as a path of 108 bytes", function()
    local sock <close> = csock.socket(AF_UNIX)
    local path = helper.tmpdir() .. "/"
    path = path .. ("p"):rep(108 - #path)
    local err = refused(nil, sock.bind, sock, path) -- as in Python, no errno
    assert.are.equal("AF_UNIX path too long", err.strerror)
    assert.are.equal("", sock:getsockname())
  end)

  it("is refused as a path with a zero in it", function()
    local sock <close> = csock.socket(AF_UNIX)
    local path = helper.tmpdir() .. "/a"
    misused("bad argument #1 to 'bind'.*zero",
      function() sock:bind(path .. "\0b") end)
    assert.is_nil(io.open(path))
  end)

  it("is refused when the path exists", function()
    local path = helper.tmpdir() .. "/s"
    local one <close> = csock.socket(AF_UNIX)
    one:bind(path)
    local two <close> = csock.socket(AF_UNIX)
    refused("EADDRINUSE", two.bind, two, path)
  end)

  it("is refused where the directory is missing", function()
    local sock <close> = csock.socket(AF_UNIX)
    refused("ENOENT", sock.bind, sock, helper.tmpdir() .. "/none/s")
  end)

  it("distinguishes abstract names that differ in their zeros", function()
    local name = abstract "z"
    local one <close> = csock.socket(AF_UNIX)
    local two <close> = csock.socket(AF_UNIX)
    one:bind(name)
    two:bind(name .. "\0")
    assert.are_not.equal(one:getsockname(), two:getsockname())
  end)

  it("leads to the listener that has it", function()
    local name = abstract "listener\0"
    local listener <close> = csock.socket(AF_UNIX)
    listener:bind(name)
    listener:listen()
    local client <close> = csock.socket(AF_UNIX)
    client:connect(name)
    assert.are.equal(name, client:getpeername())
    local server <close>, peer = listener:accept()
    assert.are.equal("", peer)
    client:send "hello"
    assert.are.equal("hello", server:recv(10))
  end)

  it("leads nowhere when nobody has it", function()
    local sock <close> = csock.socket(AF_UNIX)
    refused("ECONNREFUSED", sock.connect, sock, abstract "nobody")
  end)
end)

describe("an AF_INET6 name", function()
  -- An address that means something on one interface only: it, its number.
  local function link_local()
    local file <close> = io.open "/proc/net/if_inet6"
    for line in file and file:lines() or function() end do
      local digits, index = line:match "^(fe80%x+) (%x+) "
      if digits then
        return digits:gsub("%x%x%x%x", "%0:", 7), tonumber(index, 16)
      end
    end
    pending "no link-local address here"
  end

  it("keeps its scope id", function()
    need(AF_INET6)
    local host, index = link_local()
    local sock <close> = csock.socket(AF_INET6, SOCK_DGRAM)
    sock:bind {host, 0, 0, index}
    assert.are.equal(index, sock:getsockname()[4])
  end)

  it("is refused without the scope id that it needs", function()
    need(AF_INET6)
    local sock <close> = csock.socket(AF_INET6, SOCK_DGRAM)
    refused("EINVAL", sock.bind, sock, {(link_local()), 0})
  end)

  it("comes back from recvfrom with its scope id", function()
    need(AF_INET6)
    local host, index = link_local()
    local one <close> = csock.socket(AF_INET6, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET6, SOCK_DGRAM)
    one:bind {host, 0, 0, index}
    two:bind {host, 0, 0, index}
    two:sendto("x", one:getsockname())
    local _, address = one:recvfrom(10)
    assert.are.equal(two:getsockname(), address)
  end)

  it("takes a flowinfo of 20 bits", function()
    need(AF_INET6)
    local sock <close> = csock.socket(AF_INET6)
    assert.is_true(sock:bind {"::1", 0, 0xfffff})
  end)
end)

-- Connections -------------------------------------------------------------

describe("listen", function()
  it("lets the system keep connections for accept", function()
    local listener <close> = bound(AF_INET)
    assert.is_true(listener:listen(5))
    assert.is_true(listener.acceptconn)
  end)

  it("takes a backlog below 0 as 0", function()
    local listener <close> = bound(AF_INET)
    assert.is_true(listener:listen(-1))
    local client <close> = csock.socket()
    assert.is_true(client:connect(listener:getsockname()))
  end)

  it("refuses what has no connections", function()
    local sock <close> = bound(AF_INET, SOCK_DGRAM)
    refused("EOPNOTSUPP", sock.listen, sock)
  end)

  it("refuses a wrong backlog", function()
    local listener <close> = bound(AF_INET)
    for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
      misused("bad argument #1 to 'listen'",
        function() listener:listen(wrong) end)
    end
    assert.is_false(listener.acceptconn)
  end)
end)

describe("accept", function()
  for _, name in ipairs {"AF_INET", "AF_INET6", "AF_UNIX"} do
    local family = csock[name]
    everywhere("gives a socket of the same kind on " .. name, function()
      local listener <close> = listening(family)
      local client <close> = csock.socket(family)
      client:connect(listener:getsockname())
      local server <close> = listener:accept()
      assert.are.same({family, SOCK_STREAM, false},
        {server.family, server.type, server.closed})
      client:sendall "ping"
      assert.are.equal("ping", server:recv(10))
      server:sendall "pong"
      assert.are.equal("pong", client:recv(10))
    end)
  end

  everywhere("works with seqpacket sockets", function()
    local _pair <close>, client, server = connected(AF_UNIX, SOCK_SEQPACKET)
    assert.are.equal(SOCK_SEQPACKET, server.type)
    client:send "whole"
    assert.are.equal("whole", server:recv(10))
  end)

  everywhere("tells the address of the peer", function()
    local listener <close> = listening()
    local client <close> = csock.socket()
    client:connect(listener:getsockname())
    local _server <close>, address = listener:accept()
    assert.are.equal(client:getsockname(), address)
  end)

  it("tells the path of a peer that has one", function()
    local listener <close> = listening(AF_UNIX)
    local client <close> = bound(AF_UNIX)
    client:connect(listener:getsockname())
    local _server <close>, address = listener:accept()
    assert.are.equal(client:getsockname(), address)
  end)

  it("waits in a task until somebody comes", function()
    local listener <close> = listening()
    loop.run(function()
      local acceptor = loop.spawn(listener.accept, listener)
      until_waiting(acceptor)
      local client <close> = csock.socket()
      client:connect(listener:getsockname())
      local _server <close>, address = acceptor:join()
      assert.are.equal(client:getsockname(), address)
    end)
  end)

  everywhere("refuses when the socket does not listen", function()
    local sock <close> = bound(AF_INET)
    refused("EINVAL", sock.accept, sock)
  end)
end)

describe("connect", function()
  -- The address of a port where nobody listens.
  local function deserted()
    return {"127.0.0.1", helper.deserted_port()}
  end

  everywhere("says true", function()
    local listener <close> = listening()
    local sock <close> = csock.socket()
    assert.is_true(sock:connect(listener:getsockname()))
  end)

  everywhere("works within a timeout", function()
    local listener <close> = listening()
    local sock <close> = csock.socket()
    sock.timeout = 40
    assert.is_true(sock:connect(listener:getsockname()))
    assert.are.equal(listener:getsockname(), sock:getpeername())
  end)

  everywhere("looks up a name", function()
    local listener <close> = listening()
    local sock <close> = csock.socket()
    assert.is_true(sock:connect {"localhost", listener:getsockname()[2]})
    assert.are.equal("127.0.0.1", sock:getpeername()[1])
  end)

  everywhere("raises when nobody listens", function()
    local sock <close> = csock.socket()
    local err = refused("ECONNREFUSED", sock.connect, sock, deserted())
    assert.is_true(csock.isinstance(err, csock.ConnectionRefusedError))
  end)

  everywhere("raises when nobody listens, within a timeout", function()
    local sock <close> = csock.socket()
    sock.timeout = 40
    refused("ECONNREFUSED", sock.connect, sock, deserted())
  end)

  everywhere("raises for a path that is not there", function()
    local sock <close> = csock.socket(AF_UNIX)
    refused("ENOENT", sock.connect, sock, helper.tmpdir() .. "/none")
  end)

  everywhere("raises for a name that nobody has", function()
    local sock <close> = csock.socket()
    local ok, err = pcall(sock.connect, sock, {("n"):rep(64), 1})
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
  end)

  everywhere("raises when it is connected already", function()
    local _pair <close>, client = connected()
    refused("EISCONN", client.connect, client, client:getpeername())
  end)

  everywhere("raises when time is up", function()
    local _crowd <close>, listener = crowded(AF_INET)
    local sock <close> = csock.socket()
    sock.timeout = 0.05
    local start = loop.now()
    local err = refused("ETIMEDOUT", sock.connect, sock,
      listener:getsockname())
    assert.is_true(csock.isinstance(err, csock.timeout))
    assert.is_true(loop.now() - start >= 0.05)
  end)

  everywhere("raises when the queue of a Unix listener stays full", function()
    local _crowd <close>, listener = crowded(AF_UNIX)
    local sock <close> = csock.socket(AF_UNIX)
    sock.timeout = 0.05
    local start = loop.now()
    refused("ETIMEDOUT", sock.connect, sock, listener:getsockname())
    assert.is_true(loop.now() - start >= 0.05)
  end)

  it("waits until the queue of a Unix listener has room", function()
    local _crowd <close>, listener = crowded(AF_UNIX)
    local sock <close> = csock.socket(AF_UNIX)
    loop.run(function()
      local task = loop.spawn(sock.connect, sock, listener:getsockname())
      until_waiting(task)
      listener:accept():close()
      assert.is_true(task:join())
    end)
  end)

  everywhere("does not wait with a timeout of 0", function()
    local listener <close> = listening()
    local sock <close> = csock.socket()
    sock.timeout = 0
    local err = refused("EINPROGRESS", sock.connect, sock,
      listener:getsockname())
    assert.is_true(csock.isinstance(err, csock.BlockingIOError))
  end)

  everywhere("does not wait for a full Unix queue at 0 either", function()
    local _crowd <close>, listener = crowded(AF_UNIX)
    local sock <close> = csock.socket(AF_UNIX)
    sock.timeout = 0
    refused("EAGAIN", sock.connect, sock, listener:getsockname())
  end)

  everywhere("goes on with what was begun without waiting", function()
    local listener <close> = listening()
    local sock <close> = csock.socket()
    sock.timeout = 0
    refused("EINPROGRESS", sock.connect, sock, listener:getsockname())
    sock.timeout = 40
    assert.is_true(sock:connect(listener:getsockname()))
  end)

  it("chooses the peer of a datagram socket", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    assert.is_true(two:connect(one:getsockname()))
    two:send "to you"
    assert.are.equal("to you", one:recv(10))
  end)

  describe("as connect_ex", function()
    everywhere("says 0", function()
      local listener <close> = listening()
      local sock <close> = csock.socket()
      assert.are.equal(0, sock:connect_ex(listener:getsockname()))
      assert.are.equal(listener:getsockname(), sock:getpeername())
    end)

    everywhere("returns the number of a refusal", function()
      local sock <close> = csock.socket()
      assert.are.equal(csock.ECONNREFUSED, sock:connect_ex(deserted()))
    end)

    everywhere("returns EINPROGRESS with a timeout of 0", function()
      local listener <close> = listening()
      local sock <close> = csock.socket()
      sock.timeout = 0
      assert.are.equal(csock.EINPROGRESS,
        sock:connect_ex(listener:getsockname()))
    end)

    everywhere("returns EAGAIN when time is up", function()
      local _crowd <close>, listener = crowded(AF_INET)
      local sock <close> = csock.socket()
      sock.timeout = 0.05
      assert.are.equal(csock.EAGAIN, sock:connect_ex(listener:getsockname()))
    end)

    everywhere("raises for a name that nobody has", function()
      local sock <close> = csock.socket()
      local ok, err = pcall(sock.connect_ex, sock, {("n"):rep(64), 1})
      assert.is_false(ok)
      assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
    end)

    it("raises for a wrong argument", function()
      local sock <close> = csock.socket()
      misused("bad argument #1 to 'connect_ex'",
        function() sock:connect_ex("here") end)
    end)

    it("raises what stops its task", function()
      local _crowd <close>, listener = crowded(AF_INET)
      local sock <close> = csock.socket()
      loop.run(function()
        local task = loop.spawn(sock.connect_ex, sock, listener:getsockname())
        until_waiting(task)
        task:cancel()
        local ok, err = pcall(task.join, task)
        assert.is_false(ok)
        assert.is_true(csock.isinstance(err, csock.CancelledError))
      end)
    end)
  end)
end)

describe("csock.create_connection", function()
  everywhere("connects a stream", function()
    local listener <close> = listening()
    local sock <close> = csock.create_connection(listener:getsockname())
    assert.are.equal(listener:getsockname(), sock:getpeername())
    assert.are.equal(SOCK_STREAM, sock.type)
  end)

  everywhere("looks up a name", function()
    local listener <close> = listening()
    local sock <close> = csock.create_connection {"localhost",
      listener:getsockname()[2]}
    assert.are.equal(listener:getsockname(), sock:getpeername())
  end)

  it("connects over IPv6", function()
    local listener <close> = listening(AF_INET6)
    local sock <close> = csock.create_connection(listener:getsockname())
    assert.are.equal(AF_INET6, sock.family)
  end)

  -- A missing host is this machine, on IPv6 and on IPv4: two addresses, and
  -- whichever comes first, one of these two tests needs the second.
  for _, name in ipairs {"AF_INET", "AF_INET6"} do
    everywhere("finds who listens on " .. name .. " only", function()
      need(AF_INET6)
      local listener <close> = listening(csock[name])
      local sock <close> = csock.create_connection {nil,
        listener:getsockname()[2]}
      assert.are.equal(listener:getsockname(), sock:getpeername())
    end)
  end

  it("uses the default timeout", function()
    local listener <close> = listening()
    csock.setdefaulttimeout(3)
    local ok, sock = pcall(csock.create_connection, listener:getsockname())
    csock.setdefaulttimeout(nil)
    assert.is_true(ok, tostring(sock))
    assert.are.equal(3, sock.timeout)
    sock:close()
  end)

  it("leaves the socket with the timeout it is given", function()
    local listener <close> = listening()
    local sock <close> = csock.create_connection(listener:getsockname(), 4)
    assert.are.equal(4, sock.timeout)
  end)

  it("binds to the source address", function()
    local listener <close> = listening()
    local sock <close> = csock.create_connection(listener:getsockname(), 4,
      {"127.0.0.2", 0})
    assert.are.equal("127.0.0.2", sock:getsockname()[1])
  end)

  everywhere("raises with the error of each address", function()
    local taken <close> = bound(AF_INET)
    local err = refused("ECONNREFUSED", csock.create_connection,
      taken:getsockname())
    assert.are.equal(1, #err.errors)
    assert.are.equal("ECONNREFUSED", err.errors[1].code)
  end)

  it("leaves nothing to the collector when it fails", function()
    local taken <close> = bound(AF_INET)
    local address = taken:getsockname()
    local _, before = helper.descriptors()
    collectgarbage "stop"
    pcall(csock.create_connection, address)
    local _, after = helper.descriptors()
    collectgarbage "restart"
    assert.are.equal(before, after)
  end)

  everywhere("raises for a name that nobody has", function()
    local ok, err = pcall(csock.create_connection, {("n"):rep(64), 1})
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
  end)

  it("raises for a source address that it cannot have", function()
    local listener <close> = listening()
    refused("EADDRNOTAVAIL", csock.create_connection, listener:getsockname(),
      nil, {"198.51.100.7", 0})
  end)

  everywhere("raises a timeout as such", function()
    local _crowd <close>, listener = crowded(AF_INET)
    local err = refused("ETIMEDOUT", csock.create_connection,
      listener:getsockname(), 0.05)
    assert.is_true(csock.isinstance(err, csock.timeout))
  end)

  it("closes its socket when the task is cancelled", function()
    local _crowd <close>, listener = crowded(AF_INET)
    local _, before = helper.descriptors()
    loop.run(function()
      local task = loop.spawn(csock.create_connection, listener:getsockname())
      until_waiting(task)
      task:cancel()
      local _, err = pcall(task.join, task)
      assert.is_true(csock.isinstance(err, csock.CancelledError))
    end)
    assert.are.equal(before, select(2, helper.descriptors()))
  end)

  it("refuses what is no address, at once", function()
    for _, wrong in ipairs {1, "localhost", true} do
      misused("bad argument #1 to 'create_connection'", function()
        local sock = csock.create_connection(wrong)
        sock:close()
      end)
    end
  end)

  it("refuses a port above 65535, at once", function()
    misused("bad argument #1 to 'create_connection'.*port", function()
      local sock = csock.create_connection {"127.0.0.1", 65536 + 80}
      sock:close()
    end)
  end)

  it("refuses what is no timeout, at once", function()
    for _, wrong in ipairs {-1, "x", true} do
      misused("bad argument #2 to 'create_connection'", function()
        local sock = csock.create_connection({("n"):rep(64), 1}, wrong)
        sock:close()
      end)
    end
  end)
end)

-- Data --------------------------------------------------------------------

describe("send and recv", function()
  everywhere("pass any bytes", function()
    local _pair <close>, a, b = connected()
    local bytes = {}
    for i = 0, 255 do bytes[i + 1] = string.char(i) end
    local text = table.concat(bytes)
    assert.are.equal(256, a:send(text))
    assert.are.equal(text, b:recv(1000))
  end)

  everywhere("read no more than they are asked for", function()
    local _pair <close>, a, b = connected()
    a:send "abcdef"
    assert.are.same({"ab", "cdef"}, {b:recv(2), b:recv(100)})
  end)

  everywhere("give what has arrived, without waiting for more", function()
    local _pair <close>, a, b = connected()
    a:send "abc"
    assert.are.equal("abc", b:recv(1000000))
  end)

  everywhere("give an empty string at the end, again and again", function()
    local _pair <close>, a, b = connected()
    a:send "last"
    a:close()
    assert.are.same({"last", "", ""}, {b:recv(10), b:recv(10), b:recv(10)})
  end)

  everywhere("take nothing and say 0", function()
    local _pair <close>, a, b = connected()
    assert.are.equal(0, a:send "")
    a:send "x"
    assert.are.equal("x", b:recv(10))
  end)

  everywhere("ask for nothing, and get it without waiting", function()
    local _pair <close>, _a, b = connected()
    b.timeout = 0.5
    assert.are.equal("", b:recv(0))
  end)

  everywhere("leave a datagram where it is when asked for nothing", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    a:send "kept"
    assert.are.same({"", "kept"}, {b:recv(0), b:recv(10)})
  end)

  everywhere("keep the borders of datagrams", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    a:send "one"
    a:send ""
    a:send "three"
    assert.are.same({"one", "", "three"}, {b:recv(9), b:recv(9), b:recv(9)})
  end)

  everywhere("keep the borders of seqpackets, up to the end", function()
    local _pair <close>, a, b = connected(AF_UNIX, SOCK_SEQPACKET)
    a:send "one"
    a:send "two"
    a:close()
    assert.are.same({"one", "two", ""}, {b:recv(9), b:recv(9), b:recv(9)})
  end)

  everywhere("cut a datagram that is too long", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    a:send "abcdef"
    a:send "next"
    assert.are.same({"abc", "next"}, {b:recv(3), b:recv(9)})
  end)

  everywhere("pass a datagram larger than one read of a stream", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    a.sndbuf = 400000
    local data = random_bytes(200000)
    if not pcall(a.send, a, data) then pending "no datagram of this size" end
    assert.is_true(data == b:recv(300000))
  end)

  everywhere("pass the longest UDP datagram", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:connect(one:getsockname())
    local data = random_bytes(65507)
    two:send(data)
    assert.is_true(data == one:recv(100000))
  end)

  everywhere("refuse a longer one", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:connect(one:getsockname())
    refused("EMSGSIZE", two.send, two, ("x"):rep(65508))
  end)

  everywhere("look without taking, with MSG_PEEK", function()
    local _pair <close>, a, b = connected()
    a:send "look"
    assert.are.same({"look", "look"},
      {b:recv(10, csock.MSG_PEEK), b:recv(10)})
  end)

  everywhere("do not wait, with MSG_DONTWAIT and no timeout", function()
    local _pair <close>, a = pair()
    refused("EAGAIN", loop.timeout, 1, a.recv, a, 1, csock.MSG_DONTWAIT)
    fill(a)
    refused("EAGAIN", loop.timeout, 1, a.send, a, ("x"):rep(65536),
      csock.MSG_DONTWAIT)
  end)

  everywhere("give what there is of a datagram, with MSG_TRUNC", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    a:send "abcdef"
    assert.are.equal("abc", b:recv(3, csock.MSG_TRUNC))
  end)

  it("wait for all, with MSG_WAITALL, in a task", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local reader = loop.spawn(b.recv, b, 6, csock.MSG_WAITALL)
      a:send "abc"
      until_waiting(reader)
      a:send "def"
      assert.are.equal("abcdef", reader:join())
    end)
  end)

  it("wait for all, with MSG_WAITALL, or the end", function()
    local _pair <close>, a, b = connected()
    a:send "abc"
    a:close()
    assert.are.equal("abc", b:recv(6, csock.MSG_WAITALL))
  end)

  it("see the end that comes with a part of all, with MSG_WAITALL", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local reader = loop.spawn(b.recv, b, 6, csock.MSG_WAITALL)
      until_waiting(reader)
      a:send "abc"
      a:close()
      assert.are.equal("abc", reader:join(40))
    end)
  end)

  it("keep a part of all, with MSG_WAITALL, when there is no more", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local reader = loop.spawn(b.recv, b, 6, csock.MSG_WAITALL)
      a:send "abc"
      until_waiting(reader)
      a.linger = 0
      a:close()
      assert.are.equal("abc", reader:join())
    end)
  end)

  it("wait for all, with MSG_WAITALL, outside of tasks", function()
    local listener <close> = listening()
    helper.spawn_process(("%s -e %s"):format(helper.lua, helper.quote(([[
      local csock = require "csock"
      local sock <close> = csock.create_connection {"127.0.0.1", %d}
      sock.nodelay = true
      sock:send "abc"
      sock:recv(1)
      sock:send "def"
      sock:recv(1)]]):format(listener:getsockname()[2]))))
    local sock <close> = listener:accept()
    assert.are.equal("abc", sock:recv(3, csock.MSG_PEEK))
    sock:send "!"
    assert.are.equal("abcdef", sock:recv(6, csock.MSG_WAITALL))
  end)

  everywhere("go on after urgent data", function()
    local _pair <close>, a, b = connected()
    a:send "before"
    a:send("!", csock.MSG_OOB)
    a:send "after"
    b.timeout = 40
    local text = ""
    while #text < 11 do text = text .. b:recv(100) end
    assert.are.equal("beforeafter", text)
  end)

  everywhere("raise when the peer has reset the connection", function()
    local _pair <close>, a, b = connected()
    a.linger = 0
    a:close()
    local err = refused("ECONNRESET", b.recv, b, 1)
    assert.is_true(csock.isinstance(err, csock.ConnectionResetError))
  end)

  everywhere("raise where nobody takes a datagram", function()
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:connect {"127.0.0.1", helper.deserted_datagrams()}
    two.timeout = 40
    two:send "anybody?"
    refused("ECONNREFUSED", two.recv, two, 1)
  end)

  it("raise in a task that waits where nobody takes a datagram", function()
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:connect {"127.0.0.1", helper.deserted_datagrams()}
    two.timeout = 40
    loop.run(function()
      local reader = loop.spawn(two.recv, two, 1)
      until_waiting(reader)
      two:send "anybody?"
      refused("ECONNREFUSED", reader.join, reader)
    end)
  end)

  everywhere("raise when there is no peer", function()
    local sock <close> = csock.socket()
    refused("ENOTCONN", sock.recv, sock, 1)
    local udp <close> = csock.socket(AF_INET, SOCK_DGRAM)
    refused("EDESTADDRREQ", udp.send, udp, "x")
  end)

  it("refuse wrong arguments", function()
    local _pair <close>, a, b = pair()
    misused("bad argument #1 to 'recv'", function() b:recv() end)
    for _, wrong in ipairs {"x", {}, 1.5, -1, 1 << 31, math.mininteger} do
      misused("bad argument #1 to 'recv'", function() b:recv(wrong) end)
    end
    misused("bad argument #1 to 'send'", function() a:send() end)
    for _, wrong in ipairs {{}, true, print} do
      misused("bad argument #1 to 'send'", function() a:send(wrong) end)
    end
    for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
      misused("bad argument #2 to 'recv'", function() b:recv(1, wrong) end)
      misused("bad argument #2 to 'send'", function() a:send("x", wrong) end)
    end
    b.timeout = 0
    refused("EAGAIN", b.recv, b, 1)     -- nothing of all this was sent
  end)
end)

describe("sendall", function()
  everywhere("says true", function()
    local _pair <close>, a, b = connected()
    assert.is_true(a:sendall "all of it")
    assert.are.equal("all of it", b:recv(100))
  end)

  everywhere("takes nothing too", function()
    local _pair <close>, a, b = connected()
    assert.is_true(a:sendall "")
    a:close()
    assert.are.equal("", b:recv(1))
  end)

  it("refuses wrong arguments", function()
    local _pair <close>, a, b = pair()
    misused("bad argument #1 to 'sendall'", function() a:sendall() end)
    for _, wrong in ipairs {{}, true, print} do
      misused("bad argument #1 to 'sendall'", function() a:sendall(wrong) end)
    end
    for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
      misused("bad argument #2 to 'sendall'",
        function() a:sendall("x", wrong) end)
    end
    b.timeout = 0
    refused("EAGAIN", b.recv, b, 1)
  end)

  -- Each end sends and reads at once, each by a task, in steps of any size.
  local function exchange(a, b, size)
    local there, back = random_bytes(size), random_bytes(size)
    local function send(sock, data)
      local from = 1
      while from <= #data do
        local upto = from + math.random(1, size // 3)
        sock:sendall(data:sub(from, upto - 1))
        from = upto
      end
      sock:shutdown(csock.SHUT_WR)
    end
    loop.run(function()
      local readers = {loop.spawn(read_all, a), loop.spawn(read_all, b)}
      loop.spawn(send, a, there)
      loop.spawn(send, b, back)
      assert.is_true(readers[2]:join() == there)
      assert.is_true(readers[1]:join() == back)
    end)
  end

  local size = helper.slow and 500000 or 5000000

  for _, name in ipairs {"AF_INET", "AF_INET6", "AF_UNIX"} do
    it("is exact to the byte both ways at once on " .. name, function()
      local _pair <close>, a, b = connected(csock[name])
      exchange(a, b, size)
    end)
  end

  it("is exact with timeouts and small buffers", function()
    local _pair <close>, a, b = pair()
    a.sndbuf, b.sndbuf = 5000, 5000
    a.timeout, b.timeout = 40, 40
    exchange(a, b, size // 5)
  end)

  it("is exact to the byte outside of tasks, there and back", function()
    local listener <close> = listening()
    helper.spawn_process(("%s -e %s"):format(helper.lua, helper.quote(([[
      local csock = require "csock"
      local sock <close> = csock.create_connection {"127.0.0.1", %d}
      local parts = {}
      repeat
        parts[#parts + 1] = sock:recv(math.random(1, 100000))
      until parts[#parts] == ""
      sock:sendall(table.concat(parts))]]):format(
      listener:getsockname()[2]))))
    local sock <close> = listener:accept()
    local data = random_bytes(size)
    sock:sendall(data)
    sock:shutdown(csock.SHUT_WR)
    assert.is_true(read_all(sock) == data)
  end)

  it("loses nothing in many small turns", function()
    local _pair <close>, a, b = connected()
    a.nodelay, b.nodelay = true, true
    local rounds = helper.slow and 200 or 2000
    loop.run(function()
      loop.spawn(function()
        while true do
          local data = b:recv(math.random(1, 300))
          if data == "" then return end
          b:sendall(data)
        end
      end)
      for _ = 1, rounds do
        local data, back = random_bytes(math.random(1, 400)), ""
        a:sendall(data)
        while #back < #data do back = back .. a:recv(math.random(1, 400)) end
        assert.is_true(data == back)
      end
    end)
  end)
end)

describe("sendto and recvfrom", function()
  for _, name in ipairs {"AF_INET", "AF_INET6", "AF_UNIX"} do
    everywhere("carry datagrams with their sender on " .. name, function()
      local family = csock[name]
      local one <close> = bound(family, SOCK_DGRAM)
      local two <close> = bound(family, SOCK_DGRAM)
      assert.are.equal(5, two:sendto("hello", one:getsockname()))
      local data, address = one:recvfrom(100)
      assert.are.same({"hello", two:getsockname()}, {data, address})
      one:sendto("you too", address)
      assert.are.equal("you too", two:recv(100))
    end)
  end

  everywhere("take flags in between", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    assert.are.equal(1, two:sendto("x", csock.MSG_DONTWAIT,
      one:getsockname()))
    assert.are.equal("x", (one:recvfrom(10, csock.MSG_PEEK)))
    assert.are.equal("x", (one:recvfrom(10)))
  end)

  everywhere("look up a name", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:sendto("x", {"localhost", one:getsockname()[2]})
    assert.are.equal("x", one:recv(10))
  end)

  everywhere("cut a datagram that is too long", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:sendto("abcdef", one:getsockname())
    two:sendto("next", one:getsockname())
    assert.are.equal("abc", (one:recvfrom(3)))
    assert.are.equal("next", (one:recvfrom(10)))
  end)

  everywhere("tell no sender that has no name", function()
    local one <close> = bound(AF_UNIX, SOCK_DGRAM)
    local two <close> = csock.socket(AF_UNIX, SOCK_DGRAM)
    two:sendto("x", one:getsockname())
    assert.are.same({"x"}, {one:recvfrom(10)})
  end)

  everywhere("tell no sender on a stream", function()
    local _pair <close>, a, b = connected()
    a:send "x"
    assert.are.same({"x"}, {b:recvfrom(10)})
  end)

  everywhere("give an empty string at the end of a stream", function()
    local _pair <close>, a, b = connected()
    a:close()
    assert.are.equal("", (b:recvfrom(10)))
  end)

  it("wait in a task until something comes", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = bound(AF_INET, SOCK_DGRAM)
    loop.run(function()
      local reader = loop.spawn(one.recvfrom, one, 10)
      until_waiting(reader)
      two:sendto("late", one:getsockname())
      assert.are.same({"late", two:getsockname()}, {reader:join()})
    end)
  end)

  everywhere("raise for a path that is not there", function()
    local sock <close> = csock.socket(AF_UNIX, SOCK_DGRAM)
    refused("ENOENT", sock.sendto, sock, "x", helper.tmpdir() .. "/none")
  end)

  everywhere("raise for the broadcast address without the option", function()
    local sock <close> = csock.socket(AF_INET, SOCK_DGRAM)
    refused("EACCES", sock.sendto, sock, "x", {"<broadcast>", 9})
  end)

  it("blame the right argument", function()
    local sock <close> = csock.socket(AF_INET, SOCK_DGRAM)
    local here = {"127.0.0.1", 9}
    misused("bad argument #1 to 'sendto'", function() sock:sendto() end)
    misused("bad argument #1 to 'sendto'",
      function() sock:sendto({}, here) end)
    misused("bad argument #2 to 'sendto'", function() sock:sendto("x") end)
    misused("bad argument #2 to 'sendto'",
      function() sock:sendto("x", {"127.0.0.1", 65536}) end)
    misused("bad argument #2 to 'sendto'",
      function() sock:sendto("x", "0", here) end)
    misused("bad argument #2 to 'sendto'",
      function() sock:sendto("x", 1 << 31, here) end)
    misused("bad argument #3 to 'sendto'",
      function() sock:sendto("x", 0, {"127.0.0.1", -1}) end)
  end)

  it("refuse wrong sizes and flags", function()
    local sock <close> = bound(AF_INET, SOCK_DGRAM)
    misused("bad argument #1 to 'recvfrom'", function() sock:recvfrom() end)
    for _, wrong in ipairs {"x", {}, 1.5, -1, 1 << 31} do
      misused("bad argument #1 to 'recvfrom'",
        function() sock:recvfrom(wrong) end)
    end
    for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
      misused("bad argument #2 to 'recvfrom'",
        function() sock:recvfrom(1, wrong) end)
    end
  end)
end)

describe("shutdown", function()
  everywhere("of writing is the end for the peer, not for us", function()
    local _pair <close>, a, b = connected()
    assert.is_true(a:shutdown(csock.SHUT_WR))
    assert.are.equal("", b:recv(10))
    b:send "more"
    assert.are.equal("more", a:recv(10))
  end)

  everywhere("of writing stops our sending", function()
    local _pair <close>, a = connected()
    a:shutdown(csock.SHUT_WR)
    local err = refused("EPIPE", a.send, a, "x")
    assert.is_true(csock.isinstance(err, csock.BrokenPipeError))
  end)

  everywhere("of reading is the end for us", function()
    local _pair <close>, a = connected()
    a:shutdown(csock.SHUT_RD)
    assert.are.equal("", a:recv(10))
  end)

  it("of reading wakes a task that reads", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      b:send "first"
      assert.are.equal("first", a:recv(100))
      local reader = loop.spawn(a.recv, a, 100)
      until_waiting(reader)
      a:shutdown(csock.SHUT_RD)
      assert.are.equal("", reader:join())
    end)
  end)

  everywhere("of both ends both", function()
    local _pair <close>, a, b = connected()
    a:shutdown(csock.SHUT_RDWR)
    assert.are.same({"", ""}, {a:recv(1), b:recv(1)})
  end)

  it("refuses when there is no connection", function()
    local sock <close> = csock.socket()
    refused("ENOTCONN", sock.shutdown, sock, csock.SHUT_WR)
  end)

  it("refuses another number", function()
    local _pair <close>, a = connected()
    refused("EINVAL", a.shutdown, a, 3)
  end)

  it("refuses wrong arguments", function()
    local _pair <close>, a, b = pair()
    misused("bad argument #1 to 'shutdown'", function() a:shutdown() end)
    for _, wrong in ipairs {"x", {}, 1.5, 1 << 31} do
      misused("bad argument #1 to 'shutdown'",
        function() a:shutdown(wrong) end)
    end
    a:send "alive"
    assert.are.equal("alive", b:recv(10))
  end)
end)

describe("sending to a peer that has gone", function()
  for _, how in ipairs {"send", "sendall"} do
    everywhere("raises BrokenPipeError in " .. how, function()
      local _pair <close>, a, b = pair()
      b:close()
      local err = refused("EPIPE", a[how], a, "x")
      assert.is_true(csock.isinstance(err, csock.BrokenPipeError))
    end)
  end

  everywhere("raises BrokenPipeError in sendto", function()
    local _pair <close>, a, b = connected(AF_UNIX, SOCK_SEQPACKET)
    local name = a:getpeername()
    b:close()
    refused("EPIPE", a.sendto, a, "x", name)
  end)

  it("is no SIGPIPE, whatever the process does with that", function()
    -- where there is no such env, the signal is ignored at worst
    local command = "env --default-signal=PIPE "
    if not os.execute(command .. "true 2>/dev/null") then command = "" end
    local process = helper.spawn_process(("%s %s -e %s"):format(command,
      helper.lua, helper.quote [[
        local csock = require "csock"
        local a, b = csock.socketpair()
        b:close()
        print(select(2, pcall(a.send, a, "x")).code)
        print(select(2, pcall(a.sendall, a, "x")).code)
        a:close()]]))
    assert.are.equal("EPIPE\nEPIPE\n", process:read "a")
    assert.is_true(process:wait())
  end)

  it("leaves the process's SIGPIPE alone", function()
    local output = run_lua [[
      local function ignored()
        local file <close> = io.open "/proc/self/status"
        return file and file:read("a"):match "SigIgn:%s*(%x+)"
      end
      local before = ignored()
      local csock = require "csock"
      local a, b = csock.socketpair()
      a:send "x"
      print(before == ignored())]]
    assert.are.equal("true\n", output)
  end)
end)

-- Options and properties --------------------------------------------------

describe("the timeout of a socket", function()
  local sock
  before_each(function() sock = csock.socket() end)
  after_each(function() sock:close() end)

  it("is none at first", function()
    assert.are.same({nil, nil, true, true}, {sock.timeout, sock:gettimeout(),
      sock.blocking, sock:getblocking()})
  end)

  it("is told as it was set", function()
    for _, timeout in ipairs {0.1, 0.3, 1, 2.3, 7.7, 12.34, 1000000} do
      assert.is_true(sock:settimeout(timeout))
      assert.are.equal(timeout, sock:gettimeout())
    end
  end)

  it("may be set by the property", function()
    sock.timeout = 2.5
    assert.are.same({2.5, 2.5, true},
      {sock.timeout, sock:gettimeout(), sock.blocking})
  end)

  it("may be taken away", function()
    sock.timeout = 2.5
    sock.timeout = nil
    assert.is_nil(sock.timeout)
    sock.timeout = 2.5
    assert.is_true(sock:settimeout(nil))
    assert.is_nil(sock.timeout)
  end)

  it("of 0 is the same as not blocking", function()
    sock.timeout = 0
    assert.are.same({false, false}, {sock.blocking, sock:getblocking()})
    sock.timeout = nil
    assert.is_true(sock:setblocking(false))
    assert.are.equal(0, sock.timeout)
    sock.blocking = true
    assert.is_nil(sock.timeout)
    sock.blocking = false
    assert.are.equal(0, sock.timeout)
    assert.is_true(sock:setblocking(true))
    assert.is_nil(sock.timeout)
  end)

  it("never becomes 0 by rounding", function()
    sock.timeout = 1e-12
    assert.is_true(sock.timeout > 0)
  end)

  local wrongs = {-1, -0.001, 0 / 0, 1 / 0, 1e300, "x", {}, false}

  it("refuses what is none, in settimeout", function()
    sock.timeout = 2.5
    misused("bad argument #1 to 'settimeout'", function() sock:settimeout() end)
    for _, wrong in ipairs(wrongs) do
      misused("bad argument #1 to 'settimeout'",
        function() sock:settimeout(wrong) end)
    end
    assert.are.equal(2.5, sock.timeout)
  end)

  it("refuses what is none, in the property", function()
    sock.timeout = 2.5
    for _, wrong in ipairs(wrongs) do
      misused("timeout", function() sock.timeout = wrong end)
    end
    assert.are.equal(2.5, sock.timeout)
  end)

  it("refuses a blocking that is no boolean", function()
    misused("bad argument #1 to 'setblocking'",
      function() sock:setblocking() end)
    for _, wrong in ipairs {0, 1, "x", {}} do
      misused("bad argument #1 to 'setblocking'",
        function() sock:setblocking(wrong) end)
      misused("blocking", function() sock.blocking = wrong end)
    end
    assert.is_true(sock.blocking)
  end)

  -- CPython's NonblockConstantTest
  it("agrees with O_NONBLOCK, however it was set", function()
    local function check(s, timeout)
      assert.are.equal(timeout, s.timeout)
      assert.are.equal(timeout ~= 0, s:getblocking())
      assert.are.equal(timeout ~= nil, nonblocking(s:fileno()))
    end
    local s <close> = csock.socket(AF_INET,
      SOCK_STREAM | csock.SOCK_NONBLOCK)
    check(s, 0)
    for _, timeout in ipairs {1, 0, 2, 0} do
      s:settimeout(timeout)
      check(s, timeout)
    end
    s:settimeout(nil)
    check(s, nil)
    s:settimeout(2)
    check(s, 2)
    s:setblocking(true)
    check(s, nil)
    s:setblocking(false)
    check(s, 0)
    csock.setdefaulttimeout(2)
    local two <close> = csock.socket()
    csock.setdefaulttimeout(nil)
    check(two, 2)
    local three <close> = csock.socket()
    check(three, nil)
  end)

  it("is refused when somebody else has closed the descriptor", function()
    local other = csock.socket(nil, nil, nil, sock:fileno())
    other:close()
    refused("EBADF", sock.setblocking, sock, false)
    sock:detach()
  end)
end)

describe("the properties of a socket", function()
  local sock
  before_each(function() sock = csock.socket() end)
  after_each(function() sock:close() end)

  for _, name in ipairs {"family", "type", "proto", "closed"} do
    it("refuse to be set: " .. name, function()
      local before = sock[name]
      for _, value in ipairs {2, false} do
        misused("'" .. name .. "'.*read%-only",
          function() sock[name] = value end)
      end
      misused("'" .. name .. "'", function() sock[name] = nil end)
      assert.are.equal(before, sock[name])
    end)
  end

  it("do not take a misspelt name", function()
    misused("timeuot", function() sock.timeuot = 1 end)
    assert.is_nil(sock.timeuot)
  end)

  it("do not take a method's name either", function()
    local recv = sock.recv
    misused("recv", function() sock.recv = print end)
    assert.are.equal(recv, sock.recv)
  end)

  it("do not take what is no name", function()
    misused("", function() sock[1] = 1 end)
    misused("", function() sock[{}] = 1 end)
    assert.is_nil(sock[1])
  end)

  it("say nil to an unknown name", function()
    assert.are.same({}, {sock.nothing, sock[1], sock[true], sock[{}]})
  end)

  it("are there after close, where they need no descriptor", function()
    sock.timeout = 3
    sock:close()
    assert.are.same({AF_INET, SOCK_STREAM, 0, true, 3.0}, {sock.family,
      sock.type, sock.proto, sock.closed, sock.timeout})
  end)
end)

describe("tostring of a socket", function()
  it("tells what it is", function()
    local sock <close> = csock.socket(AF_INET, SOCK_DGRAM, csock.IPPROTO_UDP)
    local text = tostring(sock)
    assert.matches("^<.*socket.*>$", text)
    assert.matches("fd=" .. sock:fileno(), text)
    assert.matches("family=2 %(AF_INET%),", text)
    assert.matches("type=2 %(SOCK_DGRAM%)", text)
    assert.matches("proto=17", text)
  end)

  it("tells both addresses", function()
    local _pair <close>, client = connected()
    local text = tostring(client)
    assert.matches("laddr=" .. tostring(client:getsockname()), text, 1, true)
    assert.matches("raddr=" .. tostring(client:getpeername()), text, 1, true)
  end)

  it("tells numbers where there are no names", function()
    local fd = csock.socket():detach()
    local sock <close> = csock.socket(4242, 13, 23, fd)
    assert.matches("family=4242, type=13, proto=23", tostring(sock))
  end)

  it("is one line, whatever the path", function()
    local sock <close> = csock.socket(AF_UNIX)
    sock:bind(helper.tmpdir() .. "/a\nb\tc\27")
    assert.is_nil(tostring(sock):find "%c")
  end)

  it("tells that it is closed", function()
    local sock = csock.socket()
    sock:close()
    assert.matches("closed", tostring(sock))
  end)
end)

-- Ends --------------------------------------------------------------------

describe("close", function()
  it("lets go of the descriptor", function()
    local sock = csock.socket()
    local fd = sock:fileno()
    assert.is_true(sock:close())
    assert.are.same({true, -1}, {sock.closed, sock:fileno()})
    assert.is_nil(helper.descriptors()[fd])
  end)

  it("may be called again", function()
    local sock = csock.socket()
    sock:close()
    local other <close> = csock.socket()   -- has the number now
    assert.is_true(sock:close())
    assert.is_truthy(other:getsockname())
  end)

  it("is what <close> does", function()
    local kept
    do
      local sock <close> = csock.socket()
      kept = sock
    end
    assert.is_true(kept.closed)
  end)

  it("is what <close> does when there was an error", function()
    local kept
    pcall(function()
      local sock <close> = csock.socket()
      kept = sock
      error "halt"
    end)
    assert.is_true(kept.closed)
  end)

  it("raises when somebody else has closed the descriptor", function()
    local sock = csock.socket()
    csock.socket(nil, nil, nil, sock:fileno()):close()
    refused("EBADF", sock.close, sock)
    assert.are.same({true, true}, {sock.closed, sock:close()})
  end)

  it("does not make a working socket of one that never opened", function()
    local ok, sock = pcall(csock.socket.__new, csock.socket)
    assert.is_true(ok)
    assert.are.same({true, -1}, {sock.closed, sock:fileno()})
    refused("EBADF", sock.recv, sock, 1)
    assert.is_true(sock:close())
  end)
end)

describe("a closed socket", function()
  local here = {"127.0.0.1", 9}
  local operations = {
    accept = function(s) s:accept() end,
    bind = function(s) s:bind(here) end,
    connect = function(s) s:connect(here) end,
    getpeername = function(s) s:getpeername() end,
    getsockname = function(s) s:getsockname() end,
    getsockopt = function(s) s:getsockopt(csock.SOL_SOCKET, csock.SO_TYPE) end,
    listen = function(s) s:listen() end,
    recv = function(s) s:recv(1) end,
    ["recv of nothing"] = function(s) s:recv(0) end,
    recvfrom = function(s) s:recvfrom(1) end,
    send = function(s) s:send "x" end,
    sendall = function(s) s:sendall "x" end,
    sendto = function(s) s:sendto("x", here) end,
    setsockopt = function(s)
      s:setsockopt(csock.SOL_SOCKET, csock.SO_REUSEADDR, 1)
    end,
    setblocking = function(s) s:setblocking(true) end,
    settimeout = function(s) s:settimeout(nil) end,
    shutdown = function(s) s:shutdown(csock.SHUT_WR) end,
    ["reading an option"] = function(s) return s.nodelay end,
    ["setting an option"] = function(s) s.nodelay = true end,
    ["setting .timeout"] = function(s) s.timeout = 1 end,
    ["setting .blocking"] = function(s) s.blocking = true end,
  }
  local names = {}
  for name in pairs(operations) do names[#names + 1] = name end
  table.sort(names)

  for _, name in ipairs(names) do
    for _, timeout in ipairs {false, 0, 5} do
      local title = ("raises EBADF in %s, timeout %s"):format(name,
        timeout or "none")
      everywhere(title, function()
        local sock = csock.socket()
        sock.timeout = timeout or nil
        sock:close()
        refused("EBADF", operations[name], sock)
      end)
    end
  end

  everywhere("returns EBADF in connect_ex", function()
    local sock = csock.socket()
    sock:close()
    assert.are.equal(csock.EBADF, sock:connect_ex(here))
  end)

  it("has the number -1, and gives it away as such", function()
    local sock = csock.socket()
    sock:close()
    assert.are.same({-1, -1}, {sock:fileno(), sock:detach()})
  end)

  it("still refuses misuse as misuse", function()
    local sock = csock.socket()
    sock:close()
    misused("bad argument #1 to 'recv'", function() sock:recv "x" end)
    misused("bad argument #1 to 'bind'", function() sock:bind "x" end)
  end)
end)

describe("a socket that nobody closed", function()
  it("is closed by the collector", function()
    local fd = csock.socket():fileno()
    collectgarbage()
    collectgarbage()
    assert.is_nil(helper.descriptors()[fd])
  end)

  it("is closed by the collector with a warning", function()
    assert.matches("^Lua warning: csock: unclosed socket <csock.socket " ..
      "fd=%d+, family=2 .*, type=1 .*>\n$", run_lua([[
        local csock = require "csock"
        local sock = csock.socket(csock.AF_INET, csock.SOCK_STREAM)
        sock = nil
        collectgarbage()]], "-W"))
  end)

  it("is closed with a warning when the program ends", function()
    assert.matches("^Lua warning: csock: unclosed socket[^\n]*\n$", run_lua(
      [[kept = require "csock".socket()]], "-W"))
  end)

  it("is closed with a warning when it waits as the program ends", function()
    local output = run_lua([[
      local csock = require "csock"
      local loop = require "csock.loop"
      loop.run(function()
        a, b = csock.socketpair()
        loop.spawn(a.recv, a, 1)
        loop.sleep(0)
        os.exit(true, true)
      end)]], "-W")
    local _, count = output:gsub("unclosed socket", "")
    assert.are.equal(2, count, output)
  end)

  it("says nothing when it was closed or given away", function()
    assert.are.equal("", run_lua([[
      local csock = require "csock"
      csock.socket():close()
      csock.socket():detach()
      do local sock <close> = csock.socket() end
      pcall(csock.socket, 12345)
      collectgarbage()]], "-W"))
  end)

  it("says nothing to a program that hears no warnings", function()
    assert.are.equal("", run_lua [[require "csock".socket()]])
  end)
end)

-- Waiting -----------------------------------------------------------------

describe("a timeout above 0", function()
  -- f(sock) with a timeout: csock.timeout, and not before its time.
  local function expires(sock, f)
    sock.timeout = 0.05
    local start = loop.now()
    local err = refused("ETIMEDOUT", f, sock)
    assert.is_true(loop.now() - start >= 0.05)
    assert.is_true(csock.isinstance(err, csock.timeout))
    assert.matches("timed out", tostring(err))
  end

  everywhere("ends recv", function()
    local _pair <close>, a = pair()
    expires(a, function(s) s:recv(1) end)
  end)

  everywhere("ends recvfrom", function()
    local sock <close> = bound(AF_INET, SOCK_DGRAM)
    expires(sock, function(s) s:recvfrom(1) end)
  end)

  everywhere("ends accept", function()
    local sock <close> = listening()
    expires(sock, function(s) s:accept() end)
  end)

  everywhere("ends send", function()
    local _pair <close>, a = pair()
    fill(a)
    expires(a, function(s) s:send(("x"):rep(65536)) end)
  end)

  everywhere("ends sendall, after a part", function()
    local _pair <close>, a, b = pair()
    expires(a, function(s) s:sendall(("x"):rep(5000000)) end)
    assert.are.equal("x", b:recv(1))
  end)

  everywhere("ends sendto", function()
    local _pair <close>, sender, receiver = full_receiver()
    expires(sender, function(s) s:sendto("x", receiver:getsockname()) end)
  end)

  everywhere("ends sendto without keeping the machine busy", function()
    local _pair <close>, sender, receiver = full_receiver()
    sender.timeout = 0.2
    local before, start = os.clock(), loop.now()
    pcall(sender.sendto, sender, "x", receiver:getsockname())
    assert.is_true(os.clock() - before < (loop.now() - start) / 2)
  end)

  everywhere("does not hurry what is ready", function()
    local _pair <close>, a, b = pair()
    a.timeout = 40
    b:send "there"
    assert.are.equal("there", a:recv(10))
  end)

  everywhere("loses nothing", function()
    local _pair <close>, a, b = pair()
    expires(a, function(s) s:recv(1) end)
    b:send "later"
    assert.are.equal("later", a:recv(10))
  end)

  it("is for all of sendall, however it gets on", function()
    local _pair <close>, a, b = pair()
    a.timeout = 0.3
    loop.run(function()
      loop.spawn(function()
        while true do
          loop.sleep(0.02)
          b:recv(1000)
        end
      end)
      local start = loop.now()
      refused("ETIMEDOUT", a.sendall, a, ("x"):rep(20000000))
      assert.is_true(loop.now() - start >= 0.3)
    end)
  end)

  it("lets other tasks work meanwhile", function()
    local _pair <close>, a = pair()
    a.timeout = 0.1
    loop.run(function()
      local turns, stop = 0, false
      loop.spawn(function()
        while not stop do
          turns = turns + 1
          loop.sleep(0)
        end
      end)
      refused("ETIMEDOUT", a.recv, a, 1)
      stop = true
      assert.is_true(turns > 2)
    end)
  end)

  it("is each task's own, though the socket is one", function()
    local _pair <close>, a, b = pair()
    loop.run(function()
      local patient = loop.spawn(a.recv, a, 10)
      until_waiting(patient)
      refused("ETIMEDOUT", loop.timeout, 0.05, a.recv, a, 10)
      b:send "later"
      assert.are.equal("later", patient:join())
    end)
  end)
end)

describe("a timeout of 0", function()
  -- f(sock) at once: BlockingIOError.
  local function blocks(sock, f)
    sock.timeout = 0
    local err = refused("EAGAIN", f, sock)
    assert.is_true(csock.isinstance(err, csock.BlockingIOError))
  end

  everywhere("refuses to wait in recv", function()
    local _pair <close>, a = pair()
    blocks(a, function(s) s:recv(1) end)
  end)

  everywhere("refuses to wait in recvfrom", function()
    local sock <close> = bound(AF_INET, SOCK_DGRAM)
    blocks(sock, function(s) s:recvfrom(1) end)
  end)

  everywhere("refuses to wait in accept", function()
    local sock <close> = listening()
    blocks(sock, function(s) s:accept() end)
  end)

  everywhere("refuses to wait in send", function()
    local _pair <close>, a = pair()
    fill(a)
    blocks(a, function(s) s:send(("x"):rep(65536)) end)
  end)

  everywhere("refuses to wait in sendall", function()
    local _pair <close>, a = pair()
    blocks(a, function(s) s:sendall(("x"):rep(5000000)) end)
  end)

  everywhere("takes what is ready", function()
    local _pair <close>, a, b = pair()
    a.timeout = 0
    b:send "ready"
    assert.are.equal("ready", a:recv(10))
  end)

  it("sees what came after a read that took all, in a task", function()
    local _pair <close>, a, b = connected()
    b.timeout = 0
    loop.run(function()
      a:send "one"
      assert.are.equal("one", b:recv(10))
      a:send "two"
      assert.are.equal("two", b:recv(10))
    end)
  end)
end)

describe("no timeout", function()
  it("waits in a task until something comes", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local reader = loop.spawn(a.recv, a, 10)
      until_waiting(reader)
      b:send "now"
      assert.are.equal("now", reader:join())
    end)
  end)

  it("waits in a task until there is room", function()
    local _pair <close>, a, b = pair()
    fill(a)
    loop.run(function()
      local writer = loop.spawn(a.send, a, "more")
      until_waiting(writer)
      b.timeout = 0
      while pcall(b.recv, b, 100000) do end
      assert.are.equal(4, writer:join())
    end)
  end)

  it("waits in a task until a datagram's receiver has room", function()
    local _pair <close>, sender, receiver = full_receiver()
    loop.run(function()
      local task = loop.spawn(sender.sendto, sender, "last",
        receiver:getsockname())
      until_waiting(task)
      receiver:recv(10)
      assert.are.equal(4, task:join())
    end)
  end)

  it("waits in a task until its peer has room for a datagram", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    fill(a)
    loop.run(function()
      local task = loop.spawn(a.send, a, "last")
      until_waiting(task)
      b.timeout = 0
      while pcall(b.recv, b, 100000) do end
      assert.are.equal(4, task:join())
    end)
  end)

  it("waits outside of tasks until something comes", function()
    local listener <close> = listening()
    helper.spawn_process(("%s -e %s"):format(helper.lua, helper.quote((
      [[require "csock".create_connection({"127.0.0.1", %d}):send "now"]]
    ):format(listener:getsockname()[2]))))
    local sock <close> = listener:accept()
    assert.are.equal("now", sock:recv(10))
  end)
end)

-- The loop remembers that a read took all there was, and then waits for news
-- before it tries again; here something is left though the read was short.
-- Each socket has waited before, so that there is no first look to save it.
describe("a short read in a task", function()
  local function waited(sock, peer)
    local reader = loop.spawn(sock.recv, sock, 100)
    until_waiting(reader)
    peer:send "first"
    assert.are.equal("first", reader:join())
    sock.timeout = 2
  end

  it("that only looked leaves the data", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      waited(a, b)
      local reader = loop.spawn(function()
        return a:recv(100, csock.MSG_PEEK), a:recv(100)
      end)
      until_waiting(reader)
      b:send "look"
      assert.are.same({"look", "look"}, {reader:join()})
    end)
  end)

  it("of urgent data's forerunners leaves what follows", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      waited(a, b)
      local reader = loop.spawn(function()
        local text = ""
        while #text < 11 do text = text .. a:recv(100) end
        return text
      end)
      until_waiting(reader)
      b:send "before"
      b:send("!", csock.MSG_OOB)
      b:send "after"
      assert.are.equal("beforeafter", reader:join())
    end)
  end)

  it("of the last data leaves the end", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      waited(a, b)
      local reader = loop.spawn(function()
        return a:recv(100), a:recv(100)
      end)
      until_waiting(reader)
      b:send "last"
      b:close()
      assert.are.same({"last", ""}, {reader:join()})
    end)
  end)

  it("of the last data before a reset leaves the error", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      waited(a, b)
      b:send "last"
      assert.are.equal("last", a:recv(100))
      b.linger = 0
      b:close()
      refused("ECONNRESET", a.recv, a, 100)
    end)
  end)

  for _, kind in ipairs {"SOCK_DGRAM", "SOCK_SEQPACKET"} do
    it("of one message leaves the next, " .. kind, function()
      local _pair <close>, a, b = pair(AF_UNIX, csock[kind])
      loop.run(function()
        waited(a, b)
        local reader = loop.spawn(function()
          return a:recv(100), a:recv(100)
        end)
        until_waiting(reader)
        b:send "one"
        b:send "two"
        assert.are.same({"one", "two"}, {reader:join()})
      end)
    end)
  end

  it("of one UDP message leaves the next", function()
    local one <close> = bound(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    two:connect(one:getsockname())
    loop.run(function()
      waited(one, two)
      local reader = loop.spawn(function()
        return one:recv(100), one:recv(100)
      end)
      until_waiting(reader)
      two:send "one"
      two:send "two"
      assert.are.same({"one", "two"}, {reader:join()})
    end)
  end)

  it("is followed by what comes later", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      waited(a, b)
      for i = 1, 100 do
        b:send(tostring(i))
        assert.are.equal(tostring(i), a:recv(100))
      end
    end)
  end)
end)

describe("several tasks on one socket", function()
  it("each get one of the datagrams", function()
    local _pair <close>, a, b = pair(AF_UNIX, SOCK_DGRAM)
    loop.run(function()
      local readers, got = {}, {}
      for i = 1, 5 do readers[i] = loop.spawn(a.recv, a, 10) end
      until_waiting(table.unpack(readers))
      for i = 1, 5 do b:send(tostring(i)) end
      for i = 1, 5 do got[i] = readers[i]:join() end
      table.sort(got)
      assert.are.same({"1", "2", "3", "4", "5"}, got)
    end)
  end)

  it("each get one of the connections", function()
    local listener <close> = listening()
    loop.run(function()
      local acceptors, clients, peers = {}, {}, {}
      for i = 1, 5 do
        acceptors[i] = loop.spawn(listener.accept, listener)
      end
      until_waiting(table.unpack(acceptors))
      for i = 1, 5 do
        clients[i] = csock.create_connection(listener:getsockname())
        peers[tostring(clients[i]:getsockname())] = true
      end
      for i = 1, 5 do
        local server <close>, peer = acceptors[i]:join()
        assert.is_false(server.closed)
        assert.is_true(peers[tostring(peer)])
        peers[tostring(peer)] = nil
      end
      for i = 1, 5 do clients[i]:close() end
    end)
  end)

  it("are all woken by the end of the stream", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local readers = {}
      for i = 1, 5 do readers[i] = loop.spawn(a.recv, a, 10) end
      until_waiting(table.unpack(readers))
      b:close()
      for i = 1, 5 do assert.are.equal("", readers[i]:join()) end
    end)
  end)

  it("may read and write at the same time", function()
    local _pair <close>, a, b = pair()
    fill(a)
    loop.run(function()
      local reader = loop.spawn(a.recv, a, 10)
      local writer = loop.spawn(a.send, a, "x")
      until_waiting(reader, writer)
      b:send "hello"
      assert.are.equal("hello", reader:join())
      assert.are.equal("waiting", writer:status())
      b.timeout = 0
      while pcall(b.recv, b, 100000) do end
      assert.are.equal(1, writer:join())
    end)
  end)

  it("lose nothing when one of them is cancelled", function()
    local _pair <close>, a, b = pair()
    loop.run(function()
      local one = loop.spawn(a.recv, a, 10)
      local two = loop.spawn(a.recv, a, 10)
      until_waiting(one, two)
      one:cancel()
      b:send "kept"
      assert.are.equal("kept", two:join())
    end)
  end)
end)

describe("closing a socket", function()
  -- f(sock) waits in a task; the socket is closed; f gets EBADF.
  local function wakes(sock, f, ...)
    local args = table.pack(...)
    loop.run(function()
      local task = loop.spawn(f, sock, table.unpack(args, 1, args.n))
      until_waiting(task)
      sock:close()
      refused("EBADF", task.join, task)
    end)
  end

  it("wakes recv with EBADF", function()
    local _pair <close>, a = pair()
    wakes(a, a.recv, 1)
  end)

  it("wakes recv with EBADF, a timeout running", function()
    local _pair <close>, a = pair()
    a.timeout = 40
    wakes(a, a.recv, 1)
  end)

  it("wakes recvfrom with EBADF", function()
    local sock <close> = bound(AF_INET, SOCK_DGRAM)
    wakes(sock, sock.recvfrom, 1)
  end)

  it("wakes accept with EBADF", function()
    local sock <close> = listening()
    wakes(sock, sock.accept)
  end)

  it("wakes send with EBADF", function()
    local _pair <close>, a = pair()
    fill(a)
    wakes(a, a.send, ("x"):rep(65536))
  end)

  it("wakes sendall with EBADF", function()
    local _pair <close>, a = pair()
    wakes(a, a.sendall, ("x"):rep(5000000))
  end)

  it("wakes sendto with EBADF", function()
    local _pair <close>, sender, receiver = full_receiver()
    wakes(sender, sender.sendto, "x", receiver:getsockname())
  end)

  it("wakes connect with EBADF, where a queue is full", function()
    local listener <close> = bound(AF_UNIX)
    listener:listen(0)
    local crowd = {}
    repeat
      local sock = csock.socket(AF_UNIX)
      sock.timeout = 0
      crowd[#crowd + 1] = sock
    until not pcall(sock.connect, sock, listener:getsockname())
    local last = crowd[#crowd]
    last.timeout = nil
    wakes(last, last.connect, listener:getsockname())
    for _, sock in ipairs(crowd) do sock:close() end
  end)

  it("wakes all who wait for it", function()
    local _pair <close>, a = pair()
    loop.run(function()
      local tasks = {}
      for i = 1, 5 do tasks[i] = loop.spawn(a.recv, a, 1) end
      until_waiting(table.unpack(tasks))
      a:close()
      for i = 1, 5 do refused("EBADF", tasks[i].join, tasks[i]) end
    end)
  end)

  it("does not let them read from who gets the number next", function()
    local _pair <close>, a = pair()
    loop.run(function()
      local old = loop.spawn(a.recv, a, 10)
      until_waiting(old)
      local number = a:fileno()
      a:close()
      local _next <close>, c, d = pair()
      assert.are.equal(number, c:fileno())
      d:send "for c"
      refused("EBADF", old.join, old)
      assert.are.equal("for c", c:recv(10))
    end)
  end)

  it("lets who gets the number next wait for itself", function()
    loop.run(function()
      for _ = 1, 5 do
        local _pair <close>, a, b = connected()
        local reader = loop.spawn(a.recv, a, 10)
        until_waiting(reader)
        b:send "x"
        assert.are.equal("x", reader:join())
      end
    end)
  end)
end)

describe("a socket used inside and outside of tasks", function()
  it("reads the same stream in turn", function()
    local _pair <close>, a, b = connected()
    a:send "1"
    assert.are.equal("1", b:recv(10))
    loop.run(function()
      a:send "2"
      assert.are.equal("2", b:recv(10))
    end)
    a:send "3"
    assert.are.equal("3", b:recv(10))
    loop.run(function()
      local reader = loop.spawn(b.recv, b, 10)
      until_waiting(reader)
      a:send "4"
      assert.are.equal("4", reader:join())
    end)
    a:send "5"
    assert.are.equal("5", b:recv(10))
  end)

  it("sees in a task what came while no loop ran", function()
    local _pair <close>, a, b = connected()
    loop.run(function()
      local reader = loop.spawn(b.recv, b, 10)
      until_waiting(reader)
      a:send "1"
      assert.are.equal("1", reader:join())
    end)
    a:send "2"
    loop.run(function() assert.are.equal("2", b:recv(10)) end)
  end)

  it("accepts in turn", function()
    local listener <close> = listening()
    local function turn()
      local client <close> = csock.create_connection(listener:getsockname())
      local server <close>, peer = listener:accept()
      assert.are.equal(client:getsockname(), peer)
      return server
    end
    turn()
    loop.run(turn)
    turn()
    loop.run(turn)
  end)

  it("waits outside though a task has used it", function()
    local _pair <close>, a = pair()
    loop.run(function()
      refused("ETIMEDOUT", loop.timeout, 0.01, a.recv, a, 1)
    end)
    a.timeout = 0.05
    local start = loop.now()
    refused("ETIMEDOUT", a.recv, a, 1)
    assert.is_true(loop.now() - start >= 0.05)
  end)

  it("keeps its timeout and what it says of blocking", function()
    local listener <close> = listening()
    loop.run(function()
      local acceptor = loop.spawn(listener.accept, listener)
      until_waiting(acceptor)
      acceptor:cancel()
    end)
    assert.are.same({nil, true}, {listener.timeout, listener.blocking})
  end)
end)

-- Nobody should do this, and nothing may break when somebody does.
describe("a descriptor above 1024", function()
  -- f(a, b), two connected sockets with large numbers.
  local function up_there(f)
    local all = {}
    local _clean <close> = setmetatable({}, {
      __close = function() for _, sock in ipairs(all) do sock:close() end end,
    })
    repeat
      local ok, a, b = pcall(csock.socketpair)
      if not ok then
        assert.are.equal("EMFILE", a.code)
        pending "the limit of open files does not allow it (ulimit -n)"
      end
      all[#all + 1], all[#all + 2] = a, b
    until a:fileno() > 1024 and b:fileno() > 1024
    f(all[#all - 1], all[#all])
  end

  everywhere("carries data", function()
    up_there(function(a, b)
      a.timeout = 40
      b:send "high"
      assert.are.equal("high", a:recv(10))
    end)
  end)

  everywhere("waits until its timeout", function()
    up_there(function(a)
      a.timeout = 0.02
      refused("ETIMEDOUT", a.recv, a, 1)
    end)
  end)

  it("waits in a task until something comes", function()
    loop.run(function()
      up_there(function(a, b)
        local reader = loop.spawn(a.recv, a, 10)
        until_waiting(reader)
        b:send "high"
        assert.are.equal("high", reader:join())
      end)
    end)
  end)

  everywhere("accepts and connects", function()
    up_there(function()
      local _pair <close>, client, server = connected()
      assert.is_true(server:fileno() > 1024)
      client.timeout = 40
      server:send "high"
      assert.are.equal("high", client:recv(10))
    end)
  end)
end)

describe("a signal", function()
  -- Ctrl-C reaches a program that waits in a socket call.
  local function interrupts(script)
    local process = helper.spawn_process(("%s -e %s 2>&1"):format(helper.lua,
      helper.quote([[
        local csock = require "csock"
        require "csock.core".process.alarm(60)
        local a, b = csock.socketpair()
        io.stdout:write "go\n"
        io.stdout:flush()
        ]] .. script)))
    assert.are.equal("go", process:read "l")
    process:until_asleep()
    process:kill "INT"
    assert.matches("interrupted!", process:read "a")
    assert.is_nil((process:wait()))
  end

  it("breaks a wait in the system", function()
    interrupts "a:recv(1)"
  end)

  it("breaks a wait in the system with a timeout", function()
    interrupts "a.timeout = 60; a:recv(1)"
  end)

  it("breaks a wait in sendall", function()
    interrupts "a:sendall(('x'):rep(5000000))"
  end)

  it("breaks a wait in a task", function()
    interrupts "csock.loop.run(function() a:recv(1) end)"
  end)

  -- SIGSTOP and SIGCONT interrupt a wait without any handler.
  it("that means nothing does not end a wait", function()
    local process = helper.spawn_process(("%s -e %s"):format(helper.lua,
      helper.quote [[
        local csock = require "csock"
        local a, b = csock.socketpair()
        io.stdout:write "go\n"
        io.stdout:flush()
        a.timeout = 0.3
        local start = csock.loop.now()
        local ok, err = pcall(a.recv, a, 1)
        print(err.code, csock.loop.now() - start >= 0.3)]]))
    assert.are.equal("go", process:read "l")
    process:until_asleep()
    process:kill "STOP"
    process:kill "CONT"
    assert.are.equal("ETIMEDOUT\ttrue", process:read "l")
  end)
end)

-- Subclasses --------------------------------------------------------------

describe("a subclass of csock.socket", function()
  local Counter = class("Counter", csock.socket, {
    limit = 3,
    __init = function(self, ...)
      class.super(self.__class, self):__init(...)
      self.count = 0
    end,
    recv = function(self, ...)
      self.count = self.count + 1
      return csock.socket.recv(self, ...)
    end,
  })

  it("makes sockets", function()
    local sock <close> = Counter(AF_INET, SOCK_DGRAM)
    assert.is_true(csock.isinstance(sock, Counter))
    assert.is_true(csock.isinstance(sock, csock.socket))
    assert.are.same({AF_INET, SOCK_DGRAM}, {sock.family, sock.type})
  end)

  it("needs no body", function()
    local Plain = class("Plain", csock.socket)
    local sock <close> = Plain(AF_UNIX)
    assert.are.equal(AF_UNIX, sock.family)
  end)

  it("adopts a descriptor", function()
    local a, b <close> = csock.socketpair()
    local sock <close> = Counter(nil, nil, nil, a:detach())
    b:send "adopted"
    assert.are.equal("adopted", sock:recv(10))
  end)

  it("holds fields, each instance its own", function()
    local one <close> = Counter()
    local two <close> = Counter()
    one.name = "one"
    one.count = 7
    assert.are.same({"one", 7, nil, 0},
      {one.name, one.count, two.name, two.count})
  end)

  it("has static fields", function()
    local sock <close> = Counter()
    assert.are.equal(3, sock.limit)
  end)

  it("says nil to an unknown name", function()
    local sock <close> = Counter()
    assert.is_nil(sock.nothing)
  end)

  it("overrides methods, and reaches those beneath", function()
    local a, b <close> = csock.socketpair()
    local sock <close> = Counter(nil, nil, nil, a:detach())
    b:send "abc"
    assert.are.same({"a", "b", 2}, {sock:recv(1), sock:recv(1), sock.count})
  end)

  everywhere("does what a socket does", function()
    local listener <close> = Counter()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    local client <close> = Counter()
    client.timeout = 40
    client:connect(listener:getsockname())
    local server <close> = listener:accept()
    server:sendall "hello"
    assert.are.equal("hello", client:recv(10))
    assert.are.equal("hello", (function()
      server:sendall "hello"
      return (client:recvfrom(10))
    end)())
  end)

  it("waits in a task", function()
    local a, b <close> = csock.socketpair()
    local sock <close> = Counter(nil, nil, nil, a:detach())
    loop.run(function()
      local reader = loop.spawn(sock.recv, sock, 10)
      until_waiting(reader)
      b:send "late"
      assert.are.equal("late", reader:join())
    end)
  end)

  it("accepts plain sockets, as in Python", function()
    local listener <close> = Counter()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    local client <close> = csock.create_connection(listener:getsockname())
    local server <close> = listener:accept()
    assert.are.equal(csock.socket, server.__class)
    assert.is_false(client.closed)
  end)

  it("has the properties of a socket", function()
    local sock <close> = Counter()
    sock.timeout = 2
    sock.reuseaddr = true
    assert.are.same({2.0, true, AF_INET},
      {sock.timeout, sock.reuseaddr, sock.family})
    misused("read%-only", function() sock.family = 1 end)
  end)

  it("may replace a property", function()
    local Loud = class("Loud", csock.socket, {
      timeout = class.property(function() return "loud" end),
    })
    local sock <close> = Loud()
    assert.are.equal("loud", sock.timeout)
    assert.is_nil(sock:gettimeout())
  end)

  it("may add a property", function()
    local Named = class("Named", csock.socket, {
      port = class.property(function(self) return self:getsockname()[2] end),
    })
    local sock <close> = Named()
    sock:bind {"127.0.0.1", 0}
    assert.are.equal(sock:getsockname().port, sock.port)
    misused("'port'.*read%-only", function() sock.port = 1 end)
  end)

  it("has private members", function()
    local Secret = class("Secret", csock.socket, {
      set = function(self, value) self.__key = value end,
      get = function(self) return self.__key end,
    })
    local sock <close> = Secret()
    sock:set "hidden"
    assert.are.same({"hidden", nil, "hidden"},
      {sock:get(), sock.__key, sock._Secret__key})
    misused("private", function() sock.__key = "seen" end)
  end)

  it("takes mix-ins, the first one first", function()
    local Logging = class("Logging", {})
    local Shouting = class("Shouting", {
      send = function(self, data, ...)
        return csock.socket.send(self, data:upper(), ...)
      end,
    })
    function Logging:send(data, ...)
      self.log = (self.log or "") .. data
      return class.super(Logging, self):send(data, ...)
    end
    local Both = class("Both", Logging, Shouting, csock.socket, {})
    local a, b <close> = csock.socketpair()
    local sock <close> = Both(nil, nil, nil, a:detach())
    sock:send "hey"
    assert.are.same({"hey", "HEY"}, {sock.log, b:recv(10)})
    assert.is_true(csock.isinstance(sock, Shouting))
  end)

  it("is closed until its __init has called that of socket", function()
    local Late = class("Late", csock.socket, {__init = function() end})
    local sock <close> = Late()
    assert.is_true(sock.closed)
    refused("EBADF", sock.recv, sock, 1)
    class.super(Late, sock):__init(AF_UNIX)
    assert.are.equal(AF_UNIX, sock.family)
    assert.is_false(sock.closed)
  end)

  it("refuses to open one twice", function()
    local sock <close> = csock.socket()
    local fd = sock:fileno()
    misused("open already", function() sock:__init() end)
    assert.are.equal(fd, sock:fileno())
  end)

  it("is closed by <close>", function()
    local kept
    do
      local sock <close> = Counter()
      kept = sock
    end
    assert.is_true(kept.closed)
  end)

  it("is closed by <close> with its own close, as in Python", function()
    local log = {}
    local Own = class("Own", csock.socket, {
      close = function(self)
        log[#log + 1] = "closing"
        return csock.socket.close(self)
      end,
    })
    do
      local _sock <close> = Own()
    end
    assert.are.same({"closing"}, log)
  end)

  it("is closed by the collector with a warning", function()
    assert.matches("^Lua warning: csock: unclosed socket[^\n]*\n$", run_lua([[
      local csock = require "csock"
      local Sub = csock.class("Sub", csock.socket)
      local sock = Sub()
      sock.field = 1
      sock = nil
      collectgarbage()]], "-W"))
  end)

  it("is told apart by tostring", function()
    local sock <close> = Counter()
    assert.matches("Counter", tostring(sock))
  end)
end)

-- Misuse ------------------------------------------------------------------

describe("a method of sockets called with something else", function()
  local methods = {"accept", "bind", "close", "connect", "connect_ex",
    "detach", "fileno", "getblocking", "getpeername", "getsockname",
    "getsockopt", "gettimeout", "listen", "recv", "recvfrom", "send",
    "sendall", "sendto", "setblocking", "setsockopt", "settimeout",
    "shutdown"}

  for _, name in ipairs(methods) do
    it("is refused: " .. name, function()
      local method = csock.socket[name]
      assert.are.equal("function", type(method))
      loop.run(function()
        local task = loop.spawn(function() end)
        for _, wrong in ipairs {{}, io.stdout, task, csock.socket, "x", 1,
          print, csock.getaddrinfo("127.0.0.1", 1)[1][5]} do
          misused("socket expected, got ", function() method(wrong, 1) end)
        end
        misused("socket expected, got ", function() method(nil, 1) end)
        misused("socket expected, got ", function() method() end)
      end)
    end)
  end

  it("is refused: the parts of properties", function()
    for _, name in ipairs {"timeout", "blocking", "nodelay", "linger"} do
      local property = csock.socket[name]
      misused("socket expected, got ", function() property.fget({}) end)
      misused("socket expected, got ",
        function() property.fset(io.stdout, 1) end)
    end
  end)
end)
