/* error: what the world refuses, as an error object; and misuse (a wrong type,
** a number out of range) where luaL_argerror does not know whom to blame. */

#ifndef cs_error_h
#define cs_error_h

#include <lua.h>

/* an errno of our own: a deadline of csock's has passed (ETIMEDOUT to the
** user, but "timed out", not the kernel's "Connection timed out") */
#define CS_ETIMEOUT (-1)
/* another: the task has been cancelled (ECANCELED, but of a class that is no
** OSError) */
#define CS_ECANCEL  (-2)

int cs_fail(lua_State *L, int safe, int err, const char *op, int addr);
int cs_failas(lua_State *L, int safe, const char *class, int err,
              const char *op);
int cs_failtext(lua_State *L, int safe, const char *what, const char *op);
int cs_failwith(lua_State *L, const char *class, const char *what,
                const char *op);
int cs_failabout(lua_State *L, int safe, const char *what, const char *op,
                 int addr);
int cs_failname(lua_State *L, int safe, int code, const char *op, int addr);
int cs_failhost(lua_State *L, int safe, int code, const char *op, int addr);
int cs_issafe(lua_State *L, int otherwise);
int cs_iscancel(lua_State *L);
int cs_misuse(lua_State *L, const char *format, ...);
int cs_argerror(lua_State *L, int arg, const char *what);
int cs_typeerror(lua_State *L, int arg, const char *expected);
int cs_checkint(lua_State *L, int arg);
int cs_optint(lua_State *L, int arg, int def);
int cs_checkbool(lua_State *L, int arg);
int cs_where(lua_State *L, int level, lua_Debug *ar);
const char *cs_checkname(lua_State *L, int arg);
void cs_runhooks(lua_State *L);
void cs_open_error(lua_State *L);

#endif
