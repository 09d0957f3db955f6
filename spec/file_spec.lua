-- file: makefile and what it makes.  First CPython's tests, by class and name
-- (Lib/test/test_socket.py of 3.11), each outside of tasks and in one; then
-- what it has beyond them; then Python itself as the other end.

local core = require "csock.core"
local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local everywhere, holding, pair =
  helper.everywhere, helper.holding, helper.pair
local misused, raises = helper.misused, helper.raises

local MSG = "Michael Gilfix was here\u{1234}\r\n"

local function close(...)
  for i = 1, select("#", ...) do select(i, ...):close() end
end

-- Two ends of a TCP connection.
local function connected()
  local listener <close> = csock.socket()
  listener:bind {"127.0.0.1", 0}
  listener:listen()
  local client = csock.socket()
  client:connect(listener:getsockname())
  return client, (listener:accept())
end

-- What a program writes to stderr, warnings included.
local function stderr_of(program)
  local process = helper.spawn_process("sh -c " .. helper.quote(helper.lua ..
    " -W -e " .. helper.quote(program) .. " 2>&1"))
  return process:read "a"
end

-- CPython's tests ---------------------------------------------------------

describe("GeneralModuleTests", function()
  it("test_makefile_mode: it is told", function()
    for _, mode in ipairs {"r", "rb", "rw", "w", "wb"} do
      local sock <close> = csock.socket()
      local fp <close> = sock:makefile(mode)
      assert.are.equal(mode, fp.mode)
    end
  end)

  it("test_makefile_invalid_mode: others are refused", function()
    for _, mode in ipairs {"rt", "x", "+", "a"} do
      local sock <close> = csock.socket()
      misused("invalid mode", sock.makefile, sock, mode)
    end
  end)

  it("test_unusable_closed_socketio: no answers after close", function()
    local sock <close> = csock.socket()
    local fp = sock:makefile("rb", 0)
    assert.is_true(fp:readable())
    assert.is_false(fp:writable())
    assert.is_false(fp:seekable())
    fp:close()
    misused("I/O operation on closed file", fp.readable, fp)
    misused("I/O operation on closed file", fp.writable, fp)
    misused("I/O operation on closed file", fp.seekable, fp)
  end)

  it("test_name_closed_socketio: -1 after close", function()
    local sock <close> = csock.socket()
    local fp = sock:makefile("rb")
    assert.are.equal(('<csock.file name=%d mode="rb">'):format(sock:fileno()),
      tostring(fp))
    fp:close()
    assert.are.equal('<csock.file name=-1 mode="rb">', tostring(fp))
  end)

  it("test_dealloc_warn: a socket, and a file that outlives one", function()
    local text = stderr_of [[
      local csock = require "csock"
      local function collect()
        collectgarbage()
        collectgarbage()
      end
      local sock = csock.socket(csock.AF_INET, csock.SOCK_STREAM)
      io.stderr:write(tostring(sock), "\n")
      sock = nil
      collect()
      io.stderr:write "next\n"
      sock = csock.socket(csock.AF_INET, csock.SOCK_STREAM)
      local f = sock:makefile("rb")
      sock = nil
      collect()
      io.stderr:write "kept\n"
      f = nil
      collect()
      io.stderr:write "gone\n"]]
    local shown, warning, rest = text:match "^(.-)\n(.-)\nnext\n(.*)$"
    assert.matches("^Lua warning: ", warning)
    assert.is_truthy(warning:find(shown, 1, true), text)
    assert.is_truthy(rest:find "^kept\n.*unclosed socket.*gone\n$", text)
  end)
end)

