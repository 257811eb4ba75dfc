#include "../src/stream.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset * 7 + (offset >> 8)); }

static void produce(struct output *output, size_t size) {
  uint8_t *bytes = malloc(size + 1);
  for (size_t i = 0; i < size; i++) bytes[i] = byte_at(output->ring.end + i);
  if (!ring_append(&output->ring, bytes, size)) abort();
  free(bytes);
}

// Takes what is to be sent next, and copies it.
static size_t take(struct output *output, uint8_t *bytes, size_t size, uint64_t *offset, bool *eof) {
  size_t taken = output_take(output, size, offset, eof);
  ring_copy(&output->ring, *offset, taken, bytes);
  return taken;
}

static void window_is_kept(void) {
  struct output output = {0};
  uint8_t bytes[1000];
  uint64_t offset;
  bool eof;
  CHECK(output_room(&output) == STREAM_WINDOW && !output_sendable(&output));
  produce(&output, STREAM_WINDOW + 5000); // as a final drain may
  CHECK(output_room(&output) == 0);
  size_t sent = 0;
  while (output_sendable(&output)) sent += take(&output, bytes, sizeof bytes, &offset, &eof);
  CHECK(sent == STREAM_WINDOW && !eof);
  output_acknowledge(&output, 4000);
  CHECK(output_sendable(&output) && take(&output, bytes, sizeof bytes, &offset, &eof) == 1000);
  CHECK(offset == STREAM_WINDOW && output.ring.start == 4000);
  ring_free(&output.ring);
}

static void eof_is_sent_once_a_connection(void) {
  struct output output = {.ended = true};
  uint8_t bytes[10];
  uint64_t offset;
  bool eof = false;
  CHECK(output_room(&output) == 0 && output_sendable(&output));
  CHECK(take(&output, bytes, sizeof bytes, &offset, &eof) == 0 && eof && offset == 0);
  CHECK(!output_sendable(&output));
  output_hold(&output);
  CHECK(!output_sendable(&output));
  output_resume(&output, 0);
  CHECK(output_sendable(&output));
}

static void wrong_offsets_do_no_harm(void) {
  struct output output = {0};
  uint8_t bytes[100];
  uint64_t offset;
  bool eof;
  produce(&output, 300);
  take(&output, bytes, 100, &offset, &eof);
  output_acknowledge(&output, 101); // never sent
  output_acknowledge(&output, UINT64_MAX);
  CHECK(output.ring.start == 0);
  output_acknowledge(&output, 50);
  output_acknowledge(&output, 20); // late
  CHECK(output.ring.start == 50);
  output_resume(&output, 10); // forgotten already
  CHECK(take(&output, bytes, 100, &offset, &eof) == 100 && offset == 50);
  output_resume(&output, UINT64_MAX);
  CHECK(output.ring.start == 300 && output.next == 300 && !output_sendable(&output));
  ring_free(&output.ring);
}

// A connection that breaks at random, losing what is under way both ways: the host gets every byte once, in order.
static void nothing_lost_or_doubled(void) {
  enum { TOTAL = 2000000 };
  struct output output = {0};
  uint64_t received = 0;
  bool ended = false;
  for (int step = 0; step < 200000 && !ended; step++) {
    size_t size = test_random(20000);
    if (size > output_room(&output)) size = output_room(&output);
    if (size > TOTAL - output.ring.end) size = (size_t)(TOTAL - output.ring.end);
    produce(&output, size);
    output.ended = output.ring.end == TOTAL;
    uint8_t bytes[8000];
    for (uint32_t n = test_random(8); n > 0 && output_sendable(&output); n--) {
      uint64_t offset;
      bool eof;
      size_t count = take(&output, bytes, 1 + test_random(sizeof bytes), &offset, &eof);
      CHECK(offset == received);
      for (size_t i = 0; i < count; i++) CHECK(bytes[i] == byte_at(offset + i));
      received += count;
      ended = eof;
    }
    CHECK(received - output.ring.start <= STREAM_WINDOW);
    if (test_random(3) == 0) output_acknowledge(&output, received);
    if (test_random(10) == 0) {
      // The host has stored only a part of what was on the way when the connection broke.
      uint64_t stored = output.ring.start + test_random((uint32_t)(received - output.ring.start) + 1);
      output_hold(&output);
      CHECK(!output_sendable(&output));
      output_resume(&output, stored);
      received = stored;
      ended = false;
    }
  }
  CHECK(ended && received == TOTAL);
  ring_free(&output.ring);
}

static void input_takes_each_byte_once(void) {
  struct input input = {0};
  CHECK(input_receive(&input, 0, (const uint8_t *)"abcdef", 6, false));
  CHECK(!input_receive(&input, 0, (const uint8_t *)"abc", 3, false));
  CHECK(!input_receive(&input, 7, (const uint8_t *)"gap", 3, false));
  CHECK(!input_receive(&input, UINT64_MAX, (const uint8_t *)"wrap", 4, false));
  CHECK(input_receive(&input, 4, (const uint8_t *)"efgh", 4, false));
  CHECK(!input_receive(&input, 8, NULL, 0, false));
  CHECK(input_receive(&input, 8, NULL, 0, true) && input.ended);
  CHECK(!input_receive(&input, 8, (const uint8_t *)"behind", 6, false));
  uint8_t bytes[8];
  CHECK(ring_size(&input.ring) == 8);
  ring_copy(&input.ring, 0, 8, bytes);
  CHECK(memcmp(bytes, "abcdefgh", 8) == 0);
  ring_free(&input.ring);
}

static void input_is_bounded(void) {
  struct input input = {0};
  uint8_t *bytes = calloc(1, 65536);
  for (int i = 0; i < 100; i++) input_receive(&input, input.ring.end, bytes, 65536, false);
  CHECK(ring_size(&input.ring) == 2 * STREAM_WINDOW);
  CHECK(!input_receive(&input, input.ring.end, bytes, 10, true) && !input.ended);
  ring_free(&input.ring);
  free(bytes);
}

static void closed_input_counts_only(void) {
  struct input input = {.closed = true};
  CHECK(input_receive(&input, 0, (const uint8_t *)"abc", 3, false));
  CHECK(input.ring.start == 3 && input.ring.end == 3 && !input.ring.data);
}

TESTS(stream_tests, {"output: never more than a window unacknowledged", window_is_kept},
      {"output: end is sent again after a reconnect", eof_is_sent_once_a_connection},
      {"output: impossible offsets do no harm", wrong_offsets_do_no_harm},
      {"output: nothing lost or doubled over broken connections", nothing_lost_or_doubled},
      {"input: takes each byte once, and none behind a gap", input_takes_each_byte_once},
      {"input: holds two windows at most", input_is_bounded}, {"input: closed, it only counts", closed_input_counts_only});
