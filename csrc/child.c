/* child: a process made by fork that runs one Lua function.  It has left the
** parent's loop before the function begins, and it ends with the function:
** the stack below is the parent's, and nothing on it is ever returned to,
** closed or finalized there.  Not here: what such processes are for.
** Invariant: only the number of a child that has not been waited for is given
** to the system, so it is never a stranger's; and no other process is waited
** for, since a host program may have children of its own. */

#include <errno.h>
#include <lauxlib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "child.h"
#include "drive.h"
#include "error.h"
#include "resolve.h"

#define CHILD "csock.child"

typedef struct Child {
  cs_Handle h; /* first; its descriptor can be read when the child has ended */
  pid_t pid;
  int held;  /* the descriptor is a pipe that the child holds open */
  int ended; /* and has been waited for */
  int known; /* its status is: nobody else has waited for it */
  int status;
} Child;

static Child *tochild(lua_State *L) {
  return luaL_checkudata(L, 1, CHILD);
}

static void close_child(Child *c) {
  int fd = c->h.source.fd;
  if (fd < 0) return;
  cs_closesource(c->h.loop, &c->h.source);
  cs_closefd(fd);
}

/*
** In the child
*/

/* What its function runs in: (f, ...) -> the exit status. */
static int child_main(lua_State *L) {
  cs_dropparent(L, cs_loop(L));
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static int add_traceback(lua_State *L) {
  if (cs_iscancel(L)) return 1; /* that is no failure */
  luaL_traceback(L, L, luaL_tolstring(L, 1, NULL), 1);
  return 1;
}

/* Calls child_main, which is on the stack above its message handler, and ends
** the process.  The call has no continuation: a coroutine.yield in it is an
** error and not a way back into the parent's loop. */
_Noreturn static void be_child(lua_State *L, int nargs) {
  int status = 1;
  if (lua_pcall(L, nargs, 1, -nargs - 2) != LUA_OK) {
    const char *what = lua_tostring(L, -1);
    if (!cs_iscancel(L))
      lua_writestringerror("csock: a child process failed: %s\n",
                           what != NULL ? what : "?");
  } else
    status = lua_isnil(L, -1) ? 0 : (int)lua_tointeger(L, -1);
  fflush(NULL);
  _exit(status & 255);
}

/*
** In the parent
*/

/* Push a child that is not there yet. */
static Child *push_child(lua_State *L, cs_Loop *loop) {
  Child *c = lua_newuserdatauv(L, sizeof *c, 0);
  memset(c, 0, sizeof *c);
  cs_opensource(&c->h.source, -1);
  c->h.loop = loop;
  c->h.timeout = -1;
  c->ended = 1;
  luaL_setmetatable(L, CHILD);
  return c;
}

/* Does the system tell the end of a process by a descriptor? */
static int tells_end(void) {
  int fd = cs_openpid(getpid());
  if (fd >= 0) cs_closefd(fd);
  return fd >= 0;
}

/* Fork: 0 or the child's number, or -errno.  'c' is the child in the parent,
** and stays nothing in the child. */
static pid_t start(Child *c, cs_Lookups *lookups) {
  int fds[2] = {-1, -1}, err, locked, held = !tells_end();
  pid_t pid;
  if (held && (err = cs_pipe(fds)) != 0) return err;
  fflush(NULL); /* or what is in the buffers would be written twice */
  locked = cs_holdlookups(lookups);
  pid = cs_fork();
  if (locked && pid != 0) cs_letlookups(lookups);
  if (held) cs_closefd(pid == 0 ? fds[0] : fds[1]);
  if (pid == 0) return 0;
  if (pid < 0) {
    if (held) cs_closefd(fds[0]);
    return pid;
  }
  c->pid = pid;
  c->held = held;
  c->ended = 0;
  /* without a descriptor, for want of one, the end is looked for */
  c->h.source.fd = held ? fds[0] : cs_openpid(pid);
  if (c->h.source.fd < 0) c->h.source.fd = -1;
  return pid;
}

/* fork(f, ...) -> the child: a copy of this process which runs f(...) outside
** of all tasks and ends, with the integer that f returns (nil: 0) as its
** status, or with 1 when f fails, which is told on stderr.  In it the parent's
** tasks are gone, and so are sockets that they waited for and watches on
** signals.  (fork(2)) */
static int child_fork(lua_State *L) {
  int nargs = lua_gettop(L); /* of child_main */
  Child *c;
  pid_t pid;
  luaL_checktype(L, 1, LUA_TFUNCTION);
  c = push_child(L, cs_loop(L));
  lua_insert(L, 1);
  lua_pushcfunction(L, add_traceback);
  lua_insert(L, 2);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, child_main, 1);
  lua_insert(L, 3);
  luaL_checkstack(L, LUA_MINSTACK, NULL);
  pid = start(c, cs_lookups(L));
  if (pid < 0) return cs_fail(L, 0, -pid, "fork", 0);
  if (pid == 0) be_child(L, nargs);
  lua_settop(L, 1);
  return 1;
}

