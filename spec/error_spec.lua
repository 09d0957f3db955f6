-- error: the objects that csock raises when the world refuses: their classes,
-- as Python's, their fields, and the one line they are for people.  Not here:
-- which call raises what (the specs of those calls), and misuse, which is
-- Lua's own kind of error.

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"

local class = csock.class

local function caught(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "nothing was raised")
  return err
end

-- A socket bound to a port where nobody listens.
local function deserted()
  local sock = csock.socket()
  sock:bind {"127.0.0.1", 0}
  return sock
end

describe("the error classes", function()
  -- name, its base, and the errnos that make it
  local tree = {
    {"BlockingIOError", "error", "EAGAIN", "EALREADY", "EWOULDBLOCK",
      "EINPROGRESS"},
    {"ChildProcessError", "error", "ECHILD"},
    {"ConnectionError", "error"},
    {"BrokenPipeError", "ConnectionError", "EPIPE", "ESHUTDOWN"},
    {"ConnectionAbortedError", "ConnectionError", "ECONNABORTED"},
    {"ConnectionRefusedError", "ConnectionError", "ECONNREFUSED"},
    {"ConnectionResetError", "ConnectionError", "ECONNRESET"},
    {"FileExistsError", "error", "EEXIST"},
    {"FileNotFoundError", "error", "ENOENT"},
    {"InterruptedError", "error", "EINTR"},
    {"IsADirectoryError", "error", "EISDIR"},
    {"NotADirectoryError", "error", "ENOTDIR"},
    {"PermissionError", "error", "EACCES", "EPERM"},
    {"ProcessLookupError", "error", "ESRCH"},
    {"TimeoutError", "error", "ETIMEDOUT"},
    {"gaierror", "error"},
    {"herror", "error"},
  }

  for _, row in ipairs(tree) do
    local name, base = row[1], row[2]

    it(("have %s, derived from %s"):format(name, base), function()
      assert.are.equal(csock[base], csock[name].__bases[1])
      assert.is_true(csock.issubclass(csock[name], csock.error))
      assert.are.equal(name, csock[name].__name)
    end)

    for i = 3, #row do
      it(("choose %s for %s"):format(name, row[i]), function()
        local err = csock.error(csock[row[i]], "text")
        assert.are.equal(csock[name], err.__class)
      end)
    end
  end

  it("call the root OSError, too", function()
    assert.are.equal(csock.error, csock.OSError)
    assert.are.equal("OSError", csock.error.__name)
  end)

  it("call TimeoutError timeout, too", function()
    assert.are.equal(csock.timeout, csock.TimeoutError)
  end)

  it("choose the root for every other errno", function()
    for _, code in ipairs {"EBADF", "EINVAL", "ENOTCONN", "EADDRINUSE",
      "EMFILE", "ECANCELED"} do
      assert.are.equal(csock.error, csock.error(csock[code], "x").__class)
    end
    assert.are.equal(csock.error, csock.error(4321, "x").__class)
  end)

  it("keep CancelledError apart from OSError", function()
    assert.is_false(csock.issubclass(csock.CancelledError, csock.error))
    assert.is_true(csock.issubclass(csock.CancelledError, csock.Exception))
    assert.is_true(csock.issubclass(csock.error, csock.Exception))
  end)

  it("are chosen by the root only, as in Python", function()
    assert.are.equal(csock.timeout,
      csock.timeout(csock.ECONNREFUSED, "x").__class)
    assert.are.equal(csock.ConnectionError,
      csock.ConnectionError(csock.ECONNREFUSED, "x").__class)
  end)

  it("may be derived from", function()
    local Mine = class("Mine", csock.error, {
      hint = function(self) return "because of " .. self.code end,
    })
    local err = Mine(csock.ECONNREFUSED, "x")
    assert.are.equal(Mine, err.__class)
    assert.is_true(csock.isinstance(err, csock.error))
    assert.are.equal("because of ECONNREFUSED", err:hint())
  end)

  it("may be given more members, also for what C raises", function()
    local sock <close> = csock.socket()
    local port <close> = deserted()
    csock.ConnectionRefusedError.hint = function() return "nobody there" end
    local err = caught(sock.connect, sock, port:getsockname())
    local hint = err.hint
    csock.ConnectionRefusedError.hint = nil
    assert.are.equal("nobody there", hint and hint())
  end)
end)

