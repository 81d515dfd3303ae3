/* SPDX-License-Identifier: MIT */
/*
 * A bootstrap, compiled: answers in pieces, as its event says in words.
 *
 *   "pieces N SIZE"  N pieces of SIZE bytes
 *   "error N"        N bytes, then trailers of an error
 *   "breaks N"       N bytes, then the connection ends in the middle
 *   "hangs N"        N bytes, then nothing more
 *   "mode"           a response mode that isn't known; answers with the status that it got
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char answer[65536];

static int connect_api(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(9001), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		exit(1);
	return fd;
}

static void put(int fd, const char *s, size_t size)
{
	while (size) {
		ssize_t n = write(fd, s, size);

		if (n <= 0)
			return;
		s += n;
		size -= (size_t)n;
	}
}

static void put_text(int fd, const char *s)
{
	put(fd, s, strlen(s));
}

/* one answer, whole; its body */
static char *get(int fd)
{
	size_t len = 0, want = 0;
	char *body = NULL, *length;
	ssize_t n;

	while (!body || len < want) {
		n = read(fd, answer + len, sizeof(answer) - len - 1);
		if (n <= 0)
			exit(1);
		len += (size_t)n;
		answer[len] = '\0';
		body = strstr(answer, "\r\n\r\n");
		length = strcasestr(answer, "content-length:");
		if (body && length)
			want = (size_t)(body + 4 - answer) + strtoul(length + 15, NULL, 10);
	}
	return body + 4;
}

static void chunk(int fd, size_t size)
{
	static char bytes[1 << 20];
	char head[20];

	memset(bytes, 'x', sizeof(bytes));
	snprintf(head, sizeof(head), "%zx\r\n", size);
	put_text(fd, head);
	put(fd, bytes, size);
	put_text(fd, "\r\n");
}

static void begin(int fd, const char *id, const char *mode)
{
	char head[600];

	snprintf(head, sizeof(head),
		 "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: x\r\n"
		 "Lambda-Runtime-Function-Response-Mode: %s\r\nContent-Type: application/octet-stream\r\n"
		 "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
		 "Transfer-Encoding: chunked\r\n\r\n",
		 id, mode);
	put_text(fd, head);
}

int main(void)
{
	char id[64], what[20], *event, *at;
	unsigned long n, size, i;
	int fd = connect_api();

	for (;;) {
		put_text(fd, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n");
		event = get(fd);
		n = size = 0;
		if (sscanf(event, "\"%19[a-z] %lu %lu", what, &n, &size) < 1)
			exit(2);
		at = strcasestr(answer, "lambda-runtime-aws-request-id: ");
		snprintf(id, sizeof(id), "%.36s", at ? at + 31 : "");
		begin(fd, id, strcmp(what, "mode") ? "streaming" : "buffered");
		if (!strcmp(what, "mode")) {
			put_text(fd, "0\r\n\r\n");
			get(fd);
			snprintf(what, sizeof(what), "\"%.3s\"", answer + 9);
			begin(fd, id, "streaming");
			put_text(fd, "5\r\n");
			put_text(fd, what);
			put_text(fd, "\r\n0\r\n\r\n");
		} else if (!strcmp(what, "pieces")) {
			for (i = 0; i < n; i++)
				chunk(fd, size);
			put_text(fd, "0\r\n\r\n");
		} else {
			chunk(fd, n);
			if (!strcmp(what, "hangs"))
				pause();
			if (!strcmp(what, "breaks")) {
				close(fd);
				fd = connect_api();
				continue;
			}
			/* {"errorType":"Function.Mine","errorMessage":"m"} */
			put_text(fd, "0\r\nLambda-Runtime-Function-Error-Type: Function.Mine\r\n"
				     "Lambda-Runtime-Function-Error-Body: "
				     "eyJlcnJvclR5cGUiOiJGdW5jdGlvbi5NaW5lIiwiZXJyb3JNZXNzYWdlIjoibSJ9\r\n\r\n");
		}
		get(fd);
	}
}
