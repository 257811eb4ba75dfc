#ifndef HYPERD_TEST_H
#define HYPERD_TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

// A test is a function without arguments; the first CHECK that does not hold ends and fails it.

struct test {
  const char *name; // what breaks when it fails
  void (*run)(void);
};

#define TESTS(suite, ...) const struct test suite[] = {__VA_ARGS__, {NULL, NULL}}

void test_fail(const char *file, int line, const char *what);

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      test_fail(__FILE__, __LINE__, #condition); \
      return; \
    } \
  } while (0)

// Reproducible random numbers: below `limit`.
uint32_t test_random(uint32_t limit);
// A stream of text as a file to read, as passwd and group are.
FILE *test_file(const char *text);

#endif
