#include "fill.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "files.h"

static bool marker_of(const char *name, char marker[NAME_MAX + 1], struct tar_error *error) {
  if ((size_t)snprintf(marker, NAME_MAX + 1, "%s.filling", name) <= NAME_MAX) return true;
  return tar_fail(error, "fill volume \"%.100s\": the name is too long", name);
}

// 1: empty, 0: not, -1: errno is set.
static int is_empty(int directory) {
  int fd = openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *stream = fd < 0 ? NULL : fdopendir(fd);
  if (!stream) {
    if (fd >= 0) close(fd);
    return -1;
  }
  int empty = 1;
  for (struct dirent *entry; empty && (entry = readdir(stream));) {
    empty = strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0;
  }
  closedir(stream);
  return empty;
}

bool fill_begin(int parent, const char *name, struct tar_error *error) {
  char marker[NAME_MAX + 1];
  *error->text = '\0';
  if (!marker_of(name, marker, error)) return false;
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return tar_fail(error, "fill volume \"%.100s\": %s", name, strerror(errno));
  bool broke_off = faccessat(parent, marker, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
  if (broke_off && !empty_tree(fd)) {
    close(fd);
    return tar_fail(error, "empty volume \"%.100s\", whose filling broke off: %s", name, strerror(errno));
  }
  int empty = broke_off ? 1 : is_empty(fd);
  close(fd);
  if (empty == 0) return false;
  int file = empty < 0 ? -1 : openat(parent, marker, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (file < 0) return tar_fail(error, "fill volume \"%.100s\": %s", name, strerror(errno));
  close(file);
  return true;
}

// The other end of the pipe: whatever the volume holds, no path leads out of it.
static _Noreturn void unpack(int to, int pipe, int report) {
  static struct tar_error error;
  bool done = fchdir(to) == 0 && chroot(".") == 0;
  if (!done) tar_fail(&error, "enter volume: %s", strerror(errno));
  else done = tar_extract(pipe, "/", &error);
  if (!done) write_all(report, error.text, strlen(error.text));
  _exit(done ? 0 : 1);
}

static bool ended_well(pid_t child, int report, struct tar_error *error) {
  static char text[sizeof error->text];
  size_t filled = 0;
  for (ssize_t got; filled < sizeof text - 1 && (got = read(report, text + filled, sizeof text - 1 - filled)) != 0;) {
    if (got > 0) filled += (size_t)got;
    else if (errno != EINTR) break;
  }
  text[filled] = '\0';
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return true;
  return tar_fail(error, "%s", filled > 0 ? text : "the copying process was killed");
}

bool fill_copy(const char *from, int to, struct tar_error *error) {
  int pipe_ends[2], report[2];
  if (pipe2(pipe_ends, O_CLOEXEC) < 0) return tar_fail(error, "fill volume: %s", strerror(errno));
  if (pipe2(report, O_CLOEXEC) < 0) {
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    return tar_fail(error, "fill volume: %s", strerror(errno));
  }
  pid_t child = fork();
  if (child == 0) {
    close(pipe_ends[1]);
    unpack(to, pipe_ends[0], report[1]);
  }
  close(pipe_ends[0]);
  close(report[1]);
  void (*before)(int) = signal(SIGPIPE, SIG_IGN);
  bool packed = child >= 0 ? tar_create(pipe_ends[1], from, "", error) : tar_fail(error, "fill volume: %s", strerror(errno));
  close(pipe_ends[1]);
  signal(SIGPIPE, before);
  // What the other end says comes first: ours has failed for its sake, as a rule.
  bool done = child >= 0 && ended_well(child, report[0], error) && packed;
  close(report[0]);
  return done;
}

bool fill_end(int parent, const char *name, struct tar_error *error) {
  char marker[NAME_MAX + 1];
  if (!marker_of(name, marker, error)) return false;
  return unlinkat(parent, marker, 0) == 0 || errno == ENOENT ||
         tar_fail(error, "end filling of volume \"%.100s\": %s", name, strerror(errno));
}
