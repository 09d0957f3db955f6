/* landing: memory for bytes that arrive, which can become a Lua string.  Lua's
** API makes a string by copying only; yet a string is a block of the state's
** allocator, which the API lets everybody set.  So the block is taken from the
** allocator first, the bytes land where the string will have them, and round
** one call of lua_pushlstring an allocator is set that gives this very block:
** what Lua then copies is in its place already (compilers need memcpy to do
** nothing when both addresses are the same, and C libraries do).
** Invariant: the block is the allocator's and ours alone, or a string's; what
** else is asked of our allocator it asks of the state's own. */

#include <lauxlib.h>
#include <stdint.h>

#include "landing.h"

/* Is this the first string to be asked for? */
static int is_awaited(cs_Landing *l, const void *block, size_t kind) {
  int yes = l->awaited && block == NULL && kind == LUA_TSTRING;
  if (yes) l->awaited = 0;
  return yes;
}

/* Gives it the block; if it were another one, ours would be copied, and 'room'
** stay as it is. */
static void *give(void *ud, void *block, size_t old, size_t size) {
  cs_Landing *l = ud;
  if (!is_awaited(l, block, old) || size != l->head + l->room)
    return l->real(l->ud, block, old, size);
  l->room = 0;
  return l->data - l->head;
}

static void set(lua_State *L, cs_Landing *l, lua_Alloc ours) {
  l->real = lua_getallocf(L, &l->ud);
  l->awaited = 1;
  lua_setallocf(L, ours, l);
}

/* A finalizer that has received meanwhile has done so already. */
static void reset(lua_State *L, cs_Landing *l, lua_Alloc ours) {
  void *ud;
  if (lua_getallocf(L, &ud) == ours) lua_setallocf(L, l->real, l->ud);
  l->awaited = 0;
}

/* Push the first 'n' bytes that have landed as the string that the block now
** is, without what it has beyond them. */
void cs_handover(lua_State *L, cs_Landing *l, size_t n) {
  char *block;
  reset(L, l, give); /* inside such a call, if this is a finalizer */
  set(L, l, give);
  block = l->real(l->ud, l->data - l->head, l->head + l->room, l->head + n + 1);
  if (block != NULL) {
    l->data = block + l->head;
    l->room = n + 1;
  }
  lua_pushlstring(L, l->data, n);
  reset(L, l, give);
}

static void release(lua_State *L, cs_Landing *l) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  if (l->room > 0) alloc(ud, l->data - l->head, l->head + l->room, 0);
  l->room = 0;
}

/* The state is about to end: every socket is closed, so nothing lands, and
** finalizers that try must find no reason for another block; nor is an address
** that is anybody's to stand for it. */
void cs_closelanding(lua_State *L, cs_Landing *l) {
  reset(L, l, give);
  release(L, l);
  l->data = (char *)l;
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

/* Looks at what it was given, and how much. */
static void *learn(void *ud, void *block, size_t old, size_t size) {
  cs_Landing *l = ud;
  void *given = l->real(l->ud, block, old, size);
  if (is_awaited(l, block, old)) {
    l->data = given;
    l->room = size;
  }
  return given;
}

static const char text[64];

static int push_text(lua_State *L) {
  lua_pushlstring(L, text, sizeof text);
  return 1;
}

/* Finds out how a string lies in its block. */
void cs_initlanding(lua_State *L, cs_Landing *l) {
  uintptr_t head;
  int status;
  l->head = l->room = 0;
  lua_pushcfunction(L, push_text);
  set(L, l, learn);
  status = lua_pcall(L, 0, 1, 0);
  reset(L, l, learn);
  if (status != LUA_OK) lua_error(L);
  head = (uintptr_t)lua_tostring(L, -1) - (uintptr_t)l->data;
  if (head < l->room && l->room == head + sizeof text + 1)
    l->head = (size_t)head;
  l->room = 0;
  lua_pop(L, 1);
}
