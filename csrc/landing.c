/* landing: memory for bytes that arrive, which can become a Lua string.  Lua's
** API makes a string by copying only; yet a string is a block of the state's
** allocator, which the API lets everybody set.  So the block is taken from the
** allocator first, the bytes land where the string will have them, and for one
** call of lua_pushlstring an allocator is set that gives this very block: what
** Lua then copies is in its place already (compilers need memcpy to do nothing
** when both addresses are the same, and C libraries do).
** Invariant: the block is the allocator's and ours alone, or a string's; the
** state's allocator is another for the first request of one call only. */

#include <lauxlib.h>
#include <stdint.h>

#include "landing.h"

/* For one request; which is for a string, or 'room' stays as it is. */
static void *give(void *ud, void *block, size_t old, size_t size) {
  cs_Landing *l = ud;
  lua_setallocf(l->L, l->real, l->ud);
  if (block != NULL || size != l->head + l->room)
    return l->real(l->ud, block, old, size);
  l->room = 0;
  return l->data - l->head;
}

/* Push the first 'n' bytes that have landed as the string that the block now
** is, without what it has beyond them. */
void cs_handover(lua_State *L, cs_Landing *l, size_t n) {
  char *block = l->data - l->head;
  l->real = lua_getallocf(L, &l->ud);
  block = l->real(l->ud, block, l->head + l->room, l->head + n + 1);
  if (block != NULL) {
    l->data = block + l->head;
    l->room = n + 1;
  }
  l->L = L;
  lua_setallocf(L, give, l);
  lua_pushlstring(L, l->data, n);
}

static void release(lua_State *L, cs_Landing *l) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  if (l->room > 0) alloc(ud, l->data - l->head, l->head + l->room, 0);
  l->room = 0;
}

/* The state is about to end: every socket is closed, so nothing lands, and
** finalizers that try must find no reason for another block. */
void cs_closelanding(lua_State *L, cs_Landing *l) {
  release(L, l);
  l->room = SIZE_MAX;
}

static int allocate(lua_State *L, cs_Landing *l, size_t room) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  char *block = alloc(ud, NULL, LUA_TSTRING, l->head + room);
  if (block == NULL) return 0;
  l->data = block + l->head;
  l->room = room;
  return 1;
}

/* Have room for 'size' bytes, or raise an error. */
void cs_makeroom(lua_State *L, cs_Landing *l, size_t size) {
  release(L, l);
  if (allocate(L, l, size + 1)) return;
  lua_gc(L, LUA_GCCOLLECT);
  release(L, l); /* a finalizer may have received */
  if (!allocate(L, l, size + 1)) luaL_error(L, "not enough memory");
}

/* For one request, of which it keeps what was given and how much. */
static void *learn(void *ud, void *block, size_t old, size_t size) {
  cs_Landing *l = ud;
  lua_setallocf(l->L, l->real, l->ud);
  l->data = l->real(l->ud, block, old, size);
  l->room = size;
  return l->data;
}

/* Finds out how a string lies in its block. */
void cs_initlanding(lua_State *L, cs_Landing *l) {
  static const char text[64];
  uintptr_t head;
  l->head = l->room = 0;
  l->L = L;
  l->real = lua_getallocf(L, &l->ud);
  lua_setallocf(L, learn, l);
  head = (uintptr_t)lua_pushlstring(L, text, sizeof text);
  head -= (uintptr_t)l->data;
  if (head < l->room && l->room == head + sizeof text + 1)
    l->head = (size_t)head;
  l->room = 0;
  lua_pop(L, 1);
}
