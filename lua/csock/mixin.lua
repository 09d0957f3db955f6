--- mixin: how requests run side by side.  A mix-in comes before the server in
-- the list of bases, and changes process_request and what belongs to it.
-- Invariant: a request is in the table of its server's requests exactly while
-- its task lives.

local class = require "csock.class"
local errors = require "csock.errors"
local loop = require "csock.loop"
local BaseServer = require "csock.server".BaseServer

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
    client_address)] = true
end

--- process_request_thread(request, client_address): what that task does.
function ThreadingMixIn:process_request_thread(request, client_address)
  local ok, failed = self:_guard(answer, request, client_address)
  self._requests[loop.current()] = nil
  if not ok then self:_failed(request, client_address, failed) end
end

--- cancel_requests(): cancel all that are running.
function ThreadingMixIn:cancel_requests()
  for task in pairs(self._requests or {}) do task:cancel() end
end

-- Has it ended?  Waits until `deadline` for it.  Its error, if it has one, has
-- been handle_error's; a cancellation of the waiter itself goes on.
local function ended(task, deadline)
  local left = deadline and math.max(deadline - loop.now(), 0)
  local ok, err = pcall(task.join, task, left)
  local status = task:status()
  local over = status == "done" or status == "failed" or status == "cancelled"
  if not ok and not over and not isinstance(err, errors.timeout) then
    error(err, 0)
  end
  return over
end

--- drain([timeout]): wait until all requests have ended; after `timeout`
-- seconds the rest is cancelled.
function ThreadingMixIn:drain(timeout)
  local requests = self._requests
  if not requests or self.daemon_threads or not self.block_on_close then
    return
  end
  local deadline = timeout and loop.now() + timeout
  local task = next(requests)
  while task do
    if ended(task, deadline) then
      requests[task] = nil
    else
      self:cancel_requests()
      deadline = nil
    end
    task = next(requests)
  end
end

return mixin
