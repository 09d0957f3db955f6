--- metatable: what instances and classes carry, filled from the record of a
-- class with closures of class.c over its tables.
-- Not here: the __newindex of classes, which all share (member).
-- Invariant: the metatable that instances live with, and a class's own, are
-- filled again when a hook changes, never replaced.

local core = require "csock.core".class
local model = require "csock.class.model"
local names = require "csock.class.names"
local record = require "csock.class.refusal".record

local EVENTS = names.EVENTS
local info, changes = model.info, model.changes
local Object, Type = model.Object, model.Type

-- Places in a metatable, as class.c counts them.
local CLASS, KIN, INIT, READY, MAKING, MAKES = 1, 2, 3, 4, 5, 6

--- The user's finalizer, then in any case the native one.
local function chain(user, native)
  if not (user and native) then return user or native end
  return function(obj, err)
    local ok, why = pcall(user, obj, err)
    native(obj, err)
    if not ok then error(why, 0) end
  end
end

--- Give a metatable what the instances of a class answer to.
local function equip(mt, rec)
  local attrs, native = rec.attrs, rec.native
  for i = 1, #EVENTS do mt[EVENTS[i]] = attrs[EVENTS[i]] or nil end
  if native then
    mt.__gc = chain(mt.__gc, native.gc)
    mt.__close = chain(mt.__close, native.close or native.gc)
  end
  local init = attrs.__init
  mt.__name = attrs.__name or rec.name
  mt[CLASS], mt[KIN] = rec.class, rec.kin
  mt[INIT] = init ~= info[Object].dict.__init and init or nil
end

--- The two metatables of instances: the one they live with and, where there
-- are item hooks, the one they carry until __init has returned.
local function arm(rec)
  local attrs, mt = rec.attrs, rec.mt
  local getitem, setitem, delitem =
    attrs.__getitem or nil, attrs.__setitem or nil, attrs.__delitem or nil
  local index = core.index
  if rec.native and rec.sealed and not next(rec.sealed) then
    index = core.fieldless
  end
  local function fill(to, known, get, set, del)
    equip(to, rec)
    to.__index = index(attrs, rec.getters, rec.privacy, get)
    to.__newindex = core.newindex(attrs, rec.setters, rec.deleters,
                                  rec.privacy, rec.sealed, set, del,
                                  known, changes)
  end
  rec.known = {}
  fill(mt, rec.known, getitem, setitem, delitem)
  local making = (getitem or setitem or delitem) and (rec.making or {})
  if making then
    fill(making, {})
    making[READY] = mt
  end
  rec.making, mt[MAKING] = making or nil, making or nil
end

--- Has a class properties that object has not?
local function has_properties(rec)
  local common = info[Object].getters
  for name in next, rec.getters do
    if common[name] == nil then return true end
  end
  return false
end

--- The metatable of a class itself, which its metaclass equips.
local function armclass(rec)
  local meta, mt = info[rec.meta], rec.classmt
  local new, making = rec.attrs.__new, rec.making
  local call = meta.attrs.__call
  equip(mt, meta)
  mt[MAKES] = rec.mt
  mt.__index = core.index(meta.attrs, meta.getters, rec.classprivacy,
                          meta.attrs.__getitem or nil, rec.members)
  rec.plain = nil
  if new == info[Object].dict.__new and not rec.native then
    rec.construct =
      core.maker(making or rec.mt, rec.mt[INIT], making and rec.mt)
    if not (making or rec.sealed or has_properties(rec) or rec.meta ~= Type)
    then
      rec.plain = rec.mt
    end
  else
    rec.construct = core.builder(new)
  end
  mt.__call = call == info[Type].dict.__call and rec.construct or call
end

--- metatable(cls) -> the metatable of its instances, for code that makes some
-- itself; the same one for as long as the class lives
local function metatable(cls)
  return record(cls, "metatable").mt
end

return {arm = arm, armclass = armclass, metatable = metatable}
