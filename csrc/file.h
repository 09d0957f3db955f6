/* file: the object that makefile gives, as item, reader and writer see it. */

#ifndef cs_file_h
#define cs_file_h

#include <lua.h>
#include <stddef.h>
#include <stdint.h>

#include "mark.h"
#include "socket.h"

typedef struct cs_File {
  cs_Socket *sock; /* NULL: closed; user value CS_FILESOCKET keeps it */
  unsigned char reads, writes;
  unsigned char lined;    /* what has a newline in it is flushed at once */
  unsigned char timedout; /* and nothing has come since */
  unsigned char whole;    /* unbuffered, and yet a write sends all */
  unsigned char ended;    /* nothing will come: what there is, is there */
  unsigned char grown;    /* how often the memory at 'out' was doubled */
  size_t size;            /* bytes to buffer each way; 0: unbuffered */
  size_t maxline;         /* for lines without a limit of their own */
  char *in;               /* what came and was not read: start to end; of one
                          ** over a string that, user value CS_FILEDATA */
  size_t incap, start, end;
  uint64_t taken; /* bytes read, ever: the place of `start` in the stream */
  uint64_t cleanfrom, cleanto; /* places between which no line ends, */
  int cleanof;                 /* or no head: CS_LINE or CS_HEAD */
  char *out; /* what was written, not sent: sent to filled, `size` at most */
  size_t sent, filled;
  struct cs_File *tied; /* what it has is sent before a read waits; NULL: none.
                        ** User value CS_FILETIED keeps it */
  const char *format;   /* of the last record, and its steps: CS_FILEFORMAT */
  const struct cs_Step *steps; /* keeps both */
  unsigned formats;            /* how many there have been */
  uint32_t mark;               /* mark.h */
} cs_File;

extern const char cs_file_tag; /* its address is that of the class */

/* user values: the first is for the fields of subclasses */
enum {
  CS_FILESOCKET = 2,
  CS_FILEMODE,
  CS_FILETIED,
  CS_FILEFORMAT,
  CS_FILEVALUES = CS_FILEFORMAT,
  CS_FILEDATA
};

static inline size_t cs_unread(const cs_File *f) {
  return f->end - f->start;
}

static inline size_t cs_unsent(const cs_File *f) {
  return f->filled - f->sent;
}

/* The file at index 1, open or closed, of whatever class of files. */
static inline cs_File *cs_tofile(lua_State *L) {
  cs_File *f = cs_tomarked(L, 1, cs_File, &cs_file_tag);
  if (f == NULL) cs_typeerror(L, 1, "file");
  return f;
}

cs_File *cs_toopenfile(lua_State *L);
void cs_pushfileover(lua_State *L, int meta, int sock, int data);
void cs_pushfilesocket(lua_State *L);
int cs_endfile(cs_File *f);
void cs_abandonfile(lua_State *L, cs_File *f);
void cs_open_file(lua_State *L);

#endif
