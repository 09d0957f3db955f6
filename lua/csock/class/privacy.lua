--- privacy: a private name is stored under the name of its class, and found by
-- the functions that belong to the text of that class.
-- Not here: which names are private, by their looks (names, class.c); what the
-- others get instead.
-- Invariant: a function that no class owns is known by its place in the sources
-- alone; who called it never counts.

local classof = require "csock.core".class.classof
local model = require "csock.class.model"
local names = require "csock.class.names"

local getinfo = debug.getinfo
local info, parts, wrapped = model.info, model.parts, model.wrapped
local SPECIAL, weak = names.SPECIAL, model.weak

local owners = weak()  -- method -> scope of its class, false if of several
local sharers = weak() -- method of several classes -> set of their scopes

--- A scope stands for a class and turns its private names into stored ones. It
-- refers to no class, so whoever holds it keeps none alive.
local function newscope(name)
  local prefix = "_" .. name:match("^_*(.*)")
  return setmetatable({}, {
    __index = function(cache, key)
      local stored = prefix .. key
      cache[key] = stored
      return stored
    end,
  })
end

--- The name under which a class stores a member given in its body.
local function storedname(rec, name)
  local private = type(name) == "string" and name:find("^__")
                  and not SPECIAL[name]
  return private and rec.scope[name] or name
end

--- Apply f(record, function) to the functions of one member.
local function eachfunction(f, rec, value)
  if type(value) == "function" then return f(rec, value) end
  local part = parts[value] or wrapped[value]
  if not part then return end
  for _, func in next, part do
    if type(func) == "function" then f(rec, func) end
  end
end

--- Let a function use the private names of a class.
local function own(rec, func)
  local scope = owners[func]
  if scope == nil then
    owners[func] = rec.scope
  elseif scope ~= rec.scope then
    local set = sharers[func] or weak()
    set[scope or rec.scope], set[rec.scope] = true, true
    owners[func], sharers[func] = false, set
  end
end

--- Note where in the sources a function of a class is.
local function addspan(rec, func)
  local span = getinfo(func, "S")
  if span.what == "Lua" then table.insert(rec.spans, span) end
end

--- How much text the method of a class takes inside which `at` was written,
-- the innermost one if there are several; nil if there is none.
local function around(rec, at)
  if not rec.spans then
    rec.spans = {}
    for _, member in next, rec.dict do eachfunction(addspan, rec, member) end
  end
  local least
  for _, span in ipairs(rec.spans) do
    if span.source == at.source and span.linedefined <= at.linedefined
       and at.lastlinedefined <= span.lastlinedefined then
      local size = span.lastlinedefined - span.linedefined
      if not least or size < least then least = size end
    end
  end
  return least
end

--- trace(value, function) -> the scope in which the function may use private
-- names of an instance or class; nil for a stranger. That is the scope of the
-- class whose method it is (of several, the nearest to the root) or inside a
-- method of which it was written, if that class is in the order of the value.
local function trace(value, func)
  local rec = info[value]
  local orders = rec and {rec.mro, info[rec.meta].mro}
                 or {info[classof(value)].mro}
  local owner, sharing, at = owners[func], sharers[func], getinfo(func, "S")
  local found, least
  for _, mro in ipairs(orders) do
    for _, cls in ipairs(mro) do
      local scope, size = info[cls].scope, nil
      if owner == nil and at.what == "Lua" then size = around(info[cls], at) end
      if owner == scope or sharing and sharing[scope]
         or size and (not least or size < least) then
        found, least = scope, size
      end
    end
  end
  local privacy = rec and rec.classprivacy or info[classof(value)].privacy
  privacy[2][func] = found
  return found
end

local function newprivacy() return {SPECIAL, weak(), trace} end

return {
  newscope = newscope, storedname = storedname, eachfunction = eachfunction,
  own = own, newprivacy = newprivacy,
}
