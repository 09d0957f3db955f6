/* descriptor: how a socket gets its descriptor (a new one, an open one, a copy
** of another's), tells its number, and gives it away; and descriptors without a
** socket.  Not here: what is done with it (socket), and its end, which is the
** socket's.
** Invariant: whoever may know the number of a socket's descriptor can reach its
** open file; so all that tell or take numbers mark the socket as shared.  Every
** descriptor made here is close-on-exec. */

#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <sys/socket.h>

#include "descriptor.h"
#include "drive.h"
#include "error.h"
#include "socket.h"

#define UNKNOWN (-1) /* family, type or proto: to be found out */

/*
** Adopting
*/

static int get_int(int fd, int number, int *value) {
  socklen_t len = sizeof *value;
  return getsockopt(fd, SOL_SOCKET, number, value, &len);
}

/* Find out what a descriptor is: 0, or -errno when it is no socket. */
static int inspect(cs_Socket *s, int fd) {
  if (get_int(fd, SO_TYPE, &s->type) < 0) return -errno;
#if defined(SO_DOMAIN) && defined(SO_PROTOCOL)
  get_int(fd, SO_DOMAIN, &s->family);
  get_int(fd, SO_PROTOCOL, &s->proto);
#else
  {
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getsockname(fd, (struct sockaddr *)&a, &len) == 0)
      s->family = a.ss_family;
  }
#endif
  return 0;
}

/* Make an open descriptor that of a closed socket, believing what it is told
** of it: 0 or -errno, with the descriptor as it was. */
static int adopt(cs_Socket *s, int fd, int family, int type, int proto) {
  int err = inspect(s, fd), nonblock;
  if (err != 0) return err;
  if (family != UNKNOWN) s->family = family;
  if (proto != UNKNOWN) s->proto = proto;
  if (type != UNKNOWN) {
    s->type = type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (type & SOCK_NONBLOCK) s->h.timeout = 0;
  }
  nonblock = cs_getnonblock(fd);
  if (nonblock < 0) return nonblock;
  if (s->h.timeout >= 0 && !nonblock) {
    if ((err = cs_setnonblock(fd, 1)) != 0) return err;
    nonblock = 1;
  }
  cs_opensocket(s, fd, nonblock);
  s->h.shared = 1;
  if (s->h.loop->lent == fd + 1) s->h.loop->lent = 0;
  return 0;
}

/* Arguments of the constructor are one off: the class has put the socket in
** front. */
static int bad_arg(lua_State *L, int arg, const char *what) {
  return cs_misuse(L, "bad argument #%d to 'socket' (%s)", arg - 1, what);
}

static int init_arg(lua_State *L, int arg) {
  int isint = 0;
  lua_Integer n = 0;
  if (lua_isnil(L, arg)) return UNKNOWN;
  if (lua_type(L, arg) == LUA_TNUMBER) n = lua_tointegerx(L, arg, &isint);
  if (!isint)
    return bad_arg(
        L, arg,
        lua_pushfstring(L, "integer expected, got %s", luaL_typename(L, arg)));
  if (n < INT_MIN || n > INT_MAX) return bad_arg(L, arg, "out of range");
  return (int)n;
}

/* A new descriptor: 0 or -errno. */
static int make(cs_Socket *s, int family, int type, int proto) {
  int nonblock, fd;
  s->family = family != UNKNOWN ? family : AF_INET;
  s->type = type != UNKNOWN ? type : SOCK_STREAM;
  s->proto = proto != UNKNOWN ? proto : 0;
  if (s->type & SOCK_NONBLOCK) s->h.timeout = 0;
  s->type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  nonblock = s->h.timeout >= 0;
  fd =
      socket(s->family, s->type | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0),
             s->proto);
  if (fd < 0) return -errno;
  cs_opensocket(s, fd, nonblock);
  return 0;
}

/* socket:__init([family [, type [, proto [, fileno]]]]) -> true: family
** AF_INET, type SOCK_STREAM (with SOCK_NONBLOCK the timeout is 0), proto 0; or
** an existing descriptor, which tells the three itself where they are nil or
** -1.  (socket(2)) */
static int sock_init(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int family, type, proto, err;
  if (s->h.source.fd >= 0) return cs_misuse(L, "the socket is open already");
  lua_settop(L, 5);
  family = init_arg(L, 2);
  type = init_arg(L, 3);
  proto = init_arg(L, 4);
  if (lua_isnil(L, 5))
    err = make(s, family, type, proto);
  else {
    int fd = init_arg(L, 5);
    if (!lua_isinteger(L, 5)) return bad_arg(L, 5, "integer expected");
    if (fd < 0) return bad_arg(L, 5, "negative file descriptor");
    err = adopt(s, fd, family, type, proto);
  }
  if (err != 0) return cs_fail(L, s->h.safe, -err, "socket", 0);
  lua_pushboolean(L, 1);
  return 1;
}

/*
** Telling and giving away
*/

/* sock:fileno() -> its descriptor, -1 when closed. */
static int sock_fileno(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  s->h.shared = 1;
  lua_pushinteger(L, s->h.source.fd);
  return 1;
}

