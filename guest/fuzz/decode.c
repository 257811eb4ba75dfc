// libFuzzer target for all that reads what comes over the port: frames, control messages, stream offsets.
//
// The first byte says how the rest is used: as the raw byte stream, or as payloads in frames that are made valid here (a
// fuzzer does not find check sums by itself).

#include <pb_decode.h>
#include <stdlib.h>
#include <string.h>

#include "../src/frame.h"
#include "../src/outbox.h"
#include "../src/stream.h"
#include "agent.pb.h"

static struct sender sender;
static struct receiver receiver;
static volatile size_t touched;

static void need(bool condition) {
  if (!condition) abort();
}

static size_t length_of(const char *text) { return text ? strlen(text) : 0; }

// Touches what the agent would read.
static size_t walk(const Process *process) {
  size_t sum = length_of(process->cwd) + length_of(process->user);
  for (pb_size_t i = 0; i < process->args_count; i++) sum += strlen(process->args[i]);
  for (pb_size_t i = 0; i < process->env_count; i++) sum += strlen(process->env[i]);
  for (pb_size_t i = 0; i < process->additional_groups_count; i++) sum += strlen(process->additional_groups[i]);
  for (pb_size_t i = 0; i < process->rlimits_count; i++) sum += length_of(process->rlimits[i].name);
  return sum;
}

static size_t walk_container(const StartContainer *start) {
  size_t sum = length_of(start->container_id) + length_of(start->rootfs_disk) + length_of(start->scratch_disk);
  for (pb_size_t i = 0; i < start->files_count; i++) {
    const pb_bytes_array_t *content = start->files[i].content;
    sum += length_of(start->files[i].path);
    for (pb_size_t j = 0; content && j < content->size; j++) sum += content->bytes[j];
  }
  for (pb_size_t i = 0; i < start->sysctls_count; i++) {
    sum += length_of(start->sysctls[i].key) + length_of(start->sysctls[i].value);
  }
  return sum + walk(&start->process);
}

static void control(const struct frame *frame) {
  ToAgent message = ToAgent_init_zero;
  pb_istream_t stream = pb_istream_from_buffer(frame->payload, frame->length);
  size_t sum = 0;
  if (pb_decode(&stream, ToAgent_fields, &message)) {
    if (message.which_call == ToAgent_start_container_tag) sum += walk_container(&message.call.start_container);
    if (message.which_call == ToAgent_start_process_tag) sum += walk(&message.call.start_process.process);
    if (message.which_call == ToAgent_attach_disk_tag) sum += length_of(message.call.attach_disk.name);
    if (message.which_call == ToAgent_configure_tag) sum += length_of(message.call.configure.hostname);
  }
  pb_release(ToAgent_fields, &message);
  touched = sum;
}

static void take(const struct frame *frame) {
  need(frame->length <= FRAME_PAYLOAD_MAX);
  if (frame->type == FRAME_CONTROL) control(frame);
  if (frame->type == FRAME_DATA) {
    input_receive(&receiver.input, frame->offset, frame->payload, frame->length, (frame->flags & FRAME_EOF) != 0);
    need(ring_size(&receiver.input.ring) <= 2 * STREAM_WINDOW);
    if (frame->flags & 4) ring_drop(&receiver.input.ring, receiver.input.ring.end);
  }
  if (frame->type == FRAME_ACK) {
    if (frame->flags & FRAME_RESUME) output_resume(&sender.output, frame->offset);
    else output_acknowledge(&sender.output, frame->offset);
    if (frame->flags & 2) output_hold(&sender.output);
    need(sender.output.ring.start <= sender.output.next && sender.output.next <= sender.output.ring.end);
    outbox_data(&sender);
  }
}

static void receive(struct decoder *decoder, const uint8_t *bytes, size_t size) {
  struct frame frame;
  while (size > 0) {
    size_t room;
    uint8_t *space = decoder_space(decoder, &room);
    need(room > 0);
    size_t piece = size < room ? size : room;
    memcpy(space, bytes, piece);
    decoder_added(decoder, piece);
    bytes += piece;
    size -= piece;
    while (decoder_next(decoder, &frame)) take(&frame);
  }
}

// Each payload behind 12 bytes of header: type, flags, length (2), offset (8).
static void receive_framed(struct decoder *decoder, const uint8_t *bytes, size_t size) {
  static uint8_t out[FRAME_MAX];
  while (size >= 12) {
    struct frame frame = {.type = bytes[0] % 4, .flags = bytes[1], .stream = 5};
    frame.length = (uint32_t)(bytes[2] | bytes[3] << 8);
    memcpy(&frame.offset, bytes + 4, 8);
    if (frame.length > size - 12) frame.length = (uint32_t)(size - 12);
    memcpy(out + FRAME_HEADER, bytes + 12, frame.length);
    receive(decoder, out, frame_seal(out, &frame));
    bytes += 12 + frame.length;
    size -= 12 + frame.length;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
  static uint8_t out[FRAME_MAX];
  struct decoder decoder;
  if (size == 0 || !decoder_init(&decoder)) return 0;
  sender = (struct sender){.id = 5};
  receiver = (struct receiver){.id = 4};
  need(ring_append(&sender.output.ring, bytes, size));
  outbox_data(&sender);
  const uint8_t *frame;
  outbox_next(out, &frame);
  outbox_uncover();
  if (bytes[0] & 1) receive_framed(&decoder, bytes + 1, size - 1);
  else receive(&decoder, bytes + 1, size - 1);
  outbox_reset();
  ring_free(&sender.output.ring);
  ring_free(&receiver.input.ring);
  decoder_free(&decoder);
  return 0;
}
