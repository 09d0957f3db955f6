--- connect: create_connection, create_server and has_dualstack_ipv6, which make
-- a socket and all that it needs in one call.
-- A connection to a host with several addresses is a race (RFC 8305, "Happy
-- Eyeballs"): an address that does not answer holds up the next one for a
-- quarter of a second, and the first that answers wins.  The connections are
-- begun without waiting; in a task each is then watched by a task of its own,
-- elsewhere all of them by one poll(2), so that no loop has to be run behind
-- the caller's back.
-- Not here: which of the two, csock or csock.safe, they are for.
-- Invariant: however a race ends, all of its sockets but the winner are closed.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local insist = require "csock.insist"
local misuse = require "csock.misuse"

local constants = core.constants
local now = core.loop.now

local DELAY = 0.25      -- before the next address has its turn (RFC 8305 5)
local LONG = 1000000000 -- seconds

-- An error made here, with the place that misuse would blame.
local function placed(err)
  err.where = select(2, pcall(misuse, ""))
  return err
end

local function bad(name, arg, what)
  misuse("bad argument #%d to '%s' (%s)", arg, name, what)
end

local function check_integer(name, arg, options, key)
  local value = options[key]
  if value ~= nil and not (math.type(value) and math.tointeger(value)) then
    bad(name, arg, ("%s: integer expected, got %s"):format(key, type(value)))
  end
end

-- The options a function takes, and no others; a table without any is some
-- other thing that came to the wrong place.
local function check_options(name, arg, options, known)
  if next(options) == nil then bad(name, arg, "no options") end
  for key in pairs(options) do
    if not known[key] then
      bad(name, arg, ("unknown option '%s'"):format(tostring(key)))
    end
  end
end

-- {host, port}: refused before anything is looked up.
local function check_address(name, address)
  if type(address) ~= "table" and type(address) ~= "userdata" then
    bad(name, 1, "{host, port} expected")
  end
  local port = address[2]
  if math.type(port) and not (math.tointeger(port) and port >= 0 and
    port <= 65535) then
    bad(name, 1, "address: port must be 0-65535")
  end
end

local function set_up_connection(sock, info, timeout, source, alone)
  insist(sock:settimeout(timeout))
  if source then insist(sock:bind(source)) end
  if not alone then insist(sock:settimeout(0)) end
  return sock:connect(info[5])
end

-- One address: a connected socket; or nil and the error; or, unless it is to
-- wait (alone), a socket whose connection is under way and an error that says
-- so.
local function try(module, info, timeout, source, alone)
  local made, sock, err = pcall(module.socket, info[1], info[2], info[3])
  if not made then
    sock, err = nil, sock
  elseif sock then
    local done, ok
    done, ok, err = pcall(set_up_connection, sock, info, timeout, source, alone)
    if not done then err = ok end
    if err == nil then return sock end
  end
  local known = class.isinstance(err, errors.error)
  if sock and known and not alone and err.errno == constants.EINPROGRESS then
    return sock, err
  end
  if sock then sock:close() end
  if not known then error(err, 0) end
  return nil, err
end

-- A race -------------------------------------------------------------------

local Race = {}
Race.__index = Race

-- Begin the attempt at an address: the socket, if it is connected already.
-- Where there is nothing else to look after it waits as any connect does.
function Race:start(index, info, alone)
  local sock, err = try(self.module, info, self.timeout, self.source, alone)
  if not err then return sock end
  if sock then
    table.insert(self.pending, {
      index = index, address = info[5], sock = sock,
      deadline = self.timeout and now() + self.timeout or math.huge,
    })
  else
    self.errors[index] = err
  end
end

-- The task of an attempt.
local function watch(race, attempt)
  core.connect.writable(attempt.sock)
  attempt.decided = true
  if race.sleeper then core.loop.wake(race.sleeper) end
end

function Race:find_decided()
  for _, attempt in ipairs(self.pending) do
    if attempt.decided then return attempt end
  end
end

-- Waits for one of the attempts: the one that is decided, or nil after so many
-- seconds.
function Race:wait(seconds)
  if not core.connect.intask() then
    local fds = {}
    for i, attempt in ipairs(self.pending) do fds[i] = attempt.sock:fileno() end
    return self.pending[core.connect.poll(fds, seconds)]
  end
  for _, attempt in ipairs(self.pending) do
    if not attempt.watched then
      attempt.watched = true
      core.loop.spawn(watch, self, attempt)
    end
  end
  if not self:find_decided() then
    self.sleeper = core.loop.current()
    core.connect.pause(seconds)
    self.sleeper = nil
  end
  return self:find_decided()
end

function Race:fail(attempt, err)
  for i, other in ipairs(self.pending) do
    if other == attempt then table.remove(self.pending, i) end
  end
  attempt.sock:close()
  self.errors[attempt.index] = err
end

local function reconnect(attempt)
  insist(attempt.sock:connect(attempt.address))
end

-- What became of a connection: to connect again tells.  True, or the error.
local function outcome(attempt)
  local ok, err = pcall(reconnect, attempt)
  if ok then return true end
  if not class.isinstance(err, errors.error) then error(err, 0) end
  return err.errno == constants.EISCONN, err
end

-- Give up what has taken longer than the timeout: whether there was any.
function Race:expire()
  local time, expired = now(), false
  for i = #self.pending, 1, -1 do
    local attempt = self.pending[i]
    if attempt.deadline <= time then
      self:fail(attempt, placed(errors.timeout(constants.ETIMEDOUT,
        "timed out", "connect", attempt.address)))
      expired = true
    end
  end
  return expired
end

-- Looks after the attempts until one of them has won, whose socket is returned;
-- or has failed, or until the time; for the last address until none is left.
function Race:run(time, last)
  while #self.pending > 0 do
    local limit, failed = time
    for _, attempt in ipairs(self.pending) do
      limit = math.min(limit, attempt.deadline)
    end
    local attempt = self:wait(math.max(0, math.min(limit - now(), LONG)))
    if attempt then
      local won, err = outcome(attempt)
      if won then
        self.winner = attempt.sock
        return attempt.sock
      end
      self:fail(attempt, err)
      failed = true
    else
      failed = self:expire()
    end
    if not last and (failed or now() >= time) then return end
  end
end

function Race:__close()
  self.sleeper = nil
  for _, attempt in ipairs(self.pending) do
    if attempt.sock ~= self.winner then attempt.sock:close() end
  end
end

-- The families take turns, the one of the first address first (RFC 8305 4).
local function interleave(infos)
  local same, other, turns = {}, {}, {}
  for _, info in ipairs(infos) do
    table.insert(info[1] == infos[1][1] and same or other, info)
  end
  for i = 1, #infos do
    table.insert(turns, same[i])
    table.insert(turns, other[i])
  end
  return turns
end

-- A connected socket, or nil and the errors of the addresses.
local function race(module, infos, timeout, source)
  if #infos == 1 then -- the usual case, and no race
    local sock, err = try(module, infos[1], timeout, source, true)
    return sock, {err}
  end
  local self <close> = setmetatable({
    module = module, timeout = timeout, source = source, pending = {},
    errors = {},
  }, Race)
  for i, info in ipairs(infos) do
    local last = i == #infos
    local alone = timeout == 0 or last and #self.pending == 0
    local sock = self:start(i, info, alone) or
      self:run(last and math.huge or now() + DELAY, last)
    if sock then
      sock:settimeout(timeout)
      return sock
    end
  end
  return nil, self.errors
end

local connection_options = {
  timeout = true, source_address = true, all_errors = true,
}

-- A connected socket, or nil and the error.
local function connection(module, address, timeout, source, all_errors)
  local infos, err = module.getaddrinfo(address[1], address[2], 0,
    constants.SOCK_STREAM, 0, 0, timeout)
  if not infos then return nil, err end
  if #infos == 0 then
    return nil, placed(errors.OSError(nil, "getaddrinfo returns an empty list",
      "create_connection"))
  end
  local sock, failures = race(module,
    #infos > 1 and interleave(infos) or infos, timeout, source)
  if sock then return sock end
  core.connect.check()
  if all_errors then
    return nil, placed(errors.ExceptionGroup("create_connection failed",
      failures))
  end
  local last = failures[#failures]
  last.errors = failures
  return nil, last
end

--- create_connection({host, port} [, timeout [, source_address [,
-- all_errors]]]) -> a connected TCP socket, to whichever of the host's
-- addresses answers first; or create_connection(address, {timeout=,
-- source_address=, all_errors=}).  `timeout` is in seconds, for the look-up and
-- for each address, and is that of the socket; nil, and false as an option, is
-- none, and by default it is the default timeout.  `source_address` is bound
-- first.  Raises what getaddrinfo raises; the error of the last address, with
-- those of all in `errors`; or, with all_errors, an ExceptionGroup that has
-- them in `exceptions`.  (Python's socket.create_connection, RFC 8305)
local function create_connection(module, address, ...)
  local name = "create_connection"
  local count, timeout, source, all_errors = select("#", ...), ...
  check_address(name, address)
  if type(timeout) == "table" then
    local options = timeout
    if count > 1 then bad(name, 3, "nothing expected after options") end
    check_options(name, 2, options, connection_options)
    timeout, source, all_errors = options.timeout, options.source_address,
      options.all_errors
    if timeout == nil then count = 0 end
  end
  if timeout == false then timeout = nil end
  if timeout ~= nil and not (math.type(timeout) and timeout >= 0) then
    bad(name, 2, "seconds expected")
  end
  if source ~= nil and type(source) ~= "table" and
    type(source) ~= "userdata" then
    bad(name, 3, "source_address: {host, port} expected")
  end
  if count == 0 then timeout = core.getdefaulttimeout() end
  return connection(module, address, timeout, source, all_errors)
end

-- Servers ------------------------------------------------------------------

--- has_dualstack_ipv6() -> whether a socket can be made that takes connections
-- by IPv4 and by IPv6.  (Python's socket.has_dualstack_ipv6)
local function has_dualstack_ipv6(module)
  if not (constants.AF_INET6 and constants.IPPROTO_IPV6 and
    constants.IPV6_V6ONLY) then
    return false
  end
  local ok, err = pcall(function()
    local sock <close> = insist(module.socket(constants.AF_INET6,
      constants.SOCK_STREAM))
    insist(sock:setsockopt(constants.IPPROTO_IPV6, constants.IPV6_V6ONLY, 0))
  end)
  if not ok and not class.isinstance(err, errors.error) then error(err, 0) end
  return ok
end

-- The address in the words of an error.
local function shown(address)
  if type(address) == "table" then
    return ("%s:%s"):format(address[1], address[2])
  end
  return tostring(address)
end

local function bind(sock, address)
  insist(sock:bind(address))
end

-- Options, the address and the queue of a server's socket.
local function set_up(sock, address, options)
  -- a server that has just ended must not keep its successor waiting
  local level = constants.SOL_SOCKET
  insist(sock:setsockopt(level, constants.SO_REUSEADDR, 1))
  if options.reuse_port then
    insist(sock:setsockopt(level, constants.SO_REUSEPORT, 1))
  end
  if sock.family == constants.AF_INET6 then
    insist(sock:setsockopt(constants.IPPROTO_IPV6, constants.IPV6_V6ONLY,
      options.dualstack_ipv6 and 0 or 1))
  end
  local ok, err = pcall(bind, sock, address)
  if not ok then
    if class.isinstance(err, errors.error) then
      err.strerror = ("%s (while attempting to bind on address %s)"):format(
        err.strerror, shown(address))
    end
    error(err, 0)
  end
  insist(sock:listen(options.backlog))
end

local server_options = {
  family = true, backlog = true, reuse_port = true, dualstack_ipv6 = true,
}

--- create_server(address [, {family=, backlog=, reuse_port=, dualstack_ipv6=}])
-- -> a listening TCP socket, with SO_REUSEADDR.  `family` is AF_INET (the
-- default) or AF_INET6, `backlog` that of listen, `reuse_port` sets
-- SO_REUSEPORT, `dualstack_ipv6` lets an AF_INET6 socket take IPv4 as well.
-- (Python's socket.create_server)
local function create_server(module, address, options)
  local name = "create_server"
  if type(address) ~= "string" then check_address(name, address) end
  if options ~= nil and type(options) ~= "table" then
    bad(name, 2, "table expected, got " .. type(options))
  end
  if options then check_options(name, 2, options, server_options) end
  options = options or {}
  check_integer(name, 2, options, "family")
  check_integer(name, 2, options, "backlog")
  if options.reuse_port and not constants.SO_REUSEPORT then
    bad(name, 2, "SO_REUSEPORT not supported on this platform")
  end
  if options.dualstack_ipv6 then
    if not has_dualstack_ipv6(module) then
      bad(name, 2, "dualstack_ipv6 not supported on this platform")
    end
    if options.family ~= constants.AF_INET6 then
      bad(name, 2, "dualstack_ipv6 requires AF_INET6 family")
    end
  end
  local sock, err = module.socket(options.family or constants.AF_INET,
    constants.SOCK_STREAM)
  if not sock then return nil, err end
  local ok
  ok, err = pcall(set_up, sock, address, options)
  if ok then return sock end
  sock:close()
  core.connect.check()
  if not class.isinstance(err, errors.error) then error(err, 0) end
  return nil, err
end

--- connect(module, answer) -> the functions for a module: like Python's, they
-- use the `socket` and the `getaddrinfo` that are in it at the moment of the
-- call.  `answer` gets a result, or nil and an error; what it returns, they do.
return function(module, answer)
  return {
    create_connection = function(...)
      return answer(create_connection(module, ...))
    end,
    create_server = function(...)
      return answer(create_server(module, ...))
    end,
    has_dualstack_ipv6 = function() return has_dualstack_ipv6(module) end,
  }
end
