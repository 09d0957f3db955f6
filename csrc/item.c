/* item: a piece at the front of what comes through a file (a line, a count, a
** number): to measure it in what is there, to receive until it is whole, to
** push it.  All reading is made of that.
** Not here: arguments, results, failures (reader).
** Invariant: bytes leave the file's memory by cs_consume alone, when the
** results that they make are on the Lua stack; so whatever ends a read before
** that (a timeout, a cancellation) loses none. */

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "item.h"

#define CHUNK     65536  /* what a receive call may ask for beyond the buffer */
#define BIGCHUNK  262144 /* the same when all is wanted */
#define PEEK      4096   /* to look ahead on an unbuffered file */
#define MAXNUMBER 200    /* characters that are no number any more */
#define CALLS     16     /* before others get their turn */

/*
** Memory
*/

/* Make room for 'n' bytes behind what is there: 0 or -ENOMEM. */
static int make_room(cs_File *f, size_t n) {
  size_t have = cs_unread(f), cap = f->incap;
  char *in;
  if (cap - f->end >= n) return 0;
  if (f->start > 0 && f->start >= have) { /* never more than has been read */
    memcpy(f->in, f->in + f->start, have);
    f->start = 0;
    f->end = have;
    if (cap - have >= n) return 0;
  }
  cap = cap * 2 > f->end + n ? cap * 2 : f->end + n;
  in = realloc(f->in, cap);
  if (in == NULL) return -ENOMEM;
  f->in = in;
  f->incap = cap;
  return 0;
}

/* What lies 'pos' bytes from the front. */
static const char *at(const cs_File *f, size_t pos) {
  return f->in == NULL ? "" : f->in + f->start + pos;
}

/* Let 'n' bytes go.  Memory that only a large item needed goes too. */
void cs_consume(cs_File *f, size_t n) {
  f->start += n;
  f->taken += n;
  if (f->start < f->end) return;
  f->start = f->end = 0;
  if (f->incap > CHUNK && f->incap > 2 * f->size && !f->ended) {
    free(f->in);
    f->in = NULL;
    f->incap = 0;
  }
}

/*
** Measuring: 1 when the item is whole, its length in *used; 0 when more has to
** come, which it does not if 'eof'; or -errno.
*/

/* Is the line that a newline ends empty, or nothing but a carriage return? */
static int is_empty(const char *p, const char *newline) {
  if (newline > p && newline[-1] == '\r') newline--;
  return newline == p || newline[-1] == '\n';
}

/* The newline that ends a line, or a head, of which the first 'from' bytes need
** no look; NULL. */
static const char *find_end(const char *p, size_t from, size_t len, int head) {
  const char *end = p + len, *newline = p + from;
  while (newline < end) {
    newline = memchr(newline, '\n', (size_t)(end - newline));
    if (newline == NULL || !head || is_empty(p, newline)) return newline;
    newline++;
  }
  return NULL;
}

/* What is known to be without an end is not looked through again, or a long
** line that comes byte by byte would take the square of its length. */
static int measure_line(cs_File *f, const cs_Item *item, const char *p,
                        size_t len, uint64_t place, int eof, size_t *used) {
  int kind = item->kind == CS_HEAD ? CS_HEAD : CS_LINE;
  size_t limit = item->n > 0 ? item->n : f->maxline;
  size_t window = len < limit ? len : limit, from = 0;
  const char *end;
  if (f->cleanfrom == place && f->cleanto > place && f->cleanof == kind)
    from = (size_t)(f->cleanto - place);
  end = find_end(p, from, window, kind == CS_HEAD);
  if (end != NULL) {
    *used = (size_t)(end - p) + 1;
    return 1;
  }
  f->cleanof = kind;
  f->cleanfrom = place;
  f->cleanto = place + window;
  *used = window;
  if (len >= limit) return item->n > 0 ? 1 : -EMSGSIZE;
  return eof;
}

typedef struct Numeral {
  const char *p, *end;
  int ranout; /* what comes next would have mattered */
  size_t n;
  char text[MAXNUMBER + 1];
} Numeral;

static int next_is(Numeral *m, const char *set) {
  if (m->p == m->end) {
    m->ranout = 1;
    return 0;
  }
  return *m->p != '\0' && strchr(set, *m->p) != NULL;
}

/* Take the next character if it is one of 'set', and not one too many. */
static int take_one(Numeral *m, const char *set) {
  if (!next_is(m, set)) return 0;
  if (m->n >= MAXNUMBER) return 0;
  m->text[m->n++] = *m->p++;
  m->text[m->n] = '\0';
  return 1;
}

