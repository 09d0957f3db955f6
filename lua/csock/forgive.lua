--- forgive: a call whose failure is none of the caller's: the other side may
-- have gone meanwhile.
-- Invariant: only what the world refuses is kept from the caller; a
-- cancellation, or a fault in the program, goes on.

local class = require "csock.class"
local errors = require "csock.errors"

local function judge(ok, ...)
  if ok or class.isinstance((...), errors.OSError) then return ok, ... end
  error((...), 0)
end

--- forgive(f, ...) -> true and what f returns, or false and the error
return function(f, ...) return judge(pcall(f, ...)) end
