--- http: HTTP/1.1 (RFC 9110, RFC 9112) on a StreamRequestHandler: what comes
-- before and behind an answer.  Derive from http.Handler and override answer();
-- files.lua does.
-- Requests come one after another on a connection, also without waiting for
-- answers; those to what has come together leave together.
local csock = require "csock"
local socketserver = require "csock.socketserver"

-- What each request calls.
local find, sub, time = string.find, string.sub, os.time
local flush, write = csock.file.flush, csock.file.write
local readhead, readline = csock.file.readhead, csock.file.readline
local take, tie = csock.file.take, csock.file.tie
local setup = socketserver.StreamRequestHandler.setup

local LINE = 8192   -- bytes of a line
local HEAD = 65536  -- bytes of all header lines,
local HEADERS = 100 -- and how many they may be
local SHORT = 256   -- bytes of a line that is kept in memory,
local KEPT = 1000   -- of so many
local LINGER = 2    -- seconds to hear a client out that has been refused

local REASONS = {
  [200] = "OK", [206] = "Partial Content", [301] = "Moved Permanently",
  [304] = "Not Modified", [400] = "Bad Request", [404] = "Not Found",
  [405] = "Method Not Allowed", [414] = "URI Too Long",
  [416] = "Range Not Satisfiable", [431] = "Request Header Fields Too Large",
  [505] = "HTTP Version Not Supported",
}
-- What ends an answer's head, by the length that it tells, -1: none; those of
-- short answers are made once.
local function endings(last)
  return setmetatable({[-1] = last}, {__index = function(ends, n)
    local lines = "Content-Length: " .. n .. "\r\n" .. last
    if n < 1000 then ends[n] = lines end
    return lines
  end})
end
local KEEP, CLOSE = endings "\r\n", endings "Connection: close\r\n\r\n"
local KEEP_OLD = endings "Connection: keep-alive\r\n\r\n"

local http = {}

--- date(seconds) -> as HTTP writes it.
function http.date(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds)
end

-- What answers begin with in this second, by their status.
local begun, now
local function begin(status)
  begun[status] = ("HTTP/1.1 %d %s\r\nDate: %s\r\n"):format(status,
    REASONS[status], http.date(now))
  return begun[status]
end

local Handler = csock.class("Handler", socketserver.StreamRequestHandler, {
  __doc = [[
Answers requests; in an instance: method, target, headers (a table from names in
lower case), and keep: false if no other request is welcome.  They are to be
read: what a client repeats is not set again.]],
  timeout = 30,      -- seconds without a byte
  wbufsize = 16384,  -- answers are gathered
  disable_nagle_algorithm = true,
})
http.Handler = Handler

-- Lines come again and again, from one client and from another, so what `make`
-- has made of them is kept: a table from lines to that.  What is secret is not.
local function keeper(make)
  local count = 0
  return setmetatable({}, {__index = function(kept, line)
    local made = make(line)
    if #line > SHORT or made.secret then return made end
    if count == KEPT then
      for other in next, kept do kept[other] = nil end
      count = 0
    end
    kept[line], count = made, count + 1
    return made
  end})
end

local SECRET = {
  authorization = true, cookie = true, ["proxy-authorization"] = true,
}

-- A header line: its name and value, or the status that refuses it; the empty
-- one is the `last`.
local fields = keeper(function(line)
  if line == "\r\n" or line == "\n" then return {last = true} end
  if #line > LINE then return {status = 431} end
  local name, value = line:match "^([^%s:]+):[ \t]*([^\0\r\n]*)\r?\n$"
  if not name then return {status = 400} end
  if value:byte(-1) == 32 then value = value:match "^(.-) *$" end
  name = name:lower()
  return {name = name, value = value, secret = SECRET[name]}
end)

-- What header lines say, with the empty line behind them: a table; or nil and
-- the status that refuses them.
local function parse(lines)
  local headers, count, from = {}, 0, 1
  while true do
    local to = find(lines, "\n", from, true)
    if not to then return nil, #lines == HEAD and 431 or 400 end
    local field = fields[sub(lines, from, to)]
    local name = field.name
    if field.last then return headers end
    count, from = count + 1, to + 1
    if count > HEADERS then return nil, 431 end
    if not name then return nil, field.status end
    local before = headers[name]
    headers[name] = before and before .. ", " .. field.value or field.value
  end
end

-- Is this one of the connection's options?
local function has_option(connection, option)
  return connection == option or
    connection ~= nil and find(connection:lower(), option, 1, true) ~= nil
end

-- How an answer to a request with these header lines has to end, or nil if no
-- other request is welcome behind it.
local function choose_ending(headers, old)
  local connection = headers.connection
  if old then return has_option(connection, "keep-alive") and KEEP_OLD end
  return not has_option(connection, "close") and KEEP
end

