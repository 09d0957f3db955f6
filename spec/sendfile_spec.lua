-- sendfile_spec: sock:sendfile over sendfile(2) and by send: what is sent, what
-- is returned, where the file is left, and what is refused.  Not here: that a
-- signal ends it (transfer_spec).
-- Invariant: the file of `data` is made once and never written to again.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local pair = helper.pair
local refuses, refused = helper.refuses, helper.refused

local SIZE = helper.slow and 1 << 20 or 10 << 20
local chunk = {}
for i = 1, 8191 do chunk[i] = string.char(math.random(97, 122)) end
local data = table.concat(chunk):rep(SIZE // 8191 + 1):sub(1, SIZE)

local path
setup(function()
  path = os.tmpname()
  local file <close> = assert(io.open(path, "wb"))
  file:write(data)
end)
teardown(function() os.remove(path) end)

-- Tools -------------------------------------------------------------------

local function receive(sock)
  local parts = {}
  repeat
    local part = sock:recv(8192)
    parts[#parts + 1] = part
  until part == ""
  return table.concat(parts)
end

-- Everything that has come and waits here.
local function drain(sock)
  local n, buffer = 0, csock.buffer(65536)
  sock.timeout = 0
  while true do
    local ok, got = pcall(sock.recv_into, sock, buffer)
    if not ok or got == 0 then return n end
    n = n + got
  end
end

-- client(sock) in one task, and in the other what its peer receives.
local function exchange(client)
  local received
  loop.run(function()
    local listener <close> = csock.socket()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    local server = loop.spawn(function()
      local conn <close> = listener:accept()
      return receive(conn)
    end)
    do
      local sock <close> = csock.create_connection(listener:getsockname())
      client(sock)
    end
    received = server:join()
  end)
  return received
end

-- Python's io.BytesIO, what sendfile needs of it.
local function bytes_io(text)
  local file = {position = 0, mode = "rb"}
  function file:read(size)
    local part = text:sub(self.position + 1, self.position + size)
    self.position = self.position + #part
    return part
  end
  function file:seek(whence, offset)
    assert.equal("set", whence)
    self.position = offset
    return offset
  end
  return file
end

local methods = {
  SendfileUsingSendTest = "_sendfile_use_send",
  SendfileUsingSendfileTest = "_sendfile_use_sendfile",
}

local function open() return assert(io.open(path, "rb")) end

-- CPython's tests ---------------------------------------------------------

for class, meth in pairs(methods) do
  describe(class, function()
    it("testRegularFile: all of it", function()
      local received = exchange(function(sock)
        local file <close> = open()
        assert.equal(SIZE, sock[meth](sock, file))
        assert.equal(SIZE, file:seek())
      end)
      assert.is_true(received == data)
    end)

    it("testNonRegularFile: an object that can be read", function()
      local received = exchange(function(sock)
        local file = bytes_io(data)
        assert.equal(SIZE, sock:sendfile(file))
        assert.equal(SIZE, file.position)
        local ok, err = pcall(sock._sendfile_use_sendfile, sock, file)
        assert.is_false(ok)
        assert.is_true(csock.isinstance(err, csock._GiveupOnSendfile))
      end)
      assert.is_true(received == data)
    end)

    it("testEmptyFileSend: nothing", function()
      local received = exchange(function(sock)
        local file <close> = assert(io.tmpfile())
        assert.equal(0, sock[meth](sock, file))
        assert.equal(0, file:seek())
      end)
      assert.equal("", received)
    end)

    it("testOffset: from there to the end", function()
      local received = exchange(function(sock)
        local file <close> = open()
        assert.equal(SIZE - 5000, sock[meth](sock, file, 5000))
        assert.equal(SIZE, file:seek())
      end)
      assert.is_true(received == data:sub(5001))
    end)

    it("testCount: so many bytes", function()
      local count = SIZE // 2 + 7
      local received = exchange(function(sock)
        sock.timeout = 40
        local file <close> = open()
        assert.equal(count, sock[meth](sock, file, nil, count))
        assert.equal(count, file:seek())
      end)
      assert.is_true(received == data:sub(1, count))
    end)

    it("testCountSmall: one byte", function()
      local received = exchange(function(sock)
        sock.timeout = 40
        local file <close> = open()
        assert.equal(1, sock[meth](sock, file, 0, 1))
        assert.equal(1, file:seek())
      end)
      assert.equal(data:sub(1, 1), received)
    end)

    it("testCountWithOffset: so many from there", function()
      local received = exchange(function(sock)
        sock.timeout = 2
        local file <close> = open()
        assert.equal(100007, sock[meth](sock, file, 2007, 100007))
        assert.equal(102014, file:seek())
      end)
      assert.is_true(received == data:sub(2008, 102014))
    end)

    it("testNonBlocking: refused", function()
      local received = exchange(function(sock)
        local file <close> = open()
        sock:setblocking(false)
        local text = "non-blocking sockets are not supported"
        refuses(text, function() sock[meth](sock, file) end)
        refuses(text, function() sock:sendfile(file) end)
      end)
      assert.equal("", received)
    end)

    it("testWithTimeout: one that does not come", function()
      local received = exchange(function(sock)
        sock.timeout = 40
        local file <close> = open()
        assert.equal(SIZE, sock[meth](sock, file))
      end)
      assert.is_true(received == data)
    end)

    it("testWithTimeoutTriggeredSend: one that comes", function()
      loop.run(function()
        local _all <close>, sock, conn = pair()
        local file <close> = open()
        sock.timeout = 0.01
        refused("ETIMEDOUT", sock[meth], sock, file)
        local sent = file:seek()
        assert.is_true(sent > 0 and sent < SIZE)
        assert.equal(sent, drain(conn))
      end)
    end)

    it("test_errors: refused", function()
      local _all <close>, sock = pair(csock.AF_UNIX, csock.SOCK_DGRAM)
      local _both <close>, stream, peer = pair()
      local file <close> = open()
      refuses("only SOCK_STREAM type sockets are supported",
        function() sock[meth](sock, file) end)
      local text = "count must be a positive integer"
      for _, count in ipairs {"2", 0.1, 0, -1, true, math.mininteger} do
        refuses(text, function() stream[meth](stream, file, nil, count) end)
      end
      local read = bytes_io(data).read
      refuses("binary mode",
        function() stream[meth](stream, {mode = "rt", read = read}) end)
      refuses("offset cannot be negative",
        function() stream[meth](stream, file, -1) end)
      for _, thing in ipairs {1, "x", true, stream, {}} do
        refuses("file expected, got ",
          function() stream[meth](stream, thing) end)
      end
      refuses("file expected, got nil", function() stream[meth](stream) end)
      assert.equal(0, file:seek())
      assert.equal(0, drain(peer))
      file:close()
      refuses("closed file", function() stream[meth](stream, file) end)
    end)
  end)
end

-- Beyond them -------------------------------------------------------------

for _, name in ipairs {"sendfile", "_sendfile_use_sendfile",
  "_sendfile_use_send"} do
  describe(name, function()
    -- f(sock): its peer is another process.  What that has received.
    local function exchange_outside(f, reading)
      local listener <close> = csock.socket()
      listener:bind {"127.0.0.1", 0}
      listener:listen()
      local target = helper.tmpdir() .. "/target"
      local script = target .. ".lua"
      local file <close> = assert(io.open(script, "w"))
      file:write(([[
        local csock = require "csock"
        local loop = require "csock.loop"
        local sock <close> = csock.socket()
        sock.rcvbuf = 65536
        sock:connect {"127.0.0.1", %d}
        local file <close> = io.open(%q, "wb")
        local start = loop.now()
        repeat
          %s
          local part = sock:recv(65536)
          file:write(part)
        until part == ""]]):format(listener:getsockname().port, target,
          reading or ""))
      file:close()
      local process = helper.spawn_process(helper.lua .. " " .. script)
      do
        local sock <close> = listener:accept()
        f(sock)
      end
      assert.is_true(process:wait())
      local copy <close> = assert(io.open(target, "rb"))
      return copy:read "a"
    end

    for _, timeout in ipairs {"none", 5} do
      it("sends outside of tasks, with timeout " .. timeout, function()
        local received = exchange_outside(function(sock)
          if timeout ~= "none" then sock.timeout = timeout end
          local source <close> = open()
          assert.equal(SIZE - 10, sock[name](sock, source, 10))
          assert.equal(SIZE, source:seek())
        end)
        assert.is_true(received == data:sub(11))
      end)
    end

    it("has its timeout for each step, outside of tasks too", function()
      helper.by_clock(0.1, function(long)
        local received = exchange_outside(function(sock)
          sock.timeout = long
          sock.sndbuf = 65536
          local source <close> = open()
          local start = loop.now()
          assert.equal(SIZE, sock[name](sock, source))
          assert.is_true(loop.now() - start > long)
        end, ("if loop.now() < start + %g then loop.sleep(%g) end"):format(
          2 * long, long / 5))
        assert.is_true(received == data)
      end)
    end)

    it("begins at the offset, wherever the file was, and leaves it behind "
      .. "the last byte sent", function()
        local _all <close>, a, b = pair()
        local file <close> = open()
        assert.equal(data:sub(1, 10), file:read(10)) -- and more is buffered
        assert.equal(100, a[name](a, file, nil, 100))
        assert.equal(data:sub(1, 100), b:recv(1000))
        assert.equal(data:sub(101, 110), file:read(10))
        assert.equal(5, a[name](a, file, 20, 5))
        assert.equal(data:sub(21, 25), b:recv(1000))
        assert.equal(data:sub(26, 30), file:read(5))
      end)

    it("sends what has been written and not been flushed", function()
      local _all <close>, a, b = pair()
      local file <close> = assert(io.tmpfile())
      file:setvbuf("full", 4096)
      file:write "written"
      assert.equal(7, a[name](a, file))
      assert.equal("written", b:recv(100))
      file:write ", more"
      assert.equal(13, a[name](a, file))
      assert.equal("written, more", b:recv(100))
    end)

    it("ends at the end, whatever is asked", function()
      local _all <close>, a, b = pair()
      local file <close> = open()
      assert.equal(3, a[name](a, file, SIZE - 3, math.maxinteger))
      assert.equal(data:sub(-3), b:recv(100))
      assert.equal(SIZE, file:seek())
      assert.equal(0, a[name](a, file, SIZE))
      assert.equal(0, a[name](a, file, SIZE + 1, 10))
      assert.equal(0, drain(b))
    end)

    it("knows offsets beyond 4 GiB", function()
      local _all <close>, a, b = pair()
      local file <close> = assert(io.tmpfile())
      assert(file:seek("set", 5 << 30))
      file:write "the end"
      assert.equal(10, a[name](a, file, (5 << 30) - 3))
      assert.equal("\0\0\0the end", b:recv(100))
      assert.equal((5 << 30) + 7, file:seek())
    end)

    it("has its timeout for each step", function()
      helper.by_clock(0.1, function(long)
        loop.run(function()
          local _all <close>, a, b = pair()
          a.timeout = long
          local file <close> = open()
          local task = loop.spawn(function() return a[name](a, file) end)
          local buffer, n, start = csock.buffer(65536), 0, loop.now()
          while loop.now() < start + 1.6 * long do
            loop.sleep(long / 10)
            n = n + b:recv_into(buffer)
          end
          b.timeout = long
          while n < SIZE do n = n + b:recv_into(buffer) end
          assert.equal(SIZE, task:join())
        end)
      end)
    end)

    it("tells a broken connection, and where", function()
      local _all <close>, a, b = pair()
      local file <close> = open()
      b:close()
      local err = refused("EPIPE", function() a[name](a, file) end)
      assert.equal("sendfile", err.op)
      assert.is_true(csock.isinstance(err, csock.BrokenPipeError))
      assert.equal(0, file:seek())
      assert.truthy(err.where:find "sendfile_spec")
    end)

    -- What happens to a sendfile that waits in a task.
    local function interrupted(what)
      local sent, received, ok, err
      loop.run(function()
        local _all <close>, a, b = pair()
        local file <close> = open()
        local task = loop.spawn(function() return a[name](a, file) end)
        while task:status() ~= "waiting" do loop.sleep(0) end
        what(a, file, task)
        ok, err = pcall(task.join, task)
        sent = io.type(file) == "file" and file:seek()
        received = drain(b)
      end)
      assert.is_false(ok)
      return err, sent, received
    end

    it("leaves the file there when its task is cancelled", function()
      local err, sent, received = interrupted(function(_, _, task)
        task:cancel()
      end)
      assert.is_true(csock.isinstance(err, loop.CancelledError))
      assert.is_true(sent > 0)
      assert.equal(received, sent)
    end)

    it("leaves the file there when its socket is closed", function()
      local err, sent, received = interrupted(function(a) a:close() end)
      assert.equal("EBADF", err.code)
      assert.is_true(sent > 0)
      assert.equal(received, sent)
    end)

    it("bears that the file is closed while it waits", function()
      local sent
      loop.run(function()
        local _all <close>, a, b = pair()
        local file = open()
        local task = loop.spawn(function() return a[name](a, file) end)
        while task:status() ~= "waiting" do loop.sleep(0) end
        file:close()
        sent = drain(b)
        b.timeout = nil
        local ok, err = pcall(task.join, task)
        assert.is_false(ok)
        assert.truthy(tostring(err):find "closed file" or err.code == "EBADF")
        drain(b)
      end)
      assert.is_true(sent > 0)
    end)

    it("fails on a closed socket", function()
      local _all <close>, a = pair()
      local file <close> = open()
      a:close()
      if name == "_sendfile_use_sendfile" then
        local ok, err = pcall(a[name], a, file)
        assert.is_false(ok)
        assert.is_true(csock.isinstance(err, csock._GiveupOnSendfile))
        assert.equal("EBADF", err.code)
      else
        refused("EBADF", a[name], a, file)
      end
    end)
  end)
end

describe("sendfile of what is no regular file", function()
  it("sends what a program prints", function()
    local _all <close>, a, b = pair()
    local file <close> = assert(io.popen "printf 'hello, world'")
    local ok, err = pcall(a._sendfile_use_sendfile, a, file)
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock._GiveupOnSendfile))
    assert.is_false(csock.isinstance(err, csock.error))
    assert.equal(5, a:sendfile(file, 0, 5))
    assert.equal("hello", b:recv(100))
    assert.equal(7, a:sendfile(file))
    assert.equal(", world", b:recv(100))
    assert.equal(0, a:sendfile(file))
  end)

  it("refuses an offset where nothing can be skipped", function()
    local _all <close>, a, b = pair()
    local file <close> = assert(io.popen "printf 'hello, world'")
    refused("ESPIPE", a.sendfile, a, file, 1)
    refused("ESPIPE", a.sendfile, a, {read = function() return "x" end}, 1)
    assert.equal(0, drain(b))
  end)

  it("sends files without a size", function()
    local file <close> = io.open "/proc/self/status"
    if not file then pending "no /proc here" end
    local _all <close>, a, b = pair()
    local n = a:sendfile(file)
    assert.is_true(n > 100)
    assert.matches("^Name:", b:recv(100000))
  end)

  it("tells that a file cannot be read", function()
    local _all <close>, a, b = pair()
    local name = helper.tmpdir() .. "/file"
    local file <close> = assert(io.open(name, "w"))
    refused("EBADF", a.sendfile, a, file)
    local directory <close> = assert(io.open(helper.tmpdir()))
    refused("EISDIR", a.sendfile, a, directory)
    assert.equal(0, drain(b))
  end)
end)

