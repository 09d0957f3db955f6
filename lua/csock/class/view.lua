--- view: what `__dict` gives: the fields of an instance, which can be set, and
-- the members of a class, which can't.
-- Not here: the tables of both, which are never handed out.
-- Invariant: a view keeps nothing but what it shows; what is behind it may
-- change meanwhile.

local core = require "csock.core".class
local fail = require "csock.class.refusal".fail
local model = require "csock.class.model"

local classof, changes = core.classof, model.changes
local info = model.info

local hidden = model.weak() -- table instance -> fields a property outshines

local VIEWED = {} -- the key under which a view keeps what it shows

--- A view of the fields of an instance. Where these are the instance itself,
-- a field named like a property goes to `hidden`: found in the instance, it
-- would answer before the property could.
local view = {__name = "dict"}

function view.__index(self, key)
  local obj = rawget(self, VIEWED)
  local fields, more = core.fields(obj), hidden[obj]
  local value = fields and rawget(fields, key)
  if value == nil and more then value = more[key] end
  return value
end

function view.__newindex(self, key, value)
  local obj = rawget(self, VIEWED)
  local rec = info[classof(obj)]
  local outshone = type(obj) == "table" and rec.setters[key] ~= nil
  if outshone then
    hidden[obj] = hidden[obj] or {}
    hidden[obj][key], value = value, nil
  elseif rec.sealed and not rec.sealed[key] then
    fail("%s has no property '%s'", rec.name, tostring(key))
  end
  local fields = core.fields(obj, value ~= nil)
  if fields then rawset(fields, key, value) end
  if rec.known[key] == false then changes[1] = changes[1] + 1 end
end

function view.__len(self)
  return rawlen(core.fields(rawget(self, VIEWED)) or {})
end

function view.__pairs(self)
  local obj = rawget(self, VIEWED)
  local now, later = core.fields(obj) or {}, hidden[obj]
  return function(_, key)
    local name, value = next(now, key)
    if name == nil and later then
      now, later = later, nil
      name, value = next(now)
    end
    return name, value
  end
end

function view.__eq(a, b)
  return rawequal(rawget(a, VIEWED), rawget(b, VIEWED))
end

--- The same for the members of a class, read only.
local classview = {
  __name = "dict", __eq = view.__eq,
  __index = function(self, key)
    return info[rawget(self, VIEWED)].dict[key]
  end,
  __newindex = function(self)
    fail("the __dict of class '%s' is read-only; set the class's members",
         info[rawget(self, VIEWED)].name)
  end,
  __pairs = function(self)
    local dict = info[rawget(self, VIEWED)].dict
    return function(_, key) return next(dict, key) end
  end,
}

--- The __dict of an instance.
local function instance(obj)
  return setmetatable({[VIEWED] = obj}, view)
end

--- The __dict of a class.
local function class(cls)
  return setmetatable({[VIEWED] = cls}, classview)
end

return {instance = instance, class = class}
