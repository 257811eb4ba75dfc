#ifndef HYPERD_MODULES_H
#define HYPERD_MODULES_H

#include <stdbool.h>
#include <stddef.h>

// Kernel modules of the initramfs: `/modules/order` names one file a line, dependencies first.

// The next module's file name from `*text`, which is moved behind it. Blank lines and lines that are no plain file name
// are skipped. False: no more.
bool modules_next(const char **text, char *name, size_t size);

// Loads them all. One that the kernel has already is fine; another failure is logged, and shows when the device is missing.
void modules_load(const char *directory);

#endif
