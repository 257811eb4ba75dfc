#ifndef HYPERD_JOB_H
#define HYPERD_JOB_H

#include <stdbool.h>
#include <sys/types.h>

// Work that may block for long, done by a forked helper that shares the agent's mount namespace.

// Runs `work` in the helper, then `done` in the agent with what it returned: 0 or an errno. False: errno is set.
bool job_start(int (*work)(const void *argument), const void *argument, void (*done)(void *context, int error), void *context);
// The process `pid` has ended. False: it is no job.
bool job_ended(pid_t pid, int status);

#endif
