#ifndef HYPERD_USER_H
#define HYPERD_USER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

// Who a process runs as, by the rules of Docker's USER: "", "user", "uid", "user:group", "uid:gid", ...

enum { USER_GROUPS_MAX = 1024, USER_ID_MAX = 0x7fffffff };

struct user {
  uint32_t uid;
  uint32_t gid;
  char home[256]; // "/" when passwd does not tell
  size_t group_count;
  uint32_t groups[USER_GROUPS_MAX]; // supplementary, the primary one first
};

// `passwd` and `group` may be NULL: no such file. On failure `error` says why.
bool user_resolve(const char *spec, char *const *additional, size_t additional_count, FILE *passwd, FILE *group,
                  struct user *user, char *error, size_t error_size);

// The first name that `passwd` has for a user id. False: none.
bool user_name(FILE *passwd, uint32_t uid, char *name, size_t size);

#endif
