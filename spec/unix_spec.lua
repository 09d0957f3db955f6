-- unix: what servers on AF_UNIX do about their path; the credentials of peers.
-- Not here: that they serve (socketserver_spec), addresses (address_spec).

local helper = require "spec.helper"
local lfs = require "lfs"
local csock = require "csock"
local core = require "csock.core"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"
local refused = helper.refused

local class = csock.class
local UnixStreamServer = socketserver.UnixStreamServer
local UnixDatagramServer = socketserver.UnixDatagramServer

local kinds = {UnixStreamServer, UnixDatagramServer,
  socketserver.ThreadingUnixStreamServer,
  socketserver.ThreadingUnixDatagramServer}

local Nothing = {handle = function() end}

local function new_path() return helper.tmpdir() .. "/socket" end

local function exists(path)
  return lfs.symlinkattributes(path, "mode") ~= nil
end

-- Leaves a socket's path without the socket.
local function abandon(path, kind)
  local sock <close> = csock.socket(csock.AF_UNIX, kind)
  sock:bind(path)
end

describe("the path of a Unix server", function()
  for _, Server in ipairs(kinds) do
    local name = Server.__name

    it("is there while the server is, and goes with it: " .. name, function()
      local path = new_path()
      local server = Server(path, Nothing)
      assert.are.equal("socket", lfs.attributes(path, "mode"))
      server:server_close()
      assert.is_false(exists(path))
      server:server_close()
    end)

    it("may be one that a dead server has left: " .. name, function()
      local path = new_path()
      abandon(path, Server.socket_type)
      local server <close> = Server(path, Nothing)
      assert.are.equal(path, server.server_address)
      local client <close> = csock.socket(csock.AF_UNIX, Server.socket_type)
      assert.is_true(client:connect(path))
    end)

    it("is not taken from a server that lives: " .. name, function()
      local path = new_path()
      local server <close> = Server(path, Nothing)
      refused("EADDRINUSE", Server, path, Nothing)
      local client <close> = csock.socket(csock.AF_UNIX, Server.socket_type)
      assert.is_true(client:connect(server.server_address))
    end)
  end

  it("may be one that a dead server of another kind has left", function()
    local path = new_path()
    abandon(path, csock.SOCK_DGRAM)
    local _server <close> = UnixStreamServer(path, Nothing)
  end)

  it("is not taken from a server of another kind that lives", function()
    local path = new_path()
    local _other <close> = UnixDatagramServer(path, Nothing)
    refused("EADDRINUSE", UnixStreamServer, path, Nothing)
    assert.is_true(exists(path))
  end)

  it("is not taken from a server whose queue is full", function()
    local path = new_path()
    local Server = class("Server", UnixStreamServer, {request_queue_size = 0})
    local _server <close> = Server(path, Nothing)
    local clients = {}
    repeat
      local client = csock.socket(csock.AF_UNIX)
      clients[#clients + 1] = client
      client.timeout = 0
    until client:connect_ex(path) ~= 0
    refused("EADDRINUSE", Server, path, Nothing)
    assert.is_true(exists(path))
    for _, client in ipairs(clients) do client:close() end
  end)

  it("is not taken from what is no socket", function()
    local path = new_path()
    local file <close> = assert(io.open(path, "w"))
    file:write "precious"
    refused("EADDRINUSE", UnixStreamServer, path, Nothing)
    assert.are.equal("file", lfs.attributes(path, "mode"))
  end)

  it("stays when it is another server's by now", function()
    local path = new_path()
    local first = UnixStreamServer(path, Nothing)
    os.remove(path)
    local second <close> = UnixStreamServer(path, Nothing)
    first:server_close()
    assert.is_true(exists(path))
    second:server_close()
    assert.is_false(exists(path))
  end)

  it("may have gone when the server closes", function()
    local path = new_path()
    local _server <close> = UnixStreamServer(path, Nothing)
    os.remove(path)
  end)

  it("stays when another one's was to be bound", function()
    local path = new_path()
    local server = UnixStreamServer(path, Nothing, false)
    local _other <close> = UnixStreamServer(path, Nothing)
    refused("EADDRINUSE", server.server_bind, server)
    server:server_close()
    assert.is_true(exists(path))
  end)

  it("goes when the server cannot be activated", function()
    local path = new_path()
    local Server = class("Server", UnixStreamServer, {
      server_activate = function() error("no", 0) end,
    })
    assert.is_false(pcall(Server, path, Nothing))
    assert.is_false(exists(path))
  end)

  it("stays when a child of the process closes the server", function()
    local path = new_path()
    local server <close> = socketserver.ForkingUnixStreamServer(path, {
      handle = function(self)
        self.server:server_close()
        self.request:sendall "closed"
      end,
    })
    local client <close> = csock.socket(csock.AF_UNIX)
    client:connect(path)
    server:handle_request()
    assert.are.equal("closed", client:recv(100))
    assert.is_true(exists(path))
  end)

  it("may be an abstract name, or none", function()
    local name = "\0csock-unix-spec-" .. core.process.getpid()
    for _, address in ipairs {name, ""} do
      local server <close> = UnixStreamServer(address, Nothing)
      assert.are.equal("\0", server.server_address:sub(1, 1))
      assert.are.equal(server.socket:getsockname(), server.server_address)
      local client <close> = csock.socket(csock.AF_UNIX)
      client:connect(server.server_address)
    end
  end)
end)

describe("the mode of a Unix server", function()
  local function permissions(mode, Server)
    local path = new_path()
    local server <close> = class("Server", Server or UnixStreamServer,
      {mode = mode})(path, Nothing)
    return lfs.attributes(server.server_address, "permissions")
  end

  it("is that of its path, in octal digits", function()
    for _, Server in ipairs(kinds) do
      assert.are.equal("rw-rw----", permissions("660", Server))
    end
    assert.are.equal("rwxrwxrwx", permissions "0777")
    assert.are.equal("---------", permissions "0")
  end)

  it("is that of its path, as an integer", function()
    assert.are.equal("rw-------", permissions(6 * 64))
    assert.are.equal("rw-rw-rw-", permissions(tonumber("666", 8)))
  end)

  it("is the umask's without it", function()
    local path = new_path()
    abandon(path)
    assert.is_nil(UnixStreamServer.mode)
    assert.are.equal(lfs.attributes(path, "permissions"), permissions(nil))
  end)

  it("is refused at once when it is none", function()
    for _, mode in ipairs {"rw", "888", "", "1000", -1, 512, 1.5, true, {}} do
      local path = new_path()
      local Server = class("Server", UnixStreamServer, {mode = mode})
      local ok, err = pcall(Server, path, Nothing)
      assert.is_false(ok)
      assert.matches("unix_spec%.lua:%d+: bad mode", err)
      assert.is_false(exists(path))
    end
  end)

  it("is no matter to an abstract name", function()
    local Server = class("Server", UnixStreamServer, {mode = "600"})
    local _server <close> = Server("", Nothing)
  end)
end)

describe("peercred", function()
  local function identity()
    local pipe <close> = assert(io.popen "id -u; id -g")
    return pipe:read("n", "n")
  end

  it("tells who the client is", function()
    local seen
    local server <close> = UnixStreamServer(new_path(), {
      handle = function(self) seen = self.request.peercred end,
    })
    local client <close> = csock.socket(csock.AF_UNIX)
    client:connect(server.server_address)
    server:handle_request()
    local uid, gid = identity()
    assert.are.same({pid = core.process.getpid(), uid = uid, gid = gid}, seen)
  end)

  it("tells who the server is", function()
    local server <close> = UnixStreamServer(new_path(), Nothing)
    local client <close> = csock.socket(csock.AF_UNIX)
    client:connect(server.server_address)
    assert.are.equal(core.process.getpid(), client.peercred.pid)
  end)

  it("tells a client that is another process", function()
    local seen
    local path = helper.tmpdir()
    local server <close> = UnixStreamServer(path .. "/socket", {
      handle = function(self)
        seen = self.request.peercred
        self.request:sendall "done"
      end,
    })
    local file = assert(io.open(path .. "/client.lua", "w"))
    file:write(([[
      local csock = require "csock"
      local sock = csock.socket(csock.AF_UNIX)
      sock:connect(%q)
      sock:recv(100)
    ]]):format(server.server_address))
    file:close()
    local client = helper.spawn_process(helper.lua .. " " .. path ..
      "/client.lua")
    server.timeout = 40
    server:handle_request()
    assert.are.equal(client.pid, seen.pid)
  end)

  it("is nil where there is no such peer", function()
    local tcp <close> = csock.socket()
    local unix <close> = csock.socket(csock.AF_UNIX)
    assert.is_nil(tcp.peercred)
    assert.is_nil(unix.peercred)
  end)

  it("is both ends' of a pair", function()
    loop.run(function()
      local a, b = csock.socketpair()
      assert.are.equal(core.process.getpid(), a.peercred.pid)
      assert.are.same(a.peercred, b.peercred)
      a:close()
      b:close()
    end)
  end)

  it("cannot be set, and cannot be asked of a closed socket", function()
    local a, b = csock.socketpair()
    assert.matches("read%-only", select(2, pcall(function()
      a.peercred = {}
    end)))
    a:close()
    b:close()
    refused("EBADF", function() return a.peercred end)
  end)
end)
