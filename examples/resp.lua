-- resp: RESP, the protocol of Redis, on a StreamRequestHandler: commands come
-- in, also many at once, and the answers to all that have come go out together.
-- Give resp.handler what chooses functions for commands; keyvalue.lua does.
-- No command waits, so only one at a time has the list of words.
local csock = require "csock"
local socketserver = require "csock.socketserver"

local INLINE <const> = 65536         -- bytes of a command that is a line
local WORDS <const> = 1024 * 1024    -- words of a command
local LENGTH <const> = 512 * WORDS   -- bytes of a word
local FEW <const> = 100              -- words of a command that is remembered
local LINGER <const> = 1             -- seconds to hear out who is refused

-- What a command is; of the ends of its lines one byte counts, as in Redis.
local COMMAND <const> = "*%d\r%.($%d\r%.%s%.%.)"
local WORD <const> = 8               -- where in it a word begins

-- What each command calls.
local write = csock.file.write
local resp = {}

--
-- Answers: one or more strings and numbers
--

-- What tells lengths; of short ones it is there already.
local LENGTHS = setmetatable({}, {
  __index = function(_, n) return "$" .. n .. "\r\n" end,
})
for n = 0, 1000 do LENGTHS[n] = LENGTHS[n] end
resp.LENGTHS = LENGTHS

function resp.error(text) return "-" .. text .. "\r\n" end

function resp.integer(n) return ":", n, "\r\n" end

--- bulk(data) -> bytes as they are; of nil what stands for nothing.
function resp.bulk(data)
  if not data then return "$-1\r\n" end
  return LENGTHS[#data], data, "\r\n"
end

--- array(items, n) -> the first n of a table as such bytes.
function resp.array(items, n)
  local answers = {}
  for i = 1, n do
    local data = items[i]
    answers[i] = data and LENGTHS[#data] .. data .. "\r\n" or "$-1\r\n"
  end
  return "*", n, "\r\n", table.concat(answers)
end

--
-- Commands
--

local ESCAPES = {n = "\n", r = "\r", t = "\t", b = "\b", a = "\a"}
local function unescape(c, digits)
  if c == "x" and #digits == 2 then return string.char(tonumber(digits, 16)) end
  return (ESCAPES[c] or c) .. digits
end

-- What is in quotes from this place of a line on, and what is behind them; nil
-- if they have no end.
local function unquote(line, quote, at)
  local stop = at
  if quote == "'" then
    repeat
      stop = line:find("'", stop, true)
      if not stop then return nil end
      stop = stop + 1
    until stop == at + 1 or line:byte(stop - 2) ~= 92 -- a backslash
    return (line:sub(at, stop - 2):gsub("\\'", "'")), stop
  end
  repeat
    local mark
    mark, stop = line:match("([\"\\])()", stop)
    if not mark then return nil end
    if mark ~= quote then stop = stop + 1 end
  until mark == quote
  return (line:sub(at, stop - 2):gsub("\\(.)(%x?%x?)", unescape)), stop
end

-- The words of a line that people have typed: how many; nil with odd quotes.
local function split(line, words)
  local count, at = 0, line:find "%S"
  while at do
    local word, quote, behind = line:match("^([^%s\"']*)([\"']?)()", at)
    if quote ~= "" then
      local quoted
      quoted, behind = unquote(line, quote, behind)
      if not quoted or not line:find("^%s", behind) then return nil end
      word = word .. quoted
    end
    count = count + 1
    words[count] = word
    at = line:find("%S", behind)
  end
  return count
end

-- What is no array of words from this place of COMMAND and of the data on: how
-- many words it is; nil at the end; or false, and what is wrong.
local function read_other(rfile, words, place, at)
  if place > 1 then
    rfile:read(at - 1)
    local got = rfile:peek():sub(1, 1)
    if place == WORD then return false, "expected '$', got '" .. got .. "'" end
    if place > WORD then return false, "invalid bulk length" end
    local less = got == "-" and rfile:readline(32):find "^%-[1-9]%d*\r"
    if less then return 0 end
    return false, "invalid multibulk length"
  end
  local line = rfile:readline(INLINE)
  if line:byte(-1) ~= 10 then
    if #line < INLINE then return nil end
    return false, "too big inline request"
  end
  local count = split(line, words)
  if not count then return false, "unbalanced quotes in request" end
  return count
end

-- Carry out what is not remembered; true if more may come.
local function meet(choose, known, self, words, count, place, at)
  local rfile, wfile = self.rfile, self.wfile
  if count == false then count, place = read_other(rfile, words, place, at) end
  if count == 0 then return true end
  if not count then
    if count == nil then return false end
    write(wfile, resp.error("ERR Protocol error: " .. place:gsub("%c", " ")))
    wfile:flush()
    self.request:shutdown(csock.SHUT_WR)
    self.request.timeout = LINGER -- a close would cut off the answer
    for _ = 1, FEW do
      local ok, data = pcall(rfile.read1, rfile)
      if not ok or data == "" then break end
    end
    return false
  end
  local f, always, last = choose(words[1], count)
  if always and count <= FEW then known[count][words[1]] = f end
  local answer = table.pack(f(words, count))
  for i = FEW + 1, count do words[i] = nil end
  write(wfile, table.unpack(answer, 1, answer.n))
  return not last
end

--- handler(choose) -> a class of request handlers.  choose(name, count) returns
-- the function for commands of that name with so many words in all, true if
-- that is to be remembered for ever, and true if it is a connection's last.
-- The function gets the words, good only while it runs (behind them may be
-- others), and how many they are; it returns the answer.  It must not wait.
function resp.handler(choose)
  local Handler = csock.class("Handler", socketserver.StreamRequestHandler, {
    rbufsize = 16384, wbufsize = 16384, line_limit = LENGTH,
    disable_nagle_algorithm = true,
  })
  local words, known, none = {}, {}, {}
  for i = 1, FEW do known[i] = {} end
  setmetatable(known, {__index = function() return none end})

  --- setup(): answers leave when nothing more has come.
  function Handler:setup()
    csock.class.super(Handler, self):setup()
    self.rfile:tie(self.wfile)
  end

  function Handler:handle()
    local put, list, by_count, wfile = write, words, known, self.wfile
    for count, place, at in self.rfile:records(COMMAND, list, WORDS) do
      local f = by_count[count][list[1]]
      if f then
        put(wfile, f(list, count))
      elseif not meet(choose, known, self, list, count, place, at) then
        return
      end
    end
  end

  return Handler
end

return resp
