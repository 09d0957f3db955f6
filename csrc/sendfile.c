/* sendfile: a whole file, or a range of one, through a stream socket: by
** sendfile(2), or, where that gives up, by reading and sending, which works for
** pipes and for any object with a `read` method too.  Not here: the system call
** itself (sys), which knows SIGPIPE.
** Arguments are Python's: self, file, offset, count; behind them, at index 5,
** is the job.
** Invariant: the job is a variable to be closed, and closing it leaves the file
** behind the last byte that was sent, however the call ends. */

#include <errno.h>
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "drive.h"
#include "error.h"
#include "sendfile.h"
#include "socket.h"

#define JOB   "csock.sendfile"
#define BLOCK 8192              /* bytes to read at once, as Python */
#define MOST  ((size_t)1 << 30) /* bytes to ask sendfile(2) for at once */

/* The file is its user value. */
typedef struct Job {
  lua_Integer offset; /* of the next byte to be sent */
  lua_Integer total;  /* bytes sent */
  lua_Integer left;   /* bytes to be sent; -1: up to the end */
  int moves;          /* the file's own position does not stay */
} Job;

static Job *get_job(lua_State *L) {
  return lua_touserdata(L, 5);
}

static void advance(Job *job, lua_Integer n) {
  job->offset += n;
  job->total += n;
  job->moves = 1;
  if (job->left > 0) job->left -= n;
}

/* How much to move next, of at most 'most'. */
static size_t next_size(const Job *job, size_t most) {
  if (job->left < 0 || (lua_Unsigned)job->left > most) return most;
  return (size_t)job->left;
}

/*
** The file
*/

static int is_stream(lua_State *L, int arg) {
  return luaL_testudata(L, arg, LUA_FILEHANDLE) != NULL;
}

/* The C file of a stream; NULL when it has been closed meanwhile. */
static FILE *get_file(lua_State *L, int arg) {
  luaL_Stream *p = lua_touserdata(L, arg);
  return p->closef != NULL ? p->f : NULL;
}

/* Push the field of a file, or of what is to serve as one; nil where there is
** nothing to have fields. */
static int push_method(lua_State *L, int arg, const char *name) {
  if (lua_isuserdata(L, arg) &&
      luaL_getmetafield(L, arg, "__index") != LUA_TNIL)
    lua_pop(L, 1);
  else if (!lua_istable(L, arg)) {
    lua_pushnil(L);
    return LUA_TNIL;
  }
  return lua_getfield(L, arg, name);
}

/* (file, offset) -> true when the file's position is `offset` now; false, and
** what its seek said, when not. */
static int seek_to(lua_State *L) {
  lua_settop(L, 2);
  if (push_method(L, 1, "seek") == LUA_TNIL) {
    lua_pushboolean(L, 0);
    return 1;
  }
  lua_pushvalue(L, 1);
  lua_pushliteral(L, "set");
  lua_pushvalue(L, 2);
  lua_call(L, 3, 3);
  lua_pushboolean(L, lua_toboolean(L, 3));
  lua_insert(L, 3);
  return 4;
}

/* __close of the job.  What the seek says is not to hide how the call ended;
** and a pipe has no position. */
static int job_settle(lua_State *L) {
  Job *job = lua_touserdata(L, 1);
  if (!job->moves) return 0;
  lua_pushcfunction(L, seek_to);
  lua_getiuservalue(L, 1, 1);
  if (is_stream(L, -1) && get_file(L, -1) == NULL) return 0;
  lua_pushinteger(L, job->offset);
  lua_pcall(L, 2, 0, 0);
  return 0;
}

/*
** By reading and sending
*/

/* Index 2 is the data, index 3 how much of it has gone. */
static int try_block(lua_State *L, cs_Handle *h, int dontwait) {
  size_t len, sent = (size_t)lua_tointeger(L, 3);
  const char *data = lua_tolstring(L, 2, &len);
  ssize_t n =
      send(h->source.fd, data + sent, len - sent, MSG_NOSIGNAL | dontwait);
  if (n < 0) return -errno;
  cs_notesent((cs_Socket *)h, n);
  lua_pushinteger(L, (lua_Integer)n);
  return 1;
}

static const cs_Op op_block = {"sendfile", CS_WRITE, 0, try_block, NULL, 0};

/* (sock, data, sent) -> how much more went; each has the timeout to itself. */
static int send_block(lua_State *L) {
  return cs_drive(L, lua_touserdata(L, 1), &op_block);
}

