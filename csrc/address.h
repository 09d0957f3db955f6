/* address: Lua's addresses and the system's, both ways.  It parses numbers and
** paths; host names are resolve's. */

#ifndef cs_address_h
#define cs_address_h

#include <lua.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef struct cs_Address {
  socklen_t len;
  union {
    struct sockaddr any;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
    struct sockaddr_storage storage;
  } u;
} cs_Address;

int cs_checkaddress(lua_State *L, int arg, int family, int proto,
                    cs_Address *a);
const struct sockaddr *cs_seeaddress(lua_State *L, int arg, int family,
                                     const void *meta, socklen_t *len);
void cs_pushaddress(lua_State *L, const cs_Address *a, int proto);
void cs_pushaddresswith(lua_State *L, const cs_Address *a, int proto, int meta);
void cs_pushaddressmeta(lua_State *L);
void cs_open_address(lua_State *L);

#endif
