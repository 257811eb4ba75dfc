#include "../src/tar.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "../src/files.h"
#include "test.h"

static char base[64];

static bool begin(void) {
  strcpy(base, "/tmp/hyperd-tar-XXXXXX");
  return mkdtemp(base);
}

static const char *in_base(const char *name) {
  static char paths[4][PATH_MAX];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, PATH_MAX, "%s/%s", base, name);
  return path;
}

static bool pack(const char *path, const char *archive, struct tar_error *error) {
  int fd = open(in_base(archive), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  const char *name = strrchr(path, '/') + 1;
  bool done = tar_create(fd, path, name, error);
  close(fd);
  return done;
}

static bool unpack(const char *archive, const char *directory, struct tar_error *error) {
  int fd = open(in_base(archive), O_RDONLY);
  bool done = tar_extract(fd, directory, error);
  close(fd);
  return done;
}

static bool has_text(const char *name, const char *text) {
  char found[64];
  return file_read(in_base(name), found, sizeof found) && strcmp(found, text) == 0;
}

static void round_trip(void) {
  struct tar_error error;
  struct stat a, b;
  char target[PATH_MAX] = {0}, long_name[300];
  CHECK(begin() && make_directories(in_base("tree/empty"), 0755));
  memset(long_name, 'n', 200);
  strcpy(long_name + 200, "");
  char path[PATH_MAX];
  snprintf(path, sizeof path, "tree/%s", long_name);
  CHECK(file_create(in_base(path), "long\n", 5, 0644) && file_create(in_base("tree/a"), "content\n", 8, 0751));
  CHECK(link(in_base("tree/a"), in_base("tree/b")) == 0 && symlink("../nowhere", in_base("tree/link")) == 0);
  CHECK(mkfifo(in_base("tree/fifo"), 0600) == 0 && chmod(in_base("tree/empty"), 01700) == 0);
  bool attributes = setxattr(in_base("tree/a"), "user.k", "v\0w", 3, 0) == 0; // not on every file system
  CHECK(pack(in_base("tree"), "archive", &error) && unpack("archive", in_base("new/place"), &error));
  CHECK(has_text("new/place/tree/a", "content"));
  snprintf(path, sizeof path, "new/place/tree/%s", long_name);
  CHECK(has_text(path, "long"));
  CHECK(stat(in_base("new/place/tree/a"), &a) == 0 && stat(in_base("new/place/tree/b"), &b) == 0 && a.st_ino == b.st_ino);
  CHECK((a.st_mode & 07777) == 0751 && stat(in_base("tree/a"), &b) == 0 && a.st_mtime == b.st_mtime);
  CHECK(readlink(in_base("new/place/tree/link"), target, sizeof target - 1) > 0 && strcmp(target, "../nowhere") == 0);
  CHECK(lstat(in_base("new/place/tree/fifo"), &a) == 0 && S_ISFIFO(a.st_mode));
  CHECK(stat(in_base("new/place/tree/empty"), &a) == 0 && S_ISDIR(a.st_mode) && (a.st_mode & 07777) == 01700);
  char value[8];
  CHECK(!attributes || (getxattr(in_base("new/place/tree/a"), "user.k", value, sizeof value) == 3 && memcmp(value, "v\0w", 3) == 0));
  CHECK(delete_tree(base));
}

static void other_tars(void) {
  struct tar_error error;
  char command[3 * PATH_MAX];
  CHECK(begin() && make_directories(in_base("tree/d"), 0755) && file_create(in_base("tree/d/f"), "text\n", 5, 0644));
  CHECK(pack(in_base("tree"), "ours", &error));
  snprintf(command, sizeof command, "cd %s && mkdir gnu && tar -xf ours -C gnu && tar -cf theirs -C tree d && tar --format=pax -cf pax -C tree d", base);
  CHECK(system(command) == 0 && has_text("gnu/tree/d/f", "text"));
  CHECK(unpack("theirs", in_base("x"), &error) && has_text("x/d/f", "text"));
  CHECK(unpack("pax", in_base("y"), &error) && has_text("y/d/f", "text"));
  CHECK(delete_tree(base));
}

static void in_the_way(void) {
  struct tar_error error;
  CHECK(begin() && make_directories(in_base("tree"), 0755) && file_create(in_base("tree/f"), "new\n", 4, 0644));
  CHECK(pack(in_base("tree/f"), "file", &error));
  CHECK(make_directories(in_base("to"), 0755) && file_create(in_base("kept"), "kept\n", 5, 0644));
  CHECK(symlink("../kept", in_base("to/f")) == 0);
  CHECK(unpack("file", in_base("to"), &error) && has_text("to/f", "new") && has_text("kept", "kept"));
  CHECK(make_directories(in_base("other/f"), 0755) && !unpack("file", in_base("other"), &error));
  CHECK(strstr(error.text, "unpack \"f\"") != NULL);
  CHECK(!unpack("file", in_base("kept"), &error) && strstr(error.text, "no directory") != NULL);
  CHECK(delete_tree(base));
}

static void damaged(void) {
  struct tar_error error;
  unsigned char bytes[4096];
  CHECK(begin() && make_directories(in_base("tree"), 0755) && file_create(in_base("tree/f"), "text\n", 5, 0644));
  CHECK(pack(in_base("tree/f"), "good", &error));
  int fd = open(in_base("good"), O_RDONLY);
  ssize_t size = read(fd, bytes, sizeof bytes);
  close(fd);
  CHECK(size == 4 * TAR_BLOCK);
  for (ssize_t cut = 1; cut < 2 * TAR_BLOCK; cut += 100) {
    CHECK(file_create(in_base("cut"), bytes, (size_t)cut, 0600) && !unpack("cut", in_base("x"), &error));
  }
  for (int i = 0; i < 300; i++) { // whatever it says, it ends, and stays below the directory
    unsigned char bad[4096];
    memcpy(bad, bytes, (size_t)size);
    for (int flips = 0; flips < 4; flips++) bad[test_random(TAR_BLOCK)] ^= (unsigned char)(1u << test_random(8));
    unsigned int sum = 0;
    for (int at = 0; at < TAR_BLOCK; at++) sum += at >= 148 && at < 156 ? ' ' : bad[at];
    snprintf((char *)bad + 148, 8, "%06o", sum);
    CHECK(file_create(in_base("bad"), bad, (size_t)size, 0600));
    unpack("bad", in_base("fuzz/deep"), &error);
  }
  struct stat status;
  CHECK(lstat(in_base("tree/f"), &status) == 0 && has_text("tree/f", "text"));
  CHECK(delete_tree(base));
}

static void leads_out(void) {
  struct tar_error error;
  char command[2 * PATH_MAX];
  CHECK(begin() && file_create(in_base("f"), "text\n", 5, 0644));
  snprintf(command, sizeof command, "cd %s && tar -cPf out --transform s,^f,../../evil, f && tar -cPf absolute %s/f", base, base);
  CHECK(system(command) == 0);
  CHECK(!unpack("out", in_base("a/b"), &error) && strstr(error.text, "leads out") != NULL);
  CHECK(access(in_base("evil"), F_OK) < 0);
  CHECK(unpack("absolute", in_base("c"), &error)); // below the directory, as all of it
  char inside[2 * PATH_MAX];
  snprintf(inside, sizeof inside, "%s/c%s/f", base, base);
  CHECK(access(inside, F_OK) == 0);
  CHECK(delete_tree(base));
}

static void layer(void) {
  struct tar_error error;
  char upper[PATH_MAX], lower[PATH_MAX], command[3 * PATH_MAX], listing[512];
  CHECK(begin() && make_directories(in_base("lower/etc"), 0755) && make_directories(in_base("upper/etc"), 0755));
  CHECK(make_directories(in_base("upper/proc"), 0755) && make_directories(in_base("upper/d/empty"), 0755));
  CHECK(file_create(in_base("upper/etc/hosts"), "", 0, 0644) && file_create(in_base("upper/b"), "b\n", 2, 04755));
  CHECK(file_create(in_base("upper/a"), "a\n", 2, 0600) && mkfifo(in_base("upper/d/fifo"), 0600) == 0);
  bool deletes = mknod(in_base("upper/d/gone"), S_IFCHR, 0) == 0; // not for everybody
  bool hides = setxattr(in_base("upper/d"), "trusted.overlay.opaque", "y", 1, 0) == 0;
  strcpy(upper, in_base("upper"));
  strcpy(lower, in_base("lower"));
  const char *const lowers[] = {lower}, *const stubs[] = {"/proc", "/etc/hosts"};
  struct tar_layer changes = {.upper = upper, .lowers = lowers, .lower_count = 1, .stubs = stubs, .stub_count = 2};
  int fd = open(in_base("archive"), O_WRONLY | O_CREAT, 0600);
  CHECK(tar_create_layer(fd, &changes, &error));
  close(fd);
  snprintf(command, sizeof command, "cd %s && tar -tf archive | tr '\\n' ' ' > list", base);
  CHECK(system(command) == 0 && file_read(in_base("list"), listing, sizeof listing));
  CHECK(!deletes || !hides || strcmp(listing, "a b d/ d/.wh..wh..opq d/empty/ d/fifo d/.wh.gone ") == 0);
  CHECK(deletes || hides || strcmp(listing, "a b d/ d/empty/ d/fifo ") == 0);
  CHECK(file_create(in_base("upper/etc/more"), "", 0, 0644)); // a directory that somebody else has changed is kept
  fd = open(in_base("archive"), O_WRONLY | O_TRUNC);
  CHECK(tar_create_layer(fd, &changes, &error) && system(command) == 0);
  close(fd);
  CHECK(file_read(in_base("list"), listing, sizeof listing) && strstr(listing, " etc/ etc/more ") && !strstr(listing, "hosts"));
  CHECK(access(in_base("upper/proc"), F_OK) == 0);
  changes.remove_stubs = true;
  fd = open(in_base("archive"), O_WRONLY | O_TRUNC);
  CHECK(tar_create_layer(fd, &changes, &error) && access(in_base("upper/proc"), F_OK) < 0 && access(in_base("upper/etc/hosts"), F_OK) < 0);
  close(fd);
  CHECK(access(in_base("upper/etc/more"), F_OK) == 0);
  CHECK(delete_tree(base));
}

TESTS(tar_tests, {"tar: a tree comes back as it was", round_trip},
      {"tar: archives are those of other programs", other_tars},
      {"tar: files are replaced, links not followed, directories kept", in_the_way},
      {"tar: an archive that is cut or damaged is refused", damaged},
      {"tar: nothing leads out of the directory", leads_out},
      {"tar: a layer has what is new, whiteouts for what is gone, and no places of mounts", layer});
