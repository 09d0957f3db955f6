/* resolver: a resolver for spec/resolve_spec.lua, preloaded into a child.  It
** knows a few names, and answers for slow.test (for port 7777; and for
** late.test, whose answer comes when the program has ended) when the file $GATE is there.  It counts,
** by the sizes of $GATE.in and $GATE.threads, the look-ups that had to wait for
** it, and the threads that were started.  Whatever else it is asked, the real
** one answers.  No thread can be started while $GATE.none is there. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_int inside, ending;

static void *real(const char *name) {
  return dlsym(RTLD_NEXT, name);
}

static void count(const char *what) {
  char path[4096];
  int fd;
  snprintf(path, sizeof path, "%s.%s", getenv("GATE"), what);
  fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (fd < 0 || write(fd, "x", 1) != 1) abort();
  close(fd);
}

static void wait_at_gate(int late) {
  atomic_fetch_add(&inside, 1);
  count("in");
  while (!atomic_load(&ending) && (late || access(getenv("GATE"), F_OK) != 0))
    usleep(1000);
  atomic_fetch_sub(&inside, 1);
}

/* Late answers: the program has ended, and the Lua state with it. */
__attribute__((destructor)) static void finish(void) {
  if (atomic_load(&inside) == 0) return;
  atomic_store(&ending, 1);
  while (atomic_load(&inside) > 0) usleep(1000);
  usleep(100000); /* for the thread to do what it does with the answer */
}

/* Does no signal reach this thread (but those that cannot be blocked)? */
static int is_deaf(void) {
  static const int some[] = {SIGINT, SIGTERM, SIGCHLD, SIGALRM, SIGUSR1};
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  for (size_t i = 0; i < sizeof some / sizeof *some; i++)
    if (!sigismember(&mask, some[i])) return 0;
  return 1;
}

int getaddrinfo(const char *host, const char *service,
                const struct addrinfo *hints, struct addrinfo **list) {
  int (*ask)(const char *, const char *, const struct addrinfo *,
             struct addrinfo **) = real("getaddrinfo");
  const char *known = "127.0.0.1";
  if (host == NULL || (hints != NULL && (hints->ai_flags & AI_NUMERICHOST)))
    return ask(host, service, hints, list);
  if (strcmp(host, "slow.test") == 0)
    wait_at_gate(0);
  else if (strcmp(host, "late.test") == 0)
    wait_at_gate(1);
  else if (strcmp(host, "mask.test") == 0 && !is_deaf())
    return EAI_FAIL;
  else if (strcmp(host, "fast.test") != 0 && strcmp(host, "mask.test") != 0)
    known = host;
  return ask(known, service, hints, list);
}

int getnameinfo(const struct sockaddr *sa, socklen_t len, char *host,
                socklen_t hostlen, char *service, socklen_t servicelen,
                int flags) {
  int (*ask)(const struct sockaddr *, socklen_t, char *, socklen_t, char *,
             socklen_t, int) = real("getnameinfo");
  const struct sockaddr_in *in = (const void *)sa;
  if (sa->sa_family == AF_INET && ntohl(in->sin_addr.s_addr) == 0xc000024d)
    wait_at_gate(0); /* 192.0.2.77 */
  return ask(sa, len, host, hostlen, service, servicelen, flags);
}

int getservbyname_r(const char *name, const char *protocol,
                    struct servent *entry, char *buffer, size_t size,
                    struct servent **found) {
  int (*ask)(const char *, const char *, struct servent *, char *, size_t,
             struct servent **) = real("getservbyname_r");
  if (strcmp(name, "slow.test") == 0) wait_at_gate(0);
  return ask(name, protocol, entry, buffer, size, found);
}

int getservbyport_r(int port, const char *protocol, struct servent *entry,
                    char *buffer, size_t size, struct servent **found) {
  int (*ask)(int, const char *, struct servent *, char *, size_t,
             struct servent **) = real("getservbyport_r");
  if (ntohs((uint16_t)port) == 7777) wait_at_gate(0);
  return ask(port, protocol, entry, buffer, size, found);
}

int getprotobyname_r(const char *name, struct protoent *entry, char *buffer,
                     size_t size, struct protoent **found) {
  int (*ask)(const char *, struct protoent *, char *, size_t,
             struct protoent **) = real("getprotobyname_r");
  if (strcmp(name, "slow.test") == 0) wait_at_gate(0);
  return ask(name, entry, buffer, size, found);
}

int pthread_create(pthread_t *id, const pthread_attr_t *attr,
                   void *(*work)(void *), void *arg) {
  int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                void *) = real("pthread_create");
  char none[4096];
  snprintf(none, sizeof none, "%s.none", getenv("GATE"));
  if (access(none, F_OK) == 0) return EAGAIN;
  count("threads");
  return create(id, attr, work, arg);
}
