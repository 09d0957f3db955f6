/* constants: the numbers of the system's headers, by name, as Python's socket
** module exports them, and the names of the errno values.  The rows come from
** constants.list through the Makefile; a name that the system lacks is absent.
*/

#ifndef cs_constants_h
#define cs_constants_h

#include <lua.h>

const char *cs_errnoname(int err);
void cs_open_constants(lua_State *L);

#endif
