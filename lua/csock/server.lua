--- server: the machine that takes requests and hands them to handlers: Python's
-- BaseServer.  Each step is a hook of one line, so to change one never means to
-- copy another.
-- Not here: where requests come from (transport), how they run side by side
-- (mixin, forking, prefork), how one is answered (run).
-- Invariant: an error while a request is processed ends in handle_error, and
-- the request is closed; neither ends the server.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local limits = require "csock.limits"
local loop = require "csock.loop"
local misuse = require "csock.misuse"
local proxy = require "csock.proxy"
local run = require "csock.run"
local socket = require "csock.socket".socket
local stats = require "csock.stats"
local systemd = require "csock.systemd"

local constants = core.constants
local isinstance = class.isinstance
local timeout_of = core.socket.getters.timeout
local answer_alone = run.alone

--
-- Errors
--

local Failure = {} -- metatable

-- An error in one line, if it can say it.
local function describe(err)
  local ok, text = pcall(tostring, err)
  return ok and text or "an error that cannot say what it is"
end

-- For xpcall: the error, and where it came from while the stack still stands.
local function failure(err)
  return setmetatable({
    err = err, traceback = debug.traceback(describe(err), 2),
  }, Failure)
end

-- What xpcall gave instead: without memory, or without stack, there may be
-- nobody to say where.
local function explain(failed)
  if getmetatable(failed) == Failure then return failed end
  return {err = failed, traceback = describe(failed)}
end

-- Carry out a step of a request's way, a function (self, request,
-- client_address): true, or false and what _failed takes.
local function guard(self, step, request, client_address)
  local ok, failed = xpcall(step, failure, self, request, client_address)
  if ok then return true end
  return false, explain(failed)
end

local PAUSE = 0.1  -- seconds that a listener rests without descriptors
local MOMENT = 0.1 -- seconds for a word that is on its way when all ends
local NO_MEMORY = "not enough memory" -- Lua's own error

--
-- Signals
--

-- While a server serves, SIGINT and SIGTERM stop it: the first one as
-- shutdown() does, requests having drain_timeout to finish, the second one at
-- once.
local function watch_signals(self, watch)
  watch:wait()
  self._signalled = true
  self:shutdown()
  local ok, err = pcall(loop.timeout, self.drain_timeout, watch.wait, watch)
  if not ok and not isinstance(err, errors.timeout) then error(err, 0) end
  self:cancel_requests()
end

local function accept(self) return self.socket:accept() end

-- Is taking a request nothing but accept, which waits for as long as it takes?
local function accepts_for_ever(self)
  return self.get_request == accept and not self._gate and
    timeout_of(self.socket) == nil
end

-- What holds while serve_forever runs; to be closed.
local Serving = {}
Serving.__index = Serving

local function begin_serving(self)
  self._gate = proxy.gate(self) -- raises, if it is malformed
  local serving = setmetatable({server = self}, Serving)
  if self.slow_callback then limits.watch_slow(self, self.slow_callback) end
  self._serving = loop.current()
  self._patient = accepts_for_ever(self)
  if self.handle_signals then
    local process = core.process
    serving.watch = process.signals(process.SIGINT, process.SIGTERM)
  end
  if serving.watch then
    serving.task = loop.spawn(watch_signals, self, serving.watch)
  end
  self._report = false -- in a worker it would be the parent's
  if self.notify and not self.worker then
    self._report = systemd._report(self) or false
  end
  return serving
end

function Serving:__close()
  local server = self.server
  if server._report then server._report:close() end
  if server._gate then server._gate:close() end
  server._report, server._gate = false, false
  if self.watch then
    self.task:cancel()
    self.watch:close()
  end
  limits.watch_slow(server, nil)
  server._serving, server._shutdown_request = false, false
  server._idle_until = false
  server._accepting, server._signalled = false, false
  server._patient = false
  if server._batch then server._batch.rest() end
end

--
-- BaseServer
--

