--- delattr: Python's `del object.name`, of an instance or a class.
-- Not here: what a class does when a member goes (member).
-- Invariant: it never does nothing: with nothing to delete, it raises.

local core = require "csock.core".class
local info = require "csock.class.model".info
local setmember = require "csock.class.member".setmember
local refusal = require "csock.class.refusal"

local checkarg, classof = refusal.checkarg, core.classof
local fail, nameof = refusal.fail, refusal.nameof

--- delattr(object, name): Python's `del object.name`
-- A property's fdel, a field, or for names of no attribute __delitem; raises
-- where there is nothing to delete.
local function delattr(obj, name)
  local cls = classof(obj)
  checkarg(cls, 1, "delattr", "object", obj)
  local rec, kind = info[cls], info[obj]
  local privacy = kind and kind.classprivacy or rec.privacy
  local scope = core.scope(privacy, obj, name, 2)
  if kind and scope == false then scope = kind.scope end
  local key = scope and scope[name] or name
  local fields = kind and kind.dict or core.fields(obj)
  local del = rec.attrs.__delitem or rec.attrs.__setitem
  if rec.setters[key] ~= nil then
    local fdel = rec.deleters[key]
    if fdel then return fdel(obj) end
    fail("can't delete '%s' of %s: the property has no deleter", name,
         nameof(obj))
  elseif fields and rawget(fields, key) ~= nil then
    if kind then setmember(kind, key, nil) else rawset(fields, key, nil) end
  elseif del and not scope and rec.attrs[key] == nil then
    return del(obj, name, nil)
  else
    fail("%s has no attribute '%s' to delete", nameof(obj), tostring(name))
  end
end

return delattr
