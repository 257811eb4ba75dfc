// Reads the command line. Its rules are packages/hyperctl's: src/options.ts, src/commands/exec.ts, run.ts, stop.ts and rm.ts, src/pod-options.ts.
#define _GNU_SOURCE
#include "quick.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

enum { ENVS_MAX = 256, DIGITS_MAX = 9, NAME_DIGITS = 10, NAME_MAX_LENGTH = 200 };

/** The arguments that are not read yet. */
struct arguments {
  int count;
  char **at;
};

/** Of `run`; NULL or 0 is not given. */
struct run_options {
  const char *name;
  const char *workdir;
  long vcpus;
  long memory_mib;
  const char *envs[ENVS_MAX];
  int env_count;
};

static const char *next(struct arguments *left) {
  if (left->count == 0) return NULL;
  left->count--;
  return *left->at++;
}

static bool is_option(const struct arguments *left) {
  return left->count > 0 && left->at[0][0] == '-' && left->at[0][1] != '\0';
}

/** Takes `--long` or `-s`, a flag. */
static bool take_flag(struct arguments *left, const char *long_name, const char *short_name) {
  if (strcmp(left->at[0], long_name) != 0 && strcmp(left->at[0], short_name) != 0) return false;
  next(left);
  return true;
}

/** Takes `--long VALUE`, `--long=VALUE` or `-s VALUE`; `value` stays as it is where this is another option. */
static bool take_value(struct arguments *left, const char *long_name, const char *short_name, const char **value) {
  const char *option = left->at[0];
  size_t length = strlen(long_name);
  if (strncmp(option, long_name, length) == 0 && option[length] == '=') {
    *value = option + length + 1;
    next(left);
    return true;
  }
  if ((strcmp(option, long_name) != 0 && strcmp(option, short_name) != 0) || left->count < 2) return false;
  next(left);
  *value = next(left);
  return true;
}

static bool is_plain(int count, char **words) {
  for (int index = 0; index < count; index++) {
    for (const char *at = words[index]; *at; at++) {
      if ((unsigned char)*at >= 0x80) return false; // what is not UTF-8 is the whole hyperctl's business
    }
  }
  return true;
}

/** A whole number from 1, at most DIGITS_MAX digits; -1 for anything else. `rest`: what follows it. */
static long read_number(const char *text, const char **rest) {
  char *end;
  if (!isdigit((unsigned char)text[0])) return -1;
  long number = strtol(text, &end, 10);
  *rest = end;
  return end - text <= DIGITS_MAX && number >= 1 ? number : -1;
}

static bool read_vcpus(const char *text, long *vcpus) {
  const char *rest;
  *vcpus = read_number(text, &rest);
  return *vcpus > 0 && *rest == '\0';
}

static bool read_memory(const char *text, long *mib) {
  const char *rest;
  *mib = read_number(text, &rest);
  if (*mib < 0) return false;
  if (*rest == 'g' || *rest == 'G') *mib *= 1024;
  else if (*rest != 'm' && *rest != 'M' && *rest != '\0') return false;
  return *rest == '\0' || rest[1] == '\0';
}

static bool read_env(const char *text, struct run_options *options) {
  if (text[0] == '\0' || text[0] == '=' || options->env_count == ENVS_MAX) return false;
  options->envs[options->env_count++] = text;
  return true;
}

static bool read_run_options(struct arguments *left, struct command *command, struct run_options *options) {
  while (is_option(left)) {
    const char *value = NULL;
    bool good = true;
    if (take_flag(left, "--rm", "--rm")) command->remove = true;
    else if (take_flag(left, "--detach", "-d")) command->kind = RUN_DETACHED;
    else if (take_flag(left, "--interactive", "-i")) continue;
    else if (take_value(left, "--name", "--name", &value)) options->name = value;
    else if (take_value(left, "--workdir", "--workdir", &value)) options->workdir = value;
    else if (take_value(left, "--env", "-e", &value)) good = read_env(value, options);
    else if (take_value(left, "--cpu", "--cpu", &value)) good = read_vcpus(value, &options->vcpus);
    else if (take_value(left, "--memory", "--memory", &value)) good = read_memory(value, &options->memory_mib);
    else good = false;
    if (!good) return false;
  }
  return left->count >= 1;
}

/** The last part of the image's name, its tag, ten digits. */
static void make_name(const char *image, char name[NAME_MAX_LENGTH + 1]) {
  const char *slash = strrchr(image, '/');
  const char *last = slash ? slash + 1 : image;
  size_t length = strcspn(last, "@");
  unsigned char random[NAME_DIGITS];
  char digits[NAME_DIGITS + 1] = "";
  if (getrandom(random, sizeof random, 0) != sizeof random) memset(random, 0, sizeof random);
  for (int index = 0; index < NAME_DIGITS; index++) digits[index] = (char)('0' + random[index] % 10);
  snprintf(name, NAME_MAX_LENGTH + 1, "%.*s-%s", (int)length, last, digits);
  char *colon = strchr(name, ':');
  if (colon) *colon = '-';
  size_t good = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-");
  if (name[good] != '\0' || !isalnum((unsigned char)name[0])) snprintf(name, NAME_MAX_LENGTH + 1, "pod-%s", digits);
}