local BaseServer = class("BaseServer", {
  __doc = [[
BaseServer(server_address, RequestHandlerClass): what all servers share.

For the caller: serve_forever([poll_interval]), handle_request(), shutdown(),
server_close(), fileno(), and `local s <close> = ...`.
May be overridden: server_bind, server_activate, server_ready,
get_request, verify_request,
process_request, finish_request, shutdown_request, close_request,
service_actions, handle_timeout, handle_error, accept_error.
In an instance: server_address, RequestHandlerClass, socket, stats, stopping.
Class attributes: timeout (seconds handle_request waits, nil for ever),
handle_signals (true), drain_timeout (5 seconds), request_timeout (seconds a
handler may take, nil for ever), max_connections (requests at once, nil for any
number), slow_callback (seconds after which a handler that does not let others
run is reported, nil for never), notify (true: tell a service manager).]],
  __module = "csock.socketserver",
  handle_signals = true,
  notify = true,
  drain_timeout = 5,
  __init = function(self, server_address, RequestHandlerClass)
    if not run.is_handler(RequestHandlerClass) then
      misuse("bad argument #2 to '%s' (request handler class expected)",
        self.__class.__name)
    end
    self.server_address = server_address
    self.RequestHandlerClass = RequestHandlerClass
    self._serving = false          -- the task that serves
    self._accepting = false        -- may shutdown() wake it?
    self._patient = false          -- may it wait in accept?
    self._shutdown_request = false -- has shutdown() been called?
    self._signalled = false        -- by a signal?
    self._resting = false          -- the task that waits for a request's end
    self._request = false          -- what is being taken or processed
    self._idle_until = false       -- when who has no request has waited enough
    self._gate = false             -- where connections wait for their header
    self._report = false           -- what tells the service manager
    self._balance = false          -- with whom connections are shared
    self._nodelay = false          -- do connections begin with that?
    self._account = stats.new()
  end,
  stats = class.property(stats.snapshot, nil, nil,
    "What the server has done so far, as a table."),
  stopping = class.property(function(self) return self._shutdown_request end,
    nil, nil, "Has shutdown(), or a signal, ended serve_forever?"),
  __close = function(self) self:server_close() end,
})

local function no_actions() end

-- What finish_request does where a handler may take as long as it likes.
local function run_alone(self, request, client_address)
  return answer_alone(self.RequestHandlerClass, request, client_address, self)
end

local function run_within(limit, self, request, client_address)
  return loop.timeout(limit, run_alone, self, request, client_address)
end

-- Wait, for `timeout` seconds, until a request can be taken; false when there
-- is none, and at once when shutdown() is called.
local function wait(self, timeout)
  if self.max_connections then
    timeout = limits.make_room(self, timeout)
    if timeout == false then return false end
  end
  if self._gate then
    if self._gate.ready[1] then return true end
  elseif self._patient and timeout == nil then
    return true -- to accept is to wait, with one system call less
  end
  self._accepting = true
  local ready = core.socket.readable(self.socket, timeout)
  self._accepting = false
  return ready
end

local function process(self, request, client_address)
  if self:verify_request(request, client_address) then
    return self:process_request(request, client_address)
  end
  self:shutdown_request(request)
  stats.settle(self._account, request)
end

-- get_request has failed.  That somebody has woken it is no error, and that the
-- time of a loop.timeout round the server is up is not the listener's.
local function not_taken(self, err)
  local patient = self._patient
  self._patient = patient and accepts_for_ever(self)
  if patient and isinstance(err, errors.BlockingIOError) then return end
  if self._patient and isinstance(err, errors.timeout) then error(err, 0) end
  return self:accept_error(err)
end

-- A connection has become a request.
local function begin(self, request, client_address)
  local account = self._account
  account.accepted = account.accepted + 1
  self._request = request
  local done, failed = guard(self, process, request, client_address)
  self._request = false
  if done then return end
  self:_failed(request, client_address, failed.err, failed.traceback)
end

-- Take a request, which is there (or was: another process may have it), or a
-- connection, which becomes one when its header has come.
local function take(self)
  self._accepting = true
  local from = self._gate or self
  local ok, request, client_address = pcall(from.get_request, from)
  self._accepting = false
  if request == nil and client_address ~= nil then -- csock.safe's listener
    ok, request = false, client_address
  end
  if not ok then return not_taken(self, request) end
  if request == nil and self._gate then return end
  local balance = self._balance
  if balance and balance:hand_over(request) then return end
  begin(self, request, client_address)
