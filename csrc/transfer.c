/* transfer: data through a socket, each operation an attempt for the driver.
** What arrives lands in memory of the loop's, which becomes the Lua string when
** it is much; or in a buffer of the user's.
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

/* What an attempt says that has sent a part: the system has no more room, or,
** where it would have waited, a signal has come between. */
#define PART(dontwait) ((dontwait) ? EAGAIN : EINTR)

/* Arguments everywhere: self, size or data, flags, address. */

static int drive_with(lua_State *L, cs_Socket *s, const cs_Op *op,
                      lua_Integer flags) {
  return cs_drivewithin(L, &s->h, op, cs_patience(s, flags));
}

/* Flags that the door has checked.  Mostly they are nil, in which lua_tointeger
** would look for a number at length. */
static int get_flags(lua_State *L, int arg) {
  return lua_isnil(L, arg) ? 0 : (int)lua_tointeger(L, arg);
}

/* Flags are at index 3. */
static int drive(lua_State *L, cs_Socket *s, const cs_Op *op) {
  return drive_with(L, s, op, get_flags(L, 3));
}

static size_t get_size(lua_State *L) {
  return (size_t)lua_tointeger(L, 2);
}

static size_t check_size(lua_State *L) {
  int isint;
  lua_Integer n = lua_tointegerx(L, 2, &isint);
  if (!isint) luaL_checkinteger(L, 2); /* which raises */
  luaL_argcheck(L, n >= 0, 2, "size cannot be negative");
  luaL_argcheck(L, n <= INT_MAX, 2, "size too large");
  return (size_t)n;
}

/* How many of 'size' bytes, which are more than one piece, a receive call can
** fill, or -errno.  Nobody means to take 2 GiB who says so. */
static ssize_t useful_size(cs_Socket *s, size_t size, int flags) {
  int internet = s->family == AF_INET || s->family == AF_INET6;
  ssize_t n;
  if (s->type == SOCK_STREAM)
    return flags & MSG_WAITALL ? (ssize_t)size : CS_PIECE;
  if (internet && (s->type == SOCK_DGRAM || s->type == SOCK_RAW))
    return CS_PIECE; /* 64 KiB is the most that a datagram has */
  if (s->family != AF_UNIX) return (ssize_t)size;
  n = recv(s->h.source.fd, NULL, 0, flags | MSG_PEEK | MSG_TRUNC);
  if (n < 0) return -errno;
  if (n <= CS_PIECE) return CS_PIECE;
  return (size_t)n < size ? n : (ssize_t)size;
}

/* The memory to receive into: the loop's, or (pushed; nil otherwise) one for
** this message, which may be larger than a piece.  NULL, and nothing pushed,
** when there is nothing to receive, with errno. */
static char *push_memory(lua_State *L, cs_Socket *s, size_t *size, int flags) {
  if (*size > CS_PIECE) {
    ssize_t n = useful_size(s, *size, flags);
    if (n < 0) {
      errno = (int)-n;
      return NULL;
    }
    *size = (size_t)n;
  }
  if (*size > CS_PIECE) return lua_newuserdatauv(L, *size, 0);
  lua_pushnil(L);
  return cs_land(L, &s->h.loop->landing, *size);
}

/* With MSG_TRUNC the system tells more than it has delivered. */
static void push_data(lua_State *L, const cs_Socket *s, const char *data,
                      size_t n, size_t size) {
  cs_pushreceived(L, s->h.loop, data, n < size ? n : size);
}

static int receive(lua_State *L, cs_Socket *s, size_t size, int flags,
                   int dontwait) {
  int much = size > CS_PIECE;
  char *memory = much ? push_memory(L, s, &size, flags | dontwait)
                      : cs_land(L, &s->h.loop->landing, size);
  ssize_t n;
  if (memory == NULL) return -errno;
  n = recv(s->h.source.fd, memory, size, flags | dontwait);
  if (n < 0) {
    int err = errno;
    if (much) lua_pop(L, 1);
    return -err;
  }
  cs_notereceived(s, n, flags);
  cs_noteshort(s, (size_t)n, size, flags);
  push_data(L, s, memory, (size_t)n, size);
  return 1;
}

static int try_recv(lua_State *L, cs_Handle *h, int dontwait) {
  int flags = get_flags(L, 3);
  return receive(L, (cs_Socket *)h, get_size(L), flags, dontwait);
}

