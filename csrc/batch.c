/* batch: datagrams taken from a socket several at a time (recvmmsg(2)), and
** answered one by one as the requests of a server.
** Not here: when a server does so, which hooks have a say, and what becomes of
** a request that fails, which is Lua's (lua/csock/datagrams.lua); datagrams in
** general (transfer).
** Invariant: those from `next` up to `count` have come and were not handed out
** yet; nothing is received while there are any. */

#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "address.h"
#include "batch.h"
#include "drive.h"
#include "error.h"
#include "group.h"
#include "socket.h"

#if defined(__linux__)
#define HAS_MMSG 1
#else
#define HAS_MMSG 0
#endif

#if !defined(UDP_GRO)
#define UDP_GRO (-1)
#endif

/* What came with one receive: a datagram, or, with UDP_GRO, several of one
** sender, all of them but the last one of the same length. */
typedef struct Slot {
  struct iovec iov;
  cs_Address from;
  size_t len;   /* of all that came, as far as it fitted */
  size_t each;  /* of the datagrams; 0: there is but one */
  size_t given; /* bytes that were handed out */
  _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int))];
} Slot;

/* How many clients a batch remembers, a power of two. */
#define KNOWN_BITS 8

typedef struct Batch {
  int room;           /* datagrams that fit */
  size_t size;        /* bytes that may come with one receive */
  size_t most;        /* bytes of a datagram that are handed out */
  int next, count;    /* those that are here */
  char *memory;       /* room * size bytes, behind the slots */
  lua_Integer begun;  /* requests, since somebody asked */
  int ending;         /* its server has been told to stop */
  int busy;           /* a request is under way */
  lua_Integer waiter; /* the task that waits in serve(), by number; 0: none */
  int fields;         /* that a handler will have */
  lua_Integer stamp;  /* what changes[1] was when serve() was called */
  /* address objects of clients, at places that their bytes say, which the
  ** table KNOWN holds; NULL: none */
  const void *known[1 << KNOWN_BITS];
#if HAS_MMSG
  struct mmsghdr *heads; /* as many, behind that */
#endif
  Slot slots[];
} Batch;

/* upvalues of its functions: the loop, the batch, the metatable of addresses,
** the table of known ones, and names of fields */
enum { BATCH = 2, META, KNOWN, REQUEST, CLIENT, SERVER, SOCKET, CLASS };

static const char *const names[] = {"request", "client_address", "server",
                                    "socket", "RequestHandlerClass"};
enum { NAMES = 5 };

#define UP(n) lua_upvalueindex(n)

static Batch *get_batch(lua_State *L) {
  return lua_touserdata(L, lua_upvalueindex(BATCH));
}

/*
** Receiving
*/

#if HAS_MMSG

/* How long the datagrams are that came as one; 0 when it is one. */
static size_t find_each(struct msghdr *m) {
  struct cmsghdr *c;
  int each;
  for (c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c))
    if (c->cmsg_level == IPPROTO_UDP && c->cmsg_type == UDP_GRO &&
        c->cmsg_len >= CMSG_LEN(sizeof each)) {
      memcpy(&each, CMSG_DATA(c), sizeof each);
      return each > 0 ? (size_t)each : 0;
    }
  return 0;
}

/* What a receive says in a header is said anew before the next one. */
static void reset(Batch *b, int i) {
  struct msghdr *m = &b->heads[i].msg_hdr;
  m->msg_namelen = sizeof b->slots[i].from.u;
  m->msg_control = b->slots[i].control;
  m->msg_controllen = sizeof b->slots[i].control;
}

/* At most 'n' of those that are there: how many, or -errno. */
static int receive(Batch *b, int fd, int n, int flags) {
  n = recvmmsg(fd, b->heads, (unsigned)n, flags | MSG_WAITFORONE, NULL);
  if (n < 0) return -errno;
  for (int i = 0; i < n; i++) {
    b->slots[i].len = b->heads[i].msg_len;
    b->slots[i].from.len = b->heads[i].msg_hdr.msg_namelen;
    b->slots[i].each = find_each(&b->heads[i].msg_hdr);
    reset(b, i);
  }
  return n;
}

