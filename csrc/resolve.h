/* resolve: host names, through the system's resolver. */

#ifndef cs_resolve_h
#define cs_resolve_h

#include <lua.h>

#include "drive.h"

int cs_resolve(lua_State *L, cs_Handle *h, int arg, int family, int type,
               const char *op);
void cs_open_resolve(lua_State *L);

#endif
