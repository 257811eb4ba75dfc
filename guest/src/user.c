#include "user.h"

#include <stdlib.h>
#include <string.h>

#include "text.h"

struct passwd_entry {
  char *name;
  uint64_t uid, gid;
  char *home;
};

struct group_entry {
  char *name;
  uint64_t gid;
  char *members;
};

struct lines {
  FILE *file;
  char *line;
  size_t size;
};

enum { LINE_MAX_BYTES = 1 << 20 };

// The next line without its end; NULL: no more. A line that is out of all reason ends the file.
static char *next_line(struct lines *lines) {
  if (!lines->file) return NULL;
  ssize_t length = getline(&lines->line, &lines->size, lines->file);
  if (length < 0 || length > LINE_MAX_BYTES) return NULL;
  lines->line[strcspn(lines->line, "\r\n")] = '\0';
  return lines->line;
}

// Cuts `line` at colons; missing fields are empty.
static void cut(char *line, char **fields, size_t count) {
  for (size_t i = 0; i < count; i++) {
    fields[i] = line;
    line += strcspn(line, ":");
    if (*line) *line++ = '\0';
  }
}

// Lines that do not parse are skipped, as C libraries do it.
static bool next_user(struct lines *lines, struct passwd_entry *entry) {
  for (char *line; (line = next_line(lines));) {
    char *fields[7];
    cut(line, fields, 7);
    if (!*fields[0] || !text_number(fields[2], USER_ID_MAX, &entry->uid) ||
        !text_number(fields[3], USER_ID_MAX, &entry->gid)) {
      continue;
    }
    entry->name = fields[0];
    entry->home = fields[5];
    return true;
  }
  return false;
}

static bool next_group(struct lines *lines, struct group_entry *entry) {
  for (char *line; (line = next_line(lines));) {
    char *fields[4];
    cut(line, fields, 4);
    if (!*fields[0] || !text_number(fields[2], USER_ID_MAX, &entry->gid)) continue;
    entry->name = fields[0];
    entry->members = fields[3];
    return true;
  }
  return false;
}

static void add_group(struct user *user, uint64_t gid) {
  for (size_t i = 0; i < user->group_count; i++) {
    if (user->groups[i] == gid) return;
  }
  if (user->group_count < USER_GROUPS_MAX) user->groups[user->group_count++] = (uint32_t)gid;
}

static bool has_member(const char *members, const char *name) {
  size_t length = strlen(name);
  while (*members) {
    size_t member = strcspn(members, ",");
    if (member == length && memcmp(members, name, length) == 0) return true;
    members += member + (members[member] == ',');
  }
  return false;
}

// Finds the user by name or number. Returns its name in passwd (to be freed), NULL when it is a bare number.
static bool find_user(const char *wanted, FILE *passwd, struct user *user, char **name) {
  uint64_t number = 0;
  bool numeric = !*wanted || text_number(wanted, USER_ID_MAX, &number);
  struct lines lines = {.file = passwd};
  struct passwd_entry entry;
  bool found = false;
  while (!found && next_user(&lines, &entry)) {
    found = (*wanted && strcmp(entry.name, wanted) == 0) || (numeric && entry.uid == number);
  }
  if (found) {
    user->uid = (uint32_t)entry.uid;
    user->gid = (uint32_t)entry.gid;
    if (*entry.home) snprintf(user->home, sizeof user->home, "%s", entry.home);
    *name = strdup(entry.name);
  } else if (numeric) {
    user->uid = (uint32_t)number;
  }
  free(lines.line);
  return found || numeric;
}

static bool find_group(const char *wanted, FILE *group, uint64_t *gid) {
  bool numeric = text_number(wanted, USER_ID_MAX, gid);
  struct lines lines = {.file = group};
  struct group_entry entry;
  bool found = false;
  while (!found && next_group(&lines, &entry)) {
    if (strcmp(entry.name, wanted) == 0) {
      *gid = entry.gid;
      found = true;
    }
  }
  free(lines.line);
  if (group) rewind(group);
  return found || numeric;
}

static void add_memberships(const char *name, FILE *group, struct user *user) {
  struct lines lines = {.file = group};
  struct group_entry entry;
  while (next_group(&lines, &entry)) {
    if (has_member(entry.members, name)) add_group(user, entry.gid);
  }
  free(lines.line);
  if (group) rewind(group);
}

bool user_resolve(const char *spec, char *const *additional, size_t additional_count, FILE *passwd, FILE *group,
                  struct user *user, char *error, size_t error_size) {
  *user = (struct user){.home = "/"};
  char wanted[256];
  if (strlen(spec) >= sizeof wanted) {
    snprintf(error, error_size, "user longer than %zu bytes", sizeof wanted - 1);
    return false;
  }
  strcpy(wanted, spec);
  char *group_wanted = strchr(wanted, ':');
  if (group_wanted) *group_wanted++ = '\0';
  char *name = NULL;
  if (!find_user(wanted, passwd, user, &name)) {
    snprintf(error, error_size, "unable to find user \"%s\": no matching entries in passwd file", wanted);
    return false;
  }
  if (group_wanted && *group_wanted) {
    uint64_t gid;
    if (!find_group(group_wanted, group, &gid)) {
      snprintf(error, error_size, "unable to find group \"%s\": no matching entries in group file", group_wanted);
      free(name);
      return false;
    }
    user->gid = (uint32_t)gid;
    add_group(user, gid);
  } else {
    add_group(user, user->gid);
    if (name) add_memberships(name, group, user);
  }
  free(name);
  for (size_t i = 0; i < additional_count; i++) {
    uint64_t gid;
    if (!find_group(additional[i], group, &gid)) {
      snprintf(error, error_size, "unable to find group \"%s\": no matching entries in group file", additional[i]);
      return false;
    }
    add_group(user, gid);
  }
  return true;
}

bool user_name(FILE *passwd, uint32_t uid, char *name, size_t size) {
  rewind(passwd);
  struct lines lines = {.file = passwd};
  struct passwd_entry entry;
  bool found = false;
  while (!found && next_user(&lines, &entry)) found = entry.uid == uid;
  if (found) snprintf(name, size, "%s", entry.name);
  free(lines.line);
  return found;
}
