-- instructions: how many instructions of the processor an operation takes,
-- counted by callgrind: a figure that no noise of the machine can move, and
-- that shows what grows with the number of connections.
-- Invariant: what is prepared, and what ends it all, is not counted.
--   lua5.4 instructions.lua          print the table
--   lua5.4 instructions.lua ROW N    do a row's operation, among n others

local COUNT = 1000
local CROWDS = {10, 1000, 10000}

local bare = require "bare"
local csock = require "csock"
local loop = require "csock.loop"

local function count(f)
  f()
  bare.start()
  for _ = 1, COUNT do f() end
  bare.stop()
end

local rows, order = {}, {}

-- A row: what counts its operation among n others.
local function row(name, run)
  rows[name] = run
  order[#order + 1] = name
end

---- a send and a recv, one after the other

local function exchange(size, wrap)
  return function()
    local a, b = csock.socketpair()
    local _a <close> = a
    local _b <close> = b
    local data = ("x"):rep(size)
    local from, to = wrap(a), wrap(b)
    count(function()
      from:send(data)
      to:recv(size)
    end)
  end
end

local function in_task(f) return function(n) loop.run(f, n) end end

local function bared(s) return bare.new(s:fileno()) end
local function as_it_is(s) return s end
local function timed(s)
  s.timeout = 5
  return s
end

for _, size in ipairs {64, 16384} do
  local bytes = size .. " bytes"
  row(bytes .. ", bare C", exchange(size, bared))
  row(bytes, exchange(size, as_it_is))
  row(bytes .. ", timeout", exchange(size, timed))
  row(bytes .. ", in a task", in_task(exchange(size, as_it_is)))
  row(bytes .. ", in a task, timeout", in_task(exchange(size, timed)))
  row(bytes .. ", buffers", function()
    local a, b = csock.socketpair()
    local _a <close> = a
    local _b <close> = b
    local buffer = csock.buffer(size)
    count(function()
      a:send(buffer)
      b:recv_into(buffer)
    end)
  end)
end

---- among n tasks that wait for data, each with a timeout

local crowded = {}

-- Datagrams: they take one descriptor a task.
local function udp()
  local sock = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
  sock:bind {"127.0.0.1", 0}
  return sock
end

local function serve(sock)
  repeat
    local data, address = sock:recvfrom(16384)
    sock:sendto(data, address)
  until data == "end"
  sock:close()
end

local function among(name, operation)
  crowded[name] = true
  row(name, in_task(function(n)
    local client <close> = udp()
    local addresses, tasks = {}, {}
    for i = 1, n do
      local sock = udp()
      sock.timeout = 1000 + i
      addresses[i] = sock:getsockname()
      tasks[i] = loop.spawn(serve, sock)
    end
    loop.sleep(0)
    operation(client, addresses)
    for i = 1, n do
      client:sendto("end", addresses[i])
      tasks[i]:join()
    end
  end))
end

among("an echo, each in turn", function(client, addresses)
  local turn = 0
  count(function()
    turn = turn % #addresses + 1
    client:sendto("x", addresses[turn])
    client:recv(1)
  end)
end)

among("sleep(0)", function()
  count(function() loop.sleep(0) end)
end)

among("sleep(0.000001)", function()
  count(function() loop.sleep(1e-6) end)
end)

among("a recv that times out", function(client)
  client.timeout = 1e-6
  count(function() pcall(client.recv, client, 1) end)
end)

among("spawn and join", function()
  local function nothing() end
  count(function() loop.spawn(nothing):join() end)
end)

among("socketpair, a wait, close", function()
  count(function()
    local a, b = csock.socketpair()
    local task = loop.spawn(function() a:recv(1) end)
    loop.sleep(0)
    b:send("x")
    task:join()
    a:close()
    b:close()
  end)
end)

---- the table

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function counted(name, n)
  local command = ("valgrind --tool=callgrind --instr-atstart=no " ..
    "--callgrind-out-file=/dev/null %s %s %s %d 2>&1"):format(
      quote(arg[-1]), quote(arg[0]), quote(name), n)
  local pipe <close> = assert(io.popen(command))
  local text = pipe:read "a"
  local all = text:match "Collected : (%d+)"
  if not all then error("'" .. name .. "' failed:\n" .. text, 0) end
  return all / COUNT
end

local function print_table()
  print "Instructions of a send and a recv, and ratio to bare C"
  local least
  for _, name in ipairs(order) do
    if not crowded[name] then
      local cost = counted(name, 0)
      if name:find "bare" then least = cost end
      print(("  %-30s %8.0f %8.2f"):format(name, cost, cost / least))
    end
  end
  print "\nInstructions of an operation among n tasks that wait for data"
  print(("  %-30s %8d %8d %8d"):format("", table.unpack(CROWDS)))
  for _, name in ipairs(order) do
    if crowded[name] then
      io.write(("  %-30s"):format(name))
      for _, n in ipairs(CROWDS) do
        io.write((" %8.0f"):format(counted(name, n))):flush()
      end
      print()
    end
  end
end

if arg[1] then
  collectgarbage "stop" -- a cycle's cost depends on what is alive
  rows[arg[1]](tonumber(arg[2]))
else
  print_table()
end
