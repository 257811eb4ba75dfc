#ifndef HYPERD_VOLUME_DISK_H
#define HYPERD_VOLUME_DISK_H

#include <stdbool.h>

// Mounts the disk that somebody brought at `path`, as `file_system`, or where that is empty, as whatever the kernel takes it
// for: ext4 first. False: errno is set; EINVAL means that no file system was recognized.
bool volume_disk_mount(const char *node, const char *path, const char *file_system, bool read_only);

// The next type of /proc/filesystems that lives on a disk, from `*text`, which is moved behind it. False: no more.
bool volume_disk_next_type(const char **text, char *type, unsigned long size);

#endif
