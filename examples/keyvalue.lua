-- keyvalue: a key-value store that redis-cli and redis-benchmark take for
-- theirs; the protocol is in resp.lua, which lies beside it.
--   lua keyvalue.lua [port]                (6380); Ctrl-C ends it
--   redis-cli -p 6380 set greeting hello ex 60
-- Nothing is kept on disk.  One process, one thread: each command has the
-- store for itself, as in Redis.
package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local resp = require "resp"
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local bulk, array, LENGTHS = resp.bulk, resp.array, resp.LENGTHS
local OK, NIL, NONE = "+OK\r\n", "$-1\r\n", "*0\r\n"
local SYNTAX = resp.error "ERR syntax error"
local NUMBER = resp.error "ERR value is not an integer or out of range"
local RANGE = resp.error "ERR increment or decrement would overflow"
local WRONG = resp.error
  "WRONGTYPE Operation against a key holding the wrong kind of value"

--
-- The store: a key is in one of three tables, so nothing is to be asked for its
-- type.  What counts is kept as an integer, as in Redis.
--

local strings, integers = {}, {}
local objects = {} -- tables with a `type`, a `size`, and `members`
local size = 0
local expires = {} -- when, by loop.now()
local due = {}     -- from a second to a set of keys that may expire in it

local function drop(key)
  if not (strings[key] or integers[key] or objects[key]) then return false end
  strings[key], integers[key], objects[key], expires[key] = nil, nil, nil, nil
  size = size - 1
  return true
end

-- Before a look at a key: drop what has expired.
local function refresh(key)
  local at = expires[key]
  if at and at <= loop.now() then drop(key) end
end

local function exists(key)
  refresh(key)
  return (strings[key] or integers[key] or objects[key]) ~= nil
end

-- Put a string, in place of whatever there is.
local function put(key, value)
  if strings[key] then
    if expires[key] then expires[key] = nil end
  else
    drop(key)
    size = size + 1
  end
  strings[key] = value
end

-- The string behind a key; nil when there is none.
local function get(key)
  refresh(key)
  local n = integers[key]
  return n and tostring(n) or strings[key]
end

local function expire(key, at)
  local second = math.ceil(at)
  due[second] = due[second] or {}
  due[second][key], expires[key] = true, at
end

-- The task that removes what nobody asks for any more.
local function sweep()
  local second = math.floor(loop.now())
  while true do
    loop.sleep(1)
    while second < math.floor(loop.now()) do
      second = second + 1
      for key in pairs(due[second] or {}) do refresh(key) end
      due[second] = nil
    end
  end
end

-- The object of that type behind a key, made when it is not there and `new`,
-- true when it is not and shall not be; false when there is something else.
local function open(key, type, new)
  if expires[key] then refresh(key) end
  local object = objects[key]
  if object then return object.type == type and object end
  if strings[key] or integers[key] then return false end
  if not new then return true end
  object = {type = type, size = 0, first = 1, members = {}, before = {}}
  objects[key], size = object, size + 1
  return object
end

-- Only as it is printed: neither 007, +1 nor 1.0.
local function to_integer(word)
  local n = word and math.tointeger(tonumber(word))
  return n and tostring(n) == word and n
end

--
-- Commands: {how many words (-n: at least n), function(words, count)}
--

local commands = {}

function commands.PING(words, count)
  if count == 1 then return "+PONG\r\n" end
  if count == 2 then return bulk(words[2]) end
  return resp.error "ERR wrong number of arguments for 'ping' command"
end
function commands.ECHO(words) return bulk(words[2]) end
function commands.QUIT() return OK end
function commands.SELECT(words)
  return words[2] == "0" and OK or resp.error "ERR DB index is out of range"
end
function commands.COMMAND() return NONE end
local SETTINGS = {save = "", appendonly = "no"} -- what benchmarks ask for
function commands.CONFIG(words)
  if words[2]:upper() ~= "GET" then return SYNTAX end
  local setting = SETTINGS[words[3]]
  return array({words[3], setting}, setting and 2 or 0)
end
function commands.INFO()
  return bulk("# Server\r\nredis_version:7.0.0\r\nserver_name:csock\r\n" ..
    "# Keyspace\r\ndb0:keys=" .. size .. "\r\n")
end
function commands.DBSIZE() return ":", size, "\r\n" end
function commands.FLUSHALL()
  strings, integers, objects, expires, due, size = {}, {}, {}, {}, {}, 0
  return OK
end

