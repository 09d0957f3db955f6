/* board: memory that a process shares with those it forks, in which each has a
** place, for the number of requests it has and of those on their way to it.
** Not here: who counts requests (group), and what follows from the numbers
** (lua/csock/balance.lua).
** Invariant: the memory is there as long as the object that stands for it; who
** has no requests is there (0), who takes none is away. */

#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include "board.h"

#include <errno.h>
#include <lauxlib.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "error.h"
#include "mark.h"

#define BOARD "csock.board"
#define AWAY  (-1)

typedef struct Place {
  int32_t count;  /* requests, or AWAY; only its owner, or who buries that,
                  ** sets it */
  int32_t coming; /* handed over, and not yet counted there */
} Place;

typedef struct Board {
  Place *places; /* NULL: none */
  size_t count;
  uint32_t mark; /* mark.h */
} Board;

static const char tag = 'B';

static Board *to_board(lua_State *L, int arg) {
  Board *b = cs_tomarked(L, arg, Board, &tag);
  if (b == NULL) cs_typeerror(L, arg, BOARD);
  return b;
}

/* Of the board at index 'arg', the place whose number follows. */
static Place *to_place(lua_State *L, int arg) {
  const Board *b = to_board(L, arg);
  lua_Integer n = luaL_checkinteger(L, arg + 1);
  luaL_argcheck(L, n >= 1 && (size_t)n <= b->count, arg + 1, "no such place");
  return &b->places[n - 1];
}

/* The same, for who posts what it has. */
int32_t *cs_checkplace(lua_State *L, int arg) {
  return &to_place(L, arg)->count;
}

/* board(n) -> a board with n places, all of them away.  (mmap(2)) */
static int board_new(lua_State *L) {
  lua_Integer n = luaL_checkinteger(L, 1);
  Board *b;
  void *memory;
  luaL_argcheck(L, n >= 1 && n <= 65536, 1, "number of places out of range");
  b = lua_newuserdatauv(L, sizeof *b, 0);
  memset(b, 0, sizeof *b);
  b->mark = cs_mark(b, &tag);
  luaL_setmetatable(L, BOARD);
  memory = mmap(NULL, (size_t)n * sizeof *b->places, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return cs_fail(L, 0, errno, "mmap", 0);
  b->places = memory;
  b->count = (size_t)n;
  for (size_t i = 0; i < b->count; i++) b->places[i].count = AWAY;
  return 1;
}

static int board_gc(lua_State *L) {
  Board *b = to_board(L, 1);
  if (b->places != NULL) munmap(b->places, b->count * sizeof *b->places);
  b->places = NULL;
  b->count = 0;
  return 0;
}

/* board:leave(place): whoever was there takes no more. */
static int board_leave(lua_State *L) {
  Place *p = to_place(L, 1);
  __atomic_store_n(&p->count, AWAY, __ATOMIC_SEQ_CST);
  return 0;
}

/* board:away(place) -> is nobody there? */
static int board_away(lua_State *L) {
  Place *p = to_place(L, 1);
  lua_pushboolean(L, __atomic_load_n(&p->count, __ATOMIC_SEQ_CST) == AWAY);
  return 1;
}

/* board:coming(place [, n]) -> how many are on their way to it, n more (or
** less) than before. */
static int board_coming(lua_State *L) {
  Place *p = to_place(L, 1);
  int n = cs_optint(L, 3, 0);
  lua_pushinteger(L, __atomic_add_fetch(&p->coming, n, __ATOMIC_SEQ_CST));
  return 1;
}

/* How many requests who is here has, or will have, at once; AWAY. */
static int32_t load(const Place *p) {
  int32_t n = __atomic_load_n(&p->count, __ATOMIC_RELAXED);
  return n == AWAY ? n : n + __atomic_load_n(&p->coming, __ATOMIC_RELAXED);
}

/* board:compare(place) -> how many requests who is there has (-1: away), how
** many who has the fewest of the others, and where that is; nothing when there
** are no others. */
static int board_compare(lua_State *L) {
  const Board *b = to_board(L, 1);
  const Place *mine = to_place(L, 1), *found = NULL;
  int32_t least = 0, here = load(mine);
  for (const Place *p = b->places; p < b->places + b->count; p++) {
    int32_t n = load(p);
    if (p == mine || n == AWAY || (found != NULL && n >= least)) continue;
    found = p;
    least = n;
  }
  if (found == NULL) return 0;
  lua_pushinteger(L, here);
  lua_pushinteger(L, least);
  lua_pushinteger(L, found - b->places + 1);
  return 3;
}

static const luaL_Reg board_methods[] = {
    {"away", board_away},
    {"coming", board_coming},
    {"compare", board_compare},
    {"leave", board_leave},
    {NULL, NULL},
};

/* Adds core.board. */
void cs_open_board(lua_State *L) {
  luaL_newmetatable(L, BOARD);
  lua_pushcfunction(L, board_gc);
  lua_setfield(L, -2, "__gc");
  luaL_newlib(L, board_methods);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, board_new);
  lua_setfield(L, -2, "board");
}
