/* file: the object that makefile gives: its making, its properties, its end.
** Not here: reading (reader), writing and flushing (writer), and what it is to
** be a class (lua/csock/file.lua).
** Invariant: an open file counts among its socket's `files`, a closed one has
** no socket and no memory. */

#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "class.h"
#include "error.h"
#include "file.h"

#define BUFFERING 8192      /* Python's io.DEFAULT_BUFFER_SIZE */
#define MAXLINE   (1 << 24) /* what a line may take without being asked */

const char cs_file_tag = 'f';

static const char plain = 'F';   /* registry key of the class' metatable, */
static const char strings = 'S'; /* and of that whose files are over strings */

/*
** Access
*/

/* The file at index 1; a closed one is misuse, as in Python and in Lua's io. */
cs_File *cs_toopenfile(lua_State *L) {
  cs_File *f = cs_tofile(L);
  if (f->sock == NULL) cs_misuse(L, "I/O operation on closed file");
  return f;
}

/* Put the socket of the open file at index 1 below it: index 1 is where the
** driver looks for what it drives, and the file is at 2 then. */
void cs_pushfilesocket(lua_State *L) {
  lua_getiuservalue(L, 1, CS_FILESOCKET);
  lua_insert(L, 1);
}

/*
** Life
*/

/* What makefile's mode says: Python's rules. */
static void set_mode(lua_State *L, cs_File *f, const char *mode) {
  f->writes = strchr(mode, 'w') != NULL;
  f->reads = strchr(mode, 'r') != NULL || !f->writes;
  if (strchr(mode, 'b') == NULL)
    lua_pushstring(L, mode);
  else
    lua_pushstring(L, !f->writes ? "rb" : f->reads ? "rwb" : "wb");
  lua_setiuservalue(L, -2, CS_FILEMODE);
}

/* Push a new file over the socket at index 1 that is not open yet, for want of
** a mode; its metatable, which it replaces, is on top. */
static cs_File *push_file(lua_State *L, int buffering) {
  cs_File *f = lua_newuserdatauv(L, sizeof *f, CS_FILEVALUES);
  memset(f, 0, sizeof *f);
  f->mark = cs_mark(f, &cs_file_tag);
  f->lined = buffering == 1;
  f->size = buffering < 0 || buffering == 1 ? BUFFERING : (size_t)buffering;
  f->maxline = MAXLINE;
  lua_pushvalue(L, 1);
  lua_setiuservalue(L, -2, CS_FILESOCKET);
  lua_insert(L, -2);
  lua_setmetatable(L, -2);
  return f;
}

static void open_file(cs_File *f, cs_Socket *s) {
  f->sock = s;
  s->h.files++;
}

/* From socket, mode, buffering and metatable on the stack to a file. */
static int make(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  size_t len;
  const char *mode = luaL_optlstring(L, 2, "r", &len);
  int buffering = cs_optint(L, 3, -1);
  cs_File *f;
  if (strspn(mode, "rwb") != len)
    return cs_argerror(
        L, 2,
        lua_pushfstring(L, "invalid mode '%s' (only r, w, b allowed)", mode));
  lua_pushvalue(L, 4);
  f = push_file(L, buffering);
  set_mode(L, f, mode);
  open_file(f, s);
  return 1;
}

/* sock:makefile([mode [, buffering]]) -> file.  mode: of the letters r, w, b;
** "r".  buffering: 0 none, 1 by lines (writing), n bytes, otherwise 8192.
** (Python's socket.makefile) */
static int sock_makefile(lua_State *L) {
  lua_settop(L, 3);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &plain) != LUA_TTABLE)
    return luaL_error(L, "csock.file is not loaded");
  return make(L);
}

/* Push one of the two files of a stream. */
static cs_File *push_half(lua_State *L, cs_Socket *s, const char *mode,
                          int buffering) {
  cs_File *f;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &plain);
  f = push_file(L, buffering);
  f->writes = *mode == 'w';
  f->reads = !f->writes;
  lua_pushstring(L, mode);
  lua_setiuservalue(L, -2, CS_FILEMODE);
  open_file(f, s);
  return f;
}

static int to_small(lua_State *L, int arg, int *n) {
  lua_Integer value = lua_tointeger(L, arg);
  *n = (int)value;
  return lua_isinteger(L, arg) && value == *n;
}

