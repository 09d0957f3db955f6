-- coroutine: csock.coroutine beside Lua's own library: the same results where
-- nothing waits, and waits that pass through to the loop where something does.
-- Not here: what a wait inside Lua's own coroutines does (loop_spec).

local helper = require "spec.helper"
local csock = require "csock"
local loop = require "csock.loop"
local theirs = coroutine
local ours = require "csock.coroutine"
local closing, pair, until_waiting =
  helper.closing, helper.pair, helper.until_waiting
local failure = helper.failure

-- Tools -------------------------------------------------------------------

local function is_a(class, err)
  assert.is_true(csock.isinstance(err, class), tostring(err))
end

-- Long enough to be noticed: a test that really waits for it fails.
local function for_ever() loop.sleep(1000) end

-- Values as text; threads and functions, which differ each time, by type.
local function shown(...)
  local list = table.pack(...)
  for i = 1, list.n do
    local value = list[i]
    local kind = type(value)
    list[i] = (kind == "thread" or kind == "function") and kind or
      tostring(value)
  end
  return table.concat(list, ", ")
end

-- The same as Lua's own ---------------------------------------------------

-- Each takes a coroutine library and tells what came of using it.
local object = setmetatable({}, {__tostring = function() return "object" end})
local uses = {}

uses["values go both ways"] = function(co)
  local thread = co.create(function(...)
    local n = select("#", ...)
    local c, d = co.yield(n, ...)
    return "end", c, d, nil
  end)
  return shown(co.resume(thread, 1, nil)), shown(co.resume(thread, "c", "d"))
end

uses["values go both ways through wrap"] = function(co)
  local f = co.wrap(function(...)
    local c = co.yield(select("#", ...), ...)
    return "end", c, nil
  end)
  return shown(f(nil, nil)), shown(f("c"))
end

uses["many values go both ways"] = function(co)
  local many = {}
  for i = 1, 3000 do many[i] = i end
  local f = co.wrap(function(...) return co.yield(...) end)
  local there = select("#", f(table.unpack(many)))
  return there, select("#", f(table.unpack(many)))
end

uses["nothing goes both ways"] = function(co)
  local thread = co.create(function(...) return co.yield(...) end)
  return shown(co.resume(thread)), shown(co.resume(thread))
end

uses["a dead one is refused"] = function(co)
  local thread = co.create(function() end)
  co.resume(thread)
  return shown(co.resume(thread)), shown(co.resume(thread, 1, 2))
end

uses["one that has failed is refused"] = function(co)
  local thread = co.create(function() error "no" end)
  return shown(co.resume(thread)), shown(co.resume(thread))
end

uses["one that runs is refused"] = function(co)
  local thread
  thread = co.create(function() return co.resume(thread) end)
  return shown(co.resume(thread))
end

uses["one that waits for an inner one is refused"] = function(co)
  local thread
  thread = co.create(function()
    return co.resume(co.create(function() return co.resume(thread, 1) end))
  end)
  return shown(co.resume(thread))
end

uses["the main one is refused"] = function(co)
  return shown(co.resume((co.running()))), shown(co.status((co.running())))
end

uses["a dead wrapped one is refused"] = function(co)
  local f = co.wrap(function() end)
  f()
  return shown(pcall(f))
end

uses["a wrapped one that runs is refused"] = function(co)
  local f
  f = co.wrap(function() return pcall(f) end)
  return shown(f())
end

uses["an error is a result of resume"] = function(co)
  return shown(co.resume(co.create(function() error "no" end)))
end

uses["an error without position is a result of resume"] = function(co)
  return shown(co.resume(co.create(error), "no", 0))
end

uses["an error of nil is a result of resume"] = function(co)
  return shown(co.resume(co.create(error)))
end

uses["an error object is a result of resume"] = function(co)
  local _, err = co.resume(co.create(function() error(object) end))
  return rawequal(err, object)
end

uses["an error leaves wrap with a position in front"] = function(co)
  local f = co.wrap(function() error "no" end)
  return shown(pcall(function()
    f()
  end))
end

