/* lookup: getaddrinfo(3) and its like, in helper threads.  A thread is started
** when there is something to ask, takes questions from the queue until it is
** empty, and ends; there are MAXTHREADS at most, since each may be stuck for
** as long as a name server is silent.
** Invariant: what threads and others share is read and written with the lock
** held, but for a look-up that is RUNNING, whose answer is its thread's alone.
** A thread never touches a descriptor of a look-up that was forgotten.
**
** After fork the child has the memory and none of the threads, so nobody can
** tell it who holds the lock: look-ups and queue know their process, and in
** another one they are only freed. */

#define _GNU_SOURCE /* gethostbyname_r, RTLD_NODELETE */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lookup.h"
#include "sys.h"

#define MAXTHREADS 16
#define STACK      (512 * 1024)     /* modules of nsswitch(5) are not modest */
#define MAXBUFFER  (64 * 1024)      /* for what one name stands for */
#define REST       (CS_SECOND / 50) /* for threads, before a fork, */
#define LONGREST   CS_SECOND        /* and for those that are at work */
#define TRACE      (CS_SECOND / 10) /* a thread's end takes a while */

enum { NEW, QUEUED, RUNNING, ANSWERED };

struct cs_Lookups {
  pthread_mutex_t lock;
  cs_Lookup *first, *last; /* the queue */
  int threads, busy;       /* of them have a question */
  int references; /* the owner, the threads, the look-ups that were asked */
  pid_t pid;
  int64_t gone; /* from when on no trace is left of the threads that ended */
};

/*
** Questions and answers, with no regard to threads
*/

/* A question, or NULL when there is no memory; what is not an argument here is
** 0 and may be set until it is asked. */
cs_Lookup *cs_newlookup(enum cs_Question what, const char *host,
                        const char *service) {
  cs_Lookup *q = calloc(1, sizeof *q);
  if (q == NULL) return NULL;
  q->what = what;
  q->fds[0] = q->fds[1] = -1;
  if (host != NULL) q->host = strdup(host);
  if (service != NULL) q->service = strdup(service);
  if ((host != NULL && q->host == NULL) ||
      (service != NULL && q->service == NULL)) {
    cs_forget(q);
    return NULL;
  }
  return q;
}

static void close_pipe(cs_Lookup *q) {
  for (int i = 0; i < 2; i++) {
    if (q->fds[i] >= 0) cs_closefd(q->fds[i]);
    q->fds[i] = -1;
  }
}

static void free_lookup(cs_Lookup *q) {
  close_pipe(q);
  if (q->list != NULL) freeaddrinfo(q->list);
  free(q->buffer);
  free(q->host);
  free(q->service);
  free(q);
}

static void ask_addresses(cs_Lookup *q, const char *host) {
  struct addrinfo hints;
  memset(&hints, 0, sizeof hints);
  hints.ai_family = q->family;
  hints.ai_socktype = q->type;
  hints.ai_protocol = q->proto;
  hints.ai_flags = q->flags;
  q->error = getaddrinfo(host, q->service, &hints, &q->list);
  q->system = errno;
  if (q->error != 0) q->list = NULL;
}

static void ask_name(cs_Lookup *q) {
  q->error = getnameinfo((const struct sockaddr *)&q->address, q->len, q->name,
                         sizeof q->name, q->port, sizeof q->port, q->flags);
  q->system = errno;
}

/* One gethostby..._r within 'size' bytes: what it returns. */
static int find_entry(cs_Lookup *q, size_t size) {
  const struct sockaddr *sa = q->list->ai_addr;
  const void *bytes = sa->sa_family == AF_INET6
                          ? (void *)&((struct sockaddr_in6 *)sa)->sin6_addr
                          : (void *)&((struct sockaddr_in *)sa)->sin_addr;
  socklen_t len = sa->sa_family == AF_INET6 ? sizeof(struct in6_addr)
                                            : sizeof(struct in_addr);
  if (q->what == CS_BYNAME)
    return gethostbyname_r(q->host, &q->storage.host, q->buffer, size,
                           &q->entry, &q->unknown);
  return gethostbyaddr_r(bytes, len, sa->sa_family, &q->storage.host, q->buffer,
                         size, &q->entry, &q->unknown);
}

static int find_service(cs_Lookup *q, size_t size) {
  struct servent *s = NULL;
  int n = getservbyname_r(q->host, q->service, &q->storage.service, q->buffer,
                          size, &s);
  q->number = s != NULL ? ntohs((uint16_t)s->s_port) : -1;
  return n;
}

static int find_port(cs_Lookup *q, size_t size) {
  struct servent *s = NULL;
  int n = getservbyport_r(htons((uint16_t)q->number), q->service,
                          &q->storage.service, q->buffer, size, &s);
  q->found = s != NULL ? s->s_name : NULL;
  return n;
}

#if defined(CS_PROTOCOLS)
static int find_protocol(cs_Lookup *q, size_t size) {
  struct protoent *p = NULL;
  int n = getprotobyname_r(q->host, &q->storage.protocol, q->buffer, size, &p);
  q->number = p != NULL ? p->p_proto : -1;
  return n;
}
#endif

