#include "container.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "container-root.h"
#include "disk.h"
#include "files.h"
#include "identity.h"
#include "job.h"
#include "log.h"
#include "loop.h"
#include "process.h"
#include "share.h"
#include "text.h"

enum { CONTAINERS_MAX = 256 };

static struct container *containers;
static size_t container_count;

static struct container *find(const char *id) {
  for (struct container *container = containers; container; container = container->next) {
    if (strcmp(container->id, id) == 0) return container;
  }
  return NULL;
}

bool container_is_any(void) { return container_count > 0; }

static bool check(const StartContainer *start, struct failure *failure) {
  const char *id = start->container_id ? start->container_id : "";
  if (!identity_configured()) {
    return fail(failure, Error_Code_PRECONDITION, "start container \"%s\": the machine is not configured", id);
  }
  if (!text_is_name(id)) return fail(failure, Error_Code_INVALID, "start container \"%s\": not a valid id", id);
  if (!start->has_process) return fail(failure, Error_Code_INVALID, "start container \"%s\": no process", id);
  if (find(id)) return fail(failure, Error_Code_EXISTS, "start container \"%s\": the id is taken", id);
  if (container_count == CONTAINERS_MAX) {
    return fail(failure, Error_Code_PRECONDITION, "start container \"%s\": there are %d already", id, CONTAINERS_MAX);
  }
  if (!text_is_name(start->rootfs_disk)) {
    return fail(failure, Error_Code_INVALID, "start container \"%s\": no rootfs disk", id);
  }
  return true;
}

static bool use_disks(struct container *container, struct failure *failure) {
  if (!disk_use(container->rootfs_disk, AttachDisk_Use_ROOTFS, failure)) return false;
  if (!*container->scratch_disk || disk_use(container->scratch_disk, AttachDisk_Use_SCRATCH, failure)) return true;
  disk_unuse(container->rootfs_disk);
  return false;
}

static struct container *add(const StartContainer *start, struct failure *failure) {
  const char *scratch = start->scratch_disk ? start->scratch_disk : "";
  if (*scratch && !text_is_name(scratch)) {
    fail(failure, Error_Code_INVALID, "start container \"%s\": scratch disk \"%s\" is no name", start->container_id, scratch);
    return NULL;
  }
  struct container *container = calloc(1, sizeof *container);
  if (!container) {
    fail_errno(failure, "start container \"%s\"", start->container_id);
    return NULL;
  }
  strcpy(container->id, start->container_id);
  strcpy(container->rootfs_disk, start->rootfs_disk);
  strcpy(container->scratch_disk, scratch);
  container->pidfd = -1;
  if (!use_disks(container, failure)) {
    free(container);
    return NULL;
  }
  container->next = containers;
  containers = container;
  container_count++;
  return container;
}

void container_forget(struct container *container) {
  struct container **place = &containers;
  while (*place != container) place = &(*place)->next;
  *place = container->next;
  container_count--;
  disk_unuse(container->rootfs_disk);
  if (*container->scratch_disk) disk_unuse(container->scratch_disk);
  process_leave_container(container);
  loop_free_later(container);
}

void container_start(struct call call, const StartContainer *start) {
  struct failure failure;
  struct container *container = check(start, &failure) && share_prepare(start, &failure) ? add(start, &failure) : NULL;
  if (container) {
    int cgroup = cgroup_create(container->id);
    bool started = cgroup >= 0 ? process_start(call, &start->process, container, start, cgroup, &failure)
                               : fail_errno(&failure, "create cgroup of \"%s\"", container->id);
    if (cgroup >= 0) close(cgroup);
    if (started) return;
    container_init_ended(container);
    container_forget(container);
  }
  answer_failure(call, &failure);
}

bool container_exec(struct call call, const StartProcess *start, struct failure *failure) {
  const char *id = start->container_id ? start->container_id : "";
  if (!*id) return process_start(call, &start->process, NULL, NULL, -1, failure);
  struct container *container = find(id);
  if (!container) return fail(failure, Error_Code_NOT_FOUND, "start process in container \"%s\": unknown", id);
  if (container->pidfd < 0 || !container->started) {
    return fail(failure, Error_Code_PRECONDITION, "start process in container \"%s\": it is not running", id);
  }
  int cgroup = cgroup_create(id);
  if (cgroup < 0) return fail_errno(failure, "open cgroup of \"%s\"", id);
  bool done = process_start(call, &start->process, container, NULL, cgroup, failure);
  close(cgroup);
  return done;
}

void container_init_ended(struct container *container) {
  if (container->pidfd >= 0) close(container->pidfd);
  container->pidfd = -1;
  if (!cgroup_remove(container->id)) log_line("remove cgroup of \"%s\": %s", container->id, strerror(errno));
}

bool container_out_of_memory(struct container *container, bool is_init, uint32_t signal) {
  uint64_t kills = cgroup_oom_kills(container->id);
  bool more = kills > container->oom_kills;
  container->oom_kills = kills;
  // The init's own end is told with whatever has happened in the container's life.
  return is_init ? kills > 0 : more && signal == SIGKILL;
}

struct removal {
  struct call call;
  struct container *container;
};

static int delete_upper(const void *argument) {
  const struct container *container = argument;
  char path[512];
  container_upper_path(container->scratch_disk, container->id, path, sizeof path);
  return delete_tree(path) ? 0 : errno;
}

static void removed(void *context, int error) {
  struct removal *removal = context;
  if (error == 0) {
    container_forget(removal->container);
    answer_done(removal->call);
  } else {
    struct failure failure;
    errno = error;
    fail_errno(&failure, "delete upper directory of container \"%s\"", removal->container->id);
    removal->container->removing = false;
    answer_failure(removal->call, &failure);
  }
  free(removal);
}

static bool start_removal(struct call call, const RemoveContainer *wanted, struct failure *failure) {
  const char *id = wanted->container_id ? wanted->container_id : "";
  struct container *container = find(id);
  if (!container) return fail(failure, Error_Code_NOT_FOUND, "remove container \"%s\": unknown", id);
  if (container->pidfd >= 0 || container->removing) {
    return fail(failure, Error_Code_PRECONDITION, "remove container \"%s\": %s", id,
                container->removing ? "under way already" : "its init has not exited");
  }
  if (!wanted->delete_upper) {
    container_forget(container);
    answer_done(call);
    return true;
  }
  struct removal *removal = malloc(sizeof *removal);
  if (removal) *removal = (struct removal){.call = call, .container = container};
  if (!removal || !job_start(delete_upper, container, removed, removal)) {
    fail_errno(failure, "remove container \"%s\"", id);
    free(removal);
    return false;
  }
  container->removing = true;
  return true;
}

void container_remove(struct call call, const RemoveContainer *wanted) {
  struct failure failure;
  if (!start_removal(call, wanted, &failure)) answer_failure(call, &failure);
}
