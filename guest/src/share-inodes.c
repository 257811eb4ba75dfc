#include "share-inodes.h"

#include <stdbool.h>
#include <stdlib.h>

#include "files.h"
#include "job.h"
#include "loop.h"
#include "text.h"

enum { LOOK_MS = 500, SLABINFO_MAX = 1 << 16 };

static struct timer timer;
static uint32_t most; // 0: no bound
static bool reclaiming;

// All inodes of the machine: asked for first, as it costs next to nothing.
static uint64_t all_inodes(void) {
  char text[64];
  return file_read("/proc/sys/fs/inode-nr", text, sizeof text) ? strtoull(text, NULL, 10) : 0;
}

static uint64_t share_inodes(void) {
  static char text[SLABINFO_MAX];
  return file_read_all("/proc/slabinfo", text, sizeof text) ? text_number_behind(text, "fuse_inode") : 0;
}

static int reclaim(const void *argument) {
  (void)argument;
  return file_write("/proc/sys/vm/drop_caches", "2") ? 0 : 1;
}

static void reclaimed(void *context, int error) {
  (void)context, (void)error;
  reclaiming = false;
}

static void look(struct timer *fired) {
  if (!reclaiming && all_inodes() > most / 2 && share_inodes() > most / 2) reclaiming = job_start(reclaim, NULL, reclaimed, NULL);
  timer_arm(fired, LOOK_MS);
}

void share_inodes_bound(uint32_t files) {
  if (files == 0 || (most > 0 && most <= files)) return;
  bool is_first = most == 0;
  most = files;
  timer.fire = look;
  if (is_first) timer_arm(&timer, LOOK_MS);
}
