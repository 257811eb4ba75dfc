#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "process-table.h"

bool process_stat_parse(const char *text, struct process_stat *stat) {
  const char *name = strchr(text, '('), *end = strrchr(text, ')');
  unsigned long long user, system, start;
  long long pages;
  if (!name || !end || end < name ||
      sscanf(end + 1, " %c %u %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %*d %*d %*d %*d %*d %*d %llu %*u %lld", &stat->state,
             &stat->parent, &user, &system, &start, &pages) != 6) {
    return false;
  }
  stat->cpu_ticks = user + system;
  stat->start_ticks = start;
  stat->pages = pages > 0 ? (uint64_t)pages : 0;
  stat->name = name + 1;
  stat->name_length = (int)(end - name - 1);
  return true;
}

uint32_t process_inner_pid(const char *status) {
  const char *line = strstr(status, "\nNSpid:");
  if (!line) return 0;
  char *at = (char *)(uintptr_t)line + strlen("\nNSpid:");
  unsigned int count = 0;
  unsigned long inner = 0;
  while (*at == '\t' || *at == ' ') {
    char *next;
    unsigned long found = strtoul(at, &next, 10);
    if (next == at) break;
    inner = found;
    count++;
    at = next;
  }
  return count > 1 ? (uint32_t)inner : 0;
}
