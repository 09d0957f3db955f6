--- csock: Python's socket module for Lua 5.4.  The names come from the rooms
-- behind this door; the submodules are loaded when they are first asked for.
-- Invariant: nothing is defined here.

local class = require "csock.class"
local connect = require "csock.connect"
local core = require "csock.core"
local errors = require "csock.errors"
local file = require "csock.file"
local resolve = require "csock.resolve"
local socket = require "csock.socket"

local csock = {
  buffer = core.buffer,
  CMSG_LEN = core.CMSG_LEN,
  CMSG_SPACE = core.CMSG_SPACE,
  getaddrinfo = core.getaddrinfo,
  getdefaulttimeout = core.getdefaulttimeout,
  gethostbyaddr = core.gethostbyaddr,
  gethostbyname = core.gethostbyname,
  gethostbyname_ex = core.gethostbyname_ex,
  gethostname = core.gethostname,
  getnameinfo = core.getnameinfo,
  has_ipv6 = core.constants.AF_INET6 ~= nil,
  isinstance = class.isinstance,
  issubclass = class.issubclass,
  recv_fds = core.recv_fds,
  send_fds = core.send_fds,
  setdefaulttimeout = core.setdefaulttimeout,
  sethostname = core.sethostname,
  socketpair = core.socketpair,
}
for name, value in pairs(core.constants) do csock[name] = value end
for name, value in pairs(errors) do csock[name] = value end
for name, value in pairs(file) do csock[name] = value end
for name, value in pairs(socket) do csock[name] = value end
for name, value in pairs(connect) do csock[name] = value end
for name, value in pairs(resolve) do csock[name] = value end

local submodules = {
  class = true, coroutine = true, loop = true, socketserver = true,
}

return setmetatable(csock, {
  __index = function(self, name)
    if not submodules[name] then return nil end
    local module = require("csock." .. name)
    self[name] = module
    return module
  end,
}) --[[@as csock]]
