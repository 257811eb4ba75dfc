#ifndef HYPERD_PRUNE_H
#define HYPERD_PRUNE_H

#include <stdbool.h>
#include <stddef.h>

// Deletes the directories in `directory` that are named as a container's id is, 64 hexadecimal digits, unless it is one of `kept`. False: errno is set.
bool prune_containers(const char *directory, char *const *kept, size_t count);

#endif
