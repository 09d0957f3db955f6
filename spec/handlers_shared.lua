-- handlers_shared: the one handler that all servers of the specs run, written
-- once, in blocking style: it answers a line with the line.

local csock = require "csock"
local socketserver = require "csock.socketserver"

local function handle(self)
  local line = self.rfile:readline()
  self.wfile:write(line)
end

local function echo(base)
  return csock.class("MyHandler", base, {handle = handle})
end

return {
  stream = echo(socketserver.StreamRequestHandler),
  datagram = echo(socketserver.DatagramRequestHandler),
}
