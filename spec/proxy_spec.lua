-- proxy: the PROXY protocol: headers well and badly made, in any pieces; whom a
-- server believes; clients that lie or are slow; on every kind of server.
-- Not here: a real balancer in front (scale_out_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local proxy = require "csock.proxy"
local socketserver = require "csock.socketserver"

local anywhere, serving = visit.anywhere, visit.serving

local class = csock.class
local TCPServer = socketserver.TCPServer
local ThreadingTCPServer = socketserver.ThreadingTCPServer

local SIGNATURE = "\r\n\r\n\0\r\nQUIT\n"

-- A header of version 2: two addresses of a family with their ports.
local function binary(family, source, destination, from, to, rest)
  local row = family == csock.AF_INET and 1 or 2
  local body = csock.inet_pton(family, source) ..
    csock.inet_pton(family, destination) .. (">I2I2"):pack(from, to) ..
    (rest or "")
  return SIGNATURE .. ("BB"):pack(0x21, row << 4 | 1) .. (">s2"):pack(body)
end

-- Any header of version 2.
local function raw(command, family, body)
  return SIGNATURE .. ("BB"):pack(command, family) .. (">s2"):pack(body)
end

local TLV = "\x03\0\4abcd\4\0\0"
local zeros = ("\0"):rep(4)

-- Headers that are right: what they are, bytes, source, destination.
local right = {
  {"TCP4", "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n",
    "192.0.2.1:56324", "198.51.100.2:443"},
  {"the ends of what a port can be",
    "PROXY TCP4 255.255.255.255 0.0.0.0 0 65535\r\n",
    "255.255.255.255:0", "0.0.0.0:65535"},
  {"TCP6", "PROXY TCP6 2001:db8::1 ::ffff:10.0.0.1 1 2\r\n",
    "[2001:db8::1]:1", "[::ffff:10.0.0.1]:2"},
  {"the longest TCP6", "PROXY TCP6 " ..
    ("ffff:"):rep(7) .. "ffff " .. ("ffff:"):rep(7) .. "ffff 65535 65535\r\n",
    "[" .. ("ffff:"):rep(7) .. "ffff]:65535",
    "[" .. ("ffff:"):rep(7) .. "ffff]:65535"},
  {"UNKNOWN", "PROXY UNKNOWN\r\n"},
  {"UNKNOWN with words", "PROXY UNKNOWN ff::1 what ever\r\n"},
  {"the longest line", "PROXY UNKNOWN " .. ("f"):rep(107 - 16) .. "\r\n"},
  {"version 2, IPv4",
    binary(csock.AF_INET, "192.0.2.1", "198.51.100.2", 56324, 443),
    "192.0.2.1:56324", "198.51.100.2:443"},
  {"version 2, IPv6", binary(csock.AF_INET6, "2001:db8::1", "::1", 1, 65535),
    "[2001:db8::1]:1", "[::1]:65535"},
  {"version 2 with TLVs",
    binary(csock.AF_INET, "192.0.2.1", "198.51.100.2", 7, 8, TLV),
    "192.0.2.1:7", "198.51.100.2:8"},
  {"version 2 of a datagram's client", raw(0x21, 0x12,
    "\10\0\0\1\10\0\0\2\0\1\0\2"), "10.0.0.1:1", "10.0.0.2:2"},
  {"version 2, LOCAL", raw(0x20, 0, "")},
  {"version 2, LOCAL with what is not to be looked at",
    raw(0x20, 0x11, "\1\2\3")},
  {"version 2, UNSPEC", raw(0x21, 0, "anything")},
  {"version 2 without a transport", raw(0x21, 0x10, zeros:rep(3))},
  {"version 2, AF_UNIX", raw(0x21, 0x31, ("/"):rep(216))},
}

-- Headers that are wrong: what they are, bytes, what is said.
local wrong = {
  {"another protocol", "GET / HTTP/1.1\r\n\r\n", "there is none"},
  {"a beginning alone", "PROXY\r", "there is none"},
  {"small letters", "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "there is none"},
  {"almost the signature", "\r\n\r\n\0\r\nQUIZ\n", "there is none"},
  {"another kind", "PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "malformed"},
  {"UNKNOWN and more", "PROXY UNKNOWNS\r\n", "malformed"},
  {"no destination", "PROXY TCP4 1.2.3.4 1 2\r\n", "malformed"},
  {"two spaces", "PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "malformed"},
  {"a space at the end", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "malformed"},
  {"a name", "PROXY TCP4 localhost 1.2.3.4 1 2\r\n", "is no address"},
  {"a short address", "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", "is no address"},
  {"a high number", "PROXY TCP4 1.2.3.4 1.2.3.256 1 2\r\n", "is no address"},
  {"IPv6 as TCP4", "PROXY TCP4 ::1 ::1 1 2\r\n", "is no address"},
  {"IPv4 as TCP6", "PROXY TCP6 1.2.3.4 ::1 1 2\r\n", "is no address"},
  {"a zone", "PROXY TCP6 fe80::1%lo ::1 1 2\r\n", "is no address"},
  {"a high port", "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "is no port"},
  {"a negative port", "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n", "is no port"},
  {"a port of no digits", "PROXY TCP4 1.2.3.4 1.2.3.4 0x1 2\r\n", "is no port"},
  {"a leading zero", "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "is no port"},
  {"a newline alone", "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "has no end"},
  {"too long a line", "PROXY UNKNOWN " .. ("f"):rep(200) .. "\r\n", "too long"},
  {"a line too long by one", "PROXY UNKNOWN " .. ("f"):rep(92) .. "\r\n",
    "too long"},
  {"version 3", raw(0x31, 0x11, zeros:rep(3)), "version is unknown"},
  {"an unknown command", raw(0x22, 0x11, zeros:rep(3)), "command is unknown"},
  {"an unknown family", raw(0x21, 0x41, zeros:rep(3)), "family is unknown"},
  {"an unknown transport", raw(0x21, 0x13, zeros:rep(3)), "family is unknown"},
  {"less than the addresses of IPv4", raw(0x21, 0x11, ("\0"):rep(11)),
    "too short"},
  {"less than the addresses of IPv6", raw(0x21, 0x21, ("\0"):rep(35)),
    "too short"},
  {"less than the paths of AF_UNIX", raw(0x21, 0x31, ("\0"):rep(215)),
    "too short"},
}

-- What read says of these pieces, each of which it has taken, as far as it
-- will, before the next one comes; and what it has left.
local function read(pieces)
  local a, b = csock.socketpair()
  local reader <close> = a
  local writer <close> = b
  reader.timeout = 40
  return loop.run(function()
    local task = loop.spawn(function()
      return table.pack(pcall(proxy.read, reader))
    end)
    for _, piece in ipairs(pieces) do
      if piece ~= "" then writer:sendall(piece) end
      loop.sleep(0)
      loop.sleep(0)
    end
    writer:shutdown(csock.SHUT_WR)
    local result, left = task:join(), {}
    repeat
      left[#left + 1] = reader:recv(4096)
    until left[#left] == ""
    return result, table.concat(left)
  end)
end

local function bytes_of(text)
  local list = {}
  for i = 1, #text do list[i] = text:sub(i, i) end
  return list
end

describe("a PROXY header", function()
  local function check(row, result, left)
    assert.is_true(result[1], tostring(result[2]))
    assert.are.equal(row[3], result[2] and tostring(result[2]))
    assert.are.equal(row[4], result[3] and tostring(result[3]))
    assert.are.equal("the rest", left)
  end

  for _, row in ipairs(right) do
    it("is understood, and nothing beyond it taken: " .. row[1], function()
      check(row, read {row[2] .. "the rest"})
    end)

    it("comes byte by byte: " .. row[1], function()
      local pieces = bytes_of(row[2])
      pieces[#pieces] = pieces[#pieces] .. "the rest"
      check(row, read(pieces))
    end)

    it("is refused wherever it is cut: " .. row[1], function()
      for size = 0, #row[2] - 1 do
        local result = read {row[2]:sub(1, size)}
        assert.is_false(result[1], "cut to " .. size)
        assert.are.equal(size == 0 and "nothing was sent" or
          "it ends too early", result[2])
      end
    end)
  end

  for _, row in ipairs(wrong) do
    it("is refused: " .. row[1], function()
      local result = read {row[2]}
      assert.is_false(result[1])
      assert.is_truthy(tostring(result[2]):find(row[3], 1, true), result[2])
      assert.are.equal(result[2], read(bytes_of(row[2]))[2])
    end)
  end

  it("is refused at its first wrong byte, before more has come", function()
    local a, b = csock.socketpair()
    local reader <close> = a
    local writer <close> = b
    reader.timeout = 40
    for _, start in ipairs {"G", "PROXX", "\r\n\r\n\1", "\n"} do
      writer:sendall(start)
      local ok, err = pcall(proxy.read, reader)
      assert.is_false(ok)
      assert.are.equal("there is none", err)
    end
  end)

  it("may have TLVs of any length", function()
    local tlv = "\xEE" .. (">s2"):pack(("x"):rep(65535 - 15))
    check({nil, nil, "192.0.2.1:1", "192.0.2.2:2"}, read {
      binary(csock.AF_INET, "192.0.2.1", "192.0.2.2", 1, 2, tlv), "the rest",
    })
  end)

  it("gives addresses like those of the system", function()
    local source = read {right[1][2]}[2]
    assert.are.equal("192.0.2.1", source[1])
    assert.are.equal("192.0.2.1", source.host)
    assert.are.equal(56324, source[2])
    assert.are.equal(2, #source)
    assert.are.equal(4, #read {right[3][2]}[2])
  end)

  -- A seed of its own: each run tries the same.
  it("made by chance is understood or refused, never more", function()
    local seed = 20261122
    local function random(n)
      seed = (seed * 1103515245 + 12345) & 0x7fffffff
      return (seed >> 8) % n + 1
    end
    for _ = 1, helper.slow and 100 or 1000 do
      local bytes = {right[random(#right)][2]:byte(1, -1)}
      for _ = 1, random(4) do
        local at, what = random(#bytes), random(3)
        if what == 1 then
          bytes[at] = random(256) - 1
        elseif what == 2 then
          table.insert(bytes, at, random(256) - 1)
        elseif #bytes > 1 then
          table.remove(bytes, at)
        end
      end
      local result = read {string.char(table.unpack(bytes))}
      if result[1] then
        assert.is_truthy(result[2] == nil or #result[2] >= 2)
      else
        assert.is_string(result[2])
        assert.is_nil(result[2]:find(".lua", 1, true), result[2])
      end
    end
  end)
end)

describe("networks", function()
  local function trusts(list, host)
    return proxy.trusts(proxy.networks(list), type(host) == "string" and
      {host, 1} or host)
  end

  it("hold addresses by their first bits", function()
    for _, row in ipairs {
      {"127.0.0.1/32", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.1", true},
      {"127.0.0.1", "127.0.0.2", false}, {"10.0.0.0/8", "10.255.0.1", true},
      {"10.0.0.0/8", "11.0.0.1", false}, {"10.1.2.3/8", "10.9.9.9", true},
      {"192.168.128.0/17", "192.168.128.1", true},
      {"192.168.128.0/17", "192.168.127.255", false},
      {"203.0.113.64/27", "203.0.113.95", true},
      {"203.0.113.64/27", "203.0.113.96", false},
      {"0.0.0.0/0", "8.8.8.8", true}, {"0.0.0.0/0", "::1", false},
      {"::/0", "::1", true}, {"::/0", "1.2.3.4", false},
      {"::1/128", "::1", true}, {"::1", "::2", false},
      {"2001:db8::/33", "2001:db8:7fff::1", true},
      {"2001:db8::/33", "2001:db8:8000::1", false},
      {"fe80::/10", "fe80::1%lo", true},
      {"127.0.0.1/32", "::ffff:127.0.0.1", true},
      {"::ffff:10.0.0.0/104", "10.1.2.3", true},
      {"::ffff:10.0.0.0/104", "11.1.2.3", false},
    } do
      assert.are.equal(row[3], trusts({row[1]}, row[2]),
        row[1] .. " " .. row[2])
    end
  end)

  it("are asked one after the other", function()
    local list = {"10.0.0.0/8", "::1"}
    assert.is_true(trusts(list, "::1"))
    assert.is_true(trusts(list, "10.0.0.1"))
    assert.is_false(trusts(list, "127.0.0.1"))
    assert.is_false(trusts({}, "127.0.0.1"))
  end)

  it("may be those who connect by AF_UNIX", function()
    assert.is_true(proxy.trusts(proxy.networks {"unix"}, ""))
    assert.is_false(proxy.trusts(proxy.networks {"0.0.0.0/0"}, ""))
    assert.is_false(trusts({"unix"}, "127.0.0.1"))
  end)

  for _, bad in ipairs {"", "localhost", "10.0.0.0/33", "::1/129", "1.2.3/8",
    "10.0.0.0/", "10.0.0.0/-1", "10.0.0.0/8/8", "::ffff:10.0.0.0/90", 7} do
    it("are refused when they are none: " .. bad, function()
      helper.misused("is no network", function()
        local _ <close> = class("Bad", TCPServer, {proxy_protocol = {bad}})(
          anywhere, {handle = print})
      end)
    end)
  end

  it("are refused when they are no list, or for datagrams", function()
    helper.misused("list of networks expected", function()
      local _ <close> = class("Bad", TCPServer, {proxy_protocol = "::1"})(
        anywhere, {handle = print})
    end)
    helper.misused("is for streams", function()
      local _ <close> = class("Bad", socketserver.UDPServer,
        {proxy_protocol = {"::1"}})(anywhere, {handle = print})
    end)
  end)
end)

-- Servers -------------------------------------------------------------------

-- Tells the client who it is, where it went, and what it says.
local Who = {handle = function(self)
  local line = self.request:recv(100)
  local where = tostring(self.server:destination(self.request))
  self.request:sendall(("%s %s %s"):format(self.client_address, where, line))
end}

local function deaf(log)
  return function(_, peer, reason)
    log[#log + 1] = tostring(peer[1]) .. " " .. reason
  end
end

local function behind(Server, members, log)
  members.proxy_protocol = members.proxy_protocol or {"127.0.0.1/32", "::1/128"}
  members.proxy_error = deaf(log or {})
  return class("Behind" .. Server.__name, Server, members)
end

local function connect(server, ...)
  local sock = csock.create_connection(server.server_address, 40)
  for _, piece in ipairs {...} do sock:sendall(piece) end
  return sock
end

local function read_all(sock)
  local pieces = {}
  repeat
    local ok, data = pcall(sock.recv, sock, 4096)
    if not ok then
      assert.are.equal("ECONNRESET", data.code) -- dropped with bytes unread
      data = ""
    end
    pieces[#pieces + 1] = data
  until data == ""
  return table.concat(pieces)
end

local function ask(server, ...)
  local sock <close> = connect(server, ...)
  return read_all(sock)
end

local v1 = "PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n"
local v2 = binary(csock.AF_INET, "192.0.2.9", "198.51.100.2", 9, 443, TLV)

for _, name in ipairs {"TCPServer", "ThreadingTCPServer",
  "ForkingTCPServer"} do
  local Server = socketserver[name]
  describe("behind a balancer, " .. name, function()
    it("sees the real address", function()
      serving(behind(Server, {})(anywhere, Who), function(server)
        assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
          ask(server, v1 .. "hello"))
        assert.are.equal("192.0.2.9:9 198.51.100.2:443 hello",
          ask(server, v2, "hello"))
      end)
    end)

    it("sees the balancer's own when there is no other", function()
      serving(behind(Server, {})(anywhere, Who), function(server)
        for _, header in ipairs {"PROXY UNKNOWN\r\n", raw(0x20, 0, "")} do
          local sock <close> = connect(server, header, "hello")
          assert.are.equal(("%s %s hello"):format(sock:getsockname(),
            sock:getpeername()), read_all(sock))
        end
      end)
    end)

    it("shows it to verify_request, which may refuse it", function()
      local seen = {}
      serving(behind(Server, {verify_request = function(_, _, address)
        seen[#seen + 1] = tostring(address)
        return address[1] ~= "192.0.2.9"
      end})(anywhere, Who), function(server)
        assert.are.equal("", ask(server, v2, "hello"))
        assert.are_not.equal("", ask(server, v1, "hello"))
      end)
      assert.are.same({"192.0.2.9:9", "192.0.2.1:56324"}, seen)
    end)

    it("takes no header from others, whatever they say", function()
      serving(behind(Server, {proxy_protocol = {"10.0.0.0/8"}})(anywhere, Who),
        function(server)
          local sock <close> = connect(server, v1)
          assert.are.equal(("%s %s %s"):format(sock:getsockname(),
            sock:getpeername(), v1), read_all(sock))
        end)
    end)

    it("drops liars, and serves on", function()
      local log = {}
      serving(behind(Server, {}, log)(anywhere, Who), function(server)
        assert.are.equal("", ask(server, "GET / HTTP/1.0\r\n\r\n"))
        assert.are.equal("", ask(server, "PROXY TCP4 me you 1 2\r\n"))
        assert.are_not.equal("", ask(server, v1, "hello"))
        assert.are.equal(1, server.stats.accepted)
      end)
      assert.are.same({"127.0.0.1 bad header: there is none",
        "127.0.0.1 bad header: 'me' is no address"}, log)
    end)

    it("lets nobody wait for one who is slow, and drops it", function()
      helper.by_clock(0.05, function(seconds)
        local log = {}
        serving(behind(Server, {proxy_timeout = seconds}, log)(anywhere, Who),
          function(server)
            local slow <close> = connect(server, "PROXY ")
            local silent <close> = connect(server)
            assert.are_not.equal("", ask(server, v1, "hello"))
            assert.are.equal("", read_all(slow))
            assert.are.equal("", read_all(silent))
          end)
        local text = ("127.0.0.1 no header within %s s"):format(seconds)
        assert.are.same({text, text}, log)
      end)
    end)

    it("is silent about those who only knock", function()
      local log = {}
      serving(behind(Server, {}, log)(anywhere, Who), function(server)
        connect(server):close()
        local reset <close> = connect(server)
        reset.linger = 0
        reset:close()
        assert.are_not.equal("", ask(server, v1, "hello"))
      end)
      assert.are.same({}, log)
    end)

    it("finishes at its end what was on its way", function()
      local client
      serving(behind(Server, {})(anywhere, Who), function(server)
        client = connect(server, v1:sub(1, 20))
        while server._gate.count == 0 do loop.sleep(0) end
        server:shutdown()
        loop.sleep(0)
        client:sendall(v1:sub(21) .. "hello")
      end)
      local _client <close> = client
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
        read_all(client))
    end)

    it("answers one by handle_request", function()
      local server <close> = behind(Server, {})(anywhere, Who)
      local client <close> = connect(server, v1, "hello")
      server:handle_request()
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
        read_all(client))
    end)
  end)
end

describe("behind a balancer, PreforkTCPServer", function()
  local Server = behind(socketserver.PreforkTCPServer, {workers = 2})

  it("sees the real address", function()
    serving(Server(anywhere, Who), function(server)
      for _ = 1, 4 do
        assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
          ask(server, v1 .. "hello"))
      end
      assert.are.equal("", ask(server, "hello"))
    end)
  end)

  it("finishes on a reload what was on its way", function()
    serving(Server(anywhere, Who), function(server)
      assert.are_not.equal("", ask(server, v1, "hello")) -- they are at work
      local clients = {}
      for i = 1, 8 do clients[i] = connect(server, v1:sub(1, i)) end
      assert.is_true(server:restart_workers())
      for i = 1, 8 do
        local client <close> = clients[i]
        client:sendall(v1:sub(i + 1) .. "hello")
        assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
          read_all(client))
      end
    end)
  end)
end)

describe("behind a balancer, a worker that retires", function()
  it("takes what is queued, and waits for its header", function()
    local Server = behind(socketserver.PreforkTCPServer,
      {workers = 1, max_connections = 1})
    serving(Server(anywhere, Who), function(server)
      assert.are_not.equal("", ask(server, v1, "hello")) -- it is at work
      local first <close> = connect(server, "PROXY")
      local second <close> = connect(server, "PROXY")
      assert.is_true(server:restart_workers())
      for _, client in ipairs {first, second} do
        client:sendall(v1:sub(6) .. "hello")
        assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
          read_all(client))
      end
    end)
  end)
end)

describe("proxy_protocol", function()
  it("is off: a header is what the client says", function()
    assert.is_nil(TCPServer.proxy_protocol)
    assert.are.equal(3, TCPServer.proxy_timeout)
    serving(ThreadingTCPServer(anywhere, Who), function(server)
      local sock <close> = connect(server, v1)
      assert.are.equal(("%s %s %s"):format(sock:getsockname(),
        sock:getpeername(), v1), read_all(sock))
    end)
  end)

  it("may be set before a server serves", function()
    local server = ThreadingTCPServer(anywhere, Who)
    server.proxy_protocol = {"127.0.0.0/8"}
    serving(server, function()
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
        ask(server, v1, "hello"))
    end)
  end)

  it("counts connections without a header among max_connections", function()
    local Server = behind(ThreadingTCPServer, {max_connections = 2})
    serving(Server(anywhere, Who), function(server)
      local first <close> = connect(server, "PROXY")
      local second <close> = connect(server, v1)
      while server._gate.count + server.stats.active < 2 do loop.sleep(0) end
      local third <close> = connect(server, v2, "hello")
      for _ = 1, 20 do loop.sleep(0) end
      assert.are.equal(1, server.stats.accepted)
      first:sendall(v1:sub(6) .. "a")   -- of the two that are there
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 a", read_all(first))
      assert.are.equal("192.0.2.9:9 198.51.100.2:443 hello", read_all(third))
      second:sendall "b"
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 b", read_all(second))
    end)
  end)

  it("makes room when one is dropped", function()
    local Server = behind(ThreadingTCPServer, {max_connections = 1})
    serving(Server(anywhere, Who), function(server)
      local first = connect(server, "PROXY")
      while server._gate.count < 1 do loop.sleep(0) end
      local second <close> = connect(server, v1, "hello")
      for _ = 1, 20 do loop.sleep(0) end
      first:close()
      assert.are_not.equal("", read_all(second))
    end)
  end)

  it("drops those without a header when the server is cancelled", function()
    local log = {}
    loop.run(function()
      local server <close> = behind(ThreadingTCPServer,
        {proxy_timeout = 1000}, log)(anywhere, Who)
      local task = loop.spawn(server.serve_forever, server)
      local begun <close> = connect(server, "PROXY")
      while not (server._gate and server._gate.count == 1) do loop.sleep(0) end
      task:cancel()
      assert.is_false(pcall(task.join, task))
      assert.are.equal("", read_all(begun))
    end)
    assert.are.same({}, log)
  end)

  it("leaves connections without a header to the parent of a fork", function()
    if not io.open "/proc/self/fd" then
      return pending "no /proc on this machine"
    end
    local Server = behind(socketserver.ForkingTCPServer, {})
    serving(Server(anywhere, {handle = function(self)
      local count = 0
      for _, what in pairs((helper.descriptors())) do
        if what:find "^socket:" then count = count + 1 end
      end
      self.request:sendall(tostring(count))
    end}), function(server)
      local before = ask(server, v1)
      local client <close> = connect(server, "PROXY")
      while server._gate.count == 0 do loop.sleep(0) end
      -- in this process there is one more: the client's end
      assert.are.equal(tonumber(before) + 1, tonumber(ask(server, v1)))
      client:sendall(v1:sub(6))
      assert.are_not.equal("", read_all(client))
    end)
  end)

  it("says by default who was dropped, and why", function()
    local name = helper.tmpdir() .. "/program.lua"
    local file <close> = assert(io.open(name, "w"))
    file:write [[
      local csock = require "csock"
      local socketserver = require "csock.socketserver"
      local server <close> = csock.class("Server",
        socketserver.ThreadingTCPServer, {proxy_protocol = {"127.0.0.1"}})(
        {"127.0.0.1", 0}, {handle = function() end})
      print(server.server_address)
      io.stdout:flush()
      server:serve_forever()
    ]]
    file:close()
    local process = helper.spawn_process(helper.lua .. " " .. name .. " 2>&1")
    local port = tonumber(process:read "l":match ":(%d+)$")
    local sock <close> = csock.create_connection({"127.0.0.1", port}, 40)
    sock:sendall "hello"
    assert.are.equal("csock: connection from " ..
      tostring(sock:getsockname()) ..
      " dropped, PROXY protocol: bad header: there is none", process:read "l")
  end)

  it("believes peers on AF_UNIX when they are named", function()
    local Server = behind(socketserver.ThreadingUnixStreamServer,
      {proxy_protocol = {"unix"}})
    serving(Server(helper.tmpdir() .. "/socket", Who), function(server)
      local sock <close> = csock.socket(csock.AF_UNIX)
      sock.timeout = 40
      sock:connect(server.server_address)
      sock:sendall(v1 .. "hello")
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
        read_all(sock))
    end)
  end)

  it("knows IPv4 balancers of a dual-stack server", function()
    if not csock.has_dualstack_ipv6() then
      return pending "no dual stack on this machine"
    end
    local Server = behind(ThreadingTCPServer,
      {address_family = csock.AF_INET6, dualstack = true,
        proxy_protocol = {"127.0.0.1/32"}})
    serving(Server({"::", 0}, Who), function(server)
      local sock <close> = csock.create_connection(
        {"127.0.0.1", server.server_address[2]}, 40)
      sock:sendall(v1 .. "hello")
      assert.are.equal("192.0.2.1:56324 198.51.100.2:443 hello",
        read_all(sock))
    end)
  end)
end)

describe("dualstack", function()
  local function ask_both(server)
    local answers = {}
    for i, host in ipairs {"127.0.0.1", "::1"} do
      local ok, sock = pcall(csock.create_connection,
        {host, server.server_address[2]}, 5)
      if ok then
        sock:sendall "x"
        answers[i] = read_all(sock):match "^(%S+):%d+ "
        sock:close()
      else
        answers[i] = sock.code
      end
    end
    return answers
  end

  for _, way in ipairs {"TCPServer", "ThreadingTCPServer"} do
    it("lets clients come by IPv4 and IPv6: " .. way, function()
      if not csock.has_dualstack_ipv6() then
        return pending "no dual stack on this machine"
      end
      local Server = class("Dual", socketserver[way],
        {address_family = csock.AF_INET6, dualstack = true})
      serving(Server({"::", 0}, Who), function(server)
        assert.is_false(server.socket.ipv6only)
        assert.are.same({"[::ffff:127.0.0.1]", "[::1]"}, ask_both(server))
      end)
    end)
  end

  it("may be forbidden", function()
    if not csock.has_dualstack_ipv6() then
      return pending "no dual stack on this machine"
    end
    local Server = class("Single", ThreadingTCPServer,
      {address_family = csock.AF_INET6, dualstack = false})
    while true do -- until nobody else listens at that port
      local server = Server({"::", 0}, Who)
      local taken <close> = csock.socket()
      local port = server.server_address[2]
      if pcall(taken.bind, taken, {"127.0.0.1", port}) then
        return serving(server, function()
          assert.is_true(server.socket.ipv6only)
          assert.are.same({"ECONNREFUSED", "[::1]"}, ask_both(server))
        end)
      end
      server:server_close()
    end
  end)
end)
