/* transfer: data through a socket, each operation an attempt for the driver.
** One scratch buffer, the loop's, receives, so what arrives is copied once,
** into the Lua string; or not at all, into a buffer of the user's.
** Invariant: an attempt keeps nothing outside of the Lua stack, and pops what
** it pushed when it fails. */

#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <sys/socket.h>

#include "address.h"
#include "buffer.h"
#include "drive.h"
#include "error.h"
#include "resolve.h"
#include "socket.h"
#include "transfer.h"

/* What an attempt says that has moved a part: the system has no more (or no
** more room), or, where it would have waited, a signal has come between. */
#define PART(dontwait) ((dontwait) ? EAGAIN : EINTR)

/* Arguments everywhere: self, size or data, flags, address. */

static int drive_with(lua_State *L, cs_Socket *s, const cs_Op *op,
                      lua_Integer flags) {
  return cs_drivewithin(L, &s->h, op, cs_patience(s, flags));
}

/* Flags are at index 3. */
static int drive(lua_State *L, cs_Socket *s, const cs_Op *op) {
  return drive_with(L, s, op, lua_tointeger(L, 3));
}

static size_t get_size(lua_State *L) {
  return (size_t)lua_tointeger(L, 2);
}

static void check_size(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 2);
  luaL_argcheck(L, n >= 0, 2, "size cannot be negative");
  luaL_argcheck(L, n <= INT_MAX, 2, "size too large");
}

/* The memory to receive into: the loop's scratch buffer, or one of its own
** (pushed; nil otherwise) for a message that may be larger than that. */
static char *push_buffer(lua_State *L, cs_Socket *s, size_t *size, int flags) {
  if (*size <= CS_SCRATCH ||
      (s->type == SOCK_STREAM && (flags & MSG_WAITALL) == 0)) {
    if (*size > CS_SCRATCH) *size = CS_SCRATCH; /* less is always right */
    lua_pushnil(L);
    return s->h.loop->scratch;
  }
  return lua_newuserdatauv(L, *size, 0);
}

/* With MSG_TRUNC the system tells more than it has delivered. */
static void push_data(lua_State *L, const char *data, size_t n, size_t size) {
  lua_pushlstring(L, data, n < size ? n : size);
}

static int try_recv(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *s = (cs_Socket *)h;
  int flags = (int)lua_tointeger(L, 3);
  size_t size = get_size(L);
  char *buffer = push_buffer(L, s, &size, flags);
  ssize_t n = recv(h->source.fd, buffer, size, flags | dontwait);
  if (n < 0) {
    int err = errno;
    lua_pop(L, 1);
    return -err;
  }
  cs_noteshort(s, (size_t)n, size, flags);
  push_data(L, buffer, (size_t)n, size);
  return 1;
}

static const cs_Op op_recv = {"recv", CS_READ, 0, try_recv, NULL, 0};

/* MSG_WAITALL without a timeout: index 5 counts what has come.  The system
** would wait by itself, but a task waits in the loop.  Returns how much came in
** all, or -errno. */
static ssize_t receive_all(lua_State *L, cs_Handle *h, char *buffer,
                           size_t size, int flags, int dontwait) {
  size_t got = (size_t)lua_tointeger(L, 5);
  ssize_t n = recv(h->source.fd, buffer + got, size - got, flags | dontwait);
  if (n > 0) got += (size_t)n;
  if (n == 0 || got == size ||
      (n < 0 && got > 0 && errno != EAGAIN && errno != EINTR))
    return (ssize_t)got; /* an error shows again, next time */
  n = n < 0 ? -errno : -PART(dontwait);
  lua_pushinteger(L, (lua_Integer)got);
  lua_replace(L, 5);
  return n;
}

/* Index 4 is the buffer. */
static int try_recvall(lua_State *L, cs_Handle *h, int dontwait) {
  char *buffer = lua_touserdata(L, 4);
  int flags = (int)lua_tointeger(L, 3);
  ssize_t n = receive_all(L, h, buffer, get_size(L), flags, dontwait);
  if (n < 0) return (int)n;
  lua_pushlstring(L, buffer, (size_t)n);
  return 1;
}

static const cs_Op op_recvall = {"recv", CS_READ, 0, try_recvall, NULL, 0};

/* sock:recv(size [, flags]) -> data, at most `size` bytes; "" at the end.
** (recv(2)) */
static int sock_recv(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int flags;
  check_size(L);
  flags = cs_optint(L, 3, 0);
  lua_settop(L, 3);
  if (get_size(L) == 0 && s->h.source.fd >= 0) {
    lua_pushliteral(L, ""); /* as Python: nothing is asked, nothing waited */
    return 1;
  }
  if (flags == MSG_WAITALL && s->type == SOCK_STREAM && s->h.timeout < 0) {
    lua_newuserdatauv(L, get_size(L), 0);
    lua_pushinteger(L, 0);
    return drive(L, s, &op_recvall);
  }
  return drive(L, s, &op_recv);
}

