#ifndef HYPERD_PROCESS_SPAWN_H
#define HYPERD_PROCESS_SPAWN_H

#include "process.h"

// From the agent's side of the fork until the program runs.

void process_spawn_init(void);
// Forks; sets process->pid and its pipes. False: nothing was started.
bool process_spawn(struct process *process, const Process *wanted, const StartContainer *start, int cgroup,
                   struct failure *failure);
// The child has ended: takes its last reports. Afterwards the process is running (and has exited), or failed.
void process_spawn_settle(struct process *process);

#endif
