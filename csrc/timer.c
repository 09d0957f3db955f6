/* timer: the heap behind timer.h.  The slots carry the time beside the
** pointer, so that sifting compares neighbours in one array instead of
** following pointers into the owners. */

#include <errno.h>
#include <stdlib.h>

#include "timer.h"

typedef struct cs_TimerSlot {
  int64_t when;
  cs_Timer *timer;
} Slot;

static void put(Slot *heap, size_t i, Slot s) {
  heap[i] = s;
  s.timer->place = (uint32_t)(i + 1);
}

static void sift_up(Slot *heap, size_t i, Slot s) {
  while (i > 0) {
    size_t parent = (i - 1) / 2;
    if (heap[parent].when <= s.when) break;
    put(heap, i, heap[parent]);
    i = parent;
  }
  put(heap, i, s);
}

static void sift_down(Slot *heap, size_t count, size_t i, Slot s) {
  for (;;) {
    size_t child = 2 * i + 1;
    if (child >= count) break;
    if (child + 1 < count && heap[child + 1].when < heap[child].when) child++;
    if (s.when <= heap[child].when) break;
    put(heap, i, heap[child]);
    i = child;
  }
  put(heap, i, s);
}

/* Set, or move, a deadline: 0, or -ENOMEM with nothing changed. */
int cs_settimer(cs_Timers *timers, cs_Timer *t, int64_t when) {
  Slot s;
  if (t->place > 0) cs_cleartimer(timers, t); /* its slot is free again */
  if (timers->count == timers->size) {
    size_t size = timers->size > 0 ? timers->size * 2 : 16;
    Slot *heap = realloc(timers->heap, size * sizeof(Slot));
    if (heap == NULL) return -ENOMEM;
    timers->heap = heap;
    timers->size = size;
  }
  s.when = when;
  s.timer = t;
  sift_up(timers->heap, timers->count++, s);
  return 0;
}

/* Take a deadline out; one that is not in the heap is no error. */
void cs_cleartimer(cs_Timers *timers, cs_Timer *t) {
  Slot last;
  size_t i;
  if (t->place == 0) return;
  i = t->place - 1;
  t->place = 0;
  last = timers->heap[--timers->count];
  if (last.timer == t) return;
  if (i > 0 && last.when < timers->heap[(i - 1) / 2].when)
    sift_up(timers->heap, i, last);
  else
    sift_down(timers->heap, timers->count, i, last);
}

/* When a deadline that is in the heap passes: nanoseconds, monotonic. */
int64_t cs_when(const cs_Timers *timers, const cs_Timer *t) {
  return timers->heap[t->place - 1].when;
}

/* When the first one passes; INT64_MAX: there is none. */
int64_t cs_earliest(const cs_Timers *timers) {
  return timers->count > 0 ? timers->heap[0].when : INT64_MAX;
}

cs_Timer *cs_firsttimer(const cs_Timers *timers) {
  return timers->count > 0 ? timers->heap[0].timer : NULL;
}

void cs_freetimers(cs_Timers *timers) {
  free(timers->heap);
  timers->heap = NULL;
  timers->count = timers->size = 0;
}