describe("an error made by hand", function()
  it("holds what it is given", function()
    local err = csock.error(csock.ECONNREFUSED, "no way", "connect",
      {"127.0.0.1", 80})
    assert.are.same({csock.ECONNREFUSED, "ECONNREFUSED", "no way", "connect",
      {"127.0.0.1", 80}}, {err.errno, err.code, err.strerror, err.op,
      err.address})
  end)

  it("takes the text from its errno when it is given none", function()
    local err = csock.error(csock.ECONNREFUSED)
    assert.are.same({"ECONNREFUSED", "Connection refused"},
      {err.code, err.strerror})
    assert.are.equal("ConnectionRefusedError: Connection refused " ..
      "(ECONNREFUSED)", tostring(err))
    assert.matches("4321", csock.error(4321).strerror)
    assert.are.equal("string", type(csock.error(math.maxinteger).strerror))
  end)

  it("takes a resolver's number for what it is", function()
    local err = csock.gaierror(csock.EAI_NONAME)
    assert.are.equal("EAI_NONAME", err.code)
    assert.matches("not known", err.strerror)
    err = csock.herror(1)               -- EPERM, if it were an errno
    assert.are.equal("HOST_NOT_FOUND", err.code)
    assert.matches("[Uu]nknown host", err.strerror)
  end)

  it("is of the class that its errno has", function()
    assert.is_true(csock.isinstance(csock.error(csock.EPIPE, "x"),
      csock.BrokenPipeError))
  end)

  it("has no code for a number that is no errno", function()
    for _, number in ipairs {4321, 0, -5} do
      assert.is_nil(csock.error(number, "x").code)
    end
  end)

  it("needs no arguments at all", function()
    local err = csock.error()
    assert.are.same({}, {err.errno, err.code, err.strerror, err.op,
      err.address})
    assert.are.equal("string", type(tostring(err)))
  end)

  it("can be shown, whatever its address", function()
    for _, address in ipairs {{}, {1}, {{}, {}}, "path", "\0a\nb", true, 80,
      {"host", 80}, {"::1", 80, 0, 1}, print} do
      local text = tostring(csock.error(csock.EBADF, "x", "op", address))
      assert.matches("EBADF", text)
      assert.is_nil(text:find "[%z\1-\31]")
    end
  end)

  it("can be raised and caught like any other", function()
    local err = csock.error(csock.EPIPE, "x")
    assert.is_true(rawequal(err, caught(error, err)))
  end)
end)

