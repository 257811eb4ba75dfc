#ifndef HYPERD_NETWORK6_H
#define HYPERD_NETWORK6_H

#include <stdbool.h>

#include "answer.h"

// The interface takes no address that routers announce. To be called before it is raised; a kernel without IPv6 is left as it is.
void network6_prepare(const char *name);
// Gives the raised interface the address and the default route of `network`, if there are any.
bool network6_configure(const char *name, const Network *network, struct failure *failure);

#endif
