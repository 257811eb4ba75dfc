#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "agent.h"

static void say_va(const char *format, va_list args)
{
	char line[600];
	int n = snprintf(line, sizeof line, "agent: ");
	vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	strcat(line, "\n");
	int fd = open("/dev/console", O_WRONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		errno = 0; // there is nobody else to tell
	close(fd);
}

void say(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say_va(format, args);
	va_end(args);
}

void die(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	say_va(format, args);
	va_end(args);
	sync();
	reboot(RB_POWER_OFF);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}

bool fail(struct failure *f, error_code code, const char *format, ...)
{
	int saved = errno;
	va_list args;
	va_start(args, format);
	int n = vsnprintf(f->message, sizeof f->message, format, args);
	va_end(args);
	f->code = code;
	f->sys_errno = 0;
	if (code == ERR(SYSTEM)) {
		f->sys_errno = saved;
		if (n >= 0 && (size_t)n < sizeof f->message)
			snprintf(f->message + n, sizeof f->message - (size_t)n, ": %s", strerror(saved));
	}
	return false;
}
