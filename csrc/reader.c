/* reader: what a file reads: Python's methods and Lua's formats, each made of
** items.
** Not here: how an item is found and received (item).
** Invariant: an attempt consumes in one step with its results or not at all;
** how far it has got is on the Lua stack, and good for as long as nobody else
** has consumed meanwhile. */

#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/socket.h>

#include "buffer.h"
#include "drive.h"
#include "error.h"
#include "file.h"
#include "item.h"
#include "reader.h"
#include "writer.h"

/* an errno for cs_failedread alone */
#define TIMEDOUT_BEFORE 0x10010

/*
** Failing
*/

/* A file that a read has timed out on waits no more (CPython's issue 7322: it
** "must disallow further reads"), until something comes again. */
int cs_failedread(lua_State *L, cs_Handle *h, int err) {
  cs_File *f = lua_touserdata(L, 2);
  if (err == TIMEDOUT_BEFORE)
    return cs_failtext(L, h->safe, "cannot read from timed out object", "read");
  if (err == CS_ETIMEOUT) f->timedout = 1;
  return cs_fail(L, h->safe, err, "read", 0);
}

/* Carry out a read whose stack is ready, the file at 2 and its socket, which it
** may have lost meanwhile, at 1; what the tied file had is sent. */
int cs_readnow(lua_State *L, const cs_File *f, cs_Handle *h, const cs_Op *op) {
  int n;
  if (!f->timedout) return cs_drive(L, h, op);
  do n = op->attempt(L, h, MSG_DONTWAIT);
  while (n == -EINTR);
  if (n >= 0) return n;
  if (n != -EAGAIN && n != -CS_EMORE && n != -CS_ETURN)
    return op->failed(L, h, -n);
  if (f->timedout) return op->failed(L, h, TIMEDOUT_BEFORE);
  return cs_drive(L, h, op);
}

/* Send what the tied file has collected, the reading one being at 2.  Where
** that takes a wait, 'k' goes on after it, its results are pushed, their number
** in *n, and 1 is returned; otherwise 0. */
int cs_sendtied(lua_State *L, const cs_File *f, lua_KContext ctx,
                lua_KFunction k, int *n) {
  cs_File *tied = f->tied;
  if (tied == NULL || tied->sock == NULL || cs_flushnow(L, tied) == 0) return 0;
  lua_pushcfunction(L, cs_flushfile);
  lua_getiuservalue(L, 2, CS_FILETIED);
  lua_callk(L, 1, 2, ctx, k);
  *n = k(L, LUA_OK, ctx);
  return 1;
}

/* For 'k': what flush has returned is on top, and goes, 0; or it is an error,
** nil behind an error object, that of the whole operation: their number. */
int cs_wassent(lua_State *L) {
  const cs_Handle *h = lua_touserdata(L, 1);
  if (lua_toboolean(L, -2)) {
    lua_pop(L, 2);
    return 0;
  }
  return cs_issafe(L, h->safe) ? 2 : lua_error(L);
}

static int sent(lua_State *L, int status, lua_KContext op) {
  int n = cs_wassent(L);
  (void)status;
  if (n > 0) return n;
  return cs_readnow(L, lua_touserdata(L, 2), lua_touserdata(L, 1),
                    (const cs_Op *)op);
}

/* The same for an open file, when that has been sent. */
int cs_read(lua_State *L, const cs_File *f, const cs_Op *op) {
  int n;
  if (cs_sendtied(L, f, (lua_KContext)op, sent, &n)) return n;
  return cs_readnow(L, f, &f->sock->h, op);
}

/* The file at index 1, which must be one to read. */
cs_File *cs_toreader(lua_State *L) {
  cs_File *f = cs_toopenfile(L);
  if (!f->reads) cs_misuse(L, "file is not readable");
  return f;
}

/*
** One item: socket, file, kind, n, formal
*/

static void load_item(lua_State *L, cs_Item *item) {
  item->kind = (int)lua_tointeger(L, 3);
  item->n = (size_t)lua_tointeger(L, 4);
  item->formal = lua_toboolean(L, 5);
}

