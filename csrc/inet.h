/* inet: Internet addresses as text and as bytes, the order of bytes, and the
** names of interfaces. */

#ifndef cs_inet_h
#define cs_inet_h

#include <lua.h>

void cs_open_inet(lua_State *L);

#endif
