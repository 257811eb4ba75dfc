// The table of processes: starting, feeding, reading and burying them.
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

// What a descriptor in epoll is: the process's id above these.
enum kind { KIND_STATUS = 1, KIND_IN = 2, KIND_OUT = 3, KIND_ERR = 4 };

struct process *processes;
int epoll_fd = -1;
static unsigned process_count;

static void pump_output(struct process *p, int which);
static void pump_input(struct process *p);
static void maybe_tell_exit(struct process *p);

struct process *process_find(uint32_t id)
{
	struct process *p = processes;
	while (p && p->id != id)
		p = p->next;
	return p;
}

struct process *container_init(const char *container)
{
	struct process *p = processes;
	while (p && !(p->init && !p->reaped && !p->failed && strcmp(p->container, container) == 0))
		p = p->next;
	return p;
}

static void watch(struct process *p, int fd, enum kind kind, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.u64 = (uint64_t)p->id << 3 | kind};
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 && errno != EEXIST)
		say("watch process %u: %s", (unsigned)p->id, strerror(errno));
}

static void unwatch(int fd)
{
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void free_process(struct process *gone)
{
	struct process **at = &processes;
	while (*at != gone)
		at = &(*at)->next;
	*at = gone->next;
	close_fd(&gone->status_fd);
	close_fd(&gone->in_fd);
	close_fd(&gone->out_fd[OUT]);
	close_fd(&gone->out_fd[ERRS]);
	stream_free(&gone->in);
	stream_free(&gone->out[OUT]);
	stream_free(&gone->out[ERRS]);
	free(gone);
	process_count--;
}

// Pipes for stdin, stdout, stderr: the child's ends in `child`, ours in the process.
static bool make_pipes(struct process *p, bool no_stdin, int child[3], struct failure *f)
{
	int in[2], out[2], err[2];
	if (no_stdin)
		child[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	else if (pipe2(in, O_CLOEXEC) == 0) {
		child[0] = in[0];
		p->in_fd = in[1];
	}
	if (child[0] < 0)
		return fail(f, ERR(SYSTEM), "make stdin");
	if (pipe2(out, O_CLOEXEC) < 0)
		return fail(f, ERR(SYSTEM), "make stdout");
	child[1] = out[1];
	p->out_fd[OUT] = out[0];
	if (pipe2(err, O_CLOEXEC) < 0)
		return fail(f, ERR(SYSTEM), "make stderr");
	child[2] = err[1];
	p->out_fd[ERRS] = err[0];
	return true;
}

// Forks; for an exec, into the container's PID namespace, which only children of a process that has joined it are in.
static pid_t fork_into(const struct child *c, struct failure *f)
{
	pid_t pid;
	if (c->container) {
		pid = (pid_t)syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | SIGCHLD, 0, 0, 0, 0);
	} else if (*c->container_id) {
		char path[64];
		snprintf(path, sizeof path, "/proc/%d/ns/pid", (int)c->join);
		int theirs = open(path, O_RDONLY | O_CLOEXEC), ours = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
		pid = theirs >= 0 && ours >= 0 && setns(theirs, CLONE_NEWPID) == 0 ? fork() : -1;
		if (pid != 0 && ours >= 0 && setns(ours, CLONE_NEWPID) < 0)
			die("return to own PID namespace: %s", strerror(errno));
		if (theirs >= 0)
			close(theirs);
		if (ours >= 0)
			close(ours);
	} else {
		pid = fork();
	}
	if (pid < 0)
		fail(f, ERR(SYSTEM), "fork");
	return pid;
}

static bool launch(struct process *p, struct child *c, struct failure *f)
{
	int status[2];
	int stdio[3] = {-1, -1, -1};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, status) < 0)
		return fail(f, ERR(SYSTEM), "make status socket");
	p->status_fd = status[0];
	bool done = p->tty || make_pipes(p, c->spec->no_stdin, stdio, f);
	if (done) {
		c->status = status[1];
		memcpy(c->stdio, stdio, sizeof stdio);
		p->pid = fork_into(c, f);
		if (p->pid == 0)
			child_run(c);
		done = p->pid > 0;
	}
	close(status[1]);
	for (int i = 0; i < 3; i++)
		close_fd(&stdio[i]);
	return done;
}

static struct process *new_process(const process_spec *spec, const char *container_id, bool init)
{
	struct process *p = calloc(1, sizeof *p);
	if (!p)
		return NULL;
	p->id = spec->id;
	p->init = init;
	p->tty = spec->tty;
	p->starting = true;
	p->status_fd = p->in_fd = p->out_fd[OUT] = p->out_fd[ERRS] = -1;
	snprintf(p->container, sizeof p->container, "%s", container_id);
	p->next = processes;
	processes = p;
	process_count++;
	return p;
}

