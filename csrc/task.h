/* task: what a task is to Lua: spawn, join, cancel, status; sleep; and the
** scopes of loop.timeout. */

#ifndef cs_task_h
#define cs_task_h

#include <lua.h>

void cs_open_task(lua_State *L);

#endif
