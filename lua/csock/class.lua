--- csock.class: Python's classes, spelled in Lua.
--
-- The policy half of the object model: what a class is, in which order its
-- bases answer, what a special member means. The paths that have to be fast
-- are closures made by csrc/class.c, over the tables that are filled here.
--
-- A class is an empty table, so that every write to it passes through here;
-- what it is lies in its record (`info`). An instance is a table with plain
-- fields or, if its class is native, a userdata with its fields in user
-- value 1. Invariant: `attrs`, `getters`, `setters` and `deleters` of a record
-- hold what the whole order of its class says at this moment, a name standing
-- in `attrs` or in the other three; they are refilled, never replaced, since
-- C closures hold them.
--
-- A native class is one whose instances are userdata made in C. Its body says
--   __new    = a C function (cls, ...) -> full userdata with one user value,
--              which carries class.metatable(cls), cs_pushmetatable in C
--   __native = {tag = light userdata, which names the C type,
--               gc = finalizer, if one is needed, close = what <close> does, if
--               that is another}
-- and its other members are methods and properties like any class's: C
-- functions, property(cget, cset), called with (self) and (self, value).
-- If its __init, or that of a sub-class, returns nil and an error, then so does
-- the call of the class.
-- Every sub-class is native too; it may have a __native of its own, of the same
-- tag. The finalizers must bear a second call.

local core = require "csock.core".class
local decorator = require "csock.class.decorator"
local delattr = require "csock.class.delattr"
local make = require "csock.class.make"
local metatable = require "csock.class.metatable"
local model = require "csock.class.model"
local sequence = require "csock.class.sequence"
local shortcut = require "csock.class.shortcut"
local super = require "csock.class.super"

local isinstance, issubclass = core.isinstance, core.issubclass
local Property, Slice = decorator.property, sequence.slice
local Static, Classmethod = decorator.staticmethod, decorator.classmethod
local info = model.info
local Object, Type = model.Object, model.Type

for _, cls in ipairs {Object, Type, Property, Static, Classmethod, Slice} do
  info[cls].builtin = true
end

-- For the rooms of this module only.
core.plain, core.fixed = shortcut.plain, shortcut.fixed
core.changes = shortcut.changes

return setmetatable({
  object = Object, type = Type, property = Property, slice = Slice,
  staticmethod = Static, classmethod = Classmethod, super = super,
  isinstance = isinstance, issubclass = issubclass,
  iter = sequence.iter, delattr = delattr, metatable = metatable.metatable,
}, {__call = make.declare}) --[[@as csock.class]]
