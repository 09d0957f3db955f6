--- coroutine: Lua's coroutine library for code that makes coroutines of its own
-- inside a task: a wait in one of them passes through to the loop.
-- Only resume and wrap differ (csrc/coroutine.c), and they only in tasks.

local core = require "csock.core"

local library = {}
for name, f in pairs(coroutine) do library[name] = f end
library.resume = core.coroutine.resume
library.wrap = core.coroutine.wrap
return library --[[@as csock.coroutine]]
