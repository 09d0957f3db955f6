-- class_spec: the object model, from the outside.
-- Not here: sockets as classes. Where userdata are needed, core.class.blank
-- makes empty ones.
-- Invariant: each test makes the classes it needs and shares none.

local helper = require "spec.helper"
local class = require "csock.class"
local core = require "csock.core".class
local refuses = helper.refuses

local property, super = class.property, class.super
local isinstance, issubclass = class.isinstance, class.issubclass

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

  it("keeps what it tells for itself", function()
    local Meta = class("Meta", class.type, {__doc = "A Meta."})
    local A = class("A", {__metaclass = Meta, __slots = {"x"}})
    local B = class("B", A)
    assert.is_nil(A.__doc)
    A.__doc = "An A."
    assert.is_nil(B.__doc)
    assert.equal("An A.", A().__doc)
    B.__doc = "A B."
    B.__doc = nil
    assert.is_nil(B.__doc)
    assert.is_nil(B().__doc)
    assert.equal("x", A.__slots[1])
    assert.is_nil(B.__slots)
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

  it("may have members of any name", function()
    local A = class("A", {10, 20, [true] = "yes", __foo__ = 1})
    A[3] = 30
    local a = A()
    assert.equal("10 20 30 yes", ("%d %d %d %s"):format(A[1], a[2], a[3],
      a[true]))
    assert.equal(1, a._A__foo__)
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
    assert.equal(A.__dict, A.__dict)
    assert.not_equal(A.__dict, B.__dict)
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
    for _, cls in ipairs {class.object, class.type, property, class.slice,
                          class.staticmethod, class.classmethod} do
      assert.equal("csock.class", cls.__module)
      refuses("built-in", function() cls.__doc = "mine" end)
    end
    assert.equal("string", type(class.object.__doc))
    assert.equal("string", type(class.type.__doc))
    assert.is_true(isinstance(class.object.__dict.__class, property))
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
      local _ = {a.p, a:c(), super(A, a).x, a.__dict.x}
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
    local A = class("A")
    local a = A()
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

  it("does not mind its metamethods being called by hand", function()
    local A = class("A", {x = 1, p = property(function(v) return v end)})
    local mt = class.metatable(A)
    assert.is_nil(mt.__index())
    assert.equal(1, mt.__index(nil, "x", "extra"))
    assert.equal(5, mt.__index(5, "p"))
    assert.is_nil(mt.__index(5, "y"))
    assert.is_nil(mt.__index(io.stdout, "y"))
    assert.equal("v", mt.__index({y = "v"}, "y") or "v")
    assert.has_error(function() mt.__newindex(5, "y", 1) end)
    assert.has_no_error(function() mt.__newindex() end)
    assert.has_error(function() getmetatable(A).__call() end)
    assert.is_nil(getmetatable(A).__index(5, "y", "extra"))
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
    refuses("has no property 'x'", function() class.staticmethod(f).x = 1 end)
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

describe("a property", function()
  -- The documented example: pages of a list, computed from where one is.
  it("computes where a page starts and ends", function()
    local Pager = class("Pager", {
      __init = function(self, current_page, per_items)
        self.current_page, self.per_items = current_page, per_items or 10
      end,
      start = property(function(self)
        return (self.current_page - 1) * self.per_items + 1
      end),
      ["end"] = property(function(self)
        return self.current_page * self.per_items
      end),
    })
    local pager = Pager(3)
    assert.equal("21-30", pager.start .. "-" .. pager["end"])
    pager.current_page, pager.per_items = 1, 25
    assert.equal("1-25", pager.start .. "-" .. pager["end"])
    refuses("can't set 'start' of Pager: the property is read-only",
      function() pager.start = 1 end)
    refuses("can't set 'end' of Pager: the property is read-only",
      function() pager["end"] = nil end)
    assert.equal(1, pager.start)
  end)

  -- The documented example: a price with a discount.
  local function goods()
    return class("Goods", {
      discount = 0.5,
      __init = function(self, price) self.original_price = price end,
      price = property(
        function(self)
          return self.original_price and self.original_price * self.discount
        end,
        function(self, value) self.original_price = value end,
        function(self) self.original_price = nil end,
        "The price after the discount."),
    })
  end

  it("discounts a price, which may be set and deleted", function()
    local Goods = goods()
    local apple = Goods(100)
    assert.equal(50, apple.price)
    apple.price = 200
    assert.equal(200, apple.original_price)
    assert.equal(100, apple.price)
    Goods.discount = 0.25
    assert.equal(50, apple.price)
    apple.price = nil
    assert.is_nil(apple.original_price)
    assert.is_nil(rawget(apple, "price"))
    apple.price = 8
    class.delattr(apple, "price")
    assert.is_nil(apple.original_price)
  end)

  -- The documented example: the data of a request.
  it("may have getter and setter, or the getter alone", function()
    local Request = class("Request")
    function Request:__init() self.fields, self.files = {}, {"a.txt"} end
    function Request:_get_post() return self.fields end
    function Request:_set_post(fields) self.fields = fields end
    Request.POST = property(Request._get_post, Request._set_post)
    Request.FILES = property(function(self) return self.files end)
    local request = Request()
    request.POST = {name = "x"}
    assert.equal("x", request.POST.name)
    assert.equal("a.txt", request.FILES[1])
    refuses("can't set 'FILES' of Request: the property is read-only",
      function() request.FILES = {} end)
    refuses("can't set 'FILES' of Request: the property is read-only",
      function() request.FILES = nil end)
    assert.equal("a.txt", request.FILES[1])
  end)

  it("is itself what the class answers", function()
    local Goods = goods()
    assert.is_true(isinstance(Goods.price, property))
    assert.equal("The price after the discount.", Goods.price.__doc)
    assert.equal(50, Goods.price.fget(Goods(100)))
    assert.equal("function", type(Goods.price.fset))
    assert.equal("function", type(Goods.price.fdel))
    assert.is_nil(property().fget)
    assert.is_nil(property(print).__doc)
    refuses("can't set 'fget' of property", function() Goods.price.fget = 1 end)
    refuses("property has no property 'x'", function() Goods.price.x = 1 end)
  end)

  it("may be built step by step, each step a copy", function()
    local Goods = goods()
    local old = Goods.price
    Goods.price = Goods.price:setter(function(self, value)
      self.original_price = 2 * value
    end)
    local apple = Goods(1)
    apple.price = 100
    assert.equal(100, apple.price)
    assert.equal("The price after the discount.", Goods.price.__doc)
    Goods.price = Goods.price:getter(function() return "get" end)
    Goods.price = Goods.price:deleter(function(self) self.deleted = true end)
    apple.price = nil
    assert.equal("get", apple.price)
    assert.is_true(apple.deleted)
    assert.equal(200, apple.original_price)
    assert.not_equal(old, Goods.price)
    old.fset(apple, 3)
    assert.equal(3, apple.original_price)
    assert.is_nil(old.fget(setmetatable({}, nil)))
  end)

  it("gets nil through fset where it has no fdel", function()
    local got = {}
    local A = class("A", {
      p = property(nil, function(_, value) got[#got + 1] = tostring(value) end),
      d = property(nil, nil, function() got[#got + 1] = "deleted" end),
    })
    local a = A()
    a.p, a.p = 1, nil
    a.d = nil
    table.sort(got)
    assert.same({"1", "deleted", "nil"}, got)
    refuses("can't get 'p' of A: the property has no getter",
      function() return a.p end)
    refuses("can't set 'd' of A: the property is read-only",
      function() a.d = 1 end)
    refuses("can't delete 'p' of A: the property has no deleter",
      function() class.delattr(a, "p") end)
  end)

  it("wins over a field, also when it comes later than the writing", function()
    local A = class("A", {
      p = property(function() return "got" end, function() end),
      fill = function(self) self.p, self.q = "field", "field" end,
    })
    local a = A()
    a:fill()
    assert.is_nil(rawget(a, "p"))
    assert.equal("got", a.p)
    A.q = property(function() return "got" end, function() end)
    local b = A()
    b:fill()
    assert.is_nil(rawget(b, "q"))
    assert.equal("got", b.q)
  end)

  it("is inherited, may be replaced, hidden and uncovered", function()
    local A = class("A", {p = property(function() return "A" end)})
    local B = class("B", A)
    local b = B()
    assert.equal("A", b.p)
    B.p = property(function() return "B" end)
    assert.equal("B", b.p)
    assert.equal("A", A().p)
    B.p = "static"
    assert.equal("static", b.p)
    local c = B()
    c.p = "field"
    assert.equal("field", c.p)
    B.p = nil
    assert.equal("A", B().p)
    A.p = nil
    assert.is_nil(b.p)
  end)

  it("may be sub-classed", function()
    local cached = class("cached", property)
    function cached:__init(f)
      super(cached, self).__init(self, function(obj)
        if obj.cache == nil then obj.cache = f(obj) end
        return obj.cache
      end)
    end
    local n = 0
    local A = class("A", {p = cached(function() n = n + 1 return n end)})
    local a = A()
    assert.equal("1 1 2", a.p .. " " .. a.p .. " " .. A().p)
    assert.is_true(isinstance(A.p, cached))
  end)

  it("refuses what is no function or doc", function()
    refuses("bad argument #1 to 'property' (function expected, got number)",
      function() property(1) end)
    refuses("bad argument #2 to 'property' (function expected, got boolean)",
      function() property(nil, false) end)
    refuses("bad argument #3 to 'property' (function expected, got table)",
      function() property(nil, nil, {}) end)
    refuses("bad argument #4 to 'property' (string expected, got number)",
      function() property(nil, nil, nil, 1) end)
    refuses("bad argument #1 to 'getter' (property expected, got table)",
      function() property.getter({}) end)
  end)

  it("passes an error of its functions on as it is", function()
    local err = {}
    local A = class("A", {p = property(
      function() error(err) end, function() error(err) end)})
    local a = A()
    assert.equal(err, select(2, pcall(function() return a.p end)))
    assert.equal(err, select(2, pcall(function() a.p = 1 end)))
  end)
end)

describe("inheritance", function()
  it("goes by C3: bases in their order, each before its own", function()
    local O = class("O")
    local A, B, C = class("A", O), class("B", O), class("C", O)
    local D, E = class("D", O), class("E", O)
    local K1, K2 = class("K1", A, B, C), class("K2", D, B, E)
    local F = class("F", K1, K2, class("K3", D, A))
    assert.equal("F K1 K2 K3 D A B C E O object", names(F.__mro))
  end)

  it("puts mix-ins before what they change", function()
    local Base = class("Base", {hello = function() return "base" end})
    local Mixin = class("Mixin", {hello = function(self)
      return "mixed " .. super(self.Mixin, self):hello()
    end})
    Mixin.Mixin = Mixin
    assert.equal("mixed base", class("C", Mixin, Base)():hello())
  end)

  it("refuses bases that have no common order, naming them", function()
    local X, Y = class("X"), class("Y")
    local A, B = class("A", X, Y), class("B", Y, X)
    refuses("class 'Z': no order suits its bases A, B (they disagree about "
      .. "X, Y)", function() class("Z", A, B) end)
    refuses("class 'Z': no order suits its bases X, A",
      function() class("Z", X, A) end)
    refuses("no order suits its bases object, X",
      function() class("Z", class.object, X) end)
    assert.equal("Z A X Y object", names(class("Z", A, X).__mro))
  end)

  it("follows changes through a diamond", function()
    local Top = class("Top")
    local Left, Right = class("Left", Top), class("Right", Top)
    local bottom = class("Bottom", Left, Right)()
    Top.x = "top"
    assert.equal("top", bottom.x)
    Right.x = "right"
    assert.equal("right", bottom.x)
    Left.x = "left"
    assert.equal("left", bottom.x)
    Left.x = nil
    assert.equal("right", bottom.x)
  end)

  it("knows instances and sub-classes", function()
    local A, Other = class("A"), class("Other")
    local B = class("B", A)
    local b = B()
    assert.is_true(isinstance(b, A))
    assert.is_true(isinstance(b, B))
    assert.is_true(isinstance(b, class.object))
    assert.is_false(isinstance(b, Other))
    assert.is_false(isinstance(A(), B))
    assert.is_true(isinstance(b, {Other, A}))
    assert.is_false(isinstance(b, {Other}))
    assert.is_false(isinstance(b, {}))
    assert.is_true(isinstance(A, class.type))
    assert.is_true(isinstance(A, class.object))
    assert.is_false(isinstance(A, A))
    assert.is_true(issubclass(B, A))
    assert.is_true(issubclass(A, A))
    assert.is_false(issubclass(A, B))
    assert.is_true(issubclass(A, {Other, class.object}))
    assert.is_true(isinstance(b, A, Other, 1))
    assert.is_true(issubclass(B, A, Other, 1))
  end)

  it("has no instances among other values", function()
    local A = class("A")
    for _, value in ipairs {1, "s", true, print, {}, io.stdout,
                            setmetatable({}, {1, 2, 3}),
                            setmetatable({}, {A, {}}),
                            setmetatable({}, {{}, {[A] = false}}),
                            coroutine.create(print)} do
      assert.is_nil(class.type(value))
      assert.is_false(isinstance(value, class.object))
    end
    assert.is_false(isinstance(nil, A))
    assert.is_nil(class.type(nil))
  end)

  it("refuses to compare with what is no class", function()
    local A = class("A")
    refuses("bad argument #1 to 'isinstance'", function() isinstance() end)
    refuses("bad argument #2 to 'isinstance'",
      function() isinstance(A(), 5) end)
    refuses("bad argument #2 to 'isinstance'", function() isinstance(A()) end)
    refuses("bad argument #2 to 'isinstance'",
      function() isinstance(A(), {A, 5}) end)
    refuses("bad argument #2 to 'isinstance'",
      function() isinstance(1, A()) end)
    refuses("bad argument #1 to 'issubclass'",
      function() issubclass(A(), A) end)
    refuses("bad argument #2 to 'issubclass'",
      function() issubclass(A, nil) end)
  end)
end)

describe("super", function()
  it("asks for a method anew when its class has changed", function()
    local A = class("A", {say = function() return "first" end})
    local B = class("B", A)
    function B:say() return super(B, self):say() end
    local b = B()
    assert.are.equal("first", b:say())
    assert.are.equal("first", b:say())
    function A:say() return self == b and "second" end
    assert.are.equal("second", b:say())
    A.say = class.property(function() return function() return "third" end end)
    assert.are.equal("third", b:say())
    A.say = nil
    assert.is_false(pcall(b.say, b))
  end)

  it("gives a method the object, with a colon or a dot", function()
    local A = class("A", {
      __init = function(self, x) self.x = x end,
      add = function(self, n) return self.x + (n or 0) end,
    })
    local B = class("B", A)
    function B:__init(x, y) super(B, self).__init(self, x) self.y = y end
    function B:add(n)
      local up = super(B, self)
      return up:add(n) + up.add(self, n) + up.add() + self.y
    end
    assert.equal(11 + 11 + 10 + 5, B(10, 5):add(1))
  end)

  it("follows the order of the object's class, not of the text's", function()
    local function step(name, ...)
      local cls
      cls = class(name, ...)
      function cls:__init(trail)
        trail[#trail + 1] = name
        super(cls, self).__init(self, trail)
      end
      return cls
    end
    local A = step("A")
    local B, C = step("B", A), step("C", A)
    local D = step("D", B, C)
    local trail = {}
    D(trail)
    assert.equal("D B C A", table.concat(trail, " "))
    trail = {}
    B(trail)
    assert.equal("B A", table.concat(trail, " "))
  end)

  it("reads, writes and deletes properties", function()
    local A = class("A", {p = property(
      function(self) return self.v end,
      function(self, v) self.v = v end,
      function(self) self.v = "deleted" end),
      r = property(function() return 1 end), w = property(),
    })
    local B = class("B", A, {p = property(function() return "B" end), n = 0})
    local b = B()
    super(B, b).p = 5
    assert.equal(5, super(B, b).p)
    assert.equal("B", b.p)
    super(B, b).p = nil
    assert.equal("deleted", b.v)
    refuses("can't set 'r' of B: the property is read-only",
      function() super(B, b).r = 1 end)
    refuses("can't get 'w' of B: the property has no getter",
      function() return super(B, b).w end)
    refuses("super of B has no property 'n'", function() super(B, b).n = 1 end)
    assert.equal(A.p, super(B, B).p)
  end)

  it("finds static and class methods and plain values", function()
    local A = class("A", {
      s = class.staticmethod(function(x) return x end),
      c = class.classmethod(function(cls, x) return cls.__name .. x end),
      v = false,
    })
    local B = class("B", A, {s = 1, c = 2, v = 3})
    local C = class("C", B)
    assert.equal("x", super(B, C()).s("x"))
    assert.equal("C1", super(B, C()):c(1))
    assert.equal("C2", super(B, C):c(2))
    assert.is_false(super(B, C()).v)
    assert.is_nil(super(B, C()).unknown)
    assert.is_nil(super(A, A()).v)
  end)

  it("passes the class to __new, and to functions called on a class",
    function()
      local A = class("A", {
        __new = function(cls, ...)
          local obj = class.object.__new(cls)
          obj.made = cls.__name .. select("#", ...)
          return obj
        end,
        create = function(cls) return "created by " .. cls.__name end,
        describe = function(self) return self.made end,
      })
      local B = class("B", A)
      function B.__new(cls, ...) return super(B, cls).__new(cls, ...) end
      function B:create() return super(B, self):create() end
      assert.equal("B2", B(1, 2).made)
      assert.equal("created by B", B:create())
      assert.equal("A0", super(B, B).describe(A()))
      assert.equal("A0", super(B, B).__new(A).made)
    end)

  it("sees what is changed later", function()
    local A = class("A", {m = function() return 1 end})
    local B = class("B", A)
    local b = B()
    assert.equal(1, super(B, b):m())
    A.m = function() return 2 end
    assert.equal(2, super(B, b):m())
    A.m = nil
    assert.is_nil(super(B, b).m)
  end)

  it("refuses an object that is none of the class's", function()
    local A = class("A")
    local B = class("B", A)
    refuses("bad argument #1 to 'super' (class expected, got nil)",
      function() super(nil, A()) end)
    refuses("bad argument #1 to 'super' (class expected, got A)",
      function() super(A(), A()) end)
    refuses("bad argument #2 to 'super' (instance or sub-class of 'B' "
      .. "expected, got A)", function() super(B, A()) end)
    refuses("expected, got class 'A')", function() super(B, A) end)
    refuses("expected, got nil)", function() super(B) end)
  end)

  it("says what it is", function()
    local A = class("A", {__str = function() return "an A" end})
    assert.equal("<super: <class 'A'>, an A>", tostring(super(A, A())))
  end)

  it("reaches special members under each of their names", function()
    local A = class("A", {
      __tostring = function() return "A" end,
      __pairs = function() return next, {1} end,
    })
    local B = class("B", A)
    function B:__str() return "B" .. super(B, self):__str() end
    function B:__iter() return super(B, self):__iter() end
    assert.equal("BA", tostring(B()))
    assert.same({1}, collect(pairs(B())))
  end)
end)

describe("__slots", function()
  it("seal the instances to the names given", function()
    local A = class("A", {__slots = {"x"}, y = 1,
      p = property(function() end, function(self, v) self.x = v end)})
    local a = A()
    a.x = 1
    a.p = 2
    assert.equal(2, a.x)
    refuses("A has no property 'timeuot'", function() a.timeuot = 1 end)
    refuses("A has no property 'y'", function() a.y = 1 end)
    refuses("A has no property '1'", function() a[1] = 1 end)
    a.x = nil
    a.x = 3
    assert.equal(3, a.x)
    assert.is_nil(a.timeuot)
  end)

  it("of all bases count, and one class without them opens all", function()
    local A = class("A", {__slots = {"x"}})
    local B = class("B", A, {__slots = {}})
    local C = class("C", B, {__slots = {"z"}})
    local c = C()
    c.x, c.z = 1, 2
    refuses("C has no property 'y'", function() c.y = 1 end)
    refuses("B has no property 'z'", function() B().z = 1 end)
    local Open = class("Open", A)
    Open().anything = 1
    local Under = class("Under", Open, {__slots = {}})
    Under().anything = 1
    refuses("object has no property 'x'", function() class.object().x = 1 end)
  end)

  it("may be private names", function()
    local A = class("A", {__slots = {"__x"}})
    function A:set(v) self.__x = v end
    function A:wrong() self.__y = 1 end
    local a = A()
    a:set(1)
    assert.equal(1, a._A__x)
    assert.error_matches(function() a:wrong() end, "A has no property '_A__y'")
  end)

  it("are a list of names, or refused", function()
    refuses("__slots has to be a list of names",
      function() class("A", {__slots = "x"}) end)
    refuses("__slots has to be a list of names",
      function() class("A", {__slots = {1}}) end)
  end)
end)

describe("a private name", function()
  local function account()
    local Account = class("Account", {
      __rate = 2,
      __init = function(self, sum) self.__sum = sum end,
      __twice = function(self) return self.__rate * self.__sum end,
      worth = function(self) return self:__twice() end,
      add = function(self, n) self.__sum = self.__sum + n end,
      sum = property(
        function(self) return self.__sum end,
        function(self, v) self.__sum = v end,
        function(self) self.__sum = nil end),
      same = function(self, other) return self.__sum == other.__sum end,
    })
    return Account, Account(10)
  end

  it("serves the methods and properties of its class", function()
    local Account, a = account()
    a:add(5)
    assert.equal(30, a:worth())
    a.sum = 7
    assert.equal(7, a.sum)
    assert.is_true(a:same(Account(7)))
    a.sum = nil
    assert.is_nil(a.sum)
  end)

  it("is nothing outside, and cannot be written there", function()
    local Account, a = account()
    assert.is_nil(a.__sum)
    assert.is_nil(a.__twice)
    assert.is_nil(a.__rate)
    assert.is_nil(Account.__rate)
    assert.is_nil(Account.__twice)
    refuses("can't set '__sum' of Account: the name is private to its class",
      function() a.__sum = 1 end)
    refuses("can't set '__new_one' of Account: the name is private",
      function() a.__new_one = 1 end)
    assert.equal(20, a:worth())
  end)

  it("is stored with the class's name, by which all may use it", function()
    local Account, a = account()
    assert.equal(10, a._Account__sum)
    a._Account__sum = 4
    assert.equal(8, a:_Account__twice())
    assert.equal(2, Account._Account__rate)
    Account._Account__rate = 3
    assert.equal(12, a:worth())
    assert.equal(10, account()._Account__rate * 5)
    assert.equal("_Account__sum", keys(a))
  end)

  it("is one for each class that uses it", function()
    local A = class("A", {
      __init = function(self) self.__x = "A" end,
      a = function(self) return self.__x .. self:__m() end,
      __m = function() return "m" end,
    })
    local B = class("B", A, {
      __init = function(self)
        super(self.B, self).__init(self)
        self.__x = "B"
      end,
      b = function(self) return self.__x .. self:__m() end,
      __m = function() return "n" end,
    })
    B.B = B
    local b = B()
    assert.equal("Am Bn", b:a() .. " " .. b:b())
    assert.equal("A B", b._A__x .. " " .. b._B__x)
  end)

  it("loses the underscores in front of the class's name", function()
    local A = class("__A", {set = function(self) self.__x = 1 end})
    local a = A()
    a:set()
    assert.equal(1, a._A__x)
    local Odd = class("__", {
      set = function(self) self.__x = 2 end,
      get = function(self) return self.__x end,
    })
    local odd = Odd()
    odd:set()
    assert.equal(2, odd:get())
    assert.is_nil(odd.__x)
  end)

  it("serves methods that are added later, and private ones too", function()
    local _, a = account()
    local Account = class.type(a)
    function Account:__thrice() return self.__sum * 3 end
    function Account:triple() return self:__thrice() end
    Account.__kind = "static"
    function Account.kind(cls) return cls.__kind end
    assert.equal(30, a:triple())
    assert.equal("static", Account:kind())
    assert.is_nil(Account.__kind)
    assert.is_nil(a.__thrice)
    Account.__kind = nil
    assert.is_nil(Account:kind())
  end)

  it("serves functions written inside a method", function()
    local Tree = class("Tree", {
      __init = function(self) self.__leaves = {1, 2, 3} end,
      each = function(self)
        return coroutine.wrap(function()
          for _, leaf in ipairs(self.__leaves) do coroutine.yield(leaf) end
        end)
      end,
      set = function(self, value)
        local ok, err = pcall(function() self.__leaves = value end)
        assert(ok, err)
        return (function()
          local function deeper() return self.__leaves end
          return deeper()
        end)()
      end,
    })
    local tree = Tree()
    assert.same({1, 2, 3}, collect(tree:each()))
    assert.same({4}, tree:set {4})
  end)

  it("serves the methods of the nearest class around a function", function()
    local Outer, Inner = class("Outer"), nil
    function Outer:__init() self.__x = "outer" end
    function Outer:make()
      local inner = class("Inner", Outer, {
        __init = function(this)
          super(Inner, this).__init(this)
          this.__x = "inner"
        end,
        read = function(this)
          local function get() return this.__x end
          return get()
        end,
      })
      Inner = inner
      return inner(), function(this) return this.__x end
    end
    local inner, read = Outer():make()
    assert.equal("inner", inner:read())
    assert.equal("outer", read(inner))
  end)

  it("serves static and class methods, and metaclasses", function()
    local Count = class("Count", {
      __n = 0,
      bump = class.classmethod(function(cls) cls.__n = cls.__n + 1 end),
      get = class.staticmethod(function(obj) return obj.__n end),
    })
    local Sub = class("Sub", Count)
    Count:bump()
    Sub:bump()
    Sub:bump()
    assert.equal("1 3", Count.get(Count) .. " " .. Count.get(Sub()))
    assert.equal(3, Sub._Count__n)
    local Meta = class("Meta", class.type, {
      mark = function(cls) cls.__mark = cls.__name end,
      marked = function(cls) return cls.__mark end,
    })
    local M = class("M", {__metaclass = Meta})
    M:mark()
    assert.equal("M", M:marked())
    assert.equal("M", M._Meta__mark)
    assert.is_nil(M.__mark)
  end)

  it("serves nobody's methods but the class's own", function()
    local _, a = account()
    local Thief = class("Thief", {
      read = function(_, victim) return victim.__sum end,
      write = function(_, victim) victim.__sum = 0 end,
    })
    assert.is_nil(Thief():read(a))
    assert.error_matches(function() Thief():write(a) end, "private to its")
    assert.equal(10, a._Account__sum)
    local function peek(obj) return obj.__sum end
    assert.is_nil(peek(a))
    assert.is_nil(coroutine.wrap(peek)(a))
    assert.is_nil(load("return (...).__sum")(a))
    local Ship = class("Ship", {
      __init = function(self) self.__cargo = 1 end,
      robbed = function(self)
        local Pirate = class("Pirate", {
          look = function(_, ship) return ship.__cargo end,
        })
        return Pirate():look(self)
      end,
    })
    assert.is_nil(Ship():robbed())
  end)

  it("serves a function that several classes share, as each one's",
    function()
      local function get(self) return self.__x end
      local A = class("A", {get = get, __x = "A"})
      local B = class("B", {get = get, __x = "B"})
      local C = class("C", A, {also = get, __x = "C"})
      assert.equal("A B", A():get() .. " " .. B():get())
      assert.equal("A", C():also())
      local D = class("D")
      assert.is_nil(get(D()))
    end)

  it("may be a property, of instances or through super", function()
    local A = class("A", {
      __p = property(
        function(self) return self.v end,
        function(self, v) self.v = v end),
      run = function(self, v)
        self.__p = v
        return self.__p
      end,
    })
    local B = class("B", A)
    local b = B()
    assert.equal(5, b:run(5))
    assert.is_nil(b.__p)
    assert.is_nil(rawget(b, "_A__p"))
    local C = class("C", A)
    function A:up() return super(C, self).__p end
    local c = C()
    c.v = 6
    assert.equal(6, c:up())
    assert.is_nil(super(C, c).__p)
  end)

  it("is seen through tail calls", function()
    local A = class("A", {
      __x = 1,
      __get = function(self) return self.__x end,
      get = function(self) return self:__get() end,
    })
    local function outside(a) return a:get() end
    assert.equal(1, outside(A()))
    local function tail(a) return rawequal(a.__x, nil) end
    assert.is_true(tail(A()))
  end)

  it("works in code without debug information", function()
    local code = string.dump(load([[
      local class = ...
      local A = class("A", {
        __init = function(self) self.__x = 1 end,
        get = function(self) return self.__x end,
        closure = function(self) return (function() return self.__x end)() end,
      })
      return A, function(a) a.__x = 2 end
    ]]), true)
    local A = load(code, "stripped", "b")(class)
    assert.equal(1, A():get())
    assert.equal(1, A():closure())
    assert.is_nil(A().__x)
  end)

  it("can be deleted inside, not outside", function()
    local A = class("A", {
      __init = function(self) self.__x = 1 end,
      drop = function(self) class.delattr(self, "__x") end,
    })
    local a = A()
    refuses("A has no attribute '__x' to delete",
      function() class.delattr(a, "__x") end)
    a:drop()
    assert.is_nil(a._A__x)
  end)

  it("is none of the special ones", function()
    local a = class("A")()
    a.__doc, a.__name = "doc", "name"
    assert.equal("doc name", a.__doc .. " " .. a.__name)
  end)
end)

describe("a special member", function()
  it("__init gets the arguments and makes the instance", function()
    local A = class("A", {__init = function(self, ...)
      self.n, self.last = select("#", ...), select(-1, ...)
    end})
    assert.equal(2, A(1, nil).n)
    assert.equal(3, A(1, nil, "x").n)
    assert.equal("x", A(1, nil, "x").last)
    local many = {}
    for i = 1, 200 do many[i] = i end
    assert.equal(200, A(table.unpack(many)).n)
    assert.equal(200, A(table.unpack(many)).last)
    A.__new = function(cls, ...)
      assert.equal(5000, select("#", ...))
      return class.object.__new(cls)
    end
    for i = 1, 5000 do many[i] = i end
    assert.equal(5000, A(table.unpack(many)).last)
    assert.is_nil(class("B")(1, 2, 3).n)
  end)

  it("__init may be called again, or be missing", function()
    local A = class("A", {__init = function(self, x) self.x = x end})
    local B = class("B", A)
    local b = B(1)
    b:__init(2)
    assert.equal(2, b.x)
    B.__init = function(self) self.y = 1 end
    assert.is_nil(B(1).x)
    B.__init = nil
    assert.equal(4, B(4).x)
    A.__init = nil
    assert.is_nil(B(4).x)
  end)

  it("__init passes its error on; the caller is at level 3", function()
    local err = {}
    local A = class("A", {__init = function(_, e) error(e, 3) end})
    assert.equal(err, select(2, pcall(A, err)))
    refuses("no", function() A("no") end)
  end)

  it("__new decides what the call returns", function()
    local A
    A = class("A", {
      __new = function(cls, kind)
        if kind == "other" then return "not an A" end
        if kind == "none" then return nil end
        A.one = A.one or class.object.__new(cls)
        return A.one
      end,
      __init = function(self) self.n = (self.n or 0) + 1 end,
    })
    assert.equal(A(), A())
    assert.equal(2, A.one.n)
    assert.equal("not an A", A("other"))
    assert.is_nil(A("none"))
    assert.equal(1, select("#", A("none")))
  end)

  it("__new may make an instance of a sub-class, or of no relative",
    function()
      local A, B, C
      local log = {}
      local function init(name)
        return function(_, x) log[#log + 1] = name .. x end
      end
      A = class("A", {
        __init = init "A",
        __new = function(cls, x)
          if cls == A and x > 1 then cls = B end
          if x > 2 then cls = C end
          return class.object.__new(cls)
        end,
      })
      B = class("B", A, {__init = init "B"})
      C = class("C", {__init = init "C"})
      assert.equal(A, class.type(A(1)))
      assert.equal(B, class.type(A(2)))
      assert.equal(C, class.type(A(3)))
      assert.same({"A1", "B2"}, log)
    end)

  it("__new of object makes a bare instance, of classes alone", function()
    local A = class("A", {__init = function(self) self.x = 1 end})
    local a = class.object.__new(A)
    assert.is_nil(a.x)
    assert.equal(A, class.type(a))
    refuses("bad argument #1 to '__new' (class expected, got nil)",
      function() class.object.__new() end)
    refuses("bad argument #1 to '__new' (class expected, got A)",
      function() class.object.__new(a) end)
    refuses("object.__new(type)", function() class.object.__new(class.type) end)
  end)

  it("__del runs when the instance is collected, once", function()
    local n = 0
    local A = class("A", {__del = function(self) n = n + self.x end})
    local B = class("B", A)
    do local b = B() b.x = 1 end
    collectgarbage()
    assert.equal(1, n)
    collectgarbage()
    assert.equal(1, n)
  end)

  it("__del runs when a variable is closed, and not again", function()
    local n = 0
    local A = class("A", {__del = function() n = n + 1 end})
    do
      local a <close> = A()
      do local _same <close> = a end
      assert.equal(1, n)
    end
    collectgarbage()
    collectgarbage()
    assert.equal(1, n)
    local b = A()
    b:__del()
    b:__del()
    assert.equal(3, n)
    assert.equal(A, b.__class)
  end)

  it("__close and __gc may be given apart, beside __del too", function()
    local log = {}
    local function note(what)
      return function(_, err) log[#log + 1] = what .. tostring(err) end
    end
    local A = class("A", {__close = note "close ", __gc = note "gc "})
    local B = class("B", {__close = note "close ", __del = note "del "})
    local C = class("C", A, {__del = note "del "})
    pcall(function() local _a <close> = A() error("x", 0) end)
    collectgarbage()
    assert.same({"close x", "gc nil"}, log)
    log = {}
    do local _b <close> = B() end
    collectgarbage()
    assert.same({"close nil", "del nil"}, log)
    log = {}
    do local _c <close> = C() end
    collectgarbage()
    assert.same({"del nil"}, log)
    assert.error_matches(function() local _x <close> = class("X")() end,
      "non%-closable")
  end)

  it("__call makes instances callable", function()
    local A = class("A", {__call = function(self, ...)
      return self.x, select("#", ...), ...
    end})
    local a = class("B", A)()
    a.x = "x"
    assert.same({"x", 2, 1, 2}, {a(1, 2)})
  end)

  it("__str is __tostring, whichever of them is given", function()
    local A = class("A", {__str = function(self) return "A" .. self.x end})
    local B = class("B", A, {__tostring = function() return "B" end})
    local a = A()
    a.x = 1
    assert.equal("A1", tostring(a))
    assert.equal("A1", a:__tostring())
    assert.equal("A1", ("%s"):format(a))
    assert.equal("B", tostring(B()))
    assert.equal("B", B():__str())
    B.__str = function() return "later" end
    assert.equal("B", tostring(B()))
    B.__tostring = nil
    A.__str = function() return "A again" end
    assert.equal("A again", tostring(a))
    assert.equal("later", B():__str())
  end)

  it("__iter serves pairs and iter", function()
    local A = class("A", {__iter = function(self)
      return coroutine.wrap(function()
        for i = 1, self.n do coroutine.yield(i, i * i) end
      end)
    end})
    local a = class("B", A)()
    a.n = 3
    local squares = {}
    for i, square in pairs(a) do squares[i] = square end
    assert.same({1, 4, 9}, squares)
    assert.same({1, 2, 3}, collect(class.iter(a)))
    A.__pairs = function() return next, {x = 1} end
    assert.equal("x", keys(a))
    assert.same({1, 2, 3}, collect(class.iter(a)))
  end)

  it("may be any of Lua's metamethods", function()
    local function op(name)
      return function(a, b)
        local function show(v) return class.type(v) and "o" or tostring(v) end
        return name .. show(a) .. show(b)
      end
    end
    local A = class("A", {
      __add = op "+", __sub = op "-", __mul = op "*", __div = op "/",
      __mod = op "%", __pow = op "^", __idiv = op "//", __band = op "&",
      __bor = op "|", __bxor = op "~", __shl = op "<<", __shr = op ">>",
      __concat = op "..",
      __unm = function() return "unm" end,
      __bnot = function() return "bnot" end,
      __len = function() return 42 end,
      __eq = function() return true end,
      __lt = function(a, b) return a.n < b.n end,
      __le = function(a, b) return a.n <= b.n end,
    })
    local a, b = class("B", A)(), A()
    a.n, b.n = 1, 2
    assert.same({"+o1", "-1o", "*oo", "/o2", "%o2", "^o2", "//o2", "&o2", "|o2",
      "~o2", "<<o2", ">>o2", "..ox", "..xo", "unm", "bnot"},
      {a + 1, 1 - a, a * b, a / 2, a % 2, a ^ 2, a // 2, a & 2, a | 2, a ~ 2,
        a << 2, a >> 2, a .. "x", "x" .. a, -a, ~a})
    assert.equal(42, #a)
    assert.is_true(a == b)
    assert.is_true(a < b)
    assert.is_true(a <= b)
    assert.is_false(a > b)
  end)

  it("__mode makes fields weak, __metatable guards, __name names", function()
    local A = class("A", {__mode = "v", __metatable = "guarded",
                          __name = "my.A"})
    local a = class("B", A)()
    a.x = {}
    collectgarbage()
    assert.is_nil(a.x)
    assert.equal("guarded", getmetatable(a))
    assert.equal("A", A.__name)
    assert.error_matches(function() io.write(A()) end, "got my%.A")
    assert.error_matches(function() io.write(a) end, "got B")
  end)

  it("counts also when it comes late, for instances there already",
    function()
      local A = class("A")
      local b = class("B", A)()
      assert.error_matches(function() return #b .. b() end, "call")
      function A.__len() return 7 end
      function A.__call() return "called" end
      function A.__str() return "str" end
      function A.__getitem(_, key) return key .. "!" end
      assert.equal("7 called str x!",
        #b .. " " .. b() .. " " .. tostring(b) .. " " .. b.x)
      A.__len, A.__getitem = nil, nil
      assert.equal(0, #b)
      assert.is_nil(b.x)
    end)

  it("is switched off by false", function()
    local A = class("A", {__len = function() return 1 end,
                          __getitem = function() return 2 end})
    local b = class("B", A, {__len = false, __getitem = false})()
    assert.equal(0, #b)
    assert.is_nil(b.x)
    assert.equal(2, A().x)
  end)
end)

describe("items", function()
  -- The documented example: a container that is asked by key.
  local function container()
    local log = {}
    local Box = class("Box", {
      __init = function(self) self.items = {} end,
      __getitem = function(self, key)
        log[#log + 1] = "get " .. tostring(key)
        return self.items[key]
      end,
      __setitem = function(self, key, value)
        log[#log + 1] = "set " .. tostring(key)
        self.items[key] = value
      end,
      __delitem = function(self, key)
        log[#log + 1] = "del " .. tostring(key)
        self.items[key] = nil
      end,
      size = function(self)
        local n = 0
        for _ in pairs(self.items) do n = n + 1 end
        return n
      end,
      kind = "box",
      first = property(function(self) return self.items[1] end),
    })
    return Box, log
  end

  it("are got, set and deleted by the hooks", function()
    local Box, log = container()
    local box = Box()
    assert.is_nil(box["k1"])
    box["k2"] = "v"
    assert.equal("v", box["k2"])
    class.delattr(box, "k1")
    box.k2 = nil
    box[1] = false
    assert.is_false(box[1])
    assert.is_false(box.first)
    assert.same({"get k1", "set k2", "get k2", "del k1", "del k2", "set 1",
      "get 1"}, log)
  end)

  it("are what no attribute answers", function()
    local Box, log = container()
    local box = Box()
    assert.equal("box 0", box.kind .. " " .. box:size())
    box.kind = "crate"
    assert.equal("crate", rawget(box, "kind"))
    assert.equal("Box", box.__class.__name)
    box.items = {x = 1}
    assert.equal(1, box:size())
    refuses("read-only", function() box.first = 1 end)
    assert.is_nil(box.__doc and nil)
    local before = #log
    assert.equal(1, box.x)
    assert.equal(before + 1, #log)
  end)

  it("get slices too", function()
    local List = class("List", {
      __init = function(self, ...) self.items = {...} end,
      __getitem = function(self, key)
        if not isinstance(key, class.slice) then return self.items[key] end
        local part = {}
        local first, last, step = key:indices(#self.items)
        for i = first, last, step do part[#part + 1] = self.items[i] end
        return table.concat(part)
      end,
      __len = function(self) return #self.items end,
    })
    local list = List("a", "b", "c", "d", "e")
    assert.equal("bcd", list[class.slice(2, 4)])
    assert.equal("de", list[class.slice(-2)])
    assert.equal("edcba", list[class.slice(nil, nil, -1)])
    assert.equal("c", list[3])
    assert.equal(5, #list)
  end)

  it("start when __init has returned: until then there are attributes",
    function()
      local during
      local Box = class("Box", {
        __getitem = function(_, key) return "item " .. key end,
        __setitem = function() error("too early") end,
        prepare = function(self) self.y = self.x end,
        __init = function(self)
          self.x = 1
          self:prepare()
          during = self.z
          self.w = nil
        end,
      })
      local Sub = class("Sub", Box)
      function Sub:__init()
        self.before = true
        super(Sub, self).__init(self)
        self.after = true
      end
      local sub = Sub()
      assert.is_nil(during)
      assert.equal("after before x y", keys(sub))
      assert.equal("item z", sub.z)
      assert.error_matches(function() sub.z = 1 end, "too early")
      assert.equal(class.metatable(Sub), getmetatable(sub))
    end)

  it("start later also for a __new that sets fields", function()
    local Box
    Box = class("Box", {
      __new = function(cls)
        local box = class.object.__new(cls)
        box.items = {}
        return box
      end,
      __getitem = function(self, key) return self.items[key] end,
      __setitem = function(self, key, value) self.items[key] = value end,
    })
    local box = Box()
    box.x = 1
    assert.equal(1, box.items.x)
    assert.equal("items", keys(box))
    local Sub = class("Sub", Box, {__init = function(self) self.y = 1 end})
    local sub = Sub()
    assert.equal("items y", keys(sub))
    sub.z = 1
    assert.equal("items y", keys(sub))
    local bare = class.object.__new(Box)
    bare.__dict.items = {}
    bare.x = 2
    assert.equal(2, bare.items.x)
    local shallow = coroutine.wrap(class.object.__new)(Box)
    assert.equal(class.metatable(Box), getmetatable(shallow))
  end)

  it("work with one hook alone", function()
    local Get = class("Get", {__getitem = function(_, key) return key end})
    local get = Get()
    assert.equal("x", get.x)
    get.x = 1
    assert.equal(1, rawget(get, "x"))
    refuses("private to its class", function() get.__y = 1 end)
    local got
    local Set = class("Set", {__setitem = function(_, ...) got = {...} end})
    local set = Set()
    set.x = nil
    assert.equal("x", got[1])
    assert.is_nil(got[2])
    class.delattr(set, "y")
    assert.equal("y", got[1])
    assert.is_nil(set.x)
    local Del = class("Del", {__delitem = function(_, ...) got = {...} end})
    local del = Del()
    del.x = 1
    assert.equal(1, rawget(del, "x"))
    del.y = nil
    assert.same({"y"}, got)
    del.x = nil
    assert.same({"y"}, got)
    del.x = nil
    assert.same({"x"}, got)
  end)

  it("do not reach private names, nor these items", function()
    local Box = class("Box", {
      __init = function(self) self.__items = {} end,
      __getitem = function(self, key) return self.__items[key] end,
      __setitem = function(self, key, value) self.__items[key] = value end,
      count = function(self) self.__n = (self.__n or 0) + 1 return self.__n end,
    })
    local box = Box()
    assert.is_nil(box.__items)
    box.__items = "an item"
    assert.equal("an item", box.__items)
    assert.equal("an item", box._Box__items.__items)
    assert.equal(1, box:count())
    assert.equal(2, box:count())
    assert.equal("_Box__items _Box__n", keys(box))
  end)

  it("go past the seal of __slots", function()
    local Box = class("Box", {
      __slots = {"items"},
      __init = function(self) self.items = {} end,
      __setitem = function(self, key, value) self.items[key] = value end,
    })
    local box = Box()
    box.x = 1
    assert.equal(1, box.items.x)
    local Bad = class("Bad", Box, {__slots = {},
      __init = function(self) self.y = 1 end})
    assert.error_matches(Bad, "Bad has no property 'y'")
  end)

  it("of a class are the business of its metaclass", function()
    local log = {}
    local Meta = class("Meta", class.type, {
      __getitem = function(cls, key) return cls.__name .. key end,
      __setitem = function(_, key, value) log[key] = value end,
      __delitem = function(_, key) log[key] = "deleted" end,
    })
    local A = class("A", {__metaclass = Meta, x = 1})
    assert.equal("Ay", A.y)
    assert.equal(1, A.x)
    A.y = 2
    assert.equal(2, A.y)
    A[1] = "one"
    assert.equal("one", log[1])
    class.delattr(A, "z")
    assert.equal("deleted", log.z)
    assert.is_nil(A().z)
  end)
end)

describe("a slice", function()
  it("tells its three parts", function()
    local s = class.slice(1, nil, 2)
    assert.equal(1, s.start)
    assert.is_nil(s.stop)
    assert.equal(2, s.step)
    assert.equal("slice(1, nil, 2)", tostring(s))
    assert.is_true(s == class.slice(1, nil, 2))
    assert.is_false(s == class.slice(1, 2))
    assert.is_false(s == class.slice(nil, 1, 2))
    refuses("slice has no property 'x'", function() s.x = 1 end)
  end)

  it("cuts as string.sub does", function()
    local text = "abcdefg"
    for start = -9, 9 do
      for stop = -9, 9 do
        local first, last, step = class.slice(start, stop):indices(#text)
        local got = ""
        for i = first, last, step do got = got .. text:sub(i, i) end
        assert.equal(text:sub(start, stop), got, start .. " " .. stop)
      end
    end
  end)

  it("may go backwards and in steps, and stays in the sequence", function()
    local function run(n, ...)
      local got = {}
      local first, last, step = class.slice(...):indices(n)
      for i = first, last, step do got[#got + 1] = i end
      return table.concat(got, " ")
    end
    assert.equal("1 3 5", run(5, nil, nil, 2))
    assert.equal("5 4 3 2 1", run(5, nil, nil, -1))
    assert.equal("4 3 2", run(5, -2, 2, -1))
    assert.equal("5 3 1", run(5, 99, -99, -2))
    assert.equal("", run(5, 2, 4, -1))
    assert.equal("", run(5, -99, nil, -1))
    assert.equal("", run(0))
    assert.equal("", run(0, nil, nil, -1))
    assert.equal("2 4", run(5, 2, 4, 2))
  end)

  it("refuses a step of zero and what is no integer", function()
    refuses("bad argument #3 to 'slice'", function() class.slice(1, 2, 0) end)
    refuses("bad argument #1 to 'slice' (integer expected, got string)",
      function() class.slice("1") end)
    refuses("bad argument #2 to 'slice' (integer expected, got number)",
      function() class.slice(1, 1.5) end)
    assert.equal("slice(2, nil, nil)", tostring(class.slice(2.0)))
    refuses("to 'indices'", function() class.slice(1):indices(-1) end)
    refuses("to 'indices'", function() class.slice(1):indices() end)
    refuses("to 'indices'", function() class.slice(1):indices(1.5) end)
  end)
end)

describe("iter", function()
  -- The documented example: something to loop over.
  it("loops over what __iter gives", function()
    local Countdown = class("Countdown", {
      __init = function(self, from) self.from = from end,
      __iter = function(self)
        return coroutine.wrap(function()
          for i = self.from, 1, -1 do coroutine.yield(i) end
        end)
      end,
    })
    assert.same({3, 2, 1}, collect(class.iter(Countdown(3))))
    assert.same({2, 1}, collect(pairs(Countdown(2))))
    local Squares = class("Squares", {__iter = function(self)
      return function(_, i)
        if i < self.n then return i + 1, (i + 1) ^ 2 end
      end, nil, 0
    end})
    local s = Squares()
    s.n = 3
    local sum = 0
    for i, square in class.iter(s) do sum = sum + i * square end
    assert.equal(36, sum)
  end)

  it("loops over items from 1 to the first nil", function()
    local A = class("A", {__getitem = function(_, i)
      return i <= 3 and i * 10 or nil
    end})
    assert.same({10, 20, 30}, collect(class.iter(A())))
  end)

  it("loops over plain tables as pairs, and with functions", function()
    assert.equal("a b", keys {a = 1, b = 2})
    local got = {}
    for k, v in class.iter {x = 1, y = 2} do got[k] = v end
    assert.same({x = 1, y = 2}, got)
    local proxy = setmetatable({}, {__pairs = function() return next, {7} end})
    assert.same({1}, collect(class.iter(proxy)))
    assert.same({"a", "b"}, collect(class.iter(("a b"):gmatch("%a"))))
  end)

  it("loops over a class where its metaclass says how", function()
    local Enum = class("Enum", class.type, {
      __iter = function(cls) return ipairs(cls.order) end,
    })
    local Colour = class("Colour", {__metaclass = Enum, order = {"r", "g"}})
    assert.same({1, 2}, collect(class.iter(Colour)))
    assert.same({1, 2}, collect(pairs(Colour)))
  end)

  it("refuses everything else", function()
    refuses("bad argument #1 to 'iter' (iterable expected, got A)",
      function() class.iter(class("A")()) end)
    refuses("(iterable expected, got class 'A')",
      function() class.iter(class("A")) end)
    refuses("(iterable expected, got number)", function() class.iter(5) end)
    refuses("(iterable expected, got nil)", function() class.iter(nil) end)
  end)
end)

describe("delattr", function()
  it("deletes fields, of instances and of classes", function()
    local A = class("A", {x = 1})
    local a = A()
    a.x, a.y = 2, 3
    class.delattr(a, "x")
    class.delattr(a, "y")
    assert.equal(1, a.x)
    assert.is_nil(a.y)
    class.delattr(A, "x")
    assert.is_nil(a.x)
    A.__p = 1
    class.delattr(A, "__p")
    assert.is_nil(A._A__p)
  end)

  it("refuses what is not there to be deleted", function()
    local A = class("A", {x = 1, p = property(function() end)})
    local B = class("B", A)
    refuses("A has no attribute 'y' to delete",
      function() class.delattr(A(), "y") end)
    refuses("A has no attribute 'x' to delete",
      function() class.delattr(A(), "x") end)
    refuses("can't delete 'p' of A: the property has no deleter",
      function() class.delattr(A(), "p") end)
    refuses("class 'B' has no attribute 'x' to delete",
      function() class.delattr(B, "x") end)
    refuses("can't delete '__name' of class 'A'",
      function() class.delattr(A, "__name") end)
    refuses("bad argument #1 to 'delattr' (object expected, got table)",
      function() class.delattr({}, "x") end)
    refuses("built-in class", function() class.delattr(property, "getter") end)
  end)
end)

describe("a metaclass", function()
  -- The documented example: a metaclass that watches instances being made.
  it("watches instances being made", function()
    local seen = {}
    local Watch = class("Watch", class.type)
    function Watch:__call(...)
      local obj = super(Watch, self):__call(...)
      seen[#seen + 1] = self.__name .. ":" .. obj.x
      return obj
    end
    local A = class("A", {
      __metaclass = Watch,
      __init = function(self, x) self.x = x end,
    })
    local B = class("B", A)
    assert.equal(1, A(1).x)
    assert.equal(B, class.type(B(2)))
    assert.same({"A:1", "B:2"}, seen)
    assert.equal(3, class.type.__call(A, 3).x)
    assert.equal(2, #seen)
    Watch.__call = nil
    A(4)
    assert.equal(2, #seen)
  end)

  it("may take part in making the class", function()
    local log = {}
    local Meta = class("Meta", class.type)
    function Meta.__new(mcs, name, bases, dict)
      assert.is_nil(bases.n)
      log[#log + 1] = ("new %s %s %d %d"):format(mcs.__name, name, #bases,
        dict.x)
      dict.added = name
      return super(Meta, mcs).__new(mcs, name, bases, dict)
    end
    function Meta:__init(name, bases, dict)
      log[#log + 1] = ("init %s %s %d %d"):format(self.__name, name, #bases,
        dict.x)
      self.later = true
    end
    local A = class("A", {__metaclass = Meta, x = 1})
    local B = class("B", A, {x = 2})
    assert.same({"new Meta A 0 1", "init A A 0 1", "new Meta B 1 2",
      "init B B 1 2"}, log)
    assert.equal("A", A.added)
    assert.equal("B", B().added)
    assert.is_true(A.later)
    assert.equal(debug.getinfo(1, "S").short_src, B.__module)
  end)

  it("is found by its classes' classes, and they by it", function()
    local Meta = class("Meta", class.type)
    local A = class("A", {__metaclass = Meta})
    local B = class("B", A)
    assert.equal(Meta, B.__class)
    assert.equal(Meta, class.type(B))
    assert.is_true(isinstance(B, Meta))
    assert.is_true(isinstance(B, class.type))
    assert.is_false(isinstance(B(), Meta))
    assert.is_nil(B.__metaclass)
    assert.equal("Meta type object", names(Meta.__mro))
  end)

  it("answers on the class with methods, values and properties", function()
    local Meta = class("Meta", class.type, {
      hello = function(cls) return "hello " .. cls.__name end,
      level = 1,
      size = property(
        function(cls) return cls._size or 0 end,
        function(cls, n) cls._size = n end,
        function(cls) cls._size = nil end),
      fixed = property(function() return "fixed" end),
    })
    local A = class("A", {__metaclass = Meta, level = 2, fixed = "static"})
    local B = class("B", A)
    assert.equal("hello B", B:hello())
    assert.equal(2, B.level)
    B.size = 5
    assert.equal("5 0", B.size .. " " .. A.size)
    B.size = nil
    assert.equal(0, B.size)
    assert.equal("fixed", A.fixed)
    assert.equal("static", A().fixed)
    refuses("can't set 'fixed' of class 'A': the property is read-only",
      function() A.fixed = 1 end)
    assert.is_nil(A().hello)
    assert.is_nil(A().size)
    function Meta.bye() return "bye" end
    assert.equal("bye", A:bye())
  end)

  it("may give its classes operators and a string", function()
    local Meta = class("Meta", class.type, {
      __str = function(cls) return "class " .. cls.__name end,
      __len = function() return 9 end,
      __lt = function(a, b) return issubclass(a, b) end,
    })
    local A = class("A", {__metaclass = Meta})
    local B = class("B", A)
    assert.equal("class B", tostring(B))
    assert.equal(9, #B)
    assert.is_true(B < A)
    Meta.__len = function() return 8 end
    assert.equal(8, #A)
  end)

  it("is the most derived of all that are asked for", function()
    local M = class("M", class.type)
    local N = class("N", M)
    local A = class("A", {__metaclass = M})
    local B = class("B", {__metaclass = N})
    assert.equal(N, class("C", A, B).__class)
    assert.equal(N, class("C", A, {__metaclass = N}).__class)
    assert.equal(N, class("C", B, {__metaclass = M}).__class)
    assert.equal(N, class.type("C", {A, B}, {}).__class)
    assert.equal(N, M("C", {A, B}, {}).__class)
  end)

  it("conflicts with one that is no relative, and says so", function()
    local M, N = class("M", class.type), class("N", class.type)
    local A = class("A", {__metaclass = M})
    local B = class("B", {__metaclass = N})
    refuses("class 'C': metaclass 'M' does not go with 'N', that of its base "
      .. "'B'", function() class("C", A, B) end)
    refuses("metaclass 'N' does not go with 'M'",
      function() class("C", A, {__metaclass = N}) end)
    refuses("__metaclass has to be a class derived from class.type, not class "
      .. "'A'", function() class("C", {__metaclass = A}) end)
    refuses("not function", function() class("C", {__metaclass = print}) end)
  end)

  it("is asked when type.__new meets it among the bases", function()
    local log = {}
    local Meta = class("Meta", class.type)
    function Meta.__new(mcs, name, bases, dict)
      log[#log + 1] = mcs.__name .. name
      return super(Meta, mcs).__new(mcs, name, bases, dict)
    end
    local bases = {class("A", {__metaclass = Meta})}
    local B = class.type.__new(class.type, "B", bases)
    assert.equal(Meta, B.__class)
    assert.same({"MetaA", "MetaB"}, log)
    bases[1] = nil
    assert.equal("A", B.__bases[1].__name)
  end)

  it("may answer with something else than a class", function()
    local Meta = class("Meta", class.type, {
      __new = function(_, name) return "no class " .. name end,
      __init = function() error("not for strings") end,
    })
    assert.equal("no class A", class("A", {__metaclass = Meta}))
  end)

  it("may have a metaclass", function()
    local log = {}
    local Top = class("Top", class.type)
    function Top:__call(name, ...)
      log[#log + 1] = name
      return super(Top, self):__call(name, ...)
    end
    local Meta = class("Meta", class.type, {__metaclass = Top})
    local A = class("A", {__metaclass = Meta})
    local B = class("B", A)
    assert.equal(Top, class.type(class.type(B)))
    assert.same({"A", "B"}, log)
    assert.equal(A, class.type(A()))
  end)
end)

describe("type", function()
  it("tells the class of an object", function()
    local A = class("A")
    assert.equal(A, class.type(A()))
    assert.equal(class.type, class.type(A))
    assert.equal(class.type, class.type(class.type))
    assert.equal(class.type, class.type(class.object))
    assert.is_nil(class.type("string"))
    assert.is_true(isinstance(class.object, class.type))
    assert.is_true(isinstance(class.type, class.object))
  end)

  -- The documented example: a class made without the statement for it.
  it("makes a class of name, bases and members", function()
    local Animal = class("Animal", {
      __init = function(self, name) self.name = name end,
    })
    local members = {
      legs = 4,
      speak = function(self) return self.name .. " says meow" end,
      kind = class.classmethod(function(cls) return cls.__name end),
      rule = class.staticmethod(function() return "sleep" end),
    }
    local Cat = class.type("Cat", {Animal}, members)
    members.legs = 3
    local cat = Cat("Tom")
    assert.equal("Tom says meow", cat:speak())
    assert.equal("Cat 4 sleep", Cat:kind() .. " " .. cat.legs .. " "
      .. Cat.rule())
    assert.is_true(issubclass(Cat, Animal))
    assert.equal(debug.getinfo(1, "S").short_src, Cat.__module)
    assert.equal("E object", names(class.type("E", {}).__mro))
  end)

  it("refuses wrong arguments", function()
    refuses("bad argument #1 to 'type' (string expected, got number)",
      function() class.type(1, {}, {}) end)
    refuses("bad argument #2 to 'type' (list of classes expected, got string)",
      function() class.type("A", "B") end)
    refuses("bad argument #2 to 'type' (class expected, got number)",
      function() class.type("A", {1}, {}) end)
    refuses("bad argument #2 to 'type' (list of classes expected, got class",
      function() class.type("A", class("B"), {}) end)
    refuses("bad argument #3 to 'type' (table expected, got number)",
      function() class.type("A", {}, 1) end)
    local A = class("A")
    refuses("bad argument #2 to 'type' (duplicate base class 'A')",
      function() class.type("B", {A, A}, {}) end)
    refuses("to 'type'", function() class.type() end)
    refuses("bad argument #1 to '__new' (metaclass expected, got class",
      function() class.type.__new(class.object, "A", {}, {}) end)
    refuses("bad argument #2 to '__new' (string expected, got nil)",
      function() class.type.__new(class.type, nil, {}, {}) end)
    refuses("bad argument #3 to '__new' (list of classes expected, got A)",
      function() class.type.__new(class.type, "B", A(), {}) end)
    refuses("bad argument #3 to '__new' (class expected, got number)",
      function() class.type.__new(class.type, "B", {1}, {}) end)
    refuses("bad argument #4 to '__new' (table expected, got number)",
      function() class.type.__new(class.type, "B", {}, 1) end)
    refuses("bad argument #1 to '__call' (class expected, got nil)",
      function() class.type.__call() end)
    refuses("bad argument #1 to 'metatable' (class expected, got table)",
      function() class.metatable({}) end)
  end)
end)

describe("a native class", function()
  local log

  -- As C would do it: instances are userdata made by __new.
  local function native(body)
    local mine = {}
    log, body = mine, body or {}
    body.__native = body.__native or {
      gc = function() mine[#mine + 1] = "gc" end,
      close = function() mine[#mine + 1] = "close" end,
    }
    body.__new = body.__new or function(cls)
      return core.blank(class.metatable(cls))
    end
    return class("Native", body)
  end

  local function sealed()
    local N = native {
      __slots = {},
      hello = function(self) return "hello " .. self.__class.__name end,
      p = property(function() return "p" end),
    }
    return N, N()
  end

  it("has userdata for instances, with methods and properties", function()
    local N, n = sealed()
    assert.equal("userdata", type(n))
    assert.equal(N, class.type(n))
    assert.is_true(isinstance(n, N))
    assert.equal(class.metatable(N), debug.getmetatable(n))
    assert.equal("hello Native", n:hello())
    assert.equal("p", n.p)
    assert.is_nil(n.unknown)
    assert.truthy(tostring(n):match("^<Native object: 0x%x+>$"))
    refuses("Native has no property 'timeuot'", function() n.timeuot = 1 end)
    refuses("can't set 'p' of Native: the property is read-only",
      function() n.p = 1 end)
    refuses("private to its class", function() n.__x = 1 end)
    refuses("got Native)", function() n.hello(io.write(n)) end)
  end)

  it("has an __init that may refuse, with nil and an error", function()
    local N = native {
      __init = function(_, ...) return ... end,
    }
    local Sub = class("Sub", N, {})
    for _, cls in ipairs {N, Sub} do
      local results = table.pack(cls(nil, "why", "more"))
      assert.equal(2, results.n)
      assert.is_nil(results[1])
      assert.equal("why", results[2])
      for _, given in ipairs {{}, {true}, {nil}, {false, "x"}, {1, "x"}} do
        results = table.pack(cls(table.unpack(given, 1, 2)))
        assert.equal(1, results.n)
        assert.equal(cls, class.type(results[1]))
      end
    end
    local Table = class("Table", {
      __new = function(cls) return class.object.__new(cls) end,
      __init = function() return nil, "ignored" end,
    })
    assert.equal(Table, class.type(Table()))
  end)

  it("has sub-classes of userdata with fields", function()
    local N = sealed()
    local Sub = class("Sub", N, {
      static = 1,
      __init = function(self, x) self.x, self.__y = x, 2 * x end,
      y = function(self) return self.__y end,
    })
    local a, b = Sub(1), Sub(2)
    assert.equal("userdata", type(a))
    assert.equal("1 2", a.x .. " " .. b.x)
    assert.equal("2 4", a:y() .. " " .. b:y())
    assert.equal("hello Sub", a:hello())
    assert.equal("p", a.p)
    assert.equal(1, a.static)
    assert.is_nil(a.unknown)
    assert.is_nil(a.__y)
    a.static, a.x = 3, nil
    assert.equal("3 1", a.static .. " " .. b.static)
    assert.is_nil(a.x)
    a.hello = function() return "own" end
    assert.equal("own", a:hello())
    a.hello = nil
    assert.equal("hello Sub", a:hello())
    refuses("read-only", function() a.p = 1 end)
  end)

  it("takes mix-ins written in Lua, before it and after", function()
    local N = sealed()
    local Mixin = class("Mixin", {
      __init = function(self, v) self.mixed = v end,
      hello = function(self)
        return "mixed " .. super(self.Mixin, self):hello()
      end,
    })
    Mixin.Mixin = Mixin
    local Before = class("Before", Mixin, N)
    local b = Before("in")
    assert.equal("userdata", type(b))
    assert.equal("in", b.mixed)
    assert.equal("mixed hello Before", b:hello())
    local After = class("After", N, Mixin)
    assert.equal("hello After", After("x"):hello())
    assert.equal("x", After("x").mixed)
    assert.equal("table", type(Mixin()))
  end)

  it("lets a property win over a field, whenever it comes", function()
    local Sub = class("Sub", (sealed()))
    local s = Sub()
    s.q = "field"
    s.__dict.p = "field"
    assert.equal("field", s.q)
    Sub.q = property(function() return "property" end)
    assert.equal("property", s.q)
    assert.equal("p", s.p)
    refuses("read-only", function() s.q = 1 end)
    assert.equal("p q", keys(s.__dict))
    assert.equal("field", s.__dict.q)
    local none = property(function() return nil end)
    Sub.q, Sub.__getitem = none, function() return "item" end
    assert.is_nil(s.q)
  end)

  it("shows the fields in __dict", function()
    local N, n = sealed()
    local s = class("Sub", N)()
    local d = s.__dict
    assert.equal("", keys(d))
    assert.equal(0, #d)
    assert.is_nil(d.x)
    d.x = 1
    assert.equal(1, s.x)
    s.__class().__dict.y = nil
    assert.is_nil(N.__native)
    s.x = nil
    assert.equal("", keys(d))
    refuses("Native has no property 'x'", function() n.__dict.x = 1 end)
    class.delattr(s, "x", pcall(function() s.x = 1 end))
    assert.is_nil(s.x)
    refuses("no attribute 'x'", function() class.delattr(s, "x") end)
  end)

  it("has items, which __init does not see", function()
    local Box = class("Box", (sealed()), {
      __init = function(self) self.items = {} end,
      __getitem = function(self, key) return self.items[key] end,
      __setitem = function(self, key, value) self.items[key] = value end,
    })
    local box = Box()
    box.x = 1
    assert.equal(1, box.items.x)
    assert.equal(1, box.x)
    box.x = nil
    assert.is_nil(box.items.x)
    box.items = {y = 2}
    assert.equal(2, box.y)
    assert.equal("hello Box", box:hello())
    assert.equal("items", keys(box.__dict))
  end)

  it("finalizes what it made, after the user's own finalizers", function()
    local N = native()
    local function finalized(cls, close)
      for i in ipairs(log) do log[i] = nil end
      if close then
        pcall(function() local _obj <close> = cls() error("err", 0) end)
      else
        cls()
      end
      collectgarbage()
      return table.concat(log, " ")
    end
    local function note(what)
      return function(_, err) table.insert(log, what .. tostring(err)) end
    end
    assert.equal("gc", finalized(N))
    assert.equal("close gc", finalized(N, true))
    local Del = class("Del", N, {__del = note "del "})
    assert.equal("del nil gc", finalized(Del))
    assert.equal("del nil close gc", finalized(Del, true))
    local Close = class("Close", N, {__close = note "user "})
    assert.equal("gc", finalized(Close))
    assert.equal("user err close gc", finalized(Close, true))
    local Gc = class("Gc", Close, {__gc = note "user "})
    assert.equal("user nil gc", finalized(Gc))
    assert.equal("user err close user nil gc", finalized(Gc, true))
  end)

  it("finalizes also when the user's finalizer fails", function()
    local Sub = class("Sub", native(), {__del = function() error("bad", 0) end})
    local ok, err = pcall(function() local _s <close> = Sub() end)
    assert.is_false(ok)
    assert.equal("bad", err)
    collectgarbage()
    assert.same({"close", "gc"}, log)
    warn("@off")
    Sub()
    collectgarbage()
    assert.same({"close", "gc", "gc"}, log)
  end)

  it("closes by gc where there is no close", function()
    local n = 0
    local N = native {__native = {gc = function() n = n + 1 end}}
    do local _n <close> = N() end
    assert.equal(1, n)
  end)

  it("wants a __new that makes userdata with room for fields", function()
    local Bare = class("Bare", {__native = {}})
    refuses("object.__new(Bare): its instances are userdata",
      function() Bare() end)
    local Own = class("Own", (sealed()), {
      __new = function(cls) return class.object.__new(cls) end})
    assert.error_matches(Own, "object.__new%(Own%)")
  end)

  it("refuses fields where a userdata has no room for them", function()
    local Sub = class("Sub", (native {__native = {}}), {
      __new = function(cls)
        local file = io.tmpfile()
        file:close()
        return debug.setmetatable(file, class.metatable(cls))
      end,
    })
    local s = Sub()
    assert.is_nil(s.x)
    s.x = nil
    refuses("an instance of Sub has no room for fields", function() s.x = 1 end)
    refuses("an instance of Sub has no room", function() s.x = 1 end)
    assert.equal("", keys(s.__dict))
  end)

  it("goes with one native base, not with two", function()
    local A, B = native(), native()
    refuses("class 'C': its instances can't be of two native kinds",
      function() class("C", A, B) end)
    refuses("two native kinds", function() class("C", A, {__native = {}}) end)
    local C = class("C", class("A1", A), class("A2", A))
    assert.equal("userdata", type(C()))
    refuses("__native has to be a table",
      function() class("C", {__native = true}) end)
  end)

  it("may have another finalizer than its base, or none", function()
    local tag = io.stdout -- any value will do where no C function asks
    local function kind(gc) return {tag = tag, gc = gc} end
    local A = native {__native = kind(function() log[#log + 1] = "a" end)}
    local B = class("B", A, {__native = kind(nil)})
    local C = class("C", A, {
      __native = kind(function() log[#log + 1] = "c" end),
    })
    local D = class("D", B, {__del = function() log[#log + 1] = "d" end})
    for _, cls in ipairs {A, B, C, D} do
      assert.is_true(class.isinstance(cls(), A))
      collectgarbage()
    end
    assert.same({"a", "c", "d"}, log)
  end)

  it("keeps its classes alive by instances, and no longer", function()
    local gone = setmetatable({}, {__mode = "k"})
    do
      local s
      do
        local Sub = class("Sub", native())
        gone[Sub], s = true, Sub()
        s.cycle = s
      end
      collectgarbage()
      assert.equal("Sub", s.__class.__name)
    end
    for _ = 1, 3 do collectgarbage() end
    assert.is_nil(next(gone))
    assert.same({"gc"}, log)
  end)
end)

describe("the object model and coroutines", function()
  -- Runs f in a coroutine and answers every yield with what it yielded + 1.
  local function drive(f)
    local co = coroutine.create(f)
    local ok, value = coroutine.resume(co)
    while ok and coroutine.status(co) ~= "dead" do
      ok, value = coroutine.resume(co, value + 1)
    end
    return assert(ok and value, value)
  end

  local ask = coroutine.yield

  it("yield in properties, items, constructors and calls", function()
    local A = class("A", {
      __new = function(cls, n)
        local obj = class.object.__new(cls)
        obj.new = ask(n)
        return obj
      end,
      __init = function(self, n) self.init = ask(n + 10) end,
      p = property(
        function(self) return ask(self.init) end,
        function(self, v) self.init = ask(v) end,
        function(self) self.init = ask(100) end),
      __getitem = function(_, key) return ask(key) end,
      __setitem = function(self, key, value) self.init = ask(key + value) end,
      __delitem = function(self, key) self.init = ask(-key) end,
      __call = function(_, n) return ask(n) end,
      __iter = function() return function(_, i) return ask(i) end, nil, 0 end,
      method = function(_, n) return ask(n) end,
      cm = class.classmethod(function(_, n) return ask(n) end),
    })
    local B = class("B", A)
    function B:method(n) return super(B, self):method(n) + super(B, self).p end
    local function get(f) return drive(function() return f(B(1)) end) end
    assert.equal(2, get(function(b) return b.new end))
    assert.equal(12, get(function(b) return b.init end))
    assert.equal(13, get(function(b) return b.p end))
    assert.equal(6, get(function(b) b.p = 5 return b.init end))
    assert.equal(101, get(function(b) b.p = nil return b.init end))
    assert.equal(8, get(function(b) return b[7] end))
    assert.equal(10, get(function(b) b[7] = 2 return b.init end))
    assert.equal(-6, get(function(b) b[7] = nil return b.init end))
    assert.equal(4, get(function(b) return b(3) end))
    assert.equal(4 + 13, get(function(b) return b:method(3) end))
    assert.equal(4, get(function(b) return b:cm(3) end))
    assert.equal(3, get(function(b)
      for i in class.iter(b) do if i == 3 then return i end end
    end))
    assert.equal("init new", get(function(b) return keys(b.__dict) end))
  end)

  it("yield in plain constructors, metaclasses and on userdata", function()
    local Plain = class("Plain", {__init = function(self, n)
      self.x = ask(n)
    end})
    assert.equal(2, drive(function() return Plain(1).x end))
    local Meta = class("Meta", class.type)
    function Meta:__call(n) return super(Meta, self):__call(ask(n)) end
    Meta.p = property(function() return ask(1) end,
      function(cls, v) cls.q = ask(v) end)
    local A = class("A", Plain, {__metaclass = Meta})
    assert.equal(3, drive(function() return A(1).x end))
    assert.equal(2, drive(function() return A.p end))
    assert.equal(4, drive(function() A.p = 3 return A.q end))
    local N = class("N", {
      __native = {},
      __new = function(cls)
        return core.blank(class.metatable(cls)), ask(0)
      end,
      __init = function(self) self.x = ask(1) end,
      p = property(function(self) return ask(self.x) end),
    })
    assert.equal(3, drive(function() return N().p end))
  end)
end)

describe("the object model under the collector", function()
  it("holds with collections at every step", function()
    local pause, mul = collectgarbage("setpause", 0),
      collectgarbage("setstepmul", 1000)
    local made = 0
    for round = 1, 20 do
      local Meta = class("Meta", class.type)
      function Meta:__call(...)
        made = made + 1
        return super(Meta, self):__call(...)
      end
      local A = class("A", {
        __metaclass = Meta,
        __init = function(self, n) self.n, self.__p = n, {n} end,
        p = property(function(self) return self.__p[1] end),
        __del = function() end,
        __getitem = function(_, key) return key end,
      })
      local B = class("B", A, {q = round})
      function B:m() return super(B, self).p + self.q end
      for i = 1, 20 do
        local b = B(i)
        assert.equal(i + round, b:m())
        assert.equal("k" .. i, b["k" .. i])
        A.later = function() return i end
        assert.equal(i, b:later())
      end
    end
    collectgarbage("setpause", pause)
    collectgarbage("setstepmul", mul)
    assert.equal(400, made)
  end)

  it("gives back all it takes", function()
    local function work()
      for i = 1, 50 do
        local A = class("A" .. i, {
          __init = function(self) self.__x = 1 end,
          p = property(function(self) return self.__x end),
          c = class.classmethod(function(cls) return cls end),
        })
        local a = class("B", A)()
        local _ = {a.p, a:c(), super(A, a).p, a.__dict.x}
        a.__dict.p = 1
      end
      collectgarbage()
      collectgarbage()
      return collectgarbage("count")
    end
    work()
    local before = work()
    for _ = 1, 5 do work() end
    assert.is_true(work() - before < 20, "memory grows")
  end)
end)
