#include "../src/outbox.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static uint8_t buffer[FRAME_MAX];
static struct frame last;

// The next frame's type, 0: none.
static int next(void) {
  size_t size = outbox_next(buffer);
  if (size == 0) return 0;
  struct decoder decoder;
  if (!decoder_init(&decoder)) abort();
  size_t room;
  memcpy(decoder_space(&decoder, &room), buffer, size);
  decoder_added(&decoder, size);
  if (!decoder_next(&decoder, &last)) abort();
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
  CHECK(next() == FRAME_CONTROL && memcmp(buffer + FRAME_HEADER, "one", 3) == 0);
  CHECK(next() == FRAME_CONTROL && memcmp(buffer + FRAME_HEADER, "two", 3) == 0);
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
  CHECK(outbox_next(buffer) == 32768);
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
      {"outbox: nothing is sent of what is forgotten", forgetting},
      {"outbox: a new connection starts empty and resumes where told", new_connection},
      {"outbox: a stream that is held meanwhile is passed over", held_while_queued});
