#ifndef HYPERD_NETWORK_H
#define HYPERD_NETWORK_H

#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// Gives the first ethernet interface its identity and raises it. An empty address leaves the network alone.
bool network_configure(const Network *network, struct failure *failure);

// Takes the calling process into a network of its own, with nothing but loopback.
bool network_isolate(struct failure *failure);

#endif
