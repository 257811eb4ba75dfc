#ifndef HYPERD_FRAME_H
#define HYPERD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Frames of guest/agent.proto (see its head comment): encoding, and a decoder that finds its way back after garbage.

enum {
  FRAME_HEADER = 24,
  FRAME_TRAILER = 4,
  FRAME_PAYLOAD_MAX = 65536,
  FRAME_MAX = FRAME_HEADER + FRAME_PAYLOAD_MAX + FRAME_TRAILER,
};

enum frame_type { FRAME_CONTROL = 1, FRAME_DATA = 2, FRAME_ACK = 3 };

enum {
  FRAME_EOF = 1,    // DATA
  FRAME_RESUME = 1, // ACK
};

struct frame {
  uint8_t type;
  uint8_t flags;
  uint32_t stream;
  uint32_t length;
  uint64_t offset;
  const uint8_t *payload; // of a decoded frame; not used when encoding
};

// Puts header and trailer around the `frame->length` payload bytes that are at `out + FRAME_HEADER` already. Returns
// the size of the whole frame.
size_t frame_seal(uint8_t *out, const struct frame *frame);

struct decoder {
  uint8_t *buffer; // FRAME_MAX bytes
  size_t start;
  size_t end;
};

// False: no memory.
bool decoder_init(struct decoder *decoder);
void decoder_free(struct decoder *decoder);

// Where the next received bytes go; at least one byte once `decoder_next` has returned false.
uint8_t *decoder_space(struct decoder *decoder, size_t *size);
void decoder_added(struct decoder *decoder, size_t size);

// The next whole frame, whose payload is valid until `decoder_space`. False: more bytes are needed.
bool decoder_next(struct decoder *decoder, struct frame *frame);

#endif