static bool check_start(const process_spec *spec, const container_spec *container, const char *id, pid_t *join,
                        struct failure *f)
{
	if (spec->id == 0 || spec->id > 1u << 29)
		return fail(f, ERR(INVALID), "start process: id %u", (unsigned)spec->id);
	if (process_find(spec->id))
		return fail(f, ERR(EXISTS), "start process: id %u is taken", (unsigned)spec->id);
	if (spec->args_count == 0)
		return fail(f, ERR(INVALID), "start process: no arguments");
	if (process_count >= MAX_PROCESSES)
		return fail(f, ERR(PRECONDITION), "start process: %d run already", MAX_PROCESSES);
	if (!*id)
		return true;
	if (!valid_name(id))
		return fail(f, ERR(INVALID), "start process: container id \"%.140s\"", id);
	struct process *init = container_init(id);
	if (container && init)
		return fail(f, ERR(EXISTS), "start container: %s runs already", id);
	if (!container && (!init || init->starting))
		return fail(f, ERR(NOT_FOUND), "start process: container %s does not run", id);
	*join = init ? init->pid : 0;
	return true;
}

bool process_start(const process_spec *spec, const container_spec *container, const char *container_id, uint32_t call,
                   struct failure *f)
{
	struct child c = {.spec = spec, .container = container, .container_id = container_id, .stdio = {-1, -1, -1}};
	if (!check_start(spec, container, container_id, &c.join, f))
		return false;
	if (container) {
		char path[300];
		snprintf(path, sizeof path, CGROUP_DIR "/%s", container_id);
		if (mkdir(path, 0755) < 0 && errno != EEXIST)
			return fail(f, ERR(SYSTEM), "make cgroup");
	}
	struct process *p = new_process(spec, container_id, container != NULL);
	if (!p)
		return fail(f, ERR(SYSTEM), "allocate process");
	p->start_call = call;
	if (!launch(p, &c, f)) {
		free_process(p);
		return false;
	}
	watch(p, p->status_fd, KIND_STATUS, EPOLLIN);
	return true;
}

static void watch_streams(struct process *p)
{
	for (int which = OUT; which <= ERRS; which++) {
		if (p->out_fd[which] < 0) {
			p->out[which].eof = p->out[which].eof_sent = true; // a terminal has no stderr
			continue;
		}
		fcntl(p->out_fd[which], F_SETFL, O_NONBLOCK);
		watch(p, p->out_fd[which], which == OUT ? KIND_OUT : KIND_ERR, EPOLLIN);
		p->out_watched[which] = true;
	}
	if (p->in_fd >= 0)
		fcntl(p->in_fd, F_SETFL, O_NONBLOCK);
	pump_input(p);
}

static void started(struct process *p)
{
	p->starting = false;
	close_fd(&p->status_fd);
	from_agent answer = hyperd_agent_v1_FromAgent_init_zero;
	answer.id = p->start_call;
	answer.which_body = hyperd_agent_v1_FromAgent_process_started_tag;
	answer.body.process_started.pid = (uint32_t)p->pid;
	link_send(&answer);
	watch_streams(p);
}

static void take_terminal(struct process *p, const struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	if (!header || header->cmsg_type != SCM_RIGHTS)
		return;
	int master;
	memcpy(&master, CMSG_DATA(header), sizeof master);
	// One descriptor for each direction, so that each can be watched and closed by itself.
	p->out_fd[OUT] = master;
	p->in_fd = fcntl(master, F_DUPFD_CLOEXEC, 0);
}

