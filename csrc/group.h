/* group: tasks that do the same for one owner, such as a server's requests. */

#ifndef cs_group_h
#define cs_group_h

#include <lua.h>

void cs_open_group(lua_State *L);

#endif
