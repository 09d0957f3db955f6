--- file: the class of what makefile makes.
-- The operations are C's (csrc/file.c, csrc/reader.c, csrc/writer.c); this file
-- makes a class of them.
-- Invariant: `file` is the one class whose instances makefile makes, StringFile
-- that of files over strings.

local class = require "csock.class"
local core = require "csock.core"
local insist = require "csock.insist"

local body = {
  __doc = "A file over a socket: file(sock [, mode [, buffering]]).",
  __module = "csock",
  __slots = {},
  __native = {
    tag = core.file.tag,
    gc = core.file.collect,
    close = function(self) insist(self:close()) end,
  },
  __new = function(cls, ...)
    return core.file.new(class.metatable(cls), ...)
  end,
  __call = core.file.next,
  __iter = function(self) return self end,
  __str = function(self)
    return ("<csock.file name=%d mode=%q>"):format(self.name, self.mode)
  end,
}
for name, method in pairs(core.file.methods) do body[name] = method end
for name, get in pairs(core.file.getters) do
  body[name] = class.property(get, core.file.setters[name])
end

local file = class("file", body)

-- One over a string: it has nothing to give back, and no finalizer.
local StringFile = class("file", file, {
  __module = "csock",
  __slots = {},
  __native = {tag = core.file.tag, close = body.__native.close},
})
core.file.plain(class.metatable(file), class.metatable(StringFile))
core.file.strings = class.metatable(StringFile) -- for this module's rooms only

return {file = file, SocketIO = file}
