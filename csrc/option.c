/* option: the table of the common options, five codecs, and the raw pair
** setsockopt/getsockopt, which uses the same codecs for the options it finds in
** the table.  A new option is a row here and nothing else.
** All functions return 0, or the number of values pushed, or -errno. */

#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "option.h"

#define SOL(name, number, codec)                                               \
  { name, SOL_SOCKET, number, 0, 0, codec, 0 }
#define TCP(name, number, codec)                                               \
  { name, IPPROTO_TCP, number, 0, 0, codec, 0 }
#define UDP(name, number, codec)                                               \
  { name, IPPROTO_UDP, number, 0, 0, codec, 0 }
#define IPS(name, number, number6, codec)                                      \
  { name, IPPROTO_IP, number, IPPROTO_IPV6, number6, codec, 0 }

const cs_Option cs_options[] = {
    SOL("reuseaddr", SO_REUSEADDR, CS_BOOL),
    SOL("reuseport", SO_REUSEPORT, CS_BOOL),
    SOL("keepalive", SO_KEEPALIVE, CS_BOOL),
    SOL("broadcast", SO_BROADCAST, CS_BOOL),
    SOL("dontroute", SO_DONTROUTE, CS_BOOL),
    SOL("oobinline", SO_OOBINLINE, CS_BOOL),
    SOL("rcvbuf", SO_RCVBUF, CS_INT),
    SOL("sndbuf", SO_SNDBUF, CS_INT),
    SOL("rcvlowat", SO_RCVLOWAT, CS_INT),
    SOL("linger", SO_LINGER, CS_LINGER),
    {"error", SOL_SOCKET, SO_ERROR, 0, 0, CS_INT, 1},
    {"acceptconn", SOL_SOCKET, SO_ACCEPTCONN, 0, 0, CS_BOOL, 1},
    TCP("nodelay", TCP_NODELAY, CS_BOOL),
    TCP("maxseg", TCP_MAXSEG, CS_INT),
    IPS("ttl", IP_TTL, IPV6_UNICAST_HOPS, CS_INT),
    IPS("tos", IP_TOS, IPV6_TCLASS, CS_INT),
    IPS("multicast_ttl", IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS, CS_INT),
    IPS("multicast_loop", IP_MULTICAST_LOOP, IPV6_MULTICAST_LOOP, CS_BOOL),
    {"ipv6only", IPPROTO_IPV6, IPV6_V6ONLY, 0, 0, CS_BOOL, 0},
#if defined(TCP_KEEPIDLE)
    TCP("keepidle", TCP_KEEPIDLE, CS_INT),
    TCP("keepintvl", TCP_KEEPINTVL, CS_INT),
    TCP("keepcnt", TCP_KEEPCNT, CS_INT),
#endif
#if defined(__linux__)
    SOL("bindtodevice", SO_BINDTODEVICE, CS_STRING),
    SOL("busy_poll", SO_BUSY_POLL, CS_INT),
    SOL("incoming_cpu", SO_INCOMING_CPU, CS_INT),
    SOL("mark", SO_MARK, CS_INT),
    SOL("passcred", SO_PASSCRED, CS_BOOL),
    SOL("priority", SO_PRIORITY, CS_INT),
    TCP("congestion", TCP_CONGESTION, CS_STRING),
    TCP("cork", TCP_CORK, CS_BOOL),
    TCP("defer_accept", TCP_DEFER_ACCEPT, CS_INT),
    TCP("fastopen", TCP_FASTOPEN, CS_INT),
    TCP("quickack", TCP_QUICKACK, CS_BOOL),
    TCP("syncnt", TCP_SYNCNT, CS_INT),
    TCP("user_timeout", TCP_USER_TIMEOUT, CS_INT),
#if defined(UDP_GRO) && defined(UDP_SEGMENT)
    UDP("gro", UDP_GRO, CS_BOOL),
    UDP("segment", UDP_SEGMENT, CS_INT),
#endif
    {"freebind", IPPROTO_IP, IP_FREEBIND, 0, 0, CS_BOOL, 0},
    {"transparent", IPPROTO_IP, IP_TRANSPARENT, 0, 0, CS_BOOL, 0},
#endif
    {NULL, 0, 0, 0, 0, CS_INT, 0},
};

#define MAXSTRING 1024 /* as Python's limit for getsockopt */

static int to_int(lua_State *L, int arg) {
  if (lua_isboolean(L, arg)) return lua_toboolean(L, arg);
  return cs_checkint(L, arg);
}

/* Seconds to linger, or false or nil for none; true says too little. */
static int set_linger(lua_State *L, int fd, int level, int number, int arg) {
  struct linger l = {0, 0};
  if (lua_toboolean(L, arg)) {
    l.l_linger = cs_checkint(L, arg);
    if (l.l_linger < 0) return cs_argerror(L, arg, "negative seconds");
    l.l_onoff = 1;
  }
  return setsockopt(fd, level, number, &l, sizeof l) < 0 ? -errno : 0;
}

