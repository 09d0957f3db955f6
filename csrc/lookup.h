/* lookup: questions to the system's resolver and its other tables of names
** (nsswitch(5)), which can be asked in no way but by waiting; so helper threads
** wait.  Without Lua.
**
** A look-up is a question and, later, its answer.  Whoever made it may forget
** it at any moment; the last of him and the thread frees it. */

#ifndef cs_lookup_h
#define cs_lookup_h

#include <netdb.h>
#include <sys/socket.h>
#include <sys/types.h>

/* musl's getprotobyname is for one thread only */
#if defined(__GLIBC__)
#define CS_PROTOCOLS
#endif

enum cs_Question {
  CS_ADDRESSES, /* getaddrinfo(host, service): list */
  CS_NAME,      /* getnameinfo(address, flags): name, port */
  CS_BYNAME,    /* gethostbyname(host): entry */
  CS_BYADDRESS, /* gethostbyaddr of the address of host: entry */
  CS_SERVICE,   /* getservbyname(host, service): number */
  CS_PORT,      /* getservbyport(number, service): found */
  CS_PROTOCOL   /* getprotobyname(host): number */
};

typedef struct cs_Lookups cs_Lookups; /* the look-ups of one Lua state */

typedef struct cs_Lookup {
  /* the question; flags are AI_ or NI_ */
  enum cs_Question what;
  int family, type, proto, flags;
  char *host, *service; /* the arguments of a table's function, in order */
  struct sockaddr_storage address;
  socklen_t len;
  /* the answer */
  int error;   /* 0, or an EAI_ code */
  int system;  /* errno, for EAI_SYSTEM */
  int unknown; /* 0, or what h_errno was */
  struct addrinfo *list;
  struct hostent *entry; /* NULL: none was found */
  const char *found;     /* the same */
  int number;            /* of CS_PORT in the question; -1: none was found */
  char name[NI_MAXHOST], port[NI_MAXSERV];
  /* private */
  union {
    struct hostent host;
    struct servent service;
    struct protoent protocol;
  } storage;
  char *buffer; /* what `storage` points into */
  cs_Lookups *all;
  struct cs_Lookup *prev, *next; /* in the queue */
  pid_t pid;                     /* whose threads know of it */
  int fds[2];                    /* a pipe: its reader, its thread */
  int state, forgotten;
} cs_Lookup;

cs_Lookup *cs_newlookup(enum cs_Question what, const char *host,
                        const char *service);
int cs_answerhere(cs_Lookup *q);
int cs_ask(cs_Lookups **all, cs_Lookup *q);
int cs_isanswered(cs_Lookup *q);
void cs_forget(cs_Lookup *q);
void cs_closelookups(cs_Lookups *all);
int cs_holdlookups(cs_Lookups *all);
void cs_letlookups(cs_Lookups *all);

#endif
