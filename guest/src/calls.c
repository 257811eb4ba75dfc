#include "calls.h"

#include <pb_decode.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "agent.pb.h"
#include "answer.h"
#include "balancer.h"
#include "card.h"
#include "container.h"
#include "disk.h"
#include "identity.h"
#include "late-modules.h"
#include "outbox.h"
#include "port.h"
#include "process-io.h"
#include "process-table.h"
#include "process.h"
#include "share.h"
#include "shutdown.h"
#include "stats.h"

enum { PROTOCOL = 1 };

#ifndef AGENT_VERSION
#define AGENT_VERSION "0"
#endif

static void hello(struct call call, const Hello *hello) {
  answer_new_connection();
  outbox_reset();
  port_new_connection();
  process_each(process_io_hold);
  static char version[] = AGENT_VERSION;
  struct utsname kernel;
  uname(&kernel);
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_welcome_tag;
  message.body.welcome = (Welcome){
      .protocol = PROTOCOL,
      .nonce = hello->nonce,
      .agent_version = version,
      .window = STREAM_WINDOW,
      .configured = identity_configured(),
      .kernel_release = kernel.release,
  };
  answer_with(answer_call(call.id), &message);
}

static void list_processes(struct call call, const ListProcesses *wanted) {
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_process_list_tag;
  process_list(wanted->after, &message.body.process_list);
  answer_with(call, &message);
}

static void get_stats(struct call call) {
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_stats_tag;
  stats_collect(&message.body.stats);
  answer_with(call, &message);
}

static void list_container_processes(struct call call, const ListContainerProcesses *wanted) {
  struct failure failure;
  FromAgent message = FromAgent_init_zero;
  message.which_body = FromAgent_container_processes_tag;
  if (process_table(wanted, &message.body.container_processes, &failure)) answer_with(call, &message);
  else answer_failure(call, &failure);
}

static void start_process(struct call call, const StartProcess *start) {
  struct failure failure;
  if (!start->has_process) fail(&failure, Error_Code_INVALID, "start process: none given");
  else if (container_exec(call, start, &failure)) return;
  answer_failure(call, &failure);
}

static void answer_result(struct call call, bool done, const struct failure *failure) {
  if (done) answer_done(call);
  else answer_failure(call, failure);
}

static void dispatch(struct call call, const ToAgent *message) {
  struct failure failure;
  bool done;
  switch (message->which_call) {
  case ToAgent_hello_tag: hello(call, &message->call.hello); return;
  case ToAgent_attach_disk_tag: disk_attach(call, &message->call.attach_disk); return;
  case ToAgent_detach_disk_tag: disk_detach(call, message->call.detach_disk.name); return;
  case ToAgent_load_modules_tag: late_modules_load(call, message->call.load_modules.disk); return;
  case ToAgent_add_card_tag: card_add(call, &message->call.add_card); return;
  case ToAgent_remove_card_tag: card_remove(call, message->call.remove_card.mac); return;
  case ToAgent_mount_share_tag: share_mount(call, &message->call.mount_share); return;
  case ToAgent_start_container_tag: container_start(call, &message->call.start_container); return;
  case ToAgent_remove_container_tag: container_remove(call, &message->call.remove_container); return;
  case ToAgent_start_process_tag: start_process(call, &message->call.start_process); return;
  case ToAgent_list_processes_tag: list_processes(call, &message->call.list_processes); return;
  case ToAgent_get_stats_tag: get_stats(call); return;
  case ToAgent_list_container_processes_tag: list_container_processes(call, &message->call.list_container_processes); return;
  case ToAgent_shutdown_tag: shut_down(call);
  case ToAgent_configure_tag: done = identity_configure(&message->call.configure, &failure); break;
  case ToAgent_set_clock_tag: done = identity_set_clock(message->call.set_clock.realtime_ns, &failure); break;
  case ToAgent_set_hostname_tag: done = identity_set_hostname(message->call.set_hostname.hostname, &failure); break;
  case ToAgent_set_services_tag: done = balancer_set(&message->call.set_services, &failure); break;
  case ToAgent_signal_process_tag:
    done = process_signal(message->call.signal_process.process_id, message->call.signal_process.signal, &failure);
    break;
  case ToAgent_resize_tty_tag:
    done = process_resize(message->call.resize_tty.process_id, message->call.resize_tty.rows,
                          message->call.resize_tty.columns, &failure);
    break;
  case ToAgent_release_process_tag: done = process_release(message->call.release_process.process_id, &failure); break;
  default: done = fail(&failure, Error_Code_UNSUPPORTED, "call %u: unknown to this agent", call.id);
  }
  answer_result(call, done, &failure);
}

static void control(const struct frame *frame) {
  static ToAgent message;
  message = (ToAgent)ToAgent_init_zero;
  pb_istream_t stream = pb_istream_from_buffer(frame->payload, frame->length);
  if (!pb_decode(&stream, ToAgent_fields, &message) || message.id == 0) {
    struct failure failure;
    fail(&failure, Error_Code_INVALID, "parse call: %s", message.id == 0 ? "no id, or not a call" : PB_GET_ERROR(&stream));
    answer_failure(answer_call(0), &failure);
  } else {
    dispatch(answer_call(message.id), &message);
  }
  pb_release(ToAgent_fields, &message);
}

void calls_receive(const struct frame *frame) {
  if (frame->type == FRAME_CONTROL) {
    control(frame);
    return;
  }
  struct process *process = process_find(frame->stream / 4);
  if (!process) return; // released: what was under way does not matter
  if (frame->type == FRAME_DATA) process_io_data(process, frame);
  if (frame->type == FRAME_ACK) process_io_ack(process, frame);
}
