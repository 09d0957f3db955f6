-- family, as CPython's test_socket demands it of CAN, RDS, QIPCRTR, VSOCK,
-- UDP-Lite, TIPC and the kernel's cryptography.  The names of constants are
-- asked of every system, the rest of those whose kernel has the family:
-- elsewhere a test is pending, with the kernel's reason.  Not here: what csock
-- promises beyond (family_spec, family_traffic_spec).

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local transports = require "spec.transports"

local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM
local SOCK_RAW, SOCK_SEQPACKET = csock.SOCK_RAW, csock.SOCK_SEQPACKET
local MSG = transports.MSG
local misuse, refused = transports.misuse, transports.refused

-- Every constant is there, on a system that has the one they go with.
local function constants(family, names)
  if not csock[family] then pending("no " .. family) end
  for name in names:gmatch "%S+" do
    assert.are.equal("number", type(csock[name]), name)
  end
end

-- The call, or pending where there is no such device, path, address.
local function unless(code, what, f, ...)
  local result = table.pack(pcall(f, ...))
  if result[1] then return table.unpack(result, 2, result.n) end
  if result[2].code ~= code then error(result[2], 0) end
  return pending(what .. ": " .. result[2].strerror)
end

-- CAN -----------------------------------------------------------------------

local interface = "vcan0"

local function can(kind, proto)
  if not csock[proto] then return pending("no " .. proto) end
  return helper.socket("AF_CAN", kind, csock[proto])
end

