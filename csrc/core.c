/* core: the door.  luaopen_csock_core is a list of openers and nothing else;
** each adds to the table `core`, which is on top of the stack. */

#include <lauxlib.h>
#include <lua.h>

#include "address.h"
#include "admit.h"
#include "batch.h"
#include "board.h"
#include "buffer.h"
#include "child.h"
#include "class.h"
#include "cmsg.h"
#include "connect.h"
#include "constants.h"
#include "coroutine.h"
#include "datagram.h"
#include "descriptor.h"
#include "error.h"
#include "file.h"
#include "group.h"
#include "host.h"
#include "idle.h"
#include "inet.h"
#include "inspect.h"
#include "loop.h"
#include "message.h"
#include "process.h"
#include "reader.h"
#include "record.h"
#include "resolve.h"
#include "select.h"
#include "sendfile.h"
#include "signal.h"
#include "socket.h"
#include "sync.h"
#include "task.h"
#include "transfer.h"
#include "unix.h"
#include "writer.h"

__attribute__((visibility("default"))) int luaopen_csock_core(lua_State *L);

int luaopen_csock_core(lua_State *L) {
  luaL_checkversion(L);
  lua_newtable(L);
  cs_open_class(L);
  cs_open_constants(L);
  cs_open_error(L);
  cs_open_address(L);
  cs_open_board(L);
  cs_open_buffer(L);
  cs_open_cmsg(L);
  cs_open_inet(L);
  cs_open_loop(L);
  cs_open_task(L);
  cs_open_inspect(L);
  cs_open_group(L);
  cs_open_host(L);
  cs_open_sync(L);
  cs_open_coroutine(L);
  cs_open_socket(L);
  cs_open_descriptor(L);
  cs_open_transfer(L);
  cs_open_admit(L);
  cs_open_batch(L);
  cs_open_sendfile(L);
  cs_open_message(L);
  cs_open_file(L);
  cs_open_reader(L);
  cs_open_writer(L);
  cs_open_record(L);
  cs_open_datagram(L);
  cs_open_idle(L);
  cs_open_unix(L);
  cs_open_resolve(L);
  cs_open_connect(L);
  cs_open_process(L);
  cs_open_child(L);
  cs_open_select(L);
  cs_open_signal(L);
  return 1;
}
