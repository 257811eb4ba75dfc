// Preloaded into every QEMU. QEMU's user-mode network turns what a guest sends into calls of connect(2) and sendto(2) made on the host, and
// takes the guest's 10.0.2.2 for the host's loopback address: services that trust whoever reaches them there (databases, hyperd's own API on
// TCP) would be open to every guest. QEMU has no option against it, so the calls themselves are refused here, where no guest gets at them.
//
// Let through are port 53, where the host's resolver may listen, and answers to datagrams that came in through a published port.
// HYPERD_HOST_LOOPBACK=1 lets everything through.
//
// QEMU leaves the network's packets at 1500 bytes, each of which costs an emulated processor as much as a large one: they may be as large as
// IP has them. What leaves the host goes by the host's own connections, so no packet of that size does.
//
// Two files are opened otherwise than QEMU asks, so that it need not be let at more than it uses (see confine.c): that of HYPERD_TEMPLATE, which it maps
// privately, only for reading (so what it drops of it, by fallocate(2) and then madvise(2), is its own copies alone); and in place of /etc/resolv.conf the copy that HYPERD_RESOLV_CONF names, which follows the host's.
//
// Every connection of a guest, and every port that it sends datagrams from, costs a socket of the host's and one of its few thousand ports:
// what one QEMU may have of them is bounded here as well.
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <slirp/libslirp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

enum { DNS_PORT = 53, PEERS = 1024, BACKLOG = 1024, FILES_MAX = 8192, MTU = 65520 };

typedef int connect_call(int, const struct sockaddr *, socklen_t);
typedef int listen_call(int, int);
typedef ssize_t sendto_call(int, const void *, size_t, int, const struct sockaddr *, socklen_t);
typedef ssize_t recvfrom_call(int, void *, size_t, int, struct sockaddr *, socklen_t *);

typedef Slirp *slirp_new_call(const SlirpConfig *, const SlirpCb *, void *);

static connect_call *next_connect;
static listen_call *next_listen;
static sendto_call *next_sendto;
static recvfrom_call *next_recvfrom;
typedef int open_call(const char *, int, ...);
typedef FILE *fopen_call(const char *, const char *);
typedef int stat_call(const char *, struct stat *);
typedef int fallocate_call(int, int, off_t, off_t);
static open_call *next_open;
static fopen_call *next_fopen;
static stat_call *next_stat;
static fallocate_call *next_fallocate;
static bool open_to_guests;
static const char *template, *resolv_conf;
static int template_fd = -1;

// Senders on the loopback address, the oldest of them overwritten first. QEMU runs its network under one lock, so this needs none.
static struct peer {
  int fd;
  struct sockaddr_in6 address;
} peers[PEERS];
static size_t next_peer;

static void bound_files(void) {
  struct rlimit files;
  if (getrlimit(RLIMIT_NOFILE, &files) < 0) abort();
  if (files.rlim_max > FILES_MAX) files.rlim_max = FILES_MAX;
  files.rlim_cur = files.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &files) < 0) abort();
}

// Other libraries' constructors open files, and may come first.
static void prepare_files(void) {
  if (next_open) return;
  next_fopen = (fopen_call *)dlsym(RTLD_NEXT, "fopen64");
  next_stat = (stat_call *)dlsym(RTLD_NEXT, "stat64");
  template = getenv("HYPERD_TEMPLATE");
  resolv_conf = getenv("HYPERD_RESOLV_CONF");
  next_open = (open_call *)dlsym(RTLD_NEXT, "open64");
  if (!next_open || !next_fopen || !next_stat) abort();
}

__attribute__((constructor)) static void prepare(void) {
  const char *setting = getenv("HYPERD_HOST_LOOPBACK");
  bound_files();
  open_to_guests = setting && strcmp(setting, "1") == 0;
  next_connect = (connect_call *)dlsym(RTLD_NEXT, "connect");
  next_listen = (listen_call *)dlsym(RTLD_NEXT, "listen");
  next_sendto = (sendto_call *)dlsym(RTLD_NEXT, "sendto");
  next_recvfrom = (recvfrom_call *)dlsym(RTLD_NEXT, "recvfrom");
  next_fallocate = (fallocate_call *)dlsym(RTLD_NEXT, "fallocate64");
  if (!next_connect || !next_listen || !next_sendto || !next_recvfrom || !next_fallocate) abort();
  prepare_files();
}

// The address as one of IPv6, with nothing in it but address and port. False: of another kind.
static bool plain_address(const struct sockaddr *address, socklen_t length, struct sockaddr_in6 *plain) {
  if (!address || length < sizeof(sa_family_t)) return false;
  *plain = (struct sockaddr_in6){.sin6_family = AF_INET6};
  if (address->sa_family == AF_INET6 && length >= sizeof *plain) {
    struct sockaddr_in6 in6;
    memcpy(&in6, address, sizeof in6);
    plain->sin6_addr = in6.sin6_addr;
    plain->sin6_port = in6.sin6_port;
    return true;
  }
  if (address->sa_family != AF_INET || length < sizeof(struct sockaddr_in)) return false;
  struct sockaddr_in in;
  memcpy(&in, address, sizeof in);
  plain->sin6_addr.s6_addr[10] = plain->sin6_addr.s6_addr[11] = 0xff;
  memcpy(&plain->sin6_addr.s6_addr[12], &in.sin_addr, sizeof in.sin_addr);
  plain->sin6_port = in.sin_port;
  return true;
}

