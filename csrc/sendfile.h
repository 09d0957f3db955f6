/* sendfile: the methods of sockets that send files. */

#ifndef cs_sendfile_h
#define cs_sendfile_h

#include <lua.h>

void cs_open_sendfile(lua_State *L);

#endif
