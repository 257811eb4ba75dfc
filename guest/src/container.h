#ifndef HYPERD_CONTAINER_H
#define HYPERD_CONTAINER_H

#include "agent.pb.h"
#include "answer.h"

// A container: known from StartContainer until RemoveContainer.
struct container {
  char id[129];
  char rootfs_disk[129];
  char scratch_disk[129]; // empty: its upper directory is in memory
  int pidfd;              // of its init; -1: that has ended
  bool started;           // its init has exec'ed
  bool removing;
  uint64_t oom_kills; // known of so far
  struct container *next;
};

bool container_is_any(void);

// Both answer the call, now or later.
void container_start(struct call call, const StartContainer *start);
void container_remove(struct call call, const RemoveContainer *wanted);

// Starts another process in a running container, or in the agent's own namespaces. False: nothing is answered.
bool container_exec(struct call call, const StartProcess *start, struct failure *failure);

// Its init has ended, and with it all that was in it.
void container_init_ended(struct container *container);
void container_forget(struct container *container);
// Whether a process that ended by `signal` was killed for want of memory.
bool container_out_of_memory(struct container *container, bool is_init, uint32_t signal);

#endif
