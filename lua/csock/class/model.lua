--- model: the tables that all rooms of the object model share: what is known of
-- each class, of the members that are more than values, and the first two
-- classes themselves.
-- Not here: what a room keeps for itself alone.
-- Invariant: these tables are never replaced, so a room may keep them. Records
-- come from make alone, what properties and wrapped methods hold from decorator
-- (and root, for its own); all go with their keys.

local function weak() return setmetatable({}, {__mode = "k"}) end

local model = {
  --- A table that keeps none of its keys alive.
  weak = weak,

  info = weak(),    -- class -> its record
  parts = weak(),   -- property -> {fget =, fset =, fdel =}
  wrapped = weak(), -- static or class method -> {func =, static =}

  -- How often a member of a finished class was set, or of an instance one that
  -- is fixed (shortcut).
  changes = {0},

  -- The first two classes are there, if empty, before what they are is told:
  -- each has a say in how the other is made.
  Object = {}, Type = {},
}

return model
