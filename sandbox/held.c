/* SPDX-License-Identifier: MIT */
/*
 * held - see held.h.  A connection goes
 *
 *   PLACE (a function's) -> RESOLVE (a name, by the source's own resolver) ->
 *   CONNECT -> READ (the server's line) -> IDLE <-> CHECK
 *
 * and what doesn't get to IDLE is dropped with its answer.  A timer bounds each
 * step; where nothing came back, netd is asked what dropped it.  While it is
 * idle nothing watches the socket: whatever came in the meantime (an end, an
 * answer that was late) is read first when it is asked.
 *
 * Silence is a wire that carried the message and nothing back.  TCP waits longer
 * and longer before it sends a lost one again, and everything new behind it, so
 * after an earlier silence the time-out begins when it has done so (linear
 * time-outs make that soon; SILENCE_MAX_MS bounds it).
 *
 * Each message carries the connection's name and a number, so that an answer to
 * an earlier one, which TCP sends again until it arrives, is not taken for life.
 */
#include "sandbox/held.h"

#include <arpa/inet.h>
#include <arpa/nameser.h>
#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <resolv.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/addr.h"
#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/ns.h"
#include "lib/proc.h"
#include "lib/util.h"
#include "sandbox/front.h"
#include "sandbox/instances.h"
#include "sandbox/limits.h"
#include "sandbox/view.h"

#define TIMEOUT_MS 1000
#define TIMEOUT_MAX_MS 60000
#define RESOLVE_MS 2000
#define SILENCE_MAX_MS 30000 /* of one check, whatever TCP does */
#define NETD_MS 10000
#define ANSWER_MAX 8192 /* of what came back, as much is looked at as is needed */
#define NAME_SIZE 64

enum state { PLACE, RESOLVE, CONNECT, READ, IDLE, CHECK };

struct held {
	LIST_ENTRY(held) link;
	struct sandboxd *sd;
	struct slab *slab;
	enum state state;
	char name[NAME_SIZE];
	char *from, *to; /* own */
	char port_text[24];
	struct port port;
	char *ns;	  /* owns; path of the source's network */
	char *attachment; /* owns; a function's place; NULL */
	struct addr address;
	bool reads;	   /* the target's built-in server begins with a line */
	bool asking, dead; /* netd, for a place or what dropped it; ended meanwhile */
	int fd;		   /* owns; -1 */
	int owner_fd;	   /* owns */
	struct loop_event *owner, *event, *timer;
	struct http_req *req; /* that waits; NULL: none */
	struct mono began;
	double timeout_ms;
	unsigned number; /* of the last message */
	struct buf in;
	bool other;	   /* something came that is no echo of ours */
	const char *ended; /* "reset", "closed": for good; NULL */
	char seen_as[ADDR_TEXT_SIZE], detail[200];
	double took_ms;
	cJSON *dropped; /* owns; what dropped it, as netd tells; NULL */
};

static LIST_HEAD(, held) all = LIST_HEAD_INITIALIZER(all);
static size_t n_all;

static struct held *find(const struct slab *l, const char *name)
{
	struct held *h;

	LIST_FOREACH(h, &all, link)
		if (h->slab == l && !h->dead && !strcmp(h->name, name))
			return h;
	return NULL;
}

/* ---- ends ---- */

static void quiet(struct held *h)
{
	h->event = loop_event_free(h->event);
	h->timer = loop_event_free(h->timer);
}

static void hang_up(struct held *h)
{
	quiet(h);
	if (h->fd >= 0)
		close(h->fd);
	h->fd = -1;
}

static void on_detached(struct httpc_answer *a, void *arg)
{
	(void)a; /* the lab's end takes it along */
	(void)arg;
}

static void leave_place(struct held *h)
{
	auto_free char *path = NULL;

	if (!h->attachment)
		return;
	if (asprintf(&path, "/v1/labs/%s/attachments/%s", h->slab->name, h->attachment) < 0)
		path = NULL;
	if (path)
		(void)httpc_start(h->sd->httpc, h->sd->netd, "DELETE", path, NULL, NULL, 0, NETD_MS,
				  on_detached, NULL); /* as above */
}

