-- examples/prefork.lua: the pre-forked echo, its workers, their replacement.

local example = require "spec.example"

local function echo(server, word)
  local sock <close> = example.connect(server)
  sock:sendall(word)
  assert.are.equal(word, example.take(sock, #word))
end

-- So many workers say that they are there, in any order.
local function workers(server, count)
  local seen = {}
  for _ = 1, count do
    local line = server:read "l"
    local n = tonumber(line:match "^worker (%d+) is there$")
    assert(n and not seen[n], line)
    seen[n] = true
  end
  for n = 1, count do assert.is_true(seen[n]) end
end

describe("examples/prefork.lua", function()
  it("echoes, from as many processes as are wanted", function()
    local server = example.serve("prefork", 0, 3)
    workers(server, 3)
    for i = 1, 20 do echo(server, "hello " .. i) end
    example.stop_silent(server)
  end)

  it("replaces its workers on SIGHUP, and keeps connections", function()
    local server = example.serve("prefork", 0, 2)
    workers(server, 2)
    local sock <close> = example.connect(server)
    sock:sendall "before"
    assert.are.equal("before", example.take(sock, 6))
    server:kill "HUP"
    workers(server, 2)
    sock:sendall "after"
    assert.are.equal("after", example.take(sock, 5))
    echo(server, "new")
    sock:close()
    example.stop_silent(server)
  end)

  it("serves on when a worker is killed", function()
    local server = example.serve("prefork", 0, 1)
    workers(server, 1)
    local pid = tonumber(example.output("ps -o pid= --ppid " .. server.pid))
    if not pid then pending "no ps that knows --ppid" end
    assert(os.execute("kill -KILL " .. pid))
    assert.matches("^csock: worker 1 ended %(signal 9%)", server:read "l")
    workers(server, 1)
    echo(server, "still there")
    example.stop_silent(server)
  end)
end)
