--- http: HTTP/1.1 (RFC 9110, RFC 9112) on a StreamRequestHandler: what comes
-- before and behind an answer.  Derive from http.Handler and override answer();
-- files.lua does.
-- Requests come one after another on a connection, also without waiting for
-- answers; those to what has come together leave together.
local csock = require "csock"
local socketserver = require "csock.socketserver"

local LINE = 8192   -- bytes of a line
local HEAD = 65536  -- bytes of all header lines,
local HEADERS = 100 -- and how many they may be
local LINGER = 2    -- seconds to hear a client out that has been refused

local REASONS = {
  [200] = "OK", [206] = "Partial Content", [301] = "Moved Permanently",
  [304] = "Not Modified", [400] = "Bad Request", [404] = "Not Found",
  [405] = "Method Not Allowed", [414] = "URI Too Long",
  [416] = "Range Not Satisfiable", [431] = "Request Header Fields Too Large",
  [505] = "HTTP Version Not Supported",
}
-- The line that tells a length; the short ones are made once.
local LENGTH = setmetatable({}, {__index = function(lines, n)
  local line = "Content-Length: " .. n .. "\r\n"
  if n < 1000 then lines[n] = line end
  return line
end})

local http = {}

--- date(seconds) -> as HTTP writes it.
function http.date(seconds)
  return os.date("!%a, %d %b %Y %H:%M:%S GMT", seconds)
end

-- What answers with this status begin with, made once a second.
local begun, begun_at
local function begin(status)
  local seconds = os.time()
  if seconds ~= begun_at then begun, begun_at = {}, seconds end
  local lines = begun[status]
  if not lines then
    lines = ("HTTP/1.1 %d %s\r\nDate: %s\r\n"):format(status, REASONS[status],
      http.date(seconds))
    begun[status] = lines
  end
  return lines
end

local Handler = csock.class("Handler", socketserver.StreamRequestHandler, {
  __doc = [[
Answers requests; in an instance: method, target, headers (a table from names in
lower case, not to be changed: it serves all requests that have the same), and
keep: is another request welcome?]],
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

-- Read the header lines, which clients repeat: what they say is kept for the
-- next request.  nil, or the status that refuses them.
local function read_headers(self)
  local lines = self.rfile:readhead(HEAD)
  if lines == self.lines then return end
  local headers, status = parse(lines)
  if not headers then return status end
  local connection = (headers.connection or ""):lower()
  self.lines, self.headers = lines, headers
  self.says_close = connection:find("close", 1, true) ~= nil
  self.says_keep = connection:find("keep-alive", 1, true) ~= nil
end

-- Read a request: nil; false when there is none any more; or the status that
-- refuses it.
local function read_request(self)
  self.keep, self.closing = false, "Connection: close\r\n\r\n"
  local line = self.rfile:readline(LINE)
  if line == "\r\n" then line = self.rfile:readline(LINE) end
  if line == "" then return false end
  local method, target, minor =
    line:match "^(%u+) ([^\0- \127]+) HTTP/1%.(%d)\r?\n$"
  if not method then
    return #line == LINE and 414 or line:find " HTTP/%d%S*\r?\n$" and
      not line:find " HTTP/1" and 505 or 400
  end
  self.method, self.target = method, target
  local status = read_headers(self)
  if status then return status end
  local headers = self.headers
  if minor ~= "0" and not headers.host then return 400 end
  -- What a body is good for nobody here knows: it is not read, and so nothing
  -- behind it can be.
  if headers["transfer-encoding"] or
    (headers["content-length"] or "0") ~= "0" then
    self.unread = true
  elseif self.server.stopping then
    return -- what is answered now is the last answer
  elseif minor == "0" then
    self.keep = self.says_keep
    if self.keep then self.closing = "Connection: keep-alive\r\n\r\n" end
  elseif not self.says_close then
    self.keep, self.closing = true, "\r\n"
  end
end

--- respond(status, headers [, body]): the whole answer.  headers: lines, each
-- with its end.
function Handler:respond(status, headers, body)
  local answer = begin(status) .. headers
  if not body then
    answer = answer .. self.closing
  elseif self.method == "HEAD" then
    answer = answer .. LENGTH[#body] .. self.closing
  else
    answer = answer .. LENGTH[#body] .. self.closing .. body
  end
  self.wfile:write(answer)
end

--- respond_file(status, headers, file, offset, count): the same with a part of
-- an open file, which the system sends by itself.
function Handler:respond_file(status, headers, file, offset, count)
  local wfile = self.wfile
  wfile:write(begin(status) .. headers .. LENGTH[count] .. self.closing)
  if self.method == "HEAD" or count == 0 then return end
  wfile:flush()
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

-- Is the head of another request here?  Then its answer can go with this one.
local function another(rfile)
  return rfile.pending > 0 and rfile:peek():find("\r\n\r\n", 1, true)
end

function Handler:handle()
  local rfile, wfile = self.rfile, self.wfile
  repeat
    local status = self:has_request() and read_request(self)
    if status == false then return end
    if status then
      self.method, self.unread, self.keep = nil, true, false
      self:refuse(status)
    else
      self:answer()
    end
    if not (self.keep and another(rfile)) then wfile:flush() end
  until not self.keep
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
