// Serves directories and files of the host to one machine: puts them together as DIRECTORY/NAME/0, 1, ... in a file system and a mount namespace of
// its own, listens on DIRECTORY/NAME.sock, and becomes virtiofsd. Its pid is in DIRECTORY/NAME.pid before it does anything else.
//
// usage: share-files VIRTIOFSD DIRECTORY NAME {ro|rw} PATH ...
//   PATH  absolute and free of symbolic links: one that has become a link meanwhile is refused
//
// No root is needed where the kernel lets ordinary users have user namespaces: root in the machine is the caller then.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

enum { SOCKET_FD = 3, FILES_MAX = 1000000 };

static _Noreturn __attribute__((format(printf, 1, 2))) void fail(const char *format, ...) {
  int error = errno;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, ": %s\n", strerror(error));
  exit(1);
}

static void write_file(const char *path, int flags, const char *text) {
  int fd = open(path, O_WRONLY | O_CLOEXEC | flags, 0600);
  if (fd < 0 || write(fd, text, strlen(text)) < 0) fail("write %s", path);
  close(fd);
}

static __attribute__((format(printf, 1, 2))) char *format(const char *form, ...) {
  char *text;
  va_list arguments;
  va_start(arguments, form);
  if (vasprintf(&text, form, arguments) < 0) fail("allocate memory");
  va_end(arguments);
  return text;
}

static void map_ids(uid_t uid, gid_t gid) {
  write_file("/proc/self/setgroups", 0, "deny");
  write_file("/proc/self/uid_map", 0, format("0 %u 1", uid));
  write_file("/proc/self/gid_map", 0, format("0 %u 1", gid));
}

static void leave_host(void) {
  uid_t uid = geteuid();
  gid_t gid = getegid();
  if (unshare(CLONE_NEWNS) < 0) {
    if (errno != EPERM) fail("create mount namespace");
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
      fail("create user namespace (sharing directories with a machine needs root with CAP_SYS_ADMIN, or user namespaces)");
    }
    map_ids(uid, gid);
  }
  // Nothing that is mounted here is seen outside, and nothing that the host mounts later appears in what is read-only.
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) fail("make mounts private");
}

static void make_mount_point(const char *path, bool directory) {
  int fd = directory ? mkdir(path, 0700) : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) fail("create %s", path);
  if (!directory) close(fd);
}

static int take(const char *path, bool read_only, bool *is_directory) {
  struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS};
  struct stat status;
  int source = (int)syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof how);
  if (source < 0 || fstat(source, &status) < 0) fail("open volume \"%s\"", path);
  errno = EINVAL;
  if (!S_ISDIR(status.st_mode) && !S_ISREG(status.st_mode)) fail("open volume \"%s\"", path);
  *is_directory = S_ISDIR(status.st_mode);
  int tree = open_tree(source, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
  struct mount_attr attributes = {.attr_set = read_only ? MOUNT_ATTR_RDONLY : 0};
  if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes) < 0) {
    fail("share volume \"%s\"", path);
  }
  close(source);
  return tree;
}

// What the machine sees: a file system of its own with nothing but the shared ones in it. It covers `place`, where DIRECTORY lies: in DIRECTORY itself the
// machine's process could put a link in its way. Volumes that lie below `place` are opened before.
static void put_together(const char *place, const char *directory, const char *name, int count, char **entries) {
  int *trees = calloc((size_t)count, sizeof *trees);
  bool *are_directories = calloc((size_t)count, sizeof *are_directories);
  if (!trees || !are_directories) fail("allocate memory");
  for (int i = 0; i < count; i++) trees[i] = take(entries[2 * i + 1], strcmp(entries[2 * i], "ro") == 0, &are_directories[i]);
  if (mount("share", place, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0755,size=1m") < 0) fail("mount at %s", place);
  const char *top = format("%s/%s", directory, name);
  make_mount_point(directory, true);
  make_mount_point(top, true);
  for (int i = 0; i < count; i++) {
    const char *target = format("%s/%d", top, i);
    make_mount_point(target, are_directories[i]);
    if (move_mount(trees[i], "", AT_FDCWD, target, MOVE_MOUNT_F_EMPTY_PATH) < 0) fail("share volume \"%s\"", entries[2 * i + 1]);
    close(trees[i]);
  }
  struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};
  if (mount_setattr(AT_FDCWD, place, 0, &attributes, sizeof attributes) < 0) fail("make %s read-only", place);
}

// The socket has its name only once it can be connected to.
static void listen_at(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  const char *draft = format("%s.tmp", path);
  errno = ENAMETOOLONG;
  if (strlen(draft) >= sizeof address.sun_path) fail("listen at %s", path);
  strcpy(address.sun_path, draft);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  // Nobody gets into DIRECTORY but the machine's process, whose user is another one than ours.
  umask(0);
  if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0 || rename(draft, path) < 0) {
    fail("listen at %s", path);
  }
  if (fd != SOCKET_FD && (dup2(fd, SOCKET_FD) < 0 || close(fd) < 0)) fail("listen at %s", path);
}

// virtiofsd holds a file open for every inode that the machine remembers.
static void raise_files(void) {
  struct rlimit most = {.rlim_cur = FILES_MAX, .rlim_max = FILES_MAX}, files;
  if (getrlimit(RLIMIT_NOFILE, &files) < 0) fail("read the limit of open files");
  if (files.rlim_max >= FILES_MAX || setrlimit(RLIMIT_NOFILE, &most) < 0) {
    files.rlim_cur = files.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &files) < 0) fail("raise the limit of open files");
  }
}

int main(int argument_count, char **arguments) {
  errno = EINVAL;
  if (argument_count < 6 || argument_count % 2 != 0) fail("usage: share-files VIRTIOFSD DIRECTORY NAME {ro|rw} PATH ...");
  const char *program = arguments[1], *directory = arguments[2], *name = arguments[3];
  if (chdir(directory) < 0) fail("enter %s", directory);
  write_file(format("%s.pid", name), O_CREAT | O_EXCL, format("%d\n", getpid()));
  umask(0);
  raise_files();
  leave_host();
  const char *place = dirname(format("%s", directory));
  put_together(place, directory, name, (argument_count - 4) / 2, arguments + 4);
  listen_at(format("%s.sock", name));
  // No device nodes of the machine on the host. `ls` of a large directory asks for nothing that it does not show.
  execl(program, program, format("--fd=%d", SOCKET_FD), "--rlimit-nofile=0", "-f", "-o", format("source=%s/%s", directory, name), "-o",
        "announce_submounts,no_readdirplus,log_level=warn,modcaps=-mknod", (char *)NULL);
  fail("run %s", program);
}
