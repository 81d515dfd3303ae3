/* SPDX-License-Identifier: MIT */
/*
 * endpoint - see endpoint.h.
 */
#include "sandbox/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/log.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "sandbox/limits.h"
#include "sandbox/listen.h"
#include "topology/store.h"

static void on_request(struct http_req *r, void *arg)
{
	struct slab *l = arg;

	listen_answer(l->sd, l, r);
}

void endpoint_close(struct slab *l)
{
	l->api = http_server_free(l->api);
	l->api_addr[0] = '\0';
}

static int listen_at(const struct slab *l, const char *ns, const struct addr *a)
{
	struct sockaddr_in in = {
		.sin_family = AF_INET,
		.sin_port = htons(STORE_API_PORT),
		.sin_addr.s_addr = htonl(addr_to_v4(a)),
	};
	auto_close int ns_fd = sandboxd_open_ns(l->sd, ns), fd = -1;
	int one = 1;

	if (ns_fd < 0)
		return ns_fd;
	fd = ns_socket(ns_fd, AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return fd;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    bind(fd, (struct sockaddr *)&in, sizeof(in)) < 0 || listen(fd, SOMAXCONN) < 0)
		return -errno;
	return steal_fd(&fd);
}

void endpoint_settle(struct slab *l)
{
	const cJSON *internet = json_get(l->show, "internet");
	const cJSON *one = json_get(internet, "endpoints");
	const char *at =
		one && one->child && cJSON_IsString(one->child) ? one->child->valuestring : "";
	struct addr a;
	int fd;

	if (l->api && !strcmp(at, l->api_addr))
		return;
	endpoint_close(l);
	if (!*at || addr_parse(at, &a) < 0)
		return;
	fd = listen_at(l, json_str(internet, "namespace", ""), &a);
	if (fd >= 0)
		l->api = http_server_new_few(l->sd->loop, fd, LIMIT_API_CONNECTIONS, on_request, l);
	if (l->api)
		(void)snprintf(l->api_addr, sizeof(l->api_addr), "%s", at);
	else
		log_err("lab=%s no endpoint at %s: %s", l->name, at,
			fd < 0 ? strerror(-fd) : "no HTTP server");
}
