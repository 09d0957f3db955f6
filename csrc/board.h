/* board: how busy each of several processes is, for all of them to see. */

#ifndef cs_board_h
#define cs_board_h

#include <lua.h>
#include <stdint.h>

int32_t *cs_checkplace(lua_State *L, int arg);
void cs_open_board(lua_State *L);

/* Let the others know. */
static inline void cs_post(int32_t *place, size_t count) {
  int32_t n = count < INT32_MAX ? (int32_t)count : INT32_MAX;
  __atomic_store_n(place, n, __ATOMIC_SEQ_CST);
}

#endif