static void prepare(Batch *b) {
  for (int i = 0; i < b->room; i++) {
    struct msghdr *m = &b->heads[i].msg_hdr;
    memset(m, 0, sizeof *m);
    m->msg_name = &b->slots[i].from.u;
    m->msg_iov = &b->slots[i].iov;
    m->msg_iovlen = 1;
    reset(b, i);
  }
}

#else

static int receive(Batch *b, int fd, int n, int flags) {
  int count = 0;
  while (count < n) {
    Slot *s = &b->slots[count];
    ssize_t len;
    s->from.len = sizeof s->from.u;
    len = recvfrom(fd, s->iov.iov_base, s->iov.iov_len, flags, &s->from.u.any,
                   &s->from.len);
    if (len < 0) return count > 0 ? count : -errno;
    s->len = (size_t)len;
    s->each = 0;
    count++;
    flags |= MSG_DONTWAIT;
  }
  return count;
}

static void prepare(Batch *b) {
  (void)b;
}

#endif

/* When less came than was asked for, has the queue been emptied?  Then the next
** datagram is an event.  Not known after errors (`wary`), which end a batch as
** well, or of families other than these. */
static int knows_end(const cs_Socket *s) {
  return HAS_MMSG && !s->h.source.wary &&
         (s->family == AF_INET || s->family == AF_INET6 ||
          s->family == AF_UNIX);
}

/* How many may be taken is at index 3. */
static int try_fill(lua_State *L, cs_Handle *h, int dontwait) {
  cs_Socket *s = (cs_Socket *)h;
  Batch *b = get_batch(L);
  int most = (int)lua_tointeger(L, 3), n;
  n = receive(b, h->source.fd, most, dontwait);
  if (n < 0) return n;
  for (int i = 0; i < n; i++) {
    cs_notereceived(s, (ssize_t)b->slots[i].len, 0);
    b->slots[i].given = 0;
  }
  b->next = 0;
  b->count = n;
  if (n < most && knows_end(s)) h->source.idle |= CS_READ;
  h->loop->budget -= n - 1; /* each is an operation */
  lua_pushboolean(L, 1);
  return 1;
}

static int not_filled(lua_State *L, cs_Handle *h, int err) {
  return cs_answerfalse(L, h, err, "recvfrom");
}

static const cs_Op op_fill = {"recvfrom", CS_READ, 0, try_fill, not_filled, 0};

/* fill(sock, timeout, most) -> true when there are datagrams to be handed out,
** up to `most` of them; false after `timeout` seconds (nil: never), or when the
** task was woken (core.loop.wake).  (recvmmsg(2)) */
static int batch_fill(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  Batch *b = get_batch(L);
  int64_t timeout = cs_checktimeout(L, 2);
  int most = cs_checkint(L, 3);
  luaL_argcheck(L, most >= 1 && most <= b->room, 3, "out of range");
  lua_settop(L, 3);
  if (b->next < b->count) {
    lua_pushboolean(L, 1);
    return 1;
  }
  return cs_drivewithin(L, &s->h, &op_fill, timeout);
}

/*
** Handing out
*/

/* The place among the known for an address that may be there, or at the one
** beside it; or -1. */
static int place_of(const cs_Address *a) {
  uint32_t h, words[4];
  if (a->u.any.sa_family == AF_INET && a->len == sizeof a->u.in)
    h = a->u.in.sin_addr.s_addr ^ a->u.in.sin_port;
  else if (a->u.any.sa_family == AF_INET6 && a->len == sizeof a->u.in6) {
    memcpy(words, &a->u.in6.sin6_addr, sizeof words);
    h = words[0] ^ words[1] ^ words[2] ^ words[3] ^ a->u.in6.sin6_port;
  } else
    return -1;
  return (int)(h * 0x9e3779b1u >> (32 - KNOWN_BITS));
}

