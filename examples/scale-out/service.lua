-- service.lua: one of several machines behind a balancer (docs/scale-out.md).
-- It answers lines in capitals, and tells the client who it is.
--   lua service.lua [PORT [BALANCER...]]
-- Under systemd the socket named "upper" is taken instead of the port.

local csock = require "csock"
local socketserver = require "csock.socketserver"
local systemd = require "csock.systemd"

local Upper = csock.class("Upper", socketserver.StreamRequestHandler)

function Upper:handle()
  for line in self.rfile:lines() do
    self.wfile:write(line:upper(), " ", tostring(self.client_address), "\n")
  end
end

local Service = csock.class("Service", socketserver.PreforkTCPServer, {
  -- whose PROXY header is believed; from all others none is expected
  proxy_protocol = #arg > 1 and {table.unpack(arg, 2)} or {"127.0.0.1", "::1"},
  drain_timeout = 30,
  max_connections = 10000,
})

local address = systemd.socket "upper" or {"", tonumber(arg[1] or 9999)}
local server <close> = Service(address, Upper)
print("serving on " .. tostring(server.server_address))
io.stdout:flush()
server:serve_forever()
