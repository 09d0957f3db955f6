/* error: the one door for failures of the world.  An error is a table with
** errno, code, strerror, op, address and where; its class, and so its methods,
** come from Lua (lua/csock/errors.lua), which registers one metatable for each
** errno.
** Invariant: errno travels as an argument, since any Lua call may change it. */

#define _GNU_SOURCE /* EAI_NODATA and its like */
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <netdb.h>
#include <stdarg.h>
#include <string.h>

#include "constants.h"
#include "error.h"

/* registry key of the table of metatables: by errno, and "name",
** "host", "cancelled", "giveup", "empty", "full", "default"; and
** "here", the directory of csock's Lua files */
static const char classes = 'e';

/* Is the function part of csock, its source in the directory that Lua has
** registered? */
static int is_ours(lua_State *L, const lua_Debug *ar) {
  size_t len;
  const char *here;
  int ours;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &classes);
  lua_getfield(L, -1, "here");
  here = lua_tolstring(L, -1, &len);
  ours = here != NULL && strncmp(ar->source, here, len) == 0;
  lua_pop(L, 2);
  return ours;
}

/* Find the innermost Lua function, from a level on, that is not csock's: 0, or
** 1 with its source and line in 'ar'. */
int cs_where(lua_State *L, int level, lua_Debug *ar) {
  for (; lua_getstack(L, level, ar); level++) {
    lua_getinfo(L, "Sl", ar);
    if (ar->currentline > 0 && !is_ours(L, ar)) return 1;
  }
  return 0;
}

/* Its position: like luaL_where, but through what csock puts in between. */
static void push_where(lua_State *L) {
  lua_Debug ar;
  if (cs_where(L, 1, &ar))
    lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
  else
    lua_pushliteral(L, "");
}

static void set(lua_State *L, const char *field, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, field);
}

/* Push an error object of the class registered under 'key'. */
static void push_error(lua_State *L, const char *op, int addr) {
  lua_createtable(L, 0, 6);
  set(L, "op", op);
  if (addr != 0) {
    lua_pushvalue(L, addr);
    lua_setfield(L, -2, "address");
  }
  push_where(L);
  lua_setfield(L, -2, "where");
}

/* Give the error on top of the stack the class of that name, or, where that is
** NULL, of that errno. */
static void set_class(lua_State *L, const char *class, int number) {
  int found;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &classes);
  found =
      class != NULL ? lua_getfield(L, -1, class) : lua_rawgeti(L, -1, number);
  if (found == LUA_TNIL) {
    lua_pop(L, 1);
    found = lua_getfield(L, -1, "default");
  }
  if (found == LUA_TTABLE)
    lua_setmetatable(L, -3);
  else
    lua_pop(L, 1);
  lua_pop(L, 1);
}

/* Does a failure of the running function return nil, err?  Its second upvalue
** says so, where that is a boolean: true for csock.safe's functions, false
** where nobody would look at a result (properties, iterators); elsewhere it is
** as with what the function works on. */
int cs_issafe(lua_State *L, int otherwise) {
  return lua_isboolean(L, lua_upvalueindex(2))
             ? lua_toboolean(L, lua_upvalueindex(2))
             : otherwise;
}

/* Raise, or return as nil, err, the error object on top of the stack. */
static int report(lua_State *L, int safe) {
  if (!cs_issafe(L, safe)) return lua_error(L);
  luaL_pushfail(L);
  lua_insert(L, -2);
  return 2;
}

static const char *text(int err) {
  switch (err) {
  case CS_ETIMEOUT:
    return "timed out";
  case CS_ECANCEL:
    return "cancelled";
  default:
    return strerror(err);
  }
}

/* Finish the error on top of the stack, and report it. */
static int fail(lua_State *L, int safe, const char *class, int number,
                const char *code, const char *what) {
  if (number != 0) {
    lua_pushinteger(L, number);
    lua_setfield(L, -2, "errno");
  }
  set(L, "code", code);
  set(L, "strerror", what);
  set_class(L, class, number);
  return report(L, safe);
}

/* The operation 'op' failed with errno 'err' (or one of our own); 'addr' is
** the stack index of the address it was about, 0 for none.  Raises, or when
** 'safe' (cs_issafe has the last word) pushes nil, err and returns 2. */
int cs_fail(lua_State *L, int safe, int err, const char *op, int addr) {
  int number = err;
  if (err == CS_ETIMEOUT) number = ETIMEDOUT;
  if (err == CS_ECANCEL) number = ECANCELED;
  push_error(L, op, addr);
  return fail(L, safe, err == CS_ECANCEL ? "cancelled" : NULL, number,
              cs_errnoname(number), text(err));
}

