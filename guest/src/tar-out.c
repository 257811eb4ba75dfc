#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "files.h"
#include "tar.h"

enum { PIECE = 1 << 16, DEPTH_MAX = 4000, PAX_MAX = 1 << 18, XATTR_NAMES_MAX = 1 << 14 };

// A file of several names that has been packed.
struct known {
  dev_t device;
  ino_t inode;
  char *name;
  struct known *next;
};

struct packing {
  int out;
  struct tar_error *error;
  const struct tar_layer *layer; // NULL: an ordinary archive
  dev_t device;
  struct known *known;
  char *pax;
  size_t pax_size;
  char buffer[PIECE];
  size_t filled;
};

static bool flush(struct packing *p) {
  if (p->filled > 0 && !write_all(p->out, p->buffer, p->filled)) {
    return tar_fail(p->error, "write archive: %s", strerror(errno));
  }
  p->filled = 0;
  return true;
}

static bool put(struct packing *p, const void *bytes, size_t size) {
  const char *at = bytes;
  while (size > 0) {
    size_t part = sizeof p->buffer - p->filled < size ? sizeof p->buffer - p->filled : size;
    memcpy(p->buffer + p->filled, at, part);
    p->filled += part;
    at += part;
    size -= part;
    if (p->filled == sizeof p->buffer && !flush(p)) return false;
  }
  return true;
}

static bool pad(struct packing *p, uint64_t size) {
  static const char zeros[TAR_BLOCK];
  return put(p, zeros, (size_t)((TAR_BLOCK - size % TAR_BLOCK) % TAR_BLOCK));
}

static void octal(char *field, size_t length, uint64_t value) { snprintf(field, length, "%0*llo", (int)length - 1, (unsigned long long)value); }

static void add_record(struct packing *p, const char *key, const char *value, size_t size) {
  size_t rest = strlen(key) + size + 3, length = rest + 1;
  char digits[24];
  while (rest + (size_t)snprintf(digits, sizeof digits, "%zu", length) != length) length = rest + strlen(digits);
  if (length > PAX_MAX - p->pax_size) return; // more than a file system lets a file have
  p->pax_size += (size_t)snprintf(p->pax + p->pax_size, PAX_MAX - p->pax_size, "%zu %s=", length, key);
  memcpy(p->pax + p->pax_size, value, size);
  p->pax_size += size;
  p->pax[p->pax_size++] = '\n';
}

static void add_number(struct packing *p, const char *key, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  add_record(p, key, text, strlen(text));
}

static bool is_kept(const char *name) {
  return strncmp(name, "user.", 5) == 0 || strcmp(name, "security.capability") == 0 ||
         strncmp(name, "system.posix_acl_", 17) == 0;
}

static void add_xattrs(struct packing *p, const char *path) {
  static char names[XATTR_NAMES_MAX], value[PIECE];
  ssize_t size = llistxattr(path, names, sizeof names);
  for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
    if (!is_kept(names + at)) continue;
    ssize_t length = lgetxattr(path, names + at, value, sizeof value);
    char key[300];
    if (length >= 0 && snprintf(key, sizeof key, "SCHILY.xattr.%s", names + at) < (int)sizeof key) {
      add_record(p, key, value, (size_t)length);
    }
  }
}

static bool put_block(struct packing *p, const char *name, const char *link, char type, uint64_t size, const struct stat *status) {
  char block[TAR_BLOCK] = {0};
  memcpy(block, name, strnlen(name, 100));
  octal(block + 100, 8, status->st_mode & 07777);
  octal(block + 108, 8, status->st_uid & 07777777);
  octal(block + 116, 8, status->st_gid & 07777777);
  octal(block + 124, 12, size & 077777777777ULL);
  octal(block + 136, 12, status->st_mtime > 0 ? (uint64_t)status->st_mtime & 077777777777ULL : 0);
  block[156] = type;
  memcpy(block + 157, link, strnlen(link, 100));
  memcpy(block + 257, "ustar\00000", 8);
  octal(block + 329, 8, major(status->st_rdev));
  octal(block + 337, 8, minor(status->st_rdev));
  unsigned int sum = 8 * ' ';
  for (int i = 0; i < TAR_BLOCK; i++) sum += (unsigned char)block[i];
  snprintf(block + 148, 8, "%06o", sum);
  block[155] = ' ';
  return put(p, block, sizeof block);
}

static bool put_head(struct packing *p, const char *path, const char *name, const char *link, char type, uint64_t size, const struct stat *status) {
  p->pax_size = 0;
  if (strlen(name) > 100) add_record(p, "path", name, strlen(name));
  if (strlen(link) > 100) add_record(p, "linkpath", link, strlen(link));
  if (size > 077777777777ULL) add_number(p, "size", size);
  if (status->st_uid > 07777777) add_number(p, "uid", status->st_uid);
  if (status->st_gid > 07777777) add_number(p, "gid", status->st_gid);
  if (type != '1') add_xattrs(p, path);
  if (p->pax_size > 0) {
    struct stat plain = {.st_mode = 0644};
    if (!put_block(p, "pax", "", 'x', p->pax_size, &plain) || !put(p, p->pax, p->pax_size) || !pad(p, p->pax_size)) return false;
  }
  return put_block(p, name, link, type, size, status);
}

