#ifndef HYPERD_BUILTIN_H
#define HYPERD_BUILTIN_H

#include "agent.pb.h"

// What a process of a container runs instead of a program of the image: see Process.builtin in agent.proto. Returns
// the exit code; an error is said on standard error.
int builtin_run(const Process *process);

#endif
