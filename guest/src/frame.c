#include "frame.h"

#include <string.h>

static uint32_t crc32_of(const uint8_t *data, size_t size)
{
	uint32_t crc = 0xffffffffu;
	for (size_t i = 0; i < size; i++) {
		crc ^= data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (0xedb88320u & (0u - (crc & 1u)));
	}
	return ~crc;
}

static void put32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get32(const uint8_t *at)
{
	return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint32_t check_of(const uint8_t *header)
{
	return crc32_of(header, 20) | 1u;
}

void frame_encode(const struct frame *f, uint8_t header[FRAME_HEADER], uint8_t trailer[FRAME_TRAILER])
{
	header[0] = 0x79;
	header[1] = 0x68;
	header[2] = f->type;
	header[3] = f->flags;
	put32(header + 4, f->stream);
	put32(header + 8, f->length);
	put32(header + 12, (uint32_t)f->offset);
	put32(header + 16, (uint32_t)(f->offset >> 32));
	put32(header + 20, check_of(header));
	memcpy(trailer, header + 20, FRAME_TRAILER);
}

uint8_t *decoder_space(struct decoder *d, size_t *size)
{
	if (d->start > 0) {
		memmove(d->buffer, d->buffer + d->start, d->end - d->start);
		d->end -= d->start;
		d->start = 0;
	}
	*size = sizeof d->buffer - d->end;
	return d->buffer + d->end;
}

void decoder_filled(struct decoder *d, size_t size)
{
	d->end += size;
}

static bool header_valid(const uint8_t *h)
{
	return h[0] == 0x79 && h[1] == 0x68 && h[2] >= FRAME_CONTROL && h[2] <= FRAME_ACK &&
	       get32(h + 8) <= FRAME_MAX_PAYLOAD && get32(h + 20) == check_of(h);
}

// Moves on to the next byte that could begin a header.
static void skip(struct decoder *d)
{
	const uint8_t *next = NULL;
	d->start++;
	if (d->start < d->end)
		next = memchr(d->buffer + d->start, 0x79, d->end - d->start);
	d->start = next ? (size_t)(next - d->buffer) : d->end;
}

bool decoder_next(struct decoder *d, struct frame *f)
{
	while (d->end - d->start >= FRAME_HEADER) {
		const uint8_t *header = d->buffer + d->start;
		if (!header_valid(header)) {
			skip(d);
			continue;
		}
		uint32_t length = get32(header + 8);
		if (d->end - d->start < FRAME_HEADER + length + FRAME_TRAILER)
			return false;
		if (memcmp(header + FRAME_HEADER + length, header + 20, FRAME_TRAILER) != 0) {
			skip(d);
			continue;
		}
		f->type = header[2];
		f->flags = header[3];
		f->stream = get32(header + 4);
		f->length = length;
		f->offset = get32(header + 12) | (uint64_t)get32(header + 16) << 32;
		f->payload = header + FRAME_HEADER;
		d->start += FRAME_HEADER + length + FRAME_TRAILER;
		return true;
	}
	return false;
}
