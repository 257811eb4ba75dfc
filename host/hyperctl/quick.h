// hyperctl without Node: see main.c.
#ifndef QUICK_H
#define QUICK_H
#include <stdbool.h>
#include <stddef.h>

/** Text that grows. Memory is never given back: the process is short. */
struct text {
  char *bytes;
  size_t length;
  size_t size;
};

void append(struct text *text, const char *bytes, size_t length);
void append_text(struct text *text, const char *string);
/** For a query of a URL (RFC 3986: all but unreserved characters in percent). */
void append_encoded(struct text *text, const char *string);
/** As a JSON string, with its quotes; `string` has to be ASCII. */
void append_json(struct text *text, const char *string);

/** What a command line asks of the daemon. */
struct command {
  enum { EXEC, RUN, RUN_DETACHED, STOP, REMOVE } kind;
  bool remove; // of a pod that is run, when it has ended
  const char *socket_path;
  const char *pod;    // RUN_DETACHED, STOP, REMOVE
  struct text target; // EXEC, RUN
  struct text body;   // JSON: RUN, RUN_DETACHED
};

/** False: it needs the whole hyperctl, for an option that is not known here, a mistake, or another host. */
bool read_command(int count, char **arguments, struct command *command);

enum { HEAD_MAX = 16 * 1024, ID_MAX = 256 };

/** A connection that was handed over. */
struct connection {
  int fd;
  char pod[ID_MAX];
  char container[ID_MAX];
  char exec[ID_MAX];
  char rest[HEAD_MAX]; // what came behind the answer's head
  size_t rest_length;
};

/** False: there is no daemon, or it refused; nothing has happened then. */
bool open_session(const struct command *command, struct connection *connection);
/** What a call asks; `body`: JSON, or nothing. */
struct request {
  const char *method;
  const struct text *target;
  const struct text *body;
};

/** A call whose answer is not read; the result is its connection, -1 where there is none. */
int send_call(const char *socket_path, const struct request *request);
/** A call; the result is its status, 0 where none came in time (0: no limit). `answer`: its body, where that is wanted; of an error, a line that tells it. */
int call(const char *socket_path, const struct request *request, int timeout_seconds, struct text *answer);

/** Does a command that is a call or two and a line of output. False: the daemon has refused before anything happened. */
bool do_plainly(const struct command *command, int *exit_code);

/** Goes along until the process has ended; the result is the exit code. */
int join(const struct command *command, struct connection *connection);

#endif
