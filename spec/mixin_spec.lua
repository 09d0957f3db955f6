-- mixin: ThreadingMixIn and the Threading* classes: requests side by side, how
-- they end with the server, classes that users compose, and many clients,
-- good and bad, at once.  Not here: what every server does (server_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"
local live_tasks = require "csock.core".loop.live
local read_all = helper.read_all
local failure = helper.failure

local class = csock.class
local TCPServer = socketserver.TCPServer
local ThreadingMixIn = socketserver.ThreadingMixIn
local ThreadingTCPServer = socketserver.ThreadingTCPServer
local ThreadingUDPServer = socketserver.ThreadingUDPServer
local ThreadingUnixStreamServer = socketserver.ThreadingUnixStreamServer
local ThreadingUnixDatagramServer = socketserver.ThreadingUnixDatagramServer

-- Tools -------------------------------------------------------------------

local anywhere, connect = visit.anywhere, visit.connect
local ask, ask_datagram = visit.ask, visit.ask_datagram
local serving = visit.serving

local function is_a(cls, err)
  assert.is_true(csock.isinstance(err, cls), tostring(err))
end

-- Answers what a client says, in capitals, until the client has finished.
local Upper = {handle = function(self)
  repeat
    local data = self.request:recv(4096)
    self.request:sendall(data:upper())
  until data == ""
end}

local UpperDatagram = {handle = function(self)
  self.request[2]:sendto(self.request[1]:upper(), self.client_address)
end}

local Nothing = {handle = function() end}

-- Many that are closed together.
local function list()
  return setmetatable({}, {__close = function(self)
    for i = 1, #self do self[i]:close() end
  end})
end

-- A handler that says "begun", hears a word, and notes it, or the error.
local function patient(log)
  return {
    handle = function(self)
      self.request:sendall "begun"
      local ok, word = pcall(self.request.recv, self.request, 100)
      log[#log + 1] = word
      if not ok then error(word, 0) end
      self.request:sendall(word:upper())
    end,
    finish = function() log.finished = (log.finished or 0) + 1 end,
  }
end

-- A client of it whose request runs.
local function begun(server)
  local client = connect(server)
  assert.are.equal("begun", client:recv(5))
  return client
end

local function start(text, before)
  local name = helper.tmpdir() .. "/program.lua"
  local file = assert(io.open(name, "w"))
  file:write([[
    local csock = require "csock"
    local loop, class = csock.loop, csock.class
    local socketserver = require "csock.socketserver"
    io.stdout:setvbuf "line"
  ]], text)
  file:close()
  local command = helper.lua .. " " .. name .. " 2>&1"
  if before then
    command = "sh -c " .. helper.quote(before .. "; exec env " .. command)
  end
  local process = helper.spawn_process(command)
  process.address_family = csock.AF_INET
  return process
end

-- How many descriptors a child may open at most.
local function most_descriptors()
  local pipe <close> = assert(io.popen "ulimit -Hn")
  return pipe:read "n" or math.maxinteger
end

-- Classes -----------------------------------------------------------------

describe("the Threading classes", function()
  local function order(cls)
    local names = {}
    for i, base in ipairs(cls.__mro) do names[i] = base.__name end
    return table.concat(names, " ")
  end

  it("derive as documented", function()
    assert.are.equal("ThreadingTCPServer ThreadingMixIn TCPServer " ..
      "BaseServer object", order(ThreadingTCPServer))
    assert.are.equal("ThreadingUDPServer ThreadingMixIn UDPServer TCPServer " ..
      "BaseServer object", order(ThreadingUDPServer))
    assert.are.equal("ThreadingUnixStreamServer ThreadingMixIn " ..
      "UnixStreamServer TCPServer BaseServer object",
      order(ThreadingUnixStreamServer))
    assert.are.equal("ThreadingUnixDatagramServer ThreadingMixIn " ..
      "UnixDatagramServer UDPServer TCPServer BaseServer object",
      order(ThreadingUnixDatagramServer))
  end)

  it("have the attributes of Python", function()
    assert.is_false(ThreadingMixIn.daemon_threads)
    assert.is_true(ThreadingMixIn.block_on_close)
  end)

  it("are what isinstance says", function()
    local server <close> = ThreadingTCPServer(anywhere, Nothing)
    assert.is_true(class.isinstance(server, ThreadingMixIn))
    assert.is_true(class.isinstance(server, TCPServer))
  end)
end)

describe("a class composed by the user", function()
  local log
  local LoggingMixIn
  LoggingMixIn = class("LoggingMixIn", {
    process_request = function(self, request, address)
      log[#log + 1] = "process"
      return class.super(LoggingMixIn, self):process_request(request, address)
    end,
    finish_request = function(self, request, address)
      log[#log + 1] = "finish"
      return class.super(LoggingMixIn, self):finish_request(request, address)
    end,
    shutdown_request = function(self, request)
      log[#log + 1] = "shutdown"
      return class.super(LoggingMixIn, self):shutdown_request(request)
    end,
  })
  before_each(function() log = {} end)

  it("has its mix-ins called in the order of its bases", function()
    local My = class("My", LoggingMixIn, ThreadingMixIn, TCPServer, {
      request_queue_size = 7,
    })
    assert.are.equal("MINE", serving(My(anywhere, Upper), function(server)
      assert.are.equal(7, server.request_queue_size)
      return ask(server, "mine")
    end))
    assert.are.same({"process", "finish", "shutdown"}, log)
  end)

  it("runs its requests side by side", function()
    local My = class("My", LoggingMixIn, ThreadingMixIn, TCPServer, {})
    serving(My(anywhere, Upper), function(server)
      local _idle <close> = connect(server)
      assert.are.equal("X", ask(server, "x"))
    end)
  end)

  it("may be one of ThreadingMixIn and a server of the user's", function()
    local Greeting = class("Greeting", TCPServer, {
      finish_request = function(self, request, address)
        request:sendall "hello "
        TCPServer.finish_request(self, request, address)
      end,
    })
    local My = class("My", ThreadingMixIn, Greeting, {})
    assert.are.equal("hello X", serving(My(anywhere, Upper), function(server)
      return ask(server, "x")
    end))
  end)

  it("may add members later", function()
    local My = class("My", ThreadingTCPServer, {})
    function My:verify_request() return self.open end
    serving(My(anywhere, Upper), function(server)
      local client <close> = connect(server)
      assert.are.equal("", client:recv(1))
      server.open = true
      assert.are.equal("X", ask(server, "x"))
    end)
  end)

  it("may limit its requests in process_request", function()
    local My
    My = class("My", ThreadingTCPServer, {
      process_request = function(self, request, address)
        self.n = (self.n or 0) + 1
        if self.n <= 2 then
          return class.super(My, self):process_request(request, address)
        end
        request:sendall "busy"
        self:shutdown_request(request)
      end,
    })
    serving(My(anywhere, patient {}), function(server)
      local clients <close> = list()
      for i = 1, 3 do clients[i] = connect(server) end
      assert.are.equal("begun", clients[1]:recv(100))
      assert.are.equal("begun", clients[2]:recv(100))
      assert.are.equal("busy", read_all(clients[3]))
      clients[1]:sendall "x"
      clients[2]:sendall "x"
    end)
  end)

  it("may override process_request_thread", function()
    local My
    My = class("My", ThreadingTCPServer, {
      process_request_thread = function(self, request, address)
        request:sendall "first "
        return class.super(My, self):process_request_thread(request, address)
      end,
    })
    assert.are.equal("first X", serving(My(anywhere, Upper), function(server)
      return ask(server, "x")
    end))
  end)

  it("may call process_request_thread in a task of its own", function()
    local My = class("My", ThreadingTCPServer, {
      process_request = function(self, request, address)
        self.task = loop.spawn(self.process_request_thread, self, request,
          address)
      end,
    })
    serving(My(anywhere, Upper), function(server)
      assert.are.equal("X", ask(server, "x"))
      server.task:join()
    end)
  end)
end)

-- Side by side ------------------------------------------------------------

describe("a threading server", function()
  local function address_for(Server)
    return Server.address_family == csock.AF_UNIX and
      helper.tmpdir() .. "/socket" or anywhere
  end

  for _, Server in ipairs {ThreadingTCPServer, ThreadingUnixStreamServer} do
    it("answers one client after the other: " .. Server.__name, function()
      serving(Server(address_for(Server), Upper), function(server)
        for i = 1, 3 do
          assert.are.equal("CLIENT " .. i, ask(server, "client " .. i))
        end
      end)
    end)

    it("serves several requests at once: " .. Server.__name, function()
      -- no request ends before all three have begun
      local running = 0
      local handler = {handle = function(self)
        running = running + 1
        while running < 3 do loop.sleep(0) end
        self.request:sendall "together"
      end}
      serving(Server(address_for(Server), handler), function(server)
        local clients <close> = list()
        for i = 1, 3 do clients[i] = connect(server) end
        for i = 1, 3 do
          assert.are.equal("together", read_all(clients[i]))
        end
      end)
    end)
  end

  for _, Server in ipairs {ThreadingUDPServer, ThreadingUnixDatagramServer} do
    it("answers one datagram after the other: " .. Server.__name, function()
      serving(Server(address_for(Server), UpperDatagram), function(server)
        for i = 1, 3 do
          local answer = ask_datagram(server, "client " .. i)
          assert.are.equal("CLIENT " .. i, answer)
        end
      end)
    end)

    it("serves several datagrams at once: " .. Server.__name, function()
      local running = 0
      local handler = {handle = function(self)
        running = running + 1
        while running < 3 do loop.sleep(0) end
        self.request[2]:sendto(self.request[1]:upper(), self.client_address)
      end}
      serving(Server(address_for(Server), handler), function(server)
        local tasks = {}
        for i = 1, 3 do
          tasks[i] = loop.spawn(ask_datagram, server, "client " .. i)
        end
        for i = 1, 3 do
          assert.are.equal("CLIENT " .. i, tasks[i]:join())
        end
      end)
    end)
  end

  it("is not held up by a client that says nothing", function()
    serving(ThreadingTCPServer(anywhere, Upper), function(server)
      local _idle <close> = connect(server)
      assert.are.equal("X", ask(server, "x"))
    end)
  end)

  it("is not held up by a client that does not read", function()
    local handler = {handle = function(self)
      if self.request:recv(1) == "b" then
        pcall(self.request.sendall, self.request, ("x"):rep(16000000))
      else
        self.request:sendall "small"
      end
    end}
    serving(ThreadingTCPServer(anywhere, handler), function(server)
      local greedy <close> = connect(server)
      greedy:sendall "b"
      assert.are.equal("x", greedy:recv(1))
      assert.are.equal("small", ask(server, "s"))
    end)
  end)

  it("gives each request a task of its own", function()
    local tasks = {}
    local handler = {handle = function() tasks[#tasks + 1] = loop.current() end}
    serving(ThreadingTCPServer(anywhere, handler), function(server, task)
      ask(server, "")
      ask(server, "")
      assert.are_not.equal(tasks[1], tasks[2])
      assert.are_not.equal(task, tasks[1])
    end)
  end)

  it("lets a handler wait for anything", function()
    local handler = {handle = function(self)
      local a, b = csock.socketpair()
      local task = loop.spawn(function()
        loop.sleep(0)
        b:sendall "through a pair"
      end)
      self.request:sendall(a:recv(100))
      task:join()
      a:close()
      b:close()
    end}
    assert.are.equal("through a pair", serving(
      ThreadingTCPServer(anywhere, handler), function(server)
        return ask(server, "")
      end))
  end)

  it("may be the client of its own", function()
    local handler = {handle = function(self)
      local n = tonumber(self.request:recv(10))
      local text = n > 0 and ask(self.server, tostring(n - 1)) or ""
      self.request:sendall(n .. " " .. text)
    end}
    assert.are.equal("3 2 1 0 ", serving(ThreadingTCPServer(anywhere, handler),
      function(server) return ask(server, "3") end))
  end)

  it("calls the hooks in Python's order", function()
    local log = {}
    local hooks = {}
    for _, hook in ipairs {"get_request", "verify_request", "process_request",
      "finish_request", "shutdown_request", "close_request"} do
      hooks[hook] = function(self, ...)
        log[#log + 1] = hook
        return ThreadingTCPServer[hook](self, ...)
      end
    end
    local handler = {}
    for _, name in ipairs {"setup", "handle", "finish"} do
      handler[name] = function() log[#log + 1] = name end
    end
    serving(class("My", ThreadingTCPServer, hooks)(anywhere, handler),
      function(server) ask(server, "") end)
    assert.are.equal("get_request verify_request process_request " ..
      "finish_request setup handle finish shutdown_request close_request",
      table.concat(log, " "))
  end)

  it("keeps the error of one request from the others", function()
    local failures = {}
    local My = class("My", ThreadingTCPServer, {
      handle_error = function(_, _, address, err, traceback)
        failures[#failures + 1] = {address, err, traceback}
      end,
    })
    local handler = {handle = function(self)
      if self.request:recv(100) == "bad" then error("no", 0) end
      self.request:sendall "good"
    end}
    serving(My(anywhere, handler), function(server)
      local good <close> = connect(server)
      local bad <close> = connect(server)
      bad:sendall "bad"
      assert.are.equal("", bad:recv(1))
      good:sendall "good"
      assert.are.equal("good", good:recv(100))
      assert.are.equal(bad:getsockname(), failures[1][1])
    end)
    assert.are.equal(1, #failures)
    assert.are.equal("no", failures[1][2])
    assert.matches("mixin_spec%.lua:%d+: in ", failures[1][3])
  end)

  it("closes a request whose handle_error fails, and goes on", function()
    local process = start [[
      local My = class("My", socketserver.ThreadingTCPServer, {
        handle_error = function() error "handle_error fails" end})
      local handler = {handle = function() error "the handler fails" end}
      loop.run(function()
        local server <close> = My({"127.0.0.1", 0}, handler)
        local task = loop.spawn(server.serve_forever, server)
        for _ = 1, 2 do
          local client <close> = csock.create_connection(server.server_address)
          client.timeout = 40
          print(client:recv(1) == "")
        end
        server:shutdown()
        task:join()
      end)
    ]]
    local output, how = process:ending()
    assert.are.equal("exit 0", how)
    assert.matches("^true\ntrue\n", output)
    assert.are.equal(2, select(2, output:gsub("handle_error fails\n", "")))
  end)

  it("waits through the loop in handle_error and shutdown_request", function()
    local steps = {}
    local My = class("My", ThreadingTCPServer, {
      handle_error = function()
        loop.sleep(0.001)
        steps[#steps + 1] = "handled"
      end,
      shutdown_request = function(self, request)
        loop.sleep(0.001)
        steps[#steps + 1] = "shut down"
        self:close_request(request)
      end,
    })
    loop.run(function()
      local server <close> = My(anywhere, {handle = function() error "no" end})
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = connect(server)
      while #steps == 0 do loop.sleep(0) end
      server:shutdown()
      task:join()
      assert.are.equal("", client:recv(1))
    end)
    assert.are.same({"handled", "shut down"}, steps)
  end)
end)

describe("handle_request of a threading server", function()
  it("in a task leaves the request to its own task", function()
    local log = {}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient(log))
      local clients <close> = list()
      for i = 1, 2 do
        clients[i] = connect(server)
        server:handle_request()
      end
      for i = 2, 1, -1 do
        assert.are.equal("begun", clients[i]:recv(5))
        clients[i]:sendall("word " .. i)
        assert.are.equal("WORD " .. i, clients[i]:recv(100))
      end
    end)
  end)

  it("outside of tasks waits for the request's end", function()
    local ended
    local server <close> = ThreadingTCPServer(anywhere, {handle = function()
      loop.sleep(0.001)
      ended = true
    end})
    local _client <close> = connect(server)
    server:handle_request()
    assert.is_true(ended)
  end)
end)

-- The end -----------------------------------------------------------------

describe("shutdown of a threading server", function()
  it("lets the running requests finish", function()
    local log = {}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient(log))
      local task = loop.spawn(server.serve_forever, server)
      local clients <close> = list()
      for i = 1, 3 do clients[i] = begun(server) end
      server:shutdown()
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      for i = 1, 3 do clients[i]:sendall("word " .. i) end
      task:join()
      for i = 1, 3 do
        assert.are.equal("WORD " .. i, read_all(clients[i]))
      end
    end)
    assert.are.equal(3, log.finished)
  end)

  it("takes no new ones", function()
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient {})
      local task = loop.spawn(server.serve_forever, server)
      local running <close> = begun(server)
      server:shutdown()
      loop.sleep(0)
      local waiting <close> = connect(server)
      waiting.timeout = 0
      running:sendall "x"
      task:join()
      assert.are.equal("EAGAIN", failure(waiting.recv, waiting, 1).code)
    end)
  end)

  it("cancels requests that take longer than drain_timeout", function()
    local log = {}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient(log))
      server.drain_timeout = 0.001
      local task = loop.spawn(server.serve_forever, server)
      local clients <close> = list()
      for i = 1, 3 do clients[i] = begun(server) end
      server:shutdown()
      task:join()
      for i = 1, 3 do assert.are.equal("", clients[i]:recv(1)) end
    end)
    assert.are.equal(3, #log)
    for i = 1, 3 do is_a(loop.CancelledError, log[i]) end
    assert.are.equal(3, log.finished)
  end)

  it("cancels them without handle_error", function()
    local My = class("My", ThreadingTCPServer, {
      drain_timeout = 0.001,
      handle_error = function() error "not its business" end,
    })
    loop.run(function()
      local server <close> = My(anywhere, patient {})
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = begun(server)
      server:shutdown()
      task:join()
      assert.are.equal("", client:recv(1))
    end)
  end)

  it("waits for requests that clean up after their cancellation", function()
    local cleaned
    local handler = {handle = function(self)
      self.request:sendall "begun"
      pcall(self.request.recv, self.request, 1)
      loop.sleep(0.002)
      cleaned = true
    end}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, handler)
      server.drain_timeout = 0.001
      local task = loop.spawn(server.serve_forever, server)
      local _client <close> = begun(server)
      server:shutdown()
      task:join()
      assert.is_true(cleaned)
    end)
  end)

  it("does not wait with daemon_threads", function()
    local My = class("My", ThreadingTCPServer, {daemon_threads = true})
    loop.run(function()
      local server <close> = My(anywhere, patient {})
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = begun(server)
      server:shutdown()
      task:join()
      client:sendall "still running"
      assert.are.equal("STILL RUNNING", client:recv(100))
    end)
  end)

  it("does not wait without block_on_close", function()
    local My = class("My", ThreadingTCPServer, {block_on_close = false})
    loop.run(function()
      local server <close> = My(anywhere, patient {})
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = begun(server)
      server:shutdown()
      task:join()
      client:sendall "still running"
      assert.are.equal("STILL RUNNING", client:recv(100))
    end)
  end)

  it("from a handler lets this and the others finish", function()
    local handler = {handle = function(self)
      self.request:sendall "begun"
      local word = self.request:recv(100)
      if word == "stop" then self.server:shutdown() end
      self.request:sendall(word:upper())
    end}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, handler)
      local task = loop.spawn(server.serve_forever, server)
      local other <close> = begun(server)
      local stopper <close> = begun(server)
      stopper:sendall "stop"
      assert.are.equal("STOP", stopper:recv(100))
      other:sendall "finish"
      assert.are.equal("FINISH", other:recv(100))
      task:join()
    end)
  end)

  it("outside of tasks waits too", function()
    local log = {}
    local process = start [[
      local server <close> = socketserver.ThreadingTCPServer({"127.0.0.1", 0}, {
        handle = function(self)
          self.request:sendall "begun"
          self.server:shutdown()
          self.request:sendall(self.request:recv(100):upper())
        end})
      print(server.server_address.port)
      server:serve_forever()
      print "ended"
    ]]
    process.server_address = {"127.0.0.1", process:read "n"}
    local client <close> = begun(process)
    client:sendall "in peace"
    assert.are.equal("IN PEACE", client:recv(100))
    assert.are.equal("\nended\n", (process:ending()))
    assert.are.same({}, log)
  end)

  it("within a loop.timeout that is over raises csock.timeout", function()
    -- in a program of its own: it might never end
    local process = start [[
      loop.run(function()
        local server <close> = socketserver.ThreadingTCPServer(
          {"127.0.0.1", 0}, {handle = function(self)
            self.request:sendall "begun"
            self.request:recv(1)
          end})
        server.drain_timeout = 1000
        server.handle_signals = false
        local task = loop.spawn(function()
          loop.timeout(0.1, server.serve_forever, server)
        end)
        local client <close> = csock.create_connection(server.server_address)
        client:recv(5)
        server:shutdown()
        local _, err = pcall(task.join, task)
        print(csock.isinstance(err, csock.timeout))
        client:close()
      end)
    ]]
    assert.are.equal("true", process:read "l")
  end)

  it("is over when they have finished, and not before", function()
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient {})
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = begun(server)
      server:shutdown()
      loop.sleep(0)
      assert.matches("serves already", failure(server.serve_forever, server))
      client:sendall "x"
      task:join()
      task = loop.spawn(server.serve_forever, server)
      assert.are.equal("begunY", ask(server, "y"))
      server:shutdown()
      task:join()
    end)
  end)
end)

