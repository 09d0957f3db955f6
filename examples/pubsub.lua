-- pubsub: messages by topic between the processes of one machine.
--   lua pubsub.lua serve PATH              the broker, on an AF_UNIX socket
--   lua pubsub.lua sub PATH topic...       prints what comes: topic, message
--   lua pubsub.lua pub PATH topic message  says it to all who have subscribed
-- The protocol is lines, so `nc -U PATH` will do as well:
--   SUB topic, UNSUB topic, PUB topic message    answered by: OK count, ERR why
--   MSG topic message                            what subscribers get
local csock = require "csock"
local loop = require "csock.loop"
local socketserver = require "csock.socketserver"

local LINE = 65536   -- bytes of a line
local WAITING = 1000 -- messages that wait for one subscriber, at most

local LAST = 5       -- seconds to read the rest for one that says no more

local topics = {} -- from a topic to its subscribers, from a handler to true

local Client = csock.class("Client", socketserver.StreamRequestHandler)

function Client:setup()
  csock.class.super(Client, self):setup()
  self.topics, self.queue = {}, loop.Queue(WAITING)
  self.reader = loop.current()
  self.writer = loop.spawn(self.write_lines, self)
end

-- The task that writes, so that no publisher waits for a subscriber; until it
-- finds `false`, or the client has gone, which the reading one notices.
function Client:write_lines()
  while true do
    local line = self.queue:get()
    if not line then return end
    local ok, err = pcall(self.wfile.write, self.wfile, line)
    if not ok then
      if csock.isinstance(err, csock.ConnectionError) then return end
      error(err, 0)
    end
  end
end

function Client:SUB(topic)
  topics[topic] = topics[topic] or {}
  topics[topic][self], self.topics[topic] = true, true
  return 1
end

function Client:UNSUB(topic)
  local subscribers = topics[topic]
  if not self.topics[topic] then return 0 end
  subscribers[self], self.topics[topic] = nil, nil
  if not next(subscribers) then topics[topic] = nil end
  return 1
end

-- One that does not keep up is let go: better than messages lost in silence.
function Client:PUB(topic, message)
  local line, count = ("MSG %s %s\n"):format(topic, message), 0
  for subscriber in pairs(topics[topic] or {}) do
    if subscriber.queue:full() then
      subscriber.reader:cancel()
    else
      subscriber.queue:put_nowait(line)
      count = count + 1
    end
  end
  return count
end

local COMMANDS = {SUB = Client.SUB, UNSUB = Client.UNSUB, PUB = Client.PUB}

function Client:handle()
  while true do
    local line = self.rfile:readline(LINE)
    if line:sub(-1) ~= "\n" then break end -- the end, or no end of a line
    local word, topic, message = line:match "^(%u+) (%S+) ?(.-)\r?\n$"
    local command = COMMANDS[word]
    self.queue:put(command and ("OK %d\n"):format(command(self, topic, message))
      or "ERR SUB topic, UNSUB topic or PUB topic message\n")
  end
  -- It may still want to read what there is to be read.
  self.queue:put(false, LAST)
  self.writer:join(LAST)
end

function Client:finish()
  for topic in pairs(self.topics) do self:UNSUB(topic) end
  self.writer:cancel()
  csock.class.super(Client, self):finish()
end

local Broker = csock.class("Broker", socketserver.ThreadingUnixStreamServer, {
  mode = "600",      -- of the path: for processes of this user
  drain_timeout = 0, -- subscribers never end by themselves
})

function Broker:server_ready()
  print("serving on " .. self.server_address)
end

-- What the world does to a connection is nothing to report.
function Broker:handle_error(request, client_address, err, traceback)
  if csock.isinstance(err, csock.error) then return end
  csock.class.super(Broker, self):handle_error(request, client_address, err,
    traceback)
end

local function serve(path)
  local broker <close> = Broker(path, Client)
  broker:serve_forever()
end

-- Open the broker's socket, and give each line that comes to `f`.
local function talk(path, lines, f)
  local sock <close> = csock.socket(csock.AF_UNIX)
  sock:connect(path)
  sock:sendall(table.concat(lines))
  for line in sock:makefile("r"):lines() do
    if f(line) then return end
  end
end

local function subscribe(path, ...)
  local lines = {...}
  for i, topic in ipairs(lines) do lines[i] = "SUB " .. topic .. "\n" end
  talk(path, lines, function(line)
    print((line:gsub("^MSG ", "")))
  end)
end

local function publish(path, topic, ...)
  local message = table.concat({...}, " ")
  talk(path, {("PUB %s %s\n"):format(topic, message)}, function(line)
    print(line)
    return true
  end)
end

io.stdout:setvbuf("line")
local ways = {serve = serve, sub = subscribe, pub = publish}
local way = ways[arg[1]] or error("serve, sub or pub?", 0)
way(table.unpack(arg, 2))
