/* slow: notices a task that runs too long without waiting, and where it was.
** It knows coroutines and time, no loop.  Nothing of it runs while the limit is
** 0. */

#ifndef cs_slow_h
#define cs_slow_h

#include <lua.h>
#include <stdint.h>

typedef struct cs_Slow {
  int64_t limit; /* nanoseconds; 0: nobody wants to know */
  int64_t started, took;
  int line; /* where it was when that had passed; 0: not known */
  char source[LUA_IDSIZE];
  lua_Hook hook; /* the coroutine's own, meanwhile */
  int mask, count;
} cs_Slow;

void cs_initslow(lua_State *L, cs_Slow *s);
void cs_startwatch(lua_State *co, cs_Slow *s);
int cs_stopwatch(lua_State *co, lua_State *at, cs_Slow *s);
void cs_warnslow(lua_State *L, const char *name, cs_Slow *s);

#endif
