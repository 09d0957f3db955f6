-- family, with Python at the other end: raw IP, frames, netlink messages and
-- Unix packets go there and come back turned round, and both ends tell the same
-- addresses; and what Python's struct makes of the system's headers against
-- what csock packs.  Not here: the families of interop_spec.

local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local loop = require "csock.loop"

local function everywhere(name, f)
  it(name .. ", outside of tasks", f)
  it(name .. ", in a task", function() loop.run(f) end)
end

local function python(program, ...)
  if not helper.has "python3" then pending "no python3 here" end
  local words = {"python3 -u -c " .. helper.quote(program)}
  for i, word in ipairs {...} do
    words[i + 1] = helper.quote(tostring(word))
  end
  return helper.spawn_process(table.concat(words, " "))
end

local function hex(data)
  return (data:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
end

-- An address' items as the programs below print them.
local function shown(address)
  local items = {}
  for i, item in ipairs(address) do
    items[i] = type(item) == "string" and i > 1 and "b" .. hex(item) or
      tostring(item)
  end
  return table.concat(items, " ")
end

local random_bytes = function(n)
  local bytes = {}
  for i = 1, n do bytes[i] = string.char(math.random(0, 255)) end
  return table.concat(bytes)
end

-- Turns three messages round; prints its own address, then each sender's.
local turn = [[
import socket, sys

def show(address):
    print(*["b" + x.hex() if isinstance(x, bytes) else x for x in address])

family, kind, proto, skip, token = sys.argv[1:6]
skip, token = int(skip), bytes.fromhex(token)
with socket.socket(getattr(socket, family), getattr(socket, kind),
                   int(proto)) as s:
    s.bind(eval(sys.argv[6]))
    show(s.getsockname())
    for _ in range(3):
        data = b""
        while not data.startswith(token):
            data, address = s.recvfrom(65536)
            head, data = data[:skip], data[skip:]
        show(address)
        s.sendto((b"" if family == "AF_INET" else head) + data[::-1], address)
]]

-- Has messages go there and come back.  case: family, kind, proto, bind (an
-- address, and Python's literal), skip (the bytes before what a token begins),
-- head (those that have to be sent), target (a function from what Python has
-- printed of itself).  check gets what Python saw of the sender and of itself.
local function exchange(case, check)
  local sock = helper.socket(case.family, csock[case.kind], case.proto)
  sock.timeout = 40
  sock:bind(case.bind)
  local token = random_bytes(16)        -- others may use the family as well
  local process = python(turn, case.family, case.kind, case.proto, case.skip,
    hex(token), case.literal)
  local own = process:read "l"
  assert.is_truthy(own, "Python did not start")
  for _, size in ipairs {0, 1, math.random(2, 1400)} do
    local data = token .. random_bytes(size)
    sock:sendto((case.head or "") .. data, case.target(own))
    local answer, address
    repeat
      answer, address = sock:recvfrom(65536)
    until answer:sub(case.skip + 1) == data:reverse()
    check(process:read "l", own, shown(address), shown(sock:getsockname()))
  end
  assert.is_true(process:wait())
end

describe("with Python", function()
  everywhere("raw IP is exchanged", function()
    exchange({
      family = "AF_INET", kind = "SOCK_RAW", proto = 253, -- RFC 3692
      bind = {"127.0.0.1", 0}, literal = "('127.0.0.1', 0)", skip = 20,
      target = function() return {"127.0.0.1", 0} end,
    }, function(seen, own, address)
      assert.are.equal("127.0.0.1 253", own)
      assert.are.equal("127.0.0.1 0", seen)
      assert.are.equal(seen, address)
    end)
  end)

  everywhere("raw IPv6 is exchanged", function()
    local ok = pcall(function()
      local sock <close> = csock.socket(csock.AF_INET6)
      sock:bind {"::1", 0}
    end)
    if not ok then pending "no IPv6 here" end
    exchange({
      family = "AF_INET6", kind = "SOCK_RAW", proto = 253,
      bind = {"::1", 0}, literal = "('::1', 0)", skip = 0,
      target = function() return {"::1", 0} end,
    }, function(seen, own, address, mine)
      assert.are.equal(mine, own)
      assert.are.equal("::1 0 0 0", seen)
      assert.are.equal(seen, address)
    end)
  end)

  everywhere("UDP-Lite is exchanged", function()
    exchange({
      family = "AF_INET", kind = "SOCK_DGRAM",
      proto = csock.IPPROTO_UDPLITE or -1,
      bind = {"127.0.0.1", 0}, literal = "('127.0.0.1', 0)", skip = 0,
      target = function(own)
        return {"127.0.0.1", math.tointeger(own:match " (%d+)")}
      end,
    }, function(seen, own, address, mine)
      assert.are.equal(mine, seen)
      assert.are.equal(own, address)
    end)
  end)

  for _, kind in ipairs {"SOCK_DGRAM", "SOCK_RAW"} do
    everywhere("frames are exchanged by " .. kind, function()
      local none, ethertype = ("\0"):rep(6), 0x88b6
      local head = none .. none .. string.pack(">I2", ethertype)
      if kind == "SOCK_DGRAM" then head = "" end
      exchange({
        family = "AF_PACKET", kind = kind, proto = 0,
        bind = {"lo", ethertype}, literal = ("('lo', %d)"):format(ethertype),
        skip = #head, head = head,
        target = function() return {"lo", ethertype, 0, 0, none} end,
      }, function(seen, own, address, mine)
        assert.are.equal(mine, own)
        assert.are.equal(mine, seen)
        assert.are.equal(seen, address)
      end)
    end)
  end

  everywhere("netlink messages are exchanged", function()
    exchange({
      family = "AF_NETLINK", kind = "SOCK_RAW",
      proto = csock.NETLINK_USERSOCK or 0,
      bind = {0, 0}, literal = "(0, 0)", skip = 0,
      target = function(own) return {math.tointeger(own:match "%d+"), 0} end,
    }, function(seen, own, address, mine)
      assert.are.equal(mine, seen)
      assert.are.equal(own, address)
    end)
  end)

  everywhere("packets of Unix sockets are exchanged", function()
    local path = helper.tmpdir() .. "/server"
    local process = python([[
import socket, sys
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    print("listens")
    conn, address = listener.accept()
    while True:
        data = conn.recv(65536)
        if not data:
            break
        conn.send(data[::-1])
print("ends")
]], path)
    assert.are.equal("listens", process:read "l")
    local sock <close> = csock.socket(csock.AF_UNIX, csock.SOCK_SEQPACKET)
    sock.timeout = 40
    sock:connect(path)
    local sent = {}
    for i, size in ipairs {1, math.random(2, 1000), 60000} do
      sent[i] = random_bytes(size)
      sock:send(sent[i])
    end
    for _, data in ipairs(sent) do
      assert.are.equal(data:reverse(), sock:recv(65536))
    end
    sock:close()
    assert.are.equal("ends", process:read "l")
  end)

  it("a VSOCK address is the same", function()
    local sock = helper.socket("AF_VSOCK", csock.SOCK_STREAM)
    sock:bind {csock.VMADDR_CID_ANY, csock.VMADDR_PORT_ANY}
    local process = python([[
import os, socket, sys
s = socket.socket(fileno=os.dup(int(sys.argv[1])))
print(*s.getsockname(), s.family == socket.AF_VSOCK)
]], (function()
      sock.inheritable = true
      return sock:fileno()
    end)())
    assert.are.equal(shown(sock:getsockname()) .. " True", process:read "l")
  end)
end)

-- What Python's struct says of an address' bytes, one a line.
local layouts = [[
import socket, struct, sys
lo = socket.if_nametoindex("lo")
def show(*args):
    print(struct.pack(*args).hex())
family = getattr(socket, sys.argv[1])
name = sys.argv[-1]
if name == "AF_PACKET":
    show("=HHiHBB8s", family, socket.htons(0x88b5), lo, 772, 4, 6, b"abcdef")
elif name == "AF_NETLINK":
    show("=HxxII", family, 77, 0x80000001)
elif name == "AF_VSOCK":
    show("=HxxII4x", family, 0xfedcba98, 3)
elif name == "AF_QIPCRTR":
    show("=HxxII", family, 5, 0xfffffffe)
elif name == "CAN_RAW":
    show("=Hxxi16x", family, lo)
elif name == "CAN_ISOTP":
    show("=HxxiII8x", family, lo, 0x123, 0x456)
elif name == "CAN_J1939":
    show("=HxxiQIB3x", family, lo, 0xfedcba9876543210, 0x40000, 0xfe)
elif name == "AF_TIPC":
    show("=HBbIII", family, 1, 2, 2000, 200, 210)
elif name == "AF_ALG":
    show("=H14sII64s", family, b"skcipher", 1, 2, b"cbc(aes)")
]]

describe("Python's struct packs the same", function()
  for _, case in ipairs {
    {"AF_PACKET", {"lo", 0x88b5, 4, 772, "abcdef"}},
    {"AF_NETLINK", {77, 0x80000001}},
    {"AF_VSOCK", {3, 0xfedcba98}},
    {"AF_QIPCRTR", {5, 0xfffffffe}},
    {"AF_CAN", {"lo"}, "CAN_RAW"},
    {"AF_CAN", {"lo", 0x123, 0x456}, "CAN_ISOTP"},
    {"AF_CAN", {"lo", 0xfedcba9876543210, 0x40000, 0xfe}, "CAN_J1939"},
    {"AF_TIPC", {1, 2000, 200, 210}},
    {"AF_ALG", {"skcipher", "cbc(aes)", 1, 2}},
  } do
    local family, address, proto = table.unpack(case)
    it("for " .. (proto or family), function()
      if not csock[family] or proto and not csock[proto] then
        pending("no " .. (proto or family) .. " here")
      end
      local process = python(layouts, family, proto or family)
      assert.are.equal(process:read "l", hex(core.address.pack(csock[family],
        address, csock[proto] or 0)))
    end)
  end
end)
