// The guest agent: first process of the machine, and the host's hand in it. See guest/agent.proto.

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "boot.h"
#include "calls.h"
#include "card.h"
#include "disk.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "port.h"
#include "process.h"
#include "share.h"
#include "uevent.h"

// The only place that waits for children. Orphans of anybody are reaped, too.
static void reap(struct source *source, uint32_t events) {
  (void)events;
  struct signalfd_siginfo info;
  while (read(source->fd, &info, sizeof info) == sizeof info) continue;
  int status;
  for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
    if (!process_ended(pid, status)) job_ended(pid, status);
  }
}

static void look_for_devices(void) {
  disk_look();
  share_look();
  card_look();
}

static void watch_children(void) {
  static struct source source;
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGCHLD);
  sigprocmask(SIG_BLOCK, &signals, NULL);
  source = (struct source){.fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK), .handle = reap};
  if (source.fd < 0) fatal("watch children: %s", strerror(errno));
  source_watch(&source, EPOLLIN);
}

int main(void) {
  if (getpid() != 1) return 1;
  boot();
  loop_init();
  process_init();
  watch_children();
  port_open(calls_receive);
  uevent_watch(look_for_devices);
  log_line("ready");
  loop_run(port_work);
}
