/* SPDX-License-Identifier: MIT */
/*
 * fuzz_http - any bytes at the HTTP server's door (lib/http.c), in two pieces, from
 * a client that then goes away; the handler reads all it can of each request,
 * keeps some waiting and answers with what came, headers too.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/http.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct loop *loop;
static unsigned waiting; /* requests without an answer */
static struct sockaddr_un address = { .sun_family = AF_UNIX };
static socklen_t address_size = sizeof(address);

static void gone(struct http_req *r, void *arg)
{
	http_reply(r, 200, arg, NULL, 0);
	waiting--;
}

static void handle(struct http_req *r, void *arg)
{
	const char *q = http_query(r, "q"), *h = http_header(r, "X-Echo");
	size_t size, i = 0;
	const void *body = http_body(r, &size);
	char text[64];

	while (http_segment(r, (unsigned)i, text, sizeof(text)) != -ENOENT)
		i++;
	if (strlen(http_path(r)) == 0 || http_peer(r, NULL, NULL) < 0 || arg)
		abort();
	http_add_header(r, h ? h : "X-Query", q ? q : "none");
	if (strcmp(http_method(r), "GET") == 0 && i > 2) {
		waiting++;
		http_on_gone(r, gone, NULL);
	} else {
		http_reply(r, 200, q ? q : "text/plain", body, size);
	}
}

/* listens on a name that the kernel picks: no file */
static void start(int fd)
{
	loop = loop_new();
	if (bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &address_size) < 0 || listen(fd, 16) < 0 ||
	    !loop || !http_server_new(loop, fd, handle, NULL))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t half = size ? data[0] * size / 256 : 0;
	int i, fd;

	if (!loop)
		start(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (connect(fd, (struct sockaddr *)&address, address_size) < 0)
		abort();
	for (i = 0; i < 9; i++) {
		if (i == 0 || i == 3)
			(void)!send(fd, i ? data + half : data, i ? size - half : half,
				    MSG_NOSIGNAL);
		loop_once(loop, 0);
	}
	close(fd);
	for (i = 0; i < 4 || waiting; i++)
		loop_once(loop, waiting ? 100 : 0);
	return 0;
}
