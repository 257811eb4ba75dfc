#ifndef HYPERD_STATS_H
#define HYPERD_STATS_H

#include "agent.pb.h"

// What the machine and its containers have used, read from cgroupfs and /proc. The memory behind it is good until the
// next call. What cannot be read is 0.
void stats_collect(Stats *stats);

#endif
