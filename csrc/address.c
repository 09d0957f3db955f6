/* address: what a Lua program gives is checked here, whole, before anything is
** done with it; what the system gives becomes a string (AF_UNIX) or an object
** that keeps the bytes and formats itself when somebody looks.
** Invariant: an address object holds exactly the sockaddr the system gave, so
** to pass it back costs a copy. */

#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#include "address.h"
#include "error.h"

#define ADDRESS "csock.address"

static const struct sockaddr *toaddress(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, ADDRESS);
}

/*
** From Lua
*/

static int bad(lua_State *L, int arg, const char *what) {
  return luaL_argerror(L, arg, lua_pushfstring(L, "address: %s", what));
}

/* Item 'i' of the table at 'arg' as an integer in [0, max]. */
static lua_Integer get_number(lua_State *L, int arg, int i, const char *what,
                              lua_Integer max) {
  int type = lua_geti(L, arg, i), isnum = type == LUA_TNIL && i > 2;
  lua_Integer n = 0;
  if (type == LUA_TNUMBER) n = lua_tointegerx(L, -1, &isnum);
  if (!isnum) bad(L, arg, lua_pushfstring(L, "%s must be an integer", what));
  if (n < 0 || n > max)
    bad(L, arg, lua_pushfstring(L, "%s must be 0-%I", what, max));
  lua_pop(L, 1);
  return n;
}

/* As in Python this is no misuse: how long is too long, the system decides. */
static int too_long(lua_State *L) {
  return cs_failtext(L, 0, "AF_UNIX path too long", "address");
}

/* AF_UNIX: a path, with its zero; or a leading zero and then the exact bytes
** of an abstract name (unix(7)). */
static void check_path(lua_State *L, int arg, cs_Address *a) {
  size_t len;
  const char *path;
  if (lua_type(L, arg) != LUA_TSTRING) luaL_typeerror(L, arg, "path");
  path = lua_tolstring(L, arg, &len);
  if (len > 0 && path[0] != '\0') {
    if (strlen(path) != len) bad(L, arg, "embedded zero in the path");
    if (len >= sizeof a->u.un.sun_path) too_long(L);
  } else if (len > sizeof a->u.un.sun_path)
    too_long(L);
  a->u.un.sun_family = AF_UNIX;
  memcpy(a->u.un.sun_path, path, len);
  a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
                       (len > 0 && path[0] != '\0'));
}

/* Hosts that need no resolver: "" (any), "<broadcast>", and numbers. */
static int parse_ipv4(const char *host, struct in_addr *out) {
  if (*host == '\0')
    out->s_addr = htonl(INADDR_ANY);
  else if (strcmp(host, "<broadcast>") == 0)
    out->s_addr = htonl(INADDR_BROADCAST);
  else
    return inet_pton(AF_INET, host, out) == 1;
  return 1;
}

/* IPv6, with "%interface" (RFC 4007); a scope id in the address wins. */
static int parse_ipv6(const char *host, struct sockaddr_in6 *out) {
  char digits[INET6_ADDRSTRLEN];
  const char *zone = strchr(host, '%');
  size_t len = zone != NULL ? (size_t)(zone - host) : strlen(host);
  if (*host == '\0') {
    out->sin6_addr = in6addr_any;
    return 1;
  }
  if (len >= sizeof digits) return 0;
  memcpy(digits, host, len);
  digits[len] = '\0';
  if (inet_pton(AF_INET6, digits, &out->sin6_addr) != 1) return 0;
  if (zone != NULL && out->sin6_scope_id == 0) {
    out->sin6_scope_id = if_nametoindex(zone + 1);
    if (out->sin6_scope_id == 0) return 0; /* a number, or no such: resolver */
  }
  return 1;
}

/* {host, port [, flowinfo, scope_id]}.  The host's string is pushed, and stays:
** the table need not keep it. */
static int check_internet(lua_State *L, int arg, int family, cs_Address *a) {
  const char *host;
  size_t len;
  in_port_t port;
  if (!lua_istable(L, arg)) luaL_typeerror(L, arg, "{host, port}");
  port = htons((in_port_t)get_number(L, arg, 2, "port", 65535));
  if (lua_geti(L, arg, 1) != LUA_TSTRING) bad(L, arg, "host must be a string");
  host = lua_tolstring(L, -1, &len);
  if (strlen(host) != len) bad(L, arg, "embedded zero in the host");
  if (family == AF_INET) {
    a->u.in.sin_family = AF_INET;
    a->u.in.sin_port = port;
    a->len = sizeof a->u.in;
    return parse_ipv4(host, &a->u.in.sin_addr);
  }
  a->u.in6.sin6_family = AF_INET6;
  a->u.in6.sin6_port = port;
  a->u.in6.sin6_flowinfo =
      htonl((uint32_t)get_number(L, arg, 3, "flowinfo", 0xfffff));
  a->u.in6.sin6_scope_id =
      (uint32_t)get_number(L, arg, 4, "scope_id", UINT32_MAX);
  a->len = sizeof a->u.in6;
  return parse_ipv6(host, &a->u.in6);
}

/* The address at 'arg' for a socket of this family.  Returns 1 when '*a' is
** whole; 0, with its host's name pushed, when that has to be resolved first.
** Raises argument errors. */
int cs_checkaddress(lua_State *L, int arg, int family, cs_Address *a) {
  const struct sockaddr *given = luaL_testudata(L, arg, ADDRESS);
  memset(a, 0, sizeof *a);
  if (given != NULL) {
    if (given->sa_family != family) bad(L, arg, "of another family");
    a->len = (socklen_t)lua_rawlen(L, arg);
    memcpy(&a->u, given, a->len);
    return 1;
  }
  switch (family) {
  case AF_UNIX:
    check_path(L, arg, a);
    return 1;
  case AF_INET:
  case AF_INET6:
    if (!check_internet(L, arg, family, a)) return 0;
    lua_pop(L, 1);
    return 1;
  default:
    return bad(L, arg, "no addresses for this family");
  }
}

