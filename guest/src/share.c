#include "share.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "disk.h"
#include "loop.h"
#include "paths.h"
#include "share-inodes.h"
#include "text.h"

enum { NAME_MAX_LENGTH = 35, TIMEOUT_MAX_MS = 600000, TIMEOUT_DEFAULT_MS = 10000, SHARES_MAX = 16 };

struct share {
  char name[NAME_MAX_LENGTH + 1];
  bool mounted;
  uint32_t files;
  struct call call; // until it is mounted: the one to answer
  struct timer timer;
  struct share *next;
};

static struct share *shares;
static size_t share_count;

static struct share *find(const char *name) {
  for (struct share *share = shares; share; share = share->next) {
    if (strcmp(share->name, name) == 0) return share;
  }
  return NULL;
}

static void forget(struct share *share) {
  struct share **place = &shares;
  while (*place != share) place = &(*place)->next;
  *place = share->next;
  share_count--;
  timer_disarm(&share->timer);
  loop_free_later(share);
}

static void path_of(const struct share *share, char *path, size_t size) {
  snprintf(path, size, PATH_SHARES "/%s", share->name);
}

// The kernel knows a device by its tag only when it is asked to mount it. That does not wait for the host.
static void try_mount(struct share *share) {
  char path[128];
  struct failure failure;
  path_of(share, path, sizeof path);
  mkdir(path, 0755);
  if (mount(share->name, path, "virtiofs", MS_NODEV, NULL) == 0) {
    timer_disarm(&share->timer);
    share->mounted = true;
    share_inodes_bound(share->files);
    answer_done(share->call);
    return;
  }
  if (errno == EINVAL) return; // not there yet
  fail_errno(&failure, "mount share \"%s\"", share->name);
  rmdir(path);
  answer_failure(share->call, &failure);
  forget(share);
}

void share_look(void) {
  for (struct share *share = shares, *next; share; share = next) {
    next = share->next;
    if (!share->mounted) try_mount(share);
  }
}

static void time_out(struct timer *timer) {
  struct share *share = CONTAINER_OF(timer, struct share, timer);
  struct failure failure;
  char path[128];
  fail(&failure, Error_Code_TIMEOUT, "mount share \"%s\": no device with this tag in time", share->name);
  path_of(share, path, sizeof path);
  rmdir(path);
  answer_failure(share->call, &failure);
  forget(share);
}

static bool check(const MountShare *wanted, struct failure *failure) {
  const char *name = wanted->name ? wanted->name : "";
  if (!text_is_name(name) || strlen(name) > NAME_MAX_LENGTH || wanted->timeout_ms > TIMEOUT_MAX_MS) {
    return fail(failure, Error_Code_INVALID, "mount share \"%s\": want a name of at most %d characters, timeout at most %d ms",
                name, NAME_MAX_LENGTH, TIMEOUT_MAX_MS);
  }
  if (find(name)) return fail(failure, Error_Code_EXISTS, "mount share \"%s\": it is mounted, or waited for", name);
  if (share_count == SHARES_MAX) return fail(failure, Error_Code_PRECONDITION, "mount share \"%s\": there are %d", name, SHARES_MAX);
  return true;
}

void share_mount(struct call call, const MountShare *wanted) {
  struct failure failure;
  struct share *share = NULL;
  if (check(wanted, &failure)) {
    share = calloc(1, sizeof *share);
    if (!share) fail_errno(&failure, "mount share");
  }
  if (!share) {
    answer_failure(call, &failure);
    return;
  }
  *share = (struct share){.files = wanted->files, .call = call, .timer.fire = time_out, .next = shares};
  strcpy(share->name, wanted->name);
  shares = share;
  share_count++;
  timer_arm(&share->timer, wanted->timeout_ms ? wanted->timeout_ms : TIMEOUT_DEFAULT_MS);
  try_mount(share);
}

static bool make_tmpfs(const Mount *wanted, struct failure *failure) {
  char path[256], options[64];
  snprintf(path, sizeof path, PATH_TMPFS "/%s", wanted->name);
  if (mkdir(path, 0755) < 0) return errno == EEXIST || fail_errno(failure, "create tmpfs \"%s\"", wanted->name);
  snprintf(options, sizeof options, "mode=%o,size=%llu", wanted->mode & 07777, (unsigned long long)wanted->size);
  if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0) return true;
  fail_errno(failure, "create tmpfs \"%s\"", wanted->name);
  rmdir(path);
  return false;
}

static bool has_disk(const char *name, struct failure *failure) {
  if (!disk_use(name, AttachDisk_Use_VOLUME, failure)) return false;
  disk_unuse(name);
  return true;
}

static bool prepare(const StartContainer *start, const Mount *mount, struct failure *failure) {
  const char *path = mount->path ? mount->path : "", *name = mount->name ? mount->name : "";
  if (path[0] != '/' || (*name && !text_is_name(name)) || !text_is_path_of_names(mount->subpath ? mount->subpath : "")) {
    return fail(failure, Error_Code_INVALID, "mount volume \"%s\" at \"%s\": want an absolute path, plain names below it", name, path);
  }
  struct share *share = find(name);
  switch (mount->source) {
  case Mount_Source_TMPFS: return !*name || make_tmpfs(mount, failure);
  case Mount_Source_DISK: return has_disk(name, failure);
  case Mount_Source_SHARE:
    if (share && share->mounted) return true;
    return fail(failure, Error_Code_NOT_FOUND, "mount volume at \"%s\": no share \"%s\"", path, name);
  case Mount_Source_SCRATCH:
    if (start->scratch_disk && *start->scratch_disk && mount->subpath && *mount->subpath) return true;
    return fail(failure, Error_Code_INVALID, "mount volume at \"%s\": no scratch disk, or no path in it", path);
  default: return fail(failure, Error_Code_INVALID, "mount volume at \"%s\": unknown kind of source", path);
  }
}

bool share_prepare(const StartContainer *start, struct failure *failure) {
  for (pb_size_t i = 0; i < start->mounts_count; i++) {
    if (!prepare(start, &start->mounts[i], failure)) return false;
  }
  return true;
}

void share_unmount_all(void) {
  for (struct share *share = shares; share; share = share->next) {
    char path[128];
    path_of(share, path, sizeof path);
    if (share->mounted && umount2(path, 0) < 0) umount2(path, MNT_DETACH);
  }
}
