#include "identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "container.h"
#include "files.h"
#include "network.h"
#include "paths.h"

enum { ENTROPY_MIN = 32, ENTROPY_MAX = 4096, MACHINE_ID_DIGITS = 32 };

static bool configured;

bool identity_configured(void) { return configured; }

static bool add_entropy(const pb_bytes_array_t *entropy, struct failure *failure) {
  size_t size = entropy ? entropy->size : 0;
  if (size < ENTROPY_MIN || size > ENTROPY_MAX) {
    return fail(failure, Error_Code_INVALID, "add entropy: %zu bytes, allowed are %d..%d", size, ENTROPY_MIN, ENTROPY_MAX);
  }
  struct rand_pool_info *info = malloc(sizeof *info + size);
  if (!info) return fail_errno(failure, "add entropy");
  info->entropy_count = (int)(size * 8);
  info->buf_size = (int)size;
  memcpy(info->buf, entropy->bytes, size);
  int fd = open("/dev/random", O_RDWR | O_CLOEXEC);
  bool done = fd >= 0 && ioctl(fd, RNDADDENTROPY, info) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
  if (!done) fail_errno(failure, "add entropy");
  if (fd >= 0) close(fd);
  free(info);
  return done;
}

bool identity_set_clock(uint64_t realtime_ns, struct failure *failure) {
  struct timespec time = {.tv_sec = (time_t)(realtime_ns / 1000000000u), .tv_nsec = (long)(realtime_ns % 1000000000u)};
  return clock_settime(CLOCK_REALTIME, &time) == 0 || fail_errno(failure, "set clock");
}

bool identity_set_hostname(const char *hostname, struct failure *failure) {
  size_t length = hostname ? strlen(hostname) : 0;
  if (length < 1 || length > HOST_NAME_MAX) {
    return fail(failure, Error_Code_INVALID, "set hostname: %zu bytes, allowed are 1..%d", length, HOST_NAME_MAX);
  }
  return sethostname(hostname, length) == 0 || fail_errno(failure, "set hostname");
}

static bool set_machine_id(const char *id, struct failure *failure) {
  if (!id || strlen(id) != MACHINE_ID_DIGITS || strspn(id, "0123456789abcdef") != MACHINE_ID_DIGITS) {
    return fail(failure, Error_Code_INVALID, "set machine id \"%s\": must be 32 hex digits", id ? id : "");
  }
  char line[MACHINE_ID_DIGITS + 2];
  snprintf(line, sizeof line, "%s\n", id);
  return file_create(PATH_MACHINE_ID, line, strlen(line), 0444) || fail_errno(failure, "set machine id");
}

// The kernel made its boot id before the template was taken: containers are shown another one.
static bool make_boot_id(struct failure *failure) {
  unsigned char bytes[16];
  char line[40];
  if (getrandom(bytes, sizeof bytes, 0) != sizeof bytes) return fail_errno(failure, "make boot id");
  bytes[6] = (unsigned char)((bytes[6] & 0x0f) | 0x40); // RFC 9562, version 4
  bytes[8] = (unsigned char)((bytes[8] & 0x3f) | 0x80);
  int at = 0;
  for (int i = 0; i < 16; i++) {
    at += snprintf(line + at, sizeof line - (size_t)at, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
  }
  line[at++] = '\n';
  return file_create(PATH_BOOT_ID, line, (size_t)at, 0444) || fail_errno(failure, "make boot id");
}

bool identity_configure(const Configure *configure, struct failure *failure) {
  if (container_is_any()) return fail(failure, Error_Code_PRECONDITION, "configure machine: it has containers");
  if (!add_entropy(configure->entropy, failure) || !identity_set_clock(configure->realtime_ns, failure) ||
      !identity_set_hostname(configure->hostname, failure) || !set_machine_id(configure->machine_id, failure) ||
      !make_boot_id(failure)) {
    return false;
  }
  if (configure->has_network && !network_configure(&configure->network, failure)) return false;
  configured = true;
  return true;
}
