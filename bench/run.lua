-- run: measures csock beside a hand-written C epoll server and prints ratios.
-- It plans, computes and prints; the load itself is load.c's business, and
-- the C programs have been built by the shell script of the same name.
-- Invariant: every figure of a server is printed with the figure of the
-- reference that was loaded in turn with it.

local usage = [[
usage: bench/run [options]
  --quick          fewer points, shorter, 3 rounds
  --points LIST    such as 1x64,50x64x16,connect: connections x bytes
                   [x messages deep]; connect or connect-20x64
  --rounds N       5 unless told
  --seconds S      of load for each server, point and round (1.5)
  --peer NAME      measure bench/peers/NAME too; again, or all
  --server COMMAND measure this instead of csock (it prints its port)
  --cores S,L      cores of the servers and of the load
  --svg FILE       draw the ratios
  --calls          instead, price single calls (bench/call.lua)
]]

local root = arg[0]:match "^(.*)/bench/[^/]*$"
local lua = arg[-1]
local bin = root .. "/.build/bench"

local STANDARD = "1x64,50x64,1000x64,50x64x16,50x16384,1000x16384,connect"
local QUICK = "1x64,50x64,50x64x16,50x16384,connect"

local function fail(...)
  io.stderr:write("bench: ", string.format(...), "\n")
  os.exit(1)
end

local function quote(s)
  return "'" .. s:gsub("'", "'\\''") .. "'"
end

