#include "outbox.h"

#include <stdlib.h>
#include <string.h>

struct control {
  struct control *next;
  uint32_t size;
  uint8_t payload[];
};

static struct control *control_first, **control_last = &control_first;
static size_t control_size;
static struct sender *sender_first, **sender_last = &sender_first;
static struct receiver *receiver_first, **receiver_last = &receiver_first;

bool outbox_control(const uint8_t *payload, size_t size) {
  struct control *control = size <= FRAME_PAYLOAD_MAX ? malloc(sizeof *control + size) : NULL;
  if (!control) return false;
  *control = (struct control){.size = (uint32_t)size};
  memcpy(control->payload, payload, size);
  *control_last = control;
  control_last = &control->next;
  control_size += size;
  return true;
}

size_t outbox_control_size(void) { return control_size; }

static struct control *take_control(void) {
  struct control *control = control_first;
  control_first = control->next;
  if (!control_first) control_last = &control_first;
  control_size -= control->size;
  return control;
}

void outbox_data(struct sender *sender) {
  if (sender->queued || !output_sendable(&sender->output)) return;
  sender->queued = true;
  sender->next = NULL;
  *sender_last = sender;
  sender_last = &sender->next;
}

void outbox_acknowledge(struct receiver *receiver) {
  if (receiver->queued) return;
  receiver->queued = true;
  receiver->next = NULL;
  *receiver_last = receiver;
  receiver_last = &receiver->next;
}

static struct sender *take_sender(void) {
  struct sender *sender = sender_first;
  if (!sender) return NULL;
  sender_first = sender->next;
  if (!sender_first) sender_last = &sender_first;
  sender->queued = false;
  return sender;
}

static struct receiver *take_receiver(void) {
  struct receiver *receiver = receiver_first;
  if (!receiver) return NULL;
  receiver_first = receiver->next;
  if (!receiver_first) receiver_last = &receiver_first;
  receiver->queued = false;
  return receiver;
}

void outbox_forget_sender(struct sender *sender) {
  if (!sender->queued) return;
  struct sender **place = &sender_first;
  while (*place != sender) place = &(*place)->next;
  *place = sender->next;
  if (!*place) sender_last = place;
  sender->queued = false;
}

void outbox_forget_receiver(struct receiver *receiver) {
  if (!receiver->queued) return;
  struct receiver **place = &receiver_first;
  while (*place != receiver) place = &(*place)->next;
  *place = receiver->next;
  if (!*place) receiver_last = place;
  receiver->queued = false;
}

void outbox_reset(void) {
  while (control_first) free(take_control());
  while (take_sender()) continue;
  while (take_receiver()) continue;
}

// What the frame that is being written covers.
static struct {
  uint8_t *header, *trailer; // NULL: nothing
  uint8_t under_header[FRAME_HEADER], under_trailer[FRAME_TRAILER];
} covered;
_Static_assert((int)FRAME_HEADER <= (int)RING_MARGIN && (int)FRAME_TRAILER <= (int)RING_MARGIN, "a frame fits around a ring's content");

static uint8_t *cover(uint8_t *payload, size_t size) {
  covered.header = payload - FRAME_HEADER;
  covered.trailer = payload + size;
  memcpy(covered.under_header, covered.header, FRAME_HEADER);
  memcpy(covered.under_trailer, covered.trailer, FRAME_TRAILER);
  return covered.header;
}

void outbox_uncover(void) {
  if (!covered.header) return;
  memcpy(covered.header, covered.under_header, FRAME_HEADER);
  memcpy(covered.trailer, covered.under_trailer, FRAME_TRAILER);
  covered.header = covered.trailer = NULL;
}

static size_t data_frame(uint8_t *buffer, struct sender *sender, const uint8_t **bytes) {
  struct frame frame = {.type = FRAME_DATA, .stream = sender->id};
  struct ring *ring = &sender->output.ring;
  bool eof;
  frame.length = (uint32_t)output_take(&sender->output, OUTBOX_DATA_MAX, &frame.offset, &eof);
  if (eof) frame.flags = FRAME_EOF;
  struct iovec parts[2];
  uint8_t *out = buffer;
  if (ring_parts(ring, frame.offset, frame.length, parts) == 1) out = cover(parts[0].iov_base, frame.length);
  else ring_copy(ring, frame.offset, frame.length, buffer + FRAME_HEADER);
  *bytes = out;
  return frame_seal(out, &frame);
}

size_t outbox_next(uint8_t *buffer, const uint8_t **bytes) {
  *bytes = buffer;
  if (control_first) {
    struct control *control = take_control();
    struct frame frame = {.type = FRAME_CONTROL, .length = control->size};
    memcpy(buffer + FRAME_HEADER, control->payload, control->size);
    free(control);
    return frame_seal(buffer, &frame);
  }
  struct receiver *receiver = take_receiver();
  if (receiver) {
    struct frame frame = {.type = FRAME_ACK, .stream = receiver->id, .offset = receiver->input.ring.start};
    return frame_seal(buffer, &frame);
  }
  for (struct sender *sender; (sender = take_sender());) {
    if (!output_sendable(&sender->output)) continue; // acknowledged or held since
    size_t size = data_frame(buffer, sender, bytes);
    outbox_data(sender);
    return size;
  }
  return 0;
}
