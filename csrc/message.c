/* message: sendmsg(2) and recvmsg(2), each an attempt for the driver.  What
** ancillary data looks like is cmsg's.
** Invariants: an unfinished operation has all its memory (the buffers, what
** they keep alive, the room for ancillary data) on the Lua stack, in copies
** that no Lua code can reach.  A descriptor that arrives has its number in the
** result, or is closed before the error goes on. */

#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#if defined(__linux__)
#include <linux/if_alg.h>
#endif

#include "address.h"
#include "buffer.h"
#include "cmsg.h"
#include "drive.h"
#include "error.h"
#include "message.h"
#include "resolve.h"
#include "socket.h"

#if defined(IOV_MAX)
#define MAX_PARTS IOV_MAX
#else
#define MAX_PARTS 1024
#endif

#if !defined(MSG_ERRQUEUE)
#define MSG_ERRQUEUE 0
#endif

#if defined(MSG_CMSG_CLOEXEC)
#define SEALED MSG_CMSG_CLOEXEC
#else
#define SEALED 0
#endif

/* The buffers of a message, at stack index 2.  User value i keeps buffer i. */
typedef struct Parts {
  size_t count; /* of those over MAX_PARTS, only the number is kept */
  size_t total; /* bytes */
  size_t done;  /* bytes that MSG_WAITALL has gathered so far */
  int lands;    /* there is one, the loop's landing */
  struct iovec iov[];
} Parts;

/* Room for ancillary data, at stack index 3 (nil: none). */
typedef struct Room {
  size_t size;
  _Alignas(struct cmsghdr) char bytes[];
} Room;

/*
** Arguments
*/

static Parts *push_parts(lua_State *L, size_t count) {
  size_t kept = count < MAX_PARTS ? count : MAX_PARTS;
  Parts *p = lua_newuserdatauv(L, sizeof *p + kept * sizeof *p->iov, (int)kept);
  p->count = count;
  p->total = p->done = 0;
  p->lands = 0;
  return p;
}

static const char *to_part(lua_State *L, int arg, int writable, size_t *len) {
  cs_Buffer *b;
  if (!writable) return cs_todata(L, arg, len);
  b = cs_testbuffer(L, arg);
  if (b == NULL) return NULL;
  *len = b->size;
  return b->data;
}

/* Replace the list of buffers at 'arg' by its Parts. */
static void gather(lua_State *L, int arg, int writable) {
  lua_Integer n;
  Parts *p;
  if (!lua_istable(L, arg)) cs_typeerror(L, arg, "list of buffers");
  n = luaL_len(L, arg);
  p = push_parts(L, n < 0 ? 0 : (size_t)n);
  for (lua_Integer i = 1; i <= n; i++) {
    size_t len;
    const char *data;
    lua_geti(L, arg, i);
    data = to_part(L, lua_gettop(L), writable, &len);
    if (data == NULL)
      cs_argerror(L, arg,
                  lua_pushfstring(L, "item %I: %s expected, got %s", i,
                                  writable ? "buffer" : "string or buffer",
                                  luaL_typename(L, -1)));
    if (i > MAX_PARTS) {
      lua_pop(L, 1);
      continue;
    }
    p->iov[i - 1].iov_base = (void *)data; /* sendmsg does not write there */
    p->iov[i - 1].iov_len = len;
    p->total += len;
    lua_setiuservalue(L, -2, (int)i);
  }
  lua_replace(L, arg);
}

/* Replace the size at index 2 by the one buffer to receive into: the loop's
** landing, or memory of its own for what may be larger than one piece or takes
** more than one call. */
static void make_part(lua_State *L, cs_Socket *s, int flags) {
  size_t size = (size_t)lua_tointeger(L, 2);
  Parts *p = push_parts(L, 1);
  int all = (flags & MSG_WAITALL) != 0;
  if (s->type == SOCK_STREAM && !all && size > CS_PIECE)
    size = CS_PIECE; /* less is always right */
  p->lands = size <= CS_PIECE && !all;
  if (!p->lands) {
    p->iov[0].iov_base = lua_newuserdatauv(L, size, 0);
    lua_setiuservalue(L, -2, 1);
  }
  p->iov[0].iov_len = p->total = size;
  lua_replace(L, 2);
}

