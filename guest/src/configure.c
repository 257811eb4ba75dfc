// The four duties after a boot or a restore: entropy, clock, identity, network.
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/random.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <net/route.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent.h"

enum { MIN_ENTROPY = 32, MAX_ENTROPY = 4096 };

static bool add_entropy(const pb_bytes_array_t *entropy, struct failure *f)
{
	if (!entropy || entropy->size < MIN_ENTROPY || entropy->size > MAX_ENTROPY)
		return fail(f, ERR(INVALID), "configure: entropy has %u bytes, want %d to %d",
		            entropy ? (unsigned)entropy->size : 0, MIN_ENTROPY, MAX_ENTROPY);
	struct rand_pool_info *info = malloc(sizeof *info + entropy->size);
	if (!info)
		return fail(f, ERR(SYSTEM), "configure: allocate");
	info->entropy_count = (int)entropy->size * 8;
	info->buf_size = (int)entropy->size;
	memcpy(info->buf, entropy->bytes, entropy->size);
	int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	bool done = fd >= 0 && ioctl(fd, RNDADDENTROPY, info) == 0 && ioctl(fd, RNDRESEEDCRNG) == 0;
	if (!done)
		fail(f, ERR(SYSTEM), "configure: add entropy");
	if (fd >= 0)
		close(fd);
	free(info);
	return done;
}

bool set_clock(uint64_t realtime_ns, struct failure *f)
{
	struct timespec now = {.tv_sec = (time_t)(realtime_ns / 1000000000), .tv_nsec = (long)(realtime_ns % 1000000000)};
	if (clock_settime(CLOCK_REALTIME, &now) < 0)
		return fail(f, ERR(SYSTEM), "set clock");
	return true;
}

static bool set_identity(const hyperd_agent_v1_Configure *c, struct failure *f)
{
	const char *hostname = c->hostname ? c->hostname : "";
	const char *id = c->machine_id ? c->machine_id : "";
	if (strlen(id) != 32 || strspn(id, "0123456789abcdef") != 32)
		return fail(f, ERR(INVALID), "configure: machine id \"%.64s\" is not 32 hex digits", id);
	if (sethostname(hostname, strlen(hostname)) < 0)
		return fail(f, ERR(SYSTEM), "configure: set host name \"%.64s\"", hostname);
	FILE *file = fopen(RUN_DIR "/machine-id", "we");
	if (!file)
		return fail(f, ERR(SYSTEM), "configure: write machine id");
	fprintf(file, "%s\n", id);
	fclose(file);
	return true;
}

static bool find_interface(char name[IFNAMSIZ])
{
	DIR *dir = opendir("/sys/class/net");
	if (!dir)
		return false;
	bool found = false;
	for (struct dirent *e; !found && (e = readdir(dir));) {
		if (e->d_name[0] == '.' || strcmp(e->d_name, "lo") == 0 || strlen(e->d_name) >= IFNAMSIZ)
			continue;
		strcpy(name, e->d_name);
		found = true;
	}
	closedir(dir);
	return found;
}

static void set_address(struct sockaddr *to, uint32_t address)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
	memcpy(to, &in, sizeof in);
}

static bool bring_up(int s, const char *name, struct failure *f)
{
	struct ifreq r = {0};
	snprintf(r.ifr_name, IFNAMSIZ, "%s", name);
	if (ioctl(s, SIOCGIFFLAGS, &r) < 0)
		return fail(f, ERR(SYSTEM), "configure: flags of %s", name);
	r.ifr_flags |= IFF_UP;
	if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
		return fail(f, ERR(SYSTEM), "configure: bring %s up", name);
	return true;
}

static bool set_link(int s, const char *name, const hyperd_agent_v1_Network *n, struct failure *f)
{
	struct ifreq r = {0};
	snprintf(r.ifr_name, IFNAMSIZ, "%s", name);
	unsigned mac[6];
	if (n->mac && *n->mac) {
		if (sscanf(n->mac, "%2x:%2x:%2x:%2x:%2x:%2x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
			return fail(f, ERR(INVALID), "configure: MAC address \"%.32s\"", n->mac);
		r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		for (int i = 0; i < 6; i++)
			r.ifr_hwaddr.sa_data[i] = (char)mac[i];
		if (ioctl(s, SIOCSIFHWADDR, &r) < 0)
			return fail(f, ERR(SYSTEM), "configure: set MAC address of %s", name);
	}
	if (n->mtu) {
		r.ifr_mtu = (int)n->mtu;
		if (ioctl(s, SIOCSIFMTU, &r) < 0)
			return fail(f, ERR(SYSTEM), "configure: set MTU %u of %s", (unsigned)n->mtu, name);
	}
	return true;
}

static bool set_route(int s, const char *gateway_text, struct failure *f)
{
	struct in_addr gateway;
	if (!gateway_text || !*gateway_text)
		return true;
	if (inet_pton(AF_INET, gateway_text, &gateway) != 1)
		return fail(f, ERR(INVALID), "configure: gateway \"%.64s\"", gateway_text);
	struct rtentry route = {.rt_flags = RTF_UP | RTF_GATEWAY};
	set_address(&route.rt_dst, 0);
	set_address(&route.rt_genmask, 0);
	set_address(&route.rt_gateway, gateway.s_addr);
	if (ioctl(s, SIOCADDRT, &route) < 0 && errno != EEXIST)
		return fail(f, ERR(SYSTEM), "configure: route by %.64s", gateway_text);
	return true;
}

static bool set_network(int s, const hyperd_agent_v1_Network *n, struct failure *f)
{
	char name[IFNAMSIZ];
	struct in_addr address;
	if (!bring_up(s, "lo", f))
		return false;
	if (!n->address || !*n->address)
		return true;
	if (!find_interface(name))
		return fail(f, ERR(PRECONDITION), "configure: the machine has no network interface");
	if (inet_pton(AF_INET, n->address, &address) != 1 || n->prefix_length > 32)
		return fail(f, ERR(INVALID), "configure: address \"%.64s/%u\"", n->address, (unsigned)n->prefix_length);
	if (!set_link(s, name, n, f))
		return false;
	struct ifreq r = {0};
	snprintf(r.ifr_name, IFNAMSIZ, "%s", name);
	set_address(&r.ifr_addr, address.s_addr);
	if (ioctl(s, SIOCSIFADDR, &r) < 0)
		return fail(f, ERR(SYSTEM), "configure: set address of %s", name);
	set_address(&r.ifr_netmask, n->prefix_length == 0 ? 0 : htonl(0xffffffffu << (32 - n->prefix_length)));
	if (ioctl(s, SIOCSIFNETMASK, &r) < 0)
		return fail(f, ERR(SYSTEM), "configure: set netmask of %s", name);
	return bring_up(s, name, f) && set_route(s, n->gateway, f);
}

bool configure(const hyperd_agent_v1_Configure *c, struct failure *f)
{
	if (link_configured)
		return fail(f, ERR(PRECONDITION), "configure: done already");
	if (!add_entropy(c->entropy, f) || !set_clock(c->realtime_ns, f) || !set_identity(c, f))
		return false;
	int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (s < 0)
		return fail(f, ERR(SYSTEM), "configure: socket");
	static const hyperd_agent_v1_Network none = hyperd_agent_v1_Network_init_zero;
	bool done = set_network(s, c->has_network ? &c->network : &none, f);
	close(s);
	link_configured = done;
	return done;
}
