-- poller: what the pollers have to bear of the system.
-- Not here: what they report, which all specs of the loop see.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

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

  it("tells who waits to send a datagram while another one reads", function()
    local got = {}
    loop.run(function()
      local a, b = csock.socketpair(csock.AF_UNIX, csock.SOCK_DGRAM)
      local _a <close> = a
      local _b <close> = b
      local reader = loop.spawn(a.recv, a, 100)
      loop.sleep(0) -- it waits by now
      local last = loop.spawn(function()
        while #got < 100 do got[#got + 1] = b:recv(10000) end
        b:send "end"
      end)
      for i = 1, 100 do -- far more than fit
        a:send(tostring(i) .. (" "):rep(9000))
      end
      assert.are.equal("end", reader:join(40))
      last:join()
    end)
    assert.are.equal("100", got[100]:match "%d+")
  end)
end)
