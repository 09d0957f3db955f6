/* cmsg: the control bytes of messages (cmsg(3)), both ways, and CMSG_LEN and
** CMSG_SPACE.  Not here: system calls on sockets.
** Invariant: control bytes are read at offsets that were checked against their
** size, each header copied out first; so neither their contents nor their
** alignment can lead astray, whoever has written them. */

#define _GNU_SOURCE
#include <errno.h>
#include <lauxlib.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>

#include "buffer.h"
#include "cmsg.h"
#include "error.h"
#include "sys.h"

/* the most a socklen_t is trusted to hold, as in Python */
#define LIMIT ((size_t)0x7fffffff)

#if defined(__linux__) && !defined(SCM_PIDFD)
#define SCM_PIDFD 4 /* linux/socket.h, since 6.5: a descriptor as well */
#endif

/* An item; its data is somewhere else. */
typedef struct Item {
  int level, type;
  const char *data;
  size_t len;
} Item;

/*
** Sizes
*/

/* CMSG_LEN and CMSG_SPACE of that many bytes; 0 when they are beyond LIMIT.
** The second leaves room for padding before and after, as Python. */
size_t cs_cmsglen(size_t len) {
  return len > LIMIT - CMSG_LEN(0) ? 0 : CMSG_LEN(len);
}

static size_t get_space(size_t len) {
  return len > LIMIT - CMSG_SPACE(1) ? 0 : CMSG_SPACE(len);
}

