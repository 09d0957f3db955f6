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
local super = require "csock.class.super"

local classof, isinstance, issubclass =
  core.classof, core.isinstance, core.issubclass

local Property, Slice = decorator.property, sequence.slice
local Static, Classmethod = decorator.staticmethod, decorator.classmethod
local changes = model.changes
local info = model.info
local Object, Type = model.Object, model.Type

core.changes = changes

--- The metatable that makes a table of fields an instance of `cls`, and the
--- members of `cls`, if nothing but its __init makes one, and that is `init`,
--- which must do no more than set fields: no property, slot, item hook or
--- metaclass has a say.  Nil otherwise.
local function plain(cls, init)
  local rec = info[cls]
  if rec and rec.plain and rec.attrs.__init == init then
    return rec.plain, rec.attrs
  end
end

for _, cls in ipairs {Object, Type, Property, Static, Classmethod, Slice} do
  info[cls].builtin = true
end

--- Does this object have the members of a list of names from its class?  Then
-- core.changes[1], which does not stay what it is when one of them is set (but
-- by rawset).  False where a property, or an item hook, may have a say.
local function fixed(object, list)
  local rec = info[classof(object)]
  if not rec or rec.attrs.__getitem then return false end
  local fields = core.fields(object)
  for _, name in ipairs(list) do
    if rec.getters[name] ~= nil or fields and rawget(fields, name) ~= nil then
      return false
    end
  end
  for _, name in ipairs(list) do rec.known[name] = false end
  return changes[1]
end

core.plain, core.fixed = plain, fixed -- for the rooms of this module only

return setmetatable({
  object = Object, type = Type, property = Property, slice = Slice,
  staticmethod = Static, classmethod = Classmethod, super = super,
  isinstance = isinstance, issubclass = issubclass,
  iter = sequence.iter, delattr = delattr, metatable = metatable.metatable,
}, {__call = make.declare}) --[[@as csock.class]]