/* while netd is asked, it only counts as dead */
static void held_free(struct held *h)
{
	struct slab *l = h->slab;

	hang_up(h);
	h->owner = loop_event_free(h->owner);
	if (h->owner_fd >= 0)
		close(h->owner_fd);
	h->owner_fd = -1;
	h->dead = true;
	if (h->asking)
		return;
	leave_place(h);
	LIST_REMOVE(h, link);
	n_all--;
	buf_done(&h->in);
	cJSON_Delete(h->dropped);
	free(h->from);
	free(h->to);
	free(h->ns);
	free(h->attachment);
	free(h);
	l->n_users--;
	front_env_gone(l);
}

static void reply_fail(struct http_req *r, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void reply_fail(struct http_req *r, enum err_code code, const char *fmt, ...)
{
	struct err e = { 0 };
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)err_set(&e, code, 0, "%s", text);
	http_reply_err(r, &e);
}

/* nothing of "h" is there afterwards */
static void fail(struct held *h, enum err_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
static void fail(struct held *h, enum err_code code, const char *fmt, ...)
{
	char text[300];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (h->req)
		reply_fail(h->req, code, "%s", text);
	h->req = NULL;
	held_free(h);
}

static void on_owner(int fd, unsigned what, void *arg)
{
	(void)fd;
	(void)what;
	fail(arg, ERR_CANCELLED, "who opened the connection is gone");
}

void held_end_lab(const struct slab *l)
{
	struct held *h, *next;

	for (h = LIST_FIRST(&all); h; h = next) {
		next = LIST_NEXT(h, link);
		if (h->slab == l && !h->dead)
			fail(h, ERR_CANCELLED, "the lab is being deleted");
	}
}

/* ---- answers ---- */

static void add_text(cJSON *o, const char *name, const char *s)
{
	cJSON_AddItemToObject(o, name, s && *s ? cJSON_CreateString(s) : cJSON_CreateNull());
}

static cJSON *held_json(const struct held *h)
{
	cJSON *o = cJSON_CreateObject();

	add_text(o, "connection", h->name);
	add_text(o, "from", h->from);
	add_text(o, "to", h->to);
	add_text(o, "port", h->port_text);
	add_text(o, "address", addr_is_set(&h->address) ? addr_str(&h->address) : NULL);
	return o;
}

static void reply(struct held *h, const char *result)
{
	cJSON *o = held_json(h);

	add_text(o, "result", result);
	add_text(o, "seen_as", h->seen_as);
	cJSON_AddItemToObject(o, "dropped", h->dropped ? h->dropped : cJSON_CreateNull());
	h->dropped = NULL;
	cJSON_AddNumberToObject(o, "took_ms",
				h->took_ms > 0 ? h->took_ms : mono_ms_since(h->began));
	h->took_ms = 0;
	add_text(o, "detail", h->detail);
	http_reply_json(h->req, 200, o);
	h->req = NULL;
}

/* the end of opening: kept, or nothing of "h" is there afterwards */
static void opened(struct held *h, const char *result)
{
	int zero = 0, one = 1;

	quiet(h);
	reply(h, result);
	if (strcmp(result, "open") != 0) {
		held_free(h);
		return;
	}
	/* from here on an ICMP error on the way ends no TCP connection */
	if (h->port.proto == IPPROTO_TCP) {
		(void)setsockopt(h->fd, IPPROTO_IP, IP_RECVERR, &zero, sizeof(zero));
		(void)setsockopt(h->fd, IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, &one, sizeof(one));
	}
	buf_clear(&h->in);
	h->state = IDLE;
}

static void not_opened(struct held *h, int error)
{
	if (error == ECONNREFUSED) {
		opened(h, "refused");
	} else if (error == ETIMEDOUT) {
		opened(h, "timeout");
	} else {
		(void)snprintf(h->detail, sizeof(h->detail), "%s", strerror(error));
		opened(h, "unreachable");
	}
}

/* the end of a check; "for good": no later one will say anything else */
static void checked(struct held *h, const char *result, bool for_good)
{
	quiet(h);
	h->state = IDLE;
	if (for_good)
		h->ended = result;
	reply(h, result);
	h->detail[0] = '\0';
}

/* ---- what dropped it ---- */

static void nothing_came(struct held *h)
{
	if (h->state == CHECK)
		checked(h, MUTANT("held-silent") ? "alive" : "silent", false);
	else
		opened(h, "timeout");
}

static void on_drops(struct httpc_answer *a, void *arg)
{
	struct held *h = arg;
	auto_json cJSON *o = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;
	const cJSON *list = json_get(o, "drops");

	h->asking = false;
	if (h->dead) {
		held_free(h);
		return;
	}
	if (list && cJSON_IsObject(list->child))
		h->dropped = cJSON_Duplicate(list->child, true);
	else if (!o && !h->detail[0])
		(void)snprintf(h->detail, sizeof(h->detail),
			       "netd doesn't tell what dropped it: %.120s",
			       a->status ? a->body : a->error);
	nothing_came(h);
}

static cJSON *flow_json(const struct held *h)
{
	struct sockaddr_in sin = { 0 };
	socklen_t size = sizeof(sin);
	cJSON *o;
	struct addr a;

	if (getsockname(h->fd, (struct sockaddr *)&sin, &size) < 0)
		return NULL;
	o = cJSON_CreateObject();
	a = addr_v4(ntohl(sin.sin_addr.s_addr));
	cJSON_AddStringToObject(o, "namespace", h->ns);
	cJSON_AddStringToObject(o, "protocol", h->port.proto == IPPROTO_TCP ? "tcp" : "udp");
	cJSON_AddStringToObject(o, "saddr", addr_str(&a));
	cJSON_AddNumberToObject(o, "sport", ntohs(sin.sin_port));
	cJSON_AddStringToObject(o, "daddr", addr_str(&h->address));
	cJSON_AddNumberToObject(o, "dport", h->port.port);
	return o;
}

/* asks netd, and answers in any case */
static void ask_drops(struct held *h)
{
	auto_json cJSON *o = cJSON_CreateObject();
	cJSON *flow = flow_json(h);
	auto_free char *text = NULL, *path = NULL;

	quiet(h);
	h->took_ms = mono_ms_since(h->began);
	if (flow)
		cJSON_AddItemToArray(cJSON_AddArrayToObject(o, "flows"), flow);
	text = flow ? json_print(o) : NULL;
	if (asprintf(&path, "/v1/labs/%s/drops", h->slab->name) < 0)
		path = NULL;
	h->asking = text && path &&
		    httpc_start(h->sd->httpc, h->sd->netd, "POST", path, NULL, text, strlen(text),
				NETD_MS, on_drops, h) == 0;
	if (!h->asking)
		nothing_came(h);
}

/* ---- waiting ---- */

static void await(struct held *h, unsigned what, loop_fd_fn fn, double ms, loop_timer_fn late)
{
	quiet(h);
	h->event = loop_fd(h->sd->loop, h->fd, what, fn, h);
	h->timer = loop_timer(h->sd->loop, ms < 1 ? 1 : (int64_t)ms, late, h);
	if (!h->event || !h->timer)
		fail(h, ERR_INTERNAL, "out of memory");
}

static void on_not_opened(void *arg)
{
	struct held *h = arg;

	if (h->state == READ)
		(void)snprintf(h->detail, sizeof(h->detail),
			       "connected, but the server's line did not come");
	ask_drops(h);
}

static int open_socket(const struct held *h, int proto)
{
	auto_close int ns = sandboxd_open_ns(h->sd, h->ns);
	int fd, one = 1;

	if (ns < 0)
		return ns;
	fd = ns_socket(ns, AF_INET,
		       (proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK |
			       SOCK_CLOEXEC,
		       proto);
	/* errors that ICMP brings are told at once, not after the last retry */
	if (fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_RECVERR, &one, sizeof(one)) < 0) {
		int r = -errno;

		close(fd);
		return r;
	}
	return fd;
}

static int connect_to(int fd, const struct addr *a, uint16_t port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
				   .sin_port = htons(port),
				   .sin_addr.s_addr = htonl(addr_to_v4(a)) };

	return connect(fd, (struct sockaddr *)&sin, sizeof(sin)) < 0 ? -errno : 0;
}

