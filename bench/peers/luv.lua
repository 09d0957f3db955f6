-- luv (libuv): callbacks.  Debian: lua-luv
local uv = require "luv"

-- What the socket does not take at once goes through a write request.
local function send(client, data)
  local sent = client:try_write(data) or 0
  if sent < #data then client:write(data:sub(sent + 1)) end
end

local server = uv.new_tcp()
assert(server:bind("127.0.0.1", 0))
assert(server:listen(1024, function()
  local client = uv.new_tcp()
  server:accept(client)
  client:nodelay(true)
  client:read_start(function(_, data)
    if data then
      send(client, data)
    elseif not client:is_closing() then
      client:close()
    end
  end)
end))

print(server:getsockname().port)
io.stdout:flush()
uv.run()
