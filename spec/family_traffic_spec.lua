-- family, with what the kernel makes of it: raw IP, frames on the loopback
-- interface, netlink dumps, virtual machines' sockets.  Each test runs outside
-- of tasks and in one; where the kernel or the user's rights do not allow a
-- socket it is pending.  Not here: the forms of addresses (family_spec), other
-- programs (family_interop_spec).

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local random_bytes = helper.random_bytes

local AF_INET, AF_INET6 = csock.AF_INET, csock.AF_INET6
local SOCK_RAW, SOCK_DGRAM = csock.SOCK_RAW, csock.SOCK_DGRAM

local function everywhere(name, f)
  it(name .. ", outside of tasks", f)
  it(name .. ", in a task", function() loop.run(f) end)
end

local function raw(family, proto)
  local sock = helper.socket(family, SOCK_RAW, proto)
  sock.timeout = 40
  return sock
end

-- RFC 1071
local function checksum(data)
  local sum = 0
  if #data % 2 == 1 then data = data .. "\0" end
  for i = 1, #data, 2 do sum = sum + string.unpack(">I2", data, i) end
  while sum > 0xffff do sum = (sum & 0xffff) + (sum >> 16) end
  return ~sum & 0xffff
end

-- The first datagram that f accepts; others on the machine use these too.
local function receive(sock, f)
  while true do
    local data, address = sock:recvfrom(65536)
    if f(data, address) then return data, address end
  end
end

-- An IPv4 packet's payload, and its header's protocol, source and destination.
local function dissect(packet)
  local words = packet:byte() & 15
  assert.are.equal(4, packet:byte() >> 4)
  assert.are.equal(0, checksum(packet:sub(1, words * 4)))
  return packet:sub(words * 4 + 1), string.unpack("Bxxc4c4", packet, 10)
end

local home = "\127\0\0\1"

-- A datagram socket on the loopback interface, its port.
local function receiver()
  local sock = csock.socket(AF_INET, SOCK_DGRAM)
  sock.timeout = 40
  sock:bind {"127.0.0.1", 0}
  return sock, sock:getsockname().port
end

