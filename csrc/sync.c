/* sync: events, semaphores, locks and queues, with the names and meanings of
** Python's asyncio.  They belong to tasks; outside of tasks they do what can
** be done at once.
**
** Semaphores and queues have lines: tasks that wait for one of a number of
** things (permits, items, places), first come, first served.  A task at the
** head of its line is woken with the promise of a thing, which it takes when
** it runs; until then the thing lies where it was, and nobody else gets it.
** One that is cancelled in between passes the promise on.
** Invariant: somebody waits in a line only while every thing is promised. */

#include <lauxlib.h>
#include <string.h>

#include "error.h"
#include "loop.h"
#include "sync.h"

#define EVENT     "csock.Event"
#define SEMAPHORE "csock.Semaphore"
#define QUEUE     "csock.Queue"

/*
** Lines
*/

typedef struct Line {
  cs_Link waiting;
  size_t promised;
  unsigned era; /* loop->ended when it was promised: the dead take nothing */
} Line;

static size_t promised(const cs_Loop *loop, Line *line) {
  if (line->era != loop->ended) {
    line->era = loop->ended;
    line->promised = 0;
  }
  return line->promised;
}

/* Promise what there is to those who wait. */
static void offer(cs_Loop *loop, Line *line, size_t there) {
  while (line->waiting.next != &line->waiting && promised(loop, line) < there) {
    line->promised++;
    cs_wake(loop, (cs_Task *)line->waiting.next, CS_GO);
  }
}

/* How a function that takes a thing begins: the deadline, or 0 when there is
** no time to wait.  Raises when the task is to end. */
static int64_t begin(lua_State *L, cs_Loop *loop, int arg, const char *op) {
  int64_t timeout = cs_checktimeout(L, arg);
  cs_checkcancel(L, loop, op);
  return timeout == 0 ? 0 : cs_deadline(timeout);
}

static cs_Loop *to_wait(lua_State *L, const char *op) {
  cs_Loop *loop = cs_loop(L);
  if (!cs_intask(L, loop))
    cs_misuse(L, "%s would have to wait, outside a task", op);
  cs_note(loop, op);
  return loop;
}

/* May the caller have one of the things at once?  Not if somebody has a
** promise and did not run since, so that all go on in the order in which they
** came. */
static int at_once(lua_State *L, Line *line, size_t there, int64_t deadline) {
  cs_Loop *loop = cs_loop(L);
  size_t n = promised(loop, line);
  return there > n && (n == 0 || deadline == 0 || !cs_intask(L, loop));
}

static int queue_up(lua_State *L, Line *line, size_t there, const char *op,
                    int64_t deadline, lua_KContext ctx, lua_KFunction k) {
  cs_Loop *loop = to_wait(L, op);
  if (there > promised(loop, line)) {
    line->promised++;
    return cs_pass(L, loop, ctx, k);
  }
  return cs_suspend(L, loop, &line->waiting, deadline, ctx, k);
}

/* what becomes of a wait */
enum { AGAIN, TAKE, EXPIRED };

/* The task that waited in 'line' for one of the things, of which 'there' are,
** goes on. */
static int woken(lua_State *L, Line *line, size_t there, const char *op) {
  cs_Loop *loop = cs_loop(L);
  cs_Task *me = cs_resumed(L, loop);
  if (me->why == CS_GO) {
    line->promised--;
    if (!me->cancel) return TAKE;
    offer(loop, line, there);
  }
  cs_checkcancel(L, loop, op);
  return me->why == CS_TIMEDOUT ? EXPIRED : AGAIN;
}

