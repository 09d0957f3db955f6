--- mixin: how requests run side by side.  A mix-in comes before the server in
-- the list of bases, and changes process_request and what belongs to it.
-- Invariant: a request is in the table of its server's requests exactly while
-- its task lives.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local loop = require "csock.loop"
local BaseServer = require "csock.server".BaseServer

local guard = BaseServer._guard
local answer = BaseServer.process_request -- finish_request, shutdown_request
local isinstance = class.isinstance
local mixin = {}

local ThreadingMixIn = class("ThreadingMixIn", {
  __doc = [[
Each request in a task of its own: a Lua thread on the event loop.
Class attributes: daemon_threads (false; true: drain() does not wait for
requests), block_on_close (true; false: the same).]],
  __module = "csock.socketserver",
  daemon_threads = false,
  block_on_close = true,
})
mixin.ThreadingMixIn = ThreadingMixIn

--- process_request(request, client_address): start a task for it.
function ThreadingMixIn:process_request(request, client_address)
  local requests = self._requests
  if not requests then
    requests = {}
    self._requests = requests
  end
  requests[loop.spawn(self.process_request_thread, self, request,
    client_address)] = request or true
  self._count = (self._count or 0) + 1
end

-- A request has ended: there may be room for another one.
local function forget(self, task)
  local requests = self._requests
  if not requests or not requests[task] then return end
  requests[task] = nil
  self._count = self._count - 1
  if self._resting then core.loop.wake(self._resting) end
end

-- How many requests are being processed, and an iterator over them.
function ThreadingMixIn:_active() return self._count or 0 end

function ThreadingMixIn:_running()
  local requests, task = self._requests or {}, nil
  return function()
    local request
    task, request = next(requests, task)
    return request
  end
end

--- process_request_thread(request, client_address): what that task does.
function ThreadingMixIn:process_request_thread(request, client_address)
  local ok, err = guard(self, answer, request, client_address)
  if not ok then
    ok, err = pcall(self._failed, self, request, client_address, err)
  end
  forget(self, loop.current())
  if not ok then error(err, 0) end
end

--- cancel_requests(): cancel all that are running, but for the caller.
function ThreadingMixIn:cancel_requests()
  local me = loop.current()
  for task in pairs(self._requests or {}) do
    if task ~= me then task:cancel() end
  end
end

-- Wait for a request until `deadline` (nil: for ever); false when that has
-- passed.  The request's error, if it has one, was handle_error's; what
-- concerns the waiter, a cancellation or a timeout round it, goes on.
local function ended(task, deadline)
  local left = deadline and math.max(deadline - loop.now(), 0)
  local ok, err = pcall(task.join, task, left)
  if ok then return true end
  local status = task:status()
  if status == "failed" or status == "cancelled" then return true end
  if isinstance(err, errors.timeout) and deadline and
    loop.now() >= deadline then
    return false
  end
  error(err, 0)
end

--- drain([timeout]): wait until all requests have ended, but for the one that
-- calls it; after `timeout` seconds the rest is cancelled.
function ThreadingMixIn:drain(timeout)
  local requests, me = self._requests, loop.current()
  if not requests or self.daemon_threads or not self.block_on_close then
    return
  end
  local deadline = timeout and loop.now() + timeout
  local task = next(requests)
  if task == me then task = next(requests, me) end
  while task do
    if ended(task, deadline) then
      forget(self, task)
    else
      self:cancel_requests()
      deadline = nil
    end
    task = next(requests)
    if task == me then task = next(requests, me) end
  end
end

--- server_close(): close the listening socket, and drain() for drain_timeout;
-- not in a request, which would wait for its like: serve_forever drains anyway.
function ThreadingMixIn:server_close()
  class.super(ThreadingMixIn, self):server_close()
  local me = loop.current()
  if not (me and self._requests and self._requests[me]) then
    self:drain(self.drain_timeout)
  end
end

return mixin
