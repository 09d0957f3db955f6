-- echo: the csock server under measurement, written as any user would write
-- it: a handler class on ThreadingTCPServer, with the defaults of both.
-- It prints its port and serves until it is told to stop.

local csock = require "csock"
local socketserver = require "csock.socketserver"

local Echo = csock.class("Echo", socketserver.BaseRequestHandler)

function Echo:handle()
  local request = self.request
  while true do
    local data = request:recv(16384)
    if data == "" then return end
    request:sendall(data)
  end
end

local server <close> = socketserver.ThreadingTCPServer({"127.0.0.1", 0}, Echo)
print(server.server_address[2])
io.stdout:flush()
server:serve_forever()
