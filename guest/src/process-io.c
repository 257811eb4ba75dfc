#include "process-io.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <termios.h>
#include <unistd.h>

enum {
  STDIN = 0, // stream id = process id * 4 + one of these
  STDOUT = 1,
  STDERR = 2,
  READ_MIN = 16 * 1024,
  READ_MAX = 2 * OUTBOX_DATA_MAX, // whole frames: a rest would go as one of its own
  ROOM_MIN = OUTBOX_DATA_MAX,    // less than a whole frame is waited for: the host acknowledges more than that at once
  DRAIN_MAX = 1024 * 1024, // the largest pipe that a process may make itself
};

// Reads at most `size` bytes into the ring. Returns what read(2) does, and -1 with EAGAIN for want of memory.
static ssize_t read_into(struct ring *ring, int fd, size_t size) {
  struct iovec parts[2];
  if (!ring_reserve(ring, size)) {
    errno = EAGAIN;
    return -1;
  }
  ssize_t got = readv(fd, parts, ring_free_parts(ring, size, parts));
  if (got > 0) ring_grow(ring, (size_t)got);
  return got;
}

static void end_output(struct process *process, int index) {
  struct sender *sender = &process->senders[index];
  sender->output.ended = true;
  source_close(&process->out[index]);
  outbox_data(sender);
}

static void read_output(struct process *process, int index) {
  struct sender *sender = &process->senders[index];
  struct ring *ring = &sender->output.ring;
  size_t room = output_room(&sender->output);
  if (room < ROOM_MIN) {
    source_watch(&process->out[index], 0);
    return;
  }
  size_t wanted = ring->capacity < READ_MIN ? READ_MIN : ring->capacity > READ_MAX ? READ_MAX : ring->capacity;
  ssize_t got = read_into(ring, process->out[index].fd, wanted < room ? wanted : room);
  if (got > 0) outbox_data(sender);
  else if (got == 0 || (errno != EAGAIN && errno != EINTR)) end_output(process, index);
}

static void handle_stdout(struct source *source, uint32_t events) {
  (void)events;
  read_output(CONTAINER_OF(source, struct process, out[0]), 0);
}

static void handle_stderr(struct source *source, uint32_t events) {
  (void)events;
  read_output(CONTAINER_OF(source, struct process, out[1]), 1);
}

static void drop_input(struct process *process) {
  struct ring *ring = &process->receiver.input.ring;
  process->receiver.input.closed = true;
  source_close(&process->in);
  if (ring->start != ring->end) outbox_acknowledge(&process->receiver);
  ring_drop(ring, ring->end);
  ring_free(ring);
}

// A terminal has no end of input: in canonical mode its EOF character says the same.
static void end_terminal_input(int master) {
  struct termios settings;
  if (tcgetattr(master, &settings) == 0 && (settings.c_lflag & ICANON)) {
    ssize_t written = write(master, &settings.c_cc[VEOF], 1);
    (void)written; // a full terminal has a reader that is not waiting for an end
  }
}

static void end_input(struct process *process) {
  if (process->tty) end_terminal_input(process->in.fd);
  drop_input(process);
}

static void write_input(struct process *process) {
  struct input *input = &process->receiver.input;
  while (ring_size(&input->ring) > 0) {
    struct iovec parts[2];
    int count = ring_parts(&input->ring, input->ring.start, ring_size(&input->ring), parts);
    ssize_t written = writev(process->in.fd, parts, count);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      source_watch(&process->in, EPOLLOUT);
      return;
    }
    if (written < 0) { // nobody reads it
      drop_input(process);
      return;
    }
    ring_drop(&input->ring, input->ring.start + (uint64_t)written);
    outbox_acknowledge(&process->receiver);
  }
  source_watch(&process->in, 0);
  if (input->ended) end_input(process);
}

static void handle_stdin(struct source *source, uint32_t events) {
  (void)events;
  write_input(CONTAINER_OF(source, struct process, in));
}

void process_io_init(struct process *process) {
  process->report.fd = process->terminal = -1;
  process->in = (struct source){.fd = -1, .handle = handle_stdin};
  process->out[0] = (struct source){.fd = -1, .handle = handle_stdout};
  process->out[1] = (struct source){.fd = -1, .handle = handle_stderr};
  process->receiver.id = process->id * 4 + STDIN;
  process->senders[0].id = process->id * 4 + STDOUT;
  process->senders[1].id = process->id * 4 + STDERR;
}

void process_io_run(struct process *process) {
  for (int i = 0; i < 2; i++) {
    if (process->out[i].fd >= 0) source_watch(&process->out[i], EPOLLIN);
    else end_output(process, i); // a terminal has no stderr
  }
  if (process->in.fd < 0) drop_input(process);
  else write_input(process);
}

// What the process has written is in the pipe by now. More may come from others that have it open: it is not waited for.
static void drain_output(struct process *process, int index) {
  int fd = process->out[index].fd, waiting = DRAIN_MAX;
  if (fd < 0) return;
  if (!process->tty && ioctl(fd, FIONREAD, &waiting) < 0) waiting = DRAIN_MAX;
  while (waiting > 0) {
    size_t wanted = waiting < READ_MAX ? (size_t)waiting : READ_MAX;
    ssize_t got = read_into(&process->senders[index].output.ring, fd, wanted);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return;
    waiting -= (int)got;
  }
}

void process_io_finish(struct process *process) {
  for (int i = 0; i < 2; i++) {
    drain_output(process, i);
    if (!process->senders[i].output.ended) end_output(process, i);
  }
  drop_input(process);
  if (process->terminal >= 0) close(process->terminal);
  process->terminal = -1;
}

void process_io_free(struct process *process) {
  source_close(&process->report);
  source_close(&process->in);
  outbox_forget_receiver(&process->receiver);
  ring_free(&process->receiver.input.ring);
  for (int i = 0; i < 2; i++) {
    source_close(&process->out[i]);
    outbox_forget_sender(&process->senders[i]);
    ring_free(&process->senders[i].output.ring);
  }
  if (process->terminal >= 0) close(process->terminal);
  process->terminal = -1;
}

void process_io_data(struct process *process, const struct frame *frame) {
  struct input *input = &process->receiver.input;
  bool eof = (frame->flags & FRAME_EOF) != 0;
  if (frame->stream % 4 != STDIN || !input_receive(input, frame->offset, frame->payload, frame->length, eof)) return;
  if (input->closed) outbox_acknowledge(&process->receiver);
  else if (process->state == PROCESS_RUNNING) write_input(process);
}

void process_io_ack(struct process *process, const struct frame *frame) {
  int index = (int)(frame->stream % 4) - STDOUT;
  if (index < 0 || index > 1) return;
  struct sender *sender = &process->senders[index];
  if (frame->flags & FRAME_RESUME) {
    output_resume(&sender->output, frame->offset);
    // The host cannot know how far stdin has got.
    if (index == 0) outbox_acknowledge(&process->receiver);
  } else {
    output_acknowledge(&sender->output, frame->offset);
  }
  outbox_data(sender);
  if (process->state == PROCESS_RUNNING && output_room(&sender->output) >= ROOM_MIN) source_watch(&process->out[index], EPOLLIN);
}

void process_io_hold(struct process *process) {
  output_hold(&process->senders[0].output);
  output_hold(&process->senders[1].output);
}
