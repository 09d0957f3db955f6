/* resolve: the look-ups of lookup.c as operations for the driver, so that a
** task waits for a name server as it waits for a peer; and Python's functions
** on names of hosts, services and protocols.  Not here: the calls of the system
** and their threads (lookup), addresses that are numbers (address, inet).
** Invariant: a look-up lives in a userdata, which is a variable to be closed
** while somebody waits for it: however the wait ends, it is forgotten. */

#define _GNU_SOURCE /* sethostname */
#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "error.h"
#include "lookup.h"
#include "resolve.h"

#define LOOKUP "csock.lookup"
#define QUEUE  "csock.lookups"

static const char queue_key = 'q'; /* registry key of the queue's box */

/* While it is waited for it is at index 1, and what it is about, for errors to
** tell, at index 2. */
typedef struct Lookup {
  cs_Handle h; /* first; its descriptor is readable when the answer is there */
  cs_Op op;    /* the wait, under the name of what needs the answer */
  cs_Lookup *question;
  int (*finish)(lua_State *L, struct Lookup *l); /* answer to results */
  /* for a method with an address: */
  cs_Address address;        /* whole but for its host */
  int64_t timeout, deadline; /* of the whole */
  int top;                   /* of the method's stack */
} Lookup;

/*
** Look-ups
*/

static int lookup_close(lua_State *L) {
  Lookup *l = luaL_checkudata(L, 1, LOOKUP);
  if (l->question == NULL) return 0;
  cs_closesource(l->h.loop, &l->h.source);
  cs_forget(l->question);
  l->question = NULL;
  return 0;
}

static int queue_gc(lua_State *L) {
  cs_Lookups **queue = lua_touserdata(L, 1);
  if (*queue != NULL) cs_closelookups(*queue);
  *queue = NULL;
  return 0;
}

static Lookup *push_lookup(lua_State *L, enum cs_Question what,
                           const char *host, const char *service,
                           int (*finish)(lua_State *L, Lookup *l)) {
  Lookup *l = lua_newuserdatauv(L, sizeof *l, 1);
  memset(l, 0, sizeof *l);
  cs_opensource(&l->h.source, -1);
  l->h.loop = cs_loop(L);
  l->h.nonblock = 1;
  l->finish = finish;
  luaL_setmetatable(L, LOOKUP);
  l->question = cs_newlookup(what, host, service);
  if (l->question == NULL) luaL_error(L, "not enough memory");
  return l;
}

/* The first attempt asks; those after a wait look for the answer. */
static int try_lookup(lua_State *L, cs_Handle *h, int dontwait) {
  Lookup *l = (Lookup *)h;
  (void)dontwait;
  if (h->source.fd < 0 && !cs_answerhere(l->question)) {
    cs_Lookups **queue;
    int fd;
    lua_rawgetp(L, LUA_REGISTRYINDEX, &queue_key);
    queue = lua_touserdata(L, -1);
    lua_pop(L, 1);
    fd = cs_ask(queue, l->question);
    if (fd < 0) return fd;
    h->source.fd = fd;
  }
  if (!cs_isanswered(l->question)) return -EAGAIN;
  return l->finish(L, l);
}

/* A resolver that may not wait would never know an answer: as in Python a
** timeout of 0 is no limit here. */
static void prepare(Lookup *l, const char *name, int64_t timeout) {
  l->op.name = name;
  l->op.want = CS_READ;
  l->op.address = 2;
  l->op.attempt = try_lookup;
  l->h.timeout = timeout != 0 ? timeout : -1;
}

static int wait_lookup(lua_State *L) {
  Lookup *l = lua_touserdata(L, 1);
  lua_toclose(L, 1);
  return cs_drive(L, &l->h, &l->op);
}

/* Report that there is no answer. */
static int unanswered(lua_State *L, Lookup *l) {
  const cs_Lookup *q = l->question;
  errno = q->system;
  return cs_failname(L, l->h.safe, q->error, l->op.name, l->op.address);
}

/*
** Names in the addresses of methods
*/

/* Copy the host, and the scope unless there is one, not the port. */
static void set_host(cs_Address *a, const void *found) {
  const struct sockaddr_in *in = found;
  const struct sockaddr_in6 *in6 = found;
  if (a->u.any.sa_family == AF_INET)
    a->u.in.sin_addr = in->sin_addr;
  else {
    a->u.in6.sin6_addr = in6->sin6_addr;
    if (a->u.in6.sin6_scope_id == 0)
      a->u.in6.sin6_scope_id = in6->sin6_scope_id;
  }
}

