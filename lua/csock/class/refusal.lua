--- refusal: errors that blame whoever called into the object model, and checks
-- of arguments that raise them.
-- Not here: refusals of class.c, which raises its own.
-- Invariant: the line that is blamed is never one of the object model's own.

local classof = require "csock.core".class.classof
local info = require "csock.class.model".info

local getinfo, fmt = debug.getinfo, string.format

-- How the names of class.lua and of its rooms' files begin; for stripped code,
-- whose files have no names, what stands in their place.
local source = getinfo(1, "S").source
local here = source:match "^(.*)/refusal%.lua$" or source

--- What the first function outside the object model is, and its level for the
-- caller.
local function outside()
  local level, frame = 2
  repeat
    level = level + 1
    frame = getinfo(level, "S")
  until not frame or frame.what ~= "C" and frame.source:sub(1, #here) ~= here
  return frame, level - 1
end

--- Raise an error that blames the line which called into the object model.
local function fail(message, ...)
  local frame, level = outside()
  error(fmt(message, ...), frame and level or 0)
end

local function nameof(value)
  if info[value] then return fmt("class '%s'", info[value].name) end
  local cls = classof(value)
  return cls and info[cls].name or type(value)
end

local function checkarg(ok, n, func, expected, value)
  if not ok then
    fail("bad argument #%d to '%s' (%s expected, got %s)", n, func, expected,
         nameof(value))
  end
end

--- The record of the class that is the first argument of a function.
local function record(cls, func)
  local rec = info[cls]
  checkarg(rec, 1, func, "class", cls)
  return rec
end

return {
  outside = outside, fail = fail, nameof = nameof, checkarg = checkarg,
  record = record,
}
