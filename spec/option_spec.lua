-- option: the properties that are socket options, each against the system's own
-- answer, and the raw pair setsockopt and getsockopt.  Not here: timeout and
-- blocking, which are csock's own (socket_spec).

local csock = require "csock"

local AF_INET6, AF_UNIX = csock.AF_INET6, csock.AF_UNIX
local SOL_SOCKET = csock.SOL_SOCKET

-- f raises Lua's own kind of argument error, which blames a line of this file.
local function misused(pattern, f)
  local ok, err = pcall(f)
  assert.is_false(ok, "nothing was raised")
  assert.are.equal("string", type(err), tostring(err))
  assert.matches("^[%w_/.]*option_spec%.lua:%d+: ", err)
  assert.matches(pattern, err)
end

local function refused(code, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "nothing was raised")
  assert.is_true(csock.isinstance(err, csock.error), tostring(err))
  assert.are.equal(code, err.code)
  return err
end

local function tcp() return csock.socket() end
local function udp() return csock.socket(csock.AF_INET, csock.SOCK_DGRAM) end
local function unix() return csock.socket(AF_UNIX) end
local function v6(kind)
  local ok, sock = pcall(csock.socket, AF_INET6, kind)
  if not ok then pending "no IPv6 here" end
  return sock
end
local function tcp6() return v6(csock.SOCK_STREAM) end
local function udp6() return v6(csock.SOCK_DGRAM) end

-- The rows: property, a socket that has it, level and option by name, and
-- values to set, all of which the system must keep.  A number stands for
-- itself; `more` tells that the system may make more of it, `rare` that not
-- every system knows it or lets everybody set it.
local switches = {true, false, true}
local rows = {
  {"reuseaddr", tcp, "SOL_SOCKET", "SO_REUSEADDR", switches},
  {"reuseport", tcp, "SOL_SOCKET", "SO_REUSEPORT", switches},
  {"keepalive", tcp, "SOL_SOCKET", "SO_KEEPALIVE", switches},
  {"broadcast", udp, "SOL_SOCKET", "SO_BROADCAST", switches},
  {"dontroute", udp, "SOL_SOCKET", "SO_DONTROUTE", switches},
  {"oobinline", tcp, "SOL_SOCKET", "SO_OOBINLINE", switches},
  {"rcvbuf", udp, "SOL_SOCKET", "SO_RCVBUF", {20000, 10000}, more = true},
  {"sndbuf", udp, "SOL_SOCKET", "SO_SNDBUF", {20000, 10000}, more = true},
  {"rcvlowat", tcp, "SOL_SOCKET", "SO_RCVLOWAT", {100, 1}},
  {"nodelay", tcp, "IPPROTO_TCP", "TCP_NODELAY", switches},
  {"maxseg", tcp, "IPPROTO_TCP", "TCP_MAXSEG", {1000, 700}},
  {"ttl", udp, "IPPROTO_IP", "IP_TTL", {1, 255}},
  {"ttl", udp6, "IPPROTO_IPV6", "IPV6_UNICAST_HOPS", {1, 255}},
  {"tos", udp, "IPPROTO_IP", "IP_TOS", {0x10, 0}},
  {"tos", udp6, "IPPROTO_IPV6", "IPV6_TCLASS", {0x10, 0}},
  {"multicast_ttl", udp, "IPPROTO_IP", "IP_MULTICAST_TTL", {7, 0}},
  {"multicast_ttl", udp6, "IPPROTO_IPV6", "IPV6_MULTICAST_HOPS", {7, 0}},
  {"multicast_loop", udp, "IPPROTO_IP", "IP_MULTICAST_LOOP",
    {false, true}},
  {"multicast_loop", udp6, "IPPROTO_IPV6", "IPV6_MULTICAST_LOOP",
    {false, true}},
  {"ipv6only", tcp6, "IPPROTO_IPV6", "IPV6_V6ONLY", switches},
  {"keepidle", tcp, "IPPROTO_TCP", "TCP_KEEPIDLE", {60, 7200}},
  {"keepintvl", tcp, "IPPROTO_TCP", "TCP_KEEPINTVL", {5, 75}},
  {"keepcnt", tcp, "IPPROTO_TCP", "TCP_KEEPCNT", {1, 9}},
  {"bindtodevice", udp, "SOL_SOCKET", "SO_BINDTODEVICE", {"lo", ""},
    rare = true},
  {"busy_poll", tcp, "SOL_SOCKET", "SO_BUSY_POLL", {50, 0}, rare = true},
  {"incoming_cpu", tcp, "SOL_SOCKET", "SO_INCOMING_CPU", {0}},
  {"mark", udp, "SOL_SOCKET", "SO_MARK", {7, 0}, rare = true},
  {"passcred", unix, "SOL_SOCKET", "SO_PASSCRED", switches},
  {"priority", udp, "SOL_SOCKET", "SO_PRIORITY", {6, 0}},
  {"congestion", tcp, "IPPROTO_TCP", "TCP_CONGESTION", {"reno"}},
  {"cork", tcp, "IPPROTO_TCP", "TCP_CORK", switches},
  {"defer_accept", tcp, "IPPROTO_TCP", "TCP_DEFER_ACCEPT", {1, 0}},
  {"fastopen", tcp, "IPPROTO_TCP", "TCP_FASTOPEN", {5, 1}},
  {"quickack", tcp, "IPPROTO_TCP", "TCP_QUICKACK", {false, true}},
  {"syncnt", tcp, "IPPROTO_TCP", "TCP_SYNCNT", {1, 5}},
  {"user_timeout", tcp, "IPPROTO_TCP", "TCP_USER_TIMEOUT", {30000, 0}},
  {"gro", udp, "IPPROTO_UDP", "UDP_GRO", switches, rare = true},
  {"segment", udp, "IPPROTO_UDP", "UDP_SEGMENT", {1200, 0}, rare = true},
  {"freebind", udp, "IPPROTO_IP", "IP_FREEBIND", switches},
  {"transparent", udp, "IPPROTO_IP", "IP_TRANSPARENT", switches,
    rare = true},
}

