/* SPDX-License-Identifier: MIT */
/* async_deliver - see async_deliver.h */
#include "sandbox/async_deliver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/http.h"
#include "lib/mutant.h"
#include "lib/sigv4.h"
#include "lib/util.h"
#include "sandbox/listen.h"

#define POST_MS 10000
#define TAIL_STEP 4096

/* ---- files ---- */

/* where the last whole line ends */
static off_t whole_lines(int fd, off_t size)
{
	char tail[TAIL_STEP], *end;

	while (size > 0) {
		off_t from = size > TAIL_STEP ? size - TAIL_STEP : 0;
		ssize_t n = pread(fd, tail, (size_t)(size - from), from);

		if (n != size - from)
			return -1;
		end = memrchr(tail, '\n', (size_t)n);
		if (end)
			return from + (end - tail) + 1;
		size = from;
	}
	return 0;
}

static int append(int fd, const void *line, size_t size)
{
	struct stat st;
	off_t end;
	int r;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	end = whole_lines(fd, st.st_size);
	if (end < 0)
		return -EIO;
	if (MUTANT("async-torn"))
		end = st.st_size;
	if (end != st.st_size && ftruncate(fd, end) < 0)
		return -errno;
	if (lseek(fd, end, SEEK_SET) < 0)
		return -errno;
	r = write_all(fd, line, size);
	if (!r)
		r = write_all(fd, "\n", 1);
	if (!r && fdatasync(fd) < 0)
		r = -errno;
	/* a full disk: what there is of the line goes; if it can't, the next one to come sees it */
	if (r && ftruncate(fd, end) < 0)
		return r;
	return r;
}

int deliver_file(const struct sandboxd *sd, const char *lab, const char *name, const void *line,
		 size_t size)
{
	auto_free char *folder = NULL, *path = NULL;
	auto_close int fd = -1;
	int r;

	if (asprintf(&folder, "%s/" RUNDIR_LABS "/%s", sd->dir.state, lab) < 0) {
		folder = NULL;
		return -ENOMEM;
	}
	if (asprintf(&path, "%s/%s", folder, name) < 0) {
		path = NULL;
		return -ENOMEM;
	}
	r = mkdir_p(folder, 0700);
	if (r < 0)
		return r;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 ? -errno : append(fd, line, size);
}

/* ---- queues and topics ---- */

static void on_posted(struct httpc_answer *a, void *arg)
{
	struct deliver_post *p = arg;
	char why[200];

	if (a->status)
		(void)snprintf(why, sizeof(why), "status %d", a->status);
	else
		(void)snprintf(why, sizeof(why), "%s", a->error);
	p->fn(a->status >= 200 && a->status < 300, why, p->arg);
}

static void host_of(const char *url, char *ret, size_t size, bool port)
{
	const char *host = url + strlen("http://");

	(void)snprintf(ret, size, "%.*s", (int)strcspn(host, port ? "/" : ":/"), host);
}

bool deliver_is_allowed(const char *list, const char *url)
{
	char host[300], with_port[310];
	size_t len;

	host_of(url, host, sizeof(host), true);
	(void)snprintf(with_port, sizeof(with_port), "%s%s", host, strchr(host, ':') ? "" : ":80");
	for (; list && *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		if (len == strlen(with_port) && !strncmp(list, with_port, len))
			return true;
	}
	return false;
}

/* the host of the lab's internet that is called so, or has this address; NULL: there is none */
static const struct host *host_named(const struct lab *lab, const char *name)
{
	const struct host *h;
	size_t i, k;

	for (i = 0; i < lab->n_hosts; i++) {
		h = &lab->hosts[i];
		if (!strcmp(addr_str(&h->ip), name) || !strcmp(h->name, name))
			return h;
		for (k = 0; k < h->dns_names.n; k++)
			if (!strcasecmp(h->dns_names.v[k], name))
				return h;
	}
	return NULL;
}

int deliver_post(struct slab *l, const char *url, const char *service, const void *body,
		 size_t size, deliver_fn fn, void *arg, struct deliver_post *p, struct err *e)
{
	struct sandboxd *sd = l->sd;
	bool allowed = deliver_is_allowed(sd->allow_endpoint, url);
	char host[300], secret[SIGV4_SECRET_SIZE];
	const struct host *h;
	auto_close int ns_fd = -1;
	struct in_addr literal;
	struct httpc_aws to = { .url = url, .ns_fd = -1, .service = service, .key_id = l->name };
	int r;

	host_of(url, host, sizeof(host), false);
	h = allowed ? NULL : host_named(l->lab, host);
	to.address = allowed ? host : h ? addr_str(&h->ip) : NULL;
	if (!to.address)
		return err_set(e, ERR_UNAVAILABLE, EHOSTUNREACH,
			       "%s is no host of the lab's internet, nor allowed by "
			       "--allow-endpoint",
			       host);
	/* the host's own names are none of a lab's business */
	if (allowed && inet_pton(AF_INET, host, &literal) != 1) {
		if (strcmp(host, "localhost") != 0)
			return err_set(e, ERR_UNAVAILABLE, EHOSTUNREACH,
				       "%s: --allow-endpoint takes addresses and localhost", host);
		to.address = "127.0.0.1";
	}
	/* AWS's own way to its services is none of the lab's: from the host to itself */
	if (h) {
		ns_fd = sandboxd_open_ns(sd, json_str(slab_node(l, h->name), "namespace", ""));
		if (ns_fd < 0)
			return err_set(e, ERR_UNAVAILABLE, -ns_fd, "%s: %s", host,
				       strerror(-ns_fd));
		to.ns_fd = ns_fd;
	}
	*p = (struct deliver_post){ fn, arg };
	listen_secret(l, secret);
	to.secret = secret;
	to.region = l->lab->region;
	r = httpc_post_aws(sd->httpc, &to, body, size, POST_MS, on_posted, p);
	return r < 0 ? err_set(e, ERR_UNAVAILABLE, -r, "%s: %s", host, strerror(-r)) : 0;
}
