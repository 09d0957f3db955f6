/* loop: turns.  A turn runs the tasks that are ready, asks the poller for
** events, and lets deadlines pass.  Not here: what tasks are to Lua (task), how
** an operation tries and waits (drive).
** Invariant: between turns every live task is in the table of tasks, which
** keeps it and its coroutine from the collector; `current` and `running` are
** NULL except while lua_resume is on the C stack. */

#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "loop.h"

/* operations that may succeed at once before a task lets the others run */
#define BUDGET    64
#define EVENTS    256
#define MAXIDLE   1024 /* finished coroutines kept for reuse */
#define ROUNDS    16   /* turns in which cancelled tasks may clean up */
#define MANY      1024 /* tasks whose end is worth a collection */
#define COROUTINE 256  /* bytes of a lua_State, about, */
#define LINE      64   /* and of a line of the cache */

static const char loop_key = 'l'; /* registry key of the loop's userdata */

/*
** Lists and wake-ups
*/

static void unlink_task(cs_Task *t) {
  t->link.prev->next = t->link.next;
  t->link.next->prev = t->link.prev;
  t->link.prev = t->link.next = &t->link;
}

static void append(cs_Link *list, cs_Task *t) {
  t->link.prev = list->prev;
  t->link.next = list;
  list->prev->next = &t->link;
  list->prev = &t->link;
}

void cs_enqueue(cs_Loop *loop, cs_Task *t) {
  t->state = CS_READY;
  append(&loop->ready, t);
}

/* A coroutine that will soon be resumed: where there are thousands it is no
** longer in the processor's cache, and comes there while others run. */
static void fetch(const lua_State *co) {
  for (int i = 0; i < COROUTINE; i += LINE)
    __builtin_prefetch((const char *)co + i);
}

/* Make a waiting task ready, and tell it why; any other is left alone. */
void cs_wake(cs_Loop *loop, cs_Task *t, enum cs_Why why) {
  if (t->state != CS_WAITING) return;
  unlink_task(t);
  loop->polled -= t->polled;
  t->polled = 0;
  t->why = (unsigned char)why;
  fetch(t->waiter);
  cs_enqueue(loop, t);
}

/* End a task's wait as if nothing had come.  One that is about to go on, and
** may find that it has to wait again, must hear of it as well. */
void cs_interrupt(cs_Loop *loop, cs_Task *t) {
  if (t->state == CS_READY && t->waiter != NULL && t->why == CS_GO)
    t->why = CS_WOKEN;
  else
    cs_wake(loop, t, CS_WOKEN);
}

void cs_wakeall(cs_Loop *loop, cs_Link *list, enum cs_Why why) {
  while (list->next != list) cs_wake(loop, (cs_Task *)list->next, why);
}

/*
** Waiting, as drive and task see it
*/

/* May this coroutine wait through the loop? */
int cs_intask(lua_State *L, cs_Loop *loop) {
  if (loop->current == NULL) return 0;
  if (L == loop->running && lua_isyieldable(L)) return 1;
  if (!loop->warned) {
    loop->warned = 1;
    lua_warning(L,
                "csock: a wait inside a plain coroutine, or across a C call, "
                "blocks the whole loop (csock.coroutine lets it pass)",
                0);
  }
  return 0;
}

/* Where the deadline set by loop.timeout stands for the code now running. */
int64_t *cs_scope(cs_Loop *loop) {
  return loop->current != NULL ? &loop->current->scope : &loop->scope;
}

/* What a continuation of a wait calls first: the task, which must be the one
** that waited here.  A coroutine in the middle of a wait may be resumed by
** anybody who has it, after its task has ended, or from another one. */
cs_Task *cs_resumed(lua_State *L, cs_Loop *loop) {
  cs_Task *t = loop->current;
  if (t == NULL || t->waiter != L)
    luaL_error(L, "a coroutine was resumed while it waits");
  t->waiter = NULL;
  return t;
}

