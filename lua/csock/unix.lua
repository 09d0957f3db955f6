--- unix: a server's path in the file system: it takes the place of one that a
-- dead server has left, gets its mode, and goes when the server closes.
-- Invariant: only a path at which nobody serves is removed, or the server's
-- own.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local misuse = require "csock.misuse"
local socket = require "csock.socket".socket

local constants = core.constants
local identity = core.unix.identity
local unix = {}

-- The bits that a mode says: an integer, or octal digits.
local function bits(mode)
  local number = type(mode) == "string" and mode:find "^[0-7]+$" and
    tonumber(mode, 8) or math.type(mode) == "integer" and mode
  if number and number >= 0 and number <= 511 then return number end
  misuse("bad mode '%s' (octal digits or an integer expected)", tostring(mode))
end

-- Is this the path of a socket that nobody has open?
local function is_stale(path, type)
  local before = identity(path)
  if not before then return false end
  local probe <close> = socket(constants.AF_UNIX, type)
  probe.timeout = 0
  return probe:connect_ex(path) == constants.ECONNREFUSED and
    identity(path) == before
end

--- bind(server): bind its socket to its path, also to one that a dead server
-- has left; `server.mode` (octal digits, or an integer; nil: as the umask wants
-- it) are the permissions.
function unix.bind(server)
  local sock, path = server.socket, server.server_address
  local mode = server.mode ~= nil and bits(server.mode)
  local ok, err = pcall(sock.bind, sock, path)
  if not ok then
    if not class.isinstance(err, errors.OSError) or err.code ~= "EADDRINUSE" or
      not is_stale(path, sock.type) then
      error(err, 0)
    end
    os.remove(path)
    sock:bind(path)
  end
  path = sock:getsockname()
  server.server_address = path
  if path == "" or path:byte() == 0 then return end -- it has no path
  server._bound = {
    path = path, identity = identity(path), process = core.process.getpid(),
  }
  if mode then core.unix.chmod(path, mode) end
end

--- release(server): remove the path, if it still is the one that bind has made,
-- and not in a child of the process that made it.
function unix.release(server)
  local bound = server._bound
  server._bound = nil
  if bound and bound.process == core.process.getpid() and bound.identity and
    identity(bound.path) == bound.identity then
    os.remove(bound.path)
  end
end

return unix
