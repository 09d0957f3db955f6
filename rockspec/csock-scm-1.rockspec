-- The rock of the newest source: `luarocks make` in a checkout needs no
-- network and nothing but Lua and a C compiler.
rockspec_format = "3.0"
package = "csock"
version = "scm-1"
source = {
  url = ".",
}
description = {
  summary = "Sockets and servers: Python's names and meanings, in C",
  detailed = [[
    Python's socket and socketserver modules for Lua 5.4, with an event loop
    under them: a handler is written once, in blocking style, and runs on
    synchronous and on threading servers alike.]],
  license = "MIT",
  labels = {"network", "socket", "server", "coroutine", "async"},
}
supported_platforms = {"unix"}
dependencies = {
  "lua >= 5.4",
}
build = {
  type = "make",
  variables = {
    CFLAGS = "$(CFLAGS)",
    LIBFLAG = "$(LIBFLAG)",
    LUA_INCDIR = "$(LUA_INCDIR)",
    LUADIR = "$(LUADIR)",
    LIBDIR = "$(LIBDIR)",
  },
}
