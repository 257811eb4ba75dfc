#ifndef HYPERD_BALANCER_H
#define HYPERD_BALANCER_H

#include "agent.pb.h"
#include "answer.h"

// Has the kernel balance `wanted` and nothing else. On a failure it balances what it did before.
bool balancer_set(const SetServices *wanted, struct failure *failure);

#endif
