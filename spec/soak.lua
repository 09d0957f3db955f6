-- soak: a server that is left alone with bad company for a long time.
--
--   lua5.4 spec/soak.lua [SECONDS [IDLE [BUSY]]]     (make soak)
--
-- One process is a ThreadingTCPServer, with UDP and Unix siblings in its loop;
-- another is a preforked server, which is reloaded all the while; this one is
-- all of their clients.  It comes in rounds.  In each the connections arrive,
-- idle ones, and busy ones whose answers are compared byte by byte; meanwhile
-- handlers throw, clients reset, clients never send, and descriptors run out.
-- Then all of them leave, and the server has to be as it was before: in
-- descriptors, in tasks and, within what `tolerance` says, in memory.
-- Invariant: whatever is found wrong ends the program with status 1.

local csock = require "csock"
local core = require "csock.core"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local host = "127.0.0.1"
local silence = 1    -- seconds that a client has for its first byte
local patience = 60  -- seconds after which an answer does not come any more
local crowd = 100    -- clients of each bad kind that come at once

-- KiB of memory beyond what there was.  The loop keeps up to 1024 coroutines
-- for tasks to come, Lua and malloc what they have had from the system; so the
-- first round may leave something behind, resident memory for each of its
-- connections, and the following ones hardly more.
local tolerance = {
  lua_first = 4 * 1024, lua_later = 1024,
  rss_first = 16 * 1024, rss_later = 16 * 1024, rss_connection = 4,
}

-- A sanitizer keeps what is freed.
local sanitized = (os.getenv "LD_PRELOAD" or ""):find "asan"

local function fail(...)
  error("soak: " .. string.format(...), 0)
end

--
-- The servers
--

local serve = {}

-- What the first byte says decides: "e" echo frames, "i" be idle, "t" throw.
local Handler = csock.class("Handler", socketserver.StreamRequestHandler)

function Handler:handle()
  self.request.timeout = silence
  local kind = self.rfile:read(1)
  self.request.timeout = nil
  if kind == "t" then error "thrown on purpose" end
  while true do
    local head = self.rfile:read(4)
    if #head < 4 then return end
    local size = (">I4"):unpack(head)
    self.wfile:write(head, self.rfile:read(size))
  end
end

-- What became of requests that failed, and of accepts.
local counts = {thrown = 0, silent = 0, reset = 0, other = 0, exhausted = 0}

local function note_error(_, _, _, err, traceback)
  local kind = "other"
  if csock.isinstance(err, csock.timeout) then
    kind = "silent"
  elseif csock.isinstance(err, csock.ConnectionError) then
    kind = "reset"
  elseif tostring(err):find "thrown on purpose" then
    kind = "thrown"
  else
    io.stderr:write(traceback, "\n")
  end
  counts[kind] = counts[kind] + 1
end

local Subject = csock.class("Subject", socketserver.ThreadingTCPServer,
  {handle_error = note_error})

function Subject:accept_error(err)
  counts.exhausted = counts.exhausted + 1
  csock.class.super(Subject, self):accept_error(err)
end

local function upper_datagram(self)
  self.request[2]:sendto(self.request[1]:upper(), self.client_address)
end

