-- chat: a room for many.  What one says, the others read.
--   lua chat.lua [port]                    (7000)
--   nc localhost 7000                      comes in
-- Each client has a handler, in a task of its own, that reads; beside it a
-- second task writes what is queued for the client.  The queue is bounded: who
-- does not read misses lines, and nobody else waits or pays for it.
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local WAITING = 100 -- lines that wait for one client, at most
local LINE = 400    -- bytes of a line; a longer one becomes several

local members = {} -- from a handler to true

local Chat = csock.class("Chat", socketserver.StreamRequestHandler, {
  disable_nagle_algorithm = true,
})

-- Queue a line for this client, or count it as missed.
function Chat:tell(line)
  if self.queue:full() then
    self.missed = self.missed + 1
  else
    self.queue:put_nowait(line)
  end
end

local function tell_others(speaker, ...)
  local line = table.concat {...}
  for member in pairs(members) do
    if member ~= speaker then member:tell(line) end
  end
end

-- The writing task: all that waits goes out at once.  That the client has gone
-- is for the reading one to notice.
function Chat:write_lines()
  local queue = self.queue
  while true do
    local lines = {queue:get()}
    while not queue:empty() do table.insert(lines, queue:get_nowait()) end
    if self.missed > 0 then
      table.insert(lines, ("* you missed %d lines\n"):format(self.missed))
      self.missed = 0
    end
    local ok, err = pcall(self.wfile.write, self.wfile, table.concat(lines))
    if not ok then
      if csock.isinstance(err, csock.ConnectionError) then return end
      error(err, 0)
    end
  end
end

-- A line of the client's without what is no text in it; nil at the end.
function Chat:read_line()
  local line = self.rfile:readline(LINE)
  if line ~= "" then return (line:gsub("%c", "")) end
end

function Chat:handle()
  self.request.keepalive = true -- find out when a silent client is gone
  self.wfile:write "Your name? "
  self.name = self:read_line()
  if not self.name or self.name == "" then return end
  self.queue, self.missed = loop.Queue(WAITING), 0
  self.writer = loop.spawn(self.write_lines, self)

  local names = {}
  for member in pairs(members) do table.insert(names, member.name) end
  self:tell("* here: " .. table.concat(names, ", ") .. "\n")
  members[self] = true
  tell_others(self, "* ", self.name, " has come\n")

  for line in self.read_line, self do
    if line ~= "" then tell_others(self, "<", self.name, "> ", line, "\n") end
  end
end

-- Called in any case, also when the client was cut off.
function Chat:finish()
  if members[self] then
    members[self] = nil
    tell_others(self, "* ", self.name, " has gone\n")
  end
  if self.writer then self.writer:cancel() end
  csock.class.super(Chat, self):finish()
end

local ChatServer = csock.class("ChatServer", socketserver.ThreadingTCPServer, {
  drain_timeout = 0, -- at the end nobody is waited for
})

function ChatServer:server_ready()
  print("serving on " .. tostring(self.server_address))
end

-- A client that goes without a word is nothing to report.
function ChatServer:handle_error(request, client_address, err, traceback)
  if csock.isinstance(err, csock.ConnectionError) then return end
  csock.class.super(ChatServer, self):handle_error(request, client_address, err,
    traceback)
end

io.stdout:setvbuf("line")
local address = {"localhost", tonumber(arg[1]) or 7000}
local server <close> = ChatServer(address, Chat)
server:serve_forever()
print("stopped")
