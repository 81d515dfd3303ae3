/* SPDX-License-Identifier: MIT */
/*
 * capture - see capture.h.
 */
#include "sandbox/capture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/if_ether.h>

#include "lib/ns.h"
#include "lib/sock.h"
#include "lib/util.h"

/* what a burst of a probe may need before its client has read any of it */
#define BUFFER_SIZE (4 << 20)

static int open_one(const struct sandboxd *sd, const char *lab, const char *name, pid_t netd,
		    int *ret, struct err *e)
{
	auto_free char *path = ns_path(sd->dir.run, netd, lab, name);
	auto_close int ns_fd = -1, fd = -1;
	int one = 1, size = BUFFER_SIZE, r;

	if (!path)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	ns_fd = sandboxd_open_ns(sd, path);
	if (ns_fd < 0)
		return err_set(e, ERR_NO_OBJECT, -ns_fd, "lab %s: namespace %s: %s", lab, name,
			       strerror(-ns_fd));
	fd = ns_socket(ns_fd, AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, htons(ETH_P_ALL));
	r = fd;
	if (r >= 0 && (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
		       setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof(one)) < 0))
		r = -errno;
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "a packet socket in %s: %s", name, strerror(-r));
	*ret = steal_fd(&fd);
	return 0;
}

int capture_open(const struct sandboxd *sd, const char *lab, const cJSON *names, int *ret_fds,
		 size_t *ret_n, struct err *e)
{
	pid_t netd = rundir_pid(sd->dir.run, "netd");
	const cJSON *name;
	size_t n = 0;
	int r = 0;

	if (!cJSON_GetArraySize(names))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "namespaces: a list of names");
	if (cJSON_GetArraySize(names) > CAPTURES_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "namespaces: at most %d", CAPTURES_MAX);
	if (!netd)
		return err_set(e, ERR_UNAVAILABLE, ESRCH, "netd doesn't run");
	cJSON_ArrayForEach(name, names) {
		const char *s = cJSON_IsString(name) ? name->valuestring : "";

		/* a name, not a way to somewhere else */
		if (!*s || *s == '.' || strchr(s, '/'))
			r = err_set(e, ERR_INVALID_PARAMETER, EINVAL,
				    "\"%.60s\" is no name of a namespace", s);
		else
			r = open_one(sd, lab, s, netd, &ret_fds[n], e);
		if (r)
			break;
		n++;
	}
	while (r && n)
		close(ret_fds[--n]);
	if (!r)
		*ret_n = n;
	return r;
}

/* ---- nodes ---- */

/* a node's namespace as netd calls it, appended to "list"; 0, -ENOENT */
static int add_path(cJSON *list, const cJSON *object)
{
	const char *path = json_str(object, "namespace", NULL);
	const char *name = path ? strrchr(path, '/') : NULL;

	if (!name)
		return -ENOENT;
	cJSON_AddItemToArray(list, cJSON_CreateString(name + 1));
	return 0;
}

/* what a function's sandboxes send passes its egress namespaces, whichever places they have */
static int add_function(cJSON *list, const cJSON *f)
{
	const cJSON *place;
	int r = -ENOENT;

	cJSON_ArrayForEach(place, json_get(f, "places")) {
		const char *egress = json_str(place, "egress", NULL);

		if (!egress)
			continue;
		cJSON_AddItemToArray(list, cJSON_CreateString(egress));
		r = 0;
	}
	return r;
}

int capture_names(const cJSON *show, const char *node, cJSON *list)
{
	const cJSON *o = show_network(show, node), *f = json_get(json_get(show, "functions"), node);

	if (!o)
		o = show_node(show, node);
	return !o && f ? add_function(list, f) : add_path(list, o);
}

void capture_all_names(const cJSON *show, cJSON *list)
{
	const cJSON *vpc, *o;

	/* what has no namespace (it failed to come up) has no packets */
	cJSON_ArrayForEach(vpc, json_get(show, "vpcs"))
		cJSON_ArrayForEach(o, json_get(vpc, "instances"))
			(void)add_path(list, o);
	cJSON_ArrayForEach(o, json_get(json_get(show, "internet"), "hosts"))
		(void)add_path(list, o);
	cJSON_ArrayForEach(o, json_get(show, "functions"))
		(void)add_function(list, o);
}
