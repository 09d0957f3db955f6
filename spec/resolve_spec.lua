-- resolve: getaddrinfo, whose answers come from the system's resolver, and
-- gethostname.  Not here: names in the addresses of sockets (socket_spec).
-- Nothing here asks a name server: names are this machine's or impossible.

local csock = require "csock"

local AF_INET, AF_INET6 = csock.AF_INET, csock.AF_INET6
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM

local function misused(pattern, f)
  local ok, err = pcall(f)
  assert.is_false(ok, "nothing was raised")
  assert.are.equal("string", type(err), tostring(err))
  assert.matches("^[%w_/.]*resolve_spec%.lua:%d+: ", err)
  assert.matches(pattern, err)
end

-- getaddrinfo refuses this with the error of that name.
local function unresolved(code, ...)
  local ok, err = pcall(csock.getaddrinfo, ...)
  assert.is_false(ok, "nothing was raised")
  assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
  assert.are.same({code, csock[code], "getaddrinfo"},
    {err.code, err.errno, err.op})
  return err
end

local has_v6 = pcall(function()
  local sock <close> = csock.socket(AF_INET6)
  sock:bind {"::1", 0}
end)

-- One item of each answer, as a list.
local function column(infos, i)
  local list = {}
  for k, info in ipairs(infos) do list[k] = info[i] end
  return list
end

