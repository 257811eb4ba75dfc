#include "network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ETHERNET_MTU_MIN = 68, MTU_MAX = 65535 };

bool network_parse_mac(const char *text, unsigned char mac[6]) {
  int end = 0;
  return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5],
                &end) == 6 &&
         text[end] == '\0' && (mac[0] & 1) == 0;
}

bool network_find(const unsigned char *mac, char name[IF_NAMESIZE]) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct if_nameindex *interfaces = if_nameindex();
  bool found = false;
  for (struct if_nameindex *at = interfaces; at && at->if_index != 0 && !found; at++) {
    struct ifreq request = {0};
    snprintf(request.ifr_name, sizeof request.ifr_name, "%s", at->if_name);
    found = ioctl(fd, SIOCGIFHWADDR, &request) == 0 && request.ifr_hwaddr.sa_family == ARPHRD_ETHER &&
            (!mac || memcmp(request.ifr_hwaddr.sa_data, mac, 6) == 0);
    if (found) memcpy(name, request.ifr_name, IF_NAMESIZE);
  }
  if_freenameindex(interfaces);
  if (fd >= 0) close(fd);
  return found;
}

static void put_address(struct sockaddr *target, struct in_addr address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = address};
  memcpy(target, &in, sizeof in);
}

bool network_plan(const Network *network, struct network_plan *plan, struct failure *failure) {
  *plan = (struct network_plan){.mtu = network->mtu};
  plan->has_mac = network->mac && *network->mac;
  plan->has_gateway = network->gateway && *network->gateway;
  if (plan->has_mac && !network_parse_mac(network->mac, plan->mac)) {
    return fail(failure, Error_Code_INVALID, "configure network: MAC address \"%s\" is not valid", network->mac);
  }
  if (!network->address || inet_pton(AF_INET, network->address, &plan->address) != 1 || network->prefix_length > 32) {
    return fail(failure, Error_Code_INVALID, "configure network: address \"%s/%u\" is not valid",
                network->address ? network->address : "", network->prefix_length);
  }
  if (plan->has_gateway && inet_pton(AF_INET, network->gateway, &plan->gateway) != 1) {
    return fail(failure, Error_Code_INVALID, "configure network: gateway \"%s\" is not valid", network->gateway);
  }
  if (network->mtu != 0 && (network->mtu < ETHERNET_MTU_MIN || network->mtu > MTU_MAX)) {
    return fail(failure, Error_Code_INVALID, "configure network: MTU %u is not %d..%d", network->mtu, ETHERNET_MTU_MIN, MTU_MAX);
  }
  uint64_t ones = UINT64_C(0xffffffff) << (32 - network->prefix_length);
  plan->mask.s_addr = htonl((uint32_t)ones);
  return network6_plan(network, &plan->v6, failure);
}

static bool apply(int fd, const char *name, const struct network_plan *plan, struct failure *failure) {
  struct ifreq request = {0};
  snprintf(request.ifr_name, sizeof request.ifr_name, "%s", name);
  if (plan->has_mac) {
    request.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(request.ifr_hwaddr.sa_data, plan->mac, sizeof plan->mac);
    if (ioctl(fd, SIOCSIFHWADDR, &request) < 0) return fail_errno(failure, "set MAC address of \"%s\"", name);
  }
  if (plan->mtu != 0) {
    request.ifr_mtu = (int)plan->mtu;
    if (ioctl(fd, SIOCSIFMTU, &request) < 0) return fail_errno(failure, "set MTU of \"%s\" to %u", name, plan->mtu);
  }
  put_address(&request.ifr_addr, plan->address);
  if (ioctl(fd, SIOCSIFADDR, &request) < 0) return fail_errno(failure, "set address of \"%s\"", name);
  put_address(&request.ifr_netmask, plan->mask);
  if (ioctl(fd, SIOCSIFNETMASK, &request) < 0) return fail_errno(failure, "set network mask of \"%s\"", name);
  network6_prepare(name);
  request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_BROADCAST | IFF_MULTICAST;
  if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) return fail_errno(failure, "raise \"%s\"", name);
  return true;
}

static bool add_gateway(int fd, struct in_addr gateway, struct failure *failure) {
  struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
  put_address(&route.rt_dst, (struct in_addr){INADDR_ANY});
  put_address(&route.rt_genmask, (struct in_addr){INADDR_ANY});
  put_address(&route.rt_gateway, gateway);
  if (ioctl(fd, SIOCADDRT, &route) == 0 || errno == EEXIST) return true;
  return fail_errno(failure, "add default route");
}

bool network_apply(const char *name, const struct network_plan *plan, struct failure *failure) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail_errno(failure, "configure network");
  bool done = apply(fd, name, plan, failure) && (!plan->has_gateway || add_gateway(fd, plan->gateway, failure)) &&
              network6_apply(name, &plan->v6, failure);
  close(fd);
  return done;
}

bool network_configure(const Network *network, struct failure *failure) {
  if (!network->address || !*network->address) return true;
  struct network_plan plan;
  if (!network_plan(network, &plan, failure)) return false;
  char name[IF_NAMESIZE];
  if (!network_find(NULL, name)) return fail(failure, Error_Code_PRECONDITION, "configure network: no ethernet interface");
  return network_apply(name, &plan, failure);
}

bool network_isolate(struct failure *failure) {
  if (unshare(CLONE_NEWNET) < 0) return fail_errno(failure, "create network namespace");
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  bool done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  if (!done) fail_errno(failure, "raise \"lo\"");
  if (fd >= 0) close(fd);
  return done;
}
