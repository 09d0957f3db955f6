/* allocator: a program that embeds Lua with an allocator of its own, which
** believes nothing: it compares each size that it is told with the one that it
** has given.
**   allocator SCRIPT
** The script has the global functions `limit`, after which a request of more
** than so many bytes is refused (none: no more), and `large`: how many blocks
** of 16 KiB or more were asked for since its last call, and how many were made
** smaller.  Prints how many sizes were wrong, and how many blocks were left
** after lua_close. */

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct Block {
  size_t size;
  max_align_t bytes[];
} Block;

typedef struct Account {
  size_t limit;
  int wrong, blocks, made, shrunk;
} Account;

static void *allocate(void *ud, void *ptr, size_t old, size_t size) {
  Account *a = ud;
  Block *b = ptr == NULL ? NULL : (Block *)((char *)ptr - sizeof *b);
  if (b != NULL && b->size != old) a->wrong++;
  if (size == 0) {
    if (b != NULL) a->blocks--;
    free(b);
    return NULL;
  }
  if (size > a->limit && (b == NULL || size > old)) return NULL;
  if (b == NULL) a->blocks++;
  if (b == NULL && size >= 16384) a->made++;
  if (b != NULL && size < old && old >= 16384) a->shrunk++;
  b = realloc(b, sizeof *b + size);
  if (b == NULL) abort();
  b->size = size;
  return b->bytes;
}

static Account *account(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(1));
}

static int set_limit(lua_State *L) {
  account(L)->limit = (size_t)luaL_optinteger(L, 1, INTPTR_MAX);
  return 0;
}

static int count_large(lua_State *L) {
  Account *a = account(L);
  lua_pushinteger(L, a->made);
  lua_pushinteger(L, a->shrunk);
  a->made = a->shrunk = 0;
  return 2;
}

static void set_function(lua_State *L, Account *a, const char *name,
                         lua_CFunction f) {
  lua_pushlightuserdata(L, a);
  lua_pushcclosure(L, f, 1);
  lua_setglobal(L, name);
}

int main(int argc, char **argv) {
  Account a = {.limit = SIZE_MAX};
  lua_State *L = lua_newstate(allocate, &a);
  int failed;
  if (L == NULL || argc != 2) return 2;
  luaL_openlibs(L);
  set_function(L, &a, "limit", set_limit);
  set_function(L, &a, "large", count_large);
  failed = luaL_dofile(L, argv[1]) != LUA_OK;
  if (failed) printf("%s\n", lua_tostring(L, -1));
  lua_close(L);
  printf("wrong %d, left %d\n", a.wrong, a.blocks);
  return failed;
}
