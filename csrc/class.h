/*
 * class.h: the two doors through which C code meets the object model.
 *
 * It is not the model: what classes mean is written in lua/csock/class.lua,
 * and class.c holds only what has to be fast. Whoever makes userdata in C
 * includes this file to give an instance its metatable and to know it again.
 */
#ifndef CS_CLASS_H
#define CS_CLASS_H

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

/* Push the metatable that instances of the class at `arg` carry; an argument
   error if no class is there. Its identity never changes while the class
   lives, so it may be kept. */
void cs_pushmetatable(lua_State *L, int arg);

/* What an object of the native class with this tag bears in its field `mark`,
   from its making on. No other memory has that value there by chance, since it
   is made of the object's own address; so the way over the metatable, which
   costs most of a short call, is spared. */
static inline uintptr_t cs_mark(const void *object, const void *tag) {
  return (uintptr_t)object ^ (uintptr_t)tag;
}

static inline void *cs_tomarked(lua_State *L, int arg, size_t size, size_t at,
                                const void *tag) {
  char *object = (char *)lua_touserdata(L, arg);
  if (object == NULL || lua_rawlen(L, arg) != size) return NULL;
  return *(uintptr_t *)(void *)(object + at) == cs_mark(object, tag) ? object
                                                                     : NULL;
}

/* The object at `arg` if it is one of the native class whose objects are `type`
   and bear this tag, or of a class derived from that; NULL for anything else.
   Never raises. */
#define cs_tonative(L, arg, type, tag) \
  ((type *)cs_tomarked(L, arg, sizeof(type), offsetof(type, mark), tag))

/* Set the field `class` of the table on top: the C half of csock.class. */
void cs_open_class(lua_State *L);

#endif
