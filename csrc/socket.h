/* socket: the socket object, as the files that give it methods see it. */

#ifndef cs_socket_h
#define cs_socket_h

#include <lua.h>

#include "drive.h"

typedef struct cs_Socket {
  cs_Handle h; /* first */
  int family, type, proto;
} cs_Socket;

cs_Socket *cs_tosubclass(lua_State *L);
void cs_open_socket(lua_State *L);

/* The socket at index 1, open or closed.  A plain one is known by the address
** of its metatable, which spares the look-up. */
static inline cs_Socket *cs_tosocket(lua_State *L) {
  void *p = lua_touserdata(L, 1);
  if (p != NULL && lua_getmetatable(L, 1)) {
    int plain = lua_topointer(L, -1) == cs_loop(L)->socketmeta;
    lua_pop(L, 1);
    if (plain) return (cs_Socket *)p;
  }
  return cs_tosubclass(L);
}

#endif
