// What the agent's parts share.
#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "agent.pb.h"
#include "frame.h"
#include "stream.h"

#define AGENT_VERSION "0.1.0"
#define RUN_DIR "/run/hyper"
#define DISK_DIR RUN_DIR "/disks"
#define CGROUP_DIR "/sys/fs/cgroup/hyper"

// Short names for the generated ones.
typedef hyperd_agent_v1_ToAgent to_agent;
typedef hyperd_agent_v1_FromAgent from_agent;
typedef hyperd_agent_v1_Process process_spec;
typedef hyperd_agent_v1_StartContainer container_spec;
typedef hyperd_agent_v1_Error_Code error_code;
#define ERR(name) hyperd_agent_v1_Error_Code_##name

// Why a call failed. `fail` fills it in and returns false, so that `return fail(...)` ends a step.
struct failure {
	error_code code;
	int sys_errno;
	char message[512];
};
__attribute__((format(printf, 3, 4))) bool fail(struct failure *f, error_code code, const char *format, ...);

// --- console.c: diagnosis for the host's operator
__attribute__((format(printf, 1, 2))) void say(const char *format, ...);
// Says why and powers the machine off: a PID 1 that cannot go on must not spin.
__attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...);

// --- files.c
bool write_file(const char *path, const char *text);
bool make_directories(const char *path, mode_t mode);
// Reads at most size-1 bytes and ends them with NUL; -1 on error.
ssize_t read_file(const char *path, char *buffer, size_t size);

// --- boot.c
void boot(void);

// --- link.c: the connection to the host
void link_open(int epoll);
void link_ready(void);        // the port may be read or written
void link_send(const from_agent *message);
void link_acknowledge(uint32_t stream, uint64_t offset);
void link_pump(void);         // sends what streams and queue hold
bool link_busy(void);         // something waits for the port
void link_reset(void);        // a Hello has come: forget what was queued for an earlier connection
void link_flush(int timeout_ms);
extern bool link_configured;  // Configure has been done

// --- calls.c
void handle_control(const uint8_t *payload, size_t size);
void answer_done(uint32_t id);
void answer_failure(uint32_t id, const struct failure *f);

// --- configure.c
bool configure(const hyperd_agent_v1_Configure *c, struct failure *f);
bool set_clock(uint64_t realtime_ns, struct failure *f);

// --- disk.c
bool attach_disk(const hyperd_agent_v1_AttachDisk *a, struct failure *f);
bool detach_disk(const char *name, struct failure *f);
bool valid_name(const char *name);

// --- process.c: the table of processes, their streams, and their ends
enum { OUT = 0, ERRS = 1 };
struct process {
	struct process *next;
	uint32_t id;
	uint32_t start_call; // answered when the program has been exec'ed, or could not be
	pid_t pid;
	char container[129];
	bool init;
	bool tty;
	bool starting;
	bool failed;
	bool reaped;
	bool exit_sent;
	uint32_t exit_code;
	uint32_t signal;
	uint64_t exited_at_ns;
	int status_fd; // the child's report
	int in_fd;
	int out_fd[2];
	bool out_watched[2];
	bool in_watched;
	struct stream in;
	struct stream out[2];
	bool in_ack_due;
};
extern struct process *processes;
enum { MAX_PROCESSES = 4096 };

struct process *process_find(uint32_t id);
struct process *container_init(const char *container);
bool process_start(const process_spec *spec, const container_spec *container, const char *container_id,
                   uint32_t call, struct failure *f);
void process_event(uint64_t key, uint32_t events);
void process_reap(void);
bool process_signal(uint32_t id, uint32_t signal, struct failure *f);
bool process_resize(uint32_t id, uint32_t rows, uint32_t columns, struct failure *f);
bool process_release(uint32_t id, struct failure *f);
void process_input(uint32_t stream, uint64_t offset, const uint8_t *data, size_t size, bool eof);
void process_acknowledge(uint32_t stream, uint64_t offset, bool resume);
void process_pause_all(void);
void process_kill_all(void);
bool container_remove(const hyperd_agent_v1_RemoveContainer *r, struct failure *f);
void process_list(uint32_t call, uint32_t after);
extern int epoll_fd;

// --- child.c: what happens between fork and exec; runs in the child and never returns
struct child {
	const process_spec *spec;
	const container_spec *container; // NULL: join `container_id`, or stay with the agent when that is empty
	const char *container_id;
	pid_t join;    // the container's init
	int status;    // socket for the report and the terminal's descriptor
	int stdio[3];  // pipes; unused with a terminal
};
__attribute__((noreturn)) void child_run(const struct child *c);

// --- rootfs.c
bool rootfs_prepare(const container_spec *c, bool tty, struct failure *f);
bool rootfs_seal(const container_spec *c, struct failure *f);

// --- user.c
struct user {
	uid_t uid;
	gid_t gid;
	gid_t groups[64];
	size_t group_count;
	char home[256];
};
// `text` as in the schema's Process.user; passwd and group: texts of the two files ("" when missing).
bool user_resolve(const char *text, char *const *additional, size_t additional_count, const char *passwd,
                  const char *group, struct user *u, struct failure *f);

// --- signals that arrive as events
void events_run(void);