/* Push true: what Python's methods that return None return. */
static int done(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int boolean(lua_State *L, int b) {
  lua_pushboolean(L, b);
  return 1;
}

/*
** Events
*/

typedef struct Event {
  cs_Link waiting;
  int set;
} Event;

static Event *toevent(lua_State *L) {
  return luaL_checkudata(L, 1, EVENT);
}

/* Event() -> an event, not set. */
static int event_new(lua_State *L) {
  Event *e = lua_newuserdatauv(L, sizeof *e, 0);
  cs_initlist(&e->waiting);
  e->set = 0;
  luaL_setmetatable(L, EVENT);
  return 1;
}

/* event:set() -> true: whoever waits goes on, and nobody waits until clear().
*/
static int event_set(lua_State *L) {
  Event *e = toevent(L);
  e->set = 1;
  cs_wakeall(cs_loop(L), &e->waiting, CS_GO);
  return done(L);
}

/* event:clear() -> true */
static int event_clear(lua_State *L) {
  toevent(L)->set = 0;
  return done(L);
}

/* event:is_set() -> boolean */
static int event_is_set(lua_State *L) {
  return boolean(L, toevent(L)->set);
}

static int event_waitk(lua_State *L, int status, lua_KContext ctx) {
  cs_Loop *loop = cs_loop(L);
  Event *e = lua_touserdata(L, 1);
  cs_Task *me = cs_resumed(L, loop);
  (void)status;
  if (me->why == CS_GO && !me->cancel) return done(L);
  cs_checkcancel(L, loop, "wait");
  if (e->set) return done(L);
  if (me->why == CS_TIMEDOUT) return boolean(L, 0);
  cs_note(loop, "wait");
  return cs_suspend(L, loop, &e->waiting, me->deadline, ctx, event_waitk);
}

/* event:wait([timeout]) -> true when the event is set, at once or later, false
** after `timeout` seconds. */
static int event_wait(lua_State *L) {
  Event *e = toevent(L);
  int64_t deadline = begin(L, cs_loop(L), 2, "wait");
  if (e->set || deadline == 0) return boolean(L, e->set);
  return cs_suspend(L, to_wait(L, "wait"), &e->waiting, deadline, 0,
                    event_waitk);
}

/*
** Semaphores; a lock is one of a single permit
*/

typedef struct Semaphore {
  Line line;
  size_t value, bound;
} Semaphore;

static Semaphore *tosemaphore(lua_State *L) {
  return luaL_checkudata(L, 1, SEMAPHORE);
}

static int new_semaphore(lua_State *L, lua_Integer value, size_t bound) {
  Semaphore *s = lua_newuserdatauv(L, sizeof *s, 0);
  memset(s, 0, sizeof *s);
  cs_initlist(&s->line.waiting);
  s->value = (size_t)value;
  s->bound = bound;
  luaL_setmetatable(L, SEMAPHORE);
  return 1;
}

static lua_Integer check_value(lua_State *L) {
  lua_Integer n = cs_optint(L, 1, 1);
  if (n < 0) cs_argerror(L, 1, "initial value must be >= 0");
  return n;
}

/* Semaphore([value]) -> a semaphore of so many permits, 1 if nothing is said.
*/
static int semaphore_new(lua_State *L) {
  return new_semaphore(L, check_value(L), SIZE_MAX);
}

/* BoundedSemaphore([value]) -> the same; to release more than were acquired
** is an error. */
static int bounded_new(lua_State *L) {
  lua_Integer value = check_value(L);
  return new_semaphore(L, value, (size_t)value);
}

/* Lock() -> a lock, not held. */
static int lock_new(lua_State *L) {
  return new_semaphore(L, 1, 1);
}

/* what acquiring is for: acquire() returns true, guard() the semaphore */
enum { ACQUIRE, GUARD };

static int acquired(lua_State *L, Semaphore *s, lua_KContext what) {
  s->value--;
  if (what == ACQUIRE) return done(L);
  lua_settop(L, 1);
  return 1;
}

static int acquirek(lua_State *L, int status, lua_KContext what) {
  Semaphore *s = lua_touserdata(L, 1);
  (void)status;
  switch (woken(L, &s->line, s->value, "acquire")) {
  case TAKE:
    return acquired(L, s, what);
  case EXPIRED:
    return boolean(L, 0);
  default:
    return queue_up(L, &s->line, s->value, "acquire",
                    cs_loop(L)->current->deadline, what, acquirek);
  }
}

static int acquire(lua_State *L, int64_t deadline, lua_KContext what) {
  Semaphore *s = tosemaphore(L);
  if (at_once(L, &s->line, s->value, deadline)) return acquired(L, s, what);
  if (deadline == 0) return boolean(L, 0);
  return queue_up(L, &s->line, s->value, "acquire", deadline, what, acquirek);
}

/* lock:acquire([timeout]) -> true, or false after `timeout` seconds. */
static int semaphore_acquire(lua_State *L) {
  tosemaphore(L);
  return acquire(L, begin(L, cs_loop(L), 2, "acquire"), ACQUIRE);
}

/* local _ <close> = lock:guard(): acquired until the block ends. */
static int semaphore_guard(lua_State *L) {
  tosemaphore(L);
  lua_settop(L, 1);
  return acquire(L, begin(L, cs_loop(L), 2, "acquire"), GUARD);
}

/* lock:release() -> true: the first in the line has it next. */
static int semaphore_release(lua_State *L) {
  Semaphore *s = tosemaphore(L);
  if (s->value >= s->bound)
    return cs_misuse(L, "release of what is not acquired");
  s->value++;
  offer(cs_loop(L), &s->line, s->value);
  return done(L);
}

/* lock:locked() -> would acquire() have to wait? */
static int semaphore_locked(lua_State *L) {
  Semaphore *s = tosemaphore(L);
  return boolean(L, s->value <= promised(cs_loop(L), &s->line));
}

/*
** Queues
*/

typedef struct Queue {
  Line getters, putters;
  cs_Link joiners;
  size_t head, count, room; /* of the ring of items; room is a power of two */
  size_t unfinished;
  size_t most;
  lua_Integer maxsize;
} Queue;

#define ITEMS 1 /* user value: the ring, a table of `room` places */

static Queue *toqueue(lua_State *L) {
  return luaL_checkudata(L, 1, QUEUE);
}

/* Queue([maxsize]) -> a queue of at most so many items; of any number, if that
** is 0, less, or not given. */
static int queue_new(lua_State *L) {
  lua_Integer maxsize = cs_optint(L, 1, 0);
  Queue *q = lua_newuserdatauv(L, sizeof *q, 1);
  memset(q, 0, sizeof *q);
  cs_initlist(&q->getters.waiting);
  cs_initlist(&q->putters.waiting);
  cs_initlist(&q->joiners);
  q->maxsize = maxsize;
  q->most = maxsize > 0 ? (size_t)maxsize : SIZE_MAX;
  q->room = 8;
  lua_createtable(L, (int)q->room, 0);
  lua_setiuservalue(L, -2, ITEMS);
  luaL_setmetatable(L, QUEUE);
  return 1;
}

static lua_Integer place(const Queue *q, size_t i) {
  return (lua_Integer)(((q->head + i) & (q->room - 1)) + 1);
}

/* Twice the room; the items are at the top of the stack, before and after. */
static void grow(lua_State *L, Queue *q) {
  lua_createtable(L, (int)q->room * 2, 0);
  for (size_t i = 0; i < q->count; i++) {
    lua_rawgeti(L, -2, place(q, i));
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_pushvalue(L, -1);
  lua_setiuservalue(L, 1, ITEMS);
  lua_remove(L, -2);
  q->head = 0;
  q->room *= 2;
}

static size_t left(const Queue *q) {
  return q->most - q->count;
}

/* Append the item at index 2. */
static int add(lua_State *L, Queue *q) {
  lua_getiuservalue(L, 1, ITEMS);
  if (q->count == q->room) grow(L, q);
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, place(q, q->count));
  q->count++;
  q->unfinished++;
  offer(cs_loop(L), &q->getters, q->count);
  return done(L);
}

/* Push the first item, and take it out. */
static int take(lua_State *L, Queue *q) {
  lua_getiuservalue(L, 1, ITEMS);
  lua_rawgeti(L, -1, place(q, 0));
  lua_pushnil(L);
  lua_rawseti(L, -3, place(q, 0));
  q->head++;
  q->count--;
  offer(cs_loop(L), &q->putters, left(q));
  return 1;
}

static int is_full(lua_State *L, Queue *q) {
  return left(q) <= promised(cs_loop(L), &q->putters);
}

/* Items that are there and promised to nobody. */
static size_t size(lua_State *L, Queue *q) {
  return q->count - promised(cs_loop(L), &q->getters);
}

static int putk(lua_State *L, int status, lua_KContext ctx) {
  Queue *q = lua_touserdata(L, 1);
  (void)status;
  switch (woken(L, &q->putters, left(q), "put")) {
  case TAKE:
    return add(L, q);
  case EXPIRED:
    return cs_fail(L, 0, CS_ETIMEOUT, "put", 0);
  default:
    return queue_up(L, &q->putters, left(q), "put",
                    cs_loop(L)->current->deadline, ctx, putk);
  }
}

static Queue *check_put(lua_State *L) {
  Queue *q = toqueue(L);
  luaL_checkany(L, 2);
  return q;
}

/* queue:put(item [, timeout]) -> true, when there is room for it; csock.timeout
** after `timeout` seconds.  Any value is an item. */
static int queue_put(lua_State *L) {
  Queue *q = check_put(L);
  int64_t deadline = begin(L, cs_loop(L), 3, "put");
  if (at_once(L, &q->putters, left(q), deadline)) return add(L, q);
  if (deadline == 0) return cs_fail(L, 0, CS_ETIMEOUT, "put", 0);
  return queue_up(L, &q->putters, left(q), "put", deadline, 0, putk);
}

/* queue:put_nowait(item) -> true; raises loop.QueueFull. */
static int queue_put_nowait(lua_State *L) {
  Queue *q = check_put(L);
  if (!is_full(L, q)) return add(L, q);
  return cs_failwith(L, "full", "the queue is full", "put_nowait");
}

static int getk(lua_State *L, int status, lua_KContext ctx) {
  Queue *q = lua_touserdata(L, 1);
  (void)status;
  switch (woken(L, &q->getters, q->count, "get")) {
  case TAKE:
    return take(L, q);
  case EXPIRED:
    return cs_fail(L, 0, CS_ETIMEOUT, "get", 0);
  default:
    return queue_up(L, &q->getters, q->count, "get",
                    cs_loop(L)->current->deadline, ctx, getk);
  }
}

/* queue:get([timeout]) -> the oldest item, when there is one; csock.timeout
** after `timeout` seconds. */
static int queue_get(lua_State *L) {
  Queue *q = toqueue(L);
  int64_t deadline = begin(L, cs_loop(L), 2, "get");
  if (at_once(L, &q->getters, q->count, deadline)) return take(L, q);
  if (deadline == 0) return cs_fail(L, 0, CS_ETIMEOUT, "get", 0);
  return queue_up(L, &q->getters, q->count, "get", deadline, 0, getk);
}

/* queue:get_nowait() -> the oldest item; raises loop.QueueEmpty. */
static int queue_get_nowait(lua_State *L) {
  Queue *q = toqueue(L);
  if (size(L, q) > 0) return take(L, q);
  return cs_failwith(L, "empty", "the queue is empty", "get_nowait");
}

/* queue:qsize() -> how many items a get would find. */
static int queue_qsize(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)size(L, toqueue(L)));
  return 1;
}

