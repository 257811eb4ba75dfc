// A container's root: overlay, mounts, devices, injected files. Runs in the child, in mount and PID namespaces of its own.
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "agent.h"

#ifndef SYS_open_tree
#define SYS_open_tree 428
#define SYS_move_mount 429
#endif
enum { OPEN_TREE_CLONE_FLAG = 1, MOVE_MOUNT_EMPTY_PATH_FLAG = 4, MAX_FILES = 64 };

#define ROOT RUN_DIR "/rootfs"
#define PRIVATE (MS_NOSUID | MS_NODEV | MS_NOEXEC)

static bool mount_overlay(const container_spec *c, struct failure *f)
{
	char upper[400], work[400], options[1400];
	snprintf(upper, sizeof upper, DISK_DIR "/%s/%s/upper", c->scratch_disk, c->container_id);
	snprintf(work, sizeof work, DISK_DIR "/%s/%s/work", c->scratch_disk, c->container_id);
	if (!make_directories(upper, 0755) || !make_directories(work, 0700))
		return fail(f, ERR(SYSTEM), "make %s", upper);
	// A plain upper directory, which can be read as a layer later.
	snprintf(options, sizeof options,
	         "lowerdir=" DISK_DIR "/%s,upperdir=%s,workdir=%s,index=off,metacopy=off,redirect_dir=off,xino=off",
	         c->rootfs_disk, upper, work);
	if (mount("overlay", ROOT, "overlay", 0, options) < 0)
		return fail(f, ERR(SYSTEM), "mount rootfs");
	return true;
}

// Puts every injected file into a private tmpfs and keeps a mount of each, to be moved in place once the root has changed.
static bool open_files(const container_spec *c, int *fds, struct failure *f)
{
	if (mount("tmpfs", RUN_DIR "/files", "tmpfs", MS_NOSUID | MS_NODEV, "mode=0700") < 0)
		return fail(f, ERR(SYSTEM), "mount injected files");
	for (size_t i = 0; i < c->files_count; i++) {
		const hyperd_agent_v1_InjectedFile *file = &c->files[i];
		char path[64];
		snprintf(path, sizeof path, RUN_DIR "/files/%zu", i);
		int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		size_t size = file->content ? file->content->size : 0;
		bool done = fd >= 0 && (size == 0 || write(fd, file->content->bytes, size) == (ssize_t)size) &&
		            fchown(fd, file->uid, file->gid) == 0 && fchmod(fd, file->mode & 07777) == 0;
		if (fd >= 0)
			close(fd);
		fds[i] = done ? (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE_FLAG | O_CLOEXEC) : -1;
		if (fds[i] < 0)
			return fail(f, ERR(SYSTEM), "prepare file %.200s", file->path ? file->path : "");
	}
	return true;
}