/* Raise it, in csock.safe too: it is for whoever is round the operation. */
static void stop(lua_State *L, int err, const char *op) {
  cs_fail(L, 1, err, op, 0);
  lua_error(L);
}

/* Raise what somebody has asked for: a cancellation, the end of a scope. */
void cs_checkcancel(lua_State *L, cs_Loop *loop, const char *op) {
  cs_Task *t = loop->current;
  int64_t scope = *cs_scope(loop);
  if (t != NULL && t->cancel) {
    t->cancel = 0;
    t->told = 1;
    stop(L, CS_ECANCEL, op);
  }
  if (scope != CS_FOREVER && scope <= cs_now()) stop(L, CS_ETIMEOUT, op);
}

static int arm(cs_Loop *loop, cs_Task *t, int64_t deadline) {
  if (t->scope < deadline) deadline = t->scope;
  t->deadline = deadline;
  if (deadline == CS_FOREVER) return 0;
  /* an earlier time in the heap will do: expire() looks at the deadline */
  if (t->timer.place > 0 && cs_when(&loop->timers, &t->timer) <= deadline)
    return 0;
  return cs_settimer(&loop->timers, &t->timer, deadline);
}

/* Put the current task to sleep in 'list' (NULL: in none) until somebody wakes
** it or the deadline passes; 'k' goes on then, and finds the reason in `why`.
*/
int cs_suspend(lua_State *L, cs_Loop *loop, cs_Link *list, int64_t deadline,
               lua_KContext ctx, lua_KFunction k) {
  cs_Task *t = loop->current;
  if (arm(loop, t, deadline) != 0) return luaL_error(L, "not enough memory");
  t->state = CS_WAITING;
  t->since = loop->turned;
  t->waiter = L;
  if (list != NULL) append(list, t);
  return lua_yieldk(L, 0, ctx, k);
}

/* The same, until a source is ready. */
int cs_suspendon(lua_State *L, cs_Loop *loop, cs_Source *s, int want,
                 int64_t deadline, lua_KContext ctx, lua_KFunction k) {
  int err = cs_watch(loop, s, want);
  if (err != 0) return cs_fail(L, 0, -err, loop->poller.ops->name, 0);
  loop->current->polled = 1;
  loop->polled++;
  return cs_suspend(L, loop, want & CS_READ ? &s->readers : &s->writers,
                    deadline, ctx, k);
}

/* Let the other ready tasks run first. */
int cs_pass(lua_State *L, cs_Loop *loop, lua_KContext ctx, lua_KFunction k) {
  loop->current->why = CS_GO;
  loop->current->waiter = L;
  cs_enqueue(loop, loop->current);
  return lua_yieldk(L, 0, ctx, k);
}

/*
** Running
*/

/* Give a finished coroutine back for the next task. */
static void keep_thread(lua_State *L, lua_State *co) {
  lua_Unsigned n;
  lua_settop(co, 0);
  cs_pushloop(L);
  lua_getiuservalue(L, -1, CS_IDLE);
  n = lua_rawlen(L, -1);
  if (n < MAXIDLE) {
    lua_pushthread(co);
    lua_xmove(co, L, 1);
    lua_rawseti(L, -2, (lua_Integer)n + 1);
  }
  lua_pop(L, 2);
}

static void close_thread(lua_State *L, lua_State *co) {
#if LUA_VERSION_RELEASE_NUM >= 50406
  lua_closethread(co, L);
#else
  (void)L;
  lua_resetthread(co);
#endif
}

/* Push the name of the task at this index: the one it was given, or its
** number. */
void cs_pushname(lua_State *L, int task) {
  cs_Task *t = lua_touserdata(L, task);
  cs_pushloop(L);
  lua_getiuservalue(L, -1, CS_TASKNAMES);
  lua_pushvalue(L, task);
  lua_rawget(L, -2);
  lua_replace(L, -3);
  lua_pop(L, 1);
  if (!lua_isnil(L, -1)) return;
  lua_pop(L, 1);
  lua_pushfstring(L, "Task-%I", (LUAI_UACINT)t->number);
}

