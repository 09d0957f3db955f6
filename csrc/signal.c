/* signal: the names of signals, which POSIX has no function for.  Rows of data
** and nothing else; who watches them is process's affair, what is done about
** them lua/csock/signal.lua's.
** Invariant: one number has one name. */

#define _GNU_SOURCE /* all of them */
#include <lauxlib.h>
#include <signal.h>

#include "signal.h"

static const struct {
  const char *name;
  int signo;
} names[] = {
    {"ABRT", SIGABRT},     {"ALRM", SIGALRM}, {"BUS", SIGBUS},
    {"CHLD", SIGCHLD},     {"CONT", SIGCONT}, {"FPE", SIGFPE},
    {"HUP", SIGHUP},       {"ILL", SIGILL},   {"INT", SIGINT},
    {"KILL", SIGKILL},     {"PIPE", SIGPIPE}, {"PROF", SIGPROF},
    {"QUIT", SIGQUIT},     {"SEGV", SIGSEGV}, {"STOP", SIGSTOP},
    {"SYS", SIGSYS},       {"TERM", SIGTERM}, {"TRAP", SIGTRAP},
    {"TSTP", SIGTSTP},     {"TTIN", SIGTTIN}, {"TTOU", SIGTTOU},
    {"URG", SIGURG},       {"USR1", SIGUSR1}, {"USR2", SIGUSR2},
    {"VTALRM", SIGVTALRM}, {"XCPU", SIGXCPU}, {"XFSZ", SIGXFSZ},
#if defined(SIGINFO)
    {"INFO", SIGINFO},
#endif
#if defined(SIGIO)
    {"IO", SIGIO},
#endif
#if defined(SIGPWR)
    {"PWR", SIGPWR},
#endif
#if defined(SIGSTKFLT)
    {"STKFLT", SIGSTKFLT},
#endif
#if defined(SIGWINCH)
    {"WINCH", SIGWINCH},
#endif
};

/* Adds core.signals, a table from names to numbers. */
void cs_open_signal(lua_State *L) {
  size_t count = sizeof names / sizeof *names;
  lua_createtable(L, 0, (int)count);
  for (size_t i = 0; i < count; i++) {
    lua_pushinteger(L, names[i].signo);
    lua_setfield(L, -2, names[i].name);
  }
  lua_setfield(L, -2, "signals");
}
