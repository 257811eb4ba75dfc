#include "stream.h"

#include <stdlib.h>
#include <string.h>

void stream_free(struct stream *s)
{
	free(s->ring);
	s->ring = NULL;
}

uint8_t *stream_space(struct stream *s, size_t *size)
{
	if (!s->ring)
		s->ring = malloc(STREAM_WINDOW);
	size_t room = STREAM_WINDOW - (size_t)(s->end - s->start);
	if (!s->ring || room == 0)
		return NULL;
	size_t at = (size_t)(s->end % STREAM_WINDOW);
	size_t to_wrap = STREAM_WINDOW - at;
	*size = room < to_wrap ? room : to_wrap;
	return s->ring + at;
}

void stream_filled(struct stream *s, size_t size)
{
	s->end += size;
}

const uint8_t *stream_bytes(const struct stream *s, uint64_t from, size_t *size)
{
	size_t at = (size_t)(from % STREAM_WINDOW);
	size_t to_wrap = STREAM_WINDOW - at;
	size_t have = (size_t)(s->end - from);
	*size = have < to_wrap ? have : to_wrap;
	return s->ring + at;
}

size_t stream_append(struct stream *s, const uint8_t *data, size_t size)
{
	size_t done = 0;
	while (done < size) {
		size_t room = 0;
		uint8_t *to = stream_space(s, &room);
		if (!to)
			break;
		size_t part = size - done < room ? size - done : room;
		memcpy(to, data + done, part);
		stream_filled(s, part);
		done += part;
	}
	return done;
}

void stream_acknowledge(struct stream *s, uint64_t offset)
{
	if (offset > s->sent)
		offset = s->sent;
	if (offset > s->start)
		s->start = offset;
}

void stream_resume(struct stream *s, uint64_t offset)
{
	if (offset > s->end)
		offset = s->end;
	if (offset > s->start)
		s->start = offset;
	s->sent = s->start;
	s->eof_sent = false;
	s->paused = false;
}

bool stream_wants_to_send(const struct stream *s)
{
	return !s->paused && (s->sent < s->end || (s->eof && !s->eof_sent));
}
