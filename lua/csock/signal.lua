--- signal: what a program does when a signal comes: a function in a task.
-- Not here: how a signal is noticed (csrc/process.c, csrc/sys.c); Ctrl-C and
-- SIGTERM for a server, which sees to them itself.
-- Invariant: a signal is taken from the call of on_signal until the handle is
-- closed or the loop ends, and its disposition is put back then.

local callable = require "csock.callable"
local core = require "csock.core"
local misuse = require "csock.misuse"

local signal = {}

local number_of, name_of = core.signals, {}
for name, number in pairs(number_of) do name_of[number] = name end

-- Those that cannot be caught, and those by which the processor says that the
-- program itself is broken: to return from these would bring them back at once.
local refused = {}
for _, name in ipairs {"KILL", "STOP", "SEGV", "BUS", "FPE", "ILL"} do
  refused[number_of[name]] = true
end

-- The number of a signal: from 15, "TERM" or "SIGTERM".
local function number(sig)
  local signo = sig
  if type(sig) == "string" then
    signo = number_of[sig] or number_of[sig:match "^SIG(.*)$"]
    if not signo then
      misuse("bad argument #1 to 'on_signal' (no signal '%s')", sig)
    end
  end
  if math.type(signo) ~= "integer" then
    misuse("bad argument #1 to 'on_signal' (name or number of a signal " ..
      "expected, got %s)", type(sig))
  end
  if signo < 1 or signo > 64 then
    misuse("bad argument #1 to 'on_signal' (no signal %d)", signo)
  end
  if refused[signo] then
    misuse("bad argument #1 to 'on_signal' (SIG%s cannot be caught)",
      name_of[signo])
  end
  return signo
end

local Handle = {__name = "csock.on_signal"}
Handle.__index = Handle

--- handle:close() -> true: the signal does again what it did before.
function Handle:close()
  self._task:cancel()
  self._watch:close()
  return true
end
Handle.__close = Handle.close

local function attend(watch, f, name)
  local _watch <close> = watch
  while true do core.loop.spawn(f, watch:wait(), name) end
end

--- on_signal(signal, f) -> a handle, with close(): each time the signal (15,
-- "TERM", "SIGTERM") comes, f(15, "SIGTERM") runs in a task of its own.  It
-- holds until the handle or the loop is closed; several handles of one signal
-- all hear of it.  Signals that come faster than the loop turns may be heard
-- once.  An argument error for what is no signal, or cannot be caught.
function signal.on_signal(sig, f)
  local signo = number(sig)
  if not callable(f) then
    misuse("bad argument #2 to 'on_signal' (function expected, got %s)",
      type(f))
  end
  local name = "SIG" .. (name_of[signo] or signo)
  local watch = core.process.catch(signo)
  local task = core.loop.spawn(attend, watch, f, name)
  task.name = "on " .. name
  return setmetatable({_task = task, _watch = watch}, Handle)
end

return signal
