// What the network tests run in containers: servers that tell which port of theirs was reached, and a client for datagrams.
//   net-tool serve tcp:7000 tcp:7001 udp:7000   each answers its own name, then what it gets, until the other end is through
//   net-tool ask ADDRESS PORT TEXT              sends a datagram, prints the answer
//   net-tool forge FROM[:PORT] ADDRESS PORT TEXT  sends a datagram with that address (and port, default 4000) as its sender's
//   net-tool flood ADDRESS COUNT                sends that many datagrams to a broadcast address
#include <arpa/inet.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

static int open_port(int type, int port) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
  int fd = socket(AF_INET, type, 0), on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) < 0) {
    perror("bind");
    exit(1);
  }
  return fd;
}

static void serve_udp(int fd, const char *name) {
  char buffer[2048];
  for (;;) {
    struct sockaddr_in peer;
    socklen_t length = sizeof peer;
    int at = snprintf(buffer, sizeof buffer, "%s ", name);
    ssize_t size = recvfrom(fd, buffer + at, sizeof buffer - (size_t)at, 0, (struct sockaddr *)&peer, &length);
    if (size >= 0) sendto(fd, buffer, (size_t)(at + size), 0, (struct sockaddr *)&peer, length);
  }
}

static void serve_tcp(int fd, const char *name) {
  listen(fd, 128);
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    int connection = accept(fd, NULL, NULL);
    if (connection >= 0 && fork() == 0) {
      char buffer[65536];
      int at = snprintf(buffer, sizeof buffer, "%s ", name);
      write(connection, buffer, (size_t)at);
      for (ssize_t size; (size = read(connection, buffer, sizeof buffer)) > 0;) {
        for (ssize_t done = 0, part; done < size; done += part) {
          if ((part = write(connection, buffer + done, (size_t)(size - done))) <= 0) exit(1);
        }
      }
      exit(0);
    }
    close(connection);
  }
}

static int ask(const char *address, const char *port, const char *text) {
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
  struct timeval timeout = {.tv_sec = 2};
  char answer[2048];
  inet_pton(AF_INET, address, &peer.sin_addr);
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
  sendto(fd, text, strlen(text), 0, (struct sockaddr *)&peer, sizeof peer);
  ssize_t size = recv(fd, answer, sizeof answer, 0);
  if (size < 0) {
    perror("no answer");
    return 1;
  }
  return write(1, answer, (size_t)size) == size ? 0 : 1;
}

static int forge(const char *from, const char *to, const char *port, const char *text) {
  struct {
    struct iphdr ip;
    struct udphdr udp;
    char text[64];
  } packet = {.ip = {.version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_UDP}};
  size_t size = sizeof packet.ip + sizeof packet.udp + strlen(text);
  packet.ip.tot_len = htons((unsigned short)size);
  char address[INET_ADDRSTRLEN] = "";
  size_t length = strcspn(from, ":");
  memcpy(address, from, length < sizeof address ? length : sizeof address - 1);
  inet_pton(AF_INET, address, &packet.ip.saddr);
  inet_pton(AF_INET, to, &packet.ip.daddr);
  packet.udp.uh_sport = htons(from[length] ? (unsigned short)atoi(from + length + 1) : 4000);
  packet.udp.uh_dport = htons((unsigned short)atoi(port));
  packet.udp.uh_ulen = htons((unsigned short)(sizeof packet.udp + strlen(text)));
  strncpy(packet.text, text, sizeof packet.text - 1);
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_addr.s_addr = packet.ip.daddr};
  int fd = socket(AF_INET, SOCK_RAW, IPPROTO_RAW);
  if (sendto(fd, &packet, size, 0, (struct sockaddr *)&peer, sizeof peer) == (ssize_t)size) return 0;
  perror("forge");
  return 1;
}

static int flood(const char *address, int count) {
  struct sockaddr_in peer = {.sin_family = AF_INET, .sin_port = htons(9)};
  int fd = socket(AF_INET, SOCK_DGRAM, 0), on = 1, sent = 0;
  setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &on, sizeof on);
  inet_pton(AF_INET, address, &peer.sin_addr);
  while (sent < count) sent += sendto(fd, "x", 1, 0, (struct sockaddr *)&peer, sizeof peer) == 1;
  return 0;
}

static void end(int signal) { _exit(128 + signal); }

int main(int argc, char **argv) {
  if (argc == 5 && strcmp(argv[1], "ask") == 0) return ask(argv[2], argv[3], argv[4]);
  if (argc == 6 && strcmp(argv[1], "forge") == 0) return forge(argv[2], argv[3], argv[4], argv[5]);
  if (argc == 4 && strcmp(argv[1], "flood") == 0) return flood(argv[2], atoi(argv[3]));
  for (int i = 2; i < argc; i++) {
    int is_udp = strncmp(argv[i], "udp:", 4) == 0;
    int fd = open_port(is_udp ? SOCK_DGRAM : SOCK_STREAM, atoi(argv[i] + 4));
    if (fork() != 0) {
      close(fd);
    } else if (is_udp) {
      serve_udp(fd, argv[i]);
    } else {
      serve_tcp(fd, argv[i]);
    }
  }
  signal(SIGTERM, end);
  puts("ready");
  fflush(stdout);
  for (;;) pause();
}