/*
** To Lua
*/

static void push_path(lua_State *L, const cs_Address *a) {
  size_t start = offsetof(struct sockaddr_un, sun_path);
  size_t len = a->len > start ? a->len - start : 0;
  const char *path = a->u.un.sun_path;
  if (len > 0 && path[0] != '\0') len = strnlen(path, len);
  lua_pushlstring(L, path, len);
}

/* Push an address as the system gave it; nil for none at all. */
void cs_pushaddress(lua_State *L, const cs_Address *a) {
  if (a->len < sizeof(sa_family_t)) {
    lua_pushnil(L);
    return;
  }
  if (a->u.any.sa_family == AF_UNIX) {
    push_path(L, a);
    return;
  }
  memcpy(lua_newuserdatauv(L, a->len, 0), &a->u, a->len);
  luaL_setmetatable(L, ADDRESS);
}

static void push_host(lua_State *L, const struct sockaddr *sa) {
  char text[INET6_ADDRSTRLEN + IF_NAMESIZE];
  if (sa->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const void *)sa;
    lua_pushstring(L, inet_ntop(AF_INET, &in->sin_addr, text, sizeof text));
  } else if (sa->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const void *)sa;
    lua_pushstring(L, inet_ntop(AF_INET6, &in6->sin6_addr, text, sizeof text));
  } else
    lua_pushnil(L);
}

/* Push item 'i' as in Python's tuples: host, port, flowinfo, scope id. */
static void push_item(lua_State *L, const struct sockaddr *sa, lua_Integer i) {
  const struct sockaddr_in *in = (const void *)sa;
  const struct sockaddr_in6 *in6 = (const void *)sa;
  int v6 = sa->sa_family == AF_INET6;
  if (i == 1)
    push_host(L, sa);
  else if (i == 2)
    lua_pushinteger(L, ntohs(v6 ? in6->sin6_port : in->sin_port));
  else if (i == 3 && v6)
    lua_pushinteger(L, ntohl(in6->sin6_flowinfo) & 0xfffff);
  else if (i == 4 && v6)
    lua_pushinteger(L, in6->sin6_scope_id);
  else
    lua_pushnil(L);
}

static int address_index(lua_State *L) {
  static const char *const names[] = {"host", "port", "flowinfo", "scope_id"};
  const struct sockaddr *sa = toaddress(L, 1);
  if (lua_type(L, 2) == LUA_TSTRING) {
    const char *key = lua_tostring(L, 2);
    for (int i = 0; i < 4; i++) {
      if (strcmp(key, names[i]) == 0) {
        push_item(L, sa, i + 1);
        return 1;
      }
    }
    if (strcmp(key, "family") == 0)
      lua_pushinteger(L, sa->sa_family);
    else
      lua_pushnil(L);
    return 1;
  }
  push_item(L, sa, lua_tointeger(L, 2));
  return 1;
}

static int address_len(lua_State *L) {
  lua_pushinteger(L, toaddress(L, 1)->sa_family == AF_INET6 ? 4 : 2);
  return 1;
}

static int address_eq(lua_State *L) {
  const struct sockaddr *a = luaL_testudata(L, 1, ADDRESS);
  const struct sockaddr *b = luaL_testudata(L, 2, ADDRESS);
  int equal = a != NULL && b != NULL && a->sa_family == b->sa_family;
  for (int i = 1; equal && i <= 4; i++) {
    push_item(L, a, i);
    push_item(L, b, i);
    equal = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  lua_pushboolean(L, equal);
  return 1;
}

/* host:port, and [host%scope]:port for IPv6 */
static int address_tostring(lua_State *L) {
  const struct sockaddr *sa = toaddress(L, 1);
  const struct sockaddr_in6 *in6 = (const void *)sa;
  char zone[IF_NAMESIZE];
  push_host(L, sa);
  push_item(L, sa, 2);
  if (sa->sa_family == AF_INET6 && in6->sin6_scope_id != 0) {
    if (if_indextoname(in6->sin6_scope_id, zone) == NULL)
      lua_pushinteger(L, in6->sin6_scope_id);
    else
      lua_pushstring(L, zone);
    lua_pushfstring(L, "[%s%%%s]:%s", lua_tostring(L, -3), lua_tostring(L, -1),
                    lua_tostring(L, -2));
  } else
    lua_pushfstring(L, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s",
                    lua_tostring(L, -2), lua_tostring(L, -1));
  return 1;
}

static int address_next(lua_State *L) {
  const struct sockaddr *sa = toaddress(L, 1);
  lua_Integer i = luaL_optinteger(L, 2, 0) + 1;
  lua_pushinteger(L, i);
  push_item(L, sa, i);
  if (lua_isnil(L, -1)) return 1;
  return 2;
}

static int address_pairs(lua_State *L) {
  toaddress(L, 1);
  lua_pushcfunction(L, address_next);
  lua_pushvalue(L, 1);
  return 2;
}

static const luaL_Reg address_meta[] = {
    {"__index", address_index}, {"__len", address_len},
    {"__eq", address_eq},       {"__tostring", address_tostring},
    {"__pairs", address_pairs}, {NULL, NULL},
};

void cs_open_address(lua_State *L) {
  luaL_newmetatable(L, ADDRESS);
  luaL_setfuncs(L, address_meta, 0);
  lua_pop(L, 1);
}
