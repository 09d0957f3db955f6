/* process: signals, as something a task can wait for. */

#ifndef cs_process_h
#define cs_process_h

#include <lua.h>

void cs_open_process(lua_State *L);

#endif
