/* writer: writing to a file: small pieces are collected, large ones go out as
** they are, behind what was collected.
** Not here: waiting, which is the driver's.
** Invariant: what the file has collected is sent from the front and only once;
** how much of a piece is in the file or sent is on the Lua stack, so whatever
** interrupts a write, the next attempt goes on where it was. */

#include <errno.h>
#include <lauxlib.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "buffer.h"
#include "drive.h"
#include "error.h"
#include "file.h"
#include "writer.h"

#define DIGITS 20   /* of an integer, with its sign */
#define FIRST  1024 /* bytes that are enough to collect most of small answers */

/*
** Sending
*/

/* Send with one call what is collected, and behind it 'data'; *done counts what
** went of that.  Returns 1 when all went, -CS_EMORE or, from a call that might
** have waited and was interrupted, -EINTR when a part did, or -errno. */
static int send_both(cs_File *f, cs_Handle *h, const char *data, size_t len,
                     size_t *done, int dontwait) {
  size_t first = cs_unsent(f);
  int flags = MSG_NOSIGNAL | dontwait;
  ssize_t n;
  if (first == 0) {
    n = send(h->source.fd, data, len, flags);
  } else if (len == 0) {
    n = send(h->source.fd, f->out + f->sent, first, flags);
  } else {
    struct iovec parts[2] = {{f->out + f->sent, first}, {(void *)data, len}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    n = sendmsg(h->source.fd, &m, flags);
  }
  if (n < 0) return -errno;
  cs_notesent((cs_Socket *)h, n);
  if ((size_t)n > first) *done += (size_t)n - first;
  f->sent += (size_t)n < first ? (size_t)n : first;
  if (f->sent == f->filled) f->sent = f->filled = 0;
  if ((size_t)n == first + len) return 1;
  return dontwait ? -CS_EMORE : -EINTR;
}

static int flush(cs_File *f, cs_Handle *h, int dontwait) {
  size_t none = 0;
  int n = 1;
  if (f->sock == NULL) return -EBADF;
  if (cs_unsent(f) > 0) n = send_both(f, h, NULL, 0, &none, dontwait);
  return n < 0 ? n : 0;
}

/* How many bytes the memory to collect in has when it was doubled so often. */
static size_t room_of(const cs_File *f, unsigned grown) {
  size_t room = (size_t)FIRST << grown;
  return room < f->size ? room : f->size;
}

/* Have memory to collect up to 'n' bytes in, which are no more than the file's
** size: 0, or -ENOMEM.  It grows with what is collected: most of many
** connections that wait have written little. */
static int have_memory(cs_File *f, size_t n) {
  unsigned grown = f->grown;
  char *out;
  if (f->out != NULL && n <= room_of(f, grown)) return 0;
  while (n > room_of(f, grown)) grown++;
  out = realloc(f->out, room_of(f, grown));
  if (out == NULL) return -ENOMEM;
  f->out = out;
  f->grown = (unsigned char)grown;
  return 0;
}

/* Collect a piece if there is room: 1, 0 if not, -ENOMEM. */
static int collect(cs_File *f, const char *data, size_t len) {
  size_t have = cs_unsent(f);
  if (have + len > f->size) return 0;
  if (len == 0) return 1;
  if (f->filled + len > f->size) {
    memmove(f->out, f->out + f->sent, have);
    f->sent = 0;
    f->filled = have;
  }
  if (have_memory(f, f->filled + len) != 0) return -ENOMEM;
  memcpy(f->out + f->filled, data, len);
  f->filled += len;
  return 1;
}

/* Write a piece, of which *done bytes are written already: 0, or -errno.  One
** that is smaller than the buffer waits only for room in it. */
static int put(cs_File *f, cs_Handle *h, const char *data, size_t len,
               size_t *done, int dontwait) {
  if (f->sock == NULL) return -EBADF;
  while (*done < len) {
    size_t rest = len - *done;
    int n = collect(f, data + *done, rest);
    if (n > 0) *done = len;
    if (n == 0)
      n = send_both(f, h, data + *done, rest < f->size ? 0 : rest, done,
                    dontwait);
    /* a part has gone: there may be room for the rest now */
    if (n == -CS_EMORE && collect(f, data + *done, len - *done) > 0) {
      *done = len;
      n = 1;
    }
    if (n < 0) return n;
  }
  return 0;
}

/*
** write: socket, file, data, bytes of it written
** writelines: the same with a list, and behind it the place in the list and the
** bytes of the pieces before that
*/

static void set_size(lua_State *L, int index, size_t n) {
  lua_pushinteger(L, (lua_Integer)n);
  lua_replace(L, index);
}

/* Write a piece, of which *done bytes are written already, and flush if it has
** to be: 0, or -errno. */
static int put_piece(cs_File *f, cs_Handle *h, const char *data, size_t len,
                     size_t *done, int dontwait) {
  int n = put(f, h, data, len, done, dontwait);
  if (n == 0 && f->lined && len > 0 && memchr(data, '\n', len) != NULL)
    n = flush(f, h, dontwait);
  return n;
}

/* Write a piece as the file's kind wants it.  Unbuffered: by one call, as
** Python; or, on a socket that may block for ever, by as many as it takes,
** since there the system's one call sends all. */
static int put_all(cs_File *f, cs_Handle *h, const char *data, size_t len,
                   size_t *done, int dontwait) {
  int n;
  if (f->size > 0 || f->whole)
    return put_piece(f, h, data, len, done, dontwait);
  if (f->sock == NULL) return -EBADF;
  n = send_both(f, h, data + *done, len - *done, done, dontwait);
  return n == -CS_EMORE && h->timeout >= 0 ? 0 : n;
}

static int try_write(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len, done = (size_t)lua_tointeger(L, 4);
  const char *data = cs_todata(L, 3, &len);
  int n = put_all(lua_touserdata(L, 2), h, data, len, &done, dontwait);
  set_size(L, 4, done);
  if (n < 0) return n;
  lua_pushinteger(L, (lua_Integer)done);
  return 1;
}

/* The error says how much of the data is in the file or on its way, as
** Python's BlockingIOError. */
static int failed_write(lua_State *L, cs_Handle *h, int err) {
  lua_Integer n = lua_tointeger(L, 4) + lua_tointeger(L, 6);
  cs_fail(L, 1, err, "write", 0);
  lua_pushinteger(L, n);
  lua_setfield(L, -2, "characters_written");
  return h->safe ? 2 : lua_error(L);
}

static const cs_Op op_write = {"write",   CS_WRITE,     0,
                               try_write, failed_write, 0};

static int failed_rawwrite(lua_State *L, cs_Handle *h, int err) {
  if (err != EAGAIN) return failed_write(L, h, err);
  luaL_pushfail(L);
  return 1;
}

static const cs_Op op_rawwrite = {"write",   CS_WRITE,        0,
                                  try_write, failed_rawwrite, 0};

static cs_File *to_writer(lua_State *L) {
  cs_File *f = cs_toopenfile(L);
  if (!f->writes) cs_misuse(L, "file is not writable");
  return f;
}

/* The integer at 'arg' as it is printed, in 'digits'; where it begins. */
static const char *print_integer(lua_State *L, int arg, char digits[DIGITS],
                                 size_t *len) {
  lua_Integer value = lua_tointeger(L, arg);
  lua_Unsigned n = value < 0 ? 0u - (lua_Unsigned)value : (lua_Unsigned)value;
  char *p = digits + DIGITS;
  do *--p = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  if (value < 0) *--p = '-';
  *len = (size_t)(digits + DIGITS - p);
  return p;
}

/* Collect the strings and integers from index 2 on, if there is room for all
** behind what is collected, and make no strings of them: how many bytes that
** is; otherwise, or where there is anything else, -1 and nothing done. */
static lua_Integer collect_strings(lua_State *L, cs_File *f) {
  size_t end = f->filled, room = f->out == NULL ? 0 : room_of(f, f->grown), len;
  char digits[DIGITS];
  int top = lua_gettop(L);
  if (top < 2) return -1;
  for (int arg = 2; arg <= top; arg++) {
    const char *data;
    int type = lua_type(L, arg);
    if (type == LUA_TSTRING)
      data = lua_tolstring(L, arg, &len);
    else if (type == LUA_TNUMBER && lua_isinteger(L, arg))
      data = print_integer(L, arg, digits, &len);
    else
      return -1;
    if (len > room - end || f->out == NULL) {
      if (len > f->size - end || have_memory(f, end + len) != 0) return -1;
      room = room_of(f, f->grown);
    }
    memcpy(f->out + end, data, len);
    end += len;
  }
  len = end - f->filled;
  f->filled = end;
  return (lua_Integer)len;
}

/* f:write(data...) -> how many bytes that is; they are sent when the buffer is
** full, or at once if they are more than it takes.  Unbuffered: how many the
** system took, nil if a non-blocking socket takes none.  (Python's write) */
static int file_write(lua_State *L) {
  cs_File *f = to_writer(L);
  size_t len, done = 0;
  const char *data;
  int n, dontwait;
  int collects = f->size > 0 && !f->lined;
  lua_Integer collected = collects ? collect_strings(L, f) : -1;
  if (collected >= 0) {
    lua_pushinteger(L, collected);
    return 1;
  }
  if (lua_gettop(L) > 2) { /* as Lua's: several */
    for (int arg = 2; arg <= lua_gettop(L); arg++) luaL_checkstring(L, arg);
    lua_concat(L, lua_gettop(L) - 1);
  }
  data = cs_checkdata(L, 2, &len);
  if (collects && collect(f, data, len) > 0) {
    lua_pushinteger(L, (lua_Integer)len);
    return 1;
  }
  if (cs_mayattempt(L, &f->sock->h, CS_WRITE, f->sock->h.timeout, &dontwait,
                    &n)) {
    n = put_all(f, &f->sock->h, data, len, &done, dontwait);
    if (n >= 0) {
      lua_pushinteger(L, (lua_Integer)done);
      return 1;
    }
  }
  cs_pushfilesocket(L);
  lua_pushinteger(L, (lua_Integer)done);
  return cs_driveon(L, &f->sock->h,
                    f->size > 0 || f->whole ? &op_write : &op_rawwrite,
                    f->sock->h.timeout, n);
}

static int try_writelines(lua_State *L, cs_Handle *h, int dontwait) {
  cs_File *f = lua_touserdata(L, 2);
  for (;;) {
    size_t len, done;
    const char *data;
    lua_Integer i = lua_tointeger(L, 5);
    int n;
    if (lua_rawgeti(L, 3, i) == LUA_TNIL) break;
    data = cs_checkdata(L, -1, &len);
    done = (size_t)lua_tointeger(L, 4);
    n = put_piece(f, h, data, len, &done, dontwait);
    set_size(L, 4, done);
    lua_pop(L, 1);
    if (n < 0) return n;
    set_size(L, 4, 0);
    set_size(L, 5, (size_t)i + 1);
    set_size(L, 6, (size_t)lua_tointeger(L, 6) + len);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static const cs_Op op_writelines = {"write",        CS_WRITE,     0,
                                    try_writelines, failed_write, 0};

/* f:writelines(list) -> true: writes each of the list; all of them, also when
** unbuffered. */
static int file_writelines(lua_State *L) {
  cs_File *f = to_writer(L);
  luaL_checktype(L, 2, LUA_TTABLE);
  lua_settop(L, 2);
  for (lua_Integer i = 1; lua_rawgeti(L, 2, i) != LUA_TNIL; i++) {
    size_t len;
    if (cs_todata(L, -1, &len) == NULL)
      return luaL_argerror(L, 2, "list of strings or buffers expected");
    lua_pop(L, 1);
  }
  lua_settop(L, 2);
  cs_pushfilesocket(L);
  lua_pushinteger(L, 0);
  lua_pushinteger(L, 1);
  lua_pushinteger(L, 0);
  return cs_drive(L, &f->sock->h, &op_writelines);
}

/*
** flush: socket, file
*/

static int try_flush(lua_State *L, cs_Handle *h, int dontwait) {
  int n = flush(lua_touserdata(L, 2), h, dontwait);
  if (n < 0) return n;
  lua_pushboolean(L, 1);
  return 1;
}

static const cs_Op op_flush = {"flush", CS_WRITE, 0, try_flush, NULL, 0};

/* Send without the driver what the open file has collected: 0 when all is sent,
** else what the attempt said, or CS_UNTRIED. */
int cs_flushnow(lua_State *L, cs_File *f) {
  cs_Handle *h = &f->sock->h;
  int dontwait, n;
  if (cs_unsent(f) == 0) return 0;
  if (!cs_mayattempt(L, h, CS_WRITE, h->timeout, &dontwait, &n)) return n;
  return flush(f, h, dontwait);
}

/* Flush the open file that is alone on the stack. */
int cs_flushfile(lua_State *L) {
  cs_File *f = lua_touserdata(L, 1);
  cs_Handle *h = &f->sock->h;
  int n = cs_flushnow(L, f);
  if (n == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  cs_pushfilesocket(L);
  return cs_driveon(L, h, &op_flush, h->timeout, n);
}

/* f:flush() -> true when all that was written is sent; what is left after an
** error stays, for another flush. */
static int file_flush(lua_State *L) {
  cs_toopenfile(L);
  lua_settop(L, 1);
  return cs_flushfile(L);
}

/*
** close: the last flush; whatever comes of it, the file is closed
*/

static int closek(lua_State *L, int status, lua_KContext ctx) {
  cs_File *f = lua_touserdata(L, 1);
  int safe = f->sock != NULL && f->sock->h.safe, err = cs_endfile(f);
  (void)ctx;
  lua_pushnil(L); /* a closed file keeps no socket */
  lua_setiuservalue(L, 1, CS_FILESOCKET);
  if (status != LUA_OK && status != LUA_YIELD) return lua_error(L);
  if (lua_toboolean(L, 2) && err != 0)
    return cs_fail(L, safe, -err, "close", 0);
  return lua_gettop(L) - 1;
}

/* f:close() -> true, also when it is closed already; flushes, and closes even
** if that fails.  (Python's close) */
static int file_close(lua_State *L) {
  cs_File *f = cs_tofile(L);
  cs_Loop *loop = f->sock != NULL ? f->sock->h.loop : NULL;
  lua_settop(L, 1);
  if (loop != NULL && loop->entered && loop->current == NULL)
    cs_abandonfile(L, f); /* in a task that is being ended: it cannot wait */
  if (f->sock != NULL && cs_unsent(f) > 0) {
    lua_pushcfunction(L, cs_flushfile);
    lua_pushvalue(L, 1);
    return closek(L, lua_pcallk(L, 1, LUA_MULTRET, 0, 0, closek), 0);
  }
  lua_pushboolean(L, 1);
  return closek(L, LUA_OK, 0);
}

/* A file of the plain class at 'arg', open, over a socket that is open: to end
** it can neither fail nor call anybody's code; NULL. */
static cs_File *to_simple(lua_State *L, int arg) {
  const void *meta = NULL;
  cs_File *f = lua_touserdata(L, arg);
  if (f != NULL && lua_getmetatable(L, arg)) {
    meta = lua_topointer(L, -1);
    lua_pop(L, 1);
  }
  if (meta == NULL || meta != cs_loop(L)->filemeta) return NULL;
  return f->sock != NULL && !f->sock->h.closed ? f : NULL;
}

/* finish(rfile, wfile) -> true: both are closed.  Nothing, and nothing closed,
** where that could wait, fail or mean something else. */
static int file_finish(lua_State *L) {
  cs_File *files[2] = {to_simple(L, 1), to_simple(L, 2)};
  lua_settop(L, 2);
  if (files[0] == NULL || files[1] == NULL || cs_unsent(files[0]) > 0) return 0;
  if (cs_unsent(files[1]) > 0 &&
      (cs_loop(L)->current == NULL || cs_flushnow(L, files[1]) != 0))
    return 0;
  for (int i = 0; i < 2; i++) {
    cs_endfile(files[i]);
    lua_pushnil(L); /* a closed file keeps no socket */
    lua_setiuservalue(L, i + 1, CS_FILESOCKET);
  }
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg writer_funcs[] = {
    {"finish", file_finish},
    {NULL, NULL},
};

static const luaL_Reg writer_methods[] = {
    {"close", file_close}, {"flush", file_flush},
    {"write", file_write}, {"writelines", file_writelines},
    {NULL, NULL},
};

/* Adds its methods to core.file. */
void cs_open_writer(lua_State *L) {
  lua_getfield(L, -1, "file");
  cs_setfuncs(L, writer_funcs);
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, writer_methods);
  lua_pop(L, 2);
}