// The name under which the file has been packed already, or NULL: it is remembered then.
static const char *known_as(struct packing *p, const char *name, const struct stat *status) {
  for (struct known *known = p->known; known; known = known->next) {
    if (known->device == status->st_dev && known->inode == status->st_ino) return known->name;
  }
  struct known *known = malloc(sizeof *known);
  char *copy = strdup(name);
  if (!known || !copy) {
    free(known);
    free(copy);
    return NULL; // packed once more: larger, but right
  }
  *known = (struct known){.device = status->st_dev, .inode = status->st_ino, .name = copy, .next = p->known};
  p->known = known;
  return NULL;
}

// The size is told before the content: what the file has more is left out, what it has lost meanwhile are zeros.
static bool put_content(struct packing *p, int fd, const char *name, uint64_t size) {
  static char piece[PIECE];
  uint64_t left = size;
  while (left > 0) {
    size_t part = left < sizeof piece ? (size_t)left : sizeof piece;
    ssize_t got = read(fd, piece, part);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return tar_fail(p->error, "read \"%.300s\": %s", name, strerror(errno));
    if (got == 0) {
      memset(piece, 0, part);
      got = (ssize_t)part;
    }
    if (!put(p, piece, (size_t)got)) return false;
    left -= (uint64_t)got;
  }
  return pad(p, size);
}

static bool pack(struct packing *p, const char *path, const char *name, int depth);

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

static int is_entry(const struct dirent *entry) { return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0; }

static bool pack_entry(struct packing *p, const char *path, const char *name, const char *entry, int depth) {
  char *below = malloc(2 * (size_t)PATH_MAX), *below_name = below + PATH_MAX;
  if (!below) return tar_fail(p->error, "pack \"%.300s\": %s", name, strerror(ENOMEM));
  bool fits = snprintf(below, PATH_MAX, "%s/%s", path, entry) < PATH_MAX &&
              snprintf(below_name, PATH_MAX, "%s%s%s", name, *name ? "/" : "", entry) < PATH_MAX;
  bool done = fits ? pack(p, below, below_name, depth - 1) : tar_fail(p->error, "pack \"%.300s\": the path is too long", name);
  free(below);
  return done;
}

static bool pack_directory(struct packing *p, const char *path, const char *name, int depth) {
  struct dirent **entries;
  int count = scandir(path, &entries, is_entry, by_name);
  if (count < 0) return tar_fail(p->error, "read \"%.300s\": %s", name, strerror(errno));
  bool done = true;
  for (int i = 0; i < count; i++) {
    done = done && pack_entry(p, path, name, entries[i]->d_name, depth);
    free(entries[i]);
  }
  free(entries);
  return done;
}

// An empty file whose name says what the layer hides.
static bool put_whiteout(struct packing *p, const char *directory, size_t length, const char *base) {
  static const struct stat plain = {.st_mode = S_IFREG | 0600};
  char name[PATH_MAX + 16];
  snprintf(name, sizeof name, "%.*s%s.wh.%s", (int)length, directory, length > 0 ? "/" : "", base);
  return put_head(p, "", name, "", '0', 0, &plain);
}

static bool put_hidden(struct packing *p, const char *name) {
  const char *slash = strrchr(name, '/');
  return put_whiteout(p, name, slash ? (size_t)(slash - name) : 0, slash ? slash + 1 : name);
}

static bool is_opaque(const char *path) {
  char value[2];
  return lgetxattr(path, "trusted.overlay.opaque", value, sizeof value) == 1 && value[0] == 'y';
}

static bool in_lower(const struct tar_layer *layer, const char *name, struct stat *status) {
  char path[2 * PATH_MAX];
  for (size_t i = 0; i < layer->lower_count; i++) {
    snprintf(path, sizeof path, "%s/%s", layer->lowers[i], name);
    if (lstat(path, status) == 0) return true;
  }
  return false;
}

static bool is_stub(const struct tar_layer *layer, const char *name, const struct stat *status) {
  struct stat lower;
  for (size_t i = 0; i < layer->stub_count; i++) {
    if (strcmp(layer->stubs[i] + 1, name) != 0) continue;
    return (S_ISDIR(status->st_mode) || (S_ISREG(status->st_mode) && status->st_size == 0)) && !in_lower(layer, name, &lower);
  }
  return false;
}

static bool leads_to_stub(const struct tar_layer *layer, const char *name) {
  size_t length = strlen(name);
  for (size_t i = 0; i < layer->stub_count; i++) {
    if (strncmp(layer->stubs[i] + 1, name, length) == 0 && layer->stubs[i][1 + length] == '/') return true;
  }
  return false;
}

static bool is_left_out(const struct tar_layer *layer, const char *path, const char *name, const struct stat *status, int depth);

