// Users and groups as the image's own files name them; the rules are those of Docker's --user.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent.h"

enum { MAX_GROUPS = sizeof(((struct user *)0)->groups) / sizeof(gid_t) };

// Copies field `index` of the colon-separated line at `line` (up to its line feed).
static bool field(const char *line, int index, char *out, size_t size)
{
	size_t length = strcspn(line, "\n");
	const char *end = line + length;
	for (; index > 0; index--) {
		const char *colon = memchr(line, ':', (size_t)(end - line));
		if (!colon)
			return false;
		line = colon + 1;
	}
	const char *colon = memchr(line, ':', (size_t)(end - line));
	size_t n = (size_t)((colon ? colon : end) - line);
	if (n >= size)
		return false;
	memcpy(out, line, n);
	out[n] = '\0';
	return true;
}

static const char *next_line(const char *line)
{
	const char *end = strchr(line, '\n');
	return end ? end + 1 : NULL;
}

static bool parse_id(const char *text, unsigned *id)
{
	char *end;
	if (*text < '0' || *text > '9')
		return false;
	unsigned long value = strtoul(text, &end, 10);
	if (*end != '\0' || value > 0x7fffffff)
		return false;
	*id = (unsigned)value;
	return true;
}

// The line whose field 0 is `name`, or, for a number, whose field 2 is that number.
static const char *find_line(const char *file, const char *name)
{
	unsigned id = 0, line_id;
	bool numeric = parse_id(name, &id);
	char value[256];
	for (const char *line = file; line && *line; line = next_line(line))
		if (field(line, 0, value, sizeof value) && strcmp(value, name) == 0)
			return line;
	for (const char *line = file; numeric && line && *line; line = next_line(line))
		if (field(line, 2, value, sizeof value) && parse_id(value, &line_id) && line_id == id)
			return line;
	return NULL;
}

static bool group_id(const char *name, const char *group, gid_t *gid)
{
	char value[32];
	unsigned id;
	const char *line = find_line(group, name);
	if (line && field(line, 2, value, sizeof value) && parse_id(value, &id)) {
		*gid = id;
		return true;
	}
	if (!parse_id(name, &id))
		return false;
	*gid = id;
	return true;
}

static void add_group(struct user *u, gid_t gid)
{
	for (size_t i = 0; i < u->group_count; i++)
		if (u->groups[i] == gid)
			return;
	if (u->group_count < MAX_GROUPS)
		u->groups[u->group_count++] = gid;
}

static bool is_member(const char *line, const char *name)
{
	char members[4096];
	if (!field(line, 3, members, sizeof members))
		return false;
	for (char *save = NULL, *member = strtok_r(members, ",", &save); member; member = strtok_r(NULL, ",", &save))
		if (strcmp(member, name) == 0)
			return true;
	return false;
}

// The groups that list the user as a member.
static void add_memberships(struct user *u, const char *name, const char *group)
{
	char value[32];
	unsigned id;
	for (const char *line = group; line && *line; line = next_line(line))
		if (is_member(line, name) && field(line, 2, value, sizeof value) && parse_id(value, &id))
			add_group(u, id);
}

static bool resolve_user(const char *name, const char *passwd, const char *group, bool own_group, struct user *u,
                         struct failure *f)
{
	char value[256];
	unsigned id;
	const char *line = find_line(passwd, name);
	if (!line) {
		if (!parse_id(name, &id))
			return fail(f, ERR(INVALID), "unable to find user %s: no matching entries in passwd file", name);
		u->uid = id;
		return true;
	}
	if (!field(line, 2, value, sizeof value) || !parse_id(value, &id))
		return fail(f, ERR(INVALID), "user %s: its line in the passwd file is damaged", name);
	u->uid = id;
	if (own_group && field(line, 3, value, sizeof value) && parse_id(value, &id))
		u->gid = id;
	if (field(line, 5, value, sizeof value) && *value)
		snprintf(u->home, sizeof u->home, "%s", value);
	if (own_group && field(line, 0, value, sizeof value))
		add_memberships(u, value, group);
	return true;
}

bool user_resolve(const char *text, char *const *additional, size_t additional_count, const char *passwd,
                  const char *group, struct user *u, struct failure *f)
{
	char name[256];
	*u = (struct user){0};
	snprintf(u->home, sizeof u->home, "/");
	if (strlen(text) >= sizeof name)
		return fail(f, ERR(INVALID), "user \"%.64s...\" is too long", text);
	strcpy(name, *text ? text : "0");
	char *colon = strchr(name, ':');
	if (colon)
		*colon = '\0';
	const char *group_name = colon ? colon + 1 : "";
	if (!resolve_user(*name ? name : "0", passwd, group, *group_name == '\0', u, f))
		return false;
	if (*group_name && !group_id(group_name, group, &u->gid))
		return fail(f, ERR(INVALID), "unable to find group %s: no matching entries in group file", group_name);
	for (size_t i = 0; i < additional_count; i++) {
		gid_t gid;
		if (!group_id(additional[i], group, &gid))
			return fail(f, ERR(INVALID), "unable to find group %s: no matching entries in group file", additional[i]);
		add_group(u, gid);
	}
	return true;
}
