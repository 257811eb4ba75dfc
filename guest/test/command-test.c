#include "../src/command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/files.h"
#include "test.h"

static char base[] = "/tmp/hyperd-command-XXXXXX";

static void touch(const char *name, mode_t mode) {
  char path[256];
  snprintf(path, sizeof path, "%s/%s", base, name);
  if (!file_create(path, "x", 1, mode) || chmod(path, mode) < 0) abort();
}

static bool finds(const char *name, const char *directories, const char *expected) {
  char search[512] = "", found[PATH_MAX], wanted[256];
  for (const char *at = directories; *at; at++) {
    size_t length = strlen(search);
    if (*at == 'A') snprintf(search + length, sizeof search - length, "%s/a", base);
    else if (*at == 'B') snprintf(search + length, sizeof search - length, "%s/b", base);
    else snprintf(search + length, sizeof search - length, "%c", *at);
  }
  snprintf(wanted, sizeof wanted, "%s/%s", base, expected ? expected : "");
  bool result = command_find(name, search, found, sizeof found);
  return expected ? result && strcmp(found, wanted) == 0 : !result;
}

static void search(void) {
  strcpy(base, "/tmp/hyperd-command-XXXXXX");
  CHECK(mkdtemp(base));
  char path[256];
  for (const char *name = "ab"; *name; name++) {
    snprintf(path, sizeof path, "%s/%c", base, *name);
    CHECK(mkdir(path, 0755) == 0);
  }
  touch("a/plain", 0644);
  touch("b/plain", 0755);
  touch("a/both", 0755);
  touch("b/both", 0755);
  snprintf(path, sizeof path, "%s/a/directory", base);
  CHECK(mkdir(path, 0755) == 0);
  CHECK(finds("both", "A:B", "a/both"));
  CHECK(finds("both", "B:A", "b/both"));
  CHECK(finds("plain", "A:B", "b/plain"));
  CHECK(finds("both", "/nonesuch::A", "a/both"));
  CHECK(finds("both", "A", "a/both"));
  CHECK(finds("directory", "A:B", NULL) && errno == ENOENT);
  CHECK(finds("plain", "A", NULL) && errno == ENOENT);
  CHECK(finds("nonesuch", "A:B", NULL) && errno == ENOENT);
  CHECK(finds("", "A:B", NULL) && errno == ENOENT);
  CHECK(finds("both", "", NULL));
  char found[PATH_MAX];
  snprintf(path, sizeof path, "%s/a/plain", base);
  CHECK(!command_find(path, "", found, sizeof found) && errno == EACCES);
  snprintf(path, sizeof path, "%s/a/both", base);
  CHECK(command_find(path, "", found, sizeof found) && strcmp(found, path) == 0);
  snprintf(path, sizeof path, "%s/a", base);
  CHECK(!command_find(path, "", found, sizeof found) && errno == EISDIR);
  CHECK(!command_find("/nonesuch/x", "", found, sizeof found) && errno == ENOENT);
  CHECK(delete_tree(base));
}

static void long_names(void) {
  char name[5000], found[PATH_MAX];
  memset(name, 'a', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  CHECK(!command_find(name, "/bin:/usr/bin", found, sizeof found) && errno == ENOENT);
  name[0] = '/';
  CHECK(!command_find(name, "", found, sizeof found) && errno == ENAMETOOLONG);
}

static void environment(void) {
  char *const entries[] = {(char[]){"PATH=/one"}, (char[]){"PATHS=/no"}, (char[]){"HOME"}, (char[]){"PATH=/two"}, (char[]){"E="}};
  CHECK(strcmp(environment_get(entries, 5, "PATH"), "/two") == 0);
  CHECK(strcmp(environment_get(entries, 3, "PATH"), "/one") == 0);
  CHECK(!environment_get(entries, 5, "HOME") && !environment_get(entries, 5, "PAT") && !environment_get(NULL, 0, "PATH"));
  CHECK(*environment_get(entries, 5, "E") == '\0');
}

TESTS(command_tests, {"command: found in PATH as execvp would", search}, {"command: names that are too long", long_names},
      {"command: the last value of the environment counts", environment});
