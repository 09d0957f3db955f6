/* sync: what tasks share: events, semaphores, locks, queues. */

#ifndef cs_sync_h
#define cs_sync_h

#include <lua.h>

void cs_open_sync(lua_State *L);

#endif
