#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files.h"
#include "root-path.h"
#include "tar.h"

enum { EXTENSION_MAX = 1 << 20, PIECE = 1 << 16 };

struct entry {
  char name[PATH_MAX], link[PATH_MAX];
  char type;
  uint64_t size;
  mode_t mode;
  uid_t uid;
  gid_t gid;
  int64_t mtime;
  unsigned int major, minor;
};

struct extraction {
  int in;
  const char *directory;
  struct tar_error *error;
  struct entry entry;
  char *pax; // records of the extended header that came last, or NULL
  size_t pax_size;
  char long_name[PATH_MAX], long_link[PATH_MAX]; // GNU's
};

bool tar_fail(struct tar_error *error, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(error->text, sizeof error->text, format, arguments);
  va_end(arguments);
  return false;
}

// 1: all of it; 0: the end before the first byte; -1: cut off, or errno.
static int read_whole(int fd, void *bytes, size_t size) {
  char *at = bytes;
  size_t left = size;
  while (left > 0) {
    ssize_t got = read(fd, at, left);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -1;
    if (got == 0) {
      errno = EPIPE;
      return left == size ? 0 : -1;
    }
    at += got;
    left -= (size_t)got;
  }
  return 1;
}

static uint64_t padding(uint64_t size) { return (TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK; }

static bool skip(struct extraction *x, uint64_t size) {
  static char piece[PIECE];
  while (size > 0) {
    size_t part = size < sizeof piece ? (size_t)size : sizeof piece;
    if (read_whole(x->in, piece, part) != 1) return tar_fail(x->error, "read archive: it is cut off");
    size -= part;
  }
  return true;
}

static uint64_t number(const unsigned char *field, size_t length) {
  uint64_t value = 0;
  if (field[0] & 0x80) {
    value = field[0] & 0x7f;
    for (size_t i = 1; i < length; i++) value = value << 8 | field[i];
    return value;
  }
  for (size_t i = 0; i < length && field[i]; i++) {
    if (field[i] >= '0' && field[i] <= '7') value = value << 3 | (uint64_t)(field[i] - '0');
  }
  return value;
}

static bool checksum_holds(const unsigned char *block) {
  uint64_t sum = 0;
  for (int i = 0; i < TAR_BLOCK; i++) sum += i >= 148 && i < 156 ? ' ' : block[i];
  return sum == number(block + 148, 8);
}

// The next record of a pax header from *at on: "LENGTH KEY=VALUE\n". NULL: no more, or none that is right.
static char *next_record(char *pax, size_t size, size_t *at, char **value, size_t *value_size) {
  if (*at >= size) return NULL;
  char *end_of_length;
  unsigned long length = strtoul(pax + *at, &end_of_length, 10);
  char *end = pax + *at + length;
  if (*end_of_length != ' ' || length > size - *at || end <= end_of_length + 1 || end[-1] != '\n') return NULL;
  char *key = end_of_length + 1, *equals = memchr(key, '=', (size_t)(end - key));
  if (!equals) return NULL;
  *equals = '\0';
  end[-1] = '\0';
  *value = equals + 1;
  *value_size = (size_t)(end - 1 - *value);
  *at += length;
  return key;
}

static void copy_text(char *to, size_t size, const char *from) { snprintf(to, size, "%s", from); }

// What a pax header says instead of the plain one; its extended attributes stay for later.
static void apply_pax(struct extraction *x) {
  char *copy = malloc(x->pax_size + 1), *key, *value;
  if (!copy) return;
  memcpy(copy, x->pax, x->pax_size + 1);
  size_t at = 0, value_size;
  while ((key = next_record(copy, x->pax_size, &at, &value, &value_size))) {
    if (strcmp(key, "path") == 0) copy_text(x->entry.name, sizeof x->entry.name, value);
    if (strcmp(key, "linkpath") == 0) copy_text(x->entry.link, sizeof x->entry.link, value);
    if (strcmp(key, "size") == 0) x->entry.size = strtoull(value, NULL, 10);
    if (strcmp(key, "uid") == 0) x->entry.uid = (uid_t)strtoul(value, NULL, 10);
    if (strcmp(key, "gid") == 0) x->entry.gid = (gid_t)strtoul(value, NULL, 10);
    if (strcmp(key, "mtime") == 0) x->entry.mtime = strtoll(value, NULL, 10);
  }
  free(copy);
}

static void set_xattrs(struct extraction *x, const char *path) {
  static const char prefix[] = "SCHILY.xattr.";
  size_t at = 0, value_size;
  char *key, *value;
  while (x->pax && (key = next_record(x->pax, x->pax_size, &at, &value, &value_size))) {
    // Not every file system and kernel has all of them: what it does not have is left out.
    if (strncmp(key, prefix, sizeof prefix - 1) == 0) lsetxattr(path, key + sizeof prefix - 1, value, value_size, 0);
  }
}

static bool read_extension(struct extraction *x, char type, uint64_t size) {
  if (size > EXTENSION_MAX) return tar_fail(x->error, "read archive: an extended header of %llu bytes", (unsigned long long)size);
  char *bytes = calloc(1, size + 1);
  if (!bytes) return tar_fail(x->error, "read archive: %s", strerror(errno));
  if (size > 0 && read_whole(x->in, bytes, size) != 1) {
    free(bytes);
    return tar_fail(x->error, "read archive: it is cut off");
  }
  if (type == 'L') copy_text(x->long_name, sizeof x->long_name, bytes);
  if (type == 'K') copy_text(x->long_link, sizeof x->long_link, bytes);
  if (type == 'x') {
    free(x->pax);
    x->pax = bytes;
    x->pax_size = size;
  } else {
    free(bytes);
  }
  return skip(x, padding(size));
}

static void parse(struct extraction *x, const unsigned char *block) {
  struct entry *entry = &x->entry;
  int prefix = memcmp(block + 257, "ustar\0", 6) == 0 && block[345] ? 155 : 0;
  snprintf(entry->name, sizeof entry->name, "%.*s%s%.100s", prefix, block + 345, prefix ? "/" : "", block);
  snprintf(entry->link, sizeof entry->link, "%.100s", block + 157);
  if (*x->long_name) copy_text(entry->name, sizeof entry->name, x->long_name);
  if (*x->long_link) copy_text(entry->link, sizeof entry->link, x->long_link);
  *x->long_name = *x->long_link = '\0';
  entry->type = (char)block[156];
  entry->mode = (mode_t)(number(block + 100, 8) & 07777);
  entry->uid = (uid_t)number(block + 108, 8);
  entry->gid = (gid_t)number(block + 116, 8);
  entry->size = number(block + 124, 12);
  entry->mtime = (int64_t)number(block + 136, 12);
  entry->major = (unsigned int)number(block + 329, 8);
  entry->minor = (unsigned int)number(block + 337, 8);
  if (x->pax) apply_pax(x);
  size_t length = strlen(entry->name);
  if ((entry->type == '0' || entry->type == '\0') && length > 0 && entry->name[length - 1] == '/') entry->type = '5';
}

// `name` below the directory. False: it leads out of it, or is too long.
static bool path_of(struct extraction *x, const char *name, char path[PATH_MAX]) {
  size_t used = (size_t)snprintf(path, PATH_MAX, "%s", strcmp(x->directory, "/") == 0 ? "" : x->directory);
  while (*name) {
    size_t length = strcspn(name, "/");
    if (length == 2 && strncmp(name, "..", 2) == 0) return tar_fail(x->error, "unpack \"%.200s\": it leads out of the archive", x->entry.name);
    if (length > 0 && !(length == 1 && *name == '.')) {
      if (used + length + 2 > PATH_MAX) return tar_fail(x->error, "unpack \"%.200s\": the path is too long", x->entry.name);
      path[used++] = '/';
      memcpy(path + used, name, length);
      used += length;
      path[used] = '\0';
    }
    name += length + (name[length] == '/');
  }
  if (used == 0) snprintf(path, PATH_MAX, "/");
  return true;
}

static bool fail_entry(struct extraction *x) {
  return tar_fail(x->error, "unpack \"%.300s\": %s", x->entry.name, strerror(errno));
}

static bool make_parent(struct extraction *x, const char *path) {
  char parent[PATH_MAX];
  snprintf(parent, sizeof parent, "%s", path);
  char *slash = strrchr(parent, '/');
  if (!slash || slash == parent) return true;
  *slash = '\0';
  int fd = root_path_make(parent, true);
  if (fd < 0) return fail_entry(x);
  close(fd);
  return true;
}

static bool copy_content(struct extraction *x, int fd) {
  static char piece[PIECE];
  for (uint64_t left = x->entry.size; left > 0;) {
    size_t part = left < sizeof piece ? (size_t)left : sizeof piece;
    if (read_whole(x->in, piece, part) != 1) return tar_fail(x->error, "read archive: it is cut off");
    if (!write_all(fd, piece, part)) return fail_entry(x);
    left -= part;
  }
  return skip(x, padding(x->entry.size));
}

static bool extract_file(struct extraction *x, const char *path) {
  // What is mounted there (/etc/hosts) cannot be replaced, but filled anew.
  int flags = unlink(path) < 0 && errno == EBUSY ? O_TRUNC : O_CREAT | O_EXCL;
  int fd = open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | flags, 0600);
  if (fd < 0) return fail_entry(x);
  bool done = copy_content(x, fd) && (fchown(fd, x->entry.uid, x->entry.gid) == 0 || fail_entry(x)) &&
              (fchmod(fd, x->entry.mode) == 0 || fail_entry(x));
  close(fd);
  return done;
}

