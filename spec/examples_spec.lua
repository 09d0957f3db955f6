-- examples: every program in examples/ runs and prints what it promises, also
-- with Python's programs at the other end.  Not here: how the server takes
-- signals and crowds (server_spec, mixin_spec).

local example = require "spec.example"
local helper = require "spec.helper"
local csock = require "csock"

local run, start = example.run, example.start
local ending, stop, need = example.ending, example.stop, example.need

-- Tools -------------------------------------------------------------------

local function gone(pid)
  return not os.execute("kill -0 " .. pid .. " 2>/dev/null")
end

-- Programs ----------------------------------------------------------------

describe("examples/", function()
  it("holds the programs that are tested here", function()
    local tested = {"client.lua", "demo.lua", "http.lua", "resp.lua",
      "server.lua"} -- by this file, or as a part of others
    for _, name in ipairs(helper.files("spec", "^examples_.*_spec%.lua$")) do
      table.insert(tested, name:match "^examples_(.*)_spec" .. ".lua")
    end
    table.sort(tested)
    assert.are.same(tested, helper.files("examples", "%.lua$"))
  end)

  it("are all in the list of examples", function()
    local file <close> = assert(io.open "examples/README.md")
    local text = file:read "a"
    for _, name in ipairs(helper.files("examples", "%.lua$")) do
      assert.is_truthy(text:find("[" .. name .. "](" .. name .. ")", 1, true),
        name)
    end
  end)
end)

describe("examples/server.lua and examples/client.lua", function()
  for _, kind in ipairs {"TCPServer", "ThreadingTCPServer",
    "ForkingTCPServer", "PreforkTCPServer"} do
    it("understand each other: " .. kind, function()
      local server = example.serve("server", 0, kind)
      for _, words in ipairs {{"hello"}, {"more than", "one word"}} do
        local plain = table.concat(words, " ")
        local output, how = ending(start("client", "-p", server.port,
          table.unpack(words)))
        assert.are.equal("exit 0", how)
        assert.are.equal(("Sent:     %s\nReceived: %s\n\n"):format(plain,
          plain:upper()), output)
      end
      local output, how = stop(server)
      assert.are.equal("exit 0", how)
      assert.are.equal("127.0.0.1 wrote: hello\n\n" ..
        "127.0.0.1 wrote: more than one word\n\nstopped\n", output)
    end)
  end

  it("print bytes as they are", function()
    local server = example.serve("server", 0)
    local output = ending(start("client", "-p", server.port, "äöü"))
    assert.are.equal("Sent:     äöü\nReceived: äöü\n\n", output)
    stop(server)
  end)
end)

describe("examples/server.lua", function()
  it("is a threading server by itself", function()
    local server = example.serve("server", 0)
    local idle <close> = csock.create_connection({"127.0.0.1", server.port}, 40)
    local output = ending(start("client", "-p", server.port, "hello"))
    assert.matches("Received: HELLO\n", output)
    idle:sendall "bye"
    assert.are.equal("BYE", idle:recv(100))
    stop(server)
  end)

  it("says what is wrong with a port that is taken", function()
    local server = example.serve("server", 0)
    local output, how = ending(start("server", server.port))
    assert.are.equal("exit 1", how)
    assert.matches("bind 127%.0%.0%.1:" .. server.port .. ": .*EADDRINUSE",
      output:gsub("localhost", "127.0.0.1"))
    stop(server)
  end)

  it("says what is wrong with a port that is none", function()
    local output, how = ending(start("server", "65536"))
    assert.are.equal("exit 1", how)
    assert.matches("65535", output)
  end)
end)

