#ifndef HYPERD_DISK_H
#define HYPERD_DISK_H

#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// SCSI disks of the host: found, mounted at PATH_DISKS/NAME, and let go of.

// Both answer the call, now or later.
void disk_attach(struct call call, const AttachDisk *wanted);
void disk_detach(struct call call, const char *name);
// The kernel has announced something: disks that are waited for may be there.
void disk_look(void);

// Marks a mounted disk as used (by a container), which keeps it from being detached.
bool disk_use(const char *name, AttachDisk_Use use, struct failure *failure);
void disk_unuse(const char *name);

// What the scratch disks hold; their names are the disks' own.
pb_size_t disk_usage(FileSystem *file_systems, pb_size_t most);

// Unmounts all that is mounted, for the machine's end.
void disk_unmount_all(void);

#endif
