#include "quick.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void append(struct text *text, const char *bytes, size_t length) {
  if (text->length + length + 1 > text->size) {
    text->size = (text->length + length + 1) * 2;
    text->bytes = realloc(text->bytes, text->size);
    if (!text->bytes) {
      fputs("hyperctl ERROR: no memory\n", stderr);
      exit(1);
    }
  }
  memcpy(text->bytes + text->length, bytes, length);
  text->length += length;
  text->bytes[text->length] = '\0';
}

void append_text(struct text *text, const char *string) { append(text, string, strlen(string)); }

void append_encoded(struct text *text, const char *string) {
  static const char unreserved[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  for (const char *at = string; *at; at++) {
    char encoded[4];
    if (strchr(unreserved, *at)) {
      append(text, at, 1);
    } else {
      snprintf(encoded, sizeof encoded, "%%%02X", (unsigned char)*at);
      append(text, encoded, 3);
    }
  }
}

void append_json(struct text *text, const char *string) {
  append_text(text, "\"");
  for (const char *at = string; *at; at++) {
    char escaped[7];
    if (*at == '"' || *at == '\\') append_text(text, "\\");
    if ((unsigned char)*at < 0x20) {
      snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)*at);
      append_text(text, escaped);
    } else {
      append(text, at, 1);
    }
  }
  append_text(text, "\"");
}
