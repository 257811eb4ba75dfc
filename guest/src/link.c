// The connection to the host: decodes what comes, queues what goes. Control and acknowledgements go before data; data streams take turns.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include <pb_encode.h>

#include "agent.h"

#define PORT_NAME "hyperd.agent.0"
enum { DATA_CHUNK = 32 * 1024, MAX_QUEUED = 1024 * 1024 };

struct queued {
	struct queued *next;
	size_t size;
	uint8_t bytes[];
};

bool link_configured;
static int port = -1;
static struct decoder decoder;
static struct queued *queue_head, **queue_tail = &queue_head;
static size_t queued_bytes;
// The frame that is being written.
static uint8_t current[FRAME_HEADER + DATA_CHUNK + FRAME_TRAILER];
static uint8_t *current_bytes; // `current`, or the queued frame's bytes
static struct queued *current_queued;
static size_t current_size, current_done;
static uint32_t last_sender; // id of the process whose stream was served last

static bool find_port(char *path, size_t size)
{
	DIR *ports = opendir("/sys/class/virtio-ports");
	if (!ports)
		return false;
	bool found = false;
	for (struct dirent *e; !found && (e = readdir(ports));) {
		char file[300], name[64];
		snprintf(file, sizeof file, "/sys/class/virtio-ports/%s/name", e->d_name);
		if (e->d_name[0] == '.' || read_file(file, name, sizeof name) < 0)
			continue;
		name[strcspn(name, "\n")] = '\0';
		found = strcmp(name, PORT_NAME) == 0;
		if (found)
			snprintf(path, size, "/dev/%s", e->d_name);
	}
	closedir(ports);
	return found;
}

void link_open(int epoll)
{
	char path[300];
	// The driver makes the port in the background, shortly after its module is loaded.
	for (int tries = 0; !find_port(path, sizeof path) || (port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)) < 0; tries++) {
		if (tries > 5000)
			die("port %s does not appear", PORT_NAME);
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
	// Edges only: a port whose host is away reports a hang-up for ever.
	struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = 0};
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, port, &event) < 0)
		die("watch %s: %s", path, strerror(errno));
}

static void handle(const struct frame *f)
{
	switch (f->type) {
	case FRAME_CONTROL:
		handle_control(f->payload, f->length);
		break;
	case FRAME_DATA:
		process_input(f->stream, f->offset, f->payload, f->length, f->flags & DATA_EOF);
		break;
	default:
		process_acknowledge(f->stream, f->offset, f->flags & ACK_RESUME);
		break;
	}
}

static void receive(void)
{
	// A host that calls without reading answers waits until it does.
	while (queued_bytes < MAX_QUEUED) {
		size_t room;
		uint8_t *to = decoder_space(&decoder, &room);
		ssize_t n = read(port, to, room);
		if (n <= 0)
			return; // nothing there, or the host is away
		decoder_filled(&decoder, (size_t)n);
		for (struct frame f; decoder_next(&decoder, &f);)
			handle(&f);
	}
}

void link_ready(void)
{
	receive();
	link_pump();
}

static void enqueue(const struct frame *f, const uint8_t *payload)
{
	size_t size = FRAME_HEADER + f->length + FRAME_TRAILER;
	struct queued *q = malloc(sizeof *q + size);
	if (!q) {
		say("out of memory: an answer is lost");
		return;
	}
	q->next = NULL;
	q->size = size;
	frame_encode(f, q->bytes, q->bytes + FRAME_HEADER + f->length);
	if (f->length > 0)
		memcpy(q->bytes + FRAME_HEADER, payload, f->length);
	*queue_tail = q;
	queue_tail = &q->next;
	queued_bytes += size;
}

void link_send(const from_agent *message)
{
	static uint8_t payload[FRAME_MAX_PAYLOAD];
	pb_ostream_t out = pb_ostream_from_buffer(payload, sizeof payload);
	if (!pb_encode(&out, hyperd_agent_v1_FromAgent_fields, message)) {
		say("encode message %u: %s", (unsigned)message->id, PB_GET_ERROR(&out));
		return;
	}
	enqueue(&(struct frame){.type = FRAME_CONTROL, .length = (uint32_t)out.bytes_written}, payload);
}

void link_acknowledge(uint32_t stream, uint64_t offset)
{
	enqueue(&(struct frame){.type = FRAME_ACK, .stream = stream, .offset = offset}, NULL);
}

void link_reset(void)
{
	while (queue_head) {
		struct queued *q = queue_head;
		queue_head = q->next;
		free(q);
	}
	queue_tail = &queue_head;
	queued_bytes = 0;
}

static bool take_queued(void)
{
	if (!queue_head)
		return false;
	current_queued = queue_head;
	queue_head = queue_head->next;
	if (!queue_head)
		queue_tail = &queue_head;
	queued_bytes -= current_queued->size;
	current_bytes = current_queued->bytes;
	current_size = current_queued->size;
	return true;
}

static void take_from(struct process *p, int which)
{
	struct stream *s = &p->out[which];
	size_t size = 0;
	if (s->sent < s->end) {
		const uint8_t *bytes = stream_bytes(s, s->sent, &size);
		if (size > DATA_CHUNK)
			size = DATA_CHUNK;
		memcpy(current + FRAME_HEADER, bytes, size);
	}
	bool last = s->eof && s->sent + size == s->end;
	struct frame f = {.type = FRAME_DATA, .flags = last ? DATA_EOF : 0, .stream = p->id * 4 + 1 + (uint32_t)which,
	                  .length = (uint32_t)size, .offset = s->sent};
	frame_encode(&f, current, current + FRAME_HEADER + size);
	s->sent += size;
	s->eof_sent = s->eof_sent || last;
	current_bytes = current;
	current_size = FRAME_HEADER + size + FRAME_TRAILER;
	last_sender = p->id;
}

// The next stream in turn that has something to send.
static bool take_data(void)
{
	struct process *first = NULL;
	for (struct process *p = processes; p; p = p->next) {
		bool wants = stream_wants_to_send(&p->out[OUT]) || stream_wants_to_send(&p->out[ERRS]);
		if (!wants)
			continue;
		if (!first)
			first = p;
		if (p->id > last_sender) {
			first = p;
			break;
		}
	}
	if (!first)
		return false;
	take_from(first, stream_wants_to_send(&first->out[OUT]) ? OUT : ERRS);
	return true;
}

void link_pump(void)
{
	for (;;) {
		if (current_done == current_size) {
			free(current_queued);
			current_queued = NULL;
			current_done = current_size = 0;
			if (!take_queued() && !take_data())
				return;
		}
		ssize_t n = write(port, current_bytes + current_done, current_size - current_done);
		if (n <= 0)
			return; // full, or the host is away: the port tells when it can go on
		current_done += (size_t)n;
	}
}

bool link_busy(void)
{
	return current_done < current_size;
}

void link_flush(int timeout_ms)
{
	for (int waited = 0; waited < timeout_ms; waited += 2) {
		link_pump();
		if (!link_busy())
			return;
		nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
	}
}