/* sock:detach() -> its descriptor, which it forgets; -1 if it was closed. */
static int sock_detach(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int fd = s->h.source.fd;
  if (fd >= 0) cs_leavesocket(s, 1);
  lua_pushinteger(L, fd);
  return 1;
}

/* lend(sock) -> a copy of its descriptor, to be adopted by a socket or, later,
** closed by unlend; nil, err for a safe one that is closed.  What can fail in
** between is an __init of the user's. */
static int sock_lend(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int fd = cs_dup(s->h.source.fd);
  if (fd < 0) return cs_fail(L, s->h.safe, -fd, "dup", 0);
  s->h.shared = 1;
  s->h.loop->lent = fd + 1;
  lua_pushinteger(L, fd);
  return 1;
}

/* unlend(fd): close what lend has made, unless a socket has adopted it. */
static int sock_unlend(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  int fd = cs_checkint(L, 1);
  if (loop->lent != fd + 1) return 0;
  loop->lent = 0;
  cs_closefd(fd);
  return 0;
}

/* sock:get_inheritable() -> does a program that this one executes keep it? */
static int sock_get_inheritable(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int n = cs_getinheritable(s->h.source.fd);
  if (n < 0) return cs_fail(L, s->h.safe, -n, "get_inheritable", 0);
  lua_pushboolean(L, n);
  return 1;
}

/* sock:set_inheritable(flag) -> true; no socket is from the start (PEP 446). */
static int sock_set_inheritable(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int err = cs_setinheritable(s->h.source.fd, cs_checkbool(L, 2));
  if (err != 0) return cs_fail(L, s->h.safe, -err, "set_inheritable", 0);
  s->h.shared = 1;
  lua_pushboolean(L, 1);
  return 1;
}

/*
** Numbers
*/

/* A descriptor's number; as in Python a float is none, whatever its value. */
static int check_fd(lua_State *L, int arg) {
  if (lua_type(L, arg) == LUA_TNUMBER && !lua_isinteger(L, arg))
    return cs_typeerror(L, arg, "integer");
  return cs_checkint(L, arg);
}

/* close(fd) -> true: close a descriptor.  A socket that has it will find it
** gone. (close(2)) */
static int core_close(lua_State *L) {
  int err = cs_closefd(check_fd(L, 1));
  if (err != 0) return cs_fail(L, 0, -err, "close", 0);
  lua_pushboolean(L, 1);
  return 1;
}

/* dup(fd) -> another descriptor of the same open file, close-on-exec.
** (Python's socket.dup, fcntl(2): F_DUPFD_CLOEXEC) */
static int core_dup(lua_State *L) {
  int fd = cs_dup(check_fd(L, 1));
  if (fd < 0) return cs_fail(L, 0, -fd, "dup", 0);
  lua_pushinteger(L, fd);
  return 1;
}

/* fromfd(fd [, family [, type [, proto]]]) -> a socket with a copy of the
** descriptor, which stays the caller's; what is nil or -1 the system says, but
** proto, which is 0.  (Python's socket.fromfd) */
static int core_fromfd(lua_State *L) {
  int given = check_fd(L, 1), family = cs_optint(L, 2, UNKNOWN);
  int type = cs_optint(L, 3, UNKNOWN), proto = cs_optint(L, 4, 0), fd, err;
  cs_Socket *s = cs_pushsocket(L, cs_loop(L), cs_issafe(L, 0));
  fd = cs_dup(given);
  if (fd < 0) return cs_fail(L, 0, -fd, "fromfd", 0);
  err = adopt(s, fd, family, type, proto);
  if (err == 0) return 1;
  cs_closefd(fd);
  return cs_fail(L, 0, -err, "fromfd", 0);
}

static const luaL_Reg methods[] = {
    {"__init", sock_init},
    {"detach", sock_detach},
    {"fileno", sock_fileno},
    {"get_inheritable", sock_get_inheritable},
    {"set_inheritable", sock_set_inheritable},
    {NULL, NULL},
};

static const luaL_Reg getters[] = {
    {"inheritable", sock_get_inheritable},
    {NULL, NULL},
};

static const luaL_Reg setters[] = {
    {"inheritable", sock_set_inheritable},
    {NULL, NULL},
};

static const luaL_Reg socket_funcs[] = {
    {"lend", sock_lend},
    {"unlend", sock_unlend},
    {NULL, NULL},
};

static const luaL_Reg core_funcs[] = {
    {"close", core_close},
    {"dup", core_dup},
    {"fromfd", core_fromfd},
    {NULL, NULL},
};

static void add(lua_State *L, const char *table, const luaL_Reg *funcs,
                void (*setfuncs)(lua_State *L, const luaL_Reg *funcs)) {
  lua_getfield(L, -1, table);
  setfuncs(L, funcs);
  lua_pop(L, 1);
}

/* Adds its functions to core, and its methods to core.socket. */
void cs_open_descriptor(lua_State *L) {
  cs_setfuncs(L, core_funcs);
  add(L, "socket", socket_funcs, cs_setfuncs);
  lua_getfield(L, -1, "socket");
  add(L, "methods", methods, cs_setfuncs);
  add(L, "getters", getters, cs_setraising);
  add(L, "setters", setters, cs_setraising);
  lua_pop(L, 1);
}
