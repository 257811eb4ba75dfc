#include "process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container.h"
#include "log.h"
#include "process-io.h"
#include "process-spawn.h"
#include "terminal.h"

enum { PROCESSES_MAX = 4096, LIST_MAX = 64, ID_MAX = 1 << 29, SIGNAL_MAX = 64 };

static struct process *processes[PROCESSES_MAX]; // in order of id
static size_t process_count;

// Index of the first process whose id is not below `id`.
static size_t lower_bound(uint32_t id) {
  size_t low = 0, high = process_count;
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (processes[middle]->id < id) low = middle + 1;
    else high = middle;
  }
  return low;
}

struct process *process_find(uint32_t id) {
  size_t at = lower_bound(id);
  return at < process_count && processes[at]->id == id ? processes[at] : NULL;
}

static void insert(struct process *process) {
  size_t at = lower_bound(process->id);
  memmove(processes + at + 1, processes + at, (process_count - at) * sizeof *processes);
  processes[at] = process;
  process_count++;
}

static void forget(struct process *process) {
  size_t at = lower_bound(process->id);
  process_count--;
  memmove(processes + at, processes + at + 1, (process_count - at) * sizeof *processes);
  process_io_free(process);
  loop_free_later(process);
}

void process_init(void) { process_spawn_init(); }

static bool check(const Process *wanted, struct failure *failure) {
  if (wanted->id < 1 || wanted->id > ID_MAX) {
    return fail(failure, Error_Code_INVALID, "start process: id %u is not 1..%d", wanted->id, ID_MAX);
  }
  if (process_find(wanted->id)) return fail(failure, Error_Code_EXISTS, "start process %u: the id is taken", wanted->id);
  if (process_count == PROCESSES_MAX) {
    return fail(failure, Error_Code_PRECONDITION, "start process %u: there are %d already", wanted->id, PROCESSES_MAX);
  }
  if (wanted->args_count == 0) return fail(failure, Error_Code_INVALID, "start process %u: no arguments", wanted->id);
  return true;
}

static struct process *allocate(struct call call, const Process *wanted, struct container *container, bool is_init) {
  struct process *process = calloc(1, sizeof *process);
  if (!process) return NULL;
  process->id = wanted->id;
  process->container = container;
  if (container) strcpy(process->container_id, container->id);
  process->is_init = is_init;
  process->tty = wanted->tty;
  process->call = call;
  process_io_init(process);
  return process;
}

bool process_start(struct call call, const Process *wanted, struct container *container, const StartContainer *start,
                   int cgroup, struct failure *failure) {
  if (!check(wanted, failure)) return false;
  struct process *process = allocate(call, wanted, container, start != NULL);
  if (!process) return fail_errno(failure, "start process %u", wanted->id);
  if (!process_spawn(process, wanted, start, cgroup, failure)) {
    process_io_free(process);
    free(process);
    return false;
  }
  insert(process);
  return true;
}

static void send_exited(const struct process *process, bool out_of_memory) {
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_process_exited_tag;
  message.body.process_exited = (ProcessExited){
      .process_id = process->id,
      .exit_code = process->exit_code,
      .signal = process->signal,
      .exited_at_ns = process->exited_at_ns,
      .out_of_memory = out_of_memory,
  };
  send_event(&message);
}

static void set_exited(struct process *process, uint32_t exit_code, uint32_t signal) {
  process->state = PROCESS_EXITED;
  process->exit_code = exit_code;
  process->signal = signal;
  process->exited_at_ns = realtime_ns();
  bool out_of_memory = process->container && container_out_of_memory(process->container, process->is_init, signal);
  process_io_finish(process);
  if (process->is_init && process->container) container_init_ended(process->container);
  send_exited(process, out_of_memory);
}

static uint32_t exit_code_of(const struct failure *failure) {
  if (failure->code == Error_Code_COMMAND_NOT_FOUND) return 127;
  return failure->code == Error_Code_COMMAND_NOT_EXECUTABLE ? 126 : 125;
}

