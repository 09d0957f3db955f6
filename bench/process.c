/*
** process: starting, watching and ending the servers under measurement.
** It knows nothing of sockets and sends no load.
**
** Invariant: no server outlives the program that started it, however that
** ends; the kernel sees to it (PR_SET_PDEATHSIG).
*/

#define _GNU_SOURCE
#include "process.h"
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { START_MS = 10000, STOP_MS = 1000, MOST_FILES = 65536 };

static const double WAKE = 1e-4; /* seconds from a wake-up to the core */

/* ---- cores ---- */

/* A number out of a core's description; cores that differ in it are apart. */
static int topology(int core, const char *what) {
  char path[96];
  int value = core;
  snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/%s", core,
           what);
  FILE *f = fopen(path, "r");
  if (f) {
    if (fscanf(f, "%d", &value) != 1) value = core;
    fclose(f);
  }
  return value;
}

static bool apart(int a, int b) {
  return topology(a, "core_id") != topology(b, "core_id") ||
         topology(a, "physical_package_id") !=
             topology(b, "physical_package_id");
}

/* The first allowed core and the first that shares nothing with it, or at
** least another thread of the same. */
bool process_cores(int cores[2]) {
  cpu_set_t mine;
  cores[0] = cores[1] = -1;
  if (sched_getaffinity(0, sizeof mine, &mine)) return false;
  for (int i = 0; i < CPU_SETSIZE; i++) {
    if (!CPU_ISSET((size_t)i, &mine)) continue;
    if (cores[0] < 0)
      cores[0] = i;
    else if (apart(cores[0], i))
      return cores[1] = i, true;
    else if (cores[1] < 0)
      cores[1] = i;
  }
  return cores[1] >= 0;
}

bool process_pin(int core) {
  cpu_set_t one;
  if (core < 0 || core >= CPU_SETSIZE) return false;
  CPU_ZERO(&one);
  CPU_SET((size_t)core, &one);
  return sched_setaffinity(0, sizeof one, &one) == 0;
}

/* ---- life and death ---- */

/* As many descriptors as one may have; and no life after the parent's. */
void process_limits(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
    r.rlim_cur = r.rlim_max < MOST_FILES ? r.rlim_max : MOST_FILES;
    setrlimit(RLIMIT_NOFILE, &r);
  }
  prctl(PR_SET_PDEATHSIG, SIGTERM);
}

static _Noreturn void become(const char *command, int core, int out,
                             pid_t parent) {
  int null = open("/dev/null", O_RDONLY);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(EXIT_FAILURE);
  if (core >= 0) process_pin(core);
  if (null >= 0) dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  execl("/bin/sh", "sh", "-c", command, (char *)NULL);
  _exit(127);
}

/* The first line a server prints is its port; 0 when it prints none. */
static int read_port(int fd) {
  char line[16] = "";
  struct pollfd p = {.fd = fd, .events = POLLIN};
  for (size_t n = 0; n < sizeof line - 1; n++) {
    if (poll(&p, 1, START_MS) != 1 || read(fd, line + n, 1) != 1) return 0;
    if (line[n] == '\n') return atoi(line);
  }
  return 0;
}

bool process_start(struct process *p, const char *command, int core) {
  char shell[4096];
  int out[2];
  pid_t parent = getpid();
  snprintf(shell, sizeof shell, "exec %s", command);
  if (pipe2(out, O_CLOEXEC)) return false;
  fflush(stdout);
  p->pid = fork();
  if (p->pid == 0) become(shell, core, out[1], parent);
  close(out[1]); /* the other end stays open: no SIGPIPE for who prints more */
  p->port = p->pid > 0 ? read_port(out[0]) : 0;
  return p->port > 0 && clock_getcpuclockid(p->pid, &p->clock) == 0;
}

void process_stop(struct process *p) {
  const struct timespec step = {.tv_nsec = 5000000};
  if (p->pid <= 0) return;
  kill(p->pid, SIGTERM);
  for (int ms = 0; ms < STOP_MS; ms += 5) {
    if (waitpid(p->pid, NULL, WNOHANG)) return;
    nanosleep(&step, NULL);
  }
  kill(p->pid, SIGKILL);
  waitpid(p->pid, NULL, 0);
}

/* ---- accounts ---- */

static double cpu_time(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) return 0;
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of the main thread, which is the one that serves. */
static void waits(pid_t pid, double *delay, double *runs) {
  unsigned long long ran, waited, times;
  char path[48];
  *delay = *runs = 0;
  snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
  FILE *f = fopen(path, "r");
  if (!f) return;
  if (fscanf(f, "%llu %llu %llu", &ran, &waited, &times) == 3) {
    *delay = (double)waited / 1e9;
    *runs = (double)times;
  }
  fclose(f);
}

static double stolen(void) {
  unsigned long long ticks = 0;
  FILE *f = fopen("/proc/stat", "r");
  if (!f) return 0;
  if (fscanf(f, "cpu %*u %*u %*u %*u %*u %*u %*u %llu", &ticks) != 1) ticks = 0;
  fclose(f);
  return (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

void process_account(const struct process *p, struct account *a) {
  a->cpu = cpu_time(p->clock);
  a->stolen = stolen();
  waits(p->pid, &a->server.delay, &a->server.runs);
  waits(getpid(), &a->self.delay, &a->self.runs);
}

/* Waking up takes its time on an idle machine too: that is nobody's fault. */
static double excess(double delay, double runs) {
  double more = delay - runs * WAKE;
  return more > 0 ? more : 0;
}

double process_disturbance(const struct account *from,
                           const struct account *to) {
  return to->stolen - from->stolen +
         excess(to->server.delay - from->server.delay,
                to->server.runs - from->server.runs) +
         excess(to->self.delay - from->self.delay,
                to->self.runs - from->self.runs);
}
