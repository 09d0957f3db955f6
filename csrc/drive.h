/* drive: the one place that knows how to wait.  An operation is an attempt,
** which makes one non-blocking system call and pushes its results; the driver
** calls it, waits, and calls it again.  What an unfinished operation has to
** remember is on the Lua stack, where the arguments are.
**
** The object is at stack index 1, a userdata that begins with a cs_Handle. */

#ifndef cs_drive_h
#define cs_drive_h

#include <errno.h>
#include <lua.h>
#include <sys/socket.h>

#include "loop.h"

typedef struct cs_Handle {
  cs_Source source; /* first */
  cs_Loop *loop;
  int64_t timeout;        /* nanoseconds for each operation; -1 none */
  unsigned char nonblock; /* O_NONBLOCK, as we last saw or set it */
  unsigned char shared;   /* others know the descriptor, and may change that */
  unsigned char safe;     /* failures return nil, err */
  /* of a socket, here for want of room there: */
  unsigned char closed; /* by its user; the descriptor may live on, for its */
  int files;            /* made by makefile and still open */
} cs_Handle;

/* an attempt's errno: would block, but no descriptor will tell when it is over
 */
#define CS_ELATER 0x10001
/* would block, but something came or went first: the timeout begins anew, as
** it does where one operation is many of Python's calls */
#define CS_EMORE  0x10002
/* would not block, but has taken its time: the same, when others had a turn */
#define CS_ETURN  0x10003

typedef struct cs_Op {
  const char *name;
  int want;    /* what to wait for on EAGAIN: CS_READ or CS_WRITE */
  int address; /* stack index of the address that errors tell; 0: none */
  /* Returns the number of results pushed, or -errno with the stack as it was
  ** (but for state of its own).  'dontwait' is MSG_DONTWAIT or 0. */
  int (*attempt)(lua_State *L, cs_Handle *h, int dontwait);
  /* What to do instead of raising when the world refuses; NULL: raise. */
  int (*failed)(lua_State *L, cs_Handle *h, int err);
  int nonblock; /* needs O_NONBLOCK: there is no MSG_DONTWAIT for it */
} cs_Op;

/* what was said by an attempt that was not made */
#define CS_UNTRIED (-0x10004)

int cs_drive(lua_State *L, cs_Handle *h, const cs_Op *op);
int cs_drivewithin(lua_State *L, cs_Handle *h, const cs_Op *op,
                   int64_t timeout);
int cs_answerfalse(lua_State *L, const cs_Handle *h, int err, const char *name);
int cs_driveon(lua_State *L, cs_Handle *h, const cs_Op *op, int64_t timeout,
               int n);

/* The short way, for an operation whose arguments are still in C locals: may
** it be attempted before the driver is asked?  Then 'dontwait' is set, and
** cs_driveon is for an attempt that did not succeed; it is told in 'n' what the
** attempt said, or what is set here, and finds the arguments on the stack. */
static inline int cs_mayattempt(lua_State *L, cs_Handle *h, int want,
                                int64_t timeout, int *dontwait, int *n) {
  cs_Loop *loop = h->loop;
  cs_Task *t = loop->current;
  *dontwait = MSG_DONTWAIT;
  *n = CS_UNTRIED;
  if (t == NULL) { /* one that may block for ever does so in its own call */
    if (timeout < 0) *dontwait = 0;
    return loop->scope == CS_FOREVER;
  }
  if (L != loop->running || timeout == 0 || cs_asked(t)) return 0;
  if (h->source.idle & want) { /* the last read took all */
    *n = -EAGAIN;
    return 0;
  }
  return --loop->budget >= 0;
}

#endif
