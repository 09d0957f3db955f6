-- buffer_spec: csock.buffer as memory.  Not here: what moves through sockets
-- (transfer_spec).
-- Invariant: nothing is opened.

local helper = require "spec.helper"
local csock = require "csock"
local refuses = helper.refuses

describe("a buffer", function()
  it("is made of a size, in zeros, or of bytes", function()
    assert.equal("\0\0\0", tostring(csock.buffer(3)))
    assert.equal("a\0b", tostring(csock.buffer "a\0b"))
    assert.equal("abc", tostring(csock.buffer(csock.buffer "abc")))
    assert.equal(0, #csock.buffer(0))
    assert.equal(0, #csock.buffer "")
    assert.equal(2, #csock.buffer "12")
    assert.equal(4, #csock.buffer(4.0))
  end)

  it("copies what it is made of", function()
    local a = csock.buffer "abc"
    local b = csock.buffer(a)
    b[1] = 65
    assert.equal("abc", tostring(a))
  end)

  it("refuses to be made of anything else", function()
    refuses("size out of range", function() csock.buffer(-1) end)
    refuses("size out of range", function() csock.buffer(1 << 40) end)
    refuses("no integer representation", function() csock.buffer(1.5) end)
    refuses("size, string or buffer expected", function() csock.buffer() end)
    refuses("size, string or buffer expected, got table",
      function() csock.buffer {} end)
    refuses("size, string or buffer expected, got FILE*",
      function() csock.buffer(io.stdout) end)
  end)

  it("is read byte by byte, from 1 or back from -1", function()
    local b = csock.buffer "a\0\255"
    assert.equal(97, b[1])
    assert.equal(0, b[2])
    assert.equal(255, b[3])
    assert.equal(255, b[-1])
    assert.equal(97, b[-3])
    assert.equal(97, b[1.0])
    assert.equal("integer", math.type(b[1]))
  end)

  it("is written byte by byte", function()
    local b = csock.buffer(3)
    b[1], b[-1], b[2.0] = 97, 255, 0
    assert.equal("a\0\255", tostring(b))
  end)

  it("refuses an index outside, or none", function()
    local b = csock.buffer(3)
    for _, i in ipairs {0, 4, -4, math.maxinteger, math.mininteger} do
      local text = ("index %d out of range (the buffer has 3 bytes)"):format(i)
      refuses(text, function() return b[i] end)
      refuses(text, function() b[i] = 1 end)
    end
    refuses("index 1 out of range", function() return csock.buffer(0)[1] end)
    refuses("must be an integer", function() return b[1.5] end)
    refuses("must be an integer", function() b[0/0] = 1 end)
    refuses("must be an integer (got nil)", function() return b[nil] end)
    refuses("must be an integer (got table)", function() b[{}] = 1 end)
    assert.equal("\0\0\0", tostring(b))
  end)

  it("refuses a value that is no byte", function()
    local b = csock.buffer(3)
    refuses("byte 256 out of range (0 to 255)", function() b[1] = 256 end)
    refuses("byte -1 out of range (0 to 255)", function() b[1] = -1 end)
    refuses("a byte must be an integer (got string)", function() b[1] = "1" end)
    refuses("a byte must be an integer (got nil)", function() b[1] = nil end)
    refuses("a byte must be an integer", function() b[1] = 1.5 end)
    assert.equal("\0\0\0", tostring(b))
  end)

  it("keeps names and indices apart", function()
    local b = csock.buffer(3)
    assert.is_function(b.view)
    assert.is_nil(b.vieuw)
    assert.is_nil(b["1"])
    refuses("no field 'vieuw'", function() b.vieuw = 1 end)
    refuses("no field 'view'", function() b.view = 1 end)
    refuses("no field '1'", function() b["1"] = 1 end)
  end)

  it("keeps its methods to itself", function()
    local b = csock.buffer(3)
    refuses("csock.buffer expected, got FILE*",
      function() b.view(io.stdout) end)
    refuses("csock.buffer expected, got string", function() b.fill("x", 0) end)
    local index = getmetatable(b).__index
    refuses("csock.buffer expected, got number", function() index(1, 1) end)
  end)

  it("equals a buffer with the same bytes", function()
    local b = csock.buffer "abc"
    assert.is_true(b == csock.buffer "abc")
    assert.is_true(b == csock.buffer "xabcx":view(2, 4))
    assert.is_false(b == csock.buffer "abd")
    assert.is_false(b == csock.buffer "ab")
    assert.is_true(csock.buffer(0) == csock.buffer "")
    assert.is_false(b == io.stdout)
    assert.is_false(b == "abc")
  end)
end)

describe("a buffer's ranges", function()
  local text = "hello, world"
  local places = {-100, -13, -12, -5, -1, 0, 1, 2, 7, 12, 13, 100,
    math.mininteger, math.maxinteger}

  it("are those of string.sub", function()
    local b = csock.buffer(text)
    for _, i in ipairs(places) do
      assert.equal(text:sub(i), b:sub(i))
      for _, j in ipairs(places) do
        local expected = text:sub(i, j)
        local about = ("%d, %d"):format(i, j)
        assert.equal(expected, b:sub(i, j), about)
        assert.equal(expected, b:string(i, j), about)
        assert.equal(expected, tostring(b:view(i, j)), about)
      end
    end
    assert.equal(text, b:string())
    assert.equal(text, b:string(nil, nil))
    assert.equal(text, tostring(b:view()))
    assert.equal("", csock.buffer(0):string(1, 5))
  end)

  it("are those that fill sets", function()
    for _, i in ipairs(places) do
      for _, j in ipairs(places) do
        local b, cut = csock.buffer(#text), #text:sub(i, j)
        b:fill(1, i, j)
        local count = 0
        for k = 1, #b do count = count + b[k] end
        assert.equal(cut, count)
        assert.equal(("\1"):rep(cut), b:string(i, j))
      end
    end
  end)

  it("refuse what is no integer", function()
    local b = csock.buffer(text)
    refuses("number expected, got no value", function() b:sub() end)
    refuses("number expected, got table", function() b:view({}) end)
    refuses("no integer representation", function() b:string(1, 1.5) end)
  end)
end)

describe("a view", function()
  it("shares the memory both ways", function()
    local b = csock.buffer "abcdef"
    local v = b:view(3, 5)
    assert.equal(3, #v)
    v[1] = ("C"):byte()
    b[5] = ("E"):byte()
    assert.equal("abCdEf", tostring(b))
    assert.equal("CdE", tostring(v))
  end)

  it("is a buffer, and so has views", function()
    local b = csock.buffer "abcdef"
    local w = b:view(2, -2):view(2, -2)
    assert.equal("cd", tostring(w))
    w:fill(0)
    assert.equal("ab\0\0ef", tostring(b))
    refuses("index 3 out of range", function() return w[3] end)
  end)

  it("keeps the memory alive", function()
    local v = csock.buffer(("x"):rep(100000)):view(11, -11):view(2)
    for _ = 1, 20 do
      collectgarbage()
      csock.buffer(100000):fill(1)
    end
    assert.equal(("x"):rep(99979), tostring(v))
  end)

  it("lets the memory go with the last of them", function()
    local watched = setmetatable({}, {__mode = "k"})
    local b = csock.buffer(10)
    watched[b] = true
    local v = b:view()
    b = nil                             -- luacheck: ignore 311
    collectgarbage()
    assert.truthy(next(watched))
    assert.equal(10, #v)
    v = nil                             -- luacheck: ignore 311
    collectgarbage()
    assert.is_nil(next(watched))
  end)
end)

describe("buffer:fill", function()
  it("sets all bytes, to 0 if not told, and returns the buffer", function()
    local b = csock.buffer "abc"
    assert.is_true(rawequal(b, b:fill(120)))
    assert.equal("xxx", tostring(b))
    assert.equal("\0\0\0", tostring(b:fill()))
  end)

  it("refuses what is no byte", function()
    local b = csock.buffer "abc"
    refuses("byte 256 out of range", function() b:fill(256) end)
    refuses("a byte must be an integer (got string)",
      function() b:fill "x" end)
    assert.equal("abc", tostring(b))
  end)
end)

describe("buffer:set", function()
  it("copies a string or a buffer to a place", function()
    local b = csock.buffer "abcdef"
    assert.is_true(rawequal(b, b:set(2, "BC")))
    b:set(-1, csock.buffer "F")
    b:set(7, "")
    assert.equal("aBCdeF", tostring(b))
  end)

  it("bears that source and target overlap", function()
    local b = csock.buffer "abcdef"
    b:set(1, b:view(3))
    assert.equal("cdefef", tostring(b))
    b:set(3, b:view(1, 4))
    assert.equal("cdcdef", tostring(b))
  end)

  it("refuses what does not fit, and leaves all as it was", function()
    local b = csock.buffer "abc"
    refuses("does not fit", function() b:set(2, "xyz") end)
    refuses("does not fit", function() b:set(4, "x") end)
    refuses("index out of range", function() b:set(5, "") end)
    refuses("index out of range", function() b:set(0, "x") end)
    refuses("index out of range", function() b:set(-4, "x") end)
    refuses("string or buffer expected", function() b:set(1, {}) end)
    assert.equal("abc", tostring(b))
  end)
end)

describe("buffer:find", function()
  it("finds what string.find finds in plain", function()
    local text = "a.b\0a.b"
    local b = csock.buffer(text)
    for _, what in ipairs {"", "a", "a.b", ".", "\0", "ab", "b\0a", text,
      text .. "x"} do
      for init = -9, 10 do
        assert.same({text:find(what, init, true)}, {b:find(what, init)})
        assert.same({text:find(what, init, true)},
          {b:find(csock.buffer(what), init)})
      end
      assert.same({text:find(what, 1, true)}, {b:find(what)})
    end
    assert.is_nil((csock.buffer(0):find "x"))
  end)

  it("refuses what is no data", function()
    refuses("string or buffer expected, got nil",
      function() csock.buffer(1):find(nil) end)
  end)
end)
