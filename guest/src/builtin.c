#include "builtin.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "files.h"
#include "tar.h"

static bool run(const Process *process, struct tar_error *error) {
  const char *path = process->args_count > 0 ? process->args[0] : "";
  if (path[0] != '/') return tar_fail(error, "path \"%.300s\": want an absolute one", path);
  if (process->builtin == Process_Builtin_EXTRACT) return tar_extract(STDIN_FILENO, path, error);
  if (process->builtin != Process_Builtin_ARCHIVE) return tar_fail(error, "builtin %d: unknown", process->builtin);
  char copy[PATH_MAX];
  snprintf(copy, sizeof copy, "%s", path);
  const char *name = basename(copy);
  return tar_create(STDOUT_FILENO, path, strcmp(name, "/") == 0 ? "" : name, error);
}

int builtin_run(const Process *process) {
  static struct tar_error error;
  if (run(process, &error)) return 0;
  write_all(STDERR_FILENO, error.text, strlen(error.text));
  return 1;
}
