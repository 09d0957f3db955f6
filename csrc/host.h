/* host: the loop run step by step, by a program that has a loop of its own. */

#ifndef cs_host_h
#define cs_host_h

#include <lua.h>

void cs_open_host(lua_State *L);

#endif
