#include "text.h"

#include <stdlib.h>
#include <string.h>

// Length of the well-formed sequence at `at` (RFC 3629), 0: there is none.
static size_t sequence(const unsigned char *at) {
  if (at[0] < 0x80) return 1;
  size_t length = at[0] >= 0xc2 && at[0] < 0xe0 ? 2 : (at[0] & 0xf0) == 0xe0 ? 3 : at[0] >= 0xf0 && at[0] < 0xf5 ? 4 : 0;
  for (size_t i = 1; i < length; i++) {
    if ((at[i] & 0xc0) != 0x80) return 0;
  }
  if (at[0] == 0xe0 && at[1] < 0xa0) return 0;  // overlong
  if (at[0] == 0xed && at[1] >= 0xa0) return 0; // surrogates
  if (at[0] == 0xf0 && at[1] < 0x90) return 0;  // overlong
  if (at[0] == 0xf4 && at[1] >= 0x90) return 0; // above U+10FFFF
  return length;
}

void text_make_utf8(char *text) {
  unsigned char *at = (unsigned char *)text;
  while (*at) {
    size_t length = sequence(at);
    if (length == 0) *at = '?';
    at += length ? length : 1;
  }
}

bool text_is_name(const char *text) {
  static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
  if (!text || strcmp(text, ".") == 0 || strcmp(text, "..") == 0) return false;
  size_t length = strlen(text);
  return length >= 1 && length <= 128 && strspn(text, allowed) == length;
}

bool text_is_path_of_names(const char *text) {
  char name[130];
  while (*text) {
    size_t length = strcspn(text, "/");
    if (length == 0 || length >= sizeof name) return false;
    memcpy(name, text, length);
    name[length] = '\0';
    if (!text_is_name(name)) return false;
    text += length;
    if (*text == '/' && !*++text) return false;
  }
  return true;
}

bool text_number(const char *text, uint64_t limit, uint64_t *number) {
  uint64_t value = 0;
  if (!*text) return false;
  for (; *text; text++) {
    if (*text < '0' || *text > '9') return false;
    uint64_t digit = (uint64_t)(*text - '0');
    if (digit > limit || value > (limit - digit) / 10) return false;
    value = value * 10 + digit;
  }
  *number = value;
  return true;
}

uint64_t text_number_behind(const char *text, const char *key) {
  size_t length = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, key, length) == 0 && line[length] == ' ') return strtoull(line + length, NULL, 10);
  }
  return 0;
}
