/* inspect: how a task looks from outside: its name, status and traceback, and
** what each live one waits for; and the same of the loop. */

#ifndef cs_inspect_h
#define cs_inspect_h

#include <lua.h>

void cs_open_inspect(lua_State *L);

#endif
