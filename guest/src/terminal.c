#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

bool terminal_resize(int master, uint32_t rows, uint32_t columns) {
  struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
  return ioctl(master, TIOCSWINSZ, &size) == 0;
}

bool terminal_open(struct terminal *terminal, uint32_t rows, uint32_t columns, struct failure *failure) {
  terminal->master = open("/dev/pts/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  int unlock = 0;
  if (terminal->master < 0 || ioctl(terminal->master, TIOCSPTLCK, &unlock) < 0 ||
      ioctl(terminal->master, TIOCGPTN, &terminal->number) < 0) {
    return fail_errno(failure, "open terminal");
  }
  // Not by its path: that is the container's to change.
  terminal->slave = ioctl(terminal->master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal->slave < 0) return fail_errno(failure, "open terminal");
  if (rows > 0 && columns > 0 && !terminal_resize(terminal->master, rows, columns)) {
    return fail_errno(failure, "set size of terminal");
  }
  return true;
}

bool terminal_be_console(const struct terminal *terminal, struct failure *failure) {
  char path[32];
  snprintf(path, sizeof path, "/dev/pts/%u", terminal->number);
  int console = open("/dev/console", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0620);
  if (console >= 0) close(console);
  if (console < 0 || mount(path, "/dev/console", NULL, MS_BIND, NULL) < 0) {
    return fail_errno(failure, "mount \"/dev/console\"");
  }
  return true;
}

bool terminal_take(struct terminal *terminal, uint32_t uid, struct failure *failure) {
  if (ioctl(terminal->slave, TIOCSCTTY, 0) < 0) return fail_errno(failure, "take terminal");
  if (fchown(terminal->slave, uid, (gid_t)-1) < 0) return fail_errno(failure, "own terminal");
  for (int fd = 0; fd < 3; fd++) {
    if (dup2(terminal->slave, fd) < 0) return fail_errno(failure, "take terminal");
  }
  close(terminal->slave);
  close(terminal->master);
  return true;
}
