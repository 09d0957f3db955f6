/* address: what a Lua program gives is checked here, whole, before anything is
** done with it; what the system gives becomes a string (AF_UNIX) or an object
** that keeps the bytes and formats itself when somebody looks.
** Not here: the forms of the families without hosts and paths (family).
** Invariant: an address object holds the sockaddr the system gave, with zeros
** up to the size of its family's structure; so to pass it back costs a copy,
** and every field can be read. */

#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>

#include "address.h"
#include "error.h"
#include "family.h"

#define ADDRESS "csock.address"

static const char mark = 'a'; /* its address is item 1 of their metatable */

/* The forms of AF_CAN differ by protocol, which its bytes do not tell: there
** the object keeps it, as a user value. */
#if defined(AF_CAN)
#define HAS_PROTO(family) ((family) == AF_CAN)
#else
#define HAS_PROTO(family) 0
#endif

static const struct sockaddr *toaddress(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, ADDRESS);
}

/* The address object at 'arg', or NULL.  The mark in its metatable spares the
** look-up of a name. */
static const struct sockaddr *testaddress(lua_State *L, int arg) {
  const struct sockaddr *sa = lua_touserdata(L, arg);
  if (sa == NULL || !lua_getmetatable(L, arg)) return NULL;
  lua_rawgeti(L, -1, 1);
  if (lua_touserdata(L, -1) != &mark) sa = NULL;
  lua_pop(L, 2);
  return sa;
}

/*
** From Lua
*/

/* AF_UNIX: a path, with its zero; or a leading zero and then the exact bytes
** of an abstract name (unix(7)).  How long is too long, the system decides: as
** in Python that is no misuse. */
static int check_path(lua_State *L, int arg, cs_Address *a) {
  size_t len;
  const char *path;
  if (lua_type(L, arg) != LUA_TSTRING) cs_typeerror(L, arg, "path");
  path = lua_tolstring(L, arg, &len);
  if (len > 0 && path[0] != '\0') {
    if (strlen(path) != len) cs_badaddress(L, arg, "embedded zero in the path");
    if (len >= sizeof a->u.un.sun_path) return -ENAMETOOLONG;
  } else if (len > sizeof a->u.un.sun_path)
    return -ENAMETOOLONG;
  a->u.un.sun_family = AF_UNIX;
  memcpy(a->u.un.sun_path, path, len);
  a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len +
                       (len > 0 && path[0] != '\0'));
  return 1;
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
  if (!lua_istable(L, arg)) cs_typeerror(L, arg, "{host, port}");
  port = htons((in_port_t)cs_getnumber(L, arg, 2, "port", 0, 65535));
  if (lua_geti(L, arg, 1) != LUA_TSTRING)
    cs_badaddress(L, arg, "host must be a string");
  host = lua_tolstring(L, -1, &len);
  if (strlen(host) != len) cs_badaddress(L, arg, "embedded zero in the host");
  if (family == AF_INET) {
    a->u.in.sin_family = AF_INET;
    a->u.in.sin_port = port;
    a->len = sizeof a->u.in;
    return parse_ipv4(host, &a->u.in.sin_addr);
  }
  a->u.in6.sin6_family = AF_INET6;
  a->u.in6.sin6_port = port;
  a->u.in6.sin6_flowinfo =
      htonl((uint32_t)cs_optnumber(L, arg, 3, "flowinfo", 0xfffff, 0));
  a->u.in6.sin6_scope_id =
      (uint32_t)cs_optnumber(L, arg, 4, "scope_id", UINT32_MAX, 0);
  a->len = sizeof a->u.in6;
  return parse_ipv6(host, &a->u.in6);
}

/* {host, port ...} as the rows of family.c know it, but for host names. */
static int parse_internet(lua_State *L, int arg, int family, cs_Address *a) {
  if (!check_internet(L, arg, family, a)) return 0;
  lua_pop(L, 1);
  return 1;
}

