/* host: a program that embeds Lua, has a loop of its own, in poll(2), and
** drives csock's loop in it.
**   host SCRIPT
** The script spawns tasks and sets the global `over` when all is done.  The
** host's own life is a pipe to itself: a byte that it reads it writes again,
** three times.  Prints how often that was. */

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static lua_State *L;

static void check(int ok) {
  if (ok) return;
  fprintf(stderr, "host: %s\n", lua_tostring(L, -1));
  exit(1);
}

/* Push what a function of csock.loop returns, called with nothing or 0. */
static void call(const char *name, int nargs) {
  lua_getglobal(L, "loop");
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  if (nargs == 1) lua_pushinteger(L, 0);
  check(lua_pcall(L, nargs, 1, 0) == LUA_OK);
}

/* One step: milliseconds until the next, -1 when the descriptor will tell. */
static int step(void) {
  int ms = -1;
  call("step", 1);
  if (!lua_isnil(L, -1)) ms = (int)ceil(lua_tonumber(L, -1) * 1000);
  lua_pop(L, 1);
  return ms;
}

static int over(void) {
  int yes;
  lua_getglobal(L, "over");
  yes = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return yes;
}

int main(int argc, char **argv) {
  struct pollfd p[2] = {{.events = POLLIN}, {.events = POLLIN}};
  int own[2], served = 0, ms;
  char byte = 'x';
  if (argc != 2 || pipe(own) != 0 || write(own[1], &byte, 1) != 1) return 2;
  L = luaL_newstate();
  luaL_openlibs(L);
  check(luaL_dofile(L, argv[1]) == LUA_OK);
  call("fileno", 0);
  p[0].fd = lua_isnil(L, -1) ? -1 : (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  p[1].fd = own[0];
  for (ms = step(); !over(); ms = step()) {
    if (p[0].fd < 0) { /* nothing tells: look again soon */
      if (ms < 0 || ms > 1) ms = 1;
    }
    poll(p, 2, ms);
    if (p[1].revents == 0) continue;
    if (read(own[0], &byte, 1) != 1) return 2;
    if (++served < 3 && write(own[1], &byte, 1) != 1) return 2;
  }
  call("close", 0);
  printf("served %d\n", served);
  lua_close(L);
  return 0;
}
