-- prefork: an echo server with a process for each processor.
--   lua prefork.lua [port [workers]]       (7777, one a processor)
-- Kill a worker: another one takes its place.  SIGHUP replaces them all, and no
-- connection is lost; Ctrl-C, SIGTERM and shutdown() end them.
local csock = require "csock"
local socketserver = require "csock.socketserver"

-- The handler does not know in what kind of server it is: this one would do in
-- a TCPServer, a ThreadingTCPServer or a ForkingTCPServer as well.
local Echo = csock.class("Echo", socketserver.BaseRequestHandler)

function Echo:handle()
  local request = self.request
  repeat
    local data = request:recv(16384)
    request:sendall(data)
  until data == ""
end

local EchoServer = csock.class("EchoServer", socketserver.PreforkTCPServer, {
  workers = tonumber(arg[2]), -- nil: one a processor
  drain_timeout = 2,          -- seconds that connections have at the end
})

-- In the parent, when it can take requests and hears signals.
function EchoServer:server_ready()
  print("serving on " .. tostring(self.server_address))
end

-- In each worker, before it serves: the place to open what processes should
-- not share, a database's connection or a log.
function EchoServer:worker_start(worker)
  print(("worker %d is there"):format(worker))
end

-- Everything up to here has been done once, by the parent; what it has loaded
-- the workers share until one of them changes it.
io.stdout:setvbuf("line")
local address = {"localhost", tonumber(arg[1]) or 7777}
local server <close> = EchoServer(address, Echo)
server:serve_forever()
print("stopped")
