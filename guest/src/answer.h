#ifndef HYPERD_ANSWER_H
#define HYPERD_ANSWER_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#include "agent.pb.h"

// A call of the host that is to be answered, perhaps later: never on another connection than its own.
struct call {
  uint32_t id;
  uint32_t connection;
};

// Why a call has failed; plain bytes, so that it can be passed between processes.
struct failure {
  Error_Code code;
  int32_t sys_errno;
  char message[480];
};

// Fills in `failure` and returns false.
bool fail(struct failure *failure, Error_Code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
// The same for a failed system call: ": " and errno's text are added.
bool fail_errno(struct failure *failure, const char *format, ...) __attribute__((format(printf, 2, 3)));

// A new connection has begun: earlier calls are not answered any more.
void answer_new_connection(void);
struct call answer_call(uint32_t id);
// False: its connection is gone.
bool answer_is_possible(struct call call);

void answer_done(struct call call);
void answer_failure(struct call call, const struct failure *failure);
// Answers with `message`, whose id is set here.
void answer_with(struct call call, FromAgent *message);
// Sends an event: a message with id 0.
void send_event(FromAgent *message);

#endif
