#include "stream.h"

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

size_t output_room(const struct output *output) {
  size_t size = ring_size(&output->ring);
  return output->ended || size >= STREAM_WINDOW ? 0 : STREAM_WINDOW - size;
}

// The final drain of a process may put more than a window into the ring.
static uint64_t send_limit(const struct output *output) {
  return smaller(output->ring.end, output->ring.start + STREAM_WINDOW);
}

bool output_sendable(const struct output *output) {
  if (output->held) return false;
  if (output->next < send_limit(output)) return true;
  return output->ended && output->next == output->ring.end && !output->eof_sent;
}

size_t output_take(struct output *output, size_t size, uint64_t *offset, bool *eof) {
  size = (size_t)smaller(size, send_limit(output) - output->next);
  *offset = output->next;
  output->next += size;
  *eof = output->ended && output->next == output->ring.end;
  output->eof_sent = *eof;
  return size;
}

void output_acknowledge(struct output *output, uint64_t offset) {
  if (offset > output->ring.start && offset <= output->next) ring_drop(&output->ring, offset);
}

void output_resume(struct output *output, uint64_t offset) {
  offset = smaller(offset, output->ring.end);
  if (offset > output->ring.start) ring_drop(&output->ring, offset);
  output->next = output->ring.start;
  output->eof_sent = false;
  output->held = false;
}

void output_hold(struct output *output) { output->held = true; }

bool input_receive(struct input *input, uint64_t offset, const uint8_t *bytes, size_t size, bool eof) {
  uint64_t received = input->ring.end;
  if (input->ended || offset > received || offset + size < offset || offset + size < received) return false;
  size_t skip = (size_t)(received - offset);
  bytes += skip;
  size -= skip;
  if (input->closed) {
    input->ring.start = input->ring.end += size;
  } else {
    // A host that comes back knows what was received, not what was acknowledged: it may have a second window under way.
    size_t room = 2 * STREAM_WINDOW - ring_size(&input->ring);
    if (size > room) {
      size = room;
      eof = false;
    }
    if (!ring_append(&input->ring, bytes, size)) return false;
  }
  input->ended = eof;
  return size > 0 || eof;
}
