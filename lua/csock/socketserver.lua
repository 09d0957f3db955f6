--- socketserver: the public names, gathered from the rooms that make them.
-- Invariant: nothing is defined here but the ready-made combinations.

local class = require "csock.class"
local forking = require "csock.forking"
local handler = require "csock.handler"
local mixin = require "csock.mixin"
local prefork = require "csock.prefork"
local BaseServer = require "csock.server"
local transport = require "csock.transport"

local socketserver = {BaseServer = BaseServer}
for _, room in ipairs {transport, mixin, forking, prefork, handler} do
  for name, value in pairs(room) do socketserver[name] = value end
end

-- A mix-in comes first: it changes process_request.
for _, kind in ipairs {"TCP", "UDP", "UnixStream", "UnixDatagram"} do
  for _, way in ipairs {"Threading", "Forking", "Prefork"} do
    local name = way .. kind .. "Server"
    socketserver[name] = class(name, socketserver[way .. "MixIn"],
      socketserver[kind .. "Server"], {__module = "csock.socketserver"})
  end
end

return socketserver --[[@as csock.socketserver]]
