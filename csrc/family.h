/* family: the address forms of the families that name neither hosts nor paths:
** links, netlink, virtual machines, CAN, TIPC, the kernel's cryptography.
** Which of them there are is the headers' to say. */

#ifndef cs_family_h
#define cs_family_h

#include <lua.h>
#include <stddef.h>

#define CS_ITEMS 5 /* the longest address has so many */

typedef struct cs_Family {
  int family, proto;               /* proto -1: any other */
  size_t size;                     /* of the system's structure */
  const char *names[CS_ITEMS + 1]; /* of the items, in their order */
  int binary;                      /* which item is bytes, for people in hex */
  /* Fill the structure, which is all zeros, from the table at 'arg': 0, or
  ** -errno when the world has no such thing (-ENAMETOOLONG: nor could it).
  ** Raises argument errors; may leave values on the stack. */
  int (*parse)(lua_State *L, int arg, void *sa);
  /* Push item 'i' of an address of 'len' bytes, which are 'size' at least. */
  void (*push)(lua_State *L, const void *sa, size_t len, int i);
} cs_Family;

const cs_Family *cs_findfamily(int family, int proto);
int cs_badaddress(lua_State *L, int arg, const char *what);
lua_Integer cs_getnumber(lua_State *L, int arg, int i, const char *what,
                         lua_Integer min, lua_Integer max);
lua_Integer cs_optnumber(lua_State *L, int arg, int i, const char *what,
                         lua_Integer max, lua_Integer def);

#endif
