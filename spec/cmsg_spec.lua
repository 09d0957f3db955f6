-- cmsg: CMSG_LEN and CMSG_SPACE as CPython's CmsgMacroTests has them, and the
-- parser of control bytes before bytes that no system would deliver.

local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local transports = require "spec.transports"

local misuse, int = transports.misuse, transports.int
local limit = 0x7fffffff
local CMSG_LEN, CMSG_SPACE = csock.CMSG_LEN, csock.CMSG_SPACE

-- Calls f with 0 to 256, and with the 257 numbers below `toobig`.
local function sizes(toobig, f)
  for n = 0, 256 do f(n) end
  for n = toobig - 257, toobig - 1 do f(n) end
end

describe("CmsgMacroTests", function()
  it("testCMSG_LEN: valid and invalid values", function()
    local toobig = limit - CMSG_LEN(0) + 1
    assert.is_true(CMSG_LEN(0) > int * 2)
    sizes(toobig, function(n)
      local len = CMSG_LEN(n)
      assert.are.equal(n, len - CMSG_LEN(0))
      assert.is_true(len <= limit)
    end)
    misuse(CMSG_LEN, -1)
    misuse(CMSG_LEN, toobig)
    misuse(CMSG_LEN, math.maxinteger)
  end)

  it("testCMSG_SPACE: valid and invalid values", function()
    local toobig = limit - CMSG_SPACE(1) + 1
    local last = CMSG_SPACE(0)
    assert.is_true(last > int * 2)
    sizes(toobig, function(n)
      local space = CMSG_SPACE(n)
      assert.is_true(space >= last)
      assert.is_true(space >= CMSG_LEN(n))
      assert.is_true(space >= n + CMSG_LEN(0))
      assert.is_true(space <= limit)
      last = space
    end)
    misuse(CMSG_SPACE, -1)
    misuse(CMSG_SPACE, toobig)
    misuse(CMSG_SPACE, math.maxinteger)
  end)

  it("refuse what is no number", function()
    for _, size in ipairs {CMSG_LEN, CMSG_SPACE} do
      misuse(size)
      misuse(size, "x")
      misuse(size, 1.5)
      misuse(size, {})
    end
  end)
end)

describe("control bytes", function()
  -- Without the warnings, of which there would be thousands.
  local function unpack(bytes)
    warn "@off"
    return core.cmsg.unpack(bytes)
  end

  local function random_bytes(n)
    local bytes = {}
    for i = 1, n do bytes[i] = string.char(math.random(0, 255)) end
    return table.concat(bytes)
  end

  local function random_items()
    local items = {}
    for i = 1, math.random(0, 6) do
      items[i] = {math.random(-5, 300), math.random(-5, 300),
        random_bytes(math.random(0, 40))}
    end
    return items
  end

  -- What the bytes hold, by another parser: up to the first item that is not
  -- whole.
  local function by_hand(bytes)
    local items, at = {}, 1
    local head = CMSG_LEN(0)
    while #bytes - at + 1 >= head do
      local len, level, kind = string.unpack("=Tii", bytes, at)
      if math.ult(len, head) then break end
      local data = bytes:sub(at + head)
      local whole = not math.ult(#data, len - head)
      if whole then data = data:sub(1, len - head) end
      items[#items + 1] = {level, kind, data}
      if not whole then break end
      at = at + CMSG_SPACE(len - head)
    end
    return items
  end

  it("come back as they went", function()
    for _ = 1, 200 do
      local items = random_items()
      local bytes = core.cmsg.pack(items)
      local space = 0
      for _, item in ipairs(items) do space = space + CMSG_SPACE(#item[3]) end
      assert.are.equal(space, #bytes)
      assert.are.same(items, (unpack(bytes)))
    end
    assert.are.equal("", core.cmsg.pack(nil))
  end)

  it("may be cut anywhere", function()
    local bytes = core.cmsg.pack {{1, 1, "abcdefgh"}, {2, 3, "x"}, {4, 5, ""}}
    for n = 0, #bytes do
      local cut = bytes:sub(1, n)
      assert.are.same(by_hand(cut), (unpack(cut)))
    end
  end)

  it("may be anything", function()
    for _ = 1, 2000 do
      local bytes = random_bytes(math.random(0, 100))
      assert.are.same(by_hand(bytes), (unpack(bytes)))
    end
  end)

  it("may be wrong in any byte", function()
    for _ = 1, 3000 do
      local bytes = core.cmsg.pack(random_items())
      for _ = 1, math.random(1, 4) do
        local at = math.random(0, #bytes)
        local odd = ({0, 1, 15, 16, 17, 127, 128, 255})[math.random(8)]
        bytes = bytes:sub(1, at) .. string.char(odd) .. bytes:sub(at + 2)
      end
      assert.are.same(by_hand(bytes), (unpack(bytes)))
    end
  end)

  it("with lengths at the edges do no harm", function()
    local head = CMSG_LEN(0)
    for _, len in ipairs {0, 1, head - 1, head, head + 1, head + 3, head + 4,
      head + 5, 1 << 16, limit, limit + 1, (1 << 32) - 1, 1 << 32,
      math.maxinteger, math.mininteger, -1, -2, -head, -16, -8} do
      for _, tail in ipairs {"", "x", "abcd", ("y"):rep(40)} do
        local bytes = string.pack("=jii", len, csock.SOL_SOCKET,
          csock.SCM_RIGHTS) .. tail
        local items, fds = unpack(bytes)
        assert.are.same(by_hand(bytes), items)
        assert.is_true(#fds <= #tail // int)
      end
    end
  end)

  it("are warned of where they contradict themselves", function()
    local pipe <close> = io.popen(helper.lua .. [[ -W -e '
      local unpack = require "csock.core".cmsg.unpack
      unpack(string.pack("=Tii", 3, 1, 1))
      unpack(string.pack("=Tii", 99, 1, 1))
      unpack(string.pack("=Tii", 16, 1, 1))' 2>&1]])
    local _, count = pipe:read("a"):gsub("malformed ancillary data", "")
    assert.are.equal(2, count)
  end)

  it("hold descriptors in whole integers only", function()
    local function rights(data)
      return select(2, unpack(core.cmsg.pack {
        {csock.SOL_SOCKET, csock.SCM_RIGHTS, data},
        {csock.SOL_SOCKET, csock.SCM_RIGHTS + 1, string.pack("i", 99)},
        {csock.SOL_SOCKET, csock.SCM_RIGHTS, string.pack("i", 7)},
      }))
    end
    assert.are.same({7}, rights "")
    assert.are.same({7}, rights "abc")
    assert.are.same({5, 6, 7}, rights(string.pack("ii", 5, 6) .. "abc"))
  end)
end)
