/* constants: see constants.h.  Only the includes and a loop; a new constant is
** a line in constants.list, and a new header, if it needs one, a line here. */

#define _GNU_SOURCE
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#if defined(__linux__)
#include <linux/can.h>
#include <linux/can/bcm.h>
#include <linux/can/j1939.h>
#include <linux/can/raw.h>
#include <linux/if_alg.h>
#include <linux/if_packet.h>
#include <linux/netfilter_ipv4.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/tipc.h>
#include <linux/vm_sockets.h>
#include <net/ethernet.h>
#endif

#include "constants.h"

/* what headers spell as an enumerator, or not at all, under the same name */
#ifndef IPPORT_USERRESERVED
#define IPPORT_USERRESERVED IPPORT_USERRESERVED
#endif
#if defined(__linux__)
#define CAN_RAW_FILTER             CAN_RAW_FILTER
#define CAN_RAW_LOOPBACK           CAN_RAW_LOOPBACK
#define CAN_RAW_RECV_OWN_MSGS      CAN_RAW_RECV_OWN_MSGS
#define CAN_RAW_FD_FRAMES          CAN_RAW_FD_FRAMES
#define CAN_RAW_JOIN_FILTERS       CAN_RAW_JOIN_FILTERS
#define J1939_EE_INFO_NONE         J1939_EE_INFO_NONE
#define J1939_EE_INFO_TX_ABORT     J1939_EE_INFO_TX_ABORT
#define J1939_NLA_BYTES_ACKED      J1939_NLA_BYTES_ACKED
#define J1939_NLA_PAD              J1939_NLA_PAD
#define SCM_J1939_DEST_ADDR        SCM_J1939_DEST_ADDR
#define SCM_J1939_DEST_NAME        SCM_J1939_DEST_NAME
#define SCM_J1939_ERRQUEUE         SCM_J1939_ERRQUEUE
#define SCM_J1939_PRIO             SCM_J1939_PRIO
#define SO_J1939_ERRQUEUE          SO_J1939_ERRQUEUE
#define SO_J1939_FILTER            SO_J1939_FILTER
#define SO_J1939_PROMISC           SO_J1939_PROMISC
#define SO_J1939_SEND_PRIO         SO_J1939_SEND_PRIO
#define TIPC_CLUSTER_SCOPE         TIPC_CLUSTER_SCOPE
#define TIPC_NODE_SCOPE            TIPC_NODE_SCOPE
#define CAN_BCM_TX_SETUP           TX_SETUP
#define CAN_BCM_TX_DELETE          TX_DELETE
#define CAN_BCM_TX_READ            TX_READ
#define CAN_BCM_TX_SEND            TX_SEND
#define CAN_BCM_RX_SETUP           RX_SETUP
#define CAN_BCM_RX_DELETE          RX_DELETE
#define CAN_BCM_RX_READ            RX_READ
#define CAN_BCM_TX_STATUS          TX_STATUS
#define CAN_BCM_TX_EXPIRED         TX_EXPIRED
#define CAN_BCM_RX_STATUS          RX_STATUS
#define CAN_BCM_RX_TIMEOUT         RX_TIMEOUT
#define CAN_BCM_RX_CHANGED         RX_CHANGED
#define CAN_BCM_SETTIMER           SETTIMER
#define CAN_BCM_STARTTIMER         STARTTIMER
#define CAN_BCM_TX_COUNTEVT        TX_COUNTEVT
#define CAN_BCM_TX_ANNOUNCE        TX_ANNOUNCE
#define CAN_BCM_TX_CP_CAN_ID       TX_CP_CAN_ID
#define CAN_BCM_RX_FILTER_ID       RX_FILTER_ID
#define CAN_BCM_RX_CHECK_DLC       RX_CHECK_DLC
#define CAN_BCM_RX_NO_AUTOTIMER    RX_NO_AUTOTIMER
#define CAN_BCM_RX_ANNOUNCE_RESUME RX_ANNOUNCE_RESUME
#define CAN_BCM_TX_RESET_MULTI_IDX TX_RESET_MULTI_IDX
#define CAN_BCM_RX_RTR_FRAME       RX_RTR_FRAME
#define CAN_BCM_CAN_FD_FRAME       CAN_FD_FRAME
/* numbers of the kernel's interface that the C library's headers may lack */
#ifndef ALG_OP_SIGN
#define ALG_OP_SIGN 2
#endif
#ifndef ALG_OP_VERIFY
#define ALG_OP_VERIFY 3
#endif
#ifndef ALG_SET_PUBKEY
#define ALG_SET_PUBKEY 6
#endif
#ifndef UDPLITE_SEND_CSCOV
#define UDPLITE_SEND_CSCOV 10
#endif
#ifndef UDPLITE_RECV_CSCOV
#define UDPLITE_RECV_CSCOV 11
#endif
#endif

typedef struct Constant {
  const char *name;
  lua_Integer value;
} Constant;

static const Constant constants[] = {
#include "constants.inc"
    {NULL, 0},
};

/* The symbolic name of an errno value, or NULL. */
const char *cs_errnoname(int err) {
  for (const Constant *c = constants; c->name != NULL; c++)
    if (c->value == err && c->name[0] == 'E' && strncmp(c->name, "EAI_", 4) &&
        strncmp(c->name, "ETH_", 4))
      return c->name;
  return NULL;
}

/* Adds core.constants, a table of all of them. */
void cs_open_constants(lua_State *L) {
  lua_createtable(L, 0, (int)(sizeof constants / sizeof *constants));
  for (const Constant *c = constants; c->name != NULL; c++) {
    lua_pushinteger(L, c->value);
    lua_setfield(L, -2, c->name);
  }
  lua_setfield(L, -2, "constants");
}