/* Ask what has become of it: 1 ended, 0 runs, or -errno. */
static int ask(Child *c, int flags) {
  pid_t pid;
  if (c->ended) return 1;
  pid = waitpid(c->pid, &c->status, flags);
  if (pid == 0) return 0;
  if (pid < 0 && errno != ECHILD) return -errno;
  c->ended = 1;
  c->known = pid > 0;
  close_child(c);
  return 1;
}

/* Push how it ended: a word and a number. */
static int push_end(lua_State *L, const Child *c) {
  if (!c->known) {
    lua_pushliteral(L, "unknown");
    return 1;
  }
  if (WIFSIGNALED(c->status)) {
    lua_pushliteral(L, "signal");
    lua_pushinteger(L, WTERMSIG(c->status));
  } else {
    lua_pushliteral(L, "exit");
    lua_pushinteger(L, WEXITSTATUS(c->status));
  }
  return 2;
}

static int try_wait(lua_State *L, cs_Handle *h, int dontwait) {
  Child *c = (Child *)h;
  char byte;
  int n = ask(c, dontwait ? WNOHANG : 0);
  if (n < 0) return n;
  if (n > 0) return push_end(L, c);
  /* it lives; but a pipe may tell its end a little early, and once only */
  if (h->source.fd < 0 || (c->held && read(h->source.fd, &byte, 1) == 0))
    return -CS_ELATER;
  return -EAGAIN;
}

static const cs_Op op_wait = {"wait", CS_READ, 0, try_wait, NULL, 0};

/* child:wait([timeout]) -> "exit", its status; "signal", the number of the one
** that ended it; or "unknown", when somebody else has waited for it.  Raises
** csock.timeout after `timeout` seconds, BlockingIOError at once when that is
** 0.  (waitpid(2)) */
static int child_wait(lua_State *L) {
  Child *c = tochild(L);
  int64_t timeout = cs_checktimeout(L, 2);
  lua_settop(L, 1);
  return cs_drivewithin(L, &c->h, &op_wait, timeout);
}

/* child:poll() -> what wait returns, or nil while it runs. */
static int child_poll(lua_State *L) {
  Child *c = tochild(L);
  int n;
  do n = ask(c, WNOHANG);
  while (n == -EINTR);
  if (n > 0) return push_end(L, c);
  lua_pushnil(L);
  return 1;
}

/* child:kill(signo) -> true; false when it has ended and been waited for.
** (kill(2)) */
static int child_kill(lua_State *L) {
  Child *c = tochild(L);
  int signo = cs_checkint(L, 2);
  if (!c->ended && kill(c->pid, signo) < 0 && errno != ESRCH)
    return cs_fail(L, 0, errno, "kill", 0);
  lua_pushboolean(L, !c->ended);
  return 1;
}

/* child:pid() -> its number, also when it has ended. */
static int child_pid(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)tochild(L)->pid);
  return 1;
}

/* The last chance to leave no zombie; a child that runs goes on. */
static int child_gc(lua_State *L) {
  Child *c = tochild(L);
  ask(c, WNOHANG);
  close_child(c);
  return 0;
}

/* ignore(signo, ...): those of them that are free to be taken do nothing from
** now on: for children, who are told by their parent. */
static int child_ignore(lua_State *L) {
  int n = lua_gettop(L);
  for (int i = 1; i <= n; i++) cs_checkint(L, i);
  for (int i = 1; i <= n; i++) {
    int err = cs_ignoresignal((int)lua_tointeger(L, i));
    if (err != 0) return cs_fail(L, 0, -err, "signal", 0);
  }
  return 0;
}

/* cpus() -> how many processors this process may use, at least 1. */
static int child_cpus(lua_State *L) {
  lua_pushinteger(L, cs_cpus());
  return 1;
}

static const luaL_Reg child_methods[] = {
    {"kill", child_kill}, {"pid", child_pid}, {"poll", child_poll},
    {"wait", child_wait}, {NULL, NULL},
};

static const luaL_Reg child_meta[] = {
    {"__gc", child_gc},
    {NULL, NULL},
};

static const luaL_Reg child_funcs[] = {
    {"cpus", child_cpus},
    {"fork", child_fork},
    {"ignore", child_ignore},
    {NULL, NULL},
};

/* Adds its functions to core.process. */
void cs_open_child(lua_State *L) {
  luaL_newmetatable(L, CHILD);
  cs_setfuncs(L, child_meta);
  lua_newtable(L);
  cs_setfuncs(L, child_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_getfield(L, -1, "process");
  cs_setfuncs(L, child_funcs);
  lua_pop(L, 1);
}
