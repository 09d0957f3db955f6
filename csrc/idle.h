/* idle: connections between two requests. */

#ifndef cs_idle_h
#define cs_idle_h

#include <lua.h>

void cs_open_idle(lua_State *L);

#endif