static int push_size(lua_State *L, size_t (*get)(size_t len)) {
  lua_Integer n = luaL_checkinteger(L, 1);
  size_t size = n < 0 || (lua_Unsigned)n > LIMIT ? 0 : get((size_t)n);
  luaL_argcheck(L, size != 0, 1, "out of range");
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

/* CMSG_LEN(n) -> bytes of an ancillary item with n bytes of data, without the
** padding behind it.  (cmsg(3), Python's socket.CMSG_LEN) */
static int cmsg_len(lua_State *L) {
  return push_size(L, cs_cmsglen);
}

/* CMSG_SPACE(n) -> the same with the padding.  (cmsg(3), Python's
** socket.CMSG_SPACE) */
static int cmsg_space(lua_State *L) {
  return push_size(L, get_space);
}

/*
** From Lua
*/

/* Push the bytes of one item, padding included; 0, with nothing pushed, when
** it is too large.  'data' has to be on the stack, or not Lua's. */
int cs_addcontrol(lua_State *L, int level, int type, const void *data,
                  size_t len) {
  struct cmsghdr head;
  luaL_Buffer b;
  size_t space = get_space(len);
  char *out;
  if (space == 0) return 0;
  memset(&head, 0, sizeof head);
  head.cmsg_len = CMSG_LEN(len);
  head.cmsg_level = level;
  head.cmsg_type = type;
  out = luaL_buffinitsize(L, &b, space);
  memset(out, 0, CMSG_LEN(0));
  memcpy(out, &head, sizeof head);
  if (len > 0) memcpy(out + CMSG_LEN(0), data, len);
  memset(out + CMSG_LEN(len), 0, space - CMSG_LEN(len));
  luaL_pushresultsize(&b, space);
  return 1;
}

static int bad_item(lua_State *L, int arg, lua_Integer i, const char *what) {
  return cs_argerror(L, arg, lua_pushfstring(L, "item %I: %s", i, what));
}

static int get_int(lua_State *L, int arg, lua_Integer i, int field) {
  int isint;
  lua_Integer n;
  lua_geti(L, -1, field);
  n = lua_tointegerx(L, -1, &isint);
  if (!isint || n < INT_MIN || n > INT_MAX)
    bad_item(L, arg, i,
             field == 1 ? "level must be an integer"
                        : "type must be an integer");
  lua_pop(L, 1);
  return (int)n;
}

/* Push item 'i' of the list at 'arg', and its data, and read them.  A number is
** no data: it would be sent in decimal. */
static Item push_item(lua_State *L, int arg, lua_Integer i) {
  Item item = {0, 0, NULL, 0};
  lua_geti(L, arg, i);
  if (!lua_istable(L, -1) || luaL_len(L, -1) != 3)
    bad_item(L, arg, i, "{level, type, data} expected");
  item.level = get_int(L, arg, i, 1);
  item.type = get_int(L, arg, i, 2);
  if (lua_geti(L, -1, 3) != LUA_TNUMBER)
    item.data = cs_todata(L, lua_gettop(L), &item.len);
  if (item.data == NULL)
    bad_item(L, arg, i, "data must be a string or a buffer");
  return item;
}

/* Look at all 'n' items, since misuse comes first: 0 when they are more than
** the system's lengths can tell. */
static int check_items(lua_State *L, int arg, lua_Integer n) {
  size_t total = 0;
  int fits = 1;
  for (lua_Integer i = 1; i <= n; i++) {
    Item item = push_item(L, arg, i);
    size_t space = get_space(item.len);
    lua_pop(L, 2);
    fits = fits && space != 0 && space <= LIMIT - total;
    if (fits) total += space;
  }
  return fits;
}

/* Replace the list of {level, type, data} at 'arg' (nil: an empty one) by a
** string of control bytes.  Returns 0, or ENOBUFS when they would be too many.
** Raises argument errors. */
int cs_packcontrol(lua_State *L, int arg) {
  luaL_Buffer b;
  lua_Integer n;
  if (lua_isnil(L, arg)) {
    lua_pushliteral(L, "");
    lua_replace(L, arg);
    return 0;
  }
  if (!lua_istable(L, arg)) cs_typeerror(L, arg, "list of {level, type, data}");
  n = luaL_len(L, arg);
  if (!check_items(L, arg, n)) return ENOBUFS;
  luaL_buffinit(L, &b);
  for (lua_Integer i = 1; i <= n; i++) {
    Item item = push_item(L, arg, i);
    if (!cs_addcontrol(L, item.level, item.type, item.data, item.len))
      return ENOBUFS; /* it has grown meanwhile */
    lua_insert(L, -3);
    lua_pop(L, 2);
    luaL_addvalue(&b);
  }
  luaL_pushresult(&b);
  lua_replace(L, arg);
  return 0;
}

/* The same for a list of descriptors, which become one SCM_RIGHTS item (as in
** Python, also when there are none). */
int cs_packrights(lua_State *L, int arg) {
  lua_Integer n;
  luaL_Buffer b;
  size_t len;
  const char *fds;
  if (!lua_istable(L, arg)) cs_typeerror(L, arg, "list of descriptors");
  n = luaL_len(L, arg);
  luaL_buffinit(L, &b);
  for (lua_Integer i = 1; i <= n; i++) {
    int isint, fd;
    lua_Integer number;
    lua_geti(L, arg, i);
    number = lua_tointegerx(L, -1, &isint);
    if (!isint || number < INT_MIN || number > INT_MAX)
      bad_item(L, arg, i, "a descriptor must be an integer");
    lua_pop(L, 1);
    fd = (int)number;
    luaL_addlstring(&b, (const char *)&fd, sizeof fd);
  }
  luaL_pushresult(&b);
  fds = lua_tolstring(L, -1, &len);
  if (!cs_addcontrol(L, SOL_SOCKET, SCM_RIGHTS, fds, len)) return ENOBUFS;
  lua_replace(L, arg);
  lua_pop(L, 1);
  return 0;
}

/*
** To Lua
*/

/* how an item was found: nothing (more) is there, it is whole, it reaches
** beyond the bytes there are, its length is not even that of a header */
enum { NONE, WHOLE, CUT, BROKEN };

/* Read the item at offset '*at' and move on.  The length of one that is cut is
** what there is of it. */
static int next_item(const char *control, size_t size, size_t *at, Item *item) {
  struct cmsghdr head;
  size_t left = size - *at, len;
  if (left < CMSG_LEN(0)) return NONE;
  memcpy(&head, control + *at, sizeof head);
  if (head.cmsg_len < CMSG_LEN(0)) return BROKEN;
  len = (size_t)head.cmsg_len - CMSG_LEN(0);
  item->level = head.cmsg_level;
  item->type = head.cmsg_type;
  item->data = control + *at + CMSG_LEN(0);
  item->len = left - CMSG_LEN(0);
  if (len > item->len) {
    *at = size;
    return CUT;
  }
  item->len = len;
  *at += CMSG_SPACE(len) < left ? CMSG_SPACE(len) : left;
  return WHOLE;
}

static void push_list(lua_State *L, const Item *item) {
  lua_createtable(L, 3, 0);
  lua_pushinteger(L, item->level);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, item->type);
  lua_rawseti(L, -2, 2);
  lua_pushlstring(L, item->data, item->len);
  lua_rawseti(L, -2, 3);
}

