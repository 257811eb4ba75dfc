#include "injected.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"
#include "paths.h"
#include "root-path.h"
#include "volumes.h"

static int clone_mount(const char *path) {
  return (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
}

static bool add(struct injected *injected, const char *source, const char *path, struct failure *failure) {
  int mount = clone_mount(source);
  if (mount < 0) return fail_errno(failure, "inject file \"%s\"", path);
  injected->files[injected->count].path = path;
  injected->files[injected->count++].mount = mount;
  return true;
}

static bool add_file(struct injected *injected, const InjectedFile *file, struct failure *failure) {
  const char *path = file->path ? file->path : "";
  if (path[0] != '/' || path[strlen(path) - 1] == '/') {
    return fail(failure, Error_Code_INVALID, "inject file \"%s\": not an absolute path of a file", path);
  }
  char source[64];
  snprintf(source, sizeof source, PATH_FILES "/%zu", injected->count);
  const void *content = file->content ? file->content->bytes : NULL;
  size_t size = file->content ? file->content->size : 0;
  if (!file_create(source, content, size, 0600) || chown(source, file->uid, file->gid) < 0 ||
      chmod(source, file->mode & 07777) < 0) {
    return fail_errno(failure, "inject file \"%s\"", path);
  }
  return add(injected, source, path, failure);
}

static bool wants(const StartContainer *start, const char *path) {
  for (pb_size_t i = 0; i < start->files_count; i++) {
    if (start->files[i].path && strcmp(start->files[i].path, path) == 0) return true;
  }
  return false;
}

bool injected_prepare(struct injected *injected, const StartContainer *start, struct failure *failure) {
  if (start->files_count > INJECTED_MAX - 2) {
    return fail(failure, Error_Code_INVALID, "inject files: %u, allowed are %d", start->files_count, INJECTED_MAX - 2);
  }
  if (mount("tmpfs", PATH_FILES, "tmpfs", MS_NOSUID | MS_NODEV, "mode=0755") < 0) {
    return fail_errno(failure, "mount \"%s\"", PATH_FILES);
  }
  for (pb_size_t i = 0; i < start->files_count; i++) {
    if (!add_file(injected, &start->files[i], failure)) return false;
  }
  // Machines that are clones of one template have their boot id in common otherwise.
  if (!add(injected, PATH_BOOT_ID, "/proc/sys/kernel/random/boot_id", failure)) return false;
  static const char machine_id[] = "/etc/machine-id";
  return wants(start, machine_id) || add(injected, PATH_MACHINE_ID, machine_id, failure);
}

static bool attach(int mount, const char *path, bool read_only, struct failure *failure) {
  int target = root_path_make(path, false);
  if (target < 0) return fail_errno(failure, "inject file \"%s\"", path);
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  bool done = (!read_only || syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &attributes, sizeof attributes) == 0) &&
              syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0;
  if (!done) fail_errno(failure, "inject file \"%s\"", path);
  close(target);
  return done;
}

bool injected_attach(struct injected *injected, const StartContainer *start, struct failure *failure) {
  bool done = true;
  for (size_t i = 0; i < injected->count; i++) {
    const char *path = injected->files[i].path;
    bool own = strcmp(path, "/etc/machine-id") == 0 && access("/etc", F_OK) < 0; // an image without /etc stays so
    if (done && !own && !volumes_cover(start, path)) done = attach(injected->files[i].mount, path, start->read_only_rootfs, failure);
    close(injected->files[i].mount);
  }
  return done;
}
