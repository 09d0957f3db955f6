/* select: a set of descriptors, each with the events that are asked for, and
** one way to wait for any of them.  poll(2) says what is ready; a task that has
** to wait does so for a descriptor that stands for all, the poller's group, or,
** where there is none, looks again every moment.
** Not here: the meaning of lists, objects and time (lua/csock/select.lua).
** Invariant: the group's descriptor lives while its set waits, no longer. */

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>

#include "drive.h"
#include "error.h"
#include "select.h"

#define SET "csock.select"

typedef struct Set {
  cs_Handle h; /* first; its descriptor is the group's */
  const cs_Op *op;
  size_t count;
  struct pollfd fds[];
} Set;

/* Push what was found: {fd, events, fd, events...}. */
static int push_ready(lua_State *L, const Set *s) {
  lua_Integer n = 0;
  lua_newtable(L);
  for (size_t i = 0; i < s->count; i++) {
    if (s->fds[i].fd < 0 || s->fds[i].revents == 0) continue;
    lua_pushinteger(L, s->fds[i].fd);
    lua_rawseti(L, -2, ++n);
    lua_pushinteger(L, (unsigned short)s->fds[i].revents);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* What select(2) takes for an answer to the question. */
static int answers(const struct pollfd *p) {
  int wanted = 0;
  if (p->events & POLLIN) wanted |= POLLIN | POLLHUP | POLLERR;
  if (p->events & POLLOUT) wanted |= POLLOUT | POLLERR;
  if (p->events & POLLPRI) wanted |= POLLPRI;
  return (p->revents & wanted) != 0;
}

/* poll(2) says more than select(2) does, and would say it for ever: what
** answers no question is left out from now on.  How many do, of 'n', or
** -errno. */
static int as_select(Set *s, int n) {
  for (size_t i = 0; i < s->count; i++) {
    struct pollfd *p = &s->fds[i];
    if (p->fd < 0 || p->revents == 0) continue;
    if (p->revents & POLLNVAL) return -EBADF;
    if (answers(p)) continue;
    p->fd = -1;
    n--;
  }
  return n;
}

static const cs_Op op_select, op_poll;

/* poll(2) until 'deadline': how many are ready, 0, or -errno. */
static int look(Set *s, int64_t deadline) {
  int n;
  do {
    n = cs_waitfds(s->fds, s->count, deadline);
    if (n <= 0) return n;
    if (s->op == &op_select) n = as_select(s, n);
  } while (n == 0);
  return n;
}

static int try_set(lua_State *L, cs_Handle *h, int dontwait) {
  Set *s = (Set *)h;
  const cs_PollerOps *ops = h->loop->poller.ops;
  int n = look(s, 0);
  (void)dontwait;
  if (n > 0) return push_ready(L, s);
  if (n < 0) return n;
  if (h->source.fd < 0 && ops->group != NULL) {
    n = ops->group(s->fds, s->count);
    if (n >= 0) cs_opensource(&h->source, n);
  }
  return h->source.fd < 0 ? -CS_ELATER : -EAGAIN;
}

static int failed_set(lua_State *L, cs_Handle *h, int err) {
  Set *s = (Set *)h;
  if (err != CS_ETIMEOUT) return cs_fail(L, h->safe, err, s->op->name, 0);
  lua_newtable(L);
  return 1;
}

static const cs_Op op_select = {"select", CS_READ, 0, try_set, failed_set, 0};
static const cs_Op op_poll = {"poll", CS_READ, 0, try_set, failed_set, 0};

static void close_set(Set *s) {
  int fd = s->h.source.fd;
  if (fd < 0) return;
  cs_closesource(s->h.loop, &s->h.source);
  cs_closefd(fd);
}

/* set(list, strict) -> the descriptors in the list {fd, events, fd, events...}
** as a value to be closed; `strict`: as select(2) sees them. */
static int select_set(lua_State *L) {
  size_t count;
  Set *s;
  luaL_checktype(L, 1, LUA_TTABLE);
  count = (size_t)lua_rawlen(L, 1) / 2;
  s = lua_newuserdatauv(L, sizeof *s + count * sizeof(struct pollfd), 0);
  s->h.loop = cs_loop(L);
  s->h.timeout = -1;
  s->h.nonblock = 1;
  s->h.safe = 1;
  s->op = lua_toboolean(L, 2) ? &op_select : &op_poll;
  s->count = count;
  cs_opensource(&s->h.source, -1);
  luaL_setmetatable(L, SET);
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 1, (lua_Integer)(2 * i + 1));
    lua_rawgeti(L, 1, (lua_Integer)(2 * i + 2));
    s->fds[i].fd = (int)luaL_checkinteger(L, -2);
    s->fds[i].events = (short)luaL_checkinteger(L, -1);
    s->fds[i].revents = 0;
    lua_pop(L, 2);
  }
  return 1;
}

