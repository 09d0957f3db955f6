/* inet: Python's functions on addresses as text and as packed bytes, on the
** order of bytes, and on interfaces, which the kernel answers without waiting.
** Not here: the addresses of sockets (address), names of hosts, services and
** protocols, which are looked up (resolve).
** Invariant: the list of interfaces hangs on a userdata from before it is made
** until it is freed. */

#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <net/if.h>
#include <stdint.h>
#include <sys/socket.h>

#include "buffer.h"
#include "error.h"
#include "inet.h"

#define INTERFACES "csock.interfaces"

/*
** Text and bytes
*/

/* Packed bytes: a string or a buffer, and no number, whose digits would pass
** for an address. */
static const char *check_packed(lua_State *L, int arg, size_t *len) {
  const char *packed = NULL;
  if (lua_type(L, arg) != LUA_TNUMBER) packed = cs_todata(L, arg, len);
  if (packed == NULL) cs_typeerror(L, arg, "string or buffer");
  return packed;
}

static int bad_text(lua_State *L, const char *op, int addr) {
  return cs_failabout(L, 0, "illegal IP address string", op, addr);
}

/* inet_aton(text) -> the four bytes of an IPv4 address in any of its
** spellings: "127.1", "0x7f000001".  Raises error.  (inet_aton(3)) */
static int inet_from_ipv4(lua_State *L) {
  struct in_addr in;
  if (inet_aton(cs_checkname(L, 1), &in) == 0)
    return bad_text(L, "inet_aton", 1);
  lua_pushlstring(L, (const char *)&in, sizeof in);
  return 1;
}

/* inet_ntoa(packed) -> an IPv4 address, of its four bytes in a string or a
** buffer, as text.  Raises error for any other number of bytes.
** (inet_ntoa(3)) */
static int inet_to_ipv4(lua_State *L) {
  char text[INET_ADDRSTRLEN];
  size_t len;
  const char *packed = check_packed(L, 1, &len);
  if (len != sizeof(struct in_addr))
    return cs_failtext(L, 0, "packed IP wrong length", "inet_ntoa");
  lua_pushstring(L, inet_ntop(AF_INET, packed, text, sizeof text));
  return 1;
}

/* inet_pton(family, text) -> the bytes of an address, 4 for AF_INET, 16 for
** AF_INET6.  Raises error, for another family with EAFNOSUPPORT.
** (inet_pton(3)) */
static int inet_from_text(lua_State *L) {
  int family = cs_checkint(L, 1), n;
  const char *text = cs_checkname(L, 2);
  unsigned char packed[sizeof(struct in6_addr)];
  n = inet_pton(family, text, packed);
  if (n < 0) return cs_fail(L, 0, errno, "inet_pton", 2);
  if (n == 0) return bad_text(L, "inet_pton", 2);
  lua_pushlstring(L, (const char *)packed,
                  family == AF_INET ? sizeof(struct in_addr) : sizeof packed);
  return 1;
}

/* inet_ntop(family, packed) -> an address as text, of its bytes in a string or
** a buffer: 4 for AF_INET, 16 for AF_INET6.  (inet_ntop(3)) */
static int inet_to_text(lua_State *L) {
  int family = cs_checkint(L, 1);
  char text[INET6_ADDRSTRLEN];
  size_t len;
  const char *packed = check_packed(L, 2, &len);
  if (family != AF_INET && family != AF_INET6)
    return cs_argerror(L, 1,
                       lua_pushfstring(L, "unknown address family %d", family));
  if (len !=
      (family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr)))
    return cs_argerror(L, 2, "invalid length of packed IP address string");
  lua_pushstring(L, inet_ntop(family, packed, text, sizeof text));
  return 1;
}

/*
** The order of bytes
*/

static uint32_t check_unsigned(lua_State *L, int arg, uint32_t max) {
  int isint = 0;
  lua_Integer n = 0;
  if (lua_type(L, arg) == LUA_TNUMBER) n = lua_tointegerx(L, arg, &isint);
  if (!isint) cs_typeerror(L, arg, "integer");
  if (n < 0 || n > (lua_Integer)max)
    cs_argerror(L, arg, lua_pushfstring(L, "must be 0-%I", (LUAI_UACINT)max));
  return (uint32_t)n;
}

