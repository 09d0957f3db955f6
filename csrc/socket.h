/* socket: the socket object, as the files that give it methods see it. */

#ifndef cs_socket_h
#define cs_socket_h

#include <lua.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "drive.h"
#include "error.h"
#include "mark.h"

typedef struct cs_Socket {
  cs_Handle h; /* first */
  int family, type, proto;
  uint32_t mark;           /* mark.h */
  uint64_t received, sent; /* bytes, ever, or since somebody took them */
} cs_Socket;

extern const char cs_socket_tag; /* its address is that of the class */

cs_Socket *cs_pushsocket(lua_State *L, cs_Loop *loop, int safe);
void cs_opensocket(cs_Socket *s, int fd, int nonblock);
int cs_acceptinto(lua_State *L, const cs_Socket *s, cs_Socket *new);
void cs_leavesocket(cs_Socket *s, int elsewhere);
int cs_closesocket(cs_Socket *s);
void cs_open_socket(lua_State *L);

/* How long an operation with these flags may wait.  With MSG_DONTWAIT a socket
** without a timeout does not wait; one with a timeout does, as in Python. */
static inline int64_t cs_patience(const cs_Socket *s, lua_Integer flags) {
  return s->h.timeout < 0 && (flags & MSG_DONTWAIT) ? 0 : s->h.timeout;
}

/* The socket at index 1, open or closed, or NULL. */
static inline cs_Socket *cs_testsocket(lua_State *L) {
  return cs_tomarked(L, 1, cs_Socket, &cs_socket_tag);
}

/* The socket at index 1, open or closed. */
static inline cs_Socket *cs_tosocket(lua_State *L) {
  cs_Socket *s = cs_testsocket(L);
  if (s == NULL) cs_typeerror(L, 1, "socket");
  return s;
}

/* Keep the account of bytes; those that were only looked at stay to come. */
static inline void cs_notereceived(cs_Socket *s, ssize_t n, int flags) {
  if ((flags & MSG_PEEK) == 0) s->received += (uint64_t)n;
}

static inline void cs_notesent(cs_Socket *s, ssize_t n) {
  s->sent += (uint64_t)n;
}

/* A read that took less than it asked for has emptied the queue, unless
** something cut it short: a flag, the end, urgent data (`wary`), or, on other
** families, the border of a message. */
static inline void cs_noteshort(cs_Socket *s, size_t n, size_t size,
                                int flags) {
  if (n > 0 && n < size && flags == 0 && !s->h.source.wary &&
      s->type == SOCK_STREAM && (s->family == AF_INET || s->family == AF_INET6))
    s->h.source.idle |= CS_READ;
}

#endif
