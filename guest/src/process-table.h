#ifndef HYPERD_PROCESS_TABLE_H
#define HYPERD_PROCESS_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "agent.pb.h"
#include "answer.h"

// What runs in a container, whoever has started it.

// At most 128 processes of the container's cgroup with an agent's pid above `wanted->after`, in order; the memory of the table is good until
// the next call. False: there is no such container.
bool process_table(const ListContainerProcesses *wanted, ContainerProcesses *table, struct failure *failure);

struct process_stat {
  char state;
  uint32_t parent;
  uint64_t cpu_ticks, start_ticks, pages;
  const char *name; // in the text that was parsed
  int name_length;
};

// Reads the text of /proc/PID/stat, whose name may hold anything. False: it is none.
bool process_stat_parse(const char *text, struct process_stat *stat);
// The innermost id of a line "NSpid:\t1\t2\t3" in the text of /proc/PID/status; 0: the process is in no namespace below ours.
uint32_t process_inner_pid(const char *status);

#endif
