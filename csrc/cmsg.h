/* cmsg: ancillary data, between Lua's lists of {level, type, data} and the
** bytes that sendmsg(2) and recvmsg(2) know. */

#ifndef cs_cmsg_h
#define cs_cmsg_h

#include <lua.h>
#include <stddef.h>

int cs_packcontrol(lua_State *L, int arg);
int cs_packrights(lua_State *L, int arg);
int cs_addcontrol(lua_State *L, int level, int type, const void *data,
                  size_t len);
void cs_pushcontrol(lua_State *L, const char *control, size_t size);
void cs_pushrights(lua_State *L, const char *control, size_t size);
void cs_sealrights(const char *control, size_t size);
void cs_closerights(const char *control, size_t size);
size_t cs_cmsglen(size_t len);
void cs_open_cmsg(lua_State *L);

#endif
