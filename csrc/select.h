/* select: waiting for any of many descriptors. */

#ifndef cs_select_h
#define cs_select_h

#include <lua.h>

void cs_open_select(lua_State *L);

#endif
