/* poller_poll: poll(2), everywhere; also what the specs compare the others
** with.  It holds only descriptors that somebody waits for, and drops each
** with its report, so a level-triggered call looks like one that tells edges.
** Invariant: index[fd] - 1 is the place of fd in the two parallel arrays. */

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "poller.h"

#define PAUSE 10 /* milliseconds between looks, where it cannot sleep */

typedef struct Set {
  struct pollfd *fds;
  uint64_t *tags;
  nfds_t count, size;
  nfds_t *index; /* by descriptor: place plus one, 0 = absent */
  size_t nindex;
} Set;

static int open_poll(cs_Poller *p) {
  p->fd = -1;
  p->state = calloc(1, sizeof(Set));
  return p->state == NULL ? -ENOMEM : 0;
}

/* Room for 'fd' in the index and for one more in the arrays. */
static int grow(Set *set, size_t fd) {
  if (fd >= set->nindex) {
    size_t size = fd + 64;
    nfds_t *index = realloc(set->index, size * sizeof *index);
    if (index == NULL) return -ENOMEM;
    memset(index + set->nindex, 0, (size - set->nindex) * sizeof *index);
    set->index = index;
    set->nindex = size;
  }
  if (set->count == set->size) {
    nfds_t size = set->size > 0 ? set->size * 2 : 64;
    struct pollfd *fds = realloc(set->fds, size * sizeof *fds);
    uint64_t *tags;
    if (fds == NULL) return -ENOMEM;
    set->fds = fds;
    tags = realloc(set->tags, size * sizeof *tags);
    if (tags == NULL) return -ENOMEM;
    set->tags = tags;
    set->size = size;
  }
  return 0;
}

static int watch(cs_Poller *p, int fd, uint64_t tag, int want) {
  Set *set = p->state;
  nfds_t place;
  int err = grow(set, (size_t)fd);
  if (err != 0) return err;
  if (set->index[fd] == 0) {
    place = set->count++;
    set->index[fd] = place + 1;
    set->fds[place].fd = fd;
    set->fds[place].events = 0;
  } else
    place = set->index[fd] - 1;
  set->tags[place] = tag;
  if (want & CS_READ) set->fds[place].events |= POLLIN | POLLPRI;
  if (want & CS_WRITE) set->fds[place].events |= POLLOUT;
  return 0;
}

static void drop(Set *set, nfds_t place) {
  nfds_t last = --set->count;
  set->index[set->fds[place].fd] = 0;
  if (place != last) {
    set->fds[place] = set->fds[last];
    set->tags[place] = set->tags[last];
    set->index[set->fds[place].fd] = place + 1;
  }
}

static void forget(cs_Poller *p, int fd) {
  Set *set = p->state;
  if ((size_t)fd < set->nindex && set->index[fd] > 0)
    drop(set, set->index[fd] - 1);
}

static int translate(short events) {
  int what = 0;
  if (events & POLLIN) what |= CS_READ;
  if (events & POLLOUT) what |= CS_WRITE;
  if (events & POLLPRI) what |= CS_READ | CS_URGENT;
  if (events & (POLLHUP | POLLERR | POLLNVAL))
    what |= CS_READ | CS_WRITE | CS_END;
  return what;
}

/* Take what was reported out of what is asked for; the entry goes when
** nothing is left, or when hang-up would be reported for ever. */
static int settle(Set *set, nfds_t place) {
  struct pollfd *f = &set->fds[place];
  short got = f->revents;
  if (got & (POLLIN | POLLPRI)) f->events &= (short)~(POLLIN | POLLPRI);
  f->events &= (short)~got;
  f->revents = 0;
  if (f->events != 0 && (got & (POLLHUP | POLLERR | POLLNVAL)) == 0) return 0;
  drop(set, place);
  return 1;
}

/* poll(2) refuses more descriptors than the process may have open, which it has
** when the limit was lowered: look at them by parts, and do not sleep long. */
static int poll_parts(Set *set, int ms) {
  struct rlimit limit;
  nfds_t part;
  int n, total = 0;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return -errno;
  part = (nfds_t)limit.rlim_cur;
  if (part == 0 || part >= set->count) return -EINVAL;
  for (nfds_t i = 0; i < set->count; i += part) {
    nfds_t left = set->count - i;
    n = poll(set->fds + i, left < part ? left : part, 0);
    if (n < 0) return -errno;
    total += n;
  }
  if (total > 0) return total;
  n = poll(NULL, 0, ms >= 0 && ms < PAUSE ? ms : PAUSE);
  return n < 0 ? -errno : 0;
}

static int poll_all(Set *set, int ms) {
  int n = poll(set->fds, set->count, ms);
  if (n >= 0) return n;
  return errno == EINVAL ? poll_parts(set, ms) : -errno;
}

static int wait_poll(cs_Poller *p, cs_Ready *out, int max, int ms) {
  Set *set = p->state;
  int found = 0;
  int n = poll_all(set, ms);
  if (n < 0) return n;
  /* what is not reached this time stays in front of what comes later */
  for (nfds_t i = 0; i < set->count && found < n && found < max;) {
    if (set->fds[i].revents != 0) {
      out[found].tag = set->tags[i];
      out[found++].what = translate(set->fds[i].revents);
      if (settle(set, i)) continue; /* another entry sits here now */
    }
    i++;
  }
  return found;
}

static void close_poll(cs_Poller *p) {
  Set *set = p->state;
  free(set->fds);
  free(set->tags);
  free(set->index);
  free(set);
  p->state = NULL;
}

const cs_PollerOps cs_poller_poll = {
    .name = "poll",
    .persistent = 0,
    .open = open_poll,
    .watch = watch,
    .forget = forget,
    .wait = wait_poll,
    .close = close_poll,
};
