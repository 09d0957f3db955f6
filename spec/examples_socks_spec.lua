-- examples/socks.lua: SOCKS5 byte by byte, and through curl.

local example = require "spec.example"
local helper = require "spec.helper"
local csock = require "csock"

local GREETING, AGREED = "\5\1\0", "\5\0"

-- Where the proxy is to go.
local function listen(family, host)
  local listener = csock.socket(family or csock.AF_INET)
  listener.timeout = helper.slow and 200 or 40
  local ok, err = pcall(listener.bind, listener, {host or "127.0.0.1", 0})
  if not ok then
    listener:close()
    return nil, err
  end
  listener:listen()
  return listener
end

local function by_name(name, port)
  return "\5\1\0\3" .. string.pack(">s1I2", name, port)
end

local function by_number(port)
  return "\5\1\0\1\127\0\0\1" .. string.pack(">I2", port)
end

-- Ask the proxy: the client's end of a connection, and what the answer says.
local function ask(proxy, request)
  local sock = example.connect(proxy)
  sock:sendall(GREETING .. request) -- also before the proxy has agreed
  assert.are.equal(AGREED, example.take(sock, 2))
  local version, code, zero, kind = example.take(sock, 4):byte(1, 4)
  assert.are.equal(5, version)
  assert.are.equal(0, zero)
  local host = example.take(sock, kind == 4 and 16 or 4)
  local port = string.unpack(">I2", example.take(sock, 2))
  return sock, code, csock.inet_ntop(kind == 4 and csock.AF_INET6 or
    csock.AF_INET, host), port
end

describe("examples/socks.lua", function()
  local proxy
  before_each(function() proxy = example.serve("socks", 0) end)

  it("connects, by number and by name", function()
    local listener <close> = listen()
    local there = listener:getsockname().port
    for _, request in ipairs {by_number(there), by_name("localhost", there),
      by_name("127.0.0.1", there)} do
      local client <close>, code, host, port = ask(proxy, request)
      assert.are.equal(0, code)
      local server <close>, address = listener:accept()
      assert.are.same({host, port}, {address.host, address.port})
      client:sendall "to the server"
      assert.are.equal("to the server", example.take(server, 13))
      server:sendall "to the client"
      assert.are.equal("to the client", example.take(client, 13))
    end
    example.stop_silent(proxy)
  end)

  it("connects by IPv6", function()
    local listener <close> = listen(csock.AF_INET6, "::1")
    if not listener then pending "there is no ::1" end
    local client <close>, code, host = ask(proxy, "\5\1\0\4" ..
      csock.inet_pton(csock.AF_INET6, "::1") ..
      string.pack(">I2", listener:getsockname().port))
    assert.are.equal(0, code)
    assert.are.equal("::1", host)
    local server <close> = listener:accept()
    client:sendall "hello"
    assert.are.equal("hello", example.take(server, 5))
    client:close()
    server:close()
    example.stop_silent(proxy)
  end)

  it("carries much in both directions at once", function()
    local listener <close> = listen()
    local client <close> = ask(proxy, by_number(listener:getsockname().port))
    local server <close> = listener:accept()
    local loop = require "csock.loop"
    local out, back = {}, {}
    for i = 1, 100000 do
      out[i], back[i] = ("%06d there "):format(i), ("%06d back "):format(i)
    end
    out, back = table.concat(out), table.concat(back)
    local got_out, got_back
    loop.run(function()
      local tasks = {
        loop.spawn(function() client:sendall(out) end),
        loop.spawn(function() server:sendall(back) end),
        loop.spawn(function() got_out = example.take(server, #out) end),
        loop.spawn(function() got_back = example.take(client, #back) end),
      }
      for _, task in ipairs(tasks) do task:join() end
    end)
    assert.is_true(got_out == out)
    assert.is_true(got_back == back)
    client:close()
    server:close()
    example.stop_silent(proxy)
  end)

  it("passes on that one side has no more to say", function()
    local listener <close> = listen()
    for _, first in ipairs {"client", "server"} do
      local client <close> = ask(proxy, by_number(listener:getsockname().port))
      local server <close> = listener:accept()
      local a, b = client, server
      if first == "server" then a, b = server, client end
      a:sendall "that was all"
      a:shutdown(csock.SHUT_WR)
      assert.are.equal("that was all", example.drain(b))
      b:sendall "not for me"
      assert.are.equal("not for me", example.take(a, 10))
      b:close()
      assert.are.equal("", a:recv(1))
    end
    example.stop_silent(proxy)
  end)

  it("lets go of one side when the other is cut off", function()
    local listener <close> = listen()
    for _, first in ipairs {"client", "server"} do
      local client <close> = ask(proxy, by_number(listener:getsockname().port))
      local server <close> = listener:accept()
      local a, b = client, server
      if first == "server" then a, b = server, client end
      a.linger = 0
      a:close() -- a reset
      local ok, data = pcall(b.recv, b, 1)
      assert.is_true(not ok and data.code == "ECONNRESET" or data == "")
    end
    example.stop_silent(proxy)
  end)

  it("says why it could not connect", function()
    local closed = helper.deserted_port()
    for request, wanted in pairs {
      [by_number(closed)] = 5, [by_name("localhost", closed)] = 5,
      [by_name("no-such-host.invalid", 80)] = 4, [by_name("", 80)] = 4,
      ["\5\2\0\1\127\0\0\1\0\80"] = 7, ["\5\3\0\1\127\0\0\1\0\80"] = 7,
      ["\5\1\0\9"] = 8, ["\5\1\0\1\255\255\255\255\0\80"] = 3,
    } do
      local client <close>, code = ask(proxy, request)
      assert.are.equal(wanted, code, helper.quote(request))
      assert.are.equal("", example.drain(client))
    end
    example.stop_silent(proxy)
  end)

  it("lets nobody in who speaks otherwise", function()
    for said, wanted in pairs {
      ["\5\2\1\2"] = "\5\255", ["\5\0"] = "\5\255", ["\4\1"] = "", [""] = "",
      ["\5"] = "", [GREETING .. "\5\1"] = AGREED,
      [GREETING .. "\5\1\0\3\20short"] = AGREED,
    } do
      local sock <close> = example.connect(proxy)
      sock:sendall(said)
      sock:shutdown(csock.SHUT_WR)
      assert.are.equal(wanted, example.drain(sock))
    end
    example.stop_silent(proxy)
  end)

  it("is understood by curl", function()
    example.need "curl"
    local files = example.serve("files", "examples", 0)
    for _, way in ipairs {"--socks5-hostname", "--socks5"} do
      local output = example.output(("curl -s %s 127.0.0.1:%d " ..
        "http://localhost:%d/socks.lua"):format(way, proxy.port, files.port))
      local file <close> = assert(io.open "examples/socks.lua")
      assert.are.equal(file:read "a", output)
    end
    assert.are.equal("97", example.output("sh -c \"curl -s " ..
      "--socks5-hostname " ..
      "127.0.0.1:" .. proxy.port .. " http://no-such-host.invalid/; " ..
      "printf \\$?\""))
    example.stop_silent(files)
    example.stop_silent(proxy)
  end)
end)
