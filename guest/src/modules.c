#include "modules.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "files.h"
#include "log.h"

bool modules_next(const char **text, char *name, size_t size) {
  while (**text) {
    size_t length = strcspn(*text, "\n");
    const char *line = *text;
    *text += length + (line[length] == '\n');
    if (length == 0 || length >= size || line[0] == '.' || memchr(line, '/', length)) continue;
    memcpy(name, line, length);
    name[length] = '\0';
    return true;
  }
  return false;
}

static void load(const char *path) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST)) {
    log_line("load module \"%s\": %s", path, strerror(errno));
  }
  if (fd >= 0) close(fd);
}

void modules_load(const char *directory) {
  char path[256], order[4096], name[128];
  snprintf(path, sizeof path, "%s/order", directory);
  if (!file_read(path, order, sizeof order)) return; // a kernel that has everything built in
  const char *rest = order;
  while (modules_next(&rest, name, sizeof name)) {
    snprintf(path, sizeof path, "%s/%s", directory, name);
    load(path);
    unlink(path); // its memory is the machine's again
  }
}
