-- forking: ForkingMixIn and the Forking* classes: a process for each request,
-- what it inherits, how many there are, how they end with the server. Not here:
-- processes as such (process_spec), what every server does (server_spec).

local helper = require "spec.helper"
local visit = require "spec.visit"
local csock = require "csock"
local loop = require "csock.loop"
local process = require "csock.process"
local socketserver = require "csock.socketserver"
local core = require "csock.core"
local read_all = helper.read_all

local class = csock.class
local ForkingMixIn = socketserver.ForkingMixIn
local ForkingTCPServer = socketserver.ForkingTCPServer

-- Tools -------------------------------------------------------------------

local patience, anywhere = visit.patience, visit.anywhere
local address_for, connect = visit.address_for, visit.connect
local ask, ask_datagram = visit.ask, visit.ask_datagram
local serving = visit.serving

-- Each answers with what `f(self, word)` gives.
local function answering(f)
  return {handle = function(self)
    local word = self.request:recv(100)
    self.request:sendall(tostring(f(self, word)))
  end}
end

local Upper = answering(function(_, word) return word:upper() end)

-- Says "begun", and ends after it has heard a word.
local Patient = {handle = function(self)
  self.request:sendall "begun"
  self.request:sendall(self.request:recv(100):upper())
end}

local function begun(server)
  local client = connect(server)
  assert.are.equal("begun", client:recv(5))
  return client
end

local function start(text)
  local name = helper.tmpdir() .. "/program.lua"
  local file = assert(io.open(name, "w"))
  file:write([[
    local csock = require "csock"
    local loop, class = csock.loop, csock.class
    local socketserver = require "csock.socketserver"
    local getpid = require "csock.core".process.getpid
    io.stdout:setvbuf "line"
  ]], text)
  file:close()
  local program = helper.spawn_process(helper.lua .. " " .. name .. " 2>&1")
  program.address_family = csock.AF_INET
  local line = program:read "l"
  program.server_address = {"127.0.0.1", tonumber(line:match "%d+$")}
  return program
end

-- Classes -----------------------------------------------------------------

describe("the Forking classes", function()
  local function order(cls)
    local names = {}
    for i, base in ipairs(cls.__mro) do names[i] = base.__name end
    return table.concat(names, " ")
  end

  it("derive as documented", function()
    for _, kind in ipairs {"TCP", "UDP", "UnixStream", "UnixDatagram"} do
      local name = "Forking" .. kind .. "Server"
      assert.matches("^" .. name .. " ForkingMixIn " .. kind .. "Server ",
        order(socketserver[name]))
    end
  end)

  it("have the attributes of Python", function()
    assert.are.equal(300, ForkingMixIn.timeout)
    assert.are.equal(40, ForkingMixIn.max_children)
    assert.is_true(ForkingMixIn.block_on_close)
    assert.is_nil(ForkingMixIn.active_children)
  end)
end)

-- CPython -----------------------------------------------------------------

describe("SocketServerTest", function()
  -- A child of the program's own is nobody else's to wait for.
  local function run_server(Server, client, handler)
    local own = process.fork(function() return 72 end)
    local My = class("My", Server, {
      handle_error = function(self, request, _, err)
        self:close_request(request)
        error(err, 0)
      end,
    })
    local server = My(address_for(Server), handler)
    assert.are.equal(server.socket:getsockname(), server.server_address)
    loop.run(function()
      local task = loop.spawn(server.serve_forever, server, 0.01)
      for _ = 1, 3 do
        assert.are.equal("hello world\n", client(server, "hello world\n"))
      end
      server:shutdown()
      task:join()
    end)
    server:server_close()
    assert.are.equal(-1, server.socket:fileno())
    assert.are.same({}, server.active_children)
    assert.are.same({"exit", 72}, {own:wait()})
  end

  local Line = {handle = function(self)
    local file <close> = self.request:makefile "rwb"
    file:write(file:readline())
    file:flush()
  end}

  local Datagram = {handle = function(self)
    self.request[2]:sendto(self.request[1], self.client_address)
  end}

  for _, kind in ipairs {"TCP", "UnixStream"} do
    local name = "Forking" .. kind .. "Server"
    it("test_" .. name .. ": three requests, no child is left", function()
      run_server(socketserver[name], ask, Line)
    end)
  end

  for _, kind in ipairs {"UDP", "UnixDatagram"} do
    local name = "Forking" .. kind .. "Server"
    it("test_" .. name .. ": three requests, no child is left", function()
      run_server(socketserver[name], ask_datagram, Datagram)
    end)
  end
end)

