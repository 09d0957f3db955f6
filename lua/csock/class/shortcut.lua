--- shortcut: what others in csock ask when they would go round a class: whether
-- it has no say in what they are about to do.
-- Not here: the way round itself, which is theirs.
-- Invariant: in doubt the answer is no.

local core = require "csock.core".class
local model = require "csock.class.model"

local classof, changes, info = core.classof, model.changes, model.info

--- The metatable that makes a table of fields an instance of `cls`, and the
-- members of `cls`, if nothing but its __init makes one, and that is `init`,
-- which must do no more than set fields: no property, slot, item hook or
-- metaclass has a say.  Nil otherwise.
local function plain(cls, init)
  local rec = info[cls]
  if rec and rec.plain and rec.attrs.__init == init then
    return rec.plain, rec.attrs
  end
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

return {plain = plain, fixed = fixed, changes = changes}
