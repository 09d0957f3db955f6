--- loop: the event loop's Lua face: run, spawn, sleep, now, timeout.
-- The turning is C's (csrc/loop.c); sockets find the loop by themselves.
-- Invariant: the loop is closed, and what is left in it cancelled, however run
-- ends.

local core = require "csock.core"
local errors = require "csock.errors"
local misuse = require "csock.misuse"

---@type csock.loop
local loop = {
  --- spawn(f, ...) -> task, with task:join([timeout]), task:cancel(),
  -- task:status().  f(...) begins in the loop's next turn.
  spawn = core.loop.spawn,
  --- sleep(seconds) -> true
  sleep = core.loop.sleep,
  --- now() -> seconds, a float that only grows (not the time of day)
  now = core.loop.now,
  --- current() -> the task now running; nil outside of tasks
  current = core.loop.current,
  --- poller() -> "epoll" or "poll" while the loop runs, else nil
  poller = core.loop.poller,
  CancelledError = errors.CancelledError,
}

local function check_callable(f, n, name)
  local meta = getmetatable(f)
  if type(f) ~= "function" and not (meta and meta.__call) then
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
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 or
    seconds >= 9.2e9 then -- csrc/loop.c counts nanoseconds in 64 bits
    misuse("bad argument #1 to 'timeout' (seconds expected, got %s)",
      tostring(seconds))
  end
  check_callable(f, 2, "timeout")
  local _scope <close> = core.loop.scope(seconds)
  return f(...)
end

return loop