/* Replace the number at index 3 by room for that many bytes. */
static void make_room(lua_State *L, size_t size) {
  if (size > 0) {
    Room *room = lua_newuserdatauv(L, sizeof *room + size, 0);
    room->size = size;
  } else
    lua_pushnil(L);
  lua_replace(L, 3);
}

/* Carry out 'op'.  As in Python, what the system is told not to wait for is
** not waited for here either, unless the socket has a timeout. */
static int drive(lua_State *L, cs_Socket *s, const cs_Op *op, int flags) {
  int64_t timeout = s->h.timeout;
  if (timeout < 0 && (flags & (MSG_DONTWAIT | MSG_ERRQUEUE))) timeout = 0;
  return cs_drivewithin(L, &s->h, op, timeout);
}

/*
** Sending.  Stack: self, Parts, control bytes, flags, address
*/

static int try_sendmsg(lua_State *L, cs_Handle *h, int dontwait) {
  Parts *p = lua_touserdata(L, 2);
  int flags = (int)lua_tointeger(L, 4) | MSG_NOSIGNAL | dontwait;
  struct msghdr m;
  cs_Address a;
  size_t len;
  ssize_t n;
  memset(&m, 0, sizeof m);
  if (p->count > MAX_PARTS) return h->source.fd < 0 ? -EBADF : -EMSGSIZE;
  if (!lua_isnil(L, 5)) {
    cs_checkaddress(L, 5, ((cs_Socket *)h)->family, 0, &a);
    m.msg_name = &a.u;
    m.msg_namelen = a.len;
  }
  m.msg_iov = p->iov;
  m.msg_iovlen = p->count;
  m.msg_control = (void *)lua_tolstring(L, 3, &len);
  m.msg_controllen = len;
  if (len == 0) m.msg_control = NULL;
  n = sendmsg(h->source.fd, &m, flags);
  if (n < 0 && errno == EAGAIN && m.msg_name != NULL &&
      a.u.any.sa_family == AF_UNIX)
    return -CS_ELATER; /* the receiver's queue is full, not this socket's */
  if (n < 0) return -errno;
  cs_notesent((cs_Socket *)h, n);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static const cs_Op op_sendmsg = {"sendmsg", CS_WRITE, 5, try_sendmsg, NULL, 0};

static const cs_Op op_send_fds = {"send_fds",  CS_WRITE, 5,
                                  try_sendmsg, NULL,     0};

/* The two differ in what their third argument becomes. */
static int send_with(lua_State *L, const cs_Op *op,
                     int (*pack)(lua_State *L, int arg)) {
  cs_Socket *s = cs_tosocket(L);
  int flags, err, named = 0;
  lua_settop(L, 5);
  gather(L, 2, 0);
  err = pack(L, 3);
  flags = cs_optint(L, 4, 0);
  if (err != 0) return cs_fail(L, s->h.safe, err, op->name, 0);
  if (!lua_isnil(L, 5))
    named = cs_resolve(L, 5, &s->h, s->family, s->proto, op->name);
  if (named < 0) return -named;
  if (named > 0) return cs_drivenamed(L, &s->h, op, cs_patience(s, flags));
  return drive(L, s, op, flags);
}

/* sock:sendmsg(buffers [, ancdata [, flags [, address]]]) -> how many bytes
** the system took.  `buffers` is a list of strings and buffers, sent as one;
** `ancdata` a list of {level, type, data}.  (sendmsg(2), cmsg(3)) */
static int sock_sendmsg(lua_State *L) {
  return send_with(L, &op_sendmsg, cs_packcontrol);
}

/* send_fds(sock, buffers, fds [, flags [, address]]) -> how many bytes the
** system took.  `fds` is a list of descriptors, which stay open here; a
** stream passes them with its bytes only, so `buffers` must not be empty.
** (unix(7), Python's socket.send_fds) */
static int message_send_fds(lua_State *L) {
  return send_with(L, &op_send_fds, cs_packrights);
}

/*
** Receiving.  Stack: self, Parts, Room or nil, flags
*/

/* what has come, for the functions that push it */
typedef struct Message {
  int (*push)(lua_State *L, const struct Message *m);
  const Parts *parts;
  size_t count; /* bytes, which with MSG_TRUNC may be more than fitted */
  const char *control;
  size_t size; /* of the control bytes */
  int flags;
  cs_Address from;
  const cs_Socket *sock;
} Message;

static void push_data(lua_State *L, const Message *m) {
  const Parts *p = m->parts;
  const char *data = (const char *)p->iov[0].iov_base - p->done;
  cs_pushreceived(L, m->sock->h.loop, data,
                  m->count < p->total ? m->count : p->total);
}

/* data, ancdata, flags, address.  The data goes first, while the landing
** still has it: later allocations may run finalizers. */
static int push_message(lua_State *L, const Message *m) {
  push_data(L, m);
  cs_pushcontrol(L, m->control, m->size);
  lua_pushinteger(L, m->flags);
  cs_pushaddress(L, &m->from, m->sock->proto);
  return 4;
}

static int push_count(lua_State *L, const Message *m) {
  lua_pushinteger(L, (lua_Integer)m->count);
  cs_pushcontrol(L, m->control, m->size);
  lua_pushinteger(L, m->flags);
  cs_pushaddress(L, &m->from, m->sock->proto);
  return 4;
}

static int push_fds(lua_State *L, const Message *m) {
  push_data(L, m);
  cs_pushrights(L, m->control, m->size);
  lua_pushinteger(L, m->flags);
  cs_pushaddress(L, &m->from, m->sock->proto);
  return 4;
}

static int push_guarded(lua_State *L) {
  const Message *m = lua_touserdata(L, 1);
  return m->push(L, m);
}

/* Push the results.  When that fails, for lack of memory, the descriptors that
** came with them are nobody's. */
static int push_results(lua_State *L, const Message *m) {
  if (m->size == 0) return m->push(L, m);
  lua_pushcfunction(L, push_guarded);
  lua_pushlightuserdata(L, (void *)m);
  if (lua_pcall(L, 1, 4, 0) != LUA_OK) {
    cs_closerights(m->control, m->size);
    return lua_error(L);
  }
  return 4;
}

/* Let the buffers begin 'n' bytes later. */
static void advance(Parts *p, size_t n) {
  p->done += n;
  for (size_t i = 0; n > 0 && i < p->count; i++) {
    struct iovec *v = &p->iov[i];
    size_t taken = n < v->iov_len ? n : v->iov_len;
    v->iov_base = (char *)v->iov_base + taken;
    v->iov_len -= taken;
    n -= taken;
  }
}

/* A stream's MSG_WAITALL without a timeout: the system would wait by itself,
** but a task waits in the loop, and a signal cuts the system's wait short. */
static int wants_all(const cs_Socket *s, int flags) {
  return s->type == SOCK_STREAM && s->h.timeout < 0 &&
         (flags & (MSG_WAITALL | MSG_PEEK | MSG_DONTWAIT | MSG_ERRQUEUE)) ==
             MSG_WAITALL;
}

/* Is this a part of what MSG_WAITALL wants?  Ancillary data ends it, as in the
** system, and so does its loss. */
static int is_part(const Parts *p, const struct msghdr *m, ssize_t n) {
  return n > 0 && m->msg_controllen == 0 && !(m->msg_flags & MSG_CTRUNC) &&
         p->done + (size_t)n < p->total;
}

static void clear(struct msghdr *m, cs_Address *from, Parts *p, Room *room) {
  memset(m, 0, sizeof *m);
  m->msg_name = &from->u;
  m->msg_namelen = sizeof from->u;
  m->msg_iov = p->iov;
  m->msg_iovlen = p->count;
  m->msg_control = room != NULL ? room->bytes : NULL;
  m->msg_controllen = room != NULL ? room->size : 0;
}

static int receive(lua_State *L, cs_Handle *h, int dontwait,
                   int (*push)(lua_State *, const Message *)) {
  cs_Socket *s = (cs_Socket *)h;
  Parts *p = lua_touserdata(L, 2);
  Room *room = lua_touserdata(L, 3);
  int flags = (int)lua_tointeger(L, 4);
  int sealed = s->family == AF_UNIX ? SEALED : 0; /* others might refuse it */
  Message message;
  struct msghdr m;
  ssize_t n;
  if (p->count > MAX_PARTS) return h->source.fd < 0 ? -EBADF : -EMSGSIZE;
  if (p->lands) p->iov[0].iov_base = cs_land(L, &h->loop->landing, p->total);
  clear(&m, &message.from, p, room);
  n = recvmsg(h->source.fd, &m, flags | sealed | dontwait);
  if (n < 0) {
    int err = errno;
    if (p->done == 0 || err == EAGAIN || err == EINTR || h->source.fd < 0)
      return -err;
    n = 0; /* what has come first is kept; the error shows again, next time */
    m.msg_namelen = 0;
    m.msg_controllen = 0;
    m.msg_flags = 0;
  }
  cs_notereceived(s, n, flags);
  if (wants_all(s, flags) && is_part(p, &m, n)) {
    advance(p, (size_t)n);
    return -EINTR; /* again: no event tells of an end that came with it */
  }
  message.push = push;
  message.parts = p;
  message.count = p->done + (size_t)n;
  message.control = m.msg_control;
  message.size = room != NULL ? m.msg_controllen : 0;
  message.flags = m.msg_flags & ~(sealed & ~flags);
  message.from.len = m.msg_namelen;
  if (message.from.len > sizeof message.from.u)
    message.from.len = sizeof message.from.u;
  message.sock = s;
  if (SEALED == 0) cs_sealrights(message.control, message.size);
  return push_results(L, &message);
}

static int try_recvmsg(lua_State *L, cs_Handle *h, int dontwait) {
  return receive(L, h, dontwait, push_message);
}

static int try_recvmsg_into(lua_State *L, cs_Handle *h, int dontwait) {
  return receive(L, h, dontwait, push_count);
}

static int try_recv_fds(lua_State *L, cs_Handle *h, int dontwait) {
  return receive(L, h, dontwait, push_fds);
}

static const cs_Op op_recvmsg = {"recvmsg", CS_READ, 0, try_recvmsg, NULL, 0};

static const cs_Op op_recvmsg_into = {"recvmsg_into",   CS_READ, 0,
                                      try_recvmsg_into, NULL,    0};

static const cs_Op op_recv_fds = {"recv_fds",   CS_READ, 0,
                                  try_recv_fds, NULL,    0};

static size_t check_size(lua_State *L, int arg) {
  lua_Integer n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0, arg, "size cannot be negative");
  luaL_argcheck(L, n <= INT_MAX, arg, "size too large");
  return (size_t)n;
}

