#include "scsi.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "files.h"

static const char hosts[] = "/sys/class/scsi_host";

// The next virtio-scsi controller's number; -1: no more.
static int next_host(DIR *directory) {
  for (struct dirent *entry; (entry = readdir(directory));) {
    char path[SCSI_PATH], driver[64];
    snprintf(path, sizeof path, "%s/%s/proc_name", hosts, entry->d_name);
    if (strncmp(entry->d_name, "host", 4) == 0 && file_read(path, driver, sizeof driver) &&
        strcmp(driver, "virtio_scsi") == 0) {
      return atoi(entry->d_name + 4);
    }
  }
  return -1;
}

bool scsi_scan(uint32_t target) {
  DIR *directory = opendir(hosts);
  int error = ENODEV;
  for (int host; directory && (host = next_host(directory)) >= 0;) {
    char path[SCSI_PATH], text[32];
    snprintf(path, sizeof path, "%s/host%d/scan", hosts, host);
    snprintf(text, sizeof text, "0 %u 0", target);
    error = file_write(path, text) ? 0 : errno;
    if (error) break;
  }
  if (directory) closedir(directory);
  errno = error;
  return error == 0;
}

static int open_block(const char *device, char node[SCSI_PATH]) {
  char path[SCSI_PATH];
  if ((size_t)snprintf(path, sizeof path, "%s/block", device) >= sizeof path) return -1;
  DIR *directory = opendir(path);
  if (!directory) return -1;
  int fd = -1;
  for (struct dirent *entry; fd < 0 && (entry = readdir(directory));) {
    if (entry->d_name[0] == '.') continue;
    snprintf(node, SCSI_PATH, "/dev/%s", entry->d_name);
    fd = open(node, O_RDONLY | O_CLOEXEC);
  }
  closedir(directory);
  return fd;
}

int scsi_open(uint32_t target, char device[SCSI_PATH], char node[SCSI_PATH]) {
  DIR *directory = opendir(hosts);
  int fd = -1;
  for (int host; directory && fd < 0 && (host = next_host(directory)) >= 0;) {
    snprintf(device, SCSI_PATH, "/sys/class/scsi_device/%d:0:%u:0/device", host, target);
    fd = open_block(device, node);
  }
  if (directory) closedir(directory);
  return fd;
}

bool scsi_delete(const char *device) {
  char path[SCSI_PATH];
  if ((size_t)snprintf(path, sizeof path, "%s/delete", device) >= sizeof path) {
    errno = ENAMETOOLONG;
    return false;
  }
  return file_write(path, "1") || errno == ENOENT;
}
