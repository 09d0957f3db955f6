-- examples/chat.lua: what clients in the room read, and what becomes of one
-- that does not.

local example = require "spec.example"

local Client = {}
Client.__index = Client
Client.__close = function(self) self.file:close() self.sock:close() end

-- Come in, and read until one is in the room.
local function enter(server, name)
  local client = setmetatable({sock = example.connect(server)}, Client)
  client.file = client.sock:makefile("r")
  assert.are.equal("Your name? ", client.file:read(11))
  client:say(name)
  client.here = client:hear():match "^%* here: (.*)$"
  return client
end

function Client:say(line) self.sock:sendall(line .. "\n") end
function Client:hear() return self.file:read "l" end

describe("examples/chat.lua", function()
  local server
  before_each(function() server = example.serve("chat", 0) end)

  it("lets the others read what one says", function()
    local ann <close> = enter(server, "ann")
    local bob <close> = enter(server, "bob")
    local eve <close> = enter(server, "eve")
    assert.are.equal("", ann.here)
    assert.are.equal("ann", bob.here)
    local names = {}
    for name in eve.here:gmatch "[^, ]+" do table.insert(names, name) end
    table.sort(names)
    assert.are.same({"ann", "bob"}, names)
    assert.are.equal("* bob has come", ann:hear())
    assert.are.equal("* eve has come", ann:hear())
    assert.are.equal("* eve has come", bob:hear())
    bob:say "hello, everybody"
    ann:say "hello, bob"
    assert.are.equal("<bob> hello, everybody", ann:hear())
    assert.are.equal("<ann> hello, bob", bob:hear())
    local heard = {eve:hear(), eve:hear()}
    table.sort(heard)
    assert.are.same({"<ann> hello, bob", "<bob> hello, everybody"}, heard)
    example.stop_silent(server)
  end)

  it("tells who has gone, also without a word", function()
    local ann <close> = enter(server, "ann")
    do
      local _bob <close> = enter(server, "bob")
      assert.are.equal("* bob has come", ann:hear())
    end
    assert.are.equal("* bob has gone", ann:hear())
    do
      local eve <close> = enter(server, "eve")
      assert.are.equal("* eve has come", ann:hear())
      eve.sock.linger = 0 -- a reset
    end
    assert.are.equal("* eve has gone", ann:hear())
    example.stop_silent(server)
  end)

  it("passes on no control characters, and long lines in pieces", function()
    local ann <close> = enter(server, "ann")
    local bob <close> = enter(server, "b\27[1mob\r")
    assert.are.equal("* b[1mob has come", ann:hear())
    bob:say("\7ding " .. ("x"):rep(600))
    assert.are.equal("<b[1mob> ding " .. ("x"):rep(394), ann:hear())
    assert.are.equal("<b[1mob> " .. ("x"):rep(206), ann:hear())
    bob:say ""
    bob:say "after an empty line"
    assert.are.equal("<b[1mob> after an empty line", ann:hear())
    example.stop_silent(server)
  end)

  it("lets nobody in who has no name", function()
    local ann <close> = enter(server, "ann")
    local sock <close> = example.connect(server)
    sock:sendall "\n"
    assert.are.equal("Your name? ", example.drain(sock))
    local bob <close> = enter(server, "bob")
    assert.are.equal("ann", bob.here)
    assert.are.equal("* bob has come", ann:hear())
    example.stop_silent(server)
  end)

  it("makes nobody wait for one that does not read", function()
    local ann <close> = enter(server, "ann")
    local bob <close> = enter(server, "bob")
    local sloth <close> = enter(server, "sloth")
    assert.are.equal("* bob has come", ann:hear())
    assert.are.equal("* sloth has come", ann:hear())
    assert.are.equal("* sloth has come", bob:hear())
    local text = ("z"):rep(380)
    local many = ("z"):rep(380) .. "\n"
    local said = 0
    for _ = 1, 400 do
      ann.sock:sendall(many:rep(50))
      for _ = 1, 50 do assert.are.equal("<ann> " .. text, bob:hear()) end
      said = said + 50
    end
    -- now it does
    local read, missed = 0, 0
    while read + missed < said do
      local line = sloth:hear()
      if line == "<ann> " .. text then
        read = read + 1
      else
        missed = missed + assert(line:match "^%* you missed (%d+) lines$", line)
      end
    end
    assert.are.equal(said, read + missed)
    assert.is_true(missed > 0)
    example.stop_silent(server)
  end)

  it("takes no notice of one that is cut off while it is written to", function()
    local ann <close> = enter(server, "ann")
    do
      local sloth <close> = enter(server, "sloth")
      assert.are.equal("* sloth has come", ann:hear())
      ann.sock:sendall((("z"):rep(380) .. "\n"):rep(20000))
      ann:say "the end"
      sloth.sock.linger = 0 -- a reset
    end
    assert.are.equal("* sloth has gone", ann:hear())
    example.stop_silent(server)
  end)
end)
