#include "log.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

void log_open(void) {
  int console = open("/dev/console", O_WRONLY | O_NOCTTY);
  if (console < 0) console = open("/dev/kmsg", O_WRONLY);
  if (console < 0) console = open("/dev/null", O_WRONLY);
  int null = open("/dev/null", O_RDONLY);
  // 0 to 2 are taken for good, so that no other descriptor ever gets these numbers.
  dup2(null, 0);
  dup2(console, 1);
  dup2(console, 2);
  if (console > 2) close(console);
  if (null > 2) close(null);
}

static void print(const char *format, va_list arguments) {
  char line[512];
  int size = vsnprintf(line, sizeof line, format, arguments);
  if (size >= 0) dprintf(2, "hyperd-agent: %s\n", line);
}

void log_line(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments);
  va_end(arguments);
}

void power_off(void) {
  reboot(RB_POWER_OFF);
  reboot(RB_AUTOBOOT);
  for (;;) pause();
}

void fatal(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  print(format, arguments);
  va_end(arguments);
  power_off();
}
