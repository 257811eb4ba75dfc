// The guest agent: PID 1 of a machine.
#include <errno.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "agent.h"

#define KEY_SIGNALS UINT64_MAX
enum { RETRY_MS = 1000 };

static int open_signals(void)
{
	sigset_t set;
	sigfillset(&set);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		die("block signals: %s", strerror(errno));
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		die("signalfd: %s", strerror(errno));
	return fd;
}

static void drain_signals(int fd)
{
	struct signalfd_siginfo info;
	while (read(fd, &info, sizeof info) == sizeof info)
		continue; // one SIGCHLD may stand for many children
	process_reap();
}

static int remove_entry(const char *path, const struct stat *s, int type, struct FTW *f)
{
	(void)s, (void)type, (void)f;
	return remove(path);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--remove") == 0) // a tree may be large: not in the event loop
		return nftw(argv[2], remove_entry, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) == 0 ? 0 : 1;
	if (getpid() != 1) {
		fprintf(stderr, "the hyperd guest agent runs as PID 1 of a virtual machine\n");
		return 1;
	}
	boot();
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	int signals = open_signals();
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = KEY_SIGNALS};
	if (epoll_fd < 0 || epoll_ctl(epoll_fd, EPOLL_CTL_ADD, signals, &event) < 0)
		die("watch signals: %s", strerror(errno));
	link_open(epoll_fd);
	for (;;) {
		struct epoll_event events[32];
		int n = epoll_wait(epoll_fd, events, 32, link_busy() ? RETRY_MS : -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.u64 == 0)
				link_ready();
			else if (events[i].data.u64 == KEY_SIGNALS)
				drain_signals(signals);
			else
				process_event(events[i].data.u64, events[i].events);
		}
		if (n == 0)
			link_ready();
		link_pump();
	}
}
