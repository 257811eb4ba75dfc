#ifndef HYPERD_LATE_MODULES_H
#define HYPERD_LATE_MODULES_H

#include "answer.h"

// Loads the modules of an attached disk while everything else goes on, and answers the call.
void late_modules_load(struct call call, const char *disk);

#endif