// The child's report: its terminal, why it could not run, or (the end) that its program runs.
static void read_status(struct process *p)
{
	struct failure f = {0};
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	for (;;) {
		struct iovec data = {.iov_base = &f, .iov_len = sizeof f};
		struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
		ssize_t n = recvmsg(p->status_fd, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			return;
		if (n == 1) {
			take_terminal(p, &message);
			continue;
		}
		if (n == (ssize_t)sizeof f) {
			p->failed = true;
			p->starting = false;
			close_fd(&p->status_fd);
			answer_failure(p->start_call, &f);
			return;
		}
		started(p);
		return;
	}
}

static void pump_output(struct process *p, int which)
{
	struct stream *s = &p->out[which];
	while (p->out_fd[which] >= 0) {
		size_t room;
		uint8_t *to = stream_space(s, &room);
		if (!to) {
			if (p->out_watched[which])
				unwatch(p->out_fd[which]);
			p->out_watched[which] = false;
			return;
		}
		ssize_t n = read(p->out_fd[which], to, room);
		if (n > 0) {
			stream_filled(s, (size_t)n);
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		// An ended process leaves what is in the pipe, whoever else may still hold it open.
		if (n < 0 && errno == EAGAIN && !p->reaped) {
			if (!p->out_watched[which])
				watch(p, p->out_fd[which], which == OUT ? KIND_OUT : KIND_ERR, EPOLLIN);
			p->out_watched[which] = true;
			return;
		}
		unwatch(p->out_fd[which]);
		close_fd(&p->out_fd[which]);
		s->eof = true;
	}
}

static void pump_input(struct process *p)
{
	struct stream *s = &p->in;
	uint64_t before = s->start;
	if (p->starting)
		return;
	while (s->start < s->end) {
		size_t size;
		const uint8_t *bytes = stream_bytes(s, s->start, &size);
		ssize_t n = p->in_fd >= 0 ? write(p->in_fd, bytes, size) : (ssize_t)size; // nobody reads: it is gone
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			if (!p->in_watched)
				watch(p, p->in_fd, KIND_IN, EPOLLOUT);
			p->in_watched = true;
			break;
		}
		if (n < 0) {
			if (p->in_watched)
				unwatch(p->in_fd);
			p->in_watched = false;
			close_fd(&p->in_fd);
			continue;
		}
		s->start += (uint64_t)n;
	}
	if (s->start == s->end) {
		if (p->in_watched)
			unwatch(p->in_fd);
		p->in_watched = false;
		if (s->eof && !p->tty)
			close_fd(&p->in_fd);
	}
	if (s->start > before)
		link_acknowledge(p->id * 4, s->start);
}

void process_event(uint64_t key, uint32_t events)
{
	(void)events;
	struct process *p = process_find((uint32_t)(key >> 3));
	if (!p)
		return;
	switch ((enum kind)(key & 7)) {
	case KIND_STATUS:
		read_status(p);
		break;
	case KIND_IN:
		pump_input(p);
		break;
	case KIND_OUT:
		pump_output(p, OUT);
		break;
	case KIND_ERR:
		pump_output(p, ERRS);
		break;
	}
	maybe_tell_exit(p);
}

static void tell_exit(const struct process *p)
{
	from_agent event = hyperd_agent_v1_FromAgent_init_zero;
	event.which_body = hyperd_agent_v1_FromAgent_process_exited_tag;
	hyperd_agent_v1_ProcessExited *e = &event.body.process_exited;
	e->process_id = p->id;
	e->exit_code = p->exit_code;
	e->signal = p->signal;
	e->exited_at_ns = p->exited_at_ns;
	link_send(&event);
}

// All output is in the streams before the exit is told.
static void maybe_tell_exit(struct process *p)
{
	if (!p->reaped || p->starting || p->exit_sent || p->out_fd[OUT] >= 0 || p->out_fd[ERRS] >= 0)
		return;
	if (p->failed) {
		free_process(p);
		return;
	}
	p->exit_sent = true;
	tell_exit(p);
}

static void bury(struct process *p, int status)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	if (p->starting)
		read_status(p); // what it reported comes before its end
	p->starting = false;
	p->reaped = true;
	p->signal = WIFSIGNALED(status) ? (uint32_t)WTERMSIG(status) : 0;
	p->exit_code = WIFSIGNALED(status) ? 128 + p->signal : (uint32_t)WEXITSTATUS(status);
	p->exited_at_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	if (p->init) { // execs that had joined its cgroup go with it
		char path[300];
		snprintf(path, sizeof path, CGROUP_DIR "/%s/cgroup.kill", p->container);
		write_file(path, "1");
	}
	if (p->in_watched)
		unwatch(p->in_fd);
	p->in_watched = false;
	close_fd(&p->in_fd);
	pump_input(p);
	pump_output(p, OUT);
	pump_output(p, ERRS);
	maybe_tell_exit(p);
}

// The only caller of waitpid: orphans of containers end here, too.
void process_reap(void)
{
	int status;
	for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
		struct process *p = processes;
		while (p && !(p->pid == pid && !p->reaped))
			p = p->next;
		if (p)
			bury(p, status);
	}
}

bool process_signal(uint32_t id, uint32_t signal, struct failure *f)
{
	struct process *p = process_find(id);
	if (!p || p->failed)
		return fail(f, ERR(NOT_FOUND), "signal process: no process %u", (unsigned)id);
	if (p->reaped)
		return true;
	if (signal < 1 || signal > 64 || kill(p->pid, (int)signal) < 0)
		return fail(f, ERR(INVALID), "signal process: signal %u", (unsigned)signal);
	return true;
}

