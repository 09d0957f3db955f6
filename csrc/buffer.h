/* buffer: bytes that can be written to, shared between Lua and the system
** calls; and what a method that takes data takes: a string or a buffer. */

#ifndef cs_buffer_h
#define cs_buffer_h

#include <lua.h>
#include <stddef.h>

#include "mark.h"

typedef struct cs_Buffer {
  char *data; /* in this userdata, or in the one that user value 1 holds */
  size_t size;
  uint32_t mark; /* mark.h */
} cs_Buffer;

extern const char cs_buffer_tag; /* its address is that of buffers */

/* The buffer at 'arg', or NULL. */
static inline cs_Buffer *cs_testbuffer(lua_State *L, int arg) {
  return cs_tomarked(L, arg, cs_Buffer, &cs_buffer_tag);
}

cs_Buffer *cs_checkbuffer(lua_State *L, int arg);
const char *cs_todata(lua_State *L, int arg, size_t *len);
const char *cs_checkdata(lua_State *L, int arg, size_t *len);
void cs_open_buffer(lua_State *L);

#endif
