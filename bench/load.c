/*
** load: the generator.  Starts two echo servers, loads them in turn, slice
** by slice, and says how many requests each answered, what CPU time each
** request cost it and how long the requests took.
**
**   load [options] COMMAND REFERENCE
**     -m echo      each connection sends P messages of S bytes, waits for all
**                  of them, and again (default)
**     -m connect   connect, one such exchange, close, and again
**     -c C  connections (50)   -s S  bytes (64)     -p P  messages deep (1)
**     -d    seconds for each server (1.5); 0 only tries whether both serve
**     -t    seconds of a slice (0.25)               -w  of warm-up (0.2)
**     -a    cores of servers and generator, as 0,1
**
** A COMMAND is a program that listens on a port of 127.0.0.1 and prints it.
** The output is for a program to read: a line of names and values a slice.
**
** It is no judge of overload: the loop is closed, so the load follows what
** the server can take.  It spins, so that its own waking up is in no figure.
**
** Invariant: at most one side has requests in flight, and no fault is
** counted as a request: a wrong byte, a refused or a broken connection ends
** the run.
*/

#define _GNU_SOURCE
#include "process.h"
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  EVENTS = 1024,
  PERIOD = 4096, /* of the bytes that are sent */
  STEP = 61,     /* from one exchange's bytes to the next's */
  SOURCES = 16,  /* addresses to connect from: the ports of one do not last */
  BUCKETS = 3800,
  TRIES = 100
};

static const double REST = 0.02;      /* not counted at the start of a slice */
static const double DISTURBED = 0.05; /* of a slice: taken again */
static const double PATIENCE = 10;    /* seconds for an answer */

struct side;

struct conn {
  struct side *side;
  int fd;
  size_t at;      /* where in the pattern this exchange begins */
  size_t out, in; /* bytes still to send and to come */
  uint64_t since; /* when it began, in ns */
};

struct side {
  struct process process;
  struct conn *conns;
};

static struct {
  bool connect;
  size_t conns, size, depth;
  double seconds, warm, slice;
  int cores[2];
} opt = {false, 50, 64, 1, 1.5, 0.2, 0.25, {-1, -1}};

static struct side sides[2];
static struct side *active; /* whose finished exchanges are followed by more */
static struct {
  uint64_t requests, latency[BUCKETS];
  double seconds, idle, cpu; /* in all; waiting; of the server */
  bool calm;                 /* nobody else took much of the machine */
} slice;                     /* the one under way */
static bool counting, verifying;
static size_t inflight, batch;
static char *pattern, *scratch;
static int poller, nap;

static void stop_servers(void) {
  process_stop(&sides[0].process);
  process_stop(&sides[1].process);
}

static _Noreturn void die(const struct side *s, const char *what, int error) {
  const char *who = s == &sides[1] ? "the reference" : "the server";
  printf("failed %s: %s%s%s\n", s ? who : "load", what, error ? ": " : "",
         error ? strerror(error) : "");
  exit(EXIT_FAILURE); /* stops the servers */
}

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- latencies: 64 buckets for each power of two ---- */

static void note(uint64_t ns) {
  unsigned top = 63 - (unsigned)__builtin_clzll(ns | 1);
  unsigned shift = top > 6 ? top - 6 : 0;
  slice.latency[shift * 64 + (unsigned)(ns >> shift)]++;
}

static double percentile(double p) { /* in us */
  uint64_t all = 0, seen = 0;
  for (unsigned i = 0; i < BUCKETS; i++) all += slice.latency[i];
  for (unsigned i = 0; i < BUCKETS; i++) {
    unsigned shift = i < 128 ? 0 : i / 64 - 1;
    seen += slice.latency[i];
    if (seen && (double)seen >= p * (double)all)
      return ((double)(i - shift * 64) + 0.5) * (double)(1ull << shift) / 1e3;
  }
  return 0;
}

/* ---- one exchange ---- */

