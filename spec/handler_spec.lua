-- handler: what answers a request: classes derived from BaseRequestHandler,
-- plain tables, functions; the order of setup, handle and finish; and where
-- their errors go.  Not here: the server's own hooks (server_spec), requests
-- side by side (mixin_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"
local read_all = helper.read_all
local failure = helper.failure

local class = csock.class
local classof = require "csock.core".class.classof
local BaseRequestHandler = socketserver.BaseRequestHandler
local TCPServer = socketserver.TCPServer

-- Tools -------------------------------------------------------------------

-- A class of servers that keeps what handle_error gets.
local Keeping = class("Keeping", TCPServer, {
  __init = function(self, handler)
    TCPServer.__init(self, {"127.0.0.1", 0}, handler)
    self.failures = {}
  end,
  handle_error = function(self, request, client_address, err, traceback)
    table.insert(self.failures, {
      request = request, client_address = client_address, err = err,
      traceback = traceback, closed = request.closed,
    })
  end,
})

-- One request for a handler: what its client gets, what handle_error got, and
-- the client's address.
local function request(handler, words)
  local server <close> = Keeping(handler)
  local client <close> = csock.create_connection(server.server_address, 40)
  local address = client:getsockname()
  if words then client:sendall(words) end
  server:handle_request()
  return read_all(client), server.failures, address
end

-- A handler class that notes what is called, and does in it what `body` says.
local function noting(log, body)
  local members = {}
  for _, name in ipairs {"setup", "handle", "finish"} do
    members[name] = function(self)
      log[#log + 1] = name
      if body[name] then body[name](self) end
    end
  end
  return class("Noting", BaseRequestHandler, members)
end

local function no() error("no", 0) end

-- Handlers ----------------------------------------------------------------

describe("BaseRequestHandler", function()
  it("holds the request, the client's address and the server", function()
    local seen
    local server <close> = TCPServer({"127.0.0.1", 0},
      class("Handler", BaseRequestHandler, {handle = function(self)
        seen = {self.request:getpeername(), self.client_address, self.server}
      end}))
    local client <close> = csock.create_connection(server.server_address)
    server:handle_request()
    assert.are.equal(client:getsockname(), seen[1])
    assert.are.equal(client:getsockname(), seen[2])
    assert.are.equal(server, seen[3])
  end)

  it("can be made by hand, and then does nothing", function()
    local handler = BaseRequestHandler("request", "address", "server")
    assert.are.equal("request", handler.request)
    assert.are.equal("address", handler.client_address)
    assert.are.equal("server", handler.server)
    handler:setup()
    handler:handle()
    handler:finish()
  end)

  it("does nothing where nothing is overridden", function()
    local answer, failures = request(BaseRequestHandler)
    assert.are.equal("", answer)
    assert.are.equal(0, #failures)
  end)
end)

describe("a handler class", function()
  it("has setup, handle and finish called in this order", function()
    local log = {}
    request(noting(log, {}))
    assert.are.same({"setup", "handle", "finish"}, log)
  end)

  it("has all three called with the connection open", function()
    local answer = request(noting({}, {
      setup = function(self) self.request:sendall "s" end,
      handle = function(self) self.request:sendall "h" end,
      finish = function(self) self.request:sendall "f" end,
    }))
    assert.are.equal("shf", answer)
  end)

  it("reads what the client says", function()
    local answer = request(class("Upper", BaseRequestHandler, {
      handle = function(self)
        self.data = self.request:recv(100)
        self.request:sendall(self.data:upper())
      end,
    }), "hello")
    assert.are.equal("HELLO", answer)
  end)

  it("makes an instance for each request", function()
    local server <close> = Keeping(class("Handler", BaseRequestHandler, {
      handle = function(self)
        self.count = (self.count or 0) + 1
        self.request:sendall(tostring(self.count))
      end,
    }))
    for _ = 1, 2 do
      local client <close> = csock.create_connection(server.server_address)
      server:handle_request()
      assert.are.equal("1", read_all(client))
    end
  end)

  it("may have a constructor of its own, which calls the base's", function()
    local Handler = class("Handler", BaseRequestHandler, {
      __init = function(self, ...)
        class.super(self.__class, self):__init(...)
        self.greeting = "hello"
      end,
      handle = function(self) self.request:sendall(self.greeting) end,
    })
    assert.are.equal("hello", request(Handler))
  end)

  it("begins with three fields, however many others have had", function()
    local before, wrong = {}, {}
    local Many = class("Many", BaseRequestHandler, {
      setup = function(self)
        local names = {}
        for name in pairs(self) do names[#names + 1] = name end
        table.sort(names)
        before[#before + 1] = table.concat(names, " ")
      end,
      handle = function(self)
        for i = 1, #before * 3 do self["field" .. i] = i end
        for i = 1, #before * 3 do
          if self["field" .. i] ~= i then wrong[#wrong + 1] = i end
        end
      end,
    })
    for _ = 1, 8 do
      assert.are.equal(0, #select(2, request(Many)))
    end
    for i = 1, 8 do
      assert.are.equal("client_address request server", before[i])
    end
    assert.are.equal(0, #wrong)
  end)

  it("has its own finish called, whoever else finishes meanwhile", function()
    local log = {}
    local Slow = class("Slow", BaseRequestHandler, {
      handle = function(self)
        self.name = self.request:recv(100)
        self.request:recv(100)
        if self.name == "bad" then no() end
      end,
      finish = function(self)
        log[#log + 1] = self.name
        if self.name == "worse" then no() end
      end,
    })
    loop.run(function()
      local server <close> =
        socketserver.ThreadingTCPServer({"127.0.0.1", 0}, Slow)
      server.handle_signals, server.handle_error = false, function() end
      local serving, clients = loop.spawn(server.serve_forever, server), {}
      for i, name in ipairs {"a", "bad", "b", "worse", "c"} do
        clients[i] = csock.create_connection(server.server_address, 5)
        clients[i]:sendall(name)
      end
      while server.stats.active < 5 do loop.sleep(0) end
      for _, i in ipairs {3, 2, 4, 5, 1} do
        clients[i]:close()
        local left = server.stats.active
        while server.stats.active == left do loop.sleep(0) end
      end
      server:shutdown()
      serving:join()
    end)
    assert.are.equal("b bad worse c a", table.concat(log, " "))
  end)

  it("has its own finish called, whatever datagrams come meanwhile", function()
    local log, begun = {}, false
    local function noting_end(name, handle)
      return class(name, BaseRequestHandler, {
        handle = handle,
        finish = function() log[#log + 1] = name end,
      })
    end
    local Datagram = noting_end("datagram", function(self)
      while self.request[1] == "wait" and not begun do loop.sleep(0) end
    end)
    local Stream = noting_end("stream", function(self)
      begun = true
      self.request:recv(1)
    end)
    loop.run(function()
      local udp <close> = socketserver.UDPServer({"127.0.0.1", 0}, Datagram)
      local tcp <close> =
        socketserver.ThreadingTCPServer({"127.0.0.1", 0}, Stream)
      local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
      for _, word in ipairs {"pass", "wait"} do -- of one batch
        client:sendto(word, udp.server_address)
      end
      local stream = csock.create_connection(tcp.server_address, 40)
      local tasks = {}
      for i, server in ipairs {udp, tcp} do
        server.handle_signals = false
        tasks[i] = loop.spawn(server.serve_forever, server)
      end
      while #log < 2 do loop.sleep(0) end
      stream:close()
      tcp:shutdown()
      udp:shutdown()
      for _, task in ipairs(tasks) do task:join() end
    end)
    assert.are.same({"datagram", "datagram", "stream"}, log)
  end)

  it("may be derived from a handler class of the user's", function()
    local Base = class("Base", BaseRequestHandler, {
      handle = function(self) self.request:sendall(self:answer()) end,
    })
    local Derived = class("Derived", Base, {
      answer = function() return "derived" end,
    })
    assert.are.equal("derived", request(Derived))
  end)

  it("need not be derived from BaseRequestHandler", function()
    local Handler = class("Handler", {
      __init = function(self, sock) self.sock = sock end,
      handle = function(self) self.sock:sendall "plain" end,
    })
    local answer, failures = request(Handler)
    assert.are.equal("plain", answer)
    assert.are.equal(0, #failures)
  end)

  it("may do it all in its constructor", function()
    local Handler = class("Handler", {
      __init = function(_, sock) sock:sendall "constructor" end,
    })
    local answer, failures = request(Handler)
    assert.are.equal("constructor", answer)
    assert.are.equal(0, #failures)
  end)

  it("may extend the finish of its base", function()
    local log = {}
    local Base = class("Base", BaseRequestHandler, {
      finish = function() log[#log + 1] = "base" end,
    })
    local Derived
    Derived = class("Derived", Base, {
      finish = function(self)
        log[#log + 1] = "derived"
        class.super(Derived, self):finish()
      end,
    })
    request(Derived)
    assert.are.same({"derived", "base"}, log)
  end)

  it("has its finish called also when it has a __del of its own", function()
    local log = {}
    local Handler = noting(log, {})
    Handler.__del = function() end
    request(Handler)
    assert.are.same({"setup", "handle", "finish"}, log)
  end)

  it("has its finish called once when it has a __close of its own", function()
    local log = {}
    local Handler = class("Handler", BaseRequestHandler, {
      finish = function() log[#log + 1] = "finish" end,
      __close = function() log[#log + 1] = "close" end,
    })
    request(Handler)
    assert.are.equal("finish", log[1])
    assert.is_nil(table.concat(log, " "):find "finish.*finish")
  end)

  it("may close the connection itself", function()
    local answer, failures = request(class("Handler", BaseRequestHandler, {
      handle = function(self)
        self.request:sendall "done"
        self.request:close()
      end,
    }))
    assert.are.equal("done", answer)
    assert.are.equal(0, #failures)
  end)

  it("may keep the connection by detaching it", function()
    local kept
    local server <close> = Keeping(class("Handler", BaseRequestHandler, {
      handle = function(self) kept = self.request:detach() end,
    }))
    local client <close> = csock.create_connection(server.server_address)
    server:handle_request()
    local sock <close> = csock.socket(nil, nil, nil, kept)
    sock:sendall "still open"
    assert.are.equal("still open", client:recv(100))
    assert.are.equal(0, #server.failures)
  end)
end)

describe("a plain table as handler", function()
  it("answers with its handle", function()
    local answer = request {
      handle = function(self) self.request:sendall "table" end,
    }
    assert.are.equal("table", answer)
  end)

  it("has setup, handle and finish called in this order", function()
    local log = {}
    local function noted(name)
      return function() log[#log + 1] = name end
    end
    request {
      setup = noted "setup", handle = noted "handle", finish = noted "finish",
    }
    assert.are.same({"setup", "handle", "finish"}, log)
  end)

  it("has its finish called when its handle fails", function()
    local finished
    local _, failures = request {
      handle = no, finish = function() finished = true end,
    }
    assert.is_true(finished)
    assert.are.equal("no", failures[1].err)
  end)

  it("has the three instance variables", function()
    local seen
    local _, _, address = request {handle = function(self)
      seen = {self.client_address, self.server, self.request}
    end}
    assert.are.equal(address, seen[1])
    assert.is_true(class.isinstance(seen[2], Keeping))
    assert.is_true(class.isinstance(seen[3], csock.socket))
  end)

  it("finds its other members through self", function()
    local answer = request {
      greeting = "hello",
      greet = function(self) self.request:sendall(self.greeting) end,
      handle = function(self) self:greet() end,
    }
    assert.are.equal("hello", answer)
  end)

  it("is not changed by what a request keeps in self", function()
    local methods = {handle = function(self) self.data = "of one request" end}
    request(methods)
    assert.is_nil(methods.data)
    assert.is_nil(getmetatable(methods))
  end)

  it("gets members that are added later", function()
    local methods = {handle = function() end}
    local server <close> = Keeping(methods)
    for _, word in ipairs {"first", "second"} do
      methods.handle = function(self) self.request:sendall(word) end
      local client <close> = csock.create_connection(server.server_address)
      server:handle_request()
      assert.are.equal(word, read_all(client))
    end
  end)

  it("may inherit by a metatable", function()
    local base = {handle = function(self) self.request:sendall "base" end}
    local answer = request(setmetatable({}, {__index = base}))
    assert.are.equal("base", answer)
  end)
end)

describe("a function as handler", function()
  it("may answer by itself", function()
    local answer, failures = request(function(sock, address, server)
      assert.are.equal(sock:getpeername(), address)
      assert.is_true(class.isinstance(server, Keeping))
      sock:sendall "function"
    end)
    assert.are.equal("function", answer)
    assert.are.equal(0, #failures)
  end)

  for name, value in pairs {
    ["true"] = true, ["false"] = false, ["a number"] = 42,
    ["a string"] = "setup", ["a function"] = print, ["a table"] = {},
  } do
    it("may return anything, as in Python: " .. name, function()
      local answer, failures = request(function(sock)
        sock:sendall "function"
        return value
      end)
      assert.are.equal("function", answer)
      assert.are.equal(0, #failures)
    end)
  end

  it("may make an instance of a handler class", function()
    local log = {}
    local Handler = noting(log, {
      handle = function(self) self.request:sendall(self.word) end,
    })
    local answer = request(function(...)
      local handler = Handler(...)
      handler.word = "made"
      return handler
    end)
    assert.are.equal("made", answer)
    assert.are.same({"setup", "handle", "finish"}, log)
  end)

  it("may fail", function()
    local _, failures = request(no)
    assert.are.equal("no", failures[1].err)
  end)

  it("may be any object that can be called", function()
    local answer, failures = request(setmetatable({}, {
      __call = function(_, sock) sock:sendall "callable" end,
    }))
    assert.are.equal("callable", answer)
    assert.are.equal(0, #failures)
  end)
end)

describe("what is no handler", function()
  local function refused(what)
    local _, before = helper.descriptors()
    local err = failure(function()
      TCPServer({"127.0.0.1", 0}, what)
    end)
    local _, after = helper.descriptors()
    assert.matches("bad argument #2 to 'TCPServer' %(request handler", err)
    assert.matches("handler_spec%.lua:%d+: ", err)
    assert.are.equal(before, after)
  end

  it("is refused by name at once: nothing", function() refused(nil) end)
  it("is refused by name at once: a number", function() refused(42) end)
  it("is refused by name at once: a string", function() refused "Handler" end)
  it("is refused by name at once: a boolean", function() refused(true) end)
  it("is refused by name at once: an empty table", function() refused {} end)
  it("is refused by name at once: an instance", function()
    refused(BaseRequestHandler())
  end)
end)

-- Errors ------------------------------------------------------------------

describe("an error in a handler", function()
  it("goes to handle_error, and ends there", function()
    local _, failures = request(noting({}, {handle = no}))
    assert.are.equal(1, #failures)
    assert.are.equal("no", failures[1].err)
  end)

  it("is the object that was raised", function()
    local object = {}
    local _, failures = request(noting({}, {
      handle = function() error(object) end,
    }))
    assert.are.equal(object, failures[1].err)
  end)

  it("comes with the request, still open, and the client", function()
    local _, failures, address = request(noting({}, {handle = no}))
    assert.is_true(class.isinstance(failures[1].request, csock.socket))
    assert.is_false(failures[1].closed)
    assert.are.equal(address, failures[1].client_address)
  end)

  it("comes with a traceback that has the handler's line", function()
    local line
    local _, failures = request(noting({}, {handle = function()
      line = debug.getinfo(1, "l").currentline + 1
      local _ = nil + 1
    end}))
    local where = "handler_spec.lua:" .. line .. ":"
    local traceback = failures[1].traceback
    assert.is_truthy(traceback:find(where .. " attempt to perform", 1, true))
    assert.is_truthy(traceback:find "stack traceback:\n")
    local _, first = traceback:find(where, 1, true)
    assert.is_truthy(traceback:find(where, first, true), traceback)
  end)

  it("comes with a traceback also when it is an object", function()
    local line
    local _, failures = request(noting({}, {handle = function(self)
      line = debug.getinfo(1, "l").currentline + 1
      self.request:connect {"127.0.0.1", 1}
    end}))
    assert.matches("EISCONN", failures[1].traceback)
    assert.matches("handler_spec%.lua:" .. line .. ": in ",
      failures[1].traceback)
  end)

  it("comes with a traceback also when it is nil", function()
    local _, failures = request(noting({}, {handle = function()
      error(nil)
    end}))
    assert.is_nil(failures[1].err)
    assert.matches("stack traceback:", failures[1].traceback)
  end)

  it("comes with a traceback also after a wait", function()
    local line
    local _, failures = request(noting({}, {handle = function(self)
      self.request:recv(1)
      line = debug.getinfo(1, "l").currentline + 1
      error "no"
    end}), "x")
    assert.matches("handler_spec%.lua:" .. line .. ": in ",
      failures[1].traceback)
  end)

  it("closes the request afterwards", function()
    local answer = request(noting({}, {handle = function(self)
      self.request:sendall "so far"
      no()
    end}))
    assert.are.equal("so far", answer)
  end)

  it("of its handle is followed by finish", function()
    local log = {}
    request(noting(log, {handle = no}))
    assert.are.same({"setup", "handle", "finish"}, log)
  end)

  it("of its setup is not followed by handle and finish", function()
    local log = {}
    local _, failures = request(noting(log, {setup = no}))
    assert.are.same({"setup"}, log)
    assert.are.equal("no", failures[1].err)
  end)

  it("of its constructor is not followed by anything", function()
    local log = {}
    local Handler = noting(log, {})
    Handler.__init = no
    local _, failures = request(Handler)
    assert.are.same({}, log)
    assert.are.equal("no", failures[1].err)
  end)

  it("of its finish goes to handle_error too", function()
    local _, failures = request(noting({}, {finish = no}))
    assert.are.equal(1, #failures)
    assert.are.equal("no", failures[1].err)
  end)

  it("of its finish wins over that of its handle, as in Python", function()
    local _, failures = request(noting({}, {
      handle = no, finish = function() error("of finish", 0) end,
    }))
    assert.are.equal(1, #failures)
    assert.are.equal("of finish", failures[1].err)
  end)

  it("that finish catches is none", function()
    local answer, failures = request(noting({}, {
      handle = function(self)
        local ok = pcall(no)
        self.request:sendall(tostring(ok))
      end,
    }))
    assert.are.equal("false", answer)
    assert.are.equal(0, #failures)
  end)

  it("does not concern the next request", function()
    local n = 0
    local server <close> = Keeping(noting({}, {handle = function(self)
      n = n + 1
      if n == 1 then no() end
      self.request:sendall "fine"
    end}))
    for _, expected in ipairs {"", "fine"} do
      local client <close> = csock.create_connection(server.server_address)
      server:handle_request()
      assert.are.equal(expected, read_all(client))
    end
  end)

  -- The handler's error, as handle_error gets it, with a traceback.
  local function failed(handle)
    local server <close> = Keeping {handle = handle}
    local client <close> = csock.create_connection(server.server_address)
    server:handle_request()
    assert.are.equal("", client:recv(1))
    local failures = server.failures
    assert.are.equal(1, #failures)
    assert.are.equal("string", type(failures[1].traceback))
    assert.are.equal(1, server.stats.failed)
    return failures[1].err
  end

  it("may be any value", function()
    for _, value in ipairs {42, false, true, {}, print, coroutine.create(no)} do
      assert.are.equal(value, failed(function() error(value) end))
    end
  end)

  it("may be an object that cannot say what it is", function()
    for _, tostring in ipairs {
      function() error "worse" end,
      function() return {} end,
      function(self) return tostring(self) end,
    } do
      local object = setmetatable({}, {__tostring = tostring})
      assert.are.equal(object, failed(function() error(object) end))
    end
  end)

  it("may be a stack that is full, Lua's or C's", function()
    local function deep() return 1 + deep() end
    assert.matches("stack overflow", failed(deep))
    local function deeper() return (("a"):gsub("a", deeper)) end
    assert.matches("C stack overflow", failed(deeper))
  end)

  it("may be a want of memory, after which it serves on", function()
    if helper.slow then return end -- their tools do not live within a limit
    local name = helper.tmpdir() .. "/hungry.lua"
    local file = assert(io.open(name, "w"))
    file:write [[
      local csock = require "csock"
      local socketserver = require "csock.socketserver"
      local Server = csock.class("Server", socketserver.TCPServer)
      function Server:handle_error(_, _, err, traceback)
        print(err, traceback)
      end
      local server <close> = Server({"127.0.0.1", 0}, {
        handle = function(self)
          local hungry = self.request:recv(100) == "hungry"
          self.request:sendall(hungry and ("x"):rep(2000000000) or "good")
        end})
      for _, word in ipairs {"hungry", "modest"} do
        local client <close> = csock.create_connection(server.server_address)
        client:sendall(word)
        server:handle_request()
        print(client:recv(100))
      end
    ]]
    file:close()
    local process = helper.spawn_process("sh -c " .. helper.quote(
      "ulimit -v 1000000; exec env " .. helper.lua .. " " .. name))
    assert.are.equal("not enough memory\tnot enough memory\n\ngood\n",
      process:read "a")
  end)

  it("of verify_request goes there too", function()
    local Server = class("Server", Keeping, {verify_request = no})
    local server <close> = Server {handle = function() end}
    local client <close> = csock.create_connection(server.server_address)
    server:handle_request()
    assert.are.equal("", client:recv(1))
    assert.are.equal("no", server.failures[1].err)
  end)

  it("is printed on stderr, and the server goes on", function()
    local directory = helper.tmpdir()
    local file = assert(io.open(directory .. "/failing.lua", "w"))
    file:write [[
      local csock = require "csock"
      local socketserver = require "csock.socketserver"
      local server <close> = socketserver.TCPServer({"127.0.0.1", 0}, {
        handle = function(self)
          local word = self.request:recv(100)
          assert(word ~= "bad", "a bad word")
          self.request:sendall(word)
        end})
      for _, word in ipairs {"bad", "good"} do
        local client <close> = csock.create_connection(server.server_address)
        client:sendall(word)
        server:handle_request()
        print(client:getsockname(), client:recv(100))
      end
    ]]
    file:close()
    local process = helper.spawn_process(("%s %s/failing.lua 2>%s/errors")
      :format(helper.lua, directory, directory))
    local first, second = process:read("l", "l")
    assert.are.equal(0, select(3, process:wait()))
    assert.matches("\tgood$", second)
    local address = first:match "^(%S+)\t$"
    local errors <close> = assert(io.open(directory .. "/errors"))
    local text = errors:read "a"
    assert.is_truthy(text:find("from " .. address .. "\n", 1, true), text)
    assert.matches("a bad word\n", text)
    assert.matches("stack traceback:\n", text)
    assert.matches("failing%.lua:6:", text)
    assert.are.equal(1, select(2, text:gsub("exception while", "")))
  end)
end)

describe("a cancellation in a handler", function()
  it("is no business of handle_error, and ends the serving", function()
    loop.run(function()
      local server <close> = Keeping(noting({}, {handle = function()
        loop.current():cancel()
        loop.sleep(0)
      end}))
      local client <close> = csock.create_connection(server.server_address)
      local task = loop.spawn(server.serve_forever, server)
      local err = failure(task.join, task)
      assert.is_true(csock.isinstance(err, loop.CancelledError))
      assert.are.equal(0, #server.failures)
      assert.are.equal("", read_all(client))
    end)
  end)

  it("of a task that the handler itself has cancelled is an error like others",
    function()
      loop.run(function()
        local server <close> = Keeping(noting({}, {handle = function(self)
          if self.request:recv(100) == "cancel" then
            local task = loop.spawn(loop.sleep, 1000)
            loop.sleep(0)
            task:cancel()
            task:join()
          end
          self.request:sendall "fine"
        end}))
        local task = loop.spawn(server.serve_forever, server)
        for _, word in ipairs {"cancel", "go on"} do
          local client <close> = csock.create_connection(server.server_address)
          client:sendall(word)
          assert.are.equal(word == "cancel" and "" or "fine",
            task:status() == "waiting" and read_all(client))
        end
        assert.are.equal(1, #server.failures)
        server:shutdown()
        task:join()
      end)
    end)

  it("is followed by finish", function()
    local log = {}
    loop.run(function()
      local server <close> = Keeping(noting(log, {handle = function()
        loop.current():cancel()
        loop.sleep(0)
      end}))
      local _client <close> = csock.create_connection(server.server_address)
      local task = loop.spawn(server.serve_forever, server)
      pcall(task.join, task)
    end)
    assert.are.same({"setup", "handle", "finish"}, log)
  end)
end)

-- Datagrams ---------------------------------------------------------------

describe("a handler of datagrams", function()
  it("gets the data and the socket to answer with", function()
    local server <close> = socketserver.UDPServer({"127.0.0.1", 0}, {
      handle = function(self)
        local data, sock = self.request[1], self.request[2]
        sock:sendto(data:upper(), self.client_address)
      end,
    })
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    client.timeout = 40
    client:sendto("hello", server.server_address)
    server:handle_request()
    local data, address = client:recvfrom(100)
    assert.are.equal("HELLO", data)
    assert.are.equal(server.server_address, address)
  end)

  it("gets a datagram without data", function()
    local seen
    local server <close> = socketserver.UDPServer({"127.0.0.1", 0}, {
      handle = function(self) seen = self.request[1] end,
    })
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    client:sendto("", server.server_address)
    server:handle_request()
    assert.are.equal("", seen)
  end)

  it("gets max_packet_size bytes at most", function()
    local seen
    local Server = class("Server", socketserver.UDPServer, {
      max_packet_size = 10,
    })
    local server <close> = Server({"127.0.0.1", 0}, {
      handle = function(self) seen = self.request[1] end,
    })
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    client:sendto("0123456789abc", server.server_address)
    server:handle_request()
    assert.are.equal("0123456789", seen)
  end)

  it("leaves the server's socket open when it fails", function()
    local failures = 0
    local Server = class("Server", socketserver.UDPServer, {
      handle_error = function() failures = failures + 1 end,
    })
    local server <close> = Server({"127.0.0.1", 0}, {handle = no})
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    for _ = 1, 2 do
      client:sendto("x", server.server_address)
      server:handle_request()
    end
    assert.are.equal(2, failures)
    assert.is_false(server.socket.closed)
  end)
end)

-- Files -------------------------------------------------------------------

local Stream = socketserver.StreamRequestHandler
local Datagram = socketserver.DatagramRequestHandler

-- A handler class with this handle, and what `members` say besides.
local function handling(base, handle, members)
  members = members or {}
  members.handle = handle
  return class("Handler", base, members)
end

-- The same as request, with what the handler asserted raised here.
local function good_request(...)
  local answer, failures = request(...)
  if failures[1] then error(failures[1].err, 0) end
  return answer
end

describe("StreamRequestHandler", function()
  it("has the attributes of Python, and a limit of lines", function()
    assert.are.equal(-1, Stream.rbufsize)
    assert.are.equal(0, Stream.wbufsize)
    assert.is_nil(Stream.timeout)
    assert.is_false(Stream.disable_nagle_algorithm)
    assert.are.equal(65536, Stream.line_limit)
  end)

  it("reads and writes as Python and as Lua", function()
    assert.are.equal("a\nb3\n", good_request(handling(Stream, function(self)
      assert.are.equal(self.request, self.connection)
      assert.are.equal("one\n", self.rfile:readline())
      assert.are.equal("two", self.rfile:read "l")
      assert.are.equal(3, self.rfile:read "n")
      assert.are.equal(2, self.wfile:write "a\n")
      assert.are.equal(3, self.wfile:write("b", 3, "\n"))
    end), "one\ntwo\n3\n"))
  end)

  it("sends each write at once", function()
    loop.run(function()
      local server <close> = TCPServer({"127.0.0.1", 0},
        handling(Stream, function(self)
          self.wfile:write "first"
          self.rfile:readline()
        end))
      local task = loop.spawn(server.handle_request, server)
      local client <close> = csock.create_connection(server.server_address, 40)
      assert.are.equal("first", client:recv(100))
      client:sendall "\n"
      task:join()
    end)
  end)

  it("writes all, with a timeout too", function()
    local size = 4000000
    loop.run(function()
      local written
      local server <close> = Keeping(handling(Stream, function(self)
        written = self.wfile:write(("x"):rep(size))
      end, {timeout = 5}))
      local task = loop.spawn(server.handle_request, server)
      local client <close> = csock.create_connection(server.server_address, 40)
      assert.are.equal(size, #read_all(client))
      task:join()
      assert.are.equal(size, written)
      assert.are.equal(0, #server.failures)
    end)
  end)

  it("collects writes with wbufsize, and sends them in the end", function()
    loop.run(function()
      local step = {}
      local server <close> = TCPServer({"127.0.0.1", 0},
        handling(Stream, function(self)
          self.wfile:write "first "
          step.written = true
          self.rfile:readline()
          self.wfile:write "second"
        end, {wbufsize = 100}))
      local task = loop.spawn(server.handle_request, server)
      local client <close> = csock.create_connection(server.server_address, 40)
      while not step.written do loop.sleep(0) end
      client.timeout = 0
      assert.is_false(pcall(client.recv, client, 100))
      client.timeout = 40
      client:sendall "\n"
      assert.are.equal("first second", read_all(client))
      task:join()
    end)
  end)

  it("closes its files when the request ends", function()
    local kept
    good_request(handling(Stream, function(self) kept = self end))
    assert.is_true(kept.rfile.closed)
    assert.is_true(kept.wfile.closed)
    assert.is_true(kept.request.closed)
    assert.are.equal(-1, kept.request:fileno())
  end)

  it("makes its files by the makefile that the connection has", function()
    local modes = {}
    local Own = class("Own", csock.socket, {
      makefile = function(self, mode, size)
        modes[#modes + 1] = mode .. " " .. size
        return csock.socket.makefile(self, mode, size)
      end,
    })
    local a, b = csock.socketpair()
    local connection <close> = Own(nil, nil, nil, a:detach())
    local handler = Stream(connection, nil, nil)
    handler:setup()
    handler.wfile:write "hello"
    assert.are.equal("hello", b:recv(100))
    assert.are.equal("rb -1, wb 0", table.concat(modes, ", "))
    handler:finish()
    assert.is_true(handler.rfile.closed)
    b:close()
  end)

  it("has files like those that makefile gives", function()
    good_request(handling(Stream, function(self)
      local rfile, wfile = self.rfile, self.wfile
      for f, mode in pairs {[rfile] = "rb", [wfile] = "wb"} do
        assert.is_true(csock.isinstance(f, csock.file))
        assert.are.equal(mode, f.mode)
        assert.are.equal(mode == "rb", f:readable())
        assert.are.equal(mode == "wb", f:writable())
        assert.are.equal(self.request:fileno(), f.name)
      end
      assert.are.equal(65536, rfile.maxline)
    end))
  end)

  it("refuses sizes as makefile does", function()
    for name, wrong in pairs {
      rbufsize = "many", wbufsize = 1.5, line_limit = -1,
    } do
      local _, failures = request(handling(Stream, nil, {[name] = wrong}))
      assert.matches("^bad ", tostring(failures[1].err))
    end
  end)

  it("closes its files when the connection is closed already", function()
    local kept
    good_request(handling(Stream, function(self)
      kept = self
      self.wfile:write "late"
      self.request:close()
    end, {wbufsize = 100}))
    assert.is_true(kept.rfile.closed)
    assert.is_true(kept.wfile.closed)
  end)

  it("sends in the end what a client takes slowly", function()
    local size = 4000000
    loop.run(function()
      local server <close> = Keeping(handling(Stream, function(self)
        self.wfile:write(("x"):rep(size))
      end, {wbufsize = size + 1}))
      local task = loop.spawn(server.handle_request, server)
      local client <close> = csock.create_connection(server.server_address, 5)
      assert.are.equal(size, #read_all(client))
      task:join()
      assert.are.equal(0, #server.failures)
    end)
  end)

  it("lets handle close the files", function()
    assert.are.equal("bye", good_request(handling(Stream, function(self)
      self.wfile:write "bye"
      self.wfile:close()
      self.rfile:close()
    end, {wbufsize = 100})))
  end)

  -- The client has gone before what was collected is sent.
  it("takes a client that has gone in the end for no error", function()
    local server <close> = Keeping(handling(Stream, function(self)
      self.wfile:write "for nobody"
      self.request:shutdown(csock.SHUT_WR)
    end, {wbufsize = 100}))
    local client <close> = csock.create_connection(server.server_address, 40)
    server:handle_request()
    assert.are.equal("", client:recv(1))
    assert.are.equal(0, #server.failures)
  end)

  it("has its timeout for each wait", function()
    local _, failures = request(handling(Stream, function(self)
      self.rfile:readline()
    end, {timeout = 0.01}))
    assert.is_true(csock.isinstance(failures[1].err, csock.timeout))
  end)

  it("can disable Nagle's algorithm", function()
    for _, flag in ipairs {true, false} do
      local nodelay
      good_request(handling(Stream, function(self)
        nodelay = self.connection.nodelay
      end, {disable_nagle_algorithm = flag}))
      assert.are.equal(flag, nodelay)
    end
  end)

  it("limits the lines that rfile reads", function()
    local _, failures = request(handling(Stream, function(self)
      self.rfile:readline()
    end, {line_limit = 100}), ("x"):rep(101))
    assert.are.equal("EMSGSIZE", failures[1].err.code)
  end)

  it("takes lines within the limit, and of any length without", function()
    for limit, length in pairs {[100] = 99, [false] = 100000} do
      local line = ("x"):rep(length) .. "\n"
      assert.are.equal(#line .. "", good_request(handling(Stream,
        function(self) self.wfile:write(#self.rfile:readline()) end,
        {line_limit = limit}), line))
    end
  end)

  it("may be unbuffered, and leaves the rest to the socket", function()
    assert.are.equal("rest", good_request(handling(Stream, function(self)
      self.rfile:readline()
      self.request:sendall(self.request:recv(100))
    end, {rbufsize = 0}), "line\nrest"))
  end)

  it("may extend setup and finish by its base's", function()
    local Mine
    Mine = handling(Stream, function(self) self.wfile:write "handle " end, {
      setup = function(self)
        class.super(Mine, self):setup()
        self.wfile:write "setup "
      end,
      finish = function(self)
        self.wfile:write "finish"
        class.super(Mine, self):finish()
      end,
    })
    assert.are.equal("setup handle finish", good_request(Mine))
  end)
end)

describe("DatagramRequestHandler", function()
  -- One datagram for a handler: what its client gets, what handle_error got.
  local function ask(handle, data)
    local Server = class("Server", socketserver.UDPServer, {
      handle_error = function(_, _, _, err) error(err, 0) end,
    })
    local server <close> = Server({"127.0.0.1", 0}, handling(Datagram, handle))
    local client <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    client.timeout = 40
    client:sendto(data, server.server_address)
    server:handle_request()
    return client:recv(10000)
  end

  it("has the packet and the server's socket", function()
    local answer = ask(function(self)
      assert.are.equal("hello", self.packet)
      assert.are.equal(self.server.socket, self.socket)
      self.wfile:write(self.packet:upper())
    end, "hello")
    assert.are.equal("HELLO", answer)
  end)

  it("sends one datagram, in the end", function()
    assert.are.equal("one 2 three four", ask(function(self)
      assert.are.equal(6, self.wfile:write("one ", 2, " "))
      self.wfile:writelines {"three", csock.buffer " four"}
      assert.are.equal(16, self.wfile:tell())
      assert.is_true(self.wfile:flush())
      assert.are.equal("one 2 three four", self.wfile:getvalue())
      assert.is_true(self.wfile:writable())
      assert.is_false(self.wfile:readable())
    end, ""))
  end)

  it("keeps what a finalizer writes meanwhile", function()
    local piece, written = ("x"):rep(1000), false
    local before = collectgarbage "generational"
    finally(function()
      collectgarbage "restart"
      collectgarbage(before)
    end)
    ask(function(self)
      local wfile = classof(self.wfile)()
      collectgarbage "stop"
      setmetatable({}, {__gc = function()
        for _ = 1, 20 do wfile:write(piece) end
        written = true
      end})
      collectgarbage "restart" -- and comes round at once
      wfile:write(1, 1, piece, piece, piece, piece)
      assert.is_true(written)
      local whole = wfile:getvalue()
      assert.are.equal(24002, #whole)
      assert.are.equal(24002, wfile:tell())
      assert.are.equal("", (whole:gsub("[1x]", "")))
    end, "")
  end)

  it("sends an empty one when nothing was written, as Python", function()
    assert.are.equal("", ask(function() end, "hello"))
  end)

  it("sends what was written before wfile was closed", function()
    assert.are.equal("bye", ask(function(self)
      do
        local wfile <close> = self.wfile
        wfile:write "bye"
      end
      assert.is_true(self.wfile.closed)
      local err = failure(function()
        self.wfile:write "more"
      end)
      assert.matches("handler_spec.lua:%d+: I/O operation on closed file", err)
    end, "hello"))
  end)

  it("keeps what was written as it was", function()
    local data = csock.buffer "abc"
    assert.are.equal("abcABC12", ask(function(self)
      self.wfile:write()
      self.wfile:write "" -- no piece at all
      self.wfile:write(data)
      data[1] = 120
      self.wfile:write "ABC"
      assert.are.equal("abcABC", self.wfile:getvalue())
      self.wfile:write(12)
    end, ""))
  end)

  it("sends many pieces, small and large", function()
    local pieces = {}
    for i = 1, 700 do pieces[i] = ("%d,"):format(i):rep(i % 7) end
    assert.are.equal(table.concat(pieces), ask(function(self)
      for i, piece in ipairs(pieces) do
        if i % 3 == 0 then
          self.wfile:writelines {piece}
        else
          self.wfile:write(piece)
        end
      end
      assert.are.equal(#table.concat(pieces), self.wfile:tell())
    end, ""))
  end)

  it("refuses to write what is no data, and writes nothing then", function()
    assert.are.equal("", ask(function(self)
      assert.matches("bad argument #2 to 'write' %(string or buffer",
        failure(self.wfile.writelines, self.wfile, {"a", true}))
      for _, value in ipairs {{}, true, io.stdout} do
        assert.matches("bad argument #2 to 'write' %(string or buffer",
          failure(self.wfile.write, self.wfile, "a", value))
      end
    end, "hello"))
  end)

  it("reads by Python's methods", function()
    ask(function(self)
      local rfile = self.rfile
      assert.are.equal("one\n", rfile:readline())
      assert.are.equal("t", rfile:peek():sub(1, 1))
      assert.are.equal("two", rfile:read(3))
      assert.are.same({"\n", "three\n"}, rfile:readlines(6))
      local buffer = csock.buffer(2)
      assert.are.equal(2, rfile:readinto(buffer))
      assert.are.equal("fo", tostring(buffer))
      assert.are.equal("u", rfile:read1(1))
      assert.are.equal("r", rfile:read())
      assert.are.equal("", rfile:read())
      assert.are.equal("", rfile:read(1))
      assert.are.equal("", rfile:read1())
      assert.are.equal("", rfile:peek())
      assert.are.equal("", rfile:readline())
      assert.are.same({}, rfile:readlines())
      assert.are.equal(0, rfile:readinto(buffer))
      assert.are.equal(-1, rfile:fileno())
      assert.are.equal("rb", rfile.mode)
    end, "one\ntwo\nthree\nfour")
  end)

  it("reads by Lua's formats", function()
    ask(function(self)
      local rfile = self.rfile
      assert.are.equal(12, rfile:read "n")
      local line, some, more = rfile:read("L", 3, 0)
      assert.are.same({" \n", "abc", ""}, {line, some, more})
      local lines = {}
      for each in rfile:lines() do lines[#lines + 1] = each end
      assert.are.same({"d", "e"}, lines)
      assert.is_nil(rfile:read "l")
      assert.is_nil((rfile:read(0, "a")))
      assert.are.equal("", rfile:read "a")
    end, "12 \nabcd\ne")
  end)

  it("reads records, to the end", function()
    ask(function(self)
      local rfile, all = self.rfile, {}
      for word in rfile:records "%1%s" do all[#all + 1] = word end
      assert.are.same({"a", "", "bc"}, all)
      for _, list in ipairs {false, {}} do
        assert.are.same({n = 1}, table.pack(rfile:readrecord("%1%s",
          list or nil)))
      end
    end, "\1a\0\2bc")
    ask(function(self)
      local rfile = self.rfile
      assert.are.same({n = 1}, table.pack(rfile:readrecord "%1%s"))
      assert.are.equal("\3ab", rfile:read())
    end, "\3ab")
    ask(function(self)
      assert.are.same({n = 1}, table.pack(self.rfile:readrecord "%1%s"))
    end, "")
  end)

  it("is its own iterator, and has all of an empty datagram", function()
    ask(function(self)
      for line in self.rfile do error("a line: " .. line) end
    end, "")
  end)

  it("never waits for more, in a task or with a timeout", function()
    loop.run(function()
      ask(function(self)
        assert.are.equal("abc", self.rfile:read(10))
        assert.is_nil(self.rfile:read "L")
      end, "abc")
    end)
    csock.setdefaulttimeout(0)
    local ok, err = pcall(ask, function(self)
      assert.are.equal("abc", self.rfile:read())
    end, "abc")
    csock.setdefaulttimeout(nil)
    assert.is_true(ok, err)
  end)

  it("reads lines of any length", function()
    ask(function(self)
      assert.are.equal(8000, #self.rfile:readline())
    end, ("x"):rep(8000))
  end)

  it("has files that are files, and have no fields", function()
    ask(function(self)
      assert.is_true(csock.isinstance(self.rfile, csock.file))
      assert.are.equal("<csock.file name=-1 mode=\"rb\">",
        tostring(self.rfile))
      assert.are.equal(3, self.rfile.pending)
      self.rfile.maxline = 2
      assert.matches("Message too long", failure(function()
        self.rfile:read "l"
      end))
      assert.are.equal("abc", self.rfile:read(3))
      for _, name in ipairs {"rfile", "wfile"} do
        assert.matches("has no property 'x'", failure(function()
          self[name].x = 1
        end))
      end
      assert.is_nil(self.wfile.x)
    end, "abc")
  end)

  it("keeps the packet for rfile", function()
    local kept
    ask(function(self)
      kept = self.rfile
      self.request, self.packet = nil, nil
    end, ("x"):rep(100) .. "\n" .. ("y"):rep(100))
    for _ = 1, 3 do collectgarbage() end
    assert.are.equal(("x"):rep(100) .. "\n", kept:readline())
    assert.are.equal(("y"):rep(100), kept:read())
  end)

  it("may close rfile", function()
    ask(function(self)
      do local _rfile <close> = self.rfile end
      assert.is_true(self.rfile.closed)
      self.rfile:close()
      assert.matches("closed file", failure(self.rfile.read, self.rfile))
    end, "abc")
  end)
end)
