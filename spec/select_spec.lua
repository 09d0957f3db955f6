-- select: csock.select and csock.poll, outside of tasks and in them, with
-- CPython's tests (test_select, test_poll).

local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"

local misused, raises, until_waiting =
  helper.misused, helper.raises, helper.until_waiting
local select, poll = csock.select, csock.poll
local POLLIN, POLLOUT, POLLHUP, POLLNVAL =
  csock.POLLIN, csock.POLLOUT, csock.POLLHUP, csock.POLLNVAL

-- Two connected sockets that are closed at the end of the test; in tests too
-- that are loops, which have no `finally`.
local pairs_made = {}
local function pair()
  local a, b = csock.socketpair()
  table.insert(pairs_made, a)
  table.insert(pairs_made, b)
  return a, b
end

local function close_pairs()
  for _, sock in ipairs(pairs_made) do sock:close() end
  pairs_made = {}
end

-- The same test outside of tasks and in one; `f` makes sockets by pair().
local function everywhere(name, f)
  it(name, function()
    finally(close_pairs)
    f()
  end)
  it(name .. ", in a task", function()
    finally(close_pairs)
    loop.run(f)
  end)
end

-- A number that no descriptor has.
local function no_descriptor()
  local sock = csock.socket()
  local fd = sock:fileno()
  sock:close()
  return fd
end

local Fileno = {}
Fileno.__index = Fileno
function Fileno:fileno() return self.fd end
local function object(fd) return setmetatable({fd = fd}, Fileno) end

