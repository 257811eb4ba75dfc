#include "card.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "job.h"
#include "loop.h"
#include "network.h"

enum { TIMEOUT_MAX_MS = 600000, TIMEOUT_DEFAULT_MS = 10000, WAITING_MAX = 16 };

// One that is waited for.
struct card {
  struct network_plan plan;
  struct call call;
  struct timer timer;
  struct card *next;
};

static struct card *cards;

static void forget(struct card *card) {
  struct card **place = &cards;
  while (*place != card) place = &(*place)->next;
  *place = card->next;
  timer_disarm(&card->timer);
  loop_free_later(card);
}

static void try_configure(struct card *card) {
  char name[IF_NAMESIZE];
  struct failure failure;
  if (!network_find(card->plan.mac, name)) return; // not there yet
  if (network_apply(name, &card->plan, &failure)) answer_done(card->call);
  else answer_failure(card->call, &failure);
  forget(card);
}

void card_look(void) {
  for (struct card *card = cards, *next; card; card = next) {
    next = card->next;
    try_configure(card);
  }
}

static void time_out(struct timer *timer) {
  struct card *card = CONTAINER_OF(timer, struct card, timer);
  struct failure failure;
  fail(&failure, Error_Code_TIMEOUT, "configure network card: it has not appeared in time");
  answer_failure(card->call, &failure);
  forget(card);
}

static bool check(const AddCard *wanted, struct network_plan *plan, struct failure *failure) {
  size_t waiting = 0;
  for (struct card *card = cards; card; card = card->next) waiting++;
  if (!wanted->has_network || wanted->timeout_ms > TIMEOUT_MAX_MS || waiting >= WAITING_MAX) {
    return fail(failure, Error_Code_INVALID, "configure network card: no network, timeout over %d ms, or %d are waited for",
                TIMEOUT_MAX_MS, WAITING_MAX);
  }
  if (!network_plan(&wanted->network, plan, failure)) return false;
  if (!plan->has_mac) return fail(failure, Error_Code_INVALID, "configure network card: it has no MAC address");
  return true;
}

void card_add(struct call call, const AddCard *wanted) {
  struct failure failure;
  struct card *card = calloc(1, sizeof *card);
  if (!card) fail_errno(&failure, "configure network card");
  if (!card || !check(wanted, &card->plan, &failure)) {
    free(card);
    answer_failure(call, &failure);
    return;
  }
  card->call = call;
  card->timer.fire = time_out;
  card->next = cards;
  cards = card;
  timer_arm(&card->timer, wanted->timeout_ms ? wanted->timeout_ms : TIMEOUT_DEFAULT_MS);
  try_configure(card);
}

// The file that powers off the slot with the PCI device of an interface. False: it is in none.
static bool find_power(const char *name, char *power, size_t size) {
  char path[PATH_MAX], device[PATH_MAX], address[32];
  snprintf(path, sizeof path, "/sys/class/net/%s/device/..", name);
  if (!realpath(path, device)) return false;
  const char *function = strrchr(device, '/') + 1; // 0000:05:00.0, of which a slot bears what is before the dot
  glob_t slots;
  bool found = false;
  if (glob("/sys/bus/pci/slots/*/address", 0, NULL, &slots) != 0) return false;
  for (size_t i = 0; i < slots.gl_pathc && !found; i++) {
    if (!file_read(slots.gl_pathv[i], address, sizeof address)) continue;
    found = strcspn(function, ".") == strlen(address) && strncmp(function, address, strlen(address)) == 0;
    int directory = (int)(strrchr(slots.gl_pathv[i], '/') - slots.gl_pathv[i]);
    if (found) snprintf(power, size, "%.*s/power", directory, slots.gl_pathv[i]);
  }
  globfree(&slots);
  return found;
}

struct removal {
  struct call call;
  char power[64];
};

// The kernel waits a second for the slot's power to be gone.
static int power_off(const void *argument) {
  const struct removal *removal = argument;
  return file_write(removal->power, "0") ? 0 : errno;
}

static void removed(void *context, int error) {
  struct removal *removal = context;
  struct failure failure;
  errno = error;
  if (error == 0) answer_done(removal->call);
  else if (fail_errno(&failure, "remove network card"), true) answer_failure(removal->call, &failure);
  free(removal);
}

void card_remove(struct call call, const char *mac) {
  struct failure failure;
  unsigned char address[6];
  char name[IF_NAMESIZE];
  struct removal *removal = calloc(1, sizeof *removal);
  if (!removal) fail_errno(&failure, "remove network card");
  else if (!network_parse_mac(mac ? mac : "", address) || !network_find(address, name)) {
    fail(&failure, Error_Code_NOT_FOUND, "remove network card: none has the MAC address \"%s\"", mac ? mac : "");
  } else if (!find_power(name, removal->power, sizeof removal->power)) {
    fail(&failure, Error_Code_UNSUPPORTED, "remove network card \"%s\": it is in no slot that can be switched off", name);
  } else {
    removal->call = call;
    if (job_start(power_off, removal, removed, removal)) return;
    fail_errno(&failure, "remove network card");
  }
  free(removal);
  answer_failure(call, &failure);
}
