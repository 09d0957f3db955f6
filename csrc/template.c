/* template: the format of a record, and how far what has come follows it.
** Bytes stand for themselves; %d, %x and %1 to %8 are numbers (decimal, as they
** are printed; hexadecimal; of so many bytes, the highest first), %s is as many
** bytes as the number before it says, %. is any byte, and a group in
** parentheses, the last of the format, comes as often as the number before it
** says.  %%, %( and %) stand for %, ( and ).
** Not here: waiting for more (record).
** Invariant: nothing is consumed; a look that goes on where the last one ended
** sees each byte once, but for a repetition of the group that was not whole. */

#include <lauxlib.h>
#include <limits.h>
#include <string.h>

#include "error.h"
#include "template.h"

#define TOO_LARGE ((size_t)1 << 59) /* what no number of bytes is */

enum { END, BYTE, ANY, DECIMAL, HEX, BINARY, STRING, GROUP, AGAIN };

/*
** Reading formats
*/

static int kind_of(char c, char next) {
  if (c == '(') return GROUP;
  if (c == ')') return AGAIN;
  if (c != '%') return BYTE;
  if (next >= '1' && next <= '8') return BINARY;
  switch (next) {
  case 'd':
    return DECIMAL;
  case 'x':
    return HEX;
  case 's':
    return STRING;
  case '.':
    return ANY;
  default:
    return next != '\0' && strchr("%()", next) != NULL ? BYTE : END;
  }
}

/* May a step follow that one?  What a string or a group wants is a number, and
** what a number in digits wants is something to tell its end: no other one, nor
** a group, which may be there no time at all.  'number' and 'group' are whether
** there was a number, not used by now, and how many parentheses there were;
** both are of what is before. */
static int may_follow(int kind, int before, int number, int group) {
  int open = before == DECIMAL || before == HEX;
  switch (kind) {
  case STRING:
    return number && !open;
  case DECIMAL:
  case HEX:
    return group < 2 && !open;
  case GROUP:
    return number && group == 0 && !open;
  case AGAIN:
    return group == 1 && !open && before != GROUP;
  case END:
    return group != 1 && !open;
  default:
    return group < 2;
  }
}

/* From a format to its steps: is it one?  An empty one is not, since records
** would never come to an end of what is never there. */
static int read_format(const char *format, size_t len, cs_Step *step) {
  int before = BYTE, number = 0, group = 0, kind;
  for (size_t i = 0; i < len; i++, step++, before = kind) {
    step->place = (unsigned short)i;
    kind = kind_of(format[i], format[i + 1]);
    if (kind == END || !may_follow(kind, before, number, group)) return 0;
    if (kind >= DECIMAL && kind <= BINARY) number = 1;
    if (kind >= STRING) number = 0;
    if (kind >= GROUP) group++;
    i += format[i] == '%';
    step->kind = (unsigned char)kind;
    step->byte = (unsigned char)format[i];
  }
  step->kind = END;
  step->place = (unsigned short)len;
  return len > 0 && may_follow(END, before, number, group);
}

/* The steps of the format at 'arg', or an argument error.  The file at index 1
** keeps those of the last one, which is known by its address. */
const cs_Step *cs_checktemplate(lua_State *L, cs_File *f, int arg) {
  size_t len;
  const char *format = luaL_checklstring(L, arg, &len);
  cs_Step *steps;
  if (format == f->format) return f->steps;
  luaL_argcheck(L, len < USHRT_MAX, arg, "format too long");
  steps = lua_newuserdatauv(L, (len + 1) * sizeof *steps, 1);
  luaL_argcheck(L, read_format(format, len, steps), arg, "invalid format");
  lua_pushvalue(L, arg);
  lua_setiuservalue(L, -2, 1);
  lua_setiuservalue(L, 1, CS_FILEFORMAT);
  f->format = format;
  f->steps = steps;
  f->formats++;
  return steps;
}

/*
** Numbers: CS_WHOLE, with the number in n, and p behind it
*/

typedef struct Number {
  const char *p;
  size_t n;
} Number;

static int digit_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  c = (char)(c | ' ');
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static int see_digits(Number *m, const char *end, int base) {
  const char *first = m->p;
  int digit;
  for (; m->p < end && (digit = digit_of(*m->p)) < base; m->p++) {
    if (m->p - first >= 18 || m->n >= TOO_LARGE / 16) return CS_DIFFERENT;
    m->n = m->n * (size_t)base + (size_t)digit;
  }
  if (base == 10 && m->p - first > 1 && *first == '0') return CS_DIFFERENT;
  if (m->p == end) return CS_PARTIAL;
  return m->p == first ? CS_DIFFERENT : CS_WHOLE;
}

