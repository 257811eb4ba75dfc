#ifndef HYPERD_NETWORK_H
#define HYPERD_NETWORK_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"
#include "network6.h"

// A Network whose values are checked.
struct network_plan {
  struct in_addr address, mask, gateway;
  unsigned char mac[6];
  bool has_mac, has_gateway;
  uint32_t mtu; // 0: as it is
  struct network6_plan v6;
};

// Gives the first ethernet interface its identity and raises it. An empty address leaves the network alone.
bool network_configure(const Network *network, struct failure *failure);

bool network_parse_mac(const char *text, unsigned char mac[6]);
bool network_plan(const Network *network, struct network_plan *plan, struct failure *failure);
// Configures the interface `name`. Repeatable.
bool network_apply(const char *name, const struct network_plan *plan, struct failure *failure);
// The ethernet interface with this MAC address; any, where it is NULL. False: there is none.
bool network_find(const unsigned char *mac, char name[IF_NAMESIZE]);

// Takes the calling process into a network of its own, with nothing but loopback.
bool network_isolate(struct failure *failure);

#endif
