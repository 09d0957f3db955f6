/* datagram: what the handler of a datagram writes its answer to, which is an
** object without a descriptor; and how a handler comes by it, and by the file
** that reads the datagram.
** Not here: that file (file, reader); sending the answer, and what it is to be
** a class (lua/csock/handler.lua).
** Invariant: what was written is the string that is the writer's user value,
** or, with `memory`, the first `len` bytes of that, which is the user value
** then.  So nothing has to be freed. */

#include <lauxlib.h>
#include <string.h>

#include "buffer.h"
#include "class.h"
#include "datagram.h"
#include "error.h"
#include "file.h"
#include "loop.h"

#define ROOM 512 /* bytes, when there are several pieces */

static const char tag = 'd'; /* its address is that of the class of writers */

typedef struct Writer {
  char *memory;
  size_t len, room;
  int closed;
  uint32_t mark; /* mark.h */
} Writer;

/* user values: the first is for the fields of subclasses */
enum { BYTES = 2 };

static void push_writer(lua_State *L, int meta) {
  Writer *w = lua_newuserdatauv(L, sizeof *w, BYTES);
  memset(w, 0, sizeof *w);
  w->mark = cs_mark(w, &tag);
  lua_pushvalue(L, meta);
  lua_setmetatable(L, -2);
}

/* new(metatable) -> a writer of that class. */
static int datagram_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  push_writer(L, 1);
  return 1;
}

static Writer *to_writer(lua_State *L) {
  Writer *w = cs_tomarked(L, 1, Writer, &tag);
  if (w == NULL) cs_typeerror(L, 1, "file of a datagram");
  return w;
}

/*
** Writing
*/

static void push_bytes(lua_State *L, const Writer *w) {
  if (w->memory != NULL)
    lua_pushlstring(L, w->memory, w->len);
  else if (w->len == 0)
    lua_pushliteral(L, "");
  else
    lua_getiuservalue(L, 1, BYTES);
}

/* Copy what was written, and make no string of it: that runs no finalizer. */
static void copy_bytes(lua_State *L, const Writer *w, char *to) {
  if (w->len == 0) return;
  lua_getiuservalue(L, 1, BYTES);
  memcpy(to, w->memory != NULL ? w->memory : lua_tostring(L, -1), w->len);
  lua_pop(L, 1);
}

/* Make room for 'n' bytes more, in memory.  What that calls to the collector's
** mind may be a finalizer that writes as well. */
static void make_room(lua_State *L, Writer *w, size_t n) {
  while (w->memory == NULL || w->room - w->len < n) {
    size_t room = 2 * (w->len + n);
    char *memory;
    if (room < ROOM) room = ROOM;
    memory = lua_newuserdatauv(L, room, 0);
    if (room - n < w->len) {
      lua_pop(L, 1);
      continue;
    }
    copy_bytes(L, w, memory);
    lua_setiuservalue(L, 1, BYTES);
    w->memory = memory;
    w->room = room;
  }
}

/* Add a string, or a buffer, which is at 'arg': its length. */
static size_t add(lua_State *L, Writer *w, int arg) {
  size_t len;
  const char *data = cs_checkdata(L, arg, &len);
  if (w->len == 0 && lua_type(L, arg) == LUA_TSTRING) { /* most are one */
    lua_pushvalue(L, arg);
    lua_setiuservalue(L, 1, BYTES);
    w->memory = NULL;
  } else {
    make_room(L, w, len);
    memcpy(w->memory + w->len, data, len);
  }
  w->len += len;
  return len;
}

static Writer *to_openwriter(lua_State *L) {
  Writer *w = to_writer(L);
  if (w->closed) cs_misuse(L, "I/O operation on closed file");
  return w;
}

/* Number 'n' of what is to be written is at 'arg': is it data? */
static void check_piece(lua_State *L, int arg, lua_Integer n) {
  size_t len;
  if (cs_todata(L, arg, &len) != NULL) return;
  cs_misuse(L,
            "bad argument #%d to 'write' (string or buffer expected, got %s)",
            (int)n, luaL_typename(L, arg));
}