static int take_digits(Numeral *m, int hex) {
  int n = 0;
  while (take_one(m, hex ? "0123456789abcdefABCDEF" : "0123456789")) n++;
  return n;
}

/* The longest prefix that looks like a numeral, by the rules of Lua's io: what
** turns out to be none is taken as well. */
static int measure_number(const char *p, size_t len, int eof, Numeral *m,
                          size_t *used) {
  int digits = 0, hex = 0;
  memset(m, 0, sizeof *m);
  m->p = p;
  m->end = p + len;
  while (next_is(m, " \t\n\v\f\r"))
    if ((size_t)(++m->p - p) >= CHUNK) return -EMSGSIZE;
  take_one(m, "-+");
  if (take_one(m, "0")) {
    hex = take_one(m, "xX");
    digits = !hex;
  }
  digits += take_digits(m, hex);
  if (take_one(m, ".")) digits += take_digits(m, hex);
  if (digits > 0 && take_one(m, hex ? "pP" : "eE")) {
    take_one(m, "-+");
    take_digits(m, 0);
  }
  *used = (size_t)(m->p - p);
  return eof || !m->ranout;
}

/* One that is not whole at the end has no length. */
static int measure_record(cs_File *f, cs_Template *t, int eof, size_t *used) {
  int state = cs_follow(NULL, f, t);
  *used = state == CS_WHOLE ? t->used : 0;
  return eof || state != CS_PARTIAL;
}

/* Measure the item that begins 'pos' bytes from the front. */
int cs_measure(cs_File *f, const cs_Item *item, size_t pos, int eof,
               size_t *used) {
  const char *p = at(f, pos);
  size_t len = cs_unread(f) - pos;
  Numeral m;
  *used = len;
  if (len == 0 && eof) return 1;
  switch (item->kind) {
  case CS_COUNT:
    if (len >= item->n) *used = item->n;
    return eof || len >= item->n;
  case CS_SOME:
    if (len > item->n) *used = item->n;
    return eof || len > 0;
  case CS_PROBE:
    *used = 0;
    return eof || len > 0;
  case CS_ALL:
    return eof;
  case CS_RECORD:
    return measure_record(f, item->format, eof, used);
  case CS_NUMBER:
    return len == 0 ? 0 : measure_number(p, len, eof, &m, used);
  default:
    if (len == 0) return 0;
    return measure_line(f, item, p, len, f->taken + pos, eof, used);
  }
}

/* Push an item that has been measured; 0 if that is Lua's nil. */
int cs_pushitem(lua_State *L, cs_File *f, const cs_Item *item, size_t pos,
                size_t used) {
  const char *p = at(f, pos);
  if (item->kind == CS_NUMBER) {
    Numeral m;
    size_t same;
    if (used > 0 && measure_number(p, used, 1, &m, &same) == 1 &&
        m.n < MAXNUMBER && lua_stringtonumber(L, m.text) != 0)
      return 1;
  } else if (used > 0 || !item->formal || item->kind == CS_ALL ||
             (item->kind == CS_PROBE && item->n > 0)) {
    if (item->kind == CS_CHOP && p[used - 1] == '\n') used--;
    cs_pushreceived(L, cs_loop(L), p, used);
    return 1;
  }
  luaL_pushfail(L);
  return 0;
}

/*
** Receiving
*/

/* How much to ask for.  A buffered file never reads ahead by more than its
** size, an unbuffered one not at all. */
static size_t appetite(const cs_File *f, const cs_Item *item, size_t pos) {
  size_t have = cs_unread(f) - pos, most = have > CHUNK ? have : CHUNK, n;
  if (most > BIGCHUNK) most = BIGCHUNK;
  if (item->kind == CS_ALL) return have < 8192 ? 8192 : most;
  if (item->kind != CS_COUNT && item->kind != CS_RECORD)
    return f->size > 0 ? f->size : 1;
  n = item->kind == CS_COUNT ? item->n - have : item->format->missing;
  if (n > most) n = most;
  return n > f->size ? n : f->size;
}

/* Receive once, at most 'n' bytes: how many, or -errno. */
ssize_t cs_receiveonce(cs_Handle *h, char *p, size_t n, int dontwait) {
  ssize_t got = recv(h->source.fd, p, n, dontwait);
  if (got < 0) return -errno;
  cs_notereceived((cs_Socket *)h, got, 0);
  cs_noteshort((cs_Socket *)h, (size_t)got, n, 0);
  return got;
}

