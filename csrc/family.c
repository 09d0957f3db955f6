/* family: one row of a table is all there is about a family: how its address
** is parsed, what its items are called, how each is pushed.  The forms are
** Python's (its socketmodule.c), 1-based.  Not here: the internet's and
** AF_UNIX's addresses, and the address object (address).
** Invariant: what is read of an address is within the bytes it has. */

#include <arpa/inet.h>
#include <errno.h>
#include <lauxlib.h>
#include <net/if.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

#include "error.h"
#include "family.h"

#if defined(__linux__)
#include <linux/if_packet.h>
#include <linux/netlink.h>
#if __has_include(<linux/vm_sockets.h>)
#include <linux/vm_sockets.h>
#define HAVE_VSOCK
#endif
#if __has_include(<linux/can.h>)
#include <linux/can.h>
#endif
#if __has_include(<linux/tipc.h>)
#include <linux/tipc.h>
#define HAVE_TIPC
#endif
#if __has_include(<linux/if_alg.h>)
#include <linux/if_alg.h>
#define HAVE_ALG
#endif
#if __has_include(<linux/qrtr.h>)
#include <linux/qrtr.h>
#define HAVE_QRTR
#endif
#endif

/*
** Items of a table
*/

int cs_badaddress(lua_State *L, int arg, const char *what) {
  return cs_argerror(L, arg, lua_pushfstring(L, "address: %s", what));
}

/* The value on top of the stack, which is popped. */
static lua_Integer to_number(lua_State *L, int arg, const char *what,
                             lua_Integer min, lua_Integer max) {
  int isnum = 0;
  lua_Integer n = 0;
  if (lua_type(L, -1) == LUA_TNUMBER) n = lua_tointegerx(L, -1, &isnum);
  if (!isnum)
    cs_badaddress(L, arg, lua_pushfstring(L, "%s must be an integer", what));
  if (n < min || n > max)
    cs_badaddress(L, arg,
                  lua_pushfstring(L, "%s must be %I-%I", what, min, max));
  lua_pop(L, 1);
  return n;
}

/* Item 'i' of the table at 'arg' as an integer in [min, max]. */
lua_Integer cs_getnumber(lua_State *L, int arg, int i, const char *what,
                         lua_Integer min, lua_Integer max) {
  lua_geti(L, arg, i);
  return to_number(L, arg, what, min, max);
}

/* The same in [0, max], or 'def' where there is none. */
lua_Integer cs_optnumber(lua_State *L, int arg, int i, const char *what,
                         lua_Integer max, lua_Integer def) {
  if (lua_geti(L, arg, i) != LUA_TNIL) return to_number(L, arg, what, 0, max);
  lua_pop(L, 1);
  return def;
}

#if defined(__linux__)

/* An unsigned word; as in C (and Python) its negative spelling is one too. */
static uint32_t get_word(lua_State *L, int arg, int i, const char *what) {
  return (uint32_t)cs_getnumber(L, arg, i, what, INT32_MIN, UINT32_MAX);
}

/* Item 'i' as a string of C.  It stays on the stack: the table need not keep
** it. */
static const char *get_text(lua_State *L, int arg, int i, const char *what,
                            size_t *len) {
  const char *s;
  if (lua_geti(L, arg, i) != LUA_TSTRING)
    cs_badaddress(L, arg, lua_pushfstring(L, "%s must be a string", what));
  s = lua_tolstring(L, -1, len);
  if (strlen(s) != *len)
    cs_badaddress(L, arg, lua_pushfstring(L, "embedded zero in the %s", what));
  return s;
}

/* The number of an interface: 0, or -errno (ENODEV). */
static int find_interface(const char *name, int *index) {
  unsigned n = if_nametoindex(name);
  *index = (int)n;
  return n == 0 ? -errno : 0;
}

static void push_interface(lua_State *L, int index) {
  char name[IF_NAMESIZE];
  int found = index != 0 && if_indextoname((unsigned)index, name) != NULL;
  lua_pushstring(L, found ? name : "");
}

/*
** AF_PACKET: {ifname, proto [, pkttype [, hatype [, addr]]]}  (packet(7))
*/

