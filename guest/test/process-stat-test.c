#include <string.h>

#include "../src/process-table.h"
#include "test.h"

static void figures(void) {
  struct process_stat stat;
  CHECK(process_stat_parse("42 (sh) S 7 42 42 34816 50 4194304 1 2 3 4 10 5 0 0 20 0 1 0 1234 999 77 18446744073709551615", &stat));
  CHECK(stat.state == 'S' && stat.parent == 7 && stat.cpu_ticks == 15 && stat.start_ticks == 1234 && stat.pages == 77);
  CHECK(stat.name_length == 2 && strncmp(stat.name, "sh", 2) == 0);
}

// A process may call itself as it likes.
static void names(void) {
  struct process_stat stat;
  CHECK(process_stat_parse("42 (a) R 1 (b)) Z 9 42 42 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 5 0 0 0", &stat));
  CHECK(stat.state == 'Z' && stat.parent == 9 && stat.name_length == 10);
  CHECK(process_stat_parse("42 () S 1 42 42 0 -1 4194304 0 0 0 0 1 1 0 0 20 0 1 0 5 0 0 0", &stat) && stat.name_length == 0);
}

static void not_a_stat(void) {
  struct process_stat stat;
  static const char *const texts[] = {"", "42", "42 (sh", "42 sh) S 1", ")(", "42 (sh) S 1 2", "42 (sh) S x 42"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) CHECK(!process_stat_parse(texts[i], &stat));
}

static void inner_pids(void) {
  CHECK(process_inner_pid("Name:\tx\nNSpid:\t120\t1\nNSpgid:\t3\t4\n") == 1);
  CHECK(process_inner_pid("Name:\tx\nNSpid:\t120\t8\t3\n") == 3);
  CHECK(process_inner_pid("Name:\tx\nNSpid:\t120\n") == 0);
  CHECK(process_inner_pid("Name:\tNSpid:\t1\t2\n") == 0 && process_inner_pid("") == 0);
}

TESTS(process_stat_tests, {"processes: figures of a stat", figures}, {"processes: names that look like a stat", names},
      {"processes: what is no stat", not_a_stat}, {"processes: ids as the container sees them", inner_pids});
