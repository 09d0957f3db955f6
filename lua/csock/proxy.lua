--- proxy: the PROXY protocol, versions 1 and 2: the header by which a balancer
-- in front of a server says who the client is (haproxy's proxy-protocol.txt,
-- https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt).
-- Not here: when a server asks for it (server).
-- Invariant: not one byte beyond a header is taken from a connection.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local limits = require "csock.limits"
local loop = require "csock.loop"
local misuse = require "csock.misuse"

local constants = core.constants
local isinstance = class.isinstance
local AF_INET, AF_INET6 = constants.AF_INET, constants.AF_INET6
local MSG_PEEK = constants.MSG_PEEK
local proxy = {}

--
-- Networks
--

-- The bytes of a numeric host, 4 or 16; nil for what is none.  IPv4 in IPv6,
-- as a dual-stack listener shows it, is IPv4.
local function packed(host)
  local v6 = host:find(":", 1, true)
  local ok, bytes = pcall(core.inet_pton, v6 and AF_INET6 or AF_INET,
    (host:gsub("%%.*", "")))
  if not ok then return nil end
  if v6 and bytes:sub(1, 12) == ("\0"):rep(10) .. "\xff\xff" then
    return bytes:sub(13)
  end
  return bytes
end

-- The first `bits` bits of some bytes, the rest being zero.
local function masked(bytes, bits)
  local whole, rest = bits // 8, bits % 8
  local text = bytes:sub(1, whole)
  if rest > 0 then
    text = text .. string.char(bytes:byte(whole + 1) & 0xff00 >> rest)
  end
  return text
end

