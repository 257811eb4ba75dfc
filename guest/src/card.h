#ifndef HYPERD_CARD_H
#define HYPERD_CARD_H

#include "agent.pb.h"
#include "answer.h"

// Network cards that are plugged into the running machine, found by their MAC addresses.

void card_add(struct call call, const AddCard *wanted);
// Powers the card's slot off, so that the host can unplug it.
void card_remove(struct call call, const char *mac);
// A device has come or gone.
void card_look(void);

#endif
