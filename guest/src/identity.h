#ifndef HYPERD_IDENTITY_H
#define HYPERD_IDENTITY_H

#include <stdbool.h>

#include "agent.pb.h"
#include "answer.h"

// What makes a machine itself after a boot or a restore: Configure and SetClock of guest/agent.proto.

bool identity_configured(void);
bool identity_configure(const Configure *configure, struct failure *failure);
bool identity_set_hostname(const char *hostname, struct failure *failure);
bool identity_set_clock(uint64_t realtime_ns, struct failure *failure);

#endif