static int see_bytes(Number *m, const char *end, int size) {
  if (end - m->p < size) return CS_PARTIAL;
  for (; size > 0; size--) {
    if (m->n >= TOO_LARGE / 256) return CS_DIFFERENT;
    m->n = m->n << 8 | (unsigned char)*m->p++;
  }
  return CS_WHOLE;
}

/* A decimal number of one digit is the most frequent. */
static inline int see_number(Number *m, const char *end, const cs_Step *step) {
  const char *p = m->p;
  if (step->kind == BINARY) return see_bytes(m, end, step->byte - '0');
  if (step->kind == HEX) return see_digits(m, end, 16);
  if (end - p < 2 || (unsigned)*p - '0' > 9 || (unsigned)p[1] - '0' <= 9)
    return see_digits(m, end, 10);
  m->n = (size_t)(*p - '0');
  m->p++;
  return CS_WHOLE;
}

/*
** Looking
*/

/* A collection may run any function, and so one that reads this file, or has it
** keep the steps of another format.  What it has read may have been at the same
** address, and so may these. */
static void push_string(lua_State *L, const cs_File *f, cs_Template *t,
                        const char *p, size_t n) {
  const char *in = f->in;
  unsigned formats = f->formats;
  size_t start = f->start;
  uint64_t taken = f->taken;
  cs_pushreceived(L, f->sock->h.loop, p, n);
  if (f->in != in || f->start != start || f->taken != taken ||
      f->formats != formats)
    luaL_error(L, "file was read by a finalizer");
  t->strings++;
  if (t->list != 0)
    lua_rawseti(L, t->list, (lua_Integer)t->strings);
  else
    luaL_checkstack(L, LUA_MINSTACK, "too many strings");
}

/* What has come, and how far the look is. */
typedef struct Look {
  const char *front, *p, *end;
  const cs_Step *step;
} Look;

/* Where the record is no further one: 'p' is there in what has come. */
static int stop(cs_Template *t, const Look *l, const char *p,
                const cs_Step *step, int state) {
  t->used = (size_t)(p - l->front);
  t->place = step->place;
  return state;
}

static int see_all(lua_State *L, const cs_File *f, cs_Template *t,
                   const Look *l) {
  const char *p = l->p, *end = l->end, *digits = p;
  const cs_Step *step = l->step, *number = step, *group = step;
  size_t n = 0, have;
  Number m;
  int state;
  for (step += t->seen > 0;; step++) {
    switch (step->kind) {
    case END:
      return stop(t, l, p, step, CS_WHOLE);
    case BYTE:
      if (p == end) return CS_PARTIAL;
      if ((unsigned char)*p != step->byte)
        return stop(t, l, p, step, CS_DIFFERENT);
      p++;
      break;
    case ANY:
      if (p++ == end) return CS_PARTIAL;
      break;
    case STRING:
      have = (size_t)(end - p);
      if (n > t->longest) return stop(t, l, digits, number, CS_DIFFERENT);
      if (have < n) t->missing = n - have;
      if (have < n) return CS_PARTIAL;
      if (L != NULL) push_string(L, f, t, p, n);
      p += n;
      break;
    case GROUP:
      if (n > t->most) return stop(t, l, digits, number, CS_DIFFERENT);
      t->left = n + 1;
      group = step; /* fall through */
    case AGAIN:
      step = --t->left > 0 ? group : step;
      t->seen = (size_t)(p - l->front);
      if (t->left == 0) return stop(t, l, p, step, CS_WHOLE);
      break;
    default:
      number = step;
      m.p = digits = p;
      m.n = 0;
      state = see_number(&m, end, step);
      if (state != CS_WHOLE) return stop(t, l, digits, step, state);
      p = m.p; /* these two stay in registers */
      n = m.n;
    }
  }
}

/* See how far what the file has follows the format: the state, also in 't'.
** With L the strings are pushed, or put into the list; such a look is one from
** the beginning. */
int cs_follow(lua_State *L, const cs_File *f, cs_Template *t) {
  const char *front = f->in == NULL ? "" : f->in + f->start;
  Look l = {front, front + t->seen, front + cs_unread(f), t->steps};
  if (t->seen > 0)
    while (l.step->kind != GROUP) l.step++;
  t->missing = 1;
  t->state = see_all(L, f, t, &l);
  return t->state;
}
