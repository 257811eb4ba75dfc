// From the kernel's first exec to a machine that can hold containers.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "agent.h"

static void must_mount(const char *type, const char *target, unsigned long flags, const char *options)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		die("make %s: %s", target, strerror(errno));
	if (mount(type, target, type, flags, options) < 0)
		die("mount %s on %s: %s", type, target, strerror(errno));
}

// Loads the modules that the set-up packed, in its order. One that is missing is built into this kernel.
static void load_modules(void)
{
	static char order[8192];
	if (read_file("/modules/order", order, sizeof order) < 0)
		return;
	for (char *name = strtok(order, "\n"); name; name = strtok(NULL, "\n")) {
		char path[300];
		snprintf(path, sizeof path, "/modules/%s", name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)
			say("load module %s: %s", name, strerror(errno));
		close(fd);
		unlink(path);
	}
	unlink("/modules/order");
	rmdir("/modules");
}

// The initramfs cannot be pivoted away from: a tmpfs above it can.
static void move_to_own_root(void)
{
	static const char *const kept[] = {"proc", "sys", "dev"};
	must_mount("tmpfs", "/root", 0, "mode=0755");
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++) {
		char from[32], to[32];
		snprintf(from, sizeof from, "/%s", kept[i]);
		snprintf(to, sizeof to, "/root/%s", kept[i]);
		if (mkdir(to, 0755) < 0 || mount(from, to, NULL, MS_MOVE, NULL) < 0)
			die("move %s: %s", from, strerror(errno));
	}
	unlink("/init");
	if (chdir("/root") < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		die("move to own root: %s", strerror(errno));
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		die("make mounts private: %s", strerror(errno));
}

void boot(void)
{
	umask(0);
	must_mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	must_mount("sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	must_mount("devtmpfs", "/dev", MS_NOSUID, "mode=0755");
	// The kernel gave no console: what is opened later must not become somebody's stdin.
	for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd < 2;)
		fd = dup(fd);
	load_modules();
	move_to_own_root();
	must_mount("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5");
	must_mount("tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755");
	must_mount("tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777");
	must_mount("cgroup2", "/sys/fs/cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	if (!make_directories(DISK_DIR, 0755) || !make_directories(RUN_DIR "/rootfs", 0755) ||
	    !make_directories(RUN_DIR "/files", 0700) || !make_directories(CGROUP_DIR, 0755))
		die("make directories: %s", strerror(errno));
	static const char *const controllers[] = {"+cpu", "+memory", "+pids", "+io"};
	for (size_t i = 0; i < sizeof controllers / sizeof *controllers; i++) {
		// A kernel without one of them only lacks that limit.
		if (!write_file("/sys/fs/cgroup/cgroup.subtree_control", controllers[i]) ||
		    !write_file(CGROUP_DIR "/cgroup.subtree_control", controllers[i]))
			say("controller %s: %s", controllers[i], strerror(errno));
	}
	umask(022);
}
