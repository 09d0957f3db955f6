/* transfer: the methods of sockets that move data. */

#ifndef cs_transfer_h
#define cs_transfer_h

#include <lua.h>

void cs_open_transfer(lua_State *L);

#endif
