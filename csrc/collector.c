/* collector: when Lua's collector should work less, because many tasks make
** that dear, and when more, because they have gone.
** Not here: its mode and parameters; those are the user's.
** Invariant: a collector that was stopped stays so. */

#include "collector.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Memory in KiB for each task: with more than that the tasks are no longer most
** of what there is to look at. */
#define SHARE 16

/* So many bytes were received into strings, which are most of what a server
** leaves to the collector.  A round that finds a few dozen of them dead looks
** at every task's stack for it.  Where the tasks are many, three bytes of four
** are therefore taken off the account: rounds become four times as rare, and
** the garbage between two of them nearly what is alive.  More would be less:
** Lua's generational mode goes over everything that is old, too, when that has
** doubled. */
void cs_ease(lua_State *L, size_t received, size_t tasks) {
  int kbytes = lua_gc(L, LUA_GCCOUNT);
  if (kbytes >= 0 && (size_t)kbytes < SHARE * tasks &&
      lua_gc(L, LUA_GCISRUNNING))
    lua_gc(L, LUA_GCSTEP, -(int)(received / 1024 * 3 / 4));
}

/* Most of many tasks have ended: give the system back what they have used, and
** what would be found to be garbage at the next need of memory only. */
void cs_tidy(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