// The answer waits for this: nothing of the process is left now.
static void start_failed(struct process *process) {
  if (answer_is_possible(process->call)) {
    struct container *container = process->is_init ? process->container : NULL;
    if (container) {
      container_init_ended(container);
      container_forget(container);
    }
    answer_failure(process->call, &process->failure);
    forget(process);
  } else {
    // The host has come back in the meantime and may have listed the process: it gets to know by the exit code.
    set_exited(process, exit_code_of(&process->failure), 0);
  }
}

bool process_ended(pid_t pid, int status) {
  for (size_t i = 0; i < process_count; i++) {
    struct process *process = processes[i];
    if (process->pid != pid) continue;
    process->pid = 0;
    if (process->state == PROCESS_STARTING) process_spawn_settle(process);
    uint32_t signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
    if (process->failed) start_failed(process);
    else set_exited(process, signal ? 128 + signal : (uint32_t)WEXITSTATUS(status), signal);
    return true;
  }
  return false;
}

static bool find_living(uint32_t id, struct process **found, struct failure *failure) {
  *found = process_find(id);
  if (!*found) return fail(failure, Error_Code_NOT_FOUND, "find process %u: unknown", id);
  if ((*found)->pid == 0) return fail(failure, Error_Code_NOT_FOUND, "find process %u: it has exited", id);
  return true;
}

bool process_signal(uint32_t id, uint32_t signal, struct failure *failure) {
  struct process *process;
  if (signal < 1 || signal > SIGNAL_MAX) {
    return fail(failure, Error_Code_INVALID, "signal process %u: %u is not 1..%d", id, signal, SIGNAL_MAX);
  }
  if (!find_living(id, &process, failure)) return false;
  return kill(process->pid, (int)signal) == 0 || fail_errno(failure, "signal process %u", id);
}

bool process_resize(uint32_t id, uint32_t rows, uint32_t columns, struct failure *failure) {
  struct process *process;
  if (!find_living(id, &process, failure)) return false;
  if (!process->tty || process->out[0].fd < 0) {
    return fail(failure, Error_Code_PRECONDITION, "resize terminal of process %u: it has none", id);
  }
  if (rows < 1 || rows > UINT16_MAX || columns < 1 || columns > UINT16_MAX) {
    return fail(failure, Error_Code_INVALID, "resize terminal of process %u: %u rows, %u columns", id, rows, columns);
  }
  return terminal_resize(process->out[0].fd, rows, columns) || fail_errno(failure, "resize terminal of process %u", id);
}

bool process_release(uint32_t id, struct failure *failure) {
  struct process *process = process_find(id);
  if (!process) return fail(failure, Error_Code_NOT_FOUND, "release process %u: unknown", id);
  if (process->state != PROCESS_EXITED) {
    return fail(failure, Error_Code_PRECONDITION, "release process %u: it has not exited", id);
  }
  forget(process);
  return true;
}

void process_list(uint32_t after, ProcessList *list) {
  static ProcessState states[LIST_MAX];
  *list = (ProcessList)ProcessList_init_zero;
  list->processes = states;
  for (size_t i = after == UINT32_MAX ? process_count : lower_bound(after + 1); i < process_count; i++) {
    if (list->processes_count == LIST_MAX) {
      list->more = true;
      return;
    }
    const struct process *process = processes[i];
    const struct ring *out = &process->senders[0].output.ring, *err = &process->senders[1].output.ring;
    states[list->processes_count++] = (ProcessState){
        .id = process->id,
        .container_id = (char *)(uintptr_t)process->container_id,
        .init = process->is_init,
        .exited = process->state == PROCESS_EXITED,
        .exit_code = process->exit_code,
        .signal = process->signal,
        .exited_at_ns = process->exited_at_ns,
        .stdin_received = process->receiver.input.ring.end,
        .stdout_start = out->start,
        .stdout_end = out->end,
        .stderr_start = err->start,
        .stderr_end = err->end,
        .tty = process->tty,
    };
  }
}

void process_leave_container(const struct container *container) {
  for (size_t i = 0; i < process_count; i++) {
    if (processes[i]->container == container) processes[i]->container = NULL;
  }
}

void process_each(void (*visit)(struct process *process)) {
  for (size_t i = 0; i < process_count; i++) visit(processes[i]);
}