/* A task has run, and 'status' says whether it goes on: was that too long? */
static void judge(lua_State *L, cs_Loop *loop, cs_Task *t, int status) {
  lua_State *at = t->state == CS_RUNNING ? t->co : t->waiter;
  if (!cs_stopwatch(t->co, status == LUA_YIELD ? at : NULL, &loop->slow))
    return;
  cs_pushloop(L);
  lua_getiuservalue(L, -1, CS_TASKS);
  lua_rawgeti(L, -1, (lua_Integer)t->place);
  cs_pushname(L, lua_gettop(L));
  cs_warnslow(L, lua_tostring(L, -1), &loop->slow);
  lua_pop(L, 4);
}

/* Strike a task from the list of the live; the last one takes its place.  From
** here on only a handle keeps it. */
static void strike(lua_State *L, cs_Loop *loop, cs_Task *t) {
  cs_Task *last;
  cs_pushloop(L);
  lua_getiuservalue(L, -1, CS_TASKS);
  lua_rawgeti(L, -1, (lua_Integer)loop->live);
  last = lua_touserdata(L, -1);
  last->place = t->place;
  lua_rawseti(L, -2, (lua_Integer)t->place);
  lua_pushnil(L);
  lua_rawseti(L, -2, (lua_Integer)loop->live--);
  lua_pop(L, 2);
}

/* A task has ended with 'status' (LUA_YIELD: it is being killed). */
static void end_task(lua_State *L, cs_Loop *loop, cs_Task *t, int status) {
  t->state = status == LUA_OK && !t->failed ? CS_DONE : CS_FAILED;
  if (status == LUA_OK)
    t->nresults = lua_gettop(t->co);
  else
    close_thread(L, t->co);
  cs_cleartimer(&loop->timers, &t->timer);
  cs_wakeall(loop, &t->joiners, CS_GO);
  cs_leavegroup(t);
  if (status == LUA_OK && t->nresults == 0) {
    keep_thread(L, t->co);
    t->co = NULL;
  }
  strike(L, loop, t);
}

static void resume(lua_State *L, cs_Loop *loop, cs_Task *t) {
  int nresults, status, nargs = 0, timed = loop->slow.limit > 0;
  if (!t->started) {
    nargs = lua_gettop(t->co) - 1;
    t->started = 1;
  }
  t->state = CS_RUNNING;
  t->op = NULL;
  loop->current = t;
  loop->running = t->co;
  loop->budget = BUDGET;
  if (timed) cs_startwatch(t->co, &loop->slow);
  status = lua_resume(t->co, L, nargs, &nresults);
  loop->current = NULL;
  loop->running = NULL;
  if (timed) judge(L, loop, t, status);
  if (t->leads) {
    t->leads = 0;
    cs_wakeall(loop, &t->joiners, CS_GO);
  }
  if (status != LUA_YIELD)
    end_task(L, loop, t, status);
  else if (t->state == CS_RUNNING) { /* a coroutine.yield of the user's */
    lua_pop(t->co, nresults);
    t->why = CS_GO;
    cs_enqueue(loop, t);
  }
}

/* Run what is ready now; what becomes ready meanwhile has its turn later. */
void cs_runready(lua_State *L, cs_Loop *loop) {
  cs_Link *batch = &loop->batch, *ready = &loop->ready;
  if (ready->next == ready) return;
  ready->next->prev = batch->prev; /* all of it behind what is left there */
  batch->prev->next = ready->next;
  ready->prev->next = batch;
  batch->prev = ready->prev;
  cs_initlist(ready);
  while (batch->next != batch) {
    cs_Task *t = (cs_Task *)batch->next;
    unlink_task(t);
    resume(L, loop, t);
  }
}

