/* connect: waiting for several connections that are under way. */

#ifndef cs_connect_h
#define cs_connect_h

#include <lua.h>

void cs_open_connect(lua_State *L);

#endif
