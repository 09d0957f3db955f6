/* inspect: reads what loop and task keep, and changes nothing but names and
** limits.  What a task waits for is not recorded beyond the operation's name:
** the object is still the first argument of the function that waits.
** Invariant: a coroutine is looked into only when it was reached from its
** task's, step by step; `waiter` alone may be a pointer to one that is gone. */

#include <lauxlib.h>
#include <string.h>

#include "coroutine.h"
#include "error.h"
#include "inspect.h"
#include "loop.h"
#include "task.h"

static const char *status_of(const cs_Task *t) {
  static const char *const names[] = {"ready", "running", "waiting", "done",
                                      "failed"};
  return t->state == CS_FAILED && t->cancelled ? "cancelled" : names[t->state];
}

/* task:status() -> "ready", "running", "waiting", "done", "failed" or
** "cancelled". */
static int task_status(lua_State *L) {
  lua_pushstring(L, status_of(cs_totask(L, 1)));
  return 1;
}

static int task_tostring(lua_State *L) {
  cs_Task *t = cs_totask(L, 1);
  lua_pushfstring(L, "<csock.task %s: %p>", status_of(t), (void *)t);
  return 1;
}

/* task.name -> a string; anything else is a method, or nil. */
static int task_index(lua_State *L) {
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1;
  cs_totask(L, 1);
  if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "name") != 0)
    return 1;
  cs_pushname(L, 1);
  return 1;
}

/* task.name = string; nil brings the first one back. */
static int task_newindex(lua_State *L) {
  cs_totask(L, 1);
  if (lua_type(L, 2) != LUA_TSTRING || strcmp(lua_tostring(L, 2), "name") != 0)
    return cs_misuse(L, "a task has no field '%s'", luaL_tolstring(L, 2, NULL));
  if (lua_type(L, 3) != LUA_TSTRING && !lua_isnil(L, 3))
    return cs_misuse(L,
                     "bad value for property 'name' (string expected, got "
                     "%s)",
                     luaL_typename(L, 3));
  lua_settop(L, 3);
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKNAMES);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 3);
  lua_rawset(L, -3);
  return 0;
}

/* task:traceback() -> where it is, as debug.traceback says it, with the
** coroutines it has resumed through csock.coroutine, innermost first; for a
** failed one, where the error came from.  nil when it has returned or was
** cancelled. */
static int task_traceback(lua_State *L) {
  cs_Task *t = cs_totask(L, 1);
  int depth = 0;
  lua_settop(L, 1);
  if (t->state >= CS_DONE) {
    cs_pushtraceback(L);
    return 1;
  }
  for (lua_State *co = t->co; co != NULL; co = cs_inner(co)) {
    luaL_traceback(L, co, NULL, co == L);
    if (depth++ == 0) continue;
    lua_pushliteral(L, "\nresumed by\n");
    lua_pushvalue(L, 2);
    lua_concat(L, 3);
    lua_replace(L, 2);
  }
  return 1;
}

/* Push the object that the task's operation is about; 0 when there is none. */
static int push_object(lua_State *L, cs_Task *t) {
  lua_State *co = t->co, *inner;
  while ((inner = cs_inner(co)) != NULL) co = inner;
  if (co != t->waiter || lua_status(co) != LUA_YIELD || lua_gettop(co) < 1)
    return 0;
  if (lua_type(co, 1) == LUA_TNUMBER || !lua_checkstack(co, 1)) return 0;
  lua_pushvalue(co, 1);
  lua_xmove(co, L, 1);
  return 1;
}

/* Push a table about the task on top of the stack. */
static void describe(lua_State *L) {
  int task = lua_gettop(L);
  cs_Task *t = lua_touserdata(L, task);
  lua_createtable(L, 0, 7);
  lua_pushvalue(L, task);
  lua_setfield(L, -2, "task");
  lua_pushinteger(L, t->number);
  lua_setfield(L, -2, "number");
  cs_pushname(L, task);
  lua_setfield(L, -2, "name");
  lua_pushstring(L, status_of(t));
  lua_setfield(L, -2, "status");
  if (t->state != CS_WAITING) return;
  lua_pushnumber(L, (lua_Number)t->since / (lua_Number)CS_SECOND);
  lua_setfield(L, -2, "since");
  if (t->op == NULL) return;
  lua_pushstring(L, t->op);
  lua_setfield(L, -2, "op");
  if (push_object(L, t)) lua_setfield(L, -2, "on");
}

/* tasks() -> a list of tables, one for each live task, in no order: see
** lua/csock/loop.lua. */
static int inspect_tasks(lua_State *L) {
  lua_Integer n = 0;
  lua_settop(L, 0);
  lua_newtable(L);
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKS);
  for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
    cs_totask(L, -1)->shown = 1;
    describe(L);
    lua_rawseti(L, 1, ++n);
  }
  lua_settop(L, 1);
  return 1;
}

static const luaL_Reg inspect_methods[] = {
    {"status", task_status},
    {"traceback", task_traceback},
    {NULL, NULL},
};

static const luaL_Reg inspect_meta[] = {
    {"__newindex", task_newindex},
    {"__tostring", task_tostring},
    {NULL, NULL},
};

/* loop.now() -> seconds of the monotonic clock, a float. */
static int loop_now(lua_State *L) {
  lua_pushnumber(L, (lua_Number)cs_now() / (lua_Number)CS_SECOND);
  return 1;
}

/* loop.poller() -> the name of the poller in use, or nil outside of run. */
static int loop_poller(lua_State *L) {
  const cs_PollerOps *ops = cs_loop(L)->poller.ops;
  lua_pushstring(L, ops != NULL ? ops->name : NULL);
  return 1;
}

/* loop.live() -> how many tasks have not ended. */
static int loop_live(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)cs_loop(L)->live);
  return 1;
}

/* loop.spin([seconds]) -> how long the loop asks for events before it sleeps,
** which may be set. */
static int loop_spin(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  if (!lua_isnoneornil(L, 1)) loop->spin = cs_checktimeout(L, 1);
  lua_pushnumber(L, (lua_Number)loop->spin / (lua_Number)CS_SECOND);
  return 1;
}

/* loop.slow([seconds]) -> how long a task may run without a wait before it is
** warned of, which may be set; 0: for ever. */
static int loop_slow(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  if (!lua_isnoneornil(L, 1)) loop->slow.limit = cs_checktimeout(L, 1);
  lua_pushnumber(L, (lua_Number)loop->slow.limit / (lua_Number)CS_SECOND);
  return 1;
}

static const luaL_Reg inspect_funcs[] = {
    {"tasks", inspect_tasks},
    {"now", loop_now},
    {"poller", loop_poller},
    {"live", loop_live},
    {"slow", loop_slow},
    {"spin", loop_spin},
    {NULL, NULL},
};

/* Adds to the class of tasks, which is there, and to core.loop. */
void cs_open_inspect(lua_State *L) {
  luaL_getmetatable(L, CS_TASK);
  cs_setfuncs(L, inspect_meta);
  cs_pushloop(L);
  lua_getfield(L, -2, "__index");
  cs_setfuncs(L, inspect_methods);
  lua_pushcclosure(L, task_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_getfield(L, -1, "loop");
  cs_setfuncs(L, inspect_funcs);
  lua_pop(L, 1);
}
