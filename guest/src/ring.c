#include "ring.h"

#include <stdlib.h>
#include <string.h>

enum { SMALLEST = 4096 };

static int parts_at(const struct ring *ring, uint64_t offset, size_t size, struct iovec parts[2]) {
  if (size == 0) return 0;
  size_t at = (size_t)offset & (ring->capacity - 1);
  size_t first = ring->capacity - at < size ? ring->capacity - at : size;
  parts[0] = (struct iovec){.iov_base = ring->data + at, .iov_len = first};
  if (first == size) return 1;
  parts[1] = (struct iovec){.iov_base = ring->data, .iov_len = size - first};
  return 2;
}

static void release(struct ring *ring) {
  if (ring->data) free(ring->data - RING_MARGIN);
}

bool ring_reserve(struct ring *ring, size_t size) {
  size_t needed = ring_size(ring) + size;
  if (needed <= ring->capacity) return true;
  struct ring larger = {.capacity = ring->capacity ? ring->capacity : SMALLEST, .start = ring->start, .end = ring->start};
  while (larger.capacity < needed) larger.capacity *= 2;
  uint8_t *memory = malloc(RING_MARGIN + larger.capacity + RING_MARGIN);
  if (!memory) return false;
  larger.data = memory + RING_MARGIN;
  struct iovec parts[2];
  int count = parts_at(ring, ring->start, ring_size(ring), parts);
  for (int i = 0; i < count; i++) ring_append(&larger, parts[i].iov_base, parts[i].iov_len);
  release(ring);
  *ring = larger;
  return true;
}

int ring_free_parts(const struct ring *ring, size_t size, struct iovec parts[2]) {
  size_t room = ring->capacity - ring_size(ring);
  return parts_at(ring, ring->end, size < room ? size : room, parts);
}

void ring_grow(struct ring *ring, size_t size) { ring->end += size; }

bool ring_append(struct ring *ring, const uint8_t *bytes, size_t size) {
  if (!ring_reserve(ring, size)) return false;
  struct iovec parts[2];
  int count = ring_free_parts(ring, size, parts);
  for (int i = 0; i < count; i++) {
    memcpy(parts[i].iov_base, bytes, parts[i].iov_len);
    bytes += parts[i].iov_len;
  }
  ring_grow(ring, size);
  return true;
}

int ring_parts(const struct ring *ring, uint64_t offset, size_t size, struct iovec parts[2]) {
  size_t held = (size_t)(ring->end - offset);
  return parts_at(ring, offset, size < held ? size : held, parts);
}

void ring_copy(const struct ring *ring, uint64_t offset, size_t size, uint8_t *out) {
  struct iovec parts[2];
  int count = ring_parts(ring, offset, size, parts);
  for (int i = 0; i < count; i++) {
    memcpy(out, parts[i].iov_base, parts[i].iov_len);
    out += parts[i].iov_len;
  }
}

void ring_drop(struct ring *ring, uint64_t offset) {
  ring->start = offset;
  if (ring->start == ring->end && ring->capacity > SMALLEST) ring_free(ring);
}

void ring_free(struct ring *ring) {
  release(ring);
  ring->data = NULL;
  ring->capacity = 0;
}