bool process_resize(uint32_t id, uint32_t rows, uint32_t columns, struct failure *f)
{
	struct process *p = process_find(id);
	if (!p)
		return fail(f, ERR(NOT_FOUND), "resize terminal: no process %u", (unsigned)id);
	struct winsize size = {.ws_row = (unsigned short)rows, .ws_col = (unsigned short)columns};
	if (p->tty && p->out_fd[OUT] >= 0 && ioctl(p->out_fd[OUT], TIOCSWINSZ, &size) < 0)
		return fail(f, ERR(SYSTEM), "resize terminal");
	return true;
}

bool process_release(uint32_t id, struct failure *f)
{
	struct process *p = process_find(id);
	if (!p)
		return fail(f, ERR(NOT_FOUND), "release process: no process %u", (unsigned)id);
	if (!p->exit_sent)
		return fail(f, ERR(PRECONDITION), "release process: %u has not exited", (unsigned)id);
	free_process(p);
	return true;
}

void process_input(uint32_t stream, uint64_t offset, const uint8_t *data, size_t size, bool eof)
{
	struct process *p = process_find(stream / 4);
	if (!p || stream % 4 != 0 || p->in.eof || offset > p->in.end)
		return;
	uint64_t known = p->in.end - offset; // sent twice over a reconnect
	if (known > size)
		return;
	size_t taken = stream_append(&p->in, data + known, size - (size_t)known);
	p->in.eof = eof && taken == size - (size_t)known;
	pump_input(p);
}

void process_acknowledge(uint32_t stream, uint64_t offset, bool resume)
{
	struct process *p = process_find(stream / 4);
	int which = (int)(stream % 4) - 1;
	if (!p || which < OUT || which > ERRS)
		return;
	if (resume)
		stream_resume(&p->out[which], offset);
	else
		stream_acknowledge(&p->out[which], offset);
	if (!p->starting)
		pump_output(p, which);
	maybe_tell_exit(p);
}

void process_pause_all(void)
{
	for (struct process *p = processes; p; p = p->next)
		p->out[OUT].paused = p->out[ERRS].paused = true;
}

void process_kill_all(void)
{
	for (struct process *p = processes; p; p = p->next)
		if (!p->reaped && p->pid > 0)
			kill(p->pid, SIGKILL);
}

static bool remove_tree(const char *path)
{
	pid_t pid = fork();
	if (pid == 0) {
		execl("/proc/self/exe", "agent", "--remove", path, (char *)NULL);
		_exit(1);
	}
	return pid > 0;
}

bool container_remove(const hyperd_agent_v1_RemoveContainer *r, struct failure *f)
{
	if (!valid_name(r->container_id))
		return fail(f, ERR(INVALID), "remove container: id \"%.140s\"", r->container_id ? r->container_id : "");
	if (container_init(r->container_id))
		return fail(f, ERR(PRECONDITION), "remove container: %s runs", r->container_id);
	char path[300];
	snprintf(path, sizeof path, CGROUP_DIR "/%s", r->container_id);
	rmdir(path); // stays while a process of it is dying; the next start uses it again
	if (!r->delete_upper)
		return true;
	snprintf(path, sizeof path, DISK_DIR "/scratch/%s", r->container_id);
	if (access(path, F_OK) == 0 && !remove_tree(path))
		return fail(f, ERR(SYSTEM), "remove container: delete its files");
	return true;
}

void process_list(uint32_t call, uint32_t after)
{
	enum { PAGE = 64 };
	static hyperd_agent_v1_ProcessState states[PAGE];
	pb_size_t count = 0;
	from_agent answer = hyperd_agent_v1_FromAgent_init_zero;
	answer.id = call;
	answer.which_body = hyperd_agent_v1_FromAgent_process_list_tag;
	for (;;) {
		struct process *next = NULL; // the lowest id above `after`
		for (struct process *p = processes; p; p = p->next)
			if (p->id > after && !p->failed && !p->starting && (!next || p->id < next->id))
				next = p;
		answer.body.process_list.more = next && count == PAGE;
		if (!next || count == PAGE)
			break;
		after = next->id;
		states[count++] = (hyperd_agent_v1_ProcessState){
			.id = next->id, .container_id = next->container, .init = next->init, .exited = next->exit_sent,
			.exit_code = next->exit_code, .signal = next->signal, .exited_at_ns = next->exited_at_ns,
			.stdin_received = next->in.end, .stdout_start = next->out[OUT].start, .stdout_end = next->out[OUT].end,
			.stderr_start = next->out[ERRS].start, .stderr_end = next->out[ERRS].end, .tty = next->tty};
	}
	answer.body.process_list.processes = states;
	answer.body.process_list.processes_count = count;
	link_send(&answer);
}