static int wait_outside(lua_State *L, Set *s, int64_t timeout) {
  cs_Loop *loop = s->h.loop;
  int64_t deadline = timeout == 0 ? 0 : cs_deadline(timeout);
  int64_t scope = *cs_scope(loop);
  for (;;) {
    int n;
    cs_checkcancel(L, loop, s->op->name);
    n = look(s, scope < deadline ? scope : deadline);
    if (n > 0) return push_ready(L, s);
    if (n == -EINTR)
      cs_runhooks(L);
    else if (n < 0)
      return cs_fail(L, s->h.safe, -n, s->op->name, 0);
    else if (deadline <= scope)
      return failed_set(L, &s->h, CS_ETIMEOUT);
  }
}

/* set:wait(timeout) -> {fd, events, fd, events...}: what is ready, or nothing
** after `timeout` seconds; or nil, err. */
static int set_wait(lua_State *L) {
  Set *s = luaL_checkudata(L, 1, SET);
  int64_t timeout = cs_checktimeout(L, 2);
  lua_settop(L, 1);
  if (timeout != 0 && cs_intask(L, s->h.loop))
    return cs_drivewithin(L, &s->h, s->op, timeout);
  return wait_outside(L, s, timeout);
}

static int set_close(lua_State *L) {
  close_set(luaL_checkudata(L, 1, SET));
  return 0;
}

/* fileno(object) -> the descriptor of one of Lua's own files, or what the
** object's method fileno() says; a number itself. */
static int select_fileno(lua_State *L) {
  luaL_Stream *p = luaL_testudata(L, 1, LUA_FILEHANDLE);
  lua_settop(L, 1);
  if (p != NULL) {
    lua_pushinteger(L, p->closef != NULL ? fileno(p->f) : -1);
    return 1;
  }
  if (lua_type(L, 1) == LUA_TNUMBER) return 1;
  if (!lua_istable(L, 1) &&
      (!lua_isuserdata(L, 1) || luaL_getmetafield(L, 1, "__index") == LUA_TNIL))
    return 0;
  if (lua_getfield(L, 1, "fileno") == LUA_TNIL) return 0;
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

/* unknown() -> nil, err: what modify says of a descriptor it does not know. */
static int select_unknown(lua_State *L) {
  return cs_fail(L, 1, ENOENT, "modify", 0);
}

static const luaL_Reg set_methods[] = {
    {"wait", set_wait},
    {NULL, NULL},
};

static const luaL_Reg set_meta[] = {
    {"__close", set_close},
    {"__gc", set_close},
    {NULL, NULL},
};

static const luaL_Reg select_funcs[] = {
    {"set", select_set},
    {"fileno", select_fileno},
    {"unknown", select_unknown},
    {NULL, NULL},
};

/* Adds core.select. */
void cs_open_select(lua_State *L) {
  luaL_newmetatable(L, SET);
  cs_setfuncs(L, set_meta);
  lua_newtable(L);
  cs_setfuncs(L, set_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_newtable(L);
  cs_setfuncs(L, select_funcs);
  lua_setfield(L, -2, "select");
}
