#ifndef HYPERD_LOOP_H
#define HYPERD_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

// The one event loop of the agent.

#define CONTAINER_OF(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

struct source {
  int fd; // -1: none
  uint32_t events;
  void (*handle)(struct source *source, uint32_t events);
};

struct timer {
  uint64_t due_ns;
  bool armed;
  struct timer *next;
  void (*fire)(struct timer *timer);
};

void loop_init(void);
// Watches for exactly these events; 0 stops watching (then not even a hang-up is reported).
void source_watch(struct source *source, uint32_t events);
// Stops watching and closes.
void source_close(struct source *source);

void timer_arm(struct timer *timer, uint32_t delay_ms);
void timer_disarm(struct timer *timer);

// Frees `memory` once no event of the current round can refer to it.
void loop_free_later(void *memory);

// Runs for ever. `after` is called after every round; true: there is more to do at once.
_Noreturn void loop_run(bool (*after)(void));

uint64_t monotonic_ns(void);
uint64_t realtime_ns(void);

#endif
