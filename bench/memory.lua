-- memory: resident bytes that an idle connection costs a ThreadingTCPServer,
-- with its handler, its address and its deadline; and what is left of it when
-- all have gone.  The clients are in another process.
-- Invariant: every connection has been answered once before it counts.
--   lua5.4 memory.lua [connections]

local csock = require "csock"
local socketserver = require "csock.socketserver"
local loop = csock.loop

local COUNT = tonumber(arg[1]) or 9000

if arg[2] then -- a client: open them all, wait for the end of the input
  local clients = {}
  for i = 1, COUNT do
    local client = csock.create_connection {"127.0.0.1", tonumber(arg[2])}
    client:sendall "x"
    assert(client:recv(1) == "x")
    clients[i] = client
  end
  io.read "a"
  for _, client in ipairs(clients) do client:close() end
  os.exit(true, true)
end

local Echo = csock.class("Echo", socketserver.BaseRequestHandler)

function Echo:handle()
  self.request.timeout = 600
  while true do
    local data = self.request:recv(16384)
    if data == "" then return end
    self.request:sendall(data)
  end
end

local function resident()
  for line in io.lines "/proc/self/status" do
    local kilobytes = line:match "^VmRSS:%s+(%d+)"
    if kilobytes then return kilobytes * 1024 end
  end
  error "no /proc/self/status here"
end

local server <close> = socketserver.ThreadingTCPServer({"127.0.0.1", 0}, Echo)
server.handle_signals = false

local function wait_for(number)
  while server.stats.accepted < COUNT or server.stats.active ~= number do
    loop.sleep(0.1)
  end
  loop.sleep(0.5)
end

loop.run(function()
  local serving = loop.spawn(server.serve_forever, server)
  loop.sleep(0)
  collectgarbage()
  local before = resident()
  local clients = io.popen(("exec '%s' '%s' %d %d"):format(arg[-1], arg[0],
    COUNT, server.server_address[2]), "w")
  wait_for(COUNT)
  print(("%d idle connections: %.0f bytes each"):format(COUNT,
    (resident() - before) / COUNT))
  clients:close()
  wait_for(0)
  print(("when they have gone: %.0f bytes for each that was there"):format(
    (resident() - before) / COUNT))
  server:shutdown()
  serving:join()
end)
