-- inet: addresses as text and as bytes, the order of bytes, interfaces.  Not
-- here: the addresses of sockets (address_spec), names that are looked up
-- (resolve_spec).

local csock = require "csock"
local helper = require "spec.helper"

local AF_INET, AF_INET6, AF_UNIX = csock.AF_INET, csock.AF_INET6, csock.AF_UNIX
local misused, raises = helper.misused, helper.raises
local zeros = ("\0"):rep(16)

-- What CPython's tests demand ----------------------------------------------

describe("GeneralModuleTests", function()
  it("testInterfaceNameIndex: index and name of each, and back", function()
    local interfaces = csock.if_nameindex()
    assert.is_true(#interfaces > 0)
    for _, pair in ipairs(interfaces) do
      local index, name = table.unpack(pair)
      assert.are.equal("integer", math.type(index))
      assert.is_string(name)
      assert.is_true(index > 0)
      assert.are.equal(index, csock.if_nametoindex(name))
      assert.are.equal(name, csock.if_indextoname(index))
    end
  end)

  it("testInvalidInterfaceIndexToName: 0, and no number", function()
    raises(csock.error, csock.if_indextoname, 0)
    misused("integer expected", csock.if_indextoname, "_DEADBEEF")
  end)

  it("testInvalidInterfaceNameToIndex: a number, and no name", function()
    misused("string expected", csock.if_nametoindex, 0)
    raises(csock.error, csock.if_nametoindex, "_DEADBEEF")
  end)

  it("testNtoH: each is its own inverse", function()
    for name, size in pairs {htonl = 32, ntohl = 32, htons = 16, ntohs = 16} do
      local f, mask = csock[name], (1 << size) - 1
      for _, i in ipairs {0, 1, 0xffff, ~0xffff, 2, 0x01234567, 0x76543210} do
        assert.are.equal(i & mask, f(f(i & mask)) & mask)
      end
      assert.are.equal(mask, f(mask) & mask)
      misused("must be 0%-", f, 1 << 34)
    end
  end)

  it("testNtoHErrors: what is out of range", function()
    local int_min, int_max = -(1 << 31), (1 << 31) - 1
    for _, k in ipairs {0, 1, 2, 0xffff} do
      csock.ntohs(k)
      csock.htons(k)
    end
    for _, k in ipairs {0, 1, 2, 0xffff, 0xffffffff} do
      csock.ntohl(k)
      csock.htonl(k)
    end
    local long = {-1, -2, 1 << 32, 2.0 ^ 1000}
    for _, k in ipairs {int_min - 1, int_max + 1, 1 << 16, int_max,
      table.unpack(long)} do
      misused("bad argument #1", csock.ntohs, k)
      misused("bad argument #1", csock.htons, k)
    end
    for _, k in ipairs(long) do
      misused("bad argument #1", csock.ntohl, k)
      misused("bad argument #1", csock.htonl, k)
    end
  end)

  it("testIPv4_inet_aton_fourbytes: four bytes, whatever they are", function()
    assert.are.equal("\0\0\0\0", csock.inet_aton "0.0.0.0")
    assert.are.equal("\xff\xff\xff\xff", csock.inet_aton "255.255.255.255")
  end)

  local function pton4(text) return csock.inet_pton(AF_INET, text) end
  local function pton6(text) return csock.inet_pton(AF_INET6, text) end
  local function ntop4(packed) return csock.inet_ntop(AF_INET, packed) end
  local function ntop6(packed) return csock.inet_ntop(AF_INET6, packed) end

  it("testIPv4toString: what is an address and what is not", function()
    for _, f in ipairs {csock.inet_aton, pton4} do
      assert.are.equal("\0\0\0\0", f "0.0.0.0")
      assert.are.equal("\xff\0\xff\0", f "255.0.255.0")
      assert.are.equal("\xaa\xaa\xaa\xaa", f "170.170.170.170")
      assert.are.equal("\1\2\3\4", f "1.2.3.4")
      assert.are.equal("\xff\xff\xff\xff", f "255.255.255.255")
      for _, text in ipairs {"0.0.0.", "300.0.0.0", "a.0.0.0", "1.2.3.4.5",
        "::1"} do
        raises(csock.error, f, text)
      end
    end
  end)

  it("testIPv6toString: what is an address and what is not", function()
    local known = {
      ["::"] = zeros,
      ["0::0"] = zeros,
      ["1::"] = "\0\1" .. zeros:sub(3),
      ["45ef:76cb:1a:56ef:afeb:bac:1924:aeae"] = "\x45\xef\x76\xcb\x00\x1a" ..
        "\x56\xef\xaf\xeb\x0b\xac\x19\x24\xae\xae",
      ["ad42:abc::127:0:254:2"] = "\xad\x42\x0a\xbc\0\0\0\0" ..
        "\x01\x27\x00\x00\x02\x54\x00\x02",
      ["12:a::"] = "\x00\x12\x00\x0a" .. zeros:sub(5),
      ["::254.42.23.64"] = zeros:sub(5) .. "\xfe\x2a\x17\x40",
      ["42::a29b:254.42.23.64"] = "\x00\x42" .. zeros:sub(9) ..
        "\xa2\x9b\xfe\x2a\x17\x40",
      ["42:a8b9:0:2:ffff:a29b:254.42.23.64"] = "\x00\x42\xa8\xb9\x00\x00" ..
        "\x00\x02\xff\xff\xa2\x9b\xfe\x2a\x17\x40",
    }
    for text, packed in pairs(known) do
      assert.are.equal(packed, pton6(text), text)
    end
    for _, text in ipairs {"0x20::", ":::", "::0::", "1::abc::",
      "1::abc::def", "1:2:3:4:5:6", "1:2:3:4:5:6:", "1:2:3:4:5:6:7:8:0",
      "1:2:3:4:5:6:7:8:", "255.254.253.252", "1::260.2.3.0", "1::0.be.e.0",
      "1:2:3:4:5:6:7:1.2.3.4", "::1.2.3.4:0", "0.100.200.0:3:4:5:6:7:8"} do
      raises(csock.error, pton6, text)
    end
  end)

  it("testStringToIPv4: four bytes, in a string or a buffer", function()
    for _, f in ipairs {csock.inet_ntoa, ntop4} do
      assert.are.equal("1.0.1.0", f "\1\0\1\0")
      assert.are.equal("170.85.170.85", f "\xaa\x55\xaa\x55")
      assert.are.equal("255.255.255.255", f "\xff\xff\xff\xff")
      assert.are.equal("1.2.3.4", f "\1\2\3\4")
      assert.are.equal("170.85.170.85", f(csock.buffer "\xaa\x55\xaa\x55"))
    end
    for _, length in ipairs {3, 5, 16} do
      raises(csock.error, csock.inet_ntoa, zeros:sub(1, length))
      misused("invalid length of packed IP address string", ntop4,
        zeros:sub(1, length))
    end
  end)

  it("testStringToIPv6: sixteen bytes, in a string or a buffer", function()
    assert.are.equal("::", ntop6(zeros))
    assert.are.equal("::1", ntop6(zeros:sub(2) .. "\1"))
    assert.are.equal("aef:b01:506:1001:ffff:9997:55:170",
      ntop6 "\x0a\xef\x0b\x01\x05\x06\x10\x01\xff\xff\x99\x97\x00\x55\x01\x70")
    assert.are.equal("::1", ntop6(csock.buffer(zeros:sub(2) .. "\1")))
    for _, length in ipairs {15, 17, 4} do
      misused("invalid length of packed IP address string", ntop6,
        ("\x12"):rep(length))
    end
  end)
end)

-- Beyond them --------------------------------------------------------------

-- The error that csock[name](...) raises, which must tell that name.
local function failure(name, ...)
  local err = raises(csock.error, csock[name], ...)
  assert.are.equal(name, err.op)
  return err
end

describe("an address as text", function()
  it("may be spelt as inet_aton(3) reads it", function()
    for _, text in ipairs {"127.1", "127.0.1", "0x7f.1", "0x7f000001",
      "017700000001", "2130706433", "127.0.0.1 "} do
      assert.are.equal("\x7f\0\0\1", csock.inet_aton(text))
    end
  end)

  it("is strict for inet_pton", function()
    for _, text in ipairs {"127.1", "0x7f.1", "127.0.0.1 ", "127.0.0.01", ""} do
      failure("inet_pton", AF_INET, text)
    end
    failure("inet_pton", AF_INET6, "fe80::1%lo")
  end)

  it("is told when it is none", function()
    for _, err in ipairs {failure("inet_aton", "1.2.3.400"),
      failure("inet_pton", AF_INET, "1.2.3.400")} do
      assert.are.equal("illegal IP address string", err.strerror)
      assert.are.equal("1.2.3.400", err.address)
      assert.is_nil(err.errno)
      assert.matches(err.op .. " 1.2.3.400: illegal IP address string",
        tostring(err), 1, true)
    end
  end)

  it("is of a family", function()
    local err = failure("inet_pton", AF_UNIX, "/tmp")
    assert.are.same({csock.EAFNOSUPPORT, "EAFNOSUPPORT"}, {err.errno, err.code})
    misused("#1.*unknown address family 1", csock.inet_ntop, AF_UNIX, "/tmp")
  end)

  it("is misuse when it is no string", function()
    misused("#1.*string expected, got number", csock.inet_aton, 127)
    misused("#1.*string expected, got no value", csock.inet_aton)
    misused("#1.*embedded zero", csock.inet_aton, "1.2.3.4\0")
    misused("#2.*string expected, got nil", csock.inet_pton, AF_INET, nil)
    misused("#2.*embedded zero", csock.inet_pton, AF_INET6, "::\0")
    misused("#1.*integer expected, got string", csock.inet_pton, "2", "1.1.1.1")
    misused("#1.*out of range", csock.inet_pton, 1 << 31, "1.1.1.1")
  end)
end)

describe("an address as bytes", function()
  it("may be a part of a buffer", function()
    local buffer = csock.buffer(zeros .. "\1\2\3\4")
    assert.are.equal("1.2.3.4", csock.inet_ntoa(buffer:view(17, 20)))
    assert.are.equal("::102", csock.inet_ntop(AF_INET6, buffer:view(3, 18)))
  end)

  it("is told when it has another length", function()
    local err = failure("inet_ntoa", "123")
    assert.are.equal("packed IP wrong length", err.strerror)
    assert.is_nil(err.errno)
  end)

  it("is misuse when it is no bytes, and a number is none", function()
    misused("#1.*string or buffer expected, got number", csock.inet_ntoa, 1234)
    misused("#1.*string or buffer expected, got nil", csock.inet_ntoa, nil)
    misused("#2.*string or buffer expected, got number", csock.inet_ntop,
      AF_INET, 1234)
    misused("#2.*string or buffer expected, got table", csock.inet_ntop,
      AF_INET, {1, 2, 3, 4})
    misused("#1.*integer expected, got no value", csock.inet_ntop)
  end)
end)

describe("the order of bytes", function()
  it("is the network's", function()
    assert.are.equal("\1\2\3\4", string.pack("=I4", csock.htonl(0x01020304)))
    assert.are.equal("\1\2", string.pack("=I2", csock.htons(0x0102)))
    assert.are.equal(0xfffefdfc,
      csock.ntohl(string.unpack("=I4", "\xff\xfe\xfd\xfc")))
    assert.are.equal(0xfffe, csock.ntohs(string.unpack("=I2", "\xff\xfe")))
  end)

  it("belongs to integers", function()
    for _, name in ipairs {"htonl", "htons", "ntohl", "ntohs"} do
      local f = csock[name]
      assert.are.equal("integer", math.type(f(1.0)))
      misused("#1.*integer expected, got string", f, "1")
      misused("#1.*integer expected, got number", f, 1.5)
      misused("#1.*integer expected, got no value", f)
      misused("#1.*must be 0%-", f, math.mininteger)
      misused("#1.*must be 0%-", f, math.maxinteger)
    end
  end)

  it("is misused in the caller's line, by the name that was called", function()
    local ok, err = pcall(function() csock.ntohs(65536) end)
    assert.is_false(ok)
    assert.matches("^[%w_/.]*inet_spec%.lua:%d+: bad argument #1 to 'ntohs' " ..
      "%(must be 0%-65535%)$", err)
  end)
end)

describe("an interface", function()
  it("is told when there is none", function()
    local err = failure("if_nametoindex", "_DEADBEEF")
    assert.are.same({"ENODEV", "_DEADBEEF"}, {err.code, err.address})
    assert.are.equal("ENODEV", failure("if_nametoindex", "").code)
    assert.are.equal("ENODEV", failure("if_nametoindex", ("x"):rep(1000)).code)
    assert.are.equal("ENXIO", failure("if_indextoname", 0).code)
    assert.are.equal("ENXIO", failure("if_indextoname", 0xffffffff).code)
  end)

  it("is misused at once", function()
    misused("#1.*embedded zero", csock.if_nametoindex, "lo\0")
    misused("#1.*string expected, got no value", csock.if_nametoindex)
    misused("#1.*must be 0%-4294967295", csock.if_indextoname, -1)
    misused("#1.*must be 0%-4294967295", csock.if_indextoname, 1 << 32)
    misused("#1.*integer expected, got no value", csock.if_indextoname)
  end)

  it("is there as for the system", function()
    if not helper.has "python3" then pending "no python3 here" end
    local process = helper.spawn_process("python3 -c " .. helper.quote [[
import socket
for pair in socket.if_nameindex(): print(*pair)]])
    for _, pair in ipairs(csock.if_nameindex()) do
      assert.are.equal(pair[1] .. " " .. pair[2], process:read "l")
    end
    assert.is_nil(process:read "l")
  end)
end)

-- Python and csock are asked the same: each line is a function, its family or
-- "-", and its argument in hexadecimal digits.
local asked_python = [[
import socket, sys
for line in open(sys.argv[1]):
    name, family, digits = line.split(" ")
    arg = bytes.fromhex(digits)
    if name in ("inet_aton", "inet_pton"):
        arg = arg.decode("latin-1")
    args = [arg] if family == "-" else [int(family), arg]
    if name in ("htonl", "htons", "ntohl", "ntohs"):
        args = [int(arg)]
    try:
        answer = getattr(socket, name)(*args)
        if isinstance(answer, bytes):
            answer = answer.hex()
        print("is", answer)
    except OSError as e:
        print("OSError", e.errno)
    except (ValueError, OverflowError) as e:
        print("misuse")
]]

describe("Python's socket module", function()
  local function hex(bytes)
    return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end))
  end

  local function random_bytes(n)
    local bytes = {}
    for i = 1, n do
      -- zeros are what makes addresses short
      bytes[i] = string.char(math.random(3) == 1 and 0 or math.random(0, 255))
    end
    return table.concat(bytes)
  end

  local pieces = {"0", "1", "10", "255", "256", "0x1f", "010", "::", ":", ".",
    "ffff", "abcd", "g", "1.2.3.4", "::ffff:", " ", "-1", "fe80", "\xe9", "\0"}

  local function random_text()
    local text = {}
    for i = 1, math.random(0, 9) do
      text[i] = pieces[math.random(#pieces)]
      if math.random(2) == 1 then text[i] = text[i] .. "." end
    end
    return table.concat(text)
  end

  -- What csock makes of a question, in the words of the program above.
  local function answer(name, family, arg)
    local ok, result
    if name:find "^[hn]to" then
      ok, result = pcall(csock[name], math.tointeger(arg))
    elseif family then
      ok, result = pcall(csock[name], family, arg)
    else
      ok, result = pcall(csock[name], arg)
    end
    if not ok then
      if type(result) == "string" then return "misuse" end
      return "OSError " .. (result.errno or "None")
    end
    if name == "inet_aton" or name == "inet_pton" then result = hex(result) end
    return "is " .. result
  end

  local function questions()
    local list = {}
    local function add(...) list[#list + 1] = {...} end
    local families = {AF_INET, AF_INET6, AF_UNIX, 4242}
    for _ = 1, 400 do
      local four, sixteen = random_bytes(4), random_bytes(16)
      add("inet_ntoa", nil, four)
      add("inet_ntop", AF_INET, four)
      add("inet_ntop", AF_INET6, sixteen)
      add("inet_ntop", AF_INET6, zeros:sub(7) .. "\xff\xff" .. four)
      add("inet_pton", AF_INET, csock.inet_ntop(AF_INET, four))
      add("inet_pton", AF_INET6, csock.inet_ntop(AF_INET6, sixteen))
      local family, other = families[math.random(4)], random_bytes(
        math.random(0, 20))
      add("inet_ntop", family, other)
      add("inet_ntoa", nil, other)
      local text = random_text()
      add("inet_aton", nil, text)
      add("inet_pton", family, text)
      add("inet_pton", AF_INET, text)
      add("inet_pton", AF_INET6, text)
      for _, name in ipairs {"htonl", "htons", "ntohl", "ntohs"} do
        local n = math.random(0) >> math.random(20, 63)
        add(name, nil, tostring(math.random(8) == 1 and -n or n))
      end
    end
    return list
  end

  it("gives the same answers to random questions", function()
    if not helper.has "python3" then pending "no python3 here" end
    local path = helper.tmpdir() .. "/questions"
    local file <close> = assert(io.open(path, "w"))
    local list = questions()
    for _, q in ipairs(list) do
      file:write(q[1], " ", q[2] or "-", " ", hex(q[3]), "\n")
    end
    file:close()
    local process = helper.spawn_process(("python3 -c %s %s"):format(
      helper.quote(asked_python), path))
    local right = {}
    for _, q in ipairs(list) do
      local expected = process:read "l"
      assert.are.equal(expected, answer(q[1], q[2], q[3]),
        ("%s %s %q"):format(q[1], q[2], q[3]))
      local kind = q[1] .. " " .. expected:match "^%a+"
      right[kind] = (right[kind] or 0) + 1
    end
    assert.is_nil(process:read "l")
    -- each kind of question had each kind of answer that it can have
    for _, name in ipairs {"inet_aton", "inet_pton"} do
      assert.is_truthy(right[name .. " is"] and right[name .. " OSError"] and
        right[name .. " misuse"], name)
    end
    assert.is_truthy(right["inet_ntoa is"] and right["inet_ntoa OSError"])
    for _, name in ipairs {"inet_ntop", "htonl", "htons", "ntohl", "ntohs"} do
      assert.is_truthy(right[name .. " is"] and right[name .. " misuse"], name)
    end
  end)
end)
