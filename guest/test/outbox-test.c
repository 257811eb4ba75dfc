#include "../src/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static uint8_t buffer[FRAME_MAX];
static uint8_t payload[FRAME_PAYLOAD_MAX];
static struct frame last;
static bool in_place;

// The next frame's type, 0: none.
static int next(void) {
  const uint8_t *bytes;
  size_t size = outbox_next(buffer, &bytes);
  if (size == 0) return 0;
  struct decoder decoder;
  if (!decoder_init(&decoder)) abort();
  size_t room;
  memcpy(decoder_space(&decoder, &room), bytes, size);
  in_place = bytes != buffer;
  outbox_uncover();
  decoder_added(&decoder, size);
  if (!decoder_next(&decoder, &last)) abort();
  memcpy(payload, last.payload, last.length);
  decoder_free(&decoder);
  return last.type;
}

static void fill(struct sender *sender, size_t size) {
  uint8_t *bytes = calloc(1, size);
  if (!ring_append(&sender->output.ring, bytes, size)) abort();
  free(bytes);
  outbox_data(sender);
}

static void order(void) {
  struct sender sender = {.id = 5};
  struct receiver receiver = {.id = 4, .input.ring = {.start = 42, .end = 42}};
  CHECK(next() == 0);
  fill(&sender, 100);
  outbox_acknowledge(&receiver);
  outbox_acknowledge(&receiver);
  CHECK(outbox_control((const uint8_t *)"one", 3) && outbox_control((const uint8_t *)"two", 3));
  CHECK(outbox_control_size() == 6);
  CHECK(next() == FRAME_CONTROL && memcmp(payload, "one", 3) == 0);
  CHECK(next() == FRAME_CONTROL && memcmp(payload, "two", 3) == 0);
  CHECK(outbox_control_size() == 0);
  CHECK(next() == FRAME_ACK && last.stream == 4 && last.offset == 42 && last.length == 0);
  CHECK(next() == FRAME_DATA && last.stream == 5 && last.length == 100);
  CHECK(next() == 0);
  ring_free(&sender.output.ring);
}

static void fair(void) {
  struct sender a = {.id = 5}, b = {.id = 9};
  fill(&a, 100000);
  fill(&b, 50000);
  CHECK(next() == FRAME_DATA && last.stream == 5 && last.length == OUTBOX_DATA_MAX);
  CHECK(next() == FRAME_DATA && last.stream == 9);
  CHECK(next() == FRAME_DATA && last.stream == 5);
  CHECK(next() == FRAME_DATA && last.stream == 9 && last.length == 50000 - OUTBOX_DATA_MAX);
  CHECK(next() == FRAME_DATA && last.stream == 5);
  CHECK(next() == FRAME_DATA && last.stream == 5 && last.length == 100000 - 3 * OUTBOX_DATA_MAX);
  CHECK(next() == 0);
  ring_free(&a.output.ring);
  ring_free(&b.output.ring);
}

static void a_frame_fits_the_port(void) {
  struct sender sender = {.id = 5};
  fill(&sender, 100000);
  const uint8_t *bytes;
  CHECK(outbox_next(buffer, &bytes) == 32768);
  outbox_uncover();
  outbox_forget_sender(&sender);
  ring_free(&sender.output.ring);
}

static uint8_t byte_at(uint64_t offset) { return (uint8_t)(offset * 31 + (offset >> 8)); }

static void produce(struct sender *sender, size_t size) {
  uint8_t *bytes = malloc(size + 1);
  for (size_t i = 0; i < size; i++) bytes[i] = byte_at(sender->output.ring.end + i);
  if (!ring_append(&sender->output.ring, bytes, size)) abort();
  free(bytes);
  outbox_data(sender);
}

// Headers and trailers lie over content that is sent again later: none of it may be lost, wherever in the ring it is.
static void frames_in_place_leave_the_content_alone(void) {
  struct sender sender = {.id = 5};
  int placed = 0, copied = 0;
  uint64_t received = 0;
  for (int step = 0; step < 3000; step++) {
    size_t room = output_room(&sender.output), size = test_random(60000);
    produce(&sender, size < room ? size : room);
    for (uint32_t n = test_random(4); n > 0 && next() == FRAME_DATA; n--) {
      CHECK(last.offset == received);
      for (size_t i = 0; i < last.length; i++) CHECK(payload[i] == byte_at(received + i));
      received += last.length;
      if (in_place) placed++;
      else copied++;
    }
    if (test_random(2)) output_acknowledge(&sender.output, received - test_random((uint32_t)(received - sender.output.ring.start) + 1));
    if (test_random(5) == 0) {
      received = sender.output.ring.start;
      output_resume(&sender.output, received);
      outbox_data(&sender);
    }
  }
  CHECK(placed > 1000 && copied > 10);
  outbox_forget_sender(&sender);
  ring_free(&sender.output.ring);
}

static void forgetting(void) {
  struct sender senders[4] = {{.id = 5}, {.id = 9}, {.id = 13}, {.id = 17}};
  struct receiver receivers[2] = {{.id = 4}, {.id = 8}};
  for (int i = 0; i < 3; i++) fill(&senders[i], 10);
  for (int i = 0; i < 2; i++) outbox_acknowledge(&receivers[i]);
  outbox_forget_sender(&senders[2]); // the last one
  fill(&senders[3], 10);
  outbox_forget_sender(&senders[1]);
  outbox_forget_sender(&senders[1]);
  outbox_forget_receiver(&receivers[1]);
  outbox_forget_receiver(&receivers[0]);
  CHECK(next() == FRAME_DATA && last.stream == 5);
  CHECK(next() == FRAME_DATA && last.stream == 17);
  CHECK(next() == 0);
  outbox_acknowledge(&receivers[0]);
  CHECK(next() == FRAME_ACK && last.stream == 4);
  for (int i = 0; i < 4; i++) ring_free(&senders[i].output.ring);
}

static void new_connection(void) {
  struct sender sender = {.id = 5};
  struct receiver receiver = {.id = 4};
  fill(&sender, 10);
  outbox_acknowledge(&receiver);
  CHECK(outbox_control((const uint8_t *)"old", 3));
  output_hold(&sender.output);
  outbox_reset();
  CHECK(outbox_control_size() == 0);
  outbox_data(&sender);
  CHECK(next() == 0);
  output_resume(&sender.output, 4);
  outbox_data(&sender);
  CHECK(next() == FRAME_DATA && last.offset == 4 && last.length == 6);
  CHECK(next() == 0);
  ring_free(&sender.output.ring);
}

static void held_while_queued(void) {
  struct sender a = {.id = 5}, b = {.id = 9};
  fill(&a, 10);
  fill(&b, 10);
  output_hold(&a.output);
  CHECK(next() == FRAME_DATA && last.stream == 9);
  CHECK(next() == 0 && !a.queued);
  ring_free(&a.output.ring);
  ring_free(&b.output.ring);
}

TESTS(outbox_tests, {"outbox: control frames, then acknowledgements, then data", order},
      {"outbox: streams take turns", fair}, {"outbox: a data frame fits one buffer of the port", a_frame_fits_the_port},
      {"outbox: frames made in place leave their stream's content alone", frames_in_place_leave_the_content_alone},
      {"outbox: nothing is sent of what is forgotten", forgetting},
      {"outbox: a new connection starts empty and resumes where told", new_connection},
      {"outbox: a stream that is held meanwhile is passed over", held_while_queued});
