-- udp_server: datagrams that servers take in batches: their order, hooks,
-- errors, limits, and what becomes of a batch when its server stops.
-- Not here: one datagram and its handler (server_spec, handler_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local class = csock.class
local UDPServer = socketserver.UDPServer
local ThreadingUDPServer = socketserver.ThreadingUDPServer
local BaseRequestHandler = socketserver.BaseRequestHandler

local anywhere = {"127.0.0.1", 0}

-- A handler class that does this for each datagram.
local function handler(handle)
  return class("Handler", BaseRequestHandler, {handle = handle})
end

local function echo(self)
  self.request[2]:sendto(self.request[1], self.client_address)
end

local function client_of(server)
  local sock = csock.socket(server.address_family, csock.SOCK_DGRAM)
  sock.timeout = 40
  if server.address_family == csock.AF_UNIX then
    sock:bind(helper.tmpdir() .. "/client")
  end
  sock:connect(server.server_address)
  return sock
end

-- f(client, task) beside a server that finds these datagrams waiting.
local function burst(server, datagrams, f)
  return loop.run(function()
    local _server <close> = server
    local client <close> = client_of(server)
    for _, data in ipairs(datagrams) do client:send(data) end
    local task = loop.spawn(server.serve_forever, server)
    local result = f(client, task)
    server:shutdown()
    task:join()
    return result
  end)
end

local function numbers(n)
  local list = {}
  for i = 1, n do list[i] = tostring(i) end
  return list
end

local function receive(client, n)
  local list = {}
  for i = 1, n do list[i] = client:recv(65536) end
  return list
end

-- What would be left in the system's queue: the next datagram, or nil.
local function queued(sock)
  local ok, data = pcall(sock.recv, sock, 65536, csock.MSG_DONTWAIT)
  return ok and data or nil
end

local has_ipv6 = pcall(function()
  local sock <close> = csock.socket(csock.AF_INET6, csock.SOCK_DGRAM)
  sock:bind {"::1", 0}
end)

local kinds = {
  ["AF_INET"] = function(Server, Handler) return Server(anywhere, Handler) end,
  ["AF_UNIX"] = function(Server, Handler)
    local Unix = Server == UDPServer and socketserver.UnixDatagramServer or
      socketserver.ThreadingUnixDatagramServer
    return Unix(helper.tmpdir() .. "/server", Handler)
  end,
}
if has_ipv6 then
  kinds["AF_INET6"] = function(Server, Handler)
    local Server6 = class("Server6", Server,
      {address_family = csock.AF_INET6})
    return Server6({"::1", 0}, Handler)
  end
end

for name, Server in pairs {UDPServer = UDPServer,
  ThreadingUDPServer = ThreadingUDPServer} do

  describe("a batch of " .. name, function()
    for kind, make in pairs(kinds) do
      it("is answered in its order, " .. kind, function()
        local count = kind == "AF_UNIX" and 9 or 70 -- what a queue may hold
        local server = make(Server, handler(echo))
        server.batch_size = 4
        local sent = numbers(count)
        assert.are.same(sent, burst(server, sent, function(client)
          return receive(client, count)
        end))
      end)
    end

    it("is taken at once, batch_size of them at most", function()
      local left = {}
      local server = Server(anywhere, handler(function(self)
        left[#left + 1] = queued(self.request[2]) or "none"
        echo(self)
      end))
      server.batch_size = 3
      local got = burst(server, numbers(5), function(client)
        return receive(client, 3)
      end)
      assert.are.same({"1", "2", "3"}, got)
      assert.are.same({"4", "5", "none"}, left)
    end)

    it("cuts each to max_packet_size, and has empty ones", function()
      local server = Server(anywhere, handler(echo))
      server.max_packet_size = 5
      assert.are.same({"12345", "", "abcde", "x"},
        burst(server, {"1234567", "", "abcdefgh", "x"}, function(client)
          return receive(client, 4)
        end))
    end)

    it("has datagrams of the greatest size", function()
      local server = Server(anywhere, handler(function(self)
        self.request[1] = tostring(#self.request[1])
        echo(self)
      end))
      server.max_packet_size = 65536
      assert.are.same({"65507", "65507"},
        burst(server, {("a"):rep(65507), ("b"):rep(65507)}, function(client)
          return receive(client, 2)
        end))
    end)

    -- What may be changed while it waits: how, and what is answered then.
    local function shout(self)
      local data = self.request[1]:upper()
      self.request[2]:sendto(data, self.client_address)
    end
    local function answers(data)
      return function(self, request, client_address)
        request[2]:sendto(data, client_address)
        return false
      end
    end
    local changes = {
      ["a class's handle"] = function(_, _, Handler)
        Handler.handle = shout
        return "B"
      end,
      ["a class's setup"] = function(_, _, Handler)
        function Handler:setup() self.request[1] = "setup" end
        return "setup"
      end,
      ["a class's finish"] = function(_, _, Handler)
        Handler.handle = function() end
        Handler.finish = shout
        return "B"
      end,
      ["a class's constructor"] = function(_, _, Handler)
        function Handler:__init(...)
          BaseRequestHandler.__init(self, ...)
          self.request[1] = "init"
        end
        return "init"
      end,
      ["RequestHandlerClass"] = function(server)
        server.RequestHandlerClass = handler(shout)
        return "B"
      end,
      ["the server's batch_size"] = function(server)
        server.batch_size = 1
        return "b"
      end,
      ["the server's __dict"] = function(server)
        server.__dict.finish_request = answers "dict"
        return "dict"
      end,
      ["service_actions"] = function(server)
        function server:service_actions()
          self.RequestHandlerClass = handler(shout)
        end
        return "B", "b" -- they come after a turn
      end,
      ["its class's get_request"] = function(_, Mine)
        function Mine:get_request()
          local request, client_address = UDPServer.get_request(self)
          request[1] = request[1] .. "!"
          return request, client_address
        end
        return "b!", "b" -- the wait for the next one has begun
      end,
    }
    for _, hook in ipairs {"verify_request", "process_request",
      "finish_request"} do
      changes["the server's " .. hook] = function(server)
        server[hook] = answers(hook)
        return hook
      end
      changes["its class's " .. hook] = function(_, Mine)
        Mine[hook] = answers(hook)
        return hook
      end
    end
    for what, change in pairs(changes) do
      it("follows a change while it waits: " .. what, function()
        local Mine, Handler = class("Mine", Server), handler(echo)
        local server = Mine(anywhere, Handler)
        burst(server, {}, function(client)
          local function ask(data)
            client:send(data)
            return client:recv(100)
          end
          for _ = 1, 3 do assert.are.equal("a", ask "a") end
          local answer, first = change(server, Mine, Handler)
          assert.are.equal(first or answer, ask "b")
          for _ = 1, 3 do assert.are.equal(answer, ask "b") end
        end)
      end)
    end

    it("has members that are properties, or items", function()
      local limit, size = nil, 3
      local Mine = class("Mine", Server)
      Mine.max_connections = class.property(function() return limit end)
      Mine.batch_size = class.property(function() return size end)
      local Any = class("Any", Server, {
        __getitem = function(_, key)
          if key == "max_connections" then return limit end
        end,
      })
      for _, Kind in ipairs {Mine, Any} do
        limit, size = nil, 3
        local now, peak = 0, 0
        local server = Kind(anywhere, handler(function(self)
          now = now + 1
          peak = math.max(peak, now)
          loop.sleep(0.005)
          now = now - 1
          echo(self)
        end))
        burst(server, numbers(3), function(client)
          receive(client, 3)
          assert.are.equal(Server == UDPServer and 1 or 3, peak)
          limit, size, peak = 1, 1, 0
          for _, data in ipairs(numbers(4)) do client:send(data) end
          receive(client, 4)
          client:send "x"
          client:send "y"
          receive(client, 2)
          limit, size, peak = 1, 32, 0
          for _, data in ipairs(numbers(4)) do client:send(data) end
          receive(client, 4)
          assert.are.equal(1, peak)
        end)
      end
    end)

    it("goes through a get_request of the user's one by one", function()
      local calls = 0
      local server = Server(anywhere, handler(echo))
      function server:get_request()
        calls = calls + 1
        local request, client_address = UDPServer.get_request(self)
        return {request[1] .. "!", request[2]}, client_address
      end
      assert.are.same({"1!", "2!", "3!"},
        burst(server, numbers(3), function(client)
          return receive(client, 3)
        end))
      assert.are.equal(3, calls)
    end)

    it("leaves a socket's own recvfrom its say", function()
      local Loud = class("Loud", csock.socket)
      function Loud:recvfrom(...)
        local data, address = csock.socket.recvfrom(self, ...)
        return data .. "!", address
      end
      local server = Server(anywhere, handler(echo), false)
      server.socket:close()
      server.socket = Loud(csock.AF_INET, csock.SOCK_DGRAM)
      server:server_bind()
      assert.are.same({"1!", "2!"}, burst(server, numbers(2), function(client)
        return receive(client, 2)
      end))
    end)

    it("sees that its socket gets a recvfrom of its own", function()
      local server = Server(anywhere, handler(echo), false)
      server.socket:close()
      server.socket = class("Open", csock.socket)(csock.AF_INET,
        csock.SOCK_DGRAM)
      server:server_bind()
      burst(server, {"1"}, function(client)
        assert.are.equal("1", client:recv(10))
        loop.sleep(0)
        function server.socket:recvfrom(...)
          local data, address = csock.socket.recvfrom(self, ...)
          return data .. "!", address
        end
        client:send "2" -- the wait for this one has begun
        assert.are.equal("2", client:recv(10))
        client:send "3"
        assert.are.equal("3!", client:recv(10))
      end)
    end)

    for _, hook in ipairs {"verify_request", "process_request",
      "finish_request", "shutdown_request", "close_request"} do
      it("calls an overridden " .. hook .. " for each", function()
        local seen = {}
        local server = Server(anywhere, handler(echo))
        local inherited = server[hook]
        server[hook] = function(self, request, client_address)
          seen[#seen + 1] = request[1]
          return inherited(self, request, client_address)
        end
        assert.are.same(numbers(3), burst(server, numbers(3), function(client)
          return receive(client, 3)
        end))
        assert.are.same(numbers(3), seen)
      end)
    end

    it("is refused one by one by verify_request", function()
      local server = Server(anywhere, handler(echo))
      function server:verify_request(request) return request[1] ~= "2" end
      assert.are.same({"1", "3"}, burst(server, numbers(3), function(client)
        return receive(client, 2)
      end))
    end)

    it("calls setup, handle and finish for each", function()
      local log = {}
      local Handler = handler(function(self)
        log[#log + 1] = "handle " .. self.request[1]
        echo(self)
      end)
      function Handler:setup() log[#log + 1] = "setup" end
      function Handler:finish() log[#log + 1] = "finish" end
      burst(Server(anywhere, Handler), numbers(2), function(client)
        return receive(client, 2)
      end)
      assert.are.equal("setup handle 1 finish setup handle 2 finish",
        table.concat(log, " "))
    end)

    it("calls finish also after an error, or a wait", function()
      local log = {}
      local Handler = handler(function(self)
        local data = self.request[1]
        if data == "2" then loop.sleep(0) end
        if data ~= "3" then error("handle " .. data, 0) end
      end)
      function Handler:finish()
        echo(self)
        if self.request[1] == "4" then error("finish 4", 0) end
      end
      local server = Server(anywhere, Handler)
      function server:handle_error(_, _, err) log[#log + 1] = err end
      local got = burst(server, numbers(5), function(client)
        return receive(client, 5)
      end)
      table.sort(got)
      table.sort(log)
      assert.are.same(numbers(5), got)
      assert.are.same({"finish 4", "handle 1", "handle 2", "handle 5"}, log)
      assert.are.equal(4, server.stats.failed)
    end)

    it("calls finish for one that is ended while it waits", function()
      local finished, event = {}, loop.Event()
      local Handler = handler(function(self)
        event:set()
        loop.sleep(self.request[1] == "1" and 100 or 0)
      end)
      function Handler:finish()
        finished[#finished + 1] = self.request[1]
      end
      local server = Server(anywhere, Handler)
      server.drain_timeout = 0
      burst(server, numbers(1), function()
        event:wait()
        server:shutdown()
        server:cancel_requests()
      end)
      assert.are.same({"1"}, finished)
    end)

    it("goes through files where the handler wants that", function()
      local Upper = class("Upper", socketserver.DatagramRequestHandler)
      function Upper:handle()
        local line, rest = self.rfile:readline(), self.rfile:read()
        self.wfile:write(line:upper(), rest)
        if self.packet == "3" then error("no", 0) end
      end
      local Counting = class("Counting", Upper)
      function Counting:setup()
        Upper.setup(self)
        self.extra = "!"
      end
      function Counting:finish()
        self.wfile:write(self.extra)
        Upper.finish(self)
      end
      local Careful = class("Careful", Upper)
      Careful.wfile = class.property(
        function(self) return self.out end,
        function(self, file)
          file:write ">"
          self.out = file
        end)
      for prefix, Handler in pairs {[""] = Upper, [">"] = Careful} do
        local server = Server(anywhere, Handler)
        function server:handle_error() end
        local sent = {"a\nb", "", "3", ("x\n"):rep(3000)}
        assert.are.same({prefix .. "A\nb", prefix, prefix .. "3",
          prefix .. "X\n" .. ("x\n"):rep(2999)},
          burst(server, sent, function(client)
            return receive(client, 4)
          end))
      end
      local server = Server(anywhere, Counting)
      assert.are.same({"A!", "B!"}, burst(server, {"a", "b"}, function(client)
        return receive(client, 2)
      end))
    end)

    it("has the setup and the finish that its class has now", function()
      local Mine = class("Mine", socketserver.DatagramRequestHandler)
      function Mine:handle()
        self.wfile:write(self.packet)
        Mine.setup = function(this)
          socketserver.DatagramRequestHandler.setup(this)
          this.wfile:write "new "
        end
        Mine.finish = function(this)
          this.wfile:write " end"
          socketserver.DatagramRequestHandler.finish(this)
        end
      end
      local server = Server(anywhere, Mine)
      server.batch_size = 2
      assert.are.same({"1 end", "2 end", "new 3 end"},
        burst(server, numbers(3), function(client)
          return receive(client, 3)
        end))
    end)

    it("makes handlers of functions and of plain tables", function()
      local Finishing = handler(function() end)
      Finishing.finish = echo
      local list = {function(request, client_address)
        request[2]:sendto(request[1], client_address)
        return true
      end, function(request, client_address, server)
        assert(server.socket == request[2])
        return Finishing(request, client_address, server)
      end, {handle = echo}, Finishing}
      for _, Handler in ipairs(list) do
        assert.are.same(numbers(3),
          burst(Server(anywhere, Handler), numbers(3), function(client)
            return receive(client, 3)
          end))
      end
    end)

    it("gives each error to handle_error with its request", function()
      local failed = {}
      local server = Server(anywhere, handler(function(self)
        if self.request[1] ~= "3" then error(self.request[1], 0) end
        echo(self)
      end))
      function server:handle_error(request, client_address, err, traceback)
        assert(traceback:find "stack traceback")
        failed[#failed + 1] = request[1] .. "=" .. err
        request[2]:sendto("failed", client_address)
      end
      assert.are.same({"failed", "failed", "3", "failed"},
        burst(server, numbers(4), function(client)
          return receive(client, 4)
        end))
      assert.are.same({"1=1", "2=2", "4=4"}, failed)
      local stats = server.stats
      assert.are.same({4, 0, 1, 3}, {stats.accepted, stats.active,
        stats.finished, stats.failed})
    end)

    it("gives it errors of setup, and those after a wait", function()
      local Handler, failed = handler(function(self)
        loop.sleep(0)
        if self.request[1] == "2" then error("late", 0) end
        echo(self)
      end), {}
      function Handler:setup()
        if self.request[1] == "1" then error("early", 0) end
        loop.sleep(0)
        if self.request[1] == "3" then error("later", 0) end
      end
      local server = Server(anywhere, Handler)
      function server:handle_error(request, client_address, err)
        loop.sleep(0)
        request[2]:sendto(request[1] .. err, client_address)
        failed[#failed + 1] = err
      end
      local got = burst(server, numbers(5), function(client)
        return receive(client, 5)
      end)
      table.sort(got)
      assert.are.same({"1early", "2late", "3later", "4", "5"}, got)
      assert.are.equal(3, #failed)
      assert.are.equal(3, server.stats.failed)
    end)

    for kind, make in pairs(kinds) do
      if kind ~= "AF_UNIX" then
        it("is answered to each of many clients, " .. kind, function()
          local addresses = {}
          local server = make(Server, handler(function(self)
            table.insert(addresses, self.client_address)
            echo(self)
          end))
          loop.run(function()
            local _server <close> = server
            local task = loop.spawn(server.serve_forever, server)
            local clients = {}
            for i = 1, 150 do clients[i] = client_of(server) end
            for turn = 1, 2 do
              for i, client in ipairs(clients) do
                client:send(i .. "/" .. turn)
              end
              for i, client in ipairs(clients) do
                assert.are.equal(i .. "/" .. turn, client:recv(10))
                assert.is_true(client:getsockname() ==
                  addresses[(turn - 1) * 150 + i])
              end
            end
            for _, client in ipairs(clients) do client:close() end
            server:shutdown()
            task:join()
          end)
        end)
      end
    end

    it("shows in the stats as far as it has been begun", function()
      local seen = {}
      local server = Server(anywhere, handler(function(self)
        local stats = self.server.stats
        seen[#seen + 1] = stats.accepted + stats.finished / 10
        echo(self)
      end))
      burst(server, numbers(3), function(client) return receive(client, 3) end)
      assert.are.same({1.0, 2.1, 3.2}, seen)
      server.batch_size = 5
      assert.are.same({3, 3}, {server.stats.accepted, server.stats.finished})
    end)

    it("is active while it is answered, not while it is waited for", function()
      local seen = {}
      local server = Server(anywhere, handler(function(self)
        seen[#seen + 1] = self.server.stats.active
        echo(self)
      end))
      function server:handle_error() seen[#seen + 1] = "failed" end
      burst(server, {}, function(client)
        for _ = 1, 3 do
          client:send "a"
          client:recv(10)
          loop.sleep(0)
          seen[#seen + 1] = server.stats.active
        end
      end)
      assert.are.same({1, 0, 1, 0, 1, 0}, seen)
    end)

    it("keeps its count when its size changes", function()
      local server = Server(anywhere, handler(function(self)
        self.server.batch_size = self.server.batch_size + 1
        echo(self)
      end))
      server.batch_size = 2
      burst(server, numbers(9), function(client) return receive(client, 9) end)
      assert.are.equal(9, server.stats.accepted)
    end)

    it("is answered to its end after shutdown", function()
      local server = Server(anywhere, handler(function(self)
        self.server:shutdown()
        echo(self)
      end))
      local got = burst(server, numbers(5), function(client, task)
        task:join()
        return receive(client, 5)
      end)
      assert.are.same(numbers(5), got)
    end)

    it("ends, with nobody to answer, when its server is closed", function()
      local count, failed = 0, 0
      local server = Server(anywhere, handler(function(self)
        count = count + 1
        self.server:server_close()
      end))
      function server:handle_error() failed = failed + 1 end
      burst(server, numbers(5), function(_, task) task:join() end)
      assert.are.same({1, 0}, {count, failed})
    end)

    it("is not taken by handle_request, but for one", function()
      local server <close> = Server(anywhere, handler(echo))
      local client <close> = client_of(server)
      client:send "1"
      client:send "2"
      server:handle_request()
      assert.are.equal("1", client:recv(10))
      assert.are.equal("2", server.socket:recv(10))
    end)

    for kind, make in pairs {
      ["csock's"] = csock.socket, ["csock.safe's"] = csock.safe.socket,
    } do
      it("passes an error of the socket, " .. kind .. ", to accept_error",
        function()
          local address = {"127.0.0.1", helper.deserted_datagrams()}
          for _, used in ipairs {false, true} do
            local errors = {}
            local server = Server(anywhere, handler(echo), false)
            server.socket:close()
            server.socket = make(csock.AF_INET, csock.SOCK_DGRAM)
            server:server_bind()
            function server:accept_error(err) errors[#errors + 1] = err.code end
            burst(server, {}, function(client)
              if used then
                client:send "a"
                assert.are.equal("a", client:recv(10))
              end
              loop.sleep(0)
              server.socket:connect(address)
              server.socket:send "x" -- nobody is there: ICMP says so
              while #errors == 0 do loop.sleep(0.001) end
            end)
            assert.are.same({"ECONNREFUSED"}, errors)
          end
        end)
    end

    it("comes from a socket of csock.safe, too", function()
      local server = Server(anywhere, handler(echo), false)
      server.socket:close()
      server.socket = csock.safe.socket(csock.AF_INET, csock.SOCK_DGRAM)
      server:server_bind()
      assert.are.same(numbers(3), burst(server, numbers(3), function(client)
        return receive(client, 3)
      end))
    end)

    it("is left, to be served later, when serve_forever is ended", function()
      local server = Server(anywhere, handler(echo))
      loop.run(function()
        local _server <close> = server
        local client <close> = client_of(server)
        local function ask(data)
          client:send(data)
          return client:recv(10)
        end
        for _, used in ipairs {false, true} do
          local task = loop.spawn(server.serve_forever, server)
          if used then assert.are.equal("a", ask "a") end
          loop.sleep(0)
          task:cancel()
          assert.is_true(csock.isinstance(select(2, pcall(task.join, task)),
            loop.CancelledError))
          task = loop.spawn(pcall, loop.timeout, 0.01, server.serve_forever,
            server)
          if used then assert.are.equal("b", ask "b") end
          local ok, err = task:join()
          assert.is_false(ok)
          assert.is_true(csock.isinstance(err, csock.timeout))
          loop.sleep(0)
          assert.are.equal(1, #loop.tasks())
        end
        client:send "c"
        local task = loop.spawn(server.serve_forever, server)
        assert.are.equal("c", client:recv(10))
        server:shutdown()
        task:join()
      end)
    end)

    it("is refused with a batch_size that is none", function()
      for _, size in ipairs {0, 1025, "4", 1.5} do
        local server <close> = Server(anywhere, handler(echo))
        server.batch_size = size
        assert.has_error(function() server:serve_forever() end,
          ("bad attribute 'batch_size' (1 to 1024 expected, got %s)"):format(
            size))
      end
    end)

    it("calls service_actions while datagrams come", function()
      local server, actions = Server(anywhere, handler(echo)), 0
      server.batch_size = 2
      function server:service_actions() actions = actions + 1 end
      burst(server, numbers(6), function(client) receive(client, 6) end)
      assert.is_true(actions >= 3)
    end)
  end)
end

describe("a batch of UDPServer", function()
  it("is a single datagram with a batch_size of 1", function()
    local server = UDPServer(anywhere, handler(function(self)
      self.request[1] = self.request[1] .. (queued(self.request[2]) or "")
      echo(self)
    end))
    server.batch_size = 1
    assert.are.same({"12", "34"}, burst(server, numbers(4), function(client)
      return receive(client, 2)
    end))
  end)

  it("is kept when handle_error ends serve_forever", function()
    local server <close> = UDPServer(anywhere, handler(function(self)
      if self.request[1] == "2" then error "no" end
      echo(self)
    end))
    function server:handle_error() error("enough", 0) end
    local client <close> = client_of(server)
    for _, data in ipairs(numbers(4)) do client:send(data) end
    assert.has_error(function() server:serve_forever() end, "enough")
    assert.are.same({"1"}, receive(client, 1))
    server:handle_request()
    assert.are.same({"3"}, receive(client, 1))
    loop.run(function()
      local task = loop.spawn(server.serve_forever, server)
      assert.are.same({"4"}, receive(client, 1))
      server:shutdown()
      task:join()
    end)
  end)

  it("is dropped after shutdown when drain_timeout has passed", function()
    local count = 0
    local server = UDPServer(anywhere, handler(function(self)
      count = count + 1
      self.server:shutdown()
    end))
    server.drain_timeout = 0
    burst(server, numbers(5), function(_, task) task:join() end)
    assert.are.equal(1, count)
  end)

  it("waits when a handler of it does", function()
    local server = UDPServer(anywhere, handler(function(self)
      if self.request[1] == "1" then loop.sleep(0.01) end
      echo(self)
    end))
    assert.are.same(numbers(3), burst(server, numbers(3), function(client)
      return receive(client, 3)
    end))
  end)
end)

describe("a batch of ThreadingUDPServer", function()
  it("goes on when handlers of it wait", function()
    local event = loop.Event()
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      if self.request[1] == "5" then event:set() else event:wait() end
      echo(self)
    end))
    local got = burst(server, numbers(5), function(client)
      return receive(client, 5)
    end)
    assert.are.equal("5", table.remove(got, 1))
    table.sort(got)
    assert.are.same(numbers(4), got)
  end)

  -- How many tasks a server begins while each of these is sent and answered.
  local function tasks_begun(server, datagrams)
    local begun
    burst(server, {}, function(client)
      local function ask(data)
        client:send(data)
        assert.are.equal(data, client:recv(10))
        loop.sleep(0)
      end
      ask "first"
      local before = loop.spawn(function() end)
      for _, data in ipairs(datagrams) do ask(data) end
      local after = loop.spawn(function() end)
      local function number(task) return tonumber(task.name:match "%d+") end
      begun = number(after) - number(before) - 1
    end)
    return begun
  end

  it("goes on in the task of the one before that did not wait", function()
    assert.are.equal(0, tasks_begun(ThreadingUDPServer(anywhere,
      handler(echo)), numbers(5)))
    local reported = 0
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      echo(self)
      error "no"
    end))
    function server:handle_error() reported = reported + 1 end
    assert.are.equal(0, tasks_begun(server, numbers(5)))
    assert.are.equal(6, reported)
  end)

  for what, handle in pairs {
    ["waits"] = function(self)
      loop.sleep(0)
      echo(self)
    end,
    ["lets others run"] = function(self)
      coroutine.yield()
      echo(self)
    end,
    ["has its handle"] = function(self)
      self.task = loop.current()
      echo(self)
    end,
    ["is in a list of tasks"] = function(self)
      loop.tasks()
      echo(self)
    end,
  } do
    it("has a task that ends with it, when that " .. what, function()
      assert.are.equal(5, tasks_begun(ThreadingUDPServer(anywhere,
        handler(handle)), numbers(5)))
    end)
  end

  it("has tasks that can be joined, and drained", function()
    local tasks, drained = {}, 0
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      tasks[#tasks + 1] = loop.current()
      if self.request[1] == "2" then coroutine.yield() end
      echo(self)
    end))
    burst(server, {}, function(client)
      for i, data in ipairs(numbers(4)) do
        client:send(data)
        while #tasks < i do loop.sleep(0) end
        server:drain()
        drained = drained + 1
        tasks[i]:join()
        assert.are.equal(data, client:recv(10))
      end
    end)
    assert.are.equal(4, drained)
  end)

  it("is taken, and answered, after one that was cancelled", function()
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      if self.request[1] == "2" then
        loop.current():cancel()
        pcall(loop.sleep, 0)
      end
      echo(self)
      if self.request[1] == "1" then loop.current():cancel() end
    end))
    burst(server, {}, function(client)
      for _ = 1, 2 do
        for _, data in ipairs(numbers(3)) do
          client:send(data)
          assert.are.equal(data, client:recv(10))
        end
        loop.sleep(0)
        for _, task in ipairs(loop.tasks()) do -- the one that waits for more
          if task.op == "recvfrom" then task.task:cancel() end
        end
      end
      assert.are.equal(0, server.stats.failed)
    end)
  end)

  it("goes on in another task when one has cancelled its own", function()
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      echo(self)
      loop.current():cancel()
    end))
    assert.are.same(numbers(5), burst(server, numbers(5), function(client)
      return receive(client, 5)
    end))
    assert.are.equal(0, server.stats.failed)
  end)

  it("is kept when serve_forever is ended", function()
    local event, task, got = loop.Event(), nil, {}
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      got[#got + 1] = self.request[1]
      if self.request[1] ~= "1" then return echo(self) end
      task:cancel()
      event:wait()
    end))
    loop.run(function()
      local _server <close> = server
      local client <close> = client_of(server)
      for _, data in ipairs(numbers(3)) do client:send(data) end
      task = loop.spawn(server.serve_forever, server)
      assert.is_true(csock.isinstance(select(2, pcall(task.join, task)),
        loop.CancelledError))
      local ok = pcall(loop.timeout, 0, server.serve_forever, server)
      assert.is_false(ok)
      loop.sleep(0)
      assert.are.same({"1"}, got)
      task = loop.spawn(server.serve_forever, server)
      assert.are.same({"2", "3"}, receive(client, 2))
      event:set()
      server:shutdown()
      task:join()
    end)
  end)

  it("has no more requests at once than max_connections", function()
    local now, peak = 0, 0
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      now = now + 1
      peak = math.max(peak, now)
      loop.sleep(0.001)
      now = now - 1
      echo(self)
    end))
    server.max_connections = 2
    local got = burst(server, numbers(9), function(client)
      return receive(client, 9)
    end)
    table.sort(got)
    assert.are.same(numbers(9), got)
    assert.are.equal(2, peak)
  end)

  it("has request_timeout for each", function()
    local failed = {}
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      if self.request[1] ~= "2" then loop.sleep(100) end
      echo(self)
    end))
    server.request_timeout = 0.01
    function server:handle_error(request, client_address, err)
      failed[#failed + 1] = csock.isinstance(err, csock.timeout)
      request[2]:sendto("late", client_address)
    end
    assert.are.same({"2", "late", "late"},
      burst(server, numbers(3), function(client)
        return receive(client, 3)
      end))
    assert.are.same({true, true}, failed)
  end)

  it("is cancelled by cancel_requests where it waits", function()
    local failed, waiting = {}, 0
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      waiting = waiting + 1
      loop.sleep(100)
    end))
    function server:handle_error(request) failed[#failed + 1] = request[1] end
    burst(server, numbers(3), function(_, task)
      while waiting < 3 do loop.sleep(0) end
      assert.are.equal(3, server.stats.active)
      server:shutdown()
      server:cancel_requests()
      task:join()
    end)
    assert.are.equal(0, server.stats.active)
    assert.are.equal(3, server.stats.failed)
    assert.are.same({}, failed)
  end)

  it("survives an error of handle_error itself", function()
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      if self.request[1] == "2" then error "no" end
      echo(self)
    end))
    local reported = 0
    function server:handle_error()
      reported = reported + 1
      error(loop.CancelledError(), 0) -- of which nobody is told
    end
    assert.are.same({"1", "3"}, burst(server, numbers(3), function(client)
      return receive(client, 2)
    end))
    assert.are.equal(1, reported)
  end)
end)

describe("datagrams in a turmoil", function()
  local roll = math.random

  -- What handlers may do before they answer.
  local ways = {
    function() loop.sleep(0) end,
    function() coroutine.yield() end,
    function() loop.sleep(roll() / 1000) end,
    function() return loop.current() end,
    function() return loop.tasks() end,
    function(server) server.RequestHandlerClass.sides = roll() end,
    function(server) server.batch_size = roll(32) end,
    function(server) server.max_connections = roll(5) end,
    function(server) server.max_connections = nil end,
    function(server) server.verify_request = nil end,
    function(server) function server:verify_request() return true end end,
  }

  -- Sends what nobody else sends, until all is answered, once.
  local function chatter(server, state)
    local client <close> = client_of(server)
    local n = 0
    while state.going do
      local wanted = {}
      for i = 1, roll(10) do wanted[tostring(n + i)] = true end
      for data in pairs(wanted) do client:send(data) end
      while next(wanted) do
        local data = client:recv(100)
        n = n + 1
        assert(wanted[data], "twice: " .. data)
        wanted[data] = nil
      end
    end
    state.answered = state.answered + n
  end

  local function serve_a_while(server)
    local timeout = roll(3) == 1 and roll() / 50 or 100
    local task = loop.spawn(pcall, loop.timeout, timeout, server.serve_forever,
      server)
    loop.sleep(roll() / 50)
    if server._serving and roll(2) == 1 then
      server:shutdown()
    else
      task:cancel()
    end
    pcall(task.join, task)
  end

  it("are answered once each, whatever is done meanwhile", function()
    local server = ThreadingUDPServer(anywhere, handler(function(self)
      local way = ways[roll(2 * #ways)]
      if way then way(self.server) end
      echo(self)
      if roll(20) == 1 then error "on purpose" end
      if roll(40) == 1 then loop.current():cancel() end
    end))
    function server:handle_error()
      if roll(5) == 1 then loop.sleep(0) end
    end
    loop.run(function()
      local _server <close> = server
      local state, clients = {going = true, answered = 0}, {}
      for i = 1, 8 do clients[i] = loop.spawn(chatter, server, state) end
      for _ = 1, 30 do serve_a_while(server) end
      local task = loop.spawn(server.serve_forever, server)
      state.going = false
      for _, client in ipairs(clients) do client:join() end
      server:drain()
      assert.are.same({state.answered, 0},
        {server.stats.accepted, server.stats.active})
      server:shutdown()
      task:join()
    end)
  end)
end)

describe("segments of UDP", function()
  -- Two sockets, and whether the system has both options.
  local function pair(server)
    local sender = client_of(server)
    local ok = csock.UDP_SEGMENT and pcall(function()
      server.socket.gro = true
      sender.segment = 100
    end)
    if ok then return sender end
    sender:close()
    helper.pending "no UDP_GRO and UDP_SEGMENT here"
  end

  local function lengths(list)
    local result = {}
    for i, data in ipairs(list) do result[i] = #data end
    return result
  end

  it("go as one and arrive as many", function()
    local server <close> = UDPServer(anywhere, handler(echo))
    local client <close> = pair(server)
    if not client then return end
    server.socket.gro = false
    client:send(("x"):rep(250))
    assert.are.same({100, 100, 50}, lengths(receive(server.socket, 3)))
    client.segment = 0
    client:sendmsg({("y"):rep(90)},
      {{csock.IPPROTO_UDP, csock.UDP_SEGMENT, ("I2"):pack(40)}})
    assert.are.same({40, 40, 10}, lengths(receive(server.socket, 3)))
  end)

  it("arrive as one, with their length, where that is wanted", function()
    local server <close> = UDPServer(anywhere, handler(echo))
    local client <close> = pair(server)
    if not client then return end
    client:send(("x"):rep(250))
    local data, ancdata = server.socket:recvmsg(65536, csock.CMSG_SPACE(4))
    assert.are.equal(250, #data)
    local level, kind, length = table.unpack(ancdata[1])
    assert.are.same({csock.IPPROTO_UDP, csock.UDP_GRO, 100},
      {level, kind, (("i"):unpack(length))})
  end)

  for _, Server in ipairs {UDPServer, ThreadingUDPServer} do
    it("are requests one by one to " .. Server.__name, function()
      local sizes = {}
      local server = Server(anywhere, handler(function(self)
        sizes[#sizes + 1] = #self.request[1]
        echo(self)
      end))
      server.max_packet_size = 90
      local sender = pair(server)
      if not sender then return server:server_close() end
      loop.run(function()
        local _server <close> = server
        local client <close> = sender
        client:send(("x"):rep(250))
        client:send ""
        client:send(("y"):rep(100))
        local task = loop.spawn(server.serve_forever, server)
        receive(client, 5)
        server:shutdown()
        task:join()
      end)
      assert.are.same({90, 90, 50, 0, 90}, sizes)
    end)
  end
end)
