-- LuaSocket with its select: no coroutines, the loop written by hand, below
-- 1024 descriptors.  Debian: lua-socket
local socket = require "socket"

local server = assert(socket.bind("127.0.0.1", 0, 1024))
server:settimeout(0)
local readers, rest = {server}, {}

local function remove(client)
  for i, other in ipairs(readers) do
    if other == client then
      readers[i] = readers[#readers]
      readers[#readers] = nil
      break
    end
  end
  rest[client] = nil
  client:close()
end

local function accept()
  while true do
    local client = server:accept()
    if not client then return end
    client:settimeout(0)
    client:setoption("tcp-nodelay", true)
    readers[#readers + 1] = client
  end
end

local function send(client, data)
  local sent, err, part = client:send(data)
  if sent then
    rest[client] = nil
  elseif err == "timeout" then
    rest[client] = data:sub(part + 1)
  else
    remove(client)
  end
end

local function echo(client)
  local data, err, part = client:receive(16384)
  data = data or part
  if data ~= "" then
    send(client, rest[client] and rest[client] .. data or data)
  elseif err ~= "timeout" then
    remove(client)
  end
end

print((select(2, server:getsockname())))
io.stdout:flush()
while true do
  local writers
  for client in pairs(rest) do
    writers = writers or {}
    writers[#writers + 1] = client
  end
  local readable, writable = socket.select(readers, writers)
  for _, client in ipairs(writable) do send(client, rest[client]) end
  for _, one in ipairs(readable) do
    if one == server then accept() else echo(one) end
  end
end
