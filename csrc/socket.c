/* socket: the socket object: its end, its connections, its properties.  Not
** here: whence it has its descriptor (descriptor), data (transfer), names of
** hosts (resolve), and what it means to be a class, to be printed, to have
** fields, which is Lua's (lua/csock/socket.lua).
** Invariant: fd is -1 from before the first moment the object is visible until
** it is open, and again from the moment it is closed; so every system call on
** a closed socket says EBADF by itself. */

#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "address.h"
#include "class.h"
#include "drive.h"
#include "error.h"
#include "option.h"
#include "resolve.h"
#include "socket.h"

const char cs_socket_tag = 's';

/* For calls that do not wait: true, or the failure in errno. */
static int result(lua_State *L, cs_Socket *s, int n, const char *op, int addr) {
  if (n < 0) return cs_fail(L, s->h.safe, errno, op, addr);
  lua_pushboolean(L, 1);
  return 1;
}

/*
** Life
*/

/* Push a new socket, closed, with the metatable on top of the stack, which it
** replaces; with room for fields, if its class has any (1, or 0). */
static cs_Socket *push_closed(lua_State *L, cs_Loop *loop, int safe,
                              int fields) {
  cs_Socket *s = lua_newuserdatauv(L, sizeof *s, fields);
  memset(s, 0, sizeof *s);
  cs_opensource(&s->h.source, -1);
  s->h.loop = loop;
  s->h.timeout = loop->default_timeout;
  s->h.safe = (unsigned char)safe;
  s->mark = cs_mark(s, &cs_socket_tag);
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  return s;
}

/* Push a new socket of the class itself, csock's or csock.safe's, closed. */
cs_Socket *cs_pushsocket(lua_State *L, cs_Loop *loop, int safe) {
  lua_getiuservalue(L, lua_upvalueindex(1), safe ? CS_SAFEMETA : CS_SOCKETMETA);
  return push_closed(L, loop, safe, 0);
}

/* Give a closed socket, of a type that is known, its descriptor, whose
** O_NONBLOCK is 'nonblock'.  The system tells a writer of datagrams whenever
** one has gone, but that of a TCP stream only when it had to wait. */
void cs_opensocket(cs_Socket *s, int fd, int nonblock) {
  s->h.source.fd = fd;
  s->h.source.chatty = s->type == SOCK_DGRAM;
  s->h.nonblock = (unsigned char)nonblock;
  s->h.closed = 0;
}

