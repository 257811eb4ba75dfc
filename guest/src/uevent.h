#ifndef HYPERD_UEVENT_H
#define HYPERD_UEVENT_H

#include <stdbool.h>
#include <stdint.h>

// The kernel's announcements of devices. What they say is not looked at: they are the moment to look at sysfs again.

void uevent_open(void);
// Waits until `ready` is true, looking after every announcement. False: not within the time.
bool uevent_wait(bool (*ready)(void), uint32_t timeout_ms);
// From now on `changed` is called from the event loop.
void uevent_watch(void (*changed)(void));

#endif
