/* core: the door.  luaopen_csock_core is a list of openers and nothing else;
*each
** adds to the table `core`, which is on top of the stack. */

#include <lauxlib.h>
#include <lua.h>

#include "address.h"
#include "class.h"
#include "connect.h"
#include "constants.h"
#include "coroutine.h"
#include "error.h"
#include "loop.h"
#include "process.h"
#include "resolve.h"
#include "socket.h"
#include "task.h"
#include "transfer.h"

__attribute__((visibility("default"))) int luaopen_csock_core(lua_State *L);

int luaopen_csock_core(lua_State *L) {
  luaL_checkversion(L);
  lua_newtable(L);
  cs_open_class(L);
  cs_open_constants(L);
  cs_open_error(L);
  cs_open_address(L);
  cs_open_loop(L);
  cs_open_task(L);
  cs_open_coroutine(L);
  cs_open_socket(L);
  cs_open_transfer(L);
  cs_open_resolve(L);
  cs_open_connect(L);
  cs_open_process(L);
  return 1;
}
