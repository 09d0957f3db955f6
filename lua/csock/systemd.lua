--- systemd: what a service manager and a program tell each other: sockets that
-- are open before the program begins (sd_listen_fds(3)), and how the service is
-- (sd_notify(3)).  All of it is environment variables and datagrams: no library
-- of systemd's is needed, and other managers speak the same.
-- Invariant: variables that hand over descriptors are gone once they were read,
-- and those descriptors are close-on-exec.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local loop = require "csock.loop"
local misuse = require "csock.misuse"
local socket = require "csock.socket".socket

local constants, process = core.constants, core.process
local systemd = {}

local FIRST = 3         -- the first descriptor that is handed over
local MOST = 0x7fffffff -- what a descriptor can be
local PATIENCE = 5      -- seconds for the manager to make room for a message

local function fail(code, op)
  error(errors.OSError(constants[code], nil, op), 0)
end

--
-- Sockets that were there before
--

local inherited -- what listen_fds has found, once it was called

local function split(names)
  local list = {}
  for name in ((names or "") .. ":"):gmatch "([^:]*):" do
    list[#list + 1] = name
  end
  return list
end

-- The socket of a descriptor, or nil when it is none.
local function adopt(fd)
  process.keep(fd)
  local ok, sock = pcall(socket, nil, nil, nil, fd)
  if ok then return sock end
  if class.isinstance(sock, errors.OSError) and
    sock.errno == constants.ENOTSOCK then
    return nil
  end
  error(sock, 0)
end

local function take_over()
  local pid, count = os.getenv "LISTEN_PID", os.getenv "LISTEN_FDS"
  local names = os.getenv "LISTEN_FDNAMES"
  for _, name in ipairs {"PID", "FDS", "FDNAMES", "PIDFDID"} do
    process.unsetenv("LISTEN_" .. name)
  end
  if not count or pid ~= tostring(process.getpid()) then return {} end
  local n = count:find "^%d+$" and math.tointeger(tonumber(count))
  if not n or n > MOST - FIRST then fail("EINVAL", "listen_fds") end
  local list = {}
  names = split(names)
  for i = 1, n do
    local fd = FIRST + i - 1
    local name = names[i] or ""
    if name == "" then name = "unknown" end
    list[i] = {name = name, fd = fd, socket = adopt(fd)}
  end
  return list
end

--- listen_fds() -> a list of what the manager has opened for this process, in
-- the order of the units: {name =, fd =, socket =}, the name being that of
-- FileDescriptorName=, "unknown" where there is none; what is no socket (a
-- FIFO) has only its number.  Each call gives the same sockets.  Raises OSError
-- when the variables do not tell the truth.  (sd_listen_fds_with_names(3))
function systemd.listen_fds()
  if not inherited then inherited = take_over() end
  return table.move(inherited, 1, #inherited, 1, {})
end

--- sockets([name]) -> the list of the sockets of that name; nil: all.
function systemd.sockets(name)
  if name ~= nil and type(name) ~= "string" then
    misuse("bad argument #1 to 'sockets' (string expected, got %s)", type(name))
  end
  local list = {}
  for _, entry in ipairs(systemd.listen_fds()) do
    if entry.socket and (name == nil or entry.name == name) then
      list[#list + 1] = entry.socket
    end
  end
  return list
end

--- socket([name]) -> the one socket of that name (nil: the only one there is),
-- or nil, so that `systemd.socket "web" or {"", 8080}` is an address for every
-- server.  Raises when there are several: none of them may be forgotten.
function systemd.socket(name)
  local list = systemd.sockets(name)
  if #list > 1 then
    misuse("%d sockets have been handed over%s: see systemd.sockets", #list,
      name and " as '" .. name .. "'" or "")
  end
  return list[1]
end

--
-- How the service is
--

-- A socket that talks to the manager, or nil where there is none.
local function open_line()
  local path = os.getenv "NOTIFY_SOCKET"
  if not path or path == "" then return nil end
  local first = path:sub(1, 1)
  if first == "@" then
    path = "\0" .. path:sub(2)
  elseif first ~= "/" then
    fail("EAFNOSUPPORT", "notify")
  end
  local line = socket(constants.AF_UNIX, constants.SOCK_DGRAM)
  local ok, err = pcall(function()
    line.timeout = PATIENCE
    line:connect(path)
  end)
  if ok then return line end
  line:close()
  error(err, 0)
end

--- notify(state) -> true, or false where no manager wants to know
-- (NOTIFY_SOCKET is not set).  The state is lines such as "READY=1",
-- "STATUS=busy", "STOPPING=1", "EXTEND_TIMEOUT_USEC=5000000".  Raises OSError.
-- (sd_notify(3))
function systemd.notify(state)
  if type(state) ~= "string" or state == "" then
    misuse("bad argument #1 to 'notify' (lines expected, got %s)",
      state == "" and "none" or type(state))
  end
  local line <close> = open_line()
  if not line then return false end
  line:send(state)
  return true
end

--- watchdog() -> the seconds after which the manager restarts this process when
-- it does not hear "WATCHDOG=1"; nil when it will not.
-- (sd_watchdog_enabled(3))
function systemd.watchdog()
  local time, pid = os.getenv "WATCHDOG_USEC", os.getenv "WATCHDOG_PID"
  if pid and pid ~= tostring(process.getpid()) then return nil end
  local n = time and time:find "^%d+$" and tonumber(time)
  return n and n > 0 and n / 1e6 or nil
end

--
-- For servers
--

local serving = 0 -- how many servers of this process do

local Report = {}
Report.__index = Report

-- A server does not end because nobody listens to it.
local function tell(self, state)
  local ok, err = pcall(self.line.send, self.line, state)
  if ok then return end
  if not class.isinstance(err, errors.OSError) then error(err, 0) end
  warn("csock: the service manager does not hear: " .. tostring(err))
end

local function keep_alive(self, seconds)
  while true do
    tell(self, "WATCHDOG=1")
    loop.sleep(seconds / 2)
  end
end

-- _report(server) -> what tells the manager how the server does, until it is
-- closed; nil where no manager wants to know.  To be called in a task.
function systemd._report(server)
  local ok, line = pcall(open_line)
  if not ok then
    if not class.isinstance(line, errors.OSError) then error(line, 0) end
    warn("csock: the service manager cannot be told: " .. tostring(line))
    return nil
  elseif not line then
    return nil
  end
  local self = setmetatable({line = line, server = server}, Report)
  local seconds = systemd.watchdog()
  serving = serving + 1
  if seconds then
    self.task = loop.spawn(keep_alive, self, seconds)
    self.task.name = "watchdog"
  end
  return self
end

-- One line of text, whatever the address is.
local function where(server)
  return (tostring(server.server_address):gsub("%c", "@"))
end

--- ready(): the server serves.
function Report:ready()
  tell(self, "READY=1\nSTATUS=Serving on " .. where(self.server))
end

--- reloading(): it is about to do so anew, and will be ready() again.
function Report:reloading()
  tell(self, ("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=Reloading"):format(
    math.floor(loop.now() * 1e6)))
end

--- stopping(): it takes no more.  Of several servers in a process, the last one
-- says so.
function Report:stopping()
  if serving > 1 then return end
  tell(self, "STOPPING=1\nSTATUS=Finishing requests")
end

--- close(): it has ended.
function Report:close()
  serving = serving - 1
  if self.task then self.task:cancel() end
  self.line:close()
end

return systemd
