-- interop: csock's sockets with other programs at the other end: Python's
-- socketserver and socket, nc, socat.  Payloads are random and come back
-- turned round, so that neither end can pass by echoing or by losing bytes.
-- Not here: csock's own servers (server_spec).

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local random_bytes = helper.random_bytes

local AF_INET, AF_INET6, AF_UNIX = csock.AF_INET, csock.AF_INET6, csock.AF_UNIX
local SOCK_STREAM, SOCK_DGRAM = csock.SOCK_STREAM, csock.SOCK_DGRAM
local SOCK_SEQPACKET = csock.SOCK_SEQPACKET

-- The same test twice: waits go to the system, and waits go to the loop.
local function everywhere(name, f)
  it(name .. ", outside of tasks", f)
  it(name .. ", in a task", function() loop.run(f) end)
end

local function need(command)
  if not helper.has(command) then pending("no " .. command .. " here") end
end

local has_v6 = pcall(function()
  local sock <close> = csock.socket(AF_INET6)
  sock:bind {"::1", 0}
end)

-- Sizes of payloads for streams.
local function sizes()
  local large = helper.slow and 200000 or 2000000
  return {0, 1, math.random(2, 1000), math.random(1001, 100000),
    math.random(100001, large)}
end

local function read_all(sock)
  local parts = {}
  repeat
    parts[#parts + 1] = sock:recv(math.random(1, 100000))
  until parts[#parts] == ""
  return table.concat(parts)
end

local function write_file(path, data)
  local file <close> = assert(io.open(path, "wb"))
  file:write(data)
end

local function read_file(path)
  local file <close> = assert(io.open(path, "rb"))
  return file:read "a"
end

-- A program in Python that has printed its first line; the process, the line.
local function python(program, ...)
  need "python3"
  local words = {"python3 -u -c " .. helper.quote(program)}
  for i, word in ipairs {...} do
    words[i + 1] = helper.quote(tostring(word))
  end
  local process = helper.spawn_process(table.concat(words, " "))
  return process, process:read "l"
end

-- The first line of a server, which says that it listens.
local function serving(...)
  local _, line = python(...)
  assert.is_truthy(line, "the server did not start")
  return line
end

-- csock as the client ------------------------------------------------------

local tcp_server = [[
import socket, socketserver, sys

class Turn(socketserver.BaseRequestHandler):
    def handle(self):
        parts = []
        while True:
            data = self.request.recv(65536)
            if not data:
                break
            parts.append(data)
        self.request.sendall(b"".join(parts)[::-1])

class Server(getattr(socketserver, sys.argv[1])):
    daemon_threads = True
    request_queue_size = 100

if ":" in sys.argv[2]:
    Server.address_family = socket.AF_INET6
where = sys.argv[2]
if sys.argv[1].find("Unix") < 0:
    where = (where, 0)
with Server(where, Turn) as server:
    print(server.server_address[1] if type(where) is tuple else "ready")
    server.serve_forever()
]]

local udp_server = [[
import socketserver, sys

class Turn(socketserver.BaseRequestHandler):
    def handle(self):
        data, sock = self.request
        sock.sendto(data[::-1], self.client_address)

class Server(getattr(socketserver, sys.argv[1])):
    max_packet_size = 65535

where = sys.argv[2]
if sys.argv[1].find("Unix") < 0:
    where = (where, 0)
with Server(where, Turn) as server:
    print(server.server_address[1] if type(where) is tuple else "ready")
    server.serve_forever()
]]

-- Sends each payload on a connection of its own, and checks what comes back.
local function converse(connect)
  for _, size in ipairs(sizes()) do
    local sock <close> = connect()
    local data = random_bytes(size)
    sock:sendall(data)
    sock:shutdown(csock.SHUT_WR)
    assert.is_true(read_all(sock) == data:reverse())
  end
end

describe("a client of Python's servers", function()
  everywhere("talks to TCPServer", function()
    local port = tonumber(serving(tcp_server, "TCPServer", "127.0.0.1"))
    converse(function()
      return csock.create_connection {"127.0.0.1", port}
    end)
  end)

  everywhere("talks to TCPServer with a timeout", function()
    local port = tonumber(serving(tcp_server, "TCPServer", "127.0.0.1"))
    converse(function()
      return csock.create_connection({"127.0.0.1", port}, 8)
    end)
  end)

  everywhere("talks to TCPServer over IPv6", function()
    if not has_v6 then pending "no IPv6 here" end
    local port = tonumber(serving(tcp_server, "TCPServer", "::1"))
    converse(function() return csock.create_connection {"::1", port} end)
  end)

  everywhere("talks to UnixStreamServer", function()
    local path = helper.tmpdir() .. "/server"
    serving(tcp_server, "UnixStreamServer", path)
    converse(function()
      local sock = csock.socket(AF_UNIX)
      sock:connect(path)
      return sock
    end)
  end)

  it("talks to ThreadingTCPServer from many tasks at once", function()
    local port = tonumber(serving(tcp_server, "ThreadingTCPServer",
      "127.0.0.1"))
    loop.run(function()
      local tasks = {}
      for i = 1, 20 do
        tasks[i] = loop.spawn(function()
          local sock <close> = csock.create_connection {"127.0.0.1", port}
          local data = random_bytes(math.random(1, 200000))
          sock:sendall(data)
          sock:shutdown(csock.SHUT_WR)
          return read_all(sock) == data:reverse()
        end)
      end
      for i = 1, 20 do assert.is_true(tasks[i]:join()) end
    end)
  end)

  everywhere("talks to UDPServer", function()
    local port = tonumber(serving(udp_server, "UDPServer", "127.0.0.1"))
    local sock <close> = csock.socket(AF_INET, SOCK_DGRAM)
    for _, size in ipairs {0, 1, math.random(2, 1000), 8192, 60000} do
      local data = random_bytes(size)
      sock:sendto(data, {"127.0.0.1", port})
      local answer, address = sock:recvfrom(65535)
      assert.is_true(answer == data:reverse())
      assert.are.same({"127.0.0.1", port}, {table.unpack(address)})
    end
  end)

  everywhere("talks to UnixDatagramServer", function()
    local directory = helper.tmpdir()
    local path = directory .. "/server"
    serving(udp_server, "UnixDatagramServer", path)
    local sock <close> = csock.socket(AF_UNIX, SOCK_DGRAM)
    sock:bind(directory .. "/client")
    for _, size in ipairs {1, math.random(2, 1000), 60000} do
      local data = random_bytes(size)
      sock:sendto(data, path)
      local answer, address = sock:recvfrom(65535)
      assert.is_true(answer == data:reverse())
      assert.are.equal(path, address)
    end
  end)
end)

-- csock as the server ------------------------------------------------------

-- A client that sends noise, wants it back turned round, and prints "same".
local stream_client = [[
import os, random, socket, sys
family, kind = int(sys.argv[1]), int(sys.argv[2])
where = sys.argv[3].replace("@", "\0")
print("begins")
for size in [0, 1, random.randrange(2, 1000), random.randrange(1000, 300000)]:
    with socket.socket(family, kind) as sock:
        if family == socket.AF_UNIX:
            sock.connect(where)
        else:
            sock.connect((where, int(sys.argv[4])))
        data = os.urandom(size)
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        parts = []
        while True:
            part = sock.recv(random.randrange(1, 100000))
            if not part:
                break
            parts.append(part)
        print("same" if b"".join(parts) == data[::-1] else "different")
]]

-- Serves the four connections of that client, and says what it thought.
local function serve(listener, process)
  for _ = 1, 4 do
    local sock <close> = listener:accept()
    local data = read_all(sock)
    sock:sendall(data:reverse())
    sock:shutdown(csock.SHUT_WR)
    assert.are.equal("same", process:read "l")
  end
end

local function listening(family, address)
  local listener = csock.socket(family, SOCK_STREAM)
  listener:bind(address)
  listener:listen()
  return listener
end

describe("a server for Python's sockets", function()
  for name, host in pairs {AF_INET = "127.0.0.1", AF_INET6 = "::1"} do
    everywhere("serves streams of " .. name, function()
      if name == "AF_INET6" and not has_v6 then pending "no IPv6 here" end
      local listener <close> = listening(csock[name], {host, 0})
      local process = python(stream_client, csock[name], SOCK_STREAM, host,
        listener:getsockname().port)
      serve(listener, process)
    end)
  end

  everywhere("serves Unix streams", function()
    local path = helper.tmpdir() .. "/server"
    local listener <close> = listening(AF_UNIX, path)
    serve(listener, (python(stream_client, AF_UNIX, SOCK_STREAM, path)))
  end)

  everywhere("serves abstract Unix streams, zeros and all", function()
    local name = ("\0csock-%x\0x\0"):format(math.random(0))
    local listener <close> = listening(AF_UNIX, name)
    serve(listener, (python(stream_client, AF_UNIX, SOCK_STREAM,
      (name:gsub("%z", "@")))))
  end)

  everywhere("serves UDP", function()
    local sock <close> = csock.socket(AF_INET, SOCK_DGRAM)
    sock:bind {"127.0.0.1", 0}
    local process = python([[
import os, random, socket, sys
print("begins")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.connect(("127.0.0.1", int(sys.argv[1])))
    for size in [0, 1, random.randrange(2, 1000), 60000]:
        data = os.urandom(size)
        sock.send(data)
        print("same" if sock.recv(65535) == data[::-1] else "different")
]], sock:getsockname().port)
    for _ = 1, 4 do
      local data, address = sock:recvfrom(65535)
      sock:sendto(data:reverse(), address)
      assert.are.equal("same", process:read "l")
    end
  end)

  everywhere("serves Unix datagrams", function()
    local directory = helper.tmpdir()
    local sock <close> = csock.socket(AF_UNIX, SOCK_DGRAM)
    sock:bind(directory .. "/server")
    local process = python([[
import os, random, socket, sys
print("begins")
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
    sock.bind(sys.argv[1] + "/client")
    for size in [0, 1, random.randrange(2, 1000), 60000]:
        data = os.urandom(size)
        sock.sendto(data, sys.argv[1] + "/server")
        print("same" if sock.recv(65535) == data[::-1] else "different")
]], directory)
    for _ = 1, 4 do
      local data, address = sock:recvfrom(65535)
      assert.are.equal(directory .. "/client", address)
      sock:sendto(data:reverse(), address)
      assert.are.equal("same", process:read "l")
    end
  end)

  everywhere("serves seqpackets", function()
    local listener <close> = csock.socket(AF_UNIX, SOCK_SEQPACKET)
    listener:bind(helper.tmpdir() .. "/server")
    listener:listen()
    local process = python([[
import os, random, socket, sys
print("begins")
with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
    sock.connect(sys.argv[1])
    for size in [1, random.randrange(2, 1000), 60000]:
        data = os.urandom(size)
        sock.send(data)
        print("same" if sock.recv(65535) == data[::-1] else "different")
]], listener:getsockname())
    local sock <close> = listener:accept()
    for _ = 1, 3 do
      sock:send(sock:recv(65535):reverse())
      assert.are.equal("same", process:read "l")
    end
    assert.are.equal("", sock:recv(65535))
  end)

  everywhere("hears a reset as an error", function()
    local listener <close> = listening(AF_INET, {"127.0.0.1", 0})
    python([[
import socket, struct, sys
sock = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
sock.close()
print("reset")
]], listener:getsockname().port)
    local ok, err = pcall(function()
      local sock <close> = listener:accept()
      sock:recv(1)
    end)
    assert.is_false(ok)
    assert.is_true(csock.isinstance(err, csock.ConnectionResetError),
      tostring(err))
  end)

  it("serves on a listener that Python made", function()
    -- made there, passed on as descriptor 0, adopted by csock here
    local port = tonumber(serving([=[
import os, socket, sys
listener = socket.create_server(("127.0.0.1", 0))
print(listener.getsockname()[1])
os.dup2(listener.fileno(), 0)
os.execvp("sh", ["sh", "-c", sys.argv[1]])
]=], ("%s -e %s"):format(helper.lua, helper.quote [[
      local csock = require "csock"
      local listener <close> = csock.socket(nil, nil, nil, 0)
      assert(listener.family == csock.AF_INET)
      assert(listener.type == csock.SOCK_STREAM)
      local sock <close> = listener:accept()
      sock:sendall(sock:recv(100):reverse())]])))
    local sock <close> = csock.create_connection {"127.0.0.1", port}
    sock:sendall "abc"
    assert.are.equal("cba", read_all(sock))
  end)
end)

-- nc and socat -------------------------------------------------------------

-- The command reads the file `there` and writes the file `back`.
local function exchange_files(listener, command)
  local directory = helper.tmpdir()
  local there, back = directory .. "/there", directory .. "/back"
  local data = random_bytes(math.random(1, 300000))
  write_file(there, data)
  local process = helper.spawn_process("sh -c " .. helper.quote(
    command:gsub("THERE", there):gsub("BACK", back)))
  do
    local sock <close> = listener:accept()
    assert.is_true(read_all(sock) == data)
    sock:sendall(data:reverse())
  end
  process:wait()
  assert.is_true(read_file(back) == data:reverse())
end

describe("nc", function()
  -- the one that can end its sending half
  local function need_nc()
    need "nc"
    local pipe <close> = assert(io.popen "nc -h 2>&1")
    if not pipe:read("a"):find "-N" then pending "no nc with -N here" end
  end

  everywhere("is served over TCP", function()
    need_nc()
    local listener <close> = listening(AF_INET, {"127.0.0.1", 0})
    exchange_files(listener, ("exec nc -N 127.0.0.1 %d <THERE >BACK"):format(
      listener:getsockname().port))
  end)

  everywhere("is served over a Unix stream", function()
    need_nc()
    local listener <close> = listening(AF_UNIX, helper.tmpdir() .. "/server")
    exchange_files(listener, ("exec nc -N -U %s <THERE >BACK"):format(
      listener:getsockname()))
  end)
end)

describe("socat", function()
  everywhere("is served over TCP", function()
    need "socat"
    local listener <close> = listening(AF_INET, {"127.0.0.1", 0})
    exchange_files(listener, ("exec socat -t 8 'FILE:THERE!!CREATE:BACK' " ..
      "TCP4:127.0.0.1:%d"):format(listener:getsockname().port))
  end)

  everywhere("is served over TCP on IPv6", function()
    need "socat"
    if not has_v6 then pending "no IPv6 here" end
    local listener <close> = listening(AF_INET6, {"::1", 0})
    exchange_files(listener, ("exec socat -t 8 'FILE:THERE!!CREATE:BACK' " ..
      "'TCP6:[::1]:%d'"):format(listener:getsockname().port))
  end)

  everywhere("is served over a Unix stream", function()
    need "socat"
    local listener <close> = listening(AF_UNIX, helper.tmpdir() .. "/server")
    exchange_files(listener, ("exec socat -t 8 'FILE:THERE!!CREATE:BACK' " ..
      "UNIX-CONNECT:%s"):format(listener:getsockname()))
  end)

  everywhere("is served over an abstract Unix stream", function()
    need "socat"
    local name = ("csock-%x"):format(math.random(0))
    local listener <close> = listening(AF_UNIX, "\0" .. name)
    exchange_files(listener, ("exec socat -t 8 'FILE:THERE!!CREATE:BACK' " ..
      "ABSTRACT-CONNECT:%s"):format(name))
  end)

  everywhere("serves a Unix stream", function()
    need "socat"
    local path = helper.tmpdir() .. "/server"
    helper.spawn_process("socat -t 8 UNIX-LISTEN:" .. path .. " EXEC:rev")
    local sock <close> = csock.socket(AF_UNIX)
    while not pcall(sock.connect, sock, path) do end
    sock:sendall "hello\nworld\n"
    sock:shutdown(csock.SHUT_WR)
    assert.are.equal("olleh\ndlrow\n", read_all(sock))
  end)

  everywhere("serves Unix datagrams", function()
    need "socat"
    local directory = helper.tmpdir()
    helper.spawn_process(("socat UNIX-RECVFROM:%s/server EXEC:cat"):format(
      directory))
    local sock <close> = csock.socket(AF_UNIX, SOCK_DGRAM)
    sock:bind(directory .. "/client")
    local data = random_bytes(math.random(1, 5000))
    while not pcall(sock.sendto, sock, data, directory .. "/server") do end
    assert.is_true(data == sock:recv(65535))
  end)
end)
