/* SPDX-License-Identifier: MIT */
/*
 * door - a message is one packet of SOCK_SEQPACKET: JSON, and descriptors beside.
 */
#include "cli/door.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "cli/daemons.h"
#include "cli/out.h"
#include "lib/sock.h"
#include "lib/util.h"

int door_open(struct cli *c, int *ret_fd)
{
	auto_free char *path = rundir_file(c->run, "sandboxd.fd");
	int r = path ? daemons_need(c) : out_no_memory(c), fd;

	if (r)
		return r;
	fd = sock_connect(path, SOCK_SEQPACKET);
	if (fd < 0)
		return out_fail(c, fd == -EACCES ? ERR_DENIED : ERR_UNAVAILABLE, "%s: %s", path,
				strerror(-fd));
	*ret_fd = fd;
	return 0;
}

int door_send(const struct cli *c, int fd, cJSON *v, const int *fds, size_t n_fds)
{
	auto_json cJSON *own = v;
	auto_free char *text = own ? json_print(own) : NULL;
	ssize_t n;

	if (!text)
		return out_no_memory(c);
	if (strlen(text) > DOOR_MESSAGE_MAX)
		return out_fail(c, ERR_TOO_LARGE, "the command is too long (%zu bytes of %d)",
				strlen(text), DOOR_MESSAGE_MAX);
	n = sock_send_fds(fd, text, strlen(text), fds, n_fds);
	if (n < 0)
		return out_fail(c, ERR_UNAVAILABLE, "sandboxd: %s", strerror((int)-n));
	return 0;
}

int door_receive(const struct cli *c, int fd, cJSON **ret, int *fds, size_t *n_fds)
{
	auto_free char *text = malloc(DOOR_MESSAGE_MAX);
	size_t none = 0;
	ssize_t n;

	if (!text)
		return out_no_memory(c);
	n = sock_recv_fds(fd, text, DOOR_MESSAGE_MAX, fds, n_fds ? n_fds : &none);
	if (n == 0 || n == -ECONNRESET || n == -EPIPE)
		return -1;
	if (n < 0)
		return out_fail(c, ERR_UNAVAILABLE, "sandboxd: %s", strerror((int)-n));
	*ret = json_parse(text, (size_t)n, NULL);
	return *ret ? 0 : out_fail(c, ERR_UNAVAILABLE, "sandboxd: its answer is no JSON");
}

int door_fail(const struct cli *c, const char *what, const cJSON *error)
{
	return out_fail_api(c, what, 500, error);
}