static bool has_only_stubs(const struct tar_layer *layer, const char *path, const char *name, int depth) {
  DIR *directory = opendir(path);
  char *below = malloc(2 * (size_t)PATH_MAX), *below_name = below + PATH_MAX;
  bool only = directory && below;
  struct dirent *entry;
  struct stat status;
  while (only && (entry = readdir(directory))) {
    if (!is_entry(entry)) continue;
    only = snprintf(below, PATH_MAX, "%s/%s", path, entry->d_name) < PATH_MAX &&
           snprintf(below_name, PATH_MAX, "%s/%s", name, entry->d_name) < PATH_MAX && lstat(below, &status) == 0 &&
           is_left_out(layer, below, below_name, &status, depth - 1);
  }
  free(below);
  if (directory) closedir(directory);
  return only;
}

// What is there for mounts only: an empty stub, or a directory on the way to stubs that nobody else has changed.
static bool is_left_out(const struct tar_layer *layer, const char *path, const char *name, const struct stat *status, int depth) {
  if (depth == 0) return false;
  if (is_stub(layer, name, status)) return !S_ISDIR(status->st_mode) || has_only_stubs(layer, path, name, depth);
  if (!S_ISDIR(status->st_mode) || !leads_to_stub(layer, name) || is_opaque(path)) return false;
  struct stat before = {.st_mode = S_IFDIR | 0755};
  in_lower(layer, name, &before);
  return before.st_mode == status->st_mode && before.st_uid == status->st_uid && before.st_gid == status->st_gid &&
         has_only_stubs(layer, path, name, depth);
}

static bool pack_file(struct packing *p, const char *path, const char *name, struct stat *status) {
  int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT || tar_fail(p->error, "read \"%.300s\": %s", name, strerror(errno));
  bool done = fstat(fd, status) == 0 && S_ISREG(status->st_mode) &&
              put_head(p, path, name, "", '0', (uint64_t)status->st_size, status) &&
              put_content(p, fd, name, (uint64_t)status->st_size);
  if (!done && !*p->error->text) tar_fail(p->error, "read \"%.300s\": it has changed meanwhile", name);
  close(fd);
  return done;
}

static bool pack(struct packing *p, const char *path, const char *name, int depth) {
  struct stat status;
  if (lstat(path, &status) < 0) return errno == ENOENT || tar_fail(p->error, "read \"%.300s\": %s", name, strerror(errno));
  if (depth == 0) return tar_fail(p->error, "pack \"%.300s\": the tree is too deep", name);
  if (p->layer && *name && is_left_out(p->layer, path, name, &status, depth)) {
    bool done = !p->layer->remove_stubs || (S_ISDIR(status.st_mode) ? delete_tree(path) : unlink(path) == 0);
    return done || tar_fail(p->error, "delete \"%.300s\": %s", name, strerror(errno));
  }
  if (p->layer && S_ISCHR(status.st_mode) && status.st_rdev == 0) return put_hidden(p, name);
  if (S_ISDIR(status.st_mode)) {
    char directory[PATH_MAX + 1];
    snprintf(directory, sizeof directory, "%s/", *name ? name : ".");
    if ((*name || !p->layer) && !put_head(p, path, directory, "", '5', 0, &status)) return false;
    if (p->layer && is_opaque(path) && !put_whiteout(p, name, strlen(name), ".wh..opq")) return false;
    return status.st_dev != p->device || pack_directory(p, path, name, depth);
  }
  const char *first = status.st_nlink > 1 ? known_as(p, name, &status) : NULL;
  if (first) return put_head(p, path, name, first, '1', 0, &status);
  if (S_ISREG(status.st_mode)) return pack_file(p, path, name, &status);
  if (S_ISLNK(status.st_mode)) {
    char target[PATH_MAX] = {0};
    if (readlink(path, target, sizeof target - 1) < 0) return tar_fail(p->error, "read \"%.300s\": %s", name, strerror(errno));
    return put_head(p, path, name, target, '2', 0, &status);
  }
  char type = S_ISCHR(status.st_mode) ? '3' : S_ISBLK(status.st_mode) ? '4' : S_ISFIFO(status.st_mode) ? '6' : 0;
  return type == 0 || put_head(p, path, name, "", type, 0, &status);
}

static bool create(int out, const char *path, const char *name, const struct tar_layer *layer, struct tar_error *error) {
  static struct packing p;
  static const char end[2 * TAR_BLOCK];
  struct stat status;
  p = (struct packing){.out = out, .error = error, .layer = layer};
  *error->text = '\0';
  if (lstat(path, &status) < 0) return tar_fail(error, "read \"%.300s\": %s", path, strerror(errno));
  p.device = status.st_dev;
  p.pax = malloc(PAX_MAX);
  if (!p.pax) return tar_fail(error, "pack \"%.300s\": %s", path, strerror(errno));
  bool done = pack(&p, path, name, DEPTH_MAX) && put(&p, end, sizeof end) && flush(&p);
  free(p.pax);
  while (p.known) {
    struct known *known = p.known;
    p.known = known->next;
    free(known->name);
    free(known);
  }
  return done;
}

bool tar_create(int out, const char *path, const char *name, struct tar_error *error) { return create(out, path, name, NULL, error); }

bool tar_create_layer(int out, const struct tar_layer *layer, struct tar_error *error) {
  return create(out, layer->upper, "", layer, error);
}
