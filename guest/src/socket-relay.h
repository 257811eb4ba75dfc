#ifndef HYPERD_SOCKET_RELAY_H
#define HYPERD_SOCKET_RELAY_H

#include "agent.pb.h"
#include "tar.h"

// Listens on a unix socket and carries its connections over standard input and output, until the input ends: see SOCKET
// in agent.proto. False: `error` says why.
bool socket_relay(const Process *process, struct tar_error *error);

#endif
