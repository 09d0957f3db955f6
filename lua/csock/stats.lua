--- stats: what a server has done so far.
-- Invariant: the bytes of a request are counted in its socket until it ends,
-- and in the server's account from then on.

local core = require "csock.core"

local settle, traffic = core.socket.settle, core.socket.traffic
local stats = {}

--- new() -> an account in which nothing has happened.
function stats.new()
  return {
    accepted = 0, failed = 0, bytes_in = 0, bytes_out = 0, since = os.time(),
  }
end

--- settle(account, request): the request has ended.
function stats.settle(account, request)
  local received, sent = settle(request)
  if not received then return end
  account.bytes_in = account.bytes_in + received
  account.bytes_out = account.bytes_out + sent
end

--- take(account, batch): requests that a batch of datagrams has begun; it
-- counts by itself until somebody asks.
function stats.take(account, batch)
  account.accepted = account.accepted + batch.begun()
end

local function add(result, sock)
  local received, sent = traffic(sock)
  if not received then return end
  result.bytes_in = result.bytes_in + received
  result.bytes_out = result.bytes_out + sent
end

--- snapshot(server) -> {accepted =, active =, finished =, failed =, bytes_in =,
-- bytes_out =, since =}: requests taken, those of them that are being
-- processed, that have ended well, and by an error; bytes received and sent by
-- all of them so far; when the server was made (os.time).
function stats.snapshot(server)
  local result = {}
  if server._batch then stats.take(server._account, server._batch) end
  for name, value in pairs(server._account) do result[name] = value end
  result.active = server:_active()
  result.finished = result.accepted - result.active - result.failed
  for request in server:_running() do add(result, request) end
  if server.socket then add(result, server.socket) end -- of datagrams
  return result
end

return stats
