-- balance: how connections are shared among the workers of a preforked server,
-- and that none is lost on its way from one to another. Not here: the workers'
-- life (prefork_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local process = require "csock.process"
local socketserver = require "csock.socketserver"
local core = require "csock.core"

local class = csock.class
local connect = visit.connect

-- Answers each word with the worker's number.
local Worker = {handle = function(self)
  while self.request:recv(100) ~= "" do
    self.request:sendall(self.server.worker .. "\n")
  end
end}

-- Says with what address it was made.
local Address = {handle = function(self)
  self.request:sendall(tostring(self.client_address))
  self.request:recv(1)
end}

-- f(server) while both of its workers serve.
local function with_two(Server, members, handler, f)
  members.workers = 2
  local Two = class("Two", Server, members)
  return visit.serving(Two(visit.address_for(Two), handler), function(server)
    while not server:_is_ready() do loop.sleep(0.001) end
    f(server)
  end)
end

local Clients = {}
Clients.__index = Clients

function Clients:__close()
  for _, sock in ipairs(self) do sock:close() end
end

-- How many of a worker's connections each worker has, by its number.
local function count_workers(clients)
  local counts = {0, 0}
  for _, sock in ipairs(clients) do
    sock:sendall "?"
    local worker = tonumber((sock:recv(100)))
    counts[worker] = counts[worker] + 1
  end
  return counts
end

-- A connection after the other, each when the last one has its worker.
local function one_by_one(server, n)
  local clients = setmetatable({}, Clients)
  for i = 1, n do
    clients[i] = connect(server)
    clients[i]:sendall "?"
    clients[i]:recv(100)
  end
  return clients
end

local function at_once(server, n)
  local clients = setmetatable({}, Clients)
  for i = 1, n do clients[i] = connect(server) end
  return clients
end

describe("the connections of a preforked server", function()
  local kinds = {
    ["whose workers have listeners of their own"] =
      {socketserver.PreforkTCPServer, true},
    ["whose workers share a listener"] = {socketserver.PreforkTCPServer, false},
    ["on a path"] = {socketserver.PreforkUnixStreamServer, false},
  }
  for name, kind in pairs(kinds) do
    local function two(handler, f)
      with_two(kind[1], {own_listeners = kind[2]}, handler, f)
    end

    it(name .. " are shared fairly, few as they may be", function()
      two(Worker, function(server)
        for _, n in ipairs {10, 40} do
          local clients <close> = one_by_one(server, n)
          local counts = count_workers(clients)
          assert.are.equal(n, counts[1] + counts[2])
          assert.is_true(math.max(counts[1], counts[2]) <= 0.6 * n,
            counts[1] .. " and " .. counts[2])
        end
      end)
    end)

    it(name .. " are shared fairly when they come at once", function()
      two(Worker, function(server)
        local clients <close> = at_once(server, 50)
        local counts = count_workers(clients)
        assert.is_true(math.max(counts[1], counts[2]) <= 30,
          counts[1] .. " and " .. counts[2])
      end)
    end)
  end

  it("that ended make room for others", function()
    with_two(socketserver.PreforkTCPServer, {own_listeners = false}, Worker,
      function(server)
        local gone = one_by_one(server, 20)
        gone:__close()
        local clients <close> = one_by_one(server, 20)
        local counts = count_workers(clients)
        assert.is_true(math.max(counts[1], counts[2]) <= 12)
      end)
  end)

  it("bear the address of the client in whatever worker", function()
    with_two(socketserver.PreforkTCPServer, {own_listeners = false}, Address,
      function(server)
        local clients <close> = at_once(server, 12)
        for _, sock in ipairs(clients) do
          assert.are.equal(tostring(sock:getsockname()), (sock:recv(100)))
        end
      end)
  end)

  it("stay with a worker whose get_request has its own idea of them", function()
    local own = {own_listeners = false}
    function own:get_request()
      return (self.socket:accept()), "somebody"
    end
    with_two(socketserver.PreforkTCPServer, own, Address, function(server)
      local clients <close> = at_once(server, 12)
      for _, sock in ipairs(clients) do
        assert.are.equal("somebody", (sock:recv(100)))
      end
    end)
  end)

  it("stay with a worker that may have only so many", function()
    local few = {own_listeners = false, max_connections = 3}
    with_two(socketserver.PreforkTCPServer, few, Worker, function(server)
      local clients <close> = one_by_one(server, 6)
      assert.are.same({3, 3}, count_workers(clients))
    end)
  end)

  it("are taken by others when a worker has died", function()
    -- the successor is forked from the process that has the clients, whose
    -- connections therefore do not end
    local members = {own_listeners = false, worker_ended = function() end,
      drain_timeout = 0.01}
    with_two(socketserver.PreforkTCPServer, members, Worker, function(server)
      server._current[2].child:kill(process.SIGKILL)
      local clients <close> = at_once(server, 20)
      local counts = count_workers(clients)
      assert.are.equal(20, counts[1] + counts[2])
    end)
  end)

  it("are answered by others while a worker computes", function()
    local fifo = helper.tmpdir() .. "/fifo"
    assert(os.execute("mkfifo " .. fifo))
    local Blocking = {handle = function(self)
      local word = self.request:recv(100)
      while word ~= "" do
        if word == "block" then
          local gate <close> = assert(io.open(fifo))
          gate:read "a"
        end
        self.request:sendall(self.server.worker .. "\n")
        word = self.request:recv(100)
      end
    end}
    with_two(socketserver.PreforkTCPServer, {own_listeners = false}, Blocking,
      function(server)
        local blocker <close> = connect(server)
        blocker:sendall "block"
        local gate <close> = assert(io.open(fifo, "w")) -- when it is there
        local free <close> = one_by_one(server, 20)
        gate:close()
        local blocked = tonumber((blocker:recv(100)))
        for _, sock in ipairs(free) do
          sock:sendall "?"
          assert.are_not.equal(blocked, tonumber((sock:recv(100))))
        end
      end)
  end)

  it("go to the successors after a restart", function()
    with_two(socketserver.PreforkTCPServer, {own_listeners = false}, Worker,
      function(server)
        local before <close> = one_by_one(server, 10)
        assert.is_true(server:restart_workers())
        local clients <close> = one_by_one(server, 20)
        local counts = count_workers(clients)
        assert.is_true(math.max(counts[1], counts[2]) <= 12)
        local old = count_workers(before)
        assert.are.equal(10, old[1] + old[2])
      end)
  end)

  it("are answered that are on their way when the server stops", function()
    local Slow = {handle = function(self)
      self.request:sendall(self.request:recv(100))
    end}
    for _ = 1, 5 do
      with_two(socketserver.PreforkTCPServer, {own_listeners = false}, Slow,
        function(server)
          local clients <close> = at_once(server, 40)
          for _, sock in ipairs(clients) do sock:sendall "hello" end
          server:shutdown()
          for _, sock in ipairs(clients) do
            assert.are.equal("hello", helper.read_all(sock))
          end
        end)
    end
  end)

  it("are not lost where a worker has no descriptor left", function()
    if (os.getenv "LD_PRELOAD" or ""):find "vgpreload" then
      -- it has descriptors of its own, and closes what accept brings
      return pending "valgrind takes connections beyond the limit"
    end
    local poor = {own_listeners = false}
    function poor:worker_start(id)
      if id ~= 2 then return end
      local kept = {}
      pcall(function()
        while true do kept[#kept + 1] = core.dup(self.socket:fileno()) end
      end)
      for i = 1, 5 do core.close(kept[#kept + 1 - i]) end
    end
    with_two(socketserver.PreforkTCPServer, poor, Worker, function(server)
      local clients <close> = at_once(server, 60)
      local counts = count_workers(clients)
      assert.are.equal(60, counts[1] + counts[2])
      assert.is_true(counts[2] <= 5)
    end)
  end)
end)

describe("the board", function()
  it("tells who has the fewest", function()
    local board = core.board(3)
    assert.is_true(board:away(1))
    assert.is_nil(board:compare(1))
    local group = core.loop.group({}, function() end, function() end)
    group:show(board, 2)
    assert.is_false(board:away(2))
    assert.are.same({-1, 0, 2}, {board:compare(1)})
    local mine = core.loop.group({}, function() end, function() end)
    mine:show(board, 1)
    assert.are.same({0, 0, 2}, {board:compare(1)})
    board:coming(2, 3)
    board:coming(1, 1)
    assert.are.same({1, 3, 2}, {board:compare(1)})
    assert.are.same({3, 1, 1}, {board:compare(2)})
    board:leave(2)
    assert.is_nil(board:compare(1))
    assert.are.same({-1, 1, 1}, {board:compare(2)})
  end)

  it("shows how many of a group are alive", function()
    local board = core.board(2)
    loop.run(function()
      local group = core.loop.group({}, function() end, error)
      local other = core.loop.group({}, function() end, error)
      other:show(board, 2)
      group:show(board, 1)
      local event = loop.Event()
      local function step() event:wait() end
      for _ = 1, 3 do group:spawn(step, {}, nil) end
      assert.are.same({0, 3, 1}, {board:compare(2)})
      event:set()
      while #group > 0 do loop.sleep(0) end
      assert.are.same({0, 0, 1}, {board:compare(2)})
      group:show()
      group:spawn(step, {}, nil)
      assert.are.same({0, 0, 1}, {board:compare(2)})
      loop.sleep(0)
    end)
  end)

  it("is not for a process that a task has forked", function()
    local board, seen = core.board(2), nil
    loop.run(function()
      local group = core.loop.group({}, function() end, error)
      group:show(board, 1)
      group:spawn(function()
        process.fork(function() return 0 end):wait()
        seen = {board:compare(2)}
      end, {}, nil)
      while #group > 0 do loop.sleep(0) end
    end)
    assert.are.same({-1, 1, 1}, seen)
  end)

  it("refuses places that it does not have", function()
    local board = core.board(2)
    for _, place in ipairs {0, 3, -1} do
      assert.has_error(function() board:away(place) end)
      assert.has_error(function() board:leave(place) end)
      assert.has_error(function() board:compare(place) end)
    end
    assert.has_error(function() core.board(0) end)
    assert.has_error(function() core.board(65537) end)
  end)
end)