/* new(metatable [, safe]) -> a closed socket of that class. */
static int socket_new(lua_State *L) {
  int safe = lua_toboolean(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  push_closed(L, cs_loop(L), safe, 1);
  return 1;
}

/* plain(metatable [, safe]): what accept and socketpair make from now on. */
static int socket_plain(lua_State *L) {
  int safe = lua_toboolean(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_setiuservalue(L, lua_upvalueindex(1), safe ? CS_SAFEMETA : CS_SOCKETMETA);
  return 0;
}

/* Part with the descriptor, which stays open, or, with 'elsewhere', may be open
** under another number as well: then the poller would watch it for ever. */
void cs_leavesocket(cs_Socket *s, int elsewhere) {
  int fd = s->h.source.fd, watched = s->h.source.watched;
  cs_Poller *poller = &s->h.loop->poller;
  cs_closesource(s->h.loop, &s->h.source);
  if (watched && elsewhere) poller->ops->forget(poller, fd);
}

/* Close it for its user, and its descriptor with the last of its files: 0 or
** -errno. */
int cs_closesocket(cs_Socket *s) {
  int fd = s->h.source.fd;
  s->h.closed = 1;
  if (fd < 0 || s->h.files > 0) return 0;
  cs_leavesocket(s, s->h.shared);
  return cs_closefd(fd);
}

/* sock:close() -> true, also when it is closed already.  Whoever waits for it
** gets EBADF.  While a file of makefile's is open it only counts as closed, and
** goes on working, as Python's.  (close(2)) */
static int sock_close(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int err = cs_closesocket(s);
  if (err != 0) return cs_fail(L, s->h.safe, -err, "close", 0);
  lua_pushboolean(L, 1);
  return 1;
}

static int describe(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

/* The collector found it open: close it, and say so (Python's
** ResourceWarning).  It is described first, while it has a name to tell, and
** closed whether or not that works. */
static int sock_collect(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int fd = s->h.source.fd, status;
  if (fd < 0) return 0;
  lua_settop(L, 1);
  lua_pushcfunction(L, describe);
  lua_pushvalue(L, 1);
  status = lua_pcall(L, 1, 1, 0);
  cs_leavesocket(s, s->h.shared);
  cs_closefd(fd);
  if (status != LUA_OK) return lua_error(L);
  lua_warning(L, "csock: unclosed socket ", 1);
  lua_warning(L, lua_tostring(L, -1), 0);
  return 0;
}

/* socketpair([family [, type [, proto]]]) -> two connected sockets; family
** AF_UNIX, type SOCK_STREAM.  (socketpair(2)) */
static int socket_pair(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  int family = cs_optint(L, 1, AF_UNIX), type = cs_optint(L, 2, SOCK_STREAM);
  int proto = cs_optint(L, 3, 0), nonblock = loop->default_timeout >= 0;
  int fds[2], safe = cs_issafe(L, 0);
  cs_Socket *pair[2];
  pair[0] = cs_pushsocket(L, loop, safe);
  pair[1] = cs_pushsocket(L, loop, safe);
  if (type & SOCK_NONBLOCK) {
    pair[0]->h.timeout = pair[1]->h.timeout = 0;
    nonblock = 1;
  }
  type &= ~(SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (socketpair(family, type | SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0),
                 proto, fds) < 0)
    return cs_fail(L, 0, errno, "socketpair", 0);
  for (int i = 0; i < 2; i++) {
    pair[i]->family = family;
    pair[i]->type = type;
    pair[i]->proto = proto;
    cs_opensocket(pair[i], fds[i], nonblock);
  }
  return 2;
}

/*
** Names of sockets
*/

static int try_bind(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Address a;
  (void)dontwait;
  cs_checkaddress(L, 2, ((cs_Socket *)h)->family, 0, &a);
  if (bind(h->source.fd, &a.u.any, a.len) < 0) return -errno;
  lua_pushboolean(L, 1);
  return 1;
}

static const cs_Op op_bind = {"bind", CS_WRITE, 2, try_bind, NULL, 0};

/* sock:bind(address) -> true.  Only a look-up of its host waits.  (bind(2)) */
static int sock_bind(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int n;
  lua_settop(L, 2);
  n = cs_resolve(L, 2, &s->h, s->family, s->proto, "bind");
  if (n < 0) return -n;
  if (n > 0) return cs_drivenamed(L, &s->h, &op_bind, s->h.timeout);
  n = try_bind(L, &s->h, 0);
  return n > 0 ? n : cs_fail(L, s->h.safe, -n, "bind", 2);
}

typedef int (*GetName)(int fd, struct sockaddr *a, socklen_t *len);

static int push_name(lua_State *L, GetName getname, const char *op) {
  cs_Socket *s = cs_tosocket(L);
  cs_Address a;
  a.len = sizeof a.u;
  if (getname(s->h.source.fd, &a.u.any, &a.len) < 0)
    return cs_fail(L, s->h.safe, errno, op, 0);
  cs_pushaddress(L, &a, s->proto);
  return 1;
}

/* sock:getsockname() -> address.  (getsockname(2)) */
static int sock_getsockname(lua_State *L) {
  return push_name(L, getsockname, "getsockname");
}

/* sock:getpeername() -> address.  (getpeername(2)) */
static int sock_getpeername(lua_State *L) {
  return push_name(L, getpeername, "getpeername");
}

/*
** Connections
*/

/* sock:listen([backlog]) -> true; backlog SOMAXCONN, at least 0.  (listen(2))
 */
static int sock_listen(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int backlog = cs_optint(L, 2, SOMAXCONN);
  return result(L, s, listen(s->h.source.fd, backlog < 0 ? 0 : backlog),
                "listen", 0);
}

/* Accept a connection into a closed socket: 1 with the peer's address pushed,
** or -errno. */
int cs_acceptinto(lua_State *L, const cs_Socket *s, cs_Socket *new) {
  int64_t timeout = s->h.loop->default_timeout;
  int nonblock = timeout >= 0, fd;
  cs_Address a;
  a.len = sizeof a.u;
  fd = accept4(s->h.source.fd, &a.u.any, &a.len,
               SOCK_CLOEXEC | (nonblock ? SOCK_NONBLOCK : 0));
  if (fd < 0) return -errno;
  new->family = s->family;
  new->type = s->type;
  new->proto = s->proto;
  new->h.timeout = timeout;
  cs_opensocket(new, fd, nonblock);
  cs_pushaddress(L, &a, s->proto);
  return 1;
}

/* The new socket is made before its descriptor, and waits at index 2. */
static int try_accept(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *new = lua_touserdata(L, 2);
  int n;
  (void)dontwait;
  if (new == NULL) new = cs_pushsocket(L, h->loop, h->safe);
  n = cs_acceptinto(L, (cs_Socket *)h, new);
  return n < 0 ? n : 2;
}

static const cs_Op op_accept = {"accept", CS_READ, 0, try_accept, NULL, 1};

/* sock:accept() -> a connected socket, the peer's address.  (accept(2)) */
static int sock_accept(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  lua_settop(L, 1);
  return cs_drive(L, &s->h, &op_accept);
}

/* Index 3 is true once the connection is under way: to call connect again
** asks what became of it. */
static int try_connect(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *s = (cs_Socket *)h;
  cs_Address a;
  int err = 0;
  (void)dontwait;
  cs_checkaddress(L, 2, s->family, 0, &a);
  if (connect(h->source.fd, &a.u.any, a.len) < 0) err = errno;
  if (err == EISCONN && lua_toboolean(L, 3)) err = 0;
  if (err == EINPROGRESS || err == EINTR) {
    lua_pushboolean(L, 1);
    lua_replace(L, 3);
  }
  if (err == EAGAIN && s->family == AF_UNIX && h->timeout != 0)
    return -CS_ELATER; /* the listener's queue is full */
  if (err != 0) return -err;
  lua_pushboolean(L, 1);
  return 1;
}

static const cs_Op op_connect = {"connect", CS_WRITE, 2, try_connect, NULL, 1};

static int connect_with(lua_State *L, const cs_Op *op) {
  cs_Socket *s = cs_tosocket(L);
  int named;
  lua_settop(L, 2);
  lua_pushboolean(L, 0);
  named = cs_resolve(L, 2, &s->h, s->family, s->proto, op->name);
  if (named < 0) return -named;
  return named ? cs_drivenamed(L, &s->h, op, s->h.timeout)
               : cs_drive(L, &s->h, op);
}

/* sock:connect(address) -> true.  (connect(2)) */
static int sock_connect(lua_State *L) {
  return connect_with(L, &op_connect);
}

static int push_errno(lua_State *L, cs_Handle *h, int err) {
  (void)h;
  lua_pushinteger(L, err == CS_ETIMEOUT ? EAGAIN : err);
  return 1;
}

static int try_connect_ex(lua_State *L, cs_Handle *h, int dontwait) {
  int n = try_connect(L, h, dontwait);
  if (n > 0) lua_pushinteger(L, 0);
  return n;
}

static const cs_Op op_connect_ex = {"connect",      CS_WRITE,   2,
                                    try_connect_ex, push_errno, 1};

/* sock:connect_ex(address) -> 0, or the errno with which connect would raise
** (EAGAIN for a timeout, as Python); raises what is not the system call's. */
static int sock_connect_ex(lua_State *L) {
  return connect_with(L, &op_connect_ex);
}

/* sock:shutdown(how) -> true; how is SHUT_RD, SHUT_WR or SHUT_RDWR.
** (shutdown(2)) */
static int sock_shutdown(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  return result(L, s, shutdown(s->h.source.fd, cs_checkint(L, 2)), "shutdown",
                0);
}

/*
** Options and properties
*/

/* sock:setsockopt(level, option, value [, length]) -> true.  `value` is an
** integer, a boolean, a string of bytes, or nil with a length; for SO_LINGER
** also seconds or false.  (setsockopt(2)) */
static int sock_setsockopt(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int err = cs_setsockopt(L, s->h.source.fd);
  errno = -err;
  return result(L, s, err, "setsockopt", 0);
}

/* sock:getsockopt(level, option [, length]) -> an integer, or, with a length
** of 1 to 1024, that many bytes at most.  (getsockopt(2)) */
static int sock_getsockopt(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int n = cs_getsockopt(L, s->h.source.fd);
  return n < 0 ? cs_fail(L, s->h.safe, -n, "getsockopt", 0) : n;
}

/* A property of the table of options: its row is upvalue 2. */
static int sock_getoption(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  const cs_Option *o = lua_touserdata(L, lua_upvalueindex(2));
  int n = cs_getoption(L, s->h.source.fd, s->family, o);
  return n < 0 ? cs_fail(L, 0, -n, o->name, 0) : n;
}

static int sock_setoption(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  const cs_Option *o = lua_touserdata(L, lua_upvalueindex(2));
  int err = cs_setoption(L, s->h.source.fd, s->family, o, 2);
  return err < 0 ? cs_fail(L, 0, -err, o->name, 0) : 0;
}

/* sock:settimeout(seconds) -> true; nil: wait for ever, 0: never wait. */
static int sock_settimeout(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int64_t timeout;
  int err = s->h.source.fd < 0 ? -EBADF : 0;
  luaL_checkany(L, 2);
  timeout = cs_checktimeout(L, 2);
  if (err == 0 && (s->h.shared || s->h.nonblock != (timeout >= 0)))
    err = cs_setnonblock(s->h.source.fd, timeout >= 0);
  if (err != 0) return cs_fail(L, s->h.safe, -err, "settimeout", 0);
  s->h.nonblock = timeout >= 0;
  s->h.timeout = timeout;
  lua_pushboolean(L, 1);
  return 1;
}

static void push_timeout(lua_State *L, int64_t timeout) {
  if (timeout < 0)
    lua_pushnil(L);
  else
    lua_pushnumber(L, (lua_Number)timeout / (lua_Number)CS_SECOND);
}

/* sock:gettimeout() -> seconds, or nil. */
static int sock_gettimeout(lua_State *L) {
  push_timeout(L, cs_tosocket(L)->h.timeout);
  return 1;
}

/* sock:setblocking(flag) -> true: the same as settimeout(nil) or (0). */
static int sock_setblocking(lua_State *L) {
  cs_tosocket(L);
  if (cs_checkbool(L, 2))
    lua_pushnil(L);
  else
    lua_pushinteger(L, 0);
  lua_replace(L, 2);
  return sock_settimeout(L);
}

/* sock:getblocking() -> false when the timeout is 0. */
static int sock_getblocking(lua_State *L) {
  lua_pushboolean(L, cs_tosocket(L)->h.timeout != 0);
  return 1;
}

static int sock_getfamily(lua_State *L) {
  lua_pushinteger(L, cs_tosocket(L)->family);
  return 1;
}

static int sock_gettype(lua_State *L) {
  lua_pushinteger(L, cs_tosocket(L)->type);
  return 1;
}

static int sock_getproto(lua_State *L) {
  lua_pushinteger(L, cs_tosocket(L)->proto);
  return 1;
}

static int sock_getclosed(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  lua_pushboolean(L, s->h.closed || s->h.source.fd < 0);
  return 1;
}

/* getdefaulttimeout() -> seconds, or nil. */
static int socket_getdefaulttimeout(lua_State *L) {
  push_timeout(L, cs_loop(L)->default_timeout);
  return 1;
}

/* setdefaulttimeout(seconds) -> true: the timeout of sockets made from now on;
** nil for none. */
static int socket_setdefaulttimeout(lua_State *L) {
  luaL_checkany(L, 1);
  cs_loop(L)->default_timeout = cs_checktimeout(L, 1);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg sock_methods[] = {
    {"accept", sock_accept},
    {"bind", sock_bind},
    {"close", sock_close},
    {"connect", sock_connect},
    {"connect_ex", sock_connect_ex},
    {"getblocking", sock_getblocking},
    {"getpeername", sock_getpeername},
    {"getsockname", sock_getsockname},
    {"getsockopt", sock_getsockopt},
    {"gettimeout", sock_gettimeout},
    {"listen", sock_listen},
    {"setblocking", sock_setblocking},
    {"setsockopt", sock_setsockopt},
    {"settimeout", sock_settimeout},
    {"shutdown", sock_shutdown},
    {NULL, NULL},
};

static const luaL_Reg sock_getters[] = {
    {"blocking", sock_getblocking},
    {"closed", sock_getclosed},
    {"family", sock_getfamily},
    {"proto", sock_getproto},
    {"timeout", sock_gettimeout},
    {"type", sock_gettype},
    {NULL, NULL},
};

static const luaL_Reg sock_setters[] = {
    {"blocking", sock_setblocking},
    {"timeout", sock_settimeout},
    {NULL, NULL},
};

static const luaL_Reg socket_funcs[] = {
    {"new", socket_new},
    {"plain", socket_plain},
    {"collect", sock_collect},
    {NULL, NULL},
};

static const luaL_Reg core_funcs[] = {
    {"getdefaulttimeout", socket_getdefaulttimeout},
    {"setdefaulttimeout", socket_setdefaulttimeout},
    {"socketpair", socket_pair},
    {NULL, NULL},
};

static void set_table(lua_State *L, const char *name, const luaL_Reg *funcs,
                      void (*setfuncs)(lua_State *L, const luaL_Reg *funcs)) {
  lua_newtable(L);
  setfuncs(L, funcs);
  lua_setfield(L, -2, name);
}

/* Add an accessor of each option to the table 'name' on top of the stack. */
static void set_options(lua_State *L, const char *name, lua_CFunction f,
                        int writable) {
  lua_getfield(L, -1, name);
  for (const cs_Option *o = cs_options; o->name != NULL; o++) {
    luaL_Reg accessor[] = {{o->name, f}, {NULL, NULL}};
    if (writable && o->readonly) continue;
    cs_pushloop(L);
    lua_pushlightuserdata(L, (void *)o);
    luaL_setfuncs(L, accessor, 2);
  }
  lua_pop(L, 1);
}

/* Adds core.socket (the parts of the class) and the functions to core. */
void cs_open_socket(lua_State *L) {
  cs_setfuncs(L, core_funcs);
  lua_newtable(L);
  cs_setfuncs(L, socket_funcs);
  lua_pushlightuserdata(L, (void *)&cs_socket_tag);
  lua_setfield(L, -2, "tag");
  set_table(L, "methods", sock_methods, cs_setfuncs);
  set_table(L, "getters", sock_getters, cs_setraising);
  set_table(L, "setters", sock_setters, cs_setraising);
  set_options(L, "getters", sock_getoption, 0);
  set_options(L, "setters", sock_setoption, 1);
  lua_setfield(L, -2, "socket");
}
