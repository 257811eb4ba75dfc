// Between fork and exec: joins or makes the container, becomes its user, runs its program. Reports the step that fails.
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "agent.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
enum { MAX_ID_FILE = 1024 * 1024 };

__attribute__((noreturn)) static void report(const struct child *c, const struct failure *f)
{
	if (send(c->status, f, sizeof *f, 0) < 0)
		say("report \"%s\": %s", f->message, strerror(errno));
	_exit(1);
}

static bool join_cgroup(const struct child *c, struct failure *f)
{
	char path[300];
	if (!*c->container_id)
		return true;
	snprintf(path, sizeof path, CGROUP_DIR "/%s/cgroup.procs", c->container_id);
	if (!write_file(path, "0"))
		return fail(f, ERR(SYSTEM), "join cgroup");
	if (c->container && unshare(CLONE_NEWCGROUP) < 0)
		return fail(f, ERR(SYSTEM), "make cgroup namespace");
	return true;
}

static bool join_namespace(pid_t pid, const char *name, int type, struct failure *f)
{
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/ns/%s", (int)pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool done = fd >= 0 && setns(fd, type) == 0;
	if (!done)
		fail(f, ERR(SYSTEM), "join %s namespace", name);
	if (fd >= 0)
		close(fd);
	return done;
}

static bool enter_container(const struct child *c, struct failure *f)
{
	if (c->container)
		return rootfs_prepare(c->container, c->spec->tty, f);
	if (!*c->container_id)
		return true;
	// The mount namespace last: it takes the agent's /proc away.
	return join_namespace(c->join, "cgroup", CLONE_NEWCGROUP, f) && join_namespace(c->join, "mnt", CLONE_NEWNS, f);
}

static bool send_terminal(const struct child *c, int master, struct failure *f)
{
	char byte = 0;
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = {0};
	struct iovec data = {.iov_base = &byte, .iov_len = 1};
	struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
	struct cmsghdr *header = CMSG_FIRSTHDR(&message);
	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &master, sizeof master);
	if (sendmsg(c->status, &message, 0) < 0)
		return fail(f, ERR(SYSTEM), "hand over terminal");
	return true;
}

static bool open_terminal(const struct child *c, struct failure *f)
{
	char path[32];
	int number, unlock = 0;
	int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0 || ioctl(master, TIOCSPTLCK, &unlock) < 0 || ioctl(master, TIOCGPTN, &number) < 0)
		return fail(f, ERR(SYSTEM), "open terminal");
	snprintf(path, sizeof path, "/dev/pts/%d", number);
	int slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	struct winsize size = {.ws_row = (unsigned short)c->spec->rows, .ws_col = (unsigned short)c->spec->columns};
	if (slave < 0 || ioctl(slave, TIOCSWINSZ, &size) < 0 || ioctl(slave, TIOCSCTTY, 0) < 0)
		return fail(f, ERR(SYSTEM), "set up terminal");
	if (c->container && mount(path, "/dev/console", NULL, MS_BIND, NULL) < 0)
		return fail(f, ERR(SYSTEM), "mount /dev/console");
	if (!send_terminal(c, master, f))
		return false;
	for (int i = 0; i < 3; i++)
		if (dup2(slave, i) < 0)
			return fail(f, ERR(SYSTEM), "use terminal");
	return true;
}

static bool set_stdio(const struct child *c, struct failure *f)
{
	if (setsid() < 0)
		return fail(f, ERR(SYSTEM), "make session");
	if (c->spec->tty)
		return open_terminal(c, f);
	for (int i = 0; i < 3; i++)
		if (dup2(c->stdio[i], i) < 0)
			return fail(f, ERR(SYSTEM), "use pipes");
	return true;
}

