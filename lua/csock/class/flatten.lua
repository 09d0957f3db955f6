--- flatten: what the members of a class and its bases come to, in tables that
-- tell it without a walk.
-- Not here: the order itself (order), and what is made of the tables
-- (metatable).
-- Invariant: a property's name stands in `getters` and `setters` of a record,
-- any other one in `attrs`, and none in both.

local model = require "csock.class.model"
local names = require "csock.class.names"

local info, parts, wrapped = model.info, model.parts, model.wrapped
local OWN, Type = names.OWN, model.Type

--- A function that passes on its arguments with the first one replaced.
local function bind(f, obj)
  return function(_, ...) return f(obj, ...) end
end

--- Enter one member of its order into the tables of a class.
local function place(rec, name, value)
  local property, method = parts[value], wrapped[value]
  local attr, member = value, value
  if property then
    attr = nil
  elseif method then
    member = method.func
    attr = method.static and member or bind(member, rec.class)
  end
  -- What a metaclass says of itself it does not say of its classes.
  if OWN[name] and rec.kin[Type] then attr = nil end
  rec.attrs[name], rec.members[name] = attr, member
  rec.getters[name] = property and (property.fget or false)
  rec.setters[name] = property and (property.fset or false)
  rec.deleters[name] = property and property.fdel
end

--- Does a member pass to sub-classes? A property does whatever its name.
local function inherits(name, value)
  return not OWN[name] or parts[value] ~= nil
end

local function resolve(rec, name)
  local value = rec.dict[name]
  for i = 2, #rec.mro do
    if value ~= nil then break end
    value = info[rec.mro[i]].dict[name]
    if not inherits(name, value) then value = nil end
  end
  place(rec, name, value)
end

--- The members of an order from its class `first` on, the nearest winning.
local function gather(mro, first)
  local found = {}
  for i = #mro, first, -1 do
    for name, value in next, info[mro[i]].dict do
      if i == 1 or inherits(name, value) then found[name] = value end
    end
  end
  return found
end

return {bind = bind, place = place, resolve = resolve, gather = gather}