static int finish_host(lua_State *L, Lookup *l) {
  if (l->question->error != 0) return unanswered(L, l);
  set_host(&l->address, l->question->list->ai_addr);
  cs_pushaddress(L, &l->address, 0);
  return 1;
}

/* What the address at 'arg' names is not there: results, as cs_fail.  For what
** is too long Python has no errno. */
static int missing(lua_State *L, int arg, cs_Handle *h, int err,
                   const char *op) {
  if (err == ENAMETOOLONG)
    return cs_failtext(L, h->safe,
                       lua_istable(L, arg) ? "interface name too long"
                                           : "AF_UNIX path too long",
                       op);
  return cs_fail(L, h->safe, err, op, arg);
}

/* Make of the address argument 'arg' an address object (or a path): what the
** attempts then use, and errors tell.  Returns 0; or 1 when its host is a name:
** then there is a look-up in its place, and cs_drivenamed is to carry out the
** operation; or -n when it failed, with n results.  Raises argument errors. */
int cs_resolve(lua_State *L, int arg, cs_Handle *h, int family, int proto,
               const char *op) {
  cs_Address a;
  Lookup *l;
  int n = cs_checkaddress(L, arg, family, proto, &a);
  if (n < 0) return -missing(L, arg, h, -n, op);
  if (n > 0) {
    if (!lua_istable(L, arg)) return 0;
    cs_pushaddress(L, &a, proto);
    lua_replace(L, arg);
    return 0;
  }
  l = push_lookup(L, CS_ADDRESSES, lua_tostring(L, -1), NULL, finish_host);
  l->question->family = a.u.any.sa_family;
  l->question->type = SOCK_STREAM; /* one of each address */
  l->address = a;
  lua_pushvalue(L, arg);
  lua_setiuservalue(L, -2, 1);
  lua_replace(L, arg);
  lua_pop(L, 1);
  return 1;
}

/* The look-up has ended: with an address, or with a failure's results. */
static int resolved(lua_State *L, int status, lua_KContext ctx) {
  const cs_Op *op = (const cs_Op *)ctx;
  cs_Handle *h = lua_touserdata(L, 1);
  Lookup *l = lua_touserdata(L, op->address);
  int64_t left = l->timeout;
  (void)status;
  if (!lua_isuserdata(L, -1)) return lua_gettop(L) - l->top;
  if (left > 0 && l->deadline != CS_FOREVER) {
    left = l->deadline - cs_now();
    if (left <= 0) left = 1; /* the answer was in time: one attempt */
  }
  lua_replace(L, op->address);
  return cs_drivewithin(L, h, op, left);
}

/* cs_drivewithin for an operation at whose op->address cs_resolve has left a
** look-up: the timeout is for both together. */
int cs_drivenamed(lua_State *L, cs_Handle *h, const cs_Op *op,
                  int64_t timeout) {
  Lookup *l = lua_touserdata(L, op->address);
  prepare(l, op->name, timeout);
  l->op.failed = op->failed;
  l->h.safe = (unsigned char)cs_issafe(L, h->safe);
  l->timeout = timeout;
  l->deadline = cs_deadline(l->h.timeout);
  l->top = lua_gettop(L);
  lua_pushcfunction(L, wait_lookup);
  lua_pushvalue(L, op->address);
  lua_getiuservalue(L, op->address, 1);
  lua_callk(L, 2, LUA_MULTRET, (lua_KContext)op, resolved);
  return resolved(L, LUA_OK, (lua_KContext)op);
}

/*
** Functions
*/

/* Wait for the answer to the look-up on top of the stack, which is about the
** first argument. */
static int ask(lua_State *L, const char *name, int64_t timeout) {
  prepare(lua_touserdata(L, -1), name, timeout);
  lua_insert(L, 1);
  lua_settop(L, 2);
  return wait_lookup(L);
}

static const char *opt_name(lua_State *L, int arg) {
  return lua_isnoneornil(L, arg) ? NULL : cs_checkname(L, arg);
}