-- These have tests of their own.
local others = {"linger", "error", "acceptconn"}

-- The system's own answer, in the form of the value it is compared with.
local function ask(sock, row)
  local level, option = csock[row[3]], csock[row[4]]
  local kind = type(row[5][1])
  if kind == "string" then
    return (sock:getsockopt(level, option, 64):gsub("%z.*", ""))
  end
  local number = sock:getsockopt(level, option)
  if kind == "boolean" then return number ~= 0 end
  return number
end

local function tell(sock, row, value)
  sock:setsockopt(csock[row[3]], csock[row[4]], value)
end

-- Does this system let us? The raw call asks; the property has to follow it.
local function need(row)
  if not row.rare then return end
  local sock <close> = row[2]()
  local ok, err = pcall(tell, sock, row, row[5][1])
  if not ok then
    pending(row[4] .. " cannot be set here: " .. err.code)
  end
end

describe("the property of an option:", function()
  for _, row in ipairs(rows) do
    local name, make, level, option, values = table.unpack(row)
    local title = ("%s, %s"):format(name, option)

    it(title .. ", has constants", function()
      assert.are.equal("integer", math.type(csock[level]))
      assert.are.equal("integer", math.type(csock[option]))
    end)

    it(title .. ", is what the system has", function()
      local sock <close> = make()
      assert.are.equal(ask(sock, row), sock[name])
      assert.are.equal(type(values[1]), type(sock[name]))
    end)

    it(title .. ", reaches the system", function()
      need(row)
      local sock <close> = make()
      for _, value in ipairs(values) do
        sock[name] = value
        local has = ask(sock, row)
        if row.more then
          assert.is_true(has >= value and has <= 4 * value)
        else
          assert.are.equal(value, has)
        end
      end
    end)

    it(title .. ", shows what the system was told", function()
      need(row)
      local sock <close> = make()
      for _, value in ipairs(values) do
        tell(sock, row, value)
        assert.are.equal(ask(sock, row), sock[name])
      end
    end)

    it(title .. ", refuses what it cannot be", function()
      local sock <close> = make()
      local before = sock[name]
      local kind = type(before)
      local wrongs = {{}, print, 1.5, 1 << 31, "x"}
      if kind == "string" then wrongs = {{}, print, true} end
      for _, wrong in ipairs(wrongs) do
        misused(name, function() sock[name] = wrong end)
      end
      misused(name, function() sock[name] = nil end)
      assert.are.equal(before, sock[name])
    end)
  end

  it("a switch may be set by 1 and 0", function()
    local sock <close> = tcp()
    sock.nodelay = 1
    assert.is_true(sock.nodelay)
    sock.nodelay = 0
    assert.is_false(sock.nodelay)
  end)

  it("a device that is not there is refused", function()
    local sock <close> = udp()
    for _, name in ipairs {"nosuchif", ("x"):rep(100000)} do
      assert.is_false(pcall(function() sock.bindtodevice = name end))
      assert.are.equal("", sock.bindtodevice)
    end
  end)

  it("there is a test here for each row of the table", function()
    local tested = {}
    for _, row in ipairs(rows) do tested[row[1]] = true end
    for _, name in ipairs(others) do tested[name] = true end
    local file <close> = assert(io.open "csrc/option.c")
    local found = 0
    for name in file:read("a"):gmatch '[({]"([%l%d_]+)",' do
      assert.is_true(tested[name], "no test for the property " .. name)
      found = found + 1
    end
    assert.is_true(found > 20)
  end)

  it("an option that the family has not is an error of the world", function()
    local sock <close> = unix()
    local err = refused("EOPNOTSUPP", function() return sock.nodelay end)
    assert.are.equal("nodelay", err.op)
    refused("EOPNOTSUPP", function() sock.nodelay = true end)
  end)
end)

