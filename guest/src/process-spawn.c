#include "process-spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "child.h"
#include "container.h"
#include "log.h"
#include "process-io.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

// musl's <sched.h> has these, but not together with <linux/sched.h>.
int setns(int fd, int kind);

// The more a program can write before it has to wait for the agent, the fewer are the switches between the two, each of
// which costs an emulated processor its address translations.
enum { OUTPUT_PIPE_SIZE = 256 * 1024 };

static int own_pid_namespace = -1;
static int null_device = -1;

void process_spawn_init(void) {
  own_pid_namespace = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
  null_device = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (own_pid_namespace < 0 || null_device < 0) fatal("prepare to start processes: %s", strerror(errno));
}

// `out`: the agent reads. Returns the child's end; the agent's is put into `source`.
static int make_pipe(struct source *source, bool out) {
  int ends[2];
  if (pipe2(ends, O_CLOEXEC) < 0) return -1;
  source->fd = ends[out ? 0 : 1];
  fcntl(source->fd, F_SETFL, O_NONBLOCK);
  // Where the kernel refuses, it stays a usual one.
  if (out) fcntl(source->fd, F_SETPIPE_SZ, OUTPUT_PIPE_SIZE);
  return ends[out ? 1 : 0];
}

static bool make_stdio(struct process *process, struct child *child, struct failure *failure) {
  const Process *wanted = child->process;
  if (wanted->tty) return true;
  child->stdio[0] = wanted->no_stdin ? dup(null_device) : make_pipe(&process->in, false);
  child->stdio[1] = make_pipe(&process->out[0], true);
  child->stdio[2] = make_pipe(&process->out[1], true);
  if (child->stdio[0] >= 0 && child->stdio[1] >= 0 && child->stdio[2] >= 0) return true;
  return fail_errno(failure, "create pipes");
}

static bool make_report(struct process *process, struct child *child, struct failure *failure) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return fail_errno(failure, "create socket pair");
  process->report.fd = ends[0];
  fcntl(ends[0], F_SETFL, O_NONBLOCK);
  child->report = ends[1];
  return true;
}

static pid_t fork_with(uint64_t flags, int cgroup, int *pidfd) {
  struct clone_args arguments = {.flags = flags, .exit_signal = SIGCHLD};
  if (cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = (uint64_t)cgroup;
  }
  if (pidfd) {
    arguments.flags |= CLONE_PIDFD;
    arguments.pidfd = (uint64_t)(uintptr_t)pidfd;
  }
  return (pid_t)syscall(SYS_clone3, &arguments, sizeof arguments);
}

// Forks into the container's PID namespace: the agent itself stays where it is, only its next child is born there.
static pid_t fork_joining(int container_pidfd, int cgroup) {
  if (setns(container_pidfd, CLONE_NEWPID) < 0) return -1;
  pid_t pid = fork_with(0, cgroup, NULL);
  if (pid == 0) return 0;
  int error = errno;
  if (setns(own_pid_namespace, CLONE_NEWPID) < 0) fatal("return to own PID namespace: %s", strerror(errno));
  errno = error;
  return pid;
}

static pid_t fork_child(struct process *process, const struct child *child, int cgroup) {
  if (child->start) return fork_with(CLONE_NEWNS | CLONE_NEWPID, cgroup, &process->container->pidfd);
  if (child->container_pidfd >= 0) return fork_joining(child->container_pidfd, cgroup);
  return fork_with(0, -1, NULL);
}

static void take_terminal(struct process *process, int master) {
  process->out[0].fd = master;
  process->in.fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
  process->terminal = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

static void started(struct process *process) {
  process->state = PROCESS_RUNNING;
  if (process->is_init && process->container) process->container->started = true;
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_process_started_tag;
  message.body.process_started.pid = (uint32_t)process->pid;
  answer_with(process->call, &message);
  process_io_run(process);
}

static void report_ended(struct process *process) {
  source_close(&process->report);
  if (process->ready && !process->failed) {
    started(process);
  } else if (!process->failed) {
    process->failed = true;
    fail(&process->failure, Error_Code_SYSTEM, "start process %u: it was killed while being set up", process->id);
  }
}

static void take_report(struct process *process, const struct report *report, int passed) {
  if (report->kind == REPORT_TERMINAL && passed >= 0 && process->out[0].fd < 0) {
    take_terminal(process, passed);
    return;
  }
  if (passed >= 0) close(passed);
  if (report->kind == REPORT_READY) process->ready = true;
  if (report->kind == REPORT_FAILED) {
    process->failed = true;
    process->failure = report->failure;
  }
}

// False: no more for now, or at all.
static bool read_report(struct process *process) {
  static struct report report;
  struct iovec part = {.iov_base = &report, .iov_len = sizeof report};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {
      .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
  ssize_t got = recvmsg(process->report.fd, &message, MSG_CMSG_CLOEXEC);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
  if (got != (ssize_t)sizeof report) {
    report_ended(process);
    return false;
  }
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  int passed = -1;
  if (header && header->cmsg_type == SCM_RIGHTS) memcpy(&passed, CMSG_DATA(header), sizeof passed);
  take_report(process, &report, passed);
  return true;
}

static void handle_report(struct source *source, uint32_t events) {
  (void)events;
  struct process *process = CONTAINER_OF(source, struct process, report);
  while (source->fd >= 0 && read_report(process)) continue;
}

void process_spawn_settle(struct process *process) {
  handle_report(&process->report, 0);
  if (process->report.fd >= 0) report_ended(process);
}

bool process_spawn(struct process *process, const Process *wanted, const StartContainer *start, int cgroup,
                   struct failure *failure) {
  struct child child = {.process = wanted, .start = start, .container_pidfd = -1, .stdio = {-1, -1, -1}, .report = -1};
  if (process->container && !start) child.container_pidfd = process->container->pidfd;
  pid_t pid = -1;
  if (make_stdio(process, &child, failure) && make_report(process, &child, failure)) {
    pid = fork_child(process, &child, cgroup);
    if (pid == 0) child_run(&child);
    if (pid < 0) fail_errno(failure, "fork process %u", wanted->id);
  }
  for (int i = 0; i < 3; i++) {
    if (child.stdio[i] >= 0) close(child.stdio[i]);
  }
  if (child.report >= 0) close(child.report);
  if (pid < 0) return false;
  process->pid = pid;
  process->report.handle = handle_report;
  // Only its end matters, which is the execve: what is told before waits in the socket, and wakes nobody.
  source_watch(&process->report, EPOLLHUP);
  return true;
}
