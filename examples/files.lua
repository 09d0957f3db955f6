-- files: a file server for HTTP/1.1, on http.lua, which lies beside it.
--   lua files.lua [directory [port]]       (., 8000); Ctrl-C ends it
--   curl -i http://localhost:8000/
-- It serves what is below the directory, but nothing whose name begins with a
-- dot, and follows no symbolic link.  Needs LuaFileSystem (lua-filesystem).
local lfs = require "lfs"

package.path = (arg[0]:match "^.*/" or "./") .. "?.lua;" .. package.path
local http = require "http"
local csock = require "csock"

local root = arg[1] or "."
local SMALL = 16384 -- bytes of a file that is kept in memory,
local KEPT = 1000   -- of so many

local TYPES = {
  css = "text/css", gif = "image/gif", html = "text/html; charset=utf-8",
  jpg = "image/jpeg", js = "text/javascript", json = "application/json",
  lua = "text/plain; charset=utf-8", md = "text/plain; charset=utf-8",
  pdf = "application/pdf", png = "image/png", svg = "image/svg+xml",
  txt = "text/plain; charset=utf-8", wasm = "application/wasm",
}

-- The path of a request's target, in pieces; nil if it is none.
local function split(target)
  local path = target:gsub("^http://[^/]*", ""):match "^/[^?#]*"
  if not path or path:gsub("%%%x%x", ""):find "%%" then return nil end
  path = path:gsub("%%(%x%x)", function(hex)
    return string.char(tonumber(hex, 16))
  end)
  if path:find("\0", 1, true) then return nil end
  local pieces = {}
  for piece in path:gmatch "[^/]+" do table.insert(pieces, piece) end
  return pieces, path:sub(-1) == "/"
end

-- What a target means: a table with `path`, `size`, `modified` and `head`, or
-- with the status to refuse it with and more header lines.
local function find(target)
  local pieces, slash = split(target)
  if not pieces then return {status = 400} end
  local path, attributes = root, {mode = "directory"}
  for _, piece in ipairs(pieces) do
    path = path .. "/" .. piece
    if attributes.mode ~= "directory" or piece:sub(1, 1) == "." then
      return {status = 404}
    end
    attributes = lfs.symlinkattributes(path) or {}
  end
  if attributes.mode == "directory" then
    if not slash then
      local place = target:match("^[^?#]*"):gsub("^/+", "/")
      return {status = 301, head = "Location: " .. place .. "/\r\n"}
    end
    path = path .. "/index.html"
    attributes = lfs.symlinkattributes(path) or {}
  elseif slash then
    return {status = 404}
  end
  if attributes.mode ~= "file" then return {status = 404} end
  local modified = http.date(attributes.modification)
  return {
    path = path, size = attributes.size, modified = modified,
    head = ("Content-Type: %s\r\nLast-Modified: %s\r\nAccept-Ranges: bytes\r\n")
      :format(TYPES[path:match "%.(%w+)$"] or "application/octet-stream",
        modified),
  }
end

-- What was found is good until the next second begins.
local found, count, found_at = {}, 0, 0

local function look_up(target)
  local seconds = os.time()
  if seconds ~= found_at or count > KEPT then
    found, count, found_at = {}, 0, seconds
  end
  local entry = found[target]
  if not entry then
    entry = find(target)
    found[target], count = entry, count + 1
  end
  return entry
end

-- First and last byte of a Range header that asks for one part, from 0; false
-- when there is no such part; nil when all is to be sent.
local function parse_range(range, size)
  local first, last = (range or ""):match "^bytes=(%d*)%-(%d*)$"
  first, last = tonumber(first), tonumber(last)
  if not first and not last then return nil end
  if not first then first, last = math.max(size - last, 0), size - 1 end
  last = math.min(last or size - 1, size - 1)
  if first > last then return false end
  return math.tointeger(first), math.tointeger(last)
end

local Files = csock.class("Files", http.Handler)

function Files:answer()
  local method, headers = self.method, self.headers
  if method ~= "GET" and method ~= "HEAD" then
    return self:refuse(405, "Allow: GET, HEAD\r\n")
  end
  local entry = look_up(self.target)
  if entry.status then return self:refuse(entry.status, entry.head) end
  if headers["if-modified-since"] == entry.modified then
    return self:respond(304, entry.head)
  end
  if headers.range and method == "GET" and
    (headers["if-range"] or entry.modified) == entry.modified then
    local first, last = parse_range(headers.range, entry.size)
    if first == false then
      return self:refuse(416, ("Content-Range: bytes */%d\r\n"):format(
        entry.size))
    elseif first then
      return self:part(entry, first, last)
    end
  end
  self:whole(entry)
end

function Files:whole(entry)
  if entry.body then return self:respond(200, entry.head, entry.body) end
  local file <close> = io.open(entry.path, "rb")
  if not file then return self:refuse(404) end
  if entry.size > SMALL then
    return self:respond_file(200, entry.head, file, 0, entry.size)
  end
  entry.body = file:read "a"
  self:respond(200, entry.head, entry.body)
end

function Files:part(entry, first, last)
  local file <close> = io.open(entry.path, "rb")
  if not file then return self:refuse(404) end
  self:respond_file(206, entry.head .. ("Content-Range: bytes %d-%d/%d\r\n")
    :format(first, last, entry.size), file, first, last - first + 1)
end

io.stdout:setvbuf("line")
local address = {"localhost", tonumber(arg[2]) or 8000}
local server <close> = http.Server(address, Files)
function server:server_ready()
  print("serving on " .. tostring(self.server_address))
end
server:serve_forever()
print("stopped")
