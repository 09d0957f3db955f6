-- poller: what the pollers have to bear of the system.
-- Not here: what they report, which all specs of the loop see.

local helper = require "spec.helper"

describe("the loop", function()
  it("goes on with more descriptors than may be opened by now", function()
    if not helper.has "prlimit" then helper.pending "no prlimit here" end
    local name = helper.tmpdir() .. "/program.lua"
    local file <close> = assert(io.open(name, "w"))
    file:write [[
      local csock = require "csock"
      local loop = csock.loop
      local pid = require "csock.core".process.getpid()
      loop.run(function()
        local pairs, tasks = {}, {}
        for i = 1, 50 do
          local a, b = csock.socketpair()
          pairs[i], tasks[i] = a, loop.spawn(b.recv, b, 100)
        end
        loop.sleep(0)
        assert(os.execute("prlimit --pid " .. pid .. " --nofile=20:"))
        for i = 50, 1, -1 do
          pairs[i]:sendall("word " .. i)
          assert(tasks[i]:join() == "word " .. i)
        end
        local ok, err = pcall(csock.socketpair)
        print(not ok and err.code)
      end)
    ]]
    file:close()
    local program = helper.spawn_process(helper.lua .. " " .. name .. " 2>&1")
    assert.are.equal("EMFILE\n", program:read "a")
  end)
end)
