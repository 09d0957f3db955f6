-- example: how specs run what is in examples/.
-- Not here: what the programs promise (examples_spec and its kin).

local helper = require "spec.helper"
local csock = require "csock"

local example = {}

--- Starts a command; stderr comes with stdout.
function example.run(command)
  return helper.spawn_process(command .. " 2>&1")
end

--- Starts a program of examples/, by its name, with arguments.
function example.start(name, ...)
  local words = {helper.lua, "examples/" .. name .. ".lua"}
  for _, word in ipairs {...} do
    table.insert(words, helper.quote(tostring(word)))
  end
  return example.run(table.concat(words, " "))
end

--- Waits for its end: what it printed, and how it ended.
function example.ending(process)
  return process:ending()
end

--- Starts a server; it is ready, and its `port` known, when this returns.
function example.serve(name, ...)
  local server = example.start(name, ...)
  local line = server:read "l"
  server.port = tonumber(line and line:match "^serving on 127%.0%.0%.1:(%d+)$")
  assert(server.port, line)
  return server
end

--- Ends it with SIGTERM: what it printed, and how it ended.
function example.stop(server)
  server:kill "TERM"
  return example.ending(server)
end

--- Ends it, and sees to it that it has had nothing to say but its last word.
function example.stop_silent(server, word)
  local output, how = example.stop(server)
  assert(output == (word or "stopped\n") and how == "exit 0",
    how .. "\n" .. output)
end

--- Without this command the test is pending.
function example.need(command)
  if not helper.has(command) then
    helper.pending(command .. " is not installed")
  end
end

--- A connection to a server, closed after the test.
function example.connect(server)
  local sock = csock.create_connection({"127.0.0.1", server.port},
    helper.slow and 200 or 40)
  return sock
end

--- Receives exactly n bytes.
function example.take(sock, n)
  local pieces = {}
  while n > 0 do
    local piece = sock:recv(n < 65536 and n or 65536)
    if piece == "" then break end
    table.insert(pieces, piece)
    n = n - #piece
  end
  return table.concat(pieces)
end

--- Receives to the end.
function example.drain(sock)
  return example.take(sock, math.huge)
end

--- What a command prints, stderr included.
function example.output(command)
  return (example.ending(example.run(command)))
end

return example
