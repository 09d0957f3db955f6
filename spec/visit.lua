--- visit: how specs of servers serve, and talk to what serves.
-- Not here: what a server or a client of one noun alone does.
-- Invariant: whoever waits here does so for `patience` seconds at most.

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"

local visit = {
  patience = helper.slow and 200 or 40,
  anywhere = {"127.0.0.1", 0},
}

--- An address of its family for a server of that class.
function visit.address_for(Server)
  return Server.address_family == csock.AF_UNIX and
    helper.tmpdir() .. "/socket" or visit.anywhere
end

--- A socket that is connected to the server.
function visit.connect(server)
  local sock = csock.socket(server.address_family, csock.SOCK_STREAM)
  sock.timeout = visit.patience
  sock:connect(server.server_address)
  return sock
end

--- What a client gets that says these words and then no more.
function visit.ask(server, words)
  local sock <close> = visit.connect(server)
  sock:sendall(words)
  sock:shutdown(csock.SHUT_WR)
  return helper.read_all(sock)
end

--- What a client gets that sends this datagram.
function visit.ask_datagram(server, words)
  local sock <close> = csock.socket(server.address_family, csock.SOCK_DGRAM)
  sock.timeout = visit.patience
  if server.address_family == csock.AF_UNIX then
    sock:bind(helper.tmpdir() .. "/client")
  end
  sock:sendto(words, server.server_address)
  return (sock:recvfrom(4096))
end

--- f(server, task) as its clients, beside a server that serves in that task
--- (with that poll_interval): what f returns.
function visit.serving(server, f, poll_interval)
  return loop.run(function()
    local _closing <close> = server
    local task = loop.spawn(server.serve_forever, server, poll_interval)
    loop.sleep(0)
    local result = f(server, task)
    server:shutdown()
    task:join()
    return result
  end)
end

return visit
