#include "container-root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "binds.h"
#include "files.h"
#include "injected.h"
#include "network.h"
#include "paths.h"
#include "root-path.h"
#include "text.h"
#include "volumes.h"

#define SAFE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const struct {
  const char *type, *target;
  unsigned long flags;
  const char *options;
} mounts[] = {
    {"proc", "/proc", SAFE, NULL},
    {"sysfs", "/sys", SAFE | MS_RDONLY, NULL},
    {"cgroup2", "/sys/fs/cgroup", SAFE | MS_RDONLY, NULL},
    {"tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=0755,size=64m"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"},
    {"tmpfs", "/dev/shm", SAFE, "mode=1777,size=64m"},
    {"mqueue", "/dev/mqueue", SAFE, NULL},
};

static const struct {
  const char *path;
  unsigned int major, minor;
} devices[] = {
    {"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
    {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0},
};

static const char *const links[][2] = {
    {"pts/ptmx", "/dev/ptmx"},         {"/proc/self/fd", "/dev/fd"},       {"/proc/self/fd/0", "/dev/stdin"},
    {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"}, {"/proc/kcore", "/dev/core"},
};

// As Docker does by default: what tells of, or reaches into, the kernel that all containers of the machine share.
static const char *const masked[] = {
    "/proc/acpi",          "/proc/asound",     "/proc/interrupts",  "/proc/kcore", "/proc/keys",
    "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi",
    "/sys/firmware",       "/sys/devices/virtual/powercap",
};
static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

void container_upper_path(const char *scratch_disk, const char *container_id, char *path, size_t size) {
  if (scratch_disk && *scratch_disk) {
    snprintf(path, size, PATH_DISKS "/%s/%s", scratch_disk, container_id);
  } else {
    snprintf(path, size, PATH_CONTAINERS "/%s", container_id);
  }
}

static bool make_upper(const char *base, const char *lower, struct failure *failure) {
  char upper[PATH_MAX], work[PATH_MAX];
  snprintf(upper, sizeof upper, "%s/upper", base);
  snprintf(work, sizeof work, "%s/work", base);
  if (!make_directories(base, 0700) || !make_directories(work, 0700)) return fail_errno(failure, "create \"%s\"", work);
  // The merged root has the attributes of the upper directory: they are the image's.
  struct stat status;
  if (mkdir(upper, 0755) == 0) {
    if (stat(lower, &status) < 0 || chown(upper, status.st_uid, status.st_gid) < 0 ||
        chmod(upper, status.st_mode & 07777) < 0) {
      return fail_errno(failure, "create \"%s\"", upper);
    }
  } else if (errno != EEXIST) {
    return fail_errno(failure, "create \"%s\"", upper);
  }
  return true;
}

bool layer_path(const char *layer, char *path, size_t size) {
  char disk[256];
  const char *slash = strchr(layer, '/');
  if (!slash) return text_is_name(layer) && snprintf(path, size, PATH_DISKS "/%s", layer) < (int)size;
  if (snprintf(disk, sizeof disk, "%.*s", (int)(slash - layer), layer) >= (int)sizeof disk) return false;
  return text_is_name(disk) && text_is_name(slash + 1) &&
         snprintf(path, size, PATH_DISKS "/%s/%s/upper", disk, slash + 1) < (int)size;
}

// Relative to where the disks are: mount(2) takes a page of options, whatever the number of layers.
static bool lower_option(const StartContainer *start, char *options, size_t size, struct failure *failure) {
  size_t used = (size_t)snprintf(options, size, "lowerdir=");
  char path[512];
  for (pb_size_t i = 0; i <= start->layers_count; i++) {
    const char *layer = i < start->layers_count ? start->layers[i] : start->rootfs_disk;
    if (!layer_path(layer, path, sizeof path)) return fail(failure, Error_Code_INVALID, "mount rootfs: layer \"%s\" is no name", layer);
    used += (size_t)snprintf(options + used, size - used, "%s%s", i > 0 ? ":" : "", path + sizeof PATH_DISKS);
    if (used >= size) return fail(failure, Error_Code_INVALID, "mount rootfs: %u layers are too many", start->layers_count);
  }
  return true;
}

static bool mount_overlay(const StartContainer *start, struct failure *failure) {
  char base[512], lower[512], options[4096];
  container_upper_path(start->scratch_disk, start->container_id, base, sizeof base);
  if (!layer_path(start->layers_count > 0 ? start->layers[0] : start->rootfs_disk, lower, sizeof lower)) *lower = '\0';
  if (!lower_option(start, options, sizeof options - 1536, failure) || !make_upper(base, lower, failure)) return false;
  size_t used = strlen(options);
  snprintf(options + used, sizeof options - used,
           ",upperdir=%s/upper,workdir=%s/work,index=off,metacopy=off,redirect_dir=off,xino=off", base, base);
  if (chdir(PATH_DISKS) < 0 || mount("overlay", PATH_STAGE, "overlay", 0, options) < 0) return fail_errno(failure, "mount rootfs");
  return true;
}

// The old root is stacked on the new one for a moment, so that the rootfs needs no directory to put it.
static bool pivot(struct failure *failure) {
  if (chdir(PATH_STAGE) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0) {
    return fail_errno(failure, "change root");
  }
  return true;
}

static bool make_devices(struct failure *failure) {
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++) {
    if (mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) < 0) {
      return fail_errno(failure, "create \"%s\"", devices[i].path);
    }
  }
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) {
    if (symlink(links[i][0], links[i][1]) < 0) return fail_errno(failure, "create \"%s\"", links[i][1]);
  }
  return true;
}