/* Is this, which is NULL or has the bytes of some address, of that one? */
static int is_same(const struct sockaddr *known, const cs_Address *a) {
  return known != NULL && known->sa_family == a->u.any.sa_family &&
         memcmp(known, &a->u, a->len) == 0;
}

/* Push the address of a client.  Most send more than one datagram: the object,
** which nothing can change, is then the one that the last of them had. */
static void push_client(lua_State *L, Batch *b, const cs_Address *a,
                        int proto) {
  int place = place_of(a);
  if (place >= 0 && !is_same(b->known[place], a)) place ^= 1;
  if (place >= 0 && is_same(b->known[place], a)) {
    lua_rawgeti(L, UP(KNOWN), place + 1);
    return;
  }
  cs_pushaddresswith(L, a, proto, UP(META));
  if (place < 0) return;
  place ^= (int)(b->begun & 1); /* either one has to go */
  lua_pushvalue(L, -1);
  lua_rawseti(L, UP(KNOWN), place + 1);
  b->known[place] = lua_touserdata(L, -1);
}

/* Push {data, sock} and the address of the next datagram, which came to the
** socket at index 1; 0 when there is none, or the socket is closed. */
static int push_next(lua_State *L, Batch *b, const cs_Socket *s) {
  Slot *slot;
  size_t len;
  if (s->h.source.fd < 0) b->next = b->count; /* nobody can be answered */
  if (b->next == b->count) return 0;
  slot = &b->slots[b->next];
  len = slot->len - slot->given;
  if (slot->each > 0 && slot->each < len) len = slot->each;
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 2);
  lua_pushlstring(L, (char *)slot->iov.iov_base + slot->given,
                  len < b->most ? len : b->most);
  lua_rawseti(L, -2, 1);
  push_client(L, b, &slot->from, s->proto);
  slot->given += len;
  if (slot->given == slot->len) b->next++;
  return 2;
}

/* take(sock) -> {data, sock}, address: the next datagram, which came to this
** socket; nothing when there is none, or the socket is closed. */
static int batch_take(lua_State *L) {
  return push_next(L, get_batch(L), cs_tosocket(L));
}

/* left() -> how many there are. */
static int batch_left(lua_State *L) {
  Batch *b = get_batch(L);
  lua_pushinteger(L, b->count - b->next);
  return 1;
}

/* drop() -> how many there were that nobody will take. */
static int batch_drop(lua_State *L) {
  Batch *b = get_batch(L);
  lua_pushinteger(L, b->count - b->next);
  b->next = b->count;
  return 1;
}

/* begun() -> how many requests serve() has begun since this was last asked. */
static int batch_begun(lua_State *L) {
  Batch *b = get_batch(L);
  lua_pushinteger(L, b->begun);
  b->begun = 0;
  return 1;
}

/*
** Answering
*/

/* Where things are on the stack of serve(): its arguments, the request under
** way, what is called for it. */
enum {
  AT_SOCKET = 1,
  AT_SERVER,
  AT_STEP,
  AT_META,
  AT_SETUP,
  AT_FAILURE,
  AT_FAILED,
  AT_OVER,
  AT_FILL,
  AT_CHANGES,
  AT_GROUP,
  AT_CLASS,
  AT_REQUEST,
  AT_CLIENT,
  AT_CALL
};

/* What has been done for a request, or before the first one. */
enum { NOTHING, SETUP, STEP, FAILED, FILLED };

static void set_field(lua_State *L, int table, int name, int value) {
  lua_pushvalue(L, UP(name));
  lua_pushvalue(L, value);
  lua_rawset(L, table);
}

/* Push the handler of a request, whose class only sets these fields. */
static void push_handler(lua_State *L, const Batch *b) {
  int handler = lua_gettop(L) + 1;
  lua_createtable(L, 0, b->fields);
  set_field(L, handler, REQUEST, AT_REQUEST);
  set_field(L, handler, CLIENT, AT_CLIENT);
  set_field(L, handler, SERVER, AT_SERVER);
  lua_pushvalue(L, AT_META);
  lua_setmetatable(L, handler);
}

