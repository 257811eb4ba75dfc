#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

const char *environment_get(char *const *environment, size_t count, const char *key) {
  size_t length = strlen(key);
  while (count-- > 0) {
    if (strncmp(environment[count], key, length) == 0 && environment[count][length] == '=') {
      return environment[count] + length + 1;
    }
  }
  return NULL;
}

static bool may_execute(const char *path) {
  struct stat status;
  if (stat(path, &status) < 0) return false;
  if (S_ISDIR(status.st_mode)) {
    errno = EISDIR;
    return false;
  }
  // The system call itself: a C library may emulate the check of effective ids.
  return syscall(SYS_faccessat2, AT_FDCWD, path, X_OK, AT_EACCESS) == 0;
}

bool command_find(const char *name, const char *search, char *path, size_t size) {
  if (!*name) {
    errno = ENOENT;
    return false;
  }
  if (strchr(name, '/')) {
    if ((size_t)snprintf(path, size, "%s", name) < size) return may_execute(path);
    errno = ENAMETOOLONG;
    return false;
  }
  for (const char *at = search;; at++) {
    size_t length = strcspn(at, ":");
    int written = snprintf(path, size, "%.*s/%s", (int)length, at, name);
    if (length == 0) written = snprintf(path, size, "./%s", name);
    if (written > 0 && (size_t)written < size && may_execute(path)) return true;
    at += length;
    if (!*at) break;
  }
  errno = ENOENT;
  return false;
}
