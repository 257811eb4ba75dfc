#include "job.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
  pid_t pid;
  void (*done)(void *context, int error);
  void *context;
  struct job *next;
};

static struct job *jobs;

bool job_start(int (*work)(const void *argument), const void *argument, void (*done)(void *context, int error), void *context) {
  struct job *job = malloc(sizeof *job);
  if (!job) return false;
  pid_t pid = fork();
  if (pid < 0) {
    free(job);
    return false;
  }
  if (pid == 0) _exit(work(argument));
  *job = (struct job){.pid = pid, .done = done, .context = context, .next = jobs};
  jobs = job;
  return true;
}

bool job_ended(pid_t pid, int status) {
  struct job **place = &jobs;
  while (*place && (*place)->pid != pid) place = &(*place)->next;
  struct job *job = *place;
  if (!job) return false;
  *place = job->next;
  job->done(job->context, WIFEXITED(status) ? WEXITSTATUS(status) : EINTR);
  free(job);
  return true;
}