/* Push the first thing to be called for a request, and its arguments: how many
** these are.  Where that is setup, the handler lies below it. */
static int push_call(lua_State *L, const Batch *b, lua_KContext *stage) {
  *stage = STEP;
  if (lua_isnil(L, AT_META)) {
    lua_pushvalue(L, AT_STEP);
    lua_pushvalue(L, AT_SERVER);
    lua_pushvalue(L, AT_REQUEST);
    lua_pushvalue(L, AT_CLIENT);
    return 3;
  }
  if (!lua_toboolean(L, AT_SETUP)) {
    lua_pushvalue(L, AT_STEP);
    push_handler(L, b);
    return 1;
  }
  *stage = SETUP;
  push_handler(L, b);
  lua_pushvalue(L, AT_SETUP);
  lua_pushvalue(L, AT_CALL);
  return 1;
}

/* A request is over: after shutdown(), are all? */
static void end_request(lua_State *L, Batch *b) {
  lua_settop(L, AT_CLASS);
  b->busy = 0;
  if (!b->ending) return;
  lua_pushvalue(L, AT_OVER);
  lua_pushvalue(L, AT_SERVER);
  lua_call(L, 1, 0);
}

static int answered(lua_State *L, int status, lua_KContext stage);

/* Tell of the error on top: is the rest to be left alone? */
static int call_failed(lua_State *L) {
  if (lua_gettop(L) > AT_CALL) lua_replace(L, AT_CALL);
  lua_settop(L, AT_CALL);
  lua_pushvalue(L, AT_FAILED);
  lua_insert(L, AT_REQUEST); /* failed, request, client, error */
  lua_pushvalue(L, AT_SERVER);
  lua_insert(L, AT_REQUEST + 1);
  lua_callk(L, 4, 1, FAILED, answered);
  return lua_toboolean(L, -1);
}

/* Is the server's field at UP('name') what is at 'index'? */
static int is_still(lua_State *L, int name, int index) {
  int same;
  lua_pushvalue(L, UP(name));
  lua_rawget(L, AT_SERVER);
  same = lua_rawequal(L, -1, index);
  lua_pop(L, 1);
  return same;
}

/* Is all as it was when serve() was called? */
static int holds(lua_State *L, const Batch *b) {
  lua_Integer changes;
  lua_rawgeti(L, AT_CHANGES, 1);
  changes = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return changes == b->stamp && is_still(L, SOCKET, AT_SOCKET) &&
         is_still(L, CLASS, AT_CLASS);
}

/*
** Leading: where requests are a group's, the task in serve() is of that group
** while it answers, and waits for more only if it has let nobody else run
** meanwhile: as far as others can see, a request's task ends with it.
*/

/* There are datagrams: answering them is a request. */
static void take_lead(lua_State *L) {
  cs_Task *me = cs_loop(L)->current;
  if (lua_isnil(L, AT_GROUP)) return;
  me->leads = 1;
  cs_joingroup(lua_touserdata(L, AT_GROUP), me);
}

/* They are answered: may it wait for others? */
static int leave_lead(lua_State *L) {
  cs_Task *me = cs_loop(L)->current;
  if (lua_isnil(L, AT_GROUP)) return 1;
  if (!me->leads || me->shown) return 0;
  me->leads = 0;
  cs_leavegroup(me);
  return 1;
}

/* A request's task that is to be cancelled is of no use to the next one. */
static int is_cancelled(lua_State *L) {
  return !lua_isnil(L, AT_GROUP) && cs_loop(L)->current->cancel;
}