/* queue:empty() -> would get() have to wait? */
static int queue_empty(lua_State *L) {
  return boolean(L, size(L, toqueue(L)) == 0);
}

/* queue:full() -> would put() have to wait? */
static int queue_full(lua_State *L) {
  return boolean(L, is_full(L, toqueue(L)));
}

/* queue:task_done() -> true: an item that was got has been dealt with. */
static int queue_task_done(lua_State *L) {
  Queue *q = toqueue(L);
  if (q->unfinished == 0) return cs_misuse(L, "task_done called too often");
  if (--q->unfinished == 0) cs_wakeall(cs_loop(L), &q->joiners, CS_GO);
  return done(L);
}

static int joink(lua_State *L, int status, lua_KContext ctx) {
  cs_Loop *loop = cs_loop(L);
  Queue *q = lua_touserdata(L, 1);
  cs_Task *me = cs_resumed(L, loop);
  (void)status;
  if (me->why == CS_GO && !me->cancel) return done(L);
  cs_checkcancel(L, loop, "join");
  if (me->why == CS_TIMEDOUT) return cs_fail(L, 0, CS_ETIMEOUT, "join", 0);
  cs_note(loop, "join");
  return cs_suspend(L, loop, &q->joiners, me->deadline, ctx, joink);
}

/* queue:join([timeout]) -> true, when task_done() has been called for every
** item that was put; csock.timeout after `timeout` seconds. */
static int queue_join(lua_State *L) {
  Queue *q = toqueue(L);
  int64_t deadline = begin(L, cs_loop(L), 2, "join");
  if (q->unfinished == 0) return done(L);
  if (deadline == 0) return cs_fail(L, 0, CS_ETIMEOUT, "join", 0);
  return cs_suspend(L, to_wait(L, "join"), &q->joiners, deadline, 0, joink);
}

