-- message, with Python's socket module at the other end: each form of message
-- goes there and comes back, byte for byte, cut and gathered at random.

local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local transports = require "spec.transports"

-- Python sends back what it gets, gathered from random pieces, by recvmsg and
-- recvmsg_into in turn, with what ancillary data says turned into a message.
local peer = [[
import array, random, socket, sys
kind, form, path = sys.argv[1:4]
family, address = socket.AF_UNIX, path
if kind in ("TCP", "UDP"):
    family, address = socket.AF_INET, ("127.0.0.1", int(path))
if kind in ("TCP6", "UDP6"):
    family, address = socket.AF_INET6, ("::1", int(path))
types = dict.fromkeys(("TCP", "TCP6", "STREAM"), socket.SOCK_STREAM)
types.update(dict.fromkeys(("UDP", "UDP6", "DGRAM"), socket.SOCK_DGRAM))
types["SEQPACKET"] = socket.SOCK_SEQPACKET
sock = socket.socket(family, types[kind])
sock.settimeout(60)
if kind == "DGRAM":
    sock.bind(path + ".peer")
if form == "credentials":
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
if form == "ipv6":
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, 1)
sock.connect(address)
if types[kind] == socket.SOCK_DGRAM:
    sock.send(b"here")
def receive(turn):
    if turn % 2:
        return sock.recvmsg(70000, 512)[:3]
    bufs = [bytearray(1), bytearray(1000), bytearray(69000)]
    n, anc, flags, _ = sock.recvmsg_into(bufs, 512)
    return b"".join(bufs)[:n], anc, flags
def pieces(data):
    count = random.randint(0, 5)
    cuts = sorted(random.randint(0, len(data)) for _ in range(count))
    return [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]
turn = 0
while True:
    turn += 1
    data, anc, flags = receive(turn)
    if data == b"end" or not data:
        break
    if form == "echo":
        while data:
            data = data[sock.sendmsg(pieces(data)):]
    elif form == "fds":
        fds = array.array("i")
        for level, type, item in anc:
            assert (level, type) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
            fds.frombytes(item)
        for i, fd in enumerate(fds):
            with socket.socket(fileno=fd) as s:
                s.sendall(b"%d from Python" % i)
        a, b = socket.socketpair()
        with a, b:
            a.sendall(b"hello from Python")
            socket.send_fds(sock, [b"%d" % len(fds)], [b.fileno()])
    elif form == "credentials":
        (level, type, item), = anc
        assert (level, type) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS)
        sock.sendmsg([item])
    elif form == "ipv6":
        values = array.array("i")
        for level, type, item in sorted(anc):
            values.frombytes(item)
        sock.sendmsg([values], [
            (socket.IPPROTO_IPV6, socket.IPV6_TCLASS,
             array.array("i", [0x20])),
            (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT,
             array.array("i", [9]))])
]]

local function needs_python()
  if helper.has "python3" then return false end
  pending "no python3"
  return true
end

local types = {
  TCP = csock.SOCK_STREAM, TCP6 = csock.SOCK_STREAM, UDP = csock.SOCK_DGRAM,
  UDP6 = csock.SOCK_DGRAM, STREAM = csock.SOCK_STREAM,
  DGRAM = csock.SOCK_DGRAM, SEQPACKET = csock.SOCK_SEQPACKET,
}

local function write_peer(directory)
  local path = directory .. "/peer.py"
  local file <close> = assert(io.open(path, "w"))
  file:write(peer)
  return path
end

-- A socket connected to Python's, and its process.
local function start(kind, form)
  local directory = helper.tmpdir()
  local family, address = csock.AF_UNIX, directory .. "/socket"
  if kind:find "6$" then family, address = csock.AF_INET6, {"::1", 0}
  elseif kind == "TCP" or kind == "UDP" then
    family, address = csock.AF_INET, {"127.0.0.1", 0}
  end
  local sock = csock.socket(family, types[kind])
  sock:bind(address)
  local where = sock:getsockname()
  if type(where) ~= "string" then where = tostring(where.port) end
  local datagrams = types[kind] == csock.SOCK_DGRAM
  if not datagrams then sock:listen() end
  local process = helper.spawn_process(("python3 %s %s %s %s"):format(
    write_peer(directory), kind, form, where))
  sock.timeout = 60
  if datagrams then
    local _, _, _, whom = sock:recvmsg(10)
    sock:connect(whom)
    return sock, process
  end
  local listener <close> = sock
  sock = listener:accept()
  sock.timeout = 60
  return sock, process
end

local function finish(sock, process)
  sock:sendmsg{"end"}
  assert.are.equal(0, (select(3, process:wait())))
end

