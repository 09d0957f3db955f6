--- http: HTTP/1.1 (RFC 9110, RFC 9112) on a StreamRequestHandler: what comes
-- before and behind an answer.  Derive from http.Handler and override answer();
-- files.lua does.
-- Requests come one after another on a connection, also without waiting for
-- answers; those to what has come together leave together.
local csock = require "csock"
local socketserver = require "csock.socketserver"

-- What each request calls.
local readhead, readline = csock.file.readhead, csock.file.readline
local take, write, time = csock.file.take, csock.file.write, os.time

local LINE = 8192   -- bytes of a line
local HEAD = 65536  -- bytes of all header lines,
local HEADERS = 100 -- and how many they may be
local SHORT = 256   -- bytes of a request line that is kept in memory,
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
lower case), and keep: is another request welcome?  They are to be read: what a
client repeats is not set again.]],
  timeout = 30,      -- seconds without a byte
  wbufsize = 16384,  -- answers are gathered
  disable_nagle_algorithm = true,
})
http.Handler = Handler

-- What header lines say, with the empty line behind them: a table; or nil and
-- the status that refuses them.
local function parse(lines)
  local headers, count = {}, 0
  for line in lines:gmatch "[^\n]*\n" do
    if line == "\r\n" or line == "\n" then return headers end
    count = count + 1
    if count > HEADERS or #line > LINE then return nil, 431 end
    local name, value = line:match "^([^%s:]+):[ \t]*([^\0\r\n]*)\r?\n$"
    if not name then return nil, 400 end
    if value:byte(-1) == 32 then value = value:match "^(.-) *$" end
    name = name:lower()
    local before = headers[name]
    headers[name] = before and before .. ", " .. value or value
  end
  return nil, #lines == HEAD and 431 or 400
end

-- Take the header lines of a request: nil, or the status that refuses them.
local function take_headers(self, lines, old)
  local headers, status = parse(lines)
  if not headers then return status end
  if not (old or headers.host) then return 400 end
  local connection = (headers.connection or ""):lower()
  self.lines, self.old, self.headers = lines, old, headers
  self.keep, self.ending = false, CLOSE
  -- What a body is good for nobody here knows: it is not read, and so nothing
  -- behind it can be.
  if headers["transfer-encoding"] or
    (headers["content-length"] or "0") ~= "0" then
    self.unread = true
  elseif not old then
    if not connection:find("close", 1, true) then
      self.keep, self.ending = true, KEEP
    end
  elseif connection:find("keep-alive", 1, true) then
    self.keep, self.ending = true, KEEP_OLD
  end
end

-- A request line in its parts, in a table, which is kept: lines come again and
-- again.  One that is malformed has the status that refuses it.
local parsed, lines_kept = {}, 0
local function parse_line(line)
  local method, target, minor =
    line:match "^(%u+) ([^\0- \127]+) HTTP/1%.(%d)\r?\n$"
  if not method then
    return {status = #line == LINE and 414 or
      line:find " HTTP/%d%S*\r?\n$" and not line:find " HTTP/1" and 505 or 400}
  end
  if lines_kept == KEPT then parsed, lines_kept = {}, 0 end
  local request = {method = method, target = target, old = minor == "0"}
  if #line <= SHORT then
    parsed[line], lines_kept = request, lines_kept + 1
  end
  return request
end

-- Read a request: its line and header lines; nil if refused, or if none came.
local function read_request(self, last)
  local rfile = self.rfile
  local line = readline(rfile, LINE)
  if line == "\r\n" then line = readline(rfile, LINE) end
  if line == "" then return end
  local request = parsed[line] or parse_line(line)
  local status, old = request.status, request.old
  self.method, self.target = request.method, request.target
  -- The same header lines say the same.
  if not status and (old ~= self.old or not take(rfile, self.lines)) then
    status = take_headers(self, readhead(rfile, HEAD), old)
  end
  if status or last then self.keep, self.ending = false, CLOSE end
  if not status then return line, self.lines end
  self.method, self.unread = nil, true
  self:refuse(status)
end

--- respond(status, headers [, body [, length]]): the whole answer.  headers:
-- lines, each with its end.  length: of a body that is sent in another way.
function Handler:respond(status, headers, body, length)
  local seconds = time()
  if seconds ~= now then begun, now = {}, seconds end
  if not body or self.method == "HEAD" then
    body, length = "", length or body and #body or -1
  end
  write(self.wfile, begun[status] or begin(status), headers,
    self.ending[length or #body], body)
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
  csock.class.super(Handler, self):setup()
  self.rfile:tie(self.wfile)
  self.respond = self.respond -- found at once
end

function Handler:handle()
  local has_request, answer, rfile = self.has_request, self.answer, self.rfile
  local line, lines -- of the last request, and mostly of the next one, too
  repeat
    local more, last = has_request(self)
    if not more then return end
    if last or not line or not take(rfile, line, lines) then
      line, lines = read_request(self, last)
      if not line then break end
    end
    answer(self)
  until not self.keep
  self.wfile:flush()
  if self.unread then self:linger() end
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
