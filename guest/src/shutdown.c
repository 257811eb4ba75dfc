#include "shutdown.h"

#include <errno.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "disk.h"
#include "log.h"
#include "port.h"
#include "share.h"

enum { ANSWER_MS = 1000, KILL_ATTEMPTS = 500 };

// Waits until all children are gone; one that hangs in the kernel does not keep the machine up for more than 5 s.
static void kill_all(void) {
  for (int i = 0; i < KILL_ATTEMPTS; i++) {
    kill(-1, SIGKILL);
    pid_t pid;
    while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) continue;
    if (pid < 0 && errno == ECHILD) return;
    nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
  }
}

void shut_down(struct call call) {
  answer_done(call);
  port_flush(ANSWER_MS);
  kill_all();
  sync();
  share_unmount_all();
  disk_unmount_all();
  log_line("power off");
  power_off();
}
