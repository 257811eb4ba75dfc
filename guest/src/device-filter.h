#ifndef HYPERD_DEVICE_FILTER_H
#define HYPERD_DEVICE_FILTER_H

// Keeps the processes of a cgroup, and of all cgroups below it, from opening any device but the ones of a container's /dev,
// whatever nodes they make: the machine's disks are others' files. A kernel without BPF is logged.
void device_filter_attach(const char *cgroup);

#endif