static bool extract_directory(struct extraction *x, const char *path) {
  struct stat status;
  if (mkdir(path, 0755) < 0 && (errno != EEXIST || stat(path, &status) < 0 || !S_ISDIR(status.st_mode))) {
    errno = EEXIST;
    return fail_entry(x);
  }
  return (chown(path, x->entry.uid, x->entry.gid) == 0 && chmod(path, x->entry.mode) == 0) || fail_entry(x);
}

static bool extract_special(struct extraction *x, const char *path) {
  const struct entry *entry = &x->entry;
  char target[PATH_MAX];
  unlink(path);
  switch (entry->type) {
  case '1':
    if (!path_of(x, entry->link, target)) return false;
    return linkat(AT_FDCWD, target, AT_FDCWD, path, 0) == 0 || fail_entry(x);
  case '2': return (symlink(entry->link, path) == 0 && lchown(path, entry->uid, entry->gid) == 0) || fail_entry(x);
  case '6': if (mknod(path, S_IFIFO | 0600, 0) < 0) return fail_entry(x); break;
  default:
    if (mknod(path, (entry->type == '3' ? S_IFCHR : S_IFBLK) | 0600, makedev(entry->major, entry->minor)) < 0) return fail_entry(x);
  }
  return (chown(path, entry->uid, entry->gid) == 0 && chmod(path, entry->mode) == 0) || fail_entry(x);
}