static int get_linger(lua_State *L, int fd, int level, int number) {
  struct linger l;
  socklen_t len = sizeof l;
  if (getsockopt(fd, level, number, &l, &len) < 0) return -errno;
  if (l.l_onoff)
    lua_pushinteger(L, l.l_linger);
  else
    lua_pushboolean(L, 0);
  return 1;
}

static int get_bytes(lua_State *L, int fd, int level, int number, size_t max,
                     int text) {
  char bytes[MAXSTRING];
  socklen_t len = (socklen_t)max;
  if (getsockopt(fd, level, number, bytes, &len) < 0) return -errno;
  lua_pushlstring(L, bytes, text ? strnlen(bytes, len) : len);
  return 1;
}

static int set_wide(lua_State *L, int fd, int level, int number, int arg) {
  uint64_t n = (uint64_t)luaL_checkinteger(L, arg);
  return setsockopt(fd, level, number, &n, sizeof n) < 0 ? -errno : 0;
}

static int get_wide(lua_State *L, int fd, int level, int number) {
  uint64_t n = 0;
  socklen_t len = sizeof n;
  if (getsockopt(fd, level, number, &n, &len) < 0) return -errno;
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int get(lua_State *L, int fd, int level, int number, int codec) {
  int n = 0;
  socklen_t len = sizeof n;
  if (codec == CS_LINGER) return get_linger(L, fd, level, number);
  if (codec == CS_WIDE) return get_wide(L, fd, level, number);
  if (codec == CS_STRING) return get_bytes(L, fd, level, number, MAXSTRING, 1);
  if (getsockopt(fd, level, number, &n, &len) < 0) return -errno;
  if (codec == CS_BOOL)
    lua_pushboolean(L, n != 0);
  else
    lua_pushinteger(L, n);
  return 1;
}

static int set(lua_State *L, int fd, int level, int number, int codec,
               int arg) {
  int n;
  if (codec == CS_LINGER) return set_linger(L, fd, level, number, arg);
  if (codec == CS_WIDE) return set_wide(L, fd, level, number, arg);
  if (codec == CS_STRING) {
    size_t len;
    const char *s = lua_tolstring(L, arg, &len);
    if (s == NULL) return cs_typeerror(L, arg, "string");
    if (len > INT_MAX) return cs_argerror(L, arg, "too long");
    return setsockopt(fd, level, number, s, (socklen_t)len) < 0 ? -errno : 0;
  }
  if (codec == CS_BOOL && !lua_isinteger(L, arg))
    n = cs_checkbool(L, arg);
  else
    n = to_int(L, arg);
  return setsockopt(fd, level, number, &n, sizeof n) < 0 ? -errno : 0;
}

/* Push the value of a row's option. */
int cs_getoption(lua_State *L, int fd, int family, const cs_Option *o) {
  if (family == AF_INET6 && o->level6 != 0)
    return get(L, fd, o->level6, o->number6, o->codec);
  return get(L, fd, o->level, o->number, o->codec);
}

/* Set a row's option to the value at 'arg'. */
int cs_setoption(lua_State *L, int fd, int family, const cs_Option *o,
                 int arg) {
  if (family == AF_INET6 && o->level6 != 0)
    return set(L, fd, o->level6, o->number6, o->codec, arg);
  return set(L, fd, o->level, o->number, o->codec, arg);
}

static const cs_Option *find(int level, int number) {
  for (const cs_Option *o = cs_options; o->name != NULL; o++)
    if (o->level == level && o->number == number) return o;
  return NULL;
}

/* Integers of options outside the table: those of vsock(7) have 64 bits. */
static int width(int level) {
#if defined(AF_VSOCK)
  if (level == AF_VSOCK) return CS_WIDE;
#endif
  (void)level;
  return CS_INT;
}

/* (self, level, number [, length]) -> integer, or 'length' bytes at most as a
** string; without a length the value of an option in the table is what its
** property gives, but for switches, which are integers as in Python. */
int cs_getsockopt(lua_State *L, int fd) {
  int level = cs_checkint(L, 2), number = cs_checkint(L, 3);
  lua_Integer length = luaL_optinteger(L, 4, 0);
  luaL_argcheck(L, length >= 0 && length <= MAXSTRING, 4,
                "buffer length must be 0-1024");
  if (length > 0) return get_bytes(L, fd, level, number, (size_t)length, 0);
  return get(L, fd, level, number, width(level));
}

/* (self, level, number, value): an integer or boolean, or bytes; or, for an
** option in the table, what its property takes; nil and a length for NULL. */
int cs_setsockopt(lua_State *L, int fd) {
  int level = cs_checkint(L, 2), number = cs_checkint(L, 3);
  const cs_Option *o;
  if (lua_isnoneornil(L, 4)) {
    int length = cs_checkint(L, 5);
    luaL_argcheck(L, length >= 0, 5, "length cannot be negative");
    if (setsockopt(fd, level, number, NULL, (socklen_t)length) < 0)
      return -errno;
    return 0;
  }
  if (lua_type(L, 4) == LUA_TSTRING)
    return set(L, fd, level, number, CS_STRING, 4);
  o = find(level, number);
  return set(L, fd, level, number,
             o != NULL && o->codec == CS_LINGER ? CS_LINGER : width(level), 4);
}
