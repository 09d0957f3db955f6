--- make: from a declaration to a finished class, with a record.
-- Not here: how members are stored and seen (member, flatten), what a class
-- carries (metatable).
-- Invariant: whatever is wrong with a class is found before any other class
-- knows of it.

local core = require "csock.core".class
local flatten = require "csock.class.flatten"
local linearize = require "csock.class.order"
local member = require "csock.class.member"
local metatable = require "csock.class.metatable"
local model = require "csock.class.model"
local privacy = require "csock.class.privacy"
local refusal = require "csock.class.refusal"

local arm, armclass = metatable.arm, metatable.armclass
local checkarg, fail = refusal.checkarg, refusal.fail
local classof, issubclass = core.classof, core.issubclass
local define, checkname, write =
  member.define, member.checkname, member.write
local gather, place = flatten.gather, flatten.place
local info, weak = model.info, model.weak
local nameof, outside = refusal.nameof, refusal.outside
local newprivacy, newscope = privacy.newprivacy, privacy.newscope
local Object, Type = model.Object, model.Type
local storedname = privacy.storedname

--- The names that instances are sealed to, if every class of the order but
-- object has __slots; nil if one has not.
local function seal(rec)
  local sealed = {}
  for _, cls in ipairs(rec.mro) do
    local slots = info[cls].slots
    if not slots and cls ~= Object then return nil end
    for name in next, slots or {} do sealed[name] = true end
  end
  return sealed
end

local function readslots(rec, list)
  if list == nil then return nil end
  local slots = {}
  if type(list) ~= "table" then
    fail("class '%s': __slots has to be a list of names", rec.name)
  end
  for _, name in ipairs(list) do
    if type(name) ~= "string" then
      fail("class '%s': __slots has to be a list of names", rec.name)
    end
    slots[storedname(rec, name)] = true
  end
  return slots
end

--- What makes the instances of a class userdata: its own or a base's.
local function readnative(rec, native)
  if native ~= nil and type(native) ~= "table" then
    fail("class '%s': __native has to be a table", rec.name)
  end
  for i = 2, #rec.mro do
    local other = info[rec.mro[i]].native
    if other and native and other ~= native and
       (other.tag == nil or other.tag ~= native.tag) then
      fail("class '%s': its instances can't be of two native kinds", rec.name)
    end
    native = native or other
  end
  return native
end

--- Make a class, all arguments being right. For the first two `meta` is nil and
-- `cls` the table that they are; the caller arms them.
local function make(meta, name, bases, dict, cls)
  cls = cls or {}
  local mt = {__newindex = write}
  local rec = {
    class = cls, name = name, bases = bases, meta = meta, mt = {},
    classmt = mt, scope = newscope(name), dict = {}, derived = {}, kin = {},
    attrs = {}, getters = {}, setters = {}, deleters = {}, members = {},
    subs = weak(), instances = weak(),
    privacy = newprivacy(), classprivacy = newprivacy(),
  }
  rec.mro = linearize(cls, name, bases)
  info[cls] = rec
  rec.slots = readslots(rec, dict.__slots)
  rec.sealed = seal(rec)
  rec.native = readnative(rec, dict.__native)
  for _, ancestor in ipairs(rec.mro) do rec.kin[ancestor] = true end
  for key, value in next, dict do
    checkname(name, key)
    if key ~= "__native" and key ~= "__metaclass" then
      define(rec, storedname(rec, key), value)
    end
  end
  for key, value in next, gather(rec.mro, 1) do place(rec, key, value) end
  for _, base in ipairs(bases) do info[base].subs[cls] = true end
  if meta then
    arm(rec)
    armclass(rec)
    info[meta].instances[cls] = true
  end
  return setmetatable(cls, mt)
end

--- The most derived of a metaclass and those of the bases.
local function winner(meta, name, bases)
  for _, base in ipairs(bases) do
    local other = info[base].meta
    if issubclass(other, meta) then
      meta = other
    elseif not issubclass(meta, other) then
      fail("class '%s': metaclass '%s' does not go with '%s', that of its "
           .. "base '%s'", name, info[meta].name, info[other].name,
           info[base].name)
    end
  end
  return meta
end

--- Check the name and the bases of a class to be; arguments `n` and after.
local function checkhead(func, n, name, bases, isflat)
  local seen = {}
  checkarg(type(name) == "string", n, func, "string", name)
  for i = 1, bases.n or #bases do
    local at, base = isflat and n + i or n + 1, bases[i]
    checkarg(info[base], at, func, "class", base)
    if seen[base] then
      fail("bad argument #%d to '%s' (duplicate base class '%s')", at, func,
           info[base].name)
    end
    seen[base] = true
  end
end

--- From a declaration to the call of its metaclass, which makes the class.
local function build(mcs, name, bases, body)
  local dict = {}
  for key, value in next, body do dict[key] = value end
  local meta = dict.__metaclass
  if meta ~= nil then
    if not info[meta] or not issubclass(meta, Type) then
      fail("class '%s': __metaclass has to be a class derived from "
           .. "class.type, not %s", name, nameof(meta))
    end
    mcs, dict.__metaclass = meta, nil
  end
  if dict.__module == nil then
    local frame = outside()
    dict.__module = frame and frame.short_src or "?"
  end
  mcs = winner(mcs, name, bases)
  if mcs == Type then return info[Type].construct(Type, name, bases, dict) end
  return mcs(name, bases, dict)
end

--- class(name, base..., [body]) -> class
-- Raises an argument error for what is no name, class or body, and an error
-- where the bases have no common order, metaclass or native kind.
local function declare(_, name, ...)
  local bases, body = table.pack(...), nil
  local last = bases[bases.n]
  if type(last) == "table" and not classof(last) then
    body, bases[bases.n], bases.n = last, nil, bases.n - 1
  end
  checkhead("class", 1, name, bases, true)
  bases.n = nil
  return build(Type, name, bases, body or {})
end

return {
  make = make, winner = winner, checkhead = checkhead, build = build,
  declare = declare,
}
