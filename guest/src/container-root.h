#ifndef HYPERD_CONTAINER_ROOT_H
#define HYPERD_CONTAINER_ROOT_H

#include "agent.pb.h"
#include "answer.h"

// Builds a container's root in the calling process, which has its own mount and PID namespaces already and is the
// container's init. All mounts are in that namespace: they end with the container, and with a failure here.
// Afterwards the process is in "/" of the container.
bool container_root_enter(const StartContainer *start, struct failure *failure);
// The last step, behind which nothing can be created in a read-only root.
bool container_root_seal(const StartContainer *start, struct failure *failure);

// Where the upper and work directories of a container are. `scratch_disk` may be empty.
void container_upper_path(const char *scratch_disk, const char *container_id, char *path, size_t size);

// Where a layer is: a ROOTFS disk, "DISK", or what a container has changed, "SCRATCH/ID". False: it is neither.
bool layer_path(const char *layer, char *path, size_t size);

#endif
