/* reader: the methods of files that read. */

#ifndef cs_reader_h
#define cs_reader_h

#include <lua.h>

void cs_open_reader(lua_State *L);

#endif