/* ---- messages ---- */

static void message(const struct held *h, unsigned number, char *ret, size_t size)
{
	(void)snprintf(ret, size, "vpclab %s %u\n", h->name, number);
}

static int send_message(struct held *h)
{
	char text[NAME_SIZE + 40];

	message(h, ++h->number, text, sizeof(text));
	/* a filter in the node itself is silence, too */
	return send(h->fd, text, strlen(text), MSG_NOSIGNAL) < 0 && errno != EPERM ? -errno : 0;
}

static bool is_ours(const struct held *h, const char *line)
{
	return !strncmp(line, "vpclab ", 7) && !strncmp(line + 7, h->name, strlen(h->name));
}

/* what came back so far: true if the last message is among it */
static bool look_at_answer(struct held *h)
{
	char want[NAME_SIZE + 40];
	const char *line = buf_str(&h->in), *next;
	struct buf rest = BUF_INIT;
	bool echoed;

	message(h, h->number, want, sizeof(want));
	echoed = strstr(line, want) != NULL;
	for (; (next = strchr(line, '\n')); line = next + 1)
		h->other = h->other || !is_ours(h, line);
	if (strlen(line) > ANSWER_MAX) {
		h->other = true;
		line += strlen(line);
	}
	buf_adds(&rest, line);
	buf_done(&h->in);
	h->in = rest;
	return echoed;
}

