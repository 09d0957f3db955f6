--- socketserver: the public names, gathered from the rooms that make them.
-- Invariant: nothing is defined here but the ready-made combinations.

local class = require "csock.class"
local handler = require "csock.handler"
local mixin = require "csock.mixin"
local server = require "csock.server"

local socketserver = {}
for _, room in ipairs {server, mixin, handler} do
  for name, value in pairs(room) do socketserver[name] = value end
end

-- A mix-in comes first: it changes process_request.
for _, kind in ipairs {"TCP", "UDP", "UnixStream", "UnixDatagram"} do
  local name = "Threading" .. kind .. "Server"
  socketserver[name] = class(name, socketserver.ThreadingMixIn,
    socketserver[kind .. "Server"], {__module = "csock.socketserver"})
end

return socketserver --[[@as csock.socketserver]]