/* Ask a table, with as much memory as the answer needs: what 'find' returns. */
static int ask_table(cs_Lookup *q, int (*find)(cs_Lookup *q, size_t size)) {
  size_t size = 1024;
  int n;
  do {
    free(q->buffer);
    q->buffer = malloc(size);
    if (q->buffer == NULL) {
      q->error = EAI_MEMORY;
      return ENOMEM;
    }
    n = find(q, size);
    size *= 2;
  } while (n == ERANGE && size <= MAXBUFFER);
  return n;
}

/* As Python: first the addresses, whose error is getaddrinfo's, then the
** entry.  Two names are addresses without being asked for, and have none. */
static void ask_entry(cs_Lookup *q) {
  const char *host = q->host;
  if (*host == '\0')
    host = "0.0.0.0";
  else if (strcmp(host, "<broadcast>") == 0)
    host = "255.255.255.255";
  ask_addresses(q, host);
  if (q->error != 0) return;
  if (ask_table(q, find_entry) != 0) q->entry = NULL;
  if (q->entry == NULL && q->unknown == 0) q->unknown = NO_RECOVERY;
}

static void answer(cs_Lookup *q) {
  switch (q->what) {
  case CS_ADDRESSES:
    ask_addresses(q, q->host);
    break;
  case CS_NAME:
    ask_name(q);
    break;
  case CS_BYNAME:
  case CS_BYADDRESS:
    ask_entry(q);
    break;
  case CS_SERVICE:
    ask_table(q, find_service);
    break;
  case CS_PORT:
    ask_table(q, find_port);
    break;
  case CS_PROTOCOL:
#if defined(CS_PROTOCOLS)
    ask_table(q, find_protocol);
#endif
    break;
  }
}

/* Does the service of the question need no data base? */
static int is_numeric(const cs_Lookup *q) {
  const char *digits = q->service;
  if (digits == NULL || (q->flags & AI_NUMERICSERV)) return 1;
  return *digits != '\0' && digits[strspn(digits, "0123456789")] == '\0';
}

/* Answer a new question here if that takes no resolver, its host and service
** being numbers or none; the system knows all their spellings.  True when it is
** answered. */
int cs_answerhere(cs_Lookup *q) {
  int flags = q->flags;
  if (q->what == CS_NAME) {
    if ((flags & NI_NUMERICHOST) == 0 || (flags & NI_NUMERICSERV) == 0)
      return 0;
    ask_name(q);
  } else if (q->what == CS_ADDRESSES && is_numeric(q)) {
    q->flags |= AI_NUMERICHOST;
    ask_addresses(q, q->host);
    q->flags = flags;
    if (q->error == EAI_NONAME && q->host != NULL &&
        (flags & AI_NUMERICHOST) == 0)
      return 0;
  } else
    return 0;
  q->state = ANSWERED;
  return 1;
}

/*
** The queue
*/

static void append(cs_Lookups *all, cs_Lookup *q) {
  q->state = QUEUED;
  q->prev = all->last;
  q->next = NULL;
  if (all->last != NULL)
    all->last->next = q;
  else
    all->first = q;
  all->last = q;
}

static void take(cs_Lookups *all, cs_Lookup *q) {
  if (q->prev != NULL)
    q->prev->next = q->next;
  else
    all->first = q->next;
  if (q->next != NULL)
    q->next->prev = q->prev;
  else
    all->last = q->prev;
}

/* Give back a reference, and the lock. */
static void release(cs_Lookups *all) {
  int last = --all->references == 0;
  pthread_mutex_unlock(&all->lock);
  if (!last) return;
  pthread_mutex_destroy(&all->lock);
  free(all);
}

/*
** Threads
*/

/* Answer one question, without the lock meanwhile. */
static void serve(cs_Lookups *all, cs_Lookup *q) {
  take(all, q);
  q->state = RUNNING;
  pthread_mutex_unlock(&all->lock);
  answer(q);
  pthread_mutex_lock(&all->lock);
  q->state = ANSWERED;
  if (q->forgotten) {
    all->references--; /* the thread has one more */
    free_lookup(q);
  } else {
    ssize_t n = write(q->fds[1], "", 1); /* an empty pipe takes it */
    (void)n;
  }
}

static void *work(void *arg) {
  cs_Lookups *all = arg;
  pthread_mutex_lock(&all->lock);
  while (all->first != NULL) serve(all, all->first);
  all->threads--;
  all->gone = cs_deadline(TRACE);
  release(all);
  return NULL;
}

/* One more thread, which no signal reaches: 0 or -errno. */
static int start(cs_Lookups *all) {
  pthread_attr_t attr;
  pthread_t id;
  sigset_t everything, before;
  size_t stack = STACK;
  int err;
#if defined(PTHREAD_STACK_MIN)
  if (stack < (size_t)PTHREAD_STACK_MIN) stack = (size_t)PTHREAD_STACK_MIN;
#endif
  err = pthread_attr_init(&attr);
  if (err != 0) return -err;
  pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  pthread_attr_setstacksize(&attr, stack);
  sigfillset(&everything);
  pthread_sigmask(SIG_SETMASK, &everything, &before);
  err = pthread_create(&id, &attr, work, all);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attr);
  if (err != 0) return -err;
  all->threads++;
  all->references++;
  return 0;
}

