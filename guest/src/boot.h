#ifndef HYPERD_BOOT_H
#define HYPERD_BOOT_H

// From the kernel's first process to a usable system: file systems, modules, loopback. Fatal when that fails.
void boot(void);

#endif