static bool set_limits(const process_spec *p, struct failure *f)
{
	static const struct {
		const char *name;
		int resource;
	} known[] = {{"cpu", RLIMIT_CPU},         {"fsize", RLIMIT_FSIZE},     {"data", RLIMIT_DATA},   {"stack", RLIMIT_STACK},
	             {"core", RLIMIT_CORE},       {"rss", RLIMIT_RSS},         {"nproc", RLIMIT_NPROC}, {"nofile", RLIMIT_NOFILE},
	             {"memlock", RLIMIT_MEMLOCK}, {"as", RLIMIT_AS},           {"locks", RLIMIT_LOCKS}, {"sigpending", RLIMIT_SIGPENDING},
	             {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},     {"rtprio", RLIMIT_RTPRIO}, {"rttime", RLIMIT_RTTIME}};
	for (size_t i = 0; i < p->rlimits_count; i++) {
		const hyperd_agent_v1_Rlimit *l = &p->rlimits[i];
		size_t k = 0;
		while (k < sizeof known / sizeof *known && (!l->name || strcmp(known[k].name, l->name) != 0))
			k++;
		if (k == sizeof known / sizeof *known)
			return fail(f, ERR(INVALID), "unknown limit \"%.32s\"", l->name ? l->name : "");
		struct rlimit limit = {.rlim_cur = l->soft, .rlim_max = l->hard};
		if (setrlimit(known[k].resource, &limit) < 0)
			return fail(f, ERR(SYSTEM), "set limit %s", l->name);
	}
	return true;
}

// Docker's default set.
static const int kept_capabilities[] = {CAP_CHOWN,  CAP_DAC_OVERRIDE, CAP_FSETID,          CAP_FOWNER,     CAP_MKNOD,
                                        CAP_NET_RAW, CAP_SETGID,      CAP_SETUID,          CAP_SETFCAP,    CAP_SETPCAP,
                                        CAP_NET_BIND_SERVICE, CAP_SYS_CHROOT, CAP_KILL,    CAP_AUDIT_WRITE};

static bool drop_bounding(struct failure *f)
{
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
		bool kept = false;
		for (size_t i = 0; i < sizeof kept_capabilities / sizeof *kept_capabilities; i++)
			kept = kept || kept_capabilities[i] == cap;
		if (!kept && prctl(PR_CAPBSET_DROP, cap) < 0)
			return fail(f, ERR(SYSTEM), "drop capability %d", cap);
	}
	return true;
}

static bool set_capabilities(bool root, struct failure *f)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {0};
	for (size_t i = 0; root && i < sizeof kept_capabilities / sizeof *kept_capabilities; i++) {
		data[kept_capabilities[i] / 32].permitted |= 1u << (kept_capabilities[i] % 32);
		data[kept_capabilities[i] / 32].effective |= 1u << (kept_capabilities[i] % 32);
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return fail(f, ERR(SYSTEM), "set capabilities");
	return true;
}

static char *read_whole(const char *path)
{
	char *text = malloc(MAX_ID_FILE);
	if (text && read_file(path, text, MAX_ID_FILE) < 0)
		*text = '\0';
	return text;
}

static bool become_user(const process_spec *p, struct user *u, struct failure *f)
{
	char *passwd = read_whole("/etc/passwd"), *group = read_whole("/etc/group");
	if (!passwd || !group)
		return fail(f, ERR(SYSTEM), "read users");
	if (!user_resolve(p->user ? p->user : "", p->additional_groups, p->additional_groups_count, passwd, group, u, f))
		return false;
	free(passwd);
	free(group);
	if (p->tty && fchown(0, u->uid, (gid_t)-1) < 0 && errno != EROFS)
		return fail(f, ERR(SYSTEM), "give terminal to user");
	for (int i = 0; !p->tty && i < 3; i++)
		if (fchown(i, u->uid, u->gid) < 0 && errno != EINVAL && errno != EROFS && errno != EPERM)
			return fail(f, ERR(SYSTEM), "give pipes to user");
	return true;
}

