-- The upper-casing server: what a client sends comes back in capitals.
--   lua server.lua [port [class]]        (9999, ThreadingTCPServer)
-- Port 0 lets the system choose.  Ctrl-C, SIGTERM or server:shutdown() end it.
local csock = require "csock"
local socketserver = require "csock.socketserver"

local Upper = csock.class("Upper", socketserver.BaseRequestHandler)

function Upper:handle()
  self.data = self.request:recv(1024)
  print(self.client_address[1] .. " wrote: " .. self.data)
  self.request:sendall(self.data:upper())
end

io.stdout:setvbuf("line")
local Server = socketserver[arg[2] or "ThreadingTCPServer"]
local server <close> = Server({"localhost", tonumber(arg[1]) or 9999}, Upper)
function server:server_ready()
  print("serving on " .. tostring(self.server_address))
end
server:serve_forever()
print("stopped")
