#include "../src/frame.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static void feed(struct decoder *decoder, const uint8_t *bytes, size_t size) {
  size_t room;
  uint8_t *space = decoder_space(decoder, &room);
  if (size > room) abort();
  memcpy(space, bytes, size);
  decoder_added(decoder, size);
}

static size_t make(uint8_t *out, uint8_t type, uint32_t stream, uint64_t offset, const char *payload) {
  struct frame frame = {.type = type, .stream = stream, .offset = offset, .length = (uint32_t)strlen(payload)};
  memcpy(out + FRAME_HEADER, payload, frame.length);
  return frame_seal(out, &frame);
}

static void known_bytes(void) {
  // Worked out apart from this code (zlib's crc32), by the table in agent.proto.
  static const uint8_t expected[] = {0x79, 0x68, 0x02, 0x01, 0x05, 0x00, 0x00, 0x00, 0x02, 0x00,
                                     0x00, 0x00, 0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01,
                                     0xfd, 0x7b, 0x78, 0x8e, 'h',  'i',  0xfd, 0x7b, 0x78, 0x8e};
  uint8_t out[64];
  struct frame frame = {
      .type = FRAME_DATA, .flags = FRAME_EOF, .stream = 5, .length = 2, .offset = 0x0102030405060708};
  memcpy(out + FRAME_HEADER, "hi", 2);
  CHECK(frame_seal(out, &frame) == sizeof expected);
  CHECK(memcmp(out, expected, sizeof expected) == 0);
}

static void round_trip(void) {
  struct decoder decoder;
  CHECK(decoder_init(&decoder));
  uint8_t out[FRAME_MAX];
  struct frame frame;
  size_t size = make(out, FRAME_DATA, 0xfffffffe, UINT64_MAX - 1, "payload");
  feed(&decoder, out, size);
  CHECK(decoder_next(&decoder, &frame));
  CHECK(frame.type == FRAME_DATA && frame.stream == 0xfffffffe && frame.offset == UINT64_MAX - 1);
  CHECK(frame.length == 7 && memcmp(frame.payload, "payload", 7) == 0);
  CHECK(!decoder_next(&decoder, &frame));
  decoder_free(&decoder);
}

static void byte_by_byte(void) {
  struct decoder decoder;
  CHECK(decoder_init(&decoder));
  uint8_t out[128];
  size_t size = make(out, FRAME_CONTROL, 0, 0, "slow");
  struct frame frame;
  for (size_t i = 0; i < size; i++) {
    CHECK(!decoder_next(&decoder, &frame));
    feed(&decoder, out + i, 1);
  }
  CHECK(decoder_next(&decoder, &frame) && frame.length == 4);
  decoder_free(&decoder);
}

static void largest(void) {
  struct decoder decoder;
  CHECK(decoder_init(&decoder));
  uint8_t *out = calloc(1, FRAME_MAX);
  struct frame frame = {.type = FRAME_CONTROL, .length = FRAME_PAYLOAD_MAX};
  CHECK(frame_seal(out, &frame) == FRAME_MAX);
  for (size_t at = 0; at < FRAME_MAX; at += 4) feed(&decoder, out + at, 4);
  CHECK(decoder_next(&decoder, &frame) && frame.length == FRAME_PAYLOAD_MAX);
  free(out);
  decoder_free(&decoder);
}

static void too_long_is_garbage(void) {
  struct decoder decoder;
  CHECK(decoder_init(&decoder));
  uint8_t *out = calloc(1, FRAME_MAX + 1);
  struct frame frame = {.type = FRAME_CONTROL, .length = FRAME_PAYLOAD_MAX + 1};
  frame_seal(out, &frame);
  feed(&decoder, out, FRAME_HEADER);
  uint8_t good[64];
  feed(&decoder, good, make(good, FRAME_ACK, 4, 9, ""));
  CHECK(decoder_next(&decoder, &frame) && frame.type == FRAME_ACK && frame.offset == 9);
  free(out);
  decoder_free(&decoder);
}

