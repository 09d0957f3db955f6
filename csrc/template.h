/* template: the format of a record, and how far what has come follows it. */

#ifndef cs_template_h
#define cs_template_h

#include <lua.h>

#include "file.h"

enum { CS_DIFFERENT = -1, CS_PARTIAL, CS_WHOLE };

/* one step of a format that has been read */
typedef struct cs_Step {
  unsigned char kind, byte;
  unsigned short place; /* in the format */
} cs_Step;

typedef struct cs_Template {
  const cs_Step *steps;
  size_t most, longest; /* repetitions of the group, bytes of a string */
  int list;             /* stack index of the list for strings; 0: push them */
  /* how far the last look has got: to a repetition of the group, or nowhere */
  size_t seen, left;
  /* what it has found */
  int state;
  size_t strings; /* how many of them are pushed */
  size_t used;    /* bytes of a whole record; of another: where it differs, */
  size_t place;   /* and from which place in the format */
  size_t missing; /* of a partial one: how many bytes more there are at least */
} cs_Template;

const cs_Step *cs_checktemplate(lua_State *L, cs_File *f, int arg);
int cs_follow(lua_State *L, const cs_File *f, cs_Template *t);

#endif
