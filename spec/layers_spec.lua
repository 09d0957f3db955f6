-- layers: the floors of csrc/ and who may include whom.  It reads #include
-- lines and nothing else; a file is known by its noun, socket.c and socket.h
-- being one.
-- Invariant: includes point to a lower floor, or within one without a circle.

local helper = require "spec.helper"

local floors = {
  "system: sys timer lookup poller poller_epoll poller_poll",
  "ground: glue error mark class constants slow collector landing board",
  "values: family address buffer cmsg inet option",
  "waiting: source loop drive task coroutine inspect host sync group",
  "things: socket admit descriptor transfer batch sendfile message file " ..
    "item reader writer template record datagram idle resolve connect " ..
    "process child select signal unix",
  "door: core",
}

local floor_of = {}
for level, row in ipairs(floors) do
  for noun in row:match(": (.*)"):gmatch "%S+" do floor_of[noun] = level end
end

local lua_headers = {["lua.h"] = true, ["lauxlib.h"] = true,
  ["lualib.h"] = true, ["luaconf.h"] = true, ["lua.hpp"] = true}

local function noun_of(file)
  return (file:gsub("%.%w+$", ""))
end

-- What each file includes, as {name, quoted, line}.
local function includes_of(text)
  local list, number = {}, 0
  for line in text:gmatch "([^\n]*)\n?" do
    number = number + 1
    local open, name = line:match '^%s*#%s*include%s*([<"])([^>"]+)'
    if name then
      list[#list + 1] = {name = name, quoted = open == '"', line = number}
    end
  end
  return list
end

-- What is wrong with one #include, if anything.
local function judge(file, include)
  local level = floor_of[noun_of(file)]
  local name = include.name
  if name:find "%.c$" then return "a .c file is compiled, not included" end
  if name == "sys/epoll.h" and file ~= "poller_epoll.c" then
    return "<sys/epoll.h> is for poller_epoll.c alone"
  end
  if lua_headers[name] then
    return level == 1 and "the system floor knows no Lua" or nil
  end
  if not include.quoted then return end
  local target = floor_of[noun_of(name)]
  if not target then return "put " .. name .. " on a floor" end
  if target > level then
    return ("%s is a higher floor (%s, over %s)"):format(
      name, floors[target]:match "%w+", floors[level]:match "%w+")
  end
end

-- A circle among the nouns, as "a -> b -> a", or nil.
local function circle(edges)
  local state, path = {}, {}
  local function visit(noun)
    path[#path + 1] = noun
    if state[noun] == "open" then
      while path[1] ~= noun do table.remove(path, 1) end
      return table.concat(path, " -> ")
    end
    if state[noun] == nil then
      state[noun] = "open"
      for _, target in ipairs(edges[noun] or {}) do
        local found = visit(target)
        if found then return found end
      end
      state[noun] = "done"
    end
    path[#path] = nil
  end
  local nouns = {}
  for noun in pairs(edges) do nouns[#nouns + 1] = noun end
  table.sort(nouns)
  for _, noun in ipairs(nouns) do
    local found = visit(noun)
    if found then return found end
  end
end

-- files: a table from name to text.  Returns complaints, sorted.
local function check(files)
  local complaints, edges = {}, {}
  local function complain(...)
    complaints[#complaints + 1] = ("%s:%d: %s"):format(...)
  end
  for file, text in pairs(files) do
    local noun = noun_of(file)
    if not floor_of[noun] then
      complain(file, 1, "put it on a floor")
    else
      edges[noun] = edges[noun] or {}
      for _, include in ipairs(includes_of(text)) do
        local wrong = judge(file, include)
        if wrong then complain(file, include.line, wrong) end
        local target = noun_of(include.name)
        if include.quoted and floor_of[target] and target ~= noun then
          table.insert(edges[noun], target)
        end
      end
    end
  end
  table.sort(complaints)
  local found = circle(edges)
  if found then complaints[#complaints + 1] = "circle: " .. found end
  return complaints
end

local function read(path)
  local file <close> = assert(io.open(path))
  return file:read "a"
end

-- The same as one text, which reads better when it is not empty.
local function complaints(files)
  return table.concat(check(files), "\n")
end

describe("the floors of csrc/", function()
  it("are kept", function()
    local files = {}
    for _, name in ipairs(helper.files("csrc", "%.[ch]$")) do
      files[name] = read("csrc/" .. name)
    end
    assert.is_truthy(next(files))
    assert.are.equal("", complaints(files))
  end)

  -- The checker on made-up files: each is wrong in one way, or not at all.

  it("let a file use what is below it, and Lua above the system", function()
    assert.are.equal("", complaints {
      ["core.c"] = '#include <lua.h>\n#include "socket.h"\n',
      ["socket.h"] = '#include "lua.h"\n#include "loop.h"\n',
      ["loop.c"] = '#include "loop.h"\n#include "timer.h"\n',
      ["loop.h"] = "",
      ["timer.c"] = '#include <stdlib.h>\n#include "sys.h"\n',
      ["constants.c"] = '#include "constants.inc"\n',
      ["poller_epoll.c"] = "#include <sys/epoll.h>\n",
    })
  end)

  it("refuse an include that points up", function()
    assert.are.equal(
      "address.h:2: loop.h is a higher floor (waiting, over values)",
      complaints {["address.h"] = '\n#  include "loop.h"\n'})
  end)

  it("refuse a circle within a floor", function()
    assert.are.equal("circle: task -> drive -> loop -> task", complaints {
      ["loop.c"] = '#include "task.h"\n',
      ["task.h"] = '#include "drive.h"\n',
      ["drive.c"] = '#include "loop.h"\n',
      ["coroutine.c"] = '#include "task.h"\n',
    })
  end)

  it("refuse Lua in the system", function()
    local text = "timer.c:1: the system floor knows no Lua"
    assert.are.equal(text, complaints {["timer.c"] = "#include <lua.h>"})
    assert.are.equal(text, complaints {["timer.c"] = '#include "lauxlib.h"'})
  end)

  it("refuse a file that stands on none", function()
    assert.are.equal("extra.c:1: put it on a floor",
      complaints {["extra.c"] = ""})
    assert.are.equal("core.c:1: put extra.h on a floor",
      complaints {["core.c"] = '#include "extra.h"'})
  end)

  it("refuse an included .c, and epoll outside its backend", function()
    assert.are.equal("core.c:1: a .c file is compiled, not included",
      complaints {["core.c"] = '#include "socket.c"'})
    assert.are.equal("loop.c:1: <sys/epoll.h> is for poller_epoll.c alone",
      complaints {["loop.c"] = "#include <sys/epoll.h>"})
  end)
end)

describe("the door to C", function()
  -- Lua files under a directory, with their directories.
  local function lua_files(directory)
    local pipe <close> = assert(io.popen("find " .. directory ..
      " -name '*.lua' 2>/dev/null"))
    local list = {}
    for path in pipe:lines() do list[#list + 1] = path end
    return list
  end

  local function names_core(text)
    return text:find "require%s*%(?%s*[\"']csock%.core[\"']" ~= nil
  end

  it("is opened inside lua/csock only", function()
    for _, directory in ipairs {"lua", "examples"} do
      for _, path in ipairs(lua_files(directory)) do
        if not path:find "^lua/csock/" then
          assert.is_false(names_core(read(path)), path)
        end
      end
    end
  end)

  it("is recognized in each of its spellings", function()
    assert.is_true(names_core 'local core = require "csock.core"')
    assert.is_true(names_core "pcall(require('csock.core'))")
    assert.is_false(names_core 'require "csock"')
  end)
end)
