#ifndef HYPERD_NETWORK6_H
#define HYPERD_NETWORK6_H

#include <netinet/in.h>
#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// The part of a network that is IPv6.
struct network6_plan {
  struct in6_addr address, gateway;
  uint32_t prefix_length;
  bool has_address, has_gateway;
};

bool network6_plan(const Network *network, struct network6_plan *plan, struct failure *failure);
// The interface takes no address that routers announce. To be called before it is raised; a kernel without IPv6 is left as it is.
void network6_prepare(const char *name);
// Adds the address and the route. Repeatable.
bool network6_apply(const char *name, const struct network6_plan *plan, struct failure *failure);

#endif
