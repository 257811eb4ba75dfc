#include "volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fill.h"
#include "paths.h"
#include "root-path.h"

#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#define MQUEUE_MAGIC 0x19800202

static const char *text(const char *field) { return field ? field : ""; }

static void base_of(const StartContainer *start, const Mount *mount, char *path, size_t size) {
  switch (mount->source) {
  case Mount_Source_SHARE: snprintf(path, size, PATH_SHARES "/%s", mount->name); break;
  case Mount_Source_TMPFS: snprintf(path, size, PATH_TMPFS "/%s", mount->name); break;
  case Mount_Source_SCRATCH: snprintf(path, size, PATH_DISKS "/%s", start->scratch_disk); break;
  default: snprintf(path, size, PATH_DISKS "/%s", mount->name);
  }
}

// Others can write to shares and disks: no link in one leads to what the agent has. The directory is walked into, which mounts what
// the host has mounted there.
static int open_directory_below(int base, const char *path, size_t length) {
  struct open_how how = {.flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS};
  char walked[PATH_MAX];
  snprintf(walked, sizeof walked, "%.*s/.", (int)length, path);
  return (int)syscall(SYS_openat2, base, walked, &how, sizeof how);
}

// Opens the directory that `path` is in, made where `create`; `*name` is the last part. Closes `base`.
static int open_parent(int base, const char *path, const char **name, bool create) {
  int fd = base;
  for (const char *slash; fd >= 0 && (slash = strchr(path, '/')); path = slash + 1) {
    char part[NAME_MAX + 1];
    snprintf(part, sizeof part, "%.*s", (int)(slash - path), path);
    bool made = !create || mkdirat(fd, part, 0755) == 0 || errno == EEXIST;
    int next = made ? open_directory_below(fd, part, strlen(part)) : -1, error = errno;
    close(fd);
    errno = error;
    fd = next;
  }
  *name = *path ? path : ".";
  return fd;
}

static bool open_source(struct volume *volume, const StartContainer *start, struct failure *failure) {
  const Mount *mount = volume->mount;
  char path[512];
  base_of(start, mount, path, sizeof path);
  bool create = mount->source == Mount_Source_SCRATCH;
  int base = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
  volume->parent = base < 0 ? -1 : open_parent(base, text(mount->subpath), &volume->name, create);
  if (volume->parent < 0) return fail_errno(failure, "open volume for \"%s\"", mount->path);
  if (create && mkdirat(volume->parent, volume->name, mount->mode & 07777) < 0 && errno != EEXIST) {
    return fail_errno(failure, "create volume for \"%s\"", mount->path);
  }
  unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE | AT_SYMLINK_NOFOLLOW;
  volume->tree = (int)syscall(SYS_open_tree, volume->parent, volume->name, flags);
  struct stat status;
  if (volume->tree < 0 || fstat(volume->tree, &status) < 0) return fail_errno(failure, "open volume for \"%s\"", mount->path);
  volume->is_directory = S_ISDIR(status.st_mode);
  if (volume->is_directory || S_ISREG(status.st_mode)) return true;
  return fail(failure, Error_Code_INVALID, "open volume for \"%s\": it is neither a directory nor a file", mount->path);
}

static bool fail_fill(const struct volume *volume, const struct tar_error *error, struct failure *failure) {
  return fail(failure, Error_Code_SYSTEM, "fill volume for \"%s\": %s", volume->mount->path, error->text);
}

// Keeps the parent open where there is something to fill.
static bool begin_fill(struct volume *volume, struct failure *failure) {
  struct tar_error error = {.text = ""};
  bool wanted = volume->mount->fill && volume->is_directory && fill_begin(volume->parent, volume->name, &error);
  if (*error.text) return fail_fill(volume, &error, failure);
  if (wanted) return true;
  close(volume->parent);
  volume->parent = -1;
  return true;
}

bool volumes_prepare(struct volumes *volumes, const StartContainer *start, struct failure *failure) {
  if (start->mounts_count > VOLUMES_MAX) {
    return fail(failure, Error_Code_INVALID, "mount volumes: %u, allowed are %d", start->mounts_count, VOLUMES_MAX);
  }
  for (pb_size_t i = 0; i < start->mounts_count; i++) {
    struct volume *volume = &volumes->list[volumes->count++];
    *volume = (struct volume){.mount = &start->mounts[i], .tree = -1, .parent = -1, .is_directory = true};
    if (volume->mount->source == Mount_Source_TMPFS && !*text(volume->mount->name)) continue;
    if (!open_source(volume, start, failure) || !begin_fill(volume, failure)) return false;
  }
  return true;
}

