/*
** bare: recv and send as the least that a C function for Lua can be: it
** knows its object, makes the system call, and copies the string.  What csock
** adds to that is what bench/instructions shows.
** Not for use: no time-outs, no retries, errors without a reason.
** And two functions that tell callgrind when to count.
**
** Invariant: nothing is done here that csock could leave out.
*/

#include <lauxlib.h>
#include <lua.h>
#include <sys/socket.h>
#include <valgrind/callgrind.h>

#define BARE "csock.bare"

static char scratch[131072];

static int bare_recv(lua_State *L) {
  int *fd = luaL_checkudata(L, 1, BARE);
  lua_Integer size = luaL_checkinteger(L, 2);
  luaL_argcheck(L, size >= 0 && size <= (lua_Integer)sizeof scratch, 2, "size");
  ssize_t n = recv(*fd, scratch, (size_t)size, 0);
  if (n < 0) return luaL_error(L, "recv");
  lua_pushlstring(L, scratch, (size_t)n);
  return 1;
}

static int bare_send(lua_State *L) {
  int *fd = luaL_checkudata(L, 1, BARE);
  size_t len;
  const char *data = luaL_checklstring(L, 2, &len);
  ssize_t n = send(*fd, data, len, MSG_NOSIGNAL);
  if (n < 0) return luaL_error(L, "send");
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

/* new(fd) -> an object with recv(size) and send(data) */
static int bare_new(lua_State *L) {
  int fd = (int)luaL_checkinteger(L, 1);
  *(int *)lua_newuserdatauv(L, sizeof fd, 0) = fd;
  luaL_setmetatable(L, BARE);
  return 1;
}

static int bare_start(lua_State *L) {
  (void)L;
  CALLGRIND_START_INSTRUMENTATION;
  return 0;
}

static int bare_stop(lua_State *L) {
  (void)L;
  CALLGRIND_STOP_INSTRUMENTATION;
  return 0;
}

int luaopen_bare(lua_State *L);

int luaopen_bare(lua_State *L) {
  luaL_Reg methods[] = {{"recv", bare_recv}, {"send", bare_send}, {NULL, NULL}};
  luaL_newmetatable(L, BARE);
  luaL_newlib(L, methods);
  lua_setfield(L, -2, "__index");
  luaL_Reg functions[] = {{"new", bare_new},
                          {"start", bare_start},
                          {"stop", bare_stop},
                          {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
