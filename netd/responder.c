/* SPDX-License-Identifier: MIT */
/*
 * responder - the table of sockets and views, and the door by which netd fills
 * it (responder.h).
 *
 * Each message is one operation, done whole or refused, and answered before the
 * next is read.  Views and the answer of "list" travel as text in a memfd,
 * because they can be larger than a message.
 */
#include "netd/responder.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/buf.h"
#include "lib/json.h"
#include "lib/log.h"
#include "lib/proc.h"
#include "lib/sock.h"
#include "lib/util.h"

struct client {
	LIST_ENTRY(client) link;
	struct responder *of;
	int fd;
	struct loop_event *ev;
};

struct responder {
	struct loop *loop;
	int listen_fd;
	struct loop_event *ev;
	struct server *server;
	LIST_HEAD(, client) clients;
	size_t n_clients;
	LIST_HEAD(, answerer) answerers;
	LIST_HEAD(, view) views;
	void *by_key;  /* tsearch() tree over the answerers */
	char *message; /* owns RESPONDER_MESSAGE_MAX */
};

/* descriptors of the message in hand; what is taken becomes -1 */
struct fds {
	int v[RESPONDER_FDS_MAX + 1];
	size_t n;
};

static void fds_close(struct fds *f)
{
	size_t i;

	for (i = 0; i < f->n; i++)
		if (f->v[i] >= 0)
			close(f->v[i]);
}

/* ---- the table ---- */

static int answerer_cmp(const void *va, const void *vb)
{
	const struct answerer *a = va, *b = vb;
	int d = strcmp(a->lab, b->lab);

	return d ? d : strcmp(a->key, b->key);
}

static struct answerer *answerer_find(struct responder *r, const char *lab, const char *key)
{
	const struct answerer want = { .lab = (char *)lab, .key = (char *)key };
	void *at = tfind(&want, &r->by_key, answerer_cmp);

	return at ? *(struct answerer **)at : NULL;
}

/* one that isn't in the table */
static struct answerer *answerer_free(struct answerer *a)
{
	if (!a)
		return NULL;
	if (a->server)
		server_stop(a);
	if (a->fd >= 0)
		close(a->fd);
	free(a->lab);
	free(a->key);
	free(a->node);
	free(a);
	return NULL;
}

static void answerer_drop(struct responder *r, struct answerer *a)
{
	tdelete(a, &r->by_key, answerer_cmp);
	LIST_REMOVE(a, link);
	answerer_free(a);
}

static struct view *view_get(struct responder *r, const char *lab, const char *name)
{
	struct view *v;

	LIST_FOREACH(v, &r->views, link)
		if (strcmp(v->lab, lab) == 0 && strcmp(v->name, name) == 0)
			return v;
	v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->lab = strdup(lab);
	v->name = strdup(name);
	if (!v->lab || !v->name) {
		free(v->lab);
		free(v->name);
		free(v);
		return NULL;
	}
	LIST_INSERT_HEAD(&r->views, v, link);
	return v;
}

static void view_drop(struct view *v)
{
	LIST_REMOVE(v, link);
	zone_free(v->zone);
	free(v->lab);
	free(v->name);
	free(v);
}

/* ---- operations: NULL, or what is wrong ---- */

static char *quoted(const char *s)
{
	struct buf b = BUF_INIT;

	buf_json(&b, s);
	return buf_steal(&b);
}

static const char *answerer_make(struct responder *r, const char *lab, const cJSON *o, int *fd,
				 struct answerer **ret)
{
	const char *kind = json_str(o, "kind", ""), *proto = json_str(o, "proto", "");
	const char *key = json_str(o, "key", NULL);
	struct answerer *a;

	if (!key || (strcmp(proto, "tcp") != 0 && strcmp(proto, "udp") != 0))
		return "a socket needs key and proto";
	a = calloc(1, sizeof(*a));
	if (!a)
		return "out of memory";
	a->fd = -1;
	a->stream = strcmp(proto, "tcp") == 0;
	a->kind = strcmp(kind, "http") == 0 ? ANSWER_HTTP :
		  strcmp(kind, "dns") == 0  ? ANSWER_DNS :
					      ANSWER_SERVE;
	a->lab = strdup(lab);
	a->key = strdup(key);
	if (a->kind == ANSWER_DNS)
		a->view = view_get(r, lab, json_str(o, "view", ""));
	else
		a->node = quoted(json_str(o, "node", ""));
	if (!a->lab || !a->key || (!a->view && !a->node)) {
		answerer_free(a);
		return "out of memory";
	}
	a->fd = steal_fd(fd);
	*ret = a;
	return NULL;
}

