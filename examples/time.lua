-- time: the Time protocol (RFC 868) over UDP.  To whatever comes, the answer is
-- four bytes: the seconds since 1900, as every machine can read them.
--   lua time.lua [port]                    serve (3737; the protocol's is 37)
--   lua time.lua ask [port [host]]         ask once, and print the answer
local csock = require "csock"
local socketserver = require "csock.socketserver"

local EPOCH = 2208988800 -- from 1900 to 1970, in seconds

local Time = csock.class("Time", socketserver.DatagramRequestHandler)

-- What is written becomes one datagram, which goes back to the sender.
function Time:handle()
  self.wfile:write(string.pack(">I4", os.time() + EPOCH & 0xffffffff))
end

local function serve(port)
  -- A request of a datagram server is as good as answered when it is taken: it
  -- needs no task of its own, nor a thread, nor a process.
  local server <close> = socketserver.UDPServer({"localhost", port}, Time)
  function server:server_ready()
    print("serving on " .. tostring(self.server_address))
  end
  server:serve_forever()
end

-- Datagrams may be lost: ask again, a few times.
local function ask(address)
  local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
  sock:connect(address) -- only what comes from there is let in
  sock.timeout = 1
  for _ = 1, 3 do
    sock:send ""
    local ok, answer = pcall(sock.recv, sock, 4)
    if ok then return string.unpack(">I4", answer) - EPOCH end
    if not csock.isinstance(answer, csock.timeout) then error(answer, 0) end
  end
  error("no answer from " .. address[1], 0)
end

io.stdout:setvbuf("line")
if arg[1] == "ask" then
  local seconds = ask {arg[3] or "localhost", tonumber(arg[2]) or 3737}
  print(os.date("!%Y-%m-%d %H:%M:%S UTC", seconds))
else
  serve(tonumber(arg[1]) or 3737)
end
