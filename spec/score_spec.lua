-- score: what .ci/score makes of a list and of results, and whether the list
-- is that of CPython, where its tests are installed.

local helper = require "spec.helper"

-- What it prints, and whether it is content.
local function score(list, results, ...)
  local directory = helper.tmpdir()
  for name, text in pairs {list = list, results = results} do
    local file <close> = assert(io.open(directory .. "/" .. name, "w"))
    file:write(text)
  end
  local process = helper.spawn_process(
    ("sh -c %s"):format(helper.quote(table.concat({helper.lua, ".ci/score",
      directory .. "/list", directory .. "/results", ...}, " ") .. " 2>&1")))
  local output = process:read "a"
  return output, (process:wait())
end

local list = [[
# a comment
A.testOne yes
A.test_two yes
B.testOne yes
B.testThree kernel: CAN
B.testFour no: Windows
]]

describe("the score", function()
  it("counts a test that succeeded on every poller", function()
    local output, ok = score(list,
      "default\tsuccess\tx.lua\tA\ttestOne: this\n" ..
      "default\tsuccess\tx.lua\tA\ttest_two\n" ..
      "default\tsuccess\ty.lua\tmore\tB, in a task\ttestFour: that\n" ..
      "default\tsuccess\ty.lua\tsomething\tis good\n" ..
      "poll\tsuccess\tx.lua\tA\ttestOne: this\n" ..
      "poll\tsuccess\ty.lua\tmore\tB, in a task\ttestThree: that\n")
    assert.are.equal([[
CPython's tests: 1 of the 3 that apply to csock pass
  not specified: 2
    A: test_two
    B: testOne
where the kernel has the family: 0 of 1 pass
  not specified: 1
    B: testThree
not applicable: 1 (0 of them specified in Lua's terms)
]], output)
    assert.is_true(ok)
  end)

  it("goes by the worst of what carries a test's name", function()
    local output, ok = score(list,
      "poll\tsuccess\tx.lua\tA\ttestOne: this\n" ..
      "poll\tfailure\tx.lua\tA\ttestOne: that\n" ..
      "poll\tsuccess\tx.lua\tA\ttestOne: the other\n" ..
      "poll\tpending\tx.lua\tA\ttest_two\n" ..
      "poll\tsuccess\tx.lua\tA\ttest_two\n" ..
      "poll\terror\tx.lua\tB\ttestOne\n")
    assert.are.equal([[
CPython's tests: 0 of the 3 that apply to csock pass
  pending: 1
    A: test_two
  failed: 2
    A: testOne
    B: testOne
]], output:match "^(.-)where")
    assert.is_true(ok)
  end)

  it("names a class of which all are missing once", function()
    local output = score(list, "poll\tsuccess\tx.lua\tB\ttestOne\n")
    assert.are.equal([[
CPython's tests: 1 of the 3 that apply to csock pass
  not specified: 2
    A: all 2
]], output:match "^(.-)where")
  end)

  it("may be brief", function()
    local output, ok = score(list, "poll\tsuccess\tx.lua\tB\ttestThree\n",
      "brief")
    assert.are.equal([[
CPython's tests: 0 of the 3 that apply to csock pass
where the kernel has the family: 1 of 1 pass
]], output)
    assert.is_true(ok)
  end)

  it("is nothing without a run", function()
    assert.matches("^CPython's tests: 0 of the 3", (score(list, "")))
  end)

  it("refuses a title of no test, whatever else is good", function()
    local output, ok = score(list,
      "poll\tsuccess\tx.lua\tA\ttestOne: this\n" ..
      "poll\tsuccess\tx.lua\tA\ttestThree: that\n", "brief")
    assert.is_nil(ok)
    assert.matches("1 of the 3", output)
    assert.matches("error: x.lua / A / testThree: that: no test of CPython's A",
      output, 1, true)
    output, ok = score(list, "poll\tsuccess\tx.lua\tC\ttestOne: this\n")
    assert.is_nil(ok)
    assert.matches("x.lua / C / testOne: this: no class of CPython's tests",
      output, 1, true)
  end)

  it("lets the tests of other modules be", function()
    local output = score("A.testOne yes\nB elsewhere: test_b\n",
      "poll\tsuccess\tx.lua\tB\ttest_two: this\n")
    assert.matches("0 of the 1", output, 1, true)
    assert.is_nil(output:find "error")
  end)

  it("refuses a list that it cannot read", function()
    local output, ok = score("A.testOne maybe not\nA: testTwo\n", "")
    assert.is_nil(ok)
    assert.matches("cannot read: A: testTwo", output, 1, true)
  end)
end)

local loader = [[
import unittest
def walk(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            walk(test)
        else:
            print(type(test).__name__ + "." + test._testMethodName)
import test.test_socket, test.test_socketserver
for module in test.test_socket, test.test_socketserver:
    walk(unittest.defaultTestLoader.loadTestsFromModule(module))
]]

describe("spec/cpython.list", function()
  it("has the tests of CPython 3.11, each once and in its order", function()
    local process = helper.spawn_process("python3 -c " .. helper.quote(
      "import sys; assert sys.version_info[:2] == (3, 11)\n" .. loader) ..
      " 2>/dev/null")
    local expected = process:read "a"
    if not process:wait() then pending "no CPython 3.11 with its tests here" end
    local names = {}
    for line in io.lines "spec/cpython.list" do
      names[#names + 1] = line:match "^%w+%.%S*"
    end
    assert.are.equal(744, #names)
    assert.are.equal(expected, table.concat(names, "\n") .. "\n")
  end)

  it("says of each whether it applies, and if not why", function()
    local count = {}
    for line in io.lines "spec/cpython.list" do
      if line:find "^[^#]" and not line:find "^%w+ elsewhere: %S+$" then
        local mark, colon, why = line:match "^%w+%.[%w_]+ (%l+)(:?) ?(.*)$"
        assert.is_truthy(mark, line)
        assert.are.equal(mark ~= "yes", colon == ":" and why ~= "", line)
        count[mark] = (count[mark] or 0) + 1
      end
    end
    assert.are.same({yes = 457, kernel = 193, no = 94}, count)
  end)
end)