static const cs_Op op_recv = {"recv", CS_READ, 0, try_recv, NULL, 0};

/* MSG_WAITALL on a stream without a timeout: the system would wait by itself,
** but a task waits in the loop. */
static int wants_all(const cs_Socket *s, lua_Integer flags) {
  return flags == MSG_WAITALL && s->type == SOCK_STREAM && s->h.timeout < 0;
}

/* Index 5 counts what has come, index 6, where there is one, is for the address
** of the first part.  Returns how much came in all, or -errno. */
static ssize_t receive_all(lua_State *L, cs_Handle *h, char *buffer,
                           size_t size, int flags, int dontwait) {
  size_t got = (size_t)lua_tointeger(L, 5);
  cs_Address a;
  ssize_t n;
  a.len = sizeof a.u;
  n = recvfrom(h->source.fd, buffer + got, size - got, flags | dontwait,
               &a.u.any, &a.len);
  if (n > 0 && got == 0 && lua_gettop(L) == 6) {
    cs_pushaddress(L, &a, ((cs_Socket *)h)->proto);
    lua_replace(L, 6);
  }
  if (n > 0) {
    got += (size_t)n;
    cs_notereceived((cs_Socket *)h, n, flags);
  }
  if (n == 0 || got == size ||
      (n < 0 && got > 0 && errno != EAGAIN && errno != EINTR))
    return (ssize_t)got; /* an error shows again, next time */
  /* the end may have come with this part: no event tells of it any more */
  n = n < 0 ? -errno : -EINTR;
  lua_pushinteger(L, (lua_Integer)got);
  lua_replace(L, 5);
  return n;
}

/* Push the buffer, index 4, and the count. */
static void push_all(lua_State *L) {
  lua_settop(L, 3);
  lua_newuserdatauv(L, get_size(L), 0);
  lua_pushinteger(L, 0);
}

static int try_recvall(lua_State *L, cs_Handle *h, int dontwait) {
  char *buffer = lua_touserdata(L, 4);
  int flags = get_flags(L, 3);
  ssize_t n = receive_all(L, h, buffer, get_size(L), flags, dontwait);
  if (n < 0) return (int)n;
  cs_pushreceived(L, h->loop, buffer, (size_t)n);
  return 1;
}

static const cs_Op op_recvall = {"recv", CS_READ, 0, try_recvall, NULL, 0};

/* sock:recv(size [, flags]) -> data, at most `size` bytes; "" at the end.
** (recv(2)) */
static int sock_recv(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t size = check_size(L);
  int flags = cs_optint(L, 3, 0);
  int64_t patience = cs_patience(s, flags);
  int n, dontwait;
  if (size == 0 && s->h.source.fd >= 0) {
    lua_pushliteral(L, ""); /* as Python: nothing is asked, nothing waited */
    return 1;
  }
  if (wants_all(s, flags)) {
    push_all(L);
    return drive(L, s, &op_recvall);
  }
  if (cs_mayattempt(L, &s->h, CS_READ, patience, &dontwait, &n)) {
    n = receive(L, s, size, flags, dontwait);
    if (n >= 0) return n;
  }
  lua_settop(L, 3);
  return cs_driveon(L, &s->h, &op_recv, patience, n);
}

static int try_recvfrom(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *s = (cs_Socket *)h;
  int flags = get_flags(L, 3);
  size_t size = get_size(L);
  char *memory = push_memory(L, s, &size, flags | dontwait);
  cs_Address a;
  ssize_t n;
  if (memory == NULL) return -errno;
  a.len = sizeof a.u;
  n = recvfrom(h->source.fd, memory, size, flags | dontwait, &a.u.any, &a.len);
  if (n < 0) {
    int err = errno;
    lua_pop(L, 1);
    return -err;
  }
  cs_notereceived(s, n, flags);
  push_data(L, s, memory, (size_t)n, size);
  cs_pushaddress(L, &a, s->proto);
  return 2;
}

static const cs_Op op_recvfrom = {"recvfrom",   CS_READ, 0,
                                  try_recvfrom, NULL,    0};

static int try_recvfromall(lua_State *L, cs_Handle *h, int dontwait) {
  int n = try_recvall(L, h, dontwait);
  if (n < 0) return n;
  lua_pushvalue(L, 6);
  return 2;
}

static const cs_Op op_recvfromall = {"recvfrom",      CS_READ, 0,
                                     try_recvfromall, NULL,    0};

