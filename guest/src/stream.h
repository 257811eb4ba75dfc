// One output or input stream of a process: bytes by absolute offset, kept until the other side has acknowledged (output)
// or the process has taken them (input).
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { STREAM_WINDOW = 256 * 1024 };

struct stream {
	uint8_t *ring;  // STREAM_WINDOW bytes, allocated with the first byte; offset o is at ring[o % STREAM_WINDOW]
	uint64_t start; // lowest offset held
	uint64_t end;   // behind the last byte
	uint64_t sent;  // output: everything below has been sent on this connection
	bool eof;       // nothing comes behind `end`
	bool eof_sent;
	bool paused; // output: waits for the host's RESUME
};

void stream_free(struct stream *s);
// The contiguous space behind `end`; NULL when there is none (or no memory).
uint8_t *stream_space(struct stream *s, size_t *size);
void stream_filled(struct stream *s, size_t size);
// The contiguous bytes at offset `from` (start <= from <= end).
const uint8_t *stream_bytes(const struct stream *s, uint64_t from, size_t *size);
// Appends as much as fits; returns how much.
size_t stream_append(struct stream *s, const uint8_t *data, size_t size);
// Forgets everything below `offset`; an offset outside of what was sent is cut to it.
void stream_acknowledge(struct stream *s, uint64_t offset);
// A new connection: send again from `offset`.
void stream_resume(struct stream *s, uint64_t offset);
// True when there is something to send.
bool stream_wants_to_send(const struct stream *s);
