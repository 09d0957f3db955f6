/* mark: how a userdata made here is known again, whatever class it is of.  It
** has a field `mark`, set when it is made; no other memory has that value there
** by chance, since it is made of the object's own address.  This spares the way
** over the metatable, which is most of the price of a short call.
** Not here: what metatables say (class). */

#ifndef cs_mark_h
#define cs_mark_h

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

/* What an object bears whose kind is known by the address 'tag'. */
static inline uint32_t cs_mark(const void *object, const void *tag) {
  return (uint32_t)((uintptr_t)object ^ (uintptr_t)tag);
}

static inline void *cs_findmark(lua_State *L, int arg, size_t size, size_t at,
                                const void *tag) {
  char *object = (char *)lua_touserdata(L, arg);
  const void *mark;
  if (object == NULL || lua_rawlen(L, arg) < size) return NULL;
  mark = object + at;
  return *(const uint32_t *)mark == cs_mark(object, tag) ? object : NULL;
}

/* The object at index 'arg', of the C type 'type', or NULL for anything else.
** Never raises. */
#define cs_tomarked(L, arg, type, tag)                                         \
  ((type *)cs_findmark(L, arg, sizeof(type), offsetof(type, mark), tag))

#endif
