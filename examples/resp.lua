--- resp: RESP, the protocol of Redis, on a request handler: commands come in,
-- also many at once, and the answers to all that have come go out together.
-- Give resp.handler what chooses functions for commands; keyvalue.lua does.
-- "At a glance" is what a table knows without reading byte by byte: in Lua each
-- call that is spared counts when commands come by the hundred thousand.
local csock = require "csock"
local socketserver = require "csock.socketserver"

local READ = 65536           -- bytes that are received at once
local INLINE = 65536         -- bytes of a command that is a line
local WORDS = 1024 * 1024    -- words of a command
local LENGTH = 512 * READ * 16 -- bytes of a word
local OUT = 65536            -- bytes of answers that are gathered
local KEEP = 4096            -- bytes of answers whose table is used again
local START <const> = 13     -- bytes behind a command's first that tell it

local concat, move = table.concat, table.move
local byte, find, sub = string.byte, string.find, string.sub
local resp = {}

--
-- Answers
--

-- Lengths and integers at a glance: to have one printed costs more than all
-- else that many a command does.
local LENGTHS, INTEGERS, THOUSANDS, REST = {}, {}, {}, {}
for i = 0, 999 do
  LENGTHS[i] = ("$%d\r\n"):format(i)
  INTEGERS[i] = (":%d\r\n"):format(i)
  REST[i] = ("%03d\r\n"):format(i)
  THOUSANDS[i] = i > 0 and ":" .. i or nil
end

function resp.error(text) return "-" .. text .. "\r\n" end

