/* admit: connections that become requests as soon as they are there, all that
** wait in the listener's queue at once: what a server of tasks does where
** nobody has a say between accept(2) and the handler.
** Not here: whether that is so, and what becomes of errors, which is Lua's
** (lua/csock/mixin.lua); a single accept (socket); the tasks (group).
** Invariant: an open connection is in a task, or is the group's pending one. */

#include <errno.h>
#include <lauxlib.h>

#include "admit.h"
#include "group.h"
#include "socket.h"

/* where things are on the stack of admit() */
enum { LISTENER = 1, GROUP, STEP, ACCOUNT, MOST, REQUEST };

/* Push the closed socket that the next connection opens.  One for which none
** came last time is kept. */
static cs_Socket *push_pending(lua_State *L, const cs_Handle *h) {
  cs_Socket *new;
  lua_getiuservalue(L, GROUP, CS_PENDING);
  new = lua_touserdata(L, -1);
  if (new != NULL &&new->h.source.fd < 0 && new->h.safe == h->safe) return new;
  lua_pop(L, 1);
  new = cs_pushsocket(L, h->loop, h->safe);
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, GROUP, CS_PENDING);
  return new;
}

static void count(lua_State *L) {
  lua_getfield(L, ACCOUNT, "accepted");
  lua_pushinteger(L, lua_tointeger(L, -1) + 1);
  lua_setfield(L, ACCOUNT, "accepted");
  lua_pop(L, 1);
}

/* Connections may be there, for all that is known without a system call. */
static int try_await(lua_State *L, cs_Handle *h, int dontwait) {
  (void)dontwait;
  if (h->source.fd < 0) return -EBADF;
  if (h->source.idle & CS_READ) return -EAGAIN;
  lua_pushboolean(L, 1);
  return 1;
}

static const cs_Op op_await = {"accept", CS_READ, 0, try_await, NULL, 0};

/* await(listener) -> true when it may be worth while to call admit(); waits
** and fails like sock:accept(), and is "accept" for whoever looks on. */
static int socket_await(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  lua_settop(L, 1);
  return cs_drive(L, &s->h, &op_await);
}

/* One connection after the other, until none is left, of which the next one is
** an event, or it is time to let other tasks run. */
static int try_admit(lua_State *L, cs_Handle *h, int dontwait) {
  lua_Integer most = luaL_optinteger(L, MOST, LUA_MAXINTEGER);
  int n;
  (void)dontwait;
  do {
    n = cs_acceptinto(L, (cs_Socket *)h, push_pending(L, h));
    if (n > 0) {
      count(L);
      cs_groupspawn(L, GROUP, STEP, REQUEST);
      lua_pushnil(L);
      lua_setiuservalue(L, GROUP, CS_PENDING);
      most--;
    }
    lua_settop(L, MOST);
  } while (n == -EINTR || (n > 0 && --h->loop->budget > 0 && most > 0));
  if (n < 0 && n != -EAGAIN) return n;
  if (n < 0) h->source.idle |= CS_READ;
  lua_pushboolean(L, 1);
  return 1;
}

static const cs_Op op_admit = {"accept", CS_READ, 0, try_admit, NULL, 1};

/* admit(listener, group, step, account [, most]) -> true: accept connections,
** `most` of them, and for each group:spawn(step, connection, address);
** account.accepted counts them.  One for which the latter failed is
** pending(group).  Never waits.  (accept(2)) */
static int socket_admit(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  cs_checkgroup(L, GROUP);
  luaL_checktype(L, ACCOUNT, LUA_TTABLE);
  lua_settop(L, MOST);
  return cs_drivewithin(L, &s->h, &op_admit, 0);
}

/* retry(listener): whoever waits for connections looks whether some are there,
** of which no event may have told this process. */
static int socket_retry(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  s->h.source.idle = 0;
  cs_wakesource(s->h.loop, &s->h.source);
  return 0;
}

/* pending(group) -> the connection that admit() has accepted, and could not
** make a request; nil for none. */
static int socket_pending(lua_State *L) {
  cs_Socket *s;
  cs_checkgroup(L, 1);
  lua_getiuservalue(L, 1, CS_PENDING);
  s = lua_touserdata(L, -1);
  if (s == NULL || s->h.source.fd < 0) return 0;
  lua_pushnil(L);
  lua_setiuservalue(L, 1, CS_PENDING);
  return 1;
}

static const luaL_Reg admit_funcs[] = {
    {"admit", socket_admit},
    {"await", socket_await},
    {"pending", socket_pending},
    {"retry", socket_retry},
    {NULL, NULL},
};

/* Adds its functions to core.socket. */
void cs_open_admit(lua_State *L) {
  lua_getfield(L, -1, "socket");
  cs_setfuncs(L, admit_funcs);
  lua_pop(L, 1);
}