describe("server_close of a threading server", function()
  it("waits for the running requests, as Python", function()
    local ended
    local handler = {handle = function(self)
      self.request:sendall "begun"
      loop.sleep(0.002)
      ended = true
    end}
    loop.run(function()
      local server = ThreadingTCPServer(anywhere, handler)
      loop.spawn(server.serve_forever, server)
      local _client <close> = begun(server)
      server:server_close()
      assert.is_true(ended)
    end)
  end)

  it("waits at the end of a block", function()
    local ended
    local handler = {handle = function(self)
      self.request:sendall "begun"
      loop.sleep(0.002)
      ended = true
    end}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, handler)
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("begun", client:recv(5))
    end)
    assert.is_true(ended)
  end)

  it("does not wait without block_on_close, as Python", function()
    local My = class("My", ThreadingTCPServer, {block_on_close = false})
    loop.run(function()
      local server = My(anywhere, patient {})
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = begun(server)
      server:server_close()
      task:join()
      client:sendall "still running"
      assert.are.equal("STILL RUNNING", client:recv(100))
    end)
  end)

  it("in a handler does not wait for this one", function()
    local handler = {handle = function(self)
      self.server:server_close()
      self.request:sendall "closed"
    end}
    loop.run(function()
      local server = ThreadingTCPServer(anywhere, handler)
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = connect(server)
      assert.are.equal("closed", client:recv(100))
      task:join()
    end)
  end)

  it("in two handlers at once ends", function()
    local running = 0
    local handler = {handle = function(self)
      running = running + 1
      while running < 2 do loop.sleep(0) end
      self.server:server_close()
    end}
    loop.run(function()
      local server = ThreadingTCPServer(anywhere, handler)
      server.drain_timeout = 0.01
      local task = loop.spawn(server.serve_forever, server)
      local a <close> = connect(server)
      local b <close> = connect(server)
      assert.are.equal("", a:recv(1))
      assert.are.equal("", b:recv(1))
      task:join()
    end)
  end)