/* What the last read of the stream has found says nothing about the error
** queue, or about urgent data. */
static int receive_with(lua_State *L, cs_Socket *s, const cs_Op *op,
                        int flags) {
  if (flags & (MSG_ERRQUEUE | MSG_OOB)) s->h.source.idle = 0;
  return drive(L, s, op, flags);
}

/* sock:recvmsg(bufsize [, ancbufsize [, flags]]) -> data, ancdata, msg_flags,
** address.  Sizes are in bytes, `ancbufsize` 0 by default; ancdata is a list of
** {level, type, data}.  msg_flags may say MSG_TRUNC or MSG_CTRUNC: part of the
** data, or of the ancillary data, is lost.  (recvmsg(2), cmsg(3)) */
static int sock_recvmsg(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t room;
  int flags;
  lua_settop(L, 4);
  check_size(L, 2);
  room = lua_isnil(L, 3) ? 0 : check_size(L, 3);
  flags = cs_optint(L, 4, 0);
  make_part(L, s, flags);
  make_room(L, room);
  return receive_with(L, s, &op_recvmsg, flags);
}

/* sock:recvmsg_into(buffers [, ancbufsize [, flags]]) -> nbytes, ancdata,
** msg_flags, address.  `buffers` is a list of csock.buffer objects, filled one
** after the other; the rest as recvmsg.  (recvmsg(2)) */
static int sock_recvmsg_into(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t room;
  int flags;
  lua_settop(L, 4);
  gather(L, 2, 1);
  room = lua_isnil(L, 3) ? 0 : check_size(L, 3);
  flags = cs_optint(L, 4, 0);
  make_room(L, room);
  return receive_with(L, s, &op_recvmsg_into, flags);
}

