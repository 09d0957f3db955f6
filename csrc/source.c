/* source: descriptors as the loop sees them, and what the poller knows of them.
** Not here: who waits, and for how long (loop).
** Invariant: a slot holds the source that the poller watches under its number,
** and an event reaches it only with the generation it was watched in. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loop.h"

typedef cs_Slot Slot;

void cs_opensource(cs_Source *s, int fd) {
  s->fd = fd;
  s->watched = s->idle = s->wary = s->shared = s->chatty = 0;
  cs_initlist(&s->readers);
  cs_initlist(&s->writers);
}

/* Let whoever waits for a source try again. */
void cs_wakesource(cs_Loop *loop, cs_Source *s) {
  cs_wakeall(loop, &s->readers, CS_GO);
  cs_wakeall(loop, &s->writers, CS_GO);
}

/* Let go of the descriptor, which the caller closes or gives away; whoever
** waits for it is woken, tries again, and finds EBADF. */
void cs_closesource(cs_Loop *loop, cs_Source *s) {
  int fd = s->fd;
  s->fd = -1;
  s->idle = 0; /* or a read to come would wait, for nothing */
  if (s->watched) {
    loop->slots[fd].source = NULL;
    s->watched = 0;
    if (!loop->poller.ops->persistent)
      loop->poller.ops->forget(&loop->poller, fd);
  }
  cs_wakesource(loop, s);
}

static int grow_slots(cs_Loop *loop, size_t fd) {
  size_t n = loop->nslots > 0 ? loop->nslots * 2 : 64;
  Slot *slots;
  while (n <= fd) n *= 2;
  slots = calloc(n, sizeof(Slot)); /* what is not used yet takes no memory */
  if (slots == NULL) return -ENOMEM;
  if (loop->slots != NULL)
    memcpy(slots, loop->slots, loop->nslots * sizeof(Slot));
  free(loop->slots);
  loop->slots = slots;
  loop->nslots = n;
  return 0;
}

/* Two sources on one descriptor, as when a number was adopted twice, or closed
** by somebody else: the poller can serve one, the newer.  Whoever waits for
** the other is told. */
static void displace(cs_Loop *loop, cs_Source *s) {
  s->watched = 0;
  cs_wakeall(loop, &s->readers, CS_WOKEN);
  cs_wakeall(loop, &s->writers, CS_WOKEN);
}

/* Tell the poller about a source: 0 or -errno. */
int cs_watch(cs_Loop *loop, cs_Source *s, int want) {
  Slot *slot;
  size_t fd = (size_t)s->fd;
  int err;
  if ((s->watched & want) == want && loop->poller.ops->persistent) return 0;
  if (fd >= loop->nslots && (err = grow_slots(loop, fd)) != 0) return err;
  slot = &loop->slots[fd];
  if (!s->watched) slot->generation++;
  if (s->shared)
    want |= CS_SHARED;
  else if (s->chatty)
    want |= CS_CHATTY | (loop->poller.ops->persistent ? s->watched : 0);
  err = loop->poller.ops->watch(&loop->poller, s->fd,
                                (uint64_t)slot->generation << 32 | fd, want);
  if (err != 0) return err;
  if (slot->source != NULL && slot->source != s) displace(loop, slot->source);
  slot->source = s;
  s->watched = CS_READ | CS_WRITE;
  if (want & CS_CHATTY) s->watched &= (unsigned char)want;
  return 0;
}

/* An event that the poller has reported. */
void cs_deliver(cs_Loop *loop, const cs_Ready *r) {
  Slot *slot = &loop->slots[r->tag & UINT32_MAX];
  cs_Source *s = slot->source;
  /* the poller may still report a descriptor that was closed, or whose open
  ** file lives on in another process under a number that is ours again */
  if (s == NULL || slot->generation != (uint32_t)(r->tag >> 32)) return;
  if (r->what & CS_READ) s->idle = 0;
  if (r->what & (CS_END | CS_URGENT)) s->wary = 1;
  if (r->what & CS_READ) cs_wakeall(loop, &s->readers, CS_GO);
  if (r->what & CS_WRITE) cs_wakeall(loop, &s->writers, CS_GO);
}