end)

describe("drain", function()
  it("returns at once when nothing runs", function()
    local server <close> = ThreadingTCPServer(anywhere, Nothing)
    loop.run(function() server:drain() end)
    server:drain()
    local plain <close> = TCPServer(anywhere, Nothing)
    plain:drain()
  end)

  it("waits for the running requests", function()
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient {})
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("begun", client:recv(5))
      local task = loop.spawn(server.drain, server)
      loop.sleep(0)
      assert.are.equal("waiting", task:status())
      client:sendall "x"
      task:join()
    end)
  end)

  it("cancels them after its timeout", function()
    local log = {}
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient(log))
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("begun", client:recv(5))
      server:drain(0.001)
      assert.are.equal("", client:recv(1))
    end)
    is_a(loop.CancelledError, log[1])
  end)

  it("raises the cancellation of its caller, and spares the requests",
    function()
      loop.run(function()
        local server <close> = ThreadingTCPServer(anywhere, patient {})
        local client <close> = connect(server)
        server:handle_request()
        assert.are.equal("begun", client:recv(5))
        local task = loop.spawn(server.drain, server)
        loop.sleep(0)
        task:cancel()
        is_a(loop.CancelledError, failure(task.join, task))
        client:sendall "spared"
        assert.are.equal("SPARED", client:recv(100))
      end)
    end)

  it("obeys a loop.timeout round it, and spares the requests", function()
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient {})
      server.drain_timeout = 0.001
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("begun", client:recv(5))
      is_a(csock.timeout, failure(loop.timeout, 0.001, server.drain, server))
      is_a(csock.timeout, failure(loop.timeout, 0.001, server.drain, server,
        1000))
      client:sendall "spared"
      assert.are.equal("SPARED", client:recv(100))
    end)
  end)
