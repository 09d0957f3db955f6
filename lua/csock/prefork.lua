--- prefork: PreforkMixIn, a fixed number of processes that live long, each a
-- threading server with a loop of its own, and the supervisor that keeps them
-- alive, which is serve_forever of the parent.
-- Invariant: the supervisor holds every listening socket open as long as it
-- serves, and never accepts; so what the system has queued for a worker
-- outlives the worker.
--
-- Supervisor and worker talk through a pair of sockets, a byte at a time, and
-- each sees the other's end there.  To the worker: "t" finish what is there and
-- end, "q" the same with a successor at work, "c" cancel requests.  From the
-- worker: "r" ready, "s" shut down everything.

local balance = require "csock.balance"
local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local forgive = require "csock.forgive"
local loop = require "csock.loop"
local misuse = require "csock.misuse"
local process = require "csock.process"
local socket = require "csock.socket".socket
local BaseServer = require "csock.server"
local ThreadingMixIn = require "csock.mixin".ThreadingMixIn

local constants = core.constants
local isinstance = class.isinstance
local prefork = {}

local GRACE = 1      -- seconds that workers have beyond drain_timeout
local MOMENT = 0.05  -- seconds for a datagram that another may have taken
local LONG = 100000  -- seconds of a wait that somebody will end
local STEADY = 2     -- seconds that a worker served which did not die at once
local FIRST, MOST = 0.1, 5 -- seconds between restarts of one that does

local PreforkMixIn = class("PreforkMixIn", ThreadingMixIn, {
  __doc = [[
Several processes, each a threading server with its own loop; serve_forever in
the parent starts them and keeps them alive.
Class attributes: workers (nil: one a processor), own_listeners (true: each has
a listening socket of its own, where the system can share an address; false:
all have the same), reload_timeout (nil: after a reload old workers take as
long as their requests do; else seconds).
May be overridden: reload, worker_start, worker_exit, worker_ended.
In an instance: worker, the number of the worker, from 1; nil in the parent.]],
  __module = "csock.socketserver",
  workers = nil,
  own_listeners = true,
  reload_timeout = nil,
})
prefork.PreforkMixIn = PreforkMixIn

--- reload(): called in the parent before new workers take over, which inherit
-- what it has loaded.  Here: nothing.
function PreforkMixIn:reload() end

--- worker_start(worker), worker_exit(worker): called in a worker, in its loop,
-- before it serves and when it has ended.
function PreforkMixIn:worker_start() end
function PreforkMixIn:worker_exit() end

--- worker_ended(worker, how, number, pause): a worker has ended that nobody had
-- told to ("exit" and a status, "signal" and its number); another one follows
-- in `pause` seconds.  By default a line on stderr.
function PreforkMixIn:worker_ended(worker, how, number, pause)
  io.stderr:write(("csock: worker %d ended (%s %s), another follows in %g s\n")
    :format(worker, how, number, pause))
end

--
-- Listening sockets
--

-- Can each worker have one of its own?
local function can_own(self)
  return self.own_listeners and constants.SO_REUSEPORT ~= nil and
    self.address_family ~= constants.AF_UNIX
end

-- Raise, as any server does, when another program has the address.
local function claim(self)
  local trial <close> = socket(self.address_family, self.socket_type)
  if self.allow_reuse_address then trial.reuseaddr = true end
  if self.address_family == constants.AF_INET6 then
    trial.ipv6only = self.socket.ipv6only
    if self.dualstack ~= nil then trial.ipv6only = not self.dualstack end
  end
  trial:bind(self.server_address)
end

--- server_bind(): bind, so that other sockets of this server may follow; other
-- programs may share the address only with allow_reuse_port.
function PreforkMixIn:server_bind()
  if can_own(self) then
    if not self.allow_reuse_port and not self._listeners then claim(self) end
    self.socket.reuseport = true
  end
  class.super(PreforkMixIn, self):server_bind()
end

local function open_listeners(self, count)
  local listeners = {self.socket}
  self._listeners = listeners
  if not (can_own(self) and self.socket.reuseport) then return end
  for i = 2, count do
    listeners[i] = socket(self.address_family, self.socket_type)
    self.socket = listeners[i]
    self:server_bind()
    self:server_activate()
  end
  self.socket = listeners[1]
