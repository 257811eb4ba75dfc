#include "../src/prune.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/files.h"
#include "test.h"

#define ID_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define ID_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void containers(void) {
  char base[] = "/tmp/hyperd-prune-XXXXXX", path[256];
  char *kept[] = {ID_A};
  static const char *const names[] = {ID_A "/upper", ID_B "/upper/d", "lost+found", "volumes/" ID_B};
  CHECK(mkdtemp(base));
  for (size_t i = 0; i < 4; i++) {
    snprintf(path, sizeof path, "%s/%s", base, names[i]);
    CHECK(make_directories(path, 0755));
  }
  CHECK(prune_containers(base, kept, 1));
  for (size_t i = 0; i < 4; i++) {
    snprintf(path, sizeof path, "%s/%s", base, names[i]);
    CHECK((access(path, F_OK) == 0) == (i != 1));
  }
  snprintf(path, sizeof path, "%s/" ID_B, base);
  CHECK(access(path, F_OK) < 0);
  CHECK(delete_tree(base) && !prune_containers(base, kept, 1));
}

TESTS(prune_tests, {"prune: containers that are gone, and nothing else", containers});
