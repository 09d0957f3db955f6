/* drive: attempt, then wait, then attempt again.  In a task of the loop it
** waits by yielding, elsewhere in poll(2), or, for a socket that may block for
** ever, in the system call itself.  It alone decides between the three, runs
** the hooks that a signal has left pending, and reports failure.
** Not here: any system call of an operation. */

#include <errno.h>
#include <lauxlib.h>
#include <sys/socket.h>

#include "drive.h"
#include "error.h"

#define MOMENT (CS_SECOND / 500) /* between attempts that nothing announces */

static int would_block(int err) {
  return err == EAGAIN || err == EWOULDBLOCK || err == EINPROGRESS ||
         err == EALREADY || err == CS_ELATER || err == CS_EMORE;
}

static int failed(lua_State *L, cs_Handle *h, const cs_Op *op, int err) {
  if (err == CS_ELATER || err == CS_EMORE) err = EAGAIN;
  if (op->failed != NULL) return op->failed(L, h, err);
  return cs_fail(L, h->safe, err, op->name, op->address);
}

/* For an operation's `failed`, where that time is up, or that somebody woke the
** task, is no error but the answer "false". */
int cs_answerfalse(lua_State *L, const cs_Handle *h, int err,
                   const char *name) {
  if (err != CS_ETIMEOUT && err != EAGAIN)
    return cs_fail(L, h->safe, err, name, 0);
  lua_pushboolean(L, 0);
  return 1;
}

/* Where there is no MSG_DONTWAIT the flag has to be on the open file.  Who
** shares that may take it away at any time, so for shared ones the system is
** asked each time.  Between this look and the call nothing protects. */
static int need_nonblock(cs_Handle *h, const cs_Op *op) {
  int err;
  if (!op->nonblock || (h->nonblock && !h->shared) || h->source.fd < 0)
    return 0;
  err = cs_setnonblock(h->source.fd, 1);
  if (err == 0) h->nonblock = 1;
  return err;
}

/*
** In a task
*/

static int goon(lua_State *L, int status, lua_KContext ctx);

/* One attempt: the number of results, or -errno.  EINTR is no news here: the
** loop runs the hooks, on the coroutine that a signal hits. */
static int attempt(lua_State *L, cs_Handle *h, const cs_Op *op) {
  int n = need_nonblock(h, op);
  if (n != 0) return n;
  do n = op->attempt(L, h, MSG_DONTWAIT);
  while (n == -EINTR);
  return n;
}

static int later(lua_State *L, int status, lua_KContext ctx);

/* Sleep until the operation may get on: in the source's list, or, where no
** descriptor will tell (CS_ELATER), for a moment, with the deadline kept on
** the stack. */
static int sleep_until(lua_State *L, cs_Handle *h, const cs_Op *op, int err,
                       int64_t deadline) {
  cs_note(h->loop, op->name);
  if (err == CS_ELATER) {
    int64_t soon = cs_deadline(MOMENT);
    lua_pushinteger(L, deadline);
    return cs_suspend(L, h->loop, NULL, soon < deadline ? soon : deadline,
                      (lua_KContext)op, later);
  }
  return cs_suspendon(L, h->loop, &h->source, op->want, deadline,
                      (lua_KContext)op, goon);
}

/* Go on when the other ready tasks have run. */
static int let_others(lua_State *L, cs_Handle *h, const cs_Op *op,
                      int64_t deadline) {
  h->loop->current->deadline = deadline;
  cs_note(h->loop, op->name);
  return cs_pass(L, h->loop, (lua_KContext)op, goon);
}

static int again(lua_State *L, cs_Handle *h, const cs_Op *op,
                 int64_t deadline) {
  int n = attempt(L, h, op);
  if (n >= 0) return n;
  if (n == -CS_EMORE || n == -CS_ETURN) deadline = cs_deadline(h->timeout);
  if (n == -CS_ETURN) return let_others(L, h, op, deadline);
  if (!would_block(-n)) return failed(L, h, op, -n);
  /* events that bring nothing must not keep the deadline from coming */
  if (deadline != CS_FOREVER && deadline <= cs_now())
    return failed(L, h, op, CS_ETIMEOUT);
  return sleep_until(L, h, op, -n, deadline);
}

static int later(lua_State *L, int status, lua_KContext ctx) {
  const cs_Op *op = (const cs_Op *)ctx;
  cs_Handle *h = lua_touserdata(L, 1);
  int64_t deadline = lua_tointeger(L, -1);
  (void)status;
  cs_resumed(L, h->loop);
  lua_pop(L, 1);
  cs_checkcancel(L, h->loop, op->name);
  return again(L, h, op, deadline);
}

