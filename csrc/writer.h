/* writer: the methods of files that write, and close, which writes last. */

#ifndef cs_writer_h
#define cs_writer_h

#include <lua.h>

void cs_open_writer(lua_State *L);

#endif
