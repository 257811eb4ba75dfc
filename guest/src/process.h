#ifndef HYPERD_PROCESS_H
#define HYPERD_PROCESS_H

#include <sys/types.h>

#include "agent.pb.h"
#include "answer.h"
#include "loop.h"
#include "outbox.h"

struct container;

// A process that the host has started: known from its fork until the host releases it.
struct process {
  uint32_t id;
  pid_t pid;
  char container_id[129];
  struct container *container; // NULL: the agent's own namespaces, or a container that is removed
  bool is_init;
  bool tty;
  enum { PROCESS_STARTING, PROCESS_RUNNING, PROCESS_EXITED } state;

  struct call call; // STARTING: the one to answer
  struct source report;
  bool ready;
  bool failed;
  struct failure failure;

  struct source in;
  struct receiver receiver;
  struct source out[2];
  struct sender senders[2];
  int terminal; // a slave of our own: the terminal does not hang up while the process lives

  uint32_t exit_code;
  uint32_t signal;
  uint64_t exited_at_ns;
};

void process_init(void);

// Forks and answers the call when the program runs or could not be started. `start`: the process is the init of
// `container`, and in a cgroup of its own, `cgroup`. False: nothing was started and nothing is answered.
bool process_start(struct call call, const Process *wanted, struct container *container, const StartContainer *start,
                   int cgroup, struct failure *failure);

struct process *process_find(uint32_t id);
bool process_signal(uint32_t id, uint32_t signal, struct failure *failure);
bool process_resize(uint32_t id, uint32_t rows, uint32_t columns, struct failure *failure);
bool process_release(uint32_t id, struct failure *failure);
// At most 64 processes with an id above `after`, in order; the list's memory is good until the next call.
void process_list(uint32_t after, ProcessList *list);
// A child of the agent has ended. False: it is none of the processes.
bool process_ended(pid_t pid, int status);
// A container is forgotten.
void process_leave_container(const struct container *container);

// Calls `visit` for every process.
void process_each(void (*visit)(struct process *process));

#endif