describe("the property linger", function()
  local function raw(sock)
    return {string.unpack("i4i4",
      sock:getsockopt(SOL_SOCKET, csock.SO_LINGER, 8))}
  end

  it("is false at first", function()
    local sock <close> = tcp()
    assert.is_false(sock.linger)
  end)

  it("is seconds, and none are seconds too", function()
    local sock <close> = tcp()
    for _, seconds in ipairs {5, 0, 30} do
      sock.linger = seconds
      assert.are.equal(seconds, sock.linger)
      local on, value = table.unpack(raw(sock))
      assert.are.same({1, seconds}, {on, value})
    end
  end)

  it("is taken away by false and by nil", function()
    local sock <close> = tcp()
    sock.linger = 5
    sock.linger = false
    assert.is_false(sock.linger)
    sock.linger = 5
    sock.linger = nil
    assert.is_false(sock.linger)
    assert.are.equal(0, raw(sock)[1])
  end)

  it("shows what the system was told", function()
    local sock <close> = tcp()
    sock:setsockopt(SOL_SOCKET, csock.SO_LINGER, string.pack("i4i4", 1, 9))
    assert.are.equal(9, sock.linger)
    sock:setsockopt(SOL_SOCKET, csock.SO_LINGER, string.pack("i4i4", 0, 9))
    assert.is_false(sock.linger)
  end)

  it("may be set by setsockopt with seconds", function()
    local sock <close> = tcp()
    sock:setsockopt(SOL_SOCKET, csock.SO_LINGER, 7)
    assert.are.equal(7, sock.linger)
    sock:setsockopt(SOL_SOCKET, csock.SO_LINGER, false)
    assert.is_false(sock.linger)
  end)

  it("refuses what is no time", function()
    local sock <close> = tcp()
    sock.linger = 5
    for _, wrong in ipairs {-1, 1.5, 1 << 31, "x", {}, print, true} do
      misused("linger", function() sock.linger = wrong end)
    end
    misused("#3 to 'setsockopt'", function()
      sock:setsockopt(SOL_SOCKET, csock.SO_LINGER, true)
    end)
    assert.are.equal(5, sock.linger)
  end)
end)

describe("a read-only option", function()
  it("tells whether a socket listens", function()
    local sock <close> = tcp()
    sock:bind {"127.0.0.1", 0}
    assert.is_false(sock.acceptconn)
    sock:listen()
    assert.is_true(sock.acceptconn)
  end)

  it("tells the pending error, once", function()
    local deserted <close> = tcp()
    deserted:bind {"127.0.0.1", 0}
    local sock <close> = tcp()
    sock.timeout = 0
    refused("EINPROGRESS", sock.connect, sock, deserted:getsockname())
    local number
    repeat number = sock.error until number ~= 0
    assert.are.equal(csock.ECONNREFUSED, number)
    assert.are.equal(0, sock.error)
  end)

  for _, name in ipairs {"error", "acceptconn"} do
    it("refuses to be set: " .. name, function()
      local sock <close> = tcp()
      for _, value in ipairs {1, true, "x"} do
        misused("'" .. name .. "'.*read%-only",
          function() sock[name] = value end)
      end
      misused("'" .. name .. "'", function() sock[name] = nil end)
    end)
  end
end)

