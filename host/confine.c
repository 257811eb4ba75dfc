// confine [-r PATH] [-w PATH] [-f FD] [-u UID [-g GID]...] [-p FILE] [-n FD=TAP] [-c FD] [-d] [-t] -- PROGRAM ARGUMENTS
//
// Becomes PROGRAM with as little of the host in reach as the kernel can take away, for good and for all that it starts: no new privileges, no
// capabilities, no core dumps of a guest's memory, and where the kernel has Landlock no files but those told, no signals to others, no abstract sockets.
//
//   -r PATH    it may read and execute PATH, and what is below
//   -w PATH    it may also write, create and remove there
//   -f FD      it may open that inherited file again, through /proc
//   -u UID     it runs as that user and the group of that number: all that is told here is opened before
//   -g GID     it is also in that group; without any it is in no other
//   -p FILE    its process id is written there
//   -n FD=TAP  it has that network device of the host open as FD
//   -c FD      it inherits no descriptor from that one on
//   -d         it keeps the right to open files of other owners (still only those told)
//   -t         no TCP
//
// A PATH that is not there is left out. Exits with 126 and a message when something else fails: never runs PROGRAM with more than it should have.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <linux/prctl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// The kernel's interface (Documentation/userspace-api/landlock.rst), as headers older than the running kernel lack parts of it.
enum { CREATE_RULESET = 444, ADD_RULE = 445, RESTRICT_SELF = 446, VERSION_FLAG = 1, PATH_BENEATH = 1 };
struct ruleset {
  uint64_t file_access, network_access, scope;
};
struct path_rule {
  uint64_t access;
  int32_t parent;
} __attribute__((packed));

enum {
  EXECUTE = 1 << 0,
  WRITE_FILE = 1 << 1,
  READ_FILE = 1 << 2,
  READ_DIRECTORY = 1 << 3,
  ALL_OF_1 = (1 << 13) - 1,
  REFER = 1 << 13,     // since version 2
  TRUNCATE = 1 << 14,  // 3
  DEVICE_CALL = 1 << 15, // 5
  OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CALL,
  READING = EXECUTE | READ_FILE | READ_DIRECTORY,
  ALL_TCP = 3,   // 4
  ALL_SCOPES = 3 // 6
};

static _Noreturn void fail(const char *action, const char *what) {
  fprintf(stderr, "confine: %s %s: %s\n", action, what, strerror(errno));
  exit(126);
}

static uint64_t file_access_of(long version) {
  uint64_t access = ALL_OF_1;
  if (version >= 2) access |= REFER;
  if (version >= 3) access |= TRUNCATE;
  if (version >= 5) access |= DEVICE_CALL;
  return access;
}

static int new_ruleset(long version, bool no_tcp) {
  struct ruleset rules = {.file_access = file_access_of(version)};
  if (version >= 4 && no_tcp) rules.network_access = ALL_TCP;
  if (version >= 6) rules.scope = ALL_SCOPES;
  // An older kernel refuses a structure that is longer than it knows, unless the rest is zero.
  int fd = (int)syscall(CREATE_RULESET, &rules, sizeof rules, 0);
  if (fd < 0) fail("make", "Landlock rules");
  return fd;
}

static void allow(int rules, int fd, uint64_t access, const char *what) {
  struct stat found;
  if (fstat(fd, &found) < 0) fail("look at", what);
  struct path_rule rule = {.access = S_ISDIR(found.st_mode) ? access : access & OF_FILES, .parent = fd};
  if (syscall(ADD_RULE, rules, PATH_BENEATH, &rule, 0) < 0) fail("allow", what);
}

static void allow_path(int rules, const char *path, uint64_t access) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return;
  if (fd < 0) fail("open", path);
  allow(rules, fd, access, path);
  close(fd);
}

static unsigned number_of(const char *text, char **rest) {
  errno = EINVAL;
  if (*text < '0' || *text > '9') fail("read number", text);
  errno = 0;
  unsigned long number = strtoul(text, rest, 10);
  if (errno == 0 && number >= UINT32_MAX) errno = ERANGE;
  if (errno) fail("read number", text);
  return (unsigned)number;
}

static unsigned whole_number(const char *text) {
  char *rest;
  unsigned number = number_of(text, &rest);
  errno = EINVAL;
  if (*rest) fail("read number", text);
  return number;
}

static void tell_pid(const char *path) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0 || dprintf(fd, "%d\n", getpid()) < 0) fail("write", path);
  close(fd);
}

