/* slow: a debug hook looks at the clock when a function returns, and after so
** many instructions.  The first time that it is late it keeps the position,
** which is in what took the time, not where the task came to wait or ended
** after that.  A hook of the user's own is silent while the watch is on.
** Invariant: outside of cs_startwatch and cs_stopwatch the coroutine has the
** hook it had. */

#include <stdio.h>
#include <string.h>

#include "error.h"
#include "slow.h"
#include "sys.h"

#define INSTRUCTIONS 10000

static const char slow_key = 's'; /* registry key of the one cs_Slow */

void cs_initslow(lua_State *L, cs_Slow *s) {
  lua_pushlightuserdata(L, s);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &slow_key);
}

static void keep_position(lua_State *L, cs_Slow *s) {
  lua_Debug ar;
  if (!cs_where(L, 0, &ar)) return;
  s->line = ar.currentline;
  memcpy(s->source, ar.short_src, sizeof s->source);
}

static void look(lua_State *L, lua_Debug *ar) {
  cs_Slow *s;
  (void)ar;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &slow_key);
  s = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (s->limit == 0) /* inherited from a coroutine that was watched once */
    lua_sethook(L, NULL, 0, 0);
  else if (s->line == 0 && cs_now() - s->started >= s->limit)
    keep_position(L, s);
}

/* The coroutine of a task is about to be resumed. */
void cs_startwatch(lua_State *co, cs_Slow *s) {
  s->hook = lua_gethook(co);
  s->mask = lua_gethookmask(co);
  s->count = lua_gethookcount(co);
  s->line = 0;
  lua_sethook(co, look, LUA_MASKRET | LUA_MASKCOUNT, INSTRUCTIONS);
  s->started = cs_now();
}

/* It has run, and waits in 'at' (NULL: it has ended).  Was it too long? */
int cs_stopwatch(lua_State *co, lua_State *at, cs_Slow *s) {
  s->took = cs_now() - s->started;
  lua_sethook(co, s->hook, s->mask, s->count);
  if (s->limit == 0 || s->took < s->limit) return 0;
  if (s->line == 0 && at != NULL && lua_checkstack(at, LUA_MINSTACK))
    keep_position(at, s);
  return 1;
}

/* Tell who it was, how long, and where. */
void cs_warnslow(lua_State *L, const char *name, cs_Slow *s) {
  char seconds[32];
  snprintf(seconds, sizeof seconds, "%.3f",
           (double)s->took / (double)CS_SECOND);
  if (s->line > 0)
    lua_pushfstring(L, "csock: %s ran %s s without a wait, at %s:%d", name,
                    seconds, s->source, s->line);
  else
    lua_pushfstring(L, "csock: %s ran %s s without a wait", name, seconds);
  lua_warning(L, lua_tostring(L, -1), 0);
  lua_pop(L, 1);
}