static void expire(cs_Loop *loop) {
  cs_Timer *first = cs_firsttimer(&loop->timers);
  int64_t now = loop->turned;
  for (; first != NULL && cs_when(&loop->timers, first) <= now;
       first = cs_firsttimer(&loop->timers)) {
    cs_Task *t = (cs_Task *)((char *)first - offsetof(cs_Task, timer));
    cs_cleartimer(&loop->timers, first);
    if (t->state != CS_WAITING || t->deadline == CS_FOREVER) continue;
    if (t->deadline <= now)
      cs_wake(loop, t, CS_TIMEDOUT);
    else /* cannot fail: its slot has just become free */
      cs_settimer(&loop->timers, first, t->deadline);
  }
}

/* Milliseconds that the poller may sleep until `deadline` or an earlier one. */
static int patience(lua_State *L, cs_Loop *loop, int64_t deadline) {
  int64_t first = cs_earliest(&loop->timers), left;
  if (loop->ready.next != &loop->ready) return 0;
  if (first < deadline) deadline = first;
  if (deadline == CS_FOREVER) {
    if (loop->polled == 0)
      luaL_error(L, "deadlock: every task waits for another one");
    return -1;
  }
  left = deadline - cs_now();
  if (left <= 0) return 0;
  left = (left + 999999) / 1000000;
  return left < 1000000000 ? (int)left : 1000000000;
}

/* Ask the poller over and over, for as long as loop.spin allows: what comes
** soon is then found sooner than a sleeping process is woken. */
static int spin(cs_Loop *loop, cs_Ready *events) {
  int64_t first = cs_earliest(&loop->timers);
  int64_t now = cs_now(), end = now + loop->spin;
  int n = 0;
  if (first < end) end = first;
  while (n == 0 && now < end) {
    n = loop->poller.ops->wait(&loop->poller, events, EVENTS, 0);
    now = cs_now();
  }
  return n;
}

/* Take what the poller has, and what time has brought; it sleeps only when
** nothing is ready, and until `deadline` at most. */
void cs_gather(lua_State *L, cs_Loop *loop, int64_t deadline) {
  cs_Ready events[EVENTS];
  int n = 0, ms;
  cs_runhooks(L); /* a signal that came while a task ran */
  ms = patience(L, loop, deadline);
  if (ms != 0) {
    if (loop->peak >= MANY && loop->live < loop->peak / 4) {
      loop->peak = loop->live;
      cs_tidy(L);
    }
    if (loop->spin > 0 && (n = spin(loop, events)) == 0)
      ms = patience(L, loop, deadline);
  }
  if (n == 0) n = loop->poller.ops->wait(&loop->poller, events, EVENTS, ms);
  if (n == -EINTR)
    cs_runhooks(L);
  else if (n < 0)
    cs_fail(L, 0, -n, loop->poller.ops->name, 0);
  loop->turned = cs_now();
  for (int i = 0; i < n; i++) cs_deliver(loop, &events[i]);
  expire(loop);
}

cs_Task *cs_totask(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, CS_TASK);
}

/* Open the poller. */
void cs_enterloop(lua_State *L, cs_Loop *loop) {
  int err = cs_openpoller(&loop->poller);
  if (err != 0) cs_fail(L, 0, -err, "poller", 0);
  loop->entered = 1;
  loop->turned = cs_now();
}

