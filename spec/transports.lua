-- transports: what the specs of messages share: the same test over several
-- kinds of sockets, by recvmsg and by recvmsg_into, outside of tasks and in
-- them.  It is CPython's SendrecvmsgBase and its mix-ins (test_socket.py).
-- Invariant: a pair closes all it has opened when its scope ends.

local assert = require "luassert"
local busted = require "busted"         -- this file has no globals of its own
local csock = require "csock"
local core = require "csock.core"
local helper = require "spec.helper"
local loop = require "csock.loop"

local transports = {}

--- What every test sends (CPython's MSG).
transports.MSG = "Michael Gilfix was here\xe1\x88\xb4\r\n"
local MSG = transports.MSG

transports.object = io.stdout           -- Python's object(): good for nothing
transports.int = string.packsize "i"

--- This process, as the kernel tells it; nil where it has no /proc.
function transports.pid()
  local file <close> = io.open "/proc/self/stat"
  return file and file:read "n"
end

-- Assertions ----------------------------------------------------------------

--- The call is misuse: an ordinary Lua argument error.
function transports.misuse(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.are.equal("string", type(err), tostring(err))
  assert.is_truthy(err:find "bad argument", err)
end

--- The world refuses the call, with this errno where one is named.
function transports.refused(code, f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok)
  assert.is_true(csock.isinstance(err, csock.error), tostring(err))
  if code then assert.are.equal(code, err.code) end
  return err
end

-- Pairs ---------------------------------------------------------------------

local Pair = {}
Pair.__index = Pair

function Pair:__close()
  for i = #self.opened, 1, -1 do self.opened[i]:close() end
end

local function keep(self, sock)
  table.insert(self.opened, sock)
  return sock
end

local function new_pair(fields)
  fields.opened = {}
  fields.keep = keep
  return setmetatable(fields, Pair)
end

local function datagrams(family, host, proto)
  return function()
    local pair = new_pair {
      connectionless = true, when_cut = csock.MSG_TRUNC, family = family,
    }
    pair.serv_sock = keep(pair,
      csock.socket(family, csock.SOCK_DGRAM, proto))
    pair.cli_sock = keep(pair,
      csock.socket(family, csock.SOCK_DGRAM, proto))
    pair.serv_sock:bind{host, 0}
    pair.cli_sock:bind{host, 0}
    pair.serv_addr = pair.serv_sock:getsockname()
    pair.cli_addr = pair.cli_sock:getsockname()
    return pair
  end
end

local function stream(family, address)
  return function()
    local pair = new_pair {when_cut = 0, family = family}
    local listener = keep(pair, csock.socket(family, csock.SOCK_STREAM))
    listener:bind(address())
    listener:listen()
    pair.cli_sock = keep(pair, csock.socket(family, csock.SOCK_STREAM))
    pair.cli_sock:connect(listener:getsockname())
    pair.serv_sock = keep(pair, (listener:accept()))
    return pair
  end
end

transports.UDP = datagrams(csock.AF_INET, "127.0.0.1")
transports.UDP6 = datagrams(csock.AF_INET6, "::1")
transports.UDPLITE = datagrams(csock.AF_INET, "127.0.0.1",
  csock.IPPROTO_UDPLITE or -1)
transports.UDPLITE6 = datagrams(csock.AF_INET6, "::1",
  csock.IPPROTO_UDPLITE or -1)
transports.TCP = stream(csock.AF_INET, function() return {"127.0.0.1", 0} end)
transports.UnixStream = stream(csock.AF_UNIX, function()
  return helper.tmpdir() .. "/socket"
end)

--- What closes both at the end of its scope, and two connected Unix sockets.
function transports.socketpair(kind)
  local pair = new_pair {}
  local a, b = csock.socketpair(csock.AF_UNIX, kind)
  return pair, keep(pair, a), keep(pair, b)
end

--- Whether the machine can carry the transport at all; if not, why.
function transports.available(name)
  local ok, pair = pcall(transports[name])
  if ok then getmetatable(pair).__close(pair) end
  return ok, not ok and tostring(pair) or nil
end

--- As the client's sendto or send.
function Pair:sendToServer(data)
  if self.connectionless then
    return self.cli_sock:sendto(data, self.serv_addr)
  end
  return self.cli_sock:send(data)
end

--- As the client's sendmsg, with a datagram's address where none is given.
function Pair:sendmsgToServer(...)
  local args = table.pack(...)
  if self.connectionless and args.n < 4 then
    local defaults = {{}, {}, 0, self.serv_addr}
    for i = args.n + 1, 4 do args[i] = defaults[i] end
    args.n = 4
  end
  return self.cli_sock:sendmsg(table.unpack(args, 1, args.n))
end

--- By recvmsg or by recvmsg_into, with the results of the former.
function Pair:doRecvmsg(size, ...)
  if not self.into then return self.serv_sock:recvmsg(size, ...) end
  local buffer = core.buffer(size)
  local nbytes, ancdata, flags, address =
    self.serv_sock:recvmsg_into({buffer}, ...)
  assert.is_true(nbytes >= 0 and nbytes <= size)
  return tostring(buffer):sub(1, nbytes), ancdata, flags, address
end

--- The sender's address: a connected socket's is unspecified.
function Pair:checkAddress(address)
  if not self.connectionless then return end
  for i = 1, 3 do assert.are.equal(self.cli_addr[i], address[i]) end
end

--- Python's checkFlags: eor is whether all of a record was received (nil:
--- unknown); `want` may have the fields set, unset and ignore.
function Pair:checkFlags(flags, eor, want)
  want = want or {}
  local set, unset = 0, csock.MSG_CTRUNC | csock.MSG_OOB
  if eor == true then unset = unset | self.when_cut end
  if eor == false then set = set | self.when_cut end
  set = set & ~(want.unset or 0) | (want.set or 0)
  unset = unset & ~(want.set or 0) | (want.unset or 0)
  local mask = (set | unset) & ~(want.ignore or 0)
  assert.are.equal(set & mask, flags & mask)
end

--- A whole MSG without ancillary data.
function Pair:checkPlain(data, ancdata, flags, address)
  assert.are.equal(MSG, data)
  self:checkAddress(address)
  assert.are.same({}, ancdata)
  self:checkFlags(flags, true)
end

-- Tests ---------------------------------------------------------------------

--- One test of a list: {name, prepare = f, client = f, server = f}, each
--- called with the pair.  First the client, then the server; and again with
--- both in tasks, the server before the client.
local function run(make, into, test)
  local function nothing() end
  local client, server = test.client or nothing, test.server or nothing
  local function prepared()
    local pair = make()
    pair.into = into
    if test.timeout then pair.serv_sock.timeout = test.timeout end
    if test.prepare then test.prepare(pair) end
    return pair
  end
  do
    local pair <close> = prepared()
    client(pair)
    server(pair)
  end
  loop.run(function()
    local pair <close> = prepared()
    local task = loop.spawn(server, pair)
    loop.sleep(0)
    client(pair)
    task:join()
  end)
end

--- Describes a class of CPython's: its name, a transport's name, lists of
--- tests; `into` for recvmsg_into.
function transports.class(name, transport, lists, into)
  busted.describe(name, function()
    for _, list in ipairs(lists) do
      for _, test in ipairs(list) do
        busted.it(test[1], function()
          local available, why = transports.available(transport)
          if not available then
            helper.pending("no " .. transport .. ": " .. why)
          end
          run(transports[transport], into, test)
        end)
      end
    end
  end)
end

return transports
