#include "device-filter.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "log.h"

enum { CHARACTER_MAJOR_MEMORY = 1, CHARACTER_MAJOR_TTY = 5, CHARACTER_MAJOR_PTS = 136 };

#define LOAD(to, from, field) \
  {.code = BPF_LDX | BPF_MEM | BPF_W, .dst_reg = (to), .src_reg = (from), .off = offsetof(struct bpf_cgroup_dev_ctx, field)}
#define MOVE(to, from) {.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = (to), .src_reg = (from)}
#define SET(to, value) {.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = (to), .imm = (value)}
#define AND(to, value) {.code = BPF_ALU64 | BPF_AND | BPF_K, .dst_reg = (to), .imm = (value)}
#define SHIFT_RIGHT(to, value) {.code = BPF_ALU64 | BPF_RSH | BPF_K, .dst_reg = (to), .imm = (value)}
#define IF_EQUAL(reg, value, skip) {.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = (reg), .imm = (value), .off = (skip)}
#define IF_NOT(reg, value, skip) {.code = BPF_JMP | BPF_JNE | BPF_K, .dst_reg = (reg), .imm = (value), .off = (skip)}
#define RETURN {.code = BPF_JMP | BPF_EXIT}

// r2: kind of device, r3: access, r4: major, r5: minor; r0: the verdict. Nodes may be made, as by Docker's default.
static const struct bpf_insn program[] = {
    LOAD(BPF_REG_2, BPF_REG_1, access_type),
    LOAD(BPF_REG_4, BPF_REG_1, major),
    LOAD(BPF_REG_5, BPF_REG_1, minor),
    MOVE(BPF_REG_3, BPF_REG_2),
    SHIFT_RIGHT(BPF_REG_3, 16),
    AND(BPF_REG_2, 0xffff),
    SET(BPF_REG_0, 1),
    IF_EQUAL(BPF_REG_3, BPF_DEVCG_ACC_MKNOD, 13),
    IF_NOT(BPF_REG_2, BPF_DEVCG_DEV_CHAR, 11),
    IF_EQUAL(BPF_REG_4, CHARACTER_MAJOR_PTS, 11),
    IF_NOT(BPF_REG_4, CHARACTER_MAJOR_MEMORY, 5),
    IF_EQUAL(BPF_REG_5, 3, 9), // null
    IF_EQUAL(BPF_REG_5, 5, 8), // zero
    IF_EQUAL(BPF_REG_5, 7, 7), // full
    IF_EQUAL(BPF_REG_5, 8, 6), // random
    IF_EQUAL(BPF_REG_5, 9, 5), // urandom
    IF_NOT(BPF_REG_4, CHARACTER_MAJOR_TTY, 3),
    IF_EQUAL(BPF_REG_5, 0, 3), // tty
    IF_EQUAL(BPF_REG_5, 1, 2), // console
    IF_EQUAL(BPF_REG_5, 2, 1), // ptmx
    SET(BPF_REG_0, 0),
    RETURN,
};

static int bpf(int command, union bpf_attr *attributes) {
  return (int)syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

void device_filter_attach(const char *cgroup) {
  union bpf_attr load = {0};
  load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  load.insns = (uint64_t)(uintptr_t)program;
  load.insn_cnt = sizeof program / sizeof *program;
  load.license = (uint64_t)(uintptr_t) "";
  int filter = bpf(BPF_PROG_LOAD, &load);
  int directory = open(cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  union bpf_attr attach = {0};
  attach.target_fd = (uint32_t)directory;
  attach.attach_bpf_fd = (uint32_t)filter;
  attach.attach_type = BPF_CGROUP_DEVICE;
  if (filter < 0 || directory < 0 || bpf(BPF_PROG_ATTACH, &attach) < 0) {
    log_line("filter devices of containers: %s", strerror(errno));
  }
  if (filter >= 0) close(filter); // the cgroup keeps it
  if (directory >= 0) close(directory);
}
