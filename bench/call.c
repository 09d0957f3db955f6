/*
** call: what the system takes for the calls that csock makes, in ns: the
** floor under the figures of call.lua, which starts this and prints both.
** No library is involved, so nothing here says anything about csock.
**
** Invariant: each line is "NAME NS", the best of several repetitions.
*/

#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { REPETITIONS = 15, TIMES = 10000, MOST = 16384 };

static int ends[2], poller;
static size_t size;
static char data[MOST];

static void fail(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static void send_recv(void) {
  if (send(ends[0], data, size, MSG_NOSIGNAL) < 0) fail("send");
  if (recv(ends[1], data, size, 0) < 0) fail("recv");
}

static void recv_nothing(void) {
  if (recv(ends[1], data, size, 0) >= 0 || errno != EAGAIN) fail("recv");
}

static void wait_nothing(void) {
  struct epoll_event e;
  if (epoll_wait(poller, &e, 1, 0) < 0) fail("epoll_wait");
}

static void register_once(void) {
  struct epoll_event e = {.events = EPOLLIN | EPOLLET};
  if (epoll_ctl(poller, EPOLL_CTL_ADD, ends[1], &e) ||
      epoll_ctl(poller, EPOLL_CTL_DEL, ends[1], NULL))
    fail("epoll_ctl");
}

/* CPU time, as call.lua measures it: os.clock() */
static double cpu_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void price(const char *name, void (*call)(void)) {
  double best = 0;
  for (int i = 0; i < REPETITIONS; i++) {
    double start = cpu_ns();
    for (int n = 0; n < TIMES; n++) call();
    double took = (cpu_ns() - start) / TIMES;
    if (i == 0 || took < best) best = took;
  }
  printf("%s %.1f\n", name, best);
}

int main(void) {
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends))
    fail("socketpair");
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0) fail("epoll_create1");
  size = 64;
  price("send_recv_64", send_recv);
  price("recv_nothing", recv_nothing);
  size = MOST;
  price("send_recv_16384", send_recv);
  price("epoll_wait", wait_nothing);
  price("epoll_add_del", register_once);
  return EXIT_SUCCESS;
}
