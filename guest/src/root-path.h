#ifndef HYPERD_ROOT_PATH_H
#define HYPERD_ROOT_PATH_H

#include <stdbool.h>

// Opens `path` (O_PATH) below the calling process's root, creating what is missing of it as a directory or an empty
// file. Dangling symbolic links are followed: what they point at is created. -1: errno is set.
int root_path_make(const char *path, bool directory);

#endif
