/* writer: the methods of files that write, and close, which writes last. */

#ifndef cs_writer_h
#define cs_writer_h

#include <lua.h>

#include "file.h"

int cs_flushnow(lua_State *L, cs_File *f);
int cs_flushfile(lua_State *L);
void cs_open_writer(lua_State *L);

#endif