static void append_words(struct text *text, int count, char **words) {
  append_text(text, "[");
  for (int index = 0; index < count; index++) {
    if (index > 0) append_text(text, ",");
    append_json(text, words[index]);
  }
  append_text(text, "]");
}

static void append_field(struct text *text, const char *before, const char *value) {
  append_text(text, before);
  append_json(text, value);
}

static void append_number(struct text *text, const char *before, long number) {
  char digits[32];
  snprintf(digits, sizeof digits, "%ld", number);
  append_text(text, before);
  append_text(text, digits);
}

static void append_envs(struct text *text, const struct run_options *options) {
  const char *separator = "";
  append_text(text, ",\"envs\":[");
  for (int index = 0; index < options->env_count; index++) {
    const char *env = options->envs[index];
    const char *equals = strchr(env, '=');
    const char *value = equals ? equals + 1 : getenv(env);
    if (!value) continue; // as it is here: not there
    append_text(text, separator);
    append_field(text, "{\"env\":", strndupa(env, equals ? (size_t)(equals - env) : strlen(env)));
    append_field(text, ",\"value\":", value);
    append_text(text, "}");
    separator = ",";
  }
  append_text(text, "]");
}

static bool read_run(struct arguments *left, struct command *command) {
  struct run_options options = {0};
  static char made[NAME_MAX_LENGTH + 1];
  if (!read_run_options(left, command, &options)) return false;
  for (int index = 0; index < options.env_count; index++) {
    char *value = strchr(options.envs[index], '=') ? NULL : getenv(options.envs[index]);
    if (value && !is_plain(1, &value)) return false;
  }
  const char *image = next(left);
  if (!options.name) make_name(image, made);
  const char *name = options.name ? options.name : made;
  struct text *body = &command->body;
  append_field(body, "{\"id\":", name);
  append_text(body, ",\"labels\":{},\"resource\":{");
  if (options.vcpus) append_number(body, "\"vcpu\":", options.vcpus);
  if (options.memory_mib) append_number(body, options.vcpus ? ",\"memory\":" : "\"memory\":", options.memory_mib);
  append_field(body, "},\"restartPolicy\":\"never\",\"containers\":[{\"name\":", name);
  append_field(body, ",\"image\":", image);
  append_text(body, ",\"command\":");
  append_words(body, left->count, left->at);
  if (options.workdir) append_field(body, ",\"workdir\":", options.workdir);
  append_envs(body, &options);
  append_text(body, ",\"tty\":false,\"readOnly\":false,\"volumes\":[]}],\"portmappings\":[]");
  append_text(body, command->remove && command->kind == RUN_DETACHED ? ",\"autoRemove\":true}" : "}");
  append_text(&command->target, command->remove ? "/run?remove=yes" : "/run");
  command->pod = name;
  return true;
}

static bool read_exec(struct arguments *left, struct command *command) {
  struct text words = {0};
  while (is_option(left)) {
    // They are accepted without effect.
    if (!take_flag(left, "--interactive", "-i") && !take_flag(left, "--attach", "-a") && !take_flag(left, "--detach", "-d")) {
      return false;
    }
  }
  if (left->count < 2) return false;
  append_text(&command->target, "/exec/start?end=yes&container=");
  append_encoded(&command->target, next(left));
  append_words(&words, left->count, left->at);
  append_text(&command->target, "&command=");
  append_encoded(&command->target, words.bytes);
  return command->target.length < HEAD_MAX / 2;
}

/** A command on one pod, without options. */
static bool read_pod(struct arguments *left, int kind, struct command *command) {
  if (left->count != 1 || left->at[0][0] == '-') return false;
  command->kind = kind;
  command->pod = next(left);
  return true;
}

/** Where a daemon listens when nobody says otherwise, as in packages/client/src/default-host.ts. */
static const char *default_socket(void) {
  char *path;
  const char *directory = getenv("XDG_RUNTIME_DIR");
  if (getuid() == 0) return "/var/run/hyper.sock";
  int length = directory && *directory ? asprintf(&path, "%s/hyper.sock", directory)
                                       : asprintf(&path, "/tmp/hyper-%u/hyper.sock", (unsigned)getuid());
  return length < 0 ? NULL : path;
}

static const char *socket_of(const char *host) {
  static const char scheme[] = "unix://";
  if (!host || *host == '\0') return default_socket();
  return strncmp(host, scheme, sizeof scheme - 1) == 0 ? host + sizeof scheme - 1 : NULL;
}

bool read_command(int count, char **arguments, struct command *command) {
  struct arguments left = {count, arguments};
  const char *host = getenv("HYPER_HOST");
  if (!is_plain(count, arguments)) return false;
  while (is_option(&left)) {
    if (!take_value(&left, "--host", "-H", &host)) return false;
  }
  command->socket_path = socket_of(host);
  const char *name = next(&left);
  if (!name || !command->socket_path || command->socket_path[0] != '/') return false;
  if (strcmp(name, "run") == 0) {
    command->kind = RUN;
    return read_run(&left, command);
  }
  if (strcmp(name, "stop") == 0) return read_pod(&left, STOP, command);
  if (strcmp(name, "rm") == 0) return read_pod(&left, REMOVE, command);
  return strcmp(name, "exec") == 0 && read_exec(&left, command);
}