/* The same, but of the class that is registered by this name, whatever class
** the errno has. */
int cs_failas(lua_State *L, int safe, const char *class, int err,
              const char *op) {
  push_error(L, op, 0);
  return fail(L, safe, class, err, cs_errnoname(err), text(err));
}

/* The same for a failure that has no errno, only a text (Python's
** OSError("...")). */
int cs_failtext(lua_State *L, int safe, const char *what, const char *op) {
  return cs_failabout(L, safe, what, op, 0);
}

/* The same about an address, as in cs_fail. */
int cs_failabout(lua_State *L, int safe, const char *what, const char *op,
                 int addr) {
  push_error(L, op, addr);
  return fail(L, safe, "default", 0, NULL, what);
}

/* Raise such a one of the class that is registered by this name. */
int cs_failwith(lua_State *L, const char *class, const char *what,
                const char *op) {
  push_error(L, op, 0);
  return fail(L, 0, class, 0, NULL, what);
}

/* Is the value on top of the stack the error of a cancelled task? */
int cs_iscancel(lua_State *L) {
  int is;
  if (!lua_istable(L, -1) || !lua_getmetatable(L, -1)) return 0;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &classes);
  lua_getfield(L, -1, "cancelled");
  is = lua_rawequal(L, -1, -3);
  lua_pop(L, 3);
  return is;
}

static const char *name_code(int code) {
  static const struct {
    int code;
    const char *name;
  } names[] = {
    {EAI_AGAIN, "EAI_AGAIN"},
    {EAI_BADFLAGS, "EAI_BADFLAGS"},
    {EAI_FAIL, "EAI_FAIL"},
    {EAI_FAMILY, "EAI_FAMILY"},
    {EAI_MEMORY, "EAI_MEMORY"},
    {EAI_NONAME, "EAI_NONAME"},
    {EAI_SERVICE, "EAI_SERVICE"},
    {EAI_SOCKTYPE, "EAI_SOCKTYPE"},
    {EAI_OVERFLOW, "EAI_OVERFLOW"},
#if defined(EAI_NODATA)
    {EAI_NODATA, "EAI_NODATA"},
#endif
#if defined(EAI_ADDRFAMILY)
    {EAI_ADDRFAMILY, "EAI_ADDRFAMILY"},
#endif
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (names[i].code == code) return names[i].name;
  return NULL;
}

/* The same for the resolver, whose codes are a number space of their own
** (getaddrinfo(3)); EAI_SYSTEM is an errno in disguise. */
int cs_failname(lua_State *L, int safe, int code, const char *op, int addr) {
  if (code == EAI_SYSTEM) return cs_fail(L, safe, errno, op, addr);
  push_error(L, op, addr);
  return fail(L, safe, "name", code, name_code(code), gai_strerror(code));
}

static const char *host_code(int code) {
  static const char *const names[] = {"HOST_NOT_FOUND", "TRY_AGAIN",
                                      "NO_RECOVERY", "NO_DATA"};
  return code >= 1 && code <= 4 ? names[code - 1] : NULL;
}

/* The same for gethostbyname(3) and gethostbyaddr(3), with another number
** space again. */
int cs_failhost(lua_State *L, int safe, int code, const char *op, int addr) {
  push_error(L, op, addr);
  return fail(L, safe, "host", code, host_code(code), hstrerror(code));
}

/*
** Misuse
*/

/* Raise a message, with the position of the innermost Lua function. */
int cs_misuse(lua_State *L, const char *format, ...) {
  va_list args;
  push_where(L);
  va_start(args, format);
  lua_pushvfstring(L, format, args);
  va_end(args);
  lua_concat(L, 2);
  return lua_error(L);
}

/* luaL_argerror, with two differences.  For a property's setter it names the
** property: that is called by the dispatcher of a metamethod, whose second
** argument is the key.  And where a function of csock has passed the argument
** on, it blames whoever called that one. */
int cs_argerror(lua_State *L, int arg, const char *what) {
  lua_Debug here, caller;
  lua_getstack(L, 0, &here);
  lua_getinfo(L, "n", &here);
  if (!lua_getstack(L, 1, &caller)) return luaL_argerror(L, arg, what);
  lua_getinfo(L, "Sn", &caller);
  if (here.name == NULL && strcmp(caller.namewhat, "metamethod") == 0 &&
      lua_getlocal(L, &caller, 2) != NULL)
    return cs_misuse(L, "bad value for property '%s' (%s)", lua_tostring(L, -1),
                     what);
  if (here.name != NULL && is_ours(L, &caller))
    return cs_misuse(L, "bad argument #%d to '%s' (%s)",
                     arg - (strcmp(here.namewhat, "method") == 0), here.name,
                     what);
  return luaL_argerror(L, arg, what);
}

int cs_typeerror(lua_State *L, int arg, const char *expected) {
  const char *got = luaL_typename(L, arg);
  if (luaL_getmetafield(L, arg, "__name") == LUA_TSTRING)
    got = lua_tostring(L, -1);
  return cs_argerror(L, arg,
                     lua_pushfstring(L, "%s expected, got %s", expected, got));
}

/* An argument that fits an int. */
int cs_checkint(lua_State *L, int arg) {
  int isint = 0;
  lua_Integer n = 0;
  if (lua_type(L, arg) == LUA_TNUMBER) n = lua_tointegerx(L, arg, &isint);
  if (!isint) return cs_typeerror(L, arg, "integer");
  if (n < INT_MIN || n > INT_MAX) return cs_argerror(L, arg, "out of range");
  return (int)n;
}

int cs_optint(lua_State *L, int arg, int def) {
  return lua_isnoneornil(L, arg) ? def : cs_checkint(L, arg);
}

int cs_checkbool(lua_State *L, int arg) {
  if (!lua_isboolean(L, arg)) return cs_typeerror(L, arg, "boolean");
  return lua_toboolean(L, arg);
}

/* A string that C can take: it may not end before Lua's does. */
const char *cs_checkname(lua_State *L, int arg) {
  size_t len;
  const char *name;
  if (lua_type(L, arg) != LUA_TSTRING) cs_typeerror(L, arg, "string");
  name = lua_tolstring(L, arg, &len);
  if (strlen(name) != len) cs_argerror(L, arg, "embedded zero");
  return name;
}

/*
** Hooks
*/

static int nothing(lua_State *L) {
  (void)L;
  return 0;
}

/* Let a pending debug hook run, after a signal: the stand-alone interpreter's
** Ctrl-C is a hook that raises "interrupted!".  A call is what triggers it. */
void cs_runhooks(lua_State *L) {
  if (lua_gethook(L) == NULL) return;
  lua_pushcfunction(L, nothing);
  lua_call(L, 0, 0);
}

/* core.seterrors(t): the metatables of errors, by errno, and for
** "name", "host", "cancelled", "giveup", "empty", "full", "default"; and
** `here`, how the
** sources of csock's own
** functions begin. */
static int error_seterrors(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &classes);
  return 0;
}