/* All are answered: wait for more, if that is to be. */
static int call_fill(lua_State *L, Batch *b) {
  if (lua_isnil(L, AT_FILL) || b->ending || !leave_lead(L) || !holds(L, b))
    return 0;
  b->waiter = cs_loop(L)->current->number;
  lua_pushvalue(L, AT_FILL);
  lua_pushvalue(L, AT_SOCKET);
  lua_pushnil(L);
  lua_pushinteger(L, b->room);
  lua_callk(L, 3, 2, FILLED, answered);
  return 1;
}

/* What fill said is on top: is it for this call to answer what has come? */
static int filled(lua_State *L, Batch *b) {
  b->waiter = 0;
  if (!lua_toboolean(L, -2)) return 0;
  lua_settop(L, AT_CLASS);
  if (holds(L, b)) {
    take_lead(L);
    return 1;
  }
  lua_pushboolean(L, 1);
  lua_pushnil(L);
  return 0;
}

/* Go on where 'stage' has been reached, be it after a wait. */
static int answered(lua_State *L, int status, lua_KContext stage) {
  Batch *b = get_batch(L);
  const cs_Socket *s = lua_touserdata(L, AT_SOCKET);
  int n;
  for (;;) {
    if (status != LUA_OK && status != LUA_YIELD) {
      if (call_failed(L)) return 0;
    } else if (stage == FAILED && lua_toboolean(L, -1))
      return 0;
    else if (stage == FILLED && !filled(L, b))
      return 2;
    if (stage == SETUP && (status == LUA_OK || status == LUA_YIELD)) {
      lua_pushvalue(L, AT_STEP);
      lua_insert(L, AT_CALL);
      n = 1;
      stage = STEP;
    } else {
      if (stage != NOTHING && stage != FILLED) end_request(L, b);
      status = LUA_OK;
      stage = FILLED;
      if (is_cancelled(L)) return 0;
      if (push_next(L, b, s) == 0) {
        if (!call_fill(L, b)) return 0;
        continue;
      }
      b->begun++;
      b->busy = 1;
      n = push_call(L, b, &stage);
    }
    status = lua_pcallk(L, n, 0, AT_FAILURE, stage, answered);
  }
}

/* hurry(): the server has been told to stop. */
static int batch_hurry(lua_State *L) {
  get_batch(L)->ending = 1;
  return 0;
}

/* serve(sock, server, step, meta, setup, failure, failed, over, fill, changes,
** group, ending, fields): make requests of the datagrams that are left, which
** came to this socket, one after the other, and do step(server, request,
** client_address) for each; where there is `meta`, a metatable, make the
** handler {request =, client_address =, server =}, with room for so many
** fields, and do setup(handler), unless that is false, and step(handler).
** When one of these fails, failed(server, request, client_address, what), in
** which `what` is the answer of the message handler `failure`, says whether to
** leave the rest alone.  With `ending`, and after hurry(), over(server) is
** called whenever a request is over.
** Otherwise, where there is `fill`, which is this batch's, do that, and go on,
** for as long as changes[1], the server's socket and its RequestHandlerClass
** stay what they are and, where there is a group, the task leads.
** What fill said last, if it was not true; true when datagrams are left that
** have come after such a change; nothing in all other cases. */
static int batch_serve(lua_State *L) {
  Batch *b = get_batch(L);
  cs_tosocket(L);
  luaL_checktype(L, AT_SERVER, LUA_TTABLE);
  luaL_checktype(L, AT_CHANGES, LUA_TTABLE);
  b->ending = lua_toboolean(L, AT_GROUP + 1);
  b->fields = (int)lua_tointeger(L, AT_GROUP + 2);
  if (!lua_isnil(L, AT_GROUP)) { /* whose task this is, with us as subject */
    cs_checkgroup(L, AT_GROUP);
    cs_pushtask(L, cs_loop(L)->current);
    lua_pushvalue(L, UP(BATCH));
    lua_setiuservalue(L, -2, CS_SUBJECT);
  }
  lua_rawgeti(L, AT_CHANGES, 1);
  b->stamp = lua_tointeger(L, -1);
  lua_settop(L, AT_GROUP);
  lua_pushvalue(L, UP(CLASS));
  lua_rawget(L, AT_SERVER);
  take_lead(L);
  return answered(L, LUA_OK, NOTHING);
}

