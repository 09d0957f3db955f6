/* loop: tasks (Lua coroutines), their queue, their deadlines, and the poller.
** It is the only one that resumes a task.  It knows descriptors as sources,
** not sockets, and no operation: how to try and to try again is drive's.
** One loop belongs to one Lua state.
**
** A task is in one list at most (the ready queue, the readers or writers of
** a source, the joiners of a task), so to wake it is to move one link. */

#ifndef cs_loop_h
#define cs_loop_h

#include <lauxlib.h>
#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "board.h"
#include "collector.h"
#include "landing.h"
#include "poller.h"
#include "slow.h"
#include "sys.h"
#include "timer.h"

#define CS_TASK "csock.task" /* the name of its metatable */

#define CS_MUCH 65536 /* received bytes that the collector is told of */

typedef struct cs_Link {
  struct cs_Link *prev, *next;
} cs_Link;

/* A descriptor as the loop sees it; it lives inside its owner. */
typedef struct cs_Source {
  int fd;                /* -1: closed */
  unsigned char watched; /* what the poller tells of it: CS_READ, CS_WRITE */
  unsigned char idle;    /* CS_READ: the last read left nothing behind */
  unsigned char wary;    /* a short read proves nothing: never set idle */
  unsigned char shared;  /* with other processes, for reading only */
  unsigned char chatty;  /* each write makes it writable again: not to be told
                         ** of that while nobody waits for it */
  cs_Link readers, writers;
} cs_Source;

/* What is watched under a descriptor's number. */
typedef struct cs_Slot {
  cs_Source *source; /* NULL: nobody here */
  uint32_t generation;
} cs_Slot;

enum cs_State { CS_READY, CS_RUNNING, CS_WAITING, CS_DONE, CS_FAILED };

/* why a waiting task was woken */
enum cs_Why { CS_GO, CS_TIMEDOUT, CS_WOKEN };

/* Tasks that one owner looks after (group.c). */
typedef struct cs_Group {
  cs_Link members;
  size_t count;
  int32_t *place; /* where other processes see the count, or NULL */
} cs_Group;

typedef struct cs_Task {
  cs_Link link; /* first: a link is its task */
  lua_State *co;
  lua_State *waiter; /* what waits: co, or a coroutine it has resumed */
  int64_t deadline;  /* of the wait under way */
  int64_t scope;     /* what loop.timeout allows */
  const char *op;    /* what it waits for, NULL: it does not say */
  int64_t since;     /* the turn in which this wait began */
  lua_Integer number;
  cs_Link joiners;
  cs_Link kin;         /* the others of its group */
  cs_Group *group;     /* or NULL */
  cs_Timer timer;      /* may be older than the deadline, which counts */
  uint32_t place;      /* in the list of live tasks */
  int nresults;        /* on co's stack; of a failed one, its error */
  unsigned char state; /* enum cs_State */
  unsigned char why;   /* enum cs_Why */
  unsigned polled : 1; /* waits for a source */
  unsigned started : 1;
  unsigned cancel : 1;    /* to be cancelled at its next wait */
  unsigned cancelled : 1; /* its error was a cancellation */
  unsigned failed : 1;    /* its function has raised an error */
  unsigned told : 1;      /* it has heard that it is cancelled */
  unsigned shown : 1;     /* somebody has its handle */
  unsigned leads : 1;     /* when it lets others run, its joiners are to know */
} cs_Task;

typedef struct cs_Loop {
  lua_State *running; /* the coroutine whose yield reaches the loop, or NULL */
  cs_Task *current;   /* the task it belongs to */
  int budget;         /* operations left before others get their turn */
  int entered, ending;
  int hosted;     /* entered by a host, which runs it step by step */
  unsigned ended; /* how often: no task has lived through one */
  int64_t scope;  /* what loop.timeout allows outside of tasks */
  int64_t default_timeout;
  int lent; /* one more than a descriptor that dup has made for a socket */
  const void *addressmeta; /* identity of the metatable of addresses, */
  const void *filemeta;    /* and of that of the files that makefile gives */
  cs_Link ready, batch;    /* to run; those of them whose turn it is */
  uint32_t live, polled;   /* tasks, and how many of them wait for a source */
  uint32_t peak;           /* the most there were since they were last few */
  int64_t spin;            /* nanoseconds to poll before sleeping */
  lua_Integer spawned;     /* tasks ever */
  int64_t turned;          /* when this turn began */
  size_t received;         /* bytes pushed as strings, since cs_ease */
  cs_Eased eased;          /* what that keeps */
  cs_Slow slow;
  cs_Timers timers;
  cs_Poller poller;
  cs_Slot *slots; /* by descriptor */
  size_t nslots;
  cs_Landing landing;
  unsigned char warned; /* of a wait that blocks the loop */
} cs_Loop;

