/* sys: clock, descriptors, signals and processes of a POSIX system; the `#if`s
** for an operating system live here and nowhere else.  Not here: readiness of
** many descriptors (poller), anything that knows Lua.
** Invariant: every descriptor made here is close-on-exec, every wait is
** against an absolute deadline of the monotonic clock in nanoseconds.
**
** The table of watched signals is the one piece of process-wide state in
** csock: a signal's disposition belongs to the process, and a handler can
** reach nothing but a static object. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#if defined(__linux__)
#include <sys/sendfile.h>
#include <sys/syscall.h>
#endif
#include <time.h>
#include <unistd.h>

#include "sys.h"

/* Nanoseconds of the monotonic clock. */
int64_t cs_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * CS_SECOND + t.tv_nsec;
}

/* The moment 'timeout' nanoseconds from now; a negative timeout is none. */
int64_t cs_deadline(int64_t timeout) {
  int64_t now;
  if (timeout < 0) return CS_FOREVER;
  now = cs_now();
  return timeout < CS_FOREVER - now ? now + timeout : CS_FOREVER;
}

int cs_getnonblock(int fd) {
  int flags = fcntl(fd, F_GETFL);
  return flags < 0 ? -errno : (flags & O_NONBLOCK) != 0;
}

int cs_setnonblock(int fd, int on) {
  return ioctl(fd, FIONBIO, &on) < 0 ? -errno : 0;
}

int cs_getinheritable(int fd) {
  int flags = fcntl(fd, F_GETFD);
  return flags < 0 ? -errno : (flags & FD_CLOEXEC) == 0;
}

int cs_setinheritable(int fd, int on) {
  return fcntl(fd, F_SETFD, on ? 0 : FD_CLOEXEC) < 0 ? -errno : 0;
}

/* Milliseconds for poll(2) until 'deadline': rounded up, since to wake too
** early costs a turn, and cut to what an int holds, since the caller looks at
** the clock again anyway. */
static int milliseconds(int64_t deadline) {
  int64_t left;
  if (deadline == CS_FOREVER) return -1;
  left = deadline - cs_now();
  if (left <= 0) return 0;
  left = (left + 999999) / 1000000;
  return left < 1000000000 ? (int)left : 1000000000;
}

/* poll(2) until a deadline: how many are ready, 0 deadline passed, -EINTR, or
** another -errno. */
int cs_waitfds(struct pollfd *p, size_t count, int64_t deadline) {
  for (;;) {
    int n = poll(p, (nfds_t)count, milliseconds(deadline));
    if (n != 0) return n > 0 ? n : -errno;
    if (deadline != CS_FOREVER && cs_now() >= deadline) return 0;
  }
}

/* Wait for one descriptor (none when fd < 0): 1 ready, 0 deadline passed,
** -EINTR, or another -errno. */
int cs_waitfd(int fd, int want, int64_t deadline) {
  struct pollfd p;
  int n;
  p.fd = fd;
  p.events =
      (short)((want & CS_READ ? POLLIN : 0) | (want & CS_WRITE ? POLLOUT : 0));
  p.revents = 0;
  n = cs_waitfds(&p, 1, deadline);
  return n > 0 && (p.revents & POLLNVAL) ? -EBADF : n;
}

/* close(2).  After EINTR Linux has closed the descriptor, and to try again
** could close another thread's; ECONNRESET says nothing about the close. */
int cs_closefd(int fd) {
  if (close(fd) == 0 || errno == EINTR || errno == ECONNRESET) return 0;
  return -errno;
}

/* Another number for the same open file. */
int cs_dup(int fd) {
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
  return copy < 0 ? -errno : copy;
}

int cs_pipe(int fds[2]) {
  return pipe2(fds, O_CLOEXEC | O_NONBLOCK) < 0 ? -errno : 0;
}