static int try_recvfrom(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *s = (cs_Socket *)h;
  int flags = (int)lua_tointeger(L, 3);
  size_t size = get_size(L);
  char *buffer = push_buffer(L, s, &size, flags);
  cs_Address a;
  ssize_t n;
  a.len = sizeof a.u;
  n = recvfrom(h->source.fd, buffer, size, flags | dontwait, &a.u.any, &a.len);
  if (n < 0) {
    int err = errno;
    lua_pop(L, 1);
    return -err;
  }
  push_data(L, buffer, (size_t)n, size);
  cs_pushaddress(L, &a, s->proto);
  return 2;
}

static const cs_Op op_recvfrom = {"recvfrom",   CS_READ, 0,
                                  try_recvfrom, NULL,    0};

/* sock:recvfrom(size [, flags]) -> data, address of the sender (nil where the
** system tells none).  (recvfrom(2)) */
static int sock_recvfrom(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  check_size(L);
  cs_optint(L, 3, 0);
  lua_settop(L, 3);
  return drive(L, s, &op_recvfrom);
}

/*
** Into a buffer: self, buffer, size, flags
*/

/* Memory and size to receive into; the door has checked both. */
static char *get_memory(lua_State *L, size_t *size) {
  *size = (size_t)lua_tointeger(L, 3);
  return ((cs_Buffer *)lua_touserdata(L, 2))->data;
}

/* Python's rules: none or 0 bytes are as many as fit. */
static void check_memory(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 2);
  lua_Integer n = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, n >= 0, 3, "size cannot be negative");
  luaL_argcheck(L, (lua_Unsigned)n <= b->size, 3, "buffer too small");
  cs_optint(L, 4, 0);
  lua_settop(L, 4);
  lua_pushinteger(L, n == 0 ? (lua_Integer)b->size : n);
  lua_replace(L, 3);
}