static bool extract(struct extraction *x) {
  struct entry *entry = &x->entry;
  bool is_file = entry->type == '0' || entry->type == '\0' || entry->type == '7';
  char path[PATH_MAX];
  if (!is_file && !strchr("123456", entry->type)) return skip(x, entry->size + padding(entry->size));
  if (!path_of(x, entry->name, path)) return false;
  if (!make_parent(x, path)) return false;
  bool done = is_file ? extract_file(x, path) : entry->type == '5' ? extract_directory(x, path) : extract_special(x, path);
  if (!done) return false;
  if (entry->type == '1') return true;
  set_xattrs(x, path);
  struct timespec times[2] = {{.tv_sec = entry->mtime}, {.tv_sec = entry->mtime}};
  utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW);
  return true;
}

static bool extract_all(struct extraction *x) {
  unsigned char block[TAR_BLOCK];
  static const unsigned char zeros[TAR_BLOCK];
  for (int ends = 0;;) {
    int got = read_whole(x->in, block, sizeof block);
    if (got == 0) return true;
    if (got < 0) return tar_fail(x->error, "read archive: it is cut off");
    if (memcmp(block, zeros, sizeof block) == 0) {
      if (++ends == 2) break;
      continue;
    }
    ends = 0;
    if (!checksum_holds(block)) return tar_fail(x->error, "read archive: a header with a wrong checksum");
    char type = (char)block[156];
    if (strchr("xgLK", type) && type) {
      if (!read_extension(x, type, number(block + 124, 12))) return false;
      continue;
    }
    parse(x, block);
    bool done = extract(x);
    free(x->pax);
    x->pax = NULL;
    if (!done) return false;
  }
  // What follows the end is read, so that who writes it is not stopped.
  while (read_whole(x->in, block, sizeof block) == 1) continue;
  return true;
}

bool tar_extract(int in, const char *directory, struct tar_error *error) {
  static struct extraction x;
  x = (struct extraction){.in = in, .directory = directory, .error = error};
  int fd = root_path_make(directory, true);
  if (fd < 0) return tar_fail(error, "unpack below \"%.300s\": %s", directory, strerror(errno));
  struct stat status;
  bool is_directory = fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
  close(fd);
  if (!is_directory) return tar_fail(error, "unpack below \"%.300s\": it is no directory", directory);
  bool done = extract_all(&x);
  free(x.pax);
  return done;
}
