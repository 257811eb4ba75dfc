#include "volume-disk.h"

#include <errno.h>
#include <string.h>
#include <sys/mount.h>

#include "files.h"

bool volume_disk_next_type(const char **text, char *type, unsigned long size) {
  while (**text) {
    const char *line = *text;
    size_t length = strcspn(line, "\n");
    *text += length + (line[length] == '\n');
    // "nodev\tTYPE" lives on no disk, and what fuse serves would need a program.
    if (line[0] != '\t' || length < 2 || length > size || strncmp(line + 1, "fuse", 4) == 0) continue;
    memcpy(type, line + 1, length - 1);
    type[length - 1] = '\0';
    return true;
  }
  return false;
}

static bool mount_as(const char *node, const char *path, const char *type, bool read_only) {
  return mount(node, path, type, MS_NODEV | (read_only ? MS_RDONLY : 0), NULL) == 0;
}

bool volume_disk_mount(const char *node, const char *path, const char *file_system, bool read_only) {
  static char types[4096];
  char type[32];
  if (*file_system) return mount_as(node, path, file_system, read_only);
  if (mount_as(node, path, "ext4", read_only)) return true;
  if (errno != EINVAL || !file_read("/proc/filesystems", types, sizeof types)) return false;
  const char *rest = types;
  while (volume_disk_next_type(&rest, type, sizeof type)) {
    if (strcmp(type, "ext4") != 0 && mount_as(node, path, type, read_only)) return true;
  }
  errno = EINVAL;
  return false;
}
