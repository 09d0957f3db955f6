/* task: the Lua face of the loop's tasks.  It makes them and looks at them;
** only the loop resumes them.
** Invariant: a task's coroutine is user value 1 of its userdata, which the
** loop's table of tasks holds while the task lives. */

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

#include "error.h"
#include "loop.h"
#include "task.h"

#define SCOPE  "csock.scope"
#define REPORT "csock.report"

/* What stands beside a task that has failed, in the loop's table of tracebacks.
 */
typedef struct Report {
  unsigned char seen; /* the error reached somebody */
} Report;

/* its user values */
enum { ERROR = 1, TRACEBACK, REPORTVALUES = TRACEBACK };

static void check_callable(lua_State *L, int arg) {
  if (lua_isfunction(L, arg)) return;
  if (luaL_getmetafield(L, arg, "__call") == LUA_TNIL)
    luaL_typeerror(L, arg, "function");
  lua_pop(L, 1);
}

/* Push a coroutine: a finished task's, or a new one. */
static lua_State *push_thread(lua_State *L) {
  lua_State *co;
  lua_Integer n;
  lua_getiuservalue(L, lua_upvalueindex(1), CS_IDLE);
  n = (lua_Integer)lua_rawlen(L, -1);
  if (n == 0) {
    lua_pop(L, 1);
    return lua_newthread(L);
  }
  lua_rawgeti(L, -1, n);
  lua_pushnil(L);
  lua_rawseti(L, -3, n);
  co = lua_tothread(L, -1);
  lua_remove(L, -2);
  return co;
}

/*
** The body of a task.  The function runs inside a protected call, so that when
** it fails its variables are closed while the task can still wait.
*/

/* Message handler: keep where the error came from. */
static int keep_traceback(lua_State *L) {
  if (cs_iscancel(L)) return 1; /* nobody asks, and thousands may end at once */
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TRACEBACKS);
  cs_pushtask(L, cs_loop(L)->current);
  luaL_traceback(L, L, NULL, 1);
  lua_rawset(L, -3);
  lua_settop(L, 1);
  return 1;
}

/* Push where the error of the task on top of the stack, which takes its place,
** came from; nil if it has none. */
void cs_pushtraceback(lua_State *L) {
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TRACEBACKS);
  lua_insert(L, -2);
  if (lua_rawget(L, -2) == LUA_TUSERDATA) {
    lua_getiuservalue(L, -1, TRACEBACK);
    lua_remove(L, -2);
  }
  lua_remove(L, -2);
}

/* An error that nobody has seen is not lost: it goes to stderr when the last
** reference to its task goes, and the report with it.  Were it for the task to
** say, the collector would have to call each one that ever was. */
static int report_gc(lua_State *L) {
  const Report *report = lua_touserdata(L, 1);
  if (report->seen) return 0;
  lua_getiuservalue(L, 1, ERROR);
  lua_writestringerror("csock: a task failed: %s\n",
                       luaL_tolstring(L, -1, NULL));
  if (lua_getiuservalue(L, 1, TRACEBACK) == LUA_TSTRING)
    lua_writestringerror("%s\n", lua_tostring(L, -1));
  return 0;
}

/* The error on top of the stack is the task's: write a report, which takes the
** place of the traceback. */
static void report_error(lua_State *L, const cs_Task *t) {
  int err = lua_gettop(L);
  Report *report;
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TRACEBACKS);
  cs_pushtask(L, t);
  report = lua_newuserdatauv(L, sizeof *report, REPORTVALUES);
  report->seen = 0;
  lua_pushvalue(L, err);
  lua_setiuservalue(L, -2, ERROR);
  lua_pushvalue(L, -2);
  cs_pushtraceback(L);
  lua_setiuservalue(L, -2, TRACEBACK);
  luaL_setmetatable(L, REPORT);
  lua_rawset(L, -3);
  lua_settop(L, err);
}

/* The error of the task at index 1 has reached somebody. */
static void note_seen(lua_State *L) {
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TRACEBACKS);
  lua_pushvalue(L, 1);
  if (lua_rawget(L, -2) == LUA_TUSERDATA)
    ((Report *)lua_touserdata(L, -1))->seen = 1;
  lua_pop(L, 2);
}

/* The current task ends by the error on top of the stack, its only result. */
int cs_failtask(lua_State *L) {
  cs_Task *t = cs_loop(L)->current;
  t->failed = 1;
  t->cancelled = cs_iscancel(L) != 0;
  if (!t->cancelled) report_error(L, t);
  return 1;
}

static int finished(lua_State *L, int status, lua_KContext ctx) {
  (void)ctx;
  if (status != LUA_OK && status != LUA_YIELD) return cs_failtask(L);
  return lua_gettop(L) - 1; /* all but the message handler */
}

static int body(lua_State *L) {
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKFAULT);
  lua_insert(L, 1);
  return finished(
      L, lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 1, 0, finished), 0);
}

