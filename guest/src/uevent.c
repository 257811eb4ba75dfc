#include "uevent.h"

#include <errno.h>
#include <linux/netlink.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

enum { KERNEL_GROUP = 1 };

static struct source source = {.fd = -1};
static void (*on_change)(void);

void uevent_open(void) {
  source.fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);
  struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = KERNEL_GROUP};
  if (source.fd < 0 || bind(source.fd, (struct sockaddr *)&address, sizeof address) < 0) {
    fatal("listen to kernel events: %s", strerror(errno));
  }
}

// An overrun (ENOBUFS) is an announcement, too.
static void drain(void) {
  char message[4096];
  while (recv(source.fd, message, sizeof message, 0) >= 0 || errno == ENOBUFS || errno == EINTR) continue;
}

bool uevent_wait(bool (*ready)(void), uint32_t timeout_ms) {
  uint64_t deadline = monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
  while (!ready()) {
    uint64_t now = monotonic_ns();
    if (now >= deadline) return false;
    struct pollfd poll_fd = {.fd = source.fd, .events = POLLIN};
    poll(&poll_fd, 1, (int)((deadline - now) / 1000000u) + 1);
    drain();
  }
  return true;
}

static void handle(struct source *readable, uint32_t events) {
  (void)readable, (void)events;
  drain();
  on_change();
}

void uevent_watch(void (*changed)(void)) {
  on_change = changed;
  source.handle = handle;
  source_watch(&source, EPOLLIN);
}
