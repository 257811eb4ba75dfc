#ifndef HYPERD_OUTBOX_H
#define HYPERD_OUTBOX_H

#include "frame.h"
#include "stream.h"

// What waits to be sent to the host, and in which order: control frames, acknowledgements, then data of all streams in turn.

// A process's output on its way to the host.
struct sender {
  struct output output;
  uint32_t id;
  bool queued;
  struct sender *next;
};

// The host's data on its way to a process.
struct receiver {
  struct input input;
  uint32_t id;
  bool queued; // an acknowledgement of input.ring.start is to be sent
  struct receiver *next;
};

// A DATA frame is at most 32 KiB as a whole: one buffer of the kernel's port driver, so that a frame is written whole or not.
enum { OUTBOX_DATA_MAX = 32768 - FRAME_HEADER - FRAME_TRAILER };

// Queues a control frame. False: no memory.
bool outbox_control(const uint8_t *payload, size_t size);
// Bytes of control frames that wait.
size_t outbox_control_size(void);
// Queues the stream if it has something to send.
void outbox_data(struct sender *sender);
void outbox_acknowledge(struct receiver *receiver);
// Must be called before a sender or receiver is freed.
void outbox_forget_sender(struct sender *sender);
void outbox_forget_receiver(struct receiver *receiver);
// A new connection: nothing that waits for the old one is sent.
void outbox_reset(void);

// Makes the next frame and returns its size, 0: nothing to send. It is in `buffer` (FRAME_MAX bytes), or, which saves a copy, where
// its payload is: header and trailer then cover other content of its stream, which outbox_uncover puts back. That must be
// called before anything else is done with streams.
size_t outbox_next(uint8_t *buffer, const uint8_t **bytes);
void outbox_uncover(void);

#endif
