/* coroutine: Lua's coroutine library for code inside tasks: a wait in such a
** coroutine passes through to the task it runs in. */

#ifndef cs_coroutine_h
#define cs_coroutine_h

#include <lua.h>

lua_State *cs_inner(lua_State *co);
void cs_open_coroutine(lua_State *L);

#endif
