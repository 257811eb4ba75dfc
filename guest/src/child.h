#ifndef HYPERD_CHILD_H
#define HYPERD_CHILD_H

#include "agent.pb.h"
#include "answer.h"

// The way of a new process from the agent's fork to its execve.

struct child {
  const Process *process;
  const StartContainer *start; // set: it is this container's init
  int container_pidfd;         // >= 0: joins the namespaces of this process
  int stdio[3];                // with a tty: not used
  int report;                  // SOCK_SEQPACKET to the agent
};

enum report_kind { REPORT_TERMINAL, REPORT_READY, REPORT_FAILED };

// What the child tells the agent: the terminal's master (as a passed descriptor), then that it is about to execve, or
// why not. The end of the socket behind REPORT_READY means that the program runs.
struct report {
  enum report_kind kind;
  struct failure failure;
};

_Noreturn void child_run(const struct child *child);

#endif
