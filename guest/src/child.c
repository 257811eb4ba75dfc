#include "child.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "builtin.h"
#include "command.h"
#include "container-root.h"
#include "privileges.h"
#include "root-path.h"
#include "terminal.h"
#include "user.h"

enum { REPORT_FD = 3 };

static const char default_search[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

static void send_report(const struct report *report, int passed) {
  struct iovec part = {.iov_base = (void *)(uintptr_t)report, .iov_len = sizeof *report};
  union {
    struct cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
  } control = {0};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
  if (passed >= 0) {
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &passed, sizeof passed);
  }
  while (sendmsg(REPORT_FD, &message, MSG_NOSIGNAL) < 0 && errno == EINTR) continue;
}

static _Noreturn void give_up(const struct failure *failure) {
  struct report report = {.kind = REPORT_FAILED, .failure = *failure};
  send_report(&report, -1);
  _exit(125);
}

static void reset_signals(void) {
  sigset_t none;
  sigemptyset(&none);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
}

// Standard descriptors to 0..2, the report to 3, and nothing of the agent's behind them.
static bool arrange_descriptors(const struct child *child, struct failure *failure) {
  for (int fd = 0; fd < 3; fd++) {
    if (!child->process->tty && dup2(child->stdio[fd], fd) < 0) return fail_errno(failure, "arrange descriptors");
  }
  if (child->report != REPORT_FD && dup3(child->report, REPORT_FD, O_CLOEXEC) < 0) {
    return fail_errno(failure, "arrange descriptors");
  }
  if (syscall(SYS_close_range, REPORT_FD + 1, ~0U, 0) < 0) return fail_errno(failure, "close descriptors");
  return true;
}

static bool join_container(int pidfd, struct failure *failure) {
  if (setns(pidfd, CLONE_NEWNS | CLONE_NEWCGROUP) < 0 || chdir("/") < 0) return fail_errno(failure, "join container");
  return true;
}

static FILE *open_regular(const char *path) {
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  struct stat status;
  if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) return fdopen(fd, "r");
  if (fd >= 0) close(fd);
  return NULL;
}

static bool find_user(const Process *process, struct user *user, struct failure *failure) {
  char error[400];
  FILE *passwd = open_regular("/etc/passwd");
  FILE *group = open_regular("/etc/group");
  bool found = user_resolve(process->user ? process->user : "", process->additional_groups,
                            process->additional_groups_count, passwd, group, user, error, sizeof error);
  if (passwd) fclose(passwd);
  if (group) fclose(group);
  return found || fail(failure, Error_Code_INVALID, "%s", error);
}

static bool set_terminal(const struct child *child, uint32_t uid, struct failure *failure) {
  struct terminal terminal;
  if (!terminal_open(&terminal, child->process->rows, child->process->columns, failure)) return false;
  if (child->start && !terminal_be_console(&terminal, failure)) return false;
  send_report(&(struct report){.kind = REPORT_TERMINAL}, terminal.master);
  return terminal_take(&terminal, uid, failure);
}

static bool set_stdio(const struct child *child, uint32_t uid, struct failure *failure) {
  if (child->process->tty) return set_terminal(child, uid, failure);
  // So that /dev/stdout and its like can be opened again by whoever the process runs as.
  for (int fd = child->process->no_stdin ? 1 : 0; fd < 3; fd++) {
    if (fchown(fd, uid, (gid_t)-1) < 0) return fail_errno(failure, "own standard descriptors");
  }
  return true;
}

static bool enter_directory(const char *path, struct failure *failure) {
  if (!path || !*path) path = "/";
  if (path[0] != '/') return fail(failure, Error_Code_INVALID, "enter directory \"%s\": not an absolute path", path);
  int fd = root_path_make(path, true);
  if (fd < 0 || fchdir(fd) < 0) return fail_errno(failure, "enter directory \"%s\"", path);
  close(fd);
  return true;
}

// The environment with HOME filled in and the NULL that execve wants at the end.
static char **make_environment(const Process *process, const struct user *user) {
  char **environment = calloc((size_t)process->env_count + 2, sizeof *environment);
  static char home[sizeof user->home + 8];
  if (!environment) return NULL;
  size_t count = process->env_count;
  if (count > 0) memcpy(environment, process->env, count * sizeof *environment);
  snprintf(home, sizeof home, "HOME=%s", user->home);
  const char *given = environment_get(environment, count, "HOME");
  if (!given) environment[count] = home;
  for (size_t i = 0; i < count; i++) {
    if (strcmp(environment[i], "HOME=") == 0) environment[i] = home;
  }
  return environment;
}

static bool prepare(const struct child *child, struct user *user, struct failure *failure) {
  const Process *process = child->process;
  if (child->container_pidfd >= 0 && !join_container(child->container_pidfd, failure)) return false;
  if (!arrange_descriptors(child, failure)) return false;
  if (setsid() < 0) return fail_errno(failure, "create session");
  if (child->start && !container_root_enter(child->start, failure)) return false;
  umask(022);
  return find_user(process, user, failure) && set_stdio(child, user->uid, failure) &&
         enter_directory(process->cwd, failure) && (!child->start || container_root_seal(child->start, failure)) &&
         limits_set(process, failure) && privileges_drop(user, child->start || child->container_pidfd >= 0, failure);
}

static void explain(struct failure *failure, const char *command, bool searched) {
  int error = errno;
  Error_Code code = error == ENOENT ? Error_Code_COMMAND_NOT_FOUND : Error_Code_COMMAND_NOT_EXECUTABLE;
  if (searched && error == ENOENT) {
    fail(failure, code, "exec: \"%s\": executable file not found in $PATH", command);
  } else {
    fail(failure, code, "exec: \"%s\": %s", command, strerror(error));
  }
  failure->sys_errno = error;
}

void child_run(const struct child *child) {
  static struct failure failure;
  static struct user user;
  const Process *process = child->process;
  // A process of the container must not look into this one while it still has more rights.
  prctl(PR_SET_DUMPABLE, 0);
  reset_signals();
  if (!prepare(child, &user, &failure)) give_up(&failure);
  if (process->builtin != Process_Builtin_NONE) {
    send_report(&(struct report){.kind = REPORT_READY}, -1);
    close(REPORT_FD);
    _exit(builtin_run(process));
  }
  char **environment = make_environment(process, &user);
  char **arguments = calloc((size_t)process->args_count + 1, sizeof *arguments);
  if (!environment || !arguments) {
    fail_errno(&failure, "allocate arguments");
    give_up(&failure);
  }
  memcpy(arguments, process->args, process->args_count * sizeof *arguments);
  const char *search = environment_get(environment, process->env_count, "PATH");
  char path[PATH_MAX];
  if (!command_find(arguments[0], search ? search : default_search, path, sizeof path)) {
    explain(&failure, arguments[0], !strchr(arguments[0], '/'));
    give_up(&failure);
  }
  send_report(&(struct report){.kind = REPORT_READY}, -1);
  execve(path, arguments, environment);
  explain(&failure, arguments[0], false);
  give_up(&failure);
}
