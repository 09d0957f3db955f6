/* unix: what only AF_UNIX has: who the peer is, and a path in the file system.
** Not here: when a path is stale, and whose it is (lua/csock/unix.lua).
** Invariant: nothing here waits, and nothing keeps a descriptor. */

#define _GNU_SOURCE /* struct ucred */
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "error.h"
#include "socket.h"
#include "unix.h"

#ifdef SO_PEERCRED
static void set_integer(lua_State *L, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, -2, name);
}

/* sock.peercred -> {pid =, uid =, gid =} of the process that connected, or that
** called listen; nil where there is no peer, or no AF_UNIX.  (unix(7)) */
static int sock_getpeercred(lua_State *L) {
  cs_Socket *s = cs_tosocket(L);
  struct ucred peer;
  socklen_t len = sizeof peer;
  memset(&peer, 0, sizeof peer);
  if (s->family != AF_UNIX) return 0;
  if (getsockopt(s->h.source.fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
    return cs_fail(L, 0, errno, "peercred", 0);
  if (peer.uid == (uid_t)-1) return 0;
  lua_createtable(L, 0, 3);
  set_integer(L, "pid", peer.pid);
  set_integer(L, "uid", peer.uid);
  set_integer(L, "gid", peer.gid);
  return 1;
}
#endif

/* identity(path) -> a string that tells this socket from others that had or
** will have its path; nil if no socket is there.  (lstat(2)) */
static int unix_identity(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  struct stat st;
  if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode)) return 0;
  lua_pushfstring(L, "%I:%I", (LUAI_UACINT)st.st_dev, (LUAI_UACINT)st.st_ino);
  return 1;
}

/* chmod(path, mode) -> true; mode has the nine bits of permissions.
** (chmod(2)) */
static int unix_chmod(lua_State *L) {
  const char *path = luaL_checkstring(L, 1);
  lua_Integer mode = luaL_checkinteger(L, 2);
  luaL_argcheck(L, mode >= 0 && mode <= 0777, 2, "out of range");
  if (chmod(path, (mode_t)mode) < 0) return cs_fail(L, 0, errno, "chmod", 1);
  lua_pushboolean(L, 1);
  return 1;
}

static const luaL_Reg unix_funcs[] = {
    {"chmod", unix_chmod},
    {"identity", unix_identity},
    {NULL, NULL},
};

#ifdef SO_PEERCRED
static const luaL_Reg unix_getters[] = {
    {"peercred", sock_getpeercred},
    {NULL, NULL},
};
#endif

/* Adds core.unix, and a property to core.socket. */
void cs_open_unix(lua_State *L) {
  lua_newtable(L);
  cs_setfuncs(L, unix_funcs);
  lua_setfield(L, -2, "unix");
#ifdef SO_PEERCRED
  lua_getfield(L, -1, "socket");
  lua_getfield(L, -1, "getters");
  cs_setfuncs(L, unix_getters);
  lua_pop(L, 2);
#endif
}
