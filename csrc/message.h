/* message: the methods of sockets that move messages: several buffers at once,
** with ancillary data and flags. */

#ifndef cs_message_h
#define cs_message_h

#include <lua.h>

void cs_open_message(lua_State *L);

#endif