/* loop.enter() -> the loop, to be closed. */
static int loop_enter(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  if (loop->entered)
    return luaL_error(L, "the loop runs already%s (spawn a task in it)",
                      loop->hosted ? ", step by step" : "");
  cs_enterloop(L, loop);
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

/* loop.finish(task): turns until the task has ended. */
static int loop_finish(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *t = cs_totask(L, 1);
  if (!loop->entered || loop->hosted || loop->current != NULL)
    return luaL_error(L, "not the place to run the loop");
  if (loop->scope < t->scope) t->scope = loop->scope;
  for (;;) {
    cs_runready(L, loop);
    if (t->state >= CS_DONE) return 0;
    cs_gather(L, loop, CS_FOREVER);
  }
}

/* Tell every task that is alive to end; the table of tasks is at 'tasks'. */
static void cancel_all(lua_State *L, cs_Loop *loop, int tasks) {
  for (lua_pushnil(L); lua_next(L, tasks) != 0; lua_pop(L, 1)) {
    cs_Task *t = lua_touserdata(L, -1);
    t->cancel = 1;
    cs_wake(loop, t, CS_WOKEN);
  }
}

/* End those that wait again, or never began: their variables are closed. */
static void kill_all(lua_State *L, cs_Loop *loop, int tasks) {
  for (lua_pushnil(L); lua_next(L, tasks) != 0; lua_pushnil(L)) {
    cs_Task *t = lua_touserdata(L, -1);
    t->cancelled = 1;
    unlink_task(t);
    loop->polled -= t->polled;
    t->polled = 0;
    end_task(L, loop, t, LUA_YIELD);
    lua_pop(L, 2);
  }
}

/* The end of the loop, which is at index 1: what is left is cancelled.  Each
** task hears of it once, in the wait it is in; one that waits again after that
** is ended there. */
void cs_leaveloop(lua_State *L, cs_Loop *loop) {
  loop->ending = 1;
  lua_settop(L, 1);
  lua_getiuservalue(L, 1, CS_TASKS);
  cancel_all(L, loop, 2);
  for (int i = 0; i < ROUNDS && loop->ready.next != &loop->ready; i++)
    cs_runready(L, loop);
  kill_all(L, loop, 2);
  for (size_t fd = 0; fd < loop->nslots; fd++) {
    if (loop->slots[fd].source != NULL) loop->slots[fd].source->watched = 0;
    loop->slots[fd].source = NULL;
  }
  cs_closepoller(&loop->poller);
  loop->entered = loop->hosted = loop->ending = 0;
  loop->ended++;
}

static int loop_leave(lua_State *L) {
  cs_Loop *loop = lua_touserdata(L, 1);
  if (loop->entered && loop->current == NULL) cs_leaveloop(L, loop);
  return 0;
}

/* Let go of a source after fork.  A socket that one of the parent's tasks waits
** for is that task's: a copy here would keep its peer from seeing the end. */
static void drop_source(cs_Source *s) {
  int waited = s->readers.next != &s->readers || s->writers.next != &s->writers;
  int type;
  socklen_t len = sizeof type;
  s->watched = 0;
  if (!waited || getsockopt(s->fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
    return;
  cs_closefd(s->fd);
  s->fd = -1;
  s->idle = 0;
}

/* A task that goes on in the parent only: here it counts as cancelled. */
static void drop_task(cs_Task *t) {
  unlink_task(t); /* it may be in the line of something that lives on */
  cs_initlist(&t->joiners);
  if (t->group != NULL) t->group->place = NULL; /* the parent's */
  cs_leavegroup(t);
  t->co = t->waiter = NULL;
  t->timer.place = 0;
  t->nresults = 0;
  t->state = CS_FAILED;
  t->cancelled = 1;
  t->polled = 0;
}

/* In a process that has just been forked: leave the parent's loop, whose tasks
** end here without a trace.  They stay referenced, since what they hold is the
** parent's, to be closed and finalized there; and the code that calls this runs
** on the stack of one of them.  Then a loop may be run as in any process. */
void cs_dropparent(lua_State *L, cs_Loop *loop) {
  for (size_t fd = 0; fd < loop->nslots; fd++) {
    if (loop->slots[fd].source != NULL) drop_source(loop->slots[fd].source);
    loop->slots[fd].source = NULL;
  }
  lua_newtable(L);
  cs_pushloop(L);
  lua_getiuservalue(L, -1, CS_TASKS);
  for (lua_pushnil(L); lua_next(L, -2) != 0; lua_pop(L, 1))
    drop_task(lua_touserdata(L, -1));
  luaL_ref(L, LUA_REGISTRYINDEX);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, CS_TASKS);
  lua_pop(L, 1);
  cs_closepoller(&loop->poller);
  cs_freetimers(&loop->timers);
  cs_initlist(&loop->ready);
  cs_initlist(&loop->batch);
  loop->running = NULL;
  loop->current = NULL;
  loop->live = loop->polled = 0;
  loop->entered = loop->hosted = loop->ending = 0;
  loop->ended++;
  loop->scope = CS_FOREVER;
}

static int loop_gc(lua_State *L) {
  cs_Loop *loop = lua_touserdata(L, 1);
  cs_closepoller(&loop->poller);
  cs_freetimers(&loop->timers);
  cs_closelanding(L, &loop->landing);
  free(loop->slots);
  loop->slots = NULL;
  loop->nslots = 0;
  return 0;
}

/* A timeout argument in nanoseconds: seconds, or nil for none (-1). */
int64_t cs_checktimeout(lua_State *L, int arg) {
  lua_Number s;
  int isnum;
  if (lua_isnoneornil(L, arg)) return -1;
  s = lua_tonumberx(L, arg, &isnum);
  if (!isnum || lua_type(L, arg) != LUA_TNUMBER)
    return cs_typeerror(L, arg, "number");
  if (!(s >= 0)) return cs_argerror(L, arg, "timeout cannot be negative");
  if (s >= 9.2e9) return cs_argerror(L, arg, "timeout too large");
  return (int64_t)ceil(s * (lua_Number)CS_SECOND);
}

void cs_pushloop(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &loop_key);
}

/* Register functions that have the loop as their first upvalue. */
void cs_setfuncs(lua_State *L, const luaL_Reg *funcs) {
  cs_pushloop(L);
  luaL_setfuncs(L, funcs, 1);
}

/* The same for functions whose results nobody sees (cs_issafe). */
void cs_setraising(lua_State *L, const luaL_Reg *funcs) {
  cs_pushloop(L);
  lua_pushboolean(L, 0);
  luaL_setfuncs(L, funcs, 2);
}

static const luaL_Reg loop_funcs[] = {
    {"enter", loop_enter},
    {"finish", loop_finish},
    {NULL, NULL},
};

static const luaL_Reg loop_meta[] = {
    {"__close", loop_leave},
    {"__gc", loop_gc},
    {NULL, NULL},
};

/* Push a table that keeps none of its keys alive. */
static void push_weak(lua_State *L) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "k");
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

/* Makes the loop of this Lua state, and adds core.loop. */
void cs_open_loop(lua_State *L) {
  cs_Loop *loop = lua_newuserdatauv(L, sizeof(cs_Loop), CS_LOOPVALUES);
  memset(loop, 0, sizeof *loop);
  loop->scope = CS_FOREVER;
  loop->default_timeout = -1;
  cs_initslow(L, &loop->slow);
  cs_initlanding(L, &loop->landing);
  cs_initlist(&loop->ready);
  cs_initlist(&loop->batch);
  lua_newtable(L);
  lua_setiuservalue(L, -2, CS_TASKS);
  lua_newtable(L);
  lua_setiuservalue(L, -2, CS_IDLE);
  push_weak(L);
  lua_setiuservalue(L, -2, CS_PASSED);
  push_weak(L);
  lua_setiuservalue(L, -2, CS_TASKNAMES);
  push_weak(L);
  lua_setiuservalue(L, -2, CS_TRACEBACKS);
  luaL_newmetatable(L, "csock.loop");
  luaL_setfuncs(L, loop_meta, 0);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &loop_key);
  lua_newtable(L);
  cs_setfuncs(L, loop_funcs);
  lua_setfield(L, -2, "loop");
}
