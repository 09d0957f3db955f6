/* idle: the wait of a connection between two requests, and how the end of a
** server interrupts all such waits at once.
** Not here: what becomes of a connection then (lua/csock/handler.lua).
** Invariant: nobody keeps a list of those who wait: the operation that a task
** is in and the third place of the stack that waits tell. */

#include <errno.h>
#include <lauxlib.h>
#include <sys/socket.h>

#include "coroutine.h"
#include "drive.h"
#include "error.h"
#include "file.h"
#include "idle.h"
#include "item.h"
#include "reader.h"

/*
** socket, file, server
*/

static int try_await(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  cs_Item item = {CS_PROBE, 0, 1};
  char byte;
  size_t used;
  ssize_t n;
  if (f->size > 0) {
    n = cs_obtain(f, h, &item, 0, dontwait, &used);
    if (n < 0) return (int)n;
    n = cs_unread(f) > 0;
  } else {
    if (f->sock == NULL) return -EBADF;
    n = recv(h->source.fd, &byte, 1, MSG_PEEK | dontwait);
    if (n < 0) return -errno;
  }
  lua_pushboolean(L, n > 0);
  return 1;
}

/* A client that has gone, or is silent, has no request. */
static int failed_await(lua_State *L, cs_Handle *h, int err) {
  cs_File *f = lua_touserdata(L, 2);
  switch (err) {
  case EAGAIN:
    luaL_pushfail(L);
    return 1;
  case CS_ETIMEOUT:
    f->timedout = 1;
    break;
  case ECONNABORTED:
  case ECONNREFUSED:
  case ECONNRESET:
  case EPIPE:
  case ESHUTDOWN:
  case ETIMEDOUT:
    break;
  default:
    return cs_failedread(L, h, err);
  }
  lua_pushboolean(L, 0);
  return 1;
}

static const cs_Op op_await = {"has_request", CS_READ,      0,
                               try_await,     failed_await, 0};

/* What the file's tied one had is sent; meanwhile nobody could interrupt. */
static int again(lua_State *L, int status, lua_KContext ctx) {
  int n = cs_wassent(L);
  (void)status;
  (void)ctx;
  if (n > 0) return n;
  luaL_pushfail(L);
  lua_pushboolean(L, 1);
  return 2;
}

/* await(file [, server]) -> is there something to read, before the end of the
** stream?  Waits until that is known; nil if somebody has interrupted the
** wait, or on a non-blocking socket; nil, true if it is to be called again. */
static int idle_await(lua_State *L) {
  cs_File *f = cs_toreader(L);
  int n;
  if (cs_unread(f) > 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_settop(L, 2);
  cs_pushfilesocket(L);
  if (cs_sendtied(L, f, 0, again, &n)) return n;
  return cs_readnow(L, f, &f->sock->h, &op_await);
}

/* Does the task await a request to this server? */
static int awaits(const cs_Task *t, const void *server) {
  lua_State *co = t->co, *inner;
  if ((t->state != CS_WAITING && t->state != CS_READY) || t->waiter == NULL ||
      t->op != op_await.name)
    return 0;
  while ((inner = cs_inner(co)) != NULL) co = inner;
  return co == t->waiter && lua_status(co) == LUA_YIELD &&
         lua_topointer(co, 3) == server;
}

/* interrupt(server): whoever is in await for it need not wait any more. */
static int idle_interrupt(lua_State *L) {
  const void *server = lua_topointer(L, 1);
  lua_settop(L, 1);
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKS);
  for (lua_pushnil(L); lua_next(L, 2) != 0; lua_pop(L, 1)) {
    cs_Task *t = lua_touserdata(L, -1);
    if (awaits(t, server)) cs_interrupt(cs_loop(L), t);
  }
  return 0;
}

static const luaL_Reg idle_funcs[] = {
    {"await", idle_await},
    {"interrupt", idle_interrupt},
    {NULL, NULL},
};

/* Adds its functions to core.file. */
void cs_open_idle(lua_State *L) {
  lua_getfield(L, -1, "file");
  cs_setfuncs(L, idle_funcs);
  lua_pop(L, 1);
}