end

-- Answer who is queued, as far as there is room (of requests at once) and time.
local function take_queued(self, room, deadline)
  while core.socket.readable(self.socket, 0) and self:_active() < room and
    loop.now() < deadline do
    take(self)
  end
end

-- After a signal: answer who is queued, and refuse who comes later.  Datagrams'
-- requests need the socket to the end.
function BaseServer:_let_go()
  local sock = self.socket
  if not isinstance(sock, socket) or sock.closed or
    sock.type ~= constants.SOCK_STREAM then
    return
  end
  take_queued(self, self.max_connections or math.huge,
    loop.now() + (self.drain_timeout or math.huge))
  sock:close()
end

-- A turn of serve_forever: wait for a request, and take it; false when
-- shutdown() was called meanwhile.
local function turn(self, timeout)
  if self._patient and timeout == nil and self:_admit() then return end
  local ready = self:_wait(timeout)
  if self._shutdown_request then return false end
  if ready then take(self) end
end

local function serve(self, poll_interval)
  local _serving <close> = begin_serving(self)
  self:_announce()
  if self.service_actions == no_actions then
    poll_interval = nil -- nothing to wake up for
  end
  if self._report and self:_is_ready() then self._report:ready() end
  local take_turn = self._turn
  while not self._shutdown_request do
    if take_turn(self, poll_interval) == false then break end
    local actions = self.service_actions
    if actions ~= no_actions then actions(self) end
  end
  if self._report then self._report:stopping() end
  if self._signalled then self:_let_go() end
  if self._gate then self._gate:settle() end
  self:drain(self.drain_timeout)
  if self._signalled then self:server_close() end
end

--- serve_forever([poll_interval]): serve until shutdown() or a signal.
-- `poll_interval` (seconds, default 0.5) is the pace of service_actions(), if
-- that is overridden; nothing else waits for it.  Running requests have
-- `drain_timeout` seconds to end, then they are cancelled.  After SIGINT or
-- SIGTERM the server is closed.  Outside of tasks it runs the loop itself.
function BaseServer:serve_forever(poll_interval)
  if self._serving then misuse "the server serves already" end
  poll_interval = poll_interval or 0.5
  if loop.current() then return serve(self, poll_interval) end
  loop.run(serve, self, poll_interval)
end

local function handle_one(self)
  local gate <close> = not self._gate and proxy.gate(self) or nil
  if gate then self._gate = gate end
  local timeout = self.socket.timeout or self.timeout
  if self.timeout and timeout > self.timeout then timeout = self.timeout end
  if self:_wait(timeout) then
    take(self)
    if gate then gate:settle() end
  else
    self:handle_timeout()
  end
end

--- handle_request(): take one request, waiting `timeout` seconds for it at
-- most, and process it; handle_timeout() is called when none comes.  Outside of
-- tasks it returns when the request has ended, on a threading server too.
function BaseServer:handle_request()
  if loop.current() then return handle_one(self) end
  loop.run(function()
    handle_one(self)
    self:drain()
  end)
end

-- For mix-ins and transports.
BaseServer._guard, BaseServer._wait, BaseServer._take = guard, wait, take
BaseServer._turn, BaseServer._take_queued = turn, take_queued
BaseServer._accept, BaseServer._process = accept, process
BaseServer._begin, BaseServer._not_taken = begin, not_taken
BaseServer._run = run_alone
BaseServer._explain, BaseServer._failure = explain, failure
BaseServer._describe = describe

-- This is where the errors of a request end.
function BaseServer:_failed(request, client_address, err, traceback)
  local account = self._account
  local ok = self._shutdown_request
  if not (isinstance(err, errors.CancelledError) and core.loop.told()) then
    ok, err = pcall(self.handle_error, self, request, client_address, err,
      traceback)
  end
  account.failed = account.failed + 1
  self:shutdown_request(request)
  stats.settle(account, request)
  if not ok then error(err, 0) end