describe("getaddrinfo", function()
  it("gives family, type, protocol, canonical name and address", function()
    local infos = csock.getaddrinfo("127.0.0.1", 80, AF_INET, SOCK_STREAM)
    assert.are.equal(1, #infos)
    local info = infos[1]
    assert.are.same({AF_INET, SOCK_STREAM, csock.IPPROTO_TCP, ""},
      {info[1], info[2], info[3], info[4]})
    assert.are.same({"127.0.0.1", 80}, {table.unpack(info[5])})
    assert.are.equal(5, #info)
  end)

  it("gives addresses that a socket takes", function()
    local info = csock.getaddrinfo("127.0.0.1", 0, 0, SOCK_DGRAM)[1]
    local sock <close> = csock.socket(info[1], info[2], info[3])
    sock:bind(info[5])
    assert.are.equal("127.0.0.1", sock:getsockname().host)
  end)

  it("gives an answer for each type when none is asked for", function()
    local types = column(csock.getaddrinfo("127.0.0.1", 80), 2)
    table.sort(types)
    assert.are.same({SOCK_STREAM, SOCK_DGRAM, csock.SOCK_RAW}, types)
  end)

  it("gives only the type that is asked for", function()
    local infos = csock.getaddrinfo("127.0.0.1", 80, 0, SOCK_DGRAM)
    assert.are.same({SOCK_DGRAM}, column(infos, 2))
    assert.are.same({csock.IPPROTO_UDP}, column(infos, 3))
  end)

  it("gives only the protocol that is asked for", function()
    local infos = csock.getaddrinfo("127.0.0.1", 80, 0, 0, csock.IPPROTO_UDP)
    assert.are.same({csock.IPPROTO_UDP}, column(infos, 3))
  end)

  it("gives only the family that is asked for", function()
    for _, info in ipairs(csock.getaddrinfo("localhost", 80, AF_INET)) do
      assert.are.equal(AF_INET, info[1])
      assert.are.equal("127.0.0.1", info[5].host)
    end
    unresolved("EAI_ADDRFAMILY", "127.0.0.1", 80, AF_INET6)
  end)

  it("gives IPv6 addresses with all four items", function()
    if not has_v6 then pending "no IPv6 here" end
    local info = csock.getaddrinfo("::1", 80, 0, SOCK_STREAM)[1]
    assert.are.equal(AF_INET6, info[1])
    assert.are.same({"::1", 80, 0, 0}, {table.unpack(info[5])})
  end)

  it("reads the scope of an IPv6 address, by name and by number", function()
    if not has_v6 then pending "no IPv6 here" end
    for host, scope in pairs {["fe80::1%lo"] = 1, ["fe80::1%42"] = 42} do
      local info = csock.getaddrinfo(host, 80, 0, SOCK_STREAM)[1]
      assert.are.same({"fe80::1", 80, 0, scope}, {table.unpack(info[5])})
    end
  end)

  it("takes the name of a service for its port", function()
    local ok, infos = pcall(csock.getaddrinfo, "127.0.0.1", "http", 0,
      SOCK_STREAM)
    if not ok then pending "no /etc/services here" end
    assert.are.equal(80, infos[1][5].port)
  end)

  it("takes digits for a port", function()
    local infos = csock.getaddrinfo("127.0.0.1", "8080", 0, SOCK_STREAM)
    assert.are.equal(8080, infos[1][5].port)
  end)

  it("takes each whole number for a port", function()
    for _, port in ipairs {0, 1, 80, 65535, 80.0} do
      local infos = csock.getaddrinfo("127.0.0.1", port, 0, SOCK_STREAM)
      assert.are.equal(math.tointeger(port), infos[1][5].port)
    end
  end)

  it("takes no port for port 0", function()
    local infos = csock.getaddrinfo("127.0.0.1", nil, 0, SOCK_STREAM)
    assert.are.equal(0, infos[1][5].port)
  end)

  it("takes no host for this machine", function()
    for _, info in ipairs(csock.getaddrinfo(nil, 80, 0, SOCK_STREAM)) do
      assert.is_true(info[5].host == "127.0.0.1" or info[5].host == "::1")
    end
  end)

  it("takes no host for any address, with AI_PASSIVE", function()
    local infos = csock.getaddrinfo(nil, 80, AF_INET, SOCK_STREAM, 0,
      csock.AI_PASSIVE)
    assert.are.same({"0.0.0.0", 80}, {table.unpack(infos[1][5])})
  end)

  it("gives the canonical name, with AI_CANONNAME", function()
    local infos = csock.getaddrinfo("localhost", 80, AF_INET, SOCK_STREAM, 0,
      csock.AI_CANONNAME)
    assert.matches("%w", infos[1][4])
    infos = csock.getaddrinfo("127.0.0.1", 80, AF_INET, SOCK_STREAM, 0,
      csock.AI_CANONNAME)
    assert.are.equal("127.0.0.1", infos[1][4])
  end)

  it("looks up nothing, with AI_NUMERICHOST", function()
    unresolved("EAI_NONAME", "localhost", 80, 0, 0, 0, csock.AI_NUMERICHOST)
    local infos = csock.getaddrinfo("127.0.0.1", 80, 0, SOCK_STREAM, 0,
      csock.AI_NUMERICHOST)
    assert.are.equal("127.0.0.1", infos[1][5].host)
  end)

  it("looks up no service, with AI_NUMERICSERV", function()
    unresolved("EAI_NONAME", "127.0.0.1", "http", 0, SOCK_STREAM, 0,
      csock.AI_NUMERICSERV)
  end)

  it("joins flags", function()
    local infos = csock.getaddrinfo(nil, "80", AF_INET, SOCK_STREAM, 0,
      csock.AI_PASSIVE | csock.AI_NUMERICHOST | csock.AI_NUMERICSERV)
    assert.are.same({"0.0.0.0", 80}, {table.unpack(infos[1][5])})
  end)

  it("takes nil for each argument but the first two", function()
    assert.are.equal(80, csock.getaddrinfo("127.0.0.1", 80, nil, nil, nil,
      nil)[1][5].port)
  end)
end)

describe("getaddrinfo raises", function()
  it("gaierror for a host that cannot be", function()
    local err = unresolved("EAI_NONAME", ("n"):rep(64), 80)
    assert.are.equal(("n"):rep(64), err.address)
    assert.matches("not known", err.strerror)
    unresolved("EAI_NONAME", "no such host", 80)
    unresolved("EAI_NONAME", "256.256.256.256.256", 80, 0, 0, 0,
      csock.AI_NUMERICHOST)
  end)

  it("gaierror for a host that nobody has", function()
    local ok, err = pcall(csock.getaddrinfo, "nobody.invalid", 80)
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.gaierror), tostring(err))
    assert.matches("^EAI_%u+$", err.code)
  end)

  it("gaierror for neither host nor port", function()
    unresolved("EAI_NONAME")
    unresolved("EAI_NONAME", nil, nil)
  end)

  it("gaierror for a service that nobody has", function()
    unresolved("EAI_SERVICE", "127.0.0.1", "no-such-service")
  end)

  it("gaierror for a service that the type has not", function()
    local ok = pcall(csock.getaddrinfo, "127.0.0.1", "tftp", 0, SOCK_DGRAM)
    if not ok then pending "no /etc/services here" end
    unresolved("EAI_SERVICE", "127.0.0.1", "tftp", 0, SOCK_STREAM)
  end)

  it("gaierror for a family without names", function()
    unresolved("EAI_FAMILY", "127.0.0.1", 80, csock.AF_UNIX)
  end)

  it("gaierror for a type that does not exist", function()
    unresolved("EAI_SOCKTYPE", "127.0.0.1", 80, 0, 1234)
  end)

  it("gaierror for flags that do not exist", function()
    unresolved("EAI_BADFLAGS", "127.0.0.1", 80, 0, 0, 0, 1 << 30)
  end)

  it("gaierror for an interface that is not there", function()
    unresolved("EAI_NONAME", "fe80::1%nosuchif", 80)
  end)

  it("an argument error for what is no host", function()
    for _, wrong in ipairs {{}, true, print, "a\0b"} do
      misused("bad argument #1 to 'getaddrinfo'",
        function() csock.getaddrinfo(wrong, 80) end)
    end
  end)

  it("an argument error for what is no port", function()
    for _, wrong in ipairs {{}, true, print, "8\0", 80.5, -1, 65536, 70000,
      1 << 40, 1 / 0, 0 / 0} do
      misused("bad argument #2 to 'getaddrinfo'",
        function() csock.getaddrinfo("127.0.0.1", wrong) end)
    end
  end)

  it("an argument error for digits that are no port", function()
    -- the system cuts them to 16 bits, and says nothing
    for _, wrong in ipairs {"65536", "70000", "99999999999999999999"} do
      misused("bad argument #2 to 'getaddrinfo'",
        function() csock.getaddrinfo("127.0.0.1", wrong) end)
    end
  end)

  it("an argument error for wrong numbers", function()
    for i = 3, 6 do
      for _, wrong in ipairs {"x", {}, true, 1.5, 1 << 31} do
        local args = {"127.0.0.1", 80}
        args[i] = wrong
        misused(("bad argument #%d to 'getaddrinfo'"):format(i), function()
          csock.getaddrinfo(args[1], args[2], args[3], args[4], args[5],
            args[6])
        end)
      end
    end
  end)
end)

describe("gethostname", function()
  it("is the name of this machine", function()
    local file <close> = io.open "/proc/sys/kernel/hostname"
    if not file then pending "no /proc here" end
    assert.are.equal(file:read "l", csock.gethostname())
  end)
end)
