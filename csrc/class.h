/*
 * class.h: the door through which C code meets the object model.
 *
 * It is not the model: what classes mean is written in lua/csock/class/,
 * and class.c holds only what has to be fast. Whoever makes userdata in C
 * includes this file to give an instance its metatable; how it is known again
 * is told in mark.h.
 */
#ifndef CS_CLASS_H
#define CS_CLASS_H

#include <lua.h>

/* Push the metatable that instances of the class at `arg` carry; an argument
   error if no class is there. Its identity never changes while the class
   lives, so it may be kept. */
void cs_pushmetatable(lua_State *L, int arg);

/* Set the field `class` of the table on top: the C half of csock.class. */
void cs_open_class(lua_State *L);

#endif