describe("an error that csock raises", function()
  it("tells errno, code, text, operation and address", function()
    local sock <close> = csock.socket()
    local port <close> = deserted()
    local err = caught(sock.connect, sock, port:getsockname())
    assert.are.same({csock.ECONNREFUSED, "ECONNREFUSED",
      "Connection refused", "connect"},
      {err.errno, err.code, err.strerror, err.op})
    assert.are.equal(port:getsockname(), err.address)
  end)

  it("tells its class", function()
    local sock <close> = csock.socket()
    local port <close> = deserted()
    local err = caught(sock.connect, sock, port:getsockname())
    assert.are.equal(csock.ConnectionRefusedError, err.__class)
    assert.is_true(csock.isinstance(err, csock.ConnectionError))
    assert.is_true(csock.isinstance(err, csock.error))
    assert.is_false(csock.isinstance(err, csock.timeout))
  end)

  it("has the same members as one made by hand", function()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    local err = caught(sock.listen, sock)
    local made = csock.error(err.errno, err.strerror, err.op)
    assert.are.equal(made.__class, err.__class)
    assert.are.same({made.code, made.op}, {err.code, err.op})
  end)

  it("tells no address where there is none", function()
    local sock <close> = csock.socket()
    assert.is_nil(caught(sock.recv, sock, 1).address)
  end)

  it("tells the path of AF_UNIX", function()
    local sock <close> = csock.socket(csock.AF_UNIX)
    local err = caught(sock.connect, sock, "/nowhere/at/all")
    assert.are.same({"FileNotFoundError", "/nowhere/at/all"},
      {err.__class.__name, err.address})
  end)

  it("tells where sendto was to send", function()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    local err = caught(sock.sendto, sock, "x", {"<broadcast>", 9})
    assert.are.same({"PermissionError", "sendto"},
      {err.__class.__name, err.op})
    assert.are.same({"255.255.255.255", 9}, {table.unpack(err.address)})
  end)

  -- each operation by its own name
  for _, row in ipairs {
    {"accept", function(s) s:accept() end},
    {"bind", function(s) s:bind {"198.51.100.7", 0} end},
    {"getpeername", function(s) s:getpeername() end},
    {"getsockopt", function(s) s:getsockopt(csock.SOL_SOCKET, 9999) end},
    {"recv", function(s) s:recv(1) end},
    {"recvfrom", function(s) s:recvfrom(1) end},
    {"send", function(s) s:send "x" end},
    {"sendall", function(s) s:sendall "x" end},
    {"setsockopt", function(s) s:setsockopt(csock.SOL_SOCKET, 9999, 1) end},
    {"shutdown", function(s) s:shutdown(csock.SHUT_WR) end},
    {"socket", function() csock.socket(12345) end},
    {"socketpair", function() csock.socketpair(csock.AF_INET) end},
  } do
    local op, f = table.unpack(row)
    it("names the operation " .. op, function()
      local sock <close> = csock.socket()
      local err = caught(f, sock)
      assert.are.equal(op, err.op)
      assert.matches("error_spec%.lua:%d+: " .. op, tostring(err))
    end)
  end

  it("is a table with its own fields only", function()
    local sock <close> = csock.socket()
    local err = caught(sock.recv, sock, 1)
    err.note = "mine"
    assert.are.same({"mine", nil}, {err.note, err.nothing})
  end)
end)

describe("a timeout", function()
  it("is a TimeoutError with ETIMEDOUT that says timed out", function()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    sock.timeout = 0.001
    local err = caught(sock.recv, sock, 1)
    assert.are.same({csock.timeout, csock.ETIMEDOUT, "ETIMEDOUT",
      "timed out", "recv"},
      {err.__class, err.errno, err.code, err.strerror, err.op})
  end)
end)

describe("a failed look-up", function()
  it("is a gaierror, with the resolver's number and name", function()
    local err = caught(csock.getaddrinfo, ("n"):rep(64), 80)
    assert.are.same({csock.gaierror, csock.EAI_NONAME, "EAI_NONAME",
      "getaddrinfo", ("n"):rep(64)},
      {err.__class, err.errno, err.code, err.op, err.address})
    assert.matches("not known", err.strerror)
  end)

  it("names the operation that needed it", function()
    local sock <close> = csock.socket()
    local err = caught(sock.connect, sock, {("n"):rep(64), 80})
    assert.are.same({csock.gaierror, "connect"}, {err.__class, err.op})
    assert.are.equal(("n"):rep(64), err.address[1])
  end)

  it("has a code, whatever it is", function()
    local sock <close> = csock.socket()
    local err = caught(sock.bind, sock, {"::1", 0})
    assert.matches("^EAI_%u+$", err.code)
    assert.are.equal(err.errno, csock[err.code])
  end)

  it("is an OSError that no errno chooses", function()
    assert.is_true(csock.issubclass(csock.gaierror, csock.error))
    assert.are.equal(csock.error, csock.error(csock.EAI_NONAME, "x").__class)
  end)
end)