static bool enter_root(struct failure *f)
{
	if (chdir(ROOT) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		return fail(f, ERR(SYSTEM), "change root");
	return true;
}

// Makes the file that a mount is to cover, and the folders above it; a dangling link is followed.
static bool make_mount_point(const char *path, int depth)
{
	char parent[PATH_MAX], target[PATH_MAX];
	snprintf(parent, sizeof parent, "%s", path);
	char *slash = strrchr(parent, '/');
	if (slash && slash != parent) {
		*slash = '\0';
		if (!make_directories(parent, 0755))
			return false;
	}
	int fd = open(path, O_RDONLY | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0644);
	if (fd >= 0) {
		close(fd);
		return true;
	}
	ssize_t n = depth > 0 ? readlink(path, target, sizeof target - 1) : -1;
	if (n <= 0)
		return false;
	target[n] = '\0';
	if (target[0] == '/')
		return make_mount_point(target, depth - 1);
	char joined[PATH_MAX * 2];
	snprintf(joined, sizeof joined, "%s/%s", slash == parent ? "" : parent, target);
	return strlen(joined) < PATH_MAX && make_mount_point(joined, depth - 1);
}

static bool place_files(const container_spec *c, const int *fds, struct failure *f)
{
	for (size_t i = 0; i < c->files_count; i++) {
		const char *path = c->files[i].path;
		if (!path || path[0] != '/')
			return fail(f, ERR(INVALID), "file path \"%.200s\" is not absolute", path ? path : "");
		if (!make_mount_point(path, 8))
			return fail(f, ERR(SYSTEM), "make %.200s", path);
		if (syscall(SYS_move_mount, fds[i], "", AT_FDCWD, path, MOVE_MOUNT_EMPTY_PATH_FLAG) < 0)
			return fail(f, ERR(SYSTEM), "mount %.200s", path);
		close(fds[i]);
	}
	return true;
}

static bool mount_at(const char *type, const char *target, unsigned long flags, const char *options, struct failure *f)
{
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		return fail(f, ERR(SYSTEM), "make %s", target);
	if (mount(type, target, type, flags, options) < 0)
		return fail(f, ERR(SYSTEM), "mount %s", target);
	return true;
}

static bool make_devices(struct failure *f)
{
	static const struct {
		const char *path;
		unsigned major, minor;
	} devices[] = {{"/dev/null", 1, 3},   {"/dev/zero", 1, 5},    {"/dev/full", 1, 7},
	               {"/dev/random", 1, 8}, {"/dev/urandom", 1, 9}, {"/dev/tty", 5, 0}};
	static const char *const links[][2] = {{"/proc/self/fd", "/dev/fd"},     {"/proc/self/fd/0", "/dev/stdin"},
	                                       {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	                                       {"pts/ptmx", "/dev/ptmx"},         {"/proc/kcore", "/dev/core"}};
	for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
		if (mknod(devices[i].path, S_IFCHR | 0666, makedev(devices[i].major, devices[i].minor)) < 0)
			return fail(f, ERR(SYSTEM), "make %s", devices[i].path);
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		if (symlink(links[i][0], links[i][1]) < 0)
			return fail(f, ERR(SYSTEM), "make %s", links[i][1]);
	return true;
}

static bool mount_system(bool tty, struct failure *f)
{
	bool done = mount_at("proc", "/proc", PRIVATE, NULL, f) &&
	            mount_at("tmpfs", "/dev", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k", f) && make_devices(f) &&
	            mount_at("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5", f) &&
	            mount_at("tmpfs", "/dev/shm", PRIVATE, "mode=1777,size=65536k", f) &&
	            mount_at("mqueue", "/dev/mqueue", PRIVATE, NULL, f) && mount_at("sysfs", "/sys", PRIVATE | MS_RDONLY, NULL, f) &&
	            mount_at("cgroup2", "/sys/fs/cgroup", PRIVATE | MS_RDONLY, NULL, f);
	if (!done || !tty)
		return done;
	int fd = open("/dev/console", O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(f, ERR(SYSTEM), "make /dev/console");
	close(fd);
	return true;
}

// The machine's own id covers the image's, where it has one.
static void mount_machine_id(int fd)
{
	struct stat s;
	if (fd >= 0 && lstat("/etc/machine-id", &s) == 0 && S_ISREG(s.st_mode))
		syscall(SYS_move_mount, fd, "", AT_FDCWD, "/etc/machine-id", MOVE_MOUNT_EMPTY_PATH_FLAG);
	if (fd >= 0)
		close(fd);
}

bool rootfs_prepare(const container_spec *c, bool tty, struct failure *f)
{
	int fds[MAX_FILES];
	if (c->files_count > MAX_FILES)
		return fail(f, ERR(INVALID), "%u files to inject, at most %d", (unsigned)c->files_count, MAX_FILES);
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return fail(f, ERR(SYSTEM), "make mounts private");
	umask(0);
	if (!mount_overlay(c, f) || !open_files(c, fds, f))
		return false;
	int machine_id = (int)syscall(SYS_open_tree, AT_FDCWD, RUN_DIR "/machine-id", OPEN_TREE_CLONE_FLAG | O_CLOEXEC);
	if (!enter_root(f) || !mount_system(tty, f) || !place_files(c, fds, f))
		return false;
	mount_machine_id(machine_id);
	return true;
}

static bool set_sysctls(const container_spec *c, struct failure *f)
{
	for (size_t i = 0; i < c->sysctls_count; i++) {
		char path[300];
		const char *key = c->sysctls[i].key ? c->sysctls[i].key : "";
		if (strstr(key, "..") || strlen(key) > 200)
			return fail(f, ERR(INVALID), "sysctl \"%.64s\"", key);
		snprintf(path, sizeof path, "/proc/sys/%s", key);
		for (char *at = path + strlen("/proc/sys/"); *at; at++)
			if (*at == '.')
				*at = '/';
		if (!write_file(path, c->sysctls[i].value ? c->sysctls[i].value : ""))
			return fail(f, ERR(SYSTEM), "set sysctl %.64s", key);
	}
	return true;
}

// What of /proc and /sys a container must not read or write; what is absent in this kernel needs no cover.
bool rootfs_seal(const container_spec *c, struct failure *f)
{
	static const char *const masked[] = {"/proc/acpi",       "/proc/kcore",       "/proc/keys",         "/proc/latency_stats",
	                                     "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",  "/proc/scsi",
	                                     "/sys/firmware",    "/sys/devices/virtual/powercap"};
	static const char *const read_only[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	if (!set_sysctls(c, f))
		return false;
	for (size_t i = 0; i < sizeof masked / sizeof *masked; i++) {
		struct stat s;
		if (stat(masked[i], &s) < 0)
			continue;
		int done = S_ISDIR(s.st_mode) ? mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, "size=0k")
		                              : mount("/dev/null", masked[i], NULL, MS_BIND, NULL);
		if (done < 0)
			return fail(f, ERR(SYSTEM), "mask %s", masked[i]);
	}
	for (size_t i = 0; i < sizeof read_only / sizeof *read_only; i++) {
		if (mount(read_only[i], read_only[i], NULL, MS_BIND | MS_REC, NULL) < 0) {
			if (errno == ENOENT)
				continue;
			return fail(f, ERR(SYSTEM), "protect %s", read_only[i]);
		}
		if (mount(NULL, read_only[i], NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | PRIVATE, NULL) < 0)
			return fail(f, ERR(SYSTEM), "protect %s", read_only[i]);
	}
	if (c->read_only_rootfs && mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | MS_BIND, NULL) < 0)
		return fail(f, ERR(SYSTEM), "make rootfs read-only");
	return true;
}
