-- class_spec: the object model, from the outside.
-- Not here: sockets as classes. Where userdata are needed, core.class.blank
-- makes empty ones.
-- Invariant: each test makes the classes it needs and shares none.

local class = require "csock.class"
local core = require "csock.core".class

local property, super = class.property, class.super
local isinstance, issubclass = class.isinstance, class.issubclass

-- Asserts that f fails with this text (plain), blaming its own line; so f has
-- to be written in one.
local function refuses(text, f)
  local ok, err = pcall(f)
  assert.is_false(ok, "no error was raised")
  assert.is_string(err)
  local info = debug.getinfo(f, "S")
  local where = ("%s:%d: "):format(info.short_src, info.linedefined)
  assert.equal(where, err:sub(1, #where), err)
  assert.truthy(err:find(text, 1, true), err)
end

local function names(classes)
  local list = {}
  for i, cls in ipairs(classes) do list[i] = cls.__name end
  return table.concat(list, " ")
end

local function collect(iterator, state, control)
  local list = {}
  for value in iterator, state, control do list[#list + 1] = value end
  return list
end

local function keys(t)
  local list = {}
  for key in pairs(t) do list[#list + 1] = tostring(key) end
  table.sort(list)
  return table.concat(list, " ")
end

describe("a class", function()
  it("is made by a name, bases and a body, each but the name optional",
    function()
      local A = class("A")
      local B = class("B", A)
      local C = class("C", {x = 1})
      local D = class("D", B, C, {y = 2})
      assert.equal("A B C D", names {A, B, C, D})
      assert.equal(1, D.x)
      assert.equal(2, D().y)
      assert.same({}, {next(A)})
    end)

  it("tells its name, bases, order, metaclass, module and doc", function()
    local A = class("A", {__doc = "An A.", __module = "letters"})
    local B = class("B", A)
    assert.equal("B", B.__name)
    assert.equal(1, #B.__bases)
    assert.equal(A, B.__bases[1])
    assert.equal(class.object, A.__bases[1])
    assert.equal("B A object", names(B.__mro))
    assert.equal(class.type, B.__class)
    assert.equal("An A.", A.__doc)
    assert.equal("letters", A.__module)
    assert.is_nil(B.__doc)
    assert.equal(debug.getinfo(1, "S").short_src, B.__module)
    assert.equal("<class 'B'>", tostring(B))
  end)

  it("is told the same by its instances", function()
    local A = class("A", {__doc = "An A.", __module = "letters"})
    local a = A()
    assert.equal(A, a.__class)
    assert.equal("An A.", a.__doc)
    assert.equal("letters", a.__module)
    assert.is_nil(a.__bases)
    assert.is_nil(a.__mro)
  end)

  it("copies its body", function()
    local body = {x = 1, __metaclass = class.type}
    local A = class("A", body)
    body.x, body.y = 2, 3
    assert.equal(1, A.x)
    assert.is_nil(A.y)
    assert.equal(class.type, body.__metaclass)
    assert.is_nil(body.__module)
  end)

  it("takes members later, and passes them to who inherits", function()
    local A = class("A")
    local B = class("B", A)
    local b = class("C", B)()
    function A:hello() return "hello from " .. self.__class.__name end
    assert.equal("hello from C", b:hello())
    function B.hello() return "B" end
    assert.equal("B", b:hello())
    B.hello = nil
    assert.equal("hello from C", b:hello())
    A.hello = nil
    assert.is_nil(b.hello)
  end)

  it("lets nobody write what it tells of itself", function()
    local A = class("A")
    refuses("can't set '__name' of class 'A'", function() A.__name = "B" end)
    refuses("read-only", function() A.__mro = {} end)
    refuses("read-only", function() A.__bases = {} end)
    refuses("read-only", function() A.__class = class.type end)
    refuses("read-only", function() A.__dict.x = 1 end)
    A.__mro[1], A.__bases[1] = nil, nil
    assert.equal("A object", names(A.__mro))
    assert.equal(class.object, A.__bases[1])
  end)

  it("shows its own members in __dict, as they were put there", function()
    local f = function() end
    local A = class("A", {f = f, s = class.staticmethod(f), __p = 1})
    local B = class("B", A, {g = f})
    assert.equal(f, A.__dict.f)
    assert.is_true(isinstance(A.__dict.s, class.staticmethod))
    assert.equal(1, A.__dict._A__p)
    assert.is_nil(B.__dict.f)
    assert.equal("__module g", keys(B.__dict))
  end)

  it("refuses what is no name, base or body", function()
    local A = class("A")
    refuses("bad argument #1 to 'class' (string expected, got number)",
      function() class(5) end)
    refuses("bad argument #1 to 'class' (string expected, got nil)",
      function() class() end)
    refuses("bad argument #2 to 'class' (class expected, got nil)",
      function() class("X", nil, {}) end)
    refuses("bad argument #2 to 'class' (class expected, got nil)",
      function() class("X", Undefined) end) -- luacheck: ignore
    refuses("bad argument #3 to 'class' (class expected, got table)",
      function() class("X", A, {}, {}) end)
    refuses("bad argument #2 to 'class' (class expected, got A)",
      function() class("X", A()) end)
    refuses("bad argument #2 to 'class' (class expected, got string)",
      function() class("X", "A") end)
    refuses("duplicate base class 'A'", function() class("X", A, A) end)
  end)

  it("refuses the members that it needs itself, naming what to use", function()
    refuses("'__getitem'", function() class("X", {__index = {}}) end)
    refuses("'__setitem", function() class("X", {__newindex = print}) end)
    local A = class("A")
    refuses("'__getitem'", function() A.__index = {} end)
    refuses("'__init__' is spelled '__init'",
      function() class("X", {__init__ = print}) end)
    refuses("'__str__' is spelled '__str'",
      function() A.__str__ = print end)
    refuses("has to stand in the body", function() A.__slots = {} end)
    refuses("has to stand in the body", function() A.__metaclass = A end)
  end)

  it("cannot be changed when it is built in", function()
    refuses("built-in class 'object'", function() class.object.x = 1 end)
    refuses("built-in class 'type'", function() class.type.x = 1 end)
    refuses("built-in class 'property'", function() property.x = nil end)
  end)

  it("is collected when nobody needs it", function()
    local gone = setmetatable({}, {__mode = "v"})
    local Base = class("Base")
    do
      local A = class("A", Base, {
        __init = function(self) self.__p = 1 end,
        p = property(function() end),
        c = class.classmethod(function() end),
        __getitem = function() end,
      })
      local a = A()
      local _ = a.p, a:c(), super(A, a).x, a.__dict.x
      gone.class, gone.metatable = A, class.metatable(A)
      assert.equal(A, gone.class)
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(gone.class)
    assert.is_nil(gone.metatable)
    assert.equal("Base object", names(Base.__mro))
  end)

  it("is collected though a function of its lives on", function()
    local shared = function(self) return self.__p end
    local gone = setmetatable({}, {__mode = "v"})
    gone[1] = class("A", {m = shared})
    gone[2] = class("B", {m = shared, __p = 1})
    assert.equal(1, gone[2]():m())
    collectgarbage()
    collectgarbage()
    assert.same({}, gone)
  end)
end)

describe("an instance", function()
  it("is a table with plain fields", function()
    local A = class("A", {__init = function(self, x) self.x = x end})
    local a = A(5)
    assert.equal("table", type(a))
    assert.equal(5, rawget(a, "x"))
    assert.equal(class.metatable(A), getmetatable(a))
    a.y = false
    assert.is_false(a.y)
    a.y = nil
    assert.is_nil(a.y)
  end)

  it("answers nil to an unknown name, of any type", function()
    local a = class("A")()
    assert.is_nil(a.x)
    assert.is_nil(a[1])
    assert.is_nil(a[{}])
    assert.is_nil(a[nil])
  end)

  it("shares static fields until it has one of its own", function()
    local A = class("A", {n = 1, off = false})
    local a, b = A(), A()
    assert.is_false(a.off)
    a.n = 2
    assert.equal("2 1 1", a.n .. " " .. b.n .. " " .. A.n)
    A.n = 3
    assert.equal("2 3", a.n .. " " .. b.n)
    a.n = nil
    assert.equal(3, a.n)
  end)

  it("has fields that come before the methods of its class", function()
    local A = class("A", {m = function() return "class" end})
    local a = A()
    a.m = function() return "own" end
    assert.equal("own", a:m())
    assert.equal("class", A():m())
  end)

  it("says what it is and where", function()
    local A = class("A")
    local a = A()
    assert.truthy(tostring(a):match("^<A object: 0x%x+>$"))
    assert.not_equal(tostring(a), tostring(A()))
  end)

  it("keeps its class", function()
    local A, a = class("A"), nil
    a = A()
    refuses("can't set '__class' of A", function() a.__class = A end)
    refuses("can't set '__dict' of A", function() a.__dict = {} end)
    assert.equal(A, a.__class)
  end)

  it("may hold any number of fields, of any name", function()
    local a = class("A")()
    for i = 1, 300 do a["k" .. i], a[i] = i, -i end
    for i = 1, 300 do
      assert.equal(i, a["k" .. i])
      assert.equal(-i, a[i])
    end
    assert.error_matches(function() a[nil] = 1 end, "index is nil")
  end)

  describe("'s __dict", function()
    it("is a live view of its fields", function()
      local a = class("A", {x = 0, m = function() end})()
      local d = a.__dict
      a.y = 1
      assert.equal(1, d.y)
      assert.is_nil(d.x)
      assert.is_nil(d.m)
      d.z = 2
      assert.equal(2, a.z)
      d.y = nil
      assert.is_nil(a.y)
      a[1], a[2] = "p", "q"
      assert.equal(2, #d)
      assert.equal("1 2 z", keys(d))
      assert.equal(d, a.__dict)
      assert.not_equal(d, class("A")().__dict)
    end)

    it("may hold a property's name, and the property wins", function()
      local A = class("A", {p = property(function() return "property" end)})
      local a = A()
      a.__dict.p = "field"
      assert.equal("property", a.p)
      assert.equal("field", a.__dict.p)
      a.q = 1
      assert.equal("p q", keys(a.__dict))
      a.__dict.p = nil
      assert.is_nil(a.__dict.p)
      assert.equal("q", keys(a.__dict))
    end)

    it("obeys __slots", function()
      local A = class("A", {__slots = {"x"}})
      local a = A()
      a.__dict.x = 1
      assert.equal(1, a.x)
      refuses("A has no property 'y'", function() a.__dict.y = 1 end)
    end)

    it("keeps its instance alive, not the other way round", function()
      local A = class("A")
      local gone = setmetatable({}, {__mode = "k"})
      local d
      do
        local a, b = A(), A()
        a.x, gone[a], gone[b] = 1, true, true
        d = a.__dict
        assert.is_nil(b.__dict.x)
      end
      collectgarbage()
      assert.equal(1, d.x)
      assert.equal(1, #collect(pairs(gone)))
    end)
  end)
end)

describe("a method", function()
  it("of the class gets the class it was asked through", function()
    local A = class("A", {
      make = class.classmethod(function(cls, n) return cls.__name .. n end),
    })
    local B = class("B", A)
    assert.equal("A1", A:make(1))
    assert.equal("B2", B:make(2))
    assert.equal("A3", A():make(3))
    assert.equal("B4", B():make(4))
    assert.equal(B().make, B().make)
  end)

  it("that is static gets its arguments alone", function()
    local half = function(x) return x / 2 end
    local A = class("A", {half = class.staticmethod(half)})
    local B = class("B", A)
    assert.equal(2, A.half(4))
    assert.equal(2, B().half(4))
    assert.equal(half, A.half)
    assert.equal(half, B().half)
  end)

  it("may be wrapped when the class is made already", function()
    local A = class("A")
    function A.twice(x) return 2 * x end
    A.twice = class.staticmethod(A.twice)
    A.name = class.classmethod(function(cls) return cls.__name end)
    assert.equal(6, A().twice(3))
    assert.equal("A", A():name())
    A.name = function() return "plain" end
    assert.equal("plain", A():name())
  end)

  it("may be any callable value in its wrapper, and nothing else", function()
    local Adder = class("Adder", {
      __call = function(_, a, b) return tostring(a) .. b end,
    })
    local A = class("A", {
      s = class.staticmethod(Adder()), c = class.classmethod(Adder()),
    })
    assert.equal("xy", A.s("x", "y"))
    assert.equal("xy", A().s("x", "y"))
    assert.equal("<class 'A'>!", A():c("!"))
  end)

  it("wrapper tells its function, and is callable itself", function()
    local f = function(x) return x end
    assert.equal(f, class.staticmethod(f).func)
    assert.equal(f, class.classmethod(f).func)
    assert.equal(7, class.staticmethod(f)(7))
    refuses("bad argument #1 to 'staticmethod' (function expected, got nil)",
      function() class.staticmethod() end)
    refuses("bad argument #1 to 'classmethod' (function expected, got number)",
      function() class.classmethod(5) end)
  end)

  it("is inherited by sub-classes made by the class itself", function()
    local A = class("A", {
      clone = function(self) return self.__class(self.n) end,
      __init = function(self, n) self.n = n end,
    })
    local B = class("B", A)
    local b = B(3):clone()
    assert.equal(B, class.type(b))
    assert.equal(3, b.n)
  end)
end)