end)

describe("cancel_requests", function()
  it("cancels all that run, and spares the server", function()
    local log = {}
    serving(ThreadingTCPServer(anywhere, patient(log)), function(server)
      local clients <close> = list()
      for i = 1, 3 do clients[i] = begun(server) end
      server:cancel_requests()
      for i = 1, 3 do assert.are.equal("", clients[i]:recv(1)) end
      local client <close> = begun(server)
      client:sendall "x"
      assert.are.equal("X", client:recv(100))
    end)
    for i = 1, 3 do is_a(loop.CancelledError, log[i]) end
    assert.are.equal("x", log[4])
  end)

  it("in a handler cancels the others only", function()
    local handler = {handle = function(self)
      self.request:sendall "begun"
      if self.request:recv(100) == "cancel" then
        self.server:cancel_requests()
        loop.sleep(0)
        self.request:sendall "spared"
      end
    end}
    serving(ThreadingTCPServer(anywhere, handler), function(server)
      local other <close> = begun(server)
      local client <close> = begun(server)
      client:sendall "cancel"
      assert.are.equal("", other:recv(1))
      assert.are.equal("spared", client:recv(100))
    end)
  end)

  it("is harmless when nothing runs", function()
    local server <close> = ThreadingTCPServer(anywhere, Nothing)
    server:cancel_requests()
    loop.run(function() server:cancel_requests() end)
  end)
end)

