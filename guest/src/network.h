#ifndef HYPERD_NETWORK_H
#define HYPERD_NETWORK_H

#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// Gives the first ethernet interface its identity and raises it. An empty address leaves the network alone.
bool network_configure(const Network *network, struct failure *failure);

#endif
