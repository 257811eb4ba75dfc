#ifndef HYPERD_FILES_H
#define HYPERD_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

// Small files and directories, in the agent's own and the kernel's file systems.

// Reads at most `size - 1` bytes, ends them with NUL and strips one trailing newline. False: errno is set.
bool file_read(const char *path, char *text, size_t size);
// The same in as many reads as it takes.
bool file_read_all(const char *path, char *text, size_t size);
// Writes in one write(2), as files of proc, sysfs and cgroupfs want it. False: errno is set.
bool file_write(const char *path, const char *text);
// Creates or replaces a regular file. False: errno is set.
bool file_create(const char *path, const void *content, size_t size, mode_t mode);
// Creates `path` and what is missing above it. False: errno is set.
bool make_directories(const char *path, mode_t mode);
bool write_all(int fd, const void *bytes, size_t size);
// Deletes `path` and everything below it, without following links or leaving its file system. False: errno is set.
bool delete_tree(const char *path);
// Deletes everything below the directory `fd`, likewise. False: errno is set.
bool empty_tree(int fd);

#endif
