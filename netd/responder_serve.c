/* SPDX-License-Identifier: MIT */
/*
 * responder_serve - answers on the sockets of responder.c's table.
 *
 *   serve/tcp  one JSON line {"node","from","port"} (whom it saw), then an echo
 *   serve/udp  the line, then the datagram itself
 *   http       any request: 200 with the line as body
 *   dns        resolver.c, by datagram and by stream
 *
 * A connection reads only while nothing of it waits to be written, so each holds
 * at most one read's worth.  Connections sit in two queues (short and long idle
 * time) in the order of their last activity; one timer stands for the oldest.
 * Where a limit or the descriptors run out, the idlest connection makes room:
 * a new client is never the one to suffer from abandoned ones.
 */
#include "netd/responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/buf.h"
#include "lib/util.h"

#define READ_SIZE (64 * 1024)
#define ACCEPTS_PER_ROUND 32
#define DATAGRAMS_PER_ROUND 64
#define LINE_MAX_SIZE 256

enum { IDLE_SHORT, IDLE_LONG, IDLE_N };
static const int64_t idle_ms[IDLE_N] = { RESPONDER_IDLE_MS, RESPONDER_SERVE_IDLE_MS };

TAILQ_HEAD(conn_queue, conn);

struct server {
	struct loop *loop;
	struct conn_queue idle[IDLE_N];
	struct loop_event *timer;
	size_t n_conns;
	int spare_fd;	  /* closed to accept and refuse when descriptors run out */
	uint8_t *scratch; /* owns READ_SIZE: what a handler reads into */
	uint8_t *reply;	  /* owns: a DNS answer being made */
};

struct conn {
	LIST_ENTRY(conn) link;
	TAILQ_ENTRY(conn) idle_link;
	struct answerer *of;
	int fd;
	struct loop_event *ev;
	struct mono active;
	struct sockaddr_in peer;
	struct buf in;	/* an unfinished head or query */
	struct buf out; /* "sent" bytes of it are gone */
	size_t sent;
	bool eof;   /* the peer will say no more */
	bool drain; /* what still comes is thrown away, then it ends */
	bool shut;  /* our end is shut down */
};

static int idle_queue(const struct answerer *a)
{
	return a->kind == ANSWER_SERVE ? IDLE_LONG : IDLE_SHORT;
}

static void idle_expired(void *arg);

static void idle_arm(struct server *s)
{
	int64_t soonest = INT64_MAX;
	int q;

	s->timer = loop_event_free(s->timer);
	for (q = 0; q < IDLE_N; q++) {
		const struct conn *c = TAILQ_FIRST(&s->idle[q]);
		int64_t left;

		if (!c)
			continue;
		left = idle_ms[q] - (int64_t)mono_ms_since(c->active);
		if (left < soonest)
			soonest = left < 1 ? 1 : left;
	}
	if (soonest < INT64_MAX) /* without memory: the next connection tries again */
		s->timer = loop_timer(s->loop, soonest, idle_expired, s);
}

static void conn_touch(struct conn *c)
{
	struct conn_queue *q = &c->of->server->idle[idle_queue(c->of)];

	c->active = mono_now();
	TAILQ_REMOVE(q, c, idle_link);
	TAILQ_INSERT_TAIL(q, c, idle_link);
}

static void conn_free(struct conn *c)
{
	struct server *s = c->of->server;

	TAILQ_REMOVE(&s->idle[idle_queue(c->of)], c, idle_link);
	LIST_REMOVE(c, link);
	c->of->n_conns--;
	s->n_conns--;
	loop_event_free(c->ev);
	close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	free(c);
}

static void idle_expired(void *arg)
{
	struct server *s = arg;
	int q;

	s->timer = loop_event_free(s->timer);
	for (q = 0; q < IDLE_N; q++) {
		struct conn *c;

		while ((c = TAILQ_FIRST(&s->idle[q])) && mono_ms_since(c->active) >= idle_ms[q])
			conn_free(c);
	}
	idle_arm(s);
}

/* closes the connection that was idle longest ("a": of this socket); false: none */
static bool evict(struct server *s, const struct answerer *a)
{
	int q;

	for (q = 0; q < IDLE_N; q++) {
		struct conn *c;

		TAILQ_FOREACH(c, &s->idle[q], idle_link)
			if (!a || c->of == a) {
				conn_free(c);
				return true;
			}
	}
	return false;
}

static int line_make(const struct answerer *a, const struct sockaddr_in *peer, char *ret,
		     size_t size)
{
	char from[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &peer->sin_addr, from, sizeof(from));
	return snprintf(ret, size, "{\"node\":%s,\"from\":\"%s\",\"port\":%u}\n", a->node, from,
			ntohs(peer->sin_port));
}

