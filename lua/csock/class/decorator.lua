--- decorator: property, staticmethod, classmethod: members that are more than
-- values.
-- Not here: what they make of a class (flatten).
-- Invariant: the functions that one of them holds are in the tables of model,
-- where the other rooms find them without asking it.

local callable = require "csock.callable"
local classof = require "csock.core".class.classof
local model = require "csock.class.model"
local checkarg = require "csock.class.refusal".checkarg
local root = require "csock.class.root"

local builtin, early = root.builtin, root.early
local info, parts, wrapped = model.info, model.parts, model.wrapped

local function partof(self, func)
  checkarg(parts[self], 1, func, "property", self)
  return parts[self]
end

--- A method that makes a copy of its property with one function replaced.
local function altering(func, which)
  return function(self, f)
    local part = partof(self, func)
    local new = {fget = part.fget, fset = part.fset, fdel = part.fdel}
    new[which] = f
    return classof(self)(new.fget, new.fset, new.fdel, self.__doc)
  end
end

--- property(fget, fset, fdel, doc): a field that is computed.
-- Every argument may be nil: without fset it is read-only.
local Property = builtin("property", {
  __slots = {"__doc"},
  __init = function(self, fget, fset, fdel, doc)
    for i, f in pairs {fget, fset, fdel} do
      checkarg(callable(f), i, "property", "function", f)
    end
    checkarg(doc == nil or type(doc) == "string", 4, "property", "string", doc)
    parts[self] = {fget = fget, fset = fset, fdel = fdel}
    self.__doc = doc
  end,
  getter = altering("getter", "fget"),
  setter = altering("setter", "fset"),
  deleter = altering("deleter", "fdel"),
})
for _, name in ipairs {"fget", "fset", "fdel"} do
  Property[name] = Property(function(self) return partof(self, name)[name] end)
end
for _, property in ipairs(early) do
  setmetatable(property, info[Property].mt)
end

local function wrapper(name, static)
  return builtin(name, {
    __init = function(self, f)
      checkarg(callable(f), 1, name, "function", f)
      wrapped[self] = {func = f, static = static}
    end,
    __call = function(self, ...) return wrapped[self].func(...) end,
    func = Property(function(self) return wrapped[self].func end),
  })
end

--- staticmethod(f): called through class or instance with just its arguments.
local Static = wrapper("staticmethod", true)

--- classmethod(f): called through class or instance with the class in front.
local Classmethod = wrapper("classmethod", false)

return {property = Property, staticmethod = Static, classmethod = Classmethod}
