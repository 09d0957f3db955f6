-- family: the addresses of links, netlink, VSOCK, CAN, TIPC, RDS, ALG and
-- QIPCRTR as tables, as bytes, and as what csock returns: all of it without a
-- system call on a socket, so that no kernel needs the family.  Not here: what
-- they lead to (family_traffic_spec), CPython's tests (family_python_spec).

local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local safe = require "csock.safe"
local misused = helper.misused

local pack, unpack = core.address.pack, core.address.unpack

-- The loopback interface, whose number the bytes hold.
local lo = 1
do
  local file = io.open "/sys/class/net/lo/ifindex"
  if file then
    lo = file:read "n"
    file:close()
  end
end

-- Each form: its family and protocol; the names of its items; addresses with
-- the layout of their bytes and, where they come back otherwise, as what.
local big = 0xfffffffe
local mac = "\x02\0\xff\x7f:\n"
local forms = {
  {"AF_PACKET", names = "ifname proto pkttype hatype addr",
    {{"lo", 0x0800}, "<I2>I2<i4I2BBc8", {0x0800, lo, 0, 0, 0, ""},
      back = {"lo", 0x0800, 0, 0, ""}, text = "lo:2048:0:0:"},
    {{"lo", 65535, 4, 772, mac}, "<I2>I2<i4I2BBc8",
      {65535, lo, 772, 4, 6, mac}, text = "lo:65535:4:772:0200ff7f3a0a"},
    {{"lo", 0, 255, 65535, "12345678"}, "<I2>I2<i4I2BBc8",
      {0, lo, 65535, 255, 8, "12345678"},
      text = "lo:0:255:65535:3132333435363738"}},
  {"AF_NETLINK", names = "pid groups",
    {{0, 0}, "<I2xxI4I4", {0, 0}, text = "0:0"},
    {{big, 0xffffffff}, "<I2xxI4I4", {big, 0xffffffff},
      text = "4294967294:4294967295"},
    {{1, -1}, "<I2xxI4I4", {1, 0xffffffff}, back = {1, 0xffffffff}}},
  {"AF_VSOCK", names = "cid port",
    {{3, 1234}, "<I2xxI4I4xxxx", {1234, 3}, text = "3:1234"},
    {{-1, big}, "<I2xxI4I4xxxx", {big, 0xffffffff},
      back = {0xffffffff, big}}},
  {"AF_QIPCRTR", names = "node port",
    {{1, big}, "<I2xxI4I4", {1, big}, text = "1:4294967294"},
    {{-2, 0}, "<I2xxI4I4", {big, 0}, back = {big, 0}}},
  {"AF_CAN", proto = "CAN_RAW", names = "interface",
    {{""}, "<I2xxI4c16", {0, ""}, text = ""},
    {{"lo"}, "<I2xxI4c16", {lo, ""}, text = "lo"}},
  {"AF_CAN", proto = "CAN_BCM", names = "interface",
    {{"lo"}, "<I2xxI4c16", {lo, ""}, text = "lo"}},
  {"AF_CAN", proto = "CAN_ISOTP", names = "interface rx tx",
    {{"lo", 0x123, 0x456}, "<I2xxI4I4I4c8", {lo, 0x123, 0x456, ""},
      text = "lo:291:1110"},
    {{"", 0x98abcdef, big}, "<I2xxI4I4I4c8", {0, 0x98abcdef, big, ""}}},
  {"AF_CAN", proto = "CAN_J1939", names = "interface name pgn addr",
    {{"", 0, 0x40000, 255}, "<I2xxI4i8I4Bxxx", {0, 0, 0x40000, 255},
      text = ":0:262144:255"},
    {{"lo", math.mininteger, 1, 2}, "<I2xxI4i8I4Bxxx",
      {lo, math.mininteger, 1, 2}}},
  {"AF_TIPC", names = "addr_type v1 v2 v3 scope",
    {{1, 2000, 200, 210}, "<I2BbI4I4I4", {1, 2, 2000, 200, 210},
      back = {1, 2000, 200, 210, 2}, text = "1:2000:200:210:2"},
    {{2, 2000, 205, 0, 3}, "<I2BbI4I4I4", {2, 3, 2000, 205, 0},
      back = {2, 2000, 205, 205, 3}},
    {{3, big, 7, 8, 1}, "<I2BbI4I4I4", {3, 1, 7, big, 0},
      back = {3, big, 7, 0, 1}}},
  {"AF_ALG", names = "type name feat mask",
    {{"hash", "sha256"}, "<I2c14I4I4c64", {"hash", 0, 0, "sha256"},
      back = {"hash", "sha256", 0, 0}, text = "hash:sha256:0:0"},
    {{("t"):rep(13), ("n"):rep(63), 1, big}, "<I2c14I4I4c64",
      {("t"):rep(13), 1, big, ("n"):rep(63)}}},
}

