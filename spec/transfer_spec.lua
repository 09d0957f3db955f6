-- transfer_spec: data through sockets by way of buffers: recv_into,
-- recvfrom_into, buffers given to send, sendall and sendto, and a proxy made
-- of them; how much memory recv takes; and that a signal ends a long transfer.
-- Not here: the buffer as memory (buffer_spec), strings through sockets
-- (socket_spec).

local lfs = require "lfs"
local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local closer, pair, until_waiting =
  helper.closer, helper.pair, helper.until_waiting
local refuses, refused = helper.refuses, helper.refused

local AF_INET, SOCK_DGRAM = csock.AF_INET, csock.SOCK_DGRAM
local MSG = "Michael Gilfix was here\u{1234}\r\n" -- as CPython's tests

-- Tools -------------------------------------------------------------------

-- The same test twice: waits go to the system, and waits go to the loop.
local function everywhere(name, f)
  it(name .. ", outside of tasks", f)
  it(name .. ", in a task", function() loop.run(f) end)
end

local function tcp_pair()
  local listener <close> = csock.socket()
  listener:bind {"127.0.0.1", 0}
  listener:listen()
  local client = csock.create_connection(listener:getsockname())
  return closer(client, (listener:accept()))
end

local function udp_pair()
  local a = csock.socket(AF_INET, SOCK_DGRAM)
  local b = csock.socket(AF_INET, SOCK_DGRAM)
  a:bind {"127.0.0.1", 0}
  b:bind {"127.0.0.1", 0}
  return closer(a, b)
end

-- Bytes that f leaves behind for the collector.
local function garbage(f)
  collectgarbage()
  collectgarbage "stop"
  local _again <close> = setmetatable({}, {__close = function()
    collectgarbage "restart"
  end})
  local before = collectgarbage "count"
  f()
  return (collectgarbage "count" - before) * 1024
end

local function random_buffer(size)
  local b = csock.buffer(size)
  for i = 1, size do b[i] = math.random(0, 255) end
  return b
end

-- CPython's tests ---------------------------------------------------------

