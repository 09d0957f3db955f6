/* poller: chooses the backend by probe, best first; CSOCK_POLLER=name takes
** that one or fails.  Knows no kernel interface itself. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "poller.h"

static const cs_PollerOps *const backends[] = {
#if defined(__linux__)
    &cs_poller_epoll,
#endif
    &cs_poller_poll,
};

/* Open 'p' with the first backend that works: 0 or -errno. */
int cs_openpoller(cs_Poller *p) {
  const char *wanted = getenv("CSOCK_POLLER");
  int err = -EINVAL; /* a name that nobody answers to */
  for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
    if (wanted != NULL && *wanted != '\0' &&
        strcmp(wanted, backends[i]->name) != 0)
      continue;
    err = backends[i]->open(p);
    if (err == 0) {
      p->ops = backends[i];
      return 0;
    }
  }
  return err;
}

void cs_closepoller(cs_Poller *p) {
  if (p->ops == NULL) return;
  p->ops->close(p);
  p->ops = NULL;
}
