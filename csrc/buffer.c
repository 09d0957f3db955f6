/* buffer: csock.buffer.  Memory of a fixed size inside a userdata; a view is
** another userdata that points into the same memory and keeps its owner.
** Invariant: data and size never change, so a pointer into a buffer is good
** for as long as the buffer is on the stack. */

#define _GNU_SOURCE /* memmem */
#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "buffer.h"
#include "error.h"

#define BUFFER "csock.buffer"

const char cs_buffer_tag = 'b';

/*
** Access
*/

/* The buffer at 'arg', or an argument error. */
cs_Buffer *cs_checkbuffer(lua_State *L, int arg) {
  cs_Buffer *b = cs_testbuffer(L, arg);
  if (b == NULL) cs_typeerror(L, arg, BUFFER);
  return b;
}

/* The bytes of a string (or number) or buffer at 'arg'; NULL for anything
** else. */
const char *cs_todata(lua_State *L, int arg, size_t *len) {
  const char *data = lua_tolstring(L, arg, len);
  cs_Buffer *b;
  if (data != NULL) return data;
  b = cs_testbuffer(L, arg);
  if (b == NULL) return NULL;
  *len = b->size;
  return b->data;
}

/* The same, or an argument error. */
const char *cs_checkdata(lua_State *L, int arg, size_t *len) {
  const char *data = cs_todata(L, arg, len);
  if (data == NULL) cs_typeerror(L, arg, "string or buffer");
  return data;
}

/* A range of bytes, by arguments as those of string.sub (the first byte, the
** last one; both may be left out): where it begins, counted from 0, and in
** 'n' how long it is.  What lies outside is cut off. */
static size_t get_range(lua_State *L, int arg, size_t size, size_t *n) {
  lua_Integer len = (lua_Integer)size;
  lua_Integer i = luaL_optinteger(L, arg, 1);
  lua_Integer j = luaL_optinteger(L, arg + 1, -1);
  if (i < 0) i = i < -len ? 1 : len + i + 1;
  if (i == 0) i = 1;
  if (j < 0) j = j < -len ? 0 : len + j + 1;
  if (j > len) j = len;
  *n = i <= j ? (size_t)(j - i + 1) : 0;
  return *n > 0 ? (size_t)i - 1 : 0;
}

/*
** Making
*/

static cs_Buffer *new_buffer(lua_State *L, size_t size) {
  cs_Buffer *b = lua_newuserdatauv(L, sizeof *b + size, 1);
  b->data = (char *)(b + 1);
  b->size = size;
  b->mark = cs_mark(b, &cs_buffer_tag);
  luaL_setmetatable(L, BUFFER);
  return b;
}

/* buffer(size) -> that many zeros, at most INT_MAX; buffer(data) -> a copy of
** the bytes of a string or buffer.  (Python's bytearray) */
static int buffer_new(lua_State *L) {
  if (lua_type(L, 1) == LUA_TNUMBER) {
    lua_Integer n = luaL_checkinteger(L, 1);
    luaL_argcheck(L, n >= 0 && n <= INT_MAX, 1, "size out of range");
    memset(new_buffer(L, (size_t)n)->data, 0, (size_t)n);
  } else {
    size_t len;
    const char *data = cs_todata(L, 1, &len);
    if (data == NULL) cs_typeerror(L, 1, "size, string or buffer");
    memcpy(new_buffer(L, len)->data, data, len);
  }
  return 1;
}

/* b:view([i [, j]]) -> a buffer of those bytes of b, in the same memory. */
static int buffer_view(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1), *view;
  size_t n, first = get_range(L, 2, b->size, &n);
  lua_settop(L, 1);
  view = new_buffer(L, 0);
  view->data = b->data + first;
  view->size = n;
  if (lua_getiuservalue(L, 1, 1) == LUA_TNIL) { /* b owns its memory */
    lua_pop(L, 1);
    lua_pushvalue(L, 1);
  }
  lua_setiuservalue(L, 2, 1);
  return 1;
}

/*
** Bytes
*/

/* The byte that the key at index 2 tells: 1 the first, -1 the last. */
static char *get_byte(lua_State *L, cs_Buffer *b) {
  int isint;
  lua_Integer i = lua_tointegerx(L, 2, &isint), size = (lua_Integer)b->size;
  if (!isint) cs_misuse(L, "a buffer's index must be an integer");
  if (i < 0 && i >= -size) i += size + 1;
  if (i < 1 || i > size)
    cs_misuse(L, "index %I out of range (the buffer has %I bytes)",
              (LUAI_UACINT)lua_tointeger(L, 2), (LUAI_UACINT)size);
  return b->data + i - 1;
}

/* A byte's value: an integer from 0 to 255. */
static unsigned char check_value(lua_State *L, int arg) {
  int isint;
  lua_Integer n = lua_tointegerx(L, arg, &isint);
  if (lua_type(L, arg) != LUA_TNUMBER || !isint)
    cs_misuse(L, "a byte must be an integer (got %s)", luaL_typename(L, arg));
  if (n < 0 || n > UCHAR_MAX)
    cs_misuse(L, "byte %I out of range (0 to 255)", (LUAI_UACINT)n);
  return (unsigned char)n;
}