/* A table in the form of its family, which tells nothing of hosts. */
static int parse_items(lua_State *L, int arg, int family, int proto,
                       cs_Address *a) {
  const cs_Family *row = cs_findfamily(family, proto);
  int top = lua_gettop(L), err;
  if (row->parse == NULL) cs_badaddress(L, arg, "no addresses for this family");
  if (!lua_istable(L, arg))
    cs_typeerror(L, arg, lua_pushfstring(L, "{%s ...}", row->names[0]));
  err = row->parse(L, arg, &a->u);
  lua_settop(L, top);
  a->len = (socklen_t)row->size;
  return err == 0 ? 1 : err;
}

static int copy_address(lua_State *L, int arg, int family, cs_Address *a) {
  const struct sockaddr *given = testaddress(L, arg);
  if (given == NULL || given->sa_family != family) return 0;
  a->len = (socklen_t)lua_rawlen(L, arg);
  memcpy(&a->u, given, a->len);
  return 1;
}

/* The address object at 'arg', where it is, and how long; NULL for what is none
** or of another family.  'meta' is their metatable's lua_topointer. */
const struct sockaddr *cs_seeaddress(lua_State *L, int arg, int family,
                                     const void *meta, socklen_t *len) {
  const struct sockaddr *sa = lua_touserdata(L, arg);
  const void *own;
  if (sa == NULL || !lua_getmetatable(L, arg)) return NULL;
  own = lua_topointer(L, -1);
  lua_pop(L, 1);
  if (own != meta || sa->sa_family != family) return NULL;
  *len = (socklen_t)lua_rawlen(L, arg);
  return sa;
}