end

-- Take all requests that are there, if a mix-in can do that at once: has it?
function BaseServer:_admit() end

-- How many requests are being processed, and an iterator over them.
function BaseServer:_active() return self._request and 1 or 0 end

function BaseServer:_running()
  local request = self._request
  return function()
    local answer = request
    request = nil
    return answer or nil
  end
end

-- Interrupt the wait for a request: there is something else to look at.
function BaseServer:_wake()
  local task, batch = self._resting, self._batch
  if self._accepting or batch and batch.waits() then
    task = task or self._serving
  end
  if task then core.loop.wake(task) end
end

-- Can it serve, as soon as serve_forever is called?
function BaseServer:_is_ready() return true end

-- The server ends: clients that are between two requests have MOMENT to begin
-- another one.
function BaseServer:_hurry()
  self._idle_until = self._idle_until or loop.now() + MOMENT
  core.file.interrupt(self)
end

--- shutdown(): stop serve_forever, at once; legal everywhere, in a handler too.
function BaseServer:shutdown()
  self._shutdown_request = true
  if self._batch then self._batch.hurry() end
  if not self._retiring then self:_hurry() end
  self:_wake()
end

--- server_close(): close the listening socket; ends serve_forever.
function BaseServer:server_close()
  if self._serving then self:shutdown() else self:_hurry() end
  if self.socket then self.socket:close() end
end

--- drain([timeout]): wait until no request is being processed; after `timeout`
-- seconds those that are left are cancelled.  Here: none ever is.
function BaseServer:drain() end

--- cancel_requests(): cancel what is being processed.
function BaseServer:cancel_requests()
  if self._serving then self._serving:cancel() end
end

--- fileno() -> the descriptor of the listening socket.
function BaseServer:fileno() return self.socket:fileno() end

--
-- Hooks
--

--- accept_error(err): get_request failed.  Without descriptors or memory the
-- listener rests a moment instead of spinning; an error of the listening socket
-- itself, and what is no csock.error, is raised; the rest concerns one
-- connection and is ignored.
function BaseServer:accept_error(err)
  if err == NO_MEMORY then return limits.rest(self, PAUSE) end
  if not isinstance(err, errors.error) then error(err, 0) end
  if limits.exhausted[err.errno] then
    if self._balance then self._balance:pass() end
    limits.rest(self, PAUSE)
  elseif limits.unusable[err.errno] then
    error(err, 0)
  end
end

--- verify_request(request, client_address) -> false to refuse it.
function BaseServer:verify_request() return true end

--- process_request(request, client_address): what a mix-in replaces.
function BaseServer:process_request(request, client_address)
  self:finish_request(request, client_address)
  self:shutdown_request(request)
  stats.settle(self._account, request)
end

--- finish_request(request, client_address): make the handler, and run it, for
-- request_timeout seconds at most: a wait beyond that raises csock.timeout.
function BaseServer:finish_request(request, client_address)
  local limit = self.request_timeout
  if limit then return run_within(limit, self, request, client_address) end
  return run_alone(self, request, client_address)
end

--- shutdown_request(request): the request has been processed.
function BaseServer:shutdown_request(request) self:close_request(request) end

--- close_request(request): clean up.
function BaseServer:close_request() end

--- server_ready(): serve_forever takes requests and hears signals from now on.
function BaseServer:server_ready() end

-- When that is so, a mix-in may know better.
function BaseServer:_announce() self:server_ready() end

--- service_actions(): called once a turn of serve_forever.
BaseServer.service_actions = no_actions

--- handle_timeout(): handle_request has waited in vain.
function BaseServer:handle_timeout() end

--- server_activate(): begin to take requests.
function BaseServer:server_activate() end

--- handle_error(request, client_address, err, traceback): a request failed;
-- the server goes on.  By default one line and the traceback on stderr.
function BaseServer:handle_error(_, client_address, _, traceback)
  io.stderr:write("csock: exception while processing a request from ",
    tostring(client_address), "\n", traceback, "\n")
end

return BaseServer
