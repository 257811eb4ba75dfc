#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "job.h"
#include "log.h"
#include "loop.h"
#include "paths.h"
#include "scsi.h"
#include "text.h"
#include "volume-disk.h"

enum { TARGET_MAX = 255, TIMEOUT_MAX_MS = 600000, TIMEOUT_DEFAULT_MS = 10000 };

struct disk {
  char name[129];
  uint32_t target;
  AttachDisk_Use use;
  bool read_only;
  char file_system[16]; // empty: to be found out
  enum { WAITING, MOUNTED, DETACHING } state;
  unsigned int users;
  struct call call; // WAITING, DETACHING: the one to answer
  struct timer timer;
  char device[SCSI_PATH]; // sysfs directory of the SCSI device
  struct disk *next;
};

static struct disk *disks;

static void mount_path(const struct disk *disk, char *path, size_t size) {
  snprintf(path, size, PATH_DISKS "/%s", disk->name);
}

static struct disk *find(const char *name) {
  for (struct disk *disk = disks; disk; disk = disk->next) {
    if (strcmp(disk->name, name) == 0) return disk;
  }
  return NULL;
}

static void forget(struct disk *disk) {
  struct disk **place = &disks;
  while (*place != disk) place = &(*place)->next;
  *place = disk->next;
  timer_disarm(&disk->timer);
  loop_free_later(disk);
}

static bool mount_disk(const struct disk *disk, const char *node, struct failure *failure) {
  char path[512];
  mount_path(disk, path, sizeof path);
  if (mkdir(path, 0755) < 0 && errno != EEXIST) return fail_errno(failure, "create \"%s\"", path);
  bool mounted;
  switch (disk->use) {
  case AttachDisk_Use_ROOTFS: mounted = mount(node, path, "erofs", MS_RDONLY | MS_NODEV, NULL) == 0; break;
  case AttachDisk_Use_SCRATCH: mounted = mount(node, path, "ext4", MS_NOATIME | MS_NODEV, NULL) == 0; break;
  default: mounted = volume_disk_mount(node, path, disk->file_system, disk->read_only);
  }
  if (mounted) return true;
  fail_errno(failure, "mount disk \"%s\"", disk->name);
  rmdir(path);
  return false;
}

static void try_mount(struct disk *disk) {
  char node[SCSI_PATH];
  int fd = scsi_open(disk->target, disk->device, node);
  if (fd < 0) return;
  ioctl(fd, BLKFLSBUF, 0); // pages of a disk that was at this target before
  struct failure failure;
  bool mounted = mount_disk(disk, node, &failure);
  close(fd);
  timer_disarm(&disk->timer);
  if (mounted) {
    disk->state = MOUNTED;
    answer_done(disk->call);
  } else {
    scsi_delete(disk->device);
    answer_failure(disk->call, &failure);
    forget(disk);
  }
}

void disk_look(void) {
  for (struct disk *disk = disks, *next; disk; disk = next) {
    next = disk->next;
    if (disk->state == WAITING) try_mount(disk);
  }
}

static void time_out(struct timer *timer) {
  struct disk *disk = CONTAINER_OF(timer, struct disk, timer);
  struct failure failure;
  fail(&failure, Error_Code_TIMEOUT, "attach disk \"%s\": no device at target %u in time", disk->name, disk->target);
  answer_failure(disk->call, &failure);
  forget(disk);
}

static bool may_attach(const AttachDisk *wanted, struct failure *failure) {
  const char *name = wanted->name ? wanted->name : "";
  if (!text_is_name(name)) return fail(failure, Error_Code_INVALID, "attach disk \"%s\": not a valid name", name);
  if (wanted->target > TARGET_MAX || wanted->timeout_ms > TIMEOUT_MAX_MS || wanted->use > AttachDisk_Use_VOLUME) {
    return fail(failure, Error_Code_INVALID, "attach disk \"%s\": target at most %d, timeout at most %d ms, use 0 to 2",
                name, TARGET_MAX, TIMEOUT_MAX_MS);
  }
  if (wanted->file_system && strlen(wanted->file_system) >= sizeof disks->file_system) {
    return fail(failure, Error_Code_INVALID, "attach disk \"%s\": no file system \"%s\"", name, wanted->file_system);
  }
  for (struct disk *disk = disks; disk; disk = disk->next) {
    if (strcmp(disk->name, name) == 0 || disk->target == wanted->target) {
      return fail(failure, Error_Code_EXISTS, "attach disk \"%s\": \"%s\" is attached at target %u", name, disk->name,
                  disk->target);
    }
  }
  return scsi_scan(wanted->target) || fail_errno(failure, "attach disk \"%s\": scan target %u", name, wanted->target);
}

