#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent.h"

bool write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	size_t size = strlen(text);
	bool done = write(fd, text, size) == (ssize_t)size;
	int saved = errno;
	close(fd);
	errno = saved;
	return done;
}

bool make_directories(const char *path, mode_t mode)
{
	char part[4096];
	if (strlen(path) >= sizeof part) {
		errno = ENAMETOOLONG;
		return false;
	}
	strcpy(part, path);
	for (char *at = part + 1;; at++) {
		if (*at != '/' && *at != '\0')
			continue;
		char end = *at;
		*at = '\0';
		if (mkdir(part, mode) < 0 && errno != EEXIST)
			return false;
		if (end == '\0')
			return true;
		*at = end;
	}
}

ssize_t read_file(const char *path, char *buffer, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	size_t have = 0;
	while (have < size - 1) {
		ssize_t n = read(fd, buffer + have, size - 1 - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	buffer[have] = '\0';
	close(fd);
	return (ssize_t)have;
}
