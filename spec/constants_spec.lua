-- constants: the numbers of csock against those of Python's socket and errno
-- modules, where there is a python3, and the names of errnos.  Not here: what
-- the constants do.

local csock = require "csock"
local helper = require "spec.helper"

local told = {}

-- A table of name and number, printed by a program in Python, that runs once.
local function from_python(program)
  if told[program] then return told[program] end
  if not helper.has "python3" then pending "no python3 here" end
  local process = helper.spawn_process("python3 -c " .. helper.quote(program))
  local values = {}
  for name, value in process:read("a"):gmatch "([%w_]+)=(%-?%d+)" do
    values[name] = math.tointeger(value)
  end
  assert.is_true(process:wait())
  told[program] = values
  return values
end

local socket_constants = [[
import socket
for name in dir(socket):
    value = getattr(socket, name)
    if name[0] != "_" and isinstance(value, int) and value is not True \
            and value is not False:
        print("%s=%d" % (name, value))
]]

local errnos = [[
import errno
for number, name in errno.errorcode.items():
    print("%s=%d" % (name, number))
for name in dir(errno):
    value = getattr(errno, name)
    if isinstance(value, int):
        print("%s=%d" % (name, value))
]]

-- The names, sorted, of which f(name, value) is true.
local function names(values, f)
  local list = {}
  for name, value in pairs(values) do
    if f(name, value) then list[#list + 1] = name end
  end
  table.sort(list)
  return table.concat(list, " ")
end

describe("the constants of Python's socket module", function()
  it("are many", function()
    local count = 0
    for _ in pairs(from_python(socket_constants)) do count = count + 1 end
    assert.is_true(count > 200)
  end)

  -- Some Pythons were built with the headers of Bluetooth, which csock has not.
  it("are all there, but for Bluetooth's", function()
    assert.are.equal("", names(from_python(socket_constants),
      function(name)
        return csock[name] == nil and not name:find "BLUETOOTH" and
          not name:find "^BTPROTO_" and not name:find "^B[DT]ADDR_" and
          not name:find "HCI"
      end))
  end)

  it("have the same values", function()
    assert.are.equal("", names(from_python(socket_constants),
      function(name, value)
        return csock[name] ~= nil and csock[name] ~= value
      end))
  end)

  it("agree about IPv6", function()
    local python = from_python [[
import socket
print("has_ipv6=%d" % socket.has_ipv6)]]
    assert.are.equal(python.has_ipv6 == 1, csock.has_ipv6)
  end)
end)

describe("the errnos of Python's errno module", function()
  it("are all there", function()
    assert.are.equal("", names(from_python(errnos),
      function(name) return csock[name] == nil end))
  end)

  it("have the same values", function()
    assert.are.equal("", names(from_python(errnos), function(name, value)
      return csock[name] ~= nil and csock[name] ~= value
    end))
  end)

  it("have the names that errors tell", function()
    assert.are.equal("", names(from_python(errnos), function(_, value)
      local code = csock.error(value, "x").code
      return code == nil or csock[code] ~= value
    end))
  end)
end)

describe("a constant", function()
  -- every name that looks like one
  local function each(f)
    local count = 0
    for name, value in pairs(csock) do
      if type(name) == "string" and name:find "^%u[%u%d]*_[%w_]+$" and
        type(value) ~= "function" then -- CMSG_LEN, CMSG_SPACE
        f(name, value)
        count = count + 1
      end
    end
    return count
  end

  it("is an integer", function()
    local count = each(function(name, value)
      assert.are.equal("integer", math.type(value), name)
    end)
    assert.is_true(count > 400)
  end)

  it("is named as in C", function()
    assert.is_truthy(csock.AF_INET)
    assert.is_truthy(csock.SOCK_STREAM)
    assert.is_truthy(csock.SOL_SOCKET)
    assert.is_truthy(csock.SOMAXCONN)
    assert.is_truthy(csock.MSG_PEEK)
    assert.is_truthy(csock.SHUT_RDWR)
    assert.is_truthy(csock.EAI_NONAME)
    assert.is_truthy(csock.ECONNREFUSED)
  end)

  it("is nil when there is none of the name", function()
    assert.is_nil(csock.AF_NOTHING)
    assert.is_nil(csock.SO_NOTHING)
  end)

  it("of an errno is not taken for another kind's", function()
    -- these begin with E and have small numbers, too
    for name, value in pairs(csock) do
      if type(name) == "string" and (name:find "^EAI_" or name:find "^ETH") and
        value > 0 then
        local code = csock.error(value, "x").code
        assert.is_falsy(code and (code:find "^EAI_" or code:find "^ETH"))
      end
    end
  end)
end)

describe("the list of constants", function()
  it("has each name once, a line each", function()
    local seen, count = {}, 0
    for line in io.lines "csrc/constants.list" do
      local name = line:gsub("#.*", ""):match "^%s*(.-)%s*$"
      if name ~= "" then
        assert.matches("^[%a_][%w_]*$", name)
        assert.is_nil(seen[name], name)
        seen[name], count = true, count + 1
      end
    end
    assert.is_true(count > 400)
  end)
end)
