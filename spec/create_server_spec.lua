-- create_server: create_server and has_dualstack_ipv6.

local csock = require "csock"
local helper = require "spec.helper"
local misused = helper.misused

local loop = csock.loop

describe("CreateServerTest", function()
  it("test_address: what was asked for", function()
    helper.with_unused_port(function(port)
      local sock <close> = csock.create_server {"127.0.0.1", port}
      assert.are.equal("127.0.0.1", sock:getsockname()[1])
      assert.are.equal(port, sock:getsockname()[2])
    end)
    helper.with_unused_port(function(port)
      local sock <close> = csock.create_server({"::1", port},
        {family = csock.AF_INET6})
      assert.are.equal("::1", sock:getsockname()[1])
      assert.are.equal(port, sock:getsockname()[2])
    end)
  end)

  it("test_family_and_type: streams of that family", function()
    local sock <close> = csock.create_server {"127.0.0.1", 0}
    assert.are.equal(csock.AF_INET, sock.family)
    assert.are.equal(csock.SOCK_STREAM, sock.type)
    local six <close> = csock.create_server({"::1", 0},
      {family = csock.AF_INET6})
    assert.are.equal(csock.AF_INET6, six.family)
    assert.are.equal(csock.SOCK_STREAM, six.type)
  end)

  it("test_reuse_port: off unless asked for", function()
    local sock <close> = csock.create_server {"localhost", 0}
    assert.are.equal(0, sock:getsockopt(csock.SOL_SOCKET, csock.SO_REUSEPORT))
    local other <close> = csock.create_server({"localhost", 0},
      {reuse_port = true})
    assert.are_not.equal(0, other:getsockopt(csock.SOL_SOCKET,
      csock.SO_REUSEPORT))
  end)

  it("test_ipv6_only_default: IPv6 alone", function()
    local sock <close> = csock.create_server({"::1", 0},
      {family = csock.AF_INET6})
    assert.are_not.equal(0, sock:getsockopt(csock.IPPROTO_IPV6,
      csock.IPV6_V6ONLY))
  end)

  it("test_dualstack_ipv6_family: an IPv6 socket", function()
    assert.is_true(csock.has_dualstack_ipv6())
    local sock <close> = csock.create_server({"::1", 0},
      {family = csock.AF_INET6, dualstack_ipv6 = true})
    assert.are.equal(csock.AF_INET6, sock.family)
    local any <close> = csock.create_server({"", 0},
      {family = csock.AF_INET6, dualstack_ipv6 = true})
    assert.are.equal(0, any:getsockopt(csock.IPPROTO_IPV6, csock.IPV6_V6ONLY))
  end)
end)

describe("CreateServerFunctionalTest", function()
  -- A server that echoes once, and a client in a task of the same loop.
  local function echo(options, host, family)
    loop.run(function()
      local server <close> = csock.create_server({"", 0}, options)
      local port = server:getsockname()[2]
      server.timeout = 40
      local task = loop.spawn(function()
        local conn <close> = server:accept()
        local message = conn:recv(1024)
        if message ~= "" then conn:sendall(message) end
      end)
      local client <close> = csock.socket(family)
      client.timeout = 40
      client:connect {host, port}
      client:sendall "foo"
      assert.are.equal("foo", client:recv(1024))
      task:join()
    end)
  end

  it("test_tcp4: IPv4", function()
    echo(nil, "127.0.0.1", csock.AF_INET)
  end)

  it("test_tcp6: IPv6", function()
    echo({family = csock.AF_INET6}, "::1", csock.AF_INET6)
  end)

  it("test_dual_stack_client_v4: IPv4 to both", function()
    echo({family = csock.AF_INET6, dualstack_ipv6 = true}, "127.0.0.1",
      csock.AF_INET)
  end)

  it("test_dual_stack_client_v6: IPv6 to both", function()
    echo({family = csock.AF_INET6, dualstack_ipv6 = true}, "::1",
      csock.AF_INET6)
  end)
end)

describe("create_server", function()
  it("tells the address that cannot be had, and leaks nothing", function()
    local sock <close> = csock.create_server {"127.0.0.1", 0}
    local address = {"127.0.0.1", sock:getsockname()[2]}
    local ok, err = pcall(csock.create_server, address)
    assert.is_false(ok)
    assert.are.equal(csock.EADDRINUSE, err.errno)
    assert.are.equal("bind", err.op)
    assert.is_truthy(err.strerror:find(("%%(while attempting to bind on " ..
      "address 127%%.0%%.0%%.1:%d%%)$"):format(address[2])), err.strerror)
    ok, err = pcall(csock.create_server, {"nosuch.invalid", 0})
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror))
    assert.is_truthy(err.strerror:find("nosuch.invalid", 1, true))
  end)

  it("sets SO_REUSEADDR and the backlog", function()
    local sock <close> = csock.create_server({"127.0.0.1", 0}, {backlog = 0})
    assert.is_true(sock.reuseaddr)
    assert.is_true(sock.acceptconn)
    -- a queue of one is full with one connection: the next has to wait
    local first <close> = csock.create_connection(sock:getsockname(), 40)
    assert.are.equal(first:getsockname(), select(2, sock:accept()))
  end)

  it("refuses misuse before anything is made", function()
    misused("#1.*{host, port} expected", csock.create_server)
    misused("#1.*{host, port} expected", csock.create_server, 80)
    misused("#2.*table expected, got number", csock.create_server,
      {"", 0}, csock.AF_INET6)
    misused("unknown option 'reuseport'", csock.create_server, {"", 0},
      {reuseport = true})
    misused("dualstack_ipv6 requires AF_INET6 family", csock.create_server,
      {"", 0}, {dualstack_ipv6 = true})
    misused("port must be 0%-65535", csock.create_server, {"", 65536})
    for _, key in ipairs {"backlog", "family"} do
      misused("#2.*" .. key .. ": integer expected", csock.create_server,
        {"", 0}, {[key] = "x"})
    end
  end)

  it("says in its error where it was called", function()
    local _, err = pcall(function()
      local sock = csock.create_server {"nosuch.invalid", 0}
      return sock
    end)
    assert.is_truthy(tostring(err):find("create_server_spec.lua:", 1, true))
  end)
end)
