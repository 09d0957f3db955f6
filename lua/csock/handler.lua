--- handler: what a user derives to answer requests.
-- Not here: who calls it, and what becomes of its errors (server).
-- Invariant: finish follows setup, whatever happens in between.

local class = require "csock.class"
local core = require "csock.core"
local forgive = require "csock.forgive"
require "csock.file" -- what makefile makes
local loop = require "csock.loop"
local socket = require "csock.socket".socket

local await, close_both = core.file.await, core.file.finish
local halves, whole = core.file.halves, core.file.whole
local usual = core.socket.methods.makefile
local handler = {}

local function nothing() end

local BaseRequestHandler = class("BaseRequestHandler", {
  __doc = [[
Answers one request: the server makes an instance for each, and calls setup(),
handle() and finish() in this order; finish() also when handle() fails.
In an instance: request (a connected socket, or {data, socket} for a datagram),
client_address, server.]],
  __module = "csock.socketserver",
  __init = function(self, request, client_address, server)
    self.request = request
    self.client_address = client_address
    self.server = server
  end,
  --- To be overridden: all three.
  setup = nothing,
  handle = nothing,
  finish = nothing,
})
handler.BaseRequestHandler = BaseRequestHandler

--
-- Streams
--

local StreamRequestHandler = class("StreamRequestHandler", BaseRequestHandler, {
  __doc = [[
Reads and writes a connection as files: rfile and wfile.
Class attributes: rbufsize (-1: 8192), wbufsize (0: each write is sent at once,
and all of it), timeout (seconds for each wait on the connection, nil for none),
disable_nagle_algorithm (false), line_limit (65536 bytes of a line that rfile
reads; false for none).
In an instance: connection (the request), rfile, wfile.
For handle(): has_request().]],
  __module = "csock.socketserver",
  rbufsize = -1,
  wbufsize = 0,
  disable_nagle_algorithm = false,
  line_limit = 65536,
})
handler.StreamRequestHandler = StreamRequestHandler

-- Make a file by the connection's own makefile, which may be anybody's.
local function make_files(self, connection)
  self.rfile = connection:makefile("rb", self.rbufsize)
  self.rfile.maxline = self.line_limit or nil
  self.wfile = connection:makefile("wb", self.wbufsize)
  if self.wbufsize == 0 then whole(self.wfile) end
end

local none = {} -- instead of the server, where there is none

-- Nagle's algorithm is as Python's attribute says, whatever the connection has
-- begun with.
local function set_nagle(self, connection)
  local server, nodelay = self.server or none, self.disable_nagle_algorithm
  if nodelay then
    if not server._nodelay then connection.nodelay = true end
  elseif server._nodelay and connection.makefile == usual and
    connection.family == server.address_family then
    connection.nodelay = false
  end
end

--- setup(): make the files.
function StreamRequestHandler:setup()
  local connection, timeout = self.request, self.timeout
  self.connection = connection
  if timeout ~= nil then connection.timeout = timeout end
  set_nagle(self, connection)
  if connection.makefile ~= usual then return make_files(self, connection) end
  local rfile, wfile =
    halves(connection, self.rbufsize, self.wbufsize, self.line_limit)
  if not rfile then return make_files(self, connection) end -- it says why
  self.rfile, self.wfile = rfile, wfile
end

--- has_request() -> true when the client has begun another request on this
-- connection, which it has `timeout` seconds for (nil: for ever), and whether
-- the server is stopping; false when it has not, or has gone, and, a moment
-- after it was told to stop, when the server ends: a connection between two
-- requests does not hold it up.
function StreamRequestHandler:has_request()
  local rfile, server = self.rfile, self.server or none
  while not server._idle_until do
    local seen, again = await(rfile, server)
    if seen then return true, server._shutdown_request end
    if again ~= true and -- or an error, where those are returned
      (seen == false or not server._idle_until) then
      return false
    end
  end
  if rfile.pending > 0 then return true, server._shutdown_request end
  local ending, wfile = server._idle_until, self.wfile
  if not wfile.closed then forgive(wfile.flush, wfile) end
  local left = math.max(ending - loop.now(), 0)
  if core.socket.readable(self.connection, left) and await(rfile) then
    return true, server._shutdown_request
  end
  return false
end

--- finish(): send what is left in wfile, and close both.  That the client has
-- gone meanwhile is no error.
function StreamRequestHandler:finish()
  local rfile, wfile = self.rfile, self.wfile
  if close_both(rfile, wfile) then return end
  local _rfile <close> = rfile
  forgive(wfile.close, wfile)
end

--
-- Datagrams
--

-- What is to become one datagram: of Python's BytesIO what writes.
local writer = {
  __doc = "Collects what is written: write, writelines, tell, getvalue.",
  __module = "csock.socketserver",
  __slots = {},
  __native = {
    tag = core.datagram.tag, close = core.datagram.methods.close,
  },
  __new = function(cls) return core.datagram.new(class.metatable(cls)) end,
  closed = class.property(core.datagram.closed),
}
for name, method in pairs(core.datagram.methods) do writer[name] = method end
local DatagramWriter = class("DatagramWriter", writer)

local reads, writes = core.file.strings, class.metatable(DatagramWriter)
local nowhere = core.socket.new(class.metatable(socket)) -- is never open

local DatagramRequestHandler = class("DatagramRequestHandler",
  BaseRequestHandler, {
    __doc = [[
Reads a datagram as a file, rfile, and answers with one: what was written to
wfile.
In an instance: packet (the data), socket, rfile, wfile.]],
    __module = "csock.socketserver",
  })
handler.DatagramRequestHandler = DatagramRequestHandler

--- setup(): make the files.
function DatagramRequestHandler:setup()
  self.packet, self.socket = self.request[1], self.request[2]
  self.rfile = core.file.over(reads, nowhere, self.packet)
  self.wfile = core.datagram.new(writes)
end

-- The setups that a C function stands for, where the handler's class does no
-- more than to set fields, and how many fields it then has (datagrams.lua).
core.datagram.setups = {
  [DatagramRequestHandler.setup] = {
    core.datagram.setup(nowhere, reads, writes), 7,
  },
}

--- finish(): send what was written, even if it is nothing.
function DatagramRequestHandler:finish()
  self.socket:sendto(self.wfile:getvalue(), self.client_address)
end

return handler
