-- stopping: how connections that carry one request after another end with
-- their server: has_request, and the server's `stopping`.

require "spec.helper"
local visit = require "spec.visit"
local coroutine = require "csock.coroutine"
local csock = require "csock"
local loop = require "csock.loop"
local safe = require "csock.safe"
local socketserver = require "csock.socketserver"

local anywhere, connect = visit.anywhere, visit.connect
local serving = visit.serving

local class = csock.class

-- Seconds, more than a connection has at the end if no request has begun.
local LONGER = 0.12
local StreamRequestHandler = socketserver.StreamRequestHandler

-- Answers line by line; "wait" after another line, with both.
local Lines = class("Lines", StreamRequestHandler)

function Lines:handle()
  while self:has_request() do
    local line = self.rfile:read "L"
    if line == "wait\n" then
      self.wfile:write "waiting\n"
      line = self.rfile:read "L"
    end
    self.wfile:write(tostring(self.server.stopping), " ", line)
  end
  self.wfile:write "end\n"
end

local Unbuffered = class("Unbuffered", Lines, {rbufsize = 0})

local function ask(client, words)
  client:sendall(words .. "\n")
  return client:recv(100)
end

local function rest(client)
  local input <close> = client:makefile()
  return input:read()
end

-- A connection that is between two requests when its server ends.
local function end_between(Server, handler)
  serving(Server(anywhere, handler), function(server, task)
    local client <close> = connect(server)
    assert.are.equal("false a\n", ask(client, "a"))
    loop.sleep(0)
    server:shutdown()
    assert.are.equal("end\n", rest(client))
    task:join()
  end)
end

-- One that would wait for its requests for ever, were it not told better.
local function patient(Server, members)
  members = members or {}
  members.drain_timeout = 1000
  return class("Patient", Server, members)
end

local Threading = patient(socketserver.ThreadingTCPServer)
local Sync = patient(socketserver.TCPServer)
local Forking = patient(socketserver.ForkingTCPServer)

