#ifndef HYPERD_TEXT_H
#define HYPERD_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Texts of the protocol and of the rootfs's files.

// Replaces every byte that is not part of well-formed UTF-8 by '?'.
void text_make_utf8(char *text);
// [a-zA-Z0-9_.-]{1,128}, and neither "." nor "..": fit for a file name.
bool text_is_name(const char *text);
// Such names, separated by single slashes; or nothing.
bool text_is_path_of_names(const char *text);
// A decimal number 0..limit, nothing else around it.
bool text_number(const char *text, uint64_t limit, uint64_t *number);
// The number behind `key` and spaces, where a line begins so; 0: none does.
uint64_t text_number_behind(const char *text, const char *key);

#endif