uses["an error leaves a wrap in a wrap with each position"] = function(co)
  local f = co.wrap(function()
    local g = co.wrap(function()
      error "no"
    end)
    g()
  end)
  return shown(pcall(function()
    f()
  end))
end

uses["an error object leaves wrap as it is"] = function(co)
  local ok, err = pcall(co.wrap(function() error(object) end))
  return ok, rawequal(err, object)
end

uses["an error of nil leaves wrap as it is"] = function(co)
  return shown(pcall(co.wrap(error)))
end

uses["an error after a yield leaves wrap"] = function(co)
  local f = co.wrap(function()
    co.yield(1)
    error "no"
  end)
  return f(), shown(pcall(f)), shown(pcall(f))
end

uses["a wrap that fails closes its variables"] = function(co)
  local log = {}
  local f = co.wrap(function()
    local _guard <close> = closing(function(_, err) log[1] = tostring(err) end)
    error("no", 0)
  end)
  return shown(pcall(f)), log[1]
end

uses["a wrap whose variable fails to close raises that"] = function(co)
  local f = co.wrap(function()
    local _guard <close> = closing(function() error("second", 0) end)
    error("first", 0)
  end)
  return shown(pcall(f))
end

uses["a resume that fails leaves its variables open"] = function(co)
  local log = {}
  local thread = co.create(function()
    local _guard <close> = closing(function() log[1] = "closed" end)
    error("no", 0)
  end)
  return shown(co.resume(thread)), log[1], shown(co.close(thread)), log[1]
end

