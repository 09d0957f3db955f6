--- resp: RESP, the protocol of Redis, on a request handler: commands come in,
-- also many at once, and the answers to all that have come go out together.
-- Give resp.handler a function for the commands; keyvalue.lua does.
local csock = require "csock"
local socketserver = require "csock.socketserver"

local READ = 65536           -- bytes that are received at once
local INLINE = 65536         -- bytes of a command that is a line
local WORDS = 1024 * 1024    -- words of a command
local LENGTH = 512 * READ * 16 -- bytes of a word
local OUT = 65536            -- bytes of answers that are gathered

local find, sub = string.find, string.sub
local resp = {}

--
-- Answers
--

function resp.error(text) return "-" .. text .. "\r\n" end

function resp.integer(n) return ":" .. n .. "\r\n" end

--- bulk(data) -> bytes as they are; of nil what stands for nothing.
function resp.bulk(data)
  if not data then return "$-1\r\n" end
  return "$" .. #data .. "\r\n" .. data .. "\r\n"
end

--- array(answers) -> one that consists of others.
function resp.array(answers)
  return "*" .. #answers .. "\r\n" .. table.concat(answers)
end

--
-- Commands
--

local NUMBERS = {} -- short cuts for tonumber
for i = 0, 999 do NUMBERS[tostring(i)] = i end

-- The number in a line behind its first byte, and where the line ends; nil and
-- nothing while it is not whole.  An error that is a string is the protocol's.
local function number(data, at, what, most)
  local stop = find(data, "\r", at, true)
  if not stop or stop == #data then
    if #data - at > 32 then error("invalid " .. what .. " length", 0) end
    return nil
  end
  local digits = sub(data, at + 1, stop - 1)
  local n = NUMBERS[digits] or find(digits, "^%d+$") and tonumber(digits)
  if not n or n > most then error("invalid " .. what .. " length", 0) end
  return n, stop + 2
end

-- A command that is a plain line, for people.
local function parse_line(data, at, words)
  local stop = find(data, "\n", at, true)
  if (stop or #data) - at > INLINE then error("too big inline request", 0) end
  if not stop then return nil, 1 end
  local count = 0
  for word in sub(data, at, stop - 1):gmatch "%S+" do
    count = count + 1
    words[count] = word
  end
  return count, stop + 1
end

-- Read the command that begins at `at` into the table `words`: how many they
-- are, and where the next one begins; nil, and at least how many bytes are
-- missing, while it is not whole.
local function parse(data, at, words)
  if data:byte(at) ~= 42 then return parse_line(data, at, words) end -- '*'
  local count, from = number(data, at, "multibulk", WORDS)
  if not count then return nil, 1 end
  local size = #data
  for i = 1, count do
    if from > size then return nil, (count - i + 1) * 6 end
    if data:byte(from) ~= 36 then -- '$'
      error(("expected '$', got '%s'"):format(sub(data, from, from)), 0)
    end
    local length, start = number(data, from, "bulk", LENGTH)
    if not length then return nil, (count - i) * 6 + 1 end
    from = start + length + 2
    if from > size + 1 then return nil, from - size - 1 + (count - i) * 6 end
    words[i] = sub(data, start, start + length - 1)
  end
  return count, from
end

--
-- Connections
--

-- One list of words for all: no command waits, so there is only one at a time.
local words, used = {}, 0

-- Carry out the commands of which all is there: the answers, as a list, where
-- the rest begins, and how many bytes are missing there; instead of the last,
-- false when this was the end.
local function execute_all(execute, data, send)
  local answers, n, bytes, at = {}, 0, 0, 1
  local missing = 1
  while at <= #data do
    local ok, count, next_at = pcall(parse, data, at, words)
    if not ok then
      answers[n + 1] = resp.error("ERR Protocol error: " .. count)
      missing = false
      break
    elseif not count then
      missing = next_at
      break
    end
    for i = count + 1, used do words[i] = nil end
    at, used = next_at, count
    if count > 0 then
      local answer, last = execute(words, count)
      n, bytes = n + 1, bytes + #answer
      answers[n] = answer
      if last then
        missing = false
        break
      elseif bytes > OUT then
        send(table.concat(answers))
        answers, n, bytes = {}, 0, 0
      end
    end
  end
  if answers[1] then send(table.concat(answers)) end
  return at, missing
end

-- Receive `missing` bytes or more, and put them behind what is left.
local function receive(request, rest, missing)
  local pieces = {rest}
  repeat
    local piece = request:recv(READ)
    if piece == "" then return nil end
    table.insert(pieces, piece)
    missing = missing - #piece
  until missing <= 0
  return table.concat(pieces)
end

--- handler(execute) -> a class of request handlers.  execute(words, count)
-- returns the answer, and true when the connection is to be closed; the words
-- are good only while it runs.
function resp.handler(execute)
  local Handler = csock.class("Handler", socketserver.BaseRequestHandler)

  function Handler:handle()
    local request = self.request
    local function send(data) request:sendall(data) end
    request.nodelay = true
    local data = request:recv(READ)
    while data and data ~= "" do
      local at, missing = execute_all(execute, data, send)
      if not missing then return end
      data = at > #data and request:recv(READ) or
        receive(request, data:sub(at), missing)
    end
  end

  return Handler
end

return resp
