/* sys: the few things of the operating system that every floor needs, without
** Lua: a clock, descriptor flags, waiting for one descriptor, signals,
** processes.  It keeps no state but the table of watched signals (see sys.c),
** and reports failure as -errno. */

#ifndef cs_sys_h
#define cs_sys_h

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CS_FOREVER INT64_MAX /* the deadline that never comes */
#define CS_SECOND  INT64_C(1000000000)

/* what a descriptor can be ready for */
enum {
  CS_READ = 1,
  CS_WRITE = 2,
  CS_END = 4,   /* the peer has finished: a read will not block again */
  CS_URGENT = 8 /* urgent data: a short read says nothing about the queue */
};

int64_t cs_now(void);
int64_t cs_deadline(int64_t timeout);
int cs_setnonblock(int fd, int on);
int cs_getnonblock(int fd);
int cs_waitfd(int fd, int want, int64_t deadline);
int cs_waitfds(struct pollfd *p, size_t count, int64_t deadline);
int cs_setinheritable(int fd, int on);
int cs_getinheritable(int fd);
int cs_closefd(int fd);
int cs_dup(int fd);
int cs_pipe(int fds[2]);
ssize_t cs_sendfile(int to, int from, int64_t offset, size_t count);

int cs_watchsignal(int signo, int fd);
void cs_unwatchsignal(int signo, int fd);
void cs_signalread(int signo);
int cs_signalisfree(int signo);
int cs_ignoresignal(int signo);

pid_t cs_fork(void);
int cs_openpid(pid_t pid);
int cs_othersrun(void);
int cs_cpus(void);

#endif