function resp.integer(n)
  local bytes = INTEGERS[n]
  if bytes then return bytes end
  bytes = THOUSANDS[n // 1000]
  return bytes and bytes .. REST[n % 1000] or ":" .. n .. "\r\n"
end

--- bulk(data) -> bytes as they are; of nil what stands for nothing.
function resp.bulk(data)
  if not data then return "$-1\r\n" end
  return (LENGTHS[#data] or "$" .. #data .. "\r\n") .. data .. "\r\n"
end

--- array(answers) -> one that consists of others.
function resp.array(answers)
  return "*" .. #answers .. "\r\n" .. concat(answers)
end

--
-- Commands.  What reads them returns false, and what is wrong, when they are
-- not what the protocol says.
--

-- The number in a line behind its first byte, and where the line ends; nil and
-- nothing while it is not whole.
local function number(data, at, what, most)
  local stop = find(data, "\r", at, true)
  if stop and stop < #data then
    local digits = sub(data, at + 1, stop - 1)
    local n = find(digits, "^[1-9]%d*$") and tonumber(digits)
    if digits == "0" then n = 0 end
    if n and n <= most then return n, stop + 2 end
  elseif #data - at <= 32 then
    return nil
  end
  return false, "invalid " .. what .. " length"
end

-- A command that is a plain line, for people.
local function parse_line(data, at, words)
  local stop = find(data, "\n", at, true)
  if (stop or #data) - at > INLINE then
    return false, "too big inline request"
  end
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
  if byte(data, at) ~= 42 then return parse_line(data, at, words) end -- '*'
  local count, from = number(data, at, "multibulk", WORDS)
  if not count then return count, from or 1 end
  local size = #data
  for i = 1, count do
    if from > size then return nil, (count - i + 1) * 6 end
    if byte(data, from) ~= 36 then -- '$'
      local got = sub(data, from, from):gsub("%c", " ")
      return false, ("expected '$', got '%s'"):format(got)
    end
    local length, start = number(data, from, "bulk", LENGTH)
    if not length then return length, start or (count - i) * 6 + 1 end
    from = start + length + 2
    if from > size + 1 then return nil, from - size - 1 + (count - i) * 6 end
    words[i] = sub(data, start, start + length - 1)
  end
  return count, from
end

-- Words of less than 100 bytes at a glance: from the four bytes before them,
-- "$5\r\n" or "$16\r", to how far behind the first their first byte and their
-- last one are.
local FIRSTS, LASTS = {}, {}
for i = 0, 99 do
  local head = ("$%d\r\n"):format(i)
  FIRSTS[sub(head, 1, 4)], LASTS[sub(head, 1, 4)] = #head, #head + i - 1
end

-- A word of any length, of which the line before it begins at `at`, and where
-- the next begins; nil when parse is to have a look at it.
local function parse_word(data, at)
  if byte(data, at) ~= 36 then return nil end -- '$'
  local length, first = number(data, at, "bulk", LENGTH)
  if not length or first + length >= #data then return nil end
  return sub(data, first, first + length - 1), first + length + 2
end

-- Commands at a glance: those that begin with the same 14 bytes, among them all
-- of the first word, are of as many words and for the same function.
local function remember(starts, data, at, words, count, f)
  local name = words[1]
  local head = ("*%d\r\n$%d\r\n%s\r\n"):format(count, #name, name)
  if #head < START or #head > START + 3 then return end
  if sub(data, at, at + #head - 1) ~= head then return end
  starts[sub(data, at, at + START)] =
    {name = name, count = count, length = #head, execute = f}
end

local function nothing() return "" end

-- A command that is not known at a glance: as parse, then the function for it,
-- and its words.
local function meet(choose, starts, data, at)
  local words = {}
  local count, next_at = parse(data, at, words)
  if not count or count == 0 then return count, next_at, nothing, words end
  local f, known = choose(words[1], count)
  if known then remember(starts, data, at, words, count, f) end
  return count, next_at, f, words
end

--
-- Connections
--

-- Lists for all connections: no command waits, so only one at a time has them.
-- They keep nothing large.
local few, ready = {}, {}

-- Carry out the commands of which all is there, and answer them: where the
-- rest begins, and how many bytes are missing there; instead of the last,
-- false when this was the end.
local function execute_all(choose, starts, data, request, sendall)
  local cut, firsts, lasts, answers = sub, FIRSTS, LASTS, ready
  local n, bytes, at, size = 0, 0, 1, #data
  local missing = 1
  while at <= size do
    local start = starts[cut(data, at, at + START)]
    local words = few
    local count, next_at, f
    if start then
      count = start.count
      next_at = at + start.length
      f = start.execute
      words[1] = start.name
      for i = 2, count do
        local head = cut(data, next_at, next_at + 3)
        local last = lasts[head]
        if last then
          words[i] = cut(data, next_at + firsts[head], next_at + last)
          next_at = next_at + last + 3
        else
          if words == few then words = move(few, 1, i - 1, 1, {}) end
          words[i], next_at = parse_word(data, next_at)
          if not next_at then break end
        end
      end
    end
    if not next_at or next_at > size + 1 then -- not known, or not whole
      count, next_at, f, words = meet(choose, starts, data, at)
    end
    if not count then
      missing = count == nil and next_at
      if not missing then
        n, bytes = n + 1, bytes + 1
        answers[n] = resp.error("ERR Protocol error: " .. next_at)
      end
      break
    end
    at = next_at
    local answer, last = f(words, count)
    n = n + 1
    bytes = bytes + #answer
    answers[n] = answer
    if last then
      missing = false
      break
    elseif bytes > OUT then
      ready, answer = {}, concat(answers, "", 1, n)
      answers, n, bytes = ready, 0, 0
      sendall(request, answer)
    end
  end
  if bytes > KEEP then ready = {} end
  if bytes > 0 then
    sendall(request, n == 1 and answers[1] or concat(answers, "", 1, n))
  end
  return at, missing
end

-- Receive `missing` bytes or more, and put them behind what is left.
local function receive(request, rest, missing)
  local pieces = {rest}
  repeat
    local piece = request:recv(READ)
    if piece == "" then return "" end
    table.insert(pieces, piece)
    missing = missing - #piece
  until missing <= 0
  return concat(pieces)
end

--- handler(choose) -> a class of request handlers.  choose(name, count) returns
-- the function for commands of that name with so many words in all, and true if
-- that is to be remembered for ever.  The function gets the words, good only
-- while it runs (behind them may be others), and how many they are; it returns
-- the answer, and true when the connection is to be closed.  It must not wait.
function resp.handler(choose)
  local Handler = csock.class("Handler", socketserver.BaseRequestHandler)
  local starts = {}

  function Handler:handle()
    local request = self.request
    local recv, sendall = request.recv, request.sendall -- looked up once
    request.nodelay = true
    local data = recv(request, READ)
    while data ~= "" do
      local at, missing = execute_all(choose, starts, data, request, sendall)
      if not missing then return end
      data = at > #data and recv(request, READ) or
        receive(request, sub(data, at), missing)
    end
  end

  return Handler
end

return resp