describe("the end of the loop", function()
  it("cancels requests, and each is finished and closed", function()
    local log = {}
    local client
    loop.run(function()
      local server <close> = ThreadingTCPServer(anywhere, patient(log))
      server.drain_timeout = 0
      loop.spawn(server.serve_forever, server)
      client = begun(server)
    end)
    assert.are.equal("", client:recv(1))
    client:close()
    is_a(loop.CancelledError, log[1])
    assert.are.equal(1, log.finished)
  end)
end)

describe("SIGTERM, with a client that says nothing,", function()
  it("ends a threading server after drain_timeout", function()
    local process = start [[
      local server <close> = socketserver.ThreadingTCPServer({"127.0.0.1", 0}, {
        handle = function(self)
          self.request:sendall "begun"
          self.request:recv(1)
        end,
        finish = function() print "finished" end})
      server.drain_timeout = 0.05
      print(server.server_address.port)
      server:serve_forever()
      print("stopped", server.socket.closed)
    ]]
    process.server_address = {"127.0.0.1", process:read "n"}
    local client <close> = begun(process)
    process:kill "TERM"
    assert.are.equal("", client:recv(1))
    local output, how = process:ending()
    assert.are.equal("\nfinished\nstopped\ttrue\n", output)
    assert.are.equal("exit 0", how)
  end)
end)

