--- member: the members of a class: how they come into it, from its body and
-- later, and who has to be told.
-- Not here: what they mean to instances (flatten, metatable).
-- Invariant: after a member is set, the tables of the class and of all that
-- derive from it say so.

local core = require "csock.core".class
local flatten = require "csock.class.flatten"
local metatable = require "csock.class.metatable"
local model = require "csock.class.model"
local names = require "csock.class.names"
local privacy = require "csock.class.privacy"
local refusal = require "csock.class.refusal"

local HOOKS, SPECIAL, BODY = names.HOOKS, names.SPECIAL, names.BODY
local arm, armclass = metatable.arm, metatable.armclass
local eachfunction, own = privacy.eachfunction, privacy.own
local fail, nameof = refusal.fail, refusal.nameof
local info, parts, changes = model.info, model.parts, model.changes
local resolve, weak = flatten.resolve, model.weak

-- Special members with several names; one given under one name answers to the
-- others too, unless the class gives those itself.
local ALSO = {
  __str = {"__tostring"}, __tostring = {"__str"},
  __iter = {"__pairs"}, __pairs = {"__iter"},
  __del = {"__gc", "__close"},
}

local spent = weak() -- object -> true once its __del has run

--- Run a __del for its first call alone, however many ways lead to it.
local function once(del)
  return function(obj)
    if spent[obj] then return end
    spent[obj] = true
    del(obj)
  end
end

--- Store a member in the class that owns it.
local function define(rec, name, value)
  eachfunction(own, rec, value)
  rec.dict[name], rec.derived[name], rec.spans = value, nil, nil
  if not ALSO[name] then return end
  for _, other in ipairs(ALSO[name]) do
    if rec.dict[other] == nil or rec.derived[other] then
      rec.dict[other] = name == "__del" and value and once(value) or value
      rec.derived[other] = true
    end
  end
end

--- Refuse the special names that can't be members.
local function checkname(class, name)
  if type(name) ~= "string" then return end
  local python = name:match("^(__.*[^_])__$")
  if name == "__index" or name == "__newindex" then
    fail("class '%s': '%s' is taken; unknown keys go to '%s'", class, name,
         name == "__index" and "__getitem" or "__setitem and __delitem")
  elseif python and SPECIAL[python] then
    fail("class '%s': '%s' is spelled '%s' here", class, name, python)
  end
end

--- The records of a class and of all that derive from it, as a set.
local function descendants(rec, found)
  found[rec] = true
  for sub in next, rec.subs do
    if not found[info[sub]] then descendants(info[sub], found) end
  end
  return found
end

--- Set (or with nil remove) a member of a finished class, and tell all who
-- inherit it.
local function setmember(rec, name, value)
  if rec.builtin then
    fail("can't set '%s' of the built-in class '%s'", tostring(name), rec.name)
  end
  if BODY[name] then
    fail("class '%s': '%s' has to stand in the body", rec.name, name)
  end
  define(rec, name, value)
  changes[1] = changes[1] + 1
  local affected, also = descendants(rec, {}), ALSO[name]
  for heir in next, affected do
    heir.tails = nil
    resolve(heir, name)
    for i = 1, also and #also or 0 do resolve(heir, also[i]) end
  end
  -- A new property too: an __newindex may know its name as a plain field's.
  if not (HOOKS[name] or also or parts[value]) then return end
  for heir in next, affected do
    arm(heir)
    armclass(heir)
    for cls in next, heir.instances do armclass(info[cls]) end
  end
end

--- Set or delete through a property.
local function assign(obj, name, value, property)
  if value == nil and property.fdel then return property.fdel(obj) end
  if property.fset then return property.fset(obj, value) end
  fail("can't set '%s' of %s: the property is read-only", name, nameof(obj))
end

--- __newindex of every class
local function write(cls, key, value)
  local rec = info[cls]
  local meta = info[rec.meta]
  local scope, name = core.scope(rec.classprivacy, cls, key, 2), key
  if scope ~= nil or SPECIAL[key] then checkname(rec.name, key) end
  if scope ~= nil then name = (scope or rec.scope)[key] end
  if meta.setters[name] ~= nil then
    return assign(cls, key, value, {
      fset = meta.setters[name], fdel = meta.deleters[name],
    })
  end
  local setitem = type(key) ~= "string" and meta.attrs.__setitem
  if setitem then return setitem(cls, key, value) end
  setmember(rec, name, value)
end

return {
  define = define, checkname = checkname, setmember = setmember,
  assign = assign, write = write,
}
