#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "files.h"
#include "log.h"
#include "paths.h"

enum { RESERVED_TASKS = 256 }; // kernel threads, the agent and its helpers

static void enable_controllers(const char *directory) {
  static const char *const controllers[] = {"+memory", "+pids", "+cpu", "+io"};
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/cgroup.subtree_control", directory);
  // One at a time: a kernel without one of them still gives the others.
  for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++) {
    if (!file_write(path, controllers[i])) log_line("enable controller \"%s\": %s", controllers[i] + 1, strerror(errno));
  }
}

static uint64_t read_number(const char *path, uint64_t otherwise) {
  char text[32];
  return file_read(path, text, sizeof text) ? strtoull(text, NULL, 10) : otherwise;
}

// However many processes the containers make, the agent can still fork.
static void limit_processes(void) {
  uint64_t threads = read_number("/proc/sys/kernel/threads-max", 1024), pids = read_number("/proc/sys/kernel/pid_max", 32768);
  uint64_t most = threads < pids ? threads : pids;
  char text[32];
  snprintf(text, sizeof text, "%llu", (unsigned long long)(most > 2 * RESERVED_TASKS ? most - RESERVED_TASKS : most / 2));
  if (!file_write(PATH_CGROUPS "/pids.max", text)) log_line("limit processes of containers: %s", strerror(errno));
}

void cgroup_init(void) {
  enable_controllers("/sys/fs/cgroup");
  if (mkdir(PATH_CGROUPS, 0755) < 0) fatal("create \"%s\": %s", PATH_CGROUPS, strerror(errno));
  enable_controllers(PATH_CGROUPS);
  limit_processes();
}

static void path_of(const char *container_id, const char *file, char path[PATH_MAX]) {
  snprintf(path, PATH_MAX, PATH_CGROUPS "/%s%s%s", container_id, *file ? "/" : "", file);
}

int cgroup_create(const char *container_id) {
  char path[PATH_MAX];
  path_of(container_id, "", path);
  if (mkdir(path, 0755) < 0 && errno != EEXIST) return -1;
  return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool cgroup_remove(const char *container_id) {
  char path[PATH_MAX], kill[PATH_MAX];
  path_of(container_id, "", path);
  path_of(container_id, "cgroup.kill", kill);
  for (int attempt = 0; rmdir(path) < 0; attempt++) {
    if (errno == ENOENT) return true;
    if (errno != EBUSY || attempt == 20) return false;
    file_write(kill, "1");
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return true;
}

bool cgroup_freeze(const char *container_id, bool freeze) {
  char path[PATH_MAX], text[256];
  path_of(container_id, "cgroup.freeze", path);
  if (!file_write(path, freeze ? "1" : "0")) return false;
  path_of(container_id, "cgroup.events", path);
  for (int attempt = 0; freeze && attempt < 1000; attempt++) {
    if (file_read(path, text, sizeof text) && strstr(text, "frozen 1")) return true;
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  return !freeze;
}

uint64_t cgroup_oom_kills(const char *container_id) {
  char path[PATH_MAX], text[512];
  path_of(container_id, "memory.events", path);
  if (!file_read(path, text, sizeof text)) return 0;
  const char *found = strstr(text, "oom_kill ");
  return found ? strtoull(found + strlen("oom_kill "), NULL, 10) : 0;
}