/* Connects; where ports are used up fast, from one address after another. */
static void dial(struct conn *c) {
  static unsigned turn;
  struct sockaddr_in a = {.sin_family = AF_INET};
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die(NULL, "socket", errno);
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  if (opt.connect) {
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 256 + turn++ % SOURCES);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(c->fd, (struct sockaddr *)&a, sizeof a)) die(NULL, "bind", errno);
  }
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  a.sin_port = htons((uint16_t)c->side->process.port);
  if (connect(c->fd, (struct sockaddr *)&a, sizeof a) && errno != EINPROGRESS)
    die(c->side, "connect", errno);
}

static void watch(struct conn *c) {
  struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = c};
  if (!opt.connect || c->out) e.events |= EPOLLOUT;
  if (epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &e))
    die(NULL, "epoll_ctl", errno);
}

static void push(struct conn *c) {
  while (c->out) {
    const char *from = pattern + c->at + (batch - c->out);
    ssize_t n = send(c->fd, from, c->out, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) die(c->side, "send", errno);
    c->out -= (size_t)n;
  }
}

static void begin(struct conn *c) {
  bool fresh = c->fd < 0;
  c->since = now();
  c->at = (c->at + STEP) % PERIOD;
  c->out = c->in = batch;
  inflight++;
  if (fresh) dial(c);
  push(c); /* over loopback a connection is mostly there at once */
  if (fresh) watch(c);
}

static void finish(struct conn *c) {
  if (counting) {
    slice.requests += opt.depth;
    note(now() - c->since);
  }
  inflight--;
  if (opt.connect) {
    close(c->fd);
    c->fd = -1;
  }
  if (c->side == active) begin(c);
}

/*
** Takes what has come.  It asks for a byte more than is due, so a read is
** always short, which leaves the socket empty, and a surplus shows.
*/
static void pull(struct conn *c) {
  ssize_t n = recv(c->fd, scratch, batch + 1, verifying ? 0 : MSG_TRUNC);
  if (n < 0 && errno == EAGAIN) return;
  if (n < 0) die(c->side, "recv", errno);
  if (n == 0) die(c->side, "closed the connection", 0);
  if ((size_t)n > c->in) die(c->side, "sent more than it got", 0);
  if (verifying &&
      memcmp(scratch, pattern + c->at + (batch - c->in), (size_t)n) != 0)
    die(c->side, "sent other bytes than it got", 0);
  c->in -= (size_t)n;
  if (!c->in) finish(c);
}

/* ---- slices ---- */

static void pump(double seconds, bool until_idle) {
  struct epoll_event events[EVENTS];
  uint64_t t, last = now(), end = last + (uint64_t)(seconds * 1e9);
  do {
    int n = epoll_wait(poller, events, EVENTS, nap);
    for (int i = 0; i < n; i++) {
      struct conn *c = events[i].data.ptr;
      if (c->out) push(c);
      if (c->in && events[i].events & ~(uint32_t)EPOLLOUT) pull(c);
    }
    t = now();
    if (n <= 0 || nap) slice.idle += (double)(t - last) / 1e9;
    last = t;
  } while (t < end && !(until_idle && !inflight));
}

static void drain(const struct side *s) {
  active = NULL;
  pump(PATIENCE, true);
  if (inflight) die(s, "leaves requests unanswered", 0);
}

/* One exchange on every connection, each byte compared. */
static void set_up(struct side *s) {
  s->conns = calloc(opt.conns, sizeof *s->conns);
  if (!s->conns) die(NULL, "calloc", errno);
  verifying = true;
  for (size_t i = 0; i < opt.conns; i++) {
    s->conns[i] = (struct conn){.side = s, .fd = -1, .at = i * STEP % PERIOD};
    begin(&s->conns[i]);
  }
  drain(s);
}

static void count_slice(struct side *s) {
  struct account from, to;
  memset(&slice, 0, sizeof slice);
  process_account(&s->process, &from);
  uint64_t start = now();
  counting = true;
  pump(opt.slice, false);
  counting = false;
  slice.seconds = (double)(now() - start) / 1e9;
  process_account(&s->process, &to);
  slice.cpu = to.cpu - from.cpu;
  slice.calm = process_disturbance(&from, &to) <= DISTURBED * opt.slice;
}

/* Loads one side: every byte compared at first, then only counted. */
static void measure(struct side *s, double warm) {
  active = s;
  verifying = true;
  for (size_t i = 0; i < opt.conns; i++) begin(&s->conns[i]);
  pump(warm, false);
  verifying = false;
  count_slice(s);
}