/* htonl(n) -> the 32 bits of n (0-4294967295), in this machine's order, in the
** network's.  (byteorder(3)) */
static int inet_htonl(lua_State *L) {
  lua_pushinteger(L, htonl(check_unsigned(L, 1, UINT32_MAX)));
  return 1;
}

/* ntohl(n) -> the way back. */
static int inet_ntohl(lua_State *L) {
  lua_pushinteger(L, ntohl(check_unsigned(L, 1, UINT32_MAX)));
  return 1;
}

/* htons(n) -> the same for 16 bits (0-65535). */
static int inet_htons(lua_State *L) {
  lua_pushinteger(L, htons((uint16_t)check_unsigned(L, 1, UINT16_MAX)));
  return 1;
}

/* ntohs(n) -> the way back. */
static int inet_ntohs(lua_State *L) {
  lua_pushinteger(L, ntohs((uint16_t)check_unsigned(L, 1, UINT16_MAX)));
  return 1;
}

/*
** Interfaces
*/

static int interfaces_free(lua_State *L) {
  struct if_nameindex **list = lua_touserdata(L, 1);
  if (*list != NULL) if_freenameindex(*list);
  *list = NULL;
  return 0;
}

/* if_nameindex() -> list of {index, name}, one pair for each interface of this
** machine.  Raises error.  (if_nameindex(3)) */
static int inet_if_nameindex(lua_State *L) {
  struct if_nameindex **list;
  lua_settop(L, 0);
  list = lua_newuserdatauv(L, sizeof *list, 0);
  *list = NULL;
  luaL_setmetatable(L, INTERFACES);
  lua_newtable(L);
  *list = if_nameindex();
  if (*list == NULL) return cs_fail(L, 0, errno, "if_nameindex", 0);
  for (int i = 0; (*list)[i].if_index != 0; i++) {
    lua_createtable(L, 2, 0);
    lua_pushinteger(L, (*list)[i].if_index);
    lua_rawseti(L, -2, 1);
    lua_pushstring(L, (*list)[i].if_name);
    lua_rawseti(L, -2, 2);
    lua_rawseti(L, -2, i + 1);
  }
  interfaces_free(L);
  return 1;
}

/* if_nametoindex(name) -> the index of the interface, above 0.  Raises error.
** (if_nametoindex(3)) */
static int inet_if_nametoindex(lua_State *L) {
  unsigned index = if_nametoindex(cs_checkname(L, 1));
  if (index == 0) return cs_fail(L, 0, errno, "if_nametoindex", 1);
  lua_pushinteger(L, index);
  return 1;
}

/* if_indextoname(index) -> the name of the interface.  Raises error.
** (if_indextoname(3)) */
static int inet_if_indextoname(lua_State *L) {
  char name[IF_NAMESIZE];
  if (if_indextoname(check_unsigned(L, 1, UINT_MAX), name) == NULL)
    return cs_fail(L, 0, errno, "if_indextoname", 1);
  lua_pushstring(L, name);
  return 1;
}

static const luaL_Reg inet_funcs[] = {
    {"htonl", inet_htonl},
    {"htons", inet_htons},
    {"if_indextoname", inet_if_indextoname},
    {"if_nameindex", inet_if_nameindex},
    {"if_nametoindex", inet_if_nametoindex},
    {"inet_aton", inet_from_ipv4},
    {"inet_ntoa", inet_to_ipv4},
    {"inet_ntop", inet_to_text},
    {"inet_pton", inet_from_text},
    {"ntohl", inet_ntohl},
    {"ntohs", inet_ntohs},
    {NULL, NULL},
};

/* Adds its functions to core. */
void cs_open_inet(lua_State *L) {
  luaL_newmetatable(L, INTERFACES);
  lua_pushcfunction(L, interfaces_free);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  luaL_setfuncs(L, inet_funcs, 0);
}