describe("examples/client.lua", function()
  it("is understood by Python's socketserver", function()
    need "python3"
    local server = run("python3 -c " .. helper.quote [[
import socketserver

class Upper(socketserver.BaseRequestHandler):
    def handle(self):
        self.data = self.request.recv(1024)
        print(self.client_address[0], "wrote:", self.data, flush=True)
        self.request.sendall(self.data.upper())

with socketserver.TCPServer(("localhost", 0), Upper) as server:
    print(server.server_address[1], flush=True)
    server.handle_request()
]])
    local port = server:read("l")
    local output, how = ending(start("client", "-p", port, "hello python"))
    assert.are.equal("exit 0", how)
    assert.are.equal("Sent:     hello python\nReceived: HELLO PYTHON\n\n",
      output)
    assert.are.equal("127.0.0.1 wrote: b'hello python\\n'\n", (ending(server)))
  end)

  it("says what is wrong when nobody listens", function()
    local port = helper.deserted_port()
    local output, how = ending(start("client", "-p", port, "hello"))
    assert.are.equal("exit 1", how)
    assert.matches("ECONNREFUSED", output)
  end)
end)

describe("examples/demo.lua", function()
  -- It takes its time: one run, under its full name, for all tests.
  local output, how
  local function demo()
    if not output then
      local here = assert(io.popen "pwd"):read "l"
      output, how = ending(run(helper.lua .. " " ..
        helper.quote(here .. "/examples/demo.lua")))
    end
    return output
  end

  local function shows(...)
    local text = demo()
    for _, part in ipairs {...} do
      assert.is_truthy(text:find(part, 1, true), part .. "\n" .. text)
    end
  end

  it("ends with exit code 0", function()
    demo()
    assert.are.equal("exit 0", how, output)
  end)

  it("leaves no process", function()
    local n = 0
    for pid in demo():gmatch "process (%d+)" do
      n = n + 1
      assert.is_true(gone(pid), pid .. " is still there")
    end
    assert.are.equal(2, n)
  end)

  it("shows both servers, and their end", function()
    shows("\nTCPServer, process ", "\nThreadingTCPServer, process ",
      "server   127.0.0.1 wrote: hello csock, one at a time\n",
      "server   127.0.0.1 wrote: hello csock, many at once\n",
      "\nall answers came, both servers are gone\n")
    assert.are.equal(2, select(2, demo():gsub("server   stopped\n", "")))
  end)

  it("shows the documented client", function()
    shows("client   Received: HELLO CSOCK, ONE AT A TIME\n",
      "client   Received: HELLO CSOCK, MANY AT ONCE\n")
  end)

  it("shows three slow clients that finish together", function()
    shows("slow     ONE after ", "slow     TWO after ", "slow     THREE after ")
    local times = {}
    for seconds in demo():gmatch "after (%d+%.%d+) s" do
      times[#times + 1] = tonumber(seconds)
    end
    table.sort(times)
    assert.are.equal(3, #times)
    -- one after the other they would be half a second apart
    assert.is_true(times[3] - times[1] < 0.5, table.concat(times, " "))
  end)

  it("shows Python's client, or says that it is not there", function()
    shows(helper.has "python3" and "python3  HELLO FROM PYTHON\n" or
      "(python3 is not installed)")
  end)

  it("shows nc, or says that it is not there", function()
    shows(helper.has "nc" and "nc       HELLO FROM NC\n" or
      "(nc is not installed)")
  end)

  it("misses nothing", function()
    assert.is_nil(demo():find("MISSING", 1, true), output)
  end)

  it("notices when something is missing", function()
    local directory = helper.tmpdir()
    for _, name in ipairs(helper.files("examples", "%.lua$")) do
      local from <close> = assert(io.open("examples/" .. name))
      local to <close> = assert(io.open(directory .. "/" .. name, "w"))
      -- a server that has forgotten what it is for
      to:write((from:read("a"):gsub("data:upper%(%)", "data")))
    end
    local text, ended = ending(run(helper.lua .. " " .. directory ..
      "/demo.lua"))
    assert.are.equal("exit 1", ended)
    assert.matches("MISSING  HELLO CSOCK, ONE AT A TIME\n", text)
  end)
end)
