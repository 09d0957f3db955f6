--- transport: where requests come from: servers on TCP, UDP and AF_UNIX.
-- Not here: what becomes of a request (server); datagrams that come several at
-- a time (datagrams).
-- Invariant: a server has the socket that it was given or has made, and closes
-- it when it cannot be made ready.

local class = require "csock.class"
local core = require "csock.core"
local datagrams = require "csock.datagrams"
local misuse = require "csock.misuse"
local proxy = require "csock.proxy"
local socket = require "csock.socket".socket
local unix = require "csock.unix"
local BaseServer = require "csock.server"

local constants = core.constants
local isinstance = class.isinstance
local servers = {}

-- Serve on a socket that somebody else has made ready.
local function adopt(self, sock)
  if sock.type ~= self.socket_type then
    misuse("bad argument #1 to '%s' (a socket of another type)",
      self.__class.__name)
  end
  self.address_family = sock.family
  self.own_listeners = false -- the address may be bound to this one only
  self.socket, self.server_address = sock, sock:getsockname()
end

local TCPServer = class("TCPServer", BaseServer, {
  __doc = [[
TCPServer(server_address, RequestHandlerClass [, bind_and_activate = true]).
Instead of the address it takes a socket that is bound and listens already.
Class attributes: address_family, socket_type, request_queue_size (SOMAXCONN),
allow_reuse_address (true), allow_reuse_port (false), nodelay (true: connections
begin without Nagle's algorithm), dualstack (of AF_INET6: true takes IPv4 as
well, false does not, nil: as the system is set),
proxy_protocol (networks of balancers whose PROXY header is believed, nil for
none), proxy_timeout (3 seconds for that header).
May be overridden: proxy_error.]],
  __module = "csock.socketserver",
  address_family = constants.AF_INET,
  socket_type = constants.SOCK_STREAM,
  request_queue_size = constants.SOMAXCONN,
  allow_reuse_address = true,
  allow_reuse_port = false,
  nodelay = true,
  proxy_timeout = 3,
  __init = function(self, server_address, RequestHandlerClass,
                    bind_and_activate)
    BaseServer.__init(self, server_address, RequestHandlerClass)
    proxy.gate(self) -- a fault in its attributes shows here
    if isinstance(server_address, socket) then
      return adopt(self, server_address)
    end
    self.socket = socket(self.address_family, self.socket_type)
    if bind_and_activate == false then return end
    local ok, err = pcall(function()
      self:server_bind()
      self:server_activate()
    end)
    if ok then return end
    self:server_close()
    error(err, 0)
  end,
})
servers.TCPServer = TCPServer

-- Let connections send at once what they send: they have that from their
-- listener, which takes no system call of theirs.
local function set_nodelay(self)
  local sock = self.socket
  if sock.type == constants.SOCK_STREAM and
    (sock.family == constants.AF_INET or sock.family == constants.AF_INET6) then
    sock.nodelay, self._nodelay = true, true
  end
end

--- server_bind(): bind the socket; server_address becomes what the system says.
function TCPServer:server_bind()
  if self.allow_reuse_address then self.socket.reuseaddr = true end
  if self.allow_reuse_port then self.socket.reuseport = true end
  if self.dualstack ~= nil then self.socket.ipv6only = not self.dualstack end
  if self.nodelay then set_nodelay(self) end
  self.socket:bind(self.server_address)
  self.server_address = self.socket:getsockname()
end

--- server_activate(): listen.
function TCPServer:server_activate()
  self.socket:listen(self.request_queue_size)
end

--- get_request() -> request, client_address.
TCPServer.get_request = BaseServer._accept

--- destination(request) -> the address that the client has connected to, as a
-- trusted balancer says, or else the request's own.
function TCPServer:destination(request)
  return proxy.destination(request) or request:getsockname()
end

--- proxy_error(peer_address, reason): a connection from a trusted balancer is
-- dropped, since its PROXY header is malformed, late or not there.  By default
-- a line on stderr.
function TCPServer:proxy_error(peer_address, reason)
  io.stderr:write("csock: connection from ", tostring(peer_address),
    " dropped, PROXY protocol: ", reason, "\n")
end

--- close_request(request): close the connection.  A close is all it takes: no
-- copy of the descriptor is left in another process by csock.
function TCPServer:close_request(request) request:close() end

local UDPServer = class("UDPServer", TCPServer, {
  __doc = [[
UDPServer(server_address, RequestHandlerClass [, bind_and_activate = true]): a
request is {data, socket}, to be answered with socket:sendto.
Class attributes: max_packet_size (8192; the rest of a datagram is lost),
batch_size (32: while it serves for ever, so many are taken at once).]],
  __module = "csock.socketserver",
  socket_type = constants.SOCK_DGRAM,
  allow_reuse_address = false,
  max_packet_size = 8192,
  batch_size = 32,
  _batch = false, -- datagrams that were taken
  _taking = false, -- plans for them
  _answering = false,
  _working = false, -- the turn of the task that answers them
})
servers.UDPServer = UDPServer

--- get_request() -> {data, socket}, client_address.
function UDPServer:get_request()
  local batch = self._batch
  if batch and batch.left() > 0 then return batch.take(self.socket) end
  local data, client_address = self.socket:recvfrom(self.max_packet_size)
  if data == nil then return nil, client_address end
  return {data, self.socket}, client_address
end

function UDPServer:_wait(timeout)
  local batch = self._batch
  return batch and batch.left() > 0 or BaseServer._wait(self, timeout)
end

function UDPServer:_active()
  local batch = self._batch
  return (self._request or batch and batch.busy()) and 1 or 0
end

function UDPServer:server_activate() end -- a datagram socket does not listen

function UDPServer:close_request() end -- nor has a request one of its own

local usual = {} -- its hooks
for _, name in ipairs {"_wait", "get_request", "verify_request",
  "process_request", "finish_request", "shutdown_request", "close_request",
  "service_actions"} do
  usual[name] = UDPServer[name]
end

-- While it serves for ever, datagrams come in batches.
function UDPServer:_turn(timeout)
  return datagrams.turn(self, timeout, usual)
end

-- A server on AF_UNIX, of which kind its base says.
local function unix_server(name, base)
  local cls = class(name, base, {
    __doc = name .. "(path, RequestHandlerClass): " .. base.__name .. [[
 on AF_UNIX.
A path that a dead server has left is bound anew; server_close() removes it.
Class attribute: mode (its permissions, as "660"; nil: what the umask says).]],
    __module = "csock.socketserver",
    address_family = constants.AF_UNIX,
    allow_reuse_address = false,
    server_bind = unix.bind,
  })

  --- server_close(): remove the path, and close the socket.
  function cls:server_close()
    unix.release(self)
    class.super(cls, self):server_close()
  end

  servers[name] = cls
end
unix_server("UnixStreamServer", TCPServer)
unix_server("UnixDatagramServer", UDPServer)

return servers
