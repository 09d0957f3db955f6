-- socks: a SOCKS5 proxy (RFC 1928): no passwords, CONNECT only.
--   lua socks.lua [port]                   (1080)
--   curl --socks5-hostname localhost:1080 http://example.org/
-- Bytes go through one buffer for each direction and never become strings.
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local HANDSHAKE = 10 -- seconds until the bytes flow, connecting included

-- What the client is told, by the code of the error.
local REPLIES = {
  EACCES = 2, EPERM = 2, ENETUNREACH = 3, EHOSTUNREACH = 4, ECONNREFUSED = 5,
  ETIMEDOUT = 6,
}
local OK, FAILED, NO_HOST, NO_COMMAND, NO_ADDRESS = 0, 1, 4, 7, 8

local Socks = csock.class("Socks", socketserver.BaseRequestHandler)

-- Exactly n bytes of the client's.
function Socks:take(n)
  local data = self.request:recv(n, csock.MSG_WAITALL)
  if #data < n then error(csock.ConnectionAbortedError(csock.ECONNABORTED)) end
  return data
end

-- The answer, with the proxy's own address towards the other side.
function Socks:reply(code, address)
  local host, port = "0.0.0.0", 0
  if address then host, port = address.host, address.port end
  local v6 = host:find(":", 1, true)
  self.request:sendall(string.pack(">BBBB", 5, code, 0, v6 and 4 or 1) ..
    csock.inet_pton(v6 and csock.AF_INET6 or csock.AF_INET, host) ..
    string.pack(">I2", port))
end

-- How they agree that no password is wanted: true if they do.
function Socks:greet()
  local version, count = self:take(2):byte(1, 2)
  if version ~= 5 then return false end
  local agreed = self:take(count):find("\0", 1, true) ~= nil
  self.request:sendall(agreed and "\5\0" or "\5\255")
  return agreed
end

-- The address that is wanted, or nil when the client has been refused.
function Socks:read_request()
  local _, command, _, kind = self:take(4):byte(1, 4)
  local host
  if kind == 1 then
    host = csock.inet_ntop(csock.AF_INET, self:take(4))
  elseif kind == 3 then
    host = self:take(self:take(1):byte())
  elseif kind == 4 then
    host = csock.inet_ntop(csock.AF_INET6, self:take(16))
  else
    return self:reply(NO_ADDRESS)
  end
  local port = string.unpack(">I2", self:take(2))
  if command ~= 1 then return self:reply(NO_COMMAND) end
  return {host, port}
end

-- A connection to where the client wants to go, or nil.  A name is looked up
-- here, in the task, while others go on.
function Socks:connect()
  local address = self:greet() and self:read_request()
  if not address then return end
  local ok, server = pcall(csock.create_connection, address)
  if ok then
    self:reply(OK, server:getsockname())
    return server
  end
  local err = server
  if not csock.isinstance(err, csock.error) then error(err, 0) end
  self:reply(csock.isinstance(err, csock.gaierror) and NO_HOST or
    REPLIES[err.code] or FAILED)
end

local function copy(from, to)
  local buffer = csock.buffer(65536)
  while true do
    local n = from:recv_into(buffer)
    if n == 0 then break end
    to:sendall(buffer:view(1, n))
  end
  to:shutdown(csock.SHUT_WR) -- the other direction may go on
end

-- When one direction fails, there is no use in the other one.
local function pump(from, to)
  local ok = pcall(copy, from, to)
  if ok then return end
  from:close()
  to:close()
end

function Socks:handle()
  local server <close> = loop.timeout(HANDSHAKE, self.connect, self)
  if not server then return end
  local back = loop.spawn(pump, server, self.request)
  pump(self.request, server)
  back:join()
end

local SocksServer = csock.class("SocksServer", socketserver.ThreadingTCPServer)

function SocksServer:server_ready()
  print("serving on " .. tostring(self.server_address))
end

-- What the world does to a connection is nothing to report.
function SocksServer:handle_error(request, client_address, err, traceback)
  if csock.isinstance(err, csock.error) then return end
  csock.class.super(SocksServer, self):handle_error(request, client_address,
    err, traceback)
end

io.stdout:setvbuf("line")
local address = {"localhost", tonumber(arg[1]) or 1080}
local server <close> = SocksServer(address, Socks)
server:serve_forever()
print("stopped")
