#ifndef HYPERD_INJECTED_H
#define HYPERD_INJECTED_H

#include "agent.pb.h"
#include "answer.h"

// Files that are bind mounted over a container's rootfs. They live on a tmpfs of their own, as detached mounts until the
// container's root is in place.

enum { INJECTED_MAX = 64 };

struct injected {
  size_t count;
  struct {
    const char *path;
    int mount;
  } files[INJECTED_MAX];
};

// In the container's mount namespace, before it leaves the agent's root.
bool injected_prepare(struct injected *injected, const StartContainer *start, struct failure *failure);
// After it has: every symbolic link is the container's own then. What a volume covers is left as it is there.
bool injected_attach(struct injected *injected, const StartContainer *start, struct failure *failure);

#endif
