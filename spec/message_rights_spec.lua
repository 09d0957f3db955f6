-- message, with descriptors (SCM_RIGHTS): CPython's SCMRightsTest by recvmsg
-- and by recvmsg_into, SendRecvFdsTests, and that none is ever left open: not
-- by truncation, not by hostile sizes, not when memory ends in the middle.

local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local loop = require "csock.loop"
local transports = require "spec.transports"

local MSG, int = transports.MSG, transports.int
local misuse, refused = transports.misuse, transports.refused
local LEN, SPACE = csock.CMSG_LEN, csock.CMSG_SPACE
local badfd = -0x5555

local function pack(...)
  return string.pack(("i"):rep(select("#", ...)), ...)
end

local function rights(data)
  return {csock.SOL_SOCKET, csock.SCM_RIGHTS, data}
end

-- n new descriptors: of sockets that have their index, from 0, to read.
local function new_fds(t, n)
  local fds = {}
  for i = 1, n do
    local a, b = csock.socketpair()
    t:keep(a):sendall(tostring(i - 1))
    fds[i] = t:keep(b):fileno()
  end
  return fds
end

-- The descriptors in ancillary data, as sockets that t will close.
local function adopt(t, ancdata)
  local socks = {}
  for _, item in ipairs(ancdata) do
    assert.are.equal(csock.SOL_SOCKET, item[1])
    assert.are.equal(csock.SCM_RIGHTS, item[2])
    for i = 1, #item[3] - int + 1, int do
      local fd = string.unpack("i", item[3], i)
      local sock = csock.socket(nil, nil, nil, fd)
      socks[#socks + 1] = t:keep(sock)
    end
  end
  return socks
end

-- That they are those of new_fds, in order, and close-on-exec.
local function check_fds(socks)
  for i, sock in ipairs(socks) do
    assert.is_false(sock.inheritable)
    assert.are.equal(tostring(i - 1), sock:recv(100))
  end
end

local function create_and_send(n)
  return function(t)
    local data = pack(table.unpack(new_fds(t, n)))
    assert.are.equal(#MSG, t:sendmsgToServer({MSG}, {rights(data)}))
  end
end

-- Python's checkRecvmsgFDs
local function fds(count, size, max_items, ignore)
  return function(t)
    local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    local socks = adopt(t, ancdata)
    assert.are.equal(MSG, msg)
    t:checkAddress(addr)
    t:checkFlags(flags, true,
      {unset = csock.MSG_CTRUNC, ignore = ignore and csock.MSG_CTRUNC})
    assert.is_true(#ancdata <= (max_items or 1))
    for _, item in ipairs(ancdata) do
      assert.are.equal(3, #item)
      assert.are.equal(0, #item[3] % int)
    end
    assert.are.equal(count, #socks)
    check_fds(socks)
  end
end

local function send_separately(t)
  local two = new_fds(t, 2)
  assert.are.equal(#MSG, t:sendmsgToServer({MSG},
    {rights(pack(two[1])), rights(pack(two[2]))}))
end

-- Python's sendAncillaryIfPossible
local function send_if_possible(t, ancdata)
  local ok, n = pcall(t.sendmsgToServer, t, {MSG}, ancdata)
  if not ok then
    assert.are.equal("number", type(n.errno))
    n = t:sendmsgToServer{MSG}
  end
  assert.are.equal(#MSG, n)
end

-- Python's checkTruncatedHeader
local function no_header(size, ignore)
  return function(t)
    local msg, ancdata, flags, addr
    if size then msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    else msg, ancdata, flags, addr = t:doRecvmsg(#MSG)
    end
    assert.are.equal(MSG, msg)
    t:checkAddress(addr)
    assert.are.same({}, ancdata)
    t:checkFlags(flags, true,
      {set = csock.MSG_CTRUNC, ignore = ignore and csock.MSG_CTRUNC})
  end
end

-- Python's checkTruncatedArray
local function cut_array(size, max)
  return function(t)
    local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, size)
    local socks = adopt(t, ancdata)
    assert.are.equal(MSG, msg)
    t:checkAddress(addr)
    t:checkFlags(flags, true, {set = csock.MSG_CTRUNC})
    assert.is_true(#ancdata <= 1)
    if ancdata[1] then assert.is_true(#ancdata[1][3] <= max) end
    check_fds(socks)
  end
end

local tests = {
  {"testFDPassSimple: one", create_and_send(1), fds(1, 10240)},
  {"testMultipleFDPass: several in an item", create_and_send(4),
    fds(4, 10240)},
  {"testFDPassCMSG_SPACE: into exact space", create_and_send(4),
    fds(4, SPACE(4 * int))},
  {"testFDPassCMSG_LEN: into exact length", create_and_send(1),
    fds(1, LEN(4 * int), 1, true)},
  {"testFDPassSeparate: two items", send_separately, fds(2, 10240, 2)},
  {"testFDPassSeparateMinSpace: two items into the least space",
    send_separately, fds(2, SPACE(int) + LEN(int * 2), 2, true)},
  {"testFDPassEmpty: an empty item",
    function(t) send_if_possible(t, {rights ""}) end,
    fds(0, 10240, 1, true)},
  {"testFDPassPartialInt: a part of an integer",
    function(t) send_if_possible(t, {rights(pack(badfd):sub(1, -2))}) end,
    function(t)
      local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, 10240)
      assert.are.equal(0, #adopt(t, ancdata))
      assert.are.equal(MSG, msg)
      t:checkAddress(addr)
      t:checkFlags(flags, true, {ignore = csock.MSG_CTRUNC})
      assert.is_true(#ancdata <= 1)
      for _, item in ipairs(ancdata) do assert.is_true(#item[3] < int) end
    end},
  {"testFDPassPartialIntInMiddle: and a whole one after it",
    function(t)
      local two = new_fds(t, 2)
      send_if_possible(t, {rights(pack(two[1], badfd):sub(1, -2)),
        rights(pack(two[2]))})
    end,
    function(t)
      local msg, ancdata, flags, addr = t:doRecvmsg(#MSG, 10240)
      local socks = adopt(t, ancdata)
      assert.are.equal(MSG, msg)
      t:checkAddress(addr)
      t:checkFlags(flags, true, {ignore = csock.MSG_CTRUNC})
      assert.is_true(#ancdata <= 2)
      assert.is_true(#socks <= 2)
      check_fds(socks)
    end},
  {"testCmsgTruncNoBufSize: no room given", create_and_send(1),
    no_header(nil, true)},
  {"testCmsgTrunc0: no room", create_and_send(1), no_header(0, true)},
  {"testCmsgTrunc1: one byte of room", create_and_send(1), no_header(1)},
  {"testCmsgTrunc2Int: room for a part of the header", create_and_send(1),
    no_header(int * 2)},
  {"testCmsgTruncLen0Minus1: a byte less than a header", create_and_send(1),
    no_header(LEN(0) - 1)},
  {"testCmsgTruncLen0: room for the header", create_and_send(1),
    cut_array(LEN(0), 0)},
  {"testCmsgTruncLen0Plus1: and a byte", create_and_send(2),
    cut_array(LEN(0) + 1, 1)},
  {"testCmsgTruncLen1: room for one of two", create_and_send(2),
    cut_array(LEN(int), int)},
  {"testCmsgTruncLen2Minus1: a byte less than for two", create_and_send(2),
    cut_array(LEN(2 * int) - 1, 2 * int - 1)},
}
for _, test in ipairs(tests) do
  test.client, test.server, test.timeout = test[2], test[3], 5
end

transports.class("RecvmsgSCMRightsStreamTest", "UnixStream", {tests})
transports.class("RecvmsgIntoSCMRightsStreamTest", "UnixStream", {tests}, true)

-- send_fds and recv_fds -------------------------------------------------------

-- Ten pairs of sockets: descriptors to pass on, and the other ends.
local function ten(t)
  local list, others = {}, {}
  for i = 1, 10 do
    local a, b = csock.socketpair()
    list[i], others[i] = t:keep(a):fileno(), t:keep(b)
  end
  return list, others
end

local function socks_of(t, list)
  local socks = {}
  for i, fd in ipairs(list) do
    socks[i] = t:keep(csock.socket(nil, nil, nil, fd))
  end
  return socks
end

describe("SendRecvFdsTests", function()
  local function check()
    local t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
    local list, others = ten(t)
    assert.are.equal(#MSG, csock.send_fds(a, {MSG}, list))
    local msg, got, flags = csock.recv_fds(b, #MSG * 2, #list * 2)
    local socks = socks_of(t, got)
    assert.are.equal(MSG, msg)
    assert.are.equal(#list, #socks)
    assert.are.equal(0, flags)
    for i, other in ipairs(others) do other:sendall(tostring(i)) end
    for i, sock in ipairs(socks) do
      assert.are.equal(tostring(i), sock:recv(100))
      assert.is_false(sock.inheritable)
    end
  end

  it("testSendAndRecvFds: ten, with room for more", function()
    check()
    loop.run(check)
  end)
end)

describe("recv_fds", function()
  it("waits in a task", function()
    loop.run(function()
      local t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
      local task = loop.spawn(csock.recv_fds, b, 10, 2)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      csock.send_fds(a, {"x"}, {a:fileno()})
      local data, list, flags, address = task:join()
      assert.are.equal("x", data)
      assert.are.equal(1, #socks_of(t, list))
      assert.are.equal(0, flags)
      assert.is_nil(address)
    end)
  end)

  it("takes no more than it may, and reports the rest as lost", function()
    local t <close>, a, b = transports.socketpair(csock.SOCK_DGRAM)
    local list = ten(t)
    for _, max in ipairs {0, 1, 2, 3, 9} do
      csock.send_fds(a, {"x"}, list)
      local _, got, flags = csock.recv_fds(b, 1, max)
      assert.are.equal(max, #socks_of(t, got))
      assert.are.equal(csock.MSG_CTRUNC, flags & csock.MSG_CTRUNC)
    end
    csock.send_fds(a, {"x"}, list)
    local _, got, flags = csock.recv_fds(b, 1, 10)
    assert.are.equal(10, #socks_of(t, got))
    assert.are.equal(0, flags)
  end)

  it("has flags and address, as its signature says", function()
    local directory = helper.tmpdir()
    local server <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
    local client <close> = csock.socket(csock.AF_UNIX, csock.SOCK_DGRAM)
    server:bind(directory .. "/server")
    client:bind(directory .. "/client")
    refused("EAGAIN", csock.recv_fds, server, 1, 1, csock.MSG_DONTWAIT)
    csock.send_fds(client, {"a", "b"}, {client:fileno()}, 0,
      directory .. "/server")
    for _, asked in ipairs {csock.MSG_PEEK, 0} do
      local data, list, flags, address = csock.recv_fds(server, 1, 1, asked)
      local sock <close> = csock.socket(nil, nil, nil, list[1])
      assert.are.equal(directory .. "/client", sock:getsockname())
      assert.are.equal(directory .. "/client", address)
      assert.are.equal(csock.MSG_TRUNC, flags & csock.MSG_TRUNC)
      assert.are.equal("a", data)
    end
  end)

  it("refuses misuse, as send_fds does", function()
    local _t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
    misuse(csock.recv_fds)
    misuse(csock.recv_fds, print, 1, 1)
    misuse(csock.recv_fds, b, -1, 1)
    misuse(csock.recv_fds, b, 1)
    misuse(csock.recv_fds, b, 1, -1)
    misuse(csock.recv_fds, b, 1, 0x7fffffff)
    misuse(csock.recv_fds, b, 1, 1, "x")
    misuse(csock.send_fds)
    misuse(csock.send_fds, a, "x", {0})
    misuse(csock.send_fds, a, {"x"})
    misuse(csock.send_fds, a, {"x"}, 0)
    misuse(csock.send_fds, a, {"x"}, {0, "a"})
    misuse(csock.send_fds, a, {"x"}, {1 << 32})
    misuse(csock.send_fds, a, {"x"}, {0.5})
    refused("EBADF", csock.send_fds, a, {"x"}, {badfd})
    local many = {}
    for i = 1, 254 do many[i] = a:fileno() end
    refused("EINVAL", csock.send_fds, a, {"x"}, many)   -- SCM_MAX_FD is 253
    b:close()
    refused("EBADF", csock.recv_fds, b, 1, 1)
  end)
end)

-- Leaks -----------------------------------------------------------------------

-- The helper has counted the descriptors before each of these.
describe("descriptors that arrive", function()
  it("are close-on-exec, and MSG_CMSG_CLOEXEC is only told who asks for it",
    function()
      local t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
      for _, asked in ipairs {0, csock.MSG_CMSG_CLOEXEC} do
        csock.send_fds(a, {"x"}, {a:fileno()})
        local _, ancdata, flags = b:recvmsg(1, 100, asked)
        assert.are.equal(asked, flags)
        assert.is_false(adopt(t, ancdata)[1].inheritable)
      end
    end)

  it("are all known, whatever the room", function()
    local t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
    local list = ten(t)
    local into = {core.buffer(1), core.buffer(1)}
    for _ = 1, 300 do
      local some = {}
      for i = 1, math.random(0, 10) do some[i] = list[i] end
      local items = {rights(pack(table.unpack(some)))}
      if math.random(2) == 1 then items[2] = rights(pack(list[1])) end
      a:sendmsg({"x"}, items)
      local room = math.random(0, 80)
      local by_into = math.random(2) == 1
      local _, before = helper.descriptors()
      local _, ancdata, flags = b[by_into and "recvmsg_into" or "recvmsg"](b,
        by_into and into or 1, room)
      local _, after = helper.descriptors()
      local count = 0
      for _, item in ipairs(ancdata) do count = count + #item[3] // int end
      assert.are.equal(before + count, after)
      local sent = #some + #items - 1
      assert.are.equal(count < sent, flags & csock.MSG_CTRUNC ~= 0)
      for _, sock in ipairs(adopt({keep = function(_, s) return s end},
        ancdata)) do sock:close() end
    end
  end)

  it("and are not taken, are closed by the system", function()
    local _t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
    for i = 1, 5 do
      csock.send_fds(a, {"x"}, {a:fileno()})
      if i == 1 then b:recv(1)
      elseif i == 2 then b:recvmsg(1)
      elseif i == 3 then b:recvmsg_into({core.buffer(1)}, LEN(0))
      elseif i == 4 then csock.recv_fds(b, 1, 0)
      end                               -- the last is still in the queue
    end
  end)
end)

-- An allocator that says no, since Lua's own never does on a test machine.
-- run(n, f, ...): pcall(f, ...) with all allocations after the first n failing.
local memerr = [[
#include <lauxlib.h>
static lua_Alloc real;
static void *real_ud;
static long left;
static void *fail(void *ud, void *p, size_t osize, size_t nsize) {
  (void)ud;
  if (nsize > (p != NULL ? osize : 0) && --left < 0) return NULL;
  return real(real_ud, p, osize, nsize);
}
static int run(lua_State *L) {
  int status;
  left = (long)luaL_checkinteger(L, 1);
  luaL_checkstack(L, 40, NULL);
  real = lua_getallocf(L, &real_ud);
  lua_setallocf(L, fail, NULL);
  status = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0);
  lua_setallocf(L, real, real_ud);
  lua_pushboolean(L, status == LUA_OK);
  lua_replace(L, 1);
  return lua_gettop(L);
}
__attribute__((visibility("default"))) int luaopen_memerr(lua_State *L) {
  lua_pushcfunction(L, run);
  return 1;
}
]]

local function load_memerr()
  local directory = helper.tmpdir()
  local pipe <close> = io.popen(".ci/deps where headers 2>/dev/null")
  local headers = pipe:read "l"
  if not headers or not helper.has "cc" then return nil end
  do
    local file <close> = assert(io.open(directory .. "/memerr.c", "w"))
    file:write(memerr)
  end
  local built = os.execute(("env -u LD_PRELOAD cc -shared -fPIC -I%s " ..
    "-o %s/memerr.so %s/memerr.c"):format(helper.quote(headers), directory,
    directory))
  if not built then return nil end
  return assert(package.loadlib(directory .. "/memerr.so", "luaopen_memerr"))()
end

describe("when memory ends", function()
  local function sizes(f)
    local run = load_memerr()
    if not run then return pending "no C compiler, or no headers" end
    collectgarbage "stop"
    finally(function() collectgarbage "restart" end)
    for n = 0, 100 do
      if f(run, n) then return assert.is_true(n > 3) end
    end
    assert.fail "it never succeeds"
  end

  -- Receives three descriptors in two items, with memory for n allocations;
  -- returns whether it succeeded.
  local function try(run, n, receive)
    local t <close>, a, b = transports.socketpair(csock.SOCK_STREAM)
    local fd = pack(a:fileno())
    a:sendmsg({"hello"}, {rights(fd), rights(fd .. fd)})
    local _, before = helper.descriptors()
    local ok, err, result = run(n, receive, b)
    local _, after = helper.descriptors()
    if ok then
      assert.are.equal(before + 3, after)
      for i = 1, #result do
        if type(result[i]) == "table" then adopt(t, {result[i]})
        else socks_of(t, {result[i]})
        end
      end
    else
      assert.are.equal("not enough memory", err)
      assert.are.equal(before, after)   -- at once: nothing was collected
    end
    return ok
  end

  it("recvmsg leaves no descriptor", function()
    sizes(function(run, n)
      return try(run, n, function(sock) return sock:recvmsg(10, 1000) end)
    end)
  end)

  it("recvmsg_into leaves none", function()
    local into = {core.buffer(3), core.buffer(3)}
    sizes(function(run, n)
      return try(run, n, function(sock)
        return sock:recvmsg_into(into, 1000)
      end)
    end)
  end)

  it("recv_fds leaves none", function()
    local recv_fds = csock.recv_fds
    sizes(function(run, n)
      return try(run, n, function(sock) return recv_fds(sock, 10, 20) end)
    end)
  end)
end)