/* 0: all there was is read; else as recv() fails, -EPIPE: the other end is closed */
static int drain(struct held *h)
{
	char bytes[4096];
	ssize_t n;

	/* a peer that never stops is no reason for us not to */
	for (int i = 0; i < 16; i++) {
		n = recv(h->fd, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0 && h->port.proto == IPPROTO_TCP)
			return -EPIPE;
		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -errno;
		for (ssize_t j = 0; j < n; j++)
			if (!bytes[j])
				bytes[j] = ' '; /* texts end there */
		buf_add(&h->in, bytes, (size_t)n);
		if (buf_error(&h->in) || h->in.len > 16 * ANSWER_MAX)
			return 0;
	}
	return 0;
}

/* ---- asking ---- */

static void check_failed(struct held *h, int error)
{
	if (error == EPIPE) {
		checked(h, MUTANT("held-closed") ? "silent" : "closed", true);
	} else if (error == ECONNRESET || error == ECONNREFUSED) {
		if (h->port.proto == IPPROTO_UDP)
			(void)snprintf(h->detail, sizeof(h->detail), "ICMP port unreachable");
		/* a UDP flow has no end of its own */
		checked(h, MUTANT("held-reset") ? "silent" : "reset", h->port.proto == IPPROTO_TCP);
	} else {
		(void)snprintf(h->detail, sizeof(h->detail), "%s", strerror(error));
		checked(h, "silent", false);
	}
}

static void on_answer(int fd, unsigned what, void *arg)
{
	struct held *h = arg;
	int r = drain(h);

	(void)fd;
	(void)what;
	if (look_at_answer(h))
		checked(h, "alive", false);
	else if (r < 0)
		check_failed(h, -r);
}

/* ms until the time-out of what TCP has still to send again is over; 0: it did */
static double still_to_send(const struct held *h)
{
	double since = mono_ms_since(h->began);
	struct tcp_info info = { 0 };
	socklen_t size = sizeof(info);

	if (h->port.proto != IPPROTO_TCP || since > SILENCE_MAX_MS ||
	    getsockopt(h->fd, IPPROTO_TCP, TCP_INFO, &info, &size) < 0 || !info.tcpi_unacked ||
	    info.tcpi_last_data_sent < since)
		return 0;
	return info.tcpi_rto / 1000.0 + h->timeout_ms;
}

