-- examples/keyvalue.lua and examples/resp.lua: the protocol byte by byte, the
-- commands beside those of Redis itself, its tools.

local example = require "spec.example"
local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"

-- A command as programs send it.
local function command(...)
  local words = {...}
  for i, word in ipairs(words) do
    words[i] = ("$%d\r\n%s\r\n"):format(#word, word)
  end
  return ("*%d\r\n%s"):format(#words, table.concat(words))
end

-- What a server answers to these bytes, as long as `wanted` is.
local function ask(sock, bytes, wanted)
  sock:sendall(bytes)
  assert.are.equal(wanted, example.take(sock, #wanted))
end

-- All that it answers to these bytes, up to the end.
local function talk(server, ...)
  local sock <close> = example.connect(server)
  sock:sendall(table.concat {...})
  return example.drain(sock)
end

describe("examples/keyvalue.lua", function()
  local server
  before_each(function() server = example.serve("keyvalue", 0) end)

  it("keeps bytes as they are", function()
    local sock <close> = example.connect(server)
    local all = {}
    for i = 0, 255 do all[i + 1] = string.char(i) end
    all = table.concat(all)
    for _, value in ipairs {"", "\r\n", "$3\r\nabc\r\n", all, all:rep(10000)} do
      ask(sock, command("SET", all, value), "+OK\r\n")
      ask(sock, command("get", all), ("$%d\r\n%s\r\n"):format(#value, value))
    end
    ask(sock, command("GET", "nothing"), "$-1\r\n")
    sock:close()
    example.stop_silent(server)
  end)

  it("takes commands in any pieces", function()
    local sock <close> = example.connect(server)
    sock.nodelay = true
    local bytes = command("SET", "a", "one") .. "PING\r\n" .. "*0\r\n\r\n" ..
      command("MGET", "a", "b") .. command("ECHO", ("x"):rep(50))
    local wanted = "+OK\r\n+PONG\r\n*2\r\n$3\r\none\r\n$-1\r\n$50\r\n" ..
      ("x"):rep(50) .. "\r\n"
    ask(sock, bytes, wanted)
    for size = 1, 9 do
      for i = 1, #bytes, size do sock:sendall(bytes:sub(i, i + size - 1)) end
      assert.are.equal(wanted, example.take(sock, #wanted), size)
    end
    sock:close()
    example.stop_silent(server)
  end)

  it("takes lines with words in quotes, as Redis", function()
    for line, wanted in pairs {
      ['echo "a b"'] = "a b", ["echo 'a b'"] = "a b", ['echo a"b c"'] = "ab c",
      ['echo ""'] = "", ["echo ''"] = "",
      ['echo "\\x00\\xfF\\x4\\n\\r\\t\\b\\a\\q\\"\\\\"'] =
        "\0\255x4\n\r\t\b\aq\"\\",
      ["echo 'a\\n\\'b\\\\'c'"] = "a\\n'b\\'c",
      ["  echo\t'\"'\t"] = '"',
    } do
      assert.are.equal(("$%d\r\n%s\r\n+OK\r\n"):format(#wanted, wanted),
        talk(server, line .. "\r\nquit\n"), line)
    end
    for _, line in ipairs {'echo "a', "echo 'a", 'echo "a"b', "echo 'a'b",
                           'echo "a\\"', "echo 'a\\'", 'echo "\\'} do
      assert.are.equal("-ERR Protocol error: unbalanced quotes in request\r\n",
        talk(server, line .. "\r\n"), line)
    end
    example.stop_silent(server)
  end)

  it("takes a negative number of words for no command", function()
    assert.are.equal("+PONG\r\n+OK\r\n",
      talk(server, "*-1\r\nPING\r\n*-20\r\n*0\r\nQUIT\r\n"))
    example.stop_silent(server)
  end)

  it("answers many commands at once", function()
    local sock <close> = example.connect(server)
    ask(sock, command("INCR", "n"):rep(100), (":%d\r\n"):rep(100):format(
      table.unpack((function()
        local list = {}
        for i = 1, 100 do list[i] = i end
        return list
      end)())))
    ask(sock, command("SET", "big", ("b"):rep(10000)) ..
      command("GET", "big"):rep(50),
      "+OK\r\n" .. ("$10000\r\n" .. ("b"):rep(10000) .. "\r\n"):rep(50))
    sock:close()
    example.stop_silent(server)
  end)

  it("reads a command the second time as it did the first", function()
    local sock <close> = example.connect(server)
    local function set(name, size)
      local value = ("v"):rep(size)
      return command(name, "k", value) .. command("GET", "k"),
        ("+OK\r\n$%d\r\n%s\r\n"):format(size, value)
    end
    for round = 0, 1 do
      for _, name in ipairs {"SET", "set", "SeT"} do
        for _, size in ipairs {0, 1, 9, 10, 99, 100, 101, 999, 1000, 70000} do
          ask(sock, set(name, size))
        end
      end
      -- names of any length, and with more words than before
      ask(sock, command("DEL", "s", "x") .. command("DEL", "t") ..
        command("SADD", "s", "a") .. command("SMEMBERS", "s") ..
        command("DBSIZE") .. command("TTL") .. command("TTL", "s") ..
        command("EXISTS") ..
        command("EXISTS", ("s"):rep(100), "s", "k", "k"),
        (":%d\r\n:0\r\n:1\r\n*1\r\n$1\r\na\r\n:2\r\n" ..
          "-ERR wrong number of arguments for 'ttl' command\r\n:-1\r\n" ..
          "-ERR wrong number of arguments for 'exists' command\r\n:3\r\n")
          :format(round))
      -- what is no number of bytes after what is known
      for bytes, wanted in pairs {
        ["$x\r\n"] = "invalid bulk length",
        ["$1x\r\n"] = "invalid bulk length",
        ["$-1\r\n"] = "invalid bulk length",
        ["+a\r\n"] = "expected '$', got '+'",
        ["\r\n"] = "expected '$', got ' '",
      } do
        assert.are.equal("$70000\r\n" .. ("v"):rep(70000) ..
          "\r\n-ERR Protocol error: " .. wanted .. "\r\n",
          talk(server, command("GET", "k"), "*2\r\n$3\r\nGET\r\n" .. bytes))
      end
    end
    sock:close()
    example.stop_silent(server)
  end)

  it("takes what is large in time that grows with it", function()
    local sock <close> = example.connect(server)
    local value = ("x"):rep(16 * 1024 * 1024)
    ask(sock, command("SET", "k", "") .. command("SET", "k", value), "+OK\r\n")
    ask(sock, "", "+OK\r\n")
    ask(sock, command("GET", "k"), ("$%d\r\n%s\r\n"):format(#value, value))
    local words = {}
    for i = 1, 200000 do words[i] = ("key:%d"):format(i % 100) end
    ask(sock, command("EXISTS", "k", table.unpack(words, 1, 98)) ..
      command("DEL", table.unpack(words)), ":1\r\n:0\r\n")
    sock:close()
    example.stop_silent(server)
  end)

  it("does not keep answers that are ready", function()
    local sock <close> = example.connect(server)
    ask(sock, "PING\r\n*1\r\n$4\r\nPI", "+PONG\r\n")
    ask(sock, "NG\r\n", "+PONG\r\n")
    sock:close()
    example.stop_silent(server)
  end)

  it("says goodbye", function()
    assert.are.equal("+PONG\r\n+OK\r\n",
      talk(server, "PING\r\nQUIT\r\nPING\r\n"))
    example.stop_silent(server)
  end)

  it("ends a connection that does not keep to the protocol", function()
    for bytes, wanted in pairs {
      ["*x\r\n"] = "invalid multibulk length",
      ["*01\r\n$4\r\nPING\r\n"] = "invalid multibulk length",
      ["*-01\r\n"] = "invalid multibulk length",
      ["*1\r\n$04\r\nPING\r\n"] = "invalid bulk length",
      ["*1048577\r\n"] = "invalid multibulk length",
      ["*" .. ("1"):rep(100)] = "invalid multibulk length",
      ["*1\r\n+PING\r\n"] = "expected '$', got '+'",
      ["*1\r\n$-1\r\n"] = "invalid bulk length",
      ["*1\r\n$536870913\r\n"] = "invalid bulk length",
      [("x"):rep(70000)] = "too big inline request",
    } do
      assert.are.equal("+PONG\r\n-ERR Protocol error: " .. wanted .. "\r\n",
        talk(server, "PING\r\n", bytes))
    end
    example.stop_silent(server)
  end)

  it("hears out who does not keep to it, but not for ever", function()
    local sock <close> = example.connect(server)
    local error = "-ERR Protocol error: expected '$', got '+'\r\n"
    sock:sendall("*1\r\n+" .. ("x"):rep(100000))
    assert.are.equal(error, example.drain(sock))
    sock.timeout = 20
    sock.linger = 0
    helper.raises(csock.OSError, function()
      while true do
        sock:sendall "x"
        loop.sleep(0.01)
      end
    end)
    example.stop_silent(server)
  end)

  it("forgets what has expired", function()
    local sock <close> = example.connect(server)
    ask(sock, command("SET", "a", "1", "PX", "1"), "+OK\r\n")
    local function until_told(bytes, wanted)
      local answer
      repeat
        if answer then loop.sleep(0.01) end
        sock:sendall(bytes)
        answer = example.take(sock, #wanted)
      until answer == wanted
    end
    until_told(command("EXISTS", "a"), ":0\r\n")
    ask(sock, command("TTL", "a"), ":-2\r\n")
    -- half a second later it is less
    until_told(command("SET", "a", "1", "EX", "5000") .. command("TTL", "a"),
      "+OK\r\n:5000\r\n")
    ask(sock, command("SET", "a", "2"), "+OK\r\n")
    ask(sock, command("TTL", "a"), ":-1\r\n")
    until_told(command("EXPIRE", "a", "5000") .. command("TTL", "a"),
      ":1\r\n:5000\r\n")
    ask(sock, command("EXPIRE", "a", "0"), ":1\r\n")
    ask(sock, command("EXPIRE", "a", "50"), ":0\r\n")
    -- what nobody asks for goes as well
    ask(sock, command("SET", "b", "1", "PX", "1"), "+OK\r\n")
    until_told(command "DBSIZE", ":0\r\n")
    sock:close()
    example.stop_silent(server)
  end)

  it("takes no notice of clients that go", function()
    for _, bytes in ipairs {"", "*3\r\n$3\r\nSET", "PING\r\n"} do
      local sock <close> = example.connect(server)
      sock:sendall(bytes)
      sock.linger = 0 -- a reset
    end
    assert.are.equal("+PONG\r\n+OK\r\n", talk(server, "PING\r\nQUIT\r\n"))
    example.stop_silent(server)
  end)
end)

-- Lines for redis-cli: one command each.
local SCRIPT = [[
PING
PING hello
PING a b
ECHO "a b"
ECHO
SET
GET nothing
SET a 1
SET a 2 NX
SET b 2 NX
SET c 2 XX
SET a 3 XX
GET a
SET a 4 EX 0
SET a 4 EX x
SET a 4 EX
SET a 4 NX XX
SET a 4 WHAT
SET a 4 EX 100
TTL a
SET a 5
TTL a
MSET x 1 y 2 z 3
MSET x 1 y
MGET x y nothing z
EXISTS x y nothing x
DEL x nothing y
INCR n
INCR n
DECR n
INCRBY n 41
INCRBY n x
GET n
TYPE n
EXPIRE n 100
INCR n
TTL n
SET n 7 NX
EXISTS n n
LPUSH n 1
MGET n
SET n 7
INCR n
MSET n 9
INCR n
DBSIZE
DEL n
EXISTS n
DBSIZE
INCRBY fresh x
INCRBY list2 1000
INCRBY list2 998999
INCR list2
INCRBY list2 -1000001
SET n 007
INCR n
SET n +1
INCR n
SET n -0
DECR n
SET n 1.0
INCR n
SET text abc
INCR text
SET most 9223372036854775807
INCR most
DECR most
SET least -9223372036854775808
DECR least
RPUSH list b c d
LPUSH list a
LPUSH list z y x
LRANGE list 0 -1
LRANGE list 1 2
LRANGE list -2 -1
LRANGE list 5 100
LRANGE list 100 200
LRANGE list a b
LRANGE nothing 0 -1
LPOP list
RPOP list
LPOP nothing
LPUSH ends a b
RPUSH ends c d
LRANGE ends 0 -1
RPOP ends
RPOP ends
RPOP ends
LRANGE ends 0 -1
RPUSH ends e
LPOP ends
LPOP ends
LPOP ends
EXISTS ends
GET list
LPUSH a 1
INCR list
SADD list x
TYPE list
TYPE a
TYPE nothing
SADD set a
SADD set a a
SMEMBERS set
LPUSH set a
SADD set b c
TYPE set
HSET hash field 1
HSET hash field 2 other 3
HSET hash field
HGET hash field
HGET hash nothing
HGET nothing field
HGET set field
HSET set field 1
HGETALL nothing
DEL hash
HSET hash field 1
HGETALL hash
TYPE hash
MGET hash a
EXPIRE a 100
EXPIRE nothing 100
EXPIRE a x
EXPIRE a 9223372036854775807
EXPIRE nothing -9223372036854775808
SET a 4 EX 9223372036854775807
TTL a
EXPIRE a -1
EXISTS a
TTL nothing
NONSENSE
nonsense with arguments
get
set a
lrange a
DBSIZE
SELECT 0
SELECT 999
FLUSHALL
DBSIZE
]]

describe("examples/keyvalue.lua and Redis", function()
  it("give the same answers", function()
    example.need "redis-cli"
    example.need "redis-server"
    local directory = helper.tmpdir()
    local script = directory .. "/script"
    local file <close> = assert(io.open(script, "w"))
    file:write(SCRIPT)
    file:close()
    local redis = example.run(("redis-server --port 0 --save '' " ..
      "--unixsocket %s/socket --dir %s"):format(directory, directory))
    repeat
      local line = assert(redis:read "l", "redis-server has ended")
    until line:find "ready to accept connections" or
      line:find "Ready to accept connections" or
      line:find "accept connections at"
    local server = example.serve("keyvalue", 0)
    local wanted = example.output(("redis-cli -s %s/socket <%s"):format(
      directory, script))
    local got = example.output(("redis-cli -p %d <%s"):format(server.port,
      script))
    redis:kill()
    redis:wait()
    assert.are.equal(wanted, got)
    example.stop_silent(server)
  end)

  it("redis-benchmark takes it for one", function()
    example.need "redis-benchmark"
    local server = example.serve("keyvalue", 0)
    local output = example.output(("redis-benchmark -p %d -n 200 -c 5 -P 16 " ..
      "-q -t ping,set,get,incr,lpush,rpush,lpop,rpop,sadd,hset,lrange_100,mset")
      :format(server.port))
    local _, count = output:gsub("requests per second", "")
    assert.are.equal(14, count, output)
    assert.is_nil(output:find "rror", output)
    assert.is_nil(output:find "WARNING", output)
    example.stop_silent(server)
  end)
end)
