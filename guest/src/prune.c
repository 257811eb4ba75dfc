#include "prune.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "files.h"

enum { ID_LENGTH = 64 };

static bool is_id(const char *name) {
  return strlen(name) == ID_LENGTH && strspn(name, "0123456789abcdef") == ID_LENGTH;
}

static bool is_one_of(const char *name, char *const *names, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (strcmp(names[i], name) == 0) return true;
  }
  return false;
}

bool prune_containers(const char *directory, char *const *kept, size_t count) {
  DIR *entries = opendir(directory);
  if (!entries) return false;
  bool done = true;
  for (struct dirent *entry; done && (entry = readdir(entries));) {
    char path[PATH_MAX];
    if (!is_id(entry->d_name) || is_one_of(entry->d_name, kept, count)) continue;
    snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
    done = delete_tree(path);
  }
  int error = errno;
  closedir(entries);
  errno = error;
  return done;
}
