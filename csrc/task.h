/* task: what a task does to Lua's eyes: spawn, join, cancel; sleep; and the
** scopes of loop.timeout.  How it looks is inspect's. */

#ifndef cs_task_h
#define cs_task_h

#include <lua.h>

#include "loop.h"

void cs_pushtraceback(lua_State *L);
cs_Task *cs_newtask(lua_State *L);
void cs_starttask(lua_State *L, cs_Task *t, int index);
int cs_failtask(lua_State *L);
void cs_canceltask(cs_Loop *loop, cs_Task *t);
void cs_open_task(lua_State *L);

#endif
