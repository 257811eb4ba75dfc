#include "../src/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "test.h"

static void trees(void) {
  char base[] = "/tmp/hyperd-files-XXXXXX", path[256], text[16];
  CHECK(mkdtemp(base));
  snprintf(path, sizeof path, "%s/kept", base);
  CHECK(file_create(path, "kept\n", 5, 0644));
  snprintf(path, sizeof path, "%s/tree/a/b/c", base);
  CHECK(make_directories(path, 0755) && make_directories(path, 0755));
  snprintf(path, sizeof path, "%s/tree/a/file", base);
  CHECK(file_create(path, "", 0, 0444));
  snprintf(path, sizeof path, "%s/tree/a/b/out", base);
  CHECK(symlink("../../..", path) == 0);
  snprintf(path, sizeof path, "%s/tree/dangling", base);
  CHECK(symlink("/nonesuch", path) == 0);
  snprintf(path, sizeof path, "%s/tree", base);
  CHECK(delete_tree(path) && access(path, F_OK) < 0);
  CHECK(delete_tree(path)); // gone already
  snprintf(path, sizeof path, "%s/kept", base);
  CHECK(file_read(path, text, sizeof text) && strcmp(text, "kept") == 0);
  CHECK(file_read(path, text, 3) && strcmp(text, "ke") == 0);
  CHECK(!file_read("/nonesuch", text, sizeof text) && errno == ENOENT);
  CHECK(unlink(path) == 0 && rmdir(base) == 0);
}

static void links_are_not_followed(void) {
  char base[] = "/tmp/hyperd-files-XXXXXX", link[256];
  CHECK(mkdtemp(base));
  snprintf(link, sizeof link, "%s.link", base);
  CHECK(symlink(base, link) == 0);
  CHECK(!delete_tree(link) && access(base, F_OK) == 0);
  CHECK(unlink(link) == 0 && rmdir(base) == 0);
}

TESTS(files_tests, {"files: a tree is deleted, and nothing that its links point at", trees},
      {"files: a link is no tree", links_are_not_followed});