static bool mount_system(struct failure *failure) {
  for (size_t i = 0; i < sizeof mounts / sizeof *mounts; i++) {
    const char *target = mounts[i].target;
    int fd = root_path_make(target, true);
    if (fd < 0) return fail_errno(failure, "create \"%s\"", target);
    close(fd);
    if (mount(mounts[i].type, target, mounts[i].type, mounts[i].flags, mounts[i].options) < 0) {
      return fail_errno(failure, "mount \"%s\"", target);
    }
    if (strcmp(target, "/dev") == 0 && !make_devices(failure)) return false;
  }
  return true;
}

static bool set_sysctl(const KeyValue *sysctl, struct failure *failure) {
  const char *key = sysctl->key ? sysctl->key : "";
  char path[256] = "/proc/sys/";
  size_t prefix = strlen(path), length = strlen(key);
  if (length == 0 || length >= sizeof path - prefix || strstr(key, "..") || key[0] == '/') {
    return fail(failure, Error_Code_INVALID, "set sysctl \"%s\": no such name", key);
  }
  memcpy(path + prefix, key, length + 1);
  // Dots separate; in a key that is written with slashes, dots belong to the names (net/ipv4/conf/eth0.1/...).
  if (!strchr(key, '/')) {
    for (char *at = path + prefix; *at; at++) {
      if (*at == '.') *at = '/';
    }
  }
  if (file_write(path, sysctl->value ? sysctl->value : "")) return true;
  if (errno == ENOENT) return fail(failure, Error_Code_INVALID, "set sysctl \"%s\": the guest's kernel has none of that name", key);
  return fail_errno(failure, "set sysctl \"%s\" to \"%s\"", key, sysctl->value ? sysctl->value : "");
}

static bool mask(const char *path, struct failure *failure) {
  struct stat status;
  if (lstat(path, &status) < 0) return true;
  int result = S_ISDIR(status.st_mode) ? mount("tmpfs", path, "tmpfs", SAFE | MS_RDONLY, "size=0")
                                       : mount("/dev/null", path, NULL, MS_BIND, NULL);
  return result == 0 || fail_errno(failure, "mask \"%s\"", path);
}

static bool make_read_only(const char *path, struct failure *failure) {
  if (mount(path, path, NULL, MS_BIND | MS_REC, NULL) < 0) {
    return errno == ENOENT || fail_errno(failure, "make \"%s\" read-only", path);
  }
  if (mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | SAFE, NULL) == 0) return true;
  return fail_errno(failure, "make \"%s\" read-only", path);
}

static bool protect_system(struct failure *failure) {
  for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
    if (!mask(masked[i], failure)) return false;
  }
  for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
    if (!make_read_only(read_only[i], failure)) return false;
  }
  return true;
}

bool container_root_enter(const StartContainer *start, struct failure *failure) {
  static struct injected injected;
  static struct volumes volumes;
  struct binds binds = {0};
  if (start->no_network && !network_isolate(failure)) return false;
  // Not with clone3(2): the namespace's root would be the agent's cgroup then.
  if (unshare(CLONE_NEWCGROUP) < 0) return fail_errno(failure, "create cgroup namespace");
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return fail_errno(failure, "make mounts private");
  if (!injected_prepare(&injected, start, failure) || !volumes_prepare(&volumes, start, failure) ||
      !mount_overlay(start, failure) || !binds_prepare(&binds, start, failure) || !pivot(failure) || !mount_system(failure) ||
      !binds_attach(&binds, start, failure)) {
    return false;
  }
  for (pb_size_t i = 0; i < start->sysctls_count; i++) {
    if (!set_sysctl(&start->sysctls[i], failure)) return false;
  }
  return volumes_attach(&volumes, failure) && injected_attach(&injected, start, failure) && protect_system(failure);
}

bool container_root_seal(const StartContainer *start, struct failure *failure) {
  if (!start->read_only_rootfs) return true;
  if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0) return true;
  return fail_errno(failure, "make rootfs read-only");
}