/* ---- HTTP ---- */

static bool is_token(const char *s, size_t len)
{
	size_t i;

	for (i = 0; i < len; i++)
		if (s[i] <= ' ' || s[i] >= 127 || strchr("\"(),/:;<=>?@[\\]{}", s[i]))
			return false;
	return len > 0;
}

/* one header line; false: malformed.  "lengths" counts Content-Length */
static bool http_field(const char *line, size_t len, struct http_head *h, unsigned *lengths)
{
	const char *colon = memchr(line, ':', len);
	size_t name = colon ? (size_t)(colon - line) : 0;
	const char *v = colon ? colon + 1 : NULL;
	size_t n;

	if (!colon || !is_token(line, name))
		return false;
	while (v < line + len && (*v == ' ' || *v == '\t'))
		v++;
	n = (size_t)(line + len - v);
	while (n > 0 && (v[n - 1] == ' ' || v[n - 1] == '\t'))
		n--;
	if (name == 14 && strncasecmp(line, "content-length", name) == 0) {
		size_t i;

		for (i = 0; i < n; i++)
			if (v[i] < '0' || v[i] > '9')
				return false;
		h->body |= n != strspn(v, "0");
		return n > 0 && ++*lengths == 1;
	}
	if (name == 17 && strncasecmp(line, "transfer-encoding", name) == 0)
		h->body = true;
	if (name == 10 && strncasecmp(line, "connection", name) == 0 &&
	    !(n == 10 && strncasecmp(v, "keep-alive", n) == 0))
		h->close = true;
	return memchr(v, '\0', n) == NULL;
}

int http_head_parse(const char *head, size_t size, struct http_head *ret)
{
	struct http_head h = { false, false, false };
	const char *end = memmem(head, size, "\r\n", 2);
	const char *target, *version, *at;
	unsigned lengths = 0;

	if (!end)
		return 400;
	target = memchr(head, ' ', (size_t)(end - head));
	if (!target || !is_token(head, (size_t)(target - head)))
		return 400;
	version = memrchr(head, ' ', (size_t)(end - head));
	if (version == target || end - version != 9 || memcmp(version, " HTTP/", 6) != 0)
		return 400;
	if (memcmp(version, " HTTP/1.", 8) != 0)
		return 505;
	h.close = version[8] == '0';
	h.no_answer_body = target - head == 4 && memcmp(head, "HEAD", 4) == 0;
	for (at = end + 2;; at = end + 2) {
		end = memmem(at, (size_t)(head + size - at), "\r\n", 2);
		if (!end)
			return 400;
		if (end == at)
			break;
		if (!http_field(at, (size_t)(end - at), &h, &lengths))
			return 400;
	}
	h.close |= h.body; /* the answer goes at once; the body is thrown away */
	*ret = h;
	return 200;
}

static void http_answer(struct conn *c, int status, const struct http_head *h)
{
	char line[LINE_MAX_SIZE];
	int len = line_make(c->of, &c->peer, line, sizeof(line));

	if (status != 200) {
		buf_printf(&c->out,
			   "HTTP/1.1 %d %s\r\nContent-Length: 0\r\n"
			   "Connection: close\r\n\r\n",
			   status,
			   status == 505 ? "HTTP Version Not Supported" :
			   status == 431 ? "Request Header Fields Too Large" :
					   "Bad Request");
		c->drain = true;
		return;
	}
	buf_printf(&c->out,
		   "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
		   "Content-Length: %d\r\n%s\r\n%s",
		   len, h->close ? "Connection: close\r\n" : "", h->no_answer_body ? "" : line);
	c->drain = h->close;
}

/* answers the first complete request in c->in; false: there is none yet */
static bool http_next(struct conn *c)
{
	struct http_head h = { false, false, false };
	const char *in = buf_str(&c->in);
	const char *end;
	struct buf rest = BUF_INIT;
	size_t size;

	end = c->in.len ? memmem(in, c->in.len, "\r\n\r\n", 4) : NULL;
	if (!end) {
		if (c->in.len > RESPONDER_HTTP_HEAD_MAX)
			http_answer(c, 431, &h);
		return false;
	}
	size = (size_t)(end + 4 - in);
	if (memchr(in, '\0', size)) /* the parser below reads strings */
		http_answer(c, 400, &h);
	else
		http_answer(c, size > RESPONDER_HTTP_HEAD_MAX ? 431 : http_head_parse(in, size, &h),
			    &h);
	buf_add(&rest, in + size, c->in.len - size);
	buf_done(&c->in);
	c->in = rest;
	return true;
}

/* ---- DNS by stream ---- */

