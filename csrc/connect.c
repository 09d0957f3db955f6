/* connect: what lua/csock/connect.lua needs to wait for the first of several
** connections: in a task one socket after the other, each in a task of its own;
** outside of tasks all of them at once.  To begin a connection, and to learn
** what became of it, is socket's.
** Invariant: a descriptor is waited for, nothing is done with it. */

#include <errno.h>
#include <lauxlib.h>

#include "connect.h"
#include "drive.h"
#include "error.h"
#include "socket.h"

static int try_writable(lua_State *L, cs_Handle *h, int dontwait) {
  int n = cs_waitfd(h->source.fd, CS_WRITE, 0);
  (void)dontwait;
  if (h->source.fd < 0) return -EBADF;
  if (n <= 0) return n == 0 ? -EAGAIN : n;
  lua_pushboolean(L, 1);
  return 1;
}

static int not_writable(lua_State *L, cs_Handle *h, int err) {
  (void)h;
  (void)err;
  lua_pushboolean(L, 0);
  return 1;
}

static const cs_Op op_writable = {"connect",    CS_WRITE,     0,
                                  try_writable, not_writable, 0};

/* writable(sock) -> true when its connection has come about or failed, false
** when it was closed meanwhile. */
static int connect_writable(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  lua_settop(L, 1);
  return cs_drivewithin(L, &s->h, &op_writable, -1);
}

/* Wait for one of the descriptors: how many are ready, 0 after the deadline,
** -errno. */
static int wait_all(lua_State *L, struct pollfd *p, size_t count,
                    int64_t deadline) {
  cs_Loop *loop = cs_loop(L);
  for (;;) {
    int64_t scope = *cs_scope(loop);
    int n;
    cs_checkcancel(L, loop, "connect");
    n = cs_waitfds(p, count, scope < deadline ? scope : deadline);
    if (n > 0 || (n == 0 && deadline <= scope)) return n;
    if (n == -EINTR)
      cs_runhooks(L);
    else if (n < 0)
      return n;
  }
}

/* poll(fds, seconds) -> the index of a descriptor in the list `fds` that can be
** written to, or nil after `seconds`.  Not for tasks. */
static int connect_poll(lua_State *L) {
  int64_t deadline = cs_deadline(cs_checktimeout(L, 2));
  struct pollfd *p;
  size_t count;
  int n;
  luaL_checktype(L, 1, LUA_TTABLE);
  count = lua_rawlen(L, 1);
  p = lua_newuserdatauv(L, (count + 1) * sizeof *p, 0);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (lua_Integer)i + 1);
    p[i].fd = cs_checkint(L, -1);
    p[i].events = POLLOUT;
    p[i].revents = 0;
    lua_pop(L, 1);
  }
  n = wait_all(L, p, count, deadline);
  if (n < 0) return cs_fail(L, 0, -n, "connect", 0);
  if (n == 0) return 0;
  for (n = 0; p[n].revents == 0;) n++;
  lua_pushinteger(L, n + 1);
  return 1;
}

static int paused(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  cs_resumed(L, cs_loop(L));
  cs_checkcancel(L, cs_loop(L), "connect");
  return 0;
}

/* pause(seconds): the same for a task, which core.loop.wake wakes when a
** connection that it has an eye on is decided. */
static int connect_pause(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  int64_t deadline = cs_deadline(cs_checktimeout(L, 1));
  cs_checkcancel(L, loop, "connect");
  cs_note(loop, "connect");
  return cs_suspend(L, loop, NULL, deadline, 0, paused);
}

/* check(): raises what somebody round the caller has asked for: a cancellation,
** the end of a scope.  The code that tries one address after the other must not
** take it for a fault of one of them. */
static int connect_check(lua_State *L) {
  cs_checkcancel(L, cs_loop(L), "connect");
  return 0;
}

/* intask() -> whether the caller can wait through the loop. */
static int connect_intask(lua_State *L) {
  lua_pushboolean(L, cs_intask(L, cs_loop(L)));
  return 1;
}

static const luaL_Reg connect_funcs[] = {
    {"writable", connect_writable}, {"poll", connect_poll},
    {"pause", connect_pause},       {"intask", connect_intask},
    {"check", connect_check},       {NULL, NULL},
};

/* Adds core.connect. */
void cs_open_connect(lua_State *L) {
  lua_newtable(L);
  cs_setfuncs(L, connect_funcs);
  lua_setfield(L, -2, "connect");
}