/* waits() -> does a task wait for datagrams in serve()? */
static int batch_waits(lua_State *L) {
  lua_pushboolean(L, get_batch(L)->waiter != 0);
  return 1;
}

/* busy() -> is a request under way? */
static int batch_busy(lua_State *L) {
  lua_pushboolean(L, get_batch(L)->busy);
  return 1;
}

/* rest() -> did this task wait when an error ended serve()?  Now it does
** nothing. */
static int batch_rest(lua_State *L) {
  Batch *b = get_batch(L);
  const cs_Task *me = cs_loop(L)->current;
  int waited = me != NULL && b->waiter == me->number;
  if (waited) b->waiter = 0;
  b->busy = 0;
  lua_pushboolean(L, waited);
  return 1;
}

/*
** Making
*/

static Batch *push_batch(lua_State *L, int room, size_t size, size_t most) {
  size_t n = (size_t)room, slots = n * sizeof(Slot), heads = 0;
  Batch *b;
#if HAS_MMSG
  heads = n * sizeof *b->heads;
#endif
  b = lua_newuserdatauv(L, sizeof *b + slots + heads + n * size, 0);
  memset(b, 0, sizeof *b + slots);
  b->room = room;
  b->size = size;
  b->most = most;
  b->memory = (char *)b->slots + slots + heads;
#if HAS_MMSG
  b->heads = (struct mmsghdr *)(void *)((char *)b->slots + slots);
#endif
  for (int i = 0; i < room; i++) {
    b->slots[i].iov.iov_base = b->memory + (size_t)i * size;
    b->slots[i].iov.iov_len = size;
  }
  prepare(b);
  return b;
}

/* Set the functions of the batch at 'batch' in the table on top. */
static void set_funcs(lua_State *L, int batch) {
  static const luaL_Reg funcs[] = {
      {"begun", batch_begun}, {"busy", batch_busy},   {"drop", batch_drop},
      {"fill", batch_fill},   {"hurry", batch_hurry}, {"left", batch_left},
      {"rest", batch_rest},   {"serve", batch_serve}, {"take", batch_take},
      {"waits", batch_waits}, {NULL, NULL},
  };
  lua_pushvalue(L, UP(1));
  lua_pushvalue(L, batch);
  cs_pushaddressmeta(L);
  lua_createtable(L, 1 << KNOWN_BITS, 0);
  for (int i = 0; i < NAMES; i++) lua_pushstring(L, names[i]);
  luaL_setfuncs(L, funcs, CLASS);
}

/* batch(room, size, most) -> {begun =, busy =, drop =, fill =, hurry =, left =,
** rest =, serve =, take =, waits =}: functions for datagrams of one socket, up
** to `room` (1 to 1024) receives at a time, each of the first `size` bytes (1
** to 65536); of a datagram the first `most` are kept. */
static int socket_batch(lua_State *L) {
  int room = cs_checkint(L, 1), size = cs_checkint(L, 2);
  int most = cs_checkint(L, 3);
  luaL_argcheck(L, room >= 1 && room <= 1024, 1, "out of range");
  luaL_argcheck(L, size >= 1 && size <= 65536, 2, "out of range");
  luaL_argcheck(L, most >= 1 && most <= size, 3, "out of range");
  lua_settop(L, 3);
  push_batch(L, room, (size_t)size, (size_t)most);
  lua_newtable(L);
  set_funcs(L, 4);
  return 1;
}

static const luaL_Reg batch_funcs[] = {
    {"batch", socket_batch},
    {NULL, NULL},
};

/* Adds its functions to core.socket. */
void cs_open_batch(lua_State *L) {
  lua_getfield(L, -1, "socket");
  cs_setfuncs(L, batch_funcs);
  lua_pop(L, 1);
}
