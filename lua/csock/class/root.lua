--- root: the two classes that need each other: object, from which all derive,
-- and type, of which all are instances.
-- Not here: what a class of any kind takes to be made (make).
-- Invariant: they have what make gives to every class; only their metatables
-- wait for both, and their properties for the class of these.

local core = require "csock.core".class
local maker = require "csock.class.make"
local metatable = require "csock.class.metatable"
local model = require "csock.class.model"
local refusal = require "csock.class.refusal"
local view = require "csock.class.view"

local getinfo, fmt, unpack = debug.getinfo, string.format, table.unpack

local arm, armclass = metatable.arm, metatable.armclass
local build, make = maker.build, maker.make
local checkarg, record = refusal.checkarg, refusal.record
local checkhead, winner = maker.checkhead, maker.winner
local classof, fail = core.classof, refusal.fail
local info, parts = model.info, model.parts
local Object, Type = model.Object, model.Type

-- object: the root of all ----------------------------------------------------

--- Is a constructor running that may have led here? Not further than a few
-- calls away: __new, and those of the bases on the way to object.
local function underway(construct)
  for level = 3, 18 do
    local frame = getinfo(level, "f")
    if not frame then return false end
    if frame.func == construct then return true end
  end
  return false
end

--- object.__new(cls) -> a bare instance. Within the call of a class that has
-- item hooks it is still in the making, so that __new too may set fields.
local function object_new(cls)
  local rec = record(cls, "__new")
  if rec.native then
    fail("object.__new(%s): its instances are userdata, made by a __new of "
         .. "its own", rec.name)
  elseif rec.kin[Type] then
    fail("object.__new(%s): its instances are classes, made by "
         .. "class.type.__new", rec.name)
  end
  local making = rec.making
  return setmetatable({}, making and underway(rec.construct) and making
                          or rec.mt)
end

local early = {} -- properties made before their class

--- A read-only property of the two, which `decorator` makes an instance.
local function readonly(fget)
  local property = {}
  parts[property], early[#early + 1] = {fget = fget}, property
  return property
end

make(nil, "object", {}, {
  __doc = "The root of all classes.",
  __module = "csock.class",
  __new = object_new,
  __init = function() end,
  __str = function(self)
    return fmt("<%s object: %p>", info[classof(self)].name, self)
  end,
  __class = readonly(classof),
  __dict = readonly(view.instance),
}, Object)

-- type: the class of classes -------------------------------------------------

--- type.__new(metaclass, name, bases, dict) -> class
local function type_new(mcs, name, bases, dict)
  checkarg(info[mcs] and info[mcs].kin[Type], 1, "__new", "metaclass", mcs)
  checkarg(type(bases) == "table" and not classof(bases), 3, "__new",
           "list of classes", bases)
  checkarg(dict == nil or type(dict) == "table", 4, "__new", "table", dict)
  checkhead("__new", 2, name, bases)
  bases = {unpack(bases)}
  local meta = winner(mcs, name, bases)
  local new = info[meta].attrs.__new
  if meta ~= mcs and new ~= type_new then
    return new(meta, name, bases, dict)
  end
  return make(meta, name, bases[1] and bases or {Object}, dict or {})
end

make(nil, "type", {Object}, {
  __doc = "The class of classes: call it with a value for its class, or with "
       .. "a name, bases and members for a new one.",
  __module = "csock.class",
  __new = type_new,
  __call = function(cls, ...)
    return record(cls, "__call").construct(cls, ...)
  end,
  __str = function(cls) return fmt("<class '%s'>", info[cls].name) end,
  __name = readonly(function(cls) return info[cls].name end),
  __bases = readonly(function(cls) return {unpack(info[cls].bases)} end),
  __mro = readonly(function(cls) return {unpack(info[cls].mro)} end),
  __dict = readonly(view.class),
}, Type)

--- class.type(value) -> its class, nil for what is no object
-- class.type(name, bases, dict) -> class
local function type_call(_, ...)
  local n = select("#", ...)
  if n == 1 then return classof((...)) end
  local name, bases, dict = ...
  checkarg(type(bases) == "table" and not classof(bases), 2, "type",
           "list of classes", bases)
  checkarg(n < 3 or type(dict) == "table" and not classof(dict), 3, "type",
           "table", dict)
  checkhead("type", 1, name, bases)
  return build(Type, name, {unpack(bases)}, dict or {})
end

for _, rec in ipairs {info[Object], info[Type]} do
  rec.meta = Type
  arm(rec)
  armclass(rec)
end
info[Type].classmt.__call = type_call

--- A class that csock.class itself brings, beside these two.
local function builtin(name, body)
  body.__module, body.__slots = "csock.class", body.__slots or {}
  return make(Type, name, {Object}, body)
end

return {builtin = builtin, early = early}