/* The address at 'arg' for a socket of this family and protocol.  Returns 1
** when '*a' is whole; 0, with its host's name pushed, when that has to be
** resolved first; -errno when it names what this machine has not got, or (with
** ENAMETOOLONG) could not have.  Raises
** argument errors. */
int cs_checkaddress(lua_State *L, int arg, int family, int proto,
                    cs_Address *a) {
#if defined(AF_RDS)
  if (family == AF_RDS) family = AF_INET; /* rds(7) */
#endif
  if (copy_address(L, arg, family, a)) return 1;
  if (testaddress(L, arg) != NULL) cs_badaddress(L, arg, "of another family");
  memset(a, 0, sizeof *a);
  switch (family) {
  case AF_UNIX:
    return check_path(L, arg, a);
  case AF_INET:
  case AF_INET6:
    return parse_internet(L, arg, family, a);
  default:
    return parse_items(L, arg, family, proto, a);
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
static void push_internet(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_in *in = sa;
  const struct sockaddr_in6 *in6 = sa;
  (void)len;
  if (i == 1)
    push_host(L, sa);
  else if (i == 2) /* at the same place in both */
    lua_pushinteger(L, ntohs(in->sin_port));
  else if (i == 3)
    lua_pushinteger(L, ntohl(in6->sin6_flowinfo) & 0xfffff);
  else
    lua_pushinteger(L, in6->sin6_scope_id);
}

static const cs_Family *row_of(int family, int proto) {
  static const cs_Family ipv4 = {
      AF_INET, -1,           sizeof(struct sockaddr_in), {"host", "port"}, 0,
      NULL,    push_internet};
  static const cs_Family ipv6 = {AF_INET6,
                                 -1,
                                 sizeof(struct sockaddr_in6),
                                 {"host", "port", "flowinfo", "scope_id"},
                                 0,
                                 NULL,
                                 push_internet};
  if (family == AF_INET) return &ipv4;
  if (family == AF_INET6) return &ipv6;
  return cs_findfamily(family, proto);
}

/* An address of 'len' bytes, which may be cut short, of any family. */
static void push_padded(lua_State *L, const cs_Address *a, size_t len,
                        int proto) {
  int family = a->u.any.sa_family;
  size_t size = row_of(family, proto)->size;
  char *object;
  if (size < len) size = len;
  object = lua_newuserdatauv(L, size, HAS_PROTO(family));
  memcpy(object, &a->u, len);
  memset(object + len, 0, size - len);
  if (HAS_PROTO(family)) {
    lua_pushinteger(L, proto);
    lua_setiuservalue(L, -2, 1);
  }
  luaL_setmetatable(L, ADDRESS);
}

/* Push the metatable of address objects, for who makes many of them. */
void cs_pushaddressmeta(lua_State *L) {
  luaL_getmetatable(L, ADDRESS);
}

/* Is it a whole one of the internet?  They are the most common by far. */
static int is_whole(const cs_Address *a) {
  return (a->u.any.sa_family == AF_INET && a->len == sizeof a->u.in) ||
         (a->u.any.sa_family == AF_INET6 && a->len == sizeof a->u.in6);
}

/* Push an address as the system gave it to a socket of this protocol; nil for
** none at all.  'meta' is where the metatable is, or 0. */
void cs_pushaddresswith(lua_State *L, const cs_Address *a, int proto,
                        int meta) {
  size_t len = a->len;
  if (is_whole(a)) {
    memcpy(lua_newuserdatauv(L, len, 0), &a->u, len);
    if (meta == 0)
      cs_pushaddressmeta(L);
    else
      lua_pushvalue(L, meta);
    lua_setmetatable(L, -2);
  } else if (len < sizeof(sa_family_t))
    lua_pushnil(L);
  else if (a->u.any.sa_family == AF_UNIX)
    push_path(L, a);
  else
    push_padded(L, a, len < sizeof a->u ? len : sizeof a->u, proto);
}

void cs_pushaddress(lua_State *L, const cs_Address *a, int proto) {
  cs_pushaddresswith(L, a, proto, 0);
}

/* The row of the address object at index 'i'. */
static const cs_Family *row_at(lua_State *L, int i, const struct sockaddr *sa) {
  int proto = 0;
  if (HAS_PROTO(sa->sa_family)) {
    lua_getiuservalue(L, i, 1);
    proto = (int)lua_tointeger(L, -1);
    lua_pop(L, 1);
  }
  return row_of(sa->sa_family, proto);
}

static int count(const cs_Family *row) {
  int n = 0;
  while (row->names[n] != NULL) n++;
  return n;
}

/* Push item 'i' of the address object at index 1, or nil. */
static void push_item(lua_State *L, const struct sockaddr *sa,
                      const cs_Family *row, lua_Integer i) {
  if (i >= 1 && i <= count(row))
    row->push(L, sa, lua_rawlen(L, 1), (int)i);
  else
    lua_pushnil(L);
}

static int address_index(lua_State *L) {
  const struct sockaddr *sa = toaddress(L, 1);
  const cs_Family *row = row_at(L, 1, sa);
  if (lua_type(L, 2) == LUA_TSTRING) {
    const char *key = lua_tostring(L, 2);
    int i = 0;
    while (row->names[i] != NULL && strcmp(key, row->names[i]) != 0) i++;
    if (row->names[i] == NULL && strcmp(key, "family") == 0)
      lua_pushinteger(L, sa->sa_family);
    else
      push_item(L, sa, row, i + 1);
    return 1;
  }
  push_item(L, sa, row, lua_tointeger(L, 2));
  return 1;
}

static int address_len(lua_State *L) {
  const struct sockaddr *sa = toaddress(L, 1);
  lua_pushinteger(L, count(row_at(L, 1, sa)));
  return 1;
}

static int address_eq(lua_State *L) {
  const struct sockaddr *a = testaddress(L, 1), *b = testaddress(L, 2);
  const cs_Family *row = a != NULL ? row_at(L, 1, a) : NULL;
  int equal = row != NULL && b != NULL && row == row_at(L, 2, b);
  for (int i = 1; equal && i <= count(row); i++) {
    row->push(L, a, lua_rawlen(L, 1), i);
    row->push(L, b, lua_rawlen(L, 2), i);
    equal = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  lua_pushboolean(L, equal);
  return 1;
}

/* host:port, and [host%scope]:port for IPv6 */
static void show_internet(lua_State *L, const struct sockaddr *sa) {
  const struct sockaddr_in6 *in6 = (const void *)sa;
  char zone[IF_NAMESIZE];
  push_host(L, sa);
  push_internet(L, sa, 0, 2);
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
}

/* Put the string on top of the stack into hexadecimal digits. */
static void to_hex(lua_State *L) {
  static const char digits[] = "0123456789abcdef";
  size_t len;
  const unsigned char *s = (const void *)lua_tolstring(L, -1, &len);
  char text[2 * sizeof(struct sockaddr_storage)];
  for (size_t i = 0; i < len; i++) {
    text[2 * i] = digits[s[i] >> 4];
    text[2 * i + 1] = digits[s[i] & 15];
  }
  lua_pushlstring(L, text, 2 * len);
  lua_replace(L, -2);
}

/* The items, with colons between them. */
static int address_tostring(lua_State *L) {
  const struct sockaddr *sa = toaddress(L, 1);
  const cs_Family *row = row_at(L, 1, sa);
  int n = count(row);
  if (row->push == push_internet) {
    show_internet(L, sa);
    return 1;
  }
  for (int i = 1; i <= n; i++) {
    if (i > 1) lua_pushliteral(L, ":");
    push_item(L, sa, row, i);
    if (i == row->binary) to_hex(L);
  }
  lua_concat(L, 2 * n - 1);
  lua_tostring(L, -1); /* a number alone is not yet a string */
  return 1;
}

static int address_next(lua_State *L) {
  const struct sockaddr *sa = toaddress(L, 1);
  lua_Integer i = luaL_optinteger(L, 2, 0) + 1;
  lua_pushinteger(L, i);
  push_item(L, sa, row_at(L, 1, sa), i);
  if (lua_isnil(L, -1)) return 1;
  return 2;
}

static int address_pairs(lua_State *L) {
  toaddress(L, 1);
  lua_pushcfunction(L, address_next);
  lua_pushvalue(L, 1);
  return 2;
}

/*
** Bytes
*/

/* pack(family, address [, proto]) -> the bytes of the system's structure.  The
** host must be a number.  Raises OSError for an interface that is not there. */
static int address_pack(lua_State *L) {
  int family = cs_checkint(L, 1), proto = cs_optint(L, 3, 0), n;
  cs_Address a;
  lua_settop(L, 3);
  n = cs_checkaddress(L, 2, family, proto, &a);
  if (n == 0) cs_badaddress(L, 2, "host must be a number");
  if (n < 0) return cs_fail(L, 0, -n, "pack", 2);
  lua_pushlstring(L, (const char *)&a.u, a.len);
  return 1;
}

/* unpack(bytes [, proto]) -> the address, as if the system had given it to a
** socket of this protocol; nil for less than a family. */
static int address_unpack(lua_State *L) {
  size_t len;
  const char *bytes = luaL_checklstring(L, 1, &len);
  int proto = cs_optint(L, 2, 0);
  cs_Address a;
  luaL_argcheck(L, len <= sizeof a.u, 1, "too long");
  memset(&a, 0, sizeof a);
  memcpy(&a.u, bytes, len);
  a.len = (socklen_t)len;
  cs_pushaddress(L, &a, proto);
  return 1;
}

static const luaL_Reg address_meta[] = {
    {"__index", address_index}, {"__len", address_len},
    {"__eq", address_eq},       {"__tostring", address_tostring},
    {"__pairs", address_pairs}, {NULL, NULL},
};

static const luaL_Reg address_funcs[] = {
    {"pack", address_pack},
    {"unpack", address_unpack},
    {NULL, NULL},
};

/* Adds the table core.address. */
void cs_open_address(lua_State *L) {
  luaL_newmetatable(L, ADDRESS);
  luaL_setfuncs(L, address_meta, 0);
  lua_pushlightuserdata(L, (void *)&mark);
  lua_rawseti(L, -2, 1);
  lua_pop(L, 1);
  luaL_newlib(L, address_funcs);
  lua_setfield(L, -2, "address");
}