static void push_info(lua_State *L, const struct addrinfo *ai) {
  cs_Address a;
  memset(&a, 0, sizeof a);
  a.len = ai->ai_addrlen;
  memcpy(&a.u, ai->ai_addr, ai->ai_addrlen);
  lua_createtable(L, 5, 0);
  lua_pushinteger(L, ai->ai_family);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, ai->ai_socktype);
  lua_rawseti(L, -2, 2);
  lua_pushinteger(L, ai->ai_protocol);
  lua_rawseti(L, -2, 3);
  lua_pushstring(L, ai->ai_canonname != NULL ? ai->ai_canonname : "");
  lua_rawseti(L, -2, 4);
  cs_pushaddress(L, &a, 0);
  lua_rawseti(L, -2, 5);
}

static int finish_getaddrinfo(lua_State *L, Lookup *l) {
  lua_Integer n = 0;
  if (l->question->error != 0) return unanswered(L, l);
  lua_newtable(L);
  for (struct addrinfo *ai = l->question->list; ai != NULL; ai = ai->ai_next) {
    push_info(L, ai);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

/* Arguments of getaddrinfo, in their order, and the names they may have. */
enum { HOST = 1, PORT, FAMILY, TYPE, PROTO, FLAGS, TIMEOUT };

/* The fields of the table at 'arg' become the arguments from 'arg' on. */
static void spread(lua_State *L, int arg) {
  static const char *const names[] = {"host",  "port",  "family", "type",
                                      "proto", "flags", "timeout"};
  lua_pushvalue(L, arg);
  lua_pushnil(L);
  lua_replace(L, arg);
  lua_pushnil(L);
  if (lua_next(L, TIMEOUT + 1) == 0) cs_argerror(L, arg, "no options");
  do {
    int place = arg;
    const char *key =
        lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
    while (place <= TIMEOUT && strcmp(names[place - 1], key) != 0) place++;
    if (place > TIMEOUT)
      cs_argerror(L, arg, lua_pushfstring(L, "unknown option '%s'", key));
    lua_pushvalue(L, -1);
    lua_replace(L, place);
    lua_pop(L, 1);
  } while (lua_next(L, TIMEOUT + 1) != 0);
  lua_settop(L, TIMEOUT);
}

/* Nanoseconds: absent the default timeout, nil or false none. */
static int64_t get_timeout(lua_State *L, int given) {
  if (!given) return cs_loop(L)->default_timeout;
  if (lua_isboolean(L, TIMEOUT) && !lua_toboolean(L, TIMEOUT)) return -1;
  return cs_checktimeout(L, TIMEOUT);
}

/* The port or service.  A number that is no port is refused: the resolver would
** cut it to 16 bits and say nothing. */
static const char *check_port(lua_State *L) {
  const char *port;
  if (lua_type(L, PORT) == LUA_TNUMBER) {
    lua_pushinteger(L, luaL_checkinteger(L, PORT)); /* "80", not "80.0" */
    lua_tostring(L, -1);
    lua_replace(L, PORT);
  }
  port = opt_name(L, PORT);
  if (port != NULL && strspn(port, "-0123456789") == strlen(port) &&
      (*port == '-' || strtoul(port, NULL, 10) > 65535))
    cs_argerror(L, PORT, "port must be 0-65535");
  return port;
}

/* Is the argument `usual`, 0 or not there? */
static int is_open(lua_State *L, int arg, int usual) {
  int isnum;
  lua_Integer value = lua_tointegerx(L, arg, &isnum);
  return isnum ? value == 0 || value == usual : lua_isnil(L, arg);
}

/* The address of a host in numbers, and its length; 0 for any other. */
static socklen_t read_numbers(const char *host, in_port_t port, cs_Address *a) {
  memset(a, 0, sizeof *a);
  if (inet_pton(AF_INET, host, &a->u.in.sin_addr) == 1) {
    a->u.in.sin_family = AF_INET;
    a->u.in.sin_port = port;
    return sizeof a->u.in;
  }
  if (inet_pton(AF_INET6, host, &a->u.in6.sin6_addr) != 1) return 0;
  a->u.in6.sin6_family = AF_INET6;
  a->u.in6.sin6_port = port;
  return sizeof a->u.in6;
}

/* The usual question, for one kind of socket, host and port as numbers, has one
** answer, which needs no resolver: push the list; or 0. */
static int push_numeric(lua_State *L) {
  struct addrinfo ai = {0};
  cs_Address a;
  lua_Integer port = lua_tointeger(L, PORT);
  const char *host;
  if (lua_type(L, HOST) != LUA_TSTRING || !lua_isinteger(L, PORT) || port < 0 ||
      port > 65535 || !is_open(L, FLAGS, 0))
    return 0;
  host = lua_tostring(L, HOST);
  ai.ai_addrlen = read_numbers(host, htons((in_port_t)port), &a);
  ai.ai_addr = &a.u.any;
  ai.ai_family = a.u.any.sa_family;
  ai.ai_socktype = (int)lua_tointeger(L, TYPE);
  ai.ai_protocol = ai.ai_socktype == SOCK_STREAM ? IPPROTO_TCP : IPPROTO_UDP;
  if (ai.ai_addrlen == 0 || strlen(host) != lua_rawlen(L, HOST) ||
      (ai.ai_socktype != SOCK_STREAM && ai.ai_socktype != SOCK_DGRAM) ||
      !is_open(L, FAMILY, ai.ai_family) || !is_open(L, PROTO, ai.ai_protocol))
    return 0;
  lua_createtable(L, 1, 0);
  push_info(L, &ai);
  lua_rawseti(L, -2, 1);
  return 1;
}

/* getaddrinfo(host, port [, family [, type [, proto [, flags [, timeout]]]]])
** -> list of {family, type, proto, canonname, address}.  `host` is a name, a
** number or nil, `port` a number (0-65535), a service's name or nil; timeout in
** seconds, nil for none, by default the default timeout.  The third argument,
** or the only one, may be a table with the others by name.  Raises gaierror,
** timeout.  (Python's socket.getaddrinfo, getaddrinfo(3)) */
static int resolve_getaddrinfo(lua_State *L) {
  int given = lua_gettop(L) >= TIMEOUT;
  int options = lua_istable(L, HOST) && lua_gettop(L) == 1 ? HOST : FAMILY;
  int64_t timeout;
  const char *host, *port;
  cs_Lookup *q;
  lua_settop(L, TIMEOUT);
  if (lua_istable(L, options)) {
    spread(L, options);
    given = !lua_isnil(L, TIMEOUT);
  }
  timeout = get_timeout(L, given);
  if (push_numeric(L)) return 1;
  host = opt_name(L, HOST);
  port = check_port(L);
  q = push_lookup(L, CS_ADDRESSES, host, port, finish_getaddrinfo)->question;
  q->family = cs_optint(L, FAMILY, 0);
  q->type = cs_optint(L, TYPE, 0);
  q->proto = cs_optint(L, PROTO, 0);
  q->flags = cs_optint(L, FLAGS, 0);
  return ask(L, "getaddrinfo", timeout);
}

static int finish_getnameinfo(lua_State *L, Lookup *l) {
  if (l->question->error != 0) return unanswered(L, l);
  lua_pushstring(L, l->question->name);
  lua_pushstring(L, l->question->port);
  return 2;
}

/* The numeric host of the table at index 1, as the resolver reads it: 0, or an
** EAI_ code. */
static int parse_host(lua_State *L, struct sockaddr_storage *found) {
  struct addrinfo hints, *list;
  int err;
  lua_geti(L, 1, 1);
  if (lua_type(L, -1) != LUA_TSTRING)
    return cs_argerror(L, 1, "address: host must be a string");
  memset(&hints, 0, sizeof hints);
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICHOST;
  err = getaddrinfo(lua_tostring(L, -1), NULL, &hints, &list);
  if (err != 0) return err;
  memcpy(found, list->ai_addr, list->ai_addrlen);
  freeaddrinfo(list);
  return 0;
}

/* The address at index 1, an object or a table with a number for a host: 0, or
** an EAI_ code. */
static int get_address(lua_State *L, cs_Address *a) {
  struct sockaddr_storage found;
  int err;
  if (!lua_istable(L, 1)) {
    if (lua_type(L, 1) != LUA_TUSERDATA) cs_typeerror(L, 1, "{host, port}");
    lua_getfield(L, 1, "family");
    cs_checkaddress(L, 1, (int)lua_tointeger(L, -1), 0, a);
    return 0;
  }
  err = parse_host(L, &found);
  if (err != 0) return err;
  if (found.ss_family == AF_INET && lua_geti(L, 1, 3) != LUA_TNIL)
    cs_argerror(L, 1, "address: two items for IPv4");
  if (!cs_checkaddress(L, 1, found.ss_family, 0, a)) set_host(a, &found);
  return 0;
}

/* getnameinfo(address, flags) -> host, service: two names, or numbers as
** strings where there are none; flags are NI_.  The address' host must be a
** number.  Raises gaierror, timeout.  (Python's socket.getnameinfo,
** getnameinfo(3)) */
static int resolve_getnameinfo(lua_State *L) {
  int flags = cs_checkint(L, 2), err;
  cs_Address a;
  cs_Lookup *q;
  err = get_address(L, &a);
  if (err != 0) return cs_failname(L, 0, err, "getnameinfo", 1);
  q = push_lookup(L, CS_NAME, NULL, NULL, finish_getnameinfo)->question;
  memcpy(&q->address, &a.u, a.len);
  q->len = a.len;
  q->flags = flags;
  return ask(L, "getnameinfo", cs_loop(L)->default_timeout);
}

static void push_host(lua_State *L, int family, const void *bytes) {
  char text[INET6_ADDRSTRLEN];
  lua_pushstring(L, inet_ntop(family, bytes, text, sizeof text));
}

static int finish_gethostbyname(lua_State *L, Lookup *l) {
  const struct sockaddr_in *found;
  if (l->question->error != 0) return unanswered(L, l);
  found = (const void *)l->question->list->ai_addr;
  push_host(L, AF_INET, &found->sin_addr);
  return 1;
}

/* gethostbyname(name) -> its first IPv4 address, a string.  Raises gaierror,
** timeout.  (Python's socket.gethostbyname) */
static int resolve_gethostbyname(lua_State *L) {
  const char *host = cs_checkname(L, 1);
  if (*host == '\0') /* as in addresses */
    lua_pushliteral(L, "0.0.0.0");
  else if (strcmp(host, "<broadcast>") == 0)
    lua_pushliteral(L, "255.255.255.255");
  else {
    Lookup *l = push_lookup(L, CS_ADDRESSES, host, NULL, finish_gethostbyname);
    l->question->family = AF_INET;
    l->question->type = SOCK_STREAM;
    return ask(L, "gethostbyname", cs_loop(L)->default_timeout);
  }
  return 1;
}

static int finish_entry(lua_State *L, Lookup *l) {
  const struct hostent *entry = l->question->entry;
  lua_Integer n = 0;
  if (l->question->error != 0) return unanswered(L, l);
  if (entry == NULL)
    return cs_failhost(L, l->h.safe, l->question->unknown, l->op.name, 2);
  lua_pushstring(L, entry->h_name);
  lua_newtable(L);
  for (char **alias = entry->h_aliases; *alias != NULL; alias++) {
    lua_pushstring(L, *alias);
    lua_rawseti(L, -2, ++n);
  }
  n = 0;
  lua_newtable(L);
  for (char **bytes = entry->h_addr_list; *bytes != NULL; bytes++) {
    push_host(L, entry->h_addrtype, *bytes);
    lua_rawseti(L, -2, ++n);
  }
  return 3;
}

static int ask_entry(lua_State *L, enum cs_Question what, int family,
                     const char *name) {
  const char *host = cs_checkname(L, 1);
  Lookup *l = push_lookup(L, what, host, NULL, finish_entry);
  l->question->family = family;
  l->question->type = SOCK_STREAM;
  return ask(L, name, cs_loop(L)->default_timeout);
}

/* gethostbyname_ex(name) -> canonical name, list of aliases, list of IPv4
** addresses.  Raises gaierror, herror, timeout.  (Python's
** socket.gethostbyname_ex) */
static int resolve_gethostbyname_ex(lua_State *L) {
  return ask_entry(L, CS_BYNAME, AF_INET, "gethostbyname_ex");
}

/* gethostbyaddr(address) -> name, list of aliases, list of addresses, for an
** IPv4 or IPv6 address as a string; or a name, which is looked up first.
** Raises gaierror, herror, timeout.  (Python's socket.gethostbyaddr) */
static int resolve_gethostbyaddr(lua_State *L) {
  return ask_entry(L, CS_BYADDRESS, AF_UNSPEC, "gethostbyaddr");
}

static int finish_number(lua_State *L, Lookup *l) {
  const cs_Lookup *q = l->question;
  if (q->error != 0) return unanswered(L, l);
  if (q->number < 0)
    return cs_failabout(L, l->h.safe,
                        q->what == CS_SERVICE ? "service/proto not found"
                                              : "protocol not found",
                        l->op.name, l->op.address);
  lua_pushinteger(L, q->number);
  return 1;
}

/* getservbyname(name [, protocol]) -> the port of a service; by any protocol,
** or "tcp", "udp" and the like.  Raises error, timeout.  (Python's
** socket.getservbyname, services(5)) */
static int resolve_getservbyname(lua_State *L) {
  const char *name = cs_checkname(L, 1), *protocol = opt_name(L, 2);
  push_lookup(L, CS_SERVICE, name, protocol, finish_number);
  return ask(L, "getservbyname", cs_loop(L)->default_timeout);
}

static int finish_port(lua_State *L, Lookup *l) {
  if (l->question->error != 0) return unanswered(L, l);
  if (l->question->found == NULL)
    return cs_failabout(L, l->h.safe, "port/proto not found", l->op.name,
                        l->op.address);
  lua_pushstring(L, l->question->found);
  return 1;
}

/* getservbyport(port [, protocol]) -> the name of the service of a port
** (0-65535).  Raises error, timeout.  (Python's socket.getservbyport) */
static int resolve_getservbyport(lua_State *L) {
  int port = cs_checkint(L, 1);
  const char *protocol = opt_name(L, 2);
  luaL_argcheck(L, port >= 0 && port <= 65535, 1, "port must be 0-65535");
  push_lookup(L, CS_PORT, NULL, protocol, finish_port)->question->number = port;
  return ask(L, "getservbyport", cs_loop(L)->default_timeout);
}

#if defined(CS_PROTOCOLS)
/* getprotobyname(name) -> the number of a protocol, as in IPPROTO_TCP.  Raises
** error, timeout.  (Python's socket.getprotobyname, protocols(5)) */
static int resolve_getprotobyname(lua_State *L) {
  push_lookup(L, CS_PROTOCOL, cs_checkname(L, 1), NULL, finish_number);
  return ask(L, "getprotobyname", cs_loop(L)->default_timeout);
}
#endif

/* gethostname() -> the name of this machine (gethostname(2)). */
static int resolve_gethostname(lua_State *L) {
  char name[256];
  if (gethostname(name, sizeof name) < 0)
    return cs_fail(L, 0, errno, "gethostname", 0);
  name[sizeof name - 1] = '\0';
  lua_pushstring(L, name);
  return 1;
}

/* sethostname(name) -> true; for the superuser (sethostname(2)). */
static int resolve_sethostname(lua_State *L) {
  size_t len;
  const char *name = luaL_checklstring(L, 1, &len);
  if (sethostname(name, len) < 0) return cs_fail(L, 0, errno, "sethostname", 0);
  lua_pushboolean(L, 1);
  return 1;
}

/* The look-ups of this Lua state, NULL before the first. */
cs_Lookups *cs_lookups(lua_State *L) {
  cs_Lookups **queue;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &queue_key);
  queue = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return *queue;
}

static const luaL_Reg lookup_meta[] = {
    {"__close", lookup_close},
    {"__gc", lookup_close},
    {NULL, NULL},
};

static const luaL_Reg resolve_funcs[] = {
    {"getaddrinfo", resolve_getaddrinfo},
    {"gethostbyaddr", resolve_gethostbyaddr},
    {"gethostbyname", resolve_gethostbyname},
    {"gethostbyname_ex", resolve_gethostbyname_ex},
    {"gethostname", resolve_gethostname},
    {"getnameinfo", resolve_getnameinfo},
#if defined(CS_PROTOCOLS)
    {"getprotobyname", resolve_getprotobyname},
#endif
    {"getservbyname", resolve_getservbyname},
    {"getservbyport", resolve_getservbyport},
    {"sethostname", resolve_sethostname},
    {NULL, NULL},
};

/* Adds its functions to core. */
void cs_open_resolve(lua_State *L) {
  luaL_newmetatable(L, LOOKUP);
  luaL_setfuncs(L, lookup_meta, 0);
  *(cs_Lookups **)lua_newuserdatauv(L, sizeof(cs_Lookups *), 0) = NULL;
  luaL_newmetatable(L, QUEUE);
  lua_pushcfunction(L, queue_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &queue_key);
  lua_pop(L, 1);
  cs_setfuncs(L, resolve_funcs);
}
