/* thief: another reader of a socket, for spec/record_spec.lua, preloaded into a
** child.  What a look has just seen is gone when it is read, if it begins with
** "thief". */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>

typedef ssize_t Receive(int, void *, size_t, int);

ssize_t recv(int fd, void *data, size_t size, int flags) {
  Receive *real = (Receive *)dlsym(RTLD_NEXT, "recv");
  ssize_t n = real(fd, data, size, flags);
  char gone[5];
  if ((flags & MSG_PEEK) && n == sizeof gone && memcmp(data, "thief", 5) == 0)
    real(fd, gone, sizeof gone, MSG_DONTWAIT);
  return n;
}
