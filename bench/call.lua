-- call: the price of single calls of csock, in ns of CPU time, beside what
-- the system calls in them and their likes in plain Lua take.  It says
-- nothing about a server under load; that is run.lua's.
-- Invariant: each figure is the best of several repetitions, taken in turn
-- with those of all the others, and the loop around the call is not in it.
--   lua5.4 call.lua [the program made from call.c]

local csock = require "csock"
local loop = require "csock.loop"
local class = csock.class

local REPETITIONS, SECONDS = 9, 0.01

local rows = {}

-- A section's title, or a call: Lua text over the names of `env`.
local function title(words) rows[#rows + 1] = {title = words} end

local function row(body, env, how)
  local names, values = {"_"}, {false}
  for name, value in pairs(env or {}) do
    names[#names + 1], values[#values + 1] = name, value
  end
  local source = ("local %s = ... return function(n_) for _ = 1, n_ do %s end "
    .. "end"):format(table.concat(names, ", "), body)
  local r = {name = body:gsub("^local _ = ", ""), env = env, n = 100}
  for key, value in pairs(how or {}) do r[key] = value end
  r.run = assert(load(source, "=" .. body))(table.unpack(values))
  if r.task then
    local run = r.run
    r.run = function(n) loop.run(run, n) end
  end
  rows[#rows + 1] = r
  return r
end

local function time(r, n)
  local start = os.clock()
  r.run(n)
  return os.clock() - start
end

-- Once for each row and repetition; the first finds how often to call.
local function measure(r)
  if r.failed or not r.run then return end
  collectgarbage()
  local took = time(r, r.n)
  while took < SECONDS do
    r.n = math.ceil(r.n * math.min(100, 1.2 * SECONDS / math.max(took, 1e-6)))
    took = time(r, r.n)
  end
  local ns = took * 1e9 / r.n
  r.best = math.min(r.best or ns, ns)
end

local function try(r)
  local ok, err = pcall(measure, r)
  if not ok then r.failed = tostring(err) end
end

---- what is priced

local loop_itself = row("", nil, {name = "the loop"})

local function exchange(words, system, size, prepare, how)
  local a, b = csock.socketpair()
  local data = ("x"):rep(size)
  prepare(a, b)
  how.name, how.system = words, system
  row("a:send(data) b:recv(size)",
      {a = a, b = b, data = data, size = size}, how)
end

local function blocking() end
local function timed(a, b) a.timeout, b.timeout = 5, 5 end

title "Data (a:send and b:recv on a socketpair)"
exchange("64 B", "send_recv_64", 64, blocking, {})
exchange("64 B, with time-outs", "send_recv_64", 64, timed, {})
exchange("64 B, in a task", "send_recv_64", 64, blocking, {task = true})
exchange("64 B, in a task, with time-outs", "send_recv_64", 64, timed,
         {task = true})
exchange("16 KiB", "send_recv_16384", 16384, blocking, {})
exchange("16 KiB, in a task", "send_recv_16384", 16384, blocking,
         {task = true})

title "A socket"
local own, other = csock.socketpair()
local env = {s = own, other = other}
row("local _ = s:fileno()", env)
row("local _ = s.timeout", env)
row("s.timeout = 5", env)
row("local _ = s.family", env)
row("local _ = s.rcvbuf", env)

title "A class"
local Point = class("Point", {
  __init = function(self, x) self.x = x end,
  get = function(self) return self.x end,
  double = class.property(function(self) return self.x * 2 end,
                          function(self, v) self.x = v / 2 end),
})
local Sub = class("Sub", Point, {})
env = {Point = Point, p = Point(1), q = Sub(1)}
row("local _ = Point(1)", env)
row("local _ = p.x", env)
row("p.x = 2", env)
row("local _ = p:get()", env)
row("local _ = q:get()", env, {name = "q:get(), inherited"})
row("local _ = p.double", env, {name = "p.double, a property"})
row("p.double = 2", env, {name = "p.double = 2, a property"})
local Bare = {get = Point.get}
Bare.__index = Bare
env = {setmetatable = setmetatable, mt = Bare,
       t = setmetatable({x = 1}, Bare)}
title "Its like in plain Lua"
row("local _ = setmetatable({x = 1}, mt)", env)
row("local _ = t.x", env)
row("t.x = 2", env)
row("local _ = t:get()", env)

title "Tasks"
env = {loop = loop, f = function() end}
row("loop.spawn(f):join()", env, {task = true})
row("loop.sleep(0)", env, {task = true, system = "epoll_wait"})

title "The system"
for _, name in ipairs {"recv_nothing", "epoll_wait", "epoll_add_del"} do
  rows[#rows + 1] = {name = name, system = name}
end

---- print

local system = {}
local function measure_system()
  local pipe = arg[1] and io.popen("exec '" .. arg[1] .. "'")
  for line in pipe and pipe:lines() or function() end do
    local name, ns = line:match "^(%S+) (%S+)$"
    system[name] = math.min(system[name] or math.huge, tonumber(ns))
  end
  if pipe then pipe:close() end
end

measure_system()
for _ = 1, REPETITIONS do
  for _, r in ipairs(rows) do try(r) end
end
measure_system()

local function number(ns) return ns and ("%.0f"):format(ns) or "" end

print(("%-44s %8s %12s"):format("ns of CPU time a call", "csock",
                                "system calls"))
for _, r in ipairs(rows) do
  if r.title then
    print("\n" .. r.title)
  elseif r.failed then
    print(("  %-42s %s"):format(r.name, r.failed))
  elseif r ~= loop_itself then
    local ns = r.best and r.best - loop_itself.best
    print(("  %-42s %8s %12s"):format(r.name, number(ns),
                                      number(r.system and system[r.system])))
  end
end
