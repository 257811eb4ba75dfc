#ifndef HYPERD_PORT_H
#define HYPERD_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "frame.h"

// The byte stream to the host: the virtio-serial port "hyperd.agent.0".

// Waits for the port and opens it; fatal when it does not come. Frames are given to `receive`.
void port_open(void (*receive)(const struct frame *frame));
// Reads and writes what can be done now. True: there is more to do at once.
bool port_work(void);
// The host has begun a new connection: it may have seen the beginning of a frame, or not.
void port_new_connection(void);
// Writes what waits, for at most this time.
void port_flush(uint32_t timeout_ms);

#endif
