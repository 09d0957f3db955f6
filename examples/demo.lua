-- demo: the documented server and client, run for the eye: both servers, three
-- slow clients at once, and, where they are installed, Python's client and nc.
-- Not a test: the specs assert what this one shows.
-- Invariant: when it ends, the servers it started have ended.
local csock = require "csock"
local loop = require "csock.loop"

local here = arg[0]:match "^(.*)/[^/]*$" or "."
local lua = arg[-1]
local failures = 0

local function quote(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

local function has(command)
  return os.execute("command -v " .. command .. " >/dev/null 2>&1") == true
end

local function say(...) print((string.format(...):gsub("\n$", ""))) end

-- Print what a command prints, and keep it.
local function show(who, command)
  local pipe <close> = assert(io.popen(command .. " 2>&1"))
  local output = pipe:read "a"
  for line in output:gmatch "[^\n]+" do say("  %-8s %s", who, line) end
  return output
end

local function expect(output, text)
  if output:find(text, 1, true) then return end
  failures = failures + 1
  say("  MISSING  %s", text)
end

-- Start server.lua on a port of the system's choice.
local function start(class)
  local pipe = assert(io.popen(("echo $$; exec %s %s 0 %s 2>&1"):format(
    quote(lua), quote(here .. "/server.lua"), class)))
  local pid = pipe:read "l"
  local line = pipe:read "l" or "nothing"
  say("\n%s, process %s: %s", class, pid, line)
  return {
    pid = pid, pipe = pipe,
    port = tonumber(line:match ":(%d+)$") or error(line),
  }
end

-- SIGTERM; then what it printed, and whether it is gone.
local function stop(server)
  os.execute("kill " .. server.pid)
  local output = server.pipe:read "a"
  local ok = server.pipe:close()
  for line in output:gmatch "[^\n]+" do say("  %-8s %s", "server", line) end
  expect(output, "stopped")
  if not ok or os.execute("kill -0 " .. server.pid .. " 2>/dev/null") then
    failures = failures + 1
    say("  MISSING  a clean end of process %s", server.pid)
  end
end

local function run_client(port, words)
  expect(show("client", ("%s %s -p %d %s"):format(quote(lua),
    quote(here .. "/client.lua"), port, words)), words:upper())
end

-- A client that connects at once and takes half a second to say a word.
local function slow(port, word, began)
  local sock <close> = csock.create_connection({"localhost", port}, 5)
  loop.sleep(0.5)
  sock:sendall(word)
  local answer = sock:recv(1024)
  say("  %-8s %s after %.2f s", "slow", answer, loop.now() - began)
  expect(answer, word:upper())
end

local function three_slow_clients(port)
  loop.run(function()
    local began, tasks = loop.now(), {}
    for i, word in ipairs {"one", "two", "three"} do
      tasks[i] = loop.spawn(slow, port, word, began)
    end
    for _, task in ipairs(tasks) do task:join() end
  end)
end

local PYTHON = [[
import socket, sys
with socket.create_connection(("localhost", int(sys.argv[1])), 5) as s:
    s.sendall(b"hello from python")
    print(s.recv(1024).decode())
]]

local function others(port)
  if has "python3" then
    expect(show("python3", ("python3 -c %s %d"):format(quote(PYTHON), port)),
      "HELLO FROM PYTHON")
  else
    say("  (python3 is not installed)")
  end
  if has "nc" then
    expect(show("nc", ("printf 'hello from nc' | nc -w 5 localhost %d"):format(
      port)), "HELLO FROM NC")
  else
    say("  (nc is not installed)")
  end
end

local server = start "TCPServer"
run_client(server.port, "hello csock, one at a time")
stop(server)

server = start "ThreadingTCPServer"
run_client(server.port, "hello csock, many at once")
three_slow_clients(server.port)
others(server.port)
stop(server)

say("\n%s", failures == 0 and "all answers came, both servers are gone" or
  failures .. " missing")
os.exit(failures == 0)
