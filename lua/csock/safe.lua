--- safe: the surface of csock, but what the world refuses is returned, as nil
-- and the error object, instead of being raised.  Misuse is raised, as
-- everywhere, and so is what comes from round the call: a cancellation, the end
-- of loop.timeout.
-- Not here: how an operation fails, which is for C to know (cs_issafe in
-- csrc/error.c), by a flag of the socket or of the function.
-- Invariant: what is neither a function of C nor made here is the very value
-- that csock has.

local class = require "csock.class"
local connect = require "csock.connect"
local core = require "csock.core"
local csock = require "csock"
local resolve = require "csock.resolve"
local select = require "csock.select"
local base = require "csock.socket".socket

local socket = class("socket", base, {
  __doc = "A socket that returns nil, err: see csock.socket.",
  __module = "csock.safe",
  __slots = {},
  __new = function(cls) return core.socket.new(class.metatable(cls), true) end,
})
core.socket.plain(class.metatable(socket), true)

local function answer(...) return ... end

local safe = {}
for name, value in pairs(csock) do
  local f = core[name]
  safe[name] = value == base and socket or
    type(f) == "function" and core.safely(f) or value
end
for name, value in pairs(connect(safe, answer)) do safe[name] = value end
for name, value in pairs(resolve(answer)) do safe[name] = value end
for name, value in pairs(select(answer)) do safe[name] = value end
safe.socket = socket

return setmetatable(safe, getmetatable(csock))
