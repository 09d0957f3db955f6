/* item: what a read asks for. */

#ifndef cs_item_h
#define cs_item_h

#include <lua.h>

#include "file.h"
#include "template.h"

enum {
  CS_COUNT,  /* n bytes */
  CS_SOME,   /* n bytes at most, and what one receive call brings will do */
  CS_ALL,    /* to the end */
  CS_LINE,   /* with its newline, of n bytes at most (0: maxline, an error) */
  CS_CHOP,   /* the same without it */
  CS_HEAD,   /* lines, and the empty one behind them, of n bytes at most */
  CS_NUMBER, /* a numeral */
  CS_RECORD, /* what follows a format */
  CS_PROBE   /* nothing: is there more?  n is 1 unless it has ended */
};

typedef struct cs_Item {
  int kind;
  int formal; /* nil at the end, as Lua's formats; otherwise "", as Python */
  size_t n;
  cs_Template *format; /* of a record */
} cs_Item;

int cs_measure(cs_File *f, const cs_Item *item, size_t pos, int eof,
               size_t *used);
int cs_obtain(cs_File *f, cs_Handle *h, cs_Item *item, size_t pos, int dontwait,
              size_t *used);
ssize_t cs_receiveonce(cs_Handle *h, char *p, size_t n, int dontwait);
int cs_landcount(lua_State *L, cs_File *f, cs_Handle *h, const cs_Item *item,
                 int dontwait);
int cs_pushitem(lua_State *L, cs_File *f, const cs_Item *item, size_t pos,
                size_t used);
void cs_consume(cs_File *f, size_t n);

#endif
