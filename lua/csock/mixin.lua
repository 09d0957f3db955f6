--- mixin: how requests run side by side.  A mix-in comes before the server in
-- the list of bases, and changes process_request and what belongs to it.
-- Invariant: a request is in the group of its server's requests exactly while
-- its task lives.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local loop = require "csock.loop"
local BaseServer = require "csock.server"

local accept = core.socket.methods.accept
local admit, await = core.socket.admit, core.socket.await
local pending = core.socket.pending
local describe, guard = BaseServer._describe, BaseServer._guard
local settle = require "csock.stats".settle
local isinstance = class.isinstance
local changes, fixed = core.class.changes, core.class.fixed
local mixin = {}

local ThreadingMixIn = class("ThreadingMixIn", {
  __doc = [[
Each request in a task of its own: a Lua thread on the event loop.
Class attributes: daemon_threads (false; true: drain() does not wait for
requests), block_on_close (true; false: the same).]],
  __module = "csock.socketserver",
  daemon_threads = false,
  block_on_close = true,
  _plan = false, -- how connections become requests
})
mixin.ThreadingMixIn = ThreadingMixIn

local function make_room(self) -- for another request
  if self._resting then core.loop.wake(self._resting) end
end

local function finish(self, request)
  self:shutdown_request(request)
  settle(self._account, request)
  if self._resting then make_room(self) end
end

-- There is no room before handle_error, which may wait, has ended.
local function fail(self, request, client_address, err, traceback)
  local ok, raised = pcall(self._failed, self, request, client_address, err,
    traceback)
  make_room(self)
  if not ok then error(raised, 0) end
end

-- The stack when a step failed; without memory there is none.
local function step_failed(self, request, client_address, err, stack)
  local text = describe(err)
  fail(self, request, client_address, err, stack and text .. "\n" .. stack or
    text)
end

local function gather(self)
  local requests = core.loop.group(self, finish, step_failed)
  self._requests = requests
  return requests
end

--- process_request_thread(request, client_address): what the task of a request
-- does: finish_request, then shutdown_request or, after an error, handle_error.
function ThreadingMixIn:process_request_thread(request, client_address)
  local ok, failed = guard(self, self.finish_request, request, client_address)
  if ok then ok, failed = guard(self, finish, request) end
  if not ok then
    fail(self, request, client_address, failed.err, failed.traceback)
  end
end

local whole = ThreadingMixIn.process_request_thread

-- A task that does all by itself is one of the server's.
function ThreadingMixIn:_adopt(task, request)
  local requests = self._requests or gather(self)
  requests:adopt(task, request)
end

--- process_request(request, client_address): start a task for it.
function ThreadingMixIn:process_request(request, client_address)
  local thread = self.process_request_thread
  if thread == whole then -- the same step by step, on a smaller stack
    local requests = self._requests or gather(self)
    requests:spawn(self.finish_request, request, client_address)
  else
    self:_adopt(loop.spawn(thread, self, request, client_address), request)
  end
end

ThreadingMixIn._make_room, ThreadingMixIn._gather = make_room, gather

local get_request, wait = BaseServer._accept, BaseServer._wait
local verify_request = BaseServer.verify_request
local process_request = ThreadingMixIn.process_request

-- Is to take a request nothing but to accept, at any time?
local function only_accepts(self, listener)
  return self.get_request == get_request and listener.accept == accept and
    not self.max_connections
end

ThreadingMixIn._only_accepts = only_accepts

-- Has nobody a say between accept and a request's task?
local function is_usual(self, listener)
  return only_accepts(self, listener) and self._wait == wait and
    self.verify_request == verify_request and
    self.process_request == process_request and
    self.process_request_thread == whole
end

-- What a plan is made of: that nobody has a say, and what a task is to do.
local MEMBERS = {"get_request", "max_connections", "_wait", "verify_request",
  "process_request", "process_request_thread", "finish_request",
  "request_timeout"}
local LISTENING = {"accept"} -- of the listener

-- What the task of a request does: finish_request, or what that comes to.
local function step_of(self)
  local step = self.finish_request
  if step == BaseServer.finish_request and not self.request_timeout then
    return BaseServer._run
  end
  return step
end

-- How connections become requests, nil when somebody has a say.  A plan holds
-- until one of the members that it is made of is set.
local function plan_of(self, listener)
  local plan = self._plan
  if plan and plan.stamp == changes[1] and plan.listener == listener then
    return plan
  end
  plan = is_usual(self, listener) and {
    listener = listener, step = step_of(self),
    stamp = fixed(self, MEMBERS) and fixed(listener, LISTENING),
  }
  self._plan = plan
  return plan
end

-- Wait until connections are there, and take them: false when somebody has a
-- say in that, which is asked then: it may have changed meanwhile.
local function await_and_admit(self, listener)
  local there, err = await(listener)
  if not there then return there, err end
  local plan = plan_of(self, listener)
  if not plan then return false end
  local balance = self._balance
  local most = balance and balance:room()
  if most and most <= 0 then return false end
  return admit(listener, self._requests or gather(self), plan.step,
    self._account, most or nil)
end

-- Where nobody has, connections become requests without a word of Lua, as many
-- as there are.  One that could not, without memory, is a failed request.
function ThreadingMixIn:_admit()
  self._accepting = true
  local ok, taken, err = pcall(await_and_admit, self, self.socket)
  self._accepting = false
  if ok and err == nil then return taken end
  if not ok then err = taken end -- otherwise it is csock.safe's listener
  local request = self._requests and pending(self._requests)
  if request then
    self:_failed(request, nil, err, describe(err))
  else
    self:_not_taken(err)
  end
  return true
end

-- How many requests are being processed, and an iterator over them.
function ThreadingMixIn:_active()
  return self._requests and #self._requests or 0
end

function ThreadingMixIn:_running()
  local requests, i = self._requests and self._requests:subjects() or {}, 0
  return function()
    i = i + 1
    return requests[i]
  end
end

--- cancel_requests(): cancel all that are running, but for the caller.
function ThreadingMixIn:cancel_requests()
  if self._requests then self._requests:cancel() end
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
  local requests = self._requests
  if not requests or self.daemon_threads or not self.block_on_close then
    return
  end
  local deadline = timeout and loop.now() + timeout
  for task in requests.other, requests do
    if not ended(task, deadline) then
      requests:cancel()
      deadline = nil
    end
  end
end

--- server_close(): close the listening socket, and drain() for drain_timeout;
-- not in a request, which would wait for its like: serve_forever drains anyway.
function ThreadingMixIn:server_close()
  class.super(ThreadingMixIn, self):server_close()
  local requests = self._requests
  if requests and not requests:mine() then self:drain(self.drain_timeout) end
end

return mixin