/* A `read` or `seek` has failed; its errno, if it told one, is at 'arg', below
** that a message, or the error object of one of csock.safe's files. */
static int file_failed(lua_State *L, int arg, int otherwise) {
  cs_Handle *h = lua_touserdata(L, 1);
  int err = (int)lua_tointeger(L, arg);
  if (lua_istable(L, arg - 1)) {
    lua_settop(L, arg - 1);
    return h->safe ? 2 : lua_error(L);
  }
  return cs_fail(L, h->safe, err > 0 ? err : otherwise, "sendfile", 0);
}

/* where the copying is */
enum { READ, WAS_READ, SEND, WAS_SENT };

static int copy(lua_State *L, int status, lua_KContext state);

/* Call the file's read; data, message and errno come to index 6. */
static void call_read(lua_State *L, size_t size) {
  lua_settop(L, 5);
  push_method(L, 2, "read");
  lua_pushvalue(L, 2);
  lua_pushinteger(L, (lua_Integer)size);
  lua_callk(L, 2, 3, WAS_READ, copy);
}

/* What read has brought: 1 for data, 0 for the end. */
static int check_block(lua_State *L, const Job *job) {
  if (lua_isnil(L, 6)) return 0;
  if (lua_type(L, 6) != LUA_TSTRING)
    cs_misuse(L, "the file's read returned a %s", luaL_typename(L, 6));
  if (lua_rawlen(L, 6) > next_size(job, BLOCK))
    cs_misuse(L, "the file's read returned more than it was asked for");
  lua_settop(L, 6);
  lua_pushinteger(L, 0);
  return lua_rawlen(L, 6) > 0;
}

/* Send the data at index 6 from behind the count at index 7. */
static void call_send(lua_State *L) {
  lua_pushcfunction(L, send_block);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 6);
  lua_pushvalue(L, 7);
  lua_callk(L, 3, 2, WAS_SENT, copy);
}

/* That brought a number to index 8, and now the block is done or not. */
static lua_KContext note_sent(lua_State *L, Job *job) {
  lua_Integer n = lua_tointeger(L, 8), sent = lua_tointeger(L, 7) + n;
  advance(job, n);
  lua_settop(L, 6);
  lua_pushinteger(L, sent);
  return (lua_Unsigned)sent < lua_rawlen(L, 6) ? SEND : READ;
}

/* Read and send in turn; entered again behind a call that has waited. */
static int copy(lua_State *L, int status, lua_KContext state) {
  Job *job = get_job(L);
  (void)status;
  for (;;) {
    if (state == READ) {
      if (job->left == 0) break;
      call_read(L, next_size(job, BLOCK));
      state = WAS_READ;
    }
    if (state == WAS_READ) {
      if (lua_isnil(L, 6) && !lua_isnil(L, 7)) return file_failed(L, 8, EIO);
      if (!check_block(L, job)) break;
      state = SEND;
    }
    if (state == SEND) call_send(L);
    if (lua_isnil(L, 8)) return 2; /* nil, err of a safe socket */
    state = note_sent(L, job);
  }
  lua_pushinteger(L, job->total);
  return 1;
}

/* Begin at the offset; where there is no position, 0 is here. */
static int use_send(lua_State *L) {
  Job *job = get_job(L);
  lua_settop(L, 5);
  lua_pushcfunction(L, seek_to);
  lua_pushvalue(L, 2);
  lua_pushinteger(L, job->offset);
  lua_call(L, 2, 4);
  if (lua_toboolean(L, 6))
    job->moves = 1;
  else if (job->offset != 0)
    return file_failed(L, 9, ESPIPE);
  return copy(L, LUA_OK, READ);
}

/*
** By sendfile(2)
*/

static int try_sendfile(lua_State *L, cs_Handle *h, int dontwait) {
  Job *job = get_job(L);
  FILE *f = get_file(L, 2);
  ssize_t n;
  (void)dontwait;
  if (f == NULL) return -EBADF;
  n = cs_sendfile(h->source.fd, fileno(f), job->offset, next_size(job, MOST));
  if (n < 0) return (int)n;
  cs_notesent((cs_Socket *)h, n);
  if (n > 0) {
    advance(job, n);
    if (job->left != 0) return -CS_ETURN;
  }
  lua_pushinteger(L, job->total);
  return 1;
}

/* Is it for the other way to try?  Not when something has been sent already,
** and not when the fault is the socket's, which would tell it only once. */
static int gives_up(const Job *job, int err) {
  return job->total == 0 &&
         (err == EINVAL || err == ESPIPE || err == EBADF || err == ENOSYS ||
          err == EOPNOTSUPP || err == EOVERFLOW || err == EISDIR);
}

static int failed_either(lua_State *L, cs_Handle *h, int err) {
  if (gives_up(get_job(L), err)) return use_send(L);
  return cs_fail(L, h->safe, err, "sendfile", 0);
}

