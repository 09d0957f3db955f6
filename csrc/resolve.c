/* resolve: getaddrinfo(3) and what goes with it.  Addresses that are numbers
** never come this far (address.c).
** Invariant: a list from the system's resolver is in a box with a finalizer
** before anything that can raise happens. */

#include <errno.h>
#include <lauxlib.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "error.h"
#include "resolve.h"

#define BOX "csock.addrinfo"

static int box_gc(lua_State *L) {
  struct addrinfo **box = lua_touserdata(L, 1);
  if (*box != NULL) freeaddrinfo(*box);
  *box = NULL;
  return 0;
}

static struct addrinfo **new_box(lua_State *L) {
  struct addrinfo **box = lua_newuserdatauv(L, sizeof *box, 0);
  *box = NULL;
  luaL_setmetatable(L, BOX);
  return box;
}

/* Look up host '*name' of the address '*a', which is whole but for the host:
** 0, or an EAI_ code. */
static int lookup(lua_State *L, const char *name, int type, cs_Address *a) {
  struct addrinfo hints, **box = new_box(L);
  int family = a->u.any.sa_family, err;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = family;
  hints.ai_socktype = type;
  err = getaddrinfo(name, NULL, &hints, box);
  if (err != 0) return err;
  if (family == AF_INET)
    a->u.in.sin_addr = ((struct sockaddr_in *)(*box)->ai_addr)->sin_addr;
  else {
    const struct sockaddr_in6 *found = (const void *)(*box)->ai_addr;
    a->u.in6.sin6_addr = found->sin6_addr;
    if (a->u.in6.sin6_scope_id == 0)
      a->u.in6.sin6_scope_id = found->sin6_scope_id;
  }
  freeaddrinfo(*box);
  *box = NULL;
  lua_pop(L, 1);
  return 0;
}

/* Make of the address argument 'arg' of the method 'op' an address object (or
** a path), its host looked up: what the attempts then use, and errors tell.
** Returns 0, or the number of values that report the failure; raises argument
** errors. */
int cs_resolve(lua_State *L, cs_Handle *h, int arg, int family, int type,
               const char *op) {
  cs_Address a;
  if (!cs_checkaddress(L, arg, family, &a)) {
    int err = lookup(L, lua_tostring(L, -1), type, &a);
    if (err != 0) return cs_failname(L, h->safe, err, op, arg);
    lua_pop(L, 1);
  }
  if (!lua_istable(L, arg)) return 0;
  cs_pushaddress(L, &a);
  lua_replace(L, arg);
  return 0;
}

/* A host or service: no string of C may end before Lua's does. */
static const char *opt_name(lua_State *L, int arg) {
  size_t len;
  const char *name = luaL_optlstring(L, arg, NULL, &len);
  luaL_argcheck(L, name == NULL || strlen(name) == len, arg, "embedded zero");
  return name;
}

/* The port or service at index 2.  A number that is no port is refused: the
** resolver would cut it to 16 bits and say nothing. */
static const char *check_port(lua_State *L) {
  const char *port;
  if (lua_type(L, 2) == LUA_TNUMBER) {
    lua_pushinteger(L, luaL_checkinteger(L, 2)); /* "80", not "80.0" */
    lua_replace(L, 2);
  }
  port = opt_name(L, 2);
  if (port != NULL && strspn(port, "-0123456789") == strlen(port) &&
      (*port == '-' || strtoul(port, NULL, 10) > 65535))
    luaL_argerror(L, 2, "port must be 0-65535");
  return port;
}

static void push_info(lua_State *L, const struct addrinfo *ai) {
  cs_Address a;
  memset(&a, 0, sizeof a);
  a.len = ai->ai_addrlen;
  memcpy(&a.u, ai->ai_addr, ai->ai_addrlen);
  lua_createtable(L, 5, 0);
  lua_pushinteger(L, ai->ai_family);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, ai->ai_socktype);
  lua_rawseti(L, -2, 2);
  lua_pushinteger(L, ai->ai_protocol);
  lua_rawseti(L, -2, 3);
  lua_pushstring(L, ai->ai_canonname != NULL ? ai->ai_canonname : "");
  lua_rawseti(L, -2, 4);
  cs_pushaddress(L, &a);
  lua_rawseti(L, -2, 5);
}

/* getaddrinfo(host, port [, family [, type [, proto [, flags]]]]) -> list of
** {family, type, proto, canonname, address}.  `host` is a name, a number or
** nil, `port` a number (0-65535), a service's name or nil.  Raises gaierror.
** (Python's socket.getaddrinfo, getaddrinfo(3)) */
static int resolve_getaddrinfo(lua_State *L) {
  const char *host = opt_name(L, 1), *port;
  struct addrinfo hints, **box;
  lua_Integer n = 0;
  int err;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = cs_optint(L, 3, 0);
  hints.ai_socktype = cs_optint(L, 4, 0);
  hints.ai_protocol = cs_optint(L, 5, 0);
  hints.ai_flags = cs_optint(L, 6, 0);
  port = check_port(L);
  lua_settop(L, 6);
  box = new_box(L);
  err = getaddrinfo(host, port, &hints, box);
  if (err != 0) return cs_failname(L, 0, err, "getaddrinfo", 1);
  lua_newtable(L);
  for (struct addrinfo *ai = *box; ai != NULL; ai = ai->ai_next) {
    push_info(L, ai);
    lua_rawseti(L, -2, ++n);
  }
  freeaddrinfo(*box);
  *box = NULL;
  return 1;
}

/* gethostname() -> the name of this machine (gethostname(2)). */
static int resolve_gethostname(lua_State *L) {
  char name[256];
  if (gethostname(name, sizeof name) < 0)
    return cs_fail(L, 0, errno, "gethostname", 0);
  name[sizeof name - 1] = '\0';
  lua_pushstring(L, name);
  return 1;
}

static const luaL_Reg resolve_funcs[] = {
    {"getaddrinfo", resolve_getaddrinfo},
    {"gethostname", resolve_gethostname},
    {NULL, NULL},
};

/* Adds getaddrinfo and gethostname to core. */
void cs_open_resolve(lua_State *L) {
  luaL_newmetatable(L, BOX);
  lua_pushcfunction(L, box_gc);
  lua_setfield(L, -2, "__gc");
  lua_pop(L, 1);
  cs_setfuncs(L, resolve_funcs);
}
