/* landing: the memory that receive calls fill.  When much has come it is made
** the Lua string itself, so nothing is copied; of little a string is made, and
** the memory stays. */

#ifndef cs_landing_h
#define cs_landing_h

#include <lua.h>
#include <stddef.h>

#define CS_PIECE 126976 /* bytes one receive call can bring at once */
#define CS_WORTH 4096   /* fewer are copied sooner than memory is found */

typedef struct cs_Landing {
  char *data;     /* where bytes land: in the block, behind its head */
  size_t room;    /* for them and the zero at the end; 0: there is no block */
  size_t head;    /* what a string has before its bytes; 0: nobody knows */
  lua_Alloc real; /* while ours is set: the state's own allocator, */
  void *ud;       /* its argument, */
  int awaited;    /* and whether a request for the string is to come */
} cs_Landing;

void cs_makeroom(lua_State *L, cs_Landing *l, size_t size);
void cs_handover(lua_State *L, cs_Landing *l, size_t n);
void cs_closelanding(lua_State *L, cs_Landing *l);
void cs_initlanding(lua_State *L, cs_Landing *l);

/* Memory for 'size' bytes, until the next call of Lua's that may allocate. */
static inline char *cs_land(lua_State *L, cs_Landing *l, size_t size) {
  if (size >= l->room) cs_makeroom(L, l, size);
  return l->data;
}

/* Is this where bytes have landed?  Without a block 'data' says nothing. */
static inline int cs_haslanded(const cs_Landing *l, const char *data) {
  return data == l->data && l->room > 0;
}

/* Push the first 'n' bytes that have landed. */
static inline void cs_pushlanded(lua_State *L, cs_Landing *l, size_t n) {
  if (n < CS_WORTH || l->head == 0)
    lua_pushlstring(L, l->data, n);
  else
    cs_handover(L, l, n);
}

#endif