for name, handler in pairs {buffered = Lines, unbuffered = Unbuffered} do
  describe("has_request of a handler whose file is " .. name, function()
    it("waits for a request", function()
      serving(Threading(anywhere, handler), function(server)
        local client <close> = connect(server)
        assert.are.equal("false a\n", ask(client, "a"))
        loop.sleep(0)
        assert.are.equal("false b\n", ask(client, "b"))
      end)
    end)

    it("sees all that have come at once", function()
      serving(Threading(anywhere, handler), function(server)
        local client <close> = connect(server)
        client:sendall "a\nb\nc\n"
        client:shutdown(csock.SHUT_WR)
        assert.are.equal("false a\nfalse b\nfalse c\nend\n", rest(client))
      end)
    end)

    it("is false at the end", function()
      serving(Threading(anywhere, handler), function(server)
        local client <close> = connect(server)
        client:shutdown(csock.SHUT_WR)
        assert.are.equal("end\n", rest(client))
      end)
    end)

    it("is false when the client has reset", function()
      local ended, failed = false, 0
      local Noting = class("Noting", handler, {handle = function(self)
        self.wfile:write "begun"
        while self:has_request() do self.rfile:read "L" end
        ended = true
      end})
      local Server = patient(socketserver.ThreadingTCPServer,
        {handle_error = function() failed = failed + 1 end})
      serving(Server(anywhere, Noting), function(server)
        local client = connect(server)
        assert.are.equal("begun", client:recv(5))
        client:setsockopt(csock.SOL_SOCKET, csock.SO_LINGER,
          ("ii"):pack(1, 0))
        client:close()
        while server.stats.active > 0 do loop.sleep(0) end
      end)
      assert.is_true(ended)
      assert.are.equal(0, failed)
    end)

    it("is false after the handler's timeout", function()
      local Short = class("Short", handler, {timeout = 0.01})
      serving(Threading(anywhere, Short), function(server)
        local client <close> = connect(server)
        assert.are.equal("end\n", rest(client))
      end)
    end)

    it("lets a cancellation pass", function()
      local heard
      local Server = patient(socketserver.ThreadingTCPServer,
        {handle_error = function(_, _, _, err) heard = err end})
      serving(Server(anywhere, handler), function(server)
        local client <close> = connect(server)
        assert.are.equal("false a\n", ask(client, "a"))
        loop.sleep(0)
        server:cancel_requests()
        assert.are.equal("", rest(client))
      end)
      assert.is_nil(heard)
    end)

    it("sends what was collected at a server's end, if it can", function()
      local seen, failed = {}, 0
      local Late = class("Late", handler, {wbufsize = 100,
        handle = function(self)
          self.wfile:write "x"
          while not self.server.stopping do loop.sleep(0.001) end
          if self.rfile:read(1) == "c" then self.wfile:close() end
          table.insert(seen, self:has_request())
        end})
      local Server = patient(socketserver.ThreadingTCPServer,
        {handle_error = function() failed = failed + 1 end})
      serving(Server(anywhere, Late), function(server, task)
        local client <close> = connect(server)
        local gone = connect(server)
        local closed <close> = connect(server)
        loop.sleep(0.01)
        server:shutdown()
        client:sendall "a"
        closed:sendall "c"
        gone:sendall "b"
        gone.linger = 0
        gone:close()
        assert.are.equal("x", rest(client))
        task:join()
      end)
      assert.are.same({false, false, false}, seen)
      assert.are.equal(0, failed)
    end)

    it("is false when a socket of csock.safe's fails", function()
      loop.run(function()
        for _, tied in ipairs {false, true} do
          local ours, theirs = safe.socketpair()
          local one = handler(theirs)
          one.wbufsize = 100
          one:setup()
          if tied then one.rfile:tie(one.wfile) end
          one.wfile:write "x"
          csock.socket(nil, nil, nil, theirs:detach()):close()
          assert.is_false(one:has_request())
          ours:close()
          one:finish()
        end
      end)
    end)

    it("lets the end of loop.timeout pass", function()
      local heard
      local Limited = class("Limited", handler, {handle = function(self)
        heard = table.pack(pcall(loop.timeout, 0.01, self.has_request, self))
        self.wfile:write(tostring(self:has_request()), "\n")
      end})
      serving(Threading(anywhere, Limited), function(server)
        local client <close> = connect(server)
        while not heard do loop.sleep(0.001) end
        assert.are.equal("true\n", ask(client, "a"))
      end)
      assert.is_false(heard[1])
      assert.is_true(csock.isinstance(heard[2], csock.timeout))
    end)

    it("waits on when another server ends", function()
      serving(Threading(anywhere, handler), function(server)
        local client <close> = connect(server)
        assert.are.equal("false a\n", ask(client, "a"))
        loop.sleep(0)
        local other <close> = Threading(anywhere, handler)
        local task = loop.spawn(other.serve_forever, other)
        local one <close> = connect(other)
        assert.are.equal("false a\n", ask(one, "a"))
        loop.sleep(0)
        other:shutdown()
        assert.are.equal("end\n", rest(one))
        task:join()
        loop.sleep(LONGER)
        assert.are.equal("false b\n", ask(client, "b"))
      end)
    end)

    it("tells whether the server is stopping", function()
      local told = {}
      local Asking = class("Asking", handler, {handle = function(self)
        for i = 1, 4 do
          told[i] = table.pack(self:has_request())
          self.wfile:write(self.rfile:read "L")
        end
      end})
      serving(Threading(anywhere, Asking), function(server, task)
        local client <close> = connect(server)
        assert.are.equal("a\n", ask(client, "a"))
        loop.sleep(0)
        server:shutdown()
        client:sendall "b\nc\nd\n"
        assert.are.equal("b\nc\nd\n", rest(client))
        task:join()
      end)
      assert.are.same({{n = 2, true, false}, {n = 2, true, true},
        {n = 2, true, true}, {n = 2, true, true}}, told)
    end)

    it("ends with a server that stops while tied files send", function()
      local Tied = class("Tied", handler, {wbufsize = 1 << 23,
        handle = function(self)
          self.rfile:tie(self.wfile)
          self.wfile:write(("x"):rep(1 << 22))
          while self:has_request() do self.rfile:read "L" end
        end})
      serving(Threading(anywhere, Tied), function(server, task)
        local client <close> = connect(server)
        assert.are.equal("x", client:recv(1))
        server:shutdown()
        assert.are.equal((1 << 22) - 1, #rest(client))
        task:join()
      end)
    end)

    it("ends with its server when it has just let the others run", function()
      local function check(count)
        local Busy = class("Busy", handler, {handle = function(self)
          for _ = 1, count do self.request:send "x" end
          loop.spawn(self.server.shutdown, self.server)
          assert.is_false(self:has_request())
        end})
        local server <close> = Threading(anywhere, Busy)
        local task = loop.spawn(server.serve_forever, server)
        local client <close> = connect(server)
        assert.are.equal(("x"):rep(count), rest(client))
        task:join()
        assert.are.equal(0, server.stats.failed)
      end
      loop.run(function()
        local checks = {}
        for count = 62, 66 do -- a task may do 64 things without a wait
          checks[#checks + 1] = loop.spawn(check, count)
        end
        for _, task in ipairs(checks) do task:join() end
      end)
    end)

    it("ends with its server in a coroutine of the task, too", function()
      local Inner = class("Inner", handler, {handle = function(self)
        coroutine.wrap(handler.handle)(self)
      end})
      end_between(Threading, Inner)
    end)

    it("works without a server", function()
      loop.run(function()
        local ours, theirs = csock.socketpair()
        local _theirs <close> = theirs
        local one = handler(theirs)
        one:setup()
        ours:sendall "x"
        assert.is_true(one:has_request())
        assert.are.equal("x", one.rfile:read(1))
        ours:close()
        assert.is_false(one:has_request())
        one:finish()
      end)
    end)
  end)

  local kinds = {threading = Threading}
  if name == "buffered" then
    kinds.synchronous, kinds.forking = Sync, Forking
  end
  for kind, Server in pairs(kinds) do
    describe(("the end of a %s server, %s"):format(kind, name), function()
      it("is the end of connections between two requests", function()
        end_between(Server, handler)
      end)

      it("lets a request that has begun finish, and is told to it", function()
        serving(Server(anywhere, handler), function(server, task)
          local client <close> = connect(server)
          assert.are.equal("waiting\n", ask(client, "wait"))
          server:shutdown()
          loop.sleep(LONGER)
          client:sendall "a\n"
          assert.are.equal("true a\nend\n", rest(client))
          task:join()
        end)
      end)

      it("answers a request that is on its way", function()
        serving(Server(anywhere, handler), function(server, task)
          local client <close> = connect(server)
          assert.are.equal("false a\n", ask(client, "a"))
          loop.sleep(0)
          server:shutdown()
          client:sendall "b\n"
          -- a child may see the request first, and then the end
          local word = kind == "forking" and "%a+" or "true"
          assert.matches("^" .. word .. " b\nend\n$", rest(client))
          task:join()
        end)
      end)

      it("answers one that has come meanwhile", function()
        serving(Server(anywhere, handler), function(server, task)
          local client <close> = connect(server)
          assert.are.equal("waiting\n", ask(client, "wait"))
          server:shutdown()
          loop.sleep(LONGER)
          client:sendall "a\nb\n"
          assert.are.equal("true a\ntrue b\nend\n", rest(client))
          task:join()
        end)
      end)
    end)
  end
end

describe("a server's `stopping`", function()
  it("is true from shutdown to the end of serve_forever", function()
    local server = Threading(anywhere, Lines)
    assert.is_false(server.stopping)
    serving(server, function()
      assert.is_false(server.stopping)
      local client <close> = connect(server)
      assert.are.equal("waiting\n", ask(client, "wait"))
      server:shutdown()
      assert.is_true(server.stopping)
      loop.sleep(0)
      assert.are.equal("true x\n", ask(client, "x"))
    end)
    assert.is_false(server.stopping)
  end)

  it("cannot be set", function()
    local server <close> = Threading(anywhere, Lines)
    assert.is_false(pcall(function() server.stopping = true end))
  end)

  it("ends again with a serving that follows another", function()
    local server = Threading(anywhere, Lines)
    loop.run(function()
      local _closing <close> = server
      for _ = 1, 2 do
        local task = loop.spawn(server.serve_forever, server)
        local client <close> = connect(server)
        assert.are.equal("false a\n", ask(client, "a"))
        loop.sleep(LONGER)
        assert.are.equal("false b\n", ask(client, "b"))
        server:shutdown()
        assert.are.equal("end\n", rest(client))
        task:join()
      end
    end)
  end)
end)

describe("server_close of a server that does not serve", function()
  it("ends connections between two requests", function()
    loop.run(function()
      local server = Threading(anywhere, Lines)
      local client <close> = connect(server)
      server:handle_request()
      assert.are.equal("false a\n", ask(client, "a"))
      server:server_close()
      assert.are.equal("end\n", rest(client))
    end)
  end)
end)

describe("a preforked server", function()
  local Server = patient(socketserver.PreforkTCPServer, {workers = 1})

  it("ends connections between two requests", function()
    serving(Server(anywhere, Lines), function(server, task)
      local client <close> = connect(server)
      assert.are.equal("false a\n", ask(client, "a"))
      server:shutdown()
      assert.are.equal("end\n", rest(client))
      task:join()
    end)
  end)

  it("keeps them over a reload, and tells their next request", function()
    serving(Server(anywhere, Lines), function(server)
      local client <close> = connect(server)
      assert.are.equal("false a\n", ask(client, "a"))
      server:restart_workers()
      loop.sleep(LONGER)
      repeat local answer = ask(client, "b") until answer == "true b\n"
      assert.are.equal("true c\n", ask(client, "c"))
    end)
  end)

  it("ends those that a reload has kept", function()
    serving(Server(anywhere, Lines), function(server, task)
      local client <close> = connect(server)
      assert.are.equal("false a\n", ask(client, "a"))
      server:restart_workers()
      server:shutdown()
      assert.are.equal("end\n", rest(client))
      task:join()
    end)
  end)
end)
