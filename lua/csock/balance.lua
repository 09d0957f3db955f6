--- balance: how workers come to have about as many connections each, whomever
-- the system gives them to: one that has more than others hands a new one over.
-- Not here: processes (prefork), and requests (mixin).
-- Invariant: what is in a worker's box is taken by it, by its successor, or, if
-- it has left or does not come to it, by who put it there; and nothing is put
-- there for who is away.

local core = require "csock.core"
local forgive = require "csock.forgive"
local loop = require "csock.loop"
local socket = require "csock.socket".socket

local readable = core.socket.readable

local FEW, SHARE = 2, 5 -- how many more one may have: so many, or a fifth
local WHILE, MANY = 1, 8 -- seconds, and so many times those it has come then
local TAKE, LOOK = "c", "l" -- in a box: this connection; at the listener
local PATIENCE = 0.05   -- seconds that a connection is left in a box
local PAUSE = 0.1       -- seconds between attempts to have a descriptor again

local Balance = {}
Balance.__index = Balance

--- new(count) -> the balance of so many workers, to be made before they are.
local function new(count)
  local self = setmetatable({
    board = core.board(count),
    boxes = {},   -- from which each takes connections
    towards = {}, -- the other ends of these
    since = 0,    -- when `accepted` was what the server's account says
    accepted = 0,
    recovering = false,
    avoided = {}, -- until when which other one
    spare = false, -- a descriptor, in whose place one that comes can be
  }, Balance)
  for place = 1, count do
    local towards, box = core.socketpair()
    towards.blocking, box.blocking = false, false
    self.towards[place], self.boxes[place] = towards, box
  end
  return self
end

--- close(): all that new has opened, in the parent.
function Balance:close()
  for _, box in ipairs(self.boxes) do box:close() end
  for _, towards in ipairs(self.towards) do towards:close() end
end

--
-- Taking
--

-- Without one more descriptor a connection that comes would be lost.
local function reserve(self, box)
  local ok, fd = forgive(core.dup, box:fileno())
  self.spare = ok and fd
  return ok
end

-- What is in a box: a word, and with TAKE the descriptor of a connection; nil
-- when there is nothing.
local function unpack_one(self, place)
  local box = self.boxes[place]
  core.close(self.spare)
  local ok, word, fds = forgive(core.recv_fds, box, 1, 1)
  reserve(self, box)
  if not ok then return nil end
  if word == TAKE then self.board:coming(place, -1) end
  return word, fds[1]
end

local function begin(self, fd)
  local request = socket(nil, nil, nil, fd)
  local ok, address = forgive(request.getpeername, request)
  if ok then
    self.server:_begin(request, address)
  else -- the client has gone
    request:close()
  end
end

local look

-- Take all that is there.
local function empty(self, place)
  while self.spare do
    local word, fd = unpack_one(self, place)
    if not word then return end
    if fd then
      begin(self, fd)
    elseif word == LOOK then
      look(self)
    end
  end
end

-- Another worker cannot take what the system, or others, have given to it.
function look(self)
  for place in ipairs(self.boxes) do
    if place ~= self.id and self.board:away(place) then empty(self, place) end
  end
  core.socket.retry(self.server.socket)
end

-- The task that takes what others hand over.
local function receive(self)
  local _leave <close> = setmetatable({}, {__close = function()
    if not self.left then self.board:leave(self.id) end
  end})
  local box = self.boxes[self.id]
  while true do
    if not self.spare then
      self.requests:show()
      self.board:leave(self.id)
      self:pass() -- what is in the box
      repeat loop.sleep(PAUSE) until reserve(self, box)
      self.requests:show(self.board, self.id)
    end
    readable(box)
    empty(self, self.id)
  end
end

--- join(server, id): this is worker `id`, which begins to serve.
function Balance:join(server, id)
  self.server, self.id = server, id
  self.requests = server._requests or server:_gather()
  reserve(self, self.boxes[id])
  self.requests:show(self.board, id)
  self.task = loop.spawn(receive, self)
  server._balance = self
end

--- leave(): it takes no more, but what is there; with a successor, that does.
function Balance:leave(succeeded)
  self.server._balance, self.left = false, true
  self.requests:show()
  self.task:cancel()
  if not succeeded then
    self.board:leave(self.id)
    empty(self, self.id)
  end
end

--
-- Giving
--

-- Do connections end so soon that it is not worth while?  Then the numbers are
-- old, too, before anybody has looked at them.
local function are_short(self, mine)
  local accepted, now = self.server._account.accepted, loop.now()
  if now - self.since > WHILE then
    self.since, self.accepted = now, accepted
  end
  return accepted - self.accepted > MANY * (mine + FEW)
end

-- How many requests more this worker, with `mine`, should take before another
-- one that has `least`; nil: as many as it likes.
local function room(self, mine, least)
  if not mine or are_short(self, mine) then return nil end
  return least + math.max(FEW, least // SHARE) - mine
end

--- room() -> the same, as things are now.
function Balance:room()
  return room(self, self.board:compare(self.id))
end

-- Is a connection as the system has given it, and of the usual class?
local function is_plain(server, request)
  return not server._gate and server:_only_accepts(server.socket) and
    request.__class == socket
end

-- Take back what another worker, which computes, has not even looked at.
local function recover(self)
  loop.sleep(PATIENCE)
  self.recovering = false
  for place in ipairs(self.boxes) do
    if place ~= self.id and not self.left and self.board:coming(place) > 0 then
      self.avoided[place] = loop.now() + WHILE
      empty(self, place)
    end
  end
end

--- hand_over(request) -> true when the connection is another worker's now.
function Balance:hand_over(request)
  local board, mine, least, place = self.board, self.board:compare(self.id)
  local left = room(self, mine, least)
  if not left or left > 0 or (self.avoided[place] or 0) > loop.now() or
    not is_plain(self.server, request) then
    return false
  end
  board:coming(place, 1)
  if not forgive(core.send_fds, self.towards[place], {TAKE},
    {request:fileno()}) then
    board:coming(place, -1) -- its box is full
    return false
  end
  request:close()
  if board:away(place) then
    empty(self, place) -- nobody else would
  elseif not self.recovering then
    self.recovering = true
    loop.spawn(recover, self)
  end
  return true
end

--- pass(): there are connections that perhaps nobody but this worker knows of,
-- and it cannot take them.
function Balance:pass()
  local _, _, place = self.board:compare(self.id)
  local towards = self.towards[place]
  if towards then forgive(towards.send, towards, LOOK) end
end

return {new = new}