/* user values of the loop's userdata: the live tasks, a list without holes;
** coroutines to be used again; coroutines (csock.coroutine) whose wait has
** passed to their resumer; the metatables of plain sockets, csock's and
** csock.safe's; the metatable of tasks, the function that is the body of each
** and the message handler of that; the names that tasks were given; where the
** errors of failed ones came from (task) */
enum {
  CS_TASKS = 1,
  CS_IDLE,
  CS_PASSED,
  CS_SOCKETMETA,
  CS_SAFEMETA,
  CS_TASKMETA,
  CS_TASKBODY,
  CS_TASKFAULT,
  CS_TASKNAMES,
  CS_TRACEBACKS,
  CS_LOOPVALUES = CS_TRACEBACKS
};

/* user values of a task's */
enum { CS_THREAD = 1, CS_SUBJECT, CS_TASKVALUES = CS_SUBJECT };

/* Every C function of csock has the loop's userdata as its first upvalue. */
static inline cs_Loop *cs_loop(lua_State *L) {
  return (cs_Loop *)lua_touserdata(L, lua_upvalueindex(1));
}

/* Let other processes see how many are in the group, if they may. */
static inline void cs_showgroup(const cs_Group *g) {
  if (g->place != NULL) cs_post(g->place, g->count);
}

static inline void cs_leavegroup(cs_Task *t) {
  if (t->group == NULL) return;
  t->kin.prev->next = t->kin.next;
  t->kin.next->prev = t->kin.prev;
  t->group->count--;
  cs_showgroup(t->group);
  t->group = NULL;
}

/* Push a live task. */
static inline void cs_pushtask(lua_State *L, const cs_Task *t) {
  lua_getiuservalue(L, lua_upvalueindex(1), CS_TASKS);
  lua_rawgeti(L, -1, (lua_Integer)t->place);
  lua_remove(L, -2);
}

/* Push what was received, as a string: without a copy, where it is much and has
** landed. */
static inline void cs_pushreceived(lua_State *L, cs_Loop *loop,
                                   const char *data, size_t n) {
  if (cs_haslanded(&loop->landing, data))
    cs_pushlanded(L, &loop->landing, n);
  else
    lua_pushlstring(L, data, n);
  loop->received += n;
  if (loop->received < CS_MUCH) return;
  n = loop->received;
  loop->received = 0;
  cs_ease(L, n, loop->live, &loop->eased);
}

/* Has somebody asked for what cs_checkcancel raises, in time? */
static inline int cs_asked(const cs_Task *t) {
  return t->cancel || t->scope != CS_FOREVER;
}

/* What the current task is about to wait for: the name of an operation, whose
** object is its first argument. */
static inline void cs_note(cs_Loop *loop, const char *op) {
  loop->current->op = op;
}

static inline void cs_initlist(cs_Link *list) {
  list->prev = list->next = list;
}

cs_Task *cs_totask(lua_State *L, int arg);
void cs_opensource(cs_Source *s, int fd);
void cs_wakesource(cs_Loop *loop, cs_Source *s);
void cs_closesource(cs_Loop *loop, cs_Source *s);
int cs_watch(cs_Loop *loop, cs_Source *s, int want);
void cs_deliver(cs_Loop *loop, const cs_Ready *r);

int cs_intask(lua_State *L, cs_Loop *loop);
int64_t *cs_scope(cs_Loop *loop);
cs_Task *cs_resumed(lua_State *L, cs_Loop *loop);
void cs_checkcancel(lua_State *L, cs_Loop *loop, const char *op);
int cs_suspend(lua_State *L, cs_Loop *loop, cs_Link *list, int64_t deadline,
               lua_KContext ctx, lua_KFunction k);
int cs_suspendon(lua_State *L, cs_Loop *loop, cs_Source *s, int want,
                 int64_t deadline, lua_KContext ctx, lua_KFunction k);
int cs_pass(lua_State *L, cs_Loop *loop, lua_KContext ctx, lua_KFunction k);
void cs_wake(cs_Loop *loop, cs_Task *t, enum cs_Why why);
void cs_interrupt(cs_Loop *loop, cs_Task *t);
void cs_wakeall(cs_Loop *loop, cs_Link *list, enum cs_Why why);
void cs_enqueue(cs_Loop *loop, cs_Task *t);

void cs_dropparent(lua_State *L, cs_Loop *loop);
void cs_enterloop(lua_State *L, cs_Loop *loop);
void cs_leaveloop(lua_State *L, cs_Loop *loop);
void cs_runready(lua_State *L, cs_Loop *loop);
void cs_gather(lua_State *L, cs_Loop *loop, int64_t deadline);

int64_t cs_checktimeout(lua_State *L, int arg);
void cs_pushname(lua_State *L, int task);
void cs_pushloop(lua_State *L);
void cs_setfuncs(lua_State *L, const luaL_Reg *funcs);
void cs_setraising(lua_State *L, const luaL_Reg *funcs);
void cs_open_loop(lua_State *L);

#endif
