-- landing: that what has come is the same whatever its size, though much of it
-- becomes the string without being copied, which is done with Lua's allocator;
-- in a program whose own allocator is strict (spec/allocator.c), too.
-- Not here: how much memory recv takes (transfer_spec).

local helper = require "spec.helper"
local csock = require "csock"

-- At 4096 copying ends, at 126976 a piece does.
local sizes = {}
for _, size in ipairs {1, 41, 2048, 4096, 20000, 65536, 126976, 200000} do
  for d = -1, 1 do sizes[#sizes + 1] = math.max(size + d, 1) end
end

local all = {}
for i = 1, 26000 do all[i] = string.pack(">I8", i * 0x9E3779B97F4A7C15) end
all = table.concat(all)

-- `size` bytes that are like no others of that size.
local function bytes(size, seed)
  return all:sub(seed * 9, seed * 9 + size - 1)
end

local ways = {
  recv = function(sock, _, size) return sock:recv(size) end,
  recvfrom = function(sock, _, size) return (sock:recvfrom(size)) end,
  recvmsg = function(sock, _, size) return (sock:recvmsg(size)) end,
  read1 = function(_, file, size) return file:read1(size) end,
}

-- Sends it, and gives the strings that it came in; `more` bytes more are asked.
local function carry(a, b, file, way, data, more)
  local got, left = {}, #data
  local sender = csock.loop.spawn(a.sendall, a, data)
  while left > 0 do
    local piece = ways[way](b, file, left + more)
    assert(#piece > 0)
    got[#got + 1], left = piece, left - #piece
  end
  sender:join()
  return table.concat(got)
end

describe("what has come", function()
  for way in pairs(ways) do
    it("is right at every size, and stays so, by " .. way, function()
      csock.loop.run(function()
        local _ <close>, a, b = helper.pair()
        local file <close> = b:makefile("rb", 0)
        local kept = {}
        for seed, size in ipairs(sizes) do
          local data = bytes(size, seed)
          kept[#kept + 1] = {data, carry(a, b, file, way, data, 0)}
          kept[#kept + 1] = {data, carry(a, b, file, way, data, 60000)}
        end
        for i = 1, #kept do
          assert.is_true(kept[i][1] == kept[i][2], #kept[i][1] .. " bytes")
        end
      end)
    end)
  end

  it("is a datagram of any size, too", function()
    local _ <close>, a, b = helper.pair(csock.AF_UNIX, csock.SOCK_DGRAM)
    local kept = {}
    for seed, size in ipairs(sizes) do
      if size < 150000 then
        local data = bytes(size, seed)
        a:send(data)
        kept[#kept + 1] = {data, b:recv(200000)}
        a:send(data)
        kept[#kept + 1] = {data, (b:recvfrom(size))}
        a:send(data)
        local half = math.max(size // 2, 1)
        kept[#kept + 1] = {data:sub(1, half), b:recv(half)}
      end
    end
    for i = 1, #kept do
      assert.is_true(kept[i][1] == kept[i][2], #kept[i][1] .. " bytes")
    end
  end)
end)

-- The output of a script in the strict program, less its account, which is
-- right.
local function strict(script)
  local process = helper.embed("allocator", script)
  local text = process:read "a"
  local _, _, code = process:wait()
  local rest = text:match "^(.*)wrong 0, left 0\n$"
  assert.is_truthy(rest and code == 0, text)
  return rest
end

describe("a strict allocator", function()
  it("sees that much is not copied", function()
    assert.are.equal("20\t20\n1\t0\n19\t1\n", strict [[
      local csock = require "csock"
      local a, b = csock.socketpair()
      local data, kept = {}, {}
      for i = 1, 20 do data[i] = string.char(64 + i):rep(20000) end
      large()
      for i = 1, 20 do
        a:sendall(data[i])
        kept[i] = b:recv(60000)
      end
      print(large())
      for i = 1, 20 do
        assert(kept[i] == data[i])
        a:sendall "little"
        b:recv(60000)
      end
      print(large())
      local f = b:makefile "rb"
      for i = 1, 20 do
        a:sendall(data[i])
        kept[i] = f:read(20000)
      end
      print(large())
      for i = 1, 20 do assert(kept[i] == data[i]) end
    ]])
  end)

  it("that refuses costs nothing of what has come", function()
    assert.are.equal("false\tnot enough memory\n20000\n", strict [[
      local csock = require "csock"
      local a, b = csock.socketpair()
      a:sendall(("x"):rep(20000))
      limit(40000)
      print(pcall(b.recv, b, 60000))
      limit()
      print(#b:recv(60000))
    ]])
  end)

  it("that refuses once may be tried again when garbage is gone", function()
    assert.are.equal("b\n20000\n", strict [[
      local csock = require "csock"
      local a, b = csock.socketpair()
      local c, d = csock.socketpair()
      a:sendall(("x"):rep(20000))
      c:sendall("b")
      collectgarbage "stop"
      setmetatable({}, {__gc = function()
        limit()
        print(d:recv(60000))
      end})
      limit(40000)
      print(#b:recv(60000))
    ]])
  end)

  it("is the only one, also where finalizers receive meanwhile", function()
    assert.are.equal("2000000\ttrue\n", strict [[
      local csock = require "csock"
      local a, b = csock.socketpair()
      local c, d = csock.socketpair()
      local data = ("x"):rep(20000)
      local got, receives, meanwhile = 0, false, false
      collectgarbage("generational", 1)
      for i = 1, 100 do
        setmetatable({}, {__gc = function()
          meanwhile = meanwhile or receives
          c:sendall(data)
          got = got + #d:recv(60000)
        end})
        a:sendall(data)
        receives = true
        assert(b:recv(60000) == data)
        receives = false
      end
      collectgarbage()
      print(got, meanwhile)
    ]])
  end)

  it("gets all back, whatever finalizers try at the end", function()
    assert.are.equal(("EBADF\n"):rep(3), strict [[
      local sock
      last = setmetatable({}, {__gc = function()
        for _, name in ipairs {"recv", "recvfrom", "recvmsg"} do
          print(select(2, pcall(sock[name], sock, 1000)).code)
        end
      end})
      sock = require "csock".socketpair()
    ]])
  end)
end)
