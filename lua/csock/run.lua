--- run: how a handler is made for one request, and answers it.
-- Not here: what a handler is (handler), what becomes of its errors (server).
-- Invariant: finish follows setup, whatever happens in between.

local callable = require "csock.callable"
local class = require "csock.class"
local core = require "csock.core"
local BaseRequestHandler = require "csock.handler".BaseRequestHandler

local plain = core.class.plain
local run = {}

-- What makes the handlers: for a plain table with a `handle` a function, for
-- all others themselves.
local makers = setmetatable({}, {__mode = "k"})

local function find_maker(cls)
  local make, meta = cls, {__index = cls}
  if not callable(cls) then
    make = function(request, client_address, server)
      return setmetatable({
        request = request, client_address = client_address, server = server,
      }, meta)
    end
  end
  makers[cls] = make
  return make
end

--- is_handler(cls) -> can it make handlers: a class, something to call, or a
-- plain table with `handle`?
function run.is_handler(cls)
  return callable(cls) or type(cls) == "table" and
    class.type(cls) == nil and type(cls.handle) == "function"
end

-- Calls finish() when handle() has ended, however it did.
local Finish = {__close = function(self) self.handler:finish() end}
local nothing = BaseRequestHandler.handle
local fill = BaseRequestHandler.__init

local function answer_and_finish(handler, handle)
  local _finish <close> = setmetatable({handler = handler}, Finish)
  if handle then handle(handler) end
end

--- finishing(handle) -> a function (handler) that does that, and then finish,
-- for handlers that come one after the other.
function run.finishing(handle)
  local finish = setmetatable({}, Finish)
  return function(handler)
    finish.handler = handler
    local _finish <close> = finish
    handle(handler)
  end
end

-- Let a handler answer, whose methods are in `methods`.
local function use(handler, methods)
  local setup, handle, finish = methods.setup, methods.handle, methods.finish
  if setup and setup ~= nothing then setup(handler) end
  if finish and finish ~= nothing then
    return answer_and_finish(handler, handle)
  end
  if handle then return handle(handler) end
end

--- made(handler): let it answer, which was made by calling something: that may
-- have answered by itself, and returned anything.
local function made(handler)
  if handler == nil then return end
  local kind = type(handler)
  if kind == "table" or kind == "userdata" then return use(handler, handler) end
end

run.made = made

--- alone(cls, request, client_address, server): make a handler for the request,
-- and let it answer.
-- No call is made here that a tail call can spare, nor in what leads here: a
-- waiting request's stack is then a handler's and nothing else, and stays below
-- the size at which Lua doubles it.
function run.alone(cls, request, client_address, server)
  local meta, methods = plain(cls, fill)
  if meta then
    return use(setmetatable({
      request = request, client_address = client_address, server = server,
    }, meta), methods)
  end
  local make = makers[cls] or find_maker(cls)
  return made(make(request, client_address, server))
end

return run
