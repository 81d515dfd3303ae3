/* SPDX-License-Identifier: MIT */
/*
 * sandboxd - look-ups that all parts share (sandboxd.h).
 */
#include "sandbox/sandboxd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "lib/util.h"

struct slab *slab_find(const struct sandboxd *sd, const char *name)
{
	struct slab *l;

	LIST_FOREACH(l, &sd->labs, link)
		if (!strcmp(l->name, name))
			return l;
	return NULL;
}

struct func *func_find(const struct slab *l, const char *name)
{
	struct func *f;

	LIST_FOREACH(f, &l->funcs, link)
		if (!f->gone && !f->number && !strcmp(f->name, name))
			return f;
	return NULL;
}

const cJSON *show_node(const cJSON *show, const char *name)
{
	const cJSON *vpc, *o;

	cJSON_ArrayForEach(vpc, json_get(show, "vpcs")) {
		o = json_get(json_get(vpc, "instances"), name);
		if (o)
			return o;
	}
	return json_get(json_get(json_get(show, "internet"), "hosts"), name);
}

const cJSON *show_network(const cJSON *show, const char *name)
{
	const cJSON *vpcs = json_get(show, "vpcs");
	auto_free char *vpc = NULL;
	const char *slash;

	if (!strcmp(name, "internet"))
		return json_get(show, "internet");
	if (!strncmp(name, "router:", 7))
		return json_get(vpcs, name + 7);
	slash = strchr(name, '/');
	if (strncmp(name, "nat_gateway:", 12) != 0 || !slash)
		return NULL;
	vpc = strndup(name + 12, (size_t)(slash - name - 12));
	return vpc ? json_get(json_get(json_get(vpcs, vpc), "nat_gateways"), slash + 1) : NULL;
}

const cJSON *slab_node(const struct slab *l, const char *name)
{
	return show_node(l->show, name);
}

int sandboxd_open_ns(const struct sandboxd *sd, const char *path)
{
	const char *rest = !strncmp(path, "/proc/", 6) ? strchr(path + 6, '/') : NULL;
	auto_free char *now = NULL;
	int fd;

	if (!*path)
		return -ENOENT;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 || !rest)
		return fd < 0 ? -errno : fd;
	/* netd was started anew since the path was told */
	if (asprintf(&now, "/proc/%d%s", rundir_pid(sd->dir.run, "netd"), rest) < 0) {
		now = NULL;
		return -ENOMEM;
	}
	fd = open(now, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static void random_bytes(unsigned char *b, size_t size)
{
	/* up to 256 bytes are never cut short; without them nothing here is safe */
	if (getrandom(b, size, 0) != (ssize_t)size)
		abort();
}

void sandboxd_random_id(char ret[33])
{
	unsigned char b[16];
	size_t i;

	random_bytes(b, sizeof(b));
	for (i = 0; i < sizeof(b); i++)
		(void)snprintf(ret + 2 * i, 3, "%02x", b[i]);
}
