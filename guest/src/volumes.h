#ifndef HYPERD_VOLUMES_H
#define HYPERD_VOLUMES_H

#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// The volumes of a container. Their sources are detached mounts until the container's root is in place.

enum { VOLUMES_MAX = 128 };

struct volumes {
  size_t count;
  struct volume {
    const Mount *mount;
    int tree;   // the detached mount; -1: a tmpfs that is made in place
    int parent; // directory of the source, where it is to be filled; else -1
    const char *name; // in `parent`
    bool is_directory;
  } list[VOLUMES_MAX];
};

// In the container's mount namespace, before it leaves the agent's root.
bool volumes_prepare(struct volumes *volumes, const StartContainer *start, struct failure *failure);
// After it has: every symbolic link is the container's own then.
bool volumes_attach(struct volumes *volumes, struct failure *failure);

// Whether a volume is mounted at `path` or above it.
bool volumes_cover(const StartContainer *start, const char *path);

#endif
