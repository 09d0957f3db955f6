-- handler: what answers a request: classes derived from BaseRequestHandler,
-- plain tables, functions; the order of setup, handle and finish; and where
-- their errors go.  Not here: the server's own hooks (server_spec), requests
-- side by side (mixin_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local class = csock.class
local BaseRequestHandler = socketserver.BaseRequestHandler
local TCPServer = socketserver.TCPServer

-- Tools -------------------------------------------------------------------

local function failure(f, ...)
  local ok, err = pcall(f, ...)
  assert.is_false(ok, "nothing was raised")
  return err
end

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

local function read_all(sock)
  local pieces = {}
  repeat
    local data = sock:recv(4096)
    pieces[#pieces + 1] = data
  until data == ""
  return table.concat(pieces)
end

-- One request for a handler: what its client gets, what handle_error got, and
-- the client's address.
local function request(handler, words)
  local server <close> = Keeping(handler)
  local client <close> = csock.create_connection(server.server_address, 5)
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
    client.timeout = 5
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
