#include "root-path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LINKS_MAX = 16 };

static int make(const char *path, bool directory, int links);

static int create_at(int parent, const char *name, bool directory) {
  if (directory) {
    if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST) return -1;
    return openat(parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  }
  int fd = openat(parent, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd >= 0) close(fd);
  return openat(parent, name, O_PATH | O_CLOEXEC);
}

// `name` is missing in `parent_path` (which is open as `parent`), or a link to something that is missing.
static int make_in(int parent, const char *parent_path, const char *name, bool directory, int links) {
  char target[PATH_MAX], joined[PATH_MAX];
  ssize_t length = readlinkat(parent, name, target, sizeof target - 1);
  if (length < 0) return errno == ENOENT ? create_at(parent, name, directory) : -1;
  target[length] = '\0';
  if (links == 0) {
    errno = ELOOP;
    return -1;
  }
  if (target[0] == '/') return make(target, directory, links - 1);
  if ((size_t)snprintf(joined, sizeof joined, "%s/%s", parent_path, target) >= sizeof joined) {
    errno = ENAMETOOLONG;
    return -1;
  }
  return make(joined, directory, links - 1);
}

static int make(const char *path, bool directory, int links) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd >= 0 || errno != ENOENT) return fd;
  char parent_path[PATH_MAX];
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  if (length <= 1 || length >= sizeof parent_path) {
    errno = length <= 1 ? EINVAL : ENAMETOOLONG;
    return -1;
  }
  memcpy(parent_path, path, length);
  parent_path[length] = '\0';
  char *slash = strrchr(parent_path, '/');
  if (!slash) {
    errno = EINVAL;
    return -1;
  }
  char name[NAME_MAX + 1];
  if ((size_t)snprintf(name, sizeof name, "%s", slash + 1) >= sizeof name) {
    errno = ENAMETOOLONG;
    return -1;
  }
  *slash = '\0';
  int parent = make(*parent_path ? parent_path : "/", true, links);
  if (parent < 0) return -1;
  fd = make_in(parent, parent_path, name, directory, links);
  int error = errno;
  close(parent);
  errno = error;
  return fd;
}

int root_path_make(const char *path, bool directory) { return make(path, directory, LINKS_MAX); }