static bool is_same(const struct stat *status, const char *path) {
  struct stat other;
  return stat(path, &other) == 0 && other.st_dev == status->st_dev && other.st_ino == status->st_ino;
}

// A link of the image may lead to what makes the container one.
static bool may_cover(int target, const char *path, struct failure *failure) {
  static const unsigned long kernel[] = {PROC_SUPER_MAGIC, SYSFS_MAGIC, CGROUP2_SUPER_MAGIC, DEVPTS_SUPER_MAGIC, MQUEUE_MAGIC};
  struct statfs system;
  struct stat status;
  if (fstatfs(target, &system) < 0 || fstat(target, &status) < 0) return fail_errno(failure, "mount volume at \"%s\"", path);
  bool allowed = !is_same(&status, "/") && !is_same(&status, "/dev");
  for (size_t i = 0; i < sizeof kernel / sizeof *kernel; i++) allowed = allowed && (unsigned long)system.f_type != kernel[i];
  return allowed || fail(failure, Error_Code_INVALID, "mount volume at \"%s\": that is the container's root, or the kernel's", path);
}

static bool fill(struct volume *volume, bool existed, struct failure *failure) {
  struct tar_error error = {.text = ""};
  char from[PATH_MAX];
  struct stat status;
  // A link is followed, as the mount does.
  bool has_content = existed && realpath(volume->mount->path, from) && stat(from, &status) == 0 && S_ISDIR(status.st_mode);
  if (has_content && !fill_copy(from, volume->tree, &error)) return fail_fill(volume, &error, failure);
  if (!fill_end(volume->parent, volume->name, &error)) return fail_fill(volume, &error, failure);
  close(volume->parent);
  return true;
}

static bool mount_tmpfs(const Mount *mount_, int target, struct failure *failure) {
  char options[64], path[64];
  snprintf(options, sizeof options, "mode=%o,size=%llu", mount_->mode & 07777, (unsigned long long)mount_->size);
  snprintf(path, sizeof path, "/proc/self/fd/%d", target);
  unsigned long flags = MS_NOSUID | MS_NODEV | (mount_->read_only ? MS_RDONLY : 0);
  return mount("tmpfs", path, "tmpfs", flags, options) == 0 || fail_errno(failure, "mount tmpfs at \"%s\"", mount_->path);
}

static bool move_to(struct volume *volume, int target, struct failure *failure) {
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_NODEV | (volume->mount->read_only ? MOUNT_ATTR_RDONLY : 0)};
  bool done = syscall(SYS_mount_setattr, volume->tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) == 0 &&
              syscall(SYS_move_mount, volume->tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
  if (!done) fail_errno(failure, "mount volume at \"%s\"", volume->mount->path);
  close(volume->tree);
  return done;
}

static bool attach(struct volume *volume, struct failure *failure) {
  const char *path = volume->mount->path;
  bool existed = access(path, F_OK) == 0;
  int target = root_path_make(path, volume->is_directory);
  if (target < 0) return fail_errno(failure, "create \"%s\" to mount a volume", path);
  bool done = may_cover(target, path, failure) && (volume->parent < 0 || fill(volume, existed, failure));
  if (done) done = volume->tree >= 0 ? move_to(volume, target, failure) : mount_tmpfs(volume->mount, target, failure);
  close(target);
  return done;
}

bool volumes_attach(struct volumes *volumes, struct failure *failure) {
  for (size_t i = 0; i < volumes->count; i++) {
    if (!attach(&volumes->list[i], failure)) return false;
  }
  return true;
}

bool volumes_cover(const StartContainer *start, const char *path) {
  for (pb_size_t i = 0; i < start->mounts_count; i++) {
    const char *volume = text(start->mounts[i].path);
    size_t length = strlen(volume);
    if (strncmp(path, volume, length) == 0 && (path[length] == '\0' || path[length] == '/')) return true;
  }
  return false;
}