end

--
-- In a worker
--

-- A byte from the other side; "" when that is gone.
local function hear(channel)
  local ok, word = forgive(channel.recv, channel, 1)
  return ok and word or ""
end

local function say(channel, word)
  forgive(channel.send, channel, word) -- to nobody, if it has just ended
end

local function cancel_later(self)
  loop.sleep(self.drain_timeout or LONG)
  self:cancel_requests()
end

-- The task that does what the supervisor says; without one the worker ends.
local function obey(self, channel)
  repeat
    local order = hear(channel)
    if order == "c" then
      self:cancel_requests()
    elseif order == "q" then
      self._retiring = true
      BaseServer.shutdown(self)
    else
      if self._retiring then loop.spawn(cancel_later, self) end
      self._retiring = false
      BaseServer.shutdown(self)
    end
  until order == ""
end

local Exit = {__close = function(self) self.server:worker_exit(self.id) end}

local function serve(self, id, channel, poll_interval)
  loop.spawn(obey, self, channel)
  self:worker_start(id)
  local _exit <close> = setmetatable({server = self, id = id}, Exit)
  if self._shared then self._shared:join(self, id) end
  say(channel, "r")
  class.super(PreforkMixIn, self):serve_forever(poll_interval)
  return 0
end

local function work(self, id, channel, poll_interval)
  if self.handle_signals then -- the supervisor tells what they mean
    process.ignore(process.SIGINT, process.SIGHUP)
  end
  local mine = self._listeners[id] or self._listeners[1]
  for _, listener in ipairs(self._listeners) do
    if listener ~= mine then listener:close() end
  end
  if not self._listeners[2] then
    self.batch_size = 1 -- the next datagram may be a sibling's
    -- of several that wait for it the system wakes one, which has to have room
    if mine.type == constants.SOCK_STREAM and not self.max_connections then
      core.socket.share(mine)
    end
  end
  for worker in pairs(self._workers) do worker.channel:close() end
  self._listeners, self._workers, self._crew = nil, nil, nil
  self._serving, self._accepting, self._requests = false, false, nil
  self._shutdown_request, self._signalled = false, false
  self._wait, self.socket = nil, mine
  self.worker, self._channel = id, channel
  return loop.run(serve, self, id, channel, poll_interval)
end

-- Take the connections that are queued, and let go of the listening socket: in
-- other processes it goes on.  First of all no event may come here any more;
-- one that came has perhaps come to nobody else.
local function leave_listener(self, deadline)
  local old = self.socket
  local family, type, proto = old.family, old.type, old.proto
  local listener <close> = socket(family, type, proto, old:detach())
  self.socket = listener
  listener.timeout = 0 -- a sibling may be faster
  self:_take_queued(math.huge, deadline)
  if self._gate then self._gate:settle() end
end

-- The same for datagrams, whose socket the requests need to the end.
local function take_datagrams(self, deadline)
  while core.socket.readable(self.socket, 0) and loop.now() < deadline do
    loop.timeout(MOMENT, self._take, self)
  end
end

-- A worker has ended to serve.
local function leave(self, timeout)
  local deadline = timeout and loop.now() + timeout or math.huge
  self._left = true
  if self._balance then self._balance:leave(self._retiring) end
  if self.socket.closed then return end
  if self.socket.type == constants.SOCK_STREAM then
    leave_listener(self, deadline)
  elseif not self._retiring then
    take_datagrams(self, deadline)
  end
end

--
-- The supervisor
--

-- Start a worker: {id, child, channel, task, ready = when it said that it is}.
local function start(self, id)
  local ours, theirs = core.socketpair()
  collectgarbage() -- what is garbage now is finalized here, and once
  local worker = {id = id, channel = ours}
  self._workers[worker] = true
  local ok, child = pcall(process.fork, work, self, id, theirs,
    self._poll_interval)
  theirs:close()
  if not ok then
    self._workers[worker] = nil
    ours:close()
    error(child, 0)
  end
  worker.child = child
  worker.task = loop.spawn(self._attend, self, worker)
  return worker
end

