/* child: processes made by fork, as something a task can wait for. */

#ifndef cs_child_h
#define cs_child_h

#include <lua.h>

void cs_open_child(lua_State *L);

#endif
