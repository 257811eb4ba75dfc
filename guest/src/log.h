#ifndef HYPERD_LOG_H
#define HYPERD_LOG_H

// Lines on the machine's console, for people.

// Makes the console stdin, stdout and stderr, once /dev is there.
void log_open(void);
void log_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
// Says why and powers the machine off.
_Noreturn void fatal(const char *format, ...) __attribute__((format(printf, 1, 2)));
_Noreturn void power_off(void);

#endif
