-- resolve: names of hosts, whose answers come from the system's resolver, in
-- functions and in the addresses of methods.  Not here: create_connection.
-- Nothing here asks a name server: names are this machine's or impossible, or
-- belong to a resolver of our own, which can be told to be slow; what needs it
-- runs in child processes (spec/resolver.c).

local csock = require "csock"
local helper = require "spec.helper"
local lfs = require "lfs"
local visit = require "spec.visit"
local misused = helper.misused

local AF_INET, AF_INET6 = csock.AF_INET, csock.AF_INET6
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM

-- getaddrinfo misused this with the error of that name.
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

  it("says of numbers what Python says", function()
    if not helper.has "python3" then pending "no python3 here" end
    local process = helper.spawn_process("python3 -c " .. helper.quote [[
import socket
S, D = socket.SOCK_STREAM, socket.SOCK_DGRAM
for host in "127.0.0.1", "0.0.0.0", "10.1", "010.0.0.1", "::1", "FE80::1", \
        "::ffff:1.2.3.4":
    for family in 0, socket.AF_INET, socket.AF_INET6:
        for type, proto in (S, 0), (S, 6), (S, 17), (D, 0), (D, 17):
            for flags in 0, socket.AI_NUMERICHOST:
                args = host, 80, family, type, proto, flags
                try:
                    i, = socket.getaddrinfo(*args)
                    print(*map(int, i[:3]), i[3] + ";", i[4][0], i[4][1])
                except OSError as e:
                    print(e.errno)]])
    local function same(...)
      local ok, infos = pcall(csock.getaddrinfo, ...)
      if not ok then
        return assert.are.equal(process:read "l", tostring(infos.errno))
      end
      assert.are.equal(1, #infos)
      local family, kind, proto, name, address = table.unpack(infos[1])
      assert.are.equal(process:read "l", ("%d %d %d %s; %s %d"):format(family,
        kind, proto, name, address[1], address[2]))
    end
    for _, host in ipairs {"127.0.0.1", "0.0.0.0", "10.1", "010.0.0.1", "::1",
      "FE80::1", "::ffff:1.2.3.4"} do
      for _, family in ipairs {0, AF_INET, AF_INET6} do
        for _, kind in ipairs {{SOCK_STREAM, 0}, {SOCK_STREAM, 6},
          {SOCK_STREAM, 17}, {SOCK_DGRAM, 0}, {SOCK_DGRAM, 17}} do
          for _, flags in ipairs {0, csock.AI_NUMERICHOST} do
            same(host, 80, family, kind[1], kind[2], flags)
          end
        end
      end
    end
    assert.is_nil(process:read "l")
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

-- What CPython's tests demand ----------------------------------------------

local HOST = "127.0.0.1"

local raises = helper.raises

local function same_infos(a, b)
  assert.are.equal(#a, #b)
  assert.is_true(#a > 0)
  for i = 1, #a do
    for k = 1, 5 do assert.is_true(a[i][k] == b[i][k]) end
  end
end

local function contains(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

describe("GeneralModuleTests", function()
  it("testHostnameRes: a name, its address, and back", function()
    local hostname = csock.gethostname()
    local ok, ip = pcall(csock.gethostbyname, hostname)
    if not ok then return pending "name lookup failure" end
    assert.is_truthy(ip:find(".", 1, true))
    local found, name, aliases = pcall(csock.gethostbyaddr, ip)
    if not found then return pending "name lookup failure" end
    table.insert(aliases, 1, name)
    table.insert(aliases, 1, hostname)
    assert.is_true(contains(aliases, csock.getfqdn(ip)))
  end)

  it("testGetaddrinfo: hosts, ports, filters, names of arguments", function()
    csock.getaddrinfo("localhost", 80)
    for _, info in ipairs(csock.getaddrinfo(HOST, nil)) do
      assert.are.equal(5, #info)
    end
    csock.getaddrinfo("127.0.0.1", 80)
    csock.getaddrinfo(nil, 80)
    if has_v6 then csock.getaddrinfo("::1", 80) end
    assert.are.equal(80, csock.getaddrinfo(HOST, "http")[1][5].port)
    csock.getaddrinfo(HOST, 80)
    local infos = csock.getaddrinfo(HOST, 80, AF_INET, SOCK_STREAM)
    for _, info in ipairs(infos) do
      assert.are.equal(AF_INET, info[1])
      assert.are.equal(SOCK_STREAM, info[2])
    end
    infos = csock.getaddrinfo(HOST, nil, 0, SOCK_STREAM)
    for _, info in ipairs(infos) do assert.are.equal(SOCK_STREAM, info[2]) end
    csock.getaddrinfo(HOST, nil, 0, 0, csock.SOL_TCP)
    csock.getaddrinfo(HOST, nil, 0, 0, 0, csock.AI_PASSIVE)
    csock.getaddrinfo(nil, 0, csock.AF_UNSPEC, SOCK_STREAM, 0,
      csock.AI_PASSIVE)
    -- arguments by name
    same_infos(csock.getaddrinfo(HOST, nil), csock.getaddrinfo {host = HOST})
    same_infos(csock.getaddrinfo(HOST, nil, AF_INET),
      csock.getaddrinfo(HOST, nil, {family = AF_INET}))
    same_infos(csock.getaddrinfo(HOST, nil, 0, SOCK_STREAM),
      csock.getaddrinfo(HOST, nil, {type = SOCK_STREAM}))
    same_infos(csock.getaddrinfo(HOST, nil, 0, 0, csock.SOL_TCP),
      csock.getaddrinfo(HOST, nil, {proto = csock.SOL_TCP}))
    same_infos(csock.getaddrinfo(HOST, nil, 0, 0, 0, csock.AI_PASSIVE),
      csock.getaddrinfo(HOST, nil, {flags = csock.AI_PASSIVE}))
    same_infos(csock.getaddrinfo(nil, 0, csock.AF_UNSPEC, SOCK_STREAM, 0,
      csock.AI_PASSIVE), csock.getaddrinfo {port = 0,
      family = csock.AF_UNSPEC, type = SOCK_STREAM, proto = 0,
      flags = csock.AI_PASSIVE})
    -- it may succeed or fail, and must not crash
    local ok, err = pcall(csock.getaddrinfo, "localhost", nil, 0, 0, 0,
      csock.AI_NUMERICSERV)
    assert.is_true(ok or csock.isinstance(err, csock.gaierror))
  end)

  it("test_getaddrinfo_ipv6_basic: one entry, in lower case", function()
    local infos = csock.getaddrinfo("ff02::1de:c0:face:8D", 1234, AF_INET6,
      SOCK_DGRAM, csock.IPPROTO_UDP)
    assert.are.equal(1, #infos)
    assert.are.same({"ff02::1de:c0:face:8d", 1234, 0, 0},
      {table.unpack(infos[1][5])})
  end)

  it("test_getaddrinfo_ipv6_scopeid_symbolic: the interface's number",
  function()
    local index, name = table.unpack(csock.if_nameindex()[1])
    local infos = csock.getaddrinfo("ff02::1de:c0:face:8D%" .. name, 1234,
      AF_INET6, SOCK_DGRAM, csock.IPPROTO_UDP)
    assert.are.equal(1, #infos)
    assert.are.same({"ff02::1de:c0:face:8d", 1234, 0, index},
      {table.unpack(infos[1][5])})
  end)

  it("test_getaddrinfo_ipv6_scopeid_numeric: any number", function()
    local infos = csock.getaddrinfo("ff02::1de:c0:face:8D%42", 1234, AF_INET6,
      SOCK_DGRAM, csock.IPPROTO_UDP)
    assert.are.equal(1, #infos)
    assert.are.same({"ff02::1de:c0:face:8d", 1234, 0, 42},
      {table.unpack(infos[1][5])})
  end)

  it("test_getfqdn_filter_localhost: any address is this host", function()
    assert.are.equal(csock.getfqdn(), csock.getfqdn "0.0.0.0")
    assert.are.equal(csock.getfqdn(), csock.getfqdn "::")
  end)

  it("test_getnameinfo: only numbers", function()
    raises(csock.error, csock.getnameinfo, {"mail.python.org", 0}, 0)
  end)

  it("test_getnameinfo_ipv6_scopeid_symbolic: the interface's name",
  function()
    local index, name = table.unpack(csock.if_nameindex()[1])
    assert.are.same({"ff02::1de:c0:face:8d%" .. name, "1234"},
      {csock.getnameinfo({"ff02::1de:c0:face:8D", 1234, 0, index},
        csock.NI_NUMERICHOST | csock.NI_NUMERICSERV)})
  end)

  it("test_getnameinfo_ipv6_scopeid_numeric: any number", function()
    assert.are.same({"ff02::1de:c0:face:8d%42", "1234"},
      {csock.getnameinfo({"ff02::1de:c0:face:8D", 1234, 0, 42},
        csock.NI_NUMERICHOST | csock.NI_NUMERICSERV)})
  end)

  it("test_host_resolution: numbers stay, names are found", function()
    for _, addr in ipairs {HOST, "10.0.0.1", "255.255.255.255"} do
      assert.are.equal(addr, csock.gethostbyname(addr))
    end
    local _, _, addresses = csock.gethostbyaddr(HOST)
    assert.is_true(contains(addresses, HOST))
  end)

  it("test_host_resolution_bad_address: malformed numbers", function()
    for _, addr in ipairs {"0.1.1.~1", "1+.1.1.1", "::1q", "::1::2",
      "1:1:1:1:1:1:1:1:1"} do
      raises(csock.error, csock.gethostbyname, addr)
      raises(csock.error, csock.gethostbyaddr, addr)
    end
  end)

  it("test_getsockaddrarg: ports out of range", function()
    local sock <close> = csock.socket()
    local port = helper.bind_unused(sock, HOST)
    assert.are.equal(port, sock:getsockname()[2])
    local other <close> = csock.socket()
    misused("port must be 0%-65535", other.bind, other, {HOST, port + 65536})
    misused("port must be 0%-65535", other.bind, other, {HOST, port - 65536})
  end)

  it("testInterpreterCrash: getnameinfo of a host that is no number",
  function()
    raises(csock.error, csock.getnameinfo, {"x", 0, 0, 0}, 0)
  end)

  it("testGetServBy: a service that exists, and back", function()
    local service, port
    for _, name in ipairs {"daytime", "qotd", "domain"} do
      local ok, found = pcall(csock.getservbyname, name, "tcp")
      if ok then
        service, port = name, found
        break
      end
    end
    assert.is_truthy(service, "none of the services is known")
    assert.are.equal("integer", math.type(port))
    assert.are.equal(port, csock.getservbyname(service))
    local has_udp, udp_port = pcall(csock.getservbyname, service, "udp")
    if has_udp then
      assert.are.equal(port, udp_port)
      assert.are.equal(service, csock.getservbyport(udp_port, "udp"))
    end
    assert.are.equal(service, csock.getservbyport(port))
    assert.are.equal(service, csock.getservbyport(port, "tcp"))
    misused("port must be 0%-65535", csock.getservbyport, -1)
    misused("port must be 0%-65535", csock.getservbyport, 65536)
  end)

  it("test_flowinfo: twenty bits", function()
    misused("flowinfo must be", csock.getnameinfo, {"::1", 0, 0xffffffff}, 0)
    local sock <close> = csock.socket(AF_INET6)
    misused("flowinfo must be", sock.bind, sock, {"::1", 0, -10})
  end)

  it("test_sethostname: in a name space of its own", function()
    local script = [[
      local csock = require "csock"
      csock.sethostname "new"
      assert(csock.gethostname() == "new")
      csock.sethostname "bar"
      print(csock.gethostname())]]
    if not os.execute "unshare --uts true 2>/dev/null" then
      return pending "test should be run as root"
    end
    local child = helper.spawn_process("unshare --uts env " .. helper.lua ..
      " -e " .. helper.quote(script))
    assert.are.equal("bar\n", child:read "a")
  end)
end)

describe("a table of services or protocols", function()
  -- What f(...) raises: an error of csock's without an errno.
  local function unknown(reason, op, ...)
    local err = raises(csock.error, csock[op], ...)
    assert.are.same({reason, op, (...)}, {err.strerror, err.op, err.address})
    assert.is_nil(err.errno)
    assert.is_nil(err.code)
  end

  local function everywhere(name, f)
    it(name .. ", outside of tasks", f)
    it(name .. ", in a task", function() csock.loop.run(f) end)
  end

  everywhere("knows names and numbers", function()
    assert.are.equal(80, csock.getservbyname "http")
    assert.are.equal(53, csock.getservbyname("domain", "udp"))
    assert.are.equal("http", csock.getservbyport(80, nil))
    assert.are.equal(csock.IPPROTO_TCP, csock.getprotobyname "tcp")
    assert.are.equal(csock.IPPROTO_UDP, csock.getprotobyname "UDP")
    assert.are.equal(csock.IPPROTO_ICMP, csock.getprotobyname "icmp")
  end)

  everywhere("tells what it does not know", function()
    unknown("service/proto not found", "getservbyname", "nosuch")
    unknown("service/proto not found", "getservbyname", "http", "nosuch")
    unknown("service/proto not found", "getservbyname", "80")
    unknown("service/proto not found", "getservbyname", "")
    unknown("port/proto not found", "getservbyport", 0)
    unknown("port/proto not found", "getservbyport", 80, "nosuch")
    unknown("protocol not found", "getprotobyname", "nosuch")
    unknown("protocol not found", "getprotobyname", "6")
  end)

  it("refuses misuse at once", function()
    misused("#1.*string expected, got no value", csock.getservbyname)
    misused("#1.*string expected, got number", csock.getservbyname, 80)
    misused("#1.*embedded zero", csock.getservbyname, "ht\0tp")
    misused("#2.*string expected, got boolean", csock.getservbyname, "http",
      true)
    misused("#1.*integer expected, got string", csock.getservbyport, "80")
    misused("#1.*integer expected, got number", csock.getservbyport, 80.5)
    misused("#1.*out of range", csock.getservbyport, 1 << 40)
    misused("#2.*embedded zero", csock.getservbyport, 80, "t\0cp")
    misused("#1.*string expected, got nil", csock.getprotobyname, nil)
    misused("#1.*embedded zero", csock.getprotobyname, "tc\0p")
  end)

  it("is the same for Python", function()
    if not helper.has "python3" then pending "no python3 here" end
    local process = helper.spawn_process("python3 -c " .. helper.quote [[
import socket
def ask(f, *args):
    try: print(f(*args))
    except OSError as e: print(e)
for port in list(range(0, 200)) + [443, 6667, 8080, 65535]:
    ask(socket.getservbyport, port)
    ask(socket.getservbyport, port, "tcp")
    ask(socket.getservbyport, port, "udp")]])
    local function same(...)
      local ok, answer = pcall(csock.getservbyport, ...)
      assert.are.equal(process:read "l", ok and answer or answer.strerror)
    end
    for i = 0, 203 do
      local port = i < 200 and i or ({443, 6667, 8080, 65535})[i - 199]
      same(port)
      same(port, "tcp")
      same(port, "udp")
    end
    assert.is_nil(process:read "l")
  end)
end)

describe("a look-up", function()
  local function everywhere()
    local server <close> = csock.socket()
    assert.is_true(server:bind {"localhost", 0})
    server:listen()
    local port = server:getsockname()[2]
    local a <close> = csock.socket()
    local b <close> = csock.socket()
    assert.is_true(a:connect {"localhost", port})
    assert.are.equal(0, b:connect_ex {"localhost", port})
    local u <close> = csock.socket(AF_INET, SOCK_DGRAM)
    u:bind {"localhost", 0}
    port = u:getsockname()[2]
    assert.are.equal(1, u:sendto("x", {"localhost", port}))
    assert.are.equal(2, u:sendto("yz", 0, {"localhost", port}))
    assert.are.equal("x", u:recv(5))
    assert.are.equal("yz", u:recv(5))
    assert.are.equal(HOST, csock.gethostbyname "localhost")
    assert.is_true(#csock.getaddrinfo("localhost", "http") > 0)
  end

  it("finds names in connect, connect_ex, bind and sendto", everywhere)

  it("does the same inside a task", function()
    csock.loop.run(everywhere)
  end)

  it("knows every spelling of a number", function()
    local sock <close> = csock.socket()
    sock:bind {"127.1", 0}
    assert.are.equal(HOST, sock:getsockname()[1])
    assert.are.equal(HOST, csock.gethostbyname "0x7f.1")
    assert.are.equal("0.0.0.0", csock.gethostbyname "")
    assert.are.equal("255.255.255.255", csock.gethostbyname "<broadcast>")
  end)

  it("tells what failed, and of what", function()
    local sock <close> = csock.socket()
    local err = raises(csock.gaierror, sock.connect, sock,
      {"nosuch.invalid", 80})
    assert.are.equal("connect", err.op)
    assert.are.equal("nosuch.invalid", err.address[1])
    err = raises(csock.gaierror, sock.connect_ex, sock, {"nosuch.invalid", 80})
    assert.is_truthy(err.code:find "^EAI_")
    err = raises(csock.herror, csock.gethostbyaddr, "192.0.2.1")
    assert.are.equal("gethostbyaddr", err.op)
    assert.is_truthy(tostring(err):find("192.0.2.1", 1, true))
  end)

  it("gives entries: name, aliases, addresses", function()
    local name, aliases, addresses = csock.gethostbyname_ex "localhost"
    assert.are.equal("localhost", name)
    assert.is_table(aliases)
    assert.is_true(contains(addresses, HOST))
    name, aliases, addresses = csock.gethostbyaddr(HOST)
    assert.are.equal("localhost", name)
    assert.is_table(aliases)
    assert.are.same({HOST}, addresses)
  end)

  it("finds no entry for the two names that are addresses", function()
    for _, name in ipairs {"", "<broadcast>"} do
      raises(csock.herror, csock.gethostbyname_ex, name)
      raises(csock.herror, csock.gethostbyaddr, name)
    end
  end)

  it("gives names of addresses, also of address objects", function()
    local sock <close> = csock.socket()
    sock:bind {HOST, 0}
    local address = sock:getsockname()
    local numeric = csock.NI_NUMERICHOST | csock.NI_NUMERICSERV
    assert.are.same({HOST, tostring(address[2])},
      {csock.getnameinfo(address, numeric)})
    assert.are.same({"localhost", "http"}, {csock.getnameinfo({HOST, 80}, 0)})
    assert.are.same({HOST, "80"}, {csock.getnameinfo({"127.1", 80}, numeric)})
  end)

  it("refuses misuse at once", function()
    misused("#1.*string expected, got no value", csock.gethostbyname)
    misused("#1.*string expected, got no value", csock.gethostbyname_ex)
    misused("#1.*string expected, got boolean", csock.gethostbyaddr, true)
    misused("#1.*embedded zero", csock.gethostbyname, "local\0host")
    misused("unknown option 'famly'", csock.getaddrinfo, HOST, 80, {famly = 2})
    misused("unknown option", csock.getaddrinfo, {HOST})
    misused("#7.*negative", csock.getaddrinfo, HOST, 80, 0, 0, 0, 0, -1)
    misused("#2.*integer expected", csock.getnameinfo, {HOST, 80})
    misused("#1.*expected", csock.getnameinfo, "localhost", 0)
    misused("host must be a string", csock.getnameinfo, {nil, 80}, 0)
    misused("two items", csock.getnameinfo, {HOST, 80, 0, 0}, 0)
    misused("#1.*string expected", csock.getfqdn, 5)
    misused("#1", csock.sethostname, {})
  end)
end)

-- A resolver that can be told to be slow -----------------------------------

describe("a slow resolver", function()
  local directory, library

  lazy_setup(function()
    directory = os.tmpname()
    os.remove(directory)
    assert(lfs.mkdir(directory))
    library = directory .. "/resolver.so"
    -- env: a sanitizer that is preloaded here is not for the compiler
    local compile = "env -u LD_PRELOAD %s -shared -fPIC -pthread -o %s " ..
      "spec/resolver.c -ldl"
    assert(os.execute(compile:format(os.getenv "CC" or "cc", library)),
      "the resolver compiles")
  end)

  lazy_teardown(function()
    os.execute("rm -rf " .. helper.quote(directory))
  end)

  -- What stands before each script.  The resolver is stuck in slow.test until
  -- open() is called; stuck() counts the look-ups that are stuck there or
  -- were, started() the threads that were begun, threads() those that are.
  local prelude = "local patience = " .. visit.patience .. [[

    local csock = require "csock"
    local loop = require "csock.loop"
    local gate = os.getenv "GATE"
    local function size(path)
      local file <close> = io.open(path)
      return file and file:seek "end" or 0
    end
    local function stuck() return size(gate .. ".in") end
    local function started() return size(gate .. ".threads") end
    local function open() assert(io.open(gate, "w")):close() end
    local function threads()
      local file <close> = io.open "/proc/self/status"
      return tonumber(file:read "a":match "\nThreads:%s*(%d+)")
    end
    local function descriptors() -- without one more that a program would take
      local number = 0
      for fd = 0, 400 do
        local open, copy = pcall(csock.dup, fd)
        if open then
          csock.close(copy)
          number = number + 1
        end
      end
      return number
    end
    local function wait(f)
      local latest = loop.now() + patience
      while not f() do
        loop.sleep(0.001)
        assert(loop.now() < latest, "waited in vain")
      end
    end
    local function wait_descriptors(number) -- threads have some for a moment
      wait(function() return descriptors() == number end)
    end
    local function raises(class, f, ...)
      local ok, err = pcall(f, ...)
      assert(not ok, "no error was raised")
      assert(csock.isinstance(err, class), tostring(err))
      return err
    end
    -- Calls f, which asks and waits for a moment only, until its question got
    -- stuck: a busy machine may have no thread begin with it so soon.
    local function until_stuck(f, ...)
      local before = stuck()
      repeat
        f(...)
        wait(function() return threads() == 1 + stuck() end)
      until stuck() > before
    end
    local function leave()   -- the threads that are left come to their end
      open()
      wait(function() return threads() == 1 end)
      print "done"
    end
  ]]

  -- Runs a script with that resolver; it must end well, and print "done".
  local number = 0
  local function run(script, before)
    number = number + 1
    local gate = directory .. "/gate" .. number
    local file = directory .. "/script" .. number .. ".lua"
    local out = assert(io.open(file, "w"))
    out:write(prelude, script)
    out:close()
    local lua, count = helper.lua:gsub("LD_PRELOAD=(%S+)",
      "LD_PRELOAD=%1:" .. library)
    if count == 0 then lua = "LD_PRELOAD=" .. library .. " " .. lua end
    local command = ("%s GATE=%s exec env %s %s 2>&1"):format(before or "",
      gate, lua, file)
    local child = helper.spawn_process("sh -c " .. helper.quote(command))
    assert.are.equal("done\n", child:read "a")
    assert.are.same({true, "exit", 0}, {child:wait()})
  end

  it("is no hindrance to a loop that serves 1,000 connections", function()
    run([[
      loop.run(function()
        local look = loop.spawn(csock.getaddrinfo, "slow.test", 80)
        wait(function() return stuck() == 1 end)
        local server <close> = csock.create_server {"127.0.0.1", 0}
        loop.spawn(function()
          while true do
            local sock = server:accept()
            loop.spawn(function()
              local sock <close> = sock
              for data in function() return sock:recv(100) end do
                if data == "" then return end
                sock:sendall(data)
              end
            end)
          end
        end)
        local progress, clients, together = 0, {}, 0
        for i = 1, 1000 do
          clients[i] = loop.spawn(function()
            local sock <close> = csock.create_connection(server:getsockname())
            together = together + 1
            wait(function() return together == 1000 end)
            for round = 1, 10 do
              local text = i .. ":" .. round
              sock:sendall(text)
              assert(sock:recv(100) == text)
              progress = progress + 1
            end
          end)
        end
        for _, client in ipairs(clients) do client:join() end
        assert(progress == 10000)
        assert(look:status() == "waiting" and stuck() == 1)
        open()
        assert(look:join()[1][5].host == "127.0.0.1")
      end)
      print "done"]], "ulimit -n 4096;")
  end)

  -- Every operation that may look a name up, as text.
  local operations = {
    connect = [[csock.socket():connect {"slow.test", 80}]],
    bind = [[csock.socket():bind {"slow.test", 0}]],
    sendto = [[csock.socket(csock.AF_INET, csock.SOCK_DGRAM):
      sendto("x", {"slow.test", 80})]],
    getaddrinfo = [[csock.getaddrinfo("slow.test", 80)]],
    gethostbyname = [[csock.gethostbyname "slow.test"]],
    gethostbyname_ex = [[csock.gethostbyname_ex "slow.test"]],
    gethostbyaddr = [[csock.gethostbyaddr "slow.test"]],
    getnameinfo = [[csock.getnameinfo({"192.0.2.77", 80}, 0)]],
    getfqdn = [[csock.getfqdn "slow.test"]],
    getservbyname = [[csock.getservbyname "slow.test"]],
    getservbyport = [[csock.getservbyport(7777, "tcp")]],
    getprotobyname = [[csock.getprotobyname "slow.test"]],
    create_connection = [[csock.create_connection {"slow.test", 80}]],
  }
  local names = {}
  for name in pairs(operations) do names[#names + 1] = name end
  table.sort(names)

  -- The text of a function with this operation.
  local function body(name)
    return "function() " .. operations[name]:gsub("^(csock%.socket%b()):",
      "local sock <close> = %1 return sock:"):gsub("^csock", "return %0") ..
      " end\n"
  end

  it("makes csock.safe return that time is up", function()
    local texts = {"local csock = csock.safe\nlocal operations = {}\n"}
    for _, name in ipairs(names) do
      texts[#texts + 1] = ("operations.%s = %s"):format(name, body(name))
    end
    run(table.concat(texts) .. [[
      local function once()
        for name, operation in pairs(operations) do
          local result, err = operation()
          assert(result == nil and csock.isinstance(err, csock.timeout), name)
          assert(err.errno == csock.ETIMEDOUT and err.op, name)
        end
      end
      local function limited()
        for _, operation in pairs(operations) do
          raises(csock.timeout, loop.timeout, 0.005, operation)
        end
      end
      csock.setdefaulttimeout(0.005)
      once()
      loop.run(once)
      csock.setdefaulttimeout(nil)
      limited()
      loop.run(limited)
      leave()]])
  end)

  for _, name in ipairs(names) do
    local define = "local operation = " .. body(name)

    it("does not hold up " .. name .. " beyond the timeout", function()
      run(define .. [[
        local before = descriptors()
        csock.setdefaulttimeout(0.01)
        local function once()
          local err = raises(csock.timeout, operation)
          assert(err.errno == csock.ETIMEDOUT and err.strerror == "timed out")
          assert(err.op, "an operation")
        end
        until_stuck(once)
        until_stuck(loop.run, once)
        csock.setdefaulttimeout(nil)
        local function limited()
          raises(csock.timeout, loop.timeout, 0.01, operation)
        end
        until_stuck(limited)
        until_stuck(loop.run, limited)
        wait_descriptors(before)       -- not only when the thread ends
        leave()]])
    end)

    it("lets a task in " .. name .. " be cancelled", function()
      run(define .. [[
        loop.run(function()
          local before = descriptors()
          local task = loop.spawn(operation)
          wait(function() return stuck() == 1 end)
          assert(task:status() == "waiting")
          task:cancel()
          raises(loop.CancelledError, task.join, task)
          wait_descriptors(before)     -- not only when the thread ends
        end)
        leave()]])
    end)
  end

  it("is waited for by connect_ex no longer than the timeout", function()
    run [[
      local sock <close> = csock.socket()
      sock.timeout = 0.02
      assert(sock:connect_ex {"slow.test", 80} == csock.EAGAIN)
      leave()]]
  end)

  it("takes its time from that of connect", function()
    run [[
      local full <close> = csock.create_server({"127.0.0.1", 0}, {backlog = 0})
      local address = {"slow.test", full:getsockname()[2]}
      local first <close> = csock.create_connection(full:getsockname())
      loop.run(function()
        local sock <close> = csock.socket()
        sock.timeout = 0.4
        local start = loop.now()
        local task = loop.spawn(sock.connect, sock, address)
        loop.sleep(0)
        local begun = loop.now()
        loop.sleep(0.2)
        open()
        -- not 0.2 and another 0.4: where all is late, timers still come in
        -- their order, and the task may need some turns for what it does
        local later = loop.spawn(function()
          loop.sleep(math.max(0, begun + 0.5 - loop.now()))
          for _ = 1, 10 do loop.sleep(0) end
          return task:status() == "failed"
        end)
        raises(csock.timeout, task.join, task)
        assert(loop.now() - start >= 0.4)
        assert(later:join(), "it took longer")
      end)
      leave()]]
  end)

  it("leaves a socket of timeout 0 to wait for the name alone", function()
    run [[
      local server <close> = csock.create_server {"127.0.0.1", 0}
      loop.run(function()
        local sock <close> = csock.socket()
        sock.timeout = 0
        local task = loop.spawn(sock.connect_ex, sock,
          {"slow.test", server:getsockname()[2]})
        wait(function() return stuck() == 1 end)
        open()
        assert(task:join() == csock.EINPROGRESS)
      end)
      leave()]]
  end)

  it("finds a socket that was closed meanwhile", function()
    run [[
      loop.run(function()
        local sock <close> = csock.socket()
        local task = loop.spawn(sock.connect, sock, {"slow.test", 80})
        wait(function() return stuck() == 1 end)
        sock:close()
        open()
        assert(raises(csock.error, task.join, task).errno == csock.EBADF)
      end)
      leave()]]
  end)

  it("is asked by sixteen threads at most; the others queue", function()
    run [[
      loop.run(function()
        local before, tasks = descriptors(), {}
        for i = 1, 40 do
          tasks[i] = loop.spawn(csock.gethostbyname, "slow.test")
        end
        wait(function() return stuck() == 16 end)
        assert(threads() == 17 and started() == 16)
        wait_descriptors(before + 80)
        for i = 1, 40, 2 do tasks[i]:cancel() end  -- some stuck, some queued
        for i = 1, 40, 2 do
          raises(loop.CancelledError, tasks[i].join, tasks[i])
        end
        wait_descriptors(before + 40)
        open()
        for i = 2, 40, 2 do assert(tasks[i]:join() == "127.0.0.1") end
        assert(stuck() == 28, "nobody asks what was cancelled in the queue")
        wait_descriptors(before)
      end)
      leave()]]
  end)

  it("is not asked about numbers", function()
    run [[
      local function all()
        local sock <close> = csock.create_server {"127.0.0.1", 0}
        local address = sock:getsockname()
        csock.create_connection(address):close()
        csock.create_connection({"127.0.0.1", address[2]}):close()
        local other <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
        other:bind {"127.1", 0}
        other:connect {"", address[2]}
        csock.getaddrinfo("::1", 80)
        csock.getaddrinfo("fe80::1%3", "80", 0, csock.SOCK_STREAM)
        csock.getaddrinfo(nil, 80)
        csock.gethostbyname "10.0.0.1"
        csock.getnameinfo({"::1", 80}, csock.NI_NUMERICHOST |
          csock.NI_NUMERICSERV)
        pcall(csock.getaddrinfo, "127.0.0.1", 80, csock.AF_INET6)
        pcall(csock.getaddrinfo, "fast.test", 80, 0, 0, 0, csock.AI_NUMERICHOST)
      end
      all()
      loop.run(all)
      assert(started() == 0)
      assert(csock.gethostbyname "fast.test" == "127.0.0.1")
      assert(started() == 1)
      leave()]]
  end)

  it("is asked by threads that no signal reaches", function()
    run [[
      assert(csock.gethostbyname "mask.test" == "127.0.0.1")
      loop.run(function()
        assert(csock.gethostbyname "mask.test" == "127.0.0.1")
      end)
      leave()]]
  end)

  it("may answer when the Lua state is no more", function()
    run [[
      csock.setdefaulttimeout(0.02)
      until_stuck(raises, csock.timeout, csock.gethostbyname, "late.test")
      print "done"]]
  end)

  it("may be waited for by what the loop ends", function()
    run [[
      loop.run(function()
        for i = 1, 20 do loop.spawn(csock.gethostbyname, "slow.test") end
        wait(function() return stuck() == 16 end)
      end)
      leave()]]
  end)

  it("may lack descriptors", function()
    run([[
      local socks = {}
      local err = raises(csock.error, function()
        while true do socks[#socks + 1] = csock.socket() end
      end)
      assert(err.code == "EMFILE")
      err = raises(csock.error, csock.gethostbyname, "fast.test")
      assert(err.code == "EMFILE" and err.op == "gethostbyname")
      for _, sock in ipairs(socks) do sock:close() end
      assert(csock.gethostbyname "fast.test" == "127.0.0.1")
      leave()]], "ulimit -n 30;")
  end)

  it("may lack threads", function()
    run [[
      loop.run(function()
        local before = descriptors()
        assert(io.open(gate .. ".none", "w")):close()
        local err = raises(csock.error, csock.gethostbyname, "fast.test")
        assert(err.code == "ENOMEM", err.code)
        wait_descriptors(before)
        os.remove(gate .. ".none")
        assert(csock.gethostbyname "fast.test" == "127.0.0.1")
      end)
      leave()]]
  end)
end)
