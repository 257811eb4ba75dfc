#ifndef HYPERD_TAR_H
#define HYPERD_TAR_H

#include <stdbool.h>
#include <stddef.h>

// Tar archives (POSIX pax), in and out of a file system. Paths are resolved below the calling process's root, symbolic
// links and all: the caller is confined already.

enum { TAR_BLOCK = 512 };

struct tar_error {
  char text[512];
};

// Unpacks the archive that `in` gives until its end below `directory`, which is created where it is missing. Owners,
// modes, times, devices, hard links and extended attributes are those of the archive; what is in the way is replaced,
// but no directory by something else. False: `error` says why, and what came before it stays.
bool tar_extract(int in, const char *directory, struct tar_error *error);

// Packs `path` and everything below it, as `name`, on its file system, in the order of the names. Sockets are left out.
bool tar_create(int out, const char *path, const char *name, struct tar_error *error);

// What an overlay has changed: its upper directory, the directories that it lies on, and places that were made for mounts.
struct tar_layer {
  const char *upper;
  const char *const *lowers;
  size_t lower_count;
  const char *const *stubs; // absolute paths in the merged root
  size_t stub_count;
  bool remove_stubs; // those that are left out are deleted, too
};

// Packs the changes as an OCI layer: entries in the order of their names, whiteouts for what is deleted. The root itself
// and stubs that are new and empty are left out.
bool tar_create_layer(int out, const struct tar_layer *layer, struct tar_error *error);

bool tar_fail(struct tar_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