static int try_item(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  cs_Item item;
  size_t used;
  int n;
  load_item(L, &item);
  n = cs_landcount(L, f, h, &item, dontwait);
  if (n != 0) return n;
  n = cs_obtain(f, h, &item, 0, dontwait, &used);
  if (n < 0) return n;
  cs_pushitem(L, f, &item, 0, used);
  cs_consume(f, used);
  return 1;
}

/* On a non-blocking socket Python's methods give None; as much of a count as
** there is, though.  A format's nil would say that it is the end. */
static int failed_item(lua_State *L, cs_Handle *h, int err) {
  cs_File *f = lua_touserdata(L, 2);
  cs_Item item;
  size_t used;
  load_item(L, &item);
  if (err != EAGAIN || item.formal) return cs_failedread(L, h, err);
  if (item.kind <= CS_ALL && cs_unread(f) > 0) {
    cs_measure(f, &item, 0, 1, &used);
    cs_pushitem(L, f, &item, 0, used);
    cs_consume(f, used);
  } else
    luaL_pushfail(L);
  return 1;
}

static const cs_Op op_item = {"read", CS_READ, 0, try_item, failed_item, 0};

/* One receive call, straight into the string. */
static int try_some(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  size_t size = (size_t)lua_tointeger(L, 4);
  char *landing;
  ssize_t n;
  if (f->sock == NULL) return -EBADF;
  if (cs_unread(f) > 0 || f->ended) return try_item(L, h, dontwait);
  if (size > CS_PIECE) size = CS_PIECE;
  landing = cs_land(L, &h->loop->landing, size);
  n = cs_receiveonce(h, landing, size, dontwait);
  if (n < 0) return (int)n;
  if (n > 0) f->timedout = 0;
  f->taken += (size_t)n;
  cs_pushreceived(L, h->loop, landing, (size_t)n);
  return 1;
}

static const cs_Op op_some = {"read", CS_READ, 0, try_some, failed_item, 0};

/* Push an item of the file at index 1.  All of a string is that string. */
static void push_item(lua_State *L, cs_File *f, const cs_Item *item,
                      size_t used) {
  if (f->ended && item->kind == CS_ALL && used == f->incap)
    lua_getiuservalue(L, 1, CS_FILEDATA);
  else
    cs_pushitem(L, f, item, 0, used);
}

/* Read one item; what is there already takes no driver. */
static int read_item(lua_State *L, cs_File *f, int kind, size_t n, int formal) {
  cs_Item item = {kind, formal, n, NULL};
  int eof = f->ended && cs_unread(f) > 0; /* no more is to be waited for */
  size_t used;
  if (cs_measure(f, &item, 0, eof, &used) == 1) {
    push_item(L, f, &item, used);
    cs_consume(f, used);
    return 1;
  }
  lua_settop(L, 1);
  cs_pushfilesocket(L);
  lua_pushinteger(L, kind);
  lua_pushinteger(L, (lua_Integer)n);
  lua_pushboolean(L, formal);
  return cs_read(L, f, kind == CS_SOME ? &op_some : &op_item);
}

/*
** Several formats: socket, file, place, bytes measured, number of formats, the
** formats, the results so far.  Nothing is consumed before the last one.
*/

/* A format at 'arg', or an argument error. */
static void check_format(lua_State *L, int arg, cs_Item *item) {
  const char *s;
  item->n = 0; /* of lines: maxline */
  item->formal = 1;
  if (lua_type(L, arg) == LUA_TNUMBER) {
    lua_Integer n = luaL_checkinteger(L, arg);
    luaL_argcheck(L, n >= 0, arg, "size cannot be negative");
    item->kind = n > 0 ? CS_COUNT : CS_PROBE;
    item->n = n > 0 ? (size_t)n : 1;
    return;
  }
  s = luaL_checkstring(L, arg);
  if (*s == '*') s++; /* as Lua's io: what Lua 5.1 wanted is let pass */
  switch (*s) {
  case 'l':
    item->kind = CS_CHOP;
    return;
  case 'L':
    item->kind = CS_LINE;
    return;
  case 'n':
    item->kind = CS_NUMBER;
    return;
  case 'a':
    item->kind = CS_ALL;
    return;
  default:
    luaL_argerror(L, arg, "invalid format");
  }
}

