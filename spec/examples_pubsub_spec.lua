-- examples/pubsub.lua: the broker, by hand and through its own two clients.

local example = require "spec.example"
local helper = require "spec.helper"
local csock = require "csock"
local lfs = require "lfs"

local function serve()
  local path = helper.tmpdir() .. "/broker"
  local broker = example.start("pubsub", "serve", path)
  assert.are.equal("serving on " .. path, broker:read "l")
  broker.path = path
  return broker
end

local Client = {}
Client.__index = Client
Client.__close = function(self) self.file:close() self.sock:close() end

local function connect(broker)
  local client = setmetatable({sock = csock.socket(csock.AF_UNIX)}, Client)
  client.sock.timeout = helper.slow and 200 or 40
  client.sock:connect(broker.path)
  client.file = client.sock:makefile "r"
  return client
end

-- Send a line; what comes back first.
function Client:ask(line)
  self.sock:sendall(line .. "\n")
  return self:hear()
end

function Client:hear() return self.file:read "l" end

describe("examples/pubsub.lua", function()
  local broker
  before_each(function() broker = serve() end)

  it("passes messages on to those who want them", function()
    local one <close> = connect(broker)
    local other <close> = connect(broker)
    local publisher <close> = connect(broker)
    assert.are.equal("OK 1", one:ask "SUB weather")
    assert.are.equal("OK 1", one:ask "SUB news")
    assert.are.equal("OK 1", other:ask "SUB weather")
    assert.are.equal("OK 2", publisher:ask "PUB weather rain, again")
    assert.are.equal("OK 1", publisher:ask "PUB news none")
    assert.are.equal("OK 0", publisher:ask "PUB gossip lots")
    assert.are.equal("MSG weather rain, again", one:hear())
    assert.are.equal("MSG news none", one:hear())
    assert.are.equal("MSG weather rain, again", other:hear())
    assert.are.equal("OK 1", one:ask "UNSUB weather")
    assert.are.equal("OK 0", one:ask "UNSUB weather")
    assert.are.equal("OK 1", publisher:ask "PUB weather sun")
    assert.are.equal("MSG weather sun", other:hear())
    example.stop_silent(broker, "")
  end)

  it("forgets those who go", function()
    local publisher <close> = connect(broker)
    do
      local gone <close> = connect(broker)
      assert.are.equal("OK 1", gone:ask "SUB weather")
      assert.are.equal("OK 1", publisher:ask "PUB weather rain")
    end
    repeat until publisher:ask "PUB weather sun" == "OK 0"
    example.stop_silent(broker, "")
  end)

  it("answers what it does not know", function()
    local client <close> = connect(broker)
    for _, line in ipairs {"", "HELLO", "SUB", "sub weather", "serve weather",
      "LINE x"} do
      assert.matches("^ERR ", client:ask(line))
    end
    assert.are.equal("OK 1", client:ask "SUB still-here")
    example.stop_silent(broker, "")
  end)

  it("lets go of a subscriber that does not keep up", function()
    local sloth <close> = connect(broker)
    local publisher <close> = connect(broker)
    assert.are.equal("OK 1", sloth:ask "SUB flood")
    local message, n = "PUB flood " .. ("x"):rep(1000), 0
    repeat n = n + 1 until publisher:ask(message) == "OK 0"
    assert.is_true(n > 1000)
    local line
    repeat line = sloth:hear() until not line or not line:find "^MSG flood x+$"
    assert.is_true(line == nil or #line < 1010)
    example.stop_silent(broker, "")
  end)

  it("is for processes of the same user", function()
    assert.are.equal("rw-------", lfs.attributes(broker.path, "permissions"))
    example.stop_silent(broker, "")
    assert.is_nil(lfs.attributes(broker.path))
  end)

  it("has a subscriber and a publisher", function()
    local subscriber = example.start("pubsub", "sub", broker.path, "weather",
      "news")
    assert.are.equal("OK 1", subscriber:read "l")
    assert.are.equal("OK 1", subscriber:read "l")
    for _, words in ipairs {{"weather", "rain,", "again"}, {"news", "none"}} do
      local output, how = example.ending(example.start("pubsub", "pub",
        broker.path, table.unpack(words)))
      assert.are.equal("OK 1\n", output)
      assert.are.equal("exit 0", how)
    end
    assert.are.equal("weather rain, again", subscriber:read "l")
    assert.are.equal("news none", subscriber:read "l")
    example.stop_silent(broker, "")
    assert.are.equal("exit 0", select(2, example.ending(subscriber)))
  end)

  it("is understood by nc", function()
    example.need "nc"
    local output = example.output("sh -c \"printf 'SUB a\\nPUB a hello\\n' " ..
      "| nc -U -N " .. broker.path .. "\"")
    if output:find "invalid option" then pending "this nc knows no -U or -N" end
    local lines = {}
    for line in output:gmatch "[^\n]+" do table.insert(lines, line) end
    table.sort(lines)
    assert.are.same({"MSG a hello", "OK 1", "OK 1"}, lines)
    example.stop_silent(broker, "")
  end)
end)
