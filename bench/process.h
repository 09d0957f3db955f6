/*
** process: a server under measurement as the generator sees it from outside:
** a command that prints its port, a CPU clock, a core.
*/

#ifndef bench_process_h
#define bench_process_h

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

struct process {
  pid_t pid;
  int port;
  clockid_t clock; /* the CPU time of all its threads */
};

/* Two different physical cores where there are; false on a single one. */
bool process_cores(int cores[2]);
bool process_pin(int core);

void process_limits(void);
bool process_start(struct process *p, const char *command, int core);
void process_stop(struct process *p);

/* The system's accounts of a server, and of who asks, at one moment. */
struct account {
  double cpu;    /* seconds used by the server, user's and system's */
  double stolen; /* seconds that a hypervisor took from all cores */
  struct {
    double delay; /* seconds ready to run while another had the core */
    double runs;  /* how often it was given the core */
  } server, self;
};

void process_account(const struct process *p, struct account *a);

/* Seconds between two accounts that others on the machine have taken. */
double process_disturbance(const struct account *from,
                           const struct account *to);

#endif
