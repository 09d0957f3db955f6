/*
** reference: the rival.  An echo server as a C programmer who cares about
** speed writes it by hand: one thread, edge-triggered epoll, every
** descriptor registered once, TCP_NODELAY inherited from the listener.
**
** It is not tuned to lose nor to win: it reads up to CHUNK bytes at a time
** as the Lua handler beside it does, keeps what the kernel does not take,
** stops reading from who does not read, and lets nobody starve the others.
**
** Invariant: a connection with unsent bytes (conns[fd].rest) is not read.
*/

#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 16384, EVENTS = 512, TURNS = 16 };

#define INTEREST (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)
#define ENDING   (EPOLLRDHUP | EPOLLHUP | EPOLLERR)

struct conn {
  char *rest; /* what the kernel has not taken yet, or NULL */
  size_t from, to;
};

static struct conn *conns; /* by descriptor */
static size_t nconns;
static int poller, listener;
static bool starved; /* no descriptor was left for who waits in the backlog */

static void fail(const char *what) {
  perror(what);
  exit(EXIT_FAILURE);
}

static bool watch(int fd, int how) {
  struct epoll_event e = {.events = INTEREST, .data.fd = fd};
  return epoll_ctl(poller, how, fd, &e) == 0;
}

/* Sends and keeps what does not fit; false when the peer is gone. */
static bool reply(int fd, const char *data, size_t size) {
  ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
  if (sent < 0) {
    if (errno != EAGAIN) return false;
    sent = 0;
  }
  if ((size_t)sent < size) {
    size_t left = size - (size_t)sent;
    char *rest = malloc(left);
    if (!rest) return false;
    memcpy(rest, data + sent, left);
    conns[fd] = (struct conn){rest, 0, left};
  }
  return true;
}

/* Sends what was kept; false when the peer is gone. */
static bool flush(int fd) {
  struct conn *c = &conns[fd];
  while (c->from < c->to) {
    ssize_t sent = send(fd, c->rest + c->from, c->to - c->from, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN;
    c->from += (size_t)sent;
  }
  free(c->rest);
  c->rest = NULL;
  return true;
}

/*
** Answers what is there; false when the connection is over.  A short read
** has emptied the socket, and the next edge will tell; but behind the last
** edge (toend) no other comes, so then it reads until nothing is left.
*/
static bool echo(int fd, bool toend) {
  static char chunk[CHUNK];
  for (int turn = 0; turn < TURNS; turn++) {
    ssize_t got = recv(fd, chunk, CHUNK, 0);
    if (got <= 0) return got < 0 && errno == EAGAIN;
    if (!reply(fd, chunk, (size_t)got)) return false;
    if (conns[fd].rest || (got < CHUNK && !toend)) return true;
  }
  return watch(fd, EPOLL_CTL_MOD); /* the others first; the edge comes again */
}

static bool serve(int fd, uint32_t events) {
  bool toend = events & ENDING;
  if (conns[fd].rest) {
    if (!flush(fd)) return false;
    if (conns[fd].rest) return true;
    toend = true; /* edges may have passed in the meantime */
  }
  return echo(fd, toend);
}

static void reserve(int fd) {
  size_t room = nconns ? nconns : 64;
  if ((size_t)fd < nconns) return;
  while (room <= (size_t)fd) room *= 2;
  conns = realloc(conns, room * sizeof *conns);
  if (!conns) fail("realloc");
  memset(conns + nconns, 0, (room - nconns) * sizeof *conns);
  nconns = room;
}

static void take(void) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == ECONNABORTED) continue;
    if (fd < 0) break;
    reserve(fd);
    if (!watch(fd, EPOLL_CTL_ADD)) fail("epoll_ctl");
  }
  starved = errno == EMFILE || errno == ENFILE;
}

static void drop(int fd) {
  free(conns[fd].rest);
  conns[fd].rest = NULL;
  close(fd);
  if (starved) take();
}

static void start(void) {
  struct sockaddr_in a = {.sin_family = AF_INET};
  socklen_t size = sizeof a;
  int one = 1;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener < 0 || bind(listener, (struct sockaddr *)&a, size) ||
      setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) ||
      listen(listener, SOMAXCONN) ||
      getsockname(listener, (struct sockaddr *)&a, &size))
    fail("listen");
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (poller < 0 || !watch(listener, EPOLL_CTL_ADD)) fail("epoll");
  printf("%d\n", ntohs(a.sin_port));
  fflush(stdout);
}

int main(void) {
  struct epoll_event events[EVENTS];
  start();
  for (;;) {
    int n = epoll_wait(poller, events, EVENTS, -1);
    for (int i = 0; i < n; i++) {
      int fd = events[i].data.fd;
      if (fd == listener)
        take();
      else if (!serve(fd, events[i].events))
        drop(fd);
    }
  }
}