static int parse_packet(lua_State *L, int arg, void *sa) {
  struct sockaddr_ll *a = sa;
  size_t len;
  const char *ifname = get_text(L, arg, 1, "ifname", &len), *addr;
  a->sll_family = AF_PACKET;
  a->sll_protocol = htons((uint16_t)cs_getnumber(L, arg, 2, "proto", 0, 65535));
  a->sll_pkttype =
      (uint8_t)cs_optnumber(L, arg, 3, "pkttype", UINT8_MAX, PACKET_HOST);
  a->sll_hatype = (uint16_t)cs_optnumber(L, arg, 4, "hatype", UINT16_MAX, 0);
  if (lua_geti(L, arg, 5) != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TSTRING)
      cs_badaddress(L, arg, "addr must be a string");
    addr = lua_tolstring(L, -1, &len);
    if (len > sizeof a->sll_addr)
      cs_badaddress(L, arg, "addr must be 8 bytes or less");
    memcpy(a->sll_addr, addr, len);
    a->sll_halen = (uint8_t)len;
  }
  return find_interface(ifname, &a->sll_ifindex);
}

static void push_packet(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_ll *a = sa;
  size_t offset = offsetof(struct sockaddr_ll, sll_addr), has = len - offset;
  if (i == 1)
    push_interface(L, a->sll_ifindex);
  else if (i == 2)
    lua_pushinteger(L, ntohs(a->sll_protocol));
  else if (i == 3)
    lua_pushinteger(L, a->sll_pkttype);
  else if (i == 4)
    lua_pushinteger(L, a->sll_hatype);
  else /* some hardware has longer addresses than the structure */
    lua_pushlstring(L, (const char *)sa + offset,
                    a->sll_halen < has ? a->sll_halen : has);
}

/*
** AF_NETLINK: {pid, groups}  (netlink(7))
*/

static int parse_netlink(lua_State *L, int arg, void *sa) {
  struct sockaddr_nl *a = sa;
  a->nl_family = AF_NETLINK;
  a->nl_pid = get_word(L, arg, 1, "pid");
  a->nl_groups = get_word(L, arg, 2, "groups");
  return 0;
}

static void push_netlink(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_nl *a = sa;
  (void)len;
  lua_pushinteger(L, i == 1 ? a->nl_pid : a->nl_groups);
}

/*
** AF_VSOCK: {cid, port}  (vsock(7))
*/

#if defined(HAVE_VSOCK)

static int parse_vsock(lua_State *L, int arg, void *sa) {
  struct sockaddr_vm *a = sa;
  a->svm_family = AF_VSOCK;
  a->svm_cid = get_word(L, arg, 1, "cid");
  a->svm_port = get_word(L, arg, 2, "port");
  return 0;
}

static void push_vsock(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_vm *a = sa;
  (void)len;
  lua_pushinteger(L, i == 1 ? a->svm_cid : a->svm_port);
}

#endif

/*
** AF_QIPCRTR: {node, port}
*/

#if defined(HAVE_QRTR)

static int parse_qipcrtr(lua_State *L, int arg, void *sa) {
  struct sockaddr_qrtr *a = sa;
  a->sq_family = AF_QIPCRTR;
  a->sq_node = get_word(L, arg, 1, "node");
  a->sq_port = get_word(L, arg, 2, "port");
  return 0;
}

static void push_qipcrtr(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_qrtr *a = sa;
  (void)len;
  lua_pushinteger(L, i == 1 ? a->sq_node : a->sq_port);
}

#endif

/*
** AF_CAN: {interface}; ISO-TP: {interface, rx, tx}; J1939: {interface, name,
** pgn, addr}.  Interface "" is any.  (the kernel's
** Documentation/networking/can.rst, j1939.rst)
*/

#if defined(CAN_RAW)

static int parse_can(lua_State *L, int arg, void *sa) {
  struct sockaddr_can *a = sa;
  size_t len;
  const char *interface = get_text(L, arg, 1, "interface", &len);
  a->can_family = AF_CAN;
  if (len >= IF_NAMESIZE) return -ENAMETOOLONG;
  return len == 0 ? 0 : find_interface(interface, &a->can_ifindex);
}