static const char *add_one(struct responder *r, const char *lab, const cJSON *o, int *fd)
{
	struct answerer *a, *old;
	const char *why = answerer_make(r, lab, o, fd, &a);

	if (why)
		return why;
	old = answerer_find(r, a->lab, a->key);
	if (old)
		answerer_drop(r, old);
	if (server_start(r->server, a) < 0 || !tsearch(a, &r->by_key, answerer_cmp)) {
		answerer_free(a);
		return "out of memory";
	}
	LIST_INSERT_HEAD(&r->answerers, a, link);
	return NULL;
}

static const char *op_add(struct responder *r, const cJSON *m, struct fds *f)
{
	const char *lab = json_str(m, "lab", NULL);
	const cJSON *socks = json_get(m, "socks"), *at;
	size_t i = 0;

	if (!lab || !cJSON_IsArray(socks) || (size_t)cJSON_GetArraySize(socks) != f->n)
		return "add needs lab, and socks with a descriptor each";
	cJSON_ArrayForEach(at, socks) {
		const char *why = add_one(r, lab, at, &f->v[i++]);

		if (why)
			return why;
	}
	return NULL;
}

static const char *op_del(struct responder *r, const cJSON *m, struct fds *f)
{
	const char *lab = json_str(m, "lab", NULL);
	const cJSON *at;

	(void)f;
	if (!lab)
		return "del needs lab";
	cJSON_ArrayForEach(at, json_get(m, "keys")) {
		struct answerer *a =
			cJSON_IsString(at) ? answerer_find(r, lab, at->valuestring) : NULL;

		if (a)
			answerer_drop(r, a);
	}
	return NULL;
}

static const char *op_dels(struct responder *r, const cJSON *m, struct fds *f)
{
	const char *lab = json_str(m, "lab", NULL);
	struct answerer *a, *next_a;
	struct view *v, *next_v;

	(void)f;
	if (!lab)
		return "dels needs lab";
	for (a = LIST_FIRST(&r->answerers); a; a = next_a) {
		next_a = LIST_NEXT(a, link);
		if (strcmp(a->lab, lab) == 0)
			answerer_drop(r, a);
	}
	for (v = LIST_FIRST(&r->views); v; v = next_v) {
		next_v = LIST_NEXT(v, link);
		if (strcmp(v->lab, lab) == 0)
			view_drop(v);
	}
	return NULL;
}

static const char *op_view(struct responder *r, const cJSON *m, struct fds *f)
{
	const char *lab = json_str(m, "lab", NULL), *name = json_str(m, "view", NULL);
	auto_free char *text = NULL;
	struct zone *z;
	struct view *v;
	size_t size;

	if (!lab || !name || f->n != 1)
		return "view needs lab, view and the zone's text as a descriptor";
	if (lseek(f->v[0], 0, SEEK_SET) < 0 ||
	    read_fd(f->v[0], RESPONDER_ZONE_MAX, &text, &size) < 0)
		return "the zone's text can't be read";
	z = zone_parse(text, size);
	if (!z)
		return "not a zone, or too many names";
	v = view_get(r, lab, name);
	if (!v) {
		zone_free(z);
		return "out of memory";
	}
	zone_free(v->zone);
	v->zone = z;
	return NULL;
}

/* {LAB:[KEY]} in a memfd; fd or -errno */
static int list_make(const struct responder *r)
{
	auto_json cJSON *labs = cJSON_CreateObject();
	auto_free char *text = NULL;
	const struct answerer *a;

	LIST_FOREACH(a, &r->answerers, link) {
		cJSON *keys = cJSON_GetObjectItemCaseSensitive(labs, a->lab);

		if (!keys)
			keys = cJSON_AddArrayToObject(labs, a->lab);
		if (!keys || !cJSON_AddItemToArray(keys, cJSON_CreateString(a->key)))
			return -ENOMEM;
	}
	text = labs ? json_print(labs) : NULL;
	return text ? proc_memfd("sockets", text, strlen(text)) : -ENOMEM;
}