static void print_slice(const struct side *s) {
  double requests = (double)slice.requests;
  printf("slice side=%d calm=%d rate=%.1f cpu_us=%.4f busy=%.3f idle=%.3f "
         "p50_us=%.2f p99_us=%.2f p999_us=%.2f\n",
         s == &sides[1], slice.calm, requests / slice.seconds,
         slice.cpu * 1e6 / requests, slice.cpu / slice.seconds,
         slice.idle / slice.seconds, percentile(0.5), percentile(0.99),
         percentile(0.999));
}

/*
** Measures a side until nobody disturbs, while there is time (spare slices)
** for it; a slice in which the server got nothing done is no slice at all.
*/
static void measure_calmly(struct side *s, double warm, int *spare) {
  measure(s, warm);
  for (int tries = 0; !slice.requests || (!slice.calm && *spare > 0); tries++) {
    if (tries == TRIES) die(s, "answers nothing", 0);
    drain(s);
    measure(s, REST);
    --*spare;
  }
}

/* Reference, server, reference ... reference, so that each slice of the
** server lies between two of the reference. */
static void alternate(void) {
  int pairs = (int)(opt.seconds / opt.slice + 0.5), spare = 2 * pairs;
  for (int i = 0; pairs > 0 && i <= 2 * pairs; i++) {
    struct side *s = &sides[i % 2 == 0];
    measure_calmly(s, i < 2 ? opt.warm : REST, &spare);
    print_slice(s);
    drain(s);
  }
}

/* ---- main ---- */

static void usage(void) {
  fputs("usage: load [-m echo|connect] [-c connections] [-s bytes] [-p depth]\n"
        "            [-d seconds] [-t slice] [-w warm-up] [-a core,core]\n"
        "            COMMAND REFERENCE\n",
        stderr);
  exit(2);
}

static size_t count(const char *s, size_t most) {
  unsigned long n = strtoul(s, NULL, 10);
  if (n < 1 || n > most) usage();
  return n;
}

static void options(int argc, char **argv) {
  int o;
  process_cores(opt.cores);
  while ((o = getopt(argc, argv, "m:c:s:p:d:t:w:a:")) != -1) switch (o) {
    case 'm':
      opt.connect = strcmp(optarg, "connect") == 0;
      break;
    case 'c':
      opt.conns = count(optarg, 20000);
      break;
    case 's':
      opt.size = count(optarg, 1 << 24);
      break;
    case 'p':
      opt.depth = count(optarg, 1024);
      break;
    case 'd':
      opt.seconds = atof(optarg);
      break;
    case 't':
      opt.slice = atof(optarg);
      break;
    case 'w':
      opt.warm = atof(optarg);
      break;
    case 'a':
      if (sscanf(optarg, "%d,%d", &opt.cores[0], &opt.cores[1]) == 2) break;
      usage();
      break;
    default:
      usage();
    }
  if (argc - optind != 2 || opt.slice < 0.01 || opt.seconds > 3600) usage();
}

static void prepare(void) {
  uint32_t x = 2463534242u;
  batch = opt.size * opt.depth;
  pattern = malloc(PERIOD + batch);
  scratch = malloc(batch + 1);
  poller = epoll_create1(EPOLL_CLOEXEC);
  if (!pattern || !scratch || poller < 0) die(NULL, "setup", errno);
  for (size_t i = 0; i < PERIOD + batch; i++) {
    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    pattern[i] = (char)x;
  }
}

int main(int argc, char **argv) {
  options(argc, argv);
  process_limits();
  atexit(stop_servers);
  alarm((unsigned)(60 + 8 * (opt.seconds + opt.warm))); /* never for ever */
  prepare();
  for (int i = 0; i < 2; i++)
    if (!process_start(&sides[i].process, argv[optind + i], opt.cores[0]))
      die(&sides[i], "does not start", 0);
  /* on a single core who spins would starve the server */
  nap = opt.cores[1] >= 0 && process_pin(opt.cores[1]) ? 0 : 10;
  set_up(&sides[0]);
  set_up(&sides[1]);
  alternate();
  return EXIT_SUCCESS;
}
