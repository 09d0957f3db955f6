/* poller_epoll: Linux.  Every descriptor is registered once, edge-triggered,
** for everything that would not be reported in vain; so a connection costs one
** epoll_ctl in its life, and the kernel drops it when it is closed.  No state
** but the epoll descriptor. */

#if defined(__linux__)

#define _GNU_SOURCE
#include <errno.h>
#include <sys/epoll.h>

#include "poller.h"

#define BATCH 256 /* events taken from the kernel by one call */

static int open_epoll(cs_Poller *p) {
  p->fd = epoll_create1(EPOLL_CLOEXEC);
  return p->fd < 0 ? -errno : 0;
}

static int watch(cs_Poller *p, int fd, uint64_t tag, int want) {
  struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI |
                                    EPOLLET,
                          .data.u64 = tag};
  if ((want & CS_CHATTY) && !(want & CS_WRITE)) e.events &= ~(uint32_t)EPOLLOUT;
#if defined(EPOLLEXCLUSIVE)
  if (want & CS_SHARED) e.events = EPOLLIN | EPOLLET | EPOLLEXCLUSIVE;
#endif
  if (epoll_ctl(p->fd, EPOLL_CTL_ADD, fd, &e) == 0) return 0;
  /* the same open file under the same number again: detached and adopted; or
  ** more is wanted than before */
  if (errno == EEXIST && epoll_ctl(p->fd, EPOLL_CTL_MOD, fd, &e) == 0) return 0;
  return -errno;
}

static void forget(cs_Poller *p, int fd) {
  struct epoll_event e = {.events = 0};
  epoll_ctl(p->fd, EPOLL_CTL_DEL, fd, &e); /* absent is as good as gone */
}

static int translate(uint32_t events) {
  int what = 0;
  if (events & EPOLLIN) what |= CS_READ;
  if (events & EPOLLOUT) what |= CS_WRITE;
  if (events & EPOLLRDHUP) what |= CS_READ | CS_END;
  if (events & EPOLLPRI) what |= CS_READ | CS_URGENT;
  if (events & (EPOLLHUP | EPOLLERR)) what |= CS_READ | CS_WRITE | CS_END;
  return what;
}

static int wait_epoll(cs_Poller *p, cs_Ready *out, int max, int ms) {
  struct epoll_event events[BATCH];
  int n = epoll_wait(p->fd, events, max < BATCH ? max : BATCH, ms);
  if (n < 0) return -errno;
  for (int i = 0; i < n; i++) {
    out[i].tag = events[i].data.u64;
    out[i].what = translate(events[i].events);
  }
  return n;
}

static int group(const struct pollfd *fds, size_t count) {
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return -errno;
  for (size_t i = 0; i < count; i++) {
    /* poll(2) and epoll(7) have the same bits */
    struct epoll_event e = {.events = (unsigned short)fds[i].events};
    if (fds[i].fd < 0) continue;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i].fd, &e) < 0) {
      int err = errno;
      cs_closefd(epoll);
      return -err;
    }
  }
  return epoll;
}

static void close_epoll(cs_Poller *p) {
  cs_closefd(p->fd);
}

const cs_PollerOps cs_poller_epoll = {
    .name = "epoll",
    .persistent = 1,
    .open = open_epoll,
    .watch = watch,
    .forget = forget,
    .wait = wait_epoll,
    .close = close_epoll,
    .group = group,
};

#endif
