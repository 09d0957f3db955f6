--- forgive: a call whose failure is none of the caller's: the other side may
-- have gone meanwhile.
-- Invariant: only what the world refuses is kept from the caller; a
-- cancellation, or a fault in the program, goes on.

local class = require "csock.class"
local errors = require "csock.errors"

--- forgive(f, ...) -> true, or false and the error
return function(f, ...)
  local ok, err = pcall(f, ...)
  if ok then return true end
  if not class.isinstance(err, errors.OSError) then error(err, 0) end
  return false, err
end
