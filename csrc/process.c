/* process: a watch on signals is a pipe that the handler writes to, read
** through the driver like any descriptor.  It says that a signal came, and
** nothing else happens: no Lua code ever runs in a handler.
** Invariant: signals are watched exactly while the pipe is open. */

#define _GNU_SOURCE /* NSIG */
#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "drive.h"
#include "error.h"
#include "process.h"

#define WATCH      "csock.signals"
#define MAXSIGNALS 8

typedef struct Watch {
  cs_Handle h; /* first; its descriptor is the read end */
  int out;     /* the write end */
  int signals[MAXSIGNALS], count;
} Watch;

static void close_watch(Watch *w) {
  int fd = w->h.source.fd;
  if (fd < 0) return;
  while (w->count > 0) cs_unwatchsignal(w->signals[--w->count], w->out);
  cs_closesource(w->h.loop, &w->h.source);
  cs_closefd(fd);
  cs_closefd(w->out);
}

/* Push a watch on no signal yet. */
static Watch *push_watch(lua_State *L) {
  int fds[2], err;
  Watch *w = lua_newuserdatauv(L, sizeof *w, 0);
  memset(w, 0, sizeof *w);
  w->h.loop = cs_loop(L);
  w->h.timeout = -1;
  w->h.nonblock = 1;
  cs_opensource(&w->h.source, -1);
  luaL_setmetatable(L, WATCH);
  if ((err = cs_pipe(fds)) != 0) cs_fail(L, 0, -err, "signal", 0);
  w->h.source.fd = fds[0];
  w->out = fds[1];
  return w;
}

static void add_signal(lua_State *L, Watch *w, int signo) {
  int err = cs_watchsignal(signo, w->out);
  if (err != 0) {
    close_watch(w);
    cs_fail(L, 0, -err, "signal", 0);
  }
  w->signals[w->count++] = signo;
}

/* catch(signo) -> a watch on that signal, whatever its disposition is. */
static int process_catch(lua_State *L) {
  int signo = cs_checkint(L, 1);
  luaL_argcheck(L, signo > 0 && signo < NSIG, 1, "out of range");
  add_signal(L, push_watch(L), signo);
  return 1;
}

/* signals(signo, ...) -> a watch on those of them that are free to be taken
** (see sys.c), or nil when none is. */
static int process_signals(lua_State *L) {
  int n = lua_gettop(L);
  Watch *w;
  luaL_argcheck(L, n <= MAXSIGNALS, MAXSIGNALS, "too many signals");
  for (int i = 1; i <= n; i++) luaL_checkinteger(L, i);
  w = push_watch(L);
  for (int i = 1; i <= n; i++) {
    int signo = (int)lua_tointeger(L, i);
    if (cs_signalisfree(signo)) add_signal(L, w, signo);
  }
  if (w->count > 0) return 1;
  close_watch(w);
  lua_pushnil(L);
  return 1;
}

static int try_wait(lua_State *L, cs_Handle *h, int dontwait) {
  unsigned char byte;
  ssize_t n = read(h->source.fd, &byte, 1);
  (void)dontwait;
  if (n < 0) return -errno;
  cs_signalread(byte);
  lua_pushinteger(L, byte);
  return 1;
}

static const cs_Op op_wait = {"signal", CS_READ, 0, try_wait, NULL, 0};

/* watch:wait() -> the number of the next signal. */
static int watch_wait(lua_State *L) {
  Watch *w = luaL_checkudata(L, 1, WATCH);
  lua_settop(L, 1);
  return cs_drive(L, &w->h, &op_wait);
}

/* watch:close(): the dispositions are as they were. */
static int watch_close(lua_State *L) {
  close_watch(luaL_checkudata(L, 1, WATCH));
  return 0;
}

/* alarm(seconds): SIGALRM ends the process then, unless it is called again; 0
** calls it off.  For test suites: a deadline that holds whatever hangs.
** (alarm(2)) */
static int process_alarm(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  luaL_argcheck(L, n >= 0 && n < 1000000, 1, "out of range");
  lua_pushinteger(L, (lua_Integer)alarm((unsigned)n));
  return 1;
}

/* getpid() -> the number of this process. (getpid(2)) */
static int process_getpid(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)getpid());
  return 1;
}

/* unsetenv(name) -> true: the variable is gone, for children too.
** (unsetenv(3)) */
static int process_unsetenv(lua_State *L) {
  lua_pushboolean(L, unsetenv(cs_checkname(L, 1)) == 0);
  return 1;
}

/* keep(fd) -> true: make a descriptor close-on-exec that the program was begun
** with.  Raises OSError, EBADF for one that is not open.  (fcntl(2)) */
static int process_keep(lua_State *L) {
  int err = cs_setinheritable(cs_checkint(L, 1), 0);
  if (err != 0) return cs_fail(L, 0, -err, "fcntl", 0);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg watch_meta[] = {
    {"__close", watch_close},
    {"__gc", watch_close},
    {NULL, NULL},
};

static const luaL_Reg watch_methods[] = {
    {"close", watch_close},
    {"wait", watch_wait},
    {NULL, NULL},
};

static const luaL_Reg process_funcs[] = {
    {"alarm", process_alarm},
    {"catch", process_catch},
    {"getpid", process_getpid},
    {"keep", process_keep},
    {"signals", process_signals},
    {"unsetenv", process_unsetenv},
    {NULL, NULL},
};

static const struct {
  const char *name;
  int number;
} numbers[] = {
    {"SIGHUP", SIGHUP},
    {"SIGINT", SIGINT},
    {"SIGKILL", SIGKILL},
    {"SIGTERM", SIGTERM},
};

/* Adds core.process. */
void cs_open_process(lua_State *L) {
  luaL_newmetatable(L, WATCH);
  cs_setfuncs(L, watch_meta);
  lua_newtable(L);
  cs_setfuncs(L, watch_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_newtable(L);
  cs_setfuncs(L, process_funcs);
  for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
    lua_pushinteger(L, numbers[i].number);
    lua_setfield(L, -2, numbers[i].name);
  }
  lua_setfield(L, -2, "process");
}
