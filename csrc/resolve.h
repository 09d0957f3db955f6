/* resolve: names of hosts, services and protocols, by asking the system. */

#ifndef cs_resolve_h
#define cs_resolve_h

#include <lua.h>

#include "drive.h"

int cs_resolve(lua_State *L, int arg, cs_Handle *h, int family, int proto,
               const char *op);
int cs_drivenamed(lua_State *L, cs_Handle *h, const cs_Op *op, int64_t timeout);
void cs_open_resolve(lua_State *L);

#endif
