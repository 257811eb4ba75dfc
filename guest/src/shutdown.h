#ifndef HYPERD_SHUTDOWN_H
#define HYPERD_SHUTDOWN_H

#include "answer.h"

// Answers, kills everything, syncs, unmounts, and powers the machine off.
_Noreturn void shut_down(struct call call);

#endif
