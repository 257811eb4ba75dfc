#ifndef HYPERD_SCSI_H
#define HYPERD_SCSI_H

#include <stdbool.h>
#include <stdint.h>

// Disks on the virtio-scsi controllers, as sysfs shows them: channel 0, LUN 0.

enum { SCSI_PATH = 384 };

// Has the kernel look at the target. False: errno is set (ENODEV: there is no controller).
bool scsi_scan(uint32_t target);
// Opens the block device at the target; -1: it is not there (yet). `device` gets the SCSI device's sysfs directory,
// `node` the block device's path.
int scsi_open(uint32_t target, char device[SCSI_PATH], char node[SCSI_PATH]);
// Makes the kernel forget the device. False: errno is set.
bool scsi_delete(const char *device);

#endif