describe("setsockopt", function()
  it("says true", function()
    local sock <close> = tcp()
    assert.is_true(sock:setsockopt(SOL_SOCKET, csock.SO_REUSEADDR, 1))
  end)

  it("takes an integer", function()
    local sock <close> = udp()
    sock:setsockopt(csock.IPPROTO_IP, csock.IP_TTL, 42)
    assert.are.equal(42, sock.ttl)
  end)

  it("takes a boolean", function()
    local sock <close> = tcp()
    sock:setsockopt(SOL_SOCKET, csock.SO_KEEPALIVE, true)
    assert.is_true(sock.keepalive)
    sock:setsockopt(SOL_SOCKET, csock.SO_KEEPALIVE, false)
    assert.is_false(sock.keepalive)
  end)

  it("takes bytes", function()
    local sock <close> = udp()
    sock:setsockopt(csock.IPPROTO_IP, csock.IP_TTL, string.pack("i4", 42))
    assert.are.equal(42, sock.ttl)
  end)

  it("takes digits for the bytes they are", function()
    local sock <close> = udp()
    sock:setsockopt(csock.IPPROTO_IP, csock.IP_TTL, "*")
    assert.are.equal(42, sock.ttl)
    sock:setsockopt(csock.IPPROTO_IP, csock.IP_TTL, "1")
    assert.are.equal(49, sock.ttl)
  end)

  it("takes bytes as many as there are", function()
    local sock <close> = udp()
    -- a filter for multicast: 8 bytes, a mode, a count, and addresses; the
    -- system looks at the length before anything else
    if not csock.IP_MSFILTER then pending "no IP_MSFILTER here" end
    local ok, err = pcall(sock.setsockopt, sock, csock.IPPROTO_IP,
      csock.IP_MSFILTER, ("\0"):rep(4000))
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.error), tostring(err))
  end)

  it("takes nil and a length for no value at all", function()
    local sock <close> = udp()
    sock:setsockopt(SOL_SOCKET, csock.SO_BINDTODEVICE, "lo")
    assert.are.equal("lo", sock.bindtodevice)
    assert.is_true(sock:setsockopt(SOL_SOCKET, csock.SO_BINDTODEVICE, nil, 0))
    assert.are.equal("", sock.bindtodevice)
  end)

  it("hands that length to the system", function()
    local sock <close> = tcp()
    refused("EFAULT", sock.setsockopt, sock, SOL_SOCKET, csock.SO_REUSEADDR,
      nil, 4)
    refused("EINVAL", sock.setsockopt, sock, SOL_SOCKET, csock.SO_REUSEADDR,
      nil, 0)
  end)

  it("refuses an option that does not exist", function()
    local sock <close> = tcp()
    local err = refused("ENOPROTOOPT", sock.setsockopt, sock, SOL_SOCKET,
      9999, 1)
    assert.are.equal("setsockopt", err.op)
  end)

  it("refuses bytes that are too few", function()
    local sock <close> = tcp()
    refused("EINVAL", sock.setsockopt, sock, SOL_SOCKET, csock.SO_REUSEADDR,
      "\1")
  end)

  it("refuses wrong arguments, each by its number", function()
    local sock <close> = tcp()
    local level, option = SOL_SOCKET, csock.SO_REUSEADDR
    local function call(...)
      local args = table.pack(...)
      return function()
        sock:setsockopt(table.unpack(args, 1, args.n))
      end
    end
    misused("bad argument #1 to 'setsockopt'", call())
    misused("bad argument #2 to 'setsockopt'", call(level))
    misused("bad argument #4 to 'setsockopt'", call(level, option))
    misused("bad argument #4 to 'setsockopt'", call(level, option, nil))
    for _, wrong in ipairs {{}, print, 1.5, 1 << 31, -(1 << 31) - 1} do
      misused("bad argument #1 to 'setsockopt'", call(wrong, option, 1))
      misused("bad argument #2 to 'setsockopt'", call(level, wrong, 1))
      misused("bad argument #3 to 'setsockopt'", call(level, option, wrong))
      misused("bad argument #4 to 'setsockopt'",
        call(level, option, nil, wrong))
    end
    misused("bad argument #1 to 'setsockopt'", call(true, option, 1))
    misused("bad argument #2 to 'setsockopt'", call(level, true, 1))
    misused("bad argument #4 to 'setsockopt'", call(level, option, nil, -1))
    assert.is_false(sock.reuseaddr)
  end)