-- subject PATH: the server under test.  Its Unix sibling also tells how it is,
-- and ends it when the one who has asked is gone.
function serve.subject(path)
  local subject = Subject({host, 0}, Handler)
  local datagrams = socketserver.ThreadingUDPServer({host, 0},
    {handle = upper_datagram})
  local siblings = {
    datagrams,
    socketserver.ThreadingUnixStreamServer(path, {handle = function(self)
      local input <close> = self.request:makefile()
      local asked = false
      for line in input:lines() do
        local answer = line:upper()
        if line == "report" then
          asked = true
          collectgarbage()
          collectgarbage()
          answer = ("active=%d tasks=%d lua=%d accepted=%d"):format(
            subject.stats.active, core.loop.live(),
            collectgarbage "count" // 1, subject.stats.accepted)
          for kind, n in pairs(counts) do
            answer = answer .. (" %s=%d"):format(kind, n)
          end
        end
        self.request:sendall(answer .. "\n")
      end
      if asked then subject:shutdown() end
    end}),
  }
  loop.run(function()
    for _, sibling in ipairs(siblings) do
      sibling.handle_signals = false
      loop.spawn(sibling.serve_forever, sibling)
    end
    print(("%d %d %d"):format(core.process.getpid(),
      subject.server_address[2], datagrams.server_address[2]))
    io.stdout:flush()
    subject:serve_forever()
  end)
  for _, sibling in ipairs(siblings) do sibling:server_close() end
end

-- prefork PATH: one whose workers are replaced again and again, as long as the
-- other server lives.
function serve.prefork(path)
  local server = socketserver.PreforkTCPServer({host, 0}, {
    handle = function(self)
      self.request:sendall(self.request:recv(100):upper())
    end,
  })
  server.workers = 2
  print(("%d %d"):format(core.process.getpid(), server.server_address[2]))
  io.stdout:flush()
  loop.run(function()
    loop.spawn(function()
      local other <close> = csock.socket(csock.AF_UNIX)
      other:connect(path)
      other:recv(1)
      server:shutdown()
    end)
    server:serve_forever()
  end)
end

--
-- The clients' tools
--

-- Starts this program anew as one of the servers: its output, a process id,
-- and whatever else the first line says.
local function start(kind, path)
  local command = {"exec"}
  for i = -1, 0 do command[#command + 1] = "'" .. arg[i] .. "'" end
  command[#command + 1] = kind
  command[#command + 1] = path
  local pipe = io.popen(table.concat(command, " "))
  local line = pipe:read "l" or fail("the %s server did not start", kind)
  local numbers = {}
  for number in line:gmatch "%d+" do
    numbers[#numbers + 1] = tonumber(number)
  end
  return pipe, table.unpack(numbers)
end

local function output(command, ...)
  local pipe <close> = io.popen(command:format(...))
  return pipe:read "a"
end

-- Of another process: how many descriptors it has, and its resident KiB.
local function descriptors(pid)
  local _, n = output("ls /proc/%d/fd 2>/dev/null", pid):gsub("%d+", "")
  return n
end

local function resident(pid)
  local file <close> = io.open(("/proc/%d/status"):format(pid))
  return file and tonumber(file:read("a"):match "VmRSS:%s*(%d+)") or 0
end

local function connect(port)
  local sock = csock.socket()
  sock.timeout = patience
  sock:connect {host, port}
  return sock
end

local function read_all(sock)
  local text = ""
  repeat
    local data = sock:recv(4096)
    text = text .. data
  until data == ""
  return text
end

-- Carries out f(i) for 1..n, so many at once.
local function together(n, at_once, f)
  local next_one, tasks = 0, {}
  for t = 1, math.min(n, at_once) do
    tasks[t] = loop.spawn(function()
      while next_one < n do
        next_one = next_one + 1
        f(next_one)
      end
    end)
  end
  for _, task in ipairs(tasks) do task:join() end
end

-- Random bytes, cheaply: pieces of one long string.
local noise

local function make_noise()
  local pieces = {}
  for i = 1, 64 * 1024 do pieces[i] = string.char(math.random(0, 255)) end
  noise = table.concat(pieces)
end

local function frame()
  local from, size = math.random(#noise - 8192), math.random(8192)
  return (">s4"):pack(noise:sub(from, from + size - 1))
end

local function exchange(sock, input, data)
  sock:sendall(data)
  local answer = input:read(#data)
  if answer ~= data then
    fail("%d bytes came back as %d others", #data, #answer)
  end
end

--
-- The clients
--

local Soak = {}
Soak.__index = Soak

-- An idle one: it is served once when it comes and once when it leaves.
function Soak:come_idle(i)
  local sock = connect(self.port)
  local data = (">s4"):pack "here"
  sock:sendall("i" .. data)
  if sock:recv(#data, csock.MSG_WAITALL) ~= data then
    fail "one that was to be idle was not answered"
  end
  self.idle[i] = sock
end

function Soak:leave_idle(i)
  local data = (">s4"):pack("still here " .. i)
  self.idle[i]:sendall(data)
  if self.idle[i]:recv(#data, csock.MSG_WAITALL) ~= data then
    fail "an idle one was not answered"
  end
  self.idle[i]:close()
end

-- A busy one: frames of random bytes, and from time to time a new connection.
function Soak:busy()
  while self.going do
    local sock <close> = connect(self.port)
    local input <close> = sock:makefile()
    sock:sendall "e"
    for _ = 1, math.random(100) do
      if not self.going then break end
      local begun = loop.now()
      exchange(sock, input, frame())
      self.slowest = math.max(self.slowest, loop.now() - begun)
      self.frames = self.frames + 1
      loop.sleep(math.random() * 0.2)
    end
  end
end

local bad = {}

function bad.thrown(sock)
  sock:sendall "t"
  if read_all(sock) ~= "" then fail "a handler that throws has answered" end
end

function bad.reset(sock)
  local data = (">s4"):pack "and go"
  sock:sendall("e" .. data)
  if sock:recv(#data, csock.MSG_WAITALL) ~= data then
    fail "one that was to reset was not answered"
  end
  sock:sendall((">I4"):pack(100))
  sock:setsockopt(csock.SOL_SOCKET, csock.SO_LINGER, ("ii"):pack(1, 0))
end

function bad.silent(sock)
  if read_all(sock) ~= "" then fail "a silent client got an answer" end
end

-- A crowd of one bad kind comes at once, and again.
function Soak:misbehave(kind)
  while self.going do
    together(self.crowd, self.crowd, function()
      local sock <close> = connect(self.port)
      bad[kind](sock)
      self.done[kind] = self.done[kind] + 1
    end)
    loop.sleep(1)
  end
end

-- For a while the server may not open another descriptor.  Who comes then
-- waits, and is answered afterwards; the busy ones are answered all the while.
function Soak:exhaust()
  local data = (">s4"):pack "at last"
  while self.going do
    loop.sleep(0.3)
    local limit = output("prlimit --pid %d --nofile --noheadings -o SOFT",
      self.pid):match "%d+"
    local before, waiting = self:report().exhausted, {}
    output("prlimit --pid %d --nofile=%d:", self.pid, descriptors(self.pid))
    repeat -- others leave meanwhile, and make room
      for _ = 1, 20 do
        local sock = connect(self.port)
        sock:sendall("e" .. data)
        waiting[#waiting + 1] = sock
      end
      loop.sleep(0.01)
    until self:report().exhausted > before
    local frames = self.frames
    while self.going and self.frames < frames + self.n_busy do
      loop.sleep(0.01)
    end
    output("prlimit --pid %d --nofile=%s:", self.pid, limit)
    for _, sock in ipairs(waiting) do
      if sock:recv(#data, csock.MSG_WAITALL) ~= data then
        fail "a client that waited for a descriptor was not answered"
      end
      sock:close()
    end
    self.done.exhausted = self.done.exhausted + 1
    loop.sleep(1)
  end
end

-- The siblings.  To answer the first datagram one has a task, which it keeps.
function Soak:datagrams()
  local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
  sock:connect {host, self.udp_port}
  sock.timeout = 1
  local n, lost = 0, 0
  repeat
    n = n + 1
    sock:send("datagram " .. n)
    repeat -- what was late belongs to one that was given up
      local ok, data = pcall(sock.recv, sock, 100)
      if not ok then lost = lost + 1 end
    until not ok or data == "DATAGRAM " .. n
    if lost > 100 then fail "100 datagrams were not answered" end
    loop.sleep(0.01)
  until not self.going
end

function Soak:lines()
  while self.going do
    local sock <close> = csock.socket(csock.AF_UNIX)
    sock.timeout = patience
    sock:connect(self.path)
    sock:sendall "line\n"
    if sock:recv(100) ~= "LINE\n" then fail "no line from the Unix server" end
    loop.sleep(0.01)
  end
end

function Soak:ask_prefork()
  while self.going do
    local sock <close> = connect(self.prefork_port)
    sock:sendall "word"
    if read_all(sock) ~= "WORD" then fail "a reload has lost a request" end
    self.done.preforked = self.done.preforked + 1
    loop.sleep(0.01)
  end
end

function Soak:reload()
  while self.going do
    loop.sleep(1)
    output("kill -HUP %d", self.prefork_pid)
    self.done.reloads = self.done.reloads + 1
  end
end

--
-- The rounds
--

-- What the server says of itself.
function Soak:report()
  local sock = self.control
  sock:sendall "report\n"
  local result = {}
  for name, value in self.control_input:readline():gmatch "(%w+)=(%d+)" do
    result[name] = tonumber(value)
  end
  return result
end

-- What has to be as before, once nobody is there.
function Soak:state()
  local deadline, report = loop.now() + patience
  repeat
    loop.sleep(0.1)
    report = self:report()
  until report.active == 0 or loop.now() > deadline
  report.descriptors = descriptors(self.pid)
  report.rss = resident(self.pid)
  report.prefork = descriptors(self.prefork_pid)
  return report
end

function Soak:round(seconds)
  self.idle, self.going = {}, true
  self.frames, self.slowest = 0, 0
  self.done = {
    thrown = 0, reset = 0, silent = 0, exhausted = 0, preforked = 0,
    reloads = 0,
  }
  together(self.n_idle, 50, function(i) self:come_idle(i) end)
  local tasks = {}
  local function add(n, name, ...)
    for _ = 1, n do tasks[#tasks + 1] = loop.spawn(self[name], self, ...) end
  end
  add(self.n_busy, "busy")
  for kind in pairs(bad) do add(1, "misbehave", kind) end
  if self.can_exhaust then add(1, "exhaust") end
  add(4, "datagrams")
  add(4, "lines")
  add(8, "ask_prefork")
  add(1, "reload")
  -- the first task that fails is heard of at once
  local over, failed = loop.now() + seconds, nil
  while loop.now() < over and not failed do
    loop.sleep(math.min(0.2, math.max(over - loop.now(), 0)))
    for _, task in ipairs(tasks) do
      failed = failed or task:status() == "failed" and task
    end
  end
  if failed then failed:join() end
  self.going = false
  for _, task in ipairs(tasks) do task:join() end
  together(self.n_idle, 50, function(i) self:leave_idle(i) end)
end

local function check(what, before, now, more)
  if now > before + (more or 0) then
    fail("%s: %d before, %d now", what, before, now)
  end
end

function Soak:compare(first, before, now)
  for _, name in ipairs {"active", "tasks", "descriptors"} do
    check(name, first[name], now[name])
  end
  check("errors of other kinds", 0, now.other)
  check("the preforked server's descriptors", first.prefork, now.prefork)
  for kind in pairs(bad) do
    if now[kind] - before[kind] < self.done[kind] then
      fail("of %d %s requests the server noticed %d", self.done[kind], kind,
        now[kind] - before[kind])
    end
  end
  for name, n in pairs(self.done) do
    if n == 0 and (name ~= "exhausted" or self.can_exhaust) then
      fail("none was %s", name)
    end
  end
  local when, more = "later", 0
  if before == first then when, more = "first", self.n_idle + self.n_busy end
  check("KiB in Lua", before.lua, now.lua,
    tolerance["lua_" .. when])
  if sanitized then return end
  check("KiB resident", before.rss, now.rss,
    tolerance["rss_" .. when] + more * tolerance.rss_connection)
end

local function show(n, self, now)
  local done = self.done
  print(("round %d: %d frames, slowest %.2f s; %d threw, %d reset, %d silent, "
    .. "%d times no descriptor; %d reloads, %d requests meanwhile; left: "
    .. "%d descriptors, %d tasks, %d KiB in Lua, %d KiB resident"):format(n,
    self.frames, self.slowest, done.thrown, done.reset, done.silent,
    done.exhausted, done.reloads, done.preforked, now.descriptors, now.tasks,
    now.lua, now.rss))
  io.stdout:flush()
end

function Soak:run(seconds)
  self.control = csock.socket(csock.AF_UNIX)
  self.control:connect(self.path)
  self.control.timeout = patience
  self.control_input = self.control:makefile()
  local length = math.min(math.max(seconds / 6, 1), 60)
  local over, n = loop.now() + seconds, 0
  self:datagrams()
  local first = self:state()
  local before = first -- with the memory that the first round has left
  print(("began: %d descriptors, %d tasks, %d KiB in Lua, %d KiB resident")
    :format(first.descriptors, first.tasks, first.lua, first.rss))
  repeat
    n = n + 1
    self:round(length)
    local now = self:state()
    show(n, self, now)
    self:compare(first, before, now)
    if n > 1 then now.lua, now.rss = before.lua, before.rss end
    before = now
  until loop.now() + length / 2 > over
end

-- SIGTERM ends a server, with status 0.
local function stop(pipe, pid, kind)
  output("kill -TERM %d", pid)
  pipe:read "a"
  local ok, how, status = pipe:close()
  if not ok then fail("the %s server ended with %s %d", kind, how, status) end
end

-- How many of what was asked for the descriptors allow.
local function scaled(idle, busy)
  local limit = tonumber(output("ulimit -n")) or math.huge
  local most = limit - 3 * crowd - 150
  if idle + busy <= most then return idle, busy end
  local share = most / (idle + busy)
  print(("soak: the limit of descriptors, %d, allows %d%% of %d connections")
    :format(limit, share * 100 // 1, idle + busy))
  return idle * share // 1, busy * share // 1
end

local function main(seconds, idle, busy)
  local path = os.tmpname()
  os.remove(path)
  local self = setmetatable({path = path, crowd = crowd}, Soak)
  self.n_idle, self.n_busy = scaled(idle, busy)
  make_noise()
  self.can_exhaust = os.execute "command -v prlimit >/dev/null"
  if not self.can_exhaust then
    print "soak: no prlimit here, descriptors will not run out"
  end
  local server, prefork
  server, self.pid, self.port, self.udp_port = start("subject", path)
  prefork, self.prefork_pid, self.prefork_port = start("prefork", path)
  local ok, err = pcall(loop.run, self.run, self, seconds)
  if ok then
    stop(prefork, self.prefork_pid, "preforked")
    stop(server, self.pid, "threading")
    print "soak: all is where it began"
    return
  end
  print(err)
  output("kill -KILL %d; kill -TERM %d", self.pid, self.prefork_pid)
  os.remove(path)
  os.exit(1)
end

if serve[arg[1]] then
  serve[arg[1]](arg[2])
else
  main(tonumber(arg[1]) or 3600, tonumber(arg[2]) or 10000,
    tonumber(arg[3]) or 1000)
end
