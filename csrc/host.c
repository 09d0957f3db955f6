/* host: step, fileno, close.  A host is another event loop, the frames of a
** game, a C program that embeds Lua: it calls step() when the descriptor is
** readable, when the time that the last step told has come, and after it has
** spawned or woken a task itself.  Not here: what a turn is (loop).
** Invariant: a hosted loop stays entered until close(). */

#include <lauxlib.h>

#include "error.h"
#include "host.h"
#include "loop.h"

/* The loop, entered; raises where it is not the host who calls. */
static cs_Loop *hosted(lua_State *L, const char *what) {
  cs_Loop *loop = cs_loop(L);
  if (loop->current != NULL || (loop->entered && !loop->hosted))
    cs_misuse(L, "%s while the loop runs", what);
  if (!loop->entered) {
    cs_enterloop(L, loop);
    loop->hosted = 1;
  }
  return loop;
}

/* Push the seconds until a step has something to do that no descriptor will
** tell: 0 when tasks are ready, nil when there is nothing. */
static int push_due(lua_State *L, cs_Loop *loop) {
  int64_t first = cs_earliest(&loop->timers), left;
  if (loop->ready.next != &loop->ready) {
    lua_pushinteger(L, 0);
    return 1;
  }
  if (first == CS_FOREVER) {
    luaL_pushfail(L);
    return 1;
  }
  left = first - cs_now();
  lua_pushnumber(L, left > 0 ? (lua_Number)left / (lua_Number)CS_SECOND : 0);
  return 1;
}

/* step([timeout]) -> seconds until the next step is due, nil when only the
** descriptor can tell.  Runs what is ready; waits, `timeout` seconds at most
** (nil: for ever), if nothing is; and runs what has become ready.  The errors
** of tasks are theirs. */
static int host_step(lua_State *L) {
  int64_t timeout = cs_checktimeout(L, 1);
  cs_Loop *loop = hosted(L, "step");
  cs_runready(L, loop);
  if (timeout >= 0 || loop->live > 0) {
    cs_gather(L, loop, cs_deadline(timeout));
    cs_runready(L, loop);
  }
  return push_due(L, loop);
}

/* fileno() -> the poller's descriptor, or nil when it has none. */
static int host_fileno(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  if (!loop->entered) hosted(L, "fileno");
  if (loop->poller.fd < 0)
    luaL_pushfail(L);
  else
    lua_pushinteger(L, loop->poller.fd);
  return 1;
}

/* close() -> true: cancels what is left, as the end of run does. */
static int host_close(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  if (loop->current != NULL || (loop->entered && !loop->hosted))
    return cs_misuse(L, "close while the loop runs");
  if (loop->hosted) {
    lua_settop(L, 0);
    lua_pushvalue(L, lua_upvalueindex(1));
    cs_leaveloop(L, loop);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg host_funcs[] = {
    {"step", host_step},
    {"fileno", host_fileno},
    {"close", host_close},
    {NULL, NULL},
};

/* Adds core.host. */
void cs_open_host(lua_State *L) {
  lua_newtable(L);
  cs_setfuncs(L, host_funcs);
  lua_setfield(L, -2, "host");
}
