/* SPDX-License-Identifier: MIT */
/*
 * bench_invoke - callers of one function, each on a connection of its own to
 * sandboxd's socket, which asks again as soon as it was answered.
 *
 * usage: bench_invoke SOCKET LAB FUNCTION CALLERS SECONDS
 * prints "p50 microseconds, answers a second"; status 1 if any answer isn't a 200
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define CALLERS_MAX 1024
#define ANSWERS_MAX 4000000

static struct caller {
	char buf[4096];
	size_t have;
	double begin;
} callers[CALLERS_MAX];
static struct pollfd fds[CALLERS_MAX];
static float us[ANSWERS_MAX];

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int connect_to(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -1 : fd;
}

/* 1: the whole answer is here, 0: not yet, -1: it isn't a 200 */
static int answered(struct caller *c)
{
	char *end, *length;

	c->buf[c->have] = '\0';
	end = strstr(c->buf, "\r\n\r\n");
	if (!end)
		return 0;
	length = strcasestr(c->buf, "content-length:");
	if (strncmp(c->buf, "HTTP/1.1 200", 12) != 0 || !length ||
	    strcasestr(c->buf, "x-amz-function-error"))
		return -1;
	return c->have >= (size_t)(end - c->buf) + 4 + strtoul(length + 15, NULL, 10);
}

static int by_value(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	int n = argc == 6 ? atoi(argv[4]) : 0, i;
	size_t answers = 0;
	double begin, end;
	char ask[512];
	int size;

	if (n < 1 || n > CALLERS_MAX)
		return 2;
	size = snprintf(ask, sizeof(ask),
			"POST /2015-03-31/functions/%s/invocations HTTP/1.1\r\nHost: x\r\n"
			"X-Vpclab-Lab: %s\r\nContent-Length: 2\r\n\r\n{}",
			argv[3], argv[2]);
	begin = now_us();
	end = begin + atof(argv[5]) * 1e6;
	for (i = 0; i < n; i++) {
		fds[i] = (struct pollfd){ .fd = connect_to(argv[1]), .events = POLLIN };
		callers[i].begin = now_us();
		if (fds[i].fd < 0 || write(fds[i].fd, ask, (size_t)size) != size)
			return perror(argv[1]), 1;
	}
	while (now_us() < end && answers < ANSWERS_MAX - CALLERS_MAX) {
		if (poll(fds, (nfds_t)n, 10000) <= 0)
			return fprintf(stderr, "no answer\n"), 1;
		for (i = 0; i < n; i++) {
			struct caller *c = &callers[i];
			ssize_t got;
			int r;

			if (!fds[i].revents)
				continue;
			got = read(fds[i].fd, c->buf + c->have, sizeof(c->buf) - 1 - c->have);
			if (got <= 0)
				return fprintf(stderr, "closed\n"), 1;
			c->have += (size_t)got;
			r = answered(c);
			if (r < 0)
				return fprintf(stderr, "%s\n", c->buf), 1;
			if (!r)
				continue;
			us[answers++] = (float)(now_us() - c->begin);
			c->have = 0;
			c->begin = now_us();
			if (write(fds[i].fd, ask, (size_t)size) != size)
				return perror("write"), 1;
		}
	}
	qsort(us, answers, sizeof(us[0]), by_value);
	printf("%.1f %.1f\n", answers ? (double)us[answers / 2] : 0.0,
	       (double)answers / ((now_us() - begin) / 1e6));
	return answers ? 0 : 1;
}
