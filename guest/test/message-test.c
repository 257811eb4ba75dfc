#include <pb_decode.h>
#include <pb_encode.h>
#include <string.h>

#include "agent.pb.h"
#include "test.h"

// The generated code and the system's nanopb library must agree on how they were compiled.
static void round_trip(void) {
  char *arguments[] = {(char[]){"sh"}, (char[]){""}, (char[]){"-c"}};
  Rlimit limit = {.name = (char[]){"nofile"}, .soft = UINT64_MAX, .hard = 1};
  ToAgent message = ToAgent_init_zero;
  message.id = 7;
  message.which_call = ToAgent_start_process_tag;
  message.call.start_process.container_id = (char[]){"c1"};
  message.call.start_process.has_process = true;
  Process *process = &message.call.start_process.process;
  *process = (Process){.id = 9, .args = arguments, .args_count = 3, .rlimits = &limit, .rlimits_count = 1, .tty = true};
  uint8_t bytes[200];
  pb_ostream_t out = pb_ostream_from_buffer(bytes, sizeof bytes);
  CHECK(pb_encode(&out, ToAgent_fields, &message));
  ToAgent copy = ToAgent_init_zero;
  pb_istream_t in = pb_istream_from_buffer(bytes, out.bytes_written);
  CHECK(pb_decode(&in, ToAgent_fields, &copy));
  const Process *read = &copy.call.start_process.process;
  CHECK(copy.id == 7 && copy.which_call == ToAgent_start_process_tag && read->id == 9 && read->tty);
  CHECK(strcmp(copy.call.start_process.container_id, "c1") == 0 && read->cwd == NULL);
  CHECK(read->args_count == 3 && strcmp(read->args[2], "-c") == 0 && strcmp(read->args[1], "") == 0);
  CHECK(read->rlimits_count == 1 && read->rlimits[0].soft == UINT64_MAX);
  pb_release(ToAgent_fields, &copy);
}

static void largest(void) {
  static uint8_t bytes[70000];
  static pb_byte_t content[65000 + sizeof(pb_size_t)];
  pb_bytes_array_t *array = (pb_bytes_array_t *)(void *)content;
  array->size = 65000;
  InjectedFile file = {.path = (char[]){"/x"}, .content = array, .mode = 0644};
  ToAgent message = ToAgent_init_zero;
  message.which_call = ToAgent_start_container_tag;
  message.call.start_container.files = &file;
  message.call.start_container.files_count = 1;
  pb_ostream_t out = pb_ostream_from_buffer(bytes, sizeof bytes);
  CHECK(pb_encode(&out, ToAgent_fields, &message));
  ToAgent copy = ToAgent_init_zero;
  pb_istream_t in = pb_istream_from_buffer(bytes, out.bytes_written);
  CHECK(pb_decode(&in, ToAgent_fields, &copy));
  CHECK(copy.call.start_container.files[0].content->size == 65000);
  pb_release(ToAgent_fields, &copy);
}

TESTS(message_tests, {"message: nanopb library and generated code agree", round_trip},
      {"message: a file that fills the payload", largest});