static void on_no_answer(void *arg)
{
	struct held *h = arg;
	double more = still_to_send(h);
	int unsent = -1;

	if (more > 0) {
		await(h, LOOP_READ, on_answer, more, on_no_answer);
		return;
	}

	if (h->other || (h->in.len && !is_ours(h, buf_str(&h->in)))) {
		(void)snprintf(h->detail, sizeof(h->detail),
			       "it answered, but not with what it was sent");
		checked(h, "alive", false);
		return;
	}
	if (h->port.proto == IPPROTO_TCP && ioctl(h->fd, SIOCOUTQ, &unsent) == 0 && !unsent)
		(void)snprintf(h->detail, sizeof(h->detail),
			       "the other end took the message, but nothing came back");
	ask_drops(h);
}

static void ask(struct held *h)
{
	int r;

	h->state = CHECK;
	h->began = mono_now();
	h->other = false;
	h->detail[0] = '\0';
	if (h->ended) {
		checked(h, h->ended, true);
		return;
	}
	/* what is there already is no answer to what wasn't sent yet */
	r = drain(h);
	buf_clear(&h->in);
	if (!r || h->port.proto == IPPROTO_UDP)
		r = send_message(h);
	if (r < 0 && r != -EAGAIN)
		check_failed(h, -r);
	else
		await(h, LOOP_READ, on_answer, h->timeout_ms, on_no_answer);
}

/* ---- opening ---- */

static void take_line(struct held *h)
{
	const char *s = buf_str(&h->in);
	auto_json cJSON *o = json_parse(s, strcspn(s, "\n"), NULL);

	(void)snprintf(h->seen_as, sizeof(h->seen_as), "%s", json_str(o, "from", ""));
}

static void on_first(int fd, unsigned what, void *arg)
{
	struct held *h = arg;
	int r = drain(h);

	(void)fd;
	(void)what;
	if (r < 0) {
		not_opened(h, -r);
	} else if (h->port.proto == IPPROTO_UDP || strchr(buf_str(&h->in), '\n')) {
		if (h->reads)
			take_line(h);
		opened(h, "open");
	}
}

static void on_connected(int fd, unsigned what, void *arg)
{
	struct held *h = arg;
	int error = 0;
	socklen_t size = sizeof(error);

	(void)what;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
		error = errno;
	if (error) {
		not_opened(h, error);
	} else if (h->reads) {
		h->state = READ;
		await(h, LOOP_READ, on_first, h->timeout_ms, on_not_opened);
	} else {
		opened(h, "open");
	}
}

/* at whichever of its interfaces, private or public */
static bool has_address(const cJSON *o, const char *text)
{
	const cJSON *ip;

	cJSON_ArrayForEach(ip, json_get(o, "addresses"))
		if (!strcmp(ip->string, text) ||
		    (cJSON_IsString(ip) && !strcmp(ip->valuestring, text)))
			return true;
	return false;
}

/* the node that has the address, as the source would reach it */
static const char *target_at(const struct held *h)
{
	const struct slab *l = h->slab;
	const char *text = addr_str(&h->address);
	const cJSON *vpc, *o;

	if (instances_programs(l->lab, h->to))
		return h->to;
	cJSON_ArrayForEach(o, json_get(json_get(l->show, "internet"), "hosts"))
		if (!strcmp(json_str(o, "ip", ""), text))
			return o->string;
	cJSON_ArrayForEach(vpc, json_get(l->show, "vpcs"))
		cJSON_ArrayForEach(o, json_get(vpc, "instances"))
			if (has_address(o, text))
				return o->string;
	return NULL;
}

static bool begins_with_a_line(const struct held *h)
{
	const char *target = target_at(h);
	const struct programs *p = target ? instances_programs(h->slab->lab, target) : NULL;

	for (size_t i = 0; p && i < p->n_serve; i++)
		if (p->serve[i].proto == h->port.proto && p->serve[i].port == h->port.port)
			return !p->serve[i].http;
	return false;
}

