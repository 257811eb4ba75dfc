#include "binds.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container-root.h"
#include "files.h"
#include "paths.h"
#include "root-path.h"
#include "text.h"

static bool make_source(int disk, const char *path, const Bind *bind) {
  if (mkdirat(disk, path, 0700) < 0) return errno == EEXIST;
  return fchownat(disk, path, bind->uid, bind->gid, 0) == 0 && fchmodat(disk, path, bind->mode & 07777, 0) == 0;
}

// "DISK/PATH", links followed inside the disk.
static int open_source(const Bind *bind, struct failure *failure) {
  char disk[256], root[512];
  const char *source = bind->source, *slash = strchr(source, '/');
  size_t length = slash ? (size_t)(slash - source) : strlen(source);
  snprintf(disk, sizeof disk, "%.*s", (int)length, source);
  if (length >= sizeof disk || !text_is_name(disk)) {
    fail(failure, Error_Code_INVALID, "mount \"%s\": no disk", source);
    return -1;
  }
  snprintf(root, sizeof root, PATH_DISKS "/%s", disk);
  int fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  const char *path = slash ? slash + 1 : "";
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
  int found = -1;
  if (fd >= 0 && (!bind->create || !*path || make_source(fd, path, bind))) {
    found = (int)syscall(SYS_openat2, fd, *path ? path : ".", &how, sizeof how);
  }
  if (found < 0) fail_errno(failure, "mount \"%s\"", source);
  if (fd >= 0) close(fd);
  return found;
}

// A writable directory over the source, which nobody keeps.
static int mount_discarding(const StartContainer *start, size_t index, int source, struct failure *failure) {
  char base[512], at[64], path[PATH_MAX], options[2 * PATH_MAX];
  container_upper_path(start->scratch_disk, start->container_id, base, sizeof base);
  snprintf(at, sizeof at, PATH_FILES "/bind-%zu", index);
  snprintf(path, sizeof path, "%s/bind-%zu/upper", base, index);
  bool made = make_directories(path, 0755);
  snprintf(path, sizeof path, "%s/bind-%zu/work", base, index);
  made = made && make_directories(path, 0755) && make_directories(at, 0755);
  snprintf(options, sizeof options, "lowerdir=/proc/self/fd/%d,upperdir=%s/bind-%zu/upper,workdir=%s/bind-%zu/work", source, base,
           index, base, index);
  if (!made || mount("overlay", at, "overlay", 0, options) < 0) {
    fail_errno(failure, "mount \"%s\" to be written to", start->binds[index].source);
    return -1;
  }
  return (int)syscall(SYS_open_tree, AT_FDCWD, at, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

bool binds_prepare(struct binds *binds, const StartContainer *start, struct failure *failure) {
  if (start->binds_count > BINDS_MAX) {
    return fail(failure, Error_Code_INVALID, "mount: %u, allowed are %d", start->binds_count, BINDS_MAX);
  }
  for (pb_size_t i = 0; i < start->binds_count; i++) {
    const Bind *bind = &start->binds[i];
    binds->mounts[i] = -1;
    if (!bind->target || bind->target[0] != '/') return fail(failure, Error_Code_INVALID, "mount: a target is not absolute");
    if (!bind->source || !*bind->source) continue;
    int source = open_source(bind, failure);
    if (source < 0) return false;
    binds->mounts[i] = bind->discard ? mount_discarding(start, i, source, failure)
                                     : (int)syscall(SYS_open_tree, source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
    close(source);
    if (binds->mounts[i] < 0) return bind->discard ? false : fail_errno(failure, "mount \"%s\"", bind->source);
  }
  return true;
}

static bool attach(int mounted, const Bind *bind, struct failure *failure) {
  struct stat status;
  if (fstat(mounted, &status) < 0) return fail_errno(failure, "mount \"%s\"", bind->target);
  int target = root_path_make(bind->target, S_ISDIR(status.st_mode));
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  bool done = target >= 0 &&
              (!bind->read_only || syscall(SYS_mount_setattr, mounted, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) &&
              syscall(SYS_move_mount, mounted, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
  if (!done) fail_errno(failure, "mount \"%s\"", bind->target);
  if (target >= 0) close(target);
  return done;
}

static bool mount_tmpfs(const Bind *bind, struct failure *failure) {
  char options[128], place[64];
  int target = root_path_make(bind->target, true);
  if (target < 0) return fail_errno(failure, "create \"%s\"", bind->target);
  int used = snprintf(options, sizeof options, "mode=%o,uid=%u,gid=%u", bind->mode & 07777, bind->uid, bind->gid);
  if (bind->size > 0) snprintf(options + used, sizeof options - (size_t)used, ",size=%llu", (unsigned long long)bind->size);
  snprintf(place, sizeof place, "/proc/self/fd/%d", target);
  bool done = mount("tmpfs", place, "tmpfs", MS_NOSUID | MS_NODEV, options) == 0;
  if (!done) fail_errno(failure, "mount tmpfs at \"%s\"", bind->target);
  close(target);
  return done;
}

bool binds_attach(struct binds *binds, const StartContainer *start, struct failure *failure) {
  for (pb_size_t i = 0; i < start->binds_count; i++) {
    const Bind *bind = &start->binds[i];
    if (binds->mounts[i] < 0) {
      if (!mount_tmpfs(bind, failure)) return false;
      continue;
    }
    bool done = attach(binds->mounts[i], bind, failure);
    close(binds->mounts[i]);
    if (!done) return false;
  }
  return true;
}
