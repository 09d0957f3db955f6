-- collector: how much Lua's collector has to do, and how much garbage there is
-- meanwhile, when many tasks wait, each with a stack that every round looks at.
-- Each measurement is made by a program of its own: here the specs' own memory
-- is what there is to look at.

local helper = require "spec.helper"

-- Receives 16 MiB in pieces while `tasks` tasks wait: the collector's rounds,
-- and by how much the memory grew.
local program = [[
  local csock = require "csock"
  local loop = csock.loop
  local PIECE, PIECES = 16384, 1024
  local mode, tasks, way = arg[1], tonumber(arg[2]), arg[3]
  local others = tonumber(arg[5]) or 0
  collectgarbage(mode == "stop" and "generational" or mode,
    tonumber(arg[4]) or 0)

  local rounds, most, full = 0, 0, false
  local old = setmetatable({}, {__gc = function() full = true end})
  local function watch()
    setmetatable({}, {__gc = function()
      rounds = rounds + 1
      watch()
    end})
  end

  -- Each reads a part of a piece, of at most `size` bytes.
  local ways = {
    recv = function(sock, _, size) return sock:recv(size) end,
    recvfrom = function(sock, _, size) return (sock:recvfrom(size)) end,
    recvmsg = function(sock, _, size) return (sock:recvmsg(size)) end,
    read = function(_, file, size) return file:read(size) end,
    read1 = function(_, file, size) return file:read1(size) end,
  }

  loop.run(function()
    local a, b = csock.socketpair()
    local file, event = b:makefile "rb", loop.Event()
    for _ = 1, tasks do loop.spawn(event.wait, event) end
    loop.sleep(0)
    collectgarbage()
    old = nil -- only a full round will find it
    local before = collectgarbage "count"
    if mode == "stop" then collectgarbage "stop" else watch() end
    local piece = ("x"):rep(PIECE)
    for _ = 1, PIECES do
      a:sendall(piece)
      local left = PIECE
      repeat left = left - #ways[way](b, file, left) until left == 0
      for i = 1, others do local _ = {i} end
      most = math.max(most, collectgarbage "count")
    end
    print(rounds, most / before, collectgarbage "isrunning", full)
    event:set()
  end)
]]

local FEW, MANY = 1, 1000

-- The collector's rounds, how many times as much memory there was at most,
-- whether the collector still runs, and whether a round was a full one.
local function measure(mode, tasks, way, nursery, others)
  local name = helper.tmpdir() .. "/program.lua"
  local file = assert(io.open(name, "w"))
  file:write(program)
  file:close()
  local process = helper.spawn_process(("%s %s %s %d %s %d %d 2>&1"):format(
    helper.lua, name, mode, tasks, way, nursery or 0, others or 0))
  local text = process:read "a"
  local rounds, growth, running, full =
    text:match "^(%d+)\t(%S+)\t(%a+)\t(%a+)\n$"
  assert.is_truthy(rounds, text)
  return tonumber(rounds), tonumber(growth), running == "true", full == "true"
end

describe("the collector", function()
  for _, way in ipairs {"recv", "recvfrom", "recvmsg", "read", "read1"} do
    it("has fewer rounds where many tasks wait: " .. way, function()
      local few = measure("generational", FEW, way)
      local many, growth = measure("generational", MANY, way)
      -- their memory alone would make it a third
      assert.is_true(many > 0 and many < few / 6, many .. " of " .. few)
      assert.is_true(growth < 5, tostring(growth))
    end)
  end

  it("leaves alone what is old, however large the user's nursery", function()
    for _, nursery in ipairs {5, 20, 40, 80} do
      local rounds, growth, _, full =
        measure("generational", MANY, "recv", nursery)
      assert.is_true(rounds > 0 and growth < 5, rounds .. ", " .. growth)
      assert.is_false(full)
    end
  end)

  it("leaves alone what is old beside other garbage, too", function()
    local rounds, growth, _, full =
      measure("generational", MANY, "recv", nil, 40)
    assert.is_true(rounds > 0 and growth < 5, rounds .. ", " .. growth)
    assert.is_false(full)
  end)

  it("works on in its incremental mode", function()
    local rounds, growth = measure("incremental", MANY, "recv")
    assert.is_true(rounds > 0 and growth < 8, rounds .. ", " .. growth)
  end)

  it("stays stopped where it was", function()
    local rounds, growth, running = measure("stop", MANY, "recv")
    assert.are.same({0, false}, {rounds, running})
    assert.is_true(growth > 4, tostring(growth))
  end)
end)