-- A request line in its parts, or with the status that refuses it.
local requests = keeper(function(line)
  local method, target, minor =
    line:match "^(%u+) ([^\0- \127]+) HTTP/1%.(%d)\r?\n$"
  if not method then
    return {status = #line == LINE and 414 or
      line:find " HTTP/%d%S*\r?\n$" and not line:find " HTTP/1" and 505 or 400}
  end
  return {method = method, target = target, old = minor == "0"}
end)

-- Read a request.  `before` are the header lines of the one before, and
-- `was_old` says whether that was HTTP/1.0's.  Returns its line, its header
-- lines, whether it is HTTP/1.0's, and whether there is something unread behind
-- it; no line if it was refused, or if none came.
local function read_request(self, last, before, was_old)
  local rfile = self.rfile
  local line = readline(rfile, LINE)
  if line == "\r\n" then line = readline(rfile, LINE) end
  if line == "" then return end
  local request, lines, unread = requests[line], before, false
  local status, old = request.status, request.old
  self.method, self.target = request.method, request.target
  -- The same header lines say the same.
  if not status and
    (old ~= was_old or not before or not take(rfile, before)) then
    lines = readhead(rfile, HEAD)
    local headers
    headers, status = parse(lines)
    if headers and not (old or headers.host) then status = 400 end
    if not status then
      self.headers = headers
      -- What a body is good for nobody here knows: it is not read, and so
      -- nothing behind it can be.
      unread = headers["transfer-encoding"] ~= nil or
        (headers["content-length"] or "0") ~= "0"
      self.keep = not unread and choose_ending(headers, old)
    end
  end
  if status or last then self.keep = false end
  if not status then return line, lines, old, unread end
  self.method = nil
  self:refuse(status)
  return nil, nil, nil, true
end

--- respond(status, headers [, body [, length]]): the whole answer.  headers:
-- lines, each with its end.  length: of a body that is sent in another way.
function Handler:respond(status, headers, body, length)
  local seconds = time()
  if seconds ~= now then begun, now = {}, seconds end
  if body and self.method ~= "HEAD" then
    length = #body
  else
    body, length = "", length or body and #body or -1
  end
  write(self.wfile, begun[status] or begin(status), headers,
    (self.keep or CLOSE)[length], body)
end

--- respond_file(status, headers, file, offset, count): the same with a part of
-- an open file, which the system sends by itself.
function Handler:respond_file(status, headers, file, offset, count)
  self:respond(status, headers, nil, count)
  if self.method == "HEAD" or count == 0 then return end
  self.wfile:flush()
  -- A file that has become shorter: the client has to see it.
  if self.request:sendfile(file, offset, count) < count then
    self.keep = false
  end
end

--- refuse(status [, headers]): an answer that says just that.
function Handler:refuse(status, headers)
  self:respond(status, "Content-Type: text/plain\r\n" .. (headers or ""),
    ("%d %s\n"):format(status, REASONS[status]))
end

--- answer(): to be overridden; calls one of the three once.
function Handler:answer()
  self:refuse(404)
end

--- setup(): answers leave when their client has asked nothing more.
function Handler:setup()
  setup(self)
  tie(self.rfile, self.wfile)
end

-- The last answer goes, and then the client.
local function leave(self, unread)
  flush(self.wfile)
  if unread then return self:linger() end
end

-- Answer what comes behind a request.
local function go_on(self, has_request, answer, line, lines, old)
  local rfile, unread = self.rfile, false
  local more, last = has_request(self)
  if not more then return end
  self.respond = self.respond -- found at once, now that there are several
  while true do
    if last or not take(rfile, line, lines) then
      line, lines, old, unread = read_request(self, last, lines, old)
      if not line then break end
    end
    answer(self)
    if not self.keep then break end
    local another, ends = has_request(self)
    if not another then return end
    last = ends
  end
  return leave(self, unread)
end

function Handler:handle()
  local has_request, answer = self.has_request, self.answer
  local more, last = has_request(self)
  if not more then return end
  local line, lines, old, unread = read_request(self, last)
  if line then
    answer(self)
    if self.keep then
      return go_on(self, has_request, answer, line, lines, old)
    end
  end
  return leave(self, unread)
end

-- A close while bytes are unread would cut off the answer.
function Handler:linger()
  self.request:shutdown(csock.SHUT_WR)
  self.request.timeout = LINGER
  for _ = 1, 64 do
    if self.rfile:read1() == "" then return end
  end
end

--- Server(address, Handler): clients that fall silent or go are no errors.
local Server = csock.class("Server", socketserver.ThreadingTCPServer)
http.Server = Server

function Server:handle_error(request, client_address, err, traceback)
  if csock.isinstance(err, csock.timeout) or
    csock.isinstance(err, csock.ConnectionError) then
    return
  end
  csock.class.super(Server, self):handle_error(request, client_address, err,
    traceback)
end

return http