/* sock:recvfrom(size [, flags]) -> data, address of the sender (nil where the
** system tells none).  (recvfrom(2)) */
static int sock_recvfrom(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int flags;
  check_size(L);
  flags = cs_optint(L, 3, 0);
  lua_settop(L, 3);
  if (wants_all(s, flags)) {
    push_all(L);
    lua_pushnil(L);
    return drive(L, s, &op_recvfromall);
  }
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
static cs_Buffer *check_memory(lua_State *L, size_t *size) {
  cs_Buffer *b = cs_checkbuffer(L, 2);
  lua_Integer n = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, n >= 0, 3, "size cannot be negative");
  luaL_argcheck(L, (lua_Unsigned)n <= b->size, 3, "buffer too small");
  *size = n == 0 ? b->size : (size_t)n;
  return b;
}

/* Where get_memory finds it, for an attempt to come. */
static void keep_memory(lua_State *L, size_t size) {
  lua_settop(L, 4);
  lua_pushinteger(L, (lua_Integer)size);
  lua_replace(L, 3);
}

static int receive_into(lua_State *L, cs_Socket *s, char *memory, size_t size,
                        int flags, int dontwait) {
  ssize_t n = recv(s->h.source.fd, memory, size, flags | dontwait);
  if (n < 0) return -errno;
  cs_notereceived(s, n, flags);
  cs_noteshort(s, (size_t)n, size, flags);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int try_recv_into(lua_State *L, cs_Handle *h, int dontwait) {
  size_t size;
  char *memory = get_memory(L, &size);
  int flags = get_flags(L, 4);
  return receive_into(L, (cs_Socket *)h, memory, size, flags, dontwait);
}

static const cs_Op op_recv_into = {"recv_into",   CS_READ, 0,
                                   try_recv_into, NULL,    0};

static int try_recvall_into(lua_State *L, cs_Handle *h, int dontwait) {
  int flags = get_flags(L, 4);
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
  size_t size;
  cs_Buffer *b = check_memory(L, &size);
  int flags = cs_optint(L, 4, 0), n, dontwait;
  int64_t patience = cs_patience(s, flags);
  if (size == 0 && s->h.source.fd >= 0) {
    lua_pushinteger(L, 0); /* as Python: nothing is asked, nothing waited */
    return 1;
  }
  if (wants_all(s, flags)) {
    keep_memory(L, size);
    lua_pushinteger(L, 0);
    return drive_with(L, s, &op_recvall_into, flags);
  }
  if (cs_mayattempt(L, &s->h, CS_READ, patience, &dontwait, &n)) {
    n = receive_into(L, s, b->data, size, flags, dontwait);
    if (n >= 0) return n;
  }
  keep_memory(L, size);
  return cs_driveon(L, &s->h, &op_recv_into, patience, n);
}

static int try_recvfrom_into(lua_State *L, cs_Handle *h, int dontwait) {
  int flags = get_flags(L, 4);
  size_t size;
  char *memory = get_memory(L, &size);
  cs_Address a;
  ssize_t n;
  a.len = sizeof a.u;
  n = recvfrom(h->source.fd, memory, size, flags | dontwait, &a.u.any, &a.len);
  if (n < 0) return -errno;
  cs_notereceived((cs_Socket *)h, n, flags);
  lua_pushinteger(L, (lua_Integer)n);
  cs_pushaddress(L, &a, ((cs_Socket *)h)->proto);
  return 2;
}

static const cs_Op op_recvfrom_into = {"recvfrom_into",   CS_READ, 0,
                                       try_recvfrom_into, NULL,    0};

static int try_recvfromall_into(lua_State *L, cs_Handle *h, int dontwait) {
  int n = try_recvall_into(L, h, dontwait);
  if (n < 0) return n;
  lua_pushvalue(L, 6);
  return 2;
}

static const cs_Op op_recvfromall_into = {"recvfrom_into",      CS_READ, 0,
                                          try_recvfromall_into, NULL,    0};

/* sock:recvfrom_into(buffer [, size [, flags]]) -> how many bytes came, address
** of the sender (nil where the system tells none).  (recvfrom(2)) */
static int sock_recvfrom_into(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t size;
  int flags;
  check_memory(L, &size);
  flags = cs_optint(L, 4, 0);
  keep_memory(L, size);
  if (wants_all(s, flags)) {
    lua_pushinteger(L, 0);
    lua_pushnil(L);
    return drive_with(L, s, &op_recvfromall_into, flags);
  }
  return drive_with(L, s, &op_recvfrom_into, flags);
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

static int transmit(lua_State *L, cs_Socket *s, const char *data, size_t len,
                    int flags) {
  ssize_t n = send(s->h.source.fd, data, len, flags | MSG_NOSIGNAL);
  if (n < 0) return -errno;
  cs_notesent(s, n);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int try_send(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len;
  const char *data = get_data(L, &len);
  int flags = get_flags(L, 3);
  return transmit(L, (cs_Socket *)h, data, len, flags | dontwait);
}

static const cs_Op op_send = {"send", CS_WRITE, 0, try_send, NULL, 0};

/* sock:send(data [, flags]) -> how many bytes the system took.  (send(2)) */
static int sock_send(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t len;
  const char *data = cs_checkdata(L, 2, &len);
  int flags = cs_optint(L, 3, 0), n, dontwait;
  int64_t patience = cs_patience(s, flags);
  if (cs_mayattempt(L, &s->h, CS_WRITE, patience, &dontwait, &n)) {
    n = transmit(L, s, data, len, flags | dontwait);
    if (n >= 0) return n;
  }
  lua_settop(L, 3);
  return cs_driveon(L, &s->h, &op_send, patience, n);
}

/* Send what is left after '*sent' bytes, and count it: 1 with true pushed when
** all has gone. */
static int transmit_rest(lua_State *L, cs_Socket *s, const char *data,
                         size_t len, size_t *sent, int flags, int dontwait) {
  ssize_t n = send(s->h.source.fd, data + *sent, len - *sent,
                   flags | MSG_NOSIGNAL | dontwait);
  if (n < 0) return -errno;
  cs_notesent(s, n);
  *sent += (size_t)n;
  if (*sent < len) return -PART(dontwait);
  lua_pushboolean(L, 1);
  return 1;
}

/* Index 4 counts what has been sent. */
static int try_sendall(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len, sent = (size_t)lua_tointeger(L, 4);
  const char *data = get_data(L, &len);
  int flags = get_flags(L, 3);
  int n = transmit_rest(L, (cs_Socket *)h, data, len, &sent, flags, dontwait);
  if (n >= 0) return n;
  lua_pushinteger(L, (lua_Integer)sent);
  lua_replace(L, 4);
  return n;
}

static const cs_Op op_sendall = {"sendall", CS_WRITE, 0, try_sendall, NULL, 0};

/* sock:sendall(data [, flags]) -> true when all is sent; the timeout is for
** the whole.  After an error nobody knows how much was. */
static int sock_sendall(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t len, sent = 0;
  const char *data = cs_checkdata(L, 2, &len);
  int flags = cs_optint(L, 3, 0), n, dontwait;
  int64_t patience = cs_patience(s, flags);
  if (cs_mayattempt(L, &s->h, CS_WRITE, patience, &dontwait, &n)) {
    n = transmit_rest(L, s, data, len, &sent, flags, dontwait);
    if (n >= 0) return n;
  }
  lua_settop(L, 3);
  lua_pushinteger(L, (lua_Integer)sent);
  return cs_driveon(L, &s->h, &op_sendall, patience, n);
}

static int transmit_to(lua_State *L, cs_Socket *s, const char *data, size_t len,
                       int flags, const struct sockaddr *sa, socklen_t salen) {
  ssize_t n =
      sendto(s->h.source.fd, data, len, flags | MSG_NOSIGNAL, sa, salen);
  if (n < 0 && errno == EAGAIN && sa->sa_family == AF_UNIX)
    return -CS_ELATER; /* the receiver's queue is full, not this socket's */
  if (n < 0) return -errno;
  cs_notesent(s, n);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int try_sendto(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *s = (cs_Socket *)h;
  size_t len;
  const char *data = get_data(L, &len);
  int flags = get_flags(L, 3) | dontwait;
  cs_Address a;
  cs_checkaddress(L, 4, s->family, 0, &a);
  return transmit_to(L, s, data, len, flags, &a.u.any, a.len);
}

static const cs_Op op_sendto = {"sendto", CS_WRITE, 4, try_sendto, NULL, 0};

/* The arguments, with their flags, for an attempt of the driver's, after one
** that said 'n'; where the address is an object, there is no name to look up.
*/
static int drive_sendto(lua_State *L, cs_Socket *s, int last, int is_object,
                        int64_t patience, int n) {
  int named = 0;
  if (!is_object)
    named = cs_resolve(L, last, &s->h, s->family, s->proto, "sendto");
  if (named < 0) return -named;
  if (last == 3) {
    lua_pushinteger(L, 0);
    lua_insert(L, 3);
  }
  if (named) return cs_drivenamed(L, &s->h, &op_sendto, patience);
  return cs_driveon(L, &s->h, &op_sendto, patience, n);
}

/* sock:sendto(data, [flags,] address) -> how many bytes went.  (sendto(2)) */
static int sock_sendto(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int top = lua_gettop(L), last = top < 4 ? 3 : 4, flags, dontwait;
  int n = CS_UNTRIED;
  int64_t patience;
  size_t len;
  socklen_t salen;
  const char *data;
  const struct sockaddr *sa;
  luaL_argcheck(L, top <= 4, 5, "3 arguments at most");
  data = cs_checkdata(L, 2, &len);
  flags = last == 4 ? cs_checkint(L, 3) : 0;
  patience = cs_patience(s, flags);
  if (top < last) lua_settop(L, last);
  sa = cs_seeaddress(L, last, s->family, s->h.loop->addressmeta, &salen);
  if (sa != NULL && /* as those that have come */
      cs_mayattempt(L, &s->h, CS_WRITE, patience, &dontwait, &n)) {
    n = transmit_to(L, s, data, len, flags | dontwait, sa, salen);
    if (n >= 0) return n;
  }
  return drive_sendto(L, s, last, sa != NULL, patience, n);
}

/*
** For servers: an account of bytes, and an accept that must not wait
*/

static int push_traffic(lua_State *L, const cs_Socket *s) {
  if (s == NULL) return 0;
  lua_pushinteger(L, (lua_Integer)s->received);
  lua_pushinteger(L, (lua_Integer)s->sent);
  return 2;
}

/* traffic(sock) -> bytes received and sent, less what settle took; nothing for
** what is no socket. */
static int socket_traffic(lua_State *L) {
  return push_traffic(L, cs_testsocket(L));
}

/* settle(sock) -> the same, and takes it: the request is over.  If files that
** nobody has closed keep a closed socket open, the peer is told the end, as by
** Python's shutdown_request. */
static int socket_settle(lua_State *L) {
  cs_Socket *s = cs_testsocket(L);
  int n = push_traffic(L, s);
  if (s == NULL) return n;
  s->received = s->sent = 0;
  if (s->h.closed && s->h.source.fd >= 0) shutdown(s->h.source.fd, SHUT_WR);
  return n;
}

static int try_readable(lua_State *L, cs_Handle *h, int dontwait) {
  int n = cs_waitfd(h->source.fd, CS_READ, 0);
  (void)dontwait;
  if (h->source.fd < 0) return -EBADF;
  if (n <= 0) return n == 0 ? -EAGAIN : n;
  lua_pushboolean(L, 1);
  return 1;
}

static int not_readable(lua_State *L, cs_Handle *h, int err) {
  return cs_answerfalse(L, h, err, "wait");
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

/* share(sock): several processes accept from it.  Of those that wait for it
** from now on, as few as the poller can manage are woken for a connection. */
static int socket_share(lua_State *L) {
  cs_tosocket(L)->h.source.shared = 1;
  return 0;
}

static const luaL_Reg transfer_methods[] = {
    {"recv", sock_recv},         {"recv_into", sock_recv_into},
    {"recvfrom", sock_recvfrom}, {"recvfrom_into", sock_recvfrom_into},
    {"send", sock_send},         {"sendall", sock_sendall},
    {"sendto", sock_sendto},     {NULL, NULL},
};

static const luaL_Reg transfer_funcs[] = {
    {"readable", socket_readable},
    {"settle", socket_settle},
    {"share", socket_share},
    {"traffic", socket_traffic},
    {NULL, NULL},
};

/* Adds its methods to core.socket. */
void cs_open_transfer(lua_State *L) {
  cs_pushloop(L);
  cs_pushaddressmeta(L);
  ((cs_Loop *)lua_touserdata(L, -2))->addressmeta = lua_topointer(L, -1);
  lua_pop(L, 2);
  lua_getfield(L, -1, "socket");
  cs_setraising(L, transfer_funcs);
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, transfer_methods);
  lua_pop(L, 2);
}
