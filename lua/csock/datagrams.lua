--- datagrams: how UDPServer takes them while it serves for ever: several with
-- one system call, which are then requests one after the other.
-- Not here: what becomes of a request (server, mixin); handle_request, which
-- takes one and leaves the rest to the system.
-- Invariant: what was taken and is not yet a request is kept, whatever leaves
-- serve_forever, and comes first when the server goes on.

local BaseRequestHandler = require "csock.handler".BaseRequestHandler
local core = require "csock.core"
local limits = require "csock.limits"
local loop = require "csock.loop"
local misuse = require "csock.misuse"

local plain = core.class.plain
local fill, nothing = BaseRequestHandler.__init, BaseRequestHandler.handle
local recvfrom = core.socket.methods.recvfrom
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
  batch = {count = count, size = size,
    most = math.min(count, math.max(MEMORY // whole, 1))}
  batch.fill, batch.take, batch.left, batch.drop =
    core.socket.batch(batch.most, whole, size)
  self._batch = batch
  return batch
end

-- How many may be taken now, not to have more requests than there is room for.
local function room(self, batch)
  local limit = self.max_connections
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

-- What the requests of a batch take, looked up once: `process`, or, where a
-- class that only sets fields makes the handlers, what they are made with.
-- Items 1 and 2 become the request under way, if there is one, and its client.
local function job_of(self, usual, alone)
  local job = {false, false, process = usual._process}
  if not alone then return job end
  job.process = usual.process_request
  if not is_plain(self, usual) then return job end
  local meta, methods = plain(self.RequestHandlerClass, fill)
  if meta and methods.finish == nothing then
    job.meta, job.handle = meta, methods.handle
    job.setup = methods.setup ~= nothing and methods.setup
  end
  return job
end

-- After shutdown() what was taken is answered, for drain_timeout at most.
local function is_over(self, batch)
  local timeout = self.drain_timeout
  if not timeout then return false end
  batch.deadline = batch.deadline or loop.now() + timeout
  return loop.now() >= batch.deadline
end

-- Answer what is left, in the order in which it came.
local function work(self, batch, job)
  local account, sock, take = self._account, self.socket, batch.take
  local process, meta = job.process, job.meta
  local setup, handle = job.setup, job.handle
  local request, client_address = take(sock)
  while request do
    account.accepted = account.accepted + 1
    job[1], job[2] = request, client_address
    if meta then
      local handler = setmetatable({
        request = request, client_address = client_address, server = self,
      }, meta)
      if setup then setup(handler) end
      handle(handler)
    else
      process(self, request, client_address)
    end
    job[1] = false
    if self._shutdown_request and is_over(self, batch) then batch.drop() end
    request, client_address = take(sock)
  end
end

-- The same, each error for its own request.
local function answer(self, batch, job)
  repeat
    local done, failed = self:_guard(work, batch, job)
    if not done then
      local request = job[1]
      job[1] = false
      if not request then error(failed.err, 0) end
      self:_failed(request, job[2], failed.err, failed.traceback)
      done = core.loop.told() -- cancelled
      if done and self._shutdown_request then batch.drop() end
    end
  until done
end

local function answer_here(self, batch, usual)
  local alone = self.process_request == usual.process_request and
    self.verify_request == usual.verify_request
  self._request = batch
  local ok, err = pcall(answer, self, batch, job_of(self, usual, alone))
  self._request = false
  if not ok then error(err, 0) end
end

-- In tasks: one answers until a handler of its waits; then another one goes on
-- with the rest.

local Threading -- ThreadingMixIn

local function in_tasks(self, usual)
  Threading = Threading or require "csock.mixin".ThreadingMixIn
  return not self.slow_callback and -- which looks at each request's task
    self.process_request == Threading.process_request and
    self.process_request_thread == Threading.process_request_thread and
    self.verify_request == usual.verify_request
end

local function worker(self, batch, job)
  local ok, err = pcall(answer, self, batch, job)
  self:_make_room()
  if not ok then error(err, 0) end
end

-- When this returns, none is left to be taken.
local function answer_in_tasks(self, batch, usual)
  while batch.left() > 0 do
    if self.max_connections then limits.make_room(self) end
    self:_adopt(loop.spawn(worker, self, batch, job_of(self, usual, true)),
      batch)
    loop.sleep(0)
  end
end

--- turn(self, timeout, usual): a turn of serve_forever: wait for datagrams, and
-- answer them; false when shutdown() was called meanwhile.  `usual` is what
-- steps and hooks are that nobody has overridden, by their names.
function datagrams.turn(self, timeout, usual)
  local batch = batch_of(self, usual)
  if not batch then return usual._turn(self, timeout) end
  if self.max_connections then
    timeout = limits.make_room(self, timeout)
    if timeout == false then return not self._shutdown_request end
  end
  self._accepting = true
  local ok, ready, err = pcall(batch.fill, self.socket, timeout,
    room(self, batch))
  self._accepting = false
  if not ok then
    self:accept_error(ready)
  elseif ready == nil then -- csock.safe's socket
    self:accept_error(err)
  elseif ready then
    batch.deadline = nil
    local step = in_tasks(self, usual) and answer_in_tasks or answer_here
    step(self, batch, usual)
  else
    return not self._shutdown_request
  end
end

return datagrams