void disk_attach(struct call call, const AttachDisk *wanted) {
  struct failure failure;
  struct disk *disk = NULL;
  if (may_attach(wanted, &failure)) {
    disk = calloc(1, sizeof *disk);
    if (!disk) fail_errno(&failure, "attach disk");
  }
  if (!disk) {
    answer_failure(call, &failure);
    return;
  }
  *disk = (struct disk){.target = wanted->target, .use = wanted->use, .call = call, .timer.fire = time_out, .next = disks};
  strcpy(disk->name, wanted->name);
  disk->read_only = wanted->read_only;
  if (wanted->file_system) strcpy(disk->file_system, wanted->file_system);
  disks = disk;
  timer_arm(&disk->timer, wanted->timeout_ms ? wanted->timeout_ms : TIMEOUT_DEFAULT_MS);
  try_mount(disk);
}

static int detach_work(const void *argument) {
  const struct disk *disk = argument;
  char path[512];
  mount_path(disk, path, sizeof path);
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd >= 0) {
    syncfs(fd);
    close(fd);
  }
  // A container that is just starting has copies of all mounts for a moment.
  for (int attempt = 0; umount2(path, 0) < 0; attempt++) {
    if (errno != EBUSY) return errno;
    if (attempt == 100) {
      if (umount2(path, MNT_DETACH) < 0) return errno;
      break;
    }
    nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
  }
  rmdir(path);
  return scsi_delete(disk->device) ? 0 : errno;
}

static void detached(void *context, int error) {
  struct disk *disk = context;
  if (error == 0) {
    answer_done(disk->call);
    forget(disk);
    return;
  }
  struct failure failure;
  errno = error;
  fail_errno(&failure, "detach disk \"%s\"", disk->name);
  answer_failure(disk->call, &failure);
  disk->state = MOUNTED;
}

void disk_detach(struct call call, const char *name) {
  struct failure failure;
  struct disk *disk = find(name ? name : "");
  if (!disk) {
    fail(&failure, Error_Code_NOT_FOUND, "detach disk \"%s\": not attached", name ? name : "");
  } else if (disk->state != MOUNTED || disk->users > 0) {
    fail(&failure, Error_Code_PRECONDITION, "detach disk \"%s\": %s", name, disk->users > 0 ? "a container uses it" : "busy");
  } else {
    disk->state = DETACHING;
    disk->call = call;
    if (job_start(detach_work, disk, detached, disk)) return;
    fail_errno(&failure, "detach disk \"%s\"", name);
    disk->state = MOUNTED;
  }
  answer_failure(call, &failure);
}

bool disk_use(const char *name, AttachDisk_Use use, struct failure *failure) {
  struct disk *disk = find(name);
  if (!disk || disk->state != MOUNTED || disk->use != use) {
    static const char *const kinds[] = {"rootfs", "scratch disk", "volume"};
    return fail(failure, Error_Code_NOT_FOUND, "find disk \"%s\": no such %s", name, kinds[use]);
  }
  disk->users++;
  return true;
}

void disk_unuse(const char *name) {
  struct disk *disk = find(name);
  if (disk) disk->users--;
}

void disk_unmount_all(void) {
  for (struct disk *disk = disks; disk; disk = disk->next) {
    char path[512];
    mount_path(disk, path, sizeof path);
    if (disk->state != WAITING && umount2(path, 0) < 0) umount2(path, MNT_DETACH);
  }
}

pb_size_t disk_usage(FileSystem *file_systems, pb_size_t most) {
  pb_size_t count = 0;
  for (struct disk *disk = disks; disk && count < most; disk = disk->next) {
    char path[512];
    struct statvfs status;
    mount_path(disk, path, sizeof path);
    if (disk->use != AttachDisk_Use_SCRATCH || disk->state != MOUNTED || statvfs(path, &status) < 0) continue;
    file_systems[count++] = (FileSystem){
        .disk = disk->name,
        .size = (uint64_t)status.f_blocks * status.f_frsize,
        .available = (uint64_t)status.f_bavail * status.f_frsize,
    };
  }
  return count;
}
