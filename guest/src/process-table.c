#include "process-table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "paths.h"
#include "text.h"
#include "user.h"

enum { ROWS_MAX = 128, PIDS_MAX = 32768, COMMAND_MAX = 256, NAME_MAX_BYTES = 33, PASSWD_MAX = 65536 };

struct row {
  char user[NAME_MAX_BYTES], state[2], command[COMMAND_MAX];
};

static bool read_of(pid_t pid, const char *name, char *text, size_t size) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
  return file_read(path, text, size);
}

static int compare(const void *a, const void *b) {
  pid_t left = *(const pid_t *)a, right = *(const pid_t *)b;
  return (left > right) - (left < right);
}

// All processes of the cgroup, in order.
static size_t read_pids(FILE *file, pid_t *pids) {
  size_t count = 0;
  while (count < PIDS_MAX && fscanf(file, "%d", &pids[count]) == 1) count++;
  qsort(pids, count, sizeof *pids, compare);
  return count;
}

// The container's /etc/passwd, whatever links it has made of it; NULL: none that could be read without trouble.
static FILE *open_passwd(pid_t pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/root", pid);
  int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0) return NULL;
  struct open_how how = {.flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int fd = (int)syscall(SYS_openat2, root, "etc/passwd", &how, sizeof how);
  close(root);
  struct stat status;
  if (fd >= 0 && fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size <= PASSWD_MAX) {
    FILE *file = fdopen(fd, "r");
    if (file) return file;
  }
  if (fd >= 0) close(fd);
  return NULL;
}

static void copy_command(pid_t pid, const struct process_stat *stat, char command[COMMAND_MAX]) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/cmdline", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t got = fd < 0 ? -1 : read(fd, command, COMMAND_MAX - 1);
  if (fd >= 0) close(fd);
  while (got > 0 && command[got - 1] == '\0') got--;
  if (got <= 0) {
    snprintf(command, COMMAND_MAX, "[%.*s]", stat->name_length, stat->name);
    text_make_utf8(command);
    return;
  }
  for (ssize_t i = 0; i < got; i++) {
    if (command[i] == '\0') command[i] = ' ';
  }
  command[got] = '\0';
  text_make_utf8(command);
}

static uint32_t inner_pid(pid_t pid) {
  char status[2048];
  return read_of(pid, "status", status, sizeof status) ? process_inner_pid(status) : 0;
}

// False: it has just ended.
static bool read_process(pid_t pid, uint64_t boot_ns, struct row *row, ContainerProcess *process) {
  static uint64_t tick_ns;
  if (tick_ns == 0) tick_ns = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);
  char text[1024], status[2048];
  struct process_stat stat;
  if (!read_of(pid, "stat", text, sizeof text) || !process_stat_parse(text, &stat)) return false;
  if (!read_of(pid, "status", status, sizeof status)) return false;
  const char *uid = strstr(status, "\nUid:");
  copy_command(pid, &stat, row->command);
  row->state[0] = stat.state;
  uint64_t started_ns = stat.start_ticks * tick_ns;
  *process = (ContainerProcess){
      .agent_pid = (uint32_t)pid,
      .pid = process_inner_pid(status),
      .parent = inner_pid((pid_t)stat.parent),
      .uid = uid ? (uint32_t)strtoul(uid + strlen("\nUid:"), NULL, 10) : 0,
      .user = row->user,
      .state = row->state,
      .cpu_ns = stat.cpu_ticks * tick_ns,
      .age_ns = boot_ns > started_ns ? boot_ns - started_ns : 0,
      .memory = stat.pages * (uint64_t)sysconf(_SC_PAGESIZE),
      .command = row->command,
  };
  return true;
}

// Most of them run as the same user: its name is looked up once.
static void name_users(FILE *passwd, const ContainerProcesses *table, struct row *rows) {
  for (pb_size_t i = 0; i < table->processes_count; i++) {
    char *name = rows[i].user;
    *name = '\0';
    if (i > 0 && table->processes[i].uid == table->processes[i - 1].uid) strcpy(name, rows[i - 1].user);
    else if (passwd && user_name(passwd, table->processes[i].uid, name, sizeof rows[i].user)) text_make_utf8(name);
  }
}

bool process_table(const ListContainerProcesses *wanted, ContainerProcesses *table, struct failure *failure) {
  static pid_t pids[PIDS_MAX];
  static struct row rows[ROWS_MAX];
  static ContainerProcess processes[ROWS_MAX];
  const char *id = wanted->container_id ? wanted->container_id : "";
  char path[PATH_MAX];
  snprintf(path, sizeof path, PATH_CGROUPS "/%s/cgroup.procs", id);
  FILE *file = text_is_name(id) ? fopen(path, "re") : NULL;
  if (!file) return fail(failure, Error_Code_NOT_FOUND, "list processes of container \"%.128s\": it does not run", id);
  size_t count = read_pids(file, pids);
  fclose(file);
  struct timespec now;
  clock_gettime(CLOCK_BOOTTIME, &now);
  uint64_t boot_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
  *table = (ContainerProcesses){.processes = processes};
  for (size_t i = 0; i < count; i++) {
    if (pids[i] <= 0 || (uint32_t)pids[i] <= wanted->after) continue;
    if (table->processes_count == ROWS_MAX) {
      table->more = true;
      break;
    }
    pb_size_t at = table->processes_count;
    if (read_process(pids[i], boot_ns, &rows[at], &processes[at])) table->processes_count++;
  }
  FILE *passwd = count > 0 ? open_passwd(pids[0]) : NULL;
  name_users(passwd, table, rows);
  if (passwd) fclose(passwd);
  return true;
}