/* recv_fds(sock, bufsize, maxfds [, flags]) -> data, list of descriptors,
** msg_flags, address.  The descriptors are close-on-exec, and the caller's;
** MSG_CTRUNC in msg_flags: more than `maxfds` were sent, the system has closed
** the others.  (unix(7), Python's socket.recv_fds) */
static int message_recv_fds(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t count, room;
  int flags;
  lua_settop(L, 4);
  check_size(L, 2);
  count = check_size(L, 3);
  room = count > INT_MAX / sizeof(int) ? 0 : cs_cmsglen(count * sizeof(int));
  luaL_argcheck(L, room != 0, 3, "too many");
  flags = cs_optint(L, 4, 0);
  make_part(L, s, flags);
  make_room(L, room);
  return receive_with(L, s, &op_recv_fds, flags);
}

/*
** The kernel's cryptography
*/

#if defined(AF_ALG)

/* Push the item of an initialization vector: its length, then its bytes. */
static int push_iv(lua_State *L, int arg) {
  size_t len;
  const char *iv = cs_checkdata(L, arg, &len);
  uint32_t number = (uint32_t)len;
  if (len > INT_MAX) return 0;
  lua_pushlstring(L, (const char *)&number, sizeof number);
  lua_pushlstring(L, iv, len);
  lua_concat(L, 2);
  iv = lua_tolstring(L, -1, &len);
  if (!cs_addcontrol(L, SOL_ALG, ALG_SET_IV, iv, len)) return 0;
  lua_remove(L, -2);
  return 1;
}

