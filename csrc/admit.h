/* admit: connections that become requests as soon as they are there. */

#ifndef cs_admit_h
#define cs_admit_h

#include <lua.h>

void cs_open_admit(lua_State *L);

#endif
