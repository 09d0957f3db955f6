/* buffer: csock.buffer.  Memory of a fixed size inside a userdata; a view is
** another userdata that points into the same memory and keeps its owner.
** Invariant: data and size never change, so a pointer into a buffer is good
** for as long as the buffer is on the stack. */

#include <lauxlib.h>
#include <string.h>

#include "buffer.h"

#define BUFFER "csock.buffer"

/* The buffer at 'arg', or NULL. */
cs_Buffer *cs_testbuffer(lua_State *L, int arg) {
  return luaL_testudata(L, arg, BUFFER);
}

cs_Buffer *cs_checkbuffer(lua_State *L, int arg) {
  return luaL_checkudata(L, arg, BUFFER);
}

/* The bytes of a string (or number) or buffer at 'arg'; NULL for anything
** else. */
const char *cs_todata(lua_State *L, int arg, size_t *len) {
  cs_Buffer *b;
  if (lua_isstring(L, arg)) return lua_tolstring(L, arg, len);
  b = cs_testbuffer(L, arg);
  if (b == NULL) return NULL;
  *len = b->size;
  return b->data;
}

const char *cs_checkdata(lua_State *L, int arg, size_t *len) {
  const char *data = cs_todata(L, arg, len);
  if (data == NULL) luaL_typeerror(L, arg, "string or buffer");
  return data;
}

static cs_Buffer *new_buffer(lua_State *L, size_t size) {
  cs_Buffer *b = lua_newuserdatauv(L, sizeof *b + size, 1);
  b->data = (char *)(b + 1);
  b->size = size;
  luaL_setmetatable(L, BUFFER);
  return b;
}

/* buffer(size) -> that many zeros; buffer(string) -> its bytes. */
static int buffer_new(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= INT32_MAX, 1, "size out of range");
    memset(new_buffer(L, (size_t)n)->data, 0, (size_t)n);
  } else {
    size_t len;
    const char *s = luaL_checklstring(L, 1, &len);
    memcpy(new_buffer(L, len)->data, s, len);
  }
  return 1;
}

static int buffer_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)cs_checkbuffer(L, 1)->size);
  return 1;
}

static int buffer_tostring(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  lua_pushlstring(L, b->data, b->size);
  return 1;
}

static const luaL_Reg buffer_meta[] = {
    {"__len", buffer_len},
    {"__tostring", buffer_tostring},
    {NULL, NULL},
};

/* Adds core.buffer. */
void cs_open_buffer(lua_State *L) {
  luaL_newmetatable(L, BUFFER);
  luaL_setfuncs(L, buffer_meta, 0);
  lua_pop(L, 1);
  lua_pushcfunction(L, buffer_new);
  lua_setfield(L, -2, "buffer");
}