-- Many --------------------------------------------------------------------

describe("a threading server survives", function()
  -- f(server) beside a server that counts what handle_error gets; afterwards
  -- nothing of its requests is left.
  local function survives(handler, f)
    local failures = {}
    local My = class("My", ThreadingTCPServer, {
      handle_error = function(_, _, _, err) failures[#failures + 1] = err end,
    })
    loop.run(function()
      local server <close> = My(anywhere, handler)
      local task = loop.spawn(server.serve_forever, server)
      assert.are.equal("BEFORE", ask(server, "before"))
      local _, descriptors = helper.descriptors()
      local tasks = live_tasks()
      f(server)
      assert.are.equal("AFTER", ask(server, "after"))
      server:drain()
      assert.are.equal(descriptors, select(2, helper.descriptors()))
      assert.are.equal(tasks, live_tasks())
      server:shutdown()
      task:join()
    end)
    return failures
  end

  it("a hundred clients that reset", function()
    local failures = survives(Upper, function(server)
      local clients <close> = list()
      for i = 1, 100 do
        clients[i] = connect(server)
        clients[i]:sendall "x"
        assert.are.equal("X", clients[i]:recv(1))
        clients[i].linger = 0
      end
    end)
    assert.are.equal(100, #failures)
    for i = 1, 100 do is_a(csock.ConnectionResetError, failures[i]) end
  end)

  it("a hundred clients that reset before they are accepted", function()
    survives(Upper, function(server)
      for _ = 1, 100 do
        local client <close> = connect(server)
        client.linger = 0
      end
    end)
  end)

  it("a hundred handlers that throw", function()
    local failures = survives({handle = function(self)
      local word = self.request:recv(100)
      if word == "throw" then error("no", 0) end
      self.request:sendall(word:upper())
    end}, function(server)
      local clients <close> = list()
      for i = 1, 100 do clients[i] = connect(server) end
      for i = 1, 100 do clients[i]:sendall "throw" end
      for i = 1, 100 do assert.are.equal("", clients[i]:recv(1)) end
    end)
    assert.are.equal(100, #failures)
    for i = 1, 100 do assert.are.equal("no", failures[i]) end
  end)

  it("a hundred clients that never send", function()
    local failures = survives(Upper, function(server)
      local clients <close> = list()
      for i = 1, 100 do clients[i] = connect(server) end
      for i = 1, 10 do
        assert.are.equal("CLIENT " .. i, ask(server, "client " .. i))
      end
    end)
    assert.are.same({}, failures)
  end)

  it("a hundred clients that go without a word while it shuts down", function()
    local failures = survives(Upper, function(server)
      local clients <close> = list()
      for i = 1, 100 do clients[i] = connect(server) end
      for i = 1, 100 do clients[i]:shutdown(csock.SHUT_RDWR) end
    end)
    assert.are.same({}, failures)
  end)

  it("and keeps nothing of its requests", function()
    local function round(server, n)
      for _ = 1, n do ask(server, "x") end
      collectgarbage()
      collectgarbage()
      return collectgarbage "count"
    end
    serving(ThreadingTCPServer(anywhere, Upper), function(server)
      round(server, 50)
      local before = round(server, 50)
      local after = round(server, helper.slow and 100 or 500)
      assert.is_true(after - before < 20, after - before .. " KiB more")
    end)
  end)

  it("a thousand clients at once, and is then as before", function()
    local n = math.min(helper.slow and 100 or 1000,
      most_descriptors() // 2 - 20)
    local process = start(("local n = %d\n"):format(n) .. [[
      local core = require "csock.core"
      local running, most = 0, 0
      local handler = {handle = function(self)
        running = running + 1
        most = math.max(most, running)
        repeat
          local data = self.request:recv(100)
          self.request:sendall(data:upper())
        until data == ""
        running = running - 1
      end}
      local function client(address, i)
        local sock <close> = csock.create_connection(address, 60)
        sock:sendall("hello")
        assert(sock:recv(100) == "HELLO")
        while most < n do loop.sleep(0.001) end   -- until all are there
        sock:sendall("word " .. i)
        assert(sock:recv(100) == "WORD " .. i)
        sock:shutdown(csock.SHUT_WR)
        assert(sock:recv(1) == "")
        return true
      end
      local function round(server)
        local tasks, right = {}, 0
        most = 0
        for i = 1, n do
          tasks[i] = loop.spawn(client, server.server_address, i)
        end
        for i = 1, n do
          if tasks[i]:join() then right = right + 1 end
        end
        server:drain()
        tasks = nil
        collectgarbage()
        collectgarbage()
        return right, core.loop.live(), collectgarbage "count"
      end
      loop.run(function()
        local server <close> = socketserver.ThreadingTCPServer(
          {"127.0.0.1", 0}, handler)
        local task = loop.spawn(server.serve_forever, server)
        round(server) -- tables grow to their size
        round(server) -- tables grow to their size
        local right, tasks, memory = round(server)
        local right2, tasks2, memory2 = round(server)
        print(right, right2, most)
        print(tasks2 - tasks, memory2 - memory < 100)
        server:shutdown()
        task:join()
      end)
    ]], "ulimit -n $(ulimit -Hn)")
    local output, how = process:ending()
    assert.are.equal(("%d\t%d\t%d\n0\ttrue\n"):format(n, n, n), output)
    assert.are.equal("exit 0", how)
  end)

  it("a thousand datagrams", function()
    local n = helper.slow and 100 or 1000
    loop.run(function()
      local server <close> = ThreadingUDPServer(anywhere, UpperDatagram)
      local task = loop.spawn(server.serve_forever, server)
      local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      client.timeout = 40
      for i = 1, n, 50 do -- as many as surely find room in a buffer
        for k = i, i + 49 do
          client:sendto("word " .. k, server.server_address)
        end
        local answers = {}
        for k = i, i + 49 do answers[client:recv(100)] = k end
        for k = i, i + 49 do assert.is_truthy(answers["WORD " .. k]) end
      end
      server:shutdown()
      task:join()
    end)
  end)
end)
