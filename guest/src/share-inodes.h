#ifndef HYPERD_SHARE_INODES_H
#define HYPERD_SHARE_INODES_H

#include <stdint.h>

// Keeps the kernel from remembering more inodes of shares than the host can have files open.

// From now on at most about so many; the least of what was said counts.
void share_inodes_bound(uint32_t files);

#endif