describe("sendfile of an object with a read method", function()
  it("waits for what it waits for", function()
    loop.run(function()
      local _all <close>, a, b = pair()
      local _more <close>, source, feeder = pair()
      local file = {read = function(_, size) return source:recv(size) end}
      local task = loop.spawn(function() return a:sendfile(file) end)
      for _, part in ipairs {"one", "two", "three"} do
        while task:status() ~= "waiting" do loop.sleep(0) end
        feeder:send(part)
        assert.equal(part, b:recv(100))
      end
      feeder:close()
      assert.equal(11, task:join())
    end)
  end)

  it("asks for blocks, and no more than the count", function()
    local _all <close>, a, b = pair()
    local sizes = {}
    local file = {read = function(_, size)
      sizes[#sizes + 1] = size
      return ("x"):rep(size)
    end}
    assert.equal(20000, a:sendfile(file, nil, 20000))
    assert.same({8192, 8192, 3616}, sizes)
    assert.equal(20000, drain(b))
  end)

  it("ends with an empty string or nil", function()
    local _all <close>, a = pair()
    assert.equal(0, a:sendfile {read = function() return "" end})
    assert.equal(0, a:sendfile {read = function() return nil end})
    assert.equal(0, a:sendfile {read = function() end})
  end)

  it("passes on what it refuses", function()
    local _all <close>, a, b = pair()
    local err = refused("EIO", a.sendfile, a,
      {read = function() return nil, "broken" end})
    assert.equal("sendfile", err.op)
    refused("ENOENT", a.sendfile, a,
      {read = function() return nil, "gone", csock.ENOENT end})
    refuses("the file's read returned a table",
      function() a:sendfile {read = function() return {} end} end)
    refuses("the file's read returned a number",
      function() a:sendfile {read = function() return 1 end} end)
    refuses("the file's read returned more than it was asked for",
      function() a:sendfile({read = function() return "xx" end}, 0, 1) end)
    local ok, message = pcall(a.sendfile, a,
      {read = function() error("mine", 0) end})
    assert.is_false(ok)
    assert.equal("mine", message)
    assert.equal(0, drain(b))
  end)

  it("puts it where the sending ended, after an error too", function()
    local _all <close>, a, b = pair()
    local file = bytes_io(data)
    file.position = 50
    assert.equal(10, a:sendfile(file, 5, 10))
    assert.equal(15, file.position)
    assert.equal(data:sub(6, 15), b:recv(100))
    a.timeout = 0.01
    refused("ETIMEDOUT", a.sendfile, a, file, 100)
    assert.equal(file.position - 100, drain(b))
    file.seek = function() error "never heard of" end
    assert.has_error(function() a:sendfile(file, 100) end)
  end)

  it("does not hide an error behind its own", function()
    local _all <close>, a = pair()
    local file, calls = bytes_io(data), 0
    local seek = file.seek
    function file:seek(...)
      calls = calls + 1
      if calls > 1 then error "seek" end
      return seek(self, ...)
    end
    a.timeout = 0.01
    refused("ETIMEDOUT", a.sendfile, a, file)
    assert.equal(2, calls)
  end)
end)