static void push_can(lua_State *L, const void *sa, size_t len, int i) {
  (void)len, (void)i;
  push_interface(L, ((const struct sockaddr_can *)sa)->can_ifindex);
}

static int parse_isotp(lua_State *L, int arg, void *sa) {
  struct sockaddr_can *a = sa;
  a->can_addr.tp.rx_id = get_word(L, arg, 2, "rx");
  a->can_addr.tp.tx_id = get_word(L, arg, 3, "tx");
  return parse_can(L, arg, sa);
}

static void push_isotp(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_can *a = sa;
  if (i == 1)
    push_can(L, sa, len, i);
  else
    lua_pushinteger(L, i == 2 ? a->can_addr.tp.rx_id : a->can_addr.tp.tx_id);
}

#if defined(CAN_J1939)

static int parse_j1939(lua_State *L, int arg, void *sa) {
  struct sockaddr_can *a = sa;
  a->can_addr.j1939.name =
      (uint64_t)cs_getnumber(L, arg, 2, "name", LUA_MININTEGER, LUA_MAXINTEGER);
  a->can_addr.j1939.pgn = get_word(L, arg, 3, "pgn");
  a->can_addr.j1939.addr =
      (uint8_t)cs_getnumber(L, arg, 4, "addr", 0, UINT8_MAX);
  return parse_can(L, arg, sa);
}

static void push_j1939(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_can *a = sa;
  if (i == 1)
    push_can(L, sa, len, i);
  else if (i == 2)
    lua_pushinteger(L, (lua_Integer)a->can_addr.j1939.name);
  else
    lua_pushinteger(L, i == 3 ? a->can_addr.j1939.pgn : a->can_addr.j1939.addr);
}

#endif
#endif

/*
** AF_TIPC: {addr_type, v1, v2, v3 [, scope]}: TIPC_ADDR_NAMESEQ, type, lower,
** upper; TIPC_ADDR_NAME, type, instance; TIPC_ADDR_ID, node, reference.  (the
** header linux/tipc.h)
*/

#if defined(HAVE_TIPC)

static int parse_tipc(lua_State *L, int arg, void *sa) {
  struct sockaddr_tipc *a = sa;
  uint32_t kind = get_word(L, arg, 1, "addr_type");
  uint32_t v1 = get_word(L, arg, 2, "v1"), v2 = get_word(L, arg, 3, "v2"),
           v3 = get_word(L, arg, 4, "v3");
  a->family = AF_TIPC;
  a->scope = (signed char)cs_optnumber(L, arg, 5, "scope", INT8_MAX,
                                       TIPC_CLUSTER_SCOPE);
  a->addrtype = (unsigned char)kind;
  if (kind == TIPC_ADDR_NAMESEQ) {
    a->addr.nameseq.type = v1;
    a->addr.nameseq.lower = v2;
    a->addr.nameseq.upper = v3;
  } else if (kind == TIPC_ADDR_NAME) {
    a->addr.name.name.type = v1;
    a->addr.name.name.instance = v2;
  } else if (kind == TIPC_ADDR_ID) {
    a->addr.id.ref = v2;
    a->addr.id.node = v1;
  } else
    cs_badaddress(L, arg, "unknown addr_type");
  return 0;
}

/* As Python, a name's instance is its upper end as well. */
static void push_tipc(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_tipc *a = sa;
  int id = a->addrtype == TIPC_ADDR_ID, name = a->addrtype == TIPC_ADDR_NAME;
  lua_Integer n;
  (void)len;
  if (i == 1)
    n = a->addrtype;
  else if (i == 2)
    n = id ? a->addr.id.node : a->addr.nameseq.type;
  else if (i == 3)
    n = id ? a->addr.id.ref : a->addr.nameseq.lower;
  else if (i == 4 && id)
    n = 0;
  else if (i == 4)
    n = name ? a->addr.name.name.instance : a->addr.nameseq.upper;
  else
    n = a->scope;
  lua_pushinteger(L, n);
}

#endif

/*
** AF_ALG: {type, name [, feat [, mask]]}  (the kernel's
** Documentation/crypto/userspace-if.rst)
*/

#if defined(HAVE_ALG)

