/* record: what follows a format, read from a file. */

#ifndef cs_record_h
#define cs_record_h

#include <lua.h>

void cs_open_record(lua_State *L);

#endif
