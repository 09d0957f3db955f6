/* signal: the signals of this system, by name. */

#ifndef cs_signal_h
#define cs_signal_h

#include <lua.h>

void cs_open_signal(lua_State *L);

#endif
