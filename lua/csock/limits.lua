--- limits: when a server takes no more for a while: as many requests as it may
-- have are running, or the system has run out of something; and which handlers
-- are too slow.
-- Invariant: while a listener rests, the kernel's queue holds its clients, and
-- shutdown() wakes it.

local core = require "csock.core"
local loop = require "csock.loop"
local misuse = require "csock.misuse"

local constants = core.constants
local limits = {}

local function numbers(names)
  local set = {}
  for _, name in ipairs(names) do
    if constants[name] then set[constants[name]] = true end
  end
  return set
end

--- Errors of accept that mean "no more until something is closed", and those
-- that mean that the listening socket is of no use.  All others concern one
-- connection, which has gone (accept(2)).
limits.exhausted = numbers {"EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"}
limits.unusable = numbers {"EBADF", "EINVAL", "ENOTSOCK", "EFAULT"}

local LONG = 100000 -- seconds of a wait that somebody will end

local Rest = {__close = function(self)
  self.server._accepting, self.server._resting = false, false
end}

--- rest(server, seconds): let the listener be, until somebody wakes it
-- (`_resting` is its task), or for that long.
function limits.rest(server, seconds)
  server._accepting, server._resting = true, loop.current()
  local _rest <close> = setmetatable({server = server}, Rest)
  loop.sleep(seconds)
end

-- Has it as many requests as it may have?  Connections whose header has yet to
-- come are some, and one whose header has come may go on.
local function is_full(server)
  local most, gate = server.max_connections, server._gate
  if not most then return false end -- it has been taken away meanwhile
  if not gate then return server:_active() >= most end
  return not gate.ready[1] and server:_active() + gate.count >= most
end

--- make_room(server, timeout) -> rest until fewer requests than
-- max_connections are running: the seconds that are left of `timeout` (nil: for
-- ever), or false when there are none.
function limits.make_room(server, timeout)
  local deadline = timeout and loop.now() + timeout
  local left = timeout
  while is_full(server) do
    if server._shutdown_request or left and left <= 0 then return false end
    limits.rest(server, left or LONG)
    left = deadline and deadline - loop.now()
  end
  return left and math.max(left, 0)
end

-- What the servers that serve say of slow callbacks, and what the loop said
-- before the first of them.
local slow, before = {}, nil

--- watch_slow(server, seconds): report tasks that run longer than that without
-- a wait (several servers in a loop: the least of theirs); nil: no more.
function limits.watch_slow(server, seconds)
  if seconds ~= nil and not (type(seconds) == "number" and seconds > 0) then
    misuse("bad slow_callback '%s' (seconds expected)", tostring(seconds))
  end
  if not next(slow) then before = loop.slow_callback end
  slow[server] = seconds
  local least = math.huge
  for _, value in pairs(slow) do least = math.min(least, value) end
  loop.slow_callback = next(slow) and least or before
end

return limits
