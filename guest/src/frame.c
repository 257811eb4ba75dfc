#include "frame.h"

#include <stdlib.h>
#include <string.h>

enum { MAGIC_0 = 0x79, MAGIC_1 = 0x68, CHECKED = 20 };

// CRC-32 (IEEE 802.3, reflected) four bits at a time: headers are all that is summed, a large table is not worth it.
static uint32_t crc32(const uint8_t *bytes, size_t size) {
  static const uint32_t table[16] = {
      0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
      0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c, 0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c,
  };
  uint32_t crc = 0xffffffff;
  for (size_t i = 0; i < size; i++) {
    crc ^= bytes[i];
    crc = (crc >> 4) ^ table[crc & 15];
    crc = (crc >> 4) ^ table[crc & 15];
  }
  return ~crc;
}

static void put32(uint8_t *out, uint32_t value) {
  for (int i = 0; i < 4; i++) out[i] = (uint8_t)(value >> (8 * i));
}

static void put64(uint8_t *out, uint64_t value) {
  put32(out, (uint32_t)value);
  put32(out + 4, (uint32_t)(value >> 32));
}

static uint32_t get32(const uint8_t *in) {
  return (uint32_t)in[0] | (uint32_t)in[1] << 8 | (uint32_t)in[2] << 16 | (uint32_t)in[3] << 24;
}

static uint64_t get64(const uint8_t *in) { return get32(in) | (uint64_t)get32(in + 4) << 32; }

// Never 0, so that zeros are never a valid trailer.
static uint32_t header_check(const uint8_t *header) { return crc32(header, CHECKED) | 1; }

size_t frame_seal(uint8_t *out, const struct frame *frame) {
  out[0] = MAGIC_0;
  out[1] = MAGIC_1;
  out[2] = frame->type;
  out[3] = frame->flags;
  put32(out + 4, frame->stream);
  put32(out + 8, frame->length);
  put64(out + 12, frame->offset);
  uint32_t check = header_check(out);
  put32(out + CHECKED, check);
  put32(out + FRAME_HEADER + frame->length, check);
  return (size_t)FRAME_HEADER + frame->length + FRAME_TRAILER;
}

bool decoder_init(struct decoder *decoder) {
  *decoder = (struct decoder){.buffer = malloc(FRAME_MAX)};
  return decoder->buffer != NULL;
}

void decoder_free(struct decoder *decoder) {
  free(decoder->buffer);
  *decoder = (struct decoder){0};
}

uint8_t *decoder_space(struct decoder *decoder, size_t *size) {
  if (decoder->start > 0) {
    memmove(decoder->buffer, decoder->buffer + decoder->start, decoder->end - decoder->start);
    decoder->end -= decoder->start;
    decoder->start = 0;
  }
  *size = FRAME_MAX - decoder->end;
  return decoder->buffer + decoder->end;
}

void decoder_added(struct decoder *decoder, size_t size) { decoder->end += size; }

bool decoder_next(struct decoder *decoder, struct frame *frame) {
  while (decoder->start < decoder->end) {
    size_t available = decoder->end - decoder->start;
    uint8_t *head = decoder->buffer + decoder->start;
    if (head[0] != MAGIC_0) {
      uint8_t *next = memchr(head, MAGIC_0, available);
      decoder->start += next ? (size_t)(next - head) : available;
      continue;
    }
    if (available < FRAME_HEADER) {
      if (available >= 2 && head[1] != MAGIC_1) {
        decoder->start++;
        continue;
      }
      return false;
    }
    uint32_t length = get32(head + 8);
    uint32_t check = get32(head + CHECKED);
    if (head[1] != MAGIC_1 || length > FRAME_PAYLOAD_MAX || check != header_check(head)) {
      decoder->start++;
      continue;
    }
    size_t total = (size_t)FRAME_HEADER + length + FRAME_TRAILER;
    if (available < total) return false;
    if (get32(head + FRAME_HEADER + length) != check) {
      decoder->start++;
      continue;
    }
    *frame = (struct frame){
        .type = head[2],
        .flags = head[3],
        .stream = get32(head + 4),
        .length = length,
        .offset = get64(head + 12),
        .payload = head + FRAME_HEADER,
    };
    decoder->start += total;
    return true;
  }
  return false;
}
