-- safe: csock.safe beside csock: what the world refuses is returned by the one
-- and raised by the other, as the same error; all else is the same in both.
-- Tables say of each public name how the world refuses it, or that it cannot;
-- a name that is in none of them fails, so that none is forgotten.

local class = require "csock.class"
local core = require "csock.core"
local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local safe = require "csock.safe"
local socketserver = require "csock.socketserver"
local closer, everywhere = helper.closer, helper.everywhere
local misused = helper.misused

local NOWHERE = {"127.0.0.1", 1}        -- where nobody listens
local NOBODY = "nosuch.invalid"
local NOFD = 99999

-- The error object that f raises.
local function raised(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "nothing was raised")
  assert.is_true(csock.isinstance(err, csock.Exception), tostring(err))
  return err
end

-- The error object among the results of a function of csock.safe's.
local function returned(...)
  local results = table.pack(...)
  assert.are.equal(2, results.n)
  assert.is_nil(results[1])
  assert.is_true(csock.isinstance(results[2], csock.Exception),
    tostring(results[2]))
  return results[2]
end

-- Both say the same, but for the line.
local function alike(err, other)
  assert.are.equal(class.type(err), class.type(other))
  assert.are.same({err.errno, err.code, err.strerror, err.op},
    {other.errno, other.code, other.strerror, other.op})
end

