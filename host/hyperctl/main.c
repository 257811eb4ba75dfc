// hyperctl's `exec`, `run`, `stop` and `rm` as they are given most often, without Node, whose start would take longer than the rest of the command.
// Whatever else is asked, and whatever the daemon refuses, is left to the whole hyperctl, which tells of mistakes: nothing has
// happened by then, or the same may happen again. Behaviour is the same; test/hyperctl-quick.test.ts compares them.
//
// usage: hyperctl NODE PROGRAM [ARGUMENT ...]
//   NODE, PROGRAM  the whole hyperctl
#define _GNU_SOURCE
#include "quick.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/** Files must not get the numbers of standard streams that the caller has closed. */
static void open_standard_streams(void) {
  int fd;
  do {
    fd = open("/dev/null", O_RDWR);
  } while (fd >= 0 && fd <= STDERR_FILENO);
  if (fd > STDERR_FILENO) close(fd);
}

int main(int count, char **arguments) {
  if (count < 3) {
    fprintf(stderr, "usage: %s NODE PROGRAM [ARGUMENT ...]\n", arguments[0]);
    return 2;
  }
  open_standard_streams();
  struct command command = {0};
  struct connection connection = {0};
  if (read_command(count - 3, arguments + 3, &command)) {
    int exit_code = 0;
    if (command.kind != EXEC && command.kind != RUN) {
      if (do_plainly(&command, &exit_code)) return exit_code;
    } else if (open_session(&command, &connection)) {
      signal(SIGPIPE, SIG_IGN);
      return join(&command, &connection);
    }
  }
  execv(arguments[1], arguments + 1);
  fprintf(stderr, "hyperctl ERROR: run %s: %s\n", arguments[1], strerror(errno));
  return 1;
}
