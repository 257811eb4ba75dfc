#include "boot.h"

#include <errno.h>
#include <net/if.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "device-filter.h"
#include "files.h"
#include "log.h"
#include "modules.h"
#include "paths.h"
#include "uevent.h"

static void mount_at(const char *type, const char *target, unsigned long flags, const char *options) {
  mkdir(target, 0755);
  if (mount(type, target, type, flags, options) < 0 && errno != EBUSY) {
    fatal("mount \"%s\": %s", target, strerror(errno));
  }
}

// The initramfs's own tools, for commands that are run outside of containers. Another initramfs may have none.
static void keep_tools(void) {
  mkdir("/root/sbin", 0755);
  if (mount("/sbin", "/root/sbin", NULL, MS_BIND, NULL) < 0 ||
      mount(NULL, "/root/sbin", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0) {
    log_line("keep the initramfs's tools: %s", strerror(errno));
  }
}

// The kernel's first root cannot be left by pivot_root(2), which containers do: a tmpfs on top of it can.
static void change_root(void) {
  mount_at("tmpfs", "/root", 0, "mode=0755");
  mkdir("/root/dev", 0755);
  keep_tools();
  if (mount("/dev", "/root/dev", NULL, MS_MOVE, NULL) < 0 || chdir("/root") < 0 ||
      mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0) {
    fatal("change root: %s", strerror(errno));
  }
}

static void mount_system(void) {
  const unsigned long safe = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  mount_at("proc", "/proc", safe, NULL);
  mount_at("sysfs", "/sys", safe, NULL);
  mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=0620,ptmxmode=0666");
  mount_at("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
  mount_at("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
  mount_at("cgroup2", "/sys/fs/cgroup", safe, NULL);
  const char *const directories[] = {PATH_DISKS, PATH_SHARES, PATH_TMPFS, PATH_CONTAINERS, PATH_STAGE, PATH_FILES};
  for (size_t i = 0; i < sizeof directories / sizeof *directories; i++) {
    if (!make_directories(directories[i], 0755)) fatal("create \"%s\": %s", directories[i], strerror(errno));
  }
}

// A machine that is short of memory otherwise reads its programs in again and again, for minutes, before the kernel
// kills anything. Kernels without the multi-generational LRU stay as they are.
static void prevent_thrashing(void) {
  if (file_write("/sys/kernel/mm/lru_gen/enabled", "y")) file_write("/sys/kernel/mm/lru_gen/min_ttl_ms", "1000");
}

static void raise_loopback(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
  if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0) log_line("raise loopback: %s", strerror(errno));
  if (fd >= 0) close(fd);
}

void boot(void) {
  umask(0);
  mount_at("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
  log_open();
  reboot(RB_DISABLE_CAD);
  signal(SIGPIPE, SIG_IGN);
  uevent_open();
  modules_load("/modules");
  unlink("/modules/order");
  unlink("/init");
  change_root();
  mount_system();
  cgroup_init();
  device_filter_attach(PATH_CGROUPS);
  prevent_thrashing();
  raise_loopback();
  struct rlimit files = {.rlim_cur = 65536, .rlim_max = 1048576};
  setrlimit(RLIMIT_NOFILE, &files);
}