describe("a raw socket", function()
  everywhere("has an ICMP echo answered", function()
    local sock = raw("AF_INET", csock.IPPROTO_ICMP)
    local id, seq = math.random(0, 0xffff), math.random(0, 0xffff)
    local payload = random_bytes(math.random(0, 1001))
    local function message(kind, sum)
      return string.pack(">BBI2I2I2", kind, 0, sum, id, seq) .. payload
    end
    local request = message(8, checksum(message(8, 0)))
    assert.are.equal(#request, sock:sendto(request, {"127.0.0.1", 0}))
    -- it sees what it sent as well, as an arrival
    local packet, address = receive(sock, function(data)
      local body = dissect(data)
      return body:byte() == 0 and string.unpack(">I2", body, 5) == id
    end)
    local body, proto, from, to = dissect(packet)
    assert.are.same({csock.IPPROTO_ICMP, home, home}, {proto, from, to})
    assert.are.equal(0, checksum(body))
    assert.are.equal(message(0, checksum(message(0, 0))), body)
    assert.are.same({"127.0.0.1", 0}, {table.unpack(address)})
  end)

  everywhere("has an ICMPv6 echo answered", function()
    local sock = raw("AF_INET6", csock.IPPROTO_ICMPV6)
    local id, seq = math.random(0, 0xffff), math.random(0, 0xffff)
    local payload = random_bytes(math.random(0, 1001))
    local function message(kind, sum)
      return string.pack(">BBI2I2I2", kind, 0, sum, id, seq) .. payload
    end
    local ok, err = pcall(sock.sendto, sock, message(128, 0), {"::1", 0})
    if not ok and err.code == "EADDRNOTAVAIL" then pending "no IPv6 here" end
    assert.is_true(ok, tostring(err))
    local body, address = receive(sock, function(data)
      return data:byte() == 129 and string.unpack(">I2", data, 5) == id
    end)
    -- the checksum, which the system has made, covers a pseudo-header too
    local ends = (("\0"):rep(15) .. "\1"):rep(2)
    assert.are.equal(0, checksum(ends .. string.pack(">I4I4", #body,
      csock.IPPROTO_ICMPV6) .. body))
    assert.are.equal(message(129, string.unpack(">I2", body, 3)), body)
    assert.are.same({"::1", 0, 0, 0}, {table.unpack(address)})
  end)

  everywhere("makes UDP datagrams by hand", function()
    local sock = raw("AF_INET", csock.IPPROTO_UDP)
    local udp, port = receiver()
    local _udp <close> = udp
    local payload = random_bytes(100)
    sock:sendto(string.pack(">I2I2I2I2", 7, port, 108, 0) .. payload,
      {"127.0.0.1", 0})
    local data, address = udp:recvfrom(1000)
    assert.are.equal(payload, data)
    assert.are.same({"127.0.0.1", 7}, {table.unpack(address)})
  end)

  everywhere("sees the headers of UDP datagrams", function()
    local sock = raw("AF_INET", csock.IPPROTO_UDP)
    local udp, port = receiver()
    local _udp <close> = udp
    local payload = random_bytes(99)
    udp:sendto(payload, {"127.0.0.1", port})
    local packet = receive(sock, function(data)
      return dissect(data):sub(9) == payload
    end)
    local from, to, size = string.unpack(">I2I2I2", (dissect(packet)))
    assert.are.same({port, port, 107}, {from, to, size})
  end)

  everywhere("makes IP headers by hand, with IP_HDRINCL", function()
    local sock = raw("AF_INET", csock.IPPROTO_RAW)
    sock:setsockopt(csock.IPPROTO_IP, csock.IP_HDRINCL, 1)
    local udp, port = receiver()
    local _udp <close> = udp
    local payload = random_bytes(100)
    local source = "\127\1\2\3"
    sock:sendto(string.pack(">BBI2I2I2BBI2c4c4I2I2I2I2", 0x45, 0, 128, 0, 0,
      64, csock.IPPROTO_UDP, 0, source, home, 7, port, 108, 0) .. payload,
      {"127.0.0.1", 0})
    local data, address = udp:recvfrom(1000)
    assert.are.equal(payload, data)
    assert.are.same({"127.1.2.3", 7}, {table.unpack(address)})
  end)

  it("has its protocol for a port, as Python's", function()
    local sock = raw("AF_INET", csock.IPPROTO_ICMP)
    sock:bind {"127.0.0.1", 0}
    assert.are.same({"127.0.0.1", csock.IPPROTO_ICMP},
      {table.unpack(sock:getsockname())})
  end)
end)

-- A protocol for experiments (IEEE 802), and the loopback's hardware address.
local ETHERTYPE, LOOPBACK = 0x88b5, 772
local none = ("\0"):rep(6)

local function on_loopback(kind)
  local sock = helper.socket("AF_PACKET", kind)
  sock.timeout = 40
  sock:bind {"lo", ETHERTYPE}
  return sock
end

-- The number of an interface, as the system's files tell it.
local function index_of(name)
  local file <close> = io.open("/sys/class/net/" .. name .. "/ifindex")
  if not file then return helper.pending "there is no /sys/class/net here" end
  return file:read "n"
end

describe("a packet socket", function()
  everywhere("moves whole frames", function()
    local one = on_loopback(SOCK_RAW)
    local two = on_loopback(SOCK_RAW)
    local payload = random_bytes(math.random(46, 1500))
    local frame = none .. none .. string.pack(">I2", ETHERTYPE) .. payload
    assert.are.equal(#frame, one:send(frame))
    local data, address = receive(two, function(data)
      return data == frame
    end)
    assert.are.equal(frame, data)
    assert.are.same({"lo", ETHERTYPE, csock.PACKET_HOST, LOOPBACK, none},
      {table.unpack(address)})
    assert.are.same({"lo", ETHERTYPE, none},
      {address.ifname, address.proto, address.addr})
    assert.are.equal("lo:34997:0:772:000000000000", tostring(address))
  end)

  everywhere("has the system make the header of datagrams", function()
    local one = helper.socket("AF_PACKET", SOCK_DGRAM)
    local two = on_loopback(SOCK_DGRAM)
    local whole = on_loopback(SOCK_RAW)
    local payload = random_bytes(math.random(46, 1500))
    local target = {"lo", ETHERTYPE, 0, 0, "\2\3\4\5\6\7"}
    assert.are.equal(#payload, one:sendto(payload, target))
    local _, address = receive(two, function(data) return data == payload end)
    assert.are.same({"lo", ETHERTYPE}, {address[1], address[2]})
    assert.are.equal(csock.PACKET_OTHERHOST, address.pkttype)
    receive(whole, function(data)
      return data == "\2\3\4\5\6\7" .. none ..
        string.pack(">I2", ETHERTYPE) .. payload
    end)
  end)

  everywhere("answers to the address it was given", function()
    local one = on_loopback(SOCK_DGRAM)
    local two = on_loopback(SOCK_DGRAM)
    local ping, pong = random_bytes(50), random_bytes(50)
    one:sendto(ping, {"lo", ETHERTYPE, 0, 0, none})
    local _, address = receive(two, function(data) return data == ping end)
    two:sendto(pong, address)
    two:sendmsg({pong}, {}, 0, address)
    receive(one, function(data) return data == pong end)
    receive(one, function(data) return data == pong end)
    local message
    repeat
      two:sendmsg({ping}, {}, 0, address)
      message = table.pack(one:recvmsg(2000))
    until message[1] == ping
    assert.are.equal(address, message[4])
  end)

  it("tells its address, which it takes back", function()
    local sock = on_loopback(SOCK_RAW)
    local address = sock:getsockname()
    assert.are.same({"lo", ETHERTYPE, 0, LOOPBACK, none},
      {table.unpack(address)})
    local other = helper.socket("AF_PACKET", SOCK_RAW)
    assert.are.same({"", 0, 0, 0, ""}, {table.unpack(other:getsockname())})
    other:bind(address)
    assert.are.equal(address, other:getsockname())
    assert.matches("laddr=lo:34997:0:772:000000000000", tostring(other))
  end)

  it("joins and leaves groups by bytes", function()
    local sock = on_loopback(SOCK_RAW)
    local group = "\3\x02\x5e" .. random_bytes(3)
    local shown = group:gsub(".", function(c)
      return ("%02x"):format(c:byte())
    end)
    local function member()
      local file <close> = assert(io.open "/proc/net/dev_mcast")
      return file:read "a":find(shown, 1, true) ~= nil
    end
    local request = string.pack("=i4I2I2c8", index_of "lo",
      csock.PACKET_MR_MULTICAST, 6, group)
    assert.is_false(member())
    sock:setsockopt(csock.SOL_PACKET, csock.PACKET_ADD_MEMBERSHIP, request)
    assert.is_true(member())
    sock:setsockopt(csock.SOL_PACKET, csock.PACKET_DROP_MEMBERSHIP, request)
    assert.is_false(member())
  end)
end)

-- Netlink (netlink(7), rtnetlink(7)) ----------------------------------------

local RTM_NEWLINK, RTM_GETLINK = csock.RTM_NEWLINK, csock.RTM_GETLINK
local RTM_NEWROUTE, RTM_GETROUTE = csock.RTM_NEWROUTE, csock.RTM_GETROUTE
local NLMSG_ERROR, NLMSG_DONE = csock.NLMSG_ERROR, csock.NLMSG_DONE

-- The attributes from a position on: from type to bytes.
local function attributes(data, position)
  local found = {}
  while position + 4 <= #data + 1 do
    local size, kind = string.unpack("=I2I2", data, position)
    found[kind & 0x3fff] = data:sub(position + 4, position + size - 1)
    position = position + (size + 3 & ~3)
  end
  return found
end

-- Asks for everything of a kind; the bodies of the answers.
local function dump(sock, kind, answer, family)
  local seq, bodies = math.random(1, 0x7fffffff), {}
  sock:sendto(string.pack("=I4I2I2I4I4 Bxxx xxxx xxxx xxxx", 32, kind,
    csock.NLM_F_REQUEST | csock.NLM_F_DUMP, seq, 0, family), {0, 0})
  while true do
    local data, address = sock:recvfrom(65536)
    assert.are.same({0, 0}, {table.unpack(address)})
    local position = 1
    while position < #data do
      local size, what, _, number, pid =
        string.unpack("=I4I2I2I4I4", data, position)
      assert.are.same({seq, sock:getsockname().pid}, {number, pid})
      if what == NLMSG_DONE then return bodies end
      assert.are_not.equal(NLMSG_ERROR, what)
      assert.are.equal(answer, what)
      bodies[#bodies + 1] = data:sub(position + 16, position + size - 1)
      position = position + (size + 3 & ~3)
    end
  end
end

local function netlink()
  local sock = raw("AF_NETLINK", csock.NETLINK_ROUTE)
  sock:bind {0, 0}
  return sock
end

describe("a netlink socket", function()
  it("gets a name from the system", function()
    local sock = raw("AF_NETLINK", csock.NETLINK_ROUTE)
    assert.are.same({0, 0}, {table.unpack(sock:getsockname())})
    sock:bind {0, 0}
    local address = sock:getsockname()
    assert.is_true(address.pid ~= 0)
    assert.are.same({address.pid, 0}, {table.unpack(address)})
    local other = raw("AF_NETLINK", csock.NETLINK_ROUTE)
    local ok, err = pcall(other.bind, other, address)
    assert.is_false(ok)
    assert.are.equal("EADDRINUSE", err.code)
    assert.are.equal(address, err.address)
  end)

  it("has the groups it is bound to", function()
    local sock = raw("AF_NETLINK", csock.NETLINK_ROUTE)
    sock:bind {0, 1 | 0x40}
    assert.are.equal(0x41, sock:getsockname().groups)
  end)

  everywhere("dumps the links", function()
    local sock = netlink()
    local found = {}
    for _, body in ipairs(dump(sock, RTM_GETLINK, RTM_NEWLINK, 0)) do
      local _, _, index = string.unpack("=BxI2i4", body)
      found[#found + 1] = index .. " " ..
        string.unpack("z", attributes(body, 17)[3])
    end
    table.sort(found)
    local expected = {}
    index_of "lo" -- pending without the files
    for _, name in ipairs(helper.files("/sys/class/net", "^[^.]")) do
      local file <close> = io.open("/sys/class/net/" .. name .. "/ifindex")
      if file then expected[#expected + 1] = file:read "n" .. " " .. name end
    end
    table.sort(expected)
    assert.is_true(#found > 0)
    assert.are.same(expected, found)
  end)

  everywhere("dumps the routes", function()
    local sock = netlink()
    local found = {}
    for _, body in ipairs(dump(sock, RTM_GETROUTE, RTM_NEWROUTE, AF_INET)) do
      local length, main, kind = string.unpack("xBxxBxxB", body)
      local attribute = attributes(body, 13)
      if main == 254 and kind == 1 and attribute[4] then
        local to = string.unpack("=I4", attribute[1] or "\0\0\0\0")
        local by = string.unpack("=I4", attribute[5] or "\0\0\0\0")
        found[#found + 1] = ("%d %08X %08X %d"):format(
          string.unpack("=I4", attribute[4]), to, by, length)
      end
    end
    table.sort(found)
    local expected = {}
    for line in io.lines "/proc/net/route" do
      local name, to, by, flags, mask =
        line:match "^(%S+)%s+(%x+)%s+(%x+)%s+(%x+)%s+%S+%s+%S+%s+%S+%s+(%x+)"
      -- RTF_UP, not RTF_REJECT
      if flags and tonumber(flags, 16) & 0x201 == 1 then
        local bits, n = tonumber(mask, 16), 0
        while bits > 0 do bits, n = bits & bits - 1, n + 1 end
        expected[#expected + 1] = ("%d %s %s %d"):format(index_of(name), to,
          by, n)
      end
    end
    table.sort(expected)
    assert.are.same(expected, found)
  end)

  it("lets a task wait for the answer", function()
    loop.run(function()
      local sock = netlink()
      local task = loop.spawn(function() return sock:recvfrom(65536) end)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      sock:sendto(string.pack("=I4I2I2I4I4 Bxxx xxxx xxxx xxxx", 32,
        RTM_GETLINK, csock.NLM_F_REQUEST | csock.NLM_F_DUMP, 1, 0, 0),
        {0, 0})
      local data, address = task:join()
      assert.are.equal(RTM_NEWLINK, (string.unpack("=I2", data, 5)))
      assert.are.equal("0:0", tostring(address))
    end)
  end)
end)

describe("a VSOCK socket", function()
  -- The machine's own, without a host; a kernel may lack it.
  local function listener()
    local sock = helper.socket("AF_VSOCK", csock.SOCK_STREAM)
    sock.timeout = 40
    local ok, err = pcall(sock.bind, sock,
      {csock.VMADDR_CID_LOCAL, csock.VMADDR_PORT_ANY})
    if not ok then
      sock:close()
      pending("VMADDR_CID_LOCAL: " .. err.strerror)
    end
    sock:listen()
    return sock
  end

  it("gets a port from the system", function()
    local sock = helper.socket("AF_VSOCK", csock.SOCK_STREAM)
    local any = csock.VMADDR_CID_ANY
    assert.are.same({any, csock.VMADDR_PORT_ANY},
      {table.unpack(sock:getsockname())})
    sock:bind {any, csock.VMADDR_PORT_ANY}
    local address = sock:getsockname()
    assert.are.equal(any, address.cid)
    assert.are_not.equal(csock.VMADDR_PORT_ANY, address.port)
    local other = helper.socket("AF_VSOCK", csock.SOCK_STREAM)
    local ok, err = pcall(other.bind, other, address)
    assert.is_false(ok)
    assert.are.equal("EADDRINUSE", err.code)
  end)

  everywhere("moves a stream on the machine", function()
    local server = listener()
    local client = helper.socket("AF_VSOCK", csock.SOCK_STREAM)
    client.timeout = 40
    client:connect(server:getsockname())
    local conn <close>, peer = server:accept()
    assert.are.equal(client:getsockname(), peer)
    assert.are.equal(server:getsockname(), client:getpeername())
    local data = random_bytes(5000)
    client:sendall(data)
    client:shutdown(csock.SHUT_WR)
    local parts = {}
    repeat
      parts[#parts + 1] = conn:recv(1000)
    until parts[#parts] == ""
    assert.are.equal(data, table.concat(parts))
  end)
end)

describe("a UDP-Lite socket", function()
  everywhere("has a part of a datagram unprotected", function()
    local one = helper.socket("AF_INET", SOCK_DGRAM,
      csock.IPPROTO_UDPLITE or -1)
    local two = helper.socket("AF_INET", SOCK_DGRAM,
      csock.IPPROTO_UDPLITE or -1)
    one:setsockopt(csock.IPPROTO_UDPLITE, csock.UDPLITE_SEND_CSCOV, 8)
    two:setsockopt(csock.IPPROTO_UDPLITE, csock.UDPLITE_RECV_CSCOV, 8)
    assert.are.equal(8, one:getsockopt(csock.IPPROTO_UDPLITE,
      csock.UDPLITE_SEND_CSCOV))
    two.timeout = 40
    two:bind {"127.0.0.1", 0}
    one:sendto("partly", two:getsockname())
    assert.are.equal("partly", two:recv(100))
    -- what covers less than the receiver wants does not come
    two:setsockopt(csock.IPPROTO_UDPLITE, csock.UDPLITE_RECV_CSCOV, 12)
    one:sendto("refused", two:getsockname())
    one:setsockopt(csock.IPPROTO_UDPLITE, csock.UDPLITE_SEND_CSCOV, 0)
    one:sendto("whole", two:getsockname())
    assert.are.equal("whole", two:recv(100))
  end)
end)

it("IPv6 raw sockets have {host, port, flowinfo, scope_id}", function()
  local sock = raw("AF_INET6", csock.IPPROTO_ICMPV6)
  assert.are.equal(AF_INET6, sock.family)
  assert.are.same({"::", csock.IPPROTO_ICMPV6, 0, 0},
    {table.unpack(sock:getsockname())})
end)
