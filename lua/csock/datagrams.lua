--- datagrams: how UDPServer takes them while it serves for ever: several with
-- one system call, which are then requests one after the other.
-- Not here: what becomes of a request (server, mixin); handle_request, which
-- takes one and leaves the rest to the system.
-- Invariant: what was taken and is not yet a request is kept, whatever leaves
-- serve_forever, and comes first when the server goes on.

local BaseRequestHandler = require "csock.handler".BaseRequestHandler
local BaseServer = require "csock.server"
local core = require "csock.core"
local errors = require "csock.errors"
local limits = require "csock.limits"
local loop = require "csock.loop"
local misuse = require "csock.misuse"
local run = require "csock.run"
local stats = require "csock.stats"
local Threading = require "csock.mixin".ThreadingMixIn

local classes = core.class
local plain = classes.plain
local isinstance = require "csock.class".isinstance
local only_sets, nothing = BaseRequestHandler.__init, BaseRequestHandler.handle
local FIELDS = 3 -- of a handler: what that sets
local changes, fixed = classes.changes, classes.fixed
local recvfrom = core.socket.methods.recvfrom
local attend, failure = core.loop.attend, BaseServer._failure
local datagrams = {}

local MEMORY = 1 << 20 -- bytes for a batch, or one datagram's if that is more

-- Batches -----------------------------------------------------------------

local function check_size(size)
  if math.type(size) ~= "integer" or size < 1 or size > 1024 then
    misuse("bad attribute 'batch_size' (1 to 1024 expected, got %s)",
      tostring(size))
  end
end

local function index(object, key) return object[key] end

