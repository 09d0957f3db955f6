--- csock.class: Python's classes, spelled in Lua.
--
-- The policy half of the object model: what a class is, in which order its
-- bases answer, what a special member means. The paths that have to be fast
-- are closures made by csrc/class.c, over the tables that this half fills.
-- Here is its door; the rooms are in class/, each building on those before:
--   model, names       what they share: records, the special names
--   refusal            errors that blame the caller's line
--   privacy, order, flatten, metatable, member
--                      what a class needs, from its names to its metatables
--   make               a class, from its declaration on
--   view, root, decorator, sequence
--                      __dict, and the classes that are there without a user
--   super, delattr, shortcut
--                      what is asked of classes and instances from outside
--
-- A class is an empty table, so that every write to it passes through member;
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

local class = {
  object = model.Object, type = model.Type, slice = sequence.slice,
  property = decorator.property, staticmethod = decorator.staticmethod,
  classmethod = decorator.classmethod,
}
for _, cls in next, class do model.info[cls].builtin = true end

class.isinstance, class.issubclass = core.isinstance, core.issubclass
class.iter, class.delattr, class.super = sequence.iter, delattr, super
class.metatable = metatable.metatable

-- For the rooms of this module only.
core.plain, core.fixed = shortcut.plain, shortcut.fixed
core.changes = shortcut.changes

return setmetatable(class, {__call = make.declare}) --[[@as csock.class]]
