-- helper: what every spec stands on.  It is loaded once, before all specs, and
-- watches each test: none may leave a descriptor or a task behind, and none
-- may take longer than the deadline, which is for what hangs: it is far beyond
-- what a busy machine needs.  It asserts nothing about csock itself,
-- and works, with fewer checks, where csock or /proc is not there.
-- Invariant: after a test, passed or failed, all that was made through this
-- module is gone.

local busted = require "busted"
local lfs = require "lfs"

local helper = {}

-- CSOCK_SLOW is set where all runs slowly (valgrind); specs may scale by it.
helper.slow = os.getenv "CSOCK_SLOW" ~= nil
local deadline = helper.slow and 300 or 60

-- By hand, without make, the module built last is the one to test.
if not package.searchpath("csock.core", package.cpath) then
  package.cpath = package.cpath .. ";" .. lfs.currentdir() .. "/lua/?.so"
end

--- The names of the files in a directory that match a pattern, sorted.
function helper.files(directory, pattern)
  local names = {}
  for name in lfs.dir(directory) do
    if name:find(pattern) then names[#names + 1] = name end
  end
  table.sort(names)
  return names
end

-- Loaded here, the modules are shared by all specs, as they are in a program;
-- what only one file of specs loads, busted unloads after it.  An error shows
-- again, and better, in the spec that needs the module.
local loaded, core = pcall(require, "csock.core")
if loaded then
  for _, name in ipairs(helper.files("lua/csock", "%.lua$")) do
    pcall(require, (("csock." .. name):gsub("%.lua$", ""):gsub("%.init$", "")))
  end
  -- What the loop opens once and keeps is no leak of the first test.
  local found, loop = pcall(require, "csock.loop")
  if found and loop.run then pcall(loop.run, function() end) end
end

-- Of the private C module only these two, where it is there.
local alarm = loaded and core.process.alarm or function() end
local live_tasks = loaded and core.loop.live or function() return 0 end

-- A part of the specs -----------------------------------------------------

-- With CSOCK_PART=2/3 every third file is run, from the second on: what runs
-- side by side is a whole together.
local which, of = (os.getenv "CSOCK_PART" or "1/1"):match "^(%d+)/(%d+)$"
busted.subscribe({"suite", "start"}, function(suite)
  local files = busted.children(suite)
  local all = table.move(files, 1, #files, 1, {})
  for i = 1, #all do files[i] = all[which + (i - 1) * of] end
  return nil, true
end)

-- Leaks -------------------------------------------------------------------

--- The open descriptors: a table from number to what it is, and their count.
function helper.descriptors()
  local open, count = {}, 0
  local directory = "/proc/self/fd"
  if lfs.attributes(directory, "mode") ~= "directory" then return open, 0 end
  local numbers = helper.files(directory, "^%d+$")
  for _, number in ipairs(numbers) do
    local target = lfs.symlinkattributes(directory .. "/" .. number, "target")
    if target then                      -- not the one that read the directory
      open[tonumber(number)] = target
      count = count + 1
    end
  end
  return open, count
end

--- The flags of an open descriptor and of its open file, as Linux tells them;
--- nil where it does not.
function helper.flags(fd)
  local file <close> = io.open(("/proc/self/fdinfo/%d"):format(fd))
  return file and tonumber(file:read("a"):match "flags:%s*(%d+)", 8)
end

--- Two of them, in most Linux machines' numbers.
helper.O_NONBLOCK = tonumber("4000", 8)
helper.O_CLOEXEC = tonumber("2000000", 8)

local function snapshot()
  local open, count = helper.descriptors()
  return {open = open, count = count, tasks = live_tasks()}
end

local function check_leaks(before)
  local after = snapshot()
  if after.count > before.count or after.tasks > before.tasks then
    collectgarbage()                    -- it may be garbage, as in programs
    collectgarbage()                    -- what the first one only finalized
    after = snapshot()
  end
  if after.count > before.count then
    local left = {}
    for fd, target in pairs(after.open) do
      if before.open[fd] ~= target then
        left[#left + 1] = fd .. " (" .. target .. ")"
      end
    end
    table.sort(left)
    busted.fail("descriptors left open: " .. table.concat(left, ", "))
  end
  if after.tasks > before.tasks then
    busted.fail("tasks left alive: " .. after.tasks - before.tasks)
  end
end

-- Deadline ----------------------------------------------------------------

--- Gives the running test this many seconds from now.  A test that computes
--- too long fails; one that waits in the system, or computes in a coroutine,
--- can be stopped by a signal only, which ends the whole run.
function helper.deadline(seconds)
  local latest = os.time() + seconds
  debug.sethook(function()
    if os.time() <= latest then return end
    latest = latest + 1                 -- again, if the test caught it
    error("the test took longer than " .. seconds .. " s", 2)
  end, "", 100000)
  alarm(seconds + 3)
end

local function no_deadline()
  debug.sethook()
  alarm(0)
end

--- Runs f(seconds), in which that is a long time: what is to happen at once
--- happens before, what is to wait waits longer.  A busy machine may hold up
--- any process for as long; if f fails, it is given four times as much, a few
--- times over: what is wrong stays wrong.
function helper.by_clock(seconds, f)
  for _ = 1, 3 do
    if pcall(f, seconds) then return end
    seconds = 4 * seconds
  end
  f(seconds)
end

-- Things that a test needs for its own time -------------------------------

local cleanups = {}

local function clean_up()
  while #cleanups > 0 do table.remove(cleanups)() end
end

--- A word for the shell.
function helper.quote(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

--- The command that runs the Lua of these specs, with csock to be found.
helper.lua = os.getenv "CSOCK_LUA"
if not helper.lua then
  local first = -1
  while arg[first - 1] do first = first - 1 end
  helper.lua = ("LUA_PATH=%s LUA_CPATH=%s %s"):format(
    helper.quote(lfs.currentdir() .. "/lua/?.lua;" .. lfs.currentdir() ..
      "/lua/?/init.lua;" .. package.path),
    helper.quote(package.cpath), arg[first] or "lua5.4")
end

--- Whether the system has this command.
function helper.has(command)
  return os.execute("command -v " .. command .. " >/dev/null 2>&1") == true
end

--- A directory that is removed after the test.
function helper.tmpdir()
  local name = os.tmpname()
  os.remove(name)
  assert(lfs.mkdir(name))
  cleanups[#cleanups + 1] = function()
    os.execute("rm -rf " .. helper.quote(name))
  end
  return name
end

local pend

--- The running test is pending.  (The `pending` of a spec, which files that
--- are no specs have not got: theirs would let the test pass.)
function helper.pending(reason) return pend(reason) end

local unavailable = {
  EAFNOSUPPORT = true, EPROTONOSUPPORT = true, ESOCKTNOSUPPORT = true,
  EPERM = true, EACCES = true,
}

--- A socket of a family (by its name) that not every system has, or lets
--- everybody have; without it the test is pending, with the system's reason.
--- It is closed after the test.
function helper.socket(family, ...)
  local csock = require "csock"
  if not csock[family] then return pend("no " .. family) end
  local ok, sock = pcall(csock.socket, csock[family], ...)
  if ok then
    cleanups[#cleanups + 1] = function() sock:close() end
    return sock
  end
  if not unavailable[sock.code] then error(sock, 0) end
  return pend(family .. ": " .. sock.strerror)
end

local Process = {}
Process.__index = Process

--- Starts a simple shell command; it is killed after the test, if not before.
--- A field `pid`, and the methods below.
function helper.spawn_process(command)
  -- env: a sanitizer that is preloaded here is not for foreign programs
  local pipe = assert(io.popen("echo $$; exec env -u LD_PRELOAD " .. command))
  local process = setmetatable({pipe = pipe}, Process)
  process.pid = assert(pipe:read "n", "no process")
  pipe:read "l"
  cleanups[#cleanups + 1] = function()
    process:kill "KILL"
    process:wait()
  end
  return process
end

-- What a shell command prints first, or nil.
local function first_line(command)
  local pipe <close> = io.popen(command)
  return pipe:read "l"
end

--- Compiles the program spec/NAME.c, which embeds Lua, and starts it with the
--- script; a process as above.  Without this Lua as a library the test is
--- pending.
function helper.embed(name, script)
  local ask = "for name in lua5.4 lua-5.4 lua54; do " ..
    "pkg-config %s $name 2>/dev/null && break; done"
  local flags = first_line(ask:format "--cflags --libs")
  local version = first_line(ask:format "--modversion")
  local own = first_line(helper.lua:match "%S+%s*$" .. " -v")
  if not (flags and own) or not own:find(version .. " ", 1, true) then
    return pend "needs this Lua as a library"
  end
  local program = helper.tmpdir() .. "/" .. name
  assert(os.execute(("env -u LD_PRELOAD %s -o %s spec/%s.c %s -lm"):format(
    os.getenv "CC" or "cc", program, name, flags)), name .. " compiles")
  local file <close> = assert(io.open(program .. ".lua", "w"))
  file:write(script)
  file:close()
  -- the same environment as Lua itself, which is the last word
  local command = helper.lua:gsub("%S+%s*$", program)
  return helper.spawn_process(command .. " " .. program .. ".lua 2>&1")
end

--- Waits for its end: what else it printed, and how it ended ("exit 0").
function Process:ending()
  local output = self:read "a"
  local _, how, number = self:wait()
  return output, how .. " " .. number
end

--- What it prints, in the formats of file:read.
function Process:read(...)
  return self.pipe:read(...)
end

--- Sends a signal, TERM by default.
function Process:kill(signal)
  if self.pipe then
    os.execute(("kill -%s %d 2>/dev/null"):format(signal or "TERM", self.pid))
  end
end

--- Waits for its end: true or nil, "exit" or "signal", the number.
function Process:wait()
  local pipe = self.pipe
  if not pipe then return table.unpack(self.result) end
  self.pipe = nil
  self.result = table.pack(pipe:close())
  return table.unpack(self.result)
end

--- Waits until it sleeps in a system call, or has ended.
function Process:until_asleep()
  repeat
    local file <close> = io.open(("/proc/%d/stat"):format(self.pid))
    if not file then busted.pending "no /proc here" end
  until file:read("a"):find "%) [SZ]"
end

-- What a call raises -------------------------------------------------------

--- Runs f(...), which must raise something: that.
function helper.failure(f, ...)
  local ok, err = pcall(f, ...)
  if ok then busted.fail("nothing was raised", 3) end
  return err
end

--- Runs f(...), which must raise an error of that class: the error.
function helper.raises(class, f, ...)
  local err = helper.failure(f, ...)
  if not require "csock.class".isinstance(err, class) then
    busted.fail("raised instead: " .. tostring(err), 2)
  end
  return err
end

--- Runs f(...), which must raise an error object with that code: the error.
function helper.refused(code, f, ...)
  local err = helper.failure(f, ...)
  local csock = require "csock"
  if not csock.isinstance(err, csock.error) or err.code ~= code then
    busted.fail("raised instead of " .. code .. ": " .. tostring(err), 2)
  end
  return err
end

local function misuse(text, exact, f, ...)
  local spec = debug.getinfo(3, "S").source
  local at = type(f) == "function" and debug.getinfo(f, "S")
  local call, args = f, table.pack(...)
  if not at or at.source ~= spec then
    call = function() f(table.unpack(args, 1, args.n)) end
    at = debug.getinfo(call, "S")
  end
  local err = helper.failure(call, ...)
  local file, line, message = tostring(err):match "^([^\n:]+):(%d+): (.*)$"
  if type(err) ~= "string" or file ~= at.short_src or
    exact and tonumber(line) ~= at.linedefined then
    busted.fail("no error that blames the caller: " .. tostring(err), 3)
  end
  if not message:find(text, 1, true) and not message:find(text) then
    busted.fail(("not the error that was expected (%s): %s"):format(text, err),
      3)
  end
end

--- Runs f(...), which must raise an argument error: a string that has this
--- text in it, or fits it as a pattern, and blames a line of the spec if f is
--- a function of it; for other functions, the call here.
function helper.misused(text, f, ...)
  misuse(text, false, f, ...)
end

--- The same for f written in one line, which is the one to blame.
function helper.refuses(text, f, ...)
  misuse(text, true, f, ...)
end

-- Ports --------------------------------------------------------------------

--- Calls f(port) with a port that was free a moment ago, again with another one
--- where somebody was faster: what it returns.
function helper.with_unused_port(f)
  local csock = require "csock"
  while true do
    local port
    do
      local probe <close> = csock.socket()
      probe:bind {"127.0.0.1", 0}
      port = probe:getsockname()[2]
    end
    local ok, result = pcall(f, port)
    if ok then return result end
    if not csock.isinstance(result, csock.error) or
      result.errno ~= csock.EADDRINUSE then
      error(result, 0)
    end
  end
end

--- Binds the socket to such a port: the port.
function helper.bind_unused(sock, host)
  return helper.with_unused_port(function(port)
    sock:bind {host, port}
    return port
  end)
end

--- A port at which nobody listens and, until the test has ended, nobody else
--- can: it is taken, at all addresses of this machine.
function helper.deserted_port()
  local csock = require "csock"
  local _, sock = pcall(function()
    local sock = csock.socket(csock.AF_INET6)
    sock.ipv6only = false
    sock:bind {"::", 0}
    return sock
  end)
  if csock.isinstance(sock, csock.error) then   -- no IPv6 here
    sock = csock.socket()
    sock:bind {"", 0}
  end
  cleanups[#cleanups + 1] = function() sock:close() end
  return sock:getsockname()[2]
end

--- A port for datagrams, at which none from anybody else arrives: the same.
function helper.deserted_datagrams()
  local csock = require "csock"
  local sock = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
  cleanups[#cleanups + 1] = function() sock:close() end
  sock:bind {"127.0.0.1", 0}
  sock:connect(sock:getsockname())
  return sock:getsockname()[2]
end

-- Assertions of several specs ---------------------------------------------

--- Lets the loop turn until these tasks wait for something.
function helper.until_waiting(...)
  local sleep = require "csock.loop".sleep
  for _, task in ipairs {...} do
    while task:status() ~= "waiting" do
      if not ("ready running"):find(task:status()) then
        busted.fail("the task is " .. task:status(), 2)
      end
      sleep(0)
    end
  end
end

-- Shared things --------------------------------------------------------------

--- A value for <close> that calls f.
function helper.closing(f)
  return setmetatable({}, {__close = f})
end

--- A value for <close> that closes these sockets, and the sockets.
function helper.closer(...)
  local list = {...}
  return helper.closing(function()
    for _, sock in ipairs(list) do sock:close() end
  end), ...
end

--- Such a value, and two connected sockets; the arguments are socketpair's.
function helper.pair(...)
  return helper.closer(require "csock".socketpair(...))
end

--- A file to read `data` from, whose other end is closed behind it.
function helper.holding(data, size)
  assert(#data < 100000)                -- what a socket takes without a reader
  local a, b = require "csock".socketpair()
  local file = a:makefile("rb", size)
  a:close()
  b:sendall(data)
  b:close()
  return file
end

--- A test that runs f outside of tasks, then in one.
function helper.everywhere(f)
  return function()
    f()
    require "csock.loop".run(f)
  end
end

-- Pieces of noise, from anywhere in it and of any length.
local noise = {}
for i = 1, 4000 do noise[i] = string.pack("j", math.random(0)) end
noise = table.concat(noise)

--- That many random bytes.
function helper.random_bytes(n)
  local parts, length = {}, 0
  while length < n do
    local from, upto = math.random(#noise), math.random(#noise)
    local part = noise:sub(from, upto) .. string.pack("j", math.random(0))
    parts[#parts + 1], length = part, length + #part
  end
  return table.concat(parts):sub(1, n)
end

--- All that comes from a socket up to the end of its stream.
function helper.read_all(sock)
  local pieces = {}
  repeat
    local data = sock:recv(4096)
    pieces[#pieces + 1] = data
  until data == ""
  return table.concat(pieces)
end

-- Round each test ---------------------------------------------------------

-- What the run was at, for whoever finds it dead.
local running = os.getenv "CSOCK_RUNNING"
local function note(text)
  if not running then return end
  local file = assert(io.open(running, "w"))
  file:write(text)
  file:close()
end

local function full_name(element)
  local names = {}
  while element and element.name do
    table.insert(names, 1, element.name)
    element = busted.parent(element)
  end
  return table.concat(names, " ")
end

-- What became of each test, for .ci/score.
local results = os.getenv "CSOCK_RESULTS"
if results then
  local poller = os.getenv "CSOCK_POLLER" or "default"
  busted.subscribe({"test", "end"}, function(element, _, outcome)
    local titles = {}
    while element and element.name do
      table.insert(titles, 1, (element.name:gsub("%c", " ")))
      element = busted.parent(element)
    end
    local file <close> = assert(io.open(results, "a"))
    file:write(poller, "\t", outcome, "\t", table.concat(titles, "\t"), "\n")
    return nil, true
  end)
end

-- The body itself is wrapped, so that what is found wrong fails this test and
-- not the file; by variables that close, so that an error keeps its trace.
busted.subscribe({"test", "start"}, function(element)
  if element.descriptor ~= "it" then return nil, true end
  local run = element.run
  element.run = function(...)
    element.run = run
    pend = element.env.pending
    local finally
    element.env.finally = function(f) finally = f end
    note(full_name(element) .. "\n")
    helper.deadline(deadline)
    local before = snapshot()
    local _last <close> = helper.closing(function()
      clean_up()
      no_deadline()
      note ""
    end)
    local _first <close> = helper.closing(function(_, err)
      if finally then finally() end
      clean_up()
      if err == nil then check_leaks(before) end
    end)
    run(...)
  end
  return nil, true
end)

return helper
