-- soak: a few seconds of `make soak`, with few connections.

local helper = require "spec.helper"

describe("a threading server in bad company", function()
  it("answers all others, and is as before when all have gone", function()
    local program = helper.spawn_process(helper.lua ..
      " spec/soak.lua 2 300 100 2>&1")
    local text = program:read "a"
    assert.are.equal("soak: all is where it began", text:match "([^\n]*)\n$",
      text)
    assert.is_true(program:wait())
  end)
end)
