// HTTP to the daemon: one request a connection.
#define _GNU_SOURCE
#include "quick.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { ANSWER_MAX = 64 * 1024, SWITCHING_PROTOCOLS = 101 };

static int connect_to(const char *path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  if (strlen(path) >= sizeof address.sun_path) return -1;
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}

static bool send_all(int fd, const struct text *text) {
  for (size_t sent = 0; sent < text->length;) {
    ssize_t count = send(fd, text->bytes + sent, text->length - sent, MSG_NOSIGNAL);
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) sent += (size_t)count;
  }
  return true;
}

/** `headers`: of the request's own, each with its line's end. */
static bool send_request(int fd, const struct request *request, const char *headers) {
  struct text text = {0};
  size_t length = request->body ? request->body->length : 0;
  char content[80];
  append_text(&text, request->method);
  append_text(&text, " ");
  append_text(&text, request->target->bytes);
  append_text(&text, " HTTP/1.1\r\nHost: localhost\r\n");
  append_text(&text, headers);
  snprintf(content, sizeof content, "Content-Type: %s\r\nContent-Length: %zu\r\n\r\n",
           length > 0 ? "application/json" : "text/plain", length);
  append_text(&text, content);
  if (length > 0) append(&text, request->body->bytes, length);
  return send_all(fd, &text);
}

/** Reads an answer's head into `head`, with what comes behind it; the result is where that begins, NULL where there is none. */
static const char *read_head(int fd, struct text *head) {
  char buffer[HEAD_MAX];
  while (head->length < HEAD_MAX) {
    ssize_t count = read(fd, buffer, HEAD_MAX - head->length);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return NULL;
    append(head, buffer, (size_t)count);
    char *end = memmem(head->bytes, head->length, "\r\n\r\n", 4);
    if (end) return end + 4;
  }
  return NULL;
}

static int status_of(const struct text *head) {
  static const char version[] = "HTTP/1.1 ";
  return strncmp(head->bytes, version, sizeof version - 1) == 0 ? atoi(head->bytes + sizeof version - 1) : 0;
}

/** `name` as it stands behind a line feed, with its colon and space. */
static void header_of(const struct text *head, const char *name, char value[ID_MAX]) {
  const char *found = strcasestr(head->bytes, name);
  value[0] = '\0';
  if (!found) return;
  found += strlen(name);
  snprintf(value, ID_MAX, "%.*s", (int)strcspn(found, "\r\n"), found);
}

bool open_session(const struct command *command, struct connection *connection) {
  const struct request request = {"POST", &command->target, &command->body};
  struct text head = {0};
  connection->fd = connect_to(command->socket_path);
  if (connection->fd < 0) return false;
  // Without JSON there would be no status for what is refused.
  const char *headers = "Accept: application/json\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n";
  const char *rest = send_request(connection->fd, &request, headers) ? read_head(connection->fd, &head) : NULL;
  if (!rest || status_of(&head) != SWITCHING_PROTOCOLS) {
    close(connection->fd);
    return false;
  }
  header_of(&head, "\nHyper-Pod-Id: ", connection->pod);
  header_of(&head, "\nHyper-Container-Id: ", connection->container);
  header_of(&head, "\nHyper-Exec-Id: ", connection->exec);
  connection->rest_length = head.length - (size_t)(rest - head.bytes);
  memcpy(connection->rest, rest, connection->rest_length);
  return true;
}

int send_call(const char *socket_path, const struct request *request) {
  int fd = connect_to(socket_path);
  if (fd < 0) return -1;
  if (send_request(fd, request, "Accept: text/plain\r\nConnection: close\r\n")) return fd;
  close(fd);
  return -1;
}

int call(const char *socket_path, const struct request *request, int timeout_seconds, struct text *answer) {
  struct text head = {0};
  struct timeval timeout = {.tv_sec = timeout_seconds};
  int fd = send_call(socket_path, request);
  if (fd < 0) return 0;
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  const char *rest = read_head(fd, &head);
  int status = rest ? status_of(&head) : 0;
  if (answer && status != 0) {
    char buffer[1024];
    append_text(answer, rest);
    for (ssize_t count; answer->length < ANSWER_MAX && (count = read(fd, buffer, sizeof buffer)) > 0;) {
      append(answer, buffer, (size_t)count);
    }
  }
  close(fd);
  return status;
}
