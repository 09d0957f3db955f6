/* record: what follows a format, read from a file: lengths, and strings of
** these lengths, whole or not at all.
** Not here: formats (template), how more is received (item).
** Invariant: what is there already is gone through once; of what comes bit by
** bit nothing is pushed before it is whole, so that a long one takes time that
** grows with it. */

#include <errno.h>
#include <lauxlib.h>
#include <sys/socket.h>

#include "drive.h"
#include "error.h"
#include "file.h"
#include "item.h"
#include "reader.h"
#include "record.h"

/* Arguments: file, steps, list, most, longest; in an operation behind the
** socket, and behind them how far the look is: bytes seen, repetitions left,
** both good for what begins at this place of the stream. */
enum { STEPS = 3, LIST, MOST, LONGEST, SEEN, LEFT, PLACE };

/* The results of a look that has pushed the strings, or would have. */
static int finish(lua_State *L, cs_File *f, const cs_Template *t) {
  if (t->state == CS_WHOLE) {
    cs_consume(f, t->used);
    if (t->list == 0) return (int)t->strings;
    lua_pushinteger(L, (lua_Integer)t->strings);
    return 1;
  }
  if (t->state == CS_PARTIAL) { /* and nothing more comes */
    luaL_pushfail(L);
    return 1;
  }
  lua_pushboolean(L, 0);
  lua_pushinteger(L, (lua_Integer)t->place + 1);
  lua_pushinteger(L, (lua_Integer)t->used + 1);
  return 3;
}

static void set_size(lua_State *L, int index, uint64_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_replace(L, index);
}

static void load_template(lua_State *L, const cs_File *f, cs_Template *t) {
  int here = (uint64_t)lua_tointeger(L, PLACE) == f->taken;
  t->steps = lua_touserdata(L, STEPS);
  t->list = lua_isnil(L, LIST) ? 0 : LIST;
  t->most = (size_t)lua_tointeger(L, MOST);
  t->longest = (size_t)lua_tointeger(L, LONGEST);
  t->seen = here ? (size_t)lua_tointeger(L, SEEN) : 0;
  t->left = here ? (size_t)lua_tointeger(L, LEFT) : 0;
  t->strings = 0;
  t->missing = 1;
  t->state = CS_PARTIAL; /* of nothing, behind which is the end, for sure */
}

static int try_record(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  cs_Template t;
  cs_Item item = {CS_RECORD, 0, 0, &t};
  size_t used;
  int n;
  load_template(L, f, &t);
  n = cs_obtain(f, h, &item, 0, dontwait, &used);
  if (n < 0) {
    set_size(L, SEEN, t.seen);
    set_size(L, LEFT, t.left);
    set_size(L, PLACE, f->taken);
    return n;
  }
  if (t.state == CS_WHOLE) {
    t.seen = 0;
    cs_follow(L, f, &t);
  }
  return finish(L, f, &t);
}

/* On a non-blocking socket what is not whole stays. */
static int failed_record(lua_State *L, cs_Handle *h, int err) {
  if (err != EAGAIN) return cs_failedread(L, h, err);
  luaL_pushfail(L);
  return 1;
}

static const cs_Op op_record = {"read",     CS_READ,       0,
                                try_record, failed_record, 0};

/* The nil of an iterator would say that it is the end. */
static const cs_Op op_records = {"read",     CS_READ,       0,
                                 try_record, cs_failedread, 0};

/* Go on where what is there is not whole: file, steps, list, and the limits. */
static int wait_for(lua_State *L, const cs_File *f, const cs_Template *t,
                    const cs_Op *op) {
  lua_pushinteger(L, (lua_Integer)t->most);
  lua_pushinteger(L, (lua_Integer)t->longest);
  cs_pushfilesocket(L);
  for (int i = SEEN; i <= PLACE; i++) lua_pushinteger(L, 0);
  return cs_read(L, f, op);
}

static size_t check_limit(lua_State *L, int arg, size_t none) {
  lua_Integer n;
  if (lua_isnoneornil(L, arg)) return none;
  n = luaL_checkinteger(L, arg);
  luaL_argcheck(L, n >= 0, arg, "limit cannot be negative");
  return (size_t)n;
}

/* The file at 1, and what its arguments say. */
static cs_File *check_record(lua_State *L, cs_Template *t) {
  cs_File *f = cs_toreader(L);
  t->steps = cs_checktemplate(L, f, 2);
  t->list = lua_isnoneornil(L, 3) ? 0 : 3;
  if (t->list != 0) luaL_checktype(L, 3, LUA_TTABLE);
  t->most = check_limit(L, 4, f->maxline);
  t->longest = check_limit(L, 5, f->maxline);
  t->seen = t->strings = 0;
  return f;
}

/* f:readrecord(format [, list [, most [, longest]]]) -> the strings of what
** follows the format, or how many they are if they went into a list; nil when
** it does not come whole before the end; false, the place in the format and the
** place in the data if it is something else, which stays.  `most`: of no group
** that comes more often, `longest`: of no string that is longer; each is
** maxline. */
static int file_readrecord(lua_State *L) {
  cs_Template t;
  cs_File *f = check_record(L, &t);
  if (cs_unread(f) > 0 && cs_follow(L, f, &t) != CS_PARTIAL)
    return finish(L, f, &t);
  lua_settop(L, t.list == 0 ? 2 : 3); /* without the strings of the look */
  lua_settop(L, 3);
  lua_getiuservalue(L, 1, CS_FILEFORMAT); /* another task may change it */
  lua_replace(L, 2);
  return wait_for(L, f, &t, &op_record);
}

/* Upvalues: the loop, false (cs_issafe), this, file, steps, list. */
typedef struct Records {
  cs_File *file;
  cs_Template t; /* its list is at 1 then */
} Records;

static int next_record(lua_State *L) {
  const Records *r = lua_touserdata(L, lua_upvalueindex(3));
  cs_Template t = r->t;
  cs_File *f = r->file;
  if (f->sock == NULL) cs_misuse(L, "I/O operation on closed file");
  lua_settop(L, 0);
  if (t.list != 0) lua_pushvalue(L, lua_upvalueindex(6));
  if (cs_unread(f) > 0 && cs_follow(L, f, &t) != CS_PARTIAL)
    return finish(L, f, &t);
  lua_settop(L, 0);
  for (int i = 4; i <= 6; i++) lua_pushvalue(L, lua_upvalueindex(i));
  return wait_for(L, f, &t, &op_records);
}

/* f:records(format [, list [, most [, longest]]]) -> an iterator over what
** f:readrecord gives with these.  As one of Lua's it raises what goes wrong,
** always. */
static int file_records(lua_State *L) {
  cs_Template t;
  cs_File *f = check_record(L, &t);
  Records *r;
  lua_settop(L, 3);
  lua_getiuservalue(L, 1, CS_FILEFORMAT); /* a finalizer may change it */
  lua_replace(L, 2);
  cs_pushloop(L);
  lua_pushboolean(L, 0);
  r = lua_newuserdatauv(L, sizeof *r, 0);
  r->file = f;
  r->t = t;
  r->t.list = t.list != 0;
  for (int i = 1; i <= 3; i++) lua_pushvalue(L, i);
  lua_pushcclosure(L, next_record, 6);
  return 1;
}

static const luaL_Reg record_methods[] = {
    {"readrecord", file_readrecord},
    {"records", file_records},
    {NULL, NULL},
};

/* Adds its methods to core.file. */
void cs_open_record(lua_State *L) {
  lua_getfield(L, -1, "file");
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, record_methods);
  lua_pop(L, 2);
}