static void set_integer(lua_State *L, int index, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_replace(L, index);
}

/* Where the unfinished read is in what has come.  If another task has read
** meanwhile it begins again, from an empty 'top'. */
static size_t get_position(lua_State *L, const cs_File *f, int top) {
  if ((uint64_t)lua_tointeger(L, 3) != f->taken) {
    lua_settop(L, top);
    set_integer(L, 3, f->taken);
    set_integer(L, 4, 0);
  }
  return (size_t)lua_tointeger(L, 4);
}

static int try_formats(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  int formats = (int)lua_tointeger(L, 5), top = 5 + formats, more = 1;
  size_t pos = get_position(L, f, top), used;
  if (f->sock == NULL) return -EBADF;
  while (more && lua_gettop(L) < top + formats) {
    cs_Item item;
    int n;
    check_format(L, lua_gettop(L) - formats + 1, &item);
    n = cs_obtain(f, h, &item, pos, dontwait, &used);
    if (n < 0) {
      set_integer(L, 4, pos);
      return n;
    }
    more = cs_pushitem(L, f, &item, pos, used);
    pos += used;
  }
  cs_consume(f, pos);
  return lua_gettop(L) - top;
}

static const cs_Op op_formats = {"read",      CS_READ,       0,
                                 try_formats, cs_failedread, 0};

/* Lua's read: the file at 1, formats behind it. */
static int read_formats(lua_State *L, cs_File *f) {
  int formats = lua_gettop(L) - 1;
  cs_Item item;
  for (int arg = 2; arg <= formats + 1; arg++) check_format(L, arg, &item);
  if (formats == 1) return read_item(L, f, item.kind, item.n, 1);
  luaL_checkstack(L, formats + LUA_MINSTACK, "too many formats");
  cs_pushfilesocket(L);
  lua_pushinteger(L, (lua_Integer)f->taken);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, formats);
  lua_rotate(L, 3, 3);
  return cs_read(L, f, &op_formats);
}

