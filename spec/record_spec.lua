-- record: readrecord and records, in files of any buffering, outside of tasks
-- and in one: what formats mean, pieces of any size, limits, what is malformed.

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local everywhere, holding, pair =
  helper.everywhere, helper.holding, helper.pair
local misused, raises = helper.misused, helper.raises

local COMMAND = "*%d\r\n($%d\r\n%s\r\n)"
local sizes = {-1, 0, 1, 2, 7}

-- f(begin): after it has called begin() the collector comes round at once, and
-- calls the finalizers of what is garbage since f was called.
local function collecting(f)
  local before = collectgarbage "generational"
  finally(function()
    collectgarbage "restart"
    collectgarbage(before)
  end)
  collectgarbage "stop"
  f(function() collectgarbage "restart" end)
end

describe("readrecord", function()
  it("gives strings by the numbers before them", everywhere(function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("5:hello,0:,12:" .. ("x"):rep(12) .. "," ..
        "1A\r\n" .. ("y"):rep(26) .. "\r\n0\r\n\r\n" ..
        "\3abc\0\2de\0\0\1f" .. ("\0"):rep(7) .. "\1g" .. "10 3|%(ab)|zz", size)
      assert.are.equal("hello", f:readrecord "%d:%s,")
      assert.are.equal("", f:readrecord "%d:%s,")
      assert.are.equal(("x"):rep(12), f:readrecord "%d:%s,")
      assert.are.equal(("y"):rep(26), f:readrecord "%x\r\n%s\r\n")
      assert.are.equal("", f:readrecord "%x\r\n%s\r\n")
      assert.are.equal("abc", f:readrecord "%1%s")
      assert.are.same({"de", "f", "g"}, {f:readrecord "%2%s%3%s%8%s"})
      assert.are.equal("%(a", f:readrecord "%d %d|%s%.%)|")
      assert.are.equal("zz", f:read())
    end
  end))

  it("gives lists by the number before them", everywhere(function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$0\r\n\r\n" ..
        "*0\r\n*1\r\n$10\r\n" .. "\r\n$3\r\n\0\255ab" .. "\r\n" ..
        "\0\2\0\0\0\1a\0\0\0\2bc\0\0", size)
      local list = {"old", "old", "old", "old"}
      assert.are.equal(3, f:readrecord(COMMAND, list))
      assert.are.same({"SET", "k", "", "old"}, list)
      assert.are.equal(0, f:readrecord(COMMAND, list))
      assert.are.equal("\r\n$3\r\n\0\255ab", f:readrecord(COMMAND))
      assert.are.same({"a", "bc"}, {f:readrecord "%2(%4%s)"})
      assert.are.equal(0, select("#", f:readrecord "%2(%4%s)"))
      assert.is_nil(f:readrecord(COMMAND, list))
    end
  end))

  it("takes one together from what comes", everywhere(function()
    local bytes = "*2\r\n$12\r\n123456789012\r\n$1\r\nx\r\n"
    for _, size in ipairs(sizes) do
      local _guard <close>, a, b = pair()
      local f <close> = a:makefile("rb", size)
      local list = {}
      a.timeout = 0.001
      for i = 1, #bytes - 1 do
        b:sendall(bytes:sub(i, i))
        raises(csock.timeout, f.readrecord, f, COMMAND, list)
      end
      b:sendall(bytes:sub(-1) .. "rest")
      a.timeout = 1
      assert.are.equal(2, f:readrecord(COMMAND, list))
      assert.are.same({"123456789012", "x"}, list)
      assert.are.equal("rest", f:read(4))
    end
  end))

  it("waits for one in any pieces", function()
    local words = {}
    for i = 1, 200 do words[i] = ("w"):rep(i % 50) end
    local bytes = {"*200\r\n"}
    for _, word in ipairs(words) do
      table.insert(bytes, ("$%d\r\n%s\r\n"):format(#word, word))
    end
    bytes = table.concat(bytes)
    loop.run(function()
      for _, size in ipairs {1, 3, 64, 1000} do
        local _guard <close>, a, b = pair()
        local f <close> = a:makefile "rb"
        loop.spawn(function()
          for i = 1, #bytes, size do
            b:sendall(bytes:sub(i, i + size - 1))
            loop.sleep(0)
          end
        end)
        assert.are.same(words, {f:readrecord(COMMAND)})
      end
    end)
  end)

  it("takes what is long in time that grows with it", function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile "rb"
    loop.run(function()
      loop.spawn(b.sendall, b, "*1000000\r\n" .. ("$1\r\nx\r\n"):rep(1000000))
      local list = {}
      assert.are.equal(1000000, f:readrecord(COMMAND, list))
      assert.are.equal(1000000, #list)
      local value = ("x"):rep(20000000)
      loop.spawn(b.sendall, b, "*1\r\n$20000000\r\n" .. value .. "\r\n")
      assert.is_true(f:readrecord(COMMAND, nil, nil, #value) == value)
    end)
  end)

  it("tells where what has come is something else, which stays", function()
    for _, case in ipairs {
      {"+OK\r\n", 1, 1}, {"*x\r\n", 2, 2}, {"*\r\n", 2, 2}, {"*-1\r\n", 2, 2},
      {"*01\r\n", 2, 2}, {"*1x\r\n", 4, 3}, {"*1\n", 4, 3}, {"*1\r\r", 5, 4},
      {"*1\r\n:1\r\n", 7, 5}, {"*1\r\n$a\r\n", 8, 6},
      {"*2\r\n$1\r\na\r\n$x\r\n", 8, 13}, {"*1\r\n$1\r\nab\r\n", 14, 10},
      {"*" .. ("9"):rep(30), 2, 2}, {"*1\r\n$" .. ("1"):rep(30), 8, 6},
    } do
      local data, place, at = table.unpack(case)
      for _, size in ipairs(sizes) do
        local f <close> = holding(data, size)
        for _, list in ipairs {false, {}} do
          assert.are.same({false, place, at},
            {f:readrecord(COMMAND, list or nil)}, data)
        end
        assert.are.equal(data, f:read())
      end
    end
    local f <close> = holding "\255\0\0\0\0\0\0\0x"
    assert.are.same({false, 1, 1}, {f:readrecord "%8%s"})
    assert.are.same({false, 1, 1}, {f:readrecord "%x:%s"})
  end)

  it("gives nothing that is more than the limits", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("*3\r\n$2\r\nab\r\n$3\r\nabc\r\n$0\r\n\r\n",
        size)
      assert.are.same({false, 2, 2}, {f:readrecord(COMMAND, {}, 2)})
      assert.are.same({false, 8, 14}, {f:readrecord(COMMAND, {}, 3, 2)})
      f.maxline = 2
      assert.are.same({false, 2, 2}, {f:readrecord(COMMAND)})
      assert.are.same({false, 8, 14}, {f:readrecord(COMMAND, nil, 3)})
      assert.are.equal(3, f:readrecord(COMMAND, {}, 3, 3))
    end
  end)

  it("gives nil for what has no end, which stays", everywhere(function()
    for _, size in ipairs(sizes) do
      for _, data in ipairs {"", "*", "*1", "*1\r", "*1\r\n", "*1\r\n$3",
        "*1\r\n$3\r\nab", "*1\r\n$3\r\nabc\r"} do
        local f <close> = holding(data, size)
        assert.is_nil(f:readrecord(COMMAND))
        assert.is_nil(f:readrecord(COMMAND, {}))
        assert.are.equal(data, f:read())
      end
    end
  end))

  it("gives nil on a non-blocking socket, and keeps the part", function()
    local _guard <close>, a, b = pair()
    a.timeout = 0
    local f <close> = a:makefile "rb"
    assert.is_nil(f:readrecord "%1%s")
    b:sendall "\3ab"
    assert.is_nil(f:readrecord "%1%s")
    assert.are.equal(3, f.pending)
    b:sendall "c"
    assert.are.equal("abc", f:readrecord "%1%s")
  end)

  it("sends what the file is tied to before it waits", function()
    local _guard <close>, a, b = pair()
    loop.run(function()
      local f <close> = a:makefile "rwb"
      f:tie(f)
      local task = loop.spawn(function()
        local data = b:recv(100)
        b:sendall "\2xy"
        return data
      end)
      f:write("ask", 1, -20, math.mininteger)
      assert.are.equal("xy", f:readrecord "%1%s")
      assert.are.equal("ask1-20-9223372036854775808", task:join())
    end)
  end)

  it("sees all, unbuffered, when another process has read what it saw",
    function()
      local directory = helper.tmpdir()
      local library, file = directory .. "/thief.so", directory .. "/thief.lua"
      assert(os.execute(("env -u LD_PRELOAD %s -shared -fPIC -o %s " ..
        "spec/thief.c -ldl"):format(os.getenv "CC" or "cc", library)))
      local out <close> = assert(io.open(file, "w"))
      out:write [[
        local csock = require "csock"
        local loop = require "csock.loop"
        local a, b = csock.socketpair()
        local f = a:makefile("rb", 0)
        a.timeout = 5
        local function read(method, last, ...)
          b:sendall "thief"
          local task = loop.spawn(f[method], f, ...)
          loop.sleep(0.01)
          assert(f.pending == 0)
          b:sendall(last)
          return task:join()
        end
        loop.run(function()
          assert(read("readline", "ab\ncd\nef\n") == "ab\n")
          assert(f:readline() == "cd\n" and f:readline() == "ef\n")
          assert(read("readrecord", "t\1\2xy", "t%1(%1%s)") == "xy")
        end)
        print "done"
      ]]
      out:close()
      local lua, count = helper.lua:gsub("LD_PRELOAD=(%S+)",
        "LD_PRELOAD=%1:" .. library)
      if count == 0 then lua = "LD_PRELOAD=" .. library .. " " .. lua end
      local child = helper.spawn_process("sh -c " ..
        helper.quote(("exec env %s %s 2>&1"):format(lua, file)))
      assert.are.equal("done\n", child:read "a")
      assert.are.same({true, "exit", 0}, {child:wait()})
    end)

  it("goes on where another task has read meanwhile", function()
    local _guard <close>, a, b = pair()
    loop.run(function()
      local f <close> = a:makefile "rb"
      b:sendall "\2(\1a"
      local task = loop.spawn(f.readrecord, f, "%1%((%1%s)")
      helper.until_waiting(task)
      assert.are.equal("\2(\1a", f:read(4))
      b:sendall "\1(\1b"
      assert.are.equal("b", task:join())
    end)
  end)

  it("survives a finalizer that reads the file", function()
    local f <close> = holding(("\1x"):rep(40000))
    local read
    setmetatable({}, {__gc = function() read = f:read(1000) end})
    local ok = true
    for _ = 1, 300 do
      if not pcall(f.readrecord, f, ("%1%s"):rep(50)) then ok = false end
    end
    collectgarbage()
    assert.is_true(ok or read ~= nil)
  end)

  it("gives nothing of what a finalizer has exchanged", function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile "rb"
    local records, exchanged = 20, false
    local function refill(byte)
      f:read(f.pending)
      b:sendall(("\200" .. byte:rep(200)):rep(records))
      f:peek() -- to the same place
    end
    local format, ok, err = ("%1%s"):rep(records), nil, nil
    refill "x"
    f:readrecord(format) -- now the file knows it
    collecting(function(begin)
      refill "x"
      setmetatable({}, {__gc = function()
        refill "y"
        exchanged = true
      end})
      begin()
      ok, err = pcall(f.readrecord, f, format)
    end)
    assert.is_true(exchanged)
    assert.is_false(ok)
    assert.matches("read by a finalizer", err)
    assert.are.equal(("y"):rep(200), f:readrecord "%1%s")
  end)

  it("refuses what is no format", function()
    local f <close> = holding "5:hello,"
    for _, format in ipairs {"", "%", "%s", "%d%s", "%d", "%x", "%q", "%9",
      "%0%s", "%d%x", "%x%d:", "%d(%1%s)", "%x(:%1%s)",
      "%d:%s%s", "(", ")", "%1(", "%1)", "%1()", "(%1%s)", "%1(%s)", "%1(%d)",
      "%1(%1%s)x", "%1(%1(%1%s))", "%1(%1%s)(%1%s)", "%d:%s%", "%1%s\0%"} do
      misused("invalid format", f.readrecord, f, format)
      misused("invalid format", f.records, f, format)
    end
    misused("too long", f.readrecord, f, ("x"):rep(70000))
    misused("string expected", f.readrecord, f)
    misused("table expected", f.readrecord, f, "%1%s", 5)
    misused("negative", f.readrecord, f, "%1%s", {}, -1)
    misused("negative", f.records, f, "%1%s", {}, 1, -1)
    misused("file expected", f.readrecord, "x", "%1%s")
    assert.are.equal("hello", f:readrecord "%d:%s,")
  end)
end)

describe("records", function()
  it("iterates to the end", everywhere(function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("1:a,0:,2:bc,", size)
      local all = {}
      for word in f:records "%d:%s," do table.insert(all, word) end
      assert.are.same({"a", "", "bc"}, all)
    end
  end))

  it("keeps its format and its list", everywhere(function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile "rb"
    local list, all = {}, {}
    local next_record = f:records("%1(%1%s)", list)
    b:sendall "\2\1a\1b3:xyz,\0\1\1c"
    assert.are.equal(2, next_record())
    assert.are.equal("xyz", f:readrecord "%d:%s,")
    b:shutdown(csock.SHUT_WR)
    collectgarbage()
    for count in next_record do table.insert(all, count) end
    assert.are.same({0, 1}, all)
    assert.are.same({"c", "b"}, list)
    f:close()
    misused("closed file", next_record)
  end))

  it("keeps its format when a finalizer uses another", function()
    local f <close> = holding("\1a\1b", 8)
    f:peek()
    local used, next_record = false, nil
    f:records "%1%s" -- now the file knows it
    collecting(function(begin)
      setmetatable({}, {__gc = function()
        used = f:readrecord "no such thing" == false
      end})
      begin()
      next_record = f:records "%1%s"
    end)
    assert.is_true(used)
    for _ = 1, 3 do collectgarbage() end
    assert.are.equal("a", next_record())
    assert.are.equal("b", next_record())
    assert.is_nil(next_record())
  end)

  it("is not at its end where a non-blocking socket has nothing", function()
    local _guard <close>, a, b = pair()
    a.timeout = 0
    local f <close> = a:makefile "rb"
    local next_record = f:records "%1%s"
    raises(csock.BlockingIOError, next_record)
    b:sendall "\2a"
    raises(csock.BlockingIOError, next_record)
    b:sendall "b"
    assert.are.equal("ab", next_record())
    b:shutdown(csock.SHUT_WR)
    assert.is_nil(next_record())
  end)

  it("raises what goes wrong, always", function()
    local safe = require "csock.safe"
    local a, b = safe.socketpair()
    a.timeout = 0.001
    local f <close> = a:makefile "rb"
    raises(csock.timeout, f:records "%1%s")
    assert.is_truthy(select(2, f:readrecord "%1%s"))
    a:close()
    b:close()
  end)
end)
