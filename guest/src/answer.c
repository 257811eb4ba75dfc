#include "answer.h"

#include <errno.h>
#include <pb_encode.h>
#include <stdio.h>
#include <string.h>

#include "frame.h"
#include "log.h"
#include "outbox.h"
#include "text.h"

static uint32_t connection;

bool fail(struct failure *failure, Error_Code code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(failure->message, sizeof failure->message, format, arguments);
  va_end(arguments);
  failure->code = code;
  failure->sys_errno = 0;
  text_make_utf8(failure->message);
  return false;
}

bool fail_errno(struct failure *failure, const char *format, ...) {
  int error = errno;
  char what[400];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  fail(failure, Error_Code_SYSTEM, "%s: %s", what, strerror(error));
  failure->sys_errno = error;
  return false;
}

void answer_new_connection(void) { connection++; }

struct call answer_call(uint32_t id) { return (struct call){.id = id, .connection = connection}; }

bool answer_is_possible(struct call call) { return call.connection == connection; }

static void send_message(const FromAgent *message) {
  static uint8_t buffer[FRAME_PAYLOAD_MAX];
  pb_ostream_t stream = pb_ostream_from_buffer(buffer, sizeof buffer);
  if (!pb_encode(&stream, FromAgent_fields, message) || !outbox_control(buffer, stream.bytes_written)) {
    log_line("send message: %s", PB_GET_ERROR(&stream));
  }
}

void answer_with(struct call call, FromAgent *message) {
  if (!answer_is_possible(call)) return;
  message->id = call.id;
  send_message(message);
}

void answer_done(struct call call) {
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_done_tag;
  answer_with(call, &message);
}

void answer_failure(struct call call, const struct failure *failure) {
  Error error = {
      .code = failure->code,
      .sys_errno = failure->sys_errno,
      .message = (char *)(uintptr_t)failure->message,
  };
  FromAgent message = FromAgent_init_zero;
  message.has_error = true;
  message.error = error;
  answer_with(call, &message);
}

void send_event(FromAgent *message) {
  message->id = 0;
  send_message(message);
}
