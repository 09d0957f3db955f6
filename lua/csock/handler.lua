--- handler: what a user derives to answer requests.
-- Not here: who calls it, and what becomes of its errors (server).
-- Invariant: finish follows setup, whatever happens in between.

local class = require "csock.class"
local core = require "csock.core"
local forgive = require "csock.forgive"
local file = require "csock.file".file
local loop = require "csock.loop"
local misuse = require "csock.misuse"
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

--- setup(): make the files.
function StreamRequestHandler:setup()
  local connection, timeout = self.request, self.timeout
  self.connection = connection
  if timeout ~= nil then connection.timeout = timeout end
  if self.disable_nagle_algorithm then connection.nodelay = true end
  if connection.makefile ~= usual then return make_files(self, connection) end
  local rfile, wfile =
    halves(connection, self.rbufsize, self.wbufsize, self.line_limit)
  if not rfile then return make_files(self, connection) end -- it says why
  self.rfile, self.wfile = rfile, wfile
end

local none = {} -- instead of the server, where there is none

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

local file_meta, socket_meta = class.metatable(file), class.metatable(socket)

-- A file that reads a string.
local function over(data)
  return core.file.over(file_meta, core.socket.new(socket_meta), data)
end

-- The bytes of what a write takes; misuse for anything else.
local function bytes(value, n)
  local kind = type(value)
  if kind == "string" or kind == "number" or
    kind == "userdata" and getmetatable(value).__name == "csock.buffer" then
    return tostring(value)
  end
  misuse("bad argument #%d to 'write' (string or buffer expected, got %s)", n,
    kind)
end

-- What is to become one datagram: of Python's BytesIO what writes.
local DatagramWriter = class("DatagramWriter", {
  __doc = "Collects what is written: write, writelines, tell, getvalue.",
  __module = "csock.socketserver",
  __init = function(self)
    self.pieces, self.size, self.closed = {}, 0, false
  end,
  __close = function(self) self:close() end,
  readable = function() return false end,
  writable = function() return true end,
  seekable = function() return false end,
})

--- write(data...) -> how many bytes that is.
function DatagramWriter:write(...)
  if self.closed then misuse "I/O operation on closed file" end
  local pieces = {...}
  for i = 1, select("#", ...) do pieces[i] = bytes(pieces[i], i) end
  local data = table.concat(pieces)
  table.insert(self.pieces, data)
  self.size = self.size + #data
  return #data
end

--- writelines(list) -> true
function DatagramWriter:writelines(list)
  self:write(table.unpack(list))
  return true
end

--- tell() -> how many bytes were written.
function DatagramWriter:tell() return self.size end

--- getvalue() -> all of them.
function DatagramWriter:getvalue()
  local value = table.concat(self.pieces)
  self.pieces = {value}
  return value
end

--- flush() -> true: all is sent by finish(), as one datagram.
function DatagramWriter:flush() return not self.closed end

--- close() -> true: nothing more is to be written.
function DatagramWriter:close()
  self.closed = true
  return true
end

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
  self.rfile = over(self.packet)
  self.wfile = DatagramWriter()
end

--- finish(): send what was written, even if it is nothing.
function DatagramRequestHandler:finish()
  self.socket:sendto(self.wfile:getvalue(), self.client_address)
end

return handler