/* ---- the door ---- */

static void client_free(struct client *c)
{
	LIST_REMOVE(c, link);
	c->of->n_clients--;
	loop_event_free(c->ev);
	close(c->fd);
	free(c);
}

/* false: the client can't be answered */
static bool client_answer(struct client *c, const char *why, int fd)
{
	struct buf b = BUF_INIT;
	ssize_t n = -1;

	if (why) {
		buf_adds(&b, "{\"error\":");
		buf_json(&b, why);
		buf_adds(&b, "}");
	} else {
		buf_printf(&b, "{\"ok\":true,\"pid\":%d,\"version\":\"%s\"}", (int)getpid(),
			   VERSION);
	}
	if (!buf_error(&b))
		n = sock_send_fds(c->fd, b.s, b.len, &fd, fd >= 0 ? 1 : 0);
	buf_done(&b);
	return n >= 0;
}

static bool client_message(struct client *c, size_t size, struct fds *f)
{
	static const struct {
		const char *op;
		const char *(*fn)(struct responder *r, const cJSON *m, struct fds *f);
	} ops[] = {
		{ "add", op_add },
		{ "del", op_del },
		{ "dels", op_dels },
		{ "view", op_view },
	};
	auto_json cJSON *m = json_parse(c->of->message, size, NULL);
	const char *op = json_str(m, "op", "");
	size_t i;

	if (strcmp(op, "list") == 0) {
		auto_close int fd = list_make(c->of);

		return client_answer(c, fd < 0 ? "out of memory" : NULL, fd);
	}
	for (i = 0; i < ARRAY_SIZE(ops); i++)
		if (strcmp(op, ops[i].op) == 0)
			return client_answer(c, ops[i].fn(c->of, m, f), -1);
	return client_answer(c, "no such operation", -1);
}

static void client_ready(int fd, unsigned what, void *arg)
{
	struct client *c = arg;
	struct fds f = { .n = ARRAY_SIZE(f.v) };
	ssize_t n;
	bool ok;

	(void)what;
	n = sock_recv_fds(fd, c->of->message, RESPONDER_MESSAGE_MAX, f.v, &f.n);
	if (n == -EAGAIN || n == -EINTR)
		return;
	if (n <= 0) {
		client_free(c);
		return;
	}
	ok = client_message(c, (size_t)n, &f);
	fds_close(&f);
	if (!ok)
		client_free(c);
}

static void door_ready(int fd, unsigned what, void *arg)
{
	struct responder *r = arg;
	auto_close int got = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct client *c;
	uid_t uid;

	(void)what;
	if (got < 0)
		return;
	if (sock_peer(got, NULL, &uid) < 0 || uid != 0 || r->n_clients >= RESPONDER_CLIENTS_MAX) {
		log_warn("ignoring a client of uid %u", (unsigned)uid);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return;
	c->of = r;
	c->ev = loop_fd(r->loop, got, LOOP_READ, client_ready, c);
	if (!c->ev) {
		free(c);
		return;
	}
	c->fd = steal_fd(&got);
	r->n_clients++;
	LIST_INSERT_HEAD(&r->clients, c, link);
	/* netd has written down who we are: from here on we outlive it (responder_main.c) */
	(void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
}

struct responder *responder_new(struct loop *l, int listen_fd)
{
	struct responder *r = calloc(1, sizeof(*r));

	if (!r) {
		close(listen_fd);
		return NULL;
	}
	r->loop = l;
	r->listen_fd = listen_fd;
	r->server = server_new(l);
	r->message = malloc(RESPONDER_MESSAGE_MAX);
	r->ev = loop_fd(l, listen_fd, LOOP_READ, door_ready, r);
	if (!r->server || !r->message || !r->ev)
		return responder_free(r);
	return r;
}

struct responder *responder_free(struct responder *r)
{
	if (!r)
		return NULL;
	while (!LIST_EMPTY(&r->clients))
		client_free(LIST_FIRST(&r->clients));
	while (!LIST_EMPTY(&r->answerers))
		answerer_drop(r, LIST_FIRST(&r->answerers));
	while (!LIST_EMPTY(&r->views))
		view_drop(LIST_FIRST(&r->views));
	loop_event_free(r->ev);
	close(r->listen_fd);
	server_free(r->server);
	free(r->message);
	free(r);
	return NULL;
}
