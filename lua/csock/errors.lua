--- errors: the classes of what the world refuses, as Python names them.
-- Not here: the making of an error object, which is C's (csrc/error.c); it
-- takes the class from the table this file registers.
-- Invariant: one errno has one class; an errno without its own is an OSError.

local class = require "csock.class"
local core = require "csock.core"

local errors = {}
local by_errno = {} -- class of an errno, where it has one of its own

local Exception = class("Exception", {
  __doc = "What csock raises when the fault is the world's.",
})

--- One line: position, operation, address, reason, code.
function Exception:__str()
  local about = self.op or self.__class.__name
  if self.address ~= nil then
    local a = self.address
    if type(a) == "table" then
      a = a[2] == nil and a[1] or ("%s:%s"):format(a[1], a[2])
    end
    about = about .. " " .. tostring(a):gsub("%c", "?")
  end
  local code = self.code and " (" .. self.code .. ")" or ""
  return (self.where or "") .. about .. ": " ..
    tostring(self.strerror or "failed") .. code
end

--- OSError([errno [, strerror [, op [, address]]]]): as Python's, an errno with
-- a class of its own makes an instance of that class.  The number gives the
-- code, and the text where there is none.
local OSError = class("OSError", Exception, {
  __doc = "A system call failed.",
  __new = function(cls, errno, ...)
    if cls == errors.OSError then cls = by_errno[errno] or cls end
    return class.super(errors.OSError, cls).__new(cls, errno, ...)
  end,
  _numbers = "errno",                   -- what the errno is one of
  __init = function(self, errno, strerror, op, address)
    self.errno, self.strerror, self.op, self.address =
      errno, strerror, op, address
    if errno then
      local code, text = core.describe(errno, self._numbers)
      self.code, self.strerror = code, strerror or text
    end
  end,
})

errors.error, errors.OSError, errors.Exception = OSError, OSError, Exception

local function derive(name, base, doc, ...)
  local cls = class(name, base, {__doc = doc})
  for _, code in ipairs {...} do
    local number = core.constants[code]
    if number then by_errno[number] = cls end
  end
  errors[name] = cls
  return cls
end

derive("BlockingIOError", OSError, "The operation would block.",
  "EAGAIN", "EALREADY", "EWOULDBLOCK", "EINPROGRESS")
local ConnectionError = derive("ConnectionError", OSError,
  "Base of what a connection suffers.")
derive("BrokenPipeError", ConnectionError, "Nobody reads what is written.",
  "EPIPE", "ESHUTDOWN")
derive("ConnectionAbortedError", ConnectionError, "Aborted by the peer.",
  "ECONNABORTED")
derive("ConnectionRefusedError", ConnectionError, "Nobody listens there.",
  "ECONNREFUSED")
derive("ConnectionResetError", ConnectionError, "Reset by the peer.",
  "ECONNRESET")
derive("FileExistsError", OSError, "The path exists.", "EEXIST")
derive("FileNotFoundError", OSError, "There is no such path.", "ENOENT")
derive("InterruptedError", OSError, "Interrupted by a signal.", "EINTR")
derive("IsADirectoryError", OSError, "Not for directories.", "EISDIR")
derive("NotADirectoryError", OSError, "Only for directories.", "ENOTDIR")
derive("PermissionError", OSError, "Not permitted.", "EACCES", "EPERM")
derive("ProcessLookupError", OSError, "There is no such process.", "ESRCH")
derive("ChildProcessError", OSError, "There is no such child.", "ECHILD")
errors.timeout = derive("TimeoutError", OSError, "Time is up.", "ETIMEDOUT")
derive("gaierror", OSError, "getaddrinfo or getnameinfo failed.")
errors.gaierror._numbers = "name"
derive("herror", OSError, "A look-up by host address failed.")
errors.herror._numbers = "host"
-- not an OSError: what handles a failing socket must not swallow it
derive("CancelledError", Exception, "The task was cancelled.")
derive("QueueEmpty", Exception, "There is no item to get at once.")
derive("QueueFull", Exception, "There is no room to put an item at once.")
-- nor this: it asks for the other way, by send
derive("_GiveupOnSendfile", Exception, "sendfile(2) cannot send this file.")

--- ExceptionGroup(message, exceptions): several errors at once, as a list.
local ExceptionGroup = derive("ExceptionGroup", Exception, "Several errors.")

function ExceptionGroup:__init(message, exceptions)
  self.message, self.exceptions = message, exceptions
end

--- One line, in which the errors keep their positions to themselves.
function ExceptionGroup:__str()
  local lines = {}
  for i, err in ipairs(self.exceptions) do
    local where = class.isinstance(err, Exception) and err.where or ""
    lines[i] = tostring(err):sub(#where + 1)
  end
  return ("%s%s: %s"):format(self.where or "", self.message,
    table.concat(lines, "; "))
end

do
  local metatables = {
    here = debug.getinfo(1, "S").source:match "^(.*)errors%.lua$",
    default = class.metatable(OSError),
    name = class.metatable(errors.gaierror),
    host = class.metatable(errors.herror),
    cancelled = class.metatable(errors.CancelledError),
    empty = class.metatable(errors.QueueEmpty),
    full = class.metatable(errors.QueueFull),
    giveup = class.metatable(errors._GiveupOnSendfile),
  }
  for number, cls in pairs(by_errno) do
    metatables[number] = class.metatable(cls)
  end
  core.seterrors(metatables)
end

return errors
