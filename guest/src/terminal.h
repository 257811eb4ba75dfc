#ifndef HYPERD_TERMINAL_H
#define HYPERD_TERMINAL_H

#include "answer.h"

// A pseudo terminal of the calling process's own devpts, opened in the process that is to use it.

struct terminal {
  int master;
  int slave;
  unsigned int number; // /dev/pts/NUMBER
};

bool terminal_open(struct terminal *terminal, uint32_t rows, uint32_t columns, struct failure *failure);
// Bind mounts it as /dev/console of the container.
bool terminal_be_console(const struct terminal *terminal, struct failure *failure);
// The session leader that calls this gets it as controlling terminal, stdin, stdout and stderr.
bool terminal_take(struct terminal *terminal, uint32_t uid, struct failure *failure);
bool terminal_resize(int master, uint32_t rows, uint32_t columns);

#endif
