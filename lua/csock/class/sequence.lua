--- sequence: iter, which goes through a value, and slice, which tells a part of
-- it.
-- Not here: __getitem and the other item hooks, which class.c calls.
-- Invariant: places count from 1, and both ends are in.

local core = require "csock.core".class
local info = require "csock.class.model".info
local refusal = require "csock.class.refusal"
local builtin = require "csock.class.root".builtin

local fmt = string.format

local checkarg, fail = refusal.checkarg, refusal.fail
local classof, isinstance = core.classof, core.isinstance

--- iter(value) -> what a generic `for` takes
-- The __iter of an object, else its __getitem from 1 up to the first nil;
-- pairs of a plain table; a function is its own iterator.
local function iter(value)
  local cls = classof(value)
  local attrs = cls and info[cls].attrs or {}
  local getitem, i = attrs.__getitem, 0
  if attrs.__iter then
    return attrs.__iter(value)
  elseif getitem then
    return function()
      i = i + 1
      return getitem(value, i)
    end
  elseif type(value) == "function" then
    return value
  end
  checkarg(not cls and type(value) == "table", 1, "iter", "iterable", value)
  return pairs(value)
end

local function integer(n, i, func)
  local int = type(n) == "number" and math.tointeger(n) or nil
  checkarg(int or n == nil, i, func, "integer", n)
  return int
end

--- slice(start, stop, step): places in a sequence, from 1 and with both ends
-- in; negative ones count from the end. Each may be nil.
local Slice = builtin("slice", {
  __slots = {"start", "stop", "step"},
  __init = function(self, start, stop, step)
    if step == 0 then fail("bad argument #3 to 'slice' (step is zero)") end
    self.start = integer(start, 1, "slice")
    self.stop = integer(stop, 2, "slice")
    self.step = integer(step, 3, "slice")
  end,
  __eq = function(a, b)
    return isinstance(b, classof(a)) and a.start == b.start
           and a.stop == b.stop and a.step == b.step
  end,
  __str = function(self)
    return fmt("slice(%s, %s, %s)", self.start, self.stop, self.step)
  end,
})

--- s:indices(n) -> first, last, step of a `for` over a sequence of n, cut to
-- what is there as string.sub does it
function Slice:indices(n)
  n = integer(n, 1, "indices")
  checkarg(n and n >= 0, 1, "indices", "length", n)
  local step = self.step or 1
  local first, last = self.start, self.stop
  if first and first < 0 then first = n + 1 + first end
  if last and last < 0 then last = n + 1 + last end
  if step > 0 then
    return math.max(first or 1, 1), math.min(last or n, n), step
  end
  return math.min(first or n, n), math.max(last or 1, 1), step
end

return {iter = iter, slice = Slice}