/* f:read([n]) -> n bytes, fewer at the end, and "" there; without n, or with
** a negative one, all to the end (Python's read; an unbuffered file gives what
** one receive call brings).
** f:read(format...) -> Lua's: "l", "L", "n", "a", or of several also a count;
** nil at the end. */
static int file_read(lua_State *L) {
  cs_File *f = cs_toreader(L);
  lua_Integer n;
  if (lua_gettop(L) > 2 || lua_type(L, 2) == LUA_TSTRING)
    return read_formats(L, f);
  n = luaL_optinteger(L, 2, -1);
  if (n < 0) return read_item(L, f, CS_ALL, 0, 0);
  if (n == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  return read_item(L, f, f->size == 0 ? CS_SOME : CS_COUNT, (size_t)n, 0);
}

/* f:read1([n]) -> up to n bytes (the buffer's size), of which what is there
** will do, else what one receive call brings; "" at the end. */
static int file_read1(lua_State *L) {
  cs_File *f = cs_toreader(L);
  lua_Integer n = luaL_optinteger(L, 2, -1);
  if (n < 0) n = f->size > 0 ? (lua_Integer)f->size : CS_PIECE;
  if (n == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  return read_item(L, f, CS_SOME, (size_t)n, 0);
}

/* Of a line or a head no more than the limit at index 2, if there is one. */
static int read_lines(lua_State *L, int kind) {
  cs_File *f = cs_toreader(L);
  lua_Integer limit = luaL_optinteger(L, 2, -1);
  if (limit == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  return read_item(L, f, kind, limit > 0 ? (size_t)limit : 0, 0);
}

/* f:readline([limit]) -> a line with its newline, "" at the end.  `limit`: of
** no more bytes than that, the rest of the line being the next one. */
static int file_readline(lua_State *L) {
  return read_lines(L, CS_LINE);
}

/* f:readhead([limit]) -> lines, with the empty one that ends them: what a
** message of HTTP or mail begins with; less at the end, and "" there.  `limit`:
** of no more bytes than that. */
static int file_readhead(lua_State *L) {
  return read_lines(L, CS_HEAD);
}

/* f:take(data...) -> true if what has come begins with these strings, one
** behind the other: they are read then; otherwise false, and nothing is read.
** It never waits. */
static int file_take(lua_State *L) {
  cs_File *f = cs_toreader(L);
  size_t have = cs_unread(f), pos = 0, len;
  const char *in = have > 0 ? f->in + f->start : "";
  int top = lua_gettop(L), same = 1, arg = 2;
  do {
    const char *data;
    if (lua_type(L, arg) != LUA_TSTRING) return cs_typeerror(L, arg, "string");
    data = lua_tolstring(L, arg, &len);
    same = same && len <= have - pos && memcmp(in + pos, data, len) == 0;
    pos += len;
  } while (++arg <= top);
  if (same) cs_consume(f, pos);
  lua_pushboolean(L, same);
  return 1;
}

/* f() -> the next line with its newline, nil at the end: a file is its own
** iterator, and as such always raises what goes wrong. */
static int file_next(lua_State *L) {
  return read_item(L, cs_toreader(L), CS_LINE, 0, 1);
}

/* Upvalues: the loop, false (cs_issafe), the number of formats, the file, the
** formats. */
static int next_formats(lua_State *L) {
  int n = (int)lua_tointeger(L, lua_upvalueindex(3));
  lua_settop(L, 0);
  luaL_checkstack(L, n + LUA_MINSTACK, "too many formats");
  for (int i = 0; i <= n; i++) lua_pushvalue(L, lua_upvalueindex(4 + i));
  return read_formats(L, cs_toreader(L));
}

/* f:lines([format...]) -> an iterator over what f:read(format...) gives by
** Lua's rules; "l".  As Lua's it raises what goes wrong, always. */
static int file_lines(lua_State *L) {
  int n = lua_gettop(L) - 1;
  cs_Item item;
  cs_toreader(L);
  luaL_argcheck(L, n <= 250, 252, "too many arguments");
  for (int arg = 2; arg <= n + 1; arg++) check_format(L, arg, &item);
  if (n == 0) {
    lua_pushliteral(L, "l");
    n = 1;
  }
  cs_pushloop(L);
  lua_pushboolean(L, 0);
  lua_pushinteger(L, n);
  lua_rotate(L, 1, 3);
  lua_pushcclosure(L, next_formats, n + 4);
  return 1;
}

/*
** readlines: socket, file, place, bytes measured, hint, list
*/

static int try_readlines(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  lua_Integer hint = lua_tointeger(L, 5);
  cs_Item item = {CS_LINE, 1, 0, NULL};
  size_t pos = get_position(L, f, 5), used;
  int more = 1;
  if (f->sock == NULL) return -EBADF;
  if (lua_gettop(L) < 6) lua_newtable(L);
  while (more && (hint <= 0 || pos < (size_t)hint)) {
    int n = cs_obtain(f, h, &item, pos, dontwait, &used);
    if (n < 0) {
      set_integer(L, 4, pos);
      return n;
    }
    more = cs_pushitem(L, f, &item, pos, used);
    pos += used;
    lua_rawseti(L, 6, (lua_Integer)lua_rawlen(L, 6) + 1); /* nil adds none */
  }
  cs_consume(f, pos);
  return 1;
}

/* On a non-blocking socket the lines that are there. */
static int failed_readlines(lua_State *L, cs_Handle *h, int err) {
  cs_File *f = lua_touserdata(L, 2);
  if (err != EAGAIN) return cs_failedread(L, h, err);
  cs_consume(f, (size_t)lua_tointeger(L, 4));
  if (lua_rawlen(L, 6) == 0) luaL_pushfail(L);
  return 1;
}

static const cs_Op op_readlines = {"read",        CS_READ,          0,
                                   try_readlines, failed_readlines, 0};

/* f:readlines([hint]) -> a list of lines with their newlines, to the end, or
** until `hint` bytes or more are in it. */
static int file_readlines(lua_State *L) {
  cs_File *f = cs_toreader(L);
  lua_Integer hint = luaL_optinteger(L, 2, 0);
  lua_settop(L, 1);
  cs_pushfilesocket(L);
  lua_pushinteger(L, (lua_Integer)f->taken);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, hint);
  return cs_read(L, f, &op_readlines);
}

/*
** readinto: socket, file, buffer
*/

/* Copy what has come, up to the buffer's size; push how much it was. */
static int copy_into(lua_State *L, cs_File *f, cs_Buffer *b) {
  size_t n = cs_unread(f) < b->size ? cs_unread(f) : b->size;
  if (n > 0) memcpy(b->data, f->in + f->start, n);
  cs_consume(f, n);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static int try_readinto(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  cs_Buffer *b = lua_touserdata(L, 3);
  cs_Item item = {CS_COUNT, 0, b->size, NULL};
  size_t used;
  ssize_t got;
  if (f->size > 0) {
    int n = cs_obtain(f, h, &item, 0, dontwait, &used);
    return n < 0 ? n : copy_into(L, f, b);
  }
  if (f->sock == NULL) return -EBADF;
  if (cs_unread(f) > 0) return copy_into(L, f, b);
  got = cs_receiveonce(h, b->data, b->size, dontwait);
  if (got < 0) return (int)got;
  if (got > 0) f->timedout = 0;
  f->taken += (size_t)got;
  lua_pushinteger(L, (lua_Integer)got);
  return 1;
}

static int failed_readinto(lua_State *L, cs_Handle *h, int err) {
  cs_File *f = lua_touserdata(L, 2);
  if (err != EAGAIN) return cs_failedread(L, h, err);
  if (cs_unread(f) > 0) return copy_into(L, f, lua_touserdata(L, 3));
  luaL_pushfail(L);
  return 1;
}

static const cs_Op op_readinto = {"read",       CS_READ,         0,
                                  try_readinto, failed_readinto, 0};

/* f:readinto(buffer) -> how many bytes came into it: as many as fit, fewer at
** the end, 0 there (an unbuffered file gives what one receive call brings). */
static int file_readinto(lua_State *L) {
  cs_File *f = cs_toreader(L);
  cs_Buffer *b = cs_checkbuffer(L, 2);
  lua_settop(L, 2);
  if (b->size == 0 || cs_unread(f) >= b->size) return copy_into(L, f, b);
  cs_pushfilesocket(L);
  return cs_read(L, f, &op_readinto);
}

/*
** peek: socket, file
*/

static int push_unread(lua_State *L, cs_File *f) {
  size_t n = cs_unread(f);
  lua_pushlstring(L, n > 0 ? f->in + f->start : "", n);
  return 1;
}

static int try_peek(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  cs_Item item = {CS_PROBE, 0, 1, NULL};
  size_t used;
  int n = cs_obtain(f, h, &item, 0, dontwait, &used);
  return n < 0 ? n : push_unread(L, f);
}

static int failed_peek(lua_State *L, cs_Handle *h, int err) {
  if (err != EAGAIN) return cs_failedread(L, h, err);
  luaL_pushfail(L);
  return 1;
}

static const cs_Op op_peek = {"read", CS_READ, 0, try_peek, failed_peek, 0};

/* f:peek() -> what the next read will begin with, at least a byte, "" at the
** end; it stays to be read. */
static int file_peek(lua_State *L) {
  cs_File *f = cs_toreader(L);
  lua_settop(L, 1);
  if (cs_unread(f) > 0) return push_unread(L, f);
  if (f->size == 0) return cs_misuse(L, "peek on an unbuffered file");
  cs_pushfilesocket(L);
  return cs_read(L, f, &op_peek);
}

static const luaL_Reg reader_methods[] = {
    {"lines", file_lines},       {"peek", file_peek},
    {"read", file_read},         {"read1", file_read1},
    {"readhead", file_readhead}, {"readinto", file_readinto},
    {"readline", file_readline}, {"readlines", file_readlines},
    {"take", file_take},         {NULL, NULL},
};

static const luaL_Reg reader_funcs[] = {
    {"next", file_next},
    {NULL, NULL},
};

/* Adds its methods to core.file. */
void cs_open_reader(lua_State *L) {
  lua_getfield(L, -1, "file");
  cs_setraising(L, reader_funcs);
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, reader_methods);
  lua_pop(L, 2);
}
