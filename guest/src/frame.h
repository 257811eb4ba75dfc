// Frames of the agent protocol: see the head comment of agent.proto.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_HEADER = 24, FRAME_TRAILER = 4, FRAME_MAX_PAYLOAD = 65536 };
enum frame_type { FRAME_CONTROL = 1, FRAME_DATA = 2, FRAME_ACK = 3 };
enum { DATA_EOF = 1, ACK_RESUME = 1 };

struct frame {
	uint8_t type;
	uint8_t flags;
	uint32_t stream;
	uint32_t length;
	uint64_t offset;
	const uint8_t *payload; // inside the decoder's buffer: valid until the next decoder call
};

// Writes header and trailer of `f` (its payload is not touched).
void frame_encode(const struct frame *f, uint8_t header[FRAME_HEADER], uint8_t trailer[FRAME_TRAILER]);

// Collects bytes of the stream; room for one whole frame.
struct decoder {
	uint8_t buffer[FRAME_HEADER + FRAME_MAX_PAYLOAD + FRAME_TRAILER];
	size_t start;
	size_t end;
};

// Where the next bytes of the stream go, and how many fit (never 0 after decoder_next has returned false).
uint8_t *decoder_space(struct decoder *d, size_t *size);
void decoder_filled(struct decoder *d, size_t size);
// The next whole frame, or false when more bytes are needed. Skips what is no frame.
bool decoder_next(struct decoder *d, struct frame *f);
