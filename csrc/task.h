/* task: what a task does to Lua's eyes: spawn, join, cancel; sleep; and the
** scopes of loop.timeout.  How it looks is inspect's. */

#ifndef cs_task_h
#define cs_task_h

#include <lua.h>

void cs_open_task(lua_State *L);

#endif
