#include "port.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "log.h"
#include "loop.h"
#include "outbox.h"
#include "uevent.h"

enum {
  PORT_TIMEOUT_MS = 30000,
  WORK_PER_ROUND = 16,              // reads, and frames written
  CONTROL_BACKLOG_MAX = 256 * 1024, // answers that may wait before calls are read no more
  RETRY_MS = 1000,
};

static const char port_name[] = "hyperd.agent.0";
static char port_path[PATH_MAX];
static struct source source = {.fd = -1};
static struct decoder decoder;
static void (*on_frame)(const struct frame *frame);
// Edge-triggered: a port whose host is away reports a hang-up for as long as that lasts.
static bool readable, writable;
// A frame of which a part waits to be written.
static uint8_t out[FRAME_MAX];
static size_t out_size, out_sent;
static bool zeros_wanted;
static struct timer retry;

static bool find_port(void) {
  DIR *directory = opendir("/sys/class/virtio-ports");
  if (!directory) return false;
  bool found = false;
  struct dirent *entry;
  while (!found && (entry = readdir(directory))) {
    char path[PATH_MAX], name[128];
    snprintf(path, sizeof path, "/sys/class/virtio-ports/%s/name", entry->d_name);
    if (entry->d_name[0] == '.' || !file_read(path, name, sizeof name)) continue;
    found = strcmp(name, port_name) == 0;
    if (found) snprintf(port_path, sizeof port_path, "/dev/%s", entry->d_name);
  }
  closedir(directory);
  if (!found) return false;
  source.fd = open(port_path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
  return source.fd >= 0;
}

static void handle(struct source *port, uint32_t events) {
  (void)port;
  if (events & (EPOLLIN | EPOLLHUP)) readable = true;
  if (events & EPOLLOUT) writable = true;
}

// For a wake-up that is lost, should there be one.
static void look_again(struct timer *timer) {
  (void)timer;
  readable = writable = true;
}

void port_open(void (*receive)(const struct frame *frame)) {
  if (!uevent_wait(find_port, PORT_TIMEOUT_MS)) fatal("find port \"%s\": none within 30 s", port_name);
  if (!decoder_init(&decoder)) fatal("allocate receive buffer: %s", strerror(errno));
  on_frame = receive;
  source.handle = handle;
  retry.fire = look_again;
  readable = writable = true;
  source_watch(&source, EPOLLIN | EPOLLOUT | EPOLLET);
}

static void read_some(void) {
  for (int i = 0; readable && i < WORK_PER_ROUND; i++) {
    if (outbox_control_size() > CONTROL_BACKLOG_MAX) return;
    size_t size;
    uint8_t *space = decoder_space(&decoder, &size);
    ssize_t got = read(source.fd, space, size);
    if (got <= 0) { // 0: no host is connected
      readable = false;
      return;
    }
    decoder_added(&decoder, (size_t)got);
    struct frame frame;
    while (decoder_next(&decoder, &frame)) on_frame(&frame);
  }
}

// Returns how much has been written: nothing where the port takes nothing now.
static size_t write_port(const uint8_t *bytes, size_t size) {
  ssize_t written = write(source.fd, bytes, size);
  if (written >= 0) return (size_t)written;
  writable = false;
  timer_arm(&retry, RETRY_MS);
  return 0;
}

// Writes the next frame from where it is; what the port does not take of it is kept. False: there is none.
static bool write_next(void) {
  const uint8_t *bytes = out;
  size_t size = sizeof out;
  if (zeros_wanted) memset(out, 0, sizeof out);
  else size = outbox_next(out, &bytes);
  zeros_wanted = false;
  if (size == 0) return false;
  out_size = size;
  out_sent = write_port(bytes, size);
  if (out_sent < size && bytes != out) memcpy(out + out_sent, bytes + out_sent, size - out_sent);
  outbox_uncover();
  return true;
}

static bool is_written(void) { return out_sent == out_size; }

// False: nothing is left to write.
static bool write_some(void) {
  for (int i = 0; writable && i < WORK_PER_ROUND; i++) {
    if (!is_written()) out_sent += write_port(out + out_sent, out_size - out_sent);
    else if (!write_next()) return false;
  }
  return true;
}

bool port_work(void) {
  read_some();
  bool write_more = write_some() && writable;
  return write_more || (readable && outbox_control_size() <= CONTROL_BACKLOG_MAX);
}

void port_new_connection(void) {
  if (out_sent > 0 && out_sent < out_size) zeros_wanted = true;
  else if (!zeros_wanted) out_sent = out_size = 0;
}

void port_flush(uint32_t timeout_ms) {
  uint64_t deadline = monotonic_ns() + (uint64_t)timeout_ms * 1000000u;
  for (uint64_t now; (now = monotonic_ns()) < deadline;) {
    writable = true;
    if (!write_some()) return;
    struct pollfd poll_fd = {.fd = source.fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, 10) > 0 && (poll_fd.revents & POLLHUP)) return;
  }
}