describe("SelectTestCase", function()
  it("test_error_conditions: refuses what has no descriptor", function()
    misused("bad argument #1 to 'select' %(table expected, got number%)",
      function() select(1, 2, 3) end)
    misused("bad argument #2 to 'select'", function() select({}, 2, {}) end)
    misused("bad argument #3 to 'select'", function() select({}, {}, "x") end)
    for _, nope in ipairs {{}, object "fileno", "1", true, object(nil), print,
      1.5} do
      misused("bad argument to 'select' %(an integer, or what has a method",
        function() select({nope}, {}, {}) end)
    end
    misused("bad argument #4 to 'select' %(number expected, got string%)",
      function() select({}, {}, {}, "not a number") end)
    misused("bad argument #4 to 'select' %(timeout out of range%)",
      function() select({}, {}, {}, -1) end)
    misused("number expected", function() select({}, {}, {}, 0 / 0) end)
    misused("a file descriptor cannot be %-1",
      function() select({-1}, {}, {}) end)
    local sock = csock.socket()
    sock:close()
    misused("a file descriptor cannot be %-1",
      function() select({sock}, {}, {}) end)
  end)

  everywhere("test_errno: EBADF for a descriptor that is not open", function()
    local fd = no_descriptor()
    for timeout = 0, 1 do
      local err = raises(csock.error, select, {fd}, {}, {}, timeout)
      assert.are.same({csock.EBADF, "EBADF", "select"},
        {err.errno, err.code, err.op})
    end
  end)

  everywhere("test_returned_list_identity: three lists", function()
    local r, w, x = select({}, {}, {}, 0.001)
    assert.are.same({{}, {}, {}}, {r, w, x})
    assert.are_not.equal(r, w)
    assert.are_not.equal(r, x)
    assert.are_not.equal(w, x)
  end)

  it("test_select: waits for what a process prints", function()
    local process <close> = assert(io.popen(
      "for i in 1 2 3 4 5; do echo testing; sleep 0.01; done"))
    process:setvbuf "no"
    local lines = 0
    for _, timeout in ipairs {0, 1, 2, 4, 8, 16, false, false, false, false,
      false, false, false, false} do
      local r, w, x = select({process}, {}, {}, timeout or nil)
      assert.are.same({{}, {}}, {w, x})
      if r[1] then
        assert.are.equal(process, r[1])
        local line = process:read "l"
        if not line then break end
        assert.are.equal("testing", line)
        lines = lines + 1
      end
    end
    assert.are.equal(5, lines)
  end)

  it("test_select_mutated: a list that shrinks under it", function()
    local a = pair()
    finally(close_pairs)
    local list = {}
    local f = {fileno = function()
      list[#list] = nil
      return a:fileno()
    end}
    for i = 1, 10 do list[i] = f end
    local r, w, x = select({}, list, {})
    assert.are.same({{}, {f, f, f, f, f}, {}}, {r, w, x})
    assert.are.equal(5, #list)
  end)
end)

describe("csock.select", function()
  everywhere("gives back the objects it was given", function()
    local a, b = pair()
    local same = object(b:fileno())
    a:sendall "x"
    local r, w, x = select({a, b, same, b:fileno(), b}, {a}, {a, b}, 5)
    assert.are.same({b, same, b:fileno(), b}, r)
    assert.are.same({a}, w)
    assert.are.same({}, x)
  end)

  everywhere("takes nil for an empty list", function()
    local a, b = pair()
    a:sendall "x"
    local r, w, x = select({b})
    assert.are.same({{b}, {}, {}}, {r, w, x})
    r, w, x = select(nil, {b}, nil, 5)
    assert.are.same({{}, {b}, {}}, {r, w, x})
  end)

  everywhere("waits as long as it is told", function()
    local a, b = pair()
    local start = loop.now()
    local r, w, x = select({a, b}, {}, {}, 0.02)
    assert.are.same({{}, {}, {}}, {r, w, x})
    assert.is_true(loop.now() - start >= 0.02)
    r, w, x = select({a, b}, {}, {}, 0)
    assert.are.same({{}, {}, {}}, {r, w, x})
  end)

  everywhere("sees the end of a connection", function()
    local a, b = pair()
    a:close()
    local r, w = select({b}, {}, {}, 5)
    assert.are.same({{b}, {}}, {r, w})
  end)

  everywhere("does not take the end for something exceptional", function()
    local a, b = pair()
    a:close()
    local r, w, x = select({}, {}, {b}, 0.01)
    assert.are.same({{}, {}, {}}, {r, w, x})
  end)

  everywhere("sees urgent data", function()
    local listener <close> = csock.create_server {"127.0.0.1", 0}
    local a <close> = csock.create_connection(listener:getsockname())
    local b <close> = listener:accept()
    a:send("!", csock.MSG_OOB)
    local r, w, x = select({}, {}, {b}, 5)
    assert.are.same({{}, {}, {b}}, {r, w, x})
  end)

  everywhere("takes files, Lua's own and those of sockets", function()
    local a, b = pair()
    local regular <close> = assert(io.open "README.md")
    local file <close> = b:makefile "rb"
    a:sendall "x"
    local r = select({regular, file}, {}, {}, 5)
    assert.are.same({regular, file}, r)
  end)

  it("refuses a closed file", function()
    local file = assert(io.open "README.md")
    file:close()
    misused("a file descriptor cannot be %-1",
      function() select({file}, {}, {}) end)
  end)

  it("obeys loop.timeout, in tasks and outside", function()
    local a = pair()
    finally(close_pairs)
    local function limited()
      local err = raises(csock.timeout, loop.timeout, 0.005, select, {a}, {},
        {})
      assert.are.equal("select", err.op)
      raises(csock.timeout, loop.timeout, 0.005, select, {a}, {}, {}, 1000)
    end
    limited()
    loop.run(limited)
  end)

  it("waits on when a signal comes", function()
    local process = helper.spawn_process(helper.lua .. [[ -e '
      local csock = require "csock"
      local watch = require "csock.core".process.signals(15)
      local a, b = csock.socketpair()
      print "ready"
      io.stdout:flush()
      print(#csock.select({a}, {}, {}, 0.3))
      print(watch:wait())']])
    assert.are.equal("ready", process:read "l")
    process:kill "TERM"
    assert.are.equal("0\n15\n", process:read "a")
  end)

  it("lets the other tasks run, and wakes up by what they do", function()
    local a, b = pair()
    local c, d = pair()
    finally(close_pairs)
    loop.run(function()
      local task = loop.spawn(select, {b, d}, {}, {b, d})
      until_waiting(task)
      local entry = loop.tasks()[2]
      assert.are.same({task, "select"}, {entry.task, entry.op})
      c:sendall "x"
      local r, w, x = task:join()
      assert.are.same({{d}, {}, {}}, {r, w, x})
      a:sendall "x"
      assert.are.same({b, d}, (select({b, d}, {}, {})))
    end)
  end)

  it("can be cancelled, and leaves nothing open", function()
    local a = pair()
    finally(close_pairs)
    loop.run(function()
      local task = loop.spawn(select, {a}, {}, {})
      until_waiting(task)
      task:cancel()
      raises(loop.CancelledError, task.join, task)
    end)
    loop.run(function() -- and neither does the end of the loop
      until_waiting(loop.spawn(select, {a}, {}, {}))
    end)
  end)

  it("in several tasks at once, on the same sockets others use", function()
    local a, b = pair()
    finally(close_pairs)
    loop.run(function()
      local tasks = {}
      for i = 1, 5 do tasks[i] = loop.spawn(select, {b}, {}, {}) end
      local reader = loop.spawn(b.recv, b, 10)
      until_waiting(reader, table.unpack(tasks))
      a:sendall "x"
      assert.are.equal("x", reader:join())
      -- it was there for a moment, which is all that select says; whoever
      -- looked too late waits on
      a:sendall "y"
      for _, task in ipairs(tasks) do
        assert.are.same({b}, (task:join()))
      end
    end)
  end)

  it("waits for the loop of a host", function()
    local a, b = pair()
    finally(close_pairs)
    local fd = loop.fileno()
    if fd then
      loop.spawn(b.recv, b, 10)
      loop.step(0)
      a:sendall "x"
      assert.are.same({fd}, (select({fd}, {}, {}, 5)))
      loop.step(0)
      assert.are.same({}, (select({fd}, {}, {}, 0)))
    end
    loop.close()
  end)

  it("knows no highest descriptor", function()
    local process = helper.spawn_process("sh -c " .. helper.quote(
      "ulimit -n 4000 && exec env " .. helper.lua .. [[ -e '
      local csock = require "csock"
      collectgarbage "stop"
      local a, b
      for _ = 1, 800 do a, b = csock.socketpair() end
      a:sendall "x"
      local function look()
        local list = csock.select({b}, {}, {}, 5)
        return b:fileno() > 1024, list[1] == b
      end
      print(look())
      print(csock.loop.run(look))' 2>/dev/null]]))
    assert.are.equal("true\ttrue\ntrue\ttrue\n", process:read "a")
  end)
end)

describe("PollTests", function()
  everywhere("test_poll1: readers and writers", function()
    local p, left, got = poll(), {}, {}
    for i = 1, 12 do
      local a, b = pair()
      assert.is_true(p:register(a))
      assert.is_true(p:modify(a, POLLIN))
      p:register(b, POLLOUT)
      left[i] = {a = a, b = b}
    end
    while #left > 0 do
      local writable = {}
      for _, found in ipairs(p:poll()) do
        if found[2] & POLLOUT ~= 0 then writable[found[1]] = true end
      end
      local this = table.remove(left)
      assert.is_true(writable[this.b:fileno()])
      this.b:sendall " This is a test."
      local readable = {}
      for _, found in ipairs(p:poll()) do
        if found[2] & POLLIN ~= 0 then readable[#readable + 1] = found[1] end
      end
      assert.are.same({this.a:fileno()}, readable)
      got[#got + 1] = this.a:recv(100)
      p:unregister(this.a)
      p:unregister(this.b)
      this.a:close()
      this.b:close()
    end
    assert.are.equal(12, #got)
    assert.are.equal(" This is a test.", got[12])
    assert.are.same({}, p:poll(0))
  end)

  everywhere("test_poll_unit_tests: POLLNVAL, and what is refused", function()
    local fd, p = no_descriptor(), poll()
    p:register(fd)
    assert.are.same({{fd, POLLNVAL}}, p:poll())
    local file = assert(io.open "README.md")
    p = poll()
    p:register(file)
    fd = p:poll()[1][1]
    assert.is_true(math.type(fd) == "integer")
    file:close()
    assert.are.same({{fd, POLLNVAL}}, p:poll())
    misused("an integer, or what has a method", function() p:register(p) end)
    misused("an integer, or what has a method", function() p:unregister(p) end)
    misused("bad argument #1 to 'unregister' %(3 is not registered%)",
      function() poll():unregister(3) end)
    misused("an integer, or what", function() p:register({}, 0) end)
    misused("an integer, or what", function() p:register(object "f", 0) end)
  end)

  it("test_poll2: waits for what a process prints", function()
    local process <close> = assert(io.popen(
      "for i in 1 2 3; do echo testing; sleep 0.01; done"))
    process:setvbuf "no"
    local p, lines = poll(), 0
    p:register(process, POLLIN)
    for _, timeout in ipairs {0, 1000, 2000, 4000, -1, -1, -1, -1, -1} do
      local found = p:poll(timeout)[1]
      if found and found[2] & POLLIN ~= 0 then
        assert.are.equal("testing", process:read "l")
        lines = lines + 1
      elseif found then
        assert.are.equal(POLLHUP, found[2])
        break
      end
    end
    assert.are.equal(3, lines)
  end)

  it("test_poll3: refuses numbers out of range", function()
    local p = poll()
    p:register(1)
    misused("timeout out of range", function() p:poll(2.0 ^ 64) end)
    misused("out of range", function() p:register(0, -1) end)
    misused("integer expected", function() p:register(0, 2.0 ^ 64) end)
    misused("out of range", function() p:modify(1, -1) end)
    misused("integer expected", function() p:modify(1, 2.0 ^ 64) end)
    misused("integer expected, got nil", function() p:modify(1) end)
  end)

  it("test_poll_c_limits: refuses numbers that C does not hold", function()
    local p = poll()
    p:register(1)
    misused("out of range", function() p:register(0, 0x10000) end)
    misused("out of range", function() p:modify(1, 0x10000) end)
    misused("out of range", function() p:poll(0x80000000) end)
    misused("number expected", function() p:poll "1" end)
  end)

  it("test_threaded_poll: one poll at a time", function()
    local a, b = pair()
    finally(close_pairs)
    loop.run(function()
      local p = poll()
      p:register(a, POLLIN)
      local task = loop.spawn(p.poll, p)
      until_waiting(task)
      p:unregister(a)
      p:register(b, POLLOUT)
      misused("concurrent poll%(%) invocation", function() p:poll() end)
      b:sendall "spam"
      assert.are.same({{a:fileno(), POLLIN}}, task:join())
      assert.are.same({{b:fileno(), POLLOUT}}, p:poll())
    end)
  end)

  it("test_poll_blocks_with_negative_ms: no limit", function()
    local a, b = pair()
    finally(close_pairs)
    loop.run(function()
      for _, timeout in ipairs {false, -1000, -1, -1.0, -0.1, -1e-100} do
        local p = poll()
        p:register(a, POLLIN)
        local task = loop.spawn(p.poll, p, timeout or nil)
        until_waiting(task)
        loop.sleep(0.002)
        assert.are.equal("waiting", task:status())
        b:sendall "spam"
        assert.are.same({{a:fileno(), POLLIN}}, task:join())
        a:recv(10)
      end
    end)
  end)
end)

describe("csock.poll", function()
  everywhere("counts milliseconds", function()
    local a = pair()
    local p, start = poll(), loop.now()
    p:register(a, POLLIN)
    assert.are.same({}, p:poll(20))
    assert.is_true(loop.now() - start >= 0.02)
    assert.are.same({}, p:poll(0))
    assert.are.same({}, p:poll(0.5))
  end)

  everywhere("tells the end of a connection unasked", function()
    local a, b = pair()
    b:close()
    local p = poll()
    p:register(a, 0)
    assert.are.same({{a:fileno(), POLLHUP}}, p:poll())
  end)

  it("says which descriptor cannot be modified", function()
    local p = poll()
    local err = raises(csock.FileNotFoundError, p.modify, p, 3, POLLIN)
    assert.are.equal("ENOENT", err.code)
  end)

  everywhere("registers again with other events", function()
    local a = pair()
    local p = poll()
    p:register(a, POLLIN)
    assert.are.same({}, p:poll(0))
    p:register(a, POLLOUT)
    assert.are.same({{a:fileno(), POLLOUT}}, p:poll(0))
    p:unregister(a)
    assert.are.same({}, p:poll(0))
  end)

  it("can be used again after a cancellation", function()
    local a = pair()
    finally(close_pairs)
    loop.run(function()
      local p = poll()
      p:register(a, POLLIN)
      local task = loop.spawn(p.poll, p)
      until_waiting(task)
      task:cancel()
      raises(loop.CancelledError, task.join, task)
      assert.are.same({}, p:poll(1))
    end)
  end)
end)