local function pieces(data)
  local list, at = {}, 1
  repeat
    local n = math.random(0, #data - at + 1)
    local piece = data:sub(at, at + n - 1)
    list[#list + 1] = #list % 2 == 0 and piece or core.buffer(piece)
    at = at + n
  until #list == 6
  list[7] = data:sub(at)
  return list
end

local function random_data(n)
  local words = {}
  for i = 1, n // 8 + 1 do words[i] = string.pack("j", math.random(0)) end
  return table.concat(words):sub(1, n)
end

-- By recvmsg and by recvmsg_into in turn.
local function receive(sock, turn)
  if turn % 2 == 0 then return (sock:recvmsg(70000, 64)) end
  local list = {core.buffer(1), core.buffer(300), core.buffer(69000)}
  local n = sock:recvmsg_into(list, 64)
  return (tostring(list[1]) .. tostring(list[2]) ..
    tostring(list[3])):sub(1, n)
end

describe("messages to Python and back", function()
  for _, kind in ipairs {"TCP", "TCP6", "UDP", "UDP6", "STREAM", "DGRAM",
    "SEQPACKET"} do
    it(kind .. ": random sizes, gathered and scattered", function()
      if needs_python() then return end
      if kind:find "6$" and not transports.available "UDP6" then
        return pending "no IPv6"
      end
      local sock, process = start(kind, "echo")
      local _sock <close> = sock
      for turn = 1, 40 do
        local data = random_data(math.random(4, 1 << math.random(3, 14)))
        local sent = 0
        repeat
          sent = sent + sock:sendmsg(pieces(data:sub(sent + 1)))
        until sent == #data
        local got = ""
        repeat got = got .. receive(sock, turn) until #got >= #data
        assert.is_true(got == data)
      end
      finish(sock, process)
    end)
  end

  for _, kind in ipairs {"STREAM", "DGRAM", "SEQPACKET"} do
    it(kind .. ": descriptors", function()
      if needs_python() then return end
      local sock, process = start(kind, "fds")
      local _sock <close> = sock
      for _, count in ipairs {1, 2, 7} do
        local t <close> = transports.socketpair(csock.SOCK_STREAM)
        local list, ours = {}, {}
        for i = 1, count do
          local a, b = csock.socketpair()
          ours[i], list[i] = t:keep(a), t:keep(b):fileno()
        end
        csock.send_fds(sock, {"take"}, list)
        local data, fds, flags = csock.recv_fds(sock, 100, 1)
        assert.are.equal(tostring(count), data)
        assert.are.equal(0, flags)
        local theirs = t:keep(csock.socket(nil, nil, nil, fds[1]))
        assert.are.equal("hello from Python", theirs:recv(100))
        for i = 1, count do
          assert.are.equal(i - 1 .. " from Python", ours[i]:recv(100))
        end
      end
      finish(sock, process)
    end)

    it(kind .. ": credentials", function()
      if needs_python() then return end
      local sock, process = start(kind, "credentials")
      local _sock <close> = sock
      sock.passcred = true
      for _ = 1, 2 do
        sock:sendmsg{"who am I?"}
        local data, ancdata = sock:recvmsg(100, 100)
        assert.are.equal(transports.pid(), (string.unpack("iII", data)))
        assert.are.equal(1, #ancdata)
        assert.are.equal(csock.SCM_CREDENTIALS, ancdata[1][2])
        local pid, uid, gid = string.unpack("iII", ancdata[1][3])
        assert.are.equal(process.pid, pid)
        assert.are.equal(string.pack("II", uid, gid), data:sub(5))
      end
      finish(sock, process)
    end)
  end

  it("UDP6: hop limit and traffic class", function()
    if needs_python() then return end
    if not transports.available "UDP6" then return pending "no IPv6" end
    local IPV6 = csock.IPPROTO_IPV6
    local sock, process = start("UDP6", "ipv6")
    local _sock <close> = sock
    sock:setsockopt(IPV6, csock.IPV6_RECVHOPLIMIT, 1)
    sock:setsockopt(IPV6, csock.IPV6_RECVTCLASS, 1)
    sock:sendmsg({"x"}, {
      {IPV6, csock.IPV6_TCLASS, string.pack("i", 0x40)},
      {IPV6, csock.IPV6_HOPLIMIT, string.pack("i", 33)},
    })
    local data, ancdata, flags = sock:recvmsg(100, 100)
    -- in order of their types: IPV6_HOPLIMIT is 52, IPV6_TCLASS 67
    assert.are.equal(string.pack("ii", 33, 0x40), data)
    assert.are.equal(0, flags)
    local found = {}
    for _, item in ipairs(ancdata) do
      found[item[2]] = string.unpack("i", item[3])
    end
    assert.are.same({[csock.IPV6_HOPLIMIT] = 9, [csock.IPV6_TCLASS] = 0x20},
      found)
    finish(sock, process)
  end)
end)