local function network(text)
  local host, bits
  if type(text) == "string" then
    host, bits = text:match "^([^/]+)/(%d%d?%d?)$"
    host = host or text
  end
  local bytes = host and packed(host)
  local size = bytes and #bytes * 8
  local given = bits and tonumber(bits)
  -- "::ffff:10.0.0.0/104" counts its bits from the beginning of IPv6
  if given and size == 32 and host:find(":", 1, true) then
    given = given - 96
  end
  if not size or given and (given < 0 or given > size) then
    misuse("bad attribute 'proxy_protocol' ('%s' is no network, such as " ..
      "'10.0.0.0/8', '::1' or 'unix')", tostring(text))
  end
  bits = given or size
  return {size = #bytes, bits = bits, bytes = masked(bytes, bits)}
end

--- networks(list) -> what `trusts` asks: a list of networks in CIDR notation,
-- of addresses, and "unix", all who connect by AF_UNIX.  Raises for another.
function proxy.networks(list)
  if type(list) ~= "table" then
    misuse("bad attribute 'proxy_protocol' (list of networks expected, got %s)",
      type(list))
  end
  local result = {}
  for _, text in ipairs(list) do
    if text == "unix" then
      result.unix = true
    else
      result[#result + 1] = network(text)
    end
  end
  return result
end

--- trusts(networks, address) -> is the address of a peer in one of them?
function proxy.trusts(networks, address)
  if type(address) == "string" or address == nil then
    return networks.unix == true
  end
  local bytes = packed(address[1])
  for _, one in ipairs(networks) do
    if #bytes == one.size and masked(bytes, one.bits) == one.bytes then
      return true
    end
  end
  return false
end

--
-- Headers
--

local SIGNATURE = "\r\n\r\n\0\r\nQUIT\n" -- of version 2
local WORD = "PROXY "                    -- of version 1
local LONGEST = 107                      -- bytes of version 1, with the end
local CHUNK = 4096
local LONG = 100000                      -- seconds; somebody will end the wait

-- What is wrong with a header; an error with a position would blame csock.
local function bad(reason) error(reason, 0) end

-- What has come, as sock:recv; an error of csock.safe's sockets is raised.
local function receive(sock, size, flags)
  local data, err = sock:recv(size, flags)
  if data == nil then error(err, 0) end
  return data
end

-- Exactly so many bytes; `check` is shown what there is, piece by piece.
local function take(sock, size, check)
  local data = ""
  repeat
    local more = receive(sock, size - #data)
    if more == "" then
      bad(data == "" and check and "nothing was sent" or "it ends too early")
    end
    data = data .. more
    if check then check(data) end
  until #data == size
  return data
end

local function begins(data)
  local n = #data
  if data ~= SIGNATURE:sub(1, n) and
    data:sub(1, #WORD) ~= WORD:sub(1, n) then
    bad "there is none"
  end
end

-- The line of version 1, of which `data` has come, without its end.  To look
-- first, and then to take no more than the line, is to take nothing beyond it.
local function take_line(sock, data)
  repeat
    local seen = receive(sock, LONGEST - #data, MSG_PEEK)
    if seen == "" then bad "it ends too early" end
    local stop = seen:find("\n", 1, true)
    data = data .. take(sock, stop or #seen)
    if stop then
      if data:sub(-2) ~= "\r\n" then bad "the line has no end" end
      return data:sub(1, -3)
    end
  until #data == LONGEST
  bad "the line is too long"
end

-- An Address, as the system makes them; nil for what cannot be one.
local function address(family, host, port)
  return core.address.unpack(core.address.pack(family, {host, port}))
end

local function port_of(digits)
  local port = digits:find "^%d%d?%d?%d?%d?$" and tonumber(digits)
  if not port or port > 65535 or #digits > 1 and digits:byte() == 48 then
    bad("'" .. digits .. "' is no port")
  end
  return port
end

local function host_of(family, text)
  if not text:find(family == AF_INET and "^[%d.]+$" or "^[%x:.]+$") or
    not pcall(core.inet_pton, family, text) then
    bad("'" .. text .. "' is no address")
  end
  return text
end

-- "PROXY TCP4 source destination port port".
local function parse_line(line)
  if line == "PROXY UNKNOWN" or line:find "^PROXY UNKNOWN " then return end
  local kind, source, destination, from, to =
    line:match "^PROXY TCP([46]) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+)$"
  if not kind then bad "the line is malformed" end
  local family = kind == "4" and AF_INET or AF_INET6
  source, destination = host_of(family, source), host_of(family, destination)
  return address(family, source, port_of(from)),
    address(family, destination, port_of(to))
end

local function skip(sock, size)
  while size > 0 do
    size = size - #take(sock, math.min(size, CHUNK))
  end
end

-- Families of version 2: how they are called here, and the bytes of an address.
local families = {[1] = {AF_INET, 4}, [2] = {AF_INET6, 16}, [3] = {nil, 108}}

-- What follows the signature.
local function take_binary(sock)
  local command, family, size = (">BBI2"):unpack(take(sock, 4))
  if command >> 4 ~= 2 then bad "its version is unknown" end
  command = command & 15
  if command > 1 then bad "its command is unknown" end
  local row, transport = families[family >> 4], family & 15
  if family >> 4 > 3 or transport > 2 then bad "its family is unknown" end
  if command == 0 or not row or transport == 0 then
    return skip(sock, size)
  end
  local need = 2 * row[2] + (row[1] and 4 or 0)
  if size < need then bad "it is too short for its addresses" end
  if not row[1] then return skip(sock, size) end
  local source, destination, from, to = ((">c%d c%d I2 I2"):format(row[2],
    row[2])):unpack(take(sock, need))
  skip(sock, size - need)
  return address(row[1], core.inet_ntop(row[1], source), from),
    address(row[1], core.inet_ntop(row[1], destination), to)
end

--- read(sock) -> the addresses of the client and of what it connected to;
-- nothing when the header says that the connection is the balancer's own, or of
-- a kind that has no such addresses.  Raises a string, which says what is wrong
-- with the header, or the error of the connection.
function proxy.read(sock)
  local start = take(sock, #SIGNATURE, begins)
  if start == SIGNATURE then return take_binary(sock) end
  return parse_line(take_line(sock, start))
end

--
-- The gate of a server: where connections wait until their header has come
--

local Gate = {}
Gate.__index = Gate

local destinations = setmetatable({}, {__mode = "k"})

--- destination(request) -> the address that its header names, or nil.
function proxy.destination(request) return destinations[request] end

--- gate(server) -> a gate for what it accepts; false if it has no
-- `proxy_protocol`.  Raises for one that is malformed.
function proxy.gate(server)
  local list = server.proxy_protocol
  if not list then return false end
  local networks = proxy.networks(list)
  if server.socket_type ~= constants.SOCK_STREAM then
    misuse "bad attribute 'proxy_protocol' (it is for streams)"
  end
  return setmetatable({
    server = server,
    networks = networks,
    tasks = {},        -- each waits for a header: task -> request
    count = 0,         -- of them and of those that are ready
    ready = {},        -- {request, client_address}, the oldest first
  }, Gate)
end

-- The end of a task.  Unless its request is ready, it is dropped; and the
-- server may have waited for either.
local Pending = {__close = function(self)
  self.gate:drop(loop.current())
  self.gate.server:_wake()
end}

local function read_within(limit, request)
  if limit then return loop.timeout(limit, proxy.read, request) end
  return proxy.read(request)
end

-- What is wrong, in words; nil when somebody has only knocked, to see whether
-- anybody listens.
local function reason_of(err, limit)
  if isinstance(err, errors.timeout) then
    return ("no header within %g s"):format(limit)
  elseif isinstance(err, errors.error) or err == "nothing was sent" then
    return nil
  end
  return "bad header: " .. tostring(err)
end

-- The task that waits for one header.
local function greet(gate, request, peer)
  local server = gate.server
  local limit = server.proxy_timeout
  local _pending <close> = setmetatable({gate = gate}, Pending)
  local ok, source, destination = pcall(read_within, limit, request)
  if ok then
    destinations[request] = destination
    table.insert(gate.ready, {request, source or peer})
    gate.tasks[loop.current()] = nil
  elseif isinstance(source, errors.CancelledError) then
    error(source, 0)
  else
    local reason = reason_of(source, limit)
    if reason then server:proxy_error(peer, reason) end
  end
end

--- get_request() -> request, client_address: one whose header has come, or one
-- that needs none; nothing when the one that was accepted has to wait for it.
function Gate:get_request()
  local first = table.remove(self.ready, 1)
  if first then
    self.count = self.count - 1
    return first[1], first[2]
  end
  local request, peer = self.server:get_request()
  if request == nil or not proxy.trusts(self.networks, peer) then
    return request, peer
  end
  self.count = self.count + 1
  self.tasks[loop.spawn(greet, self, request, peer)] = request
end

-- A connection that waits for its header has waited in vain.
function Gate:drop(task)
  local request = self.tasks[task]
  if not request then return end
  self.tasks[task] = nil
  self.count = self.count - 1
  self.server:shutdown_request(request)
end

--- settle(): wait for the headers that are under way, and let the server take
-- what becomes of them.
function Gate:settle()
  local server = self.server
  while self.count > 0 do
    if self.ready[1] then
      server:_take()
    else
      limits.rest(server, LONG) -- until a header has come, or will not
    end
  end
end

--- leave(): let go of all connections, which go on in another process.
function Gate:leave()
  for _, request in pairs(self.tasks) do request:close() end
  for _, one in ipairs(self.ready) do one[1]:close() end
  self.tasks, self.ready, self.count = {}, {}, 0
end

--- close(): end all of them.
function Gate:close()
  for task in pairs(self.tasks) do
    task:cancel()
    self:drop(task)
  end
  for _, one in ipairs(self.ready) do self.server:shutdown_request(one[1]) end
  self.ready, self.count = {}, 0
end

function Gate:__close()
  self.server._gate = false
  self:close()
end

return proxy
