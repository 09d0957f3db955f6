--- csock: Python's socket module for Lua 5.4.  The names come from the rooms
-- behind this door; the submodules are loaded when they are first asked for.
-- Invariant: nothing is defined here.

local class = require "csock.class"
local connect = require "csock.connect"
local core = require "csock.core"
local errors = require "csock.errors"
local file = require "csock.file"
local insist = require "csock.insist"
local resolve = require "csock.resolve"
local select = require "csock.select"
local socket = require "csock.socket"

local csock = {
  buffer = core.buffer,
  close = core.close,
  CMSG_LEN = core.CMSG_LEN,
  CMSG_SPACE = core.CMSG_SPACE,
  dup = core.dup,
  fromfd = core.fromfd,
  getaddrinfo = core.getaddrinfo,
  getdefaulttimeout = core.getdefaulttimeout,
  gethostbyaddr = core.gethostbyaddr,
  gethostbyname = core.gethostbyname,
  gethostbyname_ex = core.gethostbyname_ex,
  gethostname = core.gethostname,
  getnameinfo = core.getnameinfo,
  getprotobyname = core.getprotobyname,
  getservbyname = core.getservbyname,
  getservbyport = core.getservbyport,
  has_ipv6 = core.constants.AF_INET6 ~= nil,
  htonl = core.htonl,
  htons = core.htons,
  if_indextoname = core.if_indextoname,
  if_nameindex = core.if_nameindex,
  if_nametoindex = core.if_nametoindex,
  inet_aton = core.inet_aton,
  inet_ntoa = core.inet_ntoa,
  inet_ntop = core.inet_ntop,
  inet_pton = core.inet_pton,
  isinstance = class.isinstance,
  issubclass = class.issubclass,
  ntohl = core.ntohl,
  ntohs = core.ntohs,
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
for name, value in pairs(connect(csock, insist)) do csock[name] = value end
for name, value in pairs(resolve(insist)) do csock[name] = value end
for name, value in pairs(select(insist)) do csock[name] = value end

local submodules = {
  class = true, coroutine = true, loop = true, safe = true,
  socketserver = true,
  systemd = true,
}

return setmetatable(csock, {
  __index = function(self, name)
    if not submodules[name] then return nil end
    local module = require("csock." .. name)
    self[name] = module
    return module
  end,
})