static bool change_user(const struct user *u, struct failure *f)
{
	if (!drop_bounding(f))
		return false;
	if (setgroups(u->group_count, u->groups) < 0 || setresgid(u->gid, u->gid, u->gid) < 0)
		return fail(f, ERR(SYSTEM), "set groups");
	if (setresuid(u->uid, u->uid, u->uid) < 0)
		return fail(f, ERR(SYSTEM), "set user %u", (unsigned)u->uid);
	return set_capabilities(u->uid == 0, f);
}

static const char *env_value(char **env, const char *key)
{
	size_t size = strlen(key);
	for (; env && *env; env++)
		if (strncmp(*env, key, size) == 0 && (*env)[size] == '=')
			return *env + size + 1;
	return NULL;
}

static char **environment_of(const process_spec *p, const struct user *u)
{
	char **env = calloc(p->env_count + 2u, sizeof *env);
	if (!env)
		return NULL;
	memcpy(env, p->env, p->env_count * sizeof *env);
	if (!env_value(env, "HOME")) {
		static char home[300];
		snprintf(home, sizeof home, "HOME=%s", u->home);
		env[p->env_count] = home;
	}
	return env;
}

static char **arguments_of(const process_spec *p)
{
	char **args = calloc(p->args_count + 1u, sizeof *args);
	if (args)
		memcpy(args, p->args, p->args_count * sizeof *args);
	return args;
}

// Runs args[0]; on return errno says why not. As execvp, but with the container's own PATH.
static void execute(char **args, char **env)
{
	const char *name = args[0];
	if (strchr(name, '/') || !*name) {
		execve(name, args, env);
		return;
	}
	const char *path = env_value(env, "PATH");
	int reason = ENOENT;
	for (const char *at = path ? path : DEFAULT_PATH; at; at = strchr(at, ':') ? strchr(at, ':') + 1 : NULL) {
		char file[4096 + 300];
		size_t n = strcspn(at, ":");
		if (n > 4096 || strlen(name) > 255)
			continue;
		snprintf(file, sizeof file, "%.*s%s%s", (int)n, at, n ? "/" : "./", name);
		execve(file, args, env);
		if (errno != ENOENT && errno != ENOTDIR)
			reason = errno;
	}
	errno = reason;
}

static bool run_program(const process_spec *p, const struct user *u, struct failure *f)
{
	char **env = environment_of(p, u), **args = arguments_of(p);
	if (!env || !args)
		return fail(f, ERR(SYSTEM), "allocate");
	execute(args, env);
	bool missing = errno == ENOENT || errno == ENOTDIR;
	const char *why = missing ? (strchr(args[0], '/') ? "no such file or directory" : "executable file not found in $PATH")
	                          : strerror(errno);
	return fail(f, missing ? ERR(COMMAND_NOT_FOUND) : ERR(COMMAND_NOT_EXECUTABLE), "exec: \"%.200s\": %s", args[0], why);
}

static bool change_directory(const process_spec *p, struct failure *f)
{
	const char *cwd = p->cwd && *p->cwd ? p->cwd : "/";
	if (chdir(cwd) == 0)
		return true;
	if (errno != ENOENT || !make_directories(cwd, 0755) || chdir(cwd) < 0)
		return fail(f, ERR(SYSTEM), "change to working directory %.200s", cwd);
	return true;
}

static void reset_signals(void)
{
	sigset_t none;
	sigemptyset(&none);
	for (int signal = 1; signal < _NSIG; signal++)
		if (signal != SIGKILL && signal != SIGSTOP)
			sigaction(signal, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

void child_run(const struct child *c)
{
	struct failure f = {0};
	struct user user;
	bool in_container = *c->container_id != '\0';
	reset_signals();
	umask(022);
	if (!join_cgroup(c, &f) || !enter_container(c, &f) || !set_stdio(c, &f) ||
	    (c->container && !rootfs_seal(c->container, &f)) || !change_directory(c->spec, &f) ||
	    !set_limits(c->spec, &f) || !become_user(c->spec, &user, &f))
		report(c, &f);
	umask(022);
	if ((in_container && !change_user(&user, &f)) || !run_program(c->spec, &user, &f))
		report(c, &f);
	_exit(1);
}