/* Push the list of {level, type, data} that control bytes hold: all that is
** there of them, with a warning where they contradict themselves, as Python.
** 'control' must not be the loop's landing: finalizers may run. */
void cs_pushcontrol(lua_State *L, const char *control, size_t size) {
  Item item;
  size_t at = 0;
  lua_Integer n = 0;
  int found;
  lua_newtable(L);
  while ((found = next_item(control, size, &at, &item)) == WHOLE ||
         found == CUT) {
    push_list(L, &item);
    lua_rawseti(L, -2, ++n);
    if (found == CUT) break;
  }
  if (found != NONE)
    lua_warning(L, "csock: received malformed ancillary data", 0);
}

/*
** Descriptors that were received
*/

typedef void (*Visit)(void *context, int fd);

/* Call 'visit' with each descriptor in the items of that type. */
static void each_right(const char *control, size_t size, int type, Visit visit,
                       void *context) {
  Item item;
  size_t at = 0;
  int found;
  do {
    found = next_item(control, size, &at, &item);
    if (found != WHOLE && found != CUT) return;
    if (item.level != SOL_SOCKET || item.type != type) continue;
    for (size_t i = 0; i + sizeof(int) <= item.len; i += sizeof(int)) {
      int fd;
      memcpy(&fd, item.data + i, sizeof fd);
      visit(context, fd);
    }
  } while (found == WHOLE);
}

static void append(void *context, int fd) {
  lua_State *L = context;
  lua_pushinteger(L, fd);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
}

/* Push the list of all descriptors received (SCM_RIGHTS). */
void cs_pushrights(lua_State *L, const char *control, size_t size) {
  lua_newtable(L);
  each_right(control, size, SCM_RIGHTS, append, L);
}

static void seal(void *context, int fd) {
  (void)context;
  cs_setinheritable(fd, 0);
}

/* Make them close-on-exec, where the system has no MSG_CMSG_CLOEXEC. */
void cs_sealrights(const char *control, size_t size) {
  each_right(control, size, SCM_RIGHTS, seal, NULL);
}

static void discard(void *context, int fd) {
  (void)context;
  if (fd >= 0) cs_closefd(fd); /* a pidfd that could not be made is an errno */
}

/* Close whatever descriptors came: nobody will learn their numbers. */
void cs_closerights(const char *control, size_t size) {
  each_right(control, size, SCM_RIGHTS, discard, NULL);
#if defined(SCM_PIDFD)
  each_right(control, size, SCM_PIDFD, discard, NULL);
#endif
}

/* core.cmsg.pack(list) -> control bytes, for the specs of this file. */
static int cmsg_pack(lua_State *L) {
  lua_settop(L, 1);
  luaL_argcheck(L, cs_packcontrol(L, 1) == 0, 1, "too large");
  return 1;
}

/* core.cmsg.unpack(bytes) -> list of items, list of descriptors: what the
** system could have delivered, for the specs of this file. */
static int cmsg_unpack(lua_State *L) {
  size_t size;
  const char *control = luaL_checklstring(L, 1, &size);
  cs_pushcontrol(L, control, size);
  cs_pushrights(L, control, size);
  return 2;
}

static const luaL_Reg cmsg_funcs[] = {
    {"CMSG_LEN", cmsg_len},
    {"CMSG_SPACE", cmsg_space},
    {NULL, NULL},
};

static const luaL_Reg private_funcs[] = {
    {"pack", cmsg_pack},
    {"unpack", cmsg_unpack},
    {NULL, NULL},
};

/* Adds CMSG_LEN, CMSG_SPACE and the table cmsg to core. */
void cs_open_cmsg(lua_State *L) {
  luaL_setfuncs(L, cmsg_funcs, 0);
  luaL_newlib(L, private_funcs);
  lua_setfield(L, -2, "cmsg");
}