// Any prefix of a frame, zeros that complete it, then a good frame: only the cut one is lost.
static void cut_frames_and_zeros(void) {
  uint8_t whole[256], good[64], zeros[512] = {0};
  size_t size = make(whole, FRAME_DATA, 5, 0, "yhyhyh this one is cut somewhere");
  size_t good_size = make(good, FRAME_CONTROL, 0, 0, "good");
  for (size_t cut = 0; cut < size; cut++) {
    struct decoder decoder;
    struct frame frame;
    CHECK(decoder_init(&decoder));
    feed(&decoder, whole, cut);
    CHECK(!decoder_next(&decoder, &frame));
    feed(&decoder, zeros, sizeof zeros);
    CHECK(!decoder_next(&decoder, &frame));
    feed(&decoder, good, good_size);
    CHECK(decoder_next(&decoder, &frame) && frame.length == 4 && memcmp(frame.payload, "good", 4) == 0);
    CHECK(!decoder_next(&decoder, &frame));
    decoder_free(&decoder);
  }
}

static void every_flipped_bit_is_noticed(void) {
  uint8_t whole[128], good[64];
  size_t size = make(whole, FRAME_DATA, 5, 77, "payload");
  size_t good_size = make(good, FRAME_CONTROL, 0, 0, "good");
  for (size_t bit = 0; bit < size * 8; bit++) {
    if (bit / 8 >= FRAME_HEADER && bit / 8 < size - FRAME_TRAILER) continue; // the payload is not summed
    struct decoder decoder;
    struct frame frame;
    uint8_t damaged[128], zeros[70000] = {0};
    memcpy(damaged, whole, size);
    damaged[bit / 8] ^= (uint8_t)(1 << bit % 8);
    CHECK(decoder_init(&decoder));
    feed(&decoder, damaged, size);
    bool any = decoder_next(&decoder, &frame);
    CHECK(!any);
    size_t room;
    decoder_space(&decoder, &room);
    feed(&decoder, zeros, room - good_size);
    feed(&decoder, good, good_size);
    CHECK(decoder_next(&decoder, &frame) && frame.type == FRAME_CONTROL);
    decoder_free(&decoder);
  }
}

static void check_is_never_zero(void) {
  uint8_t out[64];
  for (uint32_t i = 0; i < 20000; i++) {
    size_t size = make(out, FRAME_ACK, i, (uint64_t)i << 20, "");
    CHECK(out[20] & 1);
    CHECK(memcmp(out + 20, out + size - FRAME_TRAILER, FRAME_TRAILER) == 0);
  }
}

// Frames between random bytes that are full of beginnings of frames, fed in pieces of random size.
static void random_garbage(void) {
  struct decoder decoder;
  CHECK(decoder_init(&decoder));
  uint8_t *wire = malloc(1 << 20);
  size_t size = 0;
  uint32_t sent = 0, received = 0;
  while (size < (1 << 19)) {
    for (uint32_t n = test_random(40); n > 0; n--) wire[size++] = test_random(3) ? (uint8_t)test_random(256) : 'y';
    char payload[100];
    snprintf(payload, sizeof payload, "%u", sent);
    size += make(wire + size, FRAME_DATA, sent++, 0, payload);
  }
  struct frame frame;
  for (size_t at = 0; at < size;) {
    size_t piece = 1 + test_random(3000);
    if (piece > size - at) piece = size - at;
    feed(&decoder, wire + at, piece);
    at += piece;
    while (decoder_next(&decoder, &frame)) {
      CHECK(frame.stream == received);
      received++;
    }
  }
  CHECK(received == sent);
  free(wire);
  decoder_free(&decoder);
}

TESTS(frame_tests, {"frame: bytes are those of the schema's head comment", known_bytes},
      {"frame: decodes what was encoded", round_trip}, {"frame: decodes frames that arrive byte by byte", byte_by_byte},
      {"frame: decodes the largest payload", largest}, {"frame: a length over the limit is garbage", too_long_is_garbage},
      {"frame: a cut frame and zeros cost only the cut frame", cut_frames_and_zeros},
      {"frame: every flipped bit of header and trailer is noticed", every_flipped_bit_is_noticed},
      {"frame: check is odd and repeated as trailer", check_is_never_zero},
      {"frame: every frame is found in random garbage", random_garbage});
