/* datagram: what the handler of a datagram reads it from, and writes its answer
** to. */

#ifndef cs_datagram_h
#define cs_datagram_h

#include <lua.h>

void cs_open_datagram(lua_State *L);

#endif