/* queue.maxsize -> as it was given; anything else is a method, or nil. */
static int queue_index(lua_State *L) {
  Queue *q;
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1;
  q = toqueue(L);
  if (lua_type(L, 2) != LUA_TSTRING ||
      strcmp(lua_tostring(L, 2), "maxsize") != 0)
    return 1;
  lua_pushinteger(L, q->maxsize);
  return 1;
}

/*
** The door
*/

static const luaL_Reg event_methods[] = {
    {"set", event_set},   {"clear", event_clear}, {"is_set", event_is_set},
    {"wait", event_wait}, {NULL, NULL},
};

static const luaL_Reg semaphore_methods[] = {
    {"acquire", semaphore_acquire},
    {"guard", semaphore_guard},
    {"release", semaphore_release},
    {"locked", semaphore_locked},
    {NULL, NULL},
};

static const luaL_Reg queue_methods[] = {
    {"put", queue_put},     {"put_nowait", queue_put_nowait},
    {"get", queue_get},     {"get_nowait", queue_get_nowait},
    {"qsize", queue_qsize}, {"empty", queue_empty},
    {"full", queue_full},   {"task_done", queue_task_done},
    {"join", queue_join},   {NULL, NULL},
};

static const luaL_Reg semaphore_meta[] = {
    {"__close", semaphore_release},
    {NULL, NULL},
};

static const luaL_Reg sync_funcs[] = {
    {"Event", event_new},
    {"Semaphore", semaphore_new},
    {"BoundedSemaphore", bounded_new},
    {"Lock", lock_new},
    {"Queue", queue_new},
    {NULL, NULL},
};

/* Leaves the metatable and the table of methods on the stack. */
static void new_class(lua_State *L, const char *name, const luaL_Reg *methods) {
  luaL_newmetatable(L, name);
  lua_newtable(L);
  cs_setfuncs(L, methods);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "__index");
}

/* Adds core.sync. */
void cs_open_sync(lua_State *L) {
  new_class(L, EVENT, event_methods);
  lua_pop(L, 2);
  new_class(L, SEMAPHORE, semaphore_methods);
  lua_pop(L, 1);
  cs_setfuncs(L, semaphore_meta);
  lua_pop(L, 1);
  new_class(L, QUEUE, queue_methods);
  cs_pushloop(L);
  lua_insert(L, -2);
  lua_pushcclosure(L, queue_index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_newtable(L);
  cs_setfuncs(L, sync_funcs);
  lua_setfield(L, -2, "sync");
}
