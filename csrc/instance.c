/* instance: an instance that is made with its fields and the room for more, for
** who makes one each time a connection comes.
** Not here: what a class is (lua/csock/class.lua), and what the call of one
** does (class).
** Invariant: it runs nobody's code; whether a class allows that is known
** before. */

#include "instance.h"

#include <lauxlib.h>

enum { META = 1, ROOM, FIRST };

/* instance(metatable, room, {name, value}...) -> a table with that metatable,
** these fields, and room for so many; no setter or hook has a say in it. */
static int class_instance(lua_State *L) {
  int room = (int)luaL_checkinteger(L, ROOM), n = lua_gettop(L);
  luaL_checktype(L, META, LUA_TTABLE);
  luaL_argcheck(L, n % 2 == 0, n, "name without a value");
  lua_createtable(L, 0, room);
  lua_insert(L, FIRST);
  for (; n > ROOM; n -= 2) lua_rawset(L, FIRST);
  lua_pushvalue(L, META);
  lua_setmetatable(L, FIRST);
  return 1;
}

static const luaL_Reg instance_funcs[] = {
    {"instance", class_instance},
    {NULL, NULL},
};

/* Adds its function to core.class. */
void cs_open_instance(lua_State *L) {
  lua_getfield(L, -1, "class");
  luaL_setfuncs(L, instance_funcs, 0);
  lua_pop(L, 1);
}
