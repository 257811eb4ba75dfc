#ifndef HYPERD_CALLS_H
#define HYPERD_CALLS_H

#include "frame.h"

// What to do with a frame of the host.
void calls_receive(const struct frame *frame);

#endif