describe("BufferIOTest", function()
  everywhere("testRecvIntoBytearray: a buffer larger than the data", function()
    local _all <close>, serv_conn, cli_conn = tcp_pair()
    serv_conn:send(csock.buffer(MSG))
    local buf = csock.buffer(1024)
    local nbytes = cli_conn:recv_into(buf)
    assert.equal(#MSG, nbytes)
    assert.equal(MSG, buf:sub(1, #MSG))
  end)

  everywhere("testRecvIntoMemoryview: a view", function()
    local _all <close>, serv_conn, cli_conn = tcp_pair()
    serv_conn:send(csock.buffer(MSG):view())
    local buf = csock.buffer(1024)
    assert.equal(#MSG, (cli_conn:recv_into(buf:view())))
    assert.equal(MSG, buf:sub(1, #MSG))
  end)

  everywhere("testRecvFromIntoBytearray: a buffer, from a stream", function()
    local _all <close>, serv_conn, cli_conn = tcp_pair()
    serv_conn:send(csock.buffer(MSG))
    local buf = csock.buffer(1024)
    local results = table.pack(cli_conn:recvfrom_into(buf))
    assert.same({#MSG, nil, n = 2}, results)
    assert.equal(MSG, buf:sub(1, #MSG))
  end)

  everywhere("testRecvFromIntoMemoryview: a view, from a stream", function()
    local _all <close>, serv_conn, cli_conn = tcp_pair()
    serv_conn:send(MSG)
    local buf = csock.buffer(1024)
    assert.equal(#MSG, (cli_conn:recvfrom_into(buf:view())))
    assert.equal(MSG, buf:sub(1, #MSG))
  end)

  everywhere("testRecvFromIntoSmallBuffer: more asked than fits", function()
    local _all <close>, serv_conn, cli_conn = tcp_pair()
    serv_conn:send(MSG)
    local buf = csock.buffer(8)
    refuses("bad argument #2 to 'recvfrom_into' (buffer too small)",
      function() cli_conn:recvfrom_into(buf, 1024) end)
    assert.equal(MSG, cli_conn:recv(1024))
  end)

  everywhere("testRecvFromIntoEmptyBuffer: nothing fits", function()
    local _all <close>, serv_conn, cli_conn = tcp_pair()
    serv_conn:send(csock.buffer(MSG))
    local buf = csock.buffer(0)
    assert.equal(0, (cli_conn:recvfrom_into(buf)))
    assert.equal(0, (cli_conn:recvfrom_into(buf, 0)))
    assert.equal(MSG, cli_conn:recv(1024))
  end)
end)

-- Into a buffer -----------------------------------------------------------

describe("recv_into", function()
  everywhere("writes what came, and nothing behind it", function()
    local _all <close>, a, b = pair()
    local buf = csock.buffer(("x"):rep(8))
    a:send "abc"
    assert.equal(3, b:recv_into(buf))
    assert.equal("abcxxxxx", tostring(buf))
    a:send "0123456789"
    assert.equal(8, b:recv_into(buf))
    assert.equal("01234567", tostring(buf))
    a:close()
    assert.equal(2, b:recv_into(buf))
    assert.equal("89234567", tostring(buf))
    assert.equal(0, b:recv_into(buf))
    assert.equal("89234567", tostring(buf))
  end)

  everywhere("takes at most the size it is told, 0 being all", function()
    local _all <close>, a, b = pair()
    local buf = csock.buffer(4)
    a:send "abcdefghijkl"
    assert.equal(2, b:recv_into(buf, 2))
    assert.equal("ab\0\0", tostring(buf))
    assert.equal(4, b:recv_into(buf, 0))
    assert.equal("cdef", tostring(buf))
    assert.equal(4, b:recv_into(buf, nil))
    assert.equal(1, b:recv_into(buf:view(4), 1))
    assert.equal("ghik", tostring(buf))
    assert.equal(1, b:recv_into(buf, 4))
  end)

  everywhere("takes flags", function()
    local _all <close>, a, b = pair()
    local buf = csock.buffer(4)
    a:send "abc"
    assert.equal(3, b:recv_into(buf, 0, csock.MSG_PEEK))
    buf:fill()
    assert.equal(3, b:recv_into(buf, 0, csock.MSG_PEEK))
    assert.equal("abc\0", tostring(buf))
    assert.equal(3, b:recv_into(buf))
    refused("EAGAIN", b.recv_into, b, buf, 0, csock.MSG_DONTWAIT)
    refused("EAGAIN", b.recvfrom_into, b, buf, 0, csock.MSG_DONTWAIT)
  end)

  it("refuses misuse before anything is read", function()
    local _all <close>, a, b = pair()
    local buf = csock.buffer(4)
    a:send "abc"
    refuses("bad argument #2 to 'recv_into' (buffer too small)",
      function() b:recv_into(buf, 5) end)
    refuses("bad argument #2 to 'recv_into' (size cannot be negative)",
      function() b:recv_into(buf, -1) end)
    refuses("buffer too small", function() b:recv_into(buf, 1 << 62) end)
    refuses("csock.buffer expected, got string", function() b:recv_into "" end)
    refuses("csock.buffer expected, got no value", function() b:recv_into() end)
    refuses("csock.buffer expected, got FILE*",
      function() b:recv_into(io.stdout) end)
    refuses("number expected, got table", function() b:recv_into(buf, {}) end)
    refuses("integer expected, got string",
      function() b:recv_into(buf, 1, "x") end)
    refuses("out of range", function() b:recv_into(buf, 1, 1 << 40) end)
    refuses("csock.buffer expected", function() b:recvfrom_into(4) end)
    refuses("size cannot be negative", function() b:recvfrom_into(buf, -1) end)
    assert.equal("\0\0\0\0", tostring(buf))
    assert.equal("abc", b:recv(10))
  end)

  everywhere("asks nothing for an empty buffer", function()
    local _all <close>, _, b = pair()
    assert.equal(0, b:recv_into(csock.buffer(0)))
    b:close()
    refused("EBADF", b.recv_into, b, csock.buffer(0))
  end)

  everywhere("fails as recv does", function()
    local _all <close>, _, b = pair()
    local buf = csock.buffer(4)
    b.timeout = 0.01
    local err = refused("ETIMEDOUT", b.recv_into, b, buf)
    assert.equal("recv_into", err.op)
    err = refused("ETIMEDOUT", b.recvfrom_into, b, buf)
    assert.equal("recvfrom_into", err.op)
    b.timeout = 0
    refused("EAGAIN", b.recv_into, b, buf)
    refused("EAGAIN", b.recvfrom_into, b, buf)
    b:close()
    refused("EBADF", b.recv_into, b, buf)
    refused("EBADF", b.recvfrom_into, b, buf)
  end)

  it("keeps the buffer while it waits", function()
    loop.run(function()
      local _all <close>, a, b = pair()
      local first = loop.spawn(function()
        return b:recv_into(csock.buffer(100000):view(50000))
      end)
      until_waiting(first)
      local second = loop.spawn(function()
        return b:recvfrom_into(csock.buffer(100000))
      end)
      until_waiting(second)
      for _ = 1, 5 do
        collectgarbage()
        csock.buffer(100000):fill(1)
      end
      a:send "abc"
      assert.equal(3, first:join())
      a:send "defg"
      assert.equal(4, (second:join()))
    end)
  end)

  it("waits for all of it with MSG_WAITALL, in a task", function()
    loop.run(function()
      local _all <close>, a, b = tcp_pair()
      local buf = csock.buffer(6)
      local task = loop.spawn(function()
        return b:recv_into(buf, 0, csock.MSG_WAITALL)
      end)
      for _, part in ipairs {"a", "bc", "de"} do
        until_waiting(task)
        a:send(part)
        loop.sleep(0)
        loop.sleep(0)
      end
      until_waiting(task)
      a:send "fgh"
      assert.equal(6, task:join())
      assert.equal("abcdef", tostring(buf))
      a:close()
      assert.equal(2, b:recv_into(buf, 0, csock.MSG_WAITALL))
      assert.equal("ghcdef", tostring(buf))
    end)
  end)

  it("makes no garbage", function()
    local _all <close>, a, b = tcp_pair()
    local buf, text = csock.buffer(1000), ("x"):rep(100)
    local function work()
      for _ = 1, 1000 do
        a:send(text)
        b:recv_into(buf)
      end
    end
    work()
    assert.equal(0, garbage(work))
  end)

  it("makes none where it has to wait, either", function()
    loop.run(function()
      local _all <close>, a, b = tcp_pair()
      local buf, echo = csock.buffer(100), csock.buffer(100)
      local peer = loop.spawn(function()
        while b:recv_into(echo) > 0 do b:sendall(echo) end
      end)
      local function work()
        for _ = 1, 500 do
          a:sendall(buf)
          a:recv_into(buf)
        end
      end
      work()
      assert.equal(0, garbage(work))
      a:close()
      peer:join()
    end)
  end)
end)

describe("recvfrom_into", function()
  everywhere("tells the sender of a datagram", function()
    local _all <close>, a, b = udp_pair()
    local buf = csock.buffer(8)
    a:sendto("hello", b:getsockname())
    local n, address = b:recvfrom_into(buf)
    assert.equal(5, n)
    assert.is_true(address == a:getsockname())
    assert.equal("hello\0\0\0", tostring(buf))
  end)

  everywhere("cuts a datagram that does not fit", function()
    local _all <close>, a, b = udp_pair()
    local buf = csock.buffer(("x"):rep(8))
    a:sendto("hello", b:getsockname())
    assert.equal(3, (b:recvfrom_into(buf, 3)))
    assert.equal("helxxxxx", tostring(buf))
    a:sendto("again", b:getsockname())
    assert.equal(5, (b:recvfrom_into(buf, 2, csock.MSG_TRUNC)))
    assert.equal("aglxxxxx", tostring(buf))
    a:sendto("", b:getsockname())
    assert.equal(0, (b:recvfrom_into(buf)))
  end)

  it("waits in a task", function()
    loop.run(function()
      local _all <close>, a, b = udp_pair()
      local buf = csock.buffer(8)
      local task = loop.spawn(function() return b:recvfrom_into(buf) end)
      until_waiting(task)
      a:sendto("hello", b:getsockname())
      local n, address = task:join()
      assert.equal(5, n)
      assert.is_true(address == a:getsockname())
      assert.equal("hello", buf:sub(1, n))
    end)
  end)
end)

-- From a buffer -----------------------------------------------------------

describe("a buffer as data", function()
  everywhere("is sent by send, sendall and sendto", function()
    local _all <close>, a, b = pair()
    local buf = csock.buffer "abc\0def"
    assert.equal(7, a:send(buf))
    assert.equal("abc\0def", b:recv(100))
    assert.equal(3, a:send(buf:view(2, 4)))
    assert.equal("bc\0", b:recv(100))
    assert.is_true(a:sendall(buf, 0))
    assert.equal("abc\0def", b:recv(100))
    assert.equal(0, a:send(csock.buffer(0)))
    assert.is_true(a:sendall(csock.buffer(0)))

    local _both <close>, c, d = udp_pair()
    assert.equal(7, c:sendto(buf, d:getsockname()))
    assert.equal("abc\0def", d:recv(100))
    assert.equal(2, c:sendto(buf:view(-2), 0, d:getsockname()))
    assert.equal("ef", d:recv(100))
    assert.equal(0, c:sendto(csock.buffer(0), d:getsockname()))
    assert.equal("", d:recvfrom(100))
  end)

  it("is what else there is beside strings", function()
    local _all <close>, a, b = pair()
    local text = "string or buffer expected, got "
    for _, name in ipairs {"send", "sendall"} do
      refuses(text .. "table", function() a[name](a, {}) end)
      refuses(text .. "no value", function() a[name](a) end)
      refuses(text .. "FILE*", function() a[name](a, io.stdout) end)
      refuses(text .. "socket", function() a[name](a, b) end)
    end
    refuses(text .. "boolean", function() a:sendto(true, "x") end)
    b.timeout = 0
    refused("EAGAIN", b.recv, b, 1)
  end)

  it("is kept while sendall waits", function()
    loop.run(function()
      local _all <close>, a, b = pair()
      local size = 3000000
      local task = loop.spawn(function()
        return a:sendall(csock.buffer(size):fill(7))
      end)
      until_waiting(task)
      local got = csock.buffer(size)
      collectgarbage()
      local n = 0
      while n < size do n = n + b:recv_into(got:view(n + 1)) end
      assert.is_true(task:join())
      assert.is_true(got == csock.buffer(size):fill(7))
    end)
  end)
end)

-- Both ends ---------------------------------------------------------------

describe("a proxy over one buffer", function()
  local size = helper.slow and 1000000 or 8000000

  -- Moves all of it from one socket to the other.
  local function proxy(from, to, buf)
    while true do
      local n = from:recv_into(buf, math.random(1, #buf))
      if n == 0 then break end
      to:sendall(n == #buf and buf or buf:view(1, n))
    end
    to:shutdown(csock.SHUT_WR)
  end

  local function send_in_parts(sock, data)
    local sent = 0
    while sent < #data do
      local part = data:view(sent + 1, sent + math.random(1, 100000))
      sock:sendall(part)
      sent = sent + #part
    end
    sock:shutdown(csock.SHUT_WR)
  end

  local function receive_in_parts(sock, data)
    local got = 0
    repeat
      local most = math.min(#data - got, math.random(1, 100000))
      local n = sock:recv_into(data:view(got + 1), most)
      got = got + n
    until n == 0
    return got
  end

  for name, make in pairs {TCP = tcp_pair, Unix = pair} do
    it("moves megabytes byte by byte the same, by " .. name, function()
      local seed = os.time()
      math.randomseed(seed)
      loop.run(function()
        local _near <close>, client, inner = make()
        local _far <close>, outer, server = make()
        local source = csock.buffer(size)
        local random = random_buffer(65521) -- a prime: no period fits
        for i = 1, size - 65521, 65521 do source:set(i, random) end
        local target = csock.buffer(size + 1)
        local received
        local used = garbage(function()
          local source_task = loop.spawn(send_in_parts, client, source)
          local proxy_task =
            loop.spawn(proxy, inner, outer, csock.buffer(65536))
          received = receive_in_parts(server, target)
          source_task:join()
          proxy_task:join()
        end)
        assert.equal(size, received, "seed " .. seed)
        assert.is_true(source == target:view(1, size), "seed " .. seed)
        -- a view is some bytes; a string would be thousands
        assert.is_true(used < size / 10, used .. " bytes of garbage")
      end)
    end)
  end
end)

describe("recvfrom of a stream", function()
  -- Sends a string in pieces, each when the task waits for it.
  local function in_pieces(sock, task, text)
    for i = 1, #text, 2 do
      until_waiting(task)
      sock:send(text:sub(i, i + 1))
      for _ = 1, 3 do loop.sleep(0) end
    end
  end

  it("waits for all of it with MSG_WAITALL, in a task", function()
    loop.run(function()
      local _all <close>, a, b = tcp_pair()
      local task = loop.spawn(b.recvfrom, b, 6, csock.MSG_WAITALL)
      in_pieces(a, task, "abcdef")
      assert.same({"abcdef"}, {task:join()})
    end)
  end)

  it("tells who has sent the first of it", function()
    local name = helper.tmpdir() .. "/sender"
    local listener <close> = csock.socket(csock.AF_UNIX)
    listener:bind ""
    listener:listen()
    local a <close> = csock.socket(csock.AF_UNIX)
    a:bind(name)
    a:connect(listener:getsockname())
    local b <close> = listener:accept()
    loop.run(function()
      local task = loop.spawn(b.recvfrom, b, 6, csock.MSG_WAITALL)
      in_pieces(a, task, "abcdef")
      assert.same({"abcdef", name}, {task:join()})
      local buf = csock.buffer(5)
      task = loop.spawn(b.recvfrom_into, b, buf, 0, csock.MSG_WAITALL)
      in_pieces(a, task, "abcde")
      assert.same({5, name}, {task:join()})
      assert.equal("abcde", tostring(buf))
      task = loop.spawn(b.recvfrom, b, 6, csock.MSG_WAITALL)
      in_pieces(a, task, "abcd")
      a:close()
      assert.same({"abcd", name}, {task:join()})
    end)
  end)
end)

describe("a size far above what comes", function()
  local size = 2^31 - 1 | 0

  -- What f has allocated, in bytes, garbage and all.
  local function allocated(f)
    collectgarbage()
    collectgarbage "stop"
    local before = collectgarbage "count"
    local ok, err = pcall(f)
    local used = (collectgarbage "count" - before) * 1024
    collectgarbage "restart"
    assert.is_true(ok, err)
    return used
  end

  for _, name in ipairs {"recv", "recvfrom"} do
    everywhere(name .. " of a datagram takes what that needs", function()
      local _all <close>, a, b = udp_pair()
      a:sendto(("x"):rep(60000), b:getsockname())
      assert.is_true(allocated(function()
        assert.equal(60000, #(b[name](b, size)))
      end) < 1e6)
    end)

    everywhere(name .. " of a Unix message takes what that needs", function()
      local _all <close>, a, b = pair(csock.AF_UNIX, SOCK_DGRAM)
      a.sndbuf, a.timeout = 1000000, 0
      local sent = 0
      for _, n in ipairs {100, 131072, 150000} do
        if not pcall(a.send, a, ("x"):rep(n)) then break end
        sent = sent + 1
        assert.is_true(allocated(function()
          assert.equal(n, #(b[name](b, size)))
        end) < 1e6)
      end
      assert.is_true(sent > 0)
    end)

    everywhere(name .. " of a Unix message waits its time", function()
      local _all <close>, _, b = pair(csock.AF_UNIX, SOCK_DGRAM)
      b.timeout = 0.02
      refused("ETIMEDOUT", b[name], b, size)
      b:close()
      refused("EBADF", b[name], b, size)
    end)
  end
end)

describe("a signal", function()
  -- The state of a process as the kernel tells it: S while it sleeps, Z when
  -- it has ended.
  local function state(pid)
    local file <close> = assert(io.open("/proc/" .. pid .. "/stat"))
    return file:read("a"):match "%) (%a)"
  end

  local waits = {
    sendall = "a:sendall(('x'):rep(10000000))",
    ["sendall of a buffer"] = "a:sendall(csock.buffer(10000000))",
    ["recv with MSG_WAITALL"] =
      "b:send 'x'; a:recv(10000, csock.MSG_WAITALL)",
    ["recv_into with MSG_WAITALL"] =
      "b:send 'x'; a:recv_into(csock.buffer(10000), 0, csock.MSG_WAITALL)",
    sendfile = "a:sendfile(zeros)",
    ["sendfile by send"] = "a:_sendfile_use_send(zeros)",
  }
  for name, code in pairs(waits) do
    it("reaches the hooks in the middle of " .. name, function()
      if not lfs.attributes "/proc/self/stat" then pending "no /proc" end
      local script = helper.tmpdir() .. "/script.lua"
      local file = assert(io.open(script, "w"))
      file:write(([[
        local csock = require "csock"
        local a, b = csock.socketpair()
        local zeros = io.tmpfile()
        zeros:seek("set", 10000000)
        zeros:write "."
        io.stdout:setvbuf "no"
        local ok, err = pcall(function()
          print "ready"
          %s
        end)
        print(ok, err)]]):format(code))
      file:close()
      local process = helper.spawn_process(helper.lua .. " " .. script)
      assert.equal("ready", process:read "l")
      repeat local now = state(process.pid) until now == "S"
      process:kill "INT"
      local latest = os.time() + 50
      repeat
        local now = state(process.pid)
      until now == "Z" or os.time() > latest
      assert.equal("Z", state(process.pid), "it waits on")
      assert.matches("^false%s.*interrupted!", process:read "l")
    end)
  end
end)
