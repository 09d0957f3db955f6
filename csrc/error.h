/* error: what the world refuses, as an error object.  Misuse (a wrong type, a
** number out of range) is none of its business: that is luaL_argerror's. */

#ifndef cs_error_h
#define cs_error_h

#include <lua.h>

/* an errno of our own: a deadline of csock's has passed (ETIMEDOUT to the
** user, but "timed out", not the kernel's "Connection timed out") */
#define CS_ETIMEOUT (-1)

int cs_fail(lua_State *L, int safe, int err, const char *op, int addr);
int cs_failname(lua_State *L, int safe, int code, const char *op, int addr);
void cs_runhooks(lua_State *L);
void cs_open_error(lua_State *L);

#endif
