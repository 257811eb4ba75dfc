#include "stats.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "files.h"
#include "paths.h"

enum { TEXT_MAX = 16384, CPUS_MAX = 256, INTERFACES_MAX = 16, FILE_SYSTEMS_MAX = 16, CONTAINERS_MAX = 256, NAME_MAX_BYTES = 129 };

static char text[TEXT_MAX];

static bool read_file(const char *directory, const char *name) {
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  return file_read(path, text, sizeof text);
}

static uint64_t read_number(const char *directory, const char *name) {
  return read_file(directory, name) ? strtoull(text, NULL, 10) : 0;
}

// The number behind `key` at the beginning of a line of `text`.
static uint64_t value_of(const char *key) {
  size_t length = strlen(key);
  for (const char *line = text; line; line = strchr(line, '\n')) {
    if (*line == '\n') line++;
    if (strncmp(line, key, length) == 0 && line[length] == ' ') return strtoull(line + length, NULL, 10);
  }
  return 0;
}

// The sum of what stands behind `key` in all lines: "8:0 rbytes=1 wbytes=2 rios=3 wios=4".
static uint64_t sum_of(const char *key) {
  uint64_t sum = 0;
  size_t length = strlen(key);
  for (const char *at = strstr(text, key); at; at = strstr(at + length, key)) sum += strtoull(at + length, NULL, 10);
  return sum;
}

static void read_usage(const char *cgroup, Usage *usage) {
  if (read_file(cgroup, "cpu.stat")) {
    usage->cpu_ns = value_of("usage_usec") * 1000;
    usage->cpu_user_ns = value_of("user_usec") * 1000;
    usage->cpu_system_ns = value_of("system_usec") * 1000;
  }
  if (read_file(cgroup, "memory.stat")) {
    usage->memory_inactive_file = value_of("inactive_file");
    usage->page_faults = value_of("pgfault");
    usage->major_page_faults = value_of("pgmajfault");
  }
  if (read_file(cgroup, "memory.events")) usage->oom_kills = value_of("oom_kill");
  usage->memory = read_number(cgroup, "memory.current");
  usage->processes = read_number(cgroup, "pids.current");
  if (read_file(cgroup, "io.stat")) {
    usage->read_bytes = sum_of(" rbytes=");
    usage->write_bytes = sum_of(" wbytes=");
    usage->reads = sum_of(" rios=");
    usage->writes = sum_of(" wios=");
  }
}

static pb_size_t read_containers(Usage *usages) {
  static char names[CONTAINERS_MAX][NAME_MAX_BYTES];
  DIR *directory = opendir(PATH_CGROUPS);
  if (!directory) return 0;
  pb_size_t count = 0;
  struct dirent *entry;
  while (count < CONTAINERS_MAX && (entry = readdir(directory))) {
    if (entry->d_type != DT_DIR || entry->d_name[0] == '.') continue;
    char path[PATH_MAX];
    snprintf(path, sizeof path, PATH_CGROUPS "/%s", entry->d_name);
    snprintf(names[count], sizeof names[count], "%.128s", entry->d_name);
    usages[count] = (Usage){.container_id = names[count]};
    read_usage(path, &usages[count++]);
  }
  closedir(directory);
  return count;
}

// "cpu0 user nice system idle iowait irq softirq steal ...", in ticks.
static pb_size_t read_cpus(uint64_t *cpus) {
  if (!read_file("/proc", "stat")) return 0;
  uint64_t tick_ns = 1000000000ULL / (uint64_t)sysconf(_SC_CLK_TCK);
  pb_size_t count = 0;
  for (const char *line = strstr(text, "\ncpu"); line && count < CPUS_MAX; line = strstr(line + 1, "\ncpu")) {
    unsigned long long user, nice, system, idle, wait, irq, soft, steal;
    if (sscanf(line, "\ncpu%*u %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &soft,
               &steal) == 8) {
      cpus[count++] = (user + nice + system + irq + soft) * tick_ns;
    }
  }
  return count;
}

static pb_size_t read_interfaces(Interface *interfaces) {
  static char names[INTERFACES_MAX][32];
  if (!read_file("/proc/net", "dev")) return 0;
  pb_size_t count = 0;
  for (const char *line = strchr(text, '\n'); line && count < INTERFACES_MAX; line = strchr(line + 1, '\n')) {
    Interface found = Interface_init_zero;
    unsigned long long n[8];
    if (sscanf(line, "\n %31[^: ]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu", names[count], &n[0], &n[1], &n[2],
               &n[3], &n[4], &n[5], &n[6], &n[7]) != 9 || strcmp(names[count], "lo") == 0) {
      continue;
    }
    found = (Interface){.name = names[count], .rx_bytes = n[0], .rx_packets = n[1], .rx_errors = n[2], .rx_dropped = n[3],
                        .tx_bytes = n[4], .tx_packets = n[5], .tx_errors = n[6], .tx_dropped = n[7]};
    interfaces[count++] = found;
  }
  return count;
}

void stats_collect(Stats *stats) {
  static uint64_t cpus[CPUS_MAX];
  static Interface interfaces[INTERFACES_MAX];
  static Usage containers[CONTAINERS_MAX];
  static FileSystem file_systems[FILE_SYSTEMS_MAX];
  *stats = (Stats)Stats_init_zero;
  stats->has_total = true;
  read_usage(PATH_CGROUPS, &stats->total);
  stats->per_cpu_ns = cpus;
  stats->per_cpu_ns_count = read_cpus(cpus);
  if (read_file("/proc", "loadavg")) stats->load_average_milli = (uint32_t)(strtod(text, NULL) * 1000);
  if (read_file("/proc", "meminfo")) stats->memory_total = strtoull(text + strcspn(text, "0123456789"), NULL, 10) * 1024;
  stats->interfaces = interfaces;
  stats->interfaces_count = read_interfaces(interfaces);
  stats->containers = containers;
  stats->containers_count = read_containers(containers);
  stats->file_systems = file_systems;
  stats->file_systems_count = disk_usage(file_systems, FILE_SYSTEMS_MAX);
}
