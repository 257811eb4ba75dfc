#include "balancer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

enum { SERVICES_MAX = 256, BACKENDS_MAX = 256, PORT_MAX = 65535 };

struct endpoint {
  in_addr_t address; // both in network order, as the kernel has them
  uint16_t port;
};

struct service {
  struct endpoint at;
  uint16_t protocol;
  size_t backend_count;
  struct endpoint *backends;
};

struct services {
  size_t count;
  struct service *list;
};

static struct services current;

static void free_services(struct services *services) {
  for (size_t i = 0; i < services->count; i++) free(services->list[i].backends);
  free(services->list);
  *services = (struct services){0};
}

static bool same(struct endpoint a, struct endpoint b) { return a.address == b.address && a.port == b.port; }

static bool parse_endpoint(const char *address, uint32_t port, struct endpoint *endpoint, struct failure *failure) {
  struct in_addr in;
  if (!address || inet_pton(AF_INET, address, &in) != 1 || port == 0 || port > PORT_MAX) {
    return fail(failure, Error_Code_INVALID, "set services: \"%s\", port %u is no IPv4 address and port",
                address ? address : "", port);
  }
  *endpoint = (struct endpoint){.address = in.s_addr, .port = htons((uint16_t)port)};
  return true;
}

static bool parse_service(const Service *wanted, struct service *service, struct failure *failure) {
  if (wanted->backends_count > BACKENDS_MAX) {
    return fail(failure, Error_Code_INVALID, "set services: %u backends, allowed are %d", wanted->backends_count,
                BACKENDS_MAX);
  }
  service->protocol = wanted->udp ? IPPROTO_UDP : IPPROTO_TCP;
  service->backends = calloc(wanted->backends_count + 1u, sizeof *service->backends);
  if (!service->backends) return fail_errno(failure, "set services");
  for (; service->backend_count < wanted->backends_count; service->backend_count++) {
    const Backend *backend = &wanted->backends[service->backend_count];
    if (!parse_endpoint(backend->address, backend->port, &service->backends[service->backend_count], failure)) return false;
  }
  return parse_endpoint(wanted->address, wanted->port, &service->at, failure);
}

static bool parse(const SetServices *wanted, struct services *services, struct failure *failure) {
  if (wanted->services_count > SERVICES_MAX) {
    return fail(failure, Error_Code_INVALID, "set services: %u, allowed are %d", wanted->services_count, SERVICES_MAX);
  }
  services->list = calloc(wanted->services_count + 1u, sizeof *services->list);
  if (!services->list) return fail_errno(failure, "set services");
  while (services->count < wanted->services_count) {
    size_t at = services->count++;
    if (!parse_service(&wanted->services[at], &services->list[at], failure)) return false;
  }
  return true;
}

static const struct service *find_service(const struct services *services, const struct service *like) {
  for (size_t i = 0; i < services->count; i++) {
    if (services->list[i].protocol == like->protocol && same(services->list[i].at, like->at)) return &services->list[i];
  }
  return NULL;
}

static bool has_backend(const struct service *service, struct endpoint backend) {
  for (size_t i = 0; service && i < service->backend_count; i++) {
    if (same(service->backends[i], backend)) return true;
  }
  return false;
}

static struct ip_vs_service_user service_of(const struct service *service) {
  return (struct ip_vs_service_user){.protocol = service->protocol,
                                     .addr = service->at.address,
                                     .port = service->at.port,
                                     .sched_name = "rr",
                                     .netmask = INADDR_BROADCAST};
}

static bool change_service(int fd, int option, const struct service *service, struct failure *failure) {
  struct ip_vs_service_user user = service_of(service);
  if (setsockopt(fd, IPPROTO_IP, option, &user, sizeof user) == 0) return true;
  return fail_errno(failure, "set services: %s service", option == IP_VS_SO_SET_ADD ? "add" : "remove");
}

static bool change_backend(int fd, int option, const struct service *service, struct endpoint backend,
                           struct failure *failure) {
  struct {
    struct ip_vs_service_user service;
    struct ip_vs_dest_user backend;
  } change = {service_of(service),
              {.addr = backend.address, .port = backend.port, .conn_flags = IP_VS_CONN_F_MASQ, .weight = 1}};
  if (setsockopt(fd, IPPROTO_IP, option, &change, sizeof change) == 0 || errno == EEXIST) return true;
  return fail_errno(failure, "set services: %s backend", option == IP_VS_SO_SET_ADDDEST ? "add" : "remove");
}

static bool update_service(int fd, const struct service *before, const struct service *service, struct failure *failure) {
  if (!before && !change_service(fd, IP_VS_SO_SET_ADD, service, failure)) return false;
  for (size_t i = 0; i < service->backend_count; i++) {
    if (!has_backend(before, service->backends[i]) &&
        !change_backend(fd, IP_VS_SO_SET_ADDDEST, service, service->backends[i], failure)) {
      return false;
    }
  }
  for (size_t i = 0; before && i < before->backend_count; i++) {
    if (!has_backend(service, before->backends[i]) &&
        !change_backend(fd, IP_VS_SO_SET_DELDEST, service, before->backends[i], failure)) {
      return false;
    }
  }
  return true;
}

static bool update(int fd, const struct services *before, const struct services *services, struct failure *failure) {
  for (size_t i = 0; i < before->count; i++) {
    if (!find_service(services, &before->list[i]) &&
        !change_service(fd, IP_VS_SO_SET_DEL, &before->list[i], failure)) {
      return false;
    }
  }
  for (size_t i = 0; i < services->count; i++) {
    if (!update_service(fd, find_service(before, &services->list[i]), &services->list[i], failure)) return false;
  }
  return true;
}

// Half of a change is none: everything is made anew as it was.
static void restore(int fd) {
  static const struct services none;
  struct failure failure;
  if (setsockopt(fd, IPPROTO_IP, IP_VS_SO_SET_FLUSH, NULL, 0) < 0) log_line("flush services: %s", strerror(errno));
  if (!update(fd, &none, &current, &failure)) log_line("restore services: they are lost");
}

bool balancer_set(const SetServices *wanted, struct failure *failure) {
  if (wanted->services_count == 0 && current.count == 0) return true;
  struct services services = {0};
  int fd = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
  bool done = fd >= 0 ? parse(wanted, &services, failure) : fail_errno(failure, "set services");
  if (done && !update(fd, &current, &services, failure)) {
    restore(fd);
    done = false;
  }
  if (done) {
    struct services before = current;
    current = services;
    services = before;
  }
  free_services(&services);
  if (fd >= 0) close(fd);
  return done;
}
