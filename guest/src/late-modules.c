#include "late-modules.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "job.h"
#include "modules.h"
#include "paths.h"

struct loading {
  struct call call;
  char disk[129];
};

static int load(const void *argument) {
  const struct loading *loading = argument;
  char directory[256];
  snprintf(directory, sizeof directory, PATH_DISKS "/%s", loading->disk);
  modules_load(directory);
  return 0;
}

static void loaded(void *context, int error) {
  struct loading *loading = context;
  struct failure failure;
  disk_unuse(loading->disk);
  if (error == 0) {
    answer_done(loading->call);
  } else {
    errno = error;
    fail_errno(&failure, "load modules of disk \"%s\"", loading->disk);
    answer_failure(loading->call, &failure);
  }
  free(loading);
}

void late_modules_load(struct call call, const char *disk) {
  struct failure failure;
  const char *name = disk ? disk : "";
  if (disk_use(name, AttachDisk_Use_ROOTFS, &failure)) {
    struct loading *loading = malloc(sizeof *loading);
    if (loading) {
      loading->call = call;
      strcpy(loading->disk, name); // an attached disk's name fits
      if (job_start(load, loading, loaded, loading)) return;
    }
    fail_errno(&failure, "load modules of disk \"%s\"", name);
    free(loading);
    disk_unuse(name);
  }
  answer_failure(call, &failure);
}