static void begin(struct held *h)
{
	bool udp = h->port.proto == IPPROTO_UDP;
	int r;

	hang_up(h);
	h->state = CONNECT;
	h->began = mono_now();
	h->reads = begins_with_a_line(h);
	h->fd = open_socket(h, h->port.proto);
	if (h->fd < 0) {
		fail(h, ERR_KERNEL, "socket in %s: %s", h->from, strerror(-h->fd));
		return;
	}
	r = connect_to(h->fd, &h->address, h->port.port);
	if (!r && udp)
		r = send_message(h);
	if (r && r != -EINPROGRESS && r != -EPERM)
		not_opened(h, -r);
	else
		await(h, udp ? LOOP_READ : LOOP_WRITE, udp ? on_first : on_connected, h->timeout_ms,
		      on_not_opened);
}

/* ---- names ---- */

static void on_name_late(void *arg)
{
	struct held *h = arg;

	fail(h, ERR_NO_NODE, "%s: %s's resolver doesn't answer", h->to, h->from);
}

/* the first address in a resolver's answer; false: none */
static bool read_address(const uint8_t *bytes, size_t size, struct addr *ret)
{
	ns_msg m;
	ns_rr rr;
	uint32_t ip;

	if (ns_initparse(bytes, (int)size, &m) < 0)
		return false;
	for (int i = 0; i < ns_msg_count(m, ns_s_an); i++) {
		if (ns_parserr(&m, ns_s_an, i, &rr) < 0 || ns_rr_type(rr) != ns_t_a ||
		    ns_rr_rdlen(rr) != 4)
			continue;
		memcpy(&ip, ns_rr_rdata(rr), sizeof(ip));
		*ret = addr_v4(ntohl(ip));
		return true;
	}
	return false;
}

static void on_name(int fd, unsigned what, void *arg)
{
	struct held *h = arg;
	uint8_t bytes[4096];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	(void)what;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n < 0 || !read_address(bytes, (size_t)n, &h->address))
		fail(h, ERR_NO_NODE, "%s: no such node, and %s's resolver knows no such name",
		     h->to, h->from);
	else
		begin(h);
}

static void resolve(struct held *h)
{
	uint8_t query[512];
	struct addr resolver;
	int n = res_mkquery(ns_o_query, h->to, ns_c_in, ns_t_a, NULL, 0, NULL, query,
			    sizeof(query));

	h->state = RESOLVE;
	if (n < 0 || addr_parse(VIEW_RESOLVER, &resolver) < 0) {
		fail(h, ERR_INVALID_PARAMETER, "%s: neither a node nor a name", h->to);
		return;
	}
	h->fd = open_socket(h, IPPROTO_UDP);
	if (h->fd < 0 || connect_to(h->fd, &resolver, 53) < 0 ||
	    send(h->fd, query, (size_t)n, MSG_NOSIGNAL) < 0)
		fail(h, ERR_NO_NODE, "%s: %s has no way to its resolver", h->to, h->from);
	else
		await(h, LOOP_READ, on_name, RESOLVE_MS, on_name_late);
}

static void place_known(struct held *h)
{
	if (addr_is_set(&h->address))
		begin(h);
	else
		resolve(h);
}

/* ---- a function's place ---- */

static void on_place(struct httpc_answer *a, void *arg)
{
	struct held *h = arg;
	auto_json cJSON *o = a->status == 200 ? json_parse(a->body, a->size, NULL) : NULL;

	h->asking = false;
	if (o) {
		h->ns = strdup(json_str(o, "namespace", ""));
		h->attachment = strdup(json_str(o, "attachment", ""));
	}
	if (h->dead)
		held_free(h);
	else if (!h->ns || !h->attachment)
		fail(h, ERR_UNAVAILABLE, "%s: no place: netd: %.150s", h->from,
		     a->status ? a->body : a->error);
	else
		place_known(h);
}

static void ask_place(struct held *h, const char *function, const char *subnet)
{
	auto_json cJSON *o = cJSON_CreateObject();
	auto_free char *text = NULL, *path = NULL;
	char token[40], id[33];
	int r = -ENOMEM;

	sandboxd_random_id(id);
	(void)snprintf(token, sizeof(token), "held-%s", id);
	add_text(o, "function", function);
	add_text(o, "subnet", subnet);
	add_text(o, "token", token);
	text = json_print(o);
	if (asprintf(&path, "/v1/labs/%s/attachments", h->slab->name) < 0)
		path = NULL;
	if (text && path)
		r = httpc_start(h->sd->httpc, h->sd->netd, "POST", path, NULL, text, strlen(text),
				NETD_MS, on_place, h);
	if (r < 0)
		fail(h, ERR_UNAVAILABLE, "%s: no place: %s", h->from, strerror(-r));
	else
		h->asking = true;
}

