-- examples/time.lua: the Time protocol, by hand and by its own client.

local example = require "spec.example"
local helper = require "spec.helper"
local csock = require "csock"

local EPOCH = 2208988800

describe("examples/time.lua", function()
  it("answers each datagram with the seconds since 1900", function()
    local server = example.serve("time", 0)
    local sock <close> = csock.socket(csock.AF_INET, csock.SOCK_DGRAM)
    sock.timeout = helper.slow and 200 or 40
    for _, question in ipairs {"", "what time is it?"} do
      local before = os.time()
      sock:sendto(question, {"127.0.0.1", server.port})
      local answer, address = sock:recvfrom(100)
      assert.are.equal(4, #answer)
      assert.are.equal(server.port, address.port)
      local seconds = string.unpack(">I4", answer) - EPOCH
      assert.is_true(before <= seconds and seconds <= os.time())
    end
    example.stop_silent(server, "")
  end)

  it("asks, and prints the answer", function()
    local server = example.serve("time", 0)
    local before = os.date "!%Y-%m-%d %H:%M:%S UTC"
    local output, how = example.ending(example.start("time", "ask",
      server.port))
    assert.are.equal("exit 0", how, output)
    local after = os.date "!%Y-%m-%d %H:%M:%S UTC"
    assert.is_true(before .. "\n" <= output and output <= after .. "\n", output)
    example.stop_silent(server, "")
  end)

  it("is understood by Python", function()
    example.need "python3"
    local server = example.serve("time", 0)
    local output = example.output("python3 -c " .. helper.quote([[
import socket, struct, time
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.settimeout(5)
    s.sendto(b"", ("127.0.0.1", %d))
    then, = struct.unpack("!I", s.recv(4))
    print(abs(then - 2208988800 - time.time()) < 60)
]]):format(server.port))
    assert.are.equal("True\n", output)
    example.stop_silent(server, "")
  end)

  it("says what is wrong when nobody answers", function()
    local port = helper.deserted_datagrams()
    local output, how = example.ending(example.start("time", "ask", port))
    assert.are.equal("exit 1", how)
    assert.matches("ECONNREFUSED", output)
  end)
end)