function commands.GET(words)
  local key = words[2]
  if expires[key] then refresh(key) end
  local value = strings[key]
  if value then return LENGTHS[#value], value, "\r\n" end
  if integers[key] then return bulk(tostring(integers[key])) end
  return objects[key] and WRONG or NIL
end

local UNITS = {EX = 1, PX = 1000}
local LONGEST = math.maxinteger // 1000 -- seconds, which become milliseconds

function commands.SET(words, count)
  local key, at, absent, present = words[2], nil, false, false
  local i = 4
  while i <= count do
    local option = words[i]:upper()
    if UNITS[option] and not at then
      i = i + 1
      if i > count then return SYNTAX end
      local n = to_integer(words[i])
      if not n then return NUMBER end
      if n <= 0 or n // UNITS[option] > LONGEST then
        return resp.error "ERR invalid expire time in 'set' command"
      end
      at = loop.now() + n / UNITS[option]
    elseif option == "NX" and not present then
      absent = true
    elseif option == "XX" and not absent then
      present = true
    else
      return SYNTAX
    end
    i = i + 1
  end
  if absent or present then
    if exists(key) == absent then return NIL end
  end
  put(key, words[3])
  if at then expire(key, at) end
  return OK
end

function commands.MSET(words, count)
  if count % 2 == 0 then
    return resp.error "ERR wrong number of arguments for 'mset' command"
  end
  for i = 2, count, 2 do put(words[i], words[i + 1]) end
  return OK
end

function commands.MGET(words, count)
  local values = {}
  for i = 2, count do values[i - 1] = get(words[i]) end
  return array(values, count - 1)
end

-- How many of the keys f is true for.
local function counting(f)
  return function(words, count)
    local n = 0
    for i = 2, count do
      if f(words[i]) then n = n + 1 end
    end
    return ":", n, "\r\n"
  end
end
commands.EXISTS = counting(exists)
commands.DEL = counting(function(key) return exists(key) and drop(key) end)

local function add(key, n)
  if not n then return NUMBER end
  if expires[key] then refresh(key) end
  local value = integers[key]
  if not value then -- it is no counter yet
    if objects[key] then return WRONG end
    value = to_integer(strings[key] or "0")
    if not value then return NUMBER end
  end
  local sum = value + n
  if n > 0 and sum < value or n < 0 and sum > value then return RANGE end
  if not integers[key] then
    if not strings[key] then size = size + 1 end
    strings[key] = nil
  end
  integers[key] = sum
  return ":", sum, "\r\n"
end
function commands.INCR(words) return add(words[2], 1) end
function commands.DECR(words) return add(words[2], -1) end
function commands.INCRBY(words)
  return add(words[2], to_integer(words[3]))
end

function commands.TYPE(words)
  local key = words[2]
  local object = exists(key) and (objects[key] or {type = "string"})
  return "+" .. (object and object.type or "none") .. "\r\n"
end

function commands.EXPIRE(words)
  local key, n = words[2], to_integer(words[3])
  if not n then return NUMBER end
  if n > LONGEST or n < -LONGEST then
    return resp.error "ERR invalid expire time in 'expire' command"
  end
  if not exists(key) then return ":", 0, "\r\n" end
  if n <= 0 then drop(key) else expire(key, loop.now() + n) end
  return ":", 1, "\r\n"
end

local function left(unit)
  return function(words)
    local key = words[2]
    if not exists(key) then return ":", -2, "\r\n" end
    local at = expires[key]
    return ":", at and math.floor((at - loop.now()) * unit + 0.5) or -1, "\r\n"
  end
end
commands.TTL, commands.PTTL = left(1), left(1000)

--
-- Lists: items first to first + size - 1, of which members holds those from 1
-- on, and before, turned round, the others: both grow at their ends only.
--

-- Push at the end that is told by the step from one new item to the next.
local function push(step)
  return function(words, count)
    local list = open(words[2], "list", true)
    if not list then return WRONG end
    local members, before, length = list.members, list.before, list.size
    local i = step < 0 and list.first - 1 or list.first + length
    for k = 3, count do
      if i > 0 then members[i] = words[k] else before[1 - i] = words[k] end
      i = i + step
    end
    length = length + count - 2
    list.size = length
    if step < 0 then list.first = i + 1 end
    return ":", length, "\r\n"
  end
end
commands.LPUSH, commands.RPUSH = push(-1), push(1)

local function pop(front)
  return function(words)
    local list = open(words[2], "list")
    if not list then return WRONG end
    if list == true then return NIL end
    local i = front and list.first or list.first + list.size - 1
    local items, k, length = list.members, i, list.size - 1
    if i <= 0 then items, k = list.before, 1 - i end
    local value = items[k]
    items[k], list.size = nil, length
    if front then list.first = i + 1 end
    if length == 0 then drop(words[2]) end
    return LENGTHS[#value], value, "\r\n"
  end
end
commands.LPOP, commands.RPOP = pop(true), pop(false)

function commands.LRANGE(words)
  local list = open(words[2], "list")
  local from, to = to_integer(words[3]), to_integer(words[4])
  if not from or not to then return NUMBER end
  if not list then return WRONG end
  if list == true then return NONE end
  if from < 0 then from = math.max(from + list.size, 0) end
  if to < 0 then to = to + list.size end
  local first, before = list.first + from, list.before
  local last = list.first + math.min(to, list.size - 1)
  local items = table.move(list.members, math.max(first, 1), last,
    math.max(2 - first, 1), {})
  for i = first, math.min(last, 0) do items[i - first + 1] = before[1 - i] end
  return array(items, math.max(last - first + 1, 0))
end

--
-- Sets: members[member] is true; hashes: members[field] is its value
--

function commands.SADD(words, count)
  local set, new = open(words[2], "set", true), 0
  if not set then return WRONG end
  local members = set.members
  for i = 3, count do
    local member = words[i]
    if not members[member] then members[member], new = true, new + 1 end
  end
  set.size = set.size + new
  return ":", new, "\r\n"
end

function commands.HSET(words, count)
  if count % 2 ~= 0 then
    return resp.error "ERR wrong number of arguments for 'hset' command"
  end
  local hash, new = open(words[2], "hash", true), 0
  if not hash then return WRONG end
  local members = hash.members
  for i = 3, count, 2 do
    local field = words[i]
    if not members[field] then new = new + 1 end
    members[field] = words[i + 1]
  end
  hash.size = hash.size + new
  return ":", new, "\r\n"
end

function commands.HGET(words)
  local hash = open(words[2], "hash")
  if not hash then return WRONG end
  return bulk(hash ~= true and hash.members[words[3]])
end

-- All members, one after another.
local function list_all(type)
  return function(words)
    local value, items = open(words[2], type), {}
    if not value then return WRONG end
    for member, is in pairs(value ~= true and value.members or {}) do
      table.insert(items, member)
      if is ~= true then table.insert(items, is) end
    end
    return array(items, #items)
  end
end
commands.SMEMBERS, commands.HGETALL = list_all "set", list_all "hash"

-- How many words each has, the command's own included; -n: at least n.
local WORDS = {
  PING = -1, ECHO = 2, QUIT = -1, SELECT = 2, COMMAND = -1, CONFIG = -3,
  INFO = -1, DBSIZE = 1, FLUSHALL = -1, GET = 2, SET = -3, MSET = -3, MGET = -2,
  EXISTS = -2, DEL = -2, INCR = 2, DECR = 2, INCRBY = 3, TYPE = 2, EXPIRE = 3,
  TTL = 2, PTTL = 2, LPUSH = -3, RPUSH = -3, LPOP = 2, RPOP = 2, LRANGE = 4,
  SADD = -3, SMEMBERS = 2, HSET = -4, HGET = 3, HGETALL = 2,
}

local function refuse(words, count)
  local name = words[1]
  if commands[name:upper()] then
    return resp.error(("ERR wrong number of arguments for '%s' command"):format(
      name:lower()))
  end
  local rest = {}
  for i = 2, count do rest[i - 1] = ("'%s' "):format(words[i]) end
  return resp.error((("ERR unknown command '%s', with args beginning with: %s")
    :format(name:sub(1, 128), table.concat(rest):sub(1, 128)):gsub("%c", " ")))
end

-- The function for such commands, whether the name is in usual spelling, and
-- whether it is the last.
local function choose(name, count)
  local upper = name:upper()
  local wanted = WORDS[upper]
  if not wanted or wanted ~= count and (wanted > 0 or count < -wanted) then
    return refuse
  end
  if upper == "QUIT" then return commands.QUIT, false, true end
  return commands[upper], name == upper or name == name:lower()
end

local Server = csock.class("Server", socketserver.ThreadingTCPServer, {
  drain_timeout = 0, -- clients never end by themselves
})

function Server:server_ready()
  loop.spawn(sweep)
  print("serving on " .. tostring(self.server_address))
end

-- A client that goes without a word is nothing to report.
function Server:handle_error(request, client_address, err, traceback)
  if csock.isinstance(err, csock.ConnectionError) then return end
  csock.class.super(Server, self):handle_error(request, client_address, err,
    traceback)
end

io.stdout:setvbuf("line")
local address = {"localhost", tonumber(arg[1]) or 6380}
local server <close> = Server(address, resp.handler(choose))
server:serve_forever()
print("stopped")