-- The batch of this server; nil when datagrams are to be taken one by one,
-- for somebody has a say in how that is done.
local function batch_of(self, usual)
  local count, size = self.batch_size, self.max_packet_size
  if count == 1 or self.get_request ~= usual.get_request or
    self._wait ~= usual._wait or self.socket.recvfrom ~= recvfrom then
    return nil
  end
  local batch = self._batch
  if batch and (batch.count == count and batch.size == size or
    batch.left() > 0) then
    return batch
  end
  check_size(count)
  if math.type(size) ~= "integer" or size < 1 or size > 65536 then return end
  local gro, whole = pcall(index, self.socket, "gro")
  whole = gro and whole and 65536 or size -- what comes with one receive
  local most = math.min(count, math.max(MEMORY // whole, 1))
  if batch then stats.take(self._account, batch) end
  batch = core.socket.batch(most, whole, size)
  batch.count, batch.size, batch.most = count, size, most
  self._batch = batch
  return batch
end

-- How many may be taken now, not to have more requests than `limit`.
local function room(self, batch, limit)
  if not limit then return batch.most end
  return math.max(math.min(batch.most, limit - self:_active()), 1)
end

-- Requests ----------------------------------------------------------------

-- Does the server only make the handler, and run it?
local function is_plain(self, usual)
  return self.finish_request == usual.finish_request and
    self.shutdown_request == usual.shutdown_request and
    self.close_request == usual.close_request and
    not self.request_timeout
end

-- What is done for a handler whose class only sets fields; nil if it does more.
-- Then the metatable of its kind, its setup (false: none), how many fields it
-- comes to have, and whether its finish has to follow.
local function steps_of_handler(cls)
  local meta, methods = plain(cls, only_sets)
  if not (meta and methods.handle) then return end
  local handle, setup, finish = methods.handle, methods.setup, methods.finish
  local finishes = finish and finish ~= nothing
  if not setup or setup == nothing then
    return handle, meta, false, FIELDS, finishes
  end
  local known = core.datagram.setups[setup]
  if known then return handle, meta, known[1], known[2], finishes end
  return handle, meta, setup, FIELDS, finishes
end

-- What all the usual hooks of a request that has no socket of its own do, when
-- a function makes the handlers.
local function call_alone(self, request, client_address)
  return run.made(self.RequestHandlerClass(request, client_address, self))
end

-- What is done for each request of a batch, and where that is for a handler,
-- what steps_of_handler says of it.
local function steps_of(self, usual, alone)
  if not alone then return BaseServer._process end
  if not is_plain(self, usual) then return usual.process_request end
  local cls = self.RequestHandlerClass
  if type(cls) == "function" then return call_alone end
  local handle, meta, setup, fields, finishes = steps_of_handler(cls)
  return handle or BaseServer._run, meta, setup, fields, finishes
end

-- After shutdown() what was taken is answered, for drain_timeout at most.
local function end_in_time(self)
  local batch, timeout = self._batch, self.drain_timeout
  if not timeout then return end
  batch.deadline = batch.deadline or loop.now() + timeout
  if loop.now() >= batch.deadline then batch.drop() end
end

-- A request has failed: is the task, too, that answers the rest?
local function fail(self, request, client_address, what)
  local failed = self._explain(what)
  self:_failed(request, client_address, failed.err, failed.traceback)
  local told = core.loop.told() -- cancelled
  if told and self._shutdown_request then self._batch.drop() end
  return told
end

-- Answer what is left, in the order in which it came, each error for its own
-- request; then, where there is `fill`, what comes as well, without a word of
-- Lua between requests, for as long as both plans hold: what fill says.  With
-- `requests`, a group, until others may run while one is answered.
local function serve(self, plan, fill, requests)
  local batch, step = self._batch, plan.step
  if plan.finishes then step = run.finishing(step) end
  local ok, ready, err = pcall(batch.serve, self.socket, self, step, plan.meta,
    plan.setup, failure, fail, end_in_time, fill, changes, requests,
    self._shutdown_request, plan.fields)
  local waited = batch.rest()
  if requests and self._resting then self:_make_room() end
  if ok then return ready, err end
  if not waited then error(ready, 0) end
  return nil, ready
end

-- What gets more datagrams, if the plans hold for longer than a turn, and
-- nothing is to be done between two; otherwise nil.
local function fill_of(plan, taking, timeout)
  if plan.alone and plan.stamp and not (timeout or taking.limit) and
    taking.stamp == changes[1] then
    return taking.batch.fill
  end
end

-- In tasks: one answers until a handler of its waits; then another one goes on
-- with the rest.  While no handler does, and the plans hold, it waits for
-- datagrams, too, and the server's own task does nothing.

local function in_tasks(self, usual)
  return self.process_request == Threading.process_request and
    self.process_request_thread == Threading.process_request_thread and
    self.verify_request == usual.verify_request and
    not self.slow_callback -- which looks at each request's task
end

-- What the task does: what fill said, if that ended it.  `turn` is not the
-- server's any more if that has gone on without this task.
local function work(self, plan, fill, turn)
  if self._working ~= turn then return end
  local ready, err = serve(self, plan, fill, self._requests or self:_gather())
  if ready == nil and err == nil or core.loop.told() then return end
  return ready, err
end

-- Let it do that, and wait for its end, or until a handler of its waits.
local function work_in_task(self, plan, fill)
  local batch, turn = self._batch, {}
  local worker = loop.spawn(work, self, plan, fill, turn)
  self._working = turn
  local ok, ready, err = pcall(attend, worker)
  self._working = false
  if ready ~= nil and batch.waits() then core.loop.wake(worker) end
  if ok then return ready, err end
  return nil, ready
end

-- Plans: what the members of a server, and those of its handler's class, come
-- to.  A plan holds until one of them is set.

-- What a plan to take datagrams is made of, and one to answer them, but for
-- members that are compared with it.
local TAKING = {"batch_size", "max_packet_size", "max_connections",
  "get_request", "_wait"}
local ANSWERING = {"request_timeout", "slow_callback", "verify_request",
  "process_request", "process_request_thread", "finish_request",
  "shutdown_request", "close_request", "service_actions"}
local RECEIVING = {"recvfrom"} -- of the socket

-- How the next batch is taken; nil when there is to be none.
local function taking_of(self, usual)
  local plan, sock = self._taking, self.socket
  if plan and plan.stamp == changes[1] and plan.socket == sock then
    return plan
  end
  local batch = batch_of(self, usual)
  plan = batch and {batch = batch, limit = self.max_connections, socket = sock}
  if batch and batch.count == self.batch_size and
    batch.size == self.max_packet_size then
    plan.stamp = fixed(sock, RECEIVING) and fixed(self, TAKING)
  end
  self._taking = plan or false
  return plan
end

-- How it is answered.
local function answering_of(self, usual)
  local plan, cls = self._answering, self.RequestHandlerClass
  if plan and plan.stamp == changes[1] and plan.cls == cls then return plan end
  local tasks = in_tasks(self, usual)
  local alone = tasks or self.process_request == usual.process_request and
    self.verify_request == usual.verify_request
  plan = {cls = cls, tasks = tasks}
  plan.alone = alone and self.service_actions == usual.service_actions
  plan.step, plan.meta, plan.setup, plan.fields, plan.finishes =
    steps_of(self, usual, alone)
  plan.stamp = fixed(self, ANSWERING)
  self._answering = plan
  return plan
end

-- Wait for datagrams: true when there are some, false when not, or nil and an
-- error.
local function wait(self, taking, timeout)
  local batch = taking.batch
  self._accepting = true
  local ok, ready, err = pcall(batch.fill, self.socket, timeout,
    room(self, batch, taking.limit))
  self._accepting = false
  if ok then return ready, err end
  return nil, ready
end

-- When this returns, none is left to be taken, or fill has said something.
local function answer(self, usual, taking, plan, fill)
  local ready, err
  repeat
    local now = answering_of(self, usual)
    if now ~= plan then plan, fill = now, nil end
    if not plan.tasks then return serve(self, plan) end
    if not fill and self.max_connections then limits.make_room(self) end
    ready, err = work_in_task(self, plan, fill)
  until err ~= nil or taking.batch.left() == 0
  return ready, err
end

--- turn(self, timeout, usual): a turn of serve_forever, or many: wait for
-- datagrams, and answer them; false when shutdown() was called meanwhile.
-- `usual` has the hooks that nobody has overridden, by their names.
function datagrams.turn(self, timeout, usual)
  local taking = taking_of(self, usual)
  if not taking then return BaseServer._turn(self, timeout) end
  if taking.limit then
    timeout = limits.make_room(self, timeout)
    if timeout == false then return not self._shutdown_request end
  end
  local ready, err
  local plan = answering_of(self, usual)
  local fill = fill_of(plan, taking, timeout)
  taking.batch.deadline = nil
  if fill and not plan.tasks then
    ready, err = serve(self, plan, fill)
  else
    ready, err = wait(self, taking, timeout)
  end
  if ready then ready, err = answer(self, usual, taking, plan, fill) end
  if isinstance(err, errors.timeout) then
    error(err, 0) -- of a loop.timeout round the server
  elseif err ~= nil then -- raised, or given by csock.safe's socket
    self:accept_error(err)
  elseif ready == false then
    return not self._shutdown_request
  end
end

return datagrams
