#include "../src/modules.h"

#include <string.h>

#include "test.h"

static void order(void) {
  const char *text = "virtio.ko\n\n../evil.ko\nsub/evil.ko\n.hidden\nvirtio_ring.ko\na-name-that-is-much-too-long-for-the-buffer.ko\nlast.ko";
  char name[20];
  CHECK(modules_next(&text, name, sizeof name) && strcmp(name, "virtio.ko") == 0);
  CHECK(modules_next(&text, name, sizeof name) && strcmp(name, "virtio_ring.ko") == 0);
  CHECK(modules_next(&text, name, sizeof name) && strcmp(name, "last.ko") == 0);
  CHECK(!modules_next(&text, name, sizeof name) && *text == '\0');
}

TESTS(modules_tests, {"modules: names in order, nothing but file names", order});