end)

describe("getsockopt", function()
  it("gives an integer", function()
    local sock <close> = tcp()
    assert.are.equal(csock.SOCK_STREAM,
      sock:getsockopt(SOL_SOCKET, csock.SO_TYPE))
    sock.keepalive = true
    assert.are.equal(1, sock:getsockopt(SOL_SOCKET, csock.SO_KEEPALIVE))
  end)

  it("gives an integer for a length of 0, as in Python", function()
    local sock <close> = tcp()
    assert.are.equal(csock.SOCK_STREAM,
      sock:getsockopt(SOL_SOCKET, csock.SO_TYPE, 0))
  end)

  it("gives as many bytes as the system has", function()
    local sock <close> = udp()
    sock.ttl = 42
    assert.are.equal(string.pack("i4", 42),
      sock:getsockopt(csock.IPPROTO_IP, csock.IP_TTL, 4))
    assert.are.equal(string.pack("i4", 42),
      sock:getsockopt(csock.IPPROTO_IP, csock.IP_TTL, 1024))
  end)

  it("gives as many bytes as were asked for", function()
    local sock <close> = udp()
    sock.ttl = 42
    assert.are.equal("*",
      sock:getsockopt(csock.IPPROTO_IP, csock.IP_TTL, 1))
  end)

  it("keeps the zeros among them", function()
    local sock <close> = tcp()
    assert.are.equal(("\0"):rep(8),
      sock:getsockopt(SOL_SOCKET, csock.SO_LINGER, 8))
  end)

  it("gives a structure whole", function()
    if not csock.SO_PEERCRED then pending "no SO_PEERCRED here" end
    local file <close> = io.open "/proc/self/stat"
    if not file then pending "no /proc here" end
    local one, two = csock.socketpair()
    two:close()
    local pid = string.unpack("i4",
      one:getsockopt(SOL_SOCKET, csock.SO_PEERCRED, 12))
    one:close()
    assert.are.equal(file:read "n", pid)
  end)

  it("refuses an option that does not exist", function()
    local sock <close> = tcp()
    local err = refused("ENOPROTOOPT", sock.getsockopt, sock, SOL_SOCKET,
      9999)
    assert.are.equal("getsockopt", err.op)
  end)

  it("refuses wrong arguments, each by its number", function()
    local sock <close> = tcp()
    local level, option = SOL_SOCKET, csock.SO_TYPE
    misused("bad argument #1 to 'getsockopt'",
      function() sock:getsockopt() end)
    misused("bad argument #2 to 'getsockopt'",
      function() sock:getsockopt(level) end)
    for _, wrong in ipairs {"x", {}, print, 1.5, 1 << 31} do
      misused("bad argument #1 to 'getsockopt'",
        function() sock:getsockopt(wrong, option) end)
      misused("bad argument #2 to 'getsockopt'",
        function() sock:getsockopt(level, wrong) end)
      misused("bad argument #3 to 'getsockopt'",
        function() sock:getsockopt(level, option, wrong) end)
    end
    for _, wrong in ipairs {-1, 1025} do
      misused("bad argument #3 to 'getsockopt'.*1024",
        function() sock:getsockopt(level, option, wrong) end)
    end
  end)
end)

describe("an option of a listener", function()
  it("is there when another binds to the same port", function()
    local one <close> = tcp()
    one.reuseport = true
    one:bind {"127.0.0.1", 0}
    one:listen()
    local two <close> = tcp()
    two.reuseport = true
    assert.is_true(two:bind(one:getsockname()))
  end)

  it("keeps IPv4 out when it is for IPv6 only", function()
    local ok
    for _ = 1, 20 do                    -- a port may be somebody else's
      local six <close> = tcp6()
      six.ipv6only = true
      six:bind {"::", 0}
      six:listen()
      local four <close> = tcp()
      ok = ok or pcall(four.bind, four, {"0.0.0.0", six:getsockname().port})
    end
    assert.is_true(ok)
  end)
end)
