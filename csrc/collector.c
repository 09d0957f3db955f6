/* collector: when Lua's collector should work less, because many tasks make
** that dear, and when more, because they have gone.
** Not here: its mode and parameters; those are the user's.
** Invariant: a collector that was stopped stays so. */

#include "collector.h"

#ifdef __GLIBC__
#include <malloc.h>
#endif

/* Memory in KiB for each task: with more than that the tasks are no longer most
** of what there is to look at.  How much may be received between two rounds of
** the collector, for each task and in all: what is beyond the caches costs more
** than the rounds do.  And which part of the memory may be others' garbage. */
enum { SHARE = 16, ROUND = 6, MOST = 12288, PART = 8 };

static int count(lua_State *L) {
  return lua_gc(L, LUA_GCCOUNT);
}

/* So many bytes were received into strings, which are most of what a server
** leaves to the collector.  A round that finds a few dozen of them dead looks
** at every task's stack for it.  Where the tasks are many, the bytes are
** therefore taken off the account, and a round is made when there are some for
** each task: to Lua's generational mode a step is a round, of what is young.
** One that came by itself, for other garbage, would find that the memory has
** doubled, and go over all that is old; so it is made before that.
** When a step has found little, the mode is the incremental one, or the strings
** are kept; then three bytes of four are taken off, and rounds come by
** themselves. */
void cs_ease(lua_State *L, size_t received, size_t tasks, cs_Eased *e) {
  int now = count(L), kbytes = (int)(received / 1024), due;
  if (now < 0 || (size_t)now >= SHARE * tasks || !lua_gc(L, LUA_GCISRUNNING))
    return;
  lua_gc(L, LUA_GCSTEP, -(e->vain ? kbytes * 3 / 4 : kbytes));
  if (e->vain) return;
  e->kbytes += kbytes;
  kbytes = e->kbytes;
  due = kbytes >= MOST || (size_t)kbytes >= ROUND * tasks;
  if (!due && now - kbytes - e->base < e->base / PART) return;
  e->kbytes = 0; /* a finalizer may receive as well */
  lua_gc(L, LUA_GCSTEP, 0);
  e->base = count(L);
  if (due) e->vain = now - e->base < kbytes / 2;
}

/* Most of many tasks have ended: give the system back what they have used, and
** what would be found to be garbage at the next need of memory only. */
void cs_tidy(lua_State *L) {
  lua_gc(L, LUA_GCCOLLECT);
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
