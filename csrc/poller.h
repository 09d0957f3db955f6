/* poller: the seam between the loop and the kernel's way to wait for many
** descriptors.  A backend is one table of functions in one file; kernel
** constants never leave that file.
**
** watch() asks to be told, at least once, when 'fd' becomes ready for 'want',
** and at once if it is so already.  A persistent backend needs it only the
** first time for a descriptor (with CS_CHATTY: the first time for each 'want',
** which then has the earlier ones, too) and goes on telling every change; the
** others forget a descriptor with each report.  The tag comes back with the
** report: the loop uses it to tell a descriptor from an older one of the same
** number. */

#ifndef cs_poller_h
#define cs_poller_h

#include <stdint.h>

#include "sys.h"

/* added to 'want': processes share the descriptor, and not all of them need be
** woken for each event; for reading only */
#define CS_SHARED 16
/* each write makes it writable again, which nobody need be told but in 'want'
 */
#define CS_CHATTY 32

typedef struct cs_Ready {
  uint64_t tag;
  int what; /* CS_READ | CS_WRITE | CS_END | CS_URGENT */
} cs_Ready;

typedef struct cs_Poller cs_Poller;

typedef struct cs_PollerOps {
  const char *name;
  int persistent;
  int (*open)(cs_Poller *p);
  int (*watch)(cs_Poller *p, int fd, uint64_t tag, int want);
  void (*forget)(cs_Poller *p, int fd);
  /* fills 'out', returns how many; 0 when 'ms' milliseconds have passed (-1:
  ** never), -EINTR, or another -errno */
  int (*wait)(cs_Poller *p, cs_Ready *out, int max, int ms);
  void (*close)(cs_Poller *p);
  /* a new descriptor, readable when one of these is what its events say:
  ** `fd`s below 0 are none; or -errno.  NULL: there is no such thing */
  int (*group)(const struct pollfd *fds, size_t count);
} cs_PollerOps;

struct cs_Poller {
  const cs_PollerOps *ops; /* NULL: not open */
  int fd;
  void *state;
};

extern const cs_PollerOps cs_poller_epoll, cs_poller_poll;

int cs_openpoller(cs_Poller *p);
void cs_closepoller(cs_Poller *p);

#endif