static int failed_sendfile(lua_State *L, cs_Handle *h, int err) {
  if (gives_up(get_job(L), err))
    return cs_failas(L, h->safe, "giveup", err, "sendfile");
  return cs_fail(L, h->safe, err, "sendfile", 0);
}

static const cs_Op op_either = {"sendfile",   CS_WRITE,      0,
                                try_sendfile, failed_either, 1};
static const cs_Op op_sendfile = {"sendfile",   CS_WRITE,        0,
                                  try_sendfile, failed_sendfile, 1};

/* What Lua has written to the file and still holds, the system has to know.
** EBADF is what some systems say of a file open for reading. */
static int flush(lua_State *L) {
  return fflush(get_file(L, 2)) == 0 || errno == EBADF ? 0 : errno;
}

static int use_sendfile(lua_State *L, cs_Handle *h, const cs_Op *op) {
  int err = is_stream(L, 2) ? flush(L) : EINVAL;
  if (err != 0) return op->failed(L, h, err);
  return cs_drive(L, h, op);
}

/*
** Methods
*/

/* An open file of Lua's, or an object that can be read from; one that tells its
** mode has to be binary, as in Python. */
static void check_file(lua_State *L) {
  if (is_stream(L, 2)) {
    luaL_argcheck(L, get_file(L, 2) != NULL, 2, "closed file");
    return;
  }
  if (push_method(L, 2, "read") == LUA_TNIL) cs_typeerror(L, 2, "file");
  if (push_method(L, 2, "mode") == LUA_TSTRING)
    luaL_argcheck(L, strchr(lua_tostring(L, -1), 'b') != NULL, 2,
                  "file should be opened in binary mode");
  lua_settop(L, 4);
}

/* The count at index 4; -1: all. */
static lua_Integer check_count(lua_State *L) {
  lua_Integer count = lua_tointeger(L, 4);
  if (lua_isnil(L, 4)) return -1;
  luaL_argcheck(L, lua_type(L, 4) == LUA_TNUMBER && count > 0, 4,
                "count must be a positive integer");
  return count;
}

static void push_job(lua_State *L, lua_Integer offset, lua_Integer count) {
  Job *job = lua_newuserdatauv(L, sizeof *job, 1);
  memset(job, 0, sizeof *job);
  job->offset = offset;
  job->left = count;
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, -2, 1);
  luaL_setmetatable(L, JOB);
  lua_toclose(L, -1);
}

/* The arguments of all three, with the job behind them. */
static cs_Socket *check(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  lua_Integer offset, count;
  lua_settop(L, 4);
  check_file(L);
  offset = luaL_optinteger(L, 3, 0);
  luaL_argcheck(L, offset >= 0, 3, "offset cannot be negative");
  count = check_count(L);
  if (s->type != SOCK_STREAM)
    cs_misuse(L, "only SOCK_STREAM type sockets are supported");
  if (s->h.timeout == 0) cs_misuse(L, "non-blocking sockets are not supported");
  push_job(L, offset, count);
  return s;
}

/* sock:sendfile(file [, offset [, count]]) -> bytes sent: of a Lua file, or of
** an object with methods `read(size)` and perhaps `seek("set", offset)`; from
** `offset` (0) on, `count` of them or all.  The file's position is behind the
** last byte sent then, also after an error.  Not for sockets with timeout 0;
** the timeout is for each step.  (sendfile(2), Python's socket.sendfile) */
static int sock_sendfile(lua_State *L) {
  cs_Socket *s = check(L);
  return use_sendfile(L, &s->h, &op_either);
}

/* sock:_sendfile_use_sendfile(...): the same by sendfile(2), or an error of the
** class _GiveupOnSendfile. */
static int sock_use_sendfile(lua_State *L) {
  cs_Socket *s = check(L);
  return use_sendfile(L, &s->h, &op_sendfile);
}

/* sock:_sendfile_use_send(...): the same by reading and sending. */
static int sock_use_send(lua_State *L) {
  check(L);
  return use_send(L);
}

static const luaL_Reg sendfile_methods[] = {
    {"sendfile", sock_sendfile},
    {"_sendfile_use_sendfile", sock_use_sendfile},
    {"_sendfile_use_send", sock_use_send},
    {NULL, NULL},
};

/* Adds its methods to core.socket. */
void cs_open_sendfile(lua_State *L) {
  luaL_newmetatable(L, JOB);
  lua_pushcfunction(L, job_settle);
  lua_setfield(L, -2, "__close");
  lua_pop(L, 1);
  lua_getfield(L, -1, "socket");
  lua_getfield(L, -1, "methods");
  cs_setfuncs(L, sendfile_methods);
  lua_pop(L, 2);
}
