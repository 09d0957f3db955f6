-- load: what real programs that make load see of workers that are killed, of
-- reloads and of the end.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

local patience = helper.slow and 200 or 40
local seconds = 1

-- Answers HTTP requests with the number of the process, or PING as Redis does.
-- A path is noted in a file when its request is read.
local program = [[
local kind, protocol, log = ...
package.path = "examples/?.lua;" .. package.path
local csock = require "csock"
local getpid = require "csock.core".process.getpid
local http, resp = require "http", require "resp"
local socketserver = csock.socketserver

local Handler = csock.class("Handler", http.Handler)
local file = assert(io.open(log, "a"))
file:setvbuf "no"
function Handler:answer()
  if self.target ~= "/" then
    file:write(self.target .. "\n") -- in one piece: others write too
    csock.loop.sleep(0.005)
  end
  self:respond(200, "Content-Type: text/plain\r\n",
    self.target .. " " .. getpid())
end
if protocol == "redis" then
  local function pong() return "+PONG\r\n" end
  Handler = resp.handler(function() return pong end)
end

local Server = csock.class("Server", socketserver[kind], {workers = 2})
function Server:worker_ended() end
function Server:handle_error(_, _, err, traceback)
  if not csock.isinstance(err, csock.ConnectionError) then print(traceback) end
end

local server <close> = Server({"127.0.0.1", 0}, Handler)
print(server.server_address.port)
io.stdout:flush()
server:serve_forever()
print "stopped"
]]

local function need(command)
  if not helper.has(command) then
    helper.pending(command .. " is not installed")
  end
end

-- Starts the program, with its port and the name of its file.
local function start(kind, protocol)
  local directory = helper.tmpdir()
  local name = directory .. "/program.lua"
  local file <close> = assert(io.open(name, "w"))
  file:write(program)
  file:close()
  local server = helper.spawn_process(("%s %s %s %s %s/log 2>&1"):format(
    helper.lua, name, kind, protocol, directory))
  server.port = server:read "n"
  server:read "l"
  server.log = directory .. "/log"
  return server
end

local function stop(server)
  server:kill "TERM"
  assert.are.equal("stopped\n", server:read "a")
  assert.is_true(server:wait())
end

-- One request: the answer, and how much of it there is.
local function get(server, path)
  local sock <close> = csock.create_connection({"127.0.0.1", server.port},
    patience)
  sock:sendall("GET " .. path .. " HTTP/1.0\r\n\r\n")
  local input <close> = sock:makefile()
  return input:read()
end

-- A request that finds no worker dead or dying.
local function worker(server)
  while true do
    local ok, answer = pcall(get, server, "/")
    local pid = ok and answer:match "/ (%d+)$"
    if pid then return pid end
  end
end

-- wrk beside f(): the requests it made, and its errors by kind.
local function under_wrk(server, f)
  local wrk = helper.spawn_process(
    ("wrk -t 1 -c 20 -d %ds --timeout 20 http://127.0.0.1:%d/ 2>&1"):format(
    seconds, server.port))
  f()
  local text = wrk:read "a"
  local errors = {}
  for kind in ("connect read write timeout"):gmatch "%a+" do
    errors[kind] = tonumber(text:match("Socket errors:.*" .. kind .. " (%d+)"))
      or 0
  end
  assert.is_nil(text:find "Non%-2xx", text)
  return tonumber(text:match "(%d+) requests in"), errors, text
end

describe("under wrk's load", function()
  it("a worker that is killed loses only what it has in its hands", function()
    need "wrk"
    local server, kills = start("PreforkTCPServer", "http"), 0
    local requests, errors, text = under_wrk(server, function()
      for _ = 1, 3 do
        loop.sleep(0.2)
        os.execute("kill -KILL " .. worker(server))
        kills = kills + 1
      end
    end)
    assert.is_true(requests > 100, text)
    assert.are.equal(0, errors.connect, text)
    assert.are.equal(0, errors.timeout, text)
    assert.is_true(errors.read + errors.write <= 20 * kills, text)
    assert.is_truthy(worker(server))
    stop(server)
  end)

  it("a reload fails no request", function()
    need "wrk"
    local server, old = start("PreforkTCPServer", "http"), {}
    local requests, errors, text = under_wrk(server, function()
      for _ = 1, 3 do
        for _ = 1, 10 do old[worker(server)] = true end
        server:kill "HUP"
        while old[worker(server)] do loop.sleep(0.01) end
      end
    end)
    assert.is_true(requests > 100, text)
    assert.are.same({connect = 0, read = 0, write = 0, timeout = 0}, errors)
    stop(server)
  end)

  for _, kind in ipairs {"ThreadingTCPServer", "PreforkTCPServer"} do
    it("the end of a " .. kind .. " cuts no request", function()
      need "wrk"
      local server = start(kind, "http")
      local _, errors, text = under_wrk(server, function()
        loop.sleep(0.5)
        stop(server)
      end)
      -- Those that are refused afterwards are errors of writing.  A worker
      -- lets go of a socket that others share: who comes between its last
      -- accept and that is reset, a connection once at most.
      assert.is_true(errors.read <= (kind == "PreforkTCPServer" and 20 or 0),
        text)
    end)
  end
end)

describe("under redis-benchmark's load", function()
  it("a reload fails no request", function()
    need "redis-benchmark"
    local server = start("PreforkTCPServer", "redis")
    local benchmark = helper.spawn_process(
      ("redis-benchmark -p %d -c 20 -n 40000 -t ping_mbulk -q 2>&1"):format(
      server.port))
    for _ = 1, 3 do
      loop.sleep(0.1)
      server:kill "HUP"
    end
    local text = benchmark:read "a"
    assert.is_truthy(text:find "PING_MBULK: %d+", text)
    assert.is_nil(text:find "[Ee]rror", text)
    assert.are.same({true, "exit", 0}, {benchmark:wait()})
    stop(server)
  end)
end)

-- Requests that the server has read.
local function noted(server)
  local paths = {}
  for path in io.lines(server.log) do paths[path] = true end
  return paths
end

describe("SIGTERM under load", function()
  for _, kind in ipairs {"ThreadingTCPServer", "PreforkTCPServer",
    "ForkingTCPServer"} do
    for _, keep in ipairs {false, true} do
      it(("is survived by each request that %s has read, %s"):format(kind,
        keep and "one after another" or "of one connection each"), function()
        local server, answered, done = start(kind, "http"), {}, 0
        local function client(i)
          local n = 0
          repeat
            local sock <close> = csock.create_connection(
              {"127.0.0.1", server.port}, patience)
            local input <close> = sock:makefile()
            repeat
              n = n + 1
              local path = ("/%d/%d"):format(i, n)
              sock:sendall(("GET %s HTTP/1.%d\r\nHost: x\r\n\r\n"):format(path,
                keep and 1 or 0))
              local last = not keep
              for line in input:lines() do
                last = last or line:find "^Connection: close"
                if line == "\r" then break end
              end
              if input:read(#path + 1) ~= path .. " " then return end
              if last then input:read() else input:peek() input:read1() end
              answered[path] = true
              done = done + 1
            until last
          until false
        end
        loop.run(function()
          local tasks = {}
          for i = 1, 10 do
            tasks[i] = loop.spawn(pcall, client, i) -- in the end it is refused
          end
          while done < 100 do loop.sleep(0.001) end
          stop(server)
          for _, task in ipairs(tasks) do task:join() end
        end)
        local lost = {}
        for path in pairs(noted(server)) do
          if not answered[path] then lost[#lost + 1] = path end
        end
        assert.are.same({}, lost)
      end)
    end
  end
end)
