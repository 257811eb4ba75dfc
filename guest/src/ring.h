#ifndef HYPERD_RING_H
#define HYPERD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

// Bytes of memory on both sides of a ring's, for who puts something around a part of the content for a moment.
enum { RING_MARGIN = 32 };

// A byte queue that is addressed by stream offsets: it holds [start, end). Memory is allocated as it fills and given
// back when it is empty.
struct ring {
  uint8_t *data; // RING_MARGIN behind where its memory begins
  size_t capacity; // 0 or a power of two
  uint64_t start;
  uint64_t end;
};

static inline size_t ring_size(const struct ring *ring) { return (size_t)(ring->end - ring->start); }

// Room for `size` more bytes. False: no memory (nothing has changed).
bool ring_reserve(struct ring *ring, size_t size);

// The free room, at most `size` bytes of it (reserved before). Returns the number of parts (0..2).
int ring_free_parts(const struct ring *ring, size_t size, struct iovec parts[2]);
// What was written into the free parts becomes content.
void ring_grow(struct ring *ring, size_t size);

bool ring_append(struct ring *ring, const uint8_t *bytes, size_t size);

// The content from `offset` on, at most `size` bytes. Returns the number of parts (0..2).
int ring_parts(const struct ring *ring, uint64_t offset, size_t size, struct iovec parts[2]);
void ring_copy(const struct ring *ring, uint64_t offset, size_t size, uint8_t *out);

// Forgets what is below `offset` (start <= offset <= end).
void ring_drop(struct ring *ring, uint64_t offset);
void ring_free(struct ring *ring);

#endif