/* Replace op, iv and assoclen, at 3 to 5, by control bytes at 3. */
static int pack_alg(lua_State *L) {
  int items = 1, op = cs_checkint(L, 3);
  uint32_t number = (uint32_t)op;
  luaL_argcheck(L, op >= 0, 3, "operation expected");
  cs_addcontrol(L, SOL_ALG, ALG_SET_OP, &number, sizeof number);
  if (!lua_isnil(L, 4)) {
    if (!push_iv(L, 4)) return ENOBUFS;
    items++;
  }
  if (!lua_isnil(L, 5)) {
    number = (uint32_t)check_size(L, 5);
    cs_addcontrol(L, SOL_ALG, ALG_SET_AEAD_ASSOCLEN, &number, sizeof number);
    items++;
  }
  lua_concat(L, items);
  lua_replace(L, 3);
  return 0;
}

static const cs_Op op_afalg = {"sendmsg_afalg", CS_WRITE, 0,
                               try_sendmsg,     NULL,     0};

/* sock:sendmsg_afalg(buffers, op [, iv [, assoclen [, flags]]]) -> how many
** bytes the system took.  For AF_ALG sockets: sets the operation (ALG_OP_...),
** initialization vector and length of associated data, and sends what is in
** `buffers`, nil for nothing yet.  (Python's socket.sendmsg_afalg, the kernel's
** crypto/userspace-if) */
static int sock_sendmsg_afalg(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int flags, err;
  lua_settop(L, 6);
  if (lua_isnil(L, 2)) {
    lua_newtable(L);
    lua_replace(L, 2);
  }
  gather(L, 2, 0);
  flags = cs_optint(L, 6, 0);
  err = pack_alg(L);
  if (err == 0 && s->family != AF_ALG) err = EOPNOTSUPP;
  if (err != 0) return cs_fail(L, s->h.safe, err, "sendmsg_afalg", 0);
  lua_settop(L, 3);
  lua_pushinteger(L, flags);
  lua_pushnil(L);
  return drive(L, s, &op_afalg, flags);
}

#endif

static const luaL_Reg message_methods[] = {
    {"recvmsg", sock_recvmsg},
    {"recvmsg_into", sock_recvmsg_into},
    {"sendmsg", sock_sendmsg},
#if defined(AF_ALG)
    {"sendmsg_afalg", sock_sendmsg_afalg},
#endif
    {NULL, NULL},
};

static const luaL_Reg message_funcs[] = {
    {"recv_fds", message_recv_fds},
    {"send_fds", message_send_fds},
    {NULL, NULL},
};

/* Adds its methods to core.socket, and its functions to core. */
void cs_open_message(lua_State *L) {
  cs_setfuncs(L, message_funcs);
  lua_getfield(L, -1, "socket");
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, message_methods);
  lua_pop(L, 2);
}
