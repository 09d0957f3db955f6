--- loop: the event loop's Lua face: run, spawn, sleep, now, timeout, tasks.
-- The turning is C's (csrc/loop.c); sockets find the loop by themselves.
-- Invariant: the loop is closed, and what is left in it cancelled, however run
-- ends.

local callable = require "csock.callable"
local core = require "csock.core"
local errors = require "csock.errors"
local misuse = require "csock.misuse"
local signal = require "csock.signal"

---@type csock.loop
local loop = {
  --- spawn(f, ...) -> task, with task:join([timeout]), task:cancel(),
  -- task:status(), task:traceback(), task.name.  f(...) begins in the loop's
  -- next turn.
  spawn = core.loop.spawn,
  --- sleep(seconds) -> true
  sleep = core.loop.sleep,
  --- now() -> seconds, a float that only grows (not the time of day)
  now = core.loop.now,
  --- current() -> the task now running; nil outside of tasks
  current = core.loop.current,
  --- poller() -> "epoll" or "poll" while the loop runs, else nil
  poller = core.loop.poller,
  --- step([timeout]) -> seconds until the next one is due, or nil; for a host
  -- that has a loop of its own: runs what is ready, waits `timeout` seconds
  -- (nil: for ever) for more if nothing is, and runs that.
  step = core.host.step,
  --- fileno() -> a descriptor that is readable when a step has something to do,
  -- or nil, where the poller has none
  fileno = core.host.fileno,
  --- close() -> true: ends what step() and fileno() began; cancels what is left
  close = core.host.close,
  --- on_signal(signal, f) -> a handle with close(); see lua/csock/signal.lua
  on_signal = signal.on_signal,
  -- What tasks share, as in Python's asyncio (csrc/sync.c).
  Event = core.sync.Event,
  Semaphore = core.sync.Semaphore,
  BoundedSemaphore = core.sync.BoundedSemaphore,
  Lock = core.sync.Lock,
  Queue = core.sync.Queue,
  CancelledError = errors.CancelledError,
  QueueEmpty = errors.QueueEmpty,
  QueueFull = errors.QueueFull,
}

-- csrc/loop.c counts nanoseconds in 64 bits.
local function is_seconds(value)
  return type(value) == "number" and value >= 0 and value < 9.2e9
end

local function check_callable(f, n, name)
  if not callable(f) then
    misuse("bad argument #%d to '%s' (function expected, got %s)", n, name,
      type(f))
  end
end

--- run(f, ...) -> what f returns: runs f(...) as the main task, and all tasks
-- it spawns, until the main task ends; what is left then is cancelled.  Raises
-- the main task's error; an argument error if f cannot be called; an error
-- when it is called inside a task.
function loop.run(f, ...)
  check_callable(f, 1, "run")
  local _running <close> = core.loop.enter()
  local main = core.loop.spawn(f, ...)
  core.loop.finish(main)
  return main:join()
end

--- timeout(seconds, f, ...) -> what f returns; a wait inside f that goes beyond
-- `seconds` from now raises csock.timeout, whatever it waits for.
function loop.timeout(seconds, f, ...)
  if not is_seconds(seconds) then
    misuse("bad argument #1 to 'timeout' (seconds expected, got %s)",
      tostring(seconds))
  end
  check_callable(f, 2, "timeout")
  local _scope <close> = core.loop.scope(seconds)
  return f(...)
end

--- tasks() -> what every live task is about, in the order in which they were
-- spawned: a list of tables with `task`, `number`, `name`, `status`, and, of
-- one that waits, `since` (on the clock of now(), to the turn), `op` ("recv",
-- "sleep", "join", "get" ...) and `on` (the socket, task, queue ...).
function loop.tasks()
  local list = core.loop.tasks()
  table.sort(list, function(a, b) return a.number < b.number end)
  return list
end

-- `loop.slow_callback`: seconds that a task may run between two waits before a
-- warning (warn) says who did, for how long, and where; nil: it may.
-- `loop.spin`: seconds that the loop asks for events over and over before it
-- lets the processor sleep: what comes soon is found sooner, at the price of
-- the processor's time; 0, the default: it does not.
local settings = {slow_callback = core.loop.slow, spin = core.loop.spin}
local properties = {}

function properties.__index(_, name)
  local setting = settings[name]
  if not setting then return nil end
  local seconds = setting()
  if seconds == 0 and name == "slow_callback" then return nil end
  return seconds
end

function properties.__newindex(self, name, value)
  local setting = settings[name]
  if not setting then return rawset(self, name, value) end
  if value == nil then value = 0 end
  if not is_seconds(value) then
    misuse("bad value for '%s' (seconds expected, got %s)", name,
      tostring(value))
  end
  setting(value)
end

return setmetatable(loop, properties)
