// Joins the standard streams to a process of the daemon's.
#define _GNU_SOURCE
#include "quick.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
  FRAME_HEADER = 8,
  STREAM_STDERR = 2,
  STREAM_END = 4,
  END_MAX = 64 * 1024,
  BUFFER_SIZE = 64 * 1024,
  GIVE_UP_WITHIN_MS = 1000,
  REMOVE_TIMEOUT_SECONDS = 60,
  FAILED = 1,
  BROKEN_PIPE = 128 + SIGPIPE,
};

struct session {
  const struct command *command;
  struct connection *connection;
  int signals; // -1: they act as usual
  long long last_signal_ms;
  int kill_call; // -1: none yet
  bool started;
  bool input_open;
  char input[BUFFER_SIZE]; // read, and not sent yet
  size_t input_at, input_length;
  unsigned char header[FRAME_HEADER];
  size_t header_length;
  size_t frame_left;
  bool ended;
  struct text end;
};

static long long now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/** Ends hyperctl before the process has ended. */
static _Noreturn void leave(const struct session *session, int exit_code) {
  if (session->command->remove) {
    struct text target = {0};
    append_text(&target, "/pod?podId=");
    append_encoded(&target, session->connection->pod);
    call(session->command->socket_path, &(struct request){"DELETE", &target, NULL}, REMOVE_TIMEOUT_SECONDS, NULL);
  }
  exit(exit_code);
}

/** Passes a signal on; one before the start, and a second one within a second, ends hyperctl. */
static void take_signal(struct session *session) {
  struct signalfd_siginfo signal;
  if (read(session->signals, &signal, sizeof signal) != sizeof signal) return;
  long long now = now_ms();
  bool again = now - session->last_signal_ms < GIVE_UP_WITHIN_MS;
  session->last_signal_ms = now;
  if (!session->started || again) leave(session, 128 + (int)signal.ssi_signo);
  struct text target = {0};
  char number[32];
  append_text(&target, "/container/kill?container=");
  append_encoded(&target, session->connection->container);
  snprintf(number, sizeof number, "&signal=%u", signal.ssi_signo);
  append_text(&target, number);
  // Its answer would only say whether the container has just ended; a wait for it would keep the next signal waiting.
  if (session->kill_call >= 0) close(session->kill_call);
  session->kill_call = send_call(session->command->socket_path, &(struct request){"POST", &target, NULL});
}