static bool dns_next(struct conn *c)
{
	const uint8_t *in = (const uint8_t *)buf_str(&c->in);
	struct server *s = c->of->server;
	struct buf rest = BUF_INIT;
	uint8_t prefix[2];
	size_t size, n;

	if (c->in.len < 2)
		return false;
	size = (size_t)in[0] << 8 | in[1];
	if (size > RESOLVER_QUERY_MAX) {
		c->drain = true;
		return false;
	}
	if (c->in.len < 2 + size)
		return false;
	n = resolver_answer(c->of->view->zone, in + 2, size, true, s->reply, RESOLVER_MESSAGE_MAX);
	if (n == 0) {
		c->drain = true;
		return false;
	}
	prefix[0] = (uint8_t)(n >> 8);
	prefix[1] = (uint8_t)n;
	buf_add(&c->out, prefix, sizeof(prefix));
	buf_add(&c->out, s->reply, n);
	buf_add(&rest, in + 2 + size, c->in.len - 2 - size);
	buf_done(&c->in);
	c->in = rest;
	return true;
}

/* ---- connections ---- */

/* turns what was read into answers, as far as nothing waits to be written */
static void conn_consume(struct conn *c)
{
	bool more = true;

	while (more && !c->drain && c->out.len == 0 && c->of->kind != ANSWER_SERVE)
		more = c->of->kind == ANSWER_HTTP ? http_next(c) : dns_next(c);
}

/* false: the connection is over */
static bool conn_flush(struct conn *c)
{
	while (c->out.len > c->sent) {
		ssize_t n = send(c->fd, c->out.s + c->sent, c->out.len - c->sent,
				 MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		c->sent += (size_t)n;
		if (c->out.len > c->sent)
			continue;
		buf_done(&c->out); /* idle connections hold no memory */
		c->sent = 0;
		conn_consume(c);
	}
	if (c->out.failed || c->in.failed)
		return false;
	return true;
}

/* false: the connection is over */
static bool conn_read(struct conn *c)
{
	struct server *s = c->of->server;
	ssize_t n = recv(c->fd, s->scratch, READ_SIZE, MSG_DONTWAIT);

	if (n < 0)
		return errno == EAGAIN || errno == EINTR;
	if (n == 0) {
		c->eof = true;
		return true;
	}
	if (c->drain)
		return true; /* and isn't activity: it ends in time */
	conn_touch(c);
	buf_add(c->of->kind == ANSWER_SERVE ? &c->out : &c->in, s->scratch, (size_t)n);
	conn_consume(c);
	return true;
}

/* awaits what comes next; false: nothing does */
static bool conn_await(struct conn *c)
{
	bool pending = c->out.len > c->sent;

	if (!pending && c->eof)
		return false;
	if (!pending && c->drain && !c->shut) {
		/* a close with unread input would take the answer along (RST) */
		(void)shutdown(c->fd, SHUT_WR); /* the peer may be gone: reading tells */
		c->shut = true;
	}
	return loop_fd_set(c->ev, pending ? LOOP_WRITE : LOOP_READ) == 0;
}

static void conn_ready(int fd, unsigned what, void *arg)
{
	struct conn *c = arg;

	(void)fd;
	if (what & LOOP_WRITE)
		conn_touch(c);
	if (!conn_flush(c) ||
	    (what & LOOP_READ && c->out.len == 0 && (!conn_read(c) || !conn_flush(c))) ||
	    !conn_await(c))
		conn_free(c);
}

static void conn_open(struct answerer *a, int fd, const struct sockaddr_in *peer)
{
	struct server *s = a->server;
	struct conn *c = calloc(1, sizeof(*c));

	if (!c) {
		close(fd);
		return;
	}
	c->of = a;
	c->fd = fd;
	c->peer = *peer;
	c->active = mono_now();
	LIST_INSERT_HEAD(&a->conns, c, link);
	TAILQ_INSERT_TAIL(&s->idle[idle_queue(a)], c, idle_link);
	a->n_conns++;
	s->n_conns++;
	if (a->kind == ANSWER_SERVE) {
		char line[LINE_MAX_SIZE];
		int len = line_make(a, peer, line, sizeof(line));

		buf_add(&c->out, line, (size_t)len);
	}
	c->ev = loop_fd(s->loop, fd, LOOP_READ, conn_ready, c);
	if (!c->ev || !conn_flush(c) || !conn_await(c))
		conn_free(c);
	else if (!s->timer)
		idle_arm(s);
}

/* out of descriptors: takes the client and lets it go, or it would wait for ever
 * and the listening socket stay readable */
static void refuse_one(struct server *s, int listen_fd)
{
	int fd;

	if (evict(s, NULL))
		return;
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void listener_ready(int fd, unsigned what, void *arg)
{
	struct answerer *a = arg;
	struct server *s = a->server;
	int i;

	(void)what;
	for (i = 0; i < ACCEPTS_PER_ROUND; i++) {
		struct sockaddr_in peer;
		socklen_t size = sizeof(peer);
		int got =
			accept4(fd, (struct sockaddr *)&peer, &size, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (got < 0 && (errno == EMFILE || errno == ENFILE)) {
			refuse_one(s, fd);
			return;
		}
		if (got < 0)
			return; /* the client went, or nobody is left */
		if (a->n_conns >= RESPONDER_SOCK_CONNS_MAX)
			(void)evict(s, a); /* there is one: the count says so */
		else if (s->n_conns >= RESPONDER_CONNS_MAX)
			(void)evict(s, NULL);
		conn_open(a, got, &peer);
	}
}

/* ---- datagrams ---- */

/* what "a" says to a datagram of "size" bytes in s->scratch; 0: nothing */
static size_t datagram_answer(struct answerer *a, const struct sockaddr_in *peer, size_t size)
{
	static const char ours[] = "{\"node\":\"";
	struct server *s = a->server;
	char line[LINE_MAX_SIZE];
	size_t len;

	if (a->kind == ANSWER_DNS)
		return size > RESOLVER_QUERY_MAX ?
			       0 :
			       resolver_answer(a->view->zone, s->scratch, size, false, s->reply,
					       RESOLVER_MESSAGE_MAX);
	/* two servers that were made to talk to each other would never end */
	if (size >= sizeof(ours) - 1 && memcmp(s->scratch, ours, sizeof(ours) - 1) == 0)
		return 0;
	len = (size_t)line_make(a, peer, line, sizeof(line));
	if (size > 65507 - len)
		size = 65507 - len;
	memcpy(s->reply, line, len);
	memcpy(s->reply + len, s->scratch, size);
	return len + size;
}

/* the answer leaves from the address that was asked, also on a wildcard socket */
static void keep_source(struct msghdr *m)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c))
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo info;

			memcpy(&info, CMSG_DATA(c), sizeof(info));
			info.ipi_ifindex = 0;
			memcpy(CMSG_DATA(c), &info, sizeof(info));
		}
}