/* halves(sock, rbufsize, wbufsize, maxline) -> what makefile("rb", rbufsize)
** gives, with this maxline (nil or false: none), and what makefile("wb",
** wbufsize) gives, whole(wfile) if that is 0; nothing where any of it would be
** refused. */
static int file_halves(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  int rsize, wsize, maxline = 0;
  lua_settop(L, 4);
  if (!to_small(L, 2, &rsize) || !to_small(L, 3, &wsize)) return 0;
  if (lua_toboolean(L, 4) && (!to_small(L, 4, &maxline) || maxline < 1))
    return 0;
  push_half(L, s, "rb", rsize)->maxline =
      maxline > 0 ? (size_t)maxline : SIZE_MAX;
  push_half(L, s, "wb", wsize)->whole = wsize == 0;
  return 2;
}

/* new(metatable, sock [, mode [, buffering]]) -> a file of that class. */
static int file_new(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 4);
  lua_rotate(L, 1, -1);
  return make(L);
}

/* Push a file, of the class whose metatable is at 'meta', that reads the string
** at 'data', where it is: it has nothing to give back.  The socket at 'sock', a
** closed one, only stands where reads look for theirs. */
void cs_pushfileover(lua_State *L, int meta, int sock, int data) {
  cs_File *f = lua_newuserdatauv(L, sizeof *f, CS_FILEDATA);
  size_t len;
  memset(f, 0, sizeof *f);
  f->mark = cs_mark(f, &cs_file_tag);
  lua_pushvalue(L, sock);
  lua_setiuservalue(L, -2, CS_FILESOCKET);
  lua_pushvalue(L, data);
  f->in = (char *)lua_tolstring(L, -1, &len); /* which only reads */
  lua_setiuservalue(L, -2, CS_FILEDATA);
  f->incap = f->end = len;
  f->sock = lua_touserdata(L, sock);
  f->reads = f->ended = 1;
  f->size = BUFFERING;
  f->maxline = SIZE_MAX;
  lua_pushvalue(L, meta);
  lua_setmetatable(L, -2);
}

/* over(metatable, sock, data) -> such a file. */
static int file_over(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkstring(L, 3);
  lua_settop(L, 3);
  lua_rotate(L, 1, -1);
  cs_tosocket(L);
  cs_pushfileover(L, 3, 1, 2);
  return 1;
}

/* whole(file): from now on each write of an unbuffered file sends all, or
** fails, as the socket's sendall. */
static int file_whole(lua_State *L) {
  cs_toopenfile(L)->whole = 1;
  return 0;
}

/* plain(metatable, strings): of what makefile makes from now on, and of files
** over strings. */
static int file_plain(lua_State *L) {
  cs_Loop *loop = cs_loop(L);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &strings);
  loop->filemeta = lua_topointer(L, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &plain);
  return 0;
}

/* Close it, whatever is unsent: 0 or -errno.  Whoever waits in it is woken and
** finds it closed; the socket goes with its last file if it is closed. */
int cs_endfile(cs_File *f) {
  cs_Socket *s = f->sock;
  if (s == NULL) return 0;
  f->sock = NULL;
  if (f->ended) { /* it was over a string, and has nothing of its own */
    f->in = NULL;
    f->incap = f->start = f->end = 0;
    return 0;
  }
  free(f->in);
  free(f->out);
  f->in = f->out = NULL;
  f->incap = f->start = f->end = f->sent = f->filled = 0;
  s->h.files--;
  cs_wakesource(s->h.loop, &s->h.source);
  return s->h.closed ? cs_closesocket(s) : 0;
}

/* The same where nothing may wait: what is unsent goes as far as the system
** takes it at once, and the rest is not lost in silence. */
void cs_abandonfile(lua_State *L, cs_File *f) {
  if (f->sock == NULL) return;
  if (cs_unsent(f) > 0) {
    ssize_t n = send(f->sock->h.source.fd, f->out + f->sent, cs_unsent(f),
                     MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      f->sent += (size_t)n;
      cs_notesent(f->sock, n);
    }
  }
  if (cs_unsent(f) > 0) {
    lua_warning(L, "csock: unclosed file", 1);
    lua_warning(
        L, lua_pushfstring(L, ", %I bytes unsent", (LUAI_UACINT)cs_unsent(f)),
        0);
    lua_pop(L, 1);
  }
  cs_endfile(f);
}

/* The collector found it open. */
static int file_collect(lua_State *L) {
  cs_abandonfile(L, cs_tofile(L));
  return 0;
}

/*
** Questions
*/

/* f:fileno() -> the socket's descriptor. */
static int file_fileno(lua_State *L) {
  lua_pushinteger(L, cs_toopenfile(L)->sock->h.source.fd);
  return 1;
}

