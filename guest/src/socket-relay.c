#include "socket-relay.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "files.h"
#include "paths.h"
#include "text.h"

enum {
  CONNECTIONS_MAX = 16,
  PAYLOAD_MAX = 32 * 1024,
  HEADER = 8,
  SEND_TIMEOUT_S = 10, // a client that does not take what it has asked for is dropped: the others must not wait for it
};

struct connection {
  int fd; // -1: the place is free
  uint32_t id; // 0: nothing has come yet. Numbers are in the order in which the host hears of them
};

static struct connection connections[CONNECTIONS_MAX];
static uint32_t last_id;
static unsigned char payload[HEADER + PAYLOAD_MAX];

static void put_number(unsigned char *to, uint32_t number) {
  for (int i = 0; i < 4; i++) to[i] = (unsigned char)(number >> (8 * i));
}

static uint32_t get_number(const unsigned char *from) {
  return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

// The payload lies behind the header in `payload` already.
static bool send_frame(uint32_t id, size_t size) {
  put_number(payload, id);
  put_number(payload + 4, (uint32_t)size);
  return write_all(STDOUT_FILENO, payload, HEADER + size);
}

// False: the input has ended.
static bool read_whole(unsigned char *to, size_t size) {
  while (size > 0) {
    ssize_t got = read(STDIN_FILENO, to, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    to += got;
    size -= (size_t)got;
  }
  return true;
}

static bool end_connection(struct connection *connection) {
  close(connection->fd);
  connection->fd = -1;
  return connection->id == 0 || send_frame(connection->id, 0);
}

static bool deliver(struct connection *connection, const unsigned char *bytes, size_t size) {
  while (size > 0) {
    ssize_t sent = send(connection->fd, bytes, size, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0) return end_connection(connection);
    bytes += sent;
    size -= (size_t)sent;
  }
  return true;
}

static struct connection *find(uint32_t id) {
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    if (connections[i].fd >= 0 && connections[i].id == id) return &connections[i];
  }
  return NULL;
}

// One frame of the host's. A connection that has ended meanwhile gets nothing any more.
static bool handle_input(void) {
  unsigned char header[HEADER];
  if (!read_whole(header, sizeof header)) return false;
  uint32_t id = get_number(header), size = get_number(header + 4);
  if (size > PAYLOAD_MAX || !read_whole(payload + HEADER, size)) return false;
  struct connection *connection = id == 0 ? NULL : find(id);
  if (!connection) return true;
  if (size > 0) return deliver(connection, payload + HEADER, size);
  close(connection->fd);
  connection->fd = -1;
  return true;
}

static bool handle_connection(struct connection *connection) {
  ssize_t got = recv(connection->fd, payload + HEADER, PAYLOAD_MAX, MSG_DONTWAIT);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (got <= 0) return end_connection(connection);
  if (connection->id == 0) connection->id = ++last_id;
  return send_frame(connection->id, (size_t)got);
}

static void handle_listener(int listener) {
  struct connection *place = NULL;
  for (int i = 0; i < CONNECTIONS_MAX && !place; i++) {
    if (connections[i].fd < 0) place = &connections[i];
  }
  int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
  if (fd < 0) return;
  struct timeval timeout = {.tv_sec = SEND_TIMEOUT_S};
  setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  *place = (struct connection){.fd = fd};
}

static bool serve_once(int listener) {
  struct pollfd polled[CONNECTIONS_MAX + 2] = {{.fd = STDIN_FILENO, .events = POLLIN}};
  bool full = true;
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    polled[i + 2] = (struct pollfd){.fd = connections[i].fd, .events = POLLIN};
    if (connections[i].fd < 0) full = false;
  }
  polled[1] = (struct pollfd){.fd = full ? -1 : listener, .events = POLLIN};
  if (poll(polled, CONNECTIONS_MAX + 2, -1) < 0) return errno == EINTR;
  for (int i = 0; i < CONNECTIONS_MAX; i++) {
    if (polled[i + 2].revents && !handle_connection(&connections[i])) return false;
  }
  if (polled[1].revents) handle_listener(listener);
  return !polled[0].revents || handle_input();
}

static bool number_of(const char *text, int base, unsigned int *number) {
  char *end;
  unsigned long value = strtoul(text, &end, base);
  *number = (unsigned int)value;
  return *text >= '0' && *text <= '9' && !*end && value <= 0x7fffffff;
}

// "DISK/NAME", as everywhere in the protocol.
static bool socket_path(const char *source, char *path, size_t size) {
  char disk[256];
  const char *slash = strchr(source, '/');
  if (!slash || snprintf(disk, sizeof disk, "%.*s", (int)(slash - source), source) >= (int)sizeof disk) return false;
  return text_is_name(disk) && text_is_name(slash + 1) && snprintf(path, size, PATH_DISKS "/%s", source) < (int)size;
}

static int listen_at(const char *path, mode_t mode, uid_t uid, gid_t gid) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  strcpy(address.sun_path, path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  unlink(path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chown(path, uid, gid) == 0 && chmod(path, mode) == 0 &&
      listen(fd, CONNECTIONS_MAX) == 0) {
    return fd;
  }
  close(fd);
  return -1;
}

bool socket_relay(const Process *process, struct tar_error *error) {
  char path[sizeof((struct sockaddr_un *)0)->sun_path];
  unsigned int mode, uid, gid;
  if (process->args_count != 4 || !socket_path(process->args[0], path, sizeof path) ||
      !number_of(process->args[1], 8, &mode) || !number_of(process->args[2], 10, &uid) ||
      !number_of(process->args[3], 10, &gid)) {
    return tar_fail(error, "socket: want DISK/NAME, mode, user and group");
  }
  for (int i = 0; i < CONNECTIONS_MAX; i++) connections[i].fd = -1;
  int listener = listen_at(path, mode & 07777, uid, gid);
  if (listener < 0) return tar_fail(error, "listen on \"%s\": %s", path, strerror(errno));
  bool serving = send_frame(0, 0); // it can be connected to from now on
  while (serving) serving = serve_once(listener);
  unlink(path);
  return true;
}
