#include "../src/text.h"

#include <string.h>

#include "test.h"

static void utf8(void) {
  static const char *const cases[][2] = {
      {"plain", "plain"},
      {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
      {"\xe2\x82\xac \xf0\x9f\x98\x80", "\xe2\x82\xac \xf0\x9f\x98\x80"},
      {"cut \xe2\x82", "cut ??"},
      {"\xff\xfe", "??"},
      {"\xc0\xaf", "??"},
      {"\xe0\x80\x80", "???"},
      {"\xed\xa0\x80", "???"},
      {"\xf4\x90\x80\x80", "????"},
      {"a\x80" "b", "a?b"},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    char text[32];
    strcpy(text, cases[i][0]);
    text_make_utf8(text);
    if (strcmp(text, cases[i][1]) != 0) test_fail(__FILE__, __LINE__, cases[i][1]);
  }
}

static void names(void) {
  char longest[130];
  memset(longest, 'a', sizeof longest);
  longest[129] = '\0';
  CHECK(!text_is_name(longest));
  longest[128] = '\0';
  CHECK(text_is_name(longest));
  CHECK(text_is_name("a-b_C.9") && text_is_name("..."));
  CHECK(!text_is_name("") && !text_is_name(NULL) && !text_is_name(".") && !text_is_name(".."));
  CHECK(!text_is_name("a/b") && !text_is_name("a b") && !text_is_name("a,b") && !text_is_name("\xc3\xbc"));
}

static void numbers(void) {
  uint64_t number = 0;
  CHECK(text_number("0", 0, &number) && number == 0);
  CHECK(text_number("18446744073709551615", UINT64_MAX, &number) && number == UINT64_MAX);
  CHECK(!text_number("18446744073709551616", UINT64_MAX, &number));
  CHECK(text_number("5", 5, &number) && !text_number("6", 5, &number) && !text_number("10", 5, &number));
  CHECK(text_number("007", 9, &number) && number == 7);
  CHECK(!text_number("", 9, &number) && !text_number("-1", 9, &number) && !text_number("1 ", 9, &number));
}

TESTS(text_tests, {"text: only well-formed UTF-8 is left", utf8}, {"text: names are fit for files", names},
      {"text: numbers are decimal and within their limit", numbers});