static int try_recv_into(lua_State *L, cs_Handle *h, int dontwait) {
  int flags = (int)lua_tointeger(L, 4);
  size_t size;
  char *memory = get_memory(L, &size);
  ssize_t n = recv(h->source.fd, memory, size, flags | dontwait);
  if (n < 0) return -errno;
  cs_noteshort((cs_Socket *)h, (size_t)n, size, flags);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static const cs_Op op_recv_into = {"recv_into",   CS_READ, 0,
                                   try_recv_into, NULL,    0};

static int try_recvall_into(lua_State *L, cs_Handle *h, int dontwait) {
  int flags = (int)lua_tointeger(L, 4);
  size_t size;
  char *memory = get_memory(L, &size);
  ssize_t n = receive_all(L, h, memory, size, flags, dontwait);
  if (n < 0) return (int)n;
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static const cs_Op op_recvall_into = {"recv_into",      CS_READ, 0,
                                      try_recvall_into, NULL,    0};

/* sock:recv_into(buffer [, size [, flags]]) -> how many bytes came, at most
** `size`; 0 at the end.  `size` is at most that of the buffer; 0, the default,
** means all of it.  (recv(2)) */
static int sock_recv_into(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  lua_Integer flags;
  check_memory(L);
  flags = lua_tointeger(L, 4);
  if (lua_tointeger(L, 3) == 0 && s->h.source.fd >= 0) {
    lua_pushinteger(L, 0); /* as Python: nothing is asked, nothing waited */
    return 1;
  }
  if (flags == MSG_WAITALL && s->type == SOCK_STREAM && s->h.timeout < 0) {
    lua_pushinteger(L, 0);
    return drive_with(L, s, &op_recvall_into, flags);
  }
  return drive_with(L, s, &op_recv_into, flags);
}

static int try_recvfrom_into(lua_State *L, cs_Handle *h, int dontwait) {
  int flags = (int)lua_tointeger(L, 4);
  size_t size;
  char *memory = get_memory(L, &size);
  cs_Address a;
  ssize_t n;
  a.len = sizeof a.u;
  n = recvfrom(h->source.fd, memory, size, flags | dontwait, &a.u.any, &a.len);
  if (n < 0) return -errno;
  lua_pushinteger(L, (lua_Integer)n);
  cs_pushaddress(L, &a, ((cs_Socket *)h)->proto);
  return 2;
}

static const cs_Op op_recvfrom_into = {"recvfrom_into",   CS_READ, 0,
                                       try_recvfrom_into, NULL,    0};

/* sock:recvfrom_into(buffer [, size [, flags]]) -> how many bytes came, address
** of the sender (nil where the system tells none).  (recvfrom(2)) */
static int sock_recvfrom_into(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  check_memory(L);
  return drive_with(L, s, &op_recvfrom_into, lua_tointeger(L, 4));
}

/*
** Sending: a string or a buffer
*/

/* What the door has checked with cs_checkdata. */
static const char *get_data(lua_State *L, size_t *len) {
  const char *data = lua_tolstring(L, 2, len);
  const cs_Buffer *b;
  if (data != NULL) return data;
  b = lua_touserdata(L, 2);
  *len = b->size;
  return b->data;
}

static void check_data(lua_State *L) {
  size_t len;
  cs_checkdata(L, 2, &len);
}

static int try_send(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len;
  const char *data = get_data(L, &len);
  int flags = (int)lua_tointeger(L, 3) | MSG_NOSIGNAL | dontwait;
  ssize_t n = send(h->source.fd, data, len, flags);
  if (n < 0) return -errno;
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static const cs_Op op_send = {"send", CS_WRITE, 0, try_send, NULL, 0};

/* sock:send(data [, flags]) -> how many bytes the system took.  (send(2)) */
static int sock_send(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  check_data(L);
  cs_optint(L, 3, 0);
  lua_settop(L, 3);
  return drive(L, s, &op_send);
}

/* Index 4 counts what has been sent. */
static int try_sendall(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len, sent = (size_t)lua_tointeger(L, 4);
  const char *data = get_data(L, &len);
  int flags = (int)lua_tointeger(L, 3) | MSG_NOSIGNAL | dontwait;
  ssize_t n = send(h->source.fd, data + sent, len - sent, flags);
  if (n >= 0 && (sent += (size_t)n) == len) {
    lua_pushboolean(L, 1);
    return 1;
  }
  n = n < 0 ? -errno : -PART(dontwait);
  lua_pushinteger(L, (lua_Integer)sent);
  lua_replace(L, 4);
  return (int)n;
}

static const cs_Op op_sendall = {"sendall", CS_WRITE, 0, try_sendall, NULL, 0};

/* sock:sendall(data [, flags]) -> true when all is sent; the timeout is for
** the whole.  After an error nobody knows how much was. */
static int sock_sendall(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  check_data(L);
  cs_optint(L, 3, 0);
  lua_settop(L, 3);
  lua_pushinteger(L, 0);
  return drive(L, s, &op_sendall);
}

static int try_sendto(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len;
  const char *data = get_data(L, &len);
  int flags = (int)lua_tointeger(L, 3) | MSG_NOSIGNAL | dontwait;
  cs_Address a;
  ssize_t n;
  cs_checkaddress(L, 4, ((cs_Socket *)h)->family, 0, &a);
  n = sendto(h->source.fd, data, len, flags, &a.u.any, a.len);
  if (n < 0 && errno == EAGAIN && a.u.any.sa_family == AF_UNIX)
    return -CS_ELATER; /* the receiver's queue is full, not this socket's */
  if (n < 0) return -errno;
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static const cs_Op op_sendto = {"sendto", CS_WRITE, 4, try_sendto, NULL, 0};

/* sock:sendto(data, [flags,] address) -> how many bytes went.  (sendto(2)) */
static int sock_sendto(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int last = lua_gettop(L) < 4 ? 3 : 4, named;
  check_data(L);
  if (last == 4) cs_checkint(L, 3);
  lua_settop(L, last);
  named = cs_resolve(L, last, &s->h, s->family, s->proto, "sendto");
  if (named < 0) return -named;
  if (last == 3) {
    lua_pushinteger(L, 0);
    lua_insert(L, 3);
  }
  if (!named) return drive(L, s, &op_sendto);
  return cs_drivenamed(L, &s->h, &op_sendto,
                       cs_patience(s, lua_tointeger(L, 3)));
}

/*
** Readiness, for servers: an accept that must not wait
*/

static int try_readable(lua_State *L, cs_Handle *h, int dontwait) {
  int n = cs_waitfd(h->source.fd, CS_READ, 0);
  (void)dontwait;
  if (h->source.fd < 0) return -EBADF;
  if (n <= 0) return n == 0 ? -EAGAIN : n;
  lua_pushboolean(L, 1);
  return 1;
}

/* Time is up, or somebody woke the task: false. */
static int not_readable(lua_State *L, cs_Handle *h, int err) {
  if (err != CS_ETIMEOUT && err != EAGAIN)
    return cs_fail(L, h->safe, err, "wait", 0);
  lua_pushboolean(L, 0);
  return 1;
}

static const cs_Op op_readable = {"wait",       CS_READ,      0,
                                  try_readable, not_readable, 0};

/* readable(sock [, timeout]) -> true when a read or accept would not wait,
** false after `timeout` seconds or when the task was woken (core.loop.wake). */
static int socket_readable(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int64_t timeout = cs_checktimeout(L, 2);
  lua_settop(L, 2);
  return cs_drivewithin(L, &s->h, &op_readable, timeout);
}

static const luaL_Reg transfer_methods[] = {
    {"recv", sock_recv},         {"recv_into", sock_recv_into},
    {"recvfrom", sock_recvfrom}, {"recvfrom_into", sock_recvfrom_into},
    {"send", sock_send},         {"sendall", sock_sendall},
    {"sendto", sock_sendto},     {NULL, NULL},
};

static const luaL_Reg transfer_funcs[] = {
    {"readable", socket_readable},
    {NULL, NULL},
};

/* Adds its methods to core.socket. */
void cs_open_transfer(lua_State *L) {
  lua_getfield(L, -1, "socket");
  cs_setfuncs(L, transfer_funcs);
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, transfer_methods);
  lua_pop(L, 2);
}
