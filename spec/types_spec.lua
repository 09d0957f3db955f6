-- types: lua/csock/types.lua, which is for editors, against the modules that it
-- describes: what is public is in it, and what is in it is there.
-- It reads the annotations of that file and no others; what lua-language-server
-- makes of them is not looked at.

local class = require "csock.class"
local core = require "csock.core"
local csock = require "csock"
local helper = require "spec.helper"
local loop = require "csock.loop"
local safe = require "csock.safe"
local socketserver = require "csock.socketserver"

local path = "lua/csock/types.lua"

-- Reading ---------------------------------------------------------------------

-- The type at the beginning of a text, and what is behind it.  Inside of
-- brackets, and after a colon, spaces belong to it.
local function take_type(text)
  local depth = 0
  for i = 1, #text do
    local c = text:sub(i, i)
    if c:find "[%(%[{<]" then depth = depth + 1 end
    if c:find "[%)%]}>]" then depth = depth - 1 end
    if c == " " and depth == 0 and text:sub(i - 1, i - 1) ~= ":" then
      return text:sub(1, i - 1), text:sub(i + 1)
    end
  end
  return text, ""
end

-- What the file declares: classes by name, each with parents, members (of
-- name, type, doc, line; functions with params) and operators; aliases; all
-- types that it mentions, with their lines.
local function read(lines)
  local file = {classes = {}, aliases = {}, mentioned = {}, twice = {}}
  local owners, current, block = {}, nil, {}
  local number = 0

  local function mention(text)
    local taken, rest = take_type(text)
    file.mentioned[#file.mentioned + 1] = {type = taken, line = number}
    return taken, rest
  end

  local function add(cls, name, member)
    if cls.members[name] then
      table.insert(file.twice, ("line %d: %s.%s"):format(number, cls.name,
        name))
    end
    member.line = number
    cls.members[name] = member
  end

  local tags = {}

  function tags.class(text)
    local name, parents = text:match "^([%w_.]+)%s*:?%s*(.*)$"
    current = {name = name, parents = {}, members = {}, operators = {}}
    for parent in parents:gmatch "[%w_.]+" do
      mention(parent)
      table.insert(current.parents, parent)
    end
    file.classes[name] = current
  end

  function tags.alias(text)
    local name, type = text:match "^([%w_.]+) (.+)$"
    file.aliases[name] = true
    mention(type)
  end

  function tags.field(text)
    local key, rest = text:match "^(%[%w+%]) (.+)$"
    if key then return mention(rest) end
    local name, optional, type = text:match "^([%w_]+)(%??) (.+)$"
    local taken, doc = mention(type)
    add(current, name, {type = taken, optional = optional ~= "", doc = doc})
  end

  function tags.operator(text)
    local name, type = text:match "^(%l+): (.+)$"
    current.operators["__" .. name] = true
    mention(type)
  end

  function tags.overload(text) mention(text) end

  function tags.param(text)
    local name, type = text:match "^([%w_.]+)%?? (.+)$"
    mention(type)
    table.insert(block, name)
  end

  tags["return"] = function(text) mention(text) end
  tags.raise = tags["return"]
  function tags.meta() end

  for line in lines do
    number = number + 1
    local tag, text = line:match "^%-%-%-@(%l+) ?(.*)$"
    local variable = line:match "^local ([%w_]+) = {}$"
    local owner, mark, name, params =
      line:match "^function ([%w_]+)([.:])([%w_]+)%((.*)%)"
    if tag then
      tags[tag](text)
    elseif line:find "^%-%-%- %S" then
      block.doc = line:match "^%-%-%- (.*)$"
    elseif variable then
      owners[variable] = current
    elseif owner then
      local names = {}
      for param in params:gmatch "[%w_.]+" do names[#names + 1] = param end
      add(owners[owner], name, {params = names, documented = block,
        doc = block.doc or "", method = mark == ":"})
    end
    if not line:find "^%-%-%-" then block = {} end
  end
  return file
end

local file = read(io.lines(path))

-- The member of a class, or of one of its parents'; so its operator.
local function find(cls, name, what)
  local member = cls[what or "members"][name]
  for _, parent in ipairs(cls.parents) do
    if member then break end
    parent = file.classes[parent]
    member = parent and find(parent, name, what)
  end
  return member
end

local function sorted(list)
  table.sort(list)
  return table.concat(list, "\n")
end

-- What is there ---------------------------------------------------------------

local modules = {
  csock = csock, ["csock.safe"] = safe, ["csock.loop"] = loop,
  ["csock.class"] = class,
  ["csock.coroutine"] = csock.coroutine, ["csock.socketserver"] = socketserver,
  ["csock.systemd"] = csock.systemd,
}

local function is_class(value)
  return class.type(value) ~= nil and class.isinstance(value, class.type)
end

-- The classes behind the modules, by the name of their type.
local classes, type_of = {}, {}
for name, module in pairs(modules) do
  for key, value in pairs(module) do
    local member = find(file.classes[name], key)
    if is_class(value) and member and member.type then
      classes[member.type], type_of[value] = value, member.type
    end
  end
end

-- An address of each family, which is what "csock.address" may be.
local function addresses()
  local list = {}
  for _, family in ipairs {"INET6", "NETLINK", "PACKET", "VSOCK", "QIPCRTR",
    "TIPC", "ALG", "CAN", "UNKNOWN"} do
    local number = csock["AF_" .. family] or family == "UNKNOWN" and 200
    local bytes = string.pack("=Hc86", number or 0, "")
    list[#list + 1] = number and core.address.unpack(bytes)
    for _, proto in pairs(family == "CAN" and number and
      {csock.CAN_ISOTP, csock.CAN_J1939} or {}) do
      list[#list + 1] = core.address.unpack(bytes, proto)
    end
  end
  return setmetatable({}, {__index = function(_, name)
    for _, address in ipairs(list) do
      if address[name] ~= nil then return address[name] end
    end
  end, __len = function() return #list end})
end

-- Instances, for what only they have: made by a test, closed by it.
local function samples()
  local made = {opened = {}}
  local function keep(thing)
    table.insert(made.opened, thing)
    return thing
  end
  local handler = {handle = function() end}
  local sock = keep(csock.socket(csock.AF_INET6, csock.SOCK_DGRAM))
  local stream = keep(csock.socket())
  sock:bind{"::1", 0}
  loop.run(function()
    made["csock.task"] = loop.current()
    made["csock.loop.signal"] = loop.on_signal("USR1", type)
    made["csock.loop.entry"] = loop.tasks()[1]
  end)
  made["csock.loop.Event"] = loop.Event()
  made["csock.loop.Queue"] = loop.Queue()
  made["csock.loop.Semaphore"] = loop.Semaphore()
  made["csock.poll"] = csock.poll()
  made["csock.socket"] = stream
  made["csock.file"] = keep(stream:makefile "rw")
  made["csock.safe.socket"] = keep(safe.socket())
  made["csock.safe.file"] = keep(made["csock.safe.socket"]:makefile "rw")
  made["csock.address"] = addresses()
  made["csock.buffer"] = csock.buffer "bytes"
  local err = csock.error(csock.EPERM, "refused", "bind", "/path")
  err.where = "x.lua:1:"
  made["csock.Exception"], made["csock.OSError"] = err, err
  made["csock.ExceptionGroup"] = csock.ExceptionGroup("several", {err})
  made["csock.class.object"] = class("Example", {__doc = "An example."})()
  made["csock.class.type"] = class("Example")
  made["csock.class.property"] = class.property(type, type, type)
  made["csock.class.slice"] = class.slice(1, 2, 3)
  made["csock.class.staticmethod"] = class.staticmethod(type)
  made["csock.class.classmethod"] = class.classmethod(type)
  local server = keep(socketserver.TCPServer({"127.0.0.1", 0}, handler))
  for _, name in ipairs {"timeout", "request_timeout", "max_connections",
    "slow_callback"} do
    server[name] = 1
  end
  made["csock.socketserver.BaseServer"] = server
  made["csock.socketserver.TCPServer"] = server
  for _, kind in ipairs {"Base", "Stream", "Datagram"} do
    local name = kind .. "RequestHandler"
    local request = kind == "Datagram" and {"data", sock} or stream
    local one = socketserver[name](request, sock:getsockname(), server)
    one:setup()
    if one.rfile then
      keep(one.rfile)
      keep(one.wfile)
    end
    made["csock.socketserver." .. name] = one
  end
  made["csock.socketserver.StreamRequestHandler"].timeout = 1
  made["csock.socketserver.ForkingMixIn"] = {active_children = {}}
  made["csock.socketserver.PreforkMixIn"] = {workers = 1, worker = 1,
    reload_timeout = 1}
  return setmetatable(made, {__close = function()
    for _, thing in ipairs(made.opened) do
      if thing.server_close then thing:server_close() else thing:close() end
    end
  end})
end

-- What userdata answers by name.  It cannot be asked for its names, but C knows
-- none that is not spelt in its source.
local function values_of(instance)
  local values = {}
  for _, name in ipairs(helper.files("csrc", "%.c$")) do
    local source <close> = assert(io.open("csrc/" .. name))
    for word in source:read("a"):gmatch '"(%a[%w_]*)"' do
      values[word] = instance[word]
    end
  end
  return values
end

local function is_public(name)
  return type(name) == "string" and name:find "^[^_]" ~= nil
end

-- Comparing -------------------------------------------------------------------

-- What is wrong with the parameters of a member, given the real function.  A C
-- function does not tell how many it takes; one with `...` may have them named;
-- a hook that does nothing names none but self.
local function judge_arity(member, f)
  if not member.params then return "is a function" end
  local info = debug.getinfo(f, "uS")
  local rest = member.params[#member.params] == "..."
  local fixed = #member.params + (member.method and 1 or 0) - (rest and 1 or 0)
  if info.what == "C" or info.nparams == fixed and info.isvararg == rest or
    info.isvararg and info.nparams <= fixed or
    member.method and info.nparams <= 1 and not info.isvararg then
    return nil
  end
  return ("takes %d parameters%s"):format(info.nparams,
    info.isvararg and " and more" or "")
end

local function plain(value)
  return class.isinstance(value, class.staticmethod) and value.func or value
end

-- What is wrong with a class of the file, given its names and their values, and
-- `has`, which tells whether there is another name.
local function compare(declared, values, has)
  local wrong = {}
  local function complain(name, what)
    wrong[#wrong + 1] = ("%s.%s %s"):format(declared.name, name, what)
  end
  for name, value in pairs(values) do
    if is_public(name) then
      local member = find(declared, name)
      value = plain(value)
      if not member then
        complain(name, "is not in " .. path)
      elseif type(value) == "function" then
        local what = judge_arity(member, value)
        if what then complain(name, what) end
      elseif member.params then
        complain(name, "is no function")
      end
    end
  end
  for name in pairs(declared.members) do
    local member = declared.members[name]
    if values[name] == nil and not has(name) and not member.optional then
      complain(name, "is not there")
    end
  end
  return sorted(wrong)
end

describe("the types that editors are told of", function()
  it("are never loaded", function()
    local ok, err = pcall(require, "csock.types")
    assert.is_false(ok)
    assert.matches("for editors", err)
  end)

  it("are written as they have to be", function()
    local wrong, known = {}, {["file*"] = true, ["fun"] = true}
    for name in ([[any boolean coroutinelib false function integer nil number
      self string table true]]):gmatch "%w+" do
      known[name] = true
    end
    for _, mentioned in ipairs(file.mentioned) do
      local text = mentioned.type:gsub('"[^"]*"', ""):gsub("[%w_]+%??:", "")
      for word in text:gmatch "[%a_][%w_.]*%*?" do
        if not (known[word] or file.classes[word] or file.aliases[word]) then
          table.insert(wrong, ("line %d: no type %s"):format(mentioned.line,
            word))
        end
      end
    end
    for name, cls in pairs(file.classes) do
      for key, member in pairs(cls.members) do
        if member.doc == "" and name ~= "csock.constants" then
          table.insert(wrong, ("line %d: %s says nothing"):format(member.line,
            key))
        end
        if member.params and table.concat(member.params, " ") ~=
          table.concat(member.documented, " ") then
          table.insert(wrong, ("line %d: %s has other @params"):format(
            member.line, key))
        end
      end
    end
    assert.are.equal("", sorted(wrong))
    assert.are.equal("", sorted(file.twice))
  end)

  it("are up to date where `make types` writes them", function()
    local process = helper.spawn_process(("%s .ci/types %s %s"):format(
      helper.lua, path, "csrc/constants.list"))
    local written = process:read "a"
    assert.is_true(process:wait())
    local was <close> = assert(io.open(path))
    assert.is_true(written == was:read "a", "say: make types")
  end)

  it("have the constants", function()
    local wrong, declared = {}, file.classes["csock.constants"].members
    for name in pairs(core.constants) do
      if not declared[name] then wrong[#wrong + 1] = name end
    end
    assert.are.equal("", sorted(wrong))
  end)

  for name, module in pairs(modules) do
    it("are those of the module " .. name, function()
      local slow = loop.slow_callback -- nil unless it is set
      loop.slow_callback = 60
      finally(function() loop.slow_callback = slow end)
      local values = {}
      for key, value in pairs(module) do
        if not core.constants[key] and
          not (module == csock.coroutine and coroutine[key]) then
          values[key] = value
        end
      end
      assert.are.equal("", compare(file.classes[name], values,
        function(key) return module[key] ~= nil end))
    end)
  end

  it("have a class for each class", function()
    local wrong = {}
    for name, module in pairs(modules) do
      for key, value in pairs(module) do
        if is_public(key) and is_class(value) and
          not (type_of[value] and file.classes[type_of[value]]) then
          table.insert(wrong, name .. "." .. key)
        end
      end
    end
    assert.are.equal("", sorted(wrong))
  end)

  for name, cls in pairs(classes) do
    it("are those of the class " .. name, function()
      local declared, parents = file.classes[name], {}
      assert.is_truthy(declared, "no such class in " .. path)
      for i, base in ipairs(cls.__bases) do
        parents[i] = type_of[base] or tostring(base)
      end
      assert.are.same(parents, declared.parents)
      local made <close> = samples()
      local instance = made[name] or {}
      assert.are.equal("", compare(declared, cls.__dict, function(key)
        return cls[key] ~= nil or instance[key] ~= nil
      end))
    end)
  end

  for _, name in ipairs {"csock.address", "csock.buffer", "csock.task",
    "csock.loop.Event", "csock.loop.Queue", "csock.loop.Semaphore"} do
    it("are those of " .. name, function()
      local made <close> = samples()
      local instance = made[name]
      local values = values_of(instance)
      assert.is_truthy(next(values))
      assert.are.equal("", compare(file.classes[name], values,
        function(key) return instance[key] ~= nil end))
    end)
  end

  it("have the operators of what has some", function()
    local made <close> = samples()
    local wrong, compared = {}, 0
    for name, declared in pairs(file.classes) do
      local instance = made[name]
      local meta = instance and debug.getmetatable(instance)
      for _, operator in ipairs {"__call", "__len"} do
        if meta and (meta[operator] ~= nil) ~=
          (find(declared, operator, "operators") == true) then
          table.insert(wrong, name .. " " .. operator)
        end
        compared = compared + (meta and 1 or 0)
      end
      for operator in pairs(declared.operators) do
        if not (meta and meta[operator]) then
          table.insert(wrong, name .. " has no " .. operator)
        end
      end
    end
    assert.is_true(compared > 20)
    assert.are.equal("", sorted(wrong))
  end)

  it("describe nothing that is nowhere", function()
    local made <close> = samples()
    local wrong = {}
    for name in pairs(file.classes) do
      if not (modules[name] or classes[name] or made[name] or
        name == "csock.constants") then
        wrong[#wrong + 1] = name
      end
    end
    assert.are.equal("", sorted(wrong))
  end)
end)
