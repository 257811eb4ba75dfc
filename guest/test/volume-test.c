#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/files.h"
#include "../src/fill.h"
#include "../src/text.h"
#include "../src/volume-disk.h"
#include "test.h"

static char base[64];

static int begin(void) {
  strcpy(base, "/tmp/hyperd-volume-XXXXXX");
  return mkdtemp(base) ? open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
}

static const char *in_base(const char *name) {
  static char paths[4][PATH_MAX];
  static int next;
  char *path = paths[next++ % 4];
  snprintf(path, PATH_MAX, "%s/%s", base, name);
  return path;
}

static void filled_once(void) {
  struct tar_error error;
  int parent = begin();
  CHECK(parent >= 0 && make_directories(in_base("v"), 0755));
  CHECK(fill_begin(parent, "v", &error) && !*error.text && access(in_base("v.filling"), F_OK) == 0);
  CHECK(fill_end(parent, "v", &error) && access(in_base("v.filling"), F_OK) < 0);
  CHECK(file_create(in_base("v/f"), "x", 1, 0600) && !fill_begin(parent, "v", &error) && !*error.text);
  CHECK(!fill_begin(parent, "none", &error) && strstr(error.text, "No such file"));
  close(parent);
  CHECK(delete_tree(base));
}

static void broken_off(void) {
  struct tar_error error;
  int parent = begin();
  CHECK(parent >= 0 && make_directories(in_base("v/half/made"), 0755) && file_create(in_base("v.filling"), "", 0, 0600));
  CHECK(fill_begin(parent, "v", &error) && !*error.text && access(in_base("v/half"), F_OK) < 0);
  close(parent);
  CHECK(delete_tree(base));
}

static void no_links(void) {
  struct tar_error error;
  int parent = begin();
  CHECK(parent >= 0 && make_directories(in_base("kept"), 0755) && symlink("kept", in_base("v")) == 0);
  CHECK(!fill_begin(parent, "v", &error) && *error.text);
  close(parent);
  CHECK(delete_tree(base));
}

static void copied(void) {
  struct tar_error error = {.text = ""};
  struct stat status;
  char text[16];
  if (geteuid() != 0) return; // chroot(2) needs it
  int parent = begin();
  CHECK(parent >= 0 && make_directories(in_base("from/sub"), 0755) && file_create(in_base("from/sub/f"), "text", 4, 0640));
  CHECK(chmod(in_base("from"), 01750) == 0 && chown(in_base("from"), 5, 6) == 0 && make_directories(in_base("to"), 0700));
  CHECK(symlink("/", in_base("from/out")) == 0);
  int to = open(in_base("to"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  CHECK(fill_copy(in_base("from"), to, &error));
  CHECK(file_read(in_base("to/sub/f"), text, sizeof text) && strcmp(text, "text") == 0);
  CHECK(stat(in_base("to"), &status) == 0 && (status.st_mode & 07777) == 01750 && status.st_uid == 5 && status.st_gid == 6);
  CHECK(lstat(in_base("to/out"), &status) == 0 && S_ISLNK(status.st_mode));
  CHECK(!fill_copy(in_base("none"), to, &error) && strstr(error.text, "none"));
  // A link that somebody puts in the way leads nowhere out of the volume.
  CHECK(delete_tree(in_base("to/sub")) && symlink(in_base("elsewhere"), in_base("to/sub")) == 0 && make_directories(in_base("elsewhere"), 0755));
  fill_copy(in_base("from"), to, &error);
  CHECK(access(in_base("elsewhere/f"), F_OK) < 0);
  close(to);
  close(parent);
  CHECK(delete_tree(base));
}

static void names(void) {
  CHECK(text_is_path_of_names("") && text_is_path_of_names("0") && text_is_path_of_names("0/data") && text_is_path_of_names(".volumes/a-b_c.d"));
  const char *const bad[] = {"/", "/0", "0/", "0//a", "..", "0/../1", "0/.", "a b", "0/\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK(!text_is_path_of_names(bad[i]));
}

static void file_systems(void) {
  const char *text = "nodev\tsysfs\n\text3\nnodev\ttmpfs\n\tfuseblk\n\n\terofs";
  char type[8];
  CHECK(volume_disk_next_type(&text, type, sizeof type) && strcmp(type, "ext3") == 0);
  CHECK(volume_disk_next_type(&text, type, sizeof type) && strcmp(type, "erofs") == 0);
  CHECK(!volume_disk_next_type(&text, type, sizeof type));
}

static void inodes(void) {
  const char *text = "slabinfo - version: 2.1\n# name            <active_objs>\nfuse_inode_x        7      8\nfuse_inode        123    456    832\next4 1 2\n";
  CHECK(text_number_behind(text, "fuse_inode") == 123 && text_number_behind(text, "none") == 0 && text_number_behind("", "fuse_inode") == 0);
}

TESTS(volume_tests, {"volumes: what is empty is filled, once", filled_once},
      {"volumes: a filling that broke off begins anew", broken_off},
      {"volumes: a link in the place of a volume is refused", no_links},
      {"volumes: the content comes with owners and modes, and nothing leads out of the volume", copied},
      {"volumes: paths in shares are plain names", names},
      {"volumes: file systems that live on disks are tried", file_systems},
      {"volumes: inodes of shares are counted among the kernel's caches", inodes});