-- What a command prints, and whether it succeeded.
local function output(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  return text, pipe:close()
end

---- the command line

local function parse_point(text)
  local mode, rest = text:match "^(connect)%-?(.*)$"
  local c, s, p = (rest or text):match "^(%d+)x(%d+)x?(%d*)$"
  if mode and rest == "" then c, s = 50, 64 end
  if not c then fail("%s: not a point; bench/run --help", text) end
  local point = {mode = mode or "echo", c = c, s = s,
                 p = tonumber(p) or 1, name = mode}
  if rest ~= "" then
    point.name = ("%sC=%d S=%d"):format(mode and mode .. " " or "", c, s)
    if point.p > 1 then point.name = point.name .. " P=" .. point.p end
  end
  return point
end

local function parse(words)
  local o = {peers = {}}
  local standard = {rounds = 5, seconds = 1.5, slice = 0.25, points = STANDARD}
  local quick = {rounds = 3, seconds = 0.5, slice = 0.1, points = QUICK}
  local i = 1
  local function value()
    i = i + 1
    return words[i] or fail("%s needs a value", words[i - 1])
  end
  local function number()
    return tonumber(value()) or fail("%s: not a number", words[i])
  end
  local options = {
    ["--quick"] = function() standard = quick end,
    ["--points"] = function() o.points = value() end,
    ["--rounds"] = function() o.rounds = number() end,
    ["--seconds"] = function() o.seconds = number() end,
    ["--peer"] = function() table.insert(o.peers, value()) end,
    ["--server"] = function() o.server = value() end,
    ["--cores"] = function() o.cores = value() end,
    ["--svg"] = function() o.svg = value() end,
    ["--calls"] = function() o.calls = true end,
    ["--help"] = function() io.write(usage) os.exit(0) end,
  }
  while words[i] do
    local option = options[words[i]]
    if not option then fail("%s: unknown; bench/run --help", words[i]) end
    option()
    i = i + 1
  end
  for name, value in pairs(standard) do o[name] = o[name] or value end
  local points = {}
  for text in o.points:gmatch "[^,]+" do
    points[#points + 1] = parse_point(text)
  end
  o.points = points
  return o
end

---- what is measured

-- The environment in which require finds the csock of this tree first.
local function with_csock(command)
  local function path(name, ...)
    local own = table.concat({...}, ";")
    local old = os.getenv(name .. "_5_4") or os.getenv(name) or ";"
    return name .. "_5_4=" .. quote(own .. ";" .. old)
  end
  local here = root .. "/lua/"
  return ("env %s %s %s"):format(
    path("LUA_PATH", here .. "?.lua", here .. "?/init.lua"),
    path("LUA_CPATH", here .. "?.so"), command)
end

local function peer_command(name)
  for ending, program in pairs {lua = lua, py = "python3"} do
    local file = ("%s/bench/peers/%s.%s"):format(root, name, ending)
    local f = io.open(file)
    if f then
      f:close()
      return quote(program) .. " " .. quote(file)
    end
  end
  fail("no peer named %s in bench/peers", name)
end

local function peer_names(wanted)
  if wanted[1] ~= "all" then return wanted end
  local names = {}
  for file in output("ls " .. quote(root .. "/bench/peers")):gmatch "%S+" do
    names[#names + 1] = file:match "^(.*)%.%w+$"
  end
  return names
end

local function load_command(o, server, point, seconds)
  local words = {"exec", quote(bin .. "/load"), "-m", point.mode, "-c",
    point.c, "-s", point.s, "-p", point.p, "-d", seconds, "-t", o.slice}
  if o.cores then words[#words + 1] = "-a " .. quote(o.cores) end
  words[#words + 1] = quote(server.command)
  words[#words + 1] = quote(quote(bin .. "/reference"))
  return table.concat(words, " ")
end

-- The servers that start and serve here.
local function servers(o)
  local list = {}
  local function add(name, command, needed)
    local server = {name = name, command = command}
    local point = {mode = "echo", c = 1, s = 1, p = 1}
    local try = load_command(o, server, point, 0)
    if select(2, output(try .. (needed and "" or " 2>/dev/null"))) then
      list[#list + 1] = server
    elseif needed then
      fail("%s does not serve; has it been built (make)?", name)
    else
      print("skipped, not on this machine: " .. name)
    end
  end
  if o.server then
    add("server", o.server, true)
  else
    add("csock", with_csock(quote(lua) .. " " .. quote(root .. "/bench/echo.lua")),
        true)
  end
  for _, name in ipairs(peer_names(o.peers)) do
    add(name, peer_command(name))
  end
  return list
end

---- figures

local function median(list)
  local t = table.move(list, 1, #list, 1, {})
  table.sort(t)
  local middle = #t // 2
  if #t % 2 == 1 then return t[middle + 1] end
  return (t[middle] + t[middle + 1]) / 2
end

local function parse_slices(text)
  local slices = {}
  for line in text:gmatch "slice ([^\n]*)\n" do
    local slice = {}
    for name, value in line:gmatch "(%S+)=(%S+)" do
      slice[name] = tonumber(value)
    end
    slices[#slices + 1] = slice
  end
  return slices
end

-- Medians of one run: of each side, and of the ratios of each slice of the
-- server (the even ones) to the two of the reference around it.  Slices that
-- other programs disturbed do not count where there are others.
local function summary(slices)
  local function collect(key, calm)
    local own, c, ratio = {}, {}, {}
    for i = 2, #slices - 1, 2 do
      local a, b, d = slices[i - 1], slices[i], slices[i + 1]
      if not calm or a.calm + b.calm + d.calm == 3 then
        local around = (a[key] + d[key]) / 2
        own[#own + 1], c[#c + 1] = b[key], around
        ratio[#ratio + 1] = b[key] / around
      end
    end
    if #own == 0 then return collect(key, false) end
    return {own = median(own), c = median(c), ratio = median(ratio)}
  end
  local s = {disturbed = 0, slices = #slices}
  for _, key in ipairs {"rate", "cpu_us", "p99_us", "busy", "idle"} do
    s[key] = collect(key, true)
  end
  for _, slice in ipairs(slices) do
    s.disturbed = s.disturbed + 1 - slice.calm
  end
  return s
end

-- Over the rounds: medians, and the lowest and highest ratio.
local function over_rounds(rounds, key)
  local own, c, ratio = {}, {}, {}
  for i, round in ipairs(rounds) do
    own[i], c[i] = round[key].own, round[key].c
    ratio[i] = round[key].ratio
  end
  return {own = median(own), c = median(c), ratio = median(ratio),
          low = math.min(table.unpack(ratio)),
          high = math.max(table.unpack(ratio))}
end

---- the plan: every server at every point, round after round

local function measure(o, list)
  local cells = {}
  local function cell(point, server)
    local key = point.name .. "\0" .. server.name
    cells[key] = cells[key] or {rounds = {}}
    return cells[key]
  end
  for round = 1, o.rounds do
    io.stderr:write(("round %d of %d "):format(round, o.rounds))
    for _, point in ipairs(o.points) do
      for i = 1, #list do -- another one begins in each round
        local server = list[(i + round) % #list + 1]
        local text, ok = output(load_command(o, server, point, o.seconds))
        local slices, here = parse_slices(text), cell(point, server)
        if ok and #slices > 2 then
          table.insert(here.rounds, summary(slices))
        else
          here.failed = text:match "failed ([^\n]*)" or "the load ended early"
        end
        io.stderr:write(".")
      end
    end
    io.stderr:write "\n"
  end
  return cell
end

---- the table

local function short(n)
  if n >= 1e6 then return ("%.2fM"):format(n / 1e6) end
  if n >= 1e5 then return ("%.0fk"):format(n / 1e3) end
  return ("%.1fk"):format(n / 1e3)
end

local width = 14 -- of the names of points

local function columns(format, point, server, ...)
  local names = ("%s %-10s "):format(point .. (" "):rep(width - #point), server)
  return names .. format:format(...)
end

local function print_row(point, server, rounds)
  local rate = over_rounds(rounds, "rate")
  local cpu = over_rounds(rounds, "cpu_us")
  local p99 = over_rounds(rounds, "p99_us")
  print(columns("%6s %6s %5.2f %4.2f-%4.2f %6.2f %6.2f %5.2f %5.2f",
    point.name, server.name, short(rate.own), short(rate.c), rate.ratio,
    rate.low, rate.high, cpu.own, cpu.c, cpu.ratio, p99.ratio))
  return {point = point.name, server = server.name, rate = rate, cpu = cpu}
end

-- What a reader of the table should know about how it came about.
local function notes(o, list, cell)
  local limited, disturbed, slices = {}, 0, 0
  for _, point in ipairs(o.points) do
    local idle, busy = {}, {}
    for _, server in ipairs(list) do
      for _, round in ipairs(cell(point, server).rounds) do
        table.insert(idle, round.idle.c)
        table.insert(busy, round.busy.c)
        disturbed = disturbed + round.disturbed
        slices = slices + round.slices
      end
    end
    if #idle > 0 and median(idle) < 0.02 and median(busy) < 0.95 then
      limited[#limited + 1] = point.name
    end
  end
  if #limited > 0 then
    print("The load, not the C server, was the limit at: "
      .. table.concat(limited, ", ") .. ".\nThere, judge by CPU time.")
  end
  if disturbed > 0 then
    print(("Other programs disturbed %d of %d slices."):format(disturbed,
                                                               slices))
  end
end

local function machine()
  local cpu = output("cat /proc/cpuinfo"):match "model name%s*:%s*([^\n]+)"
  local system = output("uname -sr"):gsub("\n", "")
  return ("%s, %s, %s, %s"):format(os.date "%Y-%m-%d", cpu or "unknown CPU",
                                   system, _VERSION)
end

local function report(o, list, cell)
  local rows, ok = {}, true
  print("\n" .. machine())
  print [[
Ratios are to the C server in the same run; throughput: higher is better,
CPU time in us a request and p99 latency: lower is better.
]]
  for _, point in ipairs(o.points) do width = math.max(width, #point.name) end
  print(columns("%13s %15s %19s %5s", "", "",
    "requests/s", "ratio", "CPU us/request", "p99"))
  print(columns("%6s %6s %5s %9s %6s %6s %5s %5s", "point", "server",
    "server", "C", "", "low-high", "server", "C", "ratio", "ratio"))
  for _, point in ipairs(o.points) do
    for _, server in ipairs(list) do
      local here = cell(point, server)
      if #here.rounds > 0 then
        rows[#rows + 1] = print_row(point, server, here.rounds)
      end
      if here.failed then
        ok = false
        print(columns("failed: %s", point.name, server.name, here.failed))
      end
    end
  end
  print()
  notes(o, list, cell)
  return rows, ok
end

---- main

local function main()
  local o = parse(arg)
  if o.calls then
    local command = with_csock(quote(lua) .. " " .. quote(root .. "/bench/call.lua"))
    os.exit(os.execute(command .. " " .. quote(bin .. "/call")) == true)
  end
  local list = servers(o)
  local rows, ok = report(o, list, measure(o, list))
  if o.svg then
    local chart = dofile(root .. "/bench/chart.lua")
    local file = assert(io.open(o.svg, "w"))
    file:write(chart(rows, machine()))
    assert(file:close())
  end
  os.exit(ok)
end

local ok, err = pcall(main)
if not ok then fail("%s", err) end
