#include "builtin.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroup.h"
#include "container-root.h"
#include "files.h"
#include "paths.h"
#include "prune.h"
#include "socket-relay.h"
#include "tar.h"
#include "text.h"

static const char *frozen; // the container that stands still while this process works

static void thaw(int number) {
  if (frozen) cgroup_freeze(frozen, false);
  if (number != 0) _exit(128 + number);
}

static const char *value_of(const char *argument, const char *key) {
  size_t length = strlen(key);
  return strncmp(argument, key, length) == 0 && argument[length] == '=' ? argument + length + 1 : NULL;
}

struct layer_arguments {
  struct tar_layer layer;
  char (*paths)[512]; // of upper and lowers
  size_t path_count;
};

static bool read_argument(struct layer_arguments *to, const char **lowers, const char **stubs, const char *argument) {
  const char *value = value_of(argument, "upper"), *lower = value_of(argument, "lower");
  if (value || lower) {
    char *path = to->paths[to->path_count++];
    if (!layer_path(value ? value : lower, path, 512)) return false;
    if (value) to->layer.upper = path;
    else lowers[to->layer.lower_count++] = path;
    return true;
  }
  if ((value = value_of(argument, "stub"))) {
    stubs[to->layer.stub_count++] = value;
    return value[0] == '/' && value[1] != '\0';
  }
  if (strcmp(argument, "tidy=yes") == 0) return to->layer.remove_stubs = true;
  frozen = value_of(argument, "freeze");
  return frozen && text_is_name(frozen);
}

static bool pack_layer(const Process *process, struct tar_error *error) {
  size_t count = process->args_count;
  const char **lowers = calloc(count + 1, sizeof *lowers), **stubs = calloc(count + 1, sizeof *stubs);
  struct layer_arguments arguments = {.paths = calloc(count + 1, sizeof *arguments.paths)};
  if (!lowers || !stubs || !arguments.paths) return tar_fail(error, "pack layer: out of memory");
  arguments.layer.lowers = lowers;
  arguments.layer.stubs = stubs;
  for (size_t i = 0; i < count; i++) {
    if (!read_argument(&arguments, lowers, stubs, process->args[i])) {
      return tar_fail(error, "pack layer: argument \"%.300s\" is not valid", process->args[i]);
    }
  }
  if (!arguments.layer.upper) return tar_fail(error, "pack layer: of what?");
  if (frozen) {
    signal(SIGTERM, thaw);
    signal(SIGPIPE, thaw);
    if (!cgroup_freeze(frozen, true)) return tar_fail(error, "freeze container \"%s\": it does not stand still", frozen);
  }
  return tar_create_layer(STDOUT_FILENO, &arguments.layer, error);
}

static bool prune(const Process *process, struct tar_error *error) {
  const char *disk = process->args_count > 0 ? process->args[0] : "";
  char path[512];
  snprintf(path, sizeof path, PATH_DISKS "/%s", disk);
  if (!text_is_name(disk)) return tar_fail(error, "prune disk \"%.300s\": not a name", disk);
  if (prune_containers(path, process->args + 1, process->args_count - 1)) return true;
  return tar_fail(error, "prune disk \"%.128s\": %s", disk, strerror(errno));
}

static bool run(const Process *process, struct tar_error *error) {
  if (process->builtin == Process_Builtin_PRUNE) return prune(process, error);
  if (process->builtin == Process_Builtin_LAYER) return pack_layer(process, error);
  if (process->builtin == Process_Builtin_SOCKET) return socket_relay(process, error);
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
  bool done = run(process, &error);
  thaw(0);
  if (done) return 0;
  write_all(STDERR_FILENO, error.text, strlen(error.text));
  return 1;
}
