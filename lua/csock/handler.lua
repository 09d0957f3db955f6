--- handler: what a user derives to answer requests.
-- Not here: who calls it, and what becomes of its errors (server).
-- Invariant: finish follows setup, whatever happens in between.

local class = require "csock.class"

local handler = {}

handler.BaseRequestHandler = class("BaseRequestHandler", {
  __doc = [[
Answers one request: the server makes an instance for each, and calls setup(),
handle() and finish() in this order; finish() also when handle() fails.
In an instance: request (a connected socket, or {data, socket} for a datagram),
client_address, server.]],
  __module = "csock.socketserver",
  __init = function(self, request, client_address, server)
    self.request = request
    self.client_address = client_address
    self.server = server
  end,
  --- To be overridden: all three.
  setup = function() end,
  handle = function() end,
  finish = function() end,
})

return handler
