/* unix: what only AF_UNIX has. */

#ifndef cs_unix_h
#define cs_unix_h

#include <lua.h>

void cs_open_unix(lua_State *L);

#endif