-- Start another worker in the place of one that has died, at once or after a
-- pause, which grows from death to death.
local function replace(self, worker, how, number)
  local id, pauses = worker.id, self._pauses
  local ready = worker.ready or math.huge
  if loop.now() - ready >= STEADY then pauses[id] = 0 end
  repeat
    local pause = pauses[id] or 0
    pauses[id] = pause == 0 and FIRST or math.min(pause * 2, MOST)
    self:worker_ended(id, how, number, pause)
    loop.sleep(pause)
    if self._stopping or self._current[id] ~= worker then return end
    local ok, new = pcall(start, self, id)
    if ok then
      self._current[id] = new
    elseif isinstance(new, errors.error) then -- no process is to be had
      how, number = "no other", tostring(new)
    else
      error(new, 0)
    end
  until ok
end

-- The task that listens to a worker until it ends.
function PreforkMixIn:_attend(worker)
  local word
  repeat
    word = hear(worker.channel)
    if word == "r" then
      worker.ready = loop.now()
      if self._report and not self._reloading and self:_is_ready() then
        self._report:ready()
      end
      if self._reloading then core.loop.wake(self._reloading) end
    elseif word == "s" then
      self:shutdown()
    end
  until word == ""
  local how, number = worker.child:wait()
  worker.channel:close()
  worker.ended = true
  self._workers[worker] = nil
  if self._shared and self._current[worker.id] == worker then
    self._shared.board:leave(worker.id)
  end
  if self._reloading then core.loop.wake(self._reloading) end
  if not self._stopping and self._current[worker.id] == worker then
    replace(self, worker, how, number)
  end
end

local function tell(self, word)
  for worker in pairs(self._workers) do say(worker.channel, word) end
end

-- Are all of them ready?  nil when one has died before it was.
local function ready(workers)
  for _, worker in ipairs(workers) do
    if worker.ended then return nil end
    if not worker.ready then return false end
  end
  return true
end

-- For the service manager: are all workers ready?
function PreforkMixIn:_is_ready()
  return #self._current == self._wanted and ready(self._current) == true
end

--- restart_workers() -> true: what SIGHUP does.  Calls reload(), starts new
-- workers, and when all of them are ready, lets the old ones finish what they
-- have and end.  When a new one dies before that, the old ones stay: false.
function PreforkMixIn:restart_workers()
  if not self._crew then misuse "the server has no workers" end
  if self._reloading then misuse "the workers are being restarted" end
  local fresh = {}
  local _reloading <close> = setmetatable({}, {__close = function()
    self._reloading = nil
    if self._report then self._report:ready() end
    for _, worker in pairs(fresh) do say(worker.channel, "t") end
  end})
  self._reloading = loop.current()
  if self._report then self._report:reloading() end
  self:reload()
  for id = 1, #self._current do fresh[id] = start(self, id) end
  while ready(fresh) == false do loop.sleep(LONG) end
  if not ready(fresh) or self._stopping then return false end
  for id, worker in ipairs(fresh) do
    local old = self._current[id]
    self._current[id], self._pauses[id], fresh[id] = worker, nil, nil
    if not old.ended then say(old.channel, "q") end
  end
  return true
end

local function traced(err)
  return isinstance(err, errors.CancelledError) and err or
    debug.traceback(tostring(err), 2)
end

-- The task that restarts workers whenever SIGHUP comes.
local function watch_hangup(self, watch)
  while true do
    watch:wait()
    local ok, done = xpcall(self.restart_workers, traced, self)
    if not ok and type(done) ~= "string" then error(done, 0) end
    if not (ok and done or self._stopping) then
      io.stderr:write("csock: the workers were not restarted\n",
        ok and "" or done .. "\n")
    end
  end
end

-- Instead of BaseServer's, while it supervises: only somebody's call ends it.
local function wait(self, timeout)
  self._accepting = true
  loop.sleep(timeout or LONG)
  self._accepting = false
  return false
end

-- The first wait: only now, with signals watched, the workers begin.
local function begin(self, timeout)
  for id = 1, self._wanted do self._current[id] = start(self, id) end
  self._wait = wait
  return wait(self, timeout)
end

-- What holds while workers are there; to be closed.  Those that are left, since
-- the serving was cut short, end when they see that they are alone.
local Crew = {}
Crew.__index = Crew

