--- socket: the socket class, and the functions of Python's socket.py.
-- The operations are C's (csrc/socket.c, csrc/transfer.c); this file makes a
-- class of them and adds what is policy.  No method here only forwards to C.
-- Invariant: `socket` is the one class whose instances accept, socketpair and
-- the constructor make; subclasses make their own through __new.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local misuse = require "csock.misuse"
require "csock.file" -- what makefile makes

local constants = core.constants

-- The name of a number among the constants with a prefix: 2 -> "AF_INET".
local function name_of(prefix, number)
  local found
  for name, value in pairs(constants) do
    if value == number and name:find(prefix, 1, true) == 1 and
      (not found or name < found) then
      found = name
    end
  end
  return found or tostring(number)
end

-- The address that a method tells, for people; nothing where there is none.
local function shown(label, getname, self)
  local ok, address = pcall(getname, self)
  if not ok or address == nil or address == "" then return "" end
  return (", %s=%s"):format(label, (tostring(address):gsub("%c", "?")))
end

local body = {
  __doc = "A socket: socket([family [, type [, proto [, fileno]]]]).",
  __module = "csock",
  __slots = {},
  __native = {
    tag = core.socket.tag,
    gc = core.socket.collect,
    close = function(self) self:close() end,
  },
  __new = function(cls) return core.socket.new(class.metatable(cls)) end,
  __str = function(self)
    local name = self.__class.__name
    if name == "socket" then name = "csock.socket" end
    if self.closed then return "<" .. name .. " [closed]>" end
    local family = name_of("AF_", self.family)
    local type = name_of("SOCK_", self.type)
    return ("<%s fd=%d, family=%s, type=%s, proto=%d%s%s>"):format(
      name, self:fileno(), family, type, self.proto,
      shown("laddr", self.getsockname, self),
      shown("raddr", self.getpeername, self))
  end,
}
for name, method in pairs(core.socket.methods) do body[name] = method end
for name, get in pairs(core.socket.getters) do
  body[name] = class.property(get, core.socket.setters[name])
end

local socket = class("socket", body)
core.socket.plain(class.metatable(socket))

local exports = {socket = socket}

-- One attempt of create_connection, with the socket closed if it fails.
local function connect(info, timeout, source)
  local sock = socket(info[1], info[2], info[3])
  local ok, err = pcall(function()
    if timeout ~= nil then sock.timeout = timeout end
    if source then sock:bind(source) end
    sock:connect(info[5])
  end)
  if ok then return sock end
  sock:close()
  return nil, err
end

--- create_connection({host, port} [, timeout [, source_address]]) -> a
-- connected TCP socket; tries the host's addresses in turn, each within
-- `timeout` seconds (default: the default timeout).  Raises the first error;
-- its `errors` has one for each address.  (Python's socket.create_connection)
function exports.create_connection(address, timeout, source)
  if type(address) ~= "table" and type(address) ~= "userdata" then
    misuse("bad argument #1 to 'create_connection' ({host, port} expected)")
  end
  local port = address[2]
  if math.type(port) and not (math.tointeger(port) and port >= 0 and
    port <= 65535) then
    misuse("bad argument #1 to 'create_connection' (address: port must be " ..
      "0-65535)")
  end
  if timeout ~= nil and not (type(timeout) == "number" and timeout >= 0) then
    misuse("bad argument #2 to 'create_connection' (seconds expected)")
  end
  local failures = {}
  local infos = core.getaddrinfo(address[1], address[2], 0,
    constants.SOCK_STREAM)
  for i = 1, #infos do
    local sock, err = connect(infos[i], timeout, source)
    if sock then return sock end
    if not class.isinstance(err, errors.error) then error(err, 0) end
    failures[i] = err
  end
  failures[1].errors = failures
  error(failures[1], 0)
end

return exports
