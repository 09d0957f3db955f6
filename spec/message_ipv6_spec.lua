-- message, with the ancillary data of IPv6: CPython's RFC3542AncillaryTest by
-- recvmsg and by recvmsg_into.  Only the items are looked at here, not what
-- the network makes of them.

local csock = require "csock"
local transports = require "spec.transports"

local MSG, int = transports.MSG, transports.int
local LEN, SPACE = csock.CMSG_LEN, csock.CMSG_SPACE
local IPV6 = csock.IPPROTO_IPV6
local hop_limit, traffic_class = 2, -1  -- -1: the system's

local function client_sends(t) t:sendToServer(MSG) end

-- Has the server told of the hop limit, and of the traffic class.
local function ask_hop(t)
  t.serv_sock:setsockopt(IPV6, csock.IPV6_RECVHOPLIMIT, 1)
end

local function ask_both(t)
  ask_hop(t)
  t.serv_sock:setsockopt(IPV6, csock.IPV6_RECVTCLASS, 1)
end

-- A whole integer from an item of data, in a range.
local function check_int(data, max)
  assert.are.equal(int, #data)
  local n = string.unpack("i", data)
  assert.is_true(n >= 0 and n <= max, n)
end

local function check_rest(t, msg, flags, addr, want)
  assert.are.equal(MSG, msg)
  t:checkAddress(addr)
  t:checkFlags(flags, true, want)
end

-- Python's checkHopLimit
local function hop(size, max)
  return function(t)
    local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    check_rest(t, msg, flags, addr, {unset = csock.MSG_CTRUNC})
    assert.are.equal(1, #ancdata)
    assert.are.equal(3, #ancdata[1])
    assert.are.equal(IPV6, ancdata[1][1])
    assert.are.equal(csock.IPV6_HOPLIMIT, ancdata[1][2])
    check_int(ancdata[1][3], max or 255)
  end
end

-- Python's checkTrafficClassAndHopLimit
local function both(size, max)
  return function(t)
    local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    check_rest(t, msg, flags, addr, {unset = csock.MSG_CTRUNC})
    assert.are.equal(2, #ancdata)
    local found = {}
    for _, item in ipairs(ancdata) do
      assert.are.equal(IPV6, item[1])
      assert.is_nil(found[item[2]])
      found[item[2]] = item[3]
    end
    check_int(found[csock.IPV6_TCLASS], 255)
    check_int(found[csock.IPV6_HOPLIMIT], max or 255)
  end
end

-- Python's checkHopLimitTruncatedHeader; `size` nil: not given
local function no_header(size, ignore)
  return function(t)
    local msg, ancdata, flags, addr
    if size then msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    else msg, ancdata, flags, addr = t:doRecvmsg(#MSG)
    end
    check_rest(t, msg, flags, addr,
      {set = csock.MSG_CTRUNC, ignore = ignore and csock.MSG_CTRUNC})
    assert.are.same({}, ancdata)
  end
end

-- Python's checkTruncatedSecondHeader
local function second_header(size, ignore)
  return function(t)
    local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    check_rest(t, msg, flags, addr,
      {set = csock.MSG_CTRUNC, ignore = ignore and csock.MSG_CTRUNC})
    assert.are.equal(1, #ancdata)
    local level, kind, data = table.unpack(ancdata[1])
    assert.are.equal(IPV6, level)
    assert.is_true(kind == csock.IPV6_TCLASS or kind == csock.IPV6_HOPLIMIT)
    check_int(data, 255)
  end
end

local function cut_in_data(t)
  local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, LEN(int) - 1)
  check_rest(t, msg, flags, addr, {set = csock.MSG_CTRUNC})
  assert.is_true(#ancdata <= 1)
  for _, item in ipairs(ancdata) do
    assert.are.equal(IPV6, item[1])
    assert.are.equal(csock.IPV6_HOPLIMIT, item[2])
    assert.is_true(#item[3] < int)
  end
end

local function second_cut_in_data(t)
  local msg, ancdata, flags, addr =
    t:doRecvmsg(#MSG, SPACE(int) + LEN(int) - 1)
  check_rest(t, msg, flags, addr, {set = csock.MSG_CTRUNC})
  local kinds = {[csock.IPV6_TCLASS] = true, [csock.IPV6_HOPLIMIT] = true}
  assert.is_true(#ancdata == 1 or #ancdata == 2)
  for i, item in ipairs(ancdata) do
    assert.are.equal(IPV6, item[1])
    assert.is_true(kinds[item[2]])
    kinds[item[2]] = nil
    if i == 1 then check_int(item[3], 255)
    else assert.is_true(#item[3] < int)
    end
  end
end

local function pack(n) return string.pack("i", n) end

local function send_hop(t)
  assert.are.equal(#MSG, t:sendmsgToServer({MSG},
    {{IPV6, csock.IPV6_HOPLIMIT, pack(hop_limit)}}))
end

local function send_both(t, odd)
  return t:sendmsgToServer({MSG}, {
    {IPV6, csock.IPV6_TCLASS, pack(traffic_class) .. (odd or "")},
    {IPV6, csock.IPV6_HOPLIMIT, pack(hop_limit)},
  })
end

local tests = {
  {"testRecvHopLimit: the hop limit", ask_hop, hop(10240)},
  {"testRecvHopLimitCMSG_SPACE: into exact space", ask_hop, hop(SPACE(int))},
  {"testSetHopLimit: one that was set", ask_hop, hop(10240, hop_limit),
    client = send_hop},
  {"testRecvTrafficClassAndHopLimit: two items", ask_both, both(10240)},
  {"testRecvTrafficClassAndHopLimitCMSG_SPACE: into exact space", ask_both,
    both(SPACE(int) * 2)},
  {"testSetTrafficClassAndHopLimit: both set", ask_both,
    both(10240, hop_limit),
    client = function(t) assert.are.equal(#MSG, send_both(t)) end},
  {"testOddCmsgSize: one byte too many", ask_both, both(10240, hop_limit),
    client = function(t)
      local ok, err = pcall(send_both, t, "\0")
      if ok then return end
      assert.are.equal("number", type(err.errno))
      assert.are.equal(#MSG, send_both(t))
    end},
  {"testCmsgTruncNoBufSize: no room given", ask_hop, no_header(nil, true)},
  {"testSingleCmsgTrunc0: no room", ask_hop, no_header(0, true)},
  {"testSingleCmsgTrunc1: one byte of room", ask_hop, no_header(1)},
  {"testSingleCmsgTrunc2Int: room for a part of the header", ask_hop,
    no_header(2 * int)},
  {"testSingleCmsgTruncLen0Minus1: a byte less than a header", ask_hop,
    no_header(LEN(0) - 1)},
  {"testSingleCmsgTruncInData: cut in its data", ask_hop, cut_in_data},
  {"testSecondCmsgTrunc0: no room for the second", ask_both,
    second_header(SPACE(int), true)},
  {"testSecondCmsgTrunc1: one byte of room for it", ask_both,
    second_header(SPACE(int) + 1)},
  {"testSecondCmsgTrunc2Int: room for a part of its header", ask_both,
    second_header(SPACE(int) + 2 * int)},
  {"testSecondCmsgTruncLen0Minus1: a byte less than its header", ask_both,
    second_header(SPACE(int) + LEN(0) - 1)},
  {"testSecondCmsgTruncInData: cut in its data", ask_both,
    second_cut_in_data},
}
for _, test in ipairs(tests) do
  test.prepare, test.server, test.timeout = test[2], test[3], 5
  test.client = test.client or client_sends
end

transports.class("RecvmsgRFC3542AncillaryUDP6Test", "UDP6", {tests})
transports.class("RecvmsgIntoRFC3542AncillaryUDP6Test", "UDP6", {tests}, true)
transports.class("RecvmsgRFC3542AncillaryUDPLITE6Test", "UDPLITE6", {tests})
transports.class("RecvmsgIntoRFC3542AncillaryUDPLITE6Test", "UDPLITE6",
  {tests}, true)
