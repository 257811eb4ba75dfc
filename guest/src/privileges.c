#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIT(capability) (UINT64_C(1) << (capability))

static const uint64_t contained_capabilities =
    BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_FSETID) | BIT(CAP_FOWNER) | BIT(CAP_MKNOD) | BIT(CAP_NET_RAW) |
    BIT(CAP_SETGID) | BIT(CAP_SETUID) | BIT(CAP_SETFCAP) | BIT(CAP_SETPCAP) | BIT(CAP_NET_BIND_SERVICE) |
    BIT(CAP_SYS_CHROOT) | BIT(CAP_KILL) | BIT(CAP_AUDIT_WRITE);

static const struct {
  const char *name;
  int resource;
} limits[] = {
    {"as", RLIMIT_AS},           {"core", RLIMIT_CORE},       {"cpu", RLIMIT_CPU},
    {"data", RLIMIT_DATA},       {"fsize", RLIMIT_FSIZE},     {"locks", RLIMIT_LOCKS},
    {"memlock", RLIMIT_MEMLOCK}, {"msgqueue", RLIMIT_MSGQUEUE}, {"nice", RLIMIT_NICE},
    {"nofile", RLIMIT_NOFILE},   {"nproc", RLIMIT_NPROC},     {"rss", RLIMIT_RSS},
    {"rtprio", RLIMIT_RTPRIO},   {"rttime", RLIMIT_RTTIME},   {"sigpending", RLIMIT_SIGPENDING},
    {"stack", RLIMIT_STACK},
};

static bool limit_set(const Rlimit *wanted, struct failure *failure) {
  const char *name = wanted->name ? wanted->name : "";
  for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
    if (strcmp(limits[i].name, name) != 0) continue;
    struct rlimit limit = {.rlim_cur = wanted->soft, .rlim_max = wanted->hard};
    if (setrlimit(limits[i].resource, &limit) == 0) return true;
    return fail_errno(failure, "set limit \"%s\"", name);
  }
  return fail(failure, Error_Code_INVALID, "set limit \"%s\": unknown", name);
}

bool limits_set(const Process *process, struct failure *failure) {
  // The kernel's first process has little of both: the defaults are those of a container engine under systemd.
  setrlimit(RLIMIT_NOFILE, &(struct rlimit){.rlim_cur = 1024, .rlim_max = 524288});
  setrlimit(RLIMIT_NPROC, &(struct rlimit){.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY});
  for (pb_size_t i = 0; i < process->rlimits_count; i++) {
    if (!limit_set(&process->rlimits[i], failure)) return false;
  }
  return true;
}

static bool bound_capabilities(struct failure *failure) {
  for (unsigned long capability = 0; prctl(PR_CAPBSET_READ, capability) >= 0; capability++) {
    if (contained_capabilities & BIT(capability)) continue;
    if (prctl(PR_CAPBSET_DROP, capability) < 0) return fail_errno(failure, "drop capability %lu", capability);
  }
  return true;
}

static bool set_capabilities(uint64_t capabilities, struct failure *failure) {
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct data[2] = {0};
  for (int i = 0; i < 2; i++) data[i].effective = data[i].permitted = (uint32_t)(capabilities >> (32 * i));
  if (syscall(SYS_capset, &header, data) < 0) return fail_errno(failure, "set capabilities");
  return true;
}

bool privileges_drop(const struct user *user, bool contained, struct failure *failure) {
  if (contained && !bound_capabilities(failure)) return false;
  // System calls instead of the C library's wrappers, which signal all threads: there is only this one.
  if (syscall(SYS_setgroups, user->group_count, user->groups) < 0) return fail_errno(failure, "set groups");
  if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0) return fail_errno(failure, "set gid %u", user->gid);
  if (syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0) return fail_errno(failure, "set uid %u", user->uid);
  if (user->uid != 0) return set_capabilities(0, failure);
  return !contained || set_capabilities(contained_capabilities, failure);
}
