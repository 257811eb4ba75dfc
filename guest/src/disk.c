// Disks that the host has plugged into the SCSI controller.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum { MAX_DISKS = 256, DEFAULT_TIMEOUT_MS = 10000 };

static struct {
	char name[129];
	char device[32]; // sysfs directory name of the block device, "sda"
} disks[MAX_DISKS];

bool valid_name(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t size = name ? strlen(name) : 0;
	return size > 0 && size <= 128 && name[0] != '.' && strspn(name, allowed) == size;
}

static int find_host(void)
{
	for (int host = 0; host < 32; host++) {
		char path[80], driver[32];
		snprintf(path, sizeof path, "/sys/class/scsi_host/host%d/proc_name", host);
		if (read_file(path, driver, sizeof driver) >= 0 && strncmp(driver, "virtio_scsi", 11) == 0)
			return host;
	}
	return -1;
}

// Waits until the target's block device is there; the driver probes it in the background.
static bool wait_for_device(int host, unsigned target, unsigned timeout_ms, char device[32])
{
	char path[96];
	snprintf(path, sizeof path, "/sys/bus/scsi/devices/%d:0:%u:0/block", host, target);
	for (unsigned waited = 0; waited < timeout_ms; waited++) {
		DIR *dir = opendir(path);
		struct dirent *e = NULL;
		while (dir && (e = readdir(dir)) && e->d_name[0] == '.')
			continue;
		if (e)
			snprintf(device, 32, "%.31s", e->d_name);
		bool found = e != NULL;
		if (dir)
			closedir(dir);
		char node[96];
		snprintf(node, sizeof node, "/dev/%s", device);
		if (found && access(node, F_OK) == 0)
			return true;
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
	return false;
}

static bool mount_disk(const hyperd_agent_v1_AttachDisk *a, const char *device, struct failure *f)
{
	char node[96], target[256];
	snprintf(node, sizeof node, "/dev/%s", device);
	snprintf(target, sizeof target, DISK_DIR "/%s", a->name);
	if (mkdir(target, 0755) < 0 && errno != EEXIST)
		return fail(f, ERR(SYSTEM), "attach disk: make %s", target);
	if (a->use == hyperd_agent_v1_AttachDisk_Use_SCRATCH) {
		if (mount(node, target, "ext4", MS_NOATIME, "noinit_itable") == 0)
			return true;
		fail(f, ERR(SYSTEM), "attach disk: mount %s as ext4", a->name);
	} else {
		if (mount(node, target, "squashfs", MS_RDONLY, NULL) == 0)
			return true;
		fail(f, ERR(SYSTEM), "attach disk: mount %s as squashfs", a->name);
	}
	rmdir(target);
	return false;
}

static int find_disk(const char *name)
{
	for (int i = 0; i < MAX_DISKS; i++)
		if (strcmp(disks[i].name, name) == 0)
			return i;
	return -1;
}

bool attach_disk(const hyperd_agent_v1_AttachDisk *a, struct failure *f)
{
	if (!valid_name(a->name))
		return fail(f, ERR(INVALID), "attach disk: name \"%.140s\"", a->name ? a->name : "");
	if (find_disk(a->name) >= 0)
		return fail(f, ERR(EXISTS), "attach disk: %s is attached already", a->name);
	int slot = find_disk("");
	int host = find_host();
	if (slot < 0 || host < 0)
		return fail(f, ERR(PRECONDITION), "attach disk: %s", host < 0 ? "no SCSI host" : "too many disks");
	char path[80], text[32];
	snprintf(path, sizeof path, "/sys/class/scsi_host/host%d/scan", host);
	snprintf(text, sizeof text, "0 %u 0", (unsigned)a->target);
	if (!write_file(path, text))
		return fail(f, ERR(SYSTEM), "attach disk: scan target %u", (unsigned)a->target);
	char device[32] = "";
	unsigned timeout_ms = a->timeout_ms ? a->timeout_ms : DEFAULT_TIMEOUT_MS;
	if (!wait_for_device(host, a->target, timeout_ms, device))
		return fail(f, ERR(TIMEOUT), "attach disk: no disk at target %u within %u ms", (unsigned)a->target, timeout_ms);
	if (!mount_disk(a, device, f))
		return false;
	snprintf(disks[slot].name, sizeof disks[slot].name, "%s", a->name);
	snprintf(disks[slot].device, sizeof disks[slot].device, "%s", device);
	return true;
}

bool detach_disk(const char *name, struct failure *f)
{
	int slot = valid_name(name) ? find_disk(name) : -1;
	if (slot < 0)
		return fail(f, ERR(NOT_FOUND), "detach disk: no disk \"%.140s\"", name ? name : "");
	char path[256];
	snprintf(path, sizeof path, DISK_DIR "/%s", name);
	if (umount2(path, 0) < 0 && umount2(path, MNT_DETACH) < 0)
		return fail(f, ERR(SYSTEM), "detach disk: unmount %s", name);
	rmdir(path);
	snprintf(path, sizeof path, "/sys/block/%s/device/delete", disks[slot].device);
	if (!write_file(path, "1"))
		return fail(f, ERR(SYSTEM), "detach disk: delete device of %s", name);
	disks[slot].name[0] = '\0';
	return true;
}
