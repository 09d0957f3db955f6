--- forking: ForkingMixIn, each request in a process of its own.
-- Not here: a fixed number of processes that live long (prefork).
-- Invariant: active_children has exactly the children that were started and not
-- yet waited for; only those are ever waited for.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local forgive = require "csock.forgive"
local loop = require "csock.loop"
local misuse = require "csock.misuse"
local process = require "csock.process"
local socket = require "csock.socket".socket
local BaseServer = require "csock.server"

local constants = core.constants
local isinstance = class.isinstance
local forking = {}

local GRACE = 1     -- seconds between SIGTERM and SIGKILL
local LONG = 100000 -- seconds of a wait that somebody will end

local ForkingMixIn = class("ForkingMixIn", {
  __doc = [[
Each request in a process of its own, which ends with it.
Class attributes: timeout (300 seconds, for handle_request), max_children (40;
with that many running none is accepted), block_on_close (true; false: drain()
does not wait for children).
In an instance: active_children, a table from the numbers of the running
children to what process.fork has returned; nil before the first.]],
  __module = "csock.socketserver",
  timeout = 300,
  max_children = 40,
  block_on_close = true,
  batch_size = 1, -- a child is to find no datagrams of others
  service_actions = BaseServer.service_actions, -- children tell their end
})
forking.ForkingMixIn = ForkingMixIn

--
-- In the child
--

-- The task that hears from the parent, by the end of its voice, that the server
-- ends.
local function attend(self)
  local ok, word = pcall(self._voice.recv, self._voice, 1)
  if ok and word == "" then BaseServer.shutdown(self) end
end

local function answer(self, request, client_address)
  if self._voice then loop.spawn(attend, self) end
  local ok, failed = self:_guard(self.finish_request, request, client_address)
  if ok then
    self:shutdown_request(request)
    return 0
  end
  self:_failed(request, client_address, failed.err, failed.traceback)
  return 1
end

-- The handler runs in a loop, as on every other server.
local function work(self, request, client_address)
  -- Ctrl-C reaches the children of a terminal too: the parent, who takes it,
  -- lets requests finish
  if self._serving and self.handle_signals then
    process.ignore(process.SIGINT)
  end
  self.active_children, self._children, self._resting = nil, nil, nil
  self._is_child, self._ours = true, nil
  if self._gate then self._gate:leave() end
  self._serving, self._accepting = false, false
  local listener = self.socket
  if isinstance(listener, socket) and listener.type ~= constants.SOCK_DGRAM then
    listener:close()
  end
  return loop.run(answer, self, request, client_address)
end

--
-- In the parent
--

-- The task that hears what children say: shutdown().
local function listen(self, ours)
  while ours:recv(1) ~= "" do self:shutdown() end
end

local Voice = {__close = function(self)
  self.task:cancel()
  self.ours:close()
  self.theirs:close()
  self.server._voice, self.server._ours = nil, nil
end}

local function serve(self, poll_interval)
  local ours, theirs = core.socketpair()
  local _voice <close> = setmetatable({
    server = self, ours = ours, theirs = theirs,
    task = loop.spawn(listen, self, ours),
  }, Voice)
  self._voice, self._ours = theirs, ours
  class.super(ForkingMixIn, self):serve_forever(poll_interval)
end

--- serve_forever([poll_interval]): serve until shutdown(), in a child too, or a
-- signal.
function ForkingMixIn:serve_forever(poll_interval)
  if self._serving then misuse "the server serves already" end
  if loop.current() then return serve(self, poll_interval) end
  loop.run(serve, self, poll_interval)
end

--- shutdown(): stop serve_forever; in a child, that of the parent.
function ForkingMixIn:shutdown()
  local voice, ours = self._is_child and self._voice, self._ours
  if voice then forgive(voice.send, voice, "s") end -- it may have stopped
  if ours then ours:shutdown(constants.SHUT_WR) end -- children hear the end
  class.super(ForkingMixIn, self):shutdown()
end

local function forget(self, child)
  local pid = child:pid()
  if self.active_children[pid] ~= child then return end -- that was before
  self.active_children[pid] = nil
  self._children = self._children - 1
  if self._resting then core.loop.wake(self._resting) end
end

-- The task that waits for one child's end.
local function watch(self, child)
  child:wait()
  forget(self, child)
end

local function is_full(self)
  return self._children >= self.max_children
end

-- How many requests are being processed.  Their bytes are the children's.
function ForkingMixIn:_active() return self._children or 0 end

-- Accept no more until a child has ended, or until shutdown().
local function rest(self)
  while is_full(self) and not self._shutdown_request do
    if loop.current() then
      self._resting, self._accepting = loop.current(), true
      local _rested <close> = setmetatable({}, {__close = function()
        self._resting, self._accepting = nil, false
      end})
      loop.sleep(LONG)
    else
      watch(self, select(2, next(self.active_children)))
    end
  end
end

--- process_request(request, client_address): fork a child for it.
function ForkingMixIn:process_request(request, client_address)
  local child = process.fork(work, self, request, client_address)
  self.active_children = self.active_children or {}
  self.active_children[child:pid()] = child
  self._children = (self._children or 0) + 1
  if loop.current() then loop.spawn(watch, self, child) end
  self:close_request(request)
  if is_full(self) then
    self:collect_children()
    rest(self)
  end
end

--- shutdown_request(request): end the connection, whoever else has a copy.
function ForkingMixIn:shutdown_request(request)
  if isinstance(request, socket) then
    forgive(request.shutdown, request, constants.SHUT_WR) -- it may be over
  end
  class.super(ForkingMixIn, self):shutdown_request(request)
end

--- collect_children([blocking]): note which children have ended; with
-- `blocking` wait for all of them.  While the loop runs they are noted as they
-- end: this is for who runs none.
function ForkingMixIn:collect_children(blocking)
  local children = {}
  for _, child in pairs(self.active_children or {}) do
    children[#children + 1] = child
  end
  for _, child in ipairs(children) do
    local how = blocking and child:wait() or child:poll()
    if how then forget(self, child) end
  end
end

--- handle_timeout(): collects the children.
function ForkingMixIn:handle_timeout() self:collect_children() end

-- Send a signal to all children.
local function kill(self, signo)
  for _, child in pairs(self.active_children or {}) do child:kill(signo) end
end

--- cancel_requests(): end the running children with SIGTERM.
function ForkingMixIn:cancel_requests()
  kill(self, process.SIGTERM)
end

-- Wait for the running children until `deadline` (nil: for ever): is none left?
local function ended(self, deadline)
  local children = self.active_children
  local _, child = next(children)
  while child do
    local left = deadline and math.max(deadline - loop.now(), 0.001)
    local ok, err = pcall(child.wait, child, left)
    if ok then
      forget(self, child)
    elseif isinstance(err, errors.timeout) and deadline and
      loop.now() >= deadline then
      return false
    else
      error(err, 0)
    end
    _, child = next(children)
  end
  return true
end

--- drain([timeout]): wait until all children have ended; after `timeout`
-- seconds those that are left get SIGTERM, a second later SIGKILL.
function ForkingMixIn:drain(timeout)
  if not self.active_children or not self.block_on_close then return end
  if ended(self, timeout and loop.now() + timeout) then return end
  self:cancel_requests()
  if ended(self, loop.now() + GRACE) then return end
  kill(self, process.SIGKILL)
  ended(self)
end

--- server_close(): close the listening socket, and drain() for drain_timeout.
function ForkingMixIn:server_close()
  class.super(ForkingMixIn, self):server_close()
  self:collect_children()
  self:drain(self.drain_timeout)
end

return forking