/* Push a task with a coroutine, on which the caller puts what it is to do. */
cs_Task *cs_newtask(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *t;
  lua_State *co;
  if (loop->ending) luaL_error(L, "the loop is ending");
  t = lua_newuserdatauv(L, sizeof *t, CS_TASKVALUES);
  memset(t, 0, sizeof *t);
  t->scope = t->deadline = CS_FOREVER;
  t->number = ++loop->spawned;
  t->state = CS_DONE; /* until it is started */
  cs_initlist(&t->link);
  cs_initlist(&t->joiners);
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKMETA);
  lua_setmetatable(L, -2);
  co = push_thread(L);
  lua_setiuservalue(L, -2, CS_THREAD);
  t->co = co;
  return t;
}

/* From the loop's next turn on, the task at 'index' runs. */
void cs_starttask(lua_State *L, cs_Task *t, int index) {
  cs_Loop *loop = cs_loop(L);
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKS);
  lua_pushvalue(L, index);
  lua_rawseti(L, -2, (lua_Integer)loop->live + 1);
  lua_pop(L, 1);
  t->place = ++loop->live;
  if (loop->live > loop->peak) loop->peak = loop->live;
  cs_enqueue(loop, t);
}

/* loop.spawn(f, ...) -> task: f(...) runs as a task of the loop, from its next
** turn on.  Raises for what cannot be called, and while the loop ends. */
static int task_spawn(lua_State *L) {
  int n = lua_gettop(L);
  cs_Task *t;
  check_callable(L, 1);
  t = cs_newtask(L);
  lua_insert(L, 1); /* below the function and its arguments */
  if (!lua_checkstack(t->co, n + 1 + LUA_MINSTACK))
    return luaL_error(L, "too many arguments");
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKBODY);
  lua_insert(L, 2);
  lua_xmove(L, t->co, n + 1);
  cs_starttask(L, t, 1);
  return 1;
}

/* Push what a finished task has left: its results, or raise its error. */
static int results(lua_State *L, cs_Task *t) {
  int n = t->nresults;
  if (n > 0 && !lua_checkstack(t->co, 1))
    return luaL_error(L, "too many results");
  if (t->state == CS_DONE) {
    luaL_checkstack(L, n + 1, "too many results");
    for (int i = 1; i <= n; i++) {
      lua_pushvalue(t->co, i);
      lua_xmove(t->co, L, 1);
    }
    return n;
  }
  if (n == 0) return cs_fail(L, 0, CS_ECANCEL, "join", 0);
  note_seen(L);
  lua_pushvalue(t->co, 1);
  lua_xmove(t->co, L, 1);
  return lua_error(L);
}

static int joink(lua_State *L, int status, lua_KContext ctx) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *t = cs_totask(L, 1), *me = cs_resumed(L, loop);
  (void)status;
  if (t->state >= CS_DONE) return results(L, t);
  cs_checkcancel(L, loop, "join");
  if (me->why == CS_TIMEDOUT) return cs_fail(L, 0, CS_ETIMEOUT, "join", 0);
  cs_note(loop, "join");
  return cs_suspend(L, loop, &t->joiners, me->deadline, ctx, joink);
}

/* task:join([timeout]) -> what its function returned; raises the task's error
** if it failed, csock.timeout after `timeout` seconds.  A task that has not
** ended can be joined only from another task. */
static int task_join(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *t = cs_totask(L, 1);
  int64_t timeout = cs_checktimeout(L, 2);
  lua_settop(L, 2);
  if (t->state >= CS_DONE) return results(L, t);
  if (t == loop->current) return luaL_error(L, "a task cannot join itself");
  if (!cs_intask(L, loop))
    return luaL_error(L, "join of a task that has not ended, outside a task");
  cs_checkcancel(L, loop, "join");
  cs_note(loop, "join");
  return cs_suspend(L, loop, &t->joiners, cs_deadline(timeout), 0, joink);
}

void cs_canceltask(cs_Loop *loop, cs_Task *t) {
  t->cancel = 1;
  cs_wake(loop, t, CS_WOKEN);
}

static int attended(lua_State *L, int status, lua_KContext ctx) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *t = cs_totask(L, 1), *me = cs_resumed(L, loop);
  (void)status;
  (void)ctx;
  cs_checkcancel(L, loop, "join");
  if (t->state == CS_DONE) return results(L, t);
  lua_pushboolean(L, 0);
  return me->why == CS_WOKEN ? 1 : 0;
}

/* attend(task) -> what its function returned, when it has ended; nothing when
** it leads no more (cs_Task), or has failed; false when the one that calls this
** was woken (wake). */
static int task_attend(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *t = cs_totask(L, 1);
  lua_settop(L, 1);
  cs_checkcancel(L, loop, "join");
  cs_note(loop, "join");
  return cs_suspend(L, loop, &t->joiners, CS_FOREVER, 0, attended);
}

/* task:cancel() -> true when the task will hear of it, false when it had ended:
** the wait it is in, or its next one, raises loop.CancelledError in it, once.
*/
static int task_cancel(lua_State *L) {
  cs_Task *t = cs_totask(L, 1);
  lua_pushboolean(L, t->state < CS_DONE);
  if (t->state >= CS_DONE) return 1;
  cs_canceltask(cs_loop(L), t);
  return 1;
}