/* ---- requests ---- */

static int find_target(struct held *h, struct err *e)
{
	const struct lab *lab = h->slab->lab;
	const struct instance *i = lab_instance(lab, h->to);
	const struct host *host = lab_host(lab, h->to);
	const cJSON *o = i ? slab_node(h->slab, h->to) : NULL;
	const char *private_ip = json_str(o, "private_ip", "");

	if (lab_function(lab, h->to))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "nobody opens a connection to the function %s", h->to);
	if (host)
		h->address = host->ip;
	else if (i && addr_parse(lab_host(lab, h->from) ? json_str(o, "public_ip", private_ip) :
							  private_ip,
				 &h->address) < 0)
		return err_set(e, ERR_STATE, EINVAL, "%s has no address", h->to);
	else if (!i && addr_parse(h->to, &h->address) < 0)
		h->address = (struct addr){ 0 }; /* a name, then */
	return 0;
}

/* where it starts from: "ret_function" is set if that is a place to be asked for */
static int find_source(struct held *h, const struct function **ret_function,
		       const char **ret_subnet, struct err *e)
{
	const struct lab *lab = h->slab->lab;
	const char *at = strchr(h->from, '@');
	auto_free char *name = strndup(h->from, strcspn(h->from, "@"));
	const struct function *f = name ? lab_function(lab, name) : NULL;

	*ret_function = f;
	*ret_subnet = NULL;
	if (f && at) {
		for (size_t i = 0; i < f->n_subnets; i++)
			if (!strcmp(f->subnets[i]->name, at + 1))
				*ret_subnet = f->subnets[i]->name;
		return *ret_subnet ? 0 :
				     err_set(e, ERR_NO_NODE, ENOENT, "%s isn't in a subnet %s",
					     f->name, at + 1);
	}
	if (f && f->n_subnets > 1)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "%s has several interfaces: FUNCTION@SUBNET", f->name);
	if (f || !instances_programs(lab, h->from))
		return f ? 0 :
			   err_set(e, ERR_NO_NODE, ENOENT, "lab %s has no node %s", h->slab->name,
				   h->from);
	h->ns = strdup(json_str(slab_node(h->slab, h->from), "namespace", ""));
	return h->ns ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

static int read_timeout(const cJSON *o, double *ret, struct err *e)
{
	*ret = json_num(o, "timeout", TIMEOUT_MS / 1000.0) * 1000;
	return *ret > 0 && *ret <= TIMEOUT_MAX_MS ?
		       0 :
		       err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "timeout: seconds above 0, up to %d", TIMEOUT_MAX_MS / 1000);
}

static bool is_name(const char *s)
{
	return *s && strlen(s) < NAME_SIZE && *s != '-' && *s != '_' &&
	       !s[strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")];
}

static int read_open(struct held *h, const cJSON *o, struct err *e)
{
	const char *name = json_str(o, "connection", ""), *port = json_str(o, "port", "");

	h->from = strdup(json_str(o, "from", ""));
	h->to = strdup(json_str(o, "to", ""));
	if (!h->from || !h->to)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (!is_name(name))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "connection %.40s: letters, digits, _ and -, at most %d", name,
			       NAME_SIZE - 1);
	if (find(h->slab, name))
		return err_set(e, ERR_BUSY, EEXIST, "the connection %s is open already", name);
	(void)snprintf(h->name, sizeof(h->name), "%s", name);
	(void)snprintf(h->port_text, sizeof(h->port_text), "%.20s", port);
	if (port_parse(port, &h->port) < 0 || h->port.proto == IPPROTO_ICMP)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "port %.40s: tcp/N or udp/N",
			       port);
	if (!*h->from || !*h->to)
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL, "from and to are required");
	return read_timeout(o, &h->timeout_ms, e);
}