/* w:write(data...) -> how many bytes that is. */
static int writer_write(lua_State *L) {
  Writer *w = to_openwriter(L);
  int top = lua_gettop(L);
  size_t n = 0;
  for (int arg = 2; arg <= top; arg++) check_piece(L, arg, arg - 1);
  for (int arg = 2; arg <= top; arg++) n += add(L, w, arg);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

/* w:writelines(list) -> true */
static int writer_writelines(lua_State *L) {
  Writer *w = to_openwriter(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
    check_piece(L, 3, i);
    lua_settop(L, 2);
  }
  lua_settop(L, 2);
  for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
    add(L, w, 3);
    lua_settop(L, 2);
  }
  lua_pushboolean(L, 1);
  return 1;
}

/* w:tell() -> how many bytes were written. */
static int writer_tell(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)to_writer(L)->len);
  return 1;
}

/* w:getvalue() -> all of them. */
static int writer_getvalue(lua_State *L) {
  push_bytes(L, to_writer(L));
  return 1;
}

/* w:flush() -> true: all is sent by finish(), as one datagram. */
static int writer_flush(lua_State *L) {
  lua_pushboolean(L, !to_writer(L)->closed);
  return 1;
}

/* w:close() -> true: nothing more is to be written. */
static int writer_close(lua_State *L) {
  to_writer(L)->closed = 1;
  lua_pushboolean(L, 1);
  return 1;
}

static int writer_yes(lua_State *L) {
  lua_pushboolean(L, 1);
  return 1;
}

static int writer_no(lua_State *L) {
  lua_pushboolean(L, 0);
  return 1;
}

static int writer_getclosed(lua_State *L) {
  lua_pushboolean(L, to_writer(L)->closed);
  return 1;
}

/*
** Handlers
*/

/* upvalues of a setup: the loop; the socket of files that read, a closed one;
** their metatable, and that of writers; names of fields */
enum { CLOSED = 2, READER, WRITER, REQUEST, PACKET, SOCKET, RFILE, WFILE };

#define UP(n) lua_upvalueindex(n)

/* setup(handler): give a handler, whose class does no more than to set fields,
** those that DatagramRequestHandler's setup sets. */
static int setup(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  lua_pushvalue(L, UP(REQUEST));
  lua_rawget(L, 1);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_rawgeti(L, 2, 1);
  luaL_checktype(L, 3, LUA_TSTRING);
  lua_pushvalue(L, UP(PACKET));
  lua_pushvalue(L, 3);
  lua_rawset(L, 1);
  lua_pushvalue(L, UP(SOCKET));
  lua_rawgeti(L, 2, 2);
  lua_rawset(L, 1);
  lua_pushvalue(L, UP(RFILE));
  cs_pushfileover(L, UP(READER), UP(CLOSED), 3);
  lua_rawset(L, 1);
  lua_pushvalue(L, UP(WFILE));
  push_writer(L, UP(WRITER));
  lua_rawset(L, 1);
  return 0;
}

/* setup(sock, readers, writers) -> setup(handler): `sock` is a closed socket,
** in the place of one that is read, `readers` and `writers` are metatables. */
static int datagram_setup(lua_State *L) {
  static const char *const names[] = {"request", "packet", "socket", "rfile",
                                      "wfile"};
  cs_tosocket(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  lua_pushvalue(L, UP(1));
  lua_insert(L, 1);
  for (int i = REQUEST; i <= WFILE; i++) lua_pushstring(L, names[i - REQUEST]);
  lua_pushcclosure(L, setup, WFILE);
  return 1;
}

/*
** The door
*/

static const luaL_Reg writer_methods[] = {
    {"close", writer_close},           {"flush", writer_flush},
    {"getvalue", writer_getvalue},     {"readable", writer_no},
    {"seekable", writer_no},           {"tell", writer_tell},
    {"writable", writer_yes},          {"write", writer_write},
    {"writelines", writer_writelines}, {NULL, NULL},
};

static const luaL_Reg datagram_funcs[] = {
    {"closed", writer_getclosed},
    {"new", datagram_new},
    {"setup", datagram_setup},
    {NULL, NULL},
};

/* Adds core.datagram: the parts of the class of writers, and setup. */
void cs_open_datagram(lua_State *L) {
  lua_newtable(L);
  cs_setfuncs(L, datagram_funcs);
  lua_pushlightuserdata(L, (void *)&tag);
  lua_setfield(L, -2, "tag");
  lua_newtable(L);
  cs_setfuncs(L, writer_methods);
  lua_setfield(L, -2, "methods");
  lua_setfield(L, -2, "datagram");
}
