#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

enum { EVENTS_PER_ROUND = 32 };

struct garbage {
  struct garbage *next;
  void *memory;
};

static int epoll_fd = -1;
static struct timer *timers; // in order of `due_ns`
static struct garbage *garbage;

static uint64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t monotonic_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
uint64_t realtime_ns(void) { return clock_ns(CLOCK_REALTIME); }

void loop_init(void) {
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fatal("create event loop: %s", strerror(errno));
}

void source_watch(struct source *source, uint32_t events) {
  if (source->fd < 0 || source->events == events) return;
  int operation = events == 0 ? EPOLL_CTL_DEL : source->events == 0 ? EPOLL_CTL_ADD : EPOLL_CTL_MOD;
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll_fd, operation, source->fd, &event) < 0) fatal("watch descriptor: %s", strerror(errno));
  source->events = events;
}

void source_close(struct source *source) {
  if (source->fd < 0) return;
  source_watch(source, 0);
  close(source->fd);
  source->fd = -1;
}

void timer_arm(struct timer *timer, uint32_t delay_ms) {
  timer_disarm(timer);
  timer->due_ns = monotonic_ns() + (uint64_t)delay_ms * 1000000u;
  struct timer **place = &timers;
  while (*place && (*place)->due_ns <= timer->due_ns) place = &(*place)->next;
  timer->next = *place;
  timer->armed = true;
  *place = timer;
}

void timer_disarm(struct timer *timer) {
  if (!timer->armed) return;
  struct timer **place = &timers;
  while (*place != timer) place = &(*place)->next;
  *place = timer->next;
  timer->armed = false;
}

void loop_free_later(void *memory) {
  struct garbage *entry = malloc(sizeof *entry);
  if (!entry) return; // leaked: better than freed too early
  *entry = (struct garbage){.next = garbage, .memory = memory};
  garbage = entry;
}

static void collect_garbage(void) {
  while (garbage) {
    struct garbage *entry = garbage;
    garbage = entry->next;
    free(entry->memory);
    free(entry);
  }
}

static int wait_ms(void) {
  if (!timers) return -1;
  uint64_t now = monotonic_ns();
  if (timers->due_ns <= now) return 0;
  uint64_t wait = (timers->due_ns - now) / 1000000u + 1;
  return wait > 3600000 ? 3600000 : (int)wait;
}

static void fire_timers(void) {
  uint64_t now = timers ? monotonic_ns() : 0;
  while (timers && timers->due_ns <= now) {
    struct timer *timer = timers;
    timer_disarm(timer);
    timer->fire(timer);
  }
}

void loop_run(bool (*after)(void)) {
  bool more = false;
  for (;;) {
    struct epoll_event events[EVENTS_PER_ROUND];
    int count = epoll_wait(epoll_fd, events, EVENTS_PER_ROUND, more ? 0 : wait_ms());
    if (count < 0 && errno != EINTR) fatal("wait for events: %s", strerror(errno));
    for (int i = 0; i < count; i++) {
      struct source *source = events[i].data.ptr;
      if (source->fd >= 0 && source->events != 0) source->handle(source, events[i].events);
    }
    fire_timers();
    more = after();
    collect_garbage();
  }
}