/** Writes at the reader's pace; signals are heard meanwhile. */
static void write_output(struct session *session, int fd, const char *bytes, size_t length) {
  while (length > 0) {
    struct pollfd polled[] = {{.fd = fd, .events = POLLOUT}, {.fd = session->signals, .events = POLLIN}};
    if (poll(polled, 2, -1) < 0) continue;
    if (polled[1].revents) take_signal(session);
    if (!polled[0].revents) continue;
    // No more than a pipe that can be written to takes without a wait.
    ssize_t count = write(fd, bytes, length < PIPE_BUF ? length : PIPE_BUF);
    if (count < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (count < 0 && errno == EPIPE) leave(session, BROKEN_PIPE);
    if (count < 0) {
      fprintf(stderr, "hyperctl ERROR: write output: %s\n", strerror(errno));
      leave(session, FAILED);
    }
    bytes += count;
    length -= (size_t)count;
  }
}

static void take_payload(struct session *session, const char *bytes, size_t length) {
  if (session->header[0] == STREAM_END) {
    if (session->end.length + length <= END_MAX) append(&session->end, bytes, length);
  } else {
    write_output(session, session->header[0] == STREAM_STDERR ? STDERR_FILENO : STDOUT_FILENO, bytes, length);
  }
}

/** Docker's frames: stream, three zero bytes, length of the payload as a big-endian number of 32 bits. */
static void take_frames(struct session *session, const char *bytes, size_t length) {
  while (length > 0) {
    size_t taken;
    if (session->frame_left > 0) {
      taken = length < session->frame_left ? length : session->frame_left;
      take_payload(session, bytes, taken);
      session->frame_left -= taken;
      session->ended = session->header[0] == STREAM_END && session->frame_left == 0;
    } else {
      taken = FRAME_HEADER - session->header_length;
      if (taken > length) taken = length;
      memcpy(session->header + session->header_length, bytes, taken);
      session->header_length += taken;
      if (session->header_length == FRAME_HEADER) {
        uint32_t size;
        memcpy(&size, session->header + 4, sizeof size);
        session->frame_left = ntohl(size);
        session->header_length = 0;
        if (session->frame_left == 0) session->started = true;
      }
    }
    bytes += taken;
    length -= taken;
  }
}

static void read_input(struct session *session) {
  ssize_t count = read(STDIN_FILENO, session->input, sizeof session->input);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  session->input_at = 0;
  session->input_length = count > 0 ? (size_t)count : 0;
  if (count > 0) return;
  session->input_open = false;
  shutdown(session->connection->fd, SHUT_WR);
}

static void send_input(struct session *session) {
  ssize_t count = send(session->connection->fd, session->input + session->input_at, session->input_length,
                       MSG_NOSIGNAL | MSG_DONTWAIT);
  if (count < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (count < 0) { // nobody takes it any more; what is left of the output tells the rest
    session->input_open = false;
    session->input_length = 0;
    return;
  }
  session->input_at += (size_t)count;
  session->input_length -= (size_t)count;
}

/** Returns when the daemon has nothing more to say. */
static void pump(struct session *session) {
  static char buffer[BUFFER_SIZE];
  int fd = session->connection->fd;
  take_frames(session, session->connection->rest, session->connection->rest_length);
  for (;;) {
    bool pending = session->input_length > 0;
    struct pollfd polled[] = {
        {.fd = fd, .events = (short)(POLLIN | (pending ? POLLOUT : 0))},
        {.fd = session->input_open && !pending ? STDIN_FILENO : -1, .events = POLLIN},
        {.fd = session->signals, .events = POLLIN},
    };
    if (poll(polled, 3, -1) < 0) continue;
    if (polled[2].revents) take_signal(session);
    if (polled[1].revents) read_input(session);
    if (polled[0].revents & POLLOUT) send_input(session);
    if (polled[0].revents & (POLLIN | POLLHUP | POLLERR)) {
      ssize_t count = read(fd, buffer, sizeof buffer);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;
      take_frames(session, buffer, (size_t)count);
    }
  }
}

/** Of a process that the daemon has let go of without a word: it may have been restarted meanwhile. */
static int ask_exit_code(const struct session *session) {
  struct text target = {0}, answer = {0};
  append_text(&target, "/exitcode?container=");
  append_encoded(&target, session->connection->container);
  if (session->command->kind == EXEC) {
    append_text(&target, "&exec=");
    append_encoded(&target, session->connection->exec);
  }
  if (call(session->command->socket_path, &(struct request){"GET", &target, NULL}, 0, &answer) == 200) {
    return atoi(answer.bytes);
  }
  fputs("hyperctl ERROR: hyperd has let go of the command before its end\n", stderr);
  return FAILED;
}

static int watch_signals(void) {
  sigset_t forwarded;
  sigemptyset(&forwarded);
  sigaddset(&forwarded, SIGINT);
  sigaddset(&forwarded, SIGTERM);
  sigaddset(&forwarded, SIGHUP);
  sigaddset(&forwarded, SIGQUIT);
  sigprocmask(SIG_BLOCK, &forwarded, NULL);
  return signalfd(-1, &forwarded, SFD_CLOEXEC);
}

int join(const struct command *command, struct connection *connection) {
  static struct session session;
  session.command = command;
  session.connection = connection;
  session.input_open = true;
  session.last_signal_ms = -GIVE_UP_WITHIN_MS;
  session.kill_call = -1;
  session.signals = command->kind == RUN ? watch_signals() : -1;
  pump(&session);
  if (!session.ended) return ask_exit_code(&session);
  const char *message = strchr(session.end.bytes, ' ');
  if (message) fprintf(stderr, "hyperctl ERROR:%s\n", message);
  return atoi(session.end.bytes);
}