// Told as FD=TAP. The device is there already, and has no header of its own before packets.
static void open_tap(const char *told) {
  char *name;
  int as = (int)number_of(told, &name);
  struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI};
  errno = EINVAL;
  if (*name++ != '=' || !*name || strlen(name) >= sizeof request.ifr_name) fail("open network device", told);
  strcpy(request.ifr_name, name);
  int fd = open("/dev/net/tun", O_RDWR);
  if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0) fail("open network device", name);
  if (fd != as && (dup2(fd, as) < 0 || close(fd) < 0)) fail("open network device", name);
}

// The capabilities that are kept go over to the new user, and to the program that it becomes.
static void become(uid_t user, size_t count, const gid_t *groups) {
  if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) fail("keep", "capabilities");
  if (setgroups(count, groups) < 0) fail("leave", "groups");
  if (setresgid(user, user, user) < 0) fail("change", "group");
  if (setresuid(user, user, user) < 0) fail("change", "user");
}

static uint64_t kept_capabilities(bool keeps_files) { return keeps_files ? 1u << CAP_DAC_OVERRIDE : 0; }

static void bound_capabilities(uint64_t kept) {
  for (int capability = 0; capability <= 63; capability++) {
    if (kept >> capability & 1) continue;
    if (prctl(PR_CAPBSET_READ, capability, 0, 0, 0) != 1) continue;
    // Who may not drop them from the bounding set has none that they could bound.
    if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0 && errno != EPERM) fail("drop", "capabilities");
  }
  if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0) fail("clear", "ambient capabilities");
}

static void drop_capabilities(uint64_t kept, bool changed_user) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2];
  if (syscall(SYS_capget, &header, sets) < 0) fail("read", "capabilities");
  for (int i = 0; i < 2; i++) {
    sets[i].permitted &= (uint32_t)(kept >> 32 * i);
    sets[i].effective = sets[i].permitted; // a change of user has emptied it
    sets[i].inheritable = changed_user ? sets[i].permitted : 0;
  }
  if (syscall(SYS_capset, &header, sets) < 0) fail("drop", "capabilities");
  // Root has what its bounding set allows by becoming a program, another user what is ambient.
  if (changed_user && kept && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_OVERRIDE, 0, 0) < 0) fail("keep", "capabilities");
}

enum { GROUPS_MAX = 8 };
static const char OPTIONS[] = "+r:w:f:u:g:p:n:c:dt";

int main(int argc, char **argv) {
  long version = syscall(CREATE_RULESET, NULL, 0, VERSION_FLAG);
  bool no_tcp = false, keeps_files = false, changes_user = false;
  uid_t user = 0;
  gid_t groups[GROUPS_MAX];
  size_t group_count = 0;
  int option, rules = -1, first_closed = -1;
  // Two rounds: what holds for all rules is known before the first one is made.
  while ((option = getopt(argc, argv, OPTIONS)) != -1) {
    if (option == 't') no_tcp = true;
    else if (option == 'd') keeps_files = true;
    else if (option == 'u') changes_user = true, user = whole_number(optarg);
    else if (option == 'g' && group_count < GROUPS_MAX) groups[group_count++] = whole_number(optarg);
    else if (option == 'c') first_closed = (int)whole_number(optarg);
    else if (option == 'n') open_tap(optarg); // before anything here has taken its number
    else if (option == 'g' || option == '?') return 126;
  }
  if (optind >= argc) {
    fprintf(stderr, "confine: want a program\n");
    return 126;
  }
  int program = optind;
  uint64_t all = file_access_of(version);
  if (version > 0) rules = new_ruleset(version, no_tcp);
  optind = 1;
  while ((option = getopt(argc, argv, OPTIONS)) != -1) {
    if (option == 'p') tell_pid(optarg);
    else if (rules < 0) continue;
    else if (option == 'r') allow_path(rules, optarg, READING);
    else if (option == 'w') allow_path(rules, optarg, all);
    else if (option == 'f') allow(rules, (int)whole_number(optarg), all, optarg);
  }
  struct rlimit none = {0, 0};
  if (setrlimit(RLIMIT_CORE, &none) < 0) fail("bound", "core dumps");
  uint64_t kept = kept_capabilities(keeps_files);
  bound_capabilities(kept);
  if (changes_user) become(user, group_count, groups);
  drop_capabilities(kept, changes_user);
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) fail("set", "no new privileges");
  if (rules >= 0) {
    if (syscall(RESTRICT_SELF, rules, 0) < 0) fail("enforce", "Landlock rules");
    close(rules);
  }
  // What a daemon has got from whoever started it is none of a machine's business. A kernel before 5.9 leaves it open.
  if (first_closed >= 0 && syscall(SYS_close_range, first_closed, ~0u, 0) < 0 && errno != ENOSYS) fail("close", "descriptors");
  execvp(argv[program], argv + program);
  fail("run", argv[program]);
}
