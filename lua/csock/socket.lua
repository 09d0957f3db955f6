--- socket: the socket class.
-- The operations are C's (csrc/socket.c, csrc/transfer.c and others); this file
-- makes a class of them and adds what is policy.  No method here only forwards
-- to C.
-- Invariant: `socket` is the one class whose instances accept and socketpair
-- make (csock.safe has another for its own); subclasses make their own through
-- __new.

local class = require "csock.class"
local core = require "csock.core"
local insist = require "csock.insist"
require "csock.file" -- what makefile makes

local constants = core.constants

-- A number, with its name among the constants of a prefix: "2 (AF_INET)".
local function named(prefix, number)
  local found
  for name, value in pairs(constants) do
    if value == number and name:find(prefix, 1, true) == 1 and
      (not found or name < found) then
      found = name
    end
  end
  return found and ("%d (%s)"):format(number, found) or tostring(number)
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
    close = function(self) insist(self:close()) end,
  },
  __new = function(cls) return core.socket.new(class.metatable(cls)) end,
  __str = function(self)
    local name = self.__class.__name
    if name == "socket" then name = "csock.socket" end
    if self.closed then return "<" .. name .. " [closed]>" end
    local family = named("AF_", self.family)
    local type = named("SOCK_", self.type)
    return ("<%s fd=%d, family=%s, type=%s, proto=%d%s%s>"):format(
      name, self:fileno(), family, type, self.proto,
      shown("laddr", self.getsockname, self),
      shown("raddr", self.getpeername, self))
  end,
}

local Lent = {
  __close = function(self) if self.fd then core.socket.unlend(self.fd) end end,
}

--- sock:dup() -> another socket of the same class, with the same timeout, for
-- the same open file; close-on-exec.  A subclass's __init is called with
-- family, type, proto and a new descriptor.  (Python's socket.dup)
function body:dup()
  local lent <close> = setmetatable({}, Lent)
  local fd, err = core.socket.lend(self)
  if not fd then return nil, err end
  lent.fd = fd
  local sock, refusal = self.__class(self.family, self.type, self.proto, fd)
  if not sock then return nil, refusal end
  sock:settimeout(self:gettimeout())
  return sock
end

for name, method in pairs(core.socket.methods) do body[name] = method end
for name, get in pairs(core.socket.getters) do
  body[name] = class.property(get, core.socket.setters[name])
end

local socket = class("socket", body)
core.socket.plain(class.metatable(socket))

return {socket = socket, SocketType = socket}