/* b[i] -> a byte; b.name -> a method, or nil.  The upvalue has the methods. */
static int buffer_index(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  int type = lua_type(L, 2);
  if (type == LUA_TNUMBER)
    lua_pushinteger(L, (unsigned char)*get_byte(L, b));
  else if (type == LUA_TSTRING)
    lua_rawget(L, lua_upvalueindex(1));
  else
    cs_misuse(L, "a buffer's index must be an integer (got %s)",
              luaL_typename(L, 2));
  return 1;
}

/* b[i] = byte. */
static int buffer_newindex(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  char *byte;
  if (lua_type(L, 2) == LUA_TSTRING)
    cs_misuse(L, "a buffer has no field '%s'", lua_tostring(L, 2));
  if (lua_type(L, 2) != LUA_TNUMBER)
    cs_misuse(L, "a buffer's index must be an integer (got %s)",
              luaL_typename(L, 2));
  byte = get_byte(L, b);
  *byte = (char)check_value(L, 3);
  return 0;
}

/* b:fill([byte [, i [, j]]]) -> b, with these bytes (all) set to one (0). */
static int buffer_fill(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  unsigned char value = lua_isnoneornil(L, 2) ? 0 : check_value(L, 2);
  size_t n, first = get_range(L, 3, b->size, &n);
  memset(b->data + first, value, n);
  lua_settop(L, 1);
  return 1;
}

/* b:set(i, data) -> b, with a string's or buffer's bytes copied to where byte
** i begins; they have to fit.  Source and target may overlap. */
static int buffer_set(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  lua_Integer i = luaL_checkinteger(L, 2), size = (lua_Integer)b->size;
  size_t len;
  const char *data = cs_checkdata(L, 3, &len);
  if (i < 0 && i >= -size) i += size + 1;
  luaL_argcheck(L, i >= 1 && i <= size + 1, 2, "index out of range");
  luaL_argcheck(L, len <= b->size - (size_t)(i - 1), 3, "does not fit");
  memmove(b->data + i - 1, data, len);
  lua_settop(L, 1);
  return 1;
}

/*
** As a string
*/

static int buffer_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)cs_checkbuffer(L, 1)->size);
  return 1;
}

/* tostring(b) -> all of its bytes. */
static int buffer_tostring(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  lua_pushlstring(L, b->data, b->size);
  return 1;
}

/* b:string([i [, j]]) -> those bytes; b:sub(i [, j]) the same, as a string's
** method is called. */
static int buffer_string(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  size_t n, first = get_range(L, 2, b->size, &n);
  lua_pushlstring(L, b->data + first, n);
  return 1;
}

static int buffer_sub(lua_State *L) {
  luaL_checkinteger(L, 2);
  return buffer_string(L);
}

/* b:find(data [, init]) -> the first and the last byte of the first place, at
** `init` (1) or behind, that holds these bytes; or nil.  (string.find, plain)
*/
static int buffer_find(lua_State *L) {
  cs_Buffer *b = cs_checkbuffer(L, 1);
  size_t len, skipped;
  const char *data = cs_checkdata(L, 2, &len), *found = NULL;
  lua_Integer init = luaL_optinteger(L, 3, 1), size = (lua_Integer)b->size;
  if (init < 0) init = init < -size ? 1 : size + init + 1;
  skipped = init > 0 ? (size_t)init - 1 : 0;
  if (skipped <= b->size)
    found = memmem(b->data + skipped, b->size - skipped, data, len);
  if (found == NULL) {
    luaL_pushfail(L);
    return 1;
  }
  lua_pushinteger(L, found - b->data + 1);
  lua_pushinteger(L, found - b->data + (lua_Integer)len);
  return 2;
}

/* b == c: do two buffers hold the same bytes? */
static int buffer_eq(lua_State *L) {
  cs_Buffer *b = cs_testbuffer(L, 1), *c = cs_testbuffer(L, 2);
  lua_pushboolean(L, b != NULL && c != NULL && b->size == c->size &&
                         memcmp(b->data, c->data, b->size) == 0);
  return 1;
}

static const luaL_Reg buffer_methods[] = {
    {"fill", buffer_fill}, {"find", buffer_find},
    {"set", buffer_set},   {"string", buffer_string},
    {"sub", buffer_sub},   {"view", buffer_view},
    {NULL, NULL},
};

static const luaL_Reg buffer_meta[] = {
    {"__eq", buffer_eq},
    {"__len", buffer_len},
    {"__newindex", buffer_newindex},
    {"__tostring", buffer_tostring},
    {NULL, NULL},
};

/* Adds core.buffer. */
void cs_open_buffer(lua_State *L) {
  luaL_newmetatable(L, BUFFER);
  luaL_setfuncs(L, buffer_meta, 0);
  luaL_newlib(L, buffer_methods);
  lua_pushcclosure(L, buffer_index, 1);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, buffer_new);
  lua_setfield(L, -2, "buffer");
}