describe("tostring of an error", function()
  local function here() return debug.getinfo(2, "l").currentline end

  it("begins with the Lua position, then says everything", function()
    local sock <close> = csock.socket()
    local port <close> = deserted()
    local address = port:getsockname()
    local line
    local err = caught(function()
      line = here(); sock:connect(address)
    end)
    assert.are.equal(("spec/error_spec.lua:%d: connect %s: " ..
      "Connection refused (ECONNREFUSED)"):format(line, address),
      tostring(err))
  end)

  it("has the position, too, where pcall calls the method", function()
    local sock <close> = csock.socket()
    local line = here() + 1
    local _, err = pcall(sock.recv, sock, 1)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": recv: ",
      tostring(err))
  end)

  it("has the position where a property is used", function()
    local sock <close> = csock.socket(csock.AF_UNIX)
    local line
    local err = caught(function()
      line = here(); return sock.nodelay
    end)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": nodelay: ",
      tostring(err))
    err = caught(function()
      line = here(); sock.nodelay = true
    end)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": nodelay: ",
      tostring(err))
  end)

  it("has the position where a socket is made", function()
    local line
    local err = caught(function()
      line = here(); local _ = csock.socket(12345)
    end)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": socket: ",
      tostring(err))
  end)

  it("has the position where create_connection is called", function()
    local port <close> = deserted()
    local address, line = port:getsockname(), nil
    local err = caught(function()
      line = here(); local _ = csock.create_connection(address)
    end)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": connect ",
      tostring(err))
  end)

  it("has the position in a task that had to wait", function()
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    sock.timeout = 0.01
    local line
    local err = loop.run(function()
      return caught(function()
        line = here(); sock:recv(1)
      end)
    end)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": recv: ",
      tostring(err))
  end)

  it("has the position in a method of a subclass", function()
    local line
    local Sub = class("Sub", csock.socket, {
      recv = function(self)
        line = here(); return (csock.socket.recv(self, 1))
      end,
    })
    local sock <close> = Sub()
    local err = caught(function() sock:recv() end)
    assert.matches("^spec/error_spec%.lua:" .. line .. ": recv: ",
      tostring(err))
  end)

  it("is one line for a path with anything in it", function()
    local sock <close> = csock.socket(csock.AF_UNIX)
    local err = caught(sock.connect, sock, "/no\nwhere\r\27[31m\t\127")
    assert.is_nil(tostring(err):find "%c")
    local abstract = caught(sock.connect, sock, "\0no\0body")
    assert.is_nil(tostring(abstract):find "[%z%c]")
  end)

  it("is one line for a host with anything in it", function()
    local err = caught(csock.getaddrinfo, "no\nsuch\27host", 80)
    assert.is_nil(tostring(err):find "%c")
  end)

  it("shows a bare error by its class", function()
    assert.matches("^BrokenPipeError: x %(EPIPE%)$",
      tostring(csock.error(csock.EPIPE, "x")))
  end)

  it("is what the interpreter prints for an error nobody caught", function()
    local process = helper.spawn_process(("%s -e %s 2>&1"):format(helper.lua,
      helper.quote [[require "csock".socket():recv(1)]]))
    assert.matches("^[^\n]*: recv: [^\n]+ %(ENOTCONN%)\n", process:read "a")
  end)
end)

describe("CancelledError", function()
  it("is what a cancelled task gets, and no OSError", function()
    local a, b = csock.socketpair()
    local err = loop.run(function()
      local task = loop.spawn(function() return caught(a.recv, a, 1) end)
      while task:status() ~= "waiting" do loop.sleep(0) end
      task:cancel()
      return task:join()
    end)
    a:close()
    b:close()
    assert.are.equal(csock.CancelledError, err.__class)
    assert.is_false(csock.isinstance(err, csock.error))
  end)

  it("is the loop's, too", function()
    assert.are.equal(csock.CancelledError, loop.CancelledError)
  end)

  it("is not what ECANCELED of the system makes", function()
    local err = csock.error(csock.ECANCELED, "x")
    assert.are.same({csock.error, "ECANCELED"}, {err.__class, err.code})
  end)
end)
