#include "../src/user.h"

#include <stdlib.h>
#include <string.h>

#include "test.h"

static const char passwd[] = "root:x:0:0:root:/root:/bin/sh\n"
                             "# comment:x:5:5::/:\n"
                             "\n"
                             "broken:x:notanumber:1:::\n"
                             "negative:x:-1:1:::\n"
                             "daemon:x:1:1:daemon:/usr/sbin\n"
                             "web:x:1000:1001:Web:/home/web:/bin/sh\n"
                             "twin:x:1000:7::/home/twin:/bin/sh\n"
                             "4711:x:50:60::/home/number:/bin/sh\n"
                             "nohome:x:70:70:::/bin/sh\r\n"
                             "last:x:80:80::/last:/bin/sh";
static const char group[] = "root:x:0:\n"
                            "web:x:1001:\n"
                            "audio:x:29:foo,web\n"
                            "docker:x:998:webby,web,x\n"
                            "cobweb:x:5:cobweb,webs\n"
                            "bad:x:zz:web\n"
                            "rootish:x:10:root";

static bool resolve(const char *spec, const char *additional, struct user *user, char *error) {
  FILE *passwd_file = test_file(passwd), *group_file = test_file(group);
  char *groups[] = {(char *)(uintptr_t)additional};
  bool found = user_resolve(spec, groups, additional ? 1 : 0, passwd_file, group_file, user, error, 200);
  fclose(passwd_file);
  fclose(group_file);
  return found;
}

static const struct {
  const char *spec, *additional;
  uint32_t uid, gid;
  const char *home, *groups;
} good[] = {
    {"", NULL, 0, 0, "/root", "0 10"},
    {"root", NULL, 0, 0, "/root", "0 10"},
    {"0", NULL, 0, 0, "/root", "0 10"},
    {"0:0", NULL, 0, 0, "/root", "0"},
    {"web", NULL, 1000, 1001, "/home/web", "1001 29 998"},
    {"1000", NULL, 1000, 1001, "/home/web", "1001 29 998"},
    {"web:audio", NULL, 1000, 29, "/home/web", "29"},
    {"web:", NULL, 1000, 1001, "/home/web", "1001 29 998"},
    {":audio", NULL, 0, 29, "/root", "29"},
    {"web:31", NULL, 1000, 31, "/home/web", "31"},
    {"1234", NULL, 1234, 0, "/", "0"},
    {"1234:5678", NULL, 1234, 5678, "/", "5678"},
    {"1234:audio", NULL, 1234, 29, "/", "29"},
    {"4711", NULL, 50, 60, "/home/number", "60"},
    {"nohome", NULL, 70, 70, "/", "70"},
    {"last", NULL, 80, 80, "/last", "80"},
    {"daemon", NULL, 1, 1, "/usr/sbin", "1"},
    {"web:audio", "docker", 1000, 29, "/home/web", "29 998"},
    {"web", "audio", 1000, 1001, "/home/web", "1001 29 998"},
    {"web", "12345", 1000, 1001, "/home/web", "1001 29 998 12345"},
    {"2147483647", NULL, 2147483647, 0, "/", "0"},
};

static void resolves(void) {
  struct user *user = malloc(sizeof *user);
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    char error[200] = "", groups[200] = "";
    bool found = resolve(good[i].spec, good[i].additional, user, error);
    for (size_t j = 0, at = 0; found && j < user->group_count; j++) {
      at += (size_t)snprintf(groups + at, sizeof groups - at, "%s%u", j ? " " : "", user->groups[j]);
    }
    if (!found || user->uid != good[i].uid || user->gid != good[i].gid || strcmp(user->home, good[i].home) != 0 ||
        strcmp(groups, good[i].groups) != 0) {
      printf("# \"%s\": %s %u:%u %s %s\n", good[i].spec, error, user->uid, user->gid, user->home, groups);
      test_fail(__FILE__, __LINE__, good[i].spec);
    }
  }
  free(user);
}

static void refuses(void) {
  static const char *const bad[][2] = {
      {"nobody9", NULL},     {"broken", NULL}, {"negative", NULL}, {"-1", NULL},          {"2147483648", NULL},
      {"99999999999999999999999999", NULL},    {"web:nogroup", NULL}, {"web:bad", NULL}, {"1 ", NULL},
      {"web", "nogroup"},    {"0x10", NULL},   {"+5", NULL},
  };
  struct user *user = malloc(sizeof *user);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    char error[200] = "";
    if (resolve(bad[i][0], bad[i][1], user, error) || !*error) test_fail(__FILE__, __LINE__, bad[i][0]);
  }
  char error[200] = "", longest[400];
  memset(longest, 'a', sizeof longest - 1);
  longest[sizeof longest - 1] = '\0';
  CHECK(!resolve(longest, NULL, user, error));
  CHECK(!resolve("nobody9", NULL, user, error));
  CHECK(strcmp(error, "unable to find user \"nobody9\": no matching entries in passwd file") == 0);
  free(user);
}

static void without_files(void) {
  struct user *user = malloc(sizeof *user);
  char error[200];
  CHECK(user_resolve("", NULL, 0, NULL, NULL, user, error, sizeof error));
  CHECK(user->uid == 0 && user->gid == 0 && strcmp(user->home, "/") == 0);
  CHECK(user_resolve("5:6", NULL, 0, NULL, NULL, user, error, sizeof error) && user->uid == 5 && user->gid == 6);
  CHECK(!user_resolve("web", NULL, 0, NULL, NULL, user, error, sizeof error));
  free(user);
}

static void hostile_files(void) {
  struct user *user = malloc(sizeof *user);
  char error[200];
  FILE *big = tmpfile();
  for (int i = 0; i < 2000; i++) fprintf(big, "g%d:x:%d:web\n", i, 3000 + i);
  rewind(big);
  FILE *users = test_file(passwd);
  CHECK(user_resolve("web", NULL, 0, users, big, user, error, sizeof error) && user->group_count == USER_GROUPS_MAX);
  fclose(big);
  fclose(users);
  FILE *endless = tmpfile();
  for (int i = 0; i < 300000; i++) fputs("aaaaaaaa", endless);
  fputs("\nweb:x:1:1::/:\n", endless);
  rewind(endless);
  CHECK(!user_resolve("web", NULL, 0, endless, NULL, user, error, sizeof error));
  fclose(endless);
  FILE *colons = test_file(":::::::::\n::\n:\nweb\nweb:\nweb:x:3\nweb:x:9:8\n");
  CHECK(user_resolve("web", NULL, 0, colons, NULL, user, error, sizeof error) && user->uid == 9 && user->gid == 8);
  fclose(colons);
  free(user);
}

static void names(void) {
  FILE *file = test_file(passwd);
  char name[5];
  CHECK(user_name(file, 0, name, sizeof name) && strcmp(name, "root") == 0);
  CHECK(user_name(file, 1000, name, sizeof name) && strcmp(name, "web") == 0);
  CHECK(user_name(file, 70, name, sizeof name) && strcmp(name, "noho") == 0);
  CHECK(!user_name(file, 71, name, sizeof name));
  fclose(file);
}

TESTS(user_tests, {"user: resolves names, numbers, groups and homes as Docker does", resolves},
      {"user: refuses what is in no file and no number", refuses}, {"user: does without passwd and group", without_files},
      {"user: bears hostile passwd and group files", hostile_files},
      {"user: the first name of a user id", names});