local function can_frame(id, data)
  return string.pack("=I4Bxxxc8", id, #data, data)
end

local function dissect_can_frame(frame)
  local id, size, data = string.unpack("=I4Bxxxc8", frame)
  return {id, size, data:sub(1, size)}
end

describe("BasicCANTest", function()
  it("testCrucialConstants: they are there", function()
    constants("AF_CAN", "AF_CAN PF_CAN CAN_RAW")
  end)

  it("testBCMConstants: opcodes and flags are there", function()
    constants("CAN_BCM", [[CAN_BCM CAN_BCM_TX_SETUP CAN_BCM_TX_DELETE
      CAN_BCM_TX_READ CAN_BCM_TX_SEND CAN_BCM_RX_SETUP CAN_BCM_RX_DELETE
      CAN_BCM_RX_READ CAN_BCM_TX_STATUS CAN_BCM_TX_EXPIRED CAN_BCM_RX_STATUS
      CAN_BCM_RX_TIMEOUT CAN_BCM_RX_CHANGED CAN_BCM_SETTIMER
      CAN_BCM_STARTTIMER CAN_BCM_TX_COUNTEVT CAN_BCM_TX_ANNOUNCE
      CAN_BCM_TX_CP_CAN_ID CAN_BCM_RX_FILTER_ID CAN_BCM_RX_CHECK_DLC
      CAN_BCM_RX_NO_AUTOTIMER CAN_BCM_RX_ANNOUNCE_RESUME
      CAN_BCM_TX_RESET_MULTI_IDX CAN_BCM_RX_RTR_FRAME]])
  end)

  it("testCreateSocket: a raw one", function() can(SOCK_RAW, "CAN_RAW") end)

  it("testCreateBCMSocket: one of the broadcast manager", function()
    can(SOCK_DGRAM, "CAN_BCM")
  end)

  it("testBindAny: an empty name is every interface", function()
    local sock = can(SOCK_RAW, "CAN_RAW")
    sock:bind {""}
    assert.are.same({""}, {table.unpack(sock:getsockname())})
  end)

  it("testTooLongInterfaceName: is an error that says so", function()
    local sock = can(SOCK_RAW, "CAN_RAW")
    assert.matches("interface name too long",
      tostring(refused(nil, sock.bind, sock, {("x"):rep(1024)})))
  end)

  it("testLoopback: may be set", function()
    local sock = can(SOCK_RAW, "CAN_RAW")
    for loopback = 0, 1 do
      sock:setsockopt(csock.SOL_CAN_RAW, csock.CAN_RAW_LOOPBACK, loopback)
      assert.are.equal(loopback, sock:getsockopt(csock.SOL_CAN_RAW,
        csock.CAN_RAW_LOOPBACK))
    end
  end)

  it("testFilter: is bytes", function()
    local sock = can(SOCK_RAW, "CAN_RAW")
    local filter = string.pack("=I4I4", 0x200, 0x700)
    sock:setsockopt(csock.SOL_CAN_RAW, csock.CAN_RAW_FILTER, filter)
    assert.are.equal(filter, sock:getsockopt(csock.SOL_CAN_RAW,
      csock.CAN_RAW_FILTER, 8))
  end)
end)

-- Two sockets on the interface.
local function two_on_can()
  local server, client = can(SOCK_RAW, "CAN_RAW"), can(SOCK_RAW, "CAN_RAW")
  unless("ENODEV", interface, server.bind, server, {interface})
  client:bind {interface}
  server.timeout = 40
  return server, client
end

describe("CANTest", function()
  it("testSendFrame: comes, and tells its interface", function()
    local server, client = two_on_can()
    local frame = can_frame(0, "\1\2\3\4\5")
    client:send(frame)
    local data, address = server:recvfrom(128)
    assert.are.equal(frame, data)
    assert.are.equal(interface, address[1])
  end)

  it("testSendMaxFrame: with eight bytes", function()
    local server, client = two_on_can()
    local frame = can_frame(0, ("\7"):rep(8))
    client:send(frame)
    assert.are.equal(frame, (server:recvfrom(128)))
  end)

  it("testSendMultiFrames: come one by one", function()
    local server, client = two_on_can()
    local one = can_frame(7, "\x44\x33\x22\x11")
    local two = can_frame(0x12, "\x99\x22\x33")
    client:send(one)
    client:send(two)
    assert.are.equal(one, (server:recvfrom(128)))
    assert.are.equal(two, (server:recvfrom(128)))
  end)

  it("testBCM: the broadcast manager sends a frame", function()
    local server = two_on_can()
    local bcm = can(SOCK_DGRAM, "CAN_BCM")
    bcm:connect {interface}
    local frame = can_frame(0x123, "\xc0\xff\xee")
    local message = string.pack("!8I4I4I4llllI4I4", csock.CAN_BCM_TX_SEND,
      0, 0, 0, 0, 0, 0, 0x222, 1)
    message = message .. ("\0"):rep(#message % 8) .. frame
    assert.are.equal(#message, bcm:send(message))
    local data = server:recvfrom(128)
    assert.are.equal(frame, data)
    assert.are.same({0x123, 3, "\xc0\xff\xee"}, dissect_can_frame(data))
  end)
end)

describe("ISOTPTest", function()
  it("testCrucialConstants: they are there", function()
    constants("CAN_ISOTP", "AF_CAN PF_CAN CAN_ISOTP SOCK_DGRAM")
  end)

  it("testCreateSocket: a raw one", function() can(SOCK_RAW, "CAN_RAW") end)

  it("testCreateISOTPSocket: one of ISO-TP", function()
    can(SOCK_DGRAM, "CAN_ISOTP")
  end)

  it("testTooLongInterfaceName: is an error that says so", function()
    local sock = can(SOCK_DGRAM, "CAN_ISOTP")
    assert.matches("interface name too long",
      tostring(refused(nil, sock.bind, sock, {("x"):rep(1024), 1, 2})))
  end)

  it("testBind: the name is what was bound", function()
    local sock = can(SOCK_DGRAM, "CAN_ISOTP")
    local address = {interface, 0x123, 0x456}
    unless("ENODEV", interface, sock.bind, sock, address)
    assert.are.same(address, {table.unpack(sock:getsockname())})
  end)
end)

describe("J1939Test", function()
  it("testJ1939Constants: they are there", function()
    constants("CAN_J1939", [[CAN_J1939 J1939_MAX_UNICAST_ADDR
      J1939_IDLE_ADDR J1939_NO_ADDR J1939_NO_NAME J1939_PGN_REQUEST
      J1939_PGN_ADDRESS_CLAIMED J1939_PGN_ADDRESS_COMMANDED
      J1939_PGN_PDU1_MAX J1939_PGN_MAX J1939_NO_PGN SO_J1939_FILTER
      SO_J1939_PROMISC SO_J1939_SEND_PRIO SO_J1939_ERRQUEUE
      SCM_J1939_DEST_ADDR SCM_J1939_DEST_NAME SCM_J1939_PRIO
      SCM_J1939_ERRQUEUE J1939_NLA_PAD J1939_NLA_BYTES_ACKED
      J1939_EE_INFO_NONE J1939_EE_INFO_TX_ABORT J1939_FILTER_MAX]])
  end)

  it("testCreateJ1939Socket: one of J1939", function()
    can(SOCK_DGRAM, "CAN_J1939")
  end)

  it("testBind: the name is what was bound", function()
    local sock = can(SOCK_DGRAM, "CAN_J1939")
    local address = {interface, csock.J1939_NO_NAME, csock.J1939_NO_PGN,
      csock.J1939_NO_ADDR}
    unless("ENODEV", interface, sock.bind, sock, address)
    assert.are.same(address, {table.unpack(sock:getsockname())})
  end)
end)

-- RDS -----------------------------------------------------------------------

local function rds() return helper.socket("AF_RDS", SOCK_SEQPACKET, 0) end

describe("BasicRDSTest", function()
  it("testCrucialConstants: they are there", function()
    constants("AF_RDS", "AF_RDS PF_RDS")
  end)

  it("testCreateSocket: a socket", function() rds() end)

  it("testSocketBufferSize: may be set", function()
    local sock = rds()
    sock:setsockopt(csock.SOL_SOCKET, csock.SO_RCVBUF, 16384)
    sock:setsockopt(csock.SOL_SOCKET, csock.SO_SNDBUF, 16384)
  end)
end)

local function two_of_rds()
  local server, client = rds(), rds()
  local ok, err = pcall(function()
    server:bind {"127.0.0.1", 0}
    client:bind {"127.0.0.1", 0}
  end)
  if not ok then helper.pending("bind: " .. tostring(err.strerror)) end
  server.timeout = 40
  return server, client, {"127.0.0.1", server:getsockname().port}
end

describe("RDSTest", function()
  it("testSendAndRecv: a message and its sender", function()
    local server, client, target = two_of_rds()
    client:sendto("spam", 0, target)
    local data, address = server:recvfrom(8192)
    assert.are.equal("spam", data)
    assert.are.equal(client:getsockname(), address)
  end)

  it("testPeek: leaves the message", function()
    local server, client, target = two_of_rds()
    client:sendto("spam", 0, target)
    assert.are.equal("spam", (server:recvfrom(8192, csock.MSG_PEEK)))
    assert.are.equal("spam", (server:recvfrom(8192)))
  end)

  it("testSendAndRecvMsg: by sendmsg and recvmsg", function()
    local server, client, target = two_of_rds()
    local data = ("hello "):rep(10)
    client:sendmsg({data}, {}, 0, target)
    assert.are.equal(data, (server:recvmsg(8192)))
  end)

  it("testSendAndRecvMulti: two in their order", function()
    local server, client, target = two_of_rds()
    client:sendto("bacon", 0, target)
    client:sendto("egg", 0, target)
    assert.are.equal("bacon", (server:recvfrom(8192)))
    assert.are.equal("egg", (server:recvfrom(8192)))
  end)

  it("testSelect: a task is told of a message", function()
    local server, client, target = two_of_rds()
    loop.run(function()
      local task = loop.spawn(server.recvfrom, server, 8192)
      loop.sleep(0)
      client:sendto("select", 0, target)
      assert.are.equal("select", (task:join()))
    end)
  end)
end)

-- QIPCRTR -------------------------------------------------------------------

local function qipcrtr() return helper.socket("AF_QIPCRTR", SOCK_DGRAM) end

describe("BasicQIPCRTRTest", function()
  it("testCrucialConstants: it is there", function()
    constants("AF_QIPCRTR", "AF_QIPCRTR")
  end)

  it("testCreateSocket: a socket", function() qipcrtr() end)

  it("testUnbound: has no port", function()
    local sock = qipcrtr()
    assert.are.equal(0, sock:getsockname()[2])
  end)

  it("testBindSock: has one", function()
    local sock = qipcrtr()
    sock:bind {sock:getsockname()[1], 0}
    assert.are_not.equal(0, sock:getsockname()[2])
  end)

  it("testInvalidBindSock: another node is the world's failure", function()
    local sock = qipcrtr()
    refused(nil, sock.bind, sock, {-2, 0})
  end)

  it("testAutoBindSock: connect binds", function()
    local sock = qipcrtr()
    sock:connect {123, 123}
    assert.are_not.equal(0, sock:getsockname()[2])
  end)
end)

-- VSOCK ---------------------------------------------------------------------

local function vsock() return helper.socket("AF_VSOCK", SOCK_STREAM) end

describe("BasicVSOCKTest", function()
  it("testCrucialConstants: it is there", function()
    constants("AF_VSOCK", "AF_VSOCK")
  end)

  it("testVSOCKConstants: they are there", function()
    constants("AF_VSOCK", [[SO_VM_SOCKETS_BUFFER_SIZE
      SO_VM_SOCKETS_BUFFER_MIN_SIZE SO_VM_SOCKETS_BUFFER_MAX_SIZE
      VMADDR_CID_ANY VMADDR_PORT_ANY VMADDR_CID_HOST
      VM_SOCKETS_INVALID_VERSION IOCTL_VM_SOCKETS_GET_LOCAL_CID]])
  end)

  it("testCreateSocket: a socket", function() vsock() end)

  it("testSocketBufferSize: each may be doubled", function()
    local sock = vsock()
    local options = {csock.SO_VM_SOCKETS_BUFFER_MAX_SIZE,
      csock.SO_VM_SOCKETS_BUFFER_SIZE, csock.SO_VM_SOCKETS_BUFFER_MIN_SIZE}
    local was = {}
    for i, option in ipairs(options) do
      was[i] = sock:getsockopt(csock.AF_VSOCK, option)
    end
    for i, option in ipairs(options) do
      sock:setsockopt(csock.AF_VSOCK, option, was[i] * 2)
    end
    for i, option in ipairs(options) do
      assert.are.equal(was[i] * 2, sock:getsockopt(csock.AF_VSOCK, option))
    end
  end)
end)

-- The number of this machine, by an ioctl that Lua has not got.
local function local_cid()
  if not helper.has "python3" then pending "no python3 to ask for the CID" end
  local process = helper.spawn_process("python3 -c " .. helper.quote [[
import fcntl, socket, struct
try:
    with open("/dev/vsock", "rb") as f:
        r = fcntl.ioctl(f, socket.IOCTL_VM_SOCKETS_GET_LOCAL_CID, b"    ")
    print(struct.unpack("I", r)[0])
except OSError as e:
    print(e)
]])
  local line = process:read "l"
  return math.tointeger(line) or pending("/dev/vsock: " .. line)
end

describe("ThreadedVSOCKSocketStreamTest", function()
  it("testStream: within a guest", function()
    local server = vsock()
    local cid = local_cid()
    if cid == csock.VMADDR_CID_HOST then pending "this is no guest" end
    server:bind {csock.VMADDR_CID_ANY, csock.VMADDR_PORT_ANY}
    server:listen()
    local client = vsock()
    client.timeout, server.timeout = 1, 5
    -- where the kernel has no loopback the host is asked, which knows nothing
    local ok, err = pcall(client.connect, client,
      {cid, server:getsockname().port})
    if not ok then pending("VSOCK loopback: " .. err.strerror) end
    local conn <close> = server:accept()
    client:send(MSG)
    client:close()
    assert.are.equal(MSG, conn:recv(1024))
  end)
end)

-- UDP-Lite ------------------------------------------------------------------

local function udplite()
  local sock = helper.socket("AF_INET", SOCK_DGRAM,
    csock.IPPROTO_UDPLITE or -1)
  sock:bind {"127.0.0.1", 0}
  sock.timeout = 40
  return sock
end

describe("BasicUDPLITETest", function()
  local function pair()
    local server, client = udplite(), udplite()
    client:sendto(MSG, 0, {"127.0.0.1", server:getsockname().port})
    return server, client
  end

  it("testSendtoAndRecv: a datagram", function()
    local server = pair()
    assert.are.equal(MSG, server:recv(#MSG))
  end)

  it("testRecvFrom: and its sender", function()
    local server, client = pair()
    local data, address = server:recvfrom(#MSG)
    assert.are.equal(MSG, data)
    assert.are.equal(client:getsockname(), address)
  end)

  it("testRecvFromNegative: is misuse", function()
    local server = pair()
    misuse(server.recvfrom, server, -1)
  end)
end)

describe("UDPLITETimeoutTest", function()
  it("testUDPLITETimeout: is a timeout", function()
    local sock = udplite()
    sock.timeout = 0.02
    local err = refused(nil, sock.recv, sock, 1024)
    assert.is_true(csock.isinstance(err, csock.timeout))
  end)

  it("testTimeoutZero: is an error, and no timeout", function()
    local sock = udplite()
    sock.timeout = 0
    local err = refused(nil, sock.recv, sock, 1024)
    assert.is_false(csock.isinstance(err, csock.timeout))
  end)
end)

-- TIPC ----------------------------------------------------------------------

local STYPE, LOWER, UPPER = 2000, 200, 210

local function tipc(kind)
  local server = helper.socket("AF_TIPC", kind)
  local client = helper.socket("AF_TIPC", kind)
  server.timeout, client.timeout = 40, 40
  server:setsockopt(csock.SOL_SOCKET, csock.SO_REUSEADDR, 1)
  server:bind {csock.TIPC_ADDR_NAMESEQ, STYPE, LOWER, UPPER}
  return server, client,
    {csock.TIPC_ADDR_NAME, STYPE, LOWER + (UPPER - LOWER) // 2, 0}
end

describe("TIPCTest", function()
  it("testRDM: a message, and its sender", function()
    local server, client, target = tipc(csock.SOCK_RDM)
    client:sendto(MSG, target)
    local data, address = server:recvfrom(1024)
    assert.are.equal(client:getsockname(), address)
    assert.are.equal(MSG, data)
  end)
end)

describe("TIPCThreadableTest", function()
  it("testStream: a connection", function()
    local server, client, target = tipc(SOCK_STREAM)
    server:listen()
    loop.run(function()
      local task = loop.spawn(server.accept, server)
      client:connect(target)
      local conn, address = task:join()
      local _conn <close> = conn
      assert.are.equal(client:getsockname(), address)
      client:send(MSG)
      client:close()
      assert.are.equal(MSG, conn:recv(1024))
    end)
  end)
end)

-- The kernel's cryptography -------------------------------------------------

local function alg(...)
  local sock = helper.socket("AF_ALG", SOCK_SEQPACKET, 0)
  unless("ENOENT", table.concat({...}, " "), sock.bind, sock, {...})
  return sock
end

local function bytes(hex)
  return (hex:gsub("%x%x", function(byte)
    return string.char(tonumber(byte, 16))
  end))
end

describe("LinuxKernelCryptoAPI", function()
  it("test_sha256: at once, and by parts", function()
    local expected = bytes("ba7816bf8f01cfea414140de5dae2223" ..
      "b00361a396177a9cb410ff61f20015ad")
    local algo = alg("hash", "sha256")
    do
      local op <close> = algo:accept()
      op:sendall "abc"
      assert.are.equal(expected, op:recv(512))
    end
    local op <close> = algo:accept()
    op:send("a", csock.MSG_MORE)
    op:send("b", csock.MSG_MORE)
    op:send("c", csock.MSG_MORE)
    op:send ""
    assert.are.equal(expected, op:recv(512))
  end)

  it("test_hmac_sha1: with a key", function()
    local algo = alg("hash", "hmac(sha1)")
    algo:setsockopt(csock.SOL_ALG, csock.ALG_SET_KEY, "Python loves AF_ALG")
    local op <close> = algo:accept()
    op:sendall "what do ya want for nothing?"
    assert.are.equal(bytes "193dbb43c6297b47ea6277ec0ce67119a3f3aa66",
      op:recv(512))
  end)

  it("test_aes_cbc: there and back", function()
    local key = bytes "06a9214036b8a15b512e03d534120006"
    local iv = bytes "3dafba429d9eb430b422da802c9fac41"
    local message = "Single block msg"
    local ciphertext = bytes "e353779c1079aeb82708942dbe77181a"
    local algo = alg("skcipher", "cbc(aes)")
    algo:setsockopt(csock.SOL_ALG, csock.ALG_SET_KEY, key)
    local function crypt(data, direction)
      local op <close> = algo:accept()
      op:sendmsg_afalg(data, direction, iv)
      local size = 0
      for _, part in ipairs(data) do size = size + #part end
      return op:recv(size)
    end
    do
      local op <close> = algo:accept()
      op:sendmsg_afalg(nil, csock.ALG_OP_ENCRYPT, iv, nil, csock.MSG_MORE)
      op:sendall(message)
      assert.are.equal(ciphertext, op:recv(#message))
    end
    assert.are.equal(message, crypt({ciphertext}, csock.ALG_OP_DECRYPT))
    local parts = {}
    for i = 1, 1024 do parts[i] = message end
    local long = crypt(parts, csock.ALG_OP_ENCRYPT)
    assert.are.equal(#message * 1024, #long)
    assert.are.equal(ciphertext, long:sub(1, #message))
    assert.are.equal(message:rep(1024), crypt({long}, csock.ALG_OP_DECRYPT))
  end)

  it("test_aead_aes_gcm: with associated data", function()
    local key = bytes "c939cc13397c1d37de6ae0e1cb7c423c"
    local iv = bytes "b3d8cc017cbb89b39e0f67e2"
    local plain = bytes "c3b3c41f113a31b73d9a5cd432103069"
    local assoc = bytes "24825602bd12a984e0092d3e448eda5f"
    local ciphertext = bytes "93fe7d9e9bfd10348a5606e5cafa7354"
    local tag = bytes "0032a1dc85f1c9786925a2e71d8272dd"
    local algo = alg("aead", "gcm(aes)")
    algo:setsockopt(csock.SOL_ALG, csock.ALG_SET_KEY, key)
    algo:setsockopt(csock.SOL_ALG, csock.ALG_SET_AEAD_AUTHSIZE, nil, #tag)
    local function encrypted(send)
      local op <close> = algo:accept()
      send(op)
      local result = op:recv(#assoc + #plain + #tag)
      assert.are.equal(ciphertext, result:sub(#assoc + 1, -#tag - 1))
      assert.are.equal(tag, result:sub(-#tag))
    end
    encrypted(function(op)
      op:sendmsg_afalg(nil, csock.ALG_OP_ENCRYPT, iv, #assoc, csock.MSG_MORE)
      op:sendall(assoc, csock.MSG_MORE)
      op:sendall(plain)
    end)
    encrypted(function(op)
      op:sendmsg_afalg({assoc .. plain}, csock.ALG_OP_ENCRYPT, iv, #assoc)
    end)
    encrypted(function(op)
      op:sendmsg({assoc .. plain}, {
        {csock.SOL_ALG, csock.ALG_SET_OP,
          string.pack("=I4", csock.ALG_OP_ENCRYPT)},
        {csock.SOL_ALG, csock.ALG_SET_IV, string.pack("=I4", #iv) .. iv},
        {csock.SOL_ALG, csock.ALG_SET_AEAD_ASSOCLEN,
          string.pack("=I4", #assoc)},
      })
    end)
    local op <close> = algo:accept()
    op:sendmsg_afalg({assoc .. ciphertext .. tag}, csock.ALG_OP_DECRYPT, iv,
      #assoc)
    assert.are.equal(plain, op:recv(#assoc + #plain):sub(#assoc + 1))
  end)

  it("test_drbg_pr_sha256: random bytes", function()
    local algo = alg("rng", "drbg_pr_sha256")
    local file <close> = assert(io.open("/dev/urandom", "rb"))
    algo:setsockopt(csock.SOL_ALG, csock.ALG_SET_KEY, file:read(32))
    local op <close> = algo:accept()
    assert.are.equal(32, #op:recv(32))
  end)

  it("test_length_restriction: of type and name", function()
    local sock = helper.socket("AF_ALG", SOCK_SEQPACKET, 0)
    local function not_found(address)
      local err = refused("ENOENT", sock.bind, sock, address)
      assert.is_true(csock.isinstance(err, csock.FileNotFoundError))
    end
    not_found {("t"):rep(13), "name"}
    misuse(sock.bind, sock, {("t"):rep(14), "name"})
    not_found {"type", ("n"):rep(63)}
    misuse(sock.bind, sock, {"type", ("n"):rep(64)})
  end)
end)
