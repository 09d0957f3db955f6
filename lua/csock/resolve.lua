--- resolve: what Python's socket.py adds to the look-ups, which are C's
-- (csrc/resolve.c).
-- Invariant: only a name that is not known is passed over, no other failure.

local class = require "csock.class"
local core = require "csock.core"
local errors = require "csock.errors"
local misuse = require "csock.misuse"

local gethostbyaddr = core.safely(core.gethostbyaddr)

--- getfqdn([name]) -> the full name of a host (by default, and for "0.0.0.0"
-- and "::", of this one): the first of its names with a dot, else its canonical
-- name; `name` itself when the resolver does not know it.  Raises timeout.
-- (Python's socket.getfqdn)
local function getfqdn(name)
  if name ~= nil and type(name) ~= "string" then
    misuse("bad argument #1 to 'getfqdn' (string expected, got %s)", type(name))
  end
  name = (name or ""):match "^%s*(.-)%s*$"
  if name == "" or name == "0.0.0.0" or name == "::" then
    name = core.gethostname()
  end
  local canonical, aliases = gethostbyaddr(name)
  if not canonical then
    local err = aliases
    if class.isinstance(err, {errors.gaierror, errors.herror}) then
      return name
    end
    return nil, err
  end
  table.insert(aliases, 1, canonical)
  for _, alias in ipairs(aliases) do
    if alias:find(".", 1, true) then return alias end
  end
  return canonical
end

--- resolve(answer) -> the functions for a module; `answer` gets a result, or
-- nil and an error; what it returns, they do.
return function(answer)
  return {getfqdn = function(...) return answer(getfqdn(...)) end}
end
