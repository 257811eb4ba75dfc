#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../src/log.h"
#include "test.h"

extern const struct test frame_tests[], ring_tests[], stream_tests[], outbox_tests[], user_tests[], text_tests[],
    command_tests[], modules_tests[], files_tests[], message_tests[], tar_tests[], volume_tests[], process_stat_tests[],
    prune_tests[];

static const struct test *const suites[] = {
    frame_tests, ring_tests,    stream_tests,  outbox_tests, user_tests,
    text_tests,  command_tests, modules_tests, files_tests,  message_tests, tar_tests, volume_tests,
    process_stat_tests, prune_tests,
};

static bool failed;

void test_fail(const char *file, int line, const char *what) {
  failed = true;
  printf("# %s:%d: %s\n", file, line, what);
}

static uint32_t random_state;

uint32_t test_random(uint32_t limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % limit;
}

FILE *test_file(const char *text) {
  FILE *file = tmpfile();
  if (!file) abort();
  fputs(text, file);
  rewind(file);
  return file;
}

// The agent's own writes to the console, and powers the machine off.
void log_line(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  putchar('\n');
}

void fatal(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vprintf(format, arguments);
  va_end(arguments);
  abort();
}

int main(void) {
  unsigned int passed = 0, failures = 0;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (size_t i = 0; i < sizeof suites / sizeof *suites; i++) {
    for (const struct test *test = suites[i]; test->name; test++) {
      failed = false;
      random_state = 2463534242;
      test->run();
      printf("%s %s\n", failed ? "FAIL" : "ok", test->name);
      if (failed) failures++;
      else passed++;
    }
  }
  printf("%u passed, %u failed\n", passed, failures);
  return failures ? 1 : 0;
}
