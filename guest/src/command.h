#ifndef HYPERD_COMMAND_H
#define HYPERD_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

// The program of a command line.

// The value of `key` in "KEY=value" entries; the last one counts. NULL: not there.
const char *environment_get(char *const *environment, size_t count, const char *key);

// Finds `name` in the directories of `search` as execvp(3) would, by the calling process's rights; a name with a slash is
// taken as it is. False: errno is ENOENT, or what forbids it.
bool command_find(const char *name, const char *search, char *path, size_t size);

#endif
