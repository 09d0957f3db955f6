-- message: sendmsg, recvmsg and recvmsg_into on every transport, as CPython's
-- test_socket.py has it, and what is csock's own: tasks, MSG_WAITALL, limits.
-- Descriptors are message_rights_spec's, IPv6's items message_ipv6_spec's.

local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local loop = require "csock.loop"
local transports = require "spec.transports"

local MSG, object = transports.MSG, transports.object
local misuse, refused = transports.misuse, transports.refused

local function server_gets_done(t)
  assert.are.equal("done", t.serv_sock:recv(1000))
end

local function server_gets_msg(t)
  assert.are.equal(MSG, t.serv_sock:recv(#MSG))
end

-- SendmsgTests ----------------------------------------------------------------

local sending = {
  {"testSendmsg: a simple message", server = server_gets_msg,
    client = function(t)
      assert.are.equal(#MSG, t:sendmsgToServer{MSG})
    end},
  {"testSendmsgDataGenerator: a list that makes up its items",
    server = server_gets_msg,
    client = function(t)
      local made = setmetatable({}, {
        __len = function() return 1 end,
        __index = function(_, i) return i == 1 and MSG or nil end,
      })
      assert.are.equal(#MSG, t:sendmsgToServer(made))
    end},
  {"testSendmsgAncillaryGenerator: the same, without items",
    server = server_gets_msg,
    client = function(t)
      local none = setmetatable({}, {__len = function() return 0 end})
      assert.are.equal(#MSG, t:sendmsgToServer({MSG}, none))
    end},
  {"testSendmsgArray: from a buffer", server = server_gets_msg,
    client = function(t)
      assert.are.equal(#MSG, t:sendmsgToServer{core.buffer(MSG)})
    end},
  {"testSendmsgGather: from more than one", server = server_gets_msg,
    client = function(t)
      local n = t:sendmsgToServer{MSG:sub(1, 3), core.buffer(MSG:sub(4))}
      assert.are.equal(#MSG, n)
    end},
  {"testSendmsgBadArgs: misuse", server = server_gets_done,
    client = function(t)
      local function send(...) return t:sendmsgToServer(...) end
      misuse(t.cli_sock.sendmsg, t.cli_sock)
      misuse(send, "not in a list")
      misuse(send, object)
      misuse(send, {object})
      misuse(send, {MSG, object})
      misuse(send, {MSG}, object)
      misuse(send, {MSG}, {}, object)
      misuse(send, {MSG}, {}, 1 << 40)
      misuse(send, {MSG}, {}, 0, object)
      t:sendToServer "done"
    end},
  {"testSendmsgBadCmsg: invalid ancillary items", server = server_gets_done,
    client = function(t)
      local function send(item) return t:sendmsgToServer({MSG}, {item}) end
      misuse(send, object)
      misuse(send, {object, 0, "data"})
      misuse(send, {0, object, "data"})
      misuse(send, {0, 0, object})
      misuse(send, {0, 0, 42})          -- not its decimal digits
      misuse(send, {0, 0})
      misuse(send, {0, 0, "data", 42})
      misuse(send, {1 << 40, 0, "data"})
      misuse(send, {0, 1.5, "data"})
      t:sendToServer "done"
    end},
  {"testSendmsgBadMultiCmsg: an invalid one among others",
    server = server_gets_done,
    client = function(t)
      misuse(t.sendmsgToServer, t, {MSG}, {0, 0, ""})
      misuse(t.sendmsgToServer, t, {MSG}, {{0, 0, ""}, object})
      t:sendToServer "done"
    end},
  {"testSendmsgExcessCmsgReject: more than lengths can tell",
    server = server_gets_done,
    client = function(t)
      local large, items = ("x"):rep(1 << 20), {}
      for i = 1, 2048 do items[i] = {0, 0, large} end
      refused("ENOBUFS", t.sendmsgToServer, t, {MSG}, items)
      t:sendToServer "done"
    end},
  {"testSendmsgAfterClose: a closed socket", client = function(t)
    t.cli_sock:close()
    refused("EBADF", t.sendmsgToServer, t, {MSG})
  end},
}

local function server_gets_a(t)
  assert.are.equal(("a"):rep(512), t.serv_sock:recv(512))
end

-- Sends until it fails, and returns the error.
local function send_until_refused(t, ...)
  local ok, err
  repeat
    ok, err = pcall(t.sendmsgToServer, t, {("a"):rep(512)}, ...)
  until not ok
  return err
end

local sending_on_streams = {
  {"testSendmsgExplicitNoneAddr: the address nil", server = server_gets_msg,
    client = function(t)
      assert.are.equal(#MSG, t:sendmsgToServer({MSG}, {}, 0, nil))
    end},
  {"testSendmsgTimeout: the timeout works", server = server_gets_a,
    client = function(t)
      t.cli_sock.timeout = 0.03
      local err = send_until_refused(t)
      assert.is_true(csock.isinstance(err, csock.timeout), tostring(err))
    end},
  {"testSendmsgDontWait: MSG_DONTWAIT does not", server = server_gets_a,
    client = function(t)
      local err = send_until_refused(t, {}, csock.MSG_DONTWAIT)
      assert.are.equal("EAGAIN", err.code)
      assert.is_true(csock.isinstance(err, csock.BlockingIOError))
    end},
}

local sending_datagrams = {
  {"testSendmsgNoDestAddr: none for an unconnected socket",
    client = function(t)
      local sock = t.cli_sock
      refused("EDESTADDRREQ", sock.sendmsg, sock, {MSG})
      refused("EDESTADDRREQ", sock.sendmsg, sock, {MSG}, {}, 0, nil)
    end},
}

-- RecvmsgGenericTests ---------------------------------------------------------

local function client_sends(t) t:sendToServer(MSG) end

local receiving = {
  {"testRecvmsg: a simple message", client = client_sends,
    server = function(t) t:checkPlain(t:doRecvmsg(#MSG)) end},
  {"testRecvmsgExplicitDefaults: with the defaults given",
    client = client_sends,
    server = function(t) t:checkPlain(t:doRecvmsg(#MSG, 0, 0)) end},
  {"testRecvmsgShorter: a message smaller than the buffer",
    client = client_sends,
    server = function(t) t:checkPlain(t:doRecvmsg(#MSG + 42)) end},
  {"testRecvmsgTrunc: a part of the message", client = client_sends,
    server = function(t)
      local msg, ancdata, flags, addr = t:doRecvmsg(#MSG - 3)
      assert.are.equal(MSG:sub(1, -4), msg)
      t:checkAddress(addr)
      assert.are.same({}, ancdata)
      t:checkFlags(flags, false)
    end},
  {"testRecvmsgShortAncillaryBuf: too small for any ancillary data",
    client = client_sends,
    server = function(t) t:checkPlain(t:doRecvmsg(#MSG, 1)) end},
  {"testRecvmsgLongAncillaryBuf: a large one", client = client_sends,
    server = function(t) t:checkPlain(t:doRecvmsg(#MSG, 10240)) end},
  {"testRecvmsgAfterClose: a closed socket", server = function(t)
    t.serv_sock:close()
    refused("EBADF", t.doRecvmsg, t, 1024)
  end},
  {"testRecvmsgTimeout: the timeout works", server = function(t)
    t.serv_sock.timeout = 0.03
    local err = refused("ETIMEDOUT", t.doRecvmsg, t, #MSG)
    assert.is_true(csock.isinstance(err, csock.timeout))
  end},
  {"testRecvmsgPeek: MSG_PEEK consumes nothing", client = client_sends,
    server = function(t)
      local msg, ancdata, flags, addr =
        t:doRecvmsg(#MSG - 3, 0, csock.MSG_PEEK)
      assert.are.equal(MSG:sub(1, -4), msg)
      t:checkAddress(addr)
      assert.are.same({}, ancdata)
      t:checkFlags(flags, false, {ignore = csock.MSG_TRUNC})
      t:checkPlain(t:doRecvmsg(#MSG, 0, csock.MSG_PEEK))
      t:checkPlain(t:doRecvmsg(#MSG))
    end},
  {"testRecvmsgFromSendmsg: what sendmsg gathered", timeout = 5,
    server = function(t) t:checkPlain(t:doRecvmsg(#MSG)) end,
    client = function(t)
      assert.are.equal(#MSG, t:sendmsgToServer{MSG:sub(1, 3), MSG:sub(4)})
    end},
}

local receiving_on_streams = {
  {"testRecvmsgEOF: the end of the stream",
    server = function(t)
      local msg, ancdata, flags = t:doRecvmsg(1024)
      assert.are.equal("", msg)
      assert.are.same({}, ancdata)
      t:checkFlags(flags, nil)
    end,
    client = function(t) t.cli_sock:close() end},
  {"testRecvmsgOverflow: a message in more than one piece",
    client = client_sends,
    server = function(t)
      local first, ancdata, flags = t:doRecvmsg(#MSG - 3)
      assert.are.same({}, ancdata)
      t:checkFlags(flags, false)
      local second
      second, ancdata, flags = t:doRecvmsg(1024)
      assert.are.same({}, ancdata)
      t:checkFlags(flags, true)
      assert.are.equal(MSG, first .. second)
    end},
}

local receiving_strings = {
  {"testRecvmsgBadArgs: misuse", client = client_sends,
    server = function(t)
      local sock = t.serv_sock
      misuse(sock.recvmsg, sock)
      misuse(sock.recvmsg, sock, -1, 0, 0)
      misuse(sock.recvmsg, sock, #MSG, -1, 0)
      misuse(sock.recvmsg, sock, #MSG, 1 << 40, 0)
      misuse(sock.recvmsg, sock, {core.buffer(10)}, 0, 0)
      misuse(sock.recvmsg, sock, object, 0, 0)
      misuse(sock.recvmsg, sock, #MSG, object, 0)
      misuse(sock.recvmsg, sock, #MSG, 0, object)
      t:checkPlain(sock:recvmsg(#MSG, 0, 0))
    end},
}

local receiving_into = {
  {"testRecvmsgIntoBadArgs: misuse", client = client_sends,
    server = function(t)
      local sock, buf = t.serv_sock, core.buffer(#MSG)
      misuse(sock.recvmsg_into, sock)
      misuse(sock.recvmsg_into, sock, #MSG, 0, 0)
      misuse(sock.recvmsg_into, sock, buf, 0, 0)
      misuse(sock.recvmsg_into, sock, {object}, 0, 0)
      misuse(sock.recvmsg_into, sock, {"I'm not writable"}, 0, 0)
      misuse(sock.recvmsg_into, sock, {buf, object}, 0, 0)
      misuse(sock.recvmsg_into, sock, {buf}, -1, 0)
      misuse(sock.recvmsg_into, sock, {buf}, object, 0)
      misuse(sock.recvmsg_into, sock, {buf}, 0, object)
      local nbytes, ancdata, flags, addr = sock:recvmsg_into({buf}, 0, 0)
      assert.are.equal(#MSG, nbytes)
      t:checkPlain(tostring(buf), ancdata, flags, addr)
    end},
  {"testRecvmsgIntoGenerator: a list that makes up its items",
    client = client_sends,
    server = function(t)
      local buf = core.buffer(#MSG)
      local nbytes, ancdata, flags, addr =
        t.serv_sock:recvmsg_into(setmetatable({}, {
          __len = function() return 1 end,
          __index = function() return buf end,
        }))
      assert.are.equal(#MSG, nbytes)
      t:checkPlain(tostring(buf), ancdata, flags, addr)
    end},
  {"testRecvmsgIntoScatter: into several buffers",
    server = function(t)
      local b1, b2 = core.buffer "----", core.buffer "0123456"
      local b3 = core.buffer "--------------"
      local nbytes, ancdata, flags, addr =
        t.serv_sock:recvmsg_into{b1, b2, b3}
      assert.are.equal(#"Mary had a little lamb", nbytes)
      assert.are.equal("Mary", tostring(b1))
      assert.are.equal(" had a ", tostring(b2))
      assert.are.equal("little lamb---", tostring(b3))
      t:checkAddress(addr)
      assert.are.same({}, ancdata)
      t:checkFlags(flags, true)
    end,
    client = function(t) t:sendToServer "Mary had a little lamb" end},
}

local on_datagrams = {sending, sending_datagrams}
local on_streams = {sending, sending_on_streams}
local strings = {receiving, receiving_strings}
local into = {receiving, receiving_into}
local stream_strings = {receiving, receiving_on_streams, receiving_strings}
local stream_into = {receiving, receiving_on_streams, receiving_into}

transports.class("SendmsgUDPTest", "UDP", on_datagrams)
transports.class("RecvmsgUDPTest", "UDP", strings)
transports.class("RecvmsgIntoUDPTest", "UDP", into, true)
transports.class("SendmsgUDP6Test", "UDP6", on_datagrams)
transports.class("RecvmsgUDP6Test", "UDP6", strings)
transports.class("RecvmsgIntoUDP6Test", "UDP6", into, true)
transports.class("SendmsgUDPLITETest", "UDPLITE", on_datagrams)
transports.class("RecvmsgUDPLITETest", "UDPLITE", strings)
transports.class("RecvmsgIntoUDPLITETest", "UDPLITE", into, true)
transports.class("SendmsgUDPLITE6Test", "UDPLITE6", on_datagrams)
transports.class("RecvmsgUDPLITE6Test", "UDPLITE6", strings)
transports.class("RecvmsgIntoUDPLITE6Test", "UDPLITE6", into, true)
transports.class("SendmsgTCPTest", "TCP", on_streams)
transports.class("RecvmsgTCPTest", "TCP", stream_strings)
transports.class("RecvmsgIntoTCPTest", "TCP", stream_into, true)
transports.class("SendmsgUnixStreamTest", "UnixStream", on_streams)
transports.class("RecvmsgUnixStreamTest", "UnixStream", stream_strings)
transports.class("RecvmsgIntoUnixStreamTest", "UnixStream", stream_into, true)

-- What is csock's own ---------------------------------------------------------

local pair_of = transports.socketpair

describe("sendmsg", function()
  it("refuses more buffers than the system takes", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
    local list = {}
    for i = 1, 1024 do list[i] = "a" end
    assert.are.equal(1024, a:sendmsg(list))
    assert.are.equal(1024, #b:recv(2048))
    list[1025] = "a"
    refused("EMSGSIZE", a.sendmsg, a, list)
    for i = 1026, 99999 do list[i] = "a" end
    list[100000] = print                -- misuse comes before the refusal
    misuse(a.sendmsg, a, list)
    a:close()
    list[100000] = nil
    refused("EBADF", a.sendmsg, a, list)
  end)

  it("sends nothing, and empty buffers", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_SEQPACKET)
    assert.are.equal(0, a:sendmsg{""})
    assert.are.equal(2, a:sendmsg{"", "x", "", "y", ""})
    assert.are.equal("", (b:recvmsg(10)))
    assert.are.equal("xy", (b:recvmsg(10)))
  end)

  it("keeps its buffers while it waits, whatever becomes of the list",
    function()
      loop.run(function()
        local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
        a.timeout = 0
        repeat local ok = pcall(a.send, a, ("x"):rep(4096)) until not ok
        a.timeout = nil
        local list = {("ab%d"):format(12):rep(50), core.buffer "end"}
        local task = loop.spawn(a.sendmsg, a, list)
        loop.sleep(0)
        assert.are.equal("waiting", task:status())
        list[1], list[2] = nil, nil
        collectgarbage()
        collectgarbage()
        local rest = {}                 -- what could take its place
        for i = 1, 1000 do rest[i] = ("cd%d"):format(i):rep(40) end
        local last = ""
        repeat last = (last .. b:recv(1 << 16)):sub(-203)
        until last:find "end$"
        assert.are.equal(1000, #rest)
        assert.are.equal(203, task:join())
        assert.are.equal(("ab12"):rep(50) .. "end", last)
      end)
    end)

  it("wakes with EBADF when its socket is closed, as recvmsg does", function()
    loop.run(function()
      local _pair <close>, _, b = pair_of(csock.SOCK_STREAM)
      b.timeout = 0
      repeat local ok = pcall(b.send, b, ("x"):rep(4096)) until not ok
      b.timeout = nil
      local tasks = {
        loop.spawn(b.recvmsg, b, 1, 100),
        loop.spawn(b.recvmsg_into, b, {core.buffer(1)}, 100),
        loop.spawn(b.sendmsg, b, {"x"}),
      }
      loop.sleep(0)
      b:close()
      for _, task in ipairs(tasks) do refused("EBADF", task.join, task) end
    end)
  end)

  it("names the address it cannot reach", function()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    local err = refused("EACCES", sock.sendmsg, sock, {"x"}, nil, nil,
      {"255.255.255.255", 9})
    assert.are.equal("sendmsg", err.op)
    assert.are.equal(9, err.address.port)
    misuse(sock.sendmsg, sock, {"x"}, nil, nil, {"127.0.0.1", 65536})
    misuse(sock.sendmsg, sock, {"x"}, nil, nil, "a path")
    assert.are.equal(1, sock:sendmsg({"x"}, nil, nil, {"localhost", 9}))
  end)

  it("waits for a receiver whose queue others have filled", function()
    loop.run(function()
      local path = helper.tmpdir() .. "/server"
      local server <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
      local other <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
      local client <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
      server:bind(path)
      server.timeout, other.timeout = 0, 0
      repeat
        local ok, err = pcall(other.sendmsg, other, {"o"}, nil, nil, path)
      until not ok and assert.are.equal("EAGAIN", err.code)
      local task = loop.spawn(client.sendmsg, client, {"c"}, nil, nil, path)
      loop.sleep(0)
      local before, start = os.clock(), loop.now()
      loop.sleep(0.3)                   -- in which it must not try and try
      assert.are_not.equal("done", task:status())
      local worked = os.clock() - before
      assert.is_true(worked < (loop.now() - start) / 2, worked)
      local data
      repeat data = server:recvmsg(1) until not pcall(server.recvmsg, server,
        1, 0, csock.MSG_PEEK)
      assert.are.equal("o", data)       -- nobody else's has come in between
      assert.are.equal(1, task:join(40))
      assert.are.equal("c", (server:recvmsg(1)))
    end)
  end)

  it("raises no signal when nobody reads", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
    b:close()
    refused("EPIPE", a.sendmsg, a, {"x"})
  end)
end)

describe("recvmsg", function()
  it("waits in a task, and lets others run", function()
    loop.run(function()
      local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
      local one, two = core.buffer(2), core.buffer(8)
      local task = loop.spawn(b.recvmsg_into, b, {one, two}, 64)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      a:sendmsg{"he", "llo"}
      local nbytes, ancdata, flags, address = task:join()
      assert.are.equal(5, nbytes)
      assert.are.same({}, ancdata)
      assert.are.equal(0, flags)
      assert.is_nil(address)
      assert.are.equal("he", tostring(one))
      assert.are.equal("llo", tostring(two):sub(1, 3))
    end)
  end)

  it("obeys loop.timeout and cancel", function()
    loop.run(function()
      local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
      refused("ETIMEDOUT", loop.timeout, 0.01, b.recvmsg, b, 1)
      local task = loop.spawn(b.recvmsg, b, 1, 100)
      loop.sleep(0)
      task:cancel()
      assert.is_false(pcall(task.join, task))
      assert.are.equal("cancelled", task:status())
      a:send "x"                        -- which nobody has taken
      assert.are.equal("x", (b:recvmsg(1)))
    end)
  end)

  it("does not wait with MSG_DONTWAIT or timeout 0, in and outside of tasks",
    function()
      local function check()
        local _pair <close>, _, b = pair_of(csock.SOCK_STREAM)
        local buffers = {core.buffer(1)}
        refused("EAGAIN", b.recvmsg, b, 1, 0, csock.MSG_DONTWAIT)
        refused("EAGAIN", b.recvmsg_into, b, buffers, 0, csock.MSG_DONTWAIT)
        b.timeout = 0
        refused("EAGAIN", b.recvmsg, b, 1)
        refused("EAGAIN", b.recvmsg_into, b, buffers)
      end
      check()
      loop.run(check)
    end)

  it("gathers all with MSG_WAITALL in a task", function()
    local function check(receive)
      loop.run(function()
        local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
        local task = loop.spawn(receive, b)
        for _, piece in ipairs {"ab", "cdef", "g", "hij"} do
          loop.sleep(0)
          loop.sleep(0)
          assert.are.equal("waiting", task:status())
          a:sendall(piece)
        end
        task:join()
        a:sendall "rest"
        a:shutdown(csock.SHUT_WR)
        assert.are.equal("rest", (b:recvmsg(10, 0, csock.MSG_WAITALL)))
      end)
    end
    check(function(sock)
      assert.are.equal("abcdefghij", (sock:recvmsg(10, 0, csock.MSG_WAITALL)))
    end)
    check(function(sock)
      local one, two = core.buffer(3), core.buffer(7)
      local n = sock:recvmsg_into({one, two}, 100, csock.MSG_WAITALL)
      assert.are.equal(10, n)
      assert.are.equal("abc", tostring(one))
      assert.are.equal("defghij", tostring(two))
    end)
  end)

  it("sees the end that comes with a part, with MSG_WAITALL", function()
    loop.run(function()
      local t <close> = transports.TCP()
      local task = loop.spawn(t.serv_sock.recvmsg, t.serv_sock, 10, 100,
        csock.MSG_WAITALL)
      loop.sleep(0)
      t.cli_sock:sendall "abc"
      t.cli_sock:close()
      assert.are.equal("abc", (task:join(40)))
    end)
  end)

  it("keeps what MSG_WAITALL has when the peer resets", function()
    loop.run(function()
      local t <close> = transports.TCP()
      local task = loop.spawn(t.serv_sock.recvmsg, t.serv_sock, 10, 100,
        csock.MSG_WAITALL)
      loop.sleep(0)
      t.cli_sock:sendall "abc"
      while pcall(t.serv_sock.recv, t.serv_sock, 1,
        csock.MSG_PEEK | csock.MSG_DONTWAIT) do loop.sleep(0) end
      t.cli_sock.linger = 0             -- close resets
      t.cli_sock:close()
      local data, ancdata, flags = task:join(40)
      assert.are.equal("abc", data)
      assert.are.same({}, ancdata)
      assert.are.equal(0, flags)
    end)
  end)

  it("has MSG_WAITALL outside of tasks too, and not with a timeout", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
    a:sendall "ab"
    a:sendall "cd"
    assert.are.equal("abcd", (b:recvmsg(4, 0, csock.MSG_WAITALL)))
    a:sendall "ef"
    a:shutdown(csock.SHUT_WR)
    local buffer = core.buffer(4)
    assert.are.equal(2, (b:recvmsg_into({buffer}, 0, csock.MSG_WAITALL)))
    b:sendall "x"
    a.timeout = 40
    assert.are.equal("x", (a:recvmsg(4, 0, csock.MSG_WAITALL)))
  end)

  it("keeps the borders of records, and says what it cut off", function()
    for _, kind in ipairs {csock.SOCK_SEQPACKET, csock.SOCK_DGRAM} do
      local _pair <close>, a, b = pair_of(kind)
      assert.are.equal(6, a:sendmsg({"abc", "def"}, nil, csock.MSG_EOR))
      a:sendmsg{"ghi"}
      local data, _, flags = b:recvmsg(100)
      assert.are.equal("abcdef", data)
      assert.are.equal(0, flags & csock.MSG_TRUNC)
      data, _, flags = b:recvmsg(2)
      assert.are.equal("gh", data)
      assert.are.equal(csock.MSG_TRUNC, flags & csock.MSG_TRUNC)
    end
  end)

  it("takes large messages whole, and a flag MSG_TRUNC as its own", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_DGRAM)
    local size = 150000                 -- beyond the scratch buffer
    a.sndbuf = 2 * size
    local data = ("0123456789"):rep(size // 10)
    assert.are.equal(size, a:sendmsg{data})
    assert.is_true((b:recvmsg(1 << 20)) == data)
    a:sendmsg{"0123456789"}
    local got, _, flags = b:recvmsg(4, 0, csock.MSG_TRUNC)
    assert.are.equal("0123", got)
    assert.are.equal(csock.MSG_TRUNC, flags & csock.MSG_TRUNC)
    a:sendmsg{"0123456789"}
    assert.are.equal(10, (b:recvmsg_into({core.buffer(4)}, 0,
      csock.MSG_TRUNC)))
  end)

  it("refuses more buffers than the system takes", function()
    local _pair <close>, _, b = pair_of(csock.SOCK_STREAM)
    local list = {}
    for i = 1, 1025 do list[i] = core.buffer(1) end
    refused("EMSGSIZE", b.recvmsg_into, b, list)
  end)

  it("tells a sender's path, and nil for one without", function()
    local directory = helper.tmpdir()
    local server <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
    local client <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
    server:bind(directory .. "/server")
    client:sendmsg({"x"}, nil, nil, directory .. "/server")
    assert.is_nil((select(4, server:recvmsg(1))))
    client:bind(directory .. "/client")
    client:sendmsg({"x"}, nil, nil, directory .. "/server")
    assert.are.equal(directory .. "/client", (select(4, server:recvmsg(1))))
    refused("ENOENT", client.sendmsg, client, {"x"}, nil, nil, "/nowhere/x")
  end)

  it("reads what an error queue holds, and does not wait for it", function()
    if not csock.MSG_ERRQUEUE or not csock.IP_RECVERR then
      return pending "no error queues"
    end
    local function check()
      local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      local deaf <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      deaf:bind{"127.0.0.1", 0}
      local address = deaf:getsockname()
      deaf:connect(address) -- it takes from nobody else, nor can others
      sock:setsockopt(csock.IPPROTO_IP, csock.IP_RECVERR, 1)
      refused("EAGAIN", sock.recvmsg, sock, 10, 512, csock.MSG_ERRQUEUE)
      sock:sendmsg({"lost"}, nil, nil, address)
      local data, ancdata, flags, whom =
        sock:recvmsg(10, 512, csock.MSG_ERRQUEUE)
      assert.are.equal("lost", data)
      assert.are.equal(csock.MSG_ERRQUEUE, flags & csock.MSG_ERRQUEUE)
      assert.are.equal(address, whom)
      assert.are.equal(csock.IPPROTO_IP, ancdata[1][1])
      assert.are.equal(csock.IP_RECVERR, ancdata[1][2])
      assert.are.equal(csock.ECONNREFUSED, (string.unpack("I4",
        ancdata[1][3])))
    end
    check()
    loop.run(check)
  end)
end)

describe("credentials", function()
  if not csock.SCM_CREDENTIALS then return end
  local pid = transports.pid()

  local function credentials(ancdata)
    assert.are.equal(1, #ancdata)
    local level, kind, data = table.unpack(ancdata[1])
    assert.are.equal(csock.SOL_SOCKET, level)
    assert.are.equal(csock.SCM_CREDENTIALS, kind)
    return string.unpack("iII", data)
  end

  it("arrive when they are asked for", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_STREAM)
    b.passcred = true
    a:sendmsg{"x"}
    local data, ancdata, flags = b:recvmsg(10, csock.CMSG_SPACE(12))
    assert.are.equal("x", data)
    assert.are.equal(0, flags)
    assert.are.equal(pid, (credentials(ancdata)))
  end)

  it("are sent, and checked by the system", function()
    local _pair <close>, a, b = pair_of(csock.SOCK_DGRAM)
    b.passcred = true
    a:sendmsg{"x"}
    local who, uid, gid = credentials(select(2, b:recvmsg(10, 64)))
    assert.are.equal(pid, who)
    a:sendmsg({"y"}, {{csock.SOL_SOCKET, csock.SCM_CREDENTIALS,
      string.pack("iII", pid, uid, gid)}})
    assert.are.equal(pid, (credentials(select(2, b:recvmsg(10, 64)))))
    refused(nil, a.sendmsg, a, {"z"}, {{csock.SOL_SOCKET,
      csock.SCM_CREDENTIALS, string.pack("iII", 0x7ffffff0, uid, gid)}})
  end)
end)

describe("LinuxKernelCryptoAPI", function()
  if not csock.socket.sendmsg_afalg then return end

  it("test_sendmsg_afalg_args: misuse, on any socket", function()
    local _pair <close>, sock = pair_of(csock.SOCK_STREAM)
    local encrypt = csock.ALG_OP_ENCRYPT
    misuse(sock.sendmsg_afalg, sock)
    misuse(sock.sendmsg_afalg, sock, nil, nil)
    misuse(sock.sendmsg_afalg, sock, nil, -1)
    misuse(sock.sendmsg_afalg, sock, 1)
    misuse(sock.sendmsg_afalg, sock, nil, encrypt, object)
    misuse(sock.sendmsg_afalg, sock, nil, encrypt, nil, object)
    misuse(sock.sendmsg_afalg, sock, nil, encrypt, nil, -1)
    misuse(sock.sendmsg_afalg, sock, nil, encrypt, nil, nil, object)
    refused("EOPNOTSUPP", sock.sendmsg_afalg, sock, nil, encrypt)
    refused("EOPNOTSUPP", sock.sendmsg_afalg, sock, {"x"}, encrypt, "iv", 4)
  end)
end)
