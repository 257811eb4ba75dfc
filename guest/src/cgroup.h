#ifndef HYPERD_CGROUP_H
#define HYPERD_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

// One cgroup (v2) a container.

void cgroup_init(void);
// Returns a descriptor of the new cgroup's directory, for clone3(2); -1: errno is set.
int cgroup_create(const char *container_id);
// Kills whatever is left in it and removes it. False: errno is set.
bool cgroup_remove(const char *container_id);
// Stops all processes of the container, or lets them go on. False: they do not stand still in time.
bool cgroup_freeze(const char *container_id, bool freeze);
// How many processes the kernel has killed in it for want of memory.
uint64_t cgroup_oom_kills(const char *container_id);

#endif
