/* reader: the methods of files that read, and what carries them out. */

#ifndef cs_reader_h
#define cs_reader_h

#include <lua.h>

#include "drive.h"
#include "file.h"

cs_File *cs_toreader(lua_State *L);
int cs_sendtied(lua_State *L, const cs_File *f, lua_KContext ctx,
                lua_KFunction k, int *n);
int cs_wassent(lua_State *L);
int cs_readnow(lua_State *L, const cs_File *f, cs_Handle *h, const cs_Op *op);
int cs_read(lua_State *L, const cs_File *f, const cs_Op *op);
int cs_failedread(lua_State *L, cs_Handle *h, int err);
void cs_open_reader(lua_State *L);

#endif
