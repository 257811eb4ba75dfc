#ifndef HYPERD_STREAM_H
#define HYPERD_STREAM_H

#include "ring.h"

// Offsets, acknowledgements and resumption of one stream (FLOW and RECONNECT in guest/agent.proto). No I/O here.

enum { STREAM_WINDOW = 256 * 1024 };

// What a process has written and the host has not acknowledged.
struct output {
  struct ring ring;
  uint64_t next;  // the first offset not sent on this connection
  bool ended;     // nothing comes behind ring.end
  bool eof_sent;  // on this connection
  bool held;      // a new connection: nothing is sent before the host's RESUME
};

// How much more may be read from the process now.
size_t output_room(const struct output *output);
bool output_sendable(const struct output *output);
// Counts what is to be sent next (at most `size` bytes of the ring, from `offset` on) as sent, and returns how much that is.
// `eof`: the stream ends behind it.
size_t output_take(struct output *output, size_t size, uint64_t *offset, bool *eof);
// The host is done with all below `offset`. Offsets that cannot be right are ignored.
void output_acknowledge(struct output *output, uint64_t offset);
// The host wants everything from `offset` on (again); what is held no more cannot be sent again.
void output_resume(struct output *output, uint64_t offset);
void output_hold(struct output *output);

// What the host has sent and the process has not read.
struct input {
  struct ring ring; // ring.end: bytes received, ring.start: bytes done with
  bool ended;       // nothing comes behind ring.end
  bool closed;      // nobody reads it: everything is dropped
};

// Takes a DATA payload: bytes received before are skipped, bytes behind a gap or beyond the window are not taken.
// Returns true when something has changed.
bool input_receive(struct input *input, uint64_t offset, const uint8_t *bytes, size_t size, bool eof);

#endif