static int parse_alg(lua_State *L, int arg, void *sa) {
  struct sockaddr_alg *a = sa;
  size_t type_len, name_len;
  const char *type = get_text(L, arg, 1, "type", &type_len);
  const char *name = get_text(L, arg, 2, "name", &name_len);
  if (type_len >= sizeof a->salg_type)
    cs_badaddress(L, arg, "AF_ALG type too long");
  if (name_len >= sizeof a->salg_name)
    cs_badaddress(L, arg, "AF_ALG name too long");
  a->salg_family = AF_ALG;
  memcpy(a->salg_type, type, type_len);
  memcpy(a->salg_name, name, name_len);
  a->salg_feat = (uint32_t)cs_optnumber(L, arg, 3, "feat", UINT32_MAX, 0);
  a->salg_mask = (uint32_t)cs_optnumber(L, arg, 4, "mask", UINT32_MAX, 0);
  return 0;
}

static void push_alg(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr_alg *a = sa;
  const char *type = (const char *)a->salg_type;
  const char *name = (const char *)a->salg_name;
  (void)len;
  if (i == 1)
    lua_pushlstring(L, type, strnlen(type, sizeof a->salg_type));
  else if (i == 2)
    lua_pushlstring(L, name, strnlen(name, sizeof a->salg_name));
  else
    lua_pushinteger(L, i == 3 ? a->salg_feat : a->salg_mask);
}

#endif
#endif /* __linux__ */

/*
** The table
*/

/* One that csock does not know is a number and bytes, as in Python. */
static void push_unknown(lua_State *L, const void *sa, size_t len, int i) {
  const struct sockaddr *a = sa;
  if (i == 1)
    lua_pushinteger(L, a->sa_family);
  else
    lua_pushlstring(L, a->sa_data, len - offsetof(struct sockaddr, sa_data));
}

static const cs_Family families[] = {
#if defined(__linux__)
    {AF_NETLINK,
     -1,
     sizeof(struct sockaddr_nl),
     {"pid", "groups"},
     0,
     parse_netlink,
     push_netlink},
    {AF_PACKET,
     -1,
     sizeof(struct sockaddr_ll),
     {"ifname", "proto", "pkttype", "hatype", "addr"},
     5,
     parse_packet,
     push_packet},
#if defined(HAVE_VSOCK)
    {AF_VSOCK,
     -1,
     sizeof(struct sockaddr_vm),
     {"cid", "port"},
     0,
     parse_vsock,
     push_vsock},
#endif
#if defined(HAVE_QRTR)
    {AF_QIPCRTR,
     -1,
     sizeof(struct sockaddr_qrtr),
     {"node", "port"},
     0,
     parse_qipcrtr,
     push_qipcrtr},
#endif
#if defined(CAN_RAW)
    {AF_CAN,
     CAN_ISOTP,
     sizeof(struct sockaddr_can),
     {"interface", "rx", "tx"},
     0,
     parse_isotp,
     push_isotp},
#if defined(CAN_J1939)
    {AF_CAN,
     CAN_J1939,
     sizeof(struct sockaddr_can),
     {"interface", "name", "pgn", "addr"},
     0,
     parse_j1939,
     push_j1939},
#endif
    {AF_CAN,
     -1,
     sizeof(struct sockaddr_can),
     {"interface"},
     0,
     parse_can,
     push_can},
#endif
#if defined(HAVE_TIPC)
    {AF_TIPC,
     -1,
     sizeof(struct sockaddr_tipc),
     {"addr_type", "v1", "v2", "v3", "scope"},
     0,
     parse_tipc,
     push_tipc},
#endif
#if defined(HAVE_ALG)
    {AF_ALG,
     -1,
     sizeof(struct sockaddr_alg),
     {"type", "name", "feat", "mask"},
     0,
     parse_alg,
     push_alg},
#endif
#endif
    {-1,
     -1,
     sizeof(struct sockaddr),
     {"family", "bytes"},
     2,
     NULL,
     push_unknown},
};

/* The row of a family, and of a protocol where its forms differ by it; for an
** unknown one a row that cannot parse. */
const cs_Family *cs_findfamily(int family, int proto) {
  const cs_Family *row = families;
  while (row->family != -1 &&
         (row->family != family || (row->proto != -1 && row->proto != proto)))
    row++;
  return row;
}
