#ifndef HYPERD_PATHS_H
#define HYPERD_PATHS_H

// Where the agent keeps things in its own file system, which containers never see.

#define PATH_DISKS "/run/hyper/disks"           // NAME: a mounted disk
#define PATH_SHARES "/run/hyper/shares"         // NAME: a mounted share
#define PATH_TMPFS "/run/hyper/tmpfs"           // NAME: a tmpfs that containers have in common
#define PATH_CONTAINERS "/run/hyper/containers" // ID: upper directories of containers without a scratch disk
#define PATH_STAGE "/run/hyper/stage"           // where a container's root is put together, in its own mount namespace
#define PATH_FILES "/run/hyper/files"           // likewise, its injected files
#define PATH_MACHINE_ID "/run/hyper/machine-id"
#define PATH_BOOT_ID "/run/hyper/boot-id"
#define PATH_CGROUPS "/sys/fs/cgroup/hyper" // ID: a container's cgroup

#endif
