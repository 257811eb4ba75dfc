#ifndef HYPERD_PROCESS_IO_H
#define HYPERD_PROCESS_IO_H

#include "process.h"

// The standard streams of a process, between its pipes or terminal and the host.

void process_io_init(struct process *process);
// The program runs: begins to read its output.
void process_io_run(struct process *process);
// The process has exited: takes what is left in its pipes and ends its streams.
void process_io_finish(struct process *process);
void process_io_free(struct process *process);

// DATA and ACK frames.
void process_io_data(struct process *process, const struct frame *frame);
void process_io_ack(struct process *process, const struct frame *frame);
// A new connection: nothing is sent before the host says from where.
void process_io_hold(struct process *process);

#endif