uses["status tells all four states"] = function(co)
  local outer, inner
  local list = {}
  inner = co.create(function()
    list[#list + 1] = co.status(inner)
    list[#list + 1] = co.status(outer)
    co.yield()
  end)
  outer = co.create(function() co.resume(inner) end)
  list[#list + 1] = co.status(outer)
  co.resume(outer)
  list[#list + 1] = co.status(outer)
  list[#list + 1] = co.status(inner)
  return table.concat(list, " ")
end

uses["close ends one that is suspended"] = function(co)
  local log = {}
  local thread = co.create(function()
    local _guard <close> = closing(function() log[1] = "closed" end)
    co.yield()
  end)
  co.resume(thread)
  return shown(co.close(thread)), log[1], co.status(thread)
end

uses["close ends one that has not begun"] = function(co)
  local thread = co.create(function() end)
  return shown(co.close(thread)), co.status(thread), shown(co.resume(thread))
end

uses["close tells the error of a variable"] = function(co)
  local thread = co.create(function()
    local _guard <close> = closing(function() error("no", 0) end)
    co.yield()
  end)
  co.resume(thread)
  return shown(co.close(thread)), shown(co.close(thread))
end

uses["close refuses one that runs"] = function(co)
  return shown(co.resume(co.create(function()
    return co.close((co.running()))
  end)))
end

uses["isyieldable says where one is"] = function(co)
  return co.wrap(function() return co.isyieldable() end)(),
    co.isyieldable(co.create(print))
end

uses["running says which one"] = function(co)
  local thread
  thread = co.create(function()
    local running, main = co.running()
    return running == thread, main
  end)
  return shown(co.resume(thread))
end

uses["bad arguments are refused"] = function(co)
  local text = shown(pcall(co.resume)) .. shown(pcall(co.resume, 1)) ..
    shown(pcall(co.resume, {})) .. shown(pcall(co.wrap)) ..
    shown(pcall(co.wrap, 1)) .. shown(pcall(co.wrap, object)) ..
    shown(pcall(co.create, "x")) .. shown(pcall(co.status)) ..
    shown(pcall(co.close, nil))
  -- what releases of Lua call it, and where the function was found
  return (text:gsub("thread expected", "coroutine expected")
    :gsub("'[%w.]*coroutine%.", "'"))
end

uses["a C function is as good as another"] = function(co)
  return co.wrap(math.max)(1, 3, 2), shown(co.resume(co.create(select), "#"))
end

uses["a yield passes pcall"] = function(co)
  local f = co.wrap(function()
    local results = shown(pcall(function()
      co.yield "inside"
      error("no", 0)
    end))
    return results
  end)
  return f(), f()
end

uses["a yield passes a metamethod"] = function(co)
  local number = setmetatable({}, {__add = function(_, n)
    return co.yield(n)
  end})
  local f = co.wrap(function() return number + 5 end)
  return f(), f "sum"
end

uses["a yield does not pass a C function"] = function(co)
  return shown(co.resume(co.create(function()
    table.sort({3, 2, 1}, function() co.yield() end)
  end)))
end

uses["a generator serves a for loop"] = function(co)
  local sum = 0
  for i in co.wrap(function() for i = 1, 10 do co.yield(i) end end) do
    sum = sum + i
  end
  return sum
end

uses["generators of generators serve a for loop"] = function(co)
  local function count(n)
    return co.wrap(function() for i = 1, n do co.yield(i) end end)
  end
  local function double(generator)
    return co.wrap(function()
      for i in generator do
        co.yield(i)
        co.yield(i)
      end
    end)
  end
  local list = {}
  for i in double(double(count(3))) do list[#list + 1] = i end
  return table.concat(list)
end

uses["two take turns"] = function(co)
  local log = {}
  local function player(name)
    return co.wrap(function()
      for i = 1, 3 do
        log[#log + 1] = name .. i
        co.yield()
      end
    end)
  end
  local a, b = player "a", player "b"
  for _ = 1, 3 do
    a()
    b()
  end
  return table.concat(log, " ")
end

uses["too deep a nesting is an error"] = function(co)
  local function nest(n)
    local _, result = co.resume(co.create(nest), n + 1)
    return result
  end
  return tostring(nest(1)):match "C stack overflow"
end

uses["one made by the other library can be used"] = function(co)
  local other = co == ours and theirs or ours
  local thread = other.create(function(x) return other.yield(x) end)
  local f = other.wrap(function(x) return co.yield(x) end)
  return shown(co.resume(thread, 1)), shown(co.resume(thread, 2)), f(3), f(4)
end

local names = {}
for name in pairs(uses) do names[#names + 1] = name end
table.sort(names)

describe("csock.coroutine", function()
  it("has the functions of Lua's coroutine library, and no others", function()
    local function keys(library)
      local list = {}
      for key in pairs(library) do list[#list + 1] = key end
      table.sort(list)
      return list
    end
    assert.are.same(keys(theirs), keys(ours))
  end)

  it("leaves Lua's own library alone", function()
    assert.are_not.equal(theirs.resume, ours.resume)
    assert.are.equal(theirs, package.loaded.coroutine)
    assert.matches("builtin", debug.getinfo(theirs.resume, "S").source ==
      "=[C]" and "builtin" or "replaced")
  end)

  for _, name in ipairs(names) do
    local use = uses[name]
    it("as in Lua: " .. name, function()
      assert.are.equal(shown(use(theirs)), shown(use(ours)))
    end)
  end

  -- "the main one" is another one in a task
  for _, name in ipairs(names) do
    local use = uses[name]
    it("as in Lua, inside a task: " .. name, function()
      loop.run(function()
        assert.are.equal(shown(use(theirs)), shown(use(ours)))
      end)
    end)
  end
end)

-- Waits -------------------------------------------------------------------

describe("a wait inside csock.coroutine", function()
  it("lets other tasks run", function()
    loop.run(function()
      local turns = 0
      loop.spawn(function()
        while true do
          turns = turns + 1
          loop.sleep(0)
        end
      end)
      ours.wrap(function() loop.sleep(0.005) end)()
      assert.is_true(turns > 1)
    end)
  end)

  it("outside of tasks waits in the system", function()
    local _both <close>, a, b = pair()
    b:send "x"
    local f = ours.wrap(function()
      loop.sleep(0.001)
      ours.yield "slept"
      return a:recv(1)
    end)
    assert.are.equal("slept", f())
    assert.are.equal("x", f())
  end)

  it("gives nothing to the resumer", function()
    loop.run(function()
      local thread = ours.create(function() loop.sleep(0.001) end)
      assert.are.equal("true", shown(ours.resume(thread)))
      assert.are.equal("dead", ours.status(thread))
    end)
  end)

  it("is not disturbed by values that go both ways", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local thread = ours.create(function(...)
        local first = {n = select("#", ...), ...}
        loop.sleep(0)
        local second = table.pack(ours.yield(first.n, ...))
        local data = a:recv(10)
        local third = table.pack(ours.yield(second.n, data))
        loop.sleep(0)
        return third[1], nil
      end)
      assert.are.equal("true, 2, 1, nil", shown(ours.resume(thread, 1, nil)))
      loop.spawn(b.send, b, "data")
      assert.are.equal("true, 3, data", shown(ours.resume(thread, nil, 2, nil)))
      assert.are.equal("true, last, nil", shown(ours.resume(thread, "last")))
      assert.are.equal("dead", ours.status(thread))
    end)
  end)

  it("passes through three of them", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local log = {}
      local function note(value) log[#log + 1] = value end
      local f = ours.wrap(function()
        local g = ours.wrap(function()
          local h = ours.wrap(function()
            note(a:recv(1))
            ours.yield "h"
            loop.sleep(0.001)
            note(a:recv(1))
            return "end of h"
          end)
          note(h())
          loop.sleep(0)
          ours.yield "g"
          note(h())
          return "end of g"
        end)
        note(g())
        ours.yield "f"
        loop.sleep(0)
        note(g())
        return "end of f"
      end)
      loop.spawn(function()
        b:send "1"
        loop.sleep(0.003)
        b:send "2"
      end)
      note(f())
      note(f())
      assert.are.equal("1 h g f 2 end of h end of g end of f",
        table.concat(log, " "))
    end)
  end)

  it("passes through a hundred of them", function()
    loop.run(function()
      local function nest(n)
        if n == 0 then
          loop.sleep(0.001)
          return "deep"
        end
        return ours.wrap(nest)(n - 1)
      end
      assert.are.equal("deep", nest(100))
    end)
  end)

  it("passes pcall on its way", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      loop.spawn(b.send, b, "x")
      local f = ours.wrap(function() return pcall(a.recv, a, 1) end)
      assert.are.equal("true, x", shown(f()))
    end)
  end)

  it("passes a metamethod on its way", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      loop.spawn(b.send, b, "x")
      local lazy = setmetatable({}, {__index = function()
        return a:recv(1)
      end})
      local f = ours.wrap(function() return lazy.data end)
      assert.are.equal("x", f())
    end)
  end)

  it("serves a for loop with a generator over a socket", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local function lines(sock)
        return ours.wrap(function()
          local rest = ""
          while true do
            local line, after = rest:match "^(.-)\n(.*)$"
            if line then
              rest = after
              ours.yield(line)
            else
              local data = sock:recv(4)
              if data == "" then return end
              rest = rest .. data
            end
          end
        end)
      end
      loop.spawn(function()
        for _, piece in ipairs {"one\ntw", "o", "\n", "three\nfour"} do
          b:send(piece)
          loop.sleep(0)
        end
        b:close()
      end)
      local list = {}
      for line in lines(a) do list[#list + 1] = line end
      assert.are.same({"one", "two", "three"}, list)
    end)
  end)

  it("lets two tasks have generators of their own", function()
    local _first <close>, a, b = pair()
    local _second <close>, c, d = pair()
    loop.run(function()
      local function read(sock)
        local list = {}
        for byte in ours.wrap(function()
          repeat
            local data = sock:recv(1)
            if data ~= "" then ours.yield(data) end
          until data == ""
        end) do
          list[#list + 1] = byte
        end
        return table.concat(list)
      end
      local first, second = loop.spawn(read, a), loop.spawn(read, c)
      for _ = 1, 3 do
        b:send "b"
        loop.sleep(0)
        d:send "d"
        loop.sleep(0)
      end
      b:close()
      d:close()
      assert.are.equal("bbb", first:join())
      assert.are.equal("ddd", second:join())
    end)
  end)

  it("can be a join", function()
    loop.run(function()
      local task = loop.spawn(function()
        loop.sleep(0.001)
        return "joined"
      end)
      assert.are.equal("joined", ours.wrap(function()
        return task:join()
      end)())
    end)
  end)

  it("can be the turn that a busy task gives away", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local turns, rounds = 0, 0
      local busy = loop.spawn(ours.wrap(function()
        while turns < 3 and rounds < 100000 do
          a:send "x"
          b:recv(1)
          rounds = rounds + 1
        end
      end))
      for _ = 1, 3 do
        loop.sleep(0)
        turns = turns + 1
      end
      busy:join()
      assert.is_true(rounds < 100000, "the other one was starved")
    end)
  end)

  it("leaves the outer one's waits alone", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local f = ours.wrap(function()
        loop.sleep(0)
        ours.yield(1)
        loop.sleep(0)
      end)
      f()
      loop.spawn(b.send, b, "x")
      assert.are.equal("x", a:recv(1))
      f()
      loop.spawn(b.send, b, "y")
      assert.are.equal("y", a:recv(1))
    end)
  end)

  it("knows its task", function()
    loop.run(function()
      local task = loop.current()
      ours.wrap(function()
        assert.are.equal(task, loop.current())
        loop.sleep(0)
        assert.are.equal(task, loop.current())
      end)()
    end)
  end)

  it("changes nothing about running, status and isyieldable", function()
    loop.run(function()
      local outer = ours.running()
      local inner
      inner = ours.create(function()
        for _ = 1, 2 do
          assert.are.equal(inner, (ours.running()))
          assert.are.equal("running", ours.status(inner))
          assert.are.equal("normal", ours.status(outer))
          assert.is_true(ours.isyieldable())
          loop.sleep(0)
        end
        ours.yield()
      end)
      assert.are.equal("true", shown(ours.resume(inner)))
      assert.are.equal("suspended", ours.status(inner))
      assert.are.equal(outer, (ours.running()))
    end)
  end)

  it("can be followed by close", function()
    loop.run(function()
      local closed
      local thread = ours.create(function()
        local _guard <close> = closing(function() closed = true end)
        loop.sleep(0)
        ours.yield()
      end)
      ours.resume(thread)
      assert.is_true(ours.close(thread))
      assert.is_true(closed)
    end)
  end)

  it("can go on in another task, after a yield", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local f = ours.wrap(function()
        ours.yield(a:recv(1))
        return a:recv(1)
      end)
      b:send "1"
      assert.are.equal("1", loop.spawn(f):join())
      loop.spawn(b.send, b, "2")
      assert.are.equal("2", loop.spawn(f):join())
    end)
  end)

  it("can go on outside of tasks, after a yield", function()
    local _both <close>, a, b = pair()
    local f = ours.wrap(function()
      ours.yield(a:recv(1))
      return a:recv(1)
    end)
    b:send "12"
    assert.are.equal("1", loop.run(f))
    assert.are.equal("2", f())
  end)
end)

describe("an error after a wait inside csock.coroutine", function()
  it("is a result of resume", function()
    loop.run(function()
      local line = debug.getinfo(1, "l").currentline + 3
      local thread = ours.create(function()
        loop.sleep(0)
        error "no"
      end)
      local ok, err = ours.resume(thread)
      assert.is_false(ok)
      assert.matches(("coroutine_spec%%.lua:%d: no$"):format(line), err)
      assert.are.equal("dead", ours.status(thread))
    end)
  end)

  it("leaves wrap with a position in front", function()
    loop.run(function()
      local f = ours.wrap(function()
        loop.sleep(0)
        error "no"
      end)
      local line = debug.getinfo(1, "l").currentline + 2
      local err = failure(function()
        f()
      end)
      assert.matches(("^[%%w_/.]*coroutine_spec%%.lua:%d: .*:%d: no$"):format(
        line, line - 4), err)
    end)
  end)

  it("leaves wrap as the object it is", function()
    loop.run(function()
      local f = ours.wrap(function()
        loop.sleep(0)
        error(object)
      end)
      assert.are.equal(object, failure(f))
    end)
  end)

  it("closes the variables of a wrapped one", function()
    loop.run(function()
      local reason
      pcall(ours.wrap(function()
        local _guard <close> = closing(function(_, err) reason = err end)
        loop.sleep(0)
        error("no", 0)
      end))
      assert.are.equal("no", reason)
    end)
  end)

  it("of a socket names the line of the operation", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      loop.spawn(function() a:close() end)
      local line = debug.getinfo(1, "l").currentline + 2
      local thread = ours.create(function()
        a:recv(1)
      end)
      local ok, err = ours.resume(thread)
      assert.is_false(ok)
      assert.are.equal("EBADF", err.code)
      assert.matches("coroutine_spec%.lua:" .. line .. ":", tostring(err))
      assert.is_false(b.closed)
    end)
  end)
end)

describe("what comes from outside while an inner coroutine waits", function()
  it("is heard there: a cancellation", function()
    loop.run(function()
      local heard
      local task = loop.spawn(function()
        return ours.wrap(function()
          heard = failure(for_ever)
          return "cleaned up"
        end)()
      end)
      until_waiting(task)
      task:cancel()
      assert.are.equal("cleaned up", task:join())
      is_a(loop.CancelledError, heard)
    end)
  end)

  it("ends the task: a cancellation that nobody catches", function()
    loop.run(function()
      local task = loop.spawn(function()
        ours.wrap(function() ours.wrap(for_ever)() end)()
      end)
      until_waiting(task)
      task:cancel()
      is_a(loop.CancelledError, failure(task.join, task))
      assert.are.equal("cancelled", task:status())
    end)
  end)

  it("closes variables all the way: a cancellation", function()
    loop.run(function()
      local log = {}
      local function guard(name)
        return closing(function() log[#log + 1] = name end)
      end
      local task = loop.spawn(function()
        local _outer <close> = guard "outer"
        ours.wrap(function()
          local _inner <close> = guard "inner"
          for_ever()
        end)()
      end)
      until_waiting(task)
      task:cancel()
      pcall(task.join, task)
      assert.are.same({"inner", "outer"}, log)
    end)
  end)

  it("is a result of resume: a cancellation", function()
    loop.run(function()
      local task = loop.spawn(function()
        local _, err = ours.resume(ours.create(for_ever))
        return err
      end)
      until_waiting(task)
      task:cancel()
      is_a(loop.CancelledError, task:join())
    end)
  end)

  it("reaches into it: loop.timeout", function()
    loop.run(function()
      is_a(csock.timeout, failure(loop.timeout, 0.001, ours.wrap(for_ever)))
    end)
  end)

  it("works in it: loop.timeout", function()
    local _both <close>, a, _b = pair()
    loop.run(function()
      local f = ours.wrap(function()
        is_a(csock.timeout, failure(loop.timeout, 0.001, a.recv, a, 1))
        loop.sleep(0.001)
        ours.yield "went on"
      end)
      assert.are.equal("went on", f())
    end)
  end)

  it("works in it: a socket's own timeout", function()
    local _both <close>, a, _b = pair()
    a.timeout = 0.001
    loop.run(function()
      local ok, err = ours.resume(ours.create(function() a:recv(1) end))
      assert.is_false(ok)
      is_a(csock.timeout, err)
    end)
  end)

  it("ends it: the end of the loop", function()
    local heard
    loop.run(function()
      until_waiting(loop.spawn(ours.wrap(function()
        heard = failure(for_ever)
      end)))
    end)
    is_a(loop.CancelledError, heard)
  end)
end)

-- Where a wait and a resume come together --------------------------------

describe("a coroutine that waits", function()
  it("cannot be resumed by another task", function()
    local _both <close>, a, b = pair()
    loop.run(function()
      local thread = ours.create(function()
        ours.yield(a:recv(1))
        return "for nobody else"
      end)
      local task = loop.spawn(ours.resume, thread)
      until_waiting(task)
      local ok, err = ours.resume(thread)
      assert.is_false(ok)
      assert.matches("^cannot resume", err)
      b:send "x"
      assert.are.equal("true, x", shown(task:join()))
    end)
  end)

  -- In a Lua of their own: what is wrong here is wrong in memory.
  local function program(text)
    local process = helper.spawn_process(helper.lua .. " -e " ..
      helper.quote([[
        local csock = require "csock"
        local loop, ours = csock.loop, csock.coroutine
        local a, b = csock.socketpair()
      ]] .. text .. " a:close() b:close()") .. " 2>&1")
    local output = process:read "a"
    local _, how, code = process:wait()
    assert.are.equal("exit 0", how .. " " .. code, output)
    return output
  end

  for name, wait in pairs {
    recv = "a:recv(1)",
    sleep = "loop.sleep(1000)",
    join = "loop.spawn(loop.sleep, 1000):join()",
    busy = "while true do a:send 'x' b:recv(1) end",
  } do
    it("cannot be resumed when its task is gone: " .. name, function()
      local output = program([[
        local thread = ours.create(function()
          pcall(loop.sleep, 1000)       -- swallows the cancellation
          ]] .. wait .. [[
        end)
        loop.run(function()
          loop.spawn(ours.resume, thread)
          loop.sleep(0)
        end)
        local resume = coroutine.resume
        print(resume(thread))
        print(coroutine.status(thread))
      ]])
      assert.matches("^false\t", output)
      assert.matches("\ndead\n$", output)
    end)
  end

  it("cannot be resumed by hand in another task either", function()
    assert.are.equal("false\ndead\ncannot resume\n", program [[
      local function waiting()
        pcall(loop.sleep, 1000)         -- swallows the cancellation
        a:recv(1)
      end
      local first, second = ours.create(waiting), ours.create(waiting)
      loop.run(function()
        loop.spawn(ours.resume, first)
        loop.spawn(ours.resume, second)
        loop.sleep(0)
      end)
      loop.run(function()
        print((coroutine.resume(first)))
        print(coroutine.status(first))
        local _, err = ours.resume(second)
        print((err:match "^cannot resume"))
      end)
    ]])
  end)

  it("can be closed when its task is gone", function()
    assert.are.equal("closed\ntrue\n", program [[
      local thread = ours.create(function()
        local guard <close> = setmetatable({}, {
          __close = function() print "closed" end,
        })
        pcall(loop.sleep, 1000)
        a:recv(1)
      end)
      loop.run(function()
        loop.spawn(ours.resume, thread)
        loop.sleep(0)
      end)
      print(coroutine.close(thread))
    ]])
  end)

  it("is not kept when its task is gone", function()
    assert.are.equal("nil\n", program [[
      local weak = setmetatable({}, {__mode = "k"})
      loop.run(function()
        loop.spawn(function()
          local thread = ours.create(function()
            pcall(loop.sleep, 1000)
            a:recv(1)
          end)
          weak[thread] = true
          ours.resume(thread)
        end)
        loop.sleep(0)
      end)
      collectgarbage()
      collectgarbage()
      print(next(weak))
    ]])
  end)

  it("may be collected with its task", function()
    assert.are.equal("fine\n", program [[
      for _ = 1, 20 do
        loop.run(function()
          for _ = 1, 10 do
            loop.spawn(ours.wrap(function()
              pcall(loop.sleep, 1000)
              a:recv(1)
            end))
          end
          loop.sleep(0)
        end)
        collectgarbage()
      end
      print "fine"
    ]])
  end)

  it("may outlive its task inside loop.timeout", function()
    assert.are.equal("true\n", program [[
      local thread
      loop.run(function()
        loop.spawn(function()
          thread = coroutine.create(function()
            loop.timeout(1000, coroutine.yield)
          end)
          coroutine.resume(thread)
        end):join()
        for _ = 1, 100 do loop.spawn(loop.sleep, 0) end
        loop.sleep(0)
      end)
      collectgarbage()
      collectgarbage()
      print(coroutine.close(thread))
    ]])
  end)
end)
