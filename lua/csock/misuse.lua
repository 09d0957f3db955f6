--- misuse: the error for a wrong argument, which blames the caller's line.
-- Not for what the world refuses (errors).
-- Invariant: the position is that of the innermost function not of csock's.

local here = debug.getinfo(1, "S").source:match "^(.*)misuse%.lua$" or "?"

--- misuse(format, ...): raise the message, with the position of whoever called
-- into csock in front.
return function(format, ...)
  local level = 2
  local frame = debug.getinfo(level, "S")
  while frame and (frame.what == "C" or
    frame.source:sub(1, #here) == here) do
    level = level + 1
    frame = debug.getinfo(level, "S")
  end
  error(format:format(...), frame and level or 0)
end