-- The number of a form's family and protocol; without them it is pending.
local function numbers(form)
  local family, proto = csock[form[1]], 0
  if form.proto then proto = csock[form.proto] end
  if not family or not proto then pending("no " .. form[1] .. " here") end
  return family, proto
end

local function words(text)
  local list = {}
  for word in text:gmatch "%S+" do list[#list + 1] = word end
  return list
end

local little = string.pack("=I2", 1) == "\1\0"

for _, form in ipairs(forms) do
  describe("an address of " .. (form.proto or form[1]), function()
    it("is packed as the system has it", function()
      if not little then pending "the layouts here are little-endian" end
      local family, proto = numbers(form)
      for _, case in ipairs(form) do
        if type(case) == "table" then
          assert.are.equal(string.pack(case[2], family,
            table.unpack(case[3])), pack(family, case[1], proto))
        end
      end
    end)

    it("comes back with its items and their names", function()
      local family, proto = numbers(form)
      local names = words(form.names)
      for i = 2, #form do
        local case = form[i]
        local address = unpack(pack(family, case[1], proto), proto)
        local want = case.back or case[1]
        assert.are.same(want, {table.unpack(address)})
        assert.are.equal(#names, #address)
        assert.is_nil(address[0])
        assert.is_nil(address[#names + 1])
        assert.is_nil(address.host)
        assert.are.equal(family, address.family)
        for j, name in ipairs(names) do
          assert.are.equal(want[j], address[name])
        end
        local seen = {}
        for j, item in ipairs(address) do seen[j] = item end
        assert.are.same(want, seen)
        seen = {}
        for j, item in pairs(address) do seen[j] = item end
        assert.are.same(want, seen)
        if case.text then
          assert.are.equal(case.text, tostring(address))
        end
        assert.are.equal("string", type(tostring(address)))
      end
    end)

    it("equals those with the same items, and no other", function()
      local family, proto = numbers(form)
      for i = 2, #form do
        local one = unpack(pack(family, form[i][1], proto), proto)
        for j = 2, #form do
          local two = unpack(pack(family, form[j][1], proto), proto)
          assert.are.equal(i == j, one == two)
        end
        assert.is_false(one == unpack(pack(csock.AF_INET, {"", 0})))
        assert.is_false(unpack(pack(csock.AF_INET, {"", 0})) == one)
      end
    end)

    it("is packed again as it was", function()
      local family, proto = numbers(form)
      for i = 2, #form do
        local bytes = pack(family, form[i][1], proto)
        assert.are.equal(bytes, pack(family, unpack(bytes, proto), proto))
      end
    end)

    it("is refused by another family", function()
      local family, proto = numbers(form)
      local address = unpack(pack(family, form[2][1], proto), proto)
      misused("family", pack, csock.AF_INET, address)
      misused("family", pack, family, unpack(pack(csock.AF_INET, {"", 0})))
    end)
  end)
end

describe("an address of AF_RDS", function()
  it("is one of AF_INET", function()
    if not csock.AF_RDS then pending "no AF_RDS here" end
    local address = {"127.0.0.1", 18634}
    assert.are.equal(pack(csock.AF_INET, address), pack(csock.AF_RDS, address))
    local object = unpack(pack(csock.AF_INET, address))
    assert.are.equal(pack(csock.AF_INET, address), pack(csock.AF_RDS, object))
    misused("port", pack, csock.AF_RDS, {"127.0.0.1", 65536})
    misused("host", pack, csock.AF_RDS, {1, 1})
  end)
end)

describe("an address of a family that csock does not know", function()
  it("is a number and bytes, as Python's", function()
    local address = unpack(string.pack("=I2c14", 250, "abc"))
    assert.are.same({250, "abc" .. ("\0"):rep(11)}, {table.unpack(address)})
    assert.are.same({2, 250}, {#address, address.family})
    assert.are.equal(address[2], address.bytes)
    assert.are.equal("250:61626300" .. ("0"):rep(20), tostring(address))
  end)

  it("has 14 bytes at least, as Python's, and all there are", function()
    assert.are.same({250, ("\0"):rep(14)},
      {table.unpack(unpack(string.pack("=I2", 250)))})
    local long = ("x"):rep(126)
    assert.are.same({250, long},
      {table.unpack(unpack(string.pack("=I2", 250) .. long))})
  end)

  it("can be passed back, but not be given as a table", function()
    local bytes = string.pack("=I2c14", 250, "abc")
    assert.are.equal(bytes, pack(250, unpack(bytes)))
    misused("no addresses for this family", pack, 250, {250, "abc"})
  end)
end)

-- What is wrong with a table, and what the message says of it.
local bad = {
  AF_PACKET = {
    {"{ifname", "lo"}, {"{ifname", 3}, {"ifname", {}}, {"ifname", {1, 3}},
    {"proto", {"lo"}}, {"proto", {"lo", -1}}, {"proto", {"lo", 65536}},
    {"proto", {"lo", 1.5}}, {"proto", {"lo", "ip"}},
    {"pkttype", {"lo", 3, -1}}, {"pkttype", {"lo", 3, 256}},
    {"pkttype", {"lo", 3, {}}}, {"hatype", {"lo", 3, 0, 65536}},
    {"hatype", {"lo", 3, 0, -1}}, {"addr", {"lo", 3, 0, 0, 1}},
    {"8 bytes", {"lo", 3, 0, 0, "123456789"}}, {"zero", {"l\0o", 3}},
    -- the address is judged before the interface is looked for
    {"proto", {"nosuchif", 65536}},
    {"8 bytes", {"nosuchif", 3, 0, 0, "123456789"}},
  },
  AF_NETLINK = {
    {"{pid", 0}, {"{pid", nil}, {"pid", {}}, {"groups", {0}},
    {"pid", {1 << 32, 0}}, {"pid", {-(1 << 31) - 1, 0}},
    {"groups", {0, 1 << 32}}, {"groups", {0, "x"}}, {"pid", {0.5, 0}},
  },
  AF_VSOCK = {
    {"{cid", 1}, {"cid", {}}, {"port", {1}}, {"cid", {1 << 32, 1}},
    {"port", {1, 1 << 40}}, {"port", {1, false}}, {"cid", {"", 1}},
  },
  AF_QIPCRTR = {
    {"{node", 1}, {"node", {}}, {"port", {1}}, {"node", {1 << 32, 1}},
  },
  CAN_RAW = {
    {"{interface", "can0"}, {"interface", {}}, {"interface", {0}},
    {"zero", {"a\0"}}, {"interface", {{}}},
  },
  CAN_ISOTP = {
    {"rx", {""}}, {"tx", {"", 1}}, {"rx", {"", 1 << 32, 1}},
    {"tx", {"", 1, -(1 << 40)}}, {"interface", {1, 1, 1}},
  },
  CAN_J1939 = {
    {"name", {""}}, {"pgn", {"", 1}}, {"addr", {"", 1, 1}},
    {"addr", {"", 1, 1, 256}}, {"addr", {"", 1, 1, -1}},
    {"pgn", {"", 1, 1 << 32, 1}}, {"name", {"", 0.5, 1, 1}},
  },
  AF_TIPC = {
    {"{addr_type", 1}, {"addr_type", {}}, {"v1", {1}}, {"v2", {1, 1}},
    {"v3", {1, 1, 1}}, {"unknown addr_type", {0, 1, 1, 1}},
    {"unknown addr_type", {4, 1, 1, 1}},
    {"unknown addr_type", {257, 1, 1, 1}}, {"v3", {1, 1, 1, 1 << 32}},
    {"scope", {1, 1, 1, 1, 128}}, {"scope", {1, 1, 1, 1, -1}},
  },
  AF_ALG = {
    {"{type", "hash"}, {"type", {}}, {"name", {"hash"}},
    {"type too long", {("t"):rep(14), "name"}},
    {"name too long", {"type", ("n"):rep(64)}},
    {"zero in the type", {"a\0b", "c"}}, {"zero in the name", {"a", "b\0"}},
    {"feat", {"a", "b", -1}}, {"mask", {"a", "b", 0, 1 << 32}},
    {"type", {1, "b"}}, {"name", {"a", 2}},
  },
}

describe("a bad address", function()
  for name, cases in pairs(bad) do
    it("of " .. name .. " is misuse, told by what is wrong", function()
      local can = name:find "^CAN"
      local family = csock[can and "AF_CAN" or name]
      if not family or can and not csock[name] then
        pending("no " .. name .. " here")
      end
      for _, case in ipairs(cases) do
        misused(case[1], pack, family, case[2], can and csock[name] or 0)
      end
    end)
  end

  it("of any kind of value is misuse", function()
    for _, form in ipairs(forms) do
      local family = csock[form[1]]
      if family then
        for _, value in ipairs {true, 1, "x", print, io.stdout} do
          misused("argument #2", pack, family, value,
            csock[form.proto] or 0)
        end
      end
    end
  end)

  it("raises what its table raises", function()
    if not csock.AF_PACKET then pending "no AF_PACKET here" end
    local address = setmetatable({}, {__index = function(_, i)
      collectgarbage()
      if i == 1 then return ("l"):rep(1) .. "o" end
      error("item " .. i, 0)
    end})
    local ok, err = pcall(pack, csock.AF_PACKET, address)
    assert.are.same({false, "item 2"}, {ok, err})
  end)
end)

describe("an interface that is not there", function()
  it("is ENODEV", function()
    for _, form in ipairs {{"AF_PACKET", {"nosuchif", 3}, 0},
      {"AF_PACKET", {"", 3}, 0}, {"AF_PACKET", {("x"):rep(500), 3}, 0},
      {"AF_CAN", {"nosuchif"}, csock.CAN_RAW},
      {"AF_CAN", {"nosuchif", 1, 2}, csock.CAN_ISOTP},
      {"AF_CAN", {"nosuchif", 1, 2, 3}, csock.CAN_J1939}} do
      if csock[form[1]] and form[3] then
        local ok, err = pcall(pack, csock[form[1]], form[2], form[3])
        assert.is_false(ok)
        assert.is_true(csock.isinstance(err, csock.error), tostring(err))
        assert.are.equal("ENODEV", err.code)
        local shown = table.concat(form[2], ":", 1, math.min(2, #form[2]))
        assert.is_truthy(tostring(err):find("pack " .. shown .. ": ", 1, true))
      end
    end
  end)

  it("is not looked for in getnameinfo", function()
    if not csock.AF_NETLINK then pending "no AF_NETLINK here" end
    local ok, err = pcall(csock.getnameinfo,
      unpack(pack(csock.AF_NETLINK, {0, 0})), 0)
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
    assert.are.equal("EAI_FAMILY", err.code)
  end)

  it("fails every operation that takes an address", function()
    if not csock.AF_PACKET then pending "no AF_PACKET here" end
    local sock = helper.socket("AF_PACKET", csock.SOCK_DGRAM)
    local there = {"nosuchif", 3}
    for _, call in ipairs {
      function() sock:bind(there) end,
      function() sock:connect(there) end,
      function() sock:connect_ex(there) end,
      function() sock:sendto("x", there) end,
      function() sock:sendto("x", 0, there) end,
      function() sock:sendmsg({"x"}, {}, 0, there) end,
    } do
      local ok, err = pcall(call)
      assert.is_false(ok)
      assert.is_true(csock.isinstance(err, csock.error), tostring(err))
      assert.are.same({"ENODEV", csock.ENODEV}, {err.code, err.errno})
      assert.are.equal(there, err.address)
      assert.matches("nosuchif:3: ", tostring(err))
    end
  end)

  it("has no name when it is shown", function()
    if not csock.AF_PACKET then pending "no AF_PACKET here" end
    local address = unpack(string.pack("=I2I2i4I2BBc8", csock.AF_PACKET, 0,
      0x7fffffff, 0, 0, 0, ""))
    assert.are.equal("", address.ifname)
  end)
end)

-- A socket that counts as one of the family, whatever its descriptor is: what
-- it is called with is looked at before the system sees it.
local function disguised(family, proto)
  local a, b = csock.socketpair(csock.AF_UNIX, csock.SOCK_DGRAM)
  b:close()
  return csock.socket(family, csock.SOCK_DGRAM, proto, a:detach())
end

describe("a socket of a family without a kernel", function()
  it("checks and packs addresses", function()
    for _, form in ipairs(forms) do
      local family, proto = csock[form[1]], csock[form.proto] or 0
      if family then
        local sock <close> = disguised(family, proto)
        misused("#1 to 'bind'", function() sock:bind {} end)
        misused("#2 to 'sendto'", function() sock:sendto("x", {}) end)
        misused("#4 to 'sendmsg'",
          function() sock:sendmsg({"x"}, {}, 0, {}) end)
        for i = 2, #form do
          for _, address in ipairs {form[i][1],
            unpack(pack(family, form[i][1], proto), proto)} do
            -- the system knows it for the address of another family
            local ok, err = pcall(sock.bind, sock, address)
            assert.is_false(ok)
            assert.are.equal("EINVAL", err.code)
            assert.are.equal(tostring(unpack(pack(family, address, proto),
              proto)), tostring(err.address))
            assert.are.equal(csock.EINVAL, sock:connect_ex(address))
          end
        end
      end
    end
  end)

  it("says that the name of an interface is too long", function()
    for _, name in ipairs {"CAN_RAW", "CAN_BCM", "CAN_ISOTP", "CAN_J1939"} do
      if csock[name] then
        local sock <close> = disguised(csock.AF_CAN, csock[name])
        for size, code in pairs {[15] = "ENODEV", [16] = false} do
          local address = {("x"):rep(size), 1, 2, 3}
          for _, f in ipairs {sock.bind, sock.connect, sock.connect_ex} do
            local ok, err = pcall(f, sock, address)
            assert.is_false(ok)
            assert.is_true(csock.isinstance(err, csock.OSError))
            assert.are.equal(code or nil, err.code)
            assert.are.equal(not code, err.strerror ==
              "interface name too long")
          end
        end
      end
    end
  end)

  it("returns what is not there as nil, err in csock.safe", function()
    if not csock.AF_PACKET then pending "no AF_PACKET here" end
    local a, b = csock.socketpair(csock.AF_UNIX, csock.SOCK_DGRAM)
    local _b <close> = b
    local sock <close> = safe.socket(csock.AF_PACKET, csock.SOCK_DGRAM, 0,
      a:detach())
    local there = {"nosuchif", 3}
    for _, result in ipairs {
      table.pack(sock:bind(there)),
      table.pack(sock:connect(there)),
      table.pack(sock:sendto("x", there)),
      table.pack(sock:sendmsg({"x"}, {}, 0, there)),
    } do
      assert.are.equal(2, result.n)
      assert.is_nil(result[1])
      assert.are.equal("ENODEV", result[2].code)
    end
    misused("proto", function() sock:bind {"nosuchif"} end)
    local unix <close> = safe.socket(csock.AF_UNIX)
    local result, err = unix:bind(("x"):rep(108))
    assert.is_nil(result)
    assert.are.same({"bind", "AF_UNIX path too long"},
      {err.op, err.strerror})
  end)

  it("takes an AF_RDS host's name to be one of IPv4", function()
    if not csock.AF_RDS then pending "no AF_RDS here" end
    local sock <close> = disguised(csock.AF_RDS, 0)
    local ok, err = pcall(sock.bind, sock, {"localhost", 1})
    assert.is_false(ok)
    assert.are.equal("EINVAL", err.code)
    assert.are.equal("127.0.0.1:1", tostring(err.address))
  end)
end)

describe("bytes that no system would give", function()
  it("make no address when there is no family in them", function()
    assert.is_nil(unpack "")
    assert.is_nil(unpack "\1")
  end)

  it("are at most as many as the longest address", function()
    misused("too long", unpack, ("\0"):rep(129))
    misused("string", unpack)
  end)

  it("are shown from within themselves", function()
    if not csock.AF_PACKET then pending "no AF_PACKET here" end
    -- it says that its hardware address has 255 bytes
    local head = string.pack("=I2I2i4I2BB", csock.AF_PACKET, 0, 0, 0, 0, 255)
    assert.are.equal(("\0"):rep(8), unpack(head).addr)
    assert.are.equal("abc" .. ("\0"):rep(5), unpack(head .. "abc").addr)
    assert.are.equal(("x"):rep(20), unpack(head .. ("x"):rep(20)).addr)
    head = string.pack("=I2I2i4I2BB", csock.AF_PACKET, 0, 0, 0, 0, 20)
    assert.are.equal(("x"):rep(20), unpack(head .. ("x"):rep(99)).addr)
  end)

  it("of TIPC may be of any kind", function()
    if not csock.AF_TIPC then pending "no AF_TIPC here" end
    local address = unpack(string.pack("=I2BbI4I4I4", csock.AF_TIPC, 9, -3,
      4, 5, 6))
    assert.are.same({9, 4, 5, 6, -3}, {table.unpack(address)})
  end)

  it("are an address all the same, whatever they are", function()
    local families = {0, 250, 0xffff}
    for name, number in pairs(csock) do
      if name:find "^AF_" and name ~= "AF_RDS" then -- that has AF_INET's
        families[#families + 1] = number
      end
    end
    local protos = {0, csock.CAN_RAW or 0, csock.CAN_ISOTP or 0,
      csock.CAN_J1939 or 0}
    for _ = 1, helper.slow and 300 or 1500 do
      local noise = {}
      for i = 1, math.random(0, 126) do noise[i] = math.random(0, 255) end
      local family = families[math.random(#families)]
      local proto = protos[math.random(#protos)]
      local bytes = string.pack("=I2", family) .. string.char(
        table.unpack(noise))
      local address = unpack(bytes, proto)
      if family == csock.AF_UNIX then
        assert.are.equal("string", type(address))
      else
        assert.are.equal("string", type(tostring(address)))
        assert.are.equal(#address, #{table.unpack(address)})
        assert.are.equal(family, address.family)
        assert.is_true(address == unpack(bytes, proto))
        local again = pack(family, address, proto)
        assert.are.equal(bytes, again:sub(1, #bytes))
        assert.matches("^\0*$", again:sub(#bytes + 1))
      end
    end
  end)
end)