// 127.0.0.0/8 and ::1, and the unspecified addresses, which lead there as well.
static bool is_loopback(const struct in6_addr *address) {
  if (!IN6_IS_ADDR_V4MAPPED(address)) return IN6_IS_ADDR_LOOPBACK(address) || IN6_IS_ADDR_UNSPECIFIED(address);
  return address->s6_addr[12] == 127 || address->s6_addr[12] == 0;
}

static struct peer *find_peer(int fd, const struct sockaddr_in6 *address) {
  for (size_t i = 0; i < PEERS; i++) {
    if (peers[i].fd == fd && peers[i].address.sin6_port == address->sin6_port &&
        memcmp(&peers[i].address.sin6_addr, &address->sin6_addr, sizeof address->sin6_addr) == 0) {
      return &peers[i];
    }
  }
  return NULL;
}

static bool is_refused(const struct sockaddr *address, socklen_t length, struct sockaddr_in6 *plain) {
  return !open_to_guests && plain_address(address, length, plain) && is_loopback(&plain->sin6_addr) &&
         ntohs(plain->sin6_port) != DNS_PORT;
}

int connect(int fd, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in6 plain;
  if (!is_refused(address, length, &plain)) return next_connect(fd, address, length);
  errno = ECONNREFUSED;
  return -1;
}

ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *address, socklen_t length) {
  struct sockaddr_in6 plain;
  if (!is_refused(address, length, &plain) || find_peer(fd, &plain)) {
    return next_sendto(fd, data, size, flags, address, length);
  }
  errno = ECONNREFUSED;
  return -1;
}

ssize_t recvfrom(int fd, void *data, size_t size, int flags, struct sockaddr *address, socklen_t *length) {
  ssize_t received = next_recvfrom(fd, data, size, flags, address, length);
  struct sockaddr_in6 plain;
  if (received >= 0 && length && is_refused(address, *length, &plain) && !find_peer(fd, &plain)) {
    peers[next_peer++ % PEERS] = (struct peer){.fd = fd, .address = plain};
  }
  return received;
}

// QEMU lets one connection wait at a published port: others that come at the same moment would be lost for a second.
int listen(int fd, int backlog) { return next_listen(fd, backlog < BACKLOG ? BACKLOG : backlog); }

// QEMU makes the settings for this one call, in memory of its own.
Slirp *slirp_new(const SlirpConfig *settings, const SlirpCb *callbacks, void *opaque) {
  slirp_new_call *next_slirp_new = (slirp_new_call *)dlsym(RTLD_NEXT, "slirp_new");
  SlirpConfig *changed = (SlirpConfig *)settings;
  if (!next_slirp_new) abort();
  changed->if_mtu = changed->if_mru = MTU;
  return next_slirp_new(changed, callbacks, opaque);
}

static int open_file(const char *path, int flags, mode_t mode) {
  prepare_files();
  if (!template || strcmp(path, template) != 0) return next_open(path, flags, mode);
  return template_fd = next_open(path, (flags & ~O_ACCMODE) | O_RDONLY, mode);
}

// QEMU punches what the guest has freed out of the memory's file before it drops its own pages, and does not do the one without the other.
static int allocate(int fd, int mode, off_t offset, off_t length) {
  if (fd >= 0 && fd == template_fd && (mode & FALLOC_FL_PUNCH_HOLE)) return 0;
  return next_fallocate(fd, mode, offset, length);
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return allocate(fd, mode, offset, length); }
int fallocate64(int fd, int mode, off64_t offset, off64_t length) { return allocate(fd, mode, offset, length); }

static const char *actual(const char *path) {
  prepare_files();
  return resolv_conf && strcmp(path, "/etc/resolv.conf") == 0 ? resolv_conf : path;
}

// On x86-64 and arm64 the calls with and without 64 in their names are the same.
#define OPEN(name)                                      \
  int name(const char *path, int flags, ...) {          \
    va_list more;                                       \
    va_start(more, flags);                              \
    mode_t mode = 0;                                    \
    if (flags & (O_CREAT | O_TMPFILE)) mode = va_arg(more, mode_t); \
    va_end(more);                                       \
    return open_file(path, flags, mode);                \
  }
OPEN(open)
OPEN(open64)
// What the compiler's checks make of calls without a mode.
int __open_2(const char *path, int flags) { return open_file(path, flags, 0); }
int __open64_2(const char *path, int flags) { return open_file(path, flags, 0); }

static FILE *open_stream(const char *path, const char *mode) {
  const char *instead = actual(path);
  return next_fopen(instead, mode);
}

static int look_at(const char *path, struct stat *found) {
  const char *instead = actual(path);
  return next_stat(instead, found);
}

FILE *fopen(const char *path, const char *mode) { return open_stream(path, mode); }
FILE *fopen64(const char *path, const char *mode) { return open_stream(path, mode); }
int stat(const char *path, struct stat *found) { return look_at(path, found); }
int stat64(const char *path, struct stat64 *found) { return look_at(path, (struct stat *)found); }
