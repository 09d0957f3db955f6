/* group: tasks that do the same for one owner, such as a server's requests. */

#ifndef cs_group_h
#define cs_group_h

#include <lua.h>

#include "loop.h"

/* the user value of a group for a subject that has no task yet */
#define CS_PENDING 5

cs_Group *cs_checkgroup(lua_State *L, int arg);
void cs_joingroup(cs_Group *g, cs_Task *t);
void cs_groupspawn(lua_State *L, int group, int step, int subject);
void cs_open_group(lua_State *L);

#endif