static int watch_owner(struct held *h, struct err *e)
{
	pid_t pid;
	uid_t uid;

	if (http_peer(h->req, &pid, &uid) < 0 || pid <= 0)
		return err_set(e, ERR_DENIED, EPERM, "who asks isn't known");
	h->owner_fd = proc_open(pid);
	if (h->owner_fd < 0)
		return err_set(e, ERR_CANCELLED, -h->owner_fd, "who asks is gone");
	h->owner = loop_fd(h->sd->loop, h->owner_fd, LOOP_READ, on_owner, h);
	return h->owner ? 0 : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
}

static struct held *held_new(struct sandboxd *sd, struct slab *l, struct http_req *r)
{
	struct held *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->sd = sd;
	h->slab = l;
	h->req = r;
	h->fd = h->owner_fd = -1;
	h->began = mono_now();
	LIST_INSERT_HEAD(&all, h, link);
	n_all++;
	l->n_users++;
	return h;
}

/* NULL: answered */
static struct slab *lab_of(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	struct slab *l = slab_find(sd, lab);

	if (l && l->lab && l->show && !l->going)
		return l;
	reply_fail(r, ERR_NO_LAB, "there is no lab %s", lab);
	return NULL;
}

void held_open(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	struct slab *l = lab_of(sd, r, lab);
	const struct function *f = NULL;
	const char *subnet = NULL;
	struct err e = { 0 };
	size_t size;
	const char *body = http_body(r, &size);
	auto_json cJSON *o = json_parse(body, size, NULL);
	struct held *h;

	if (!l)
		return;
	if (n_all >= LIMIT_HELD) {
		reply_fail(r, ERR_LIMIT, "%d connections are held already", LIMIT_HELD);
		return;
	}
	h = held_new(sd, l, r);
	if (!h)
		reply_fail(r, ERR_INTERNAL, "out of memory");
	else if (read_open(h, o, &e) < 0 || watch_owner(h, &e) < 0 || find_target(h, &e) < 0 ||
		 find_source(h, &f, &subnet, &e) < 0)
		fail(h, e.code, "%s", e.msg);
	else if (f)
		ask_place(h, f->name, subnet);
	else
		place_known(h);
}

/* NULL: answered */
static struct held *held_of(struct sandboxd *sd, struct http_req *r, const char *lab,
			    const char *name)
{
	struct slab *l = lab_of(sd, r, lab);
	struct held *h = l ? find(l, name) : NULL;

	if (l && !h)
		reply_fail(r, ERR_NO_OBJECT, "lab %s holds no connection %s", lab, name);
	return h;
}

void held_check(struct sandboxd *sd, struct http_req *r, const char *lab, const char *name)
{
	struct held *h = held_of(sd, r, lab, name);
	struct err e = { 0 };
	size_t size;
	const char *body = http_body(r, &size);
	auto_json cJSON *o = json_parse(body, size, NULL);

	if (!h)
		return;
	if (h->req) {
		reply_fail(r, ERR_BUSY, "the connection %s is being asked already", name);
		return;
	}
	if (read_timeout(o, &h->timeout_ms, &e) < 0) {
		http_reply_err(r, &e);
		return;
	}
	h->req = r;
	ask(h);
}

void held_list(struct sandboxd *sd, struct http_req *r, const char *lab)
{
	struct slab *l = lab_of(sd, r, lab);
	const struct held *h;
	cJSON *list;

	if (!l)
		return;
	list = cJSON_CreateArray();
	LIST_FOREACH(h, &all, link)
		if (h->slab == l && !h->dead)
			cJSON_AddItemToArray(list, held_json(h));
	http_reply_json(r, 200, list);
}

void held_close(struct sandboxd *sd, struct http_req *r, const char *lab, const char *name)
{
	struct held *h = held_of(sd, r, lab, name);

	if (!h)
		return;
	fail(h, ERR_CANCELLED, "the connection is being closed");
	http_reply_json(r, 200, cJSON_CreateObject());
}