#if defined(__linux__)
/* Send up to 'count' bytes of the file 'from', 'offset' bytes into it, to the
** socket 'to', without moving the file's own position: how many went, 0 at the
** file's end, or -errno.  Unlike send it has no MSG_NOSIGNAL; so the signal is
** held back, and taken out of the way if it was this call's.  (sendfile(2)) */
ssize_t cs_sendfile(int to, int from, int64_t offset, size_t count) {
  const struct timespec now = {0, 0};
  sigset_t sigpipe, before, pending;
  off_t at = (off_t)offset;
  ssize_t n;
  sigemptyset(&sigpipe);
  sigaddset(&sigpipe, SIGPIPE);
  sigemptyset(&pending);
  pthread_sigmask(SIG_BLOCK, &sigpipe, &before);
  if (sigismember(&before, SIGPIPE)) sigpending(&pending);
  n = sendfile(to, from, &at, count);
  if (n < 0) n = -errno;
  if (n == -EPIPE && !sigismember(&pending, SIGPIPE))
    while (sigtimedwait(&sigpipe, NULL, &now) < 0 && errno == EINTR) continue;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return n;
}
#else
/* Elsewhere it has other arguments, if it is there at all. */
ssize_t cs_sendfile(int to, int from, int64_t offset, size_t count) {
  (void)to, (void)from, (void)offset, (void)count;
  return -ENOSYS;
}
#endif

/*
** Signals: a handler that writes the number to the pipes of all who watch it.
*/

#define MAXWATCH 64 /* watches in one process; one a server is usual */
#define PATIENCE 2  /* signals that may wait to be read */

static struct {
  pthread_mutex_t lock;
  _Atomic int fd[MAXWATCH]; /* write end of a watcher's pipe, plus one */
  _Atomic int signo[MAXWATCH];
  _Atomic int unread[NSIG];      /* since a watcher last read this signal */
  struct sigaction before[NSIG]; /* to be put back by the last watcher */
} signals = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Signals by which people end a program. */
static int asks_to_end(int signo) {
  return signo == SIGINT || signo == SIGTERM || signo == SIGQUIT;
}

/* When nobody reads, since the program computes and never comes to wait, the
** third time of asking ends it: that is what these signals do by default, or by
** an interpreter's hook, which would not reach a coroutine. */
static void on_signal(int signo) {
  int saved = errno;
  unsigned char byte = (unsigned char)signo;
  if (asks_to_end(signo) &&
      atomic_fetch_add(&signals.unread[signo], 1) >= PATIENCE) {
    signal(signo, SIG_DFL);
    raise(signo);
  }
  for (int i = 0; i < MAXWATCH; i++) {
    int fd = atomic_load(&signals.fd[i]);
    if (fd != 0 && atomic_load(&signals.signo[i]) == signo) {
      ssize_t n = write(fd - 1, &byte, 1); /* a full pipe tells enough */
      (void)n;
    }
  }
  errno = saved;
}

static int watchers(int signo) {
  int n = 0;
  for (int i = 0; i < MAXWATCH; i++)
    n += atomic_load(&signals.fd[i]) != 0 &&
         atomic_load(&signals.signo[i]) == signo;
  return n;
}

/* From now on each 'signo' writes its number as a byte to 'fd'. */
int cs_watchsignal(int signo, int fd) {
  int i = 0, err = 0;
  pthread_mutex_lock(&signals.lock);
  while (i < MAXWATCH && atomic_load(&signals.fd[i]) != 0) i++;
  if (i == MAXWATCH)
    err = -ENOSPC;
  else {
    int first = watchers(signo) == 0;
    atomic_store(&signals.signo[i], signo);
    atomic_store(&signals.fd[i], fd + 1);
    if (first) {
      struct sigaction act;
      memset(&act, 0, sizeof act);
      act.sa_handler = on_signal;
      sigemptyset(&act.sa_mask);
      if (sigaction(signo, &act, &signals.before[signo]) < 0) {
        err = -errno;
        atomic_store(&signals.fd[i], 0);
      }
    }
  }
  pthread_mutex_unlock(&signals.lock);
  return err;
}

/* A watcher has taken note of the signal. */
void cs_signalread(int signo) {
  atomic_store(&signals.unread[signo], 0);
}

/* Undo cs_watchsignal; the last to go puts the old disposition back. */
void cs_unwatchsignal(int signo, int fd) {
  pthread_mutex_lock(&signals.lock);
  for (int i = 0; i < MAXWATCH; i++) {
    if (atomic_load(&signals.fd[i]) == fd + 1 &&
        atomic_load(&signals.signo[i]) == signo) {
      atomic_store(&signals.unread[signo], 0);
      if (watchers(signo) == 1) sigaction(signo, &signals.before[signo], NULL);
      atomic_store(&signals.fd[i], 0);
      break;
    }
  }
  pthread_mutex_unlock(&signals.lock);
}

