-- turmoil: all that goes wrong with clients and handlers, at once, beside
-- clients that want to be served.  The same for long: soak.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

local patience = 60
local CROWD = 100
local SILENT = 25 -- who is served alone makes the others wait

-- The server is another process: descriptors run out there, and not here.  On
-- SIGUSR1 it takes all descriptors that there are, on SIGUSR2 it lets them go.
local program = [[
local kind, silence = ...
local csock = require "csock"
local core, loop = require "csock.core", csock.loop
local socketserver = csock.socketserver
io.stdout:setvbuf "line"

local counts = {thrown = 0, silent = 0, reset = 0, other = 0, exhausted = 0}
local Server = csock.class("Server", socketserver[kind])

function Server:handle_error(_, _, err, traceback)
  local what = "other"
  if csock.isinstance(err, csock.timeout) then what = "silent"
  elseif csock.isinstance(err, csock.ConnectionError) then what = "reset"
  elseif tostring(err):find "on purpose" then what = "thrown"
  else print(traceback) end
  counts[what] = counts[what] + 1
end

function Server:accept_error(err)
  if err.code == "EMFILE" then counts.exhausted = counts.exhausted + 1 end
  csock.class.super(Server, self):accept_error(err)
end

local function handle(self)
  self.request.timeout = tonumber(silence)
  local words = self.request:recv(100)
  self.request.timeout = 30
  if words == "throw" then error "on purpose" end
  repeat
    self.request:sendall(words:upper())
    words = self.request:recv(100)
  until words == ""
end

-- Descriptors, counted while there is no pipe to whoever counts; tasks, when
-- those that were told to end have had the time; and memory.
local began
local function state()
  began = began or core.loop.live()
  for _ = 1, 200 do
    if core.loop.live() <= began then break end
    loop.sleep(0.01)
  end
  collectgarbage()
  collectgarbage()
  local list = arg[0] .. ".list"
  os.execute(("ls /proc/%d/fd >%s"):format(core.process.getpid(), list))
  local file <close> = io.open(list)
  local _, descriptors = file:read "a":gsub("%d+", "")
  return ("%d %d %d"):format(descriptors, core.loop.live(),
    collectgarbage "count" // 1)
end

-- Nothing may end, and give a descriptor back, once all are taken: with that
-- one a connection would be accepted, and not answered for want of another.
local hogs = {}
local function hog(server)
  local ok, sock
  while server.stats.active > 1 do loop.sleep(0.01) end
  repeat
    ok, sock = pcall(csock.socket)
    if ok then hogs[#hogs + 1] = sock end
  until not ok
  print "hogged"
end
local function let_go()
  for _, sock in ipairs(hogs) do sock:close() end
  hogs = {}
  print(counts.exhausted)
end

loop.run(function()
  local server <close> = Server({"127.0.0.1", 0}, {handle = handle})
  local _usr1 <close> = loop.on_signal("USR1", function()
    hog(server)
  end)
  local _usr2 <close> = loop.on_signal("USR2", let_go)
  print(server.server_address.port)
  print(state())
  server.handle_signals = false
  local _term <close> = loop.on_signal("TERM", function() server:shutdown() end)
  server:serve_forever()
  _term:close()
  print(state())
  local stats = server.stats
  print(stats.active, stats.accepted - stats.finished - stats.failed)
  for _, name in ipairs {"thrown", "silent", "reset", "other"} do
    print(counts[name])
  end
end)
]]

local function start(kind, silence)
  local name = helper.tmpdir() .. "/program.lua"
  local file <close> = assert(io.open(name, "w"))
  file:write(program)
  file:close()
  return helper.spawn_process(("sh -c %s"):format(helper.quote(
    ("ulimit -n 200; exec %s %s %s %s 2>&1"):format(helper.lua, name, kind,
    silence))))
end

local function connect(port)
  return csock.create_connection({"127.0.0.1", port}, patience)
end

-- What the server says to a first word; "" too when it has given up on it just
-- before, and the word finds a closed connection.
local function say_first(client, word)
  local ok, answer = pcall(function()
    client:sendall(word)
    return client:recv(100)
  end)
  if ok then return answer end
  assert.is_true(csock.isinstance(answer, csock.ConnectionError), answer)
  return ""
end

-- A connection that has said its first word and got its answer; those that
-- were too slow for the server's patience are counted.
local function greet(port, score)
  while true do
    local client = connect(port)
    local answer = say_first(client, "first")
    if answer == "FIRST" then return client end
    assert.are.equal("", answer)
    client:close()
    score.dropped = score.dropped + 1
  end
end

local bad = {}

function bad.thrown(port)
  local client <close> = connect(port)
  assert.are.equal("", say_first(client, "throw"))
end

function bad.silent(port)
  local client <close> = connect(port)
  assert.are.equal("", client:recv(100))
end

function bad.reset(port, score)
  local client <close> = greet(port, score)
  client:setsockopt(csock.SOL_SOCKET, csock.SO_LINGER, ("ii"):pack(1, 0))
end

local function be_good(port, score)
  local client <close> = greet(port, score)
  for i = 1, 3 do
    client:sendall("word " .. i)
    assert.are.equal("WORD " .. i, client:recv(100))
  end
  score.served = score.served + 1
end

local function spawn_bad(port, score)
  local tasks = {}
  for _ = 1, CROWD do
    for _, f in pairs {bad.thrown, bad.reset} do
      tasks[#tasks + 1] = loop.spawn(f, port, score)
    end
  end
  for _ = 1, SILENT do
    tasks[#tasks + 1] = loop.spawn(bad.silent, port)
  end
  return tasks
end

-- Without a descriptor: who has a connection is served, if the server serves
-- several at once; who comes waits, and is served later.
local function exhaust(server, port, is_alone)
  local old <close> = not is_alone and connect(port) or nil
  local function ask_old()
    if not old then return end
    old:sendall "old"
    assert.are.equal("OLD", old:recv(100))
  end
  ask_old()
  local began = loop.now()
  server:kill "USR1"
  assert.are.equal("hogged", server:read "l")
  local new <close> = connect(port)
  new:sendall "new"
  for _ = 1, 20 do
    loop.sleep(0.01)
    ask_old()
  end
  server:kill "USR2"
  local line = server:read "l"
  local refused = assert(tonumber(line), line)
  assert.is_true(refused > 0)
  -- it rests 0.1 s each time, unless a request ends meanwhile
  assert.is_true(refused < 5 * CROWD + 20 * (loop.now() - began), "it spins")
  assert.are.equal("NEW", new:recv(100))
end

local function measure(line)
  local descriptors, tasks, memory = line:match "^(%d+) (%d+) (%d+)$"
  assert.is_truthy(descriptors, line)
  return descriptors .. " descriptors, " .. tasks .. " tasks", tonumber(memory)
end

local function survives(kind, silence, is_alone)
  local server = start(kind, silence)
  local port = server:read "n"
  server:read "l"
  local before, memory = measure(server:read "l")
  local score = {served = 0, dropped = 0}
  loop.run(function()
    local going = true
    local tasks = spawn_bad(port, score)
    local good = {}
    for i = 1, 5 do
      good[i] = loop.spawn(function()
        while going do be_good(port, score) end
      end)
    end
    for _, task in ipairs(tasks) do task:join() end
    going = false
    for _, task in ipairs(good) do task:join() end
    exhaust(server, port, is_alone)
  end)
  assert.is_true(score.served > 0)
  server:kill "TERM"
  local after, memory_after = measure(server:read "l")
  assert.are.equal(before, after)
  assert.is_true(memory_after < memory + 1000,
    ("%d KiB, and then %d"):format(memory, memory_after))
  assert.are.equal("0\t0", server:read "l")
  local thrown, silent, reset, other = server:read("n", "n", "n", "n")
  if not kind:find "Forking" then -- its children's errors are theirs
    -- one that was to throw may have been too slow as well
    assert.are.same({CROWD + SILENT + score.dropped, CROWD},
      {thrown + silent, reset})
    assert.is_true(thrown <= CROWD)
  end
  assert.are.equal(0, other)
  assert.is_true(server:wait())
end

describe("a hundred handlers that throw, clients that reset, and silent ones",
  function()
    before_each(function() helper.deadline(300) end)

    it("are borne by a threading server", function()
      survives("ThreadingTCPServer", 0.2)
    end)

    it("are borne by a synchronous server", function()
      survives("TCPServer", 0.02, true)
    end)

    it("are borne by a forking server", function()
      survives("ForkingTCPServer", 0.2)
    end)
  end)
