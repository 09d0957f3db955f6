/* collector: what a loop tells Lua's collector, to which each task is a stack
** that it looks at in every one of its rounds. */

#ifndef cs_collector_h
#define cs_collector_h

#include <lua.h>
#include <stddef.h>

typedef struct cs_Eased {
  int kbytes; /* taken off the collector's account since the last round */
  int base;   /* KiB of memory after that */
  int vain;   /* was it no use to make one? */
} cs_Eased;

void cs_ease(lua_State *L, size_t received, size_t tasks, cs_Eased *e);
void cs_tidy(lua_State *L);

#endif