/* wake(task): ends the wait the task is in, as if nothing had come: for
** servers, whose accept must stop at once. */
static int task_wake(lua_State *L) {
  cs_interrupt(cs_loop(L), cs_totask(L, 1));
  return 0;
}

static void push_current(lua_State *L, const cs_Loop *loop) {
  if (loop->current != NULL)
    cs_pushtask(L, loop->current);
  else
    luaL_pushfail(L);
}

/* loop.current() -> the task now running, or nil outside of tasks. */
static int task_current(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  if (loop->current != NULL) loop->current->shown = 1;
  push_current(L, loop);
  return 1;
}

/* told() -> has the running task heard that it is cancelled?  (An error of
** that class may as well be another task's, which it has joined.) */
static int task_told(lua_State *L) {
  cs_Task *t = cs_loop(L)->current;
  lua_pushboolean(L, t != NULL && t->told);
  return 1;
}

/*
** Sleep
*/

static int slept(lua_State *L) {
  cs_checkcancel(L, cs_loop(L), "sleep");
  lua_pushboolean(L, 1);
  return 1;
}

static int sleepk(lua_State *L, int status, lua_KContext ctx) {
  (void)status;
  (void)ctx;
  cs_resumed(L, cs_loop(L));
  return slept(L);
}

/* loop.sleep(seconds) -> true: in a task the others run meanwhile, elsewhere
** the program sleeps. */
static int task_sleep(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  int64_t timeout, deadline, scope;
  luaL_checknumber(L, 1);
  timeout = cs_checktimeout(L, 1);
  cs_checkcancel(L, loop, "sleep");
  deadline = cs_deadline(timeout);
  if (cs_intask(L, loop)) {
    cs_note(loop, "sleep");
    return cs_suspend(L, loop, NULL, deadline, 0, sleepk);
  }
  scope = *cs_scope(loop);
  while (cs_waitfd(-1, 0, scope < deadline ? scope : deadline) == -EINTR)
    cs_runhooks(L);
  return slept(L);
}

/*
** Scopes: how long whatever is inside may wait
*/

typedef struct Scope {
  int64_t before;
  cs_Task *task; /* NULL: outside of tasks */
  int open;
} Scope;

/* scope(seconds) -> a value to be closed: until then no wait of this task goes
** beyond `seconds` from now. */
static int task_scope(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  int64_t *scope = cs_scope(loop), deadline;
  Scope *s;
  luaL_checknumber(L, 1);
  deadline = cs_deadline(cs_checktimeout(L, 1));
  s = lua_newuserdatauv(L, sizeof *s, 1);
  push_current(L, loop); /* it must not go before the scope does */
  lua_setiuservalue(L, -2, 1);
  s->before = *scope;
  s->task = loop->current;
  s->open = 1;
  luaL_setmetatable(L, SCOPE);
  if (deadline < *scope) *scope = deadline;
  return 1;
}

static int scope_close(lua_State *L) {
  Scope *s = luaL_checkudata(L, 1, SCOPE);
  if (!s->open) return 0;
  s->open = 0;
  if (s->task != NULL)
    s->task->scope = s->before;
  else
    cs_loop(L)->scope = s->before;
  return 0;
}

static const luaL_Reg task_methods[] = {
    {"join", task_join},
    {"cancel", task_cancel},
    {NULL, NULL},
};

static const luaL_Reg report_meta[] = {
    {"__gc", report_gc},
    {NULL, NULL},
};

static const luaL_Reg scope_meta[] = {
    {"__close", scope_close},
    {NULL, NULL},
};

static const luaL_Reg task_funcs[] = {
    {"spawn", task_spawn},     {"sleep", task_sleep}, {"wake", task_wake},
    {"current", task_current}, {"scope", task_scope}, {"told", task_told},
    {"attend", task_attend},   {NULL, NULL},
};

/* Keep what is on top of the stack as a value of the loop's. */
static void keep(lua_State *L, int value) {
  cs_pushloop(L);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, value);
  lua_pop(L, 1);
}

static void keep_function(lua_State *L, lua_CFunction f, int value) {
  cs_pushloop(L);
  lua_pushcclosure(L, f, 1);
  keep(L, value);
}

/* Adds its functions to core.loop. */
void cs_open_task(lua_State *L) {
  luaL_newmetatable(L, CS_TASK);
  lua_newtable(L);
  cs_setfuncs(L, task_methods);
  lua_setfield(L, -2, "__index");
  lua_pushvalue(L, -1);
  keep(L, CS_TASKMETA);
  keep_function(L, body, CS_TASKBODY);
  keep_function(L, keep_traceback, CS_TASKFAULT);
  luaL_newmetatable(L, SCOPE);
  cs_setfuncs(L, scope_meta);
  luaL_newmetatable(L, REPORT);
  cs_setfuncs(L, report_meta);
  lua_pop(L, 3);
  lua_getfield(L, -1, "loop");
  cs_setfuncs(L, task_funcs);
  lua_pop(L, 1);
}
