#include "network6.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "files.h"
#include "log.h"

// The kernel's struct in6_ifreq, whose header does not go together with the library's own.
struct address_request {
  struct in6_addr address;
  uint32_t prefix_length;
  int interface;
};

static void set(const char *name, const char *key, const char *value) {
  char path[64 + IF_NAMESIZE];
  snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/%s", name, key);
  if (!file_write(path, value) && errno != ENOENT) log_line("set %s of \"%s\": %s", key, name, strerror(errno));
}

void network6_prepare(const char *name) {
  set(name, "accept_ra", "0");
  set(name, "accept_dad", "0"); // nobody else is on the wire, and an address under test cannot be used for a second
}

bool network6_plan(const Network *network, struct network6_plan *plan, struct failure *failure) {
  *plan = (struct network6_plan){.prefix_length = network->prefix_length6};
  plan->has_address = network->address6 && *network->address6;
  plan->has_gateway = plan->has_address && network->gateway6 && *network->gateway6;
  if (plan->has_address && (inet_pton(AF_INET6, network->address6, &plan->address) != 1 || network->prefix_length6 > 128)) {
    return fail(failure, Error_Code_INVALID, "configure network: address \"%s/%u\" is not valid", network->address6,
                network->prefix_length6);
  }
  if (plan->has_gateway && inet_pton(AF_INET6, network->gateway6, &plan->gateway) != 1) {
    return fail(failure, Error_Code_INVALID, "configure network: gateway \"%s\" is not valid", network->gateway6);
  }
  return true;
}

static bool add_route(int fd, int interface, struct in6_addr gateway, struct failure *failure) {
  struct in6_rtmsg route = {
      .rtmsg_flags = RTF_UP | RTF_GATEWAY, .rtmsg_metric = 1, .rtmsg_ifindex = interface, .rtmsg_gateway = gateway};
  if (ioctl(fd, SIOCADDRT, &route) == 0 || errno == EEXIST) return true;
  return fail_errno(failure, "add default route of IPv6");
}

bool network6_apply(const char *name, const struct network6_plan *plan, struct failure *failure) {
  if (!plan->has_address) return true;
  struct address_request request = {
      .address = plan->address, .prefix_length = plan->prefix_length, .interface = (int)if_nametoindex(name)};
  int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(failure, "configure IPv6");
  bool done = ioctl(fd, SIOCSIFADDR, &request) == 0 || errno == EEXIST ||
              fail_errno(failure, "set IPv6 address of \"%s\"", name);
  if (done && plan->has_gateway) done = add_route(fd, request.interface, plan->gateway, failure);
  close(fd);
  return done;
}