/* The task was woken: by an event, by its deadline, or by somebody. */
static int goon(lua_State *L, int status, lua_KContext ctx) {
  const cs_Op *op = (const cs_Op *)ctx;
  cs_Handle *h = lua_touserdata(L, 1);
  cs_Task *t = cs_resumed(L, h->loop);
  (void)status;
  if (cs_asked(t)) cs_checkcancel(L, h->loop, op->name);
  if (t->why == CS_TIMEDOUT) return failed(L, h, op, CS_ETIMEOUT);
  if (t->why == CS_WOKEN) return failed(L, h, op, EAGAIN);
  return again(L, h, op, t->deadline);
}

/* The first attempt, if nothing forbids it: what it said, or CS_ETURN. */
static int first_attempt(lua_State *L, cs_Handle *h, const cs_Op *op) {
  cs_Loop *loop = h->loop;
  cs_Task *t = loop->current;
  if (cs_asked(t)) cs_checkcancel(L, loop, op->name);
  if (h->source.idle & op->want) return -EAGAIN; /* the last read took all */
  /* it never has to wait: let the others run */
  if (--loop->budget < 0) return -CS_ETURN;
  return attempt(L, h, op);
}

/* 'n' is what a first attempt said. */
static int drive_in_task(lua_State *L, cs_Handle *h, const cs_Op *op,
                         int64_t timeout, int n) {
  if (n == CS_UNTRIED)
    n = first_attempt(L, h, op);
  else if (n == -EINTR)
    n = attempt(L, h, op);
  if (n >= 0) return n;
  if (n == -CS_ETURN) return let_others(L, h, op, cs_deadline(timeout));
  if (!would_block(-n)) return failed(L, h, op, -n);
  return sleep_until(L, h, op, -n, cs_deadline(timeout));
}

/*
** Outside of tasks
*/

/* Wait after an attempt that said 'n': 1 to try again, 0 at the deadline,
** -EINTR to run hooks and wait on, -errno. */
static int wait_outside(cs_Handle *h, const cs_Op *op, int n,
                        int64_t deadline) {
  int64_t soon;
  if (n != -CS_ELATER) return cs_waitfd(h->source.fd, op->want, deadline);
  soon = cs_deadline(MOMENT);
  if (deadline <= soon) return cs_waitfd(-1, 0, deadline);
  n = cs_waitfd(-1, 0, soon);
  return n == 0 ? 1 : n;
}

/* 'n' is what a first attempt said. */
static int drive_outside(lua_State *L, cs_Handle *h, const cs_Op *op,
                         int64_t timeout, int n) {
  cs_Loop *loop = h->loop;
  int64_t deadline = 0, scope = *cs_scope(loop);
  int started = 0;
  /* one that may block for ever does so in its own system call */
  int dontwait = timeout < 0 && scope == CS_FOREVER ? 0 : MSG_DONTWAIT;
  for (;; n = CS_UNTRIED) {
    if (n == CS_UNTRIED) {
      cs_checkcancel(L, loop, op->name);
      n = dontwait ? need_nonblock(h, op) : 0;
      if (n == 0) n = op->attempt(L, h, dontwait);
    }
    if (n >= 0) return n;
    if (n == -CS_EMORE || n == -CS_ETURN) started = 0;
    if (n == -CS_ETURN) {
      cs_runhooks(L);
      continue;
    }
    if (n != -EINTR && (!would_block(-n) || timeout == 0))
      return failed(L, h, op, -n);
    if (!started) {
      deadline = cs_deadline(timeout);
      started = 1;
    } else if (deadline != CS_FOREVER && deadline <= cs_now())
      return failed(L, h, op, CS_ETIMEOUT);
    if (n == -EINTR) cs_runhooks(L);
    n = wait_outside(h, op, n, scope < deadline ? scope : deadline);
    if (n == -EINTR) cs_runhooks(L);
    if (n == 0 && scope > deadline) return failed(L, h, op, CS_ETIMEOUT);
    if (n < 0 && n != -EINTR) return failed(L, h, op, -n);
  }
}

/* Carry out 'op' on the handle at index 1: results pushed, or an error. */
int cs_drivewithin(lua_State *L, cs_Handle *h, const cs_Op *op,
                   int64_t timeout) {
  return cs_driveon(L, h, op, timeout, CS_UNTRIED);
}

/* The same within the handle's own timeout. */
int cs_drive(lua_State *L, cs_Handle *h, const cs_Op *op) {
  return cs_driveon(L, h, op, h->timeout, CS_UNTRIED);
}

/* The same after a first attempt that said 'n'. */
int cs_driveon(lua_State *L, cs_Handle *h, const cs_Op *op, int64_t timeout,
               int n) {
  if (timeout != 0 && cs_intask(L, h->loop))
    return drive_in_task(L, h, op, timeout, n);
  return drive_outside(L, h, op, timeout, n);
}