function Crew:__close()
  local server = self.server
  if self.watch then
    self.task:cancel()
    self.watch:close()
  end
  for worker in pairs(server._workers) do
    worker.channel:close()
    worker.task:cancel()
  end
  server.socket = server._listeners[1]
  for i = 2, #server._listeners do server._listeners[i]:close() end
  server._listeners, server._workers, server._crew = nil, nil, nil
  server._wait, server._current = nil, nil
  if server._shared then server._shared:close() end
  server._shared = nil
end

local function supervise(self, poll_interval)
  local count = self.workers or process.cpus()
  if math.type(count) ~= "integer" or count < 1 then
    misuse("bad attribute 'workers' (a number of processes expected, got %s)",
      tostring(count))
  end
  local crew <close> = setmetatable({server = self}, Crew)
  self._crew, self._stopping = crew, false
  self._workers, self._current, self._pauses = {}, {}, {}
  self._poll_interval = poll_interval
  open_listeners(self, count)
  if count > 1 and self.socket_type == constants.SOCK_STREAM then
    self._shared = balance.new(count)
  end
  if self.handle_signals then
    crew.watch = core.process.signals(process.SIGHUP)
  end
  if crew.watch then
    crew.task = loop.spawn(watch_hangup, self, crew.watch)
  end
  self._wanted, self._wait = count, begin
  class.super(PreforkMixIn, self):serve_forever(poll_interval)
end

--- serve_forever([poll_interval]): start the workers, and keep them alive until
-- shutdown() or a signal: one that dies is replaced, at once or, when it had
-- hardly begun, after a pause that grows to 5 seconds.  SIGHUP restarts them
-- all without losing a connection (restart_workers).
function PreforkMixIn:serve_forever(poll_interval)
  if self._crew or self._serving then misuse "the server serves already" end
  if loop.current() then return supervise(self, poll_interval) end
  loop.run(supervise, self, poll_interval)
end

-- The supervisor and its workers do this in drain().
function PreforkMixIn:_let_go() end

-- Workers have their worker_start.
function PreforkMixIn:_announce()
  if not self.worker then self:server_ready() end
end

--- shutdown(): stop serve_forever and all workers; in a worker, too.
function PreforkMixIn:shutdown()
  if self.worker and not self._signalled then
    return say(self._channel, "s")
  end
  BaseServer.shutdown(self)
end

-- Wait until `deadline` (nil: for ever) for all workers; are they gone?
local function gone(self, deadline)
  local worker = next(self._workers)
  while worker do
    local left = deadline and math.max(deadline - loop.now(), 0.001)
    local ok, err = pcall(worker.child.wait, worker.child, left)
    if ok then
      worker.task:join()
    elseif isinstance(err, errors.timeout) and deadline and
      loop.now() >= deadline then
      return false
    else
      error(err, 0)
    end
    worker = next(self._workers)
  end
  return true
end

--- drain([timeout]): in the parent, end the workers, which have `timeout`
-- seconds to finish what they do and what is queued, and are killed when they
-- have not ended a second later; in a worker, as ThreadingMixIn's.
function PreforkMixIn:drain(timeout)
  if not self._crew then
    if self._retiring then timeout = self.reload_timeout end
    if self.worker and not self._left then leave(self, timeout) end
    return class.super(PreforkMixIn, self):drain(timeout)
  end
  self._stopping = true
  tell(self, "t")
  if self._signalled then -- the last to let go of a socket closes it
    for _, listener in ipairs(self._listeners) do listener:close() end
  end
  if gone(self, timeout and loop.now() + timeout + GRACE) then return end
  for worker in pairs(self._workers) do worker.child:kill(process.SIGKILL) end
  gone(self)
end

--- cancel_requests(): cancel what is being processed, in all workers.
function PreforkMixIn:cancel_requests()
  if self._crew then return tell(self, "c") end
  class.super(PreforkMixIn, self):cancel_requests()
end

--- server_close(): close the listening sockets, and end the workers; in a
-- worker, what shutdown() does, for the sockets are not only its own.
function PreforkMixIn:server_close()
  if self.worker then
    if self._serving and not self._shutdown_request then
      return self:shutdown()
    end
    return self.socket:close()
  end
  class.super(PreforkMixIn, self):server_close()
  for _, listener in ipairs(self._listeners or {}) do listener:close() end
end

return prefork
