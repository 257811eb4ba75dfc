// What the test of network-guard.c runs with the guard preloaded:
//   probe connect ADDRESS   connects to a server of its own there: prints "connected" or "refused"
//   probe punch PATH        punches a hole into the file: prints "punched" or "refused"
//   probe files             prints how many files it may open
//   probe datagrams         prints whether a published port may answer loopback, and who else may send there
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char *said(ssize_t result) { return result < 0 ? "refused" : "sent"; }

static int try_connect(const char *text) {
  struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
  struct sockaddr_in in4 = {.sin_family = AF_INET};
  int is4 = inet_pton(AF_INET, text, &in4.sin_addr) == 1;
  if (!is4 && inet_pton(AF_INET6, text, &in6.sin6_addr) != 1) return 2;
  struct sockaddr *address = is4 ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6;
  struct sockaddr_storage bound = {.ss_family = address->sa_family};
  socklen_t length = is4 ? sizeof in4 : sizeof in6;
  int server = socket(address->sa_family, SOCK_STREAM, 0);
  if (bind(server, (struct sockaddr *)&bound, length) < 0 || listen(server, 1) < 0 ||
      getsockname(server, (struct sockaddr *)&bound, &length) < 0) {
    return perror("server"), 1;
  }
  in4.sin_port = in6.sin6_port = ((struct sockaddr_in *)&bound)->sin_port; // at the same place in both
  puts(connect(socket(address->sa_family, SOCK_STREAM, 0), address, length) < 0 ? "refused" : "connected");
  return 0;
}

static int open_udp(struct sockaddr_in *address) {
  socklen_t length = sizeof *address;
  int fd = socket(AF_INET, SOCK_DGRAM, 0);
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(fd, (struct sockaddr *)address, length) < 0 || getsockname(fd, (struct sockaddr *)address, &length) < 0) {
    perror("bind");
  }
  return fd;
}

static int try_datagrams(void) {
  struct sockaddr_in published, client, from, dns = {.sin_family = AF_INET, .sin_port = htons(53)};
  socklen_t length = sizeof from;
  char buffer[8];
  int publisher = open_udp(&published), other = open_udp(&from), sender = open_udp(&client);
  dns.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  printf("before: %s\n", said(sendto(publisher, "x", 1, 0, (struct sockaddr *)&client, sizeof client)));
  struct iovec part = {.iov_base = "x", .iov_len = 1};
  struct msghdr message = {.msg_name = &published, .msg_namelen = sizeof published, .msg_iov = &part, .msg_iovlen = 1};
  if (sendmsg(sender, &message, 0) < 0) return perror("sendmsg"), 1;
  recvfrom(publisher, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
  printf("after: %s\n", said(sendto(publisher, "x", 1, 0, (struct sockaddr *)&client, sizeof client)));
  printf("other: %s\n", said(sendto(other, "x", 1, 0, (struct sockaddr *)&client, sizeof client)));
  printf("dns: %s\n", said(sendto(other, "x", 1, 0, (struct sockaddr *)&dns, sizeof dns)));
  return 0;
}

static int try_punch(const char *path) {
  int fd = open(path, O_RDWR);
  if (fd < 0) return perror(path), 1;
  puts(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) < 0 ? "refused" : "punched");
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "connect") == 0) return try_connect(argv[2]);
  if (argc == 3 && strcmp(argv[1], "punch") == 0) return try_punch(argv[2]);
  if (argc == 2 && strcmp(argv[1], "files") == 0) {
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    printf("%lu\n", (unsigned long)files.rlim_max);
    return 0;
  }
  return try_datagrams();
}
