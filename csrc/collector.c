/* collector: when Lua's collector should work less, because many tasks make
** that dear, and when more, because they have gone.
** Not here: its mode and parameters; those are the user's.
** Invariant: a collector that was stopped stays so. */

#include "collector.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Memory in KiB for each task: with more than that the tasks are no longer most
** of what there is to look at.  And how much may be received between two rounds
** of the collector, for each task and in all: what is beyond the caches costs
** more than the rounds. */
enum { SHARE = 16, ROUND = 6, MOST = 12288 };

static int count(lua_State *L) {
  return lua_gc(L, LUA_GCCOUNT);
}

/* So many bytes were received into strings, which are most of what a server
** leaves to the collector.  A round that finds a few dozen of them dead looks
** at every task's stack for it.  Where the tasks are many, the bytes are
** therefore taken off the account, and a round is made when there are some for
** each task: to Lua's generational mode a step is a round, of what is young.
** When a step has found little, the mode is the incremental one, or the strings
** are kept; then three bytes of four are taken off, and rounds come by
** themselves.  More would be less: the generational mode goes over all that is
** old when the account has doubled. */
void cs_ease(lua_State *L, size_t received, size_t tasks, cs_Eased *e) {
  int before = count(L), kbytes = (int)(received / 1024);
  if (before < 0 || (size_t)before >= SHARE * tasks ||
      !lua_gc(L, LUA_GCISRUNNING))
    return;
  lua_gc(L, LUA_GCSTEP, -(e->vain ? kbytes * 3 / 4 : kbytes));
  if (e->vain) return;
  e->kbytes += kbytes;
  if ((size_t)e->kbytes < ROUND * tasks && e->kbytes < MOST) return;
  kbytes = e->kbytes;
  e->kbytes = 0; /* a finalizer may receive as well */
  lua_gc(L, LUA_GCSTEP, 0);
  e->vain = before - count(L) < kbytes / 2;
}

/* Most of many tasks have ended: give the system back what they have used, and
** what would be found to be garbage at the next need of memory only. */
void cs_tidy(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
