/* option: socket options, as rows of data.  It knows descriptors, not sockets.
 */

#ifndef cs_option_h
#define cs_option_h

#include <lua.h>

enum { CS_BOOL, CS_INT, CS_LINGER, CS_STRING, CS_WIDE }; /* codecs */

typedef struct cs_Option {
  const char *name;    /* of the property */
  int level, number;   /* for setsockopt(2) */
  int level6, number6; /* what AF_INET6 calls it, where that differs; else 0 */
  int codec;
  int readonly;
} cs_Option;

extern const cs_Option cs_options[]; /* the last one has no name */

int cs_getoption(lua_State *L, int fd, int family, const cs_Option *o);
int cs_setoption(lua_State *L, int fd, int family, const cs_Option *o, int arg);
int cs_getsockopt(lua_State *L, int fd);
int cs_setsockopt(lua_State *L, int fd);

#endif
