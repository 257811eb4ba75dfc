// Commands that are a call or two, and a line of output.
#include "quick.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { OK = 200, CREATED = 201, FAILED = 1 };

static int call_about(const struct command *command, const char *method, const char *target_start, struct text *answer) {
  struct text target = {0};
  append_text(&target, target_start);
  append_encoded(&target, command->pod);
  return call(command->socket_path, &(struct request){method, &target, NULL}, 0, answer);
}

static long long now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000LL + now.tv_nsec / 1000;
}

static bool run_detached(const struct command *command, int *exit_code) {
  struct text target = {0}, answer = {0};
  long long started = now_us();
  append_text(&target, "/pod/create");
  if (call(command->socket_path, &(struct request){"POST", &target, &command->body}, 0, NULL) != CREATED) return false;
  printf("POD id is %s\n", command->pod);
  fflush(stdout);
  int status = call_about(command, "POST", "/pod/start?podId=", &answer);
  if (status == OK) {
    printf("Time to run a POD is %lld ms\n", (now_us() - started + 500) / 1000);
  } else {
    *exit_code = FAILED;
    if (answer.length == 0) append_text(&answer, "hyperd has ended before the pod was started\n");
    fprintf(stderr, "hyperctl ERROR: %s", answer.bytes);
  }
  return true;
}

bool do_plainly(const struct command *command, int *exit_code) {
  switch (command->kind) {
  case RUN_DETACHED: return run_detached(command, exit_code);
  case STOP:
    if (call_about(command, "POST", "/pod/stop?stopVm=yes&podId=", NULL) != OK) return false;
    return printf("Successfully shutdown the POD: %s!\n", command->pod) > 0;
  case REMOVE:
    if (call_about(command, "DELETE", "/pod?podId=", NULL) != OK) return false;
    return printf("Pod(%s) is successfully deleted!\n", command->pod) > 0;
  default: return false;
  }
}
