-- address: what csock returns as an address, what it takes as one, and what it
-- refuses before anything is done.  Not here: AF_UNIX names, which are plain
-- strings (socket_spec), and the look-up of host names (resolve_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local misused, refused = helper.misused, helper.refused

local AF_INET, AF_INET6, AF_UNIX = csock.AF_INET, csock.AF_INET6, csock.AF_UNIX
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM

local has_v6 = pcall(function()
  local sock <close> = csock.socket(AF_INET6)
  sock:bind {"::1", 0}
end)

-- What an address becomes when a socket is bound to it and asked.
local function bound_to(address, family)
  if family == AF_INET6 and not has_v6 then pending "no IPv6 here" end
  local sock <close> = csock.socket(family or AF_INET, SOCK_DGRAM)
  sock:bind(address)
  return sock:getsockname()
end

-- Parsed, and kept as it was: no system call looks at these.
local function parsed(host, port, family)
  return csock.getaddrinfo(host, port, family or AF_INET, SOCK_STREAM, 0,
    csock.AI_NUMERICHOST)[1][5]
end

describe("an IPv4 address that csock returns", function()
  local address = parsed("192.0.2.1", 80)

  it("answers 1 and 2", function()
    assert.are.same({"192.0.2.1", 80}, {address[1], address[2]})
  end)

  it("answers host and port", function()
    assert.are.same({"192.0.2.1", 80}, {address.host, address.port})
  end)

  it("tells its family", function()
    assert.are.equal(AF_INET, address.family)
  end)

  it("has whole numbers for a port", function()
    assert.are.equal("integer", math.type(address.port))
  end)

  it("has a length of 2", function()
    assert.are.equal(2, #address)
  end)

  it("says nil to everything else", function()
    assert.are.same({}, {address[0], address[3], address[-1], address.nothing,
      address[true], address[{}], address["1"], address[1.5],
      address.flowinfo, address.scope_id})
  end)

  it("goes with ipairs", function()
    local items = {}
    for i, item in ipairs(address) do items[i] = item end
    assert.are.same({"192.0.2.1", 80}, items)
  end)

  it("goes with pairs", function()
    local items, count = {}, 0
    for key, item in pairs(address) do
      items[key] = item
      count = count + 1
    end
    assert.are.same({"192.0.2.1", 80}, items)
    assert.are.equal(2, count)
  end)

  it("goes with table.unpack", function()
    assert.are.same({"192.0.2.1", 80}, {table.unpack(address)})
  end)

  it("goes with table.concat", function()
    assert.are.equal("192.0.2.1 80", table.concat(address, " "))
  end)

  it("is host:port as a string", function()
    assert.are.equal("192.0.2.1:80", tostring(address))
  end)

  it("equals another with the same host and port", function()
    assert.is_true(address == parsed("192.0.2.1", 80))
  end)

  it("equals none with another host or port", function()
    assert.is_false(address == parsed("192.0.2.2", 80))
    assert.is_false(address == parsed("192.0.2.1", 81))
  end)

  it("equals nothing else", function()
    assert.is_false(address == "192.0.2.1:80")
    assert.is_false(address == io.stdout)
  end)

  it("cannot be changed", function()
    for _, key in ipairs {1, 2, "host", "port", "other"} do
      assert.is_false(pcall(function() address[key] = "192.0.2.7" end))
    end
    assert.are.equal("192.0.2.1:80", tostring(address))
  end)

  it("may have any host and port", function()
    for _ = 1, 200 do
      local host = ("%d.%d.%d.%d"):format(math.random(0, 255),
        math.random(0, 255), math.random(0, 255), math.random(0, 255))
      local port = math.random(0, 65535)
      assert.are.same({host, port}, {table.unpack(parsed(host, port))})
    end
  end)
end)

describe("an IPv6 address that csock returns", function()
  local address
  before_each(function()
    if not has_v6 then return end
    address = parsed("2001:db8::1", 80, AF_INET6)
  end)

  -- A test that needs such an address.
  local function with_v6(name, f)
    it(name, function()
      if not has_v6 then pending "no IPv6 here" end
      f()
    end)
  end

  with_v6("answers 1 to 4", function()
    assert.are.same({"2001:db8::1", 80, 0, 0},
      {address[1], address[2], address[3], address[4]})
  end)

  with_v6("answers names", function()
    assert.are.same({"2001:db8::1", 80, 0, 0},
      {address.host, address.port, address.flowinfo, address.scope_id})
  end)

  with_v6("tells its family", function()
    assert.are.equal(AF_INET6, address.family)
  end)

  with_v6("has a length of 4", function()
    assert.are.equal(4, #address)
    assert.is_nil(address[5])
  end)

  with_v6("goes with ipairs and table.unpack", function()
    local items = {}
    for i, item in ipairs(address) do items[i] = item end
    assert.are.same({"2001:db8::1", 80, 0, 0}, items)
    assert.are.same(items, {table.unpack(address)})
  end)

  with_v6("goes with pairs", function()
    local items, count = {}, 0
    for key, item in pairs(address) do
      items[key] = item
      count = count + 1
    end
    assert.are.same({"2001:db8::1", 80, 0, 0}, items)
    assert.are.equal(4, count)
  end)

  with_v6("is [host]:port as a string", function()
    assert.are.equal("[2001:db8::1]:80", tostring(address))
  end)

  with_v6("shows the scope in the string, by name or number", function()
    assert.are.equal("[fe80::1%lo]:80",
      tostring(parsed("fe80::1%lo", 80, AF_INET6)))
    assert.are.equal("[fe80::1%54321]:80",
      tostring(parsed("fe80::1%54321", 80, AF_INET6)))
  end)

  with_v6("keeps the scope out of the host", function()
    local scoped = parsed("fe80::1%lo", 80, AF_INET6)
    assert.are.same({"fe80::1", 1}, {scoped.host, scoped.scope_id})
  end)

  with_v6("equals another with the same four items", function()
    assert.is_true(address == parsed("2001:0db8:0::1", 80, AF_INET6))
    assert.is_false(address == parsed("2001:db8::2", 80, AF_INET6))
    assert.is_false(parsed("fe80::1%lo", 80, AF_INET6) ==
      parsed("fe80::1", 80, AF_INET6))
  end)

  with_v6("equals no IPv4 address", function()
    assert.is_false(parsed("::ffff:192.0.2.1", 80, AF_INET6) ==
      parsed("192.0.2.1", 80))
  end)
end)

describe("an address passed back", function()
  it("leads to where it came from", function()
    local one <close> = csock.socket(AF_INET, SOCK_DGRAM)
    local two <close> = csock.socket(AF_INET, SOCK_DGRAM)
    one:bind {"127.0.0.1", 0}
    two:bind {"127.0.0.1", 0}
    two:sendto("ping", one:getsockname())
    local _, address = one:recvfrom(10)
    one:sendto("pong", address)
    assert.are.equal("pong", two:recv(10))
  end)

  it("leads there over IPv6 too, with all it holds", function()
    if not has_v6 then pending "no IPv6 here" end
    local one <close> = csock.socket(AF_INET6, SOCK_DGRAM)
    one:bind {"::1", 0}
    local two <close> = csock.socket(AF_INET6, SOCK_DGRAM)
    two:connect(one:getsockname())
    assert.are.equal(one:getsockname(), two:getpeername())
  end)

  it("may be passed as a table of its items", function()
    local one <close> = csock.socket()
    one:bind {"127.0.0.1", 0}
    one:listen()
    local two <close> = csock.socket()
    two:connect {table.unpack(one:getsockname())}
    assert.are.equal(one:getsockname(), two:getpeername())
  end)

  it("is refused by a socket of another family", function()
    local v6 <close> = csock.socket(has_v6 and AF_INET6 or AF_UNIX)
    misused("bad argument #1 to 'bind'",
      function() v6:bind(parsed("127.0.0.1", 0)) end)
    local unix <close> = csock.socket(AF_UNIX)
    misused("bad argument #1 to 'connect'",
      function() unix:connect(parsed("127.0.0.1", 1)) end)
  end)

  it("is refused by IPv4 when it is of IPv6", function()
    if not has_v6 then pending "no IPv6 here" end
    local sock <close> = csock.socket()
    misused("bad argument #1 to 'bind'.*family",
      function() sock:bind(parsed("::1", 0, AF_INET6)) end)
  end)
end)

describe("an address that csock takes", function()
  it("is any address, for an empty host", function()
    assert.are.equal("0.0.0.0", bound_to({"", 0}).host)
    assert.are.equal("::", bound_to({"", 0}, AF_INET6).host)
  end)

  it("is the broadcast address, for <broadcast>", function()
    assert.are.equal("255.255.255.255", bound_to({"<broadcast>", 0}).host)
  end)

  it("is a host's, for a name", function()
    assert.are.equal("127.0.0.1", bound_to({"localhost", 0}).host)
  end)

  it("may have more items and names, which are not looked at", function()
    assert.are.equal("127.0.0.1",
      bound_to({"127.0.0.1", 0, "x", {}, name = "here"}).host)
  end)

  it("may have a whole float for a port", function()
    assert.are.equal("127.0.0.1", bound_to({"127.0.0.1", 0.0}).host)
  end)

  it("needs no flowinfo and no scope id", function()
    assert.are.same({0, 0}, {table.unpack(bound_to({"::1", 0}, AF_INET6),
      3)})
  end)

  it("has a scope in its host", function()
    if not has_v6 then pending "no IPv6 here" end
    for _, host in ipairs {"fe80::ffff%lo", "fe80::ffff%1"} do
      local sock <close> = csock.socket(AF_INET6, SOCK_DGRAM)
      local err = refused("EADDRNOTAVAIL", sock.bind, sock, {host, 0})
      assert.matches("fe80::ffff%%", tostring(err))
    end
  end)

  it("has a scope id that wins over the host's", function()
    if not has_v6 then pending "no IPv6 here" end
    for _, host in ipairs {"fe80::ffff%lo", "fe80::ffff%1"} do
      local sock <close> = csock.socket(AF_INET6, SOCK_DGRAM)
      -- there is no interface of this number, and the system says so
      refused("ENODEV", sock.bind, sock, {host, 0, 0, 54321})
    end
  end)

  it("may be anything that answers 1 and 2", function()
    local function address(host)
      return setmetatable({}, {__index = function(_, i)
        -- no table keeps the string, and there is rubbish enough to collect
        local item = i == 1 and host:rep(1) .. "" or i == 2 and 0 or nil
        collectgarbage()
        return item
      end})
    end
    for _ = 1, 20 do
      assert.are.equal("127.0.0.1", bound_to(address "127.0.0.1").host)
      assert.are.equal("127.0.0.1", bound_to(address "localhost").host)
    end
    if not has_v6 then return end
    for _ = 1, 20 do
      assert.are.equal("::1", bound_to(address "0:0:0:0:0:0:0:1",
        AF_INET6).host)
    end
  end)

  it("is looked at once, however long the operation takes", function()
    local listener <close> = csock.socket()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    local looks = 0
    local sock <close> = csock.socket()
    loop.run(function()
      sock:connect(setmetatable({}, {__index = function(_, i)
        if i == 1 then
          looks = looks + 1
          return "127.0.0.1"
        end
        return i == 2 and listener:getsockname().port or nil
      end}))
    end)
    assert.are.equal(1, looks)
  end)

  it("may raise when it is asked, and nothing has happened", function()
    local sock <close> = csock.socket()
    local address = setmetatable({}, {__index = function() error "mine" end})
    local ok, err = pcall(sock.bind, sock, address)
    assert.is_false(ok)
    assert.matches("mine$", err)
    assert.are.equal(0, sock:getsockname().port)
  end)
end)

describe("a bad address", function()
  local bad = {
    {"none at all", nil},
    {"a number", 80},
    {"a string", "127.0.0.1:80"},
    {"a boolean", true},
    {"a function", print},
    {"a file", io.stdout},
    {"an empty table", {}},
    {"no port", {"127.0.0.1"}},
    {"no host", {nil, 80}},
    {"a port above 65535", {"127.0.0.1", 65536}},
    {"a port far above", {"127.0.0.1", 1 << 40}},
    {"a port that would wrap", {"127.0.0.1", (1 << 32) + 80}},
    {"a negative port", {"127.0.0.1", -1}},
    {"the least port", {"127.0.0.1", math.mininteger}},
    {"a broken port", {"127.0.0.1", 80.5}},
    {"an infinite port", {"127.0.0.1", 1 / 0}},
    {"a port that is no number", {"127.0.0.1", 0 / 0}},
    {"a service for a port", {"127.0.0.1", "http"}},
    {"digits for a port", {"127.0.0.1", "80"}},
    {"an empty port", {"127.0.0.1", ""}},
    {"a table for a port", {"127.0.0.1", {}}},
    {"false for a port", {"127.0.0.1", false}},
    {"a number for a host", {127, 80}},
    {"a table for a host", {{}, 80}},
    {"true for a host", {true, 80}},
    {"a zero in the host", {"127.0.0.1\0.example.org", 80}},
    {"a host that is a zero", {"\0", 80}},
  }

  local calls = {
    {"bind", 1, function(sock, address) sock:bind(address) end},
    {"connect", 1, function(sock, address) sock:connect(address) end},
    {"connect_ex", 1, function(sock, address) sock:connect_ex(address) end},
    {"sendto", 2, function(sock, address) sock:sendto("x", address) end},
    {"sendto", 3, function(sock, address) sock:sendto("x", 0, address) end},
  }

  for _, row in ipairs(calls) do
    local name, place, call = table.unpack(row)
    for _, case in ipairs(bad) do
      it(("is refused as argument %d of %s: %s"):format(place, name, case[1]),
      function()
        local sock <close> = csock.socket(AF_INET, SOCK_DGRAM)
        misused(("bad argument #%d to '%s'"):format(place, name),
          function() call(sock, case[2]) end)
        assert.are.equal(0, sock:getsockname().port)
      end)
    end
  end

  local bad6 = {
    {"a negative flowinfo", {"::1", 80, -10}},
    {"a flowinfo of more than 20 bits", {"::1", 80, 0x100000}},
    {"a broken flowinfo", {"::1", 80, 0.5}},
    {"a name for a flowinfo", {"::1", 80, "x"}},
    {"a negative scope id", {"::1", 80, 0, -1}},
    {"a scope id of more than 32 bits", {"::1", 80, 0, 1 << 32}},
    {"a name for a scope id", {"::1", 80, 0, "lo"}},
  }
  for _, case in ipairs(bad6) do
    it("is refused by IPv6: " .. case[1], function()
      if not has_v6 then pending "no IPv6 here" end
      local sock <close> = csock.socket(AF_INET6, SOCK_DGRAM)
      misused("bad argument #1 to 'bind'",
        function() sock:bind(case[2]) end)
      assert.are.equal(0, sock:getsockname().port)
    end)
  end

  it("is told by what is wrong with it", function()
    local sock <close> = csock.socket()
    misused("port.*65535", function() sock:bind {"127.0.0.1", 65536} end)
    misused("port.*integer", function() sock:bind {"127.0.0.1", "http"} end)
    misused("host.*string", function() sock:bind {127, 80} end)
    misused("zero.*host", function() sock:bind {"a\0b", 80} end)
  end)

  it("is a table or a number, for AF_UNIX", function()
    local sock <close> = csock.socket(AF_UNIX)
    for _, wrong in ipairs {{"127.0.0.1", 80}, 80, true, print} do
      misused("bad argument #1 to 'bind'", function() sock:bind(wrong) end)
      misused("bad argument #1 to 'connect'",
        function() sock:connect(wrong) end)
    end
    misused("bad argument #1 to 'bind'", function() sock:bind() end)
    assert.are.equal("", sock:getsockname())
  end)

  it("is a host of the other family", function()
    local sock <close> = csock.socket()
    local ok, err = pcall(sock.bind, sock, {"::1", 0})
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
    assert.are.equal(0, sock:getsockname().port)
  end)

  it("is an interface that is not there", function()
    if not has_v6 then pending "no IPv6 here" end
    local sock <close> = csock.socket(AF_INET6)
    local ok, err = pcall(sock.bind, sock, {"fe80::1%nosuchif", 0})
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
  end)

  it("is an endless host", function()
    local sock <close> = csock.socket(has_v6 and AF_INET6 or AF_INET)
    local ok, err = pcall(sock.bind, sock, {("1:"):rep(100000), 0})
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
  end)

  it("is one on a family without addresses", function()
    -- a descriptor of another family, as which the socket takes it
    local a, b = csock.socketpair()
    local _b <close> = b
    local sock <close> = csock.socket(csock.AF_APPLETALK, SOCK_STREAM, 0,
      a:detach())
    misused("family", function() sock:bind {0, 0} end)
  end)
end)
