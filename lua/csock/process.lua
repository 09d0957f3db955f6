--- process: children of this process, for the servers that have some.
-- The forking is C's (csrc/child.c).
-- Invariant: a child has random numbers of its own.

local core = require "csock.core"
local loop = require "csock.loop"

local process = {
  cpus = core.process.cpus,
  ignore = core.process.ignore,
  SIGHUP = core.process.SIGHUP,
  SIGINT = core.process.SIGINT,
  SIGKILL = core.process.SIGKILL,
  SIGTERM = core.process.SIGTERM,
}

-- Without this, the children of one moment would draw the same numbers: keys,
-- names of files.
local function begin(f, ...)
  math.randomseed(math.floor(loop.now() * 1e9), core.process.getpid())
  return f(...)
end

--- fork(f, ...) -> child, with child:wait([timeout]), child:poll(),
-- child:kill(signo) and child:pid(); f(...) runs in it, and gives its status.
function process.fork(f, ...)
  return core.process.fork(begin, f, ...)
end

return process
