/* instance: instances that are made with their fields, in C. */

#ifndef cs_instance_h
#define cs_instance_h

#include <lua.h>

void cs_open_instance(lua_State *L);

#endif
