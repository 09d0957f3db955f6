--- select: Python's select.select and select.poll: waiting for any of many
-- descriptors, as many as there are.  In a task the others run meanwhile.
-- Not here: the waiting (csrc/select.c).
-- Invariant: what is wrong with an argument is said before anything waits.

local core = require "csock.core"
local misuse = require "csock.misuse"

local POLLIN, POLLOUT, POLLPRI = core.constants.POLLIN, core.constants.POLLOUT,
  core.constants.POLLPRI
local READABLE = POLLIN | core.constants.POLLHUP | core.constants.POLLERR
local WRITABLE = POLLOUT | core.constants.POLLERR

-- The descriptor of a number, of one of Lua's files, or of what has a method
-- fileno().
local function descriptor(object, name)
  local fd = core.select.fileno(object)
  if math.type(fd) ~= "integer" then
    misuse("bad argument to '%s' (an integer, or what has a method fileno() " ..
      "that returns one, expected, got %s)", name, type(object))
  end
  if fd < 0 or fd > 0x7fffffff then
    misuse("bad argument to '%s' (a file descriptor cannot be %d)", name, fd)
  end
  return fd
end

local function check_timeout(timeout, n, name)
  if timeout == nil then return end
  if type(timeout) ~= "number" or timeout ~= timeout then
    misuse("bad argument #%d to '%s' (number expected, got %s)", n, name,
      type(timeout))
  end
  if timeout < 0 or timeout >= 9.2e9 then -- see csrc/loop.c
    misuse("bad argument #%d to '%s' (timeout out of range)", n, name)
  end
end

--- select(r, w, x [, timeout]) -> three lists of those objects in the lists
-- `r`, `w` and `x` (nil: none) that can be read from, written to, or have
-- something exceptional (urgent data), after `timeout` seconds (nil: no limit)
-- three empty ones.  An object is a socket, a file, a descriptor's number,
-- anything with a method fileno().  Raises csock.error (EBADF) for a descriptor
-- that is not open.  See select(2).
local function select(r, w, x, timeout)
  for n, list in pairs {r, w, x} do
    if type(list) ~= "table" then
      misuse("bad argument #%d to 'select' (table expected, got %s)", n,
        type(list))
    end
  end
  check_timeout(timeout, 4, "select")
  local flat, place = {}, {}
  local function ask(list, event)
    local objects, fds, i = {}, {}, 1
    while list and i <= #list do -- a fileno() may change it
      local object = list[i]
      local fd = descriptor(object, "select")
      if not place[fd] then
        place[fd] = #flat + 2
        flat[#flat + 1], flat[#flat + 2] = fd, 0
      end
      flat[place[fd]] = flat[place[fd]] | event
      objects[i], fds[i] = object, fd
      i = i + 1
    end
    return objects, fds
  end
  local robjects, rfds = ask(r, POLLIN)
  local wobjects, wfds = ask(w, POLLOUT)
  local xobjects, xfds = ask(x, POLLPRI)
  local found = {}
  do
    local set <close> = core.select.set(flat, true)
    local ready, err = set:wait(timeout)
    if not ready then return nil, err end
    for i = 1, #ready, 2 do found[ready[i]] = ready[i + 1] end
  end
  local function answer(objects, fds, events)
    local list = {}
    for i, fd in ipairs(fds) do
      if (found[fd] or 0) & events ~= 0 then list[#list + 1] = objects[i] end
    end
    return list
  end
  return answer(robjects, rfds, READABLE), answer(wobjects, wfds, WRITABLE),
    answer(xobjects, xfds, POLLPRI)
end

-- An object of poll(): `_events` by descriptor; `_flat`, the same as a list,
-- nil when it is to be made anew; `_polling`, while poll() waits; `_answer`, of
-- the module it belongs to.
local Poll = {__name = "csock.poll"}
Poll.__index = Poll

local function check_events(eventmask, name)
  if math.type(eventmask) ~= "integer" then
    misuse("bad argument #2 to '%s' (integer expected, got %s)", name,
      type(eventmask))
  end
  if eventmask < 0 or eventmask > 0xffff then
    misuse("bad argument #2 to '%s' (out of range)", name)
  end
end

--- register(fd [, eventmask]) -> true: watch a descriptor (any object that
-- select takes) for the events POLLIN, POLLPRI, POLLOUT, or those given;
-- POLLERR, POLLHUP and POLLNVAL come unasked.  Again: as modify.
function Poll:register(fd, eventmask)
  fd = descriptor(fd, "register")
  if eventmask == nil then eventmask = POLLIN | POLLPRI | POLLOUT end
  check_events(eventmask, "register")
  self._events[fd], self._flat = eventmask, nil
  return true
end

--- modify(fd, eventmask) -> true: other events.  Raises csock.error (ENOENT)
-- for a descriptor that is not registered.
function Poll:modify(fd, eventmask)
  fd = descriptor(fd, "modify")
  check_events(eventmask, "modify")
  if not self._events[fd] then return self._answer(core.select.unknown()) end
  self._events[fd], self._flat = eventmask, nil
  return true
end

--- unregister(fd) -> true: watch it no more; an error if it was not registered.
function Poll:unregister(fd)
  fd = descriptor(fd, "unregister")
  if not self._events[fd] then
    misuse("bad argument #1 to 'unregister' (%d is not registered)", fd)
  end
  self._events[fd], self._flat = nil, nil
  return true
end

local function flatten(events)
  local fds, flat = {}, {}
  for fd in pairs(events) do fds[#fds + 1] = fd end
  table.sort(fds)
  for _, fd in ipairs(fds) do
    flat[#flat + 1], flat[#flat + 2] = fd, events[fd]
  end
  return flat
end

local Polling = {__close = function(self) self.poll._polling = false end}

--- poll([timeout]) -> a list of pairs {fd, events}: what is ready; an empty one
-- after `timeout` milliseconds (nil or negative: no limit).  See poll(2).
function Poll:poll(timeout)
  local seconds
  if timeout ~= nil and type(timeout) ~= "number" or timeout ~= timeout then
    misuse("bad argument #1 to 'poll' (number expected, got %s)",
      type(timeout))
  end
  if timeout and timeout > 0x7fffffff then
    misuse "bad argument #1 to 'poll' (timeout out of range)"
  end
  if timeout and timeout >= 0 then seconds = math.ceil(timeout) / 1000 end
  if self._polling then misuse "concurrent poll() invocation" end
  self._flat = self._flat or flatten(self._events)
  self._polling = true
  local _polling <close> = setmetatable({poll = self}, Polling)
  local set <close> = core.select.set(self._flat, false)
  local ready, err = set:wait(seconds)
  if not ready then return self._answer(nil, err) end
  local list = {}
  for i = 1, #ready, 2 do list[#list + 1] = {ready[i], ready[i + 1]} end
  return list
end

--- select(answer) -> the functions for a module; `answer` gets a result, or nil
-- and an error; what it returns, they do.
return function(answer)
  return {
    select = function(...) return answer(select(...)) end,
    --- poll() -> an object that watches descriptors: see register, modify,
    -- unregister and poll.
    poll = function()
      return setmetatable({_events = {}, _polling = false, _answer = answer},
        Poll)
    end,
  }
end
