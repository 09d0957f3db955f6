/* descriptor: how a socket gets its descriptor and gives it away. */

#ifndef cs_descriptor_h
#define cs_descriptor_h

#include <lua.h>

void cs_open_descriptor(lua_State *L);

#endif