-- The tests of FileObjectClassTestCase for one buffer size.  What they need
-- is made anew for each, and found through the second result.
local function file_tests(size)
  local cli_conn, serv_conn, read_file, write_file

  local function test(name, f)
    it(name, everywhere(function()
      cli_conn, serv_conn = connected()
      read_file = cli_conn:makefile("rb", size)
      write_file = serv_conn:makefile("wb", size)
      f()
      close(read_file, write_file, cli_conn, serv_conn)
      assert.is_true(read_file.closed)
      assert.is_true(write_file.closed)
    end))
  end

  local function send(data)
    write_file:write(data)
    write_file:flush()
  end

  test("testReadAfterTimeout", function()
    cli_conn:settimeout(0.05)
    send(MSG:sub(1, 3))
    assert.are.equal(MSG:sub(1, 3), read_file:read(3))
    raises(csock.timeout, read_file.read, read_file, 1)
    local err = raises(csock.OSError, read_file.read, read_file, 1)
    assert.is_truthy(tostring(err):find("cannot read from timed out object",
      1, true))
    assert.is_false(csock.isinstance(err, csock.timeout))
  end)

  test("testSmallRead", function()
    send(MSG)
    local first = read_file:read(#MSG - 3)
    assert.are.equal(MSG, first .. read_file:read(3))
  end)

  test("testFullRead", function()
    write_file:write(MSG)
    close(write_file, serv_conn)
    assert.are.equal(MSG, read_file:read())
  end)

  test("testUnbufferedRead", function()
    send(MSG)
    close(write_file, serv_conn)
    local buf = ""
    while true do
      local char = read_file:read(1)
      if char == "" then break end
      assert.are.equal(1, #char)
      buf = buf .. char
    end
    assert.are.equal(MSG, buf)
  end)

  test("testReadline", function()
    send(MSG)
    assert.are.equal(MSG, read_file:readline())
  end)

  test("testCloseAfterMakefile", function()
    cli_conn:close()
    send(MSG)
    close(write_file, serv_conn)
    assert.are.equal(MSG, read_file:read())
  end)

  test("testMakefileAfterMakefileClose", function()
    read_file:close()
    send(MSG)
    assert.are.equal(MSG, cli_conn:recv(#MSG))
  end)

  test("testClosedAttr", function()
    assert.is_false(read_file.closed)
    assert.is_false(write_file.closed)
  end)

  test("testAttributes", function()
    assert.are.equal("rb", read_file.mode)
    assert.are.equal(cli_conn:fileno(), read_file.name)
    assert.are.equal("wb", write_file.mode)
    assert.are.equal(serv_conn:fileno(), write_file.name)
  end)

  test("testRealClose", function()
    read_file:close()
    misused("closed file", read_file.fileno, read_file)
    cli_conn:close()
    raises(csock.OSError, cli_conn.getsockname, cli_conn)
  end)

  return test, function()
    return cli_conn, serv_conn, read_file, write_file
  end
end

describe("FileObjectClassTestCase", function() file_tests(-1) end)
describe("LineBufferedFileObjectClassTestCase", function() file_tests(1) end)
describe("SmallBufferedFileObjectClassTestCase", function() file_tests(2) end)

describe("UnbufferedFileObjectClassTestCase", function()
  local test, made = file_tests(0)

  test("testUnbufferedReadline", function()
    local cli_conn, _, read_file, write_file = made()
    write_file:write("A. " .. MSG)
    write_file:write("B. " .. MSG)
    write_file:flush()
    assert.are.equal("A. " .. MSG, read_file:readline())
    local other <close> = cli_conn:makefile("rb", 0)
    assert.are.equal("B. " .. MSG, other:readline())
  end)

  test("testMakefileClose", function()
    local cli_conn, _, read_file, write_file = made()
    cli_conn:close()
    assert.is_true(cli_conn.closed)
    write_file:write(MSG)
    assert.are.equal(MSG, cli_conn:recv(1024))
    read_file:close()
    raises(csock.OSError, cli_conn.recv, cli_conn, 1024)
  end)

  test("testMakefileCloseSocketDestroy: a closed file keeps no socket",
    function()
      local kept = setmetatable({}, {__mode = "v"})
      local file
      do
        local a, b = csock.socketpair()
        file, kept[1] = a:makefile("rb", 0), a
        close(file, a, b)
      end
      collectgarbage()
      collectgarbage()
      assert.is_nil(kept[1])
      assert.is_true(file.closed)
    end)

  test("testSmallReadNonBlocking", function()
    local cli_conn, _, read_file, write_file = made()
    cli_conn:setblocking(false)
    assert.is_nil(read_file:readinto(csock.buffer(10)))
    assert.is_nil(read_file:read(#MSG - 3))
    write_file:write(MSG)
    core.socket.readable(cli_conn, 5)
    local first = read_file:read(#MSG - 3)
    local buf = csock.buffer(10)
    assert.are.equal(3, read_file:readinto(buf))
    assert.are.equal(MSG, first .. tostring(buf):sub(1, 3))
    assert.is_nil(read_file:readinto(csock.buffer(16)))
    assert.is_nil(read_file:read(1))
  end)

  test("testWriteNonBlocking", function()
    local _, serv_conn, _, write_file = made()
    serv_conn:setblocking(false)
    local big = ("x"):rep(16 * 1024 * 1024 + 1)
    local n = write_file:write(big)
    assert.is_true(n > 0)
    for _ = 1, 10 do
      n = write_file:write(big)
      if n == nil then break end
      assert.is_true(n > 0)
    end
    assert.is_nil(n)
  end)
end)

-- Reading -----------------------------------------------------------------

local sizes = {-1, 0, 1, 2, 7}

describe("reading as Python", function()
  it("gives \"\" at the end", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("abc", size)
      assert.are.equal("abc", f:read())
      assert.are.equal("", f:read())
      assert.are.equal("", f:read(5))
      assert.are.equal("", f:readline())
      assert.are.same({}, f:readlines())
      assert.are.equal(0, f:readinto(csock.buffer(3)))
      assert.are.equal("", f:read1())
    end
  end)

  it("takes nil and negative numbers for all, and gives fewer at the end",
    function()
      local f <close> = holding "abc"
      assert.are.equal("abc", f:read(-1))
      local g <close> = holding "abc"
      assert.are.equal("abc", g:read(nil))
      local h <close> = holding "abc"
      assert.are.equal("abc", h:read(10))
    end)

  it("asks for nothing without waiting", function()
    local _guard <close>, a, _ = pair()
    local f <close> = a:makefile("rb")
    assert.are.equal("", f:read(0))
    assert.are.equal("", f:readline(0))
    assert.are.equal("", f:readhead(0))
    assert.are.equal("", f:read1(0))
    assert.are.equal(0, f:readinto(csock.buffer(0)))
  end)

  it("gives lines with their newlines, up to a limit", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("one\n\n\0two\nlonger\nlast", size)
      assert.are.equal("one\n", f:readline())
      assert.are.equal("\n", f:readline())
      assert.are.equal("\0two\n", f:readline(5))
      assert.are.equal("lon", f:readline(3))
      assert.are.equal("ger\n", f:readline(-1))
      assert.are.equal("last", f:readline(100))
      assert.are.equal("", f:readline(100))
    end
  end)

  it("gives heads with their empty lines, up to a limit", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("a: b\r\nc\r\n\r\n\r\n\nx\n\r\ny\r\n\n" ..
        "\r\r\nz\n \n\n\n\nlonger\n\nlast\n", size)
      assert.are.equal("a: b\r\nc\r\n\r\n", f:readhead())
      assert.are.equal("\r\n", f:readhead())
      assert.are.equal("\n", f:readhead(100))
      assert.are.equal("x\n\r\n", f:readhead(4))
      assert.are.equal("y\r\n\n", f:readhead(-1))
      assert.are.equal("\r\r\nz\n \n\n", f:readhead())
      assert.are.equal("\n", f:readhead())
      assert.are.equal("", f:readhead(0))
      assert.are.equal("\nlon", f:readline() .. f:readhead(3))
      assert.are.equal("ger\n\n", f:readhead(5))
      assert.are.equal("last\n", f:readhead())
      assert.are.equal("", f:readhead())
    end
  end)

  it("takes a head together from what comes", everywhere(function()
    local head = "Host: x\r\nAccept: y\n\r\n"
    for _, size in ipairs(sizes) do
      local _guard <close>, a, b = pair()
      local f <close> = a:makefile("rb", size)
      a.timeout = 0.001
      for i = 1, #head - 1 do
        b:sendall(head:sub(i, i))
        raises(csock.timeout, f.readhead, f)
      end
      b:sendall(head:sub(-1) .. "rest\n\n")
      a.timeout = 1
      assert.are.equal(head, f:readhead())
      assert.are.equal("rest\n", f:readline())
      assert.are.equal("\n", f:readhead())
    end
  end))

  it("finds lines in what was found to have no head", function()
    local _guard <close>, a, b = pair()
    a.timeout = 0
    local f <close> = a:makefile "rb"
    b:sendall "one\ntwo"
    assert.is_nil(f:readhead())
    assert.are.equal("one\n", f:readline())
    assert.is_nil(f:readline())
    assert.is_nil(f:readhead())
    b:sendall "\n"
    assert.is_nil(f:readhead())
    assert.are.equal(4, f.pending)
    b:sendall "\n"
    assert.are.equal("two\n\n", f:readhead())
  end)

  it("keeps a head that is too long", function()
    local f <close> = holding "one\ntwo\n\n"
    f.maxline = 8
    local err = raises(csock.OSError, f.readhead, f)
    assert.are.equal("EMSGSIZE", err.code)
    assert.are.equal("one\ntwo\n\n", f:readhead(9))
  end)

  it("gives a list of lines, up to a hint", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("ab\ncd\nef\ngh", size)
      assert.are.same({"ab\n", "cd\n"}, f:readlines(4))
      assert.are.same({"ef\n", "gh"}, f:readlines())
    end
  end)

  it("iterates", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("ab\n\ncd", size)
      local seen = {}
      for line in f do seen[#seen + 1] = line end
      assert.are.same({"ab\n", "\n", "cd"}, seen)
      local g <close> = holding("ab\ncd", size)
      assert.are.equal("ab\n", csock.class.iter(g)())
      for line in pairs(g) do assert.are.equal("cd", line) end
    end
  end)

  it("fills a buffer", function()
    for _, size in ipairs {-1, 1, 2, 7} do
      local f <close> = holding("abcdefgh", size)
      local b = csock.buffer(5)
      assert.are.equal(5, f:readinto(b))
      assert.are.equal("abcde", tostring(b))
      assert.are.equal(3, f:readinto(b))
      assert.are.equal("fghde", tostring(b))
    end
  end)

  it("shows what comes next, and takes what one call brings", function()
    local f <close> = holding("abcdefgh", 4)
    assert.are.equal("abcd", f:peek())
    assert.are.equal("abcd", f:peek(1))
    assert.are.equal("a", f:read1(1))
    assert.are.equal("bcd", f:read1(100))
    assert.are.equal("efgh", f:read1())
    assert.are.equal("", f:peek())
    local g <close> = holding("abc", 0)
    assert.are.equal("ab", g:read(2))
    assert.are.equal("c", g:read(2))
    misused("unbuffered", g.peek, g)
  end)

  it("takes what has come if it is what was expected", everywhere(function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile "rb"
    assert.is_false(f:take "x")        -- it does not wait
    assert.is_true(f:take "")
    b:sendall "\0x\n\0x\n\0xyz12"
    assert.is_false(f:take "\0x\n")    -- nor ask for more
    assert.are.equal("\0x\n", f:readline())
    assert.are.equal(9, f.pending)
    assert.is_false(f:take "\0y")
    assert.is_true(f:take "\0x\n")
    assert.is_false(f:take "\0x\n")
    assert.is_true(f:take "\0x")
    assert.are.equal("yz1", f:read(3))
    assert.is_false(f:take "23")       -- only a part of it has come
    assert.are.equal("2", f:peek())
    assert.are.equal("2", f:read(1))
    b:sendall "onetwothreefour"
    f:peek()
    assert.is_false(f:take("one", "three"))
    assert.is_false(f:take("one", "two", "threefours"))
    assert.is_false(f:take("ones", "t"))
    assert.is_true(f:take("one", "", "two"))
    misused("string expected", f.take, f, "x", nil)
    misused("string expected", f.take, f, "three", 4)
    assert.is_true(f:take("three", "four"))
    assert.are.equal(0, f.pending)
    b:close()
    assert.are.equal("", f:read())
    assert.is_false(f:take "2")
  end))

  it("takes no more than is in its buffer", function()
    local f <close> = holding("abcdef", 4)
    f:peek()
    assert.is_false(f:take "abcde")
    assert.is_true(f:take "abcd")
    assert.is_false(f:take "ef")
    local g <close> = holding("abcd", 0)
    assert.are.equal("a", g:read(1))
    assert.is_false(g:take "bc")
    assert.are.equal("bcd", g:read())
  end)

  it("finds lines behind what was taken", function()
    local _guard <close>, a, b = pair()
    a.timeout = 0
    local f <close> = a:makefile "rb"
    b:sendall "abc"
    assert.is_nil(f:readline())
    assert.is_true(f:take "ab")
    assert.is_nil(f:readline())
    b:sendall "\nd"
    assert.are.equal("c\n", f:readline())
  end)

  it("gives nil when a non-blocking socket has nothing", everywhere(function()
    for _, size in ipairs {-1, 1, 2, 7} do
      local _guard <close>, a, b = pair()
      a.timeout = 0
      local f <close> = a:makefile("rb", size)
      assert.is_nil(f:read())
      assert.is_nil(f:read(5))
      assert.is_nil(f:read1())
      assert.is_nil(f:peek())
      assert.is_nil(f:readline())
      assert.is_nil(f:readlines())
      assert.is_nil(f:readinto(csock.buffer(5)))
      b:sendall("ab\ncd\nef")
      assert.are.equal("ab\n", f:readline())
      assert.are.same({"cd\n"}, f:readlines())
      assert.is_nil(f:readline())       -- not whole: it stays
      b:sendall("g\nhij")
      assert.are.equal("efg\n", f:readline())
      assert.are.equal("hij", f:read(5))
      b:sendall("klm")
      local buffer = csock.buffer(5)
      assert.are.equal(3, f:readinto(buffer))
      assert.is_nil(f:readinto(buffer))
      b:sendall("nop")
      assert.are.equal("nop", f:read())
      raises(csock.BlockingIOError, f.read, f, "l")
      raises(csock.BlockingIOError, f.read, f, "l", "n")
      raises(csock.BlockingIOError, f)
    end
  end))
end)

describe("reading as Lua", function()
  it("gives nil at the end", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("x\n", size)
      assert.are.equal("x", f:read "l")
      assert.is_nil(f:read "l")
      assert.is_nil(f:read "L")
      assert.is_nil(f:read "n")
      assert.are.equal("", f:read "a")
      assert.are.same({n = 1}, table.pack(f:read("l", "a")))
      assert.are.same({n = 2, ""}, table.pack(f:read("a", 1)))
      assert.are.same({n = 2, ""}, table.pack(f:read("a", 0)))
    end
  end)

  it("tells by a count of 0 whether there is more", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("x", size)
      assert.are.same({n = 3, "", "x"}, table.pack(f:read(0, "a", 0)))
    end
  end)

  it("takes several formats, and their old spelling", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding("12 0x1F\nline\nLine\nabcdrest", size)
      assert.are.same({12, 31, "", "line", "Line\n", "abcd", "rest"},
        {f:read("n", "*n", "*l", "l", "L", 4, "*a")})
    end
  end)

  it("iterates by formats", function()
    for _, size in ipairs(sizes) do
      local seen = {}
      local f <close> = holding("ab\n\ncd", size)
      for line in f:lines() do seen[#seen + 1] = line end
      assert.are.same({"ab", "", "cd"}, seen)
      local g <close> = holding("1 2\n3 4\n", size)
      seen = {}
      for a, b in g:lines("n", "n") do seen[#seen + 1] = a * b end
      assert.are.same({2, 12}, seen)
      local h <close> = holding("abcde", size)
      seen = {}
      for piece in h:lines(2) do seen[#seen + 1] = piece end
      assert.are.same({"ab", "cd", "e"}, seen)
    end
  end)

  it("does on random data what Lua's io does", function()
    local random, words = math.random, {"\n", " ", "0x", "1", "7", "e", "-",
      "+", ".", "a", "F", "\0", "\r\n", "12", "nan", "p3", "\t", "\u{e9}"}
    local formats = {"l", "L", "n", 1, 5, 0, "n", "l"}
    local function text_of(...)
      local list = table.pack(...)
      for i = 1, list.n do
        list[i] = math.type(list[i]) or type(list[i]) == "string" and
          ("%q"):format(list[i]) or tostring(list[i])
      end
      return table.concat(list, ",")
    end
    for _ = 1, helper.slow and 20 or 400 do
      local text, expected = {}, io.tmpfile()
      for i = 1, random(0, 60) do text[i] = words[random(#words)] end
      text = table.concat(text)
      expected:write(text)
      expected:seek "set"
      local f <close> = holding(text, sizes[random(#sizes)])
      for _ = 1, 30 do
        local list = {}
        for i = 1, random(2, 4) do list[i] = formats[random(#formats)] end
        local a = text_of(expected:read(table.unpack(list)))
        local b = text_of(f:read(table.unpack(list)))
        if a ~= b then assert.are.equal(a, b, ("%q"):format(text)) end
      end
      assert.are.equal(expected:read "a", f:read "a")
      expected:close()
    end
  end)

  it("takes no more for a number than Lua does", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding(("1"):rep(300), size)
      assert.is_nil(f:read "n")
      assert.are.equal(100, #f:read())
    end
  end)
end)

describe("a file", function()
  it("asks the system only when it has to", function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile("rb")
    b:sendall(("line\n"):rep(100))
    assert.are.equal("line\n", f:readline())
    assert.are.equal(495, f.pending)
    csock.socket(csock.AF_UNIX, csock.SOCK_STREAM, 0, a:detach()):close()
    for _ = 2, 100 do assert.are.equal("line", f:read "l") end
    assert.are.equal(0, f.pending)
    assert.are.equal("EBADF", raises(csock.OSError, f.readline, f).code)
  end)

  it("makes no garbage beyond its results", function()
    local f <close> = holding(("x\n"):rep(4000))
    local b = csock.buffer(2)
    local function read(n)
      for _ = 1, n do
        f:readline()
        f:read "l"
        f:readinto(b)
      end
    end
    read(10)
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    read(1000)
    local after = collectgarbage "count"
    collectgarbage "restart"
    assert.is_true(after - before < 0.5, after - before .. " KiB")
  end)

  it("reads ahead no more than its size", function()
    for _, size in ipairs {0, 2, 100} do
      local _guard <close>, a, b = pair()
      local f <close> = a:makefile("rb", size)
      b:sendall("12 ab\ncd" .. ("x"):rep(1000))
      assert.are.same({12}, {f:read "n"})
      assert.are.equal(" ab\n", f:readline())
      assert.are.equal("cd", f:read(2))
      assert.is_true(f.pending <= size)
      local rest = f.pending > 0 and f:read1(f.pending) or ""
      assert.are.equal(0, f.pending)
      assert.are.equal(1000, #rest + #a:recv(2000))
    end
  end)

  it("does not let a line take the memory", function()
    for _, size in ipairs(sizes) do
      local f <close> = holding(("x"):rep(50) .. "\nend\n", size)
      assert.are.equal(1 << 24, f.maxline)
      f.maxline = 10
      for _, read in ipairs {
        function() return f:readline() end,
        function() return f:read "l" end,
        function() return f:read("l", "l") end,
        function() return f:readlines() end,
        function() for _ in f:lines() do error "a line" end end,
      } do
        assert.are.equal("EMSGSIZE", raises(csock.OSError, read).code)
      end
      assert.are.equal(("x"):rep(20), f:readline(20))
      f.maxline = nil
      assert.is_nil(f.maxline)
      assert.are.equal(("x"):rep(30), f:read "l")
      f.maxline = 4
      assert.are.equal("end\n", f:readline())
    end
    local f <close> = holding((" "):rep(70000))
    assert.are.equal("EMSGSIZE", raises(csock.OSError, f.read, f, "n").code)
    assert.are.equal(70000, #f:read())
  end)

  it("reads very long lines and counts", function()
    loop.run(function()
      local client, server = csock.socketpair()
      local lines = {}
      for i = 1, 5 do lines[i] = ("\0y"):rep(i * 100003) .. "\n" end
      local text = table.concat(lines)
      local task = loop.spawn(function()
        local w <close> = server:makefile("wb")
        server:close()
        w:write(text)
        w:write(text)
        w:write(text)
      end)
      local f <close> = client:makefile("rb")
      client:close()
      for i = 1, 5 do assert.is_true(lines[i] == f:readline()) end
      assert.is_true(text == f:read(#text))
      assert.is_true(text == f:read())
      task:join()
    end)
  end)

  it("lets others run while it reads from a fast peer", function()
    loop.run(function()
      local _guard <close>, a, b = pair()
      local ticks = 0
      local data = ("x"):rep(100000)
      local writer = loop.spawn(function()
        for _ = 1, 100 do b:sendall(data) end
      end)
      local ticker = loop.spawn(function()
        while true do
          ticks = ticks + 1
          loop.sleep(0)
        end
      end)
      local f <close> = a:makefile("rb")
      assert.are.equal(100 * #data, #f:read(100 * #data))
      writer:join()
      ticker:cancel()
      assert.is_true(ticks > 1)
    end)
  end)

  it("gives a slow peer its timeout for each piece", function()
    helper.by_clock(0.05, function(long)
      loop.run(function()
        for _, size in ipairs(sizes) do
          local a, b = csock.socketpair()
          local _b <close> = b
          a.timeout = long
          local task = loop.spawn(function()
            for byte in ("12 first\nsecond\nabcde"):gmatch "." do
              loop.sleep(long / 10)
              b:sendall(byte)
            end
            b:close()
          end)
          local f <close> = a:makefile("rb", size)
          a:close()
          assert.are.same({12, " first", "second\n", "abc", "de"},
            {f:read("n", "l", "L", 3, "a")})
          task:join()
        end
      end)
    end)
  end)
end)

describe("a timeout in the middle of a read", function()
  local reads = {
    ["read(n)"] = function(f) return f:read(8) end,
    readline = function(f) return f:readline() end,
    formats = function(f) return table.concat({f:read(2, "L")}) end,
    readlines = function(f) return table.concat(f:readlines(8)) end,
    readinto = function(f)
      local b = csock.buffer(8)
      assert.are.equal(8, f:readinto(b))
      return tostring(b)
    end,
  }

  for name, read in pairs(reads) do
    it("loses no byte: " .. name, everywhere(function()
      for _, size in ipairs {-1, 1, 2, 7} do
        local _guard <close>, a, b = pair()
        a.timeout = 0.02
        local f <close> = a:makefile("rb", size)
        b:sendall("ab")
        raises(csock.timeout, read, f)
        b:sendall("cd")
        raises(csock.timeout, read, f)  -- something came: it waited again
        local err = raises(csock.OSError, read, f)
        assert.is_truthy(tostring(err):find "cannot read from timed out object")
        assert.are.equal(4, f.pending)
        b:sendall("efg\nmore")
        assert.are.equal("abcdefg\n", read(f))
        assert.are.equal("more", f:read(4))
      end
    end))
  end

  it("leaves what came to be read, also on an unbuffered file", function()
    for _, size in ipairs(sizes) do
      local _guard <close>, a, b = pair()
      a.timeout = 0.01
      local f <close> = a:makefile("rb", size)
      b:sendall("abcd")
      raises(csock.timeout, f.readline, f)
      assert.are.equal("ab", f:read(2))
      assert.are.equal("cd", f:read(2))
      raises(csock.OSError, f.read, f, 1)
    end
  end)

  it("of loop.timeout, or a cancellation, loses none either", function()
    loop.run(function()
      local _guard <close>, a, b = pair()
      local f <close> = a:makefile("rb")
      b:sendall("ab\ncd")
      raises(csock.timeout, loop.timeout, 0.01, f.read, f, "l", "l")
      local task = loop.spawn(function() return f:read("l", "l") end)
      loop.sleep(0.01)
      task:cancel()
      assert.is_false((pcall(task.join, task)))
      b:sendall("ef\n")
      assert.are.same({"ab", "cdef"}, {f:read("l", "l")})
    end)
  end)
end)

describe("a large count", function()
  local data = helper.random_bytes(20000)

  it("is read as it comes", everywhere(function()
    for _, size in ipairs {-1, 0, 100, 30000} do
      local _guard <close>, a, b = pair()
      local f <close> = a:makefile("rb", size)
      if size == 0 then a.timeout = 1 end
      b:sendall(data)
      assert.is_true(f:read(20000) == data)
      b:sendall("more" .. data)
      assert.are.equal("more", f:read(4))
      assert.is_true(f:read(19999) == data:sub(1, 19999))
      assert.are.equal(data:sub(-1), f:read(1))
      b:sendall(data:sub(1, 7000))
      b:shutdown(csock.SHUT_WR)
      assert.is_true(f:read(20000) == data:sub(1, 7000))
      assert.are.equal("", f:read(20000))
    end
  end))

  it("loses nothing of a part that has come", everywhere(function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile "rb"
    a.timeout = 0
    assert.is_nil(f:read(20000))
    b:sendall "some"
    assert.are.equal("some", f:read(20000))
    a.timeout = 0.02
    b:sendall(data:sub(1, 5000))
    raises(csock.timeout, f.read, f, 20000)
    assert.are.equal(5000, f.pending)
    b:sendall(data:sub(5001, 6000))
    raises(csock.timeout, f.read, f, 20000)
    b:sendall(data:sub(6001) .. "more")
    assert.is_true(f:read(20000) == data)
    assert.are.equal("more", f:read(4))
    raises(csock.timeout, f.read, f, 20000)
  end))

  it("comes to each of several tasks once, and is not lost with one", function()
    loop.run(function()
      local _guard <close>, a, b = pair()
      local f <close> = a:makefile "rb"
      local sent, got, tasks = {}, {}, {}
      for i = 1, 40 do
        tasks[i] = loop.spawn(function()
          local piece = f:read(8192)
          got[#got + 1] = piece
        end)
      end
      for i = 1, 20 do
        local piece = ("%02d"):format(i):rep(math.random(1, 9000))
        sent[i] = piece
        b:sendall(piece)
        loop.sleep(0)
        tasks[i]:cancel()
      end
      b:shutdown(csock.SHUT_WR)
      for i = 1, 40 do pcall(tasks[i].join, tasks[i]) end
      got[#got + 1] = f:read()
      assert.is_true(table.concat(got) == table.concat(sent))
    end)
  end)
end)

-- Writing -----------------------------------------------------------------

describe("writing", function()
  local a, b
  before_each(function() a, b = csock.socketpair() end)
  after_each(function() close(a, b) end)

  -- What has come to a socket, without waiting.
  local function come(sock)
    sock = sock or b
    sock.timeout = 0
    local pieces = {}
    while true do
      local ok, data = pcall(sock.recv, sock, 100000)
      if not ok or data == "" then return table.concat(pieces) end
      pieces[#pieces + 1] = data
    end
  end

  it("collects until flush or close", function()
    local f = a:makefile("wb")
    assert.are.equal(3, f:write "abc")
    assert.are.equal(4, f:write("d", 1, "ef"))
    assert.are.equal(2, f:write(csock.buffer "\0g"))
    assert.are.equal("", come())
    assert.is_true(f:flush())
    assert.are.equal("abcd1ef\0g", come())
    f:write "h"
    assert.is_true(f:close())
    assert.are.equal("h", come())
    assert.is_true(f:close())
  end)

  it("collects pieces of all sizes up to its own", function()
    for _, size in ipairs {2, 1023, 1024, 1025, 5000, 70000} do
      local out <close> = a:makefile("wb", size)
      local pieces, left, n = {}, size, 1
      while left > 0 do
        n = n < left and n or left
        pieces[#pieces + 1] = string.char(97 + #pieces % 26):rep(n)
        assert.are.equal(n, out:write("", pieces[#pieces]))
        left, n = left - n, n * 2
      end
      assert.are.equal("", come())
      out:flush()
      assert.are.equal(table.concat(pieces), come())
    end
  end)

  it("collects no more than its size", function()
    local f <close> = a:makefile("wb", 4)
    f:write "abc"
    assert.are.equal("", come())
    f:write "de"
    assert.are.equal("abc", come())
    f:write "fghij"
    assert.are.equal("defghij", come())
  end)

  it("by lines flushes what has a newline in it", function()
    local f <close> = a:makefile("w", 1)
    f:write "abc"
    assert.are.equal("", come())
    f:write "d\ne"
    assert.are.equal("abcd\ne", come())
  end)

  it("unbuffered sends at once", function()
    local f <close> = a:makefile("wb", 0)
    assert.are.equal(3, f:write "abc")
    assert.are.equal(0, f:write "")
    assert.are.equal("abc", come())
    assert.is_true(f:flush())
  end)

  it("takes lists", function()
    for _, size in ipairs {-1, 0, 1, 3} do
      local f = a:makefile("wb", size)
      assert.is_true(f:writelines {})
      assert.is_true(f:writelines {"ab\n", "", csock.buffer "cdefg", 7})
      f:close()
      assert.are.equal("ab\ncdefg7", come())
      f = a:makefile("wb", size)
      misused("list of strings", f.writelines, f, {"ab", {}, "c"})
      misused("table expected", f.writelines, f, "ab")
      f:close()
      assert.are.equal("", come())
    end
  end)

  it("keeps the rest of a partial flush", function()
    a.timeout = 0
    local f = a:makefile("wb", 10000000)
    local text = {}
    for i = 1, 100000 do text[i] = ("%09d\n"):format(i) end
    text = table.concat(text)
    assert.are.equal(#text, f:write(text))
    raises(csock.BlockingIOError, f.flush, f)
    local got = {}
    repeat got[#got + 1] = come() until pcall(f.flush, f)
    got[#got + 1] = come()
    assert.is_true(table.concat(got) == text)
    f:close()
  end)

  it("of several pieces is of all or none", everywhere(function()
    local _guard <close>, c, d = pair()
    local f = c:makefile("wb", 10)
    d.timeout = 0
    assert.are.equal(4, f:write("ab", "", "cd"))
    misused("string expected", f.write, f, "x", {})
    assert.are.equal(3, f:write("ef", 5))
    assert.are.equal(3, f:write("g", "hi"))
    assert.is_false(core.socket.readable(d, 0))
    misused("string expected", f.write, f, "x", "y", nil)
    assert.are.equal(5, f:write("jkl", "mn"))
    f:flush()
    assert.are.equal("abcdef5" .. "ghi" .. "jklmn", d:recv(100))
    assert.are.equal(13, f:write(("o"):rep(12), "p"))
    f:flush()
    assert.are.equal("oooooooooooop", d:recv(100))
    f:close()
  end))

  it("tells how much was taken before it failed", everywhere(function()
    for _, timeout in ipairs {0, 0.02} do
      local _guard <close>, c, d = pair()
      c.timeout = timeout
      local f = c:makefile("wb", 8)
      local text = ("0123456789"):rep(200000)
      local err = raises(csock.OSError, f.write, f, text)
      local class = timeout == 0 and csock.BlockingIOError or csock.timeout
      assert.is_true(csock.isinstance(err, class))
      local lines = raises(class, f.writelines, f, {"x", text})
      local got = #come(d)
      f:close()                         -- sends what was collected
      assert.are.equal(err.characters_written + lines.characters_written,
        got + #come(d))
    end
  end))

  it("of numbers is what tostring gives", everywhere(function()
    local _guard <close>, c, d = pair()
    for _, size in ipairs {0, 1, 30, 8192} do
      local f <close> = c:makefile("wb", size)
      for _, n in ipairs {0, 7, -1, 10, -100, 123456789, math.maxinteger,
                          math.mininteger, 0.5, 1e100, -0.0} do
        assert.are.equal(#tostring(n) + 2, f:write("<", n, ">"))
        f:flush()
        assert.are.equal("<" .. n .. ">", d:recv(100))
      end
    end
  end))

  it("of large pieces goes behind what was collected", function()
    loop.run(function()
      for _, size in ipairs(sizes) do
        local c, d = csock.socketpair()
        local pieces = {}
        for i = 1, 40 do
          pieces[i] = string.char(i):rep(math.random(0, 60000))
        end
        local task = loop.spawn(function()
          local f <close> = c:makefile("wb", size)
          c:close()
          for i = 1, 20 do assert.are.equal(#pieces[i], f:write(pieces[i])) end
          f:writelines(table.move(pieces, 21, 40, 1, {}))
        end)
        local r <close> = d:makefile("rb")
        d:close()
        assert.is_true(table.concat(pieces) == r:read())
        task:join()
      end
    end)
  end)

  it("to a peer that is gone raises, and loses nothing in silence", function()
    b:close()
    local f = a:makefile("wb")
    f:write "abc"
    local err = raises(csock.BrokenPipeError, f.flush, f)
    assert.are.equal("flush", err.op)
    raises(csock.BrokenPipeError, f.close, f)
    assert.is_true(f.closed)
    assert.is_true(f:close())
    local g <close> = a:makefile("wb", 0)
    raises(csock.BrokenPipeError, g.write, g, "abc")
  end)

  it("and reading go on side by side", function()
    local f <close> = a:makefile("rwb")
    assert.are.equal("rwb", f.mode)
    assert.is_true(f:readable() and f:writable())
    b:sendall("question\n")
    f:write(f:readline():upper())
    f:flush()
    assert.are.equal("QUESTION\n", come())
  end)
end)

-- Tied files --------------------------------------------------------------

describe("a file that is tied to another", function()
  local a, b, r, w
  local function test(name, f)
    it(name, everywhere(function()
      a, b = csock.socketpair()
      a.timeout, b.timeout = 40, 40
      r, w = a:makefile("rb"), a:makefile("wb", 1 << 22)
      assert.is_true(r:tie(w))
      f()
      b:close()
      pcall(w.close, w)
      close(r, a)
    end))
  end

  test("sends what that has before it waits", function()
    for _, size in ipairs(sizes) do
      local f <close> = a:makefile("rb", size)
      f:tie(w)
      for _, read in ipairs {f.readline, f.readhead, f.read1,
        function() return f:read(1) end, function() return f:read("L", "L") end,
        function() return f:readlines(1) end, function() return f() end,
        function() return f:readinto(csock.buffer(1)) end,
        size ~= 0 and f.peek or f.read1} do
        w:write "question"
        a.timeout = 0.001
        local ok, err = pcall(read, f)
        assert.is_true(not ok and csock.isinstance(err, csock.timeout))
        assert.are.equal("question", b:recv(100))
        b:sendall "x\n\n" -- what has come makes it readable again
        a.timeout = 40
        assert.are.equal("x\n\n", f:read(3))
      end
    end
  end)

  test("sends nothing while there is enough to read", function()
    b:sendall "a\nb\nc"
    for line in r:lines() do
      w:write(line)
      if line == "b" then break end
    end
    assert.are.equal("c", r:read(1))
    assert.is_false(core.socket.readable(b, 0))
    b:sendall "d\n"
    w:write "!"
    assert.are.equal("d\n", r:readline())
    assert.are.equal("ab!", b:recv(100))
  end)

  test("may be the same", function()
    local f <close> = a:makefile "rw"
    f:tie(f)
    f:write "ping"
    b:shutdown(csock.SHUT_WR)
    assert.are.equal("", f:read())
    assert.are.equal("ping", b:recv(10))
  end)

  test("raises what goes wrong in sending, and keeps what is left", function()
    local text = ("0123456789"):rep(200000)
    w:write(text)
    a.timeout = 0.01
    assert.are.equal("flush", raises(csock.timeout, r.readline, r).op)
    local got = {}
    b.timeout = 0
    repeat                              -- each wait sends what has room
      while pcall(function() got[#got + 1] = b:recv(1 << 20) end) do end
      local ok, err = pcall(r.readline, r)
      assert.is_false(ok)
    until err.op == "read"
    while pcall(function() got[#got + 1] = b:recv(1 << 20) end) do end
    assert.is_true(table.concat(got) == text)
  end)

  test("raises that the peer is gone", function()
    b:close()
    w:write "x"
    assert.are.equal("flush", raises(csock.BrokenPipeError, r.read, r).op)
  end)

  test("can be untied, and be left by the other", function()
    w:write "x"
    b:sendall "y"
    r:tie(nil)
    assert.are.equal("y", r:read(1))
    a.timeout = 0.001
    raises(csock.timeout, r.read, r, 1)
    assert.is_false(core.socket.readable(b, 0))
    a.timeout = 40
    r:tie(w)
    w:close()
    b:sendall "z"
    assert.are.equal("z", r:read(1))
    w = a:makefile "wb"
    r:tie(w)
    w:close()
    r:tie(a:makefile "wb")
    collectgarbage()
    collectgarbage()
    b:sendall "z"
    assert.are.equal("z", r:read(1))
    r:tie(nil)
    collectgarbage()
    collectgarbage()
  end)

  it("waits until all is sent, and reads then", function()
    loop.run(function()
      local _guard <close>, c, d = pair()
      local f <close> = c:makefile("rw", 1 << 22)
      f:tie(f)
      local text = ("0123456789"):rep(200000)
      f:write(text)
      local task = loop.spawn(f.readline, f)
      loop.sleep(0.01)
      local g <close> = d:makefile("rw")
      assert.is_true(text == g:read(#text))
      g:write "end\n"
      g:flush()
      assert.are.equal("end\n", task:join(40))
    end)
  end)

  it("may be closed while it sends", function()
    loop.run(function()
      local _guard <close>, c, d = pair()
      local f, g = c:makefile "r", c:makefile("w", 1 << 22)
      f:tie(g)
      g:write(("x"):rep(1 << 21))
      local task = loop.spawn(pcall, f.readline, f)
      loop.sleep(0.01)
      f:close()
      local all = loop.spawn(function()
        local h <close> = d:makefile()
        return #h:read(1 << 21)
      end)
      local ok, err = task:join(40)
      assert.is_false(ok)
      assert.are.equal("EBADF", err.code)
      assert.are.equal(1 << 21, all:join(40))
      g:close()
    end)
  end)
end)

-- Life --------------------------------------------------------------------

describe("a socket with files", function()
  it("lives until the last of them is closed", function()
    local a, b = csock.socketpair()
    local f, g = a:makefile("rb"), a:makefile("wb")
    local fd = a:fileno()
    assert.is_true(a:close())
    assert.is_true(a.closed)
    assert.are.equal(fd, f:fileno())
    f:close()
    g:write "abc"
    g:flush()
    assert.are.equal("abc", b:recv(3))
    g:close()
    assert.are.equal(-1, a:fileno())
    assert.are.equal("", b:recv(1))
    b:close()
  end)

  it("stays open when they are closed and it is not", function()
    local _guard <close>, a, b = pair()
    a:makefile("rwb"):close()
    assert.is_false(a.closed)
    b:sendall "x"
    assert.are.equal("x", a:recv(1))
  end)

  it("is closed by the end of a scope", function()
    local a, b = csock.socketpair()
    do
      local f <close> = a:makefile("w")
      f:write "abc"
      a:close()
    end
    assert.are.equal("abc", b:recv(10))
    assert.are.equal("", b:recv(10))
    b:close()
  end)

  it("may be closed already", function()
    local a = csock.socket()
    a:close()
    local f = a:makefile("rwb")
    assert.are.equal("EBADF", raises(csock.OSError, f.read, f, 1).code)
    f:write "x"
    assert.are.equal("EBADF", raises(csock.OSError, f.flush, f).code)
    raises(csock.OSError, f.close, f)
    assert.is_true(f.closed)
  end)

  it("is woken from a read by the close of the file", function()
    loop.run(function()
      local _guard <close>, a, b = pair()
      local f, g = a:makefile("rb"), a:makefile("rb")
      local tasks = {
        loop.spawn(pcall, f.readline, f), loop.spawn(pcall, g.readlines, g),
        loop.spawn(pcall, f.read, f, "l", "l"),
      }
      loop.sleep(0.01)
      close(f, g)
      for i = 1, 3 do
        local ok, err = tasks[i]:join(40)
        assert.is_false(ok)
        assert.are.equal("EBADF", err.code)
      end
      b:sendall "x"
      assert.are.equal("x", a:recv(1))
    end)
  end)

  it("is closed though the last flush is cancelled", function()
    local a, b = csock.socketpair()
    loop.run(function()
      local f = a:makefile("wb", 1 << 24)
      a:close()
      f:write(("x"):rep(1 << 23))
      local task = loop.spawn(function() f:close() end)
      loop.sleep(0.01)
      task:cancel()
      assert.is_false((pcall(task.join, task)))
      assert.is_true(f.closed)
      assert.are.equal(-1, a:fileno())
    end)
    b:close()
  end)

  it("does not hold up the end of the loop", function()
    local text = stderr_of [[
      local csock = require "csock"
      local loop = require "csock.loop"
      local a, b = csock.socketpair()
      loop.run(function()
        loop.spawn(function()
          local f <close> = a:makefile("wb", 1 << 24)
          f:write(("x"):rep(1 << 23))
          while true do pcall(loop.sleep, 100) end
        end)
        loop.sleep(0.01)
      end)
      a:close()
      b:close()
      io.stderr:write "ended\n"]]
    assert.is_truthy(text:find "unclosed file, %d+ bytes unsent.*ended\n$",
      text)
  end)
end)

describe("a file that nobody closes", function()
  it("is flushed by the collector, as far as it goes at once", function()
    local _guard <close>, a, b = pair()
    a:makefile("wb"):write "abc"
    collectgarbage()
    collectgarbage()
    b.timeout = 1
    assert.are.equal("abc", b:recv(10))
    assert.is_false(a.closed)
  end)

  it("is not waited for, but told of", function()
    local text = stderr_of [[
      local csock = require "csock"
      local a, b = csock.socketpair()
      a:makefile("wb", 1 << 24):write(("x"):rep(1 << 23))
      collectgarbage() collectgarbage()
      io.stderr:write "collected\n"
      a:close()
      b:close()]]
    assert.is_truthy(text:find "unclosed file, %d+ bytes unsent.*collected\n$",
      text)
  end)
end)

describe("tasks that read one file", function()
  it("get each line once", function()
    loop.run(function()
      local a, b = csock.socketpair()
      local f <close> = a:makefile("rb", 16)
      a:close()
      local count, seen, tasks = 0, {}, {}
      local function note(line)
        if not line then return end
        assert.is_nil(seen[line], line)
        seen[line], count = true, count + 1
      end
      for i = 1, 4 do
        tasks[i] = loop.spawn(function()
          while true do
            local x, y = f:read("l", "l")
            note(x)
            note(y)
            if not y then return end
          end
        end)
      end
      for i = 1, 400 do
        b:sendall("line " .. i .. "\n")
        if i % 7 == 0 then loop.sleep(0) end
      end
      b:close()
      for i = 1, 4 do tasks[i]:join() end
      assert.are.equal(400, count)
    end)
  end)
end)

-- Class and misuse --------------------------------------------------------

describe("csock.file", function()
  it("is a class, and makefile makes its instances", function()
    local _guard <close>, a, b = pair()
    local f <close> = a:makefile()
    assert.is_true(csock.isinstance(f, csock.file))
    assert.are.equal(csock.file, csock.SocketIO)
    assert.are.equal("r", f.mode)
    local Counting = csock.class("Counting", csock.file, {count = 0})
    function Counting:readline(...)
      self.count = self.count + 1
      return csock.class.super(Counting, self):readline(...)
    end
    local g <close> = Counting(a, "rwb", 0)
    assert.are.equal("rwb", g.mode)
    b:sendall("x\n")
    assert.are.equal("x\n", g:readline())
    assert.are.equal(1, g.count)
  end)

  it("has no room for fields, and read-only properties", function()
    local _guard <close>, a, _ = pair()
    local f <close> = a:makefile()
    for _, name in ipairs {"closed", "mode", "name", "pending"} do
      misused("read-only", function() f[name] = 1 end)
    end
    misused("no property", function() f.maxlien = 1 end)
    misused("maxline", function() f.maxline = 0 end)
    misused("maxline", function() f.maxline = "x" end)
    assert.is_nil(f.maxlien)
  end)
end)

describe("misuse of a file", function()
  local a, b, f
  before_each(function()
    a, b = csock.socketpair()
    f = a:makefile("rw")
    b:sendall("abc\n")
  end)
  after_each(function() close(f, a, b) end)

  it("is refused and takes nothing", function()
    for _, case in ipairs {
      {"invalid format", f.read, f, "x"},
      {"invalid format", f.read, f, "l", ""},
      {"negative", f.read, f, "l", -1},
      {"number expected", f.read, f, {}},
      {"integer", f.read, f, 1.5},
      {"string expected", f.read, f, "l", {}},
      {"invalid format", f.lines, f, "x"},
      {"number expected", f.readline, f, {}},
      {"number expected", f.readhead, f, {}},
      {"number expected", f.readlines, f, {}},
      {"string expected", f.take, f},
      {"string expected", f.take, f, 5},
      {"csock.buffer expected", f.readinto, f, "abc"},
      {"file or nil expected", f.tie, f, a},
      {"file or nil expected", f.tie, f, 5},
      {"string or buffer expected", f.write, f},
      {"string or buffer expected", f.write, f, {}},
      {"string expected", f.write, f, "a", {}},
      {"file expected", f.read, a},
      {"file expected", f.write, nil, "x"},
      {"file expected", f.close, io.stdout},
      {"socket expected", a.makefile, f},
      {"socket expected", csock.file, f},
      {"socket expected", csock.file},
      {"integer expected", a.makefile, a, "r", "x"},
      {"out of range", a.makefile, a, "r", 1 << 40},
      {"invalid mode", a.makefile, a, "r\0x"},
      {"string expected", a.makefile, a, {}},
    } do
      misused(table.unpack(case))
    end
    assert.are.equal("abc\n", f:readline())
  end)

  it("is to read what is written to, and to use what is closed", function()
    local r, w = a:makefile("rb"), a:makefile("wb")
    misused("not writable", r.write, r, "x")
    misused("not writable", r.writelines, r, {})
    for _, name in ipairs {"read", "readline", "readlines", "lines", "peek",
                           "readhead", "readinto", "read1", "readrecord",
                           "records", "take"} do
      misused("not readable", w[name], w, csock.buffer(1))
    end
    misused("not readable", w)
    w:close()
    for _, name in ipairs {"read", "readline", "readlines", "lines", "peek",
                           "readhead", "readinto", "read1", "write",
                           "readrecord", "records",
                           "writelines", "flush", "fileno", "readable",
                           "writable", "seekable", "take", "tie"} do
      misused("I/O operation on closed file", w[name], w)
    end
    local next_line = r:lines()
    r:close()
    misused("I/O operation on closed file", next_line)
    assert.is_true(w.closed)
    assert.are.equal(-1, w.name)
    assert.are.equal("wb", w.mode)
    assert.are.equal(0, w.pending)
  end)
end)

-- Python ------------------------------------------------------------------

-- Random pieces: lines of all lengths, binary zeros.
local function random_pieces(size)
  local pieces, n = {}, 0
  while n < size do
    local piece = string.char(math.random(0, 255)):rep(math.random(0, 3) == 0
      and math.random(0, 20000) or math.random(0, 50)) ..
      (math.random(2) == 1 and "\n" or "\r\n\0")
    n = n + #piece
    pieces[#pieces + 1] = piece
  end
  return pieces
end

describe("Python's makefile at the other end", function()
  local has_python = helper.has "python3"

  -- Runs a Python program with a connection `sock` to us; f gets our end.
  local function with_python(program, f)
    local listener <close> = csock.socket()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    local process = helper.spawn_process("python3 -c " .. helper.quote(
      "import socket, random\n" ..
      "sock = socket.create_connection(('127.0.0.1', " ..
      listener:getsockname()[2] .. "))\n" .. program))
    local sock = listener:accept()
    f(sock)
    sock:close()
    assert.is_true((process:wait()))
  end

  for _, size in ipairs(sizes) do
    it("reads what we write, buffering " .. size, function()
      if not has_python then return pending "no python3" end
      local pieces = random_pieces(300000)
      loop.run(with_python, [[
data = b"".join(sock.makefile("rb"))
sock.sendall(data)
]], function(sock)
        local out = loop.spawn(function()
          local f <close> = sock:makefile("wb", size)
          for i = 1, #pieces do
            f:write(pieces[i])
            if math.random(20) == 1 then f:flush() end
          end
          f:flush()
          sock:shutdown(csock.SHUT_WR)
        end)
        local f <close> = sock:makefile("rb")
        assert.is_true(table.concat(pieces) == f:read())
        out:join()
      end)
    end)

    -- Python first tells what its own file gives for the calls to come.
    it("writes what we read, buffering " .. size, everywhere(function()
      if not has_python then return pending "no python3" end
      local calls, program = {}, [[
import io
r = random.Random()
parts = []
for i in range(200):
    parts.append(bytes([r.randrange(256)]) * r.choice([0, 1, 3, 70, 5000]))
    parts.append(r.choice([b"\n", b"\r\n", b"\0", b""]))
data = b"".join(parts)
b = io.BytesIO(data)
w = sock.makefile("wb", r.choice([-1, 1, 100]))
w.write(b"%d\n" % len(calls))
for kind, n in calls:
    got = getattr(b, kind)(n)
    w.write(b"%d\n%s" % (len(got), got))
i = 0
while i < len(data):
    n = r.randrange(1, 3000)
    w.write(data[i:i + n])
    if r.randrange(3) == 0: w.flush()
    i += n
w.close()
sock.shutdown(socket.SHUT_WR)
sock.recv(1)
]]
      for i = 1, 200 do
        calls[i] = {math.random(2) == 1 and "readline" or "read",
          math.random(1, 4000)}
      end
      local list = {}
      for i, call in ipairs(calls) do
        list[i] = ("(%q, %d)"):format(table.unpack(call))
      end
      with_python("calls = [" .. table.concat(list, ", ") .. "]\n" .. program,
        function(sock)
          local f <close> = sock:makefile("rb", size)
          local expected = {}
          for i = 1, f:read("n", "l") do
            local length = f:read("n", "l")
            expected[i] = length > 0 and f:read(length, 0) or ""
          end
          for i = 1, 200 do
            local kind, n = table.unpack(calls[i])
            local got = f[kind](f, n)
            while size == 0 and kind == "read" and #got < #expected[i] do
              local more = f:read(n - #got)
              if more == "" then break end
              got = got .. more
            end
            if got ~= expected[i] then
              assert.are.equal(("%q"):format(expected[i]), ("%q"):format(got))
            end
          end
          f:read()
        end)
    end))
  end
end)
