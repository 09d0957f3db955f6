-- spin: loop.spin, which asks for events before it sleeps; and what the loop
-- does with the memory of many tasks.

local helper = require "spec.helper"
local csock = require "csock"
local core = require "csock.core"
local loop = require "csock.loop"

describe("loop.spin", function()
  after_each(function() loop.spin = 0 end)

  it("is 0 unless it is set, in seconds", function()
    assert.are.equal(0, loop.spin)
    loop.spin = 0.25
    assert.are.equal(0.25, loop.spin)
    loop.spin = nil
    assert.are.equal(0, loop.spin)
    for _, value in ipairs {"1", true, -1, 0 / 0, math.huge, {}} do
      helper.misused("bad value for 'spin' %(seconds expected, got ",
        function() loop.spin = value end)
    end
    assert.are.equal(0, loop.spin)
  end)

  it("finds what comes meanwhile, and times out in time", function()
    loop.spin = 1000
    loop.run(function()
      local a <close>, b = csock.socketpair()
      local _ <close> = b
      a.timeout = 0.02
      local start = loop.now()
      assert.has_error(function() a:recv(1) end)
      assert.is_true(loop.now() - start >= 0.02)
      local task = loop.spawn(function() return a:recv(1) end)
      loop.sleep(0)
      b:send "x"
      assert.are.equal("x", task:join())
    end)
  end)

  it("lets other processes be heard", function()
    loop.spin = 0.001
    loop.run(function()
      local a <close>, b = csock.socketpair()
      core.process.fork(function() b:send "from a child" end):wait()
      b:close()
      assert.are.equal("from a child", a:recv(100))
    end)
  end)

  it("sleeps when nothing has come", function()
    loop.spin = 0.001
    local clock, start = os.clock(), loop.now()
    loop.run(loop.sleep, 0.1)
    assert.is_true(os.clock() - clock < 0.8 * (loop.now() - start))
  end)
end)

it("most of very many tasks have ended: their memory is given back", function()
  loop.run(function()
    local task
    for _ = 1, 2000 do task = loop.spawn(loop.sleep, 0.001) end
    local garbage = setmetatable({}, {__mode = "k"})
    garbage[{}] = true
    task:join()
    collectgarbage "stop"
    finally(function() collectgarbage "restart" end)
    loop.sleep(0.01)
    loop.sleep(0.01)
    assert.is_nil(next(garbage))
  end)
end)
