-- cqueues: a coroutine for each connection.  Debian: lua-cqueues
local cqueues = require "cqueues"
local socket = require "cqueues.socket"

local function quiet(_, _, code) return code end

local function echo(client)
  client:onerror(quiet)
  client:setmode("bn", "bn")
  client:setbufsiz(16384, 16384)
  while true do
    local data = client:read(-16384)
    if not data or not client:write(data) then break end
  end
  client:close()
end

local loop = cqueues.new()
local server = socket.listen {host = "127.0.0.1", port = 0, nodelay = true}
loop:wrap(function()
  for client in server:clients() do loop:wrap(echo, client) end
end)

assert(server:listen())
print((select(3, server:localname())))
io.stdout:flush()
assert(loop:loop())
