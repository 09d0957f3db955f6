/* timer: deadlines in a binary heap, the earliest first.  It knows neither
** clocks nor tasks.
** Invariant: a cs_Timer with place > 0 sits in the heap at place - 1. */

#ifndef cs_timer_h
#define cs_timer_h

#include <stddef.h>
#include <stdint.h>

typedef struct cs_Timer {
  uint32_t place; /* position in the heap plus one; 0 = not in it */
} cs_Timer;

typedef struct cs_Timers {
  struct cs_TimerSlot *heap;
  size_t count, size;
} cs_Timers;

int cs_settimer(cs_Timers *timers, cs_Timer *t, int64_t when);
void cs_cleartimer(cs_Timers *timers, cs_Timer *t);
cs_Timer *cs_firsttimer(const cs_Timers *timers);
int64_t cs_earliest(const cs_Timers *timers);
int64_t cs_when(const cs_Timers *timers, const cs_Timer *t);
void cs_freetimers(cs_Timers *timers);

#endif