/* A thread may outlive the Lua state, and with it the module, which Lua unloads
** at its end: from now on it stays where it is. */
static void stay_loaded(void) {
  static const char here = 0;
  Dl_info info;
  void *handle;
  if (dladdr(&here, &info) == 0) return;
  handle = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
  if (handle != NULL) dlclose(handle);
}

static cs_Lookups *open_lookups(void) {
  cs_Lookups *all = calloc(1, sizeof *all);
  if (all == NULL) return NULL;
  if (pthread_mutex_init(&all->lock, NULL) != 0) {
    free(all);
    return NULL;
  }
  all->references = 1;
  all->pid = getpid();
  stay_loaded();
  return all;
}

/*
** What the one who asks does
*/

/* A new question goes into the queue of '*all', which the first one of a
** process makes.  Returns the descriptor that can be read when the answer is
** there (the look-up keeps it), or -errno. */
int cs_ask(cs_Lookups **all, cs_Lookup *q) {
  cs_Lookups *queue;
  int err;
  if (*all != NULL && (*all)->pid != getpid()) {
    free(*all); /* the parent's, and the lock with it */
    *all = NULL;
  }
  if (*all == NULL && (*all = open_lookups()) == NULL) return -ENOMEM;
  err = cs_pipe(q->fds);
  if (err != 0) return err;
  queue = q->all = *all;
  q->pid = queue->pid;
  pthread_mutex_lock(&queue->lock);
  append(queue, q);
  if (queue->threads < MAXTHREADS) err = start(queue);
  if (err != 0 && queue->threads == 0) {
    take(queue, q);
    close_pipe(q);
    q->state = NEW;
    q->all = NULL;
  } else {
    queue->references++;
    err = 0;
  }
  pthread_mutex_unlock(&queue->lock);
  /* EAGAIN is pthread_create's for too many threads: no reason to wait */
  return err == 0 ? q->fds[0] : err == -EAGAIN ? -ENOMEM : err;
}

/* Is the answer there? */
int cs_isanswered(cs_Lookup *q) {
  int state;
  if (q->all == NULL) return q->state == ANSWERED;
  if (q->pid != getpid()) return 0;
  pthread_mutex_lock(&q->all->lock);
  state = q->state;
  pthread_mutex_unlock(&q->all->lock);
  return state == ANSWERED;
}

/* The look-up is of no interest any more: nothing of it may be used.  What it
** holds is freed, now or when its thread has done with it; its descriptors are
** closed now. */
void cs_forget(cs_Lookup *q) {
  cs_Lookups *all = q->all;
  if (all == NULL || q->pid != getpid()) {
    /* what a thread was about when the process was forked cannot be freed */
    if (q->state == RUNNING) q->list = NULL, q->buffer = NULL;
    free_lookup(q);
    return;
  }
  pthread_mutex_lock(&all->lock);
  if (q->state == RUNNING) {
    q->forgotten = 1;
    close_pipe(q);
    pthread_mutex_unlock(&all->lock); /* its reference is the thread's */
    return;
  }
  if (q->state == QUEUED) take(all, q);
  free_lookup(q);
  release(all);
}

/* The owner goes; questions and threads that are left keep what they need. */
void cs_closelookups(cs_Lookups *all) {
  if (all->pid != getpid()) {
    free(all);
    return;
  }
  pthread_mutex_lock(&all->lock);
  release(all);
}

/* May one of these threads, or one that has just ended, be at work, and hold a
** lock of libc's? */
static int may_lock(const cs_Lookups *all, int threads, int64_t end,
                    int64_t latest) {
  int64_t now = cs_now();
  if (threads > 0 && now < end) return 1;
  if (threads == 0 && now >= all->gone) return 0;
  return now < latest && cs_othersrun();
}

/* Before a fork: let the threads end, if they do so soon, and take the lock.  A
** thread at work may hold locks of libc's, though only for moments, and in the
** child such a lock would stay taken, and look-ups there would hang; one that
** waits for a name server holds none, and is not waited for.  True when there
** is a lock to be given back, by the parent, with cs_letlookups. */
int cs_holdlookups(cs_Lookups *all) {
  int64_t end = cs_deadline(REST), latest = cs_deadline(LONGREST);
  int left; /* when we looked last; the last one may not be quite gone */
  if (all == NULL || all->pid != getpid()) return 0;
  pthread_mutex_lock(&all->lock);
  for (left = all->threads; may_lock(all, left, end, latest);) {
    left = all->threads;
    pthread_mutex_unlock(&all->lock);
    cs_waitfd(-1, 0, cs_deadline(CS_SECOND / 1000));
    pthread_mutex_lock(&all->lock);
  }
  return 1;
}

void cs_letlookups(cs_Lookups *all) {
  pthread_mutex_unlock(&all->lock);
}
