#include "files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool file_read(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  ssize_t got = read(fd, text, size - 1);
  int error = errno;
  close(fd);
  errno = error;
  if (got < 0) return false;
  text[got] = '\0';
  if (got > 0 && text[got - 1] == '\n') text[got - 1] = '\0';
  return true;
}

bool file_read_all(const char *path, char *text, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  size_t filled = 0;
  ssize_t got = 1;
  while (got > 0 && filled < size - 1) {
    got = read(fd, text + filled, size - 1 - filled);
    if (got > 0) filled += (size_t)got;
  }
  int error = errno;
  close(fd);
  errno = error;
  text[filled] = '\0';
  return got >= 0;
}

bool write_all(int fd, const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    ssize_t written = write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    at += written;
    size -= (size_t)written;
  }
  return true;
}

enum { DEPTH_MAX = 4000 };

static bool write_and_close(int fd, const void *bytes, size_t size) {
  bool done = write_all(fd, bytes, size);
  int error = errno;
  close(fd);
  errno = error;
  return done;
}

bool file_write(const char *path, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC);
  return fd >= 0 && write_and_close(fd, text, strlen(text));
}

bool file_create(const char *path, const void *content, size_t size, mode_t mode) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
  return fd >= 0 && write_and_close(fd, content, size);
}

bool make_directories(const char *path, mode_t mode) {
  char prefix[PATH_MAX];
  size_t length = strlen(path);
  if (length >= sizeof prefix) {
    errno = ENAMETOOLONG;
    return false;
  }
  for (size_t i = 1; i <= length; i++) {
    if (path[i] != '/' && path[i] != '\0') continue;
    memcpy(prefix, path, i);
    prefix[i] = '\0';
    if (mkdir(prefix, mode) < 0 && errno != EEXIST) return false;
  }
  return true;
}

// Empties the directory `fd` (closed here). Depth is bounded by the descriptors and the stack that a name may cost.
static bool empty_directory(int fd, dev_t device, int depth) {
  DIR *directory = fdopendir(fd);
  if (!directory) {
    close(fd);
    return false;
  }
  bool done = true;
  struct dirent *entry;
  while (done && (entry = readdir(directory))) {
    const char *name = entry->d_name;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) continue;
    if (unlinkat(fd, name, 0) == 0) continue;
    if (errno != EISDIR && errno != EPERM) {
      done = errno == ENOENT;
      continue;
    }
    struct stat status;
    int child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (child < 0 || fstat(child, &status) < 0 || status.st_dev != device || depth == 0) {
      if (child >= 0) close(child);
      errno = depth == 0 ? ELOOP : errno;
      done = false;
      continue;
    }
    done = empty_directory(child, device, depth - 1) && unlinkat(fd, name, AT_REMOVEDIR) == 0;
  }
  int error = errno;
  closedir(directory);
  errno = error;
  return done;
}

bool delete_tree(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  struct stat status;
  if (fstat(fd, &status) < 0) {
    close(fd);
    return false;
  }
  return empty_directory(fd, status.st_dev, DEPTH_MAX) && rmdir(path) == 0;
}

bool empty_tree(int fd) {
  struct stat status;
  int directory = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory >= 0 && fstat(directory, &status) == 0) return empty_directory(directory, status.st_dev, DEPTH_MAX);
  if (directory >= 0) close(directory);
  return false;
}
