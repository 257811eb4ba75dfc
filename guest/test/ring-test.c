#include "../src/ring.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

// Byte of the stream at `offset`.
static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset * 31 + (offset >> 8)); }

static void random_use(void) {
  struct ring ring = {0};
  uint8_t bytes[20000];
  for (int step = 0; step < 3000; step++) {
    size_t size = test_random(sizeof bytes);
    if (test_random(2) && ring_size(&ring) < 200000) {
      for (size_t i = 0; i < size; i++) bytes[i] = byte_at(ring.end + i);
      CHECK(ring_append(&ring, bytes, size));
    } else {
      size_t drop = size < ring_size(&ring) ? size : ring_size(&ring);
      ring_drop(&ring, ring.start + drop);
    }
    size_t held = ring_size(&ring);
    size_t from = held ? test_random((uint32_t)held) : 0, count = held - from < sizeof bytes ? held - from : sizeof bytes;
    ring_copy(&ring, ring.start + from, count, bytes);
    for (size_t i = 0; i < count; i++) CHECK(bytes[i] == byte_at(ring.start + from + i));
    CHECK(ring.capacity >= held && (ring.capacity & (ring.capacity - 1)) == 0);
  }
  ring_free(&ring);
}

static void read_in_place(void) {
  struct ring ring = {0};
  struct iovec parts[2];
  CHECK(ring_free_parts(&ring, 100, parts) == 0);
  CHECK(ring_append(&ring, (const uint8_t *)"0123", 4));
  ring_drop(&ring, 3);
  CHECK(ring_reserve(&ring, 4095));
  CHECK(ring_free_parts(&ring, 10000, parts) == 2);
  CHECK(parts[0].iov_len + parts[1].iov_len == 4095);
  CHECK(parts[0].iov_base == ring.data + 4 && parts[1].iov_base == ring.data);
  CHECK(ring_free_parts(&ring, 5, parts) == 1 && parts[0].iov_len == 5);
  ring_free(&ring);
}

static void memory_goes_back(void) {
  struct ring ring = {0};
  uint8_t *bytes = calloc(1, 100000);
  CHECK(ring_append(&ring, bytes, 100000));
  ring_drop(&ring, 99999);
  CHECK(ring.data);
  ring_drop(&ring, 100000);
  CHECK(!ring.data && ring.capacity == 0 && ring.start == 100000 && ring.end == 100000);
  CHECK(ring_append(&ring, bytes, 10) && ring.end == 100010);
  ring_free(&ring);
  free(bytes);
}

TESTS(ring_tests, {"ring: keeps bytes and offsets over growth and wrap-around", random_use},
      {"ring: gives its free room in at most two parts", read_in_place},
      {"ring: an empty ring gives its memory back", memory_goes_back});