static void datagram_ready(int fd, unsigned what, void *arg)
{
	struct answerer *a = arg;
	struct server *s = a->server;
	int i;

	(void)what;
	for (i = 0; i < DATAGRAMS_PER_ROUND; i++) {
		union {
			struct cmsghdr align;
			char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
		} control;
		struct sockaddr_in peer;
		struct iovec iov = { s->scratch, READ_SIZE };
		struct msghdr m = {
			.msg_name = &peer,
			.msg_namelen = sizeof(peer),
			.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = control.room,
			.msg_controllen = sizeof(control.room),
		};
		ssize_t n = recvmsg(fd, &m, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN)
			return;
		if (n < 0)
			continue; /* an ICMP error that a former answer met */
		iov.iov_len = datagram_answer(a, &peer, (size_t)n);
		iov.iov_base = s->reply;
		if (iov.iov_len == 0)
			continue;
		keep_source(&m);
		(void)sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL); /* a datagram may be lost */
	}
}

/* ---- public ---- */

struct server *server_new(struct loop *l)
{
	struct server *s = calloc(1, sizeof(*s));
	int q;

	if (!s)
		return NULL;
	s->loop = l;
	for (q = 0; q < IDLE_N; q++)
		TAILQ_INIT(&s->idle[q]);
	s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	s->scratch = malloc(READ_SIZE);
	s->reply = malloc(RESOLVER_MESSAGE_MAX);
	if (!s->scratch || !s->reply)
		return server_free(s);
	return s;
}

struct server *server_free(struct server *s)
{
	if (!s)
		return NULL;
	loop_event_free(s->timer);
	if (s->spare_fd >= 0)
		close(s->spare_fd);
	free(s->scratch);
	free(s->reply);
	free(s);
	return NULL;
}

int server_start(struct server *s, struct answerer *a)
{
	int on = 1;

	a->server = s;
	LIST_INIT(&a->conns);
	if (!a->stream && setsockopt(a->fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on)) < 0)
		return -errno;
	a->ev = loop_fd(s->loop, a->fd, LOOP_READ, a->stream ? listener_ready : datagram_ready, a);
	return a->ev ? 0 : -ENOMEM;
}

void server_stop(struct answerer *a)
{
	while (!LIST_EMPTY(&a->conns))
		conn_free(LIST_FIRST(&a->conns));
	a->ev = loop_event_free(a->ev);
}
