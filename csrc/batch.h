/* batch: datagrams taken several at a time, for servers. */

#ifndef cs_batch_h
#define cs_batch_h

#include <lua.h>

void cs_open_batch(lua_State *L);

#endif