/* The same behind what is there: 1, 0 at the end, -errno; *drained if there is
** no more. */
static int fill(cs_File *f, cs_Handle *h, size_t n, int dontwait,
                int *drained) {
  int err = make_room(f, n);
  ssize_t got;
  if (err != 0) return err;
  got = cs_receiveonce(h, f->in + f->end, n, dontwait);
  if (got < 0) return (int)got;
  *drained = (size_t)got < n && (h->source.idle & CS_READ);
  f->end += (size_t)got;
  return got > 0;
}

/* A large count, of which nothing is there, may come with one call: then it
** has landed where its string will be, and is pushed, 1.  What is less is kept
** as ever, and the usual way goes on from there: 0, or -errno. */
int cs_landcount(lua_State *L, cs_File *f, cs_Handle *h, const cs_Item *item,
                 int dontwait) {
  char *landing;
  ssize_t got;
  if (item->kind != CS_COUNT || item->n < CS_WORTH || item->n < f->size ||
      item->n > CHUNK || cs_unread(f) > 0 ||
      h->loop->landing.head == 0) /* to push it might fail */
    return 0;
  landing = cs_land(L, &h->loop->landing, item->n);
  /* that may have run finalizers */
  if (cs_unread(f) > 0 || f->ended || f->sock == NULL) return 0;
  if (make_room(f, item->n) != 0) return -ENOMEM;
  got = cs_receiveonce(h, landing, item->n, dontwait);
  if (got <= 0) return (int)got;
  f->timedout = 0;
  if ((size_t)got == item->n) {
    f->taken += item->n;
    cs_pushreceived(L, h->loop, landing, item->n);
    return 1;
  }
  memcpy(f->in + f->end, landing, (size_t)got);
  f->end += (size_t)got;
  if (!dontwait) return -EINTR; /* as cs_obtain */
  return h->source.idle & CS_READ ? -CS_EMORE : 0;
}

/* For an item whose end is not known before it is seen, on a file that must not
** read beyond it: look first, then take.  2 when it is whole. */
static int fill_exactly(cs_File *f, cs_Handle *h, const cs_Item *item,
                        size_t pos, int dontwait, size_t *used) {
  size_t have = cs_unread(f), want;
  ssize_t seen, got;
  int whole = make_room(f, PEEK);
  if (whole != 0) return whole;
  seen = recv(h->source.fd, f->in + f->end, PEEK, MSG_PEEK | dontwait);
  if (seen <= 0) return seen < 0 ? -errno : 0;
  f->end += (size_t)seen;
  whole = cs_measure(f, item, pos, 0, used);
  f->end -= (size_t)seen;
  if (whole < 0) return whole;
  want = !whole ? (size_t)seen : pos + *used > have ? pos + *used - have : 0;
  if (want == 0) return 2;
  got = recv(h->source.fd, f->in + f->end, want, MSG_DONTWAIT);
  if (got < (ssize_t)want) { /* others read too */
    f->cleanto = f->cleanfrom;
    if (item->kind == CS_RECORD) item->format->seen = 0;
  }
  if (got < 0) return -errno;
  cs_notereceived((cs_Socket *)h, got, 0);
  f->end += (size_t)got;
  if (whole && (size_t)got == want) return 2;
  return got > 0;
}

/* Bring the item that begins 'pos' bytes from the front together, and measure
** it: 0, or -errno.  Where the system would wait, it does so only once, so that
** the hooks of a signal that came meanwhile need not. */
int cs_obtain(cs_File *f, cs_Handle *h, cs_Item *item, size_t pos, int dontwait,
              size_t *used) {
  int exactly = f->size == 0 && item->kind >= CS_LINE;
  int eof = f->ended, drained = 0, calls = 0, n;
  if (f->sock == NULL) return -EBADF;
  while ((n = cs_measure(f, item, pos, eof, used)) == 0) {
    if (calls >= CALLS) return -CS_ETURN;
    if (calls > 0 && !dontwait) return -EINTR;
    if (drained) return -CS_EMORE;
    if (exactly)
      n = fill_exactly(f, h, item, pos, dontwait, used);
    else
      n = fill(f, h, appetite(f, item, pos), dontwait, &drained);
    if (n < 0) return n == -EAGAIN && calls > 0 ? -CS_EMORE : n;
    if (n > 0) f->timedout = 0;
    if (n == 2) return 0;
    calls++;
    eof = n == 0;
  }
  if (eof && item->kind == CS_PROBE && cs_unread(f) == pos) item->n = 0;
  return n < 0 ? n : 0;
}