/* f:tie(other) -> true: from now on a read that has to wait first sends what
** the other file has collected, so that nobody waits for an answer to what is
** still here; nil: none does.  (C++'s tie of streams) */
static int file_tie(lua_State *L) {
  cs_File *f = cs_toopenfile(L), *other = NULL;
  if (!lua_isnil(L, 2)) {
    other = cs_tomarked(L, 2, cs_File, &cs_file_tag);
    if (other == NULL) return cs_typeerror(L, 2, "file or nil");
  }
  lua_settop(L, 2);
  lua_setiuservalue(L, 1, CS_FILETIED);
  f->tied = other;
  lua_pushboolean(L, 1);
  return 1;
}

/* f:readable() -> may it be read? */
static int file_readable(lua_State *L) {
  lua_pushboolean(L, cs_toopenfile(L)->reads);
  return 1;
}

/* f:writable() -> may it be written to? */
static int file_writable(lua_State *L) {
  lua_pushboolean(L, cs_toopenfile(L)->writes);
  return 1;
}

/* f:seekable() -> false. */
static int file_seekable(lua_State *L) {
  cs_toopenfile(L);
  lua_pushboolean(L, 0);
  return 1;
}

static int file_getclosed(lua_State *L) {
  lua_pushboolean(L, cs_tofile(L)->sock == NULL);
  return 1;
}

/* The descriptor, -1 when closed, as Python's. */
static int file_getname(lua_State *L) {
  cs_File *f = cs_tofile(L);
  lua_pushinteger(L, f->sock == NULL ? -1 : f->sock->h.source.fd);
  return 1;
}

static int file_getmode(lua_State *L) {
  const cs_File *f = cs_tofile(L);
  if (f->ended)
    lua_pushliteral(L, "rb");
  else
    lua_getiuservalue(L, 1, CS_FILEMODE);
  return 1;
}

/* Bytes that have come and were not read: no poller can tell of them. */
static int file_getpending(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)cs_unread(cs_tofile(L)));
  return 1;
}

static int file_getmaxline(lua_State *L) {
  cs_File *f = cs_tofile(L);
  if (f->maxline == SIZE_MAX)
    lua_pushnil(L);
  else
    lua_pushinteger(L, (lua_Integer)f->maxline);
  return 1;
}

/* At least 1; nil: no limit. */
static int file_setmaxline(lua_State *L) {
  cs_File *f = cs_tofile(L);
  int n = cs_optint(L, 2, 0);
  if (!lua_isnil(L, 2) && n < 1)
    return cs_argerror(L, 2, "maxline has to be positive");
  f->maxline = n > 0 ? (size_t)n : SIZE_MAX;
  return 0;
}

static const luaL_Reg file_methods[] = {
    {"fileno", file_fileno},     {"readable", file_readable},
    {"seekable", file_seekable}, {"tie", file_tie},
    {"writable", file_writable}, {NULL, NULL},
};

static const luaL_Reg file_getters[] = {
    {"closed", file_getclosed},   {"maxline", file_getmaxline},
    {"mode", file_getmode},       {"name", file_getname},
    {"pending", file_getpending}, {NULL, NULL},
};

static const luaL_Reg file_setters[] = {
    {"maxline", file_setmaxline},
    {NULL, NULL},
};

static const luaL_Reg file_funcs[] = {
    {"new", file_new},       {"over", file_over},
    {"plain", file_plain},   {"whole", file_whole},
    {"halves", file_halves}, {"collect", file_collect},
    {"tie", file_tie},       {NULL, NULL},
};

static const luaL_Reg sock_methods[] = {
    {"makefile", sock_makefile},
    {NULL, NULL},
};

static void set_table(lua_State *L, const char *name, const luaL_Reg *funcs) {
  lua_newtable(L);
  cs_setfuncs(L, funcs);
  lua_setfield(L, -2, name);
}

/* Adds core.file (the parts of the class), and makefile to the sockets. */
void cs_open_file(lua_State *L) {
  lua_newtable(L);
  cs_setfuncs(L, file_funcs);
  lua_pushlightuserdata(L, (void *)&cs_file_tag);
  lua_setfield(L, -2, "tag");
  set_table(L, "methods", file_methods);
  set_table(L, "getters", file_getters);
  set_table(L, "setters", file_setters);
  lua_setfield(L, -2, "file");
  lua_getfield(L, -1, "socket");
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, sock_methods);
  lua_pop(L, 2);
}
