#ifndef HYPERD_BINDS_H
#define HYPERD_BINDS_H

#include "agent.pb.h"
#include "answer.h"

// Files and directories of disks, and tmpfs, that a container has mounted in it.

enum { BINDS_MAX = 64 };

struct binds {
  int mounts[BINDS_MAX]; // -1: a tmpfs
};

// Before the root is changed: takes hold of the sources.
bool binds_prepare(struct binds *binds, const StartContainer *start, struct failure *failure);
// In the new root: mounts them at their targets.
bool binds_attach(struct binds *binds, const StartContainer *start, struct failure *failure);

#endif