-- The public members of a class, sorted: those which are functions, or not.
local function members(cls, functions)
  local names = {}
  for name, value in pairs(cls.__dict) do
    if not name:find "^__" and (type(value) == "function") == functions then
      names[#names + 1] = name
    end
  end
  table.sort(names)
  return names
end

-- A closed socket, and the two ends of a connection.
local function closed(m)
  local sock = m.socket()
  sock:close()
  return sock
end

local function connected(m)
  local listener <close> = m.create_server {"127.0.0.1", 0}
  local client = m.create_connection(listener:getsockname())
  return client, (listener:accept())
end

-- Names ---------------------------------------------------------------------

-- How the world refuses a function.
local refusals = {
  close = function(m) return m.close(NOFD) end,
  create_connection = function(m) return m.create_connection(NOWHERE) end,
  create_server = function(m)
    local taken <close> = csock.create_server {"127.0.0.1", 0}
    local port = taken:getsockname().port
    local sock, err = m.create_server {"127.0.0.1", port}
    if err then err.strerror = err.strerror:gsub(":%d+", "") end
    return sock, err
  end,
  dup = function(m) return m.dup(NOFD) end,
  fromfd = function(m) return m.fromfd(NOFD) end,
  getaddrinfo = function(m) return m.getaddrinfo(NOBODY, 80) end,
  gethostbyaddr = function(m) return m.gethostbyaddr(NOBODY) end,
  gethostbyname = function(m) return m.gethostbyname(NOBODY) end,
  gethostbyname_ex = function(m) return m.gethostbyname_ex(NOBODY) end,
  getnameinfo = function(m) return m.getnameinfo({NOBODY, 80}, 0) end,
  getprotobyname = function(m) return m.getprotobyname "nosuch" end,
  getservbyname = function(m) return m.getservbyname "nosuch" end,
  getservbyport = function(m) return m.getservbyport(1, "nosuch") end,
  if_indextoname = function(m) return m.if_indextoname(0x7fffffff) end,
  if_nametoindex = function(m) return m.if_nametoindex "nosuch" end,
  inet_aton = function(m) return m.inet_aton "nosuch" end,
  inet_ntoa = function(m) return m.inet_ntoa "123" end,
  inet_pton = function(m) return m.inet_pton(csock.AF_INET, "nosuch") end,
  poll = function(m) return m.poll():modify(NOFD, m.POLLIN) end,
  recv_fds = function(m) return m.recv_fds(closed(m), 1, 1) end,
  select = function(m) return m.select({NOFD}, {}, {}) end,
  send_fds = function(m) return m.send_fds(closed(m), {"x"}, {0}) end,
  sethostname = function(m) return m.sethostname(("x"):rep(500)) end,
  socket = function(m) return m.socket(9999) end,
  socketpair = function(m) return m.socketpair(9999) end,
}

-- What csock.safe has for itself, though nothing here makes it fail.
local unprovoked = {
  CMSG_LEN = true, CMSG_SPACE = true, buffer = true, getdefaulttimeout = true,
  getfqdn = true, gethostname = true, has_dualstack_ipv6 = true, htonl = true,
  htons = true, if_nameindex = true, inet_ntop = true, ntohl = true,
  ntohs = true, setdefaulttimeout = true,
}

-- The same class or function in both, whatever it is called with.
local shared = {SocketIO = true, file = true, isinstance = true,
  issubclass = true}

describe("csock.safe", function()
  it("is csock's field", function()
    assert.are.equal(safe, csock.safe)
    assert.are.equal(safe, safe.safe)
    for _, name in ipairs {"class", "coroutine", "loop", "socketserver"} do
      assert.are.equal(require("csock." .. name), safe[name])
    end
    assert.is_nil(safe.nosuch)
  end)

  it("has every public name of csock's, and this spec knows its kind",
    function()
      for name, value in pairs(csock) do
        local own = safe[name]
        assert.are.equal(type(value), type(own), name)
        local kind = refusals[name] or unprovoked[name]
        local isvalue = type(value) == "number" or type(value) == "boolean" or
          package.loaded["csock." .. name] == value or
          class.isinstance(value, class.type) and
            class.issubclass(value, csock.Exception)
        if value == csock.socket then
          assert.are.equal(safe.socket, own, name)
        elseif isvalue or shared[name] then
          assert.are.equal(value, own, name)
        else
          assert.is_truthy(kind, name .. ": how does the world refuse it?")
          assert.are_not.equal(value, own, name .. " raises")
        end
      end
      for name in pairs(safe) do assert.is_truthy(csock[name], name) end
    end)
end)

describe("functions of csock.safe", function()
  for name, refuse in pairs(refusals) do
    if csock[name] then
      it("return what csock's raise: " .. name, everywhere(function()
        local err = returned(refuse(safe))
        assert.matches("^[%w_/.]*safe_spec%.lua:%d+: ", err.where)
        local ok, other = pcall(refuse, csock)
        assert.is_false(ok, "nothing was raised")
        if name == "create_server" then
          other.strerror = other.strerror:gsub(":%d+", "")
        end
        alike(err, other)
      end))
    end
  end

  it("raise for misuse", function()
    misused("", safe.create_connection, 5)
    misused("", safe.create_connection, {"127.0.0.1", 80}, {nosuch = 1})
    misused("", safe.create_server, {"127.0.0.1", 99999})
    misused("", safe.getaddrinfo, {})
    misused("", safe.getaddrinfo, "127.0.0.1", 99999)
    misused("", safe.getfqdn, 5)
    misused("", safe.gethostbyname, 5)
    misused("", safe.getnameinfo, {"127.0.0.1", 80}, "x")
    misused("", safe.recv_fds, 5, 1, 1)
    misused("", safe.send_fds, 5, {"x"}, {})
    misused("", safe.setdefaulttimeout, -1)
    misused("", safe.socket, "x")
    misused("", safe.socketpair, "x")
  end)

  it("give what csock's give", everywhere(function()
    local flags = csock.NI_NUMERICHOST | csock.NI_NUMERICSERV
    local function results(m)
      local host, service = m.getnameinfo({"127.0.0.1", 80}, flags)
      return {host, service, m.gethostname(), m.gethostbyname "127.0.0.1",
        m.getaddrinfo("127.0.0.1", 80)[1][1], m.has_dualstack_ipv6(),
        m.getfqdn(NOBODY), m.CMSG_LEN(4), tostring(m.buffer "x"),
        m.getdefaulttimeout() or "none"}
    end
    assert.are.same(results(csock), results(safe))
  end))

  it("return a group of errors", everywhere(function()
    local err = returned(safe.create_connection(NOWHERE, {all_errors = true}))
    assert.is_true(csock.isinstance(err, csock.ExceptionGroup))
    assert.are.equal("ECONNREFUSED", err.exceptions[1].code)
  end))

  it("close what they have made when they fail", everywhere(function()
    local taken <close> = csock.create_server {"127.0.0.1", 0}
    local _, before = helper.descriptors()
    returned(safe.create_server(taken:getsockname()))
    returned(safe.create_connection(NOWHERE))
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end))

  it("return failures of sockets of either module", everywhere(function()
    local err = returned(safe.recv_fds(closed(csock), 1, 1))
    alike(err, returned(csock.recv_fds(closed(safe), 1, 1)))
    assert.are.equal("EBADF", err.code)
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    err = returned(safe.send_fds(sock, {"x"}, {}, 0, {NOBODY, 80}))
    assert.is_true(csock.isinstance(err, csock.gaierror))
    raised(csock.send_fds, sock, {"x"}, {}, 0, {NOBODY, 80})
  end))
end)

-- Sockets -------------------------------------------------------------------

local source = {read = function() return "x" end}

-- Arguments with which each method fails on a closed socket.
local on_closed = {
  _sendfile_use_send = {source}, _sendfile_use_sendfile = {source},
  accept = {}, bind = {{"127.0.0.1", 0}}, connect = {NOWHERE}, dup = {},
  get_inheritable = {}, getpeername = {}, getsockname = {},
  getsockopt = {csock.SOL_SOCKET, csock.SO_TYPE}, listen = {}, recv = {1},
  recv_into = {csock.buffer(1)}, recvfrom = {1},
  recvfrom_into = {csock.buffer(1)}, recvmsg = {1},
  recvmsg_into = {{csock.buffer(1)}}, send = {"x"}, sendall = {"x"},
  sendfile = {source}, sendmsg = {{"x"}}, sendmsg_afalg = {{"x"}, 0},
  sendto = {"x", {"127.0.0.1", 1}}, set_inheritable = {true},
  setblocking = {true}, settimeout = {1}, shutdown = {csock.SHUT_RD},
  setsockopt = {csock.SOL_SOCKET, csock.SO_REUSEADDR, 1},
}

-- What works on a closed socket as well, and how.
local on_any = {
  close = true, connect_ex = csock.EBADF, detach = -1, fileno = -1,
  getblocking = true, gettimeout = "none",
}

-- Arguments that are misuse, where a method takes any.
local wrong = {
  _sendfile_use_send = {5}, _sendfile_use_sendfile = {5}, bind = {5},
  connect = {5}, connect_ex = {5}, getsockopt = {"x", 1}, listen = {"x"},
  makefile = {"z"}, recv = {-1}, recv_into = {"x"}, recvfrom = {-1},
  recvfrom_into = {"x"}, recvmsg = {-1}, recvmsg_into = {5}, send = {{}},
  sendall = {{}}, sendfile = {5}, sendmsg = {5}, sendmsg_afalg = {5, 0},
  sendto = {"x", 5}, set_inheritable = {5}, setblocking = {5},
  setsockopt = {"x", 1, 1}, settimeout = {-1}, shutdown = {"x"},
}

describe("methods of csock.safe's sockets", function()
  for _, name in ipairs(members(csock.socket, true)) do
    local args = on_closed[name]
    if args then
      it("return what csock's raise: " .. name, everywhere(function()
        local quiet, loud = closed(safe), closed(csock)
        local err = returned(quiet[name](quiet, table.unpack(args)))
        alike(err, raised(loud[name], loud, table.unpack(args)))
      end))
    elseif name ~= "makefile" then
      it("give what csock's give: " .. name, everywhere(function()
        local quiet, loud = closed(safe), closed(csock)
        local value = quiet[name](quiet, NOWHERE)
        if value == nil then value = "none" end
        assert.are.equal(on_any[name], value)
        assert.are.equal(loud[name](loud, NOWHERE), quiet[name](quiet, NOWHERE))
      end))
    end

    it("raise for misuse: " .. name, everywhere(function()
      local sock <close> = safe.socket()
      misused("", sock[name], io.stdout)
      local args_too = wrong[name]
      if args_too then misused("", sock[name], sock, table.unpack(args_too)) end
    end))
  end

  it("give what csock's give", everywhere(function()
    local function results(m)
      local a, b = m.socketpair()
      local _close <close> = closer(a, b)
      local buffer = m.buffer(3)
      local list = {a:sendall "hello", b:recv(2), b:recv_into(buffer),
        tostring(buffer), b:send "xyz", a:recvfrom(9), a:sendmsg {"a", "b"},
        b:recvmsg(9), m.send_fds(a, {"x"}, {}), m.recv_fds(b, 1, 1),
        a:settimeout(5), a:gettimeout(), a:setblocking(true), a:getblocking(),
        a:shutdown(m.SHUT_WR), b:recv(1), a:fileno() >= 0,
        a:get_inheritable(), a:set_inheritable(false), a:close(),
        a.closed, b.family, b.type, b.proto, b.timeout == nil, b.blocking,
        b:getsockopt(m.SOL_SOCKET, m.SO_TYPE)}
      local fd = b:detach()
      list[#list + 1] = fd >= 0
      m.socket(nil, nil, nil, fd):close()
      return list
    end
    assert.are.same(results(csock), results(safe))
  end))

  it("return a refused connection, with its address", everywhere(function()
    local sock <close> = safe.socket()
    local err = returned(sock:connect(NOWHERE))
    assert.are.same({"ECONNREFUSED", "connect", 1},
      {err.code, err.op, err.address.port})
    assert.is_true(csock.isinstance(err, csock.ConnectionRefusedError))
    assert.are.equal(csock.ECONNREFUSED, sock:connect_ex(NOWHERE))
  end))

  it("return failures of look-ups", everywhere(function()
    local sock <close> = safe.socket(csock.AF_INET, csock.SOCK_DGRAM)
    for _, method in ipairs {"bind", "connect", "connect_ex"} do
      local err = returned(sock[method](sock, {NOBODY, 80}))
      assert.is_true(csock.isinstance(err, csock.gaierror))
    end
    local err = returned(sock:sendto("x", {NOBODY, 80}))
    assert.are.same({csock.gaierror, "EAI_NONAME", "sendto"},
      {class.type(err), err.code, err.op})
  end))

  it("return their own timeout, and EAGAIN", everywhere(function()
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    a.timeout = 0.01
    local err = returned(a:recv(1))
    assert.are.same({csock.timeout, "ETIMEDOUT", "timed out", "recv"},
      {class.type(err), err.code, err.strerror, err.op})
    a.timeout = 0
    err = returned(a:recv(1))
    assert.are.same({csock.BlockingIOError, "EAGAIN"},
      {class.type(err), err.code})
    b:close()
    err = returned(a:sendall "x")
    assert.are.same({csock.BrokenPipeError, "EPIPE"},
      {class.type(err), err.code})
    assert.are.equal("", a:recv(1))
  end))

  it("return that the socket was closed while they waited", function()
    loop.run(function()
      local a, b = safe.socketpair()
      local _close <close> = closer(a, b)
      local task = loop.spawn(a.recv, a, 1)
      loop.sleep(0)
      a:close()
      assert.are.equal("EBADF", returned(task:join()).code)
    end)
  end)

  it("return that the file of sendfile, a safe one, has failed", everywhere(
    function()
      local a, b = safe.socketpair()
      local c, d = safe.socketpair()
      local _close <close> = closer(a, b, c, d)
      a.timeout = 0.01
      local file <close> = a:makefile "rb"
      local err = returned(c:sendfile(file))
      assert.are.same({"ETIMEDOUT", "read"}, {err.code, err.op})
      local loud, other = csock.socketpair()
      local _close_too <close> = closer(loud, other)
      local again <close> = a:makefile "rb"
      err = raised(loud.sendfile, loud, again)
      assert.are.same({"ETIMEDOUT", "read"}, {err.code, err.op})
    end))
end)

describe("properties of csock.safe's sockets", function()
  for _, name in ipairs(members(csock.socket, false)) do
    it("are as csock's, and raise: " .. name, everywhere(function()
      local quiet, loud = closed(safe), closed(csock)
      local function get(sock) return sock[name] end
      local function set(sock) sock[name] = 1 end
      local function setswitch(sock) sock[name] = true end
      for _, f in ipairs {get, set, setswitch} do
        local ok, other = pcall(f, loud)
        local same, err = pcall(f, quiet)
        assert.are.equal(ok, same)
        if class.isinstance(other, csock.error) then
          alike(err, other)
        else
          assert.are.equal(other, err)
        end
      end
    end))
  end

  it("raise the error object", everywhere(function()
    local sock = closed(safe)
    local err = raised(function() sock.nodelay = true end)
    assert.are.same({"EBADF", "nodelay"}, {err.code, err.op})
    for _, name in ipairs {"timeout", "blocking", "inheritable"} do
      local value = name == "timeout" and 1 or true
      err = raised(function() sock[name] = value end)
      assert.are.equal("EBADF", err.code)
    end
    assert.are.equal("EBADF", raised(function() return sock.rcvbuf end).code)
    assert.are.equal("EBADF",
      raised(function() return sock.inheritable end).code)
    misused("", function() sock.nodelay = "x" end)
    misused("", function() sock.nosuch = 1 end)
  end))
end)

-- Classes -------------------------------------------------------------------

describe("csock.safe.socket", function()
  it("is a socket", function()
    assert.is_true(csock.issubclass(safe.socket, csock.socket))
    assert.are_not.equal(csock.socket, safe.socket)
    local sock <close> = safe.socket()
    assert.is_true(csock.isinstance(sock, csock.socket))
    assert.are.equal(safe.socket, class.type(sock))
    local loud <close> = csock.socket()
    assert.is_false(csock.isinstance(loud, safe.socket))
    assert.matches("^<csock.socket fd=%d+, ", tostring(sock))
  end)

  it("returns that there is no descriptor to be had", function()
    local program = [[
      local csock = require "csock"
      local list, sock, err = {}
      repeat
        sock, err = csock.safe.socket()
        list[#list + 1] = sock
      until err
      print(err.code, #list > 0)]]
    local process = helper.spawn_process("sh -c " .. helper.quote(
      "ulimit -n 32; " .. helper.lua .. " -e " .. helper.quote(program)))
    assert.are.equal("EMFILE\ttrue\n", process:read "a")
  end)

  it("returns what is wrong with a descriptor", everywhere(function()
    assert.are.equal("EBADF",
      returned(safe.socket(nil, nil, nil, NOFD)).code)
    misused("", safe.socket, nil, nil, nil, -1)
  end))

  it("makes sockets that make their like", everywhere(function()
    local listener <close> = safe.create_server {"127.0.0.1", 0}
    local client <close> = safe.create_connection(listener:getsockname())
    local server <close> = listener:accept()
    local a, b = safe.socketpair()
    local copy <close> = client:dup()
    local other <close> = safe.fromfd(client:fileno())
    local _close <close> = closer(a, b)
    for _, sock in ipairs {listener, client, server, a, b, copy, other} do
      assert.are.equal(safe.socket, class.type(sock))
      sock:close()
      assert.are.equal("EBADF", returned(sock:getsockname()).code)
    end
  end))

  it("leaves csock's as they are", everywhere(function()
    local a, b = csock.socketpair()
    local c, d = connected(csock)
    local _close <close> = closer(a, b, c, d)
    for _, sock in ipairs {a, b, c, d} do
      assert.are.equal(csock.socket, class.type(sock))
      sock:close()
      assert.are.equal("EBADF", raised(sock.getsockname, sock).code)
    end
  end))

  it("may be given up by <close>, which raises", everywhere(function()
    do local _sock <close> = safe.socket() end
    local Failing = class("Failing", safe.socket, {close = function(self)
      safe.socket.close(self)
      return nil, csock.OSError(csock.EIO)
    end})
    assert.are.equal("EIO", raised(function()
      local sock <close> = Failing()
      sock:fileno()
    end).code)
  end))
end)

describe("a sub-class of csock.safe.socket", function()
  local Sub = class("Sub", safe.socket, {name = "sub"})

  it("is safe", everywhere(function()
    local sock <close> = Sub()
    sock.mine = 1
    assert.are.same({"sub", 1}, {sock.name, sock.mine})
    assert.are.equal("ECONNREFUSED", returned(sock:connect(NOWHERE)).code)
    assert.are.equal("EAFNOSUPPORT", returned(Sub(9999)).code)
    misused("", Sub, "x")
  end))

  it("accepts sockets of the class itself", everywhere(function()
    local listener <close> = Sub()
    listener:bind {"127.0.0.1", 0}
    listener:listen()
    local client <close> = Sub()
    assert.is_true(client:connect(listener:getsockname()))
    local server <close> = listener:accept()
    assert.are.equal(safe.socket, class.type(server))
    server:close()
    assert.are.equal("EBADF", returned(server:recv(1)).code)
  end))

  it("is safe with a base that is not", everywhere(function()
    local Loud = class("Loud", csock.socket, {
      ask = function(self) return self:getpeername() end,
    })
    local Both = class("Both", Loud, safe.socket)
    local sock <close> = Both()
    assert.are.equal("ENOTCONN", returned(sock:ask()).code)
    local loud <close> = Loud()
    assert.are.equal("ENOTCONN", raised(loud.ask, loud).code)
  end))

  it("hands on what its __init returns", everywhere(function()
    local Client = class("Client", safe.socket)
    function Client:__init(address)
      assert.is_true(class.super(Client, self):__init())
      local ok, err = self:connect(address)
      if not ok then
        self:close()
        return nil, err
      end
    end
    assert.are.equal("ECONNREFUSED", returned(Client(NOWHERE)).code)
    local listener <close> = safe.create_server {"127.0.0.1", 0}
    local client <close> = Client(listener:getsockname())
    assert.are.equal(Client, class.type(client))
  end))

  it("hands it on through a metaclass", everywhere(function()
    local Meta = class("Meta", class.type, {
      __call = function(cls, ...)
        return class.type.__call(cls, ...)
      end,
    })
    local Made = class("Made", safe.socket, {__metaclass = Meta})
    assert.are.equal("EAFNOSUPPORT", returned(Made(9999)).code)
    local sock <close> = Made()
    assert.are.equal(Made, class.type(sock))
  end))
end)

-- Files ---------------------------------------------------------------------

-- A file whose socket has lost its descriptor.
local function broken(m, mode, buffering)
  local a, b = m.socketpair()
  local file = a:makefile(mode, buffering)
  csock.socket(nil, nil, nil, a:detach()):close()
  b:close()
  a:close()
  return file
end

-- Arguments with which each method fails then.
local on_broken = {
  flush = {}, peek = {}, read = {1}, read1 = {1}, readinto = {csock.buffer(1)},
  readrecord = {"%1%s"}, readhead = {}, readline = {}, readlines = {},
  write = {("x"):rep(10000)},
  writelines = {{("x"):rep(10000)}},
}
local unbroken = {close = true, fileno = true, lines = true, records = true,
  readable = true, seekable = true, take = true, tie = true, writable = true}

describe("files of csock.safe's sockets", function()
  for _, name in ipairs(members(csock.file, true)) do
    it("return what csock's raise: " .. name, everywhere(function()
      local args = on_broken[name]
      if not args then
        assert.is_true(unbroken[name], "how does the world refuse it?")
        return
      end
      local quiet, loud = broken(safe, "rw"), broken(csock, "rw")
      if name == "flush" then
        quiet:write "x"
        loud:write "x"
      end
      local err = returned(quiet[name](quiet, table.unpack(args)))
      local other = raised(loud[name], loud, table.unpack(args))
      alike(err, other)
      assert.are.equal("EBADF", err.code)
      assert.are.equal(other.characters_written, err.characters_written)
      quiet:close()
      pcall(loud.close, loud)
    end))
  end

  it("return the failure of what they are tied to", everywhere(function()
    local file = broken(safe, "rw")
    file:tie(file)
    file:write "x"
    for _, name in ipairs {"read", "readline", "readhead", "peek",
      "readrecord"} do
      local args = name == "readrecord" and "%1%s" or nil
      local err = returned(file[name](file, args))
      assert.are.same({"EBADF", "flush"}, {err.code, err.op})
    end
    assert.are.equal("flush", raised(function() return file() end).op)
    file:close()
  end))

  it("return failures of Lua's formats", everywhere(function()
    local file = broken(safe, "r")
    for _, formats in ipairs {{"l"}, {"L"}, {"n"}, {"a"}, {"l", "n"}} do
      assert.are.equal("EBADF", returned(file:read(table.unpack(formats))).code)
    end
    misused("", file.read, file, "x")
    misused("", file.write, file, "x")
    file:close()
    misused("", file.read, file)
  end))

  it("return a failed write of an unbuffered one", everywhere(function()
    local file = broken(safe, "w", 0)
    assert.are.equal("EBADF", returned(file:write "x").code)
    file:close()
  end))

  it("return a timeout, and lose no byte by it", everywhere(function()
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    a.timeout = 0.01
    local file <close> = a:makefile "r"
    b:sendall "one"
    local err = returned(file:read "l")
    assert.are.equal(csock.timeout, class.type(err))
    assert.are.equal("cannot read from timed out object",
      returned(file:readline()).strerror)
    b:sendall " line\n"
    assert.are.equal("one line", file:read "l")
    b:close()
    assert.are.same({n = 1}, table.pack(file:read "l"))
  end))

  it("return what their close could not send, and are closed", everywhere(
    function()
      local file = broken(safe, "w")
      file:write "x"
      local err = returned(file:close())
      assert.are.same({"EBADF", "flush"}, {err.code, err.op})
      assert.is_true(file.closed)
      assert.is_true(file:close())
    end))

  it("raise in <close>, where nobody would see it", everywhere(function()
    local err = raised(function()
      local file <close> = broken(safe, "w")
      file:write "x"
    end)
    assert.are.same({"EBADF", "flush"}, {err.code, err.op})
  end))

  it("raise in iteration, as Lua's io does", everywhere(function()
    local function all(iterator) for _ in iterator do end end
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    a.timeout = 0.01
    b:sendall "one\ntwo\n3"
    for _, lines in ipairs {
      function(file) return file:lines() end,
      function(file) return file:lines("n", "l") end,
      function(file) return file end,
    } do
      local file <close> = a:makefile "r"
      assert.are.equal("ETIMEDOUT", raised(all, lines(file)).code)
    end
  end))

  it("iterate to the end", everywhere(function()
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    b:sendall "one\ntwo\n1 2 3"
    b:close()
    local file <close> = a:makefile "r"
    local list = {file()}
    for line in file:lines(2, "l") do list[#list + 1] = line end
    assert.are.same({"one\n", "tw", "1 "}, list)
  end))

  it("are safe when the class makes them", everywhere(function()
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    a.timeout = 0.01
    local file <close> = safe.file(a, "r")
    assert.are.equal("ETIMEDOUT", returned(file:read(1)).code)
  end))
end)

-- What comes from round the call --------------------------------------------

-- A listener whose queue is full, so that a connection waits.
local function silent()
  local listener = csock.create_server({"127.0.0.1", 0}, {backlog = 0})
  local filler = csock.create_connection(listener:getsockname())
  return {"127.0.0.1", listener:getsockname().port}, closer(listener, filler)
end

describe("csock.safe in a task", function()
  it("lets a cancellation through", function()
    loop.run(function()
      local address, _silent <close> = silent()
      local a, b = safe.socketpair()
      local _close <close> = closer(a, b)
      local file <close> = a:makefile "r"
      local waits = {
        function() return a:recv(1) end,
        function() return file:read(1) end,
        function() return safe.recv_fds(a, 1, 1) end,
        function() return safe.create_connection(address) end,
        function()
          local sock <close> = safe.socket()
          return sock:connect(address)
        end,
      }
      for _, wait in ipairs(waits) do
        local went_on = false
        local task = loop.spawn(function()
          wait()
          went_on = true
        end)
        loop.sleep(0)
        task:cancel()
        assert.are.equal(loop.CancelledError, class.type(raised(task.join,
          task)))
        assert.are.same({"cancelled", false}, {task:status(), went_on})
      end
    end)
  end)

  it("waits as csock does", function()
    loop.run(function()
      local a, b = safe.socketpair()
      local _close <close> = closer(a, b)
      local task = loop.spawn(function() return a:recv(10) end)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      b:sendall "x"
      assert.are.equal("x", task:join())
    end)
  end)
end)

describe("loop.timeout round csock.safe", function()
  it("raises, as its limit is not the call's", everywhere(function()
    local address, _silent <close> = silent()
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    a.timeout = 60
    local file <close> = a:makefile "r"
    for _, wait in ipairs {
      function() return a:recv(1) end,
      function() return file:read(1) end,
      function() return safe.recv_fds(a, 1, 1) end,
      function() return safe.create_connection(address, 60) end,
      function()
        local sock <close> = safe.socket()
        return sock:connect(address)
      end,
    } do
      local err = raised(loop.timeout, 0.01, wait)
      assert.are.equal(csock.timeout, class.type(err))
    end
  end))

  it("does not touch the call's own", everywhere(function()
    local address, _silent <close> = silent()
    local a, b = safe.socketpair()
    local _close <close> = closer(a, b)
    a.timeout = 0.01
    local err = returned(loop.timeout(60, a.recv, a, 1))
    assert.are.equal(csock.timeout, class.type(err))
    err = returned(loop.timeout(60, safe.create_connection, address, 0.01))
    assert.are.same({csock.timeout, "connect"}, {class.type(err), err.op})
  end))
end)

describe("servers beside csock.safe", function()
  it("have requests that raise", function()
    local request_class, err
    local server <close> = socketserver.TCPServer({"127.0.0.1", 0}, {
      handle = function(self)
        request_class = class.type(self.request)
        self.request.timeout = 0.01
        err = raised(self.request.recv, self.request, 1)
      end,
    })
    local _client <close> = safe.create_connection(server.server_address)
    server:handle_request()
    assert.are.equal(csock.socket, request_class)
    assert.are.equal("ETIMEDOUT", err.code)
  end)

  -- The error that a server with such a socket finds when it takes a request.
  local function accept_error(Server, sock)
    local found
    local Seeing = class("Seeing", Server, {
      accept_error = function(_, err) found = err end,
    })
    local server <close> = Seeing({"127.0.0.1", 0}, {handle = error}, false)
    server.socket:close()
    server.socket = sock
    server:handle_request()
    return found
  end

  it("see the failures of a socket that is safe", function()
    local err = accept_error(socketserver.TCPServer, safe.socket())
    assert.are.same({"EINVAL", "accept"}, {err.code, err.op})
    local sock = safe.socket(csock.AF_INET, csock.SOCK_DGRAM)
    sock:connect(NOWHERE)
    sock:send "x"
    err = accept_error(socketserver.UDPServer, sock)
    assert.are.same({"ECONNREFUSED", "recvfrom"}, {err.code, err.op})
    raised(accept_error, socketserver.TCPServer, closed(safe))
  end)
end)

describe("core.safely", function()
  it("takes a C function, once", function()
    misused("", core.safely, function() end)
    misused("", core.safely, core.safely(core.gethostname))
    misused("", core.safely)
  end)
end)
