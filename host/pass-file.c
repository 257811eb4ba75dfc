// pass-file SOCKET {ro|rw|tap} NAME UNDO COMMAND...
//
// Opens a file or a network device of the host and hands it to a QEMU, whose user could not open it: connects to the QMP monitor at SOCKET and gives it the
// COMMANDs (JSON), the first of them with the descriptor. Each waits for the answer to the one before; after an error there is only UNDO, where it is not empty.
// Prints the last answer, or the error. A NAME that leads through a symbolic link is refused. Exits with 1 and a message when it does not come so far.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { PATIENCE_S = 10, LINE_MAX_BYTES = 65536 };

static _Noreturn void fail(const char *action, const char *what) {
  fprintf(stderr, "%s %s: %s\n", action, what, strerror(errno));
  exit(1);
}

static int open_tap(const char *name) {
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  errno = EINVAL;
  if (!*name || strlen(name) >= sizeof request.ifr_name) fail("open network device", name);
  strcpy(request.ifr_name, name);
  int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail("open network device", name);
  return fd;
}

// Not to wait for the other end of a pipe, before it is known to be none.
static int open_file(const char *path, bool writes) {
  struct open_how how = {.flags = (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_NO_SYMLINKS};
  struct stat found;
  int fd = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  if (fd < 0 || fstat(fd, &found) < 0) fail("open", path);
  errno = EINVAL;
  if (!S_ISREG(found.st_mode) && !S_ISBLK(found.st_mode)) fail("open", path);
  if (fcntl(fd, F_SETFL, 0) < 0) fail("open", path);
  return fd;
}

// QEMU could put a link to another's socket there: what is found is what is connected to.
static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  struct timeval patience = {.tv_sec = PATIENCE_S};
  struct stat found;
  int place = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (place < 0 || fstat(place, &found) < 0) fail("connect to", path);
  errno = ENOTSOCK;
  if (!S_ISSOCK(found.st_mode)) fail("connect to", path);
  snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", place);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0 ||
      connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    fail("connect to", path);
  }
  close(place);
  return fd;
}

static void say(int monitor, const char *command, int file) {
  union {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr aligned;
  } control = {0};
  struct iovec data = {.iov_base = (char *)command, .iov_len = strlen(command)};
  struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
  if (file >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof file);
    memcpy(CMSG_DATA(head), &file, sizeof file);
  }
  if (sendmsg(monitor, &message, MSG_NOSIGNAL) != (ssize_t)data.iov_len) fail("send", command);
}

static bool begins(const char *line, const char *with) { return strncmp(line, with, strlen(with)) == 0; }

// The next line that is an answer: false, an error. Events are not for us.
static bool answer(FILE *from, char line[static LINE_MAX_BYTES]) {
  while (fgets(line, LINE_MAX_BYTES, from)) {
    if (begins(line, "{\"return\"")) return true;
    if (begins(line, "{\"error\"")) return false;
  }
  if (errno == 0) errno = ECONNRESET;
  fail("wait for", "QEMU");
}

int main(int argument_count, char **arguments) {
  static char line[LINE_MAX_BYTES], ignored[LINE_MAX_BYTES];
  errno = EINVAL;
  if (argument_count < 6) fail("usage:", "pass-file SOCKET {ro|rw|tap} NAME UNDO COMMAND...");
  const char *how = arguments[2], *name = arguments[3], *undo = arguments[4];
  int file = strcmp(how, "tap") == 0 ? open_tap(name) : open_file(name, strcmp(how, "rw") == 0);
  int monitor = connect_to(arguments[1]);
  FILE *from = fdopen(monitor, "r");
  if (!from) fail("read from", arguments[1]);
  errno = 0;
  say(monitor, "{\"execute\":\"qmp_capabilities\"}", -1);
  bool is_well = answer(from, line);
  for (int i = 5; is_well && i < argument_count; i++) {
    say(monitor, arguments[i], i == 5 ? file : -1);
    is_well = answer(from, line);
  }
  if (!is_well && *undo) {
    say(monitor, undo, -1);
    answer(from, ignored);
  }
  fputs(line, stdout);
  return 0;
}
