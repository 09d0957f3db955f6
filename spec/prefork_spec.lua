-- prefork: PreforkMixIn and the Prefork* classes: workers, who keeps them
-- alive, how they are replaced and how they end. Not here: requests side by
-- side in one worker (mixin_spec), processes as such (process_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local process = require "csock.process"
local socketserver = require "csock.socketserver"
local core = require "csock.core"
local read_all = helper.read_all

local class = csock.class
local PreforkMixIn = socketserver.PreforkMixIn
local PreforkTCPServer = socketserver.PreforkTCPServer

-- Tools -------------------------------------------------------------------

local patience, anywhere = visit.patience, visit.anywhere
local address_for, connect = visit.address_for, visit.connect
local serving = visit.serving

local function ask(server, words)
  local sock <close> = connect(server)
  sock:sendall(words)
  return read_all(sock)
end

-- A class with two workers, unless `members` say something else.
local function two(Server, members)
  members.workers = members.workers or 2
  return class("Two", Server, members)
end

-- Each answers with what `f(self, word)` gives.
local function answering(f)
  return {handle = function(self)
    local word = self.request:recv(100)
    self.request:sendall(tostring(f(self, word)))
  end}
end

local Pid = answering(core.process.getpid)
local Worker = answering(function(self) return self.server.worker end)

-- Says "begun", and ends after it has heard a word.
local Patient = {handle = function(self)
  self.request:sendall "begun"
  self.request:sendall(self.request:recv(100):upper())
end}

local function kill(signal, pid)
  assert(os.execute(("kill -%s %s"):format(signal, pid)))
end

-- Waits until there is no such process.
local function wait_gone(pid)
  while os.execute("kill -0 " .. pid .. " 2>/dev/null") do loop.sleep(0.01) end
end

-- Starts a program, whose first line ends with a port.
local function start(text)
  local name = helper.tmpdir() .. "/program.lua"
  local file = assert(io.open(name, "w"))
  file:write([[
    local csock = require "csock"
    local loop, class = csock.loop, csock.class
    local socketserver = require "csock.socketserver"
    local getpid = require "csock.core".process.getpid
    io.stdout:setvbuf "line"
    local Server = class("Server", socketserver.PreforkTCPServer, {workers = 2})
    local handler = {}
    function handler:handle()
      local word = self.request:recv(100)
      if word == "wait" then
        self.request:sendall "begun"
        word = self.request:recv(100)
      end
      self.request:sendall(word .. " " .. getpid())
    end
    local function serve()
      local server <close> = Server({"127.0.0.1", 0}, handler)
      print("port " .. server.server_address.port)
      server:serve_forever()
      local file = io.open("/proc/" .. getpid() .. "/task/" .. getpid() ..
        "/children")
      print("stopped " .. (file and file:read "a" or ""))
    end
  ]], text)
  file:close()
  local program = helper.spawn_process(helper.lua .. " " .. name .. " 2>&1")
  program.address_family = csock.AF_INET
  local line = program:read "l"
  program.server_address = {"127.0.0.1", tonumber(line:match "%d+$")}
  return program
end

local function pid_of(server)
  return ask(server, "pid"):match "%d+$"
end

-- Classes -----------------------------------------------------------------

describe("the Prefork classes", function()
  local function order(cls)
    local names = {}
    for i, base in ipairs(cls.__mro) do names[i] = base.__name end
    return table.concat(names, " ")
  end

  it("derive as documented", function()
    for _, kind in ipairs {"TCP", "UDP", "UnixStream", "UnixDatagram"} do
      local name = "Prefork" .. kind .. "Server"
      assert.matches("^" .. name .. " PreforkMixIn ThreadingMixIn " .. kind ..
        "Server ", order(socketserver[name]))
    end
  end)

  it("have the documented attributes", function()
    assert.is_nil(PreforkMixIn.workers)
    assert.is_true(PreforkMixIn.own_listeners)
    assert.is_nil(PreforkMixIn.reload_timeout)
  end)

  it("refuse a senseless number of workers", function()
    for _, workers in ipairs {0, 1.5, "2"} do
      local server <close> = PreforkTCPServer(anywhere, Pid)
      server.workers = workers
      local ok, err = pcall(server.serve_forever, server)
      assert.is_false(ok)
      assert.matches("bad attribute 'workers'", err)
    end
  end)
end)

-- Workers -----------------------------------------------------------------

describe("a preforked server", function()
  it("answers in other processes", function()
    local Server = two(PreforkTCPServer, {})
    serving(Server(anywhere, Pid), function(server)
      assert.are_not.equal(tostring(core.process.getpid()), ask(server, "x"))
      assert.is_nil(server.worker)
    end)
  end)

  it("has one worker a processor", function()
    local server = PreforkTCPServer(anywhere, Worker)
    local highest = 0
    serving(server, function()
      for _ = 1, 20 do
        highest = math.max(highest, tonumber(ask(server, "x")))
      end
      assert.are.equal(process.cpus(), #server._current)
    end)
    assert.is_true(highest >= 1 and highest <= process.cpus())
  end)

  it("runs the requests of a worker side by side", function()
    local Server = two(PreforkTCPServer, {workers = 1})
    serving(Server(anywhere, Patient), function(server)
      local one <close> = connect(server)
      assert.are.equal("begun", one:recv(5))
      local other <close> = connect(server)
      assert.are.equal("begun", other:recv(5))
      one:sendall "one"
      assert.are.equal("ONE", read_all(one))
      other:sendall "other"
      assert.are.equal("OTHER", read_all(other))
    end)
  end)

  it("counts the requests of a worker", function()
    local Server = class("Server", PreforkTCPServer, {workers = 3})
    serving(Server(anywhere, {handle = function(self)
      self.request:sendall(tostring(self.server.stats.active))
    end}), function(server)
      assert.are.equal("1", ask(server, ""))
    end)
  end)

  it("spreads connections over the workers' own sockets", function()
    serving(two(PreforkTCPServer, {})(anywhere, Worker), function(server)
      local seen = {}
      repeat
        seen[ask(server, "x")] = true
      until seen["1"] and seen["2"]
    end)
  end)

  it("may have one socket for all", function()
    local Server = two(PreforkTCPServer, {own_listeners = false})
    serving(Server(anywhere, Worker), function(server)
      for _ = 1, 20 do assert.matches("^[12]$", ask(server, "x")) end
    end)
  end)

  it("wakes one worker for a connection, where the poller can do that",
    function()
      -- how often a process has gone to sleep
      local function sleeps(pid)
        local file <close> = assert(io.open("/proc/" .. pid .. "/status"))
        local n = file:read "a":match "\nvoluntary_ctxt_switches:%s*(%d+)"
        return tonumber(n)
      end
      local Server = two(PreforkTCPServer, {
        own_listeners = false, workers = 3,
      })
      local proc = os.execute "test -r /proc/self/status"
      serving(Server(anywhere, Pid), function(server)
        if loop.poller() ~= "epoll" or not proc then
          return
        end
        for worker in pairs(server._workers) do
          while not worker.ready do loop.sleep(0.001) end
        end
        loop.sleep(0.05)
        local before, laziest = {}, math.huge
        for worker in pairs(server._workers) do
          before[worker.child:pid()] = sleeps(worker.child:pid())
        end
        for _ = 1, 60 do ask(server, "x") end
        for pid, n in pairs(before) do
          laziest = math.min(laziest, sleeps(pid) - n)
        end
        assert.is_true(laziest < 30, laziest)
      end)
    end)

  it("serves AF_UNIX", function()
    local Server = two(socketserver.PreforkUnixStreamServer, {})
    serving(Server(address_for(Server), Worker), function(server)
      for _ = 1, 20 do assert.matches("^[12]$", ask(server, "x")) end
    end)
  end)

  for _, kind in ipairs {"UDP", "UnixDatagram"} do
    it("serves datagrams: " .. kind, function()
      local Server = two(socketserver["Prefork" .. kind .. "Server"], {})
      local handler = {handle = function(self)
        local data, sock = self.request[1], self.request[2]
        sock:sendto(data .. self.server.worker, self.client_address)
      end}
      serving(Server(address_for(Server), handler), function(server)
        for _ = 1, 10 do
          local client <close> = csock.socket(Server.address_family,
            csock.SOCK_DGRAM)
          client.timeout = patience
          if Server.address_family == csock.AF_UNIX then
            client:bind(address_for(Server))
          end
          client:sendto("x", server.server_address)
          assert.matches("^x[12]$", (client:recvfrom(10)))
        end
      end)
    end)
  end

  it("calls worker_start and worker_exit in the workers", function()
    local ours, theirs = csock.socketpair()
    local Server = two(PreforkTCPServer, {
      worker_start = function(self, id)
        theirs:send(("s%d%d"):format(id, self.worker))
      end,
      worker_exit = function(_, id) theirs:send("e" .. id) end,
    })
    serving(Server(anywhere, Pid), function(server) ask(server, "x") end)
    theirs:close()
    local words = read_all(ours)
    ours:close()
    for _, word in ipairs {"s11", "s22", "e1", "e2"} do
      assert.is_truthy(words:find(word, 1, true), words)
    end
    assert.are.equal(10, #words)
  end)

  it("calls server_ready in the parent, before there are workers", function()
    local ours, theirs = csock.socketpair()
    local Server = two(PreforkTCPServer, {
      server_ready = function() theirs:send "r" end,
      worker_start = function() theirs:send "w" end,
    })
    serving(Server(anywhere, Pid), function(server) ask(server, "x") end)
    theirs:close()
    assert.are.equal("rww", read_all(ours))
    ours:close()
  end)

  it("does not share its address with another program", function()
    local server <close> = PreforkTCPServer(anywhere, Pid)
    local ok, err = pcall(PreforkTCPServer, server.server_address, Pid)
    assert.is_false(ok)
    assert.are.equal("EADDRINUSE", err.code)
  end)

  it("does with allow_reuse_port", function()
    local Server = class("Server", PreforkTCPServer, {allow_reuse_port = true})
    local one <close> = Server(anywhere, Pid)
    local other <close> = Server(one.server_address, Pid)
    assert.are.equal(one.server_address.port, other.server_address.port)
  end)

  it("takes a single request without workers", function()
    local server <close> = PreforkTCPServer(anywhere, Pid)
    local client <close> = connect(server)
    client:sendall "x"
    server:handle_request()
    assert.are.equal(tostring(core.process.getpid()), client:recv(100))
  end)

  it("can be shut down in a worker, and serve again", function()
    local Server = two(PreforkTCPServer, {})
    local server <close> = Server(anywhere, answering(function(self, word)
      if word == "stop" then self.server:shutdown() end
      return word
    end))
    for _ = 1, 2 do
      loop.run(function()
        local task = loop.spawn(server.serve_forever, server)
        loop.sleep(0)
        assert.are.equal("stop", ask(server, "stop"))
        task:join()
      end)
    end
  end)

  it("leaves neither a descriptor nor a process", function()
    local _, before = helper.descriptors()
    local children = {}
    serving(two(PreforkTCPServer, {})(anywhere, Pid), function(server)
      ask(server, "x")
      for worker in pairs(server._workers) do
        children[#children + 1] = worker.child
      end
    end)
    assert.are.equal(2, #children)
    for _, child in ipairs(children) do
      assert.are.same({"exit", 0}, {child:wait(0)})
    end
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)

  it("whose serving is cancelled leaves no worker", function()
    local server <close> = two(PreforkTCPServer, {})(anywhere, Pid)
    local children = {}
    loop.run(function()
      local task = loop.spawn(server.serve_forever, server)
      loop.sleep(0)
      ask(server, "x")
      for worker in pairs(server._workers) do
        children[#children + 1] = worker.child
      end
      task:cancel()
      assert.is_false(pcall(task.join, task))
      for _, child in ipairs(children) do
        assert.are.same({"exit", 0}, {child:wait()})
      end
    end)
  end)
end)

-- Death -------------------------------------------------------------------

describe("a worker that dies", function()
  local quiet = function() end

  it("is replaced", function()
    local Server = two(PreforkTCPServer, {workers = 1, worker_ended = quiet})
    serving(Server(anywhere, Pid), function(server)
      local first = ask(server, "x")
      kill("KILL", first)
      assert.are_not.equal(first, ask(server, "x"))
    end)
  end)

  it("loses nothing that is queued", function()
    local Server = two(PreforkTCPServer, {workers = 1, worker_ended = quiet})
    serving(Server(anywhere, Pid), function(server)
      local first = ask(server, "x")
      kill("STOP", first)
      local clients = {}
      for i = 1, 10 do
        clients[i] = connect(server)
        clients[i]:sendall "x"
      end
      kill("KILL", first)
      for i = 1, 10 do
        assert.matches("^%d+$", read_all(clients[i]))
        clients[i]:close()
      end
    end)
  end)

  it("is replaced after a pause that grows, when it had hardly begun",
    function()
      local log = {}
      local Server = two(PreforkTCPServer, {
        workers = 1,
        worker_start = function() os.exit(7) end,
        worker_ended = function(self, ...)
          log[#log + 1] = table.concat({...}, " ")
          if #log == 3 then self:shutdown() end
        end,
      })
      local server <close> = Server(anywhere, Pid)
      server:serve_forever()
      assert.are.same({"1 exit 7 0", "1 exit 7 0.1", "1 exit 7 0.2"}, log)
    end)

  it("had hardly begun until it was ready, however long that took", function()
    local now, hours = loop.now, 0
    finally(function() loop.now = now end)
    loop.now = function()
      hours = hours + 1
      return now() + 3600 * hours
    end
    local pauses = {}
    local server <close> = two(PreforkTCPServer, {
      workers = 1,
      worker_start = function() os.exit(7) end,
      worker_ended = function(self, _, _, _, pause)
        pauses[#pauses + 1] = pause
        if #pauses == 3 then self:shutdown() end
      end,
    })(anywhere, Pid)
    server:serve_forever()
    assert.are.same({0, 0.1, 0.2}, pauses)
  end)

  it("is replaced after pauses that grow while no process is to be had",
    function()
      local now, fork = loop.now, core.process.fork
      local pauses, passed = {}, 0
      finally(function() loop.now, core.process.fork = now, fork end)
      loop.now = function() return now() + passed end
      local Server = two(PreforkTCPServer, {
        workers = 1,
        worker_ended = function(_, _, _, _, pause)
          pauses[#pauses + 1] = pause
          if #pauses == 3 then core.process.fork = fork end
        end,
      })
      serving(Server(anywhere, Pid), function(server)
        local first = ask(server, "x")
        passed = 3600
        core.process.fork = function() csock.close(-1) end
        kill("KILL", first)
        assert.are_not.equal(first, ask(server, "x"))
      end)
      assert.are.same({0, 0.1, 0.2}, pauses)
    end)

  it("is told on stderr", function()
    local program = start [[
      function Server:worker_start(id) if id == 2 then os.exit(3) end end
      serve()
    ]]
    assert.are.equal("csock: worker 2 ended (exit 3), another follows in 0 s",
      program:read "l")
    assert.are.equal(
      "csock: worker 2 ended (exit 3), another follows in 0.1 s",
      program:read "l")
  end)

  it("by SIGTERM has finished its requests", function()
    local Server = two(PreforkTCPServer, {workers = 1, worker_ended = quiet})
    local handler = {handle = function(self)
      self.request:sendall(tostring(core.process.getpid()))
      self.request:sendall(self.request:recv(100))
    end}
    serving(Server(anywhere, handler), function(server)
      local client <close> = connect(server)
      kill("TERM", client:recv(100))
      client:sendall "finished"
      assert.are.equal("finished", read_all(client))
    end)
  end)

  it("does not do so when its supervisor dies, but ends", function()
    local program = start "serve()"
    local pids = {}
    while not pids[2] do
      local pid = pid_of(program)
      if pid ~= pids[1] then pids[#pids + 1] = pid end
    end
    local client <close> = connect(program)
    client:sendall "wait"
    assert.are.equal("begun", client:recv(5))
    program:kill "KILL"
    client:sendall "finished"
    assert.matches("^finished %d+$", read_all(client))
    wait_gone(pids[1])
    wait_gone(pids[2])
    assert.is_false(pcall(connect, program))
  end)
end)

-- Reload ------------------------------------------------------------------

describe("SIGHUP to a preforked server", function()
  it("replaces all workers, and loses no request", function()
    local program = start "serve()"
    local first, failed, done, old = {}, 0, 0, {}
    loop.run(function()
      for i = 1, helper.slow and 10 or 100 do
        old[i] = connect(program)
        old[i]:sendall "wait"
        assert.are.equal("begun", old[i]:recv(5))
      end
      local tasks, going = {}, true
      for i = 1, 20 do
        tasks[i] = loop.spawn(function()
          while going do
            local ok, answer = pcall(ask, program, "word")
            if ok and answer:find "^word %d+$" then
              done = done + 1
            else
              failed = failed + 1
            end
          end
        end)
      end
      for round = 1, 3 do
        for _ = 1, 10 do first[pid_of(program)] = true end
        program:kill "HUP"
        while first[pid_of(program)] do loop.sleep(0.001) end
        while done < round * (helper.slow and 20 or 200) do
          loop.sleep(0.001)
        end
      end
      going = false
      for i = 1, 20 do tasks[i]:join() end
    end)
    assert.are.equal(0, failed)
    local last
    for i = 1, #old do
      old[i]:sendall "at last"
      last = read_all(old[i]):match "^at last (%d+)$"
      assert.is_truthy(last)
      old[i]:close()
    end
    wait_gone(last)
    program:kill "TERM"
    local output, how = program:ending()
    assert.are.equal("stopped \n", output)
    assert.are.equal("exit 0", how)
  end)

  it("loses no datagram either", function()
    local Server = two(socketserver.PreforkUDPServer, {})
    local handler = {handle = function(self)
      loop.sleep(0.001)
      self.request[2]:sendto(self.request[1], self.client_address)
    end}
    serving(Server(anywhere, handler), function(server)
      local going, tasks = true, {}
      for i = 1, 4 do
        tasks[i] = loop.spawn(function()
          local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
          client.timeout = patience
          client:connect(server.server_address)
          while going do
            client:send "x"
            assert.are.equal("x", client:recv(10))
          end
        end)
      end
      for _ = 1, 3 do assert.is_true(server:restart_workers()) end
      going = false
      for i = 1, 4 do tasks[i]:join() end
    end)
  end)

  it("does so with one socket for all", function()
    local program = start "Server.own_listeners = false serve()"
    local before, failed = {}, 0
    loop.run(function()
      for _ = 1, 10 do before[pid_of(program)] = true end
      local tasks = {}
      program:kill "HUP"
      for i = 1, 5 do
        tasks[i] = loop.spawn(function()
          repeat
            local ok, answer = pcall(pid_of, program)
            if not (ok and answer) then failed = failed + 1 end
          until not before[answer]
        end)
      end
      for i = 1, 5 do tasks[i]:join() end
    end)
    assert.are.equal(0, failed)
  end)

  it("calls reload, whose changes the new workers have", function()
    local program = start [[
      function Server:reload()
        self.RequestHandlerClass = {handle = function(new)
          new.request:sendall("new " .. new.request:recv(100))
        end}
        print "reloaded"
      end
      serve()
    ]]
    assert.matches("^x %d+$", ask(program, "x"))
    program:kill "HUP"
    assert.are.equal("reloaded", program:read "l")
    while ask(program, "x") ~= "new x" do loop.sleep(0.001) end
  end)

  it("leaves the old workers when reload fails", function()
    local program = start [[
      function Server:reload() error "no such code" end
      serve()
    ]]
    local pid = pid_of(program)
    program:kill "HUP"
    assert.are.equal("csock: the workers were not restarted", program:read "l")
    assert.matches("no such code", program:read "l")
    while pid_of(program) ~= pid do loop.sleep(0.001) end
  end)

  it("leaves the old workers when a new one does not begin", function()
    local program = start [[
      local parent, fail = getpid(), false
      function Server:reload() fail = true end
      function Server:worker_start() if fail then os.exit(1) end end
      serve()
    ]]
    local pid = pid_of(program)
    program:kill "HUP"
    assert.are.equal("csock: the workers were not restarted", program:read "l")
    while pid_of(program) ~= pid do loop.sleep(0.001) end
  end)

  it("limits the old ones to reload_timeout", function()
    local program = start [[
      Server.reload_timeout = 0.05
      Server.handle_error = function() end
      serve()
    ]]
    local client <close> = connect(program)
    client:sendall "wait"
    assert.are.equal("begun", client:recv(5))
    program:kill "HUP"
    assert.are.equal("", read_all(client))
    assert.is_truthy(pid_of(program))
  end)

  it("is what restart_workers does", function()
    local Server = two(PreforkTCPServer, {})
    serving(Server(anywhere, Pid), function(server)
      local before = ask(server, "x")
      assert.is_true(server:restart_workers())
      -- one that is told to go takes what is queued before
      while ask(server, "x") == before do loop.sleep(0.001) end
    end)
    local server <close> = Server(anywhere, Pid)
    assert.is_false(pcall(server.restart_workers, server))
  end)
end)

-- The end -----------------------------------------------------------------

describe("SIGTERM to a preforked server", function()
  it("lets the workers finish", function()
    local program = start "serve()"
    local clients = {}
    for i = 1, 5 do
      clients[i] = connect(program)
      clients[i]:sendall "wait"
      assert.are.equal("begun", clients[i]:recv(5))
    end
    program:kill "TERM"
    for i = 1, 5 do
      clients[i]:sendall "finished"
      assert.matches("^finished %d+$", read_all(clients[i]))
      clients[i]:close()
    end
    local output, how = program:ending()
    assert.are.equal("stopped \n", output)
    assert.are.equal("exit 0", how)
  end)

  it("answers what is queued", function()
    local program = start "Server.workers = 1 serve()"
    local pid = pid_of(program)
    kill("STOP", pid)
    local clients = {}
    for i = 1, 10 do
      clients[i] = connect(program)
      clients[i]:sendall "queued"
    end
    program:kill "TERM"
    loop.sleep(0.05) -- either order must do, but this one is the harder
    kill("CONT", pid)
    for i = 1, 10 do
      assert.are.equal("queued " .. pid, read_all(clients[i]))
      clients[i]:close()
    end
    assert.are.equal("exit 0", select(2, program:ending()))
  end)

  it("cancels what takes longer than drain_timeout", function()
    local program = start [[
      Server.drain_timeout = 0.05
      function Server:handle_error(request, address, err)
        print(class.isinstance(err, loop.CancelledError))
      end
      serve()
    ]]
    local client <close> = connect(program)
    client:sendall "wait"
    assert.are.equal("begun", client:recv(5))
    program:kill "TERM"
    assert.are.equal("", read_all(client))
    assert.are.equal("stopped \n", (program:ending()))
  end)

  it("cancels when it comes again", function()
    local program = start [[
      Server.drain_timeout = 1000
      serve()
    ]]
    local client <close> = connect(program)
    client:sendall "wait"
    assert.are.equal("begun", client:recv(5))
    program:kill "TERM"
    -- the second is one only after the first was heard: then nobody listens
    while true do
      local ok, sock = pcall(connect, program)
      if not ok then break end
      sock:close()
    end
    program:kill "TERM"
    assert.are.equal("", read_all(client))
    assert.are.equal("stopped \n", (program:ending()))
  end)

  it("is SIGKILL for a worker that hears nothing", function()
    local program = start [[
      Server.drain_timeout = 0.05
      handler.handle = function(self)
        self.request:sendall "busy"
        while true do end
      end
      serve()
    ]]
    local client <close> = connect(program)
    assert.are.equal("busy", client:recv(5))
    program:kill "TERM"
    assert.are.equal("stopped \n", (program:ending()))
  end)

  it("is passed on by the supervisor alone at a terminal", function()
    local program = start "serve()"
    local pid = pid_of(program)
    kill("INT", pid)
    kill("HUP", pid)
    while pid_of(program) ~= pid do loop.sleep(0.001) end
    program:kill "INT"
    local output, how = program:ending()
    assert.are.equal("stopped \n", output)
    assert.are.equal("exit 0", how)
  end)
end)
