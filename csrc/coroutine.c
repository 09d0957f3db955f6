/* coroutine: resume and wrap as in Lua, with one difference: when what comes
** out of the inner coroutine is a wait (the current task has been put to sleep)
** and not a value for the caller, the resumer yields as well, up to the loop,
** and resumes the inner one when the loop resumes it.
** Invariant: loop->running is the innermost coroutine of the current task all
** of whose resumers are of this kind. */

#include <lauxlib.h>

#include "coroutine.h"
#include "loop.h"

static lua_State *toco(lua_State *L, int arg) {
  lua_State *co = lua_tothread(L, arg);
  luaL_argexpected(L, co != NULL, arg, "coroutine");
  return co;
}

/* Is the task asleep, or queued again: was this yield meant for the loop? */
static int is_wait(cs_Loop *loop) {
  return loop->current != NULL && loop->current->state != CS_RUNNING;
}

/* Has the coroutine passed a wait up, and not gone on since?  Then it is not
** suspended for anybody but its resumer. */
static int has_passed(lua_State *L, lua_State *co) {
  int passed;
  lua_getiuservalue(L, lua_upvalueindex(1), CS_PASSED);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  passed = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return passed;
}

static void set_passed(lua_State *L, lua_State *co, int passed) {
  lua_getiuservalue(L, lua_upvalueindex(1), CS_PASSED);
  lua_pushthread(co);
  lua_xmove(co, L, 1);
  if (passed)
    lua_pushboolean(L, 1);
  else
    lua_pushnil(L);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static int resumek(lua_State *L, int status, lua_KContext ctx);

/* Resume 'co' with the 'nargs' values on top of L.  Returns the number of
** values it pushed, -1 with an error object pushed; or yields to the loop and
** goes on in resumek, whose context tells resume from wrap. */
static int resume(lua_State *L, lua_State *co, int nargs, lua_KContext ctx) {
  cs_Loop *loop = cs_loop(L);
  int inside = loop->current != NULL && loop->running == L;
  int status, n;
  if (!lua_checkstack(co, nargs)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, nargs);
  if (inside && lua_isyieldable(L)) loop->running = co;
  status = lua_resume(co, L, nargs, &n);
  if (inside) loop->running = L;
  if (status == LUA_YIELD && inside && is_wait(loop)) {
    lua_pop(co, n);
    set_passed(L, co, 1);
    return lua_yieldk(L, 0, ctx, resumek);
  }
  if (status != LUA_OK && status != LUA_YIELD) n = 1;
  if (!lua_checkstack(L, n + 1)) {
    lua_pop(co, n);
    lua_pushliteral(L, "too many results to resume");
    return -1;
  }
  lua_xmove(co, L, n);
  return status == LUA_OK || status == LUA_YIELD ? n : -1;
}

/* Give the caller of resume (ctx 0) or of a wrapped function (ctx 1) what
** resume() has left. */
static int answer(lua_State *L, lua_State *co, int n, lua_KContext ctx) {
  if (ctx == 0) {
    lua_pushboolean(L, n >= 0);
    lua_insert(L, n < 0 ? -2 : -(n + 1));
    return n < 0 ? 2 : n + 1;
  }
  if (n >= 0) return n;
  if (lua_status(co) > LUA_YIELD) { /* close what it left open, as wrap does */
#if LUA_VERSION_RELEASE_NUM >= 50406
    int status = lua_closethread(co, L);
#else
    int status = lua_resetthread(co);
#endif
    if (status > LUA_YIELD) {
      lua_pop(L, 1);
      lua_xmove(co, L, 1);
    }
  }
  if (lua_type(L, -1) == LUA_TSTRING) { /* add the position, as wrap does */
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static lua_State *inner(lua_State *L, lua_KContext ctx) {
  return ctx == 0 ? lua_tothread(L, 1) : lua_tothread(L, lua_upvalueindex(2));
}

/* The same, asked for by the user. */
static int start(lua_State *L, lua_State *co, int nargs, lua_KContext ctx) {
  if (has_passed(L, co)) {
    lua_pushliteral(L, "cannot resume non-suspended coroutine");
    return -1;
  }
  return resume(L, co, nargs, ctx);
}

static int resumek(lua_State *L, int status, lua_KContext ctx) {
  lua_State *co = inner(L, ctx);
  (void)status;
  set_passed(L, co, 0);
  return answer(L, co, resume(L, co, 0, ctx), ctx);
}

/* coroutine.resume(co, ...), as in Lua. */
static int co_resume(lua_State *L) {
  lua_State *co = toco(L, 1);
  return answer(L, co, start(L, co, lua_gettop(L) - 1, 0), 0);
}

static int wrapped(lua_State *L) {
  lua_State *co = inner(L, 1);
  return answer(L, co, start(L, co, lua_gettop(L), 1), 1);
}

/* coroutine.wrap(f), as in Lua. */
static int co_wrap(lua_State *L) {
  lua_State *co;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_pushvalue(L, lua_upvalueindex(1));
  co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 2);
  return 1;
}

/* The coroutine that 'co' is resuming, or whose wait it has passed on; NULL:
** none, it runs or waits itself. */
lua_State *cs_inner(lua_State *co) {
  lua_Debug ar;
  lua_State *found = NULL;
  lua_CFunction f;
  if (!lua_getstack(co, 0, &ar) || !lua_checkstack(co, 2)) return NULL;
  lua_getinfo(co, "f", &ar);
  f = lua_tocfunction(co, -1);
  if (f == co_resume) found = lua_tothread(co, 1);
  if (f == wrapped) {
    lua_getupvalue(co, -1, 2);
    found = lua_tothread(co, -1);
    lua_pop(co, 1);
  }
  lua_pop(co, 1);
  return found;
}

static const luaL_Reg co_funcs[] = {
    {"resume", co_resume},
    {"wrap", co_wrap},
    {NULL, NULL},
};

/* Adds core.coroutine; the other functions of the library are Lua's own. */
void cs_open_coroutine(lua_State *L) {
  lua_newtable(L);
  cs_setfuncs(L, co_funcs);
  lua_setfield(L, -2, "coroutine");
}
