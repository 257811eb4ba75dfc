#ifndef HYPERD_PRIVILEGES_H
#define HYPERD_PRIVILEGES_H

#include "agent.pb.h"
#include "answer.h"
#include "user.h"

// What a container's process may do.

bool limits_set(const Process *process, struct failure *failure);
// Becomes `user`; `contained`: with Docker's default capabilities at most, else with all.
bool privileges_drop(const struct user *user, bool contained, struct failure *failure);

#endif