describe("ErrorHandlerTest", function()
  -- What the log has after one request whose handler calls `fail`.
  local function log_of(fail)
    local name = helper.tmpdir() .. "/log"
    local function log(text)
      local file <close> = assert(io.open(name, "a"))
      file:write(text, "\n")
    end
    local Server = class("Server", ForkingTCPServer, {
      handle_error = function() log "Error handled" end,
    })
    local server = Server(anywhere, {handle = function()
      log "Handler called"
      fail()
    end})
    connect(server):close()
    server:handle_request()
    server:server_close()
    local file <close> = assert(io.open(name))
    return file:read "a"
  end

  it("test_forking_handled: an error reaches handle_error", function()
    assert.are.equal("Handler called\nError handled\n",
      log_of(function() error "Test error" end))
  end)

  it("test_forking_not_handled: an exit does not", function()
    assert.are.equal("Handler called\n", log_of(function() os.exit(1) end))
  end)
end)

-- Requests ----------------------------------------------------------------

describe("a forking server", function()
  it("has a process for each request", function()
    local Pid = answering(core.process.getpid)
    serving(ForkingTCPServer(anywhere, Pid), function(server)
      local first, second = ask(server, "x"), ask(server, "x")
      assert.matches("^%d+$", first)
      assert.are_not.equal(first, second)
      assert.are_not.equal(tostring(core.process.getpid()), first)
    end)
  end)

  it("runs requests side by side", function()
    serving(ForkingTCPServer(anywhere, Patient), function(server)
      local one <close> = begun(server)
      local two <close> = begun(server)
      two:sendall "two"
      assert.are.equal("TWO", read_all(two))
      one:sendall "one"
      assert.are.equal("ONE", read_all(one))
    end)
  end)

  it("keeps what a request changes from the others", function()
    local n = 0
    local Count = answering(function()
      n = n + 1
      return n
    end)
    serving(ForkingTCPServer(anywhere, Count), function(server)
      assert.are.equal("1", ask(server, "x"))
      assert.are.equal("1", ask(server, "x"))
    end)
    assert.are.equal(0, n)
  end)

  it("closes the listening socket in the child, and the request here",
    function()
      local requests = {}
      local Server = class("Server", ForkingTCPServer, {
        verify_request = function(_, request)
          requests[#requests + 1] = request
          return true
        end,
      })
      local Closed = answering(function(self)
        return self.server.socket.closed
      end)
      serving(Server(anywhere, Closed), function(server)
        assert.are.equal("true", ask(server, "x"))
        assert.is_true(requests[1].closed)
        assert.is_false(server.socket.closed)
      end)
    end)

  it("runs a handler in a loop, where it can spawn", function()
    local Spawn = answering(function()
      local task = loop.spawn(function()
        loop.sleep(0.001)
        return "spawned"
      end)
      return task:join()
    end)
    serving(ForkingTCPServer(anywhere, Spawn), function(server)
      assert.are.equal("spawned", ask(server, "x"))
    end)
  end)

  it("calls setup, handle and finish in the child, and the hooks", function()
    local Server = class("Server", ForkingTCPServer, {
      finish_request = function(self, request, address)
        request:sendall "finish_request "
        ForkingTCPServer.finish_request(self, request, address)
      end,
      shutdown_request = function(self, request)
        request:sendall "shutdown_request"
        ForkingTCPServer.shutdown_request(self, request)
      end,
    })
    local function say(word)
      return function(self) self.request:sendall(word .. " ") end
    end
    serving(Server(anywhere, {
      setup = say "setup", handle = say "handle", finish = say "finish",
    }), function(server)
      assert.are.equal("finish_request setup handle finish shutdown_request",
        ask(server, ""))
    end)
  end)

  it("ends a connection of which another process has a copy", function()
    local Shared = answering(function(self)
      return process.fork(self.request.recv, self.request, 100):pid()
    end)
    serving(ForkingTCPServer(anywhere, Shared), function(server)
      local client <close> = connect(server)
      client:sendall "x"
      local pid = client:recv(100)
      finally(function() os.execute("kill -KILL " .. pid) end)
      assert.are.equal("", client:recv(100))
    end)
  end)

  it("goes on when a child dies", function()
    local Kill = answering(function(_, word)
      if word == "die" then
        os.execute("kill -KILL " .. core.process.getpid())
      end
      return word
    end)
    serving(ForkingTCPServer(anywhere, Kill), function(server)
      assert.are.equal("", ask(server, "die"))
      assert.are.equal("live", ask(server, "live"))
    end)
  end)

  it("hears of the end of a child, and keeps no zombie", function()
    local server = ForkingTCPServer(anywhere, Upper)
    serving(server, function()
      ask(server, "x")
      local pid, child = next(server.active_children)
      while next(server.active_children) do loop.sleep(0.001) end
      if child then
        assert.are.equal(pid, child:pid())
        assert.are.same({"exit", 0}, {child:poll()})
      end
    end)
  end)

  it("has the status 1 of a child whose request failed", function()
    local children = {}
    local Server = class("Server", ForkingTCPServer, {
      handle_error = function() end,
      close_request = function(self, request)
        for _, child in pairs(self.active_children or {}) do
          children[#children + 1] = child
        end
        ForkingTCPServer.close_request(self, request)
      end,
    })
    serving(Server(anywhere, {handle = error}), function(server)
      assert.are.equal("", ask(server, ""))
    end)
    assert.are.same({"exit", 1}, {children[1]:wait()})
  end)

  it("answers requests of a loop that does not serve for ever", function()
    local server <close> = ForkingTCPServer(anywhere, Upper)
    local client <close> = connect(server)
    client:sendall "one"
    server:handle_request()
    assert.are.equal("ONE", client:recv(100))
    assert.are.same({}, server.active_children)
  end)

  it("collects in handle_timeout what was left", function()
    local server <close> = ForkingTCPServer(anywhere, Patient)
    server.block_on_close = false
    local client <close> = connect(server)
    server:handle_request()
    local _, child = next(server.active_children)
    assert.is_truthy(child)
    client:sendall "x"
    assert.are.equal("begunX", read_all(client))
    child:wait()
    server.timeout = 0.001
    server:handle_request() -- nobody comes
    assert.are.same({}, server.active_children)
  end)

  it("collects all with collect_children(true)", function()
    local server <close> = ForkingTCPServer(anywhere, Patient)
    server.block_on_close = false
    local client <close> = connect(server)
    server:handle_request()
    server:collect_children()
    assert.is_truthy(next(server.active_children))
    client:sendall "x"
    server:collect_children(true)
    assert.are.same({}, server.active_children)
  end)
end)

describe("with max_children running", function()
  local Two = class("Two", ForkingTCPServer, {max_children = 2})

  it("a server accepts again when one has ended", function()
    serving(Two(anywhere, Patient), function(server)
      local one <close> = begun(server)
      local two <close> = begun(server)
      local three <close> = connect(server)
      three.timeout = 0.05
      assert.is_false(pcall(three.recv, three, 5))
      three.timeout = patience
      two:sendall "x"
      assert.are.equal("begun", three:recv(5))
      one:sendall "x"
      three:sendall "x"
    end)
  end)

  it("a server can be shut down", function()
    local server = Two(anywhere, Patient)
    loop.run(function()
      local task = loop.spawn(server.serve_forever, server)
      loop.sleep(0)
      local one <close> = begun(server)
      local two <close> = begun(server)
      loop.sleep(0.01)
      server:shutdown()
      one:sendall "x"
      two:sendall "x"
      task:join()
    end)
    server:server_close()
    assert.are.same({}, server.active_children)
  end)

  it("a server waits in handle_request, too", function()
    local server <close> = Two(anywhere, Patient)
    server.block_on_close, server.max_children = false, 1
    local client <close> = connect(server)
    client:sendall "x"
    server:handle_request()
    assert.are.same({}, server.active_children)
  end)
end)

-- The end -----------------------------------------------------------------

describe("the end of a forking server", function()
  it("waits for its children", function()
    local client
    serving(ForkingTCPServer(anywhere, Patient), function(server)
      client = begun(server)
      loop.spawn(function()
        loop.sleep(0.05)
        client:sendall "late"
      end)
    end)
    assert.are.equal("LATE", read_all(client))
    client:close()
  end)

  it("does not with block_on_close false", function()
    local server = ForkingTCPServer(anywhere, Patient)
    server.block_on_close = false
    local client
    serving(server, function() client = begun(server) end)
    assert.is_truthy(next(server.active_children))
    client:sendall "late"
    assert.are.equal("LATE", read_all(client))
    client:close()
    server:collect_children(true)
  end)

  it("is SIGTERM for what takes longer than drain_timeout", function()
    local server = ForkingTCPServer(anywhere, Patient)
    server.drain_timeout = 0.01
    serving(server, function()
      local client = begun(server)
      server:shutdown()
      assert.are.equal("", read_all(client))
      client:close()
    end)
    assert.are.same({}, server.active_children)
  end)

  it("is SIGKILL for what ignores that", function()
    local server = ForkingTCPServer(anywhere, {handle = function(self)
      process.ignore(process.SIGTERM)
      Patient.handle(self)
    end})
    server.drain_timeout = 0.01
    local child
    serving(server, function()
      local _client <close> = begun(server)
      child = select(2, next(server.active_children))
      server:shutdown()
    end)
    assert.are.same({"signal", process.SIGKILL}, {child:wait()})
  end)

  it("leaves no descriptor and no task", function()
    local _, before = helper.descriptors()
    serving(ForkingTCPServer(anywhere, Upper), function(server)
      for _ = 1, 5 do ask(server, "x") end
    end)
    local _, after = helper.descriptors()
    assert.are.equal(before, after)
  end)
end)

describe("shutdown", function()
  it("in a handler ends serve_forever of the parent", function()
    local server <close> = ForkingTCPServer(anywhere, answering(function(self)
      self.server:shutdown()
      return "down"
    end))
    for _ = 1, 2 do
      loop.run(function()
        local task = loop.spawn(server.serve_forever, server)
        loop.sleep(0)
        assert.are.equal("down", ask(server, "x"))
        task:join()
      end)
    end
  end)

  it("has no effect on a server that has stopped meanwhile", function()
    local server <close> = ForkingTCPServer(anywhere, {handle = function(self)
      Patient.handle(self)
      self.server:shutdown()
      self.request:sendall "!"
    end})
    server.block_on_close = false
    local client
    serving(server, function() client = begun(server) end)
    client:sendall "x"
    assert.are.equal("X!", read_all(client))
    client:close()
    server:collect_children(true)
  end)
end)

describe("SIGTERM to a forking server", function()
  local text = [[
    local server = socketserver.ForkingTCPServer({"127.0.0.1", 0}, {
      handle = function(self)
        self.request:sendall(tostring(getpid()))
        self.request:sendall(self.request:recv(100):upper())
      end})
    local guard <close> = setmetatable({}, {
      __close = function() print "closed once" end})
    print("port " .. server.server_address.port)
    server:serve_forever()
    print("stopped", server.socket.closed)
  ]]

  it("lets the children finish", function()
    local program = start(text)
    local client <close> = connect(program)
    assert.matches("^%d+$", client:recv(100))
    program:kill "TERM"
    client:sendall "word"
    assert.are.equal("WORD", read_all(client))
    local output, how = program:ending()
    assert.are.equal("stopped\ttrue\nclosed once\n", output)
    assert.are.equal("exit 0", how)
  end)

  it("does not come from one to a child", function()
    local program = start(text)
    local one <close> = connect(program)
    local child = one:recv(100)
    os.execute("kill -TERM " .. child)
    assert.are.equal("", read_all(one))
    local two <close> = connect(program)
    assert.matches("^%d+$", two:recv(100))
    two:sendall "still here"
    assert.are.equal("STILL HERE", read_all(two))
  end)

  it("at a terminal's Ctrl-C spares the children", function()
    local program = start(text)
    local client <close> = connect(program)
    local child = client:recv(100)
    os.execute("kill -INT " .. child)
    program:kill "INT"
    client:sendall "word"
    assert.are.equal("WORD", read_all(client))
    local _, how = program:ending()
    assert.are.equal("exit 0", how)
  end)
end)
