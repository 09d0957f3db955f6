--- super: a proxy that answers for the classes behind one in the order of an
-- object's class.
-- Not here: that order (order).
-- Invariant: what comes after a class is gathered once for all objects of a
-- class, and anew when a member changes: setmember drops `tails`.

local core = require "csock.core".class
local flatten = require "csock.class.flatten"
local assign = require "csock.class.member".assign
local model = require "csock.class.model"
local refusal = require "csock.class.refusal"

local fmt = string.format

local bind, gather = flatten.bind, flatten.gather
local classof, record = core.classof, refusal.record
local fail, nameof = refusal.fail, refusal.nameof
local info, parts, wrapped = model.info, model.parts, model.wrapped

local TAIL, SUBJECT = {}, {} -- the keys under which a super keeps its two

--- What comes after the class `start` in the order of a class: the members by
-- name. `bound` if asked for an instance, which its methods are to get; those
-- that somebody has asked for are in `methods`.
local function newtail(rec, start, bound)
  local i = 1
  while rec.mro[i] ~= start do i = i + 1 end
  return {
    members = gather(rec.mro, i + 1), start = start, class = rec.class,
    privacy = bound and rec.privacy or rec.classprivacy, bound = bound,
    methods = {},
  }
end

--- Like a function found in a class, f gets what it is given; only the super
-- itself, which a colon puts there, gives way to the object.
local function lend(f, proxy, obj)
  return function(first, ...)
    if rawequal(first, proxy) then first = obj end
    return f(first, ...)
  end
end

local function find(self, key)
  local tail = self[TAIL]
  local value = tail.members[key]
  if value == nil then
    local scope = core.scope(tail.privacy, self[SUBJECT], key, 3)
    if scope then value = tail.members[scope[key]] end
  end
  return value
end

local super = {__name = "super"}

function super.__index(self, key)
  local obj, tail = self[SUBJECT], self[TAIL]
  local known = tail.methods[key]
  if known then return bind(known, obj) end
  local value = find(self, key)
  if type(value) == "function" then
    if tail.bound and key ~= "__new" then
      if value == tail.members[key] then tail.methods[key] = value end
      return bind(value, obj)
    end
    return lend(value, self, obj)
  end
  local property, method = parts[value], wrapped[value]
  if property and tail.bound then
    if property.fget then return property.fget(obj) end
    fail("can't get '%s' of %s: the property has no getter", key, nameof(obj))
  elseif method then
    return method.static and method.func or bind(method.func, tail.class)
  end
  return value
end

function super.__newindex(self, key, value)
  local property, obj = parts[find(self, key)], self[SUBJECT]
  if property and self[TAIL].bound then
    return assign(obj, key, value, property)
  end
  fail("super of %s has no property '%s'", nameof(obj), tostring(key))
end

function super.__tostring(self)
  return fmt("<super: %s, %s>", self[TAIL].start, self[SUBJECT])
end

--- super(cls, object or class) -> a proxy that answers for the classes which
-- come after `cls` in the order of the object's class. A method it answers
-- with gets the object itself in place of its first argument.
local function newsuper(cls, obj)
  local from = info[cls] or record(cls, "super") -- which raises
  local rec, bound = info[obj], false
  if not (rec and rec.kin[cls]) then
    rec, bound = info[classof(obj)], true
    if not (rec and rec.kin[cls]) then
      fail("bad argument #2 to 'super' (instance or sub-class of '%s' "
           .. "expected, got %s)", from.name, nameof(obj))
    end
  end
  local tails = rec.tails
  if not tails then
    tails = {[true] = {}, [false] = {}}
    rec.tails = tails
  end
  local tail = tails[bound][cls]
  if not tail then
    tail = newtail(rec, cls, bound)
    tails[bound][cls] = tail
  end
  return setmetatable({[TAIL] = tail, [SUBJECT] = obj}, super)
end

return newsuper
