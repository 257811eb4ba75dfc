#ifndef HYPERD_SHARE_H
#define HYPERD_SHARE_H

#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// What containers get to see of the host's directories, and the tmpfs volumes that they have in common.

// Mounts a virtio-fs device at PATH_SHARES/NAME. Answers the call, now or later.
void share_mount(struct call call, const MountShare *wanted);
// The kernel has announced something: devices that are waited for may be there.
void share_look(void);

// Sees to it that all that a new container wants to mount is there: shares are mounted, disks attached, its tmpfs volumes made.
bool share_prepare(const StartContainer *start, struct failure *failure);

// Unmounts all shares, for the machine's end.
void share_unmount_all(void);

#endif