/* core.safely(f) -> the same C function for csock.safe: what f raises because
** the world refuses, it returns, as nil, err. */
static int error_safely(lua_State *L) {
  lua_CFunction f = lua_tocfunction(L, 1);
  luaL_argcheck(L, f != NULL, 1, "C function expected");
  luaL_argcheck(L, lua_getupvalue(L, 1, 2) == NULL, 1, "one upvalue expected");
  if (lua_getupvalue(L, 1, 1) == NULL) lua_pushnil(L);
  lua_pushboolean(L, 1);
  lua_pushcclosure(L, f, 2);
  return 1;
}

/* core.describe(number [, space]) -> its code or nil, its text: of an errno, or
** of another number space, "name" or "host". */
static int error_describe(lua_State *L) {
  static const char *const spaces[] = {"errno", "name", "host", NULL};
  lua_Integer given = luaL_checkinteger(L, 1);
  int n = given >= INT_MIN && given <= INT_MAX ? (int)given : INT_MIN;
  switch (luaL_checkoption(L, 2, "errno", spaces)) {
  case 0:
    lua_pushstring(L, n > 0 && n < 4096 ? cs_errnoname(n) : NULL);
    lua_pushstring(L, strerror(n));
    break;
  case 1:
    lua_pushstring(L, name_code(n));
    lua_pushstring(L, gai_strerror(n));
    break;
  default:
    lua_pushstring(L, host_code(n));
    lua_pushstring(L, hstrerror(n));
  }
  return 2;
}

void cs_open_error(lua_State *L) {
  lua_newtable(L); /* errors without a class, until Lua brings the classes */
  lua_rawsetp(L, LUA_REGISTRYINDEX, &classes);
  lua_pushcfunction(L, error_seterrors);
  lua_setfield(L, -2, "seterrors");
  lua_pushcfunction(L, error_safely);
  lua_setfield(L, -2, "safely");
  lua_pushcfunction(L, error_describe);
  lua_setfield(L, -2, "describe");
}