/* The stand-alone interpreter has a SIGINT handler of its own while a script
** runs.  A handler is taken for that one when its code lies in a program
** called lua, lua5.4, lua54... */
static int is_interpreter(void (*handler)(int)) {
  Dl_info info;
  void *code;
  const char *name;
  memcpy(&code, &handler, sizeof code); /* ISO C has no such cast */
  if (dladdr(code, &info) == 0 || info.dli_fname == NULL) return 0;
  name = strrchr(info.dli_fname, '/');
  name = name != NULL ? name + 1 : info.dli_fname;
  if (strncmp(name, "lua", 3) != 0) return 0;
  return name[3 + strspn(name + 3, "0123456789.-")] == '\0';
}

/* May csock take this signal: is its disposition the default, the stand-alone
** interpreter's, or already ours? */
int cs_signalisfree(int signo) {
  struct sigaction now;
  if (sigaction(signo, NULL, &now) < 0) return 0;
  if (now.sa_flags & SA_SIGINFO) return 0;
  return now.sa_handler == SIG_DFL || now.sa_handler == on_signal ||
         (now.sa_handler != SIG_IGN && is_interpreter(now.sa_handler));
}

/* From now on 'signo' does nothing, if it is free to be taken: 0 or -errno. */
int cs_ignoresignal(int signo) {
  if (!cs_signalisfree(signo)) return 0;
  return signal(signo, SIG_IGN) == SIG_ERR ? -errno : 0;
}

/*
** Processes
*/

/* Nothing in this process watches signals any more: the pipes of those who did
** are the parent's, who would take our signals for its own. */
static void forget_signals(void) {
  pthread_mutex_init(&signals.lock, NULL); /* who held it is not here */
  for (int i = 0; i < MAXWATCH; i++) {
    int signo = atomic_load(&signals.signo[i]);
    if (atomic_load(&signals.fd[i]) == 0) continue;
    sigaction(signo, &signals.before[signo], NULL);
    atomic_store(&signals.unread[signo], 0);
    atomic_store(&signals.fd[i], 0);
  }
}

/* fork(2): the child's number, in the child 0, or -errno.  No signal comes to
** the child before the parent's watches are forgotten there. */
pid_t cs_fork(void) {
  sigset_t everything, before;
  pid_t pid;
  sigfillset(&everything);
  pthread_sigmask(SIG_SETMASK, &everything, &before);
  pid = fork();
  if (pid < 0)
    pid = -errno;
  else if (pid == 0)
    forget_signals();
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  return pid;
}

/* A descriptor that can be read when the process 'pid' has ended, or -errno;
** -ENOSYS where there is no such thing, and where a poller without a kernel's
** help is asked for, so that what stands in for it can be tried everywhere.
** (pidfd_open(2)) */
int cs_openpid(pid_t pid) {
#if defined(SYS_pidfd_open)
  const char *poller = getenv("CSOCK_POLLER");
  int fd;
  if (poller != NULL && strcmp(poller, "poll") == 0) return -ENOSYS;
  fd = (int)syscall(SYS_pidfd_open, pid, 0); /* close-on-exec from birth */
  return fd < 0 ? -errno : fd;
#else
  (void)pid;
  return -ENOSYS;
#endif
}

/* Is a thread of this process, by its directory's name, running or ready to? */
static int runs(int tasks, const char *id) {
  char path[32], stat[128], *state;
  ssize_t n;
  int fd;
  snprintf(path, sizeof path, "%.16s/stat", id);
  fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  n = read(fd, stat, sizeof stat - 1);
  cs_closefd(fd);
  stat[n > 0 ? n : 0] = '\0';
  state = strrchr(stat, ')'); /* a name may have anything in it */
  return state != NULL && strncmp(state, ") R", 3) == 0;
}

/* Does another thread of this process run at this moment, or wait for nothing
** but a processor?  0 where the system does not tell.  (proc(5)) */
int cs_othersrun(void) {
  DIR *tasks = opendir("/proc/self/task");
  struct dirent *entry;
  int count = 0;
  if (tasks == NULL) return 0;
  while ((entry = readdir(tasks)) != NULL)
    if (entry->d_name[0] != '.') count += runs(dirfd(tasks), entry->d_name);
  closedir(tasks);
  return count > 1; /* this one does */
}

/* How many processors this process may use; at least 1.
** (sched_getaffinity(2)) */
int cs_cpus(void) {
  long n;
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
  n = sysconf(_SC_NPROCESSORS_ONLN);
  return n < 1 ? 1 : (int)n;
}
