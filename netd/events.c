/* SPDX-License-Identifier: MIT */
/*
 * events - the ring and its long polls (events.h).
 *
 * A poll is answered by the event that it waits for in the same call, so no
 * event is missed between two polls of a client that passes on Vpclab-Seq.
 */
#include "netd/events.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "lib/buf.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "netd/netd.h"

struct entry {
	uint64_t seq;
	char *lab;  /* owns; NULL: none */
	char *line; /* owns; NULL: it found no memory */
};

struct poll {
	LIST_ENTRY(poll) link;
	struct events *of;
	struct http_req *req;
	uint64_t after;
	char *lab; /* owns; NULL: all */
	struct loop_event *timer;
};

struct events {
	struct loop *loop;
	struct entry *ring; /* owns "max"; seq % max */
	size_t max;
	uint64_t last, before; /* "before": of an earlier daemon up to that one */
	LIST_HEAD(, poll) polls;
	size_t n_polls;
};

static bool of_lab(const struct entry *n, const char *lab)
{
	return n->line && (!lab || (n->lab && strcmp(n->lab, lab) == 0));
}

static uint64_t first_kept(const struct events *v)
{
	return v->last - v->before >= v->max ? v->last - v->max + 1 : v->before + 1;
}

/* up to which number they are */
static uint64_t lines_after(const struct events *v, uint64_t after, const char *lab, struct buf *b)
{
	uint64_t first = first_kept(v), seq;

	for (seq = after + 1 > first ? after + 1 : first; seq <= v->last; seq++) {
		if (of_lab(&v->ring[seq % v->max], lab))
			buf_adds(b, v->ring[seq % v->max].line);
		if (b->len >= EVENTS_REPLY_MAX && !MUTANT("events-reply"))
			return seq;
	}
	return v->last;
}

static void add_number(struct http_req *r, const char *name, uint64_t n)
{
	char text[32];

	snprintf(text, sizeof(text), "%" PRIu64, n);
	http_add_header(r, name, text);
}

static void reply(const struct events *v, struct http_req *r, uint64_t after, const char *lab)
{
	auto_buf struct buf b = BUF_INIT;

	add_number(r, "Vpclab-Seq", lines_after(v, after, lab, &b));
	/* who begins at 0 asks for what there is */
	if (after && after >= v->before && first_kept(v) > after + 1 && !MUTANT("events-lost"))
		add_number(r, "Vpclab-Lost", first_kept(v) - after - 1);
	http_reply(r, 200, "application/x-ndjson", buf_str(&b), b.len);
}

static void poll_end(struct poll *p)
{
	LIST_REMOVE(p, link);
	p->of->n_polls--;
	loop_event_free(p->timer);
	reply(p->of, p->req, p->after, p->lab);
	free(p->lab);
	free(p);
}

static void poll_expired(void *arg)
{
	struct poll *p = arg;

	p->timer = loop_event_free(p->timer);
	poll_end(p);
}

static void poll_gone(struct http_req *r, void *arg)
{
	(void)r;
	poll_end(arg);
}

static void wake(struct events *v, const struct entry *n)
{
	struct poll *p, *next;

	for (p = LIST_FIRST(&v->polls); p; p = next) {
		next = LIST_NEXT(p, link);
		if (of_lab(n, p->lab))
			poll_end(p);
	}
}

static char *line_make(uint64_t seq, const char *const member[][2], size_t n)
{
	struct buf b = BUF_INIT;
	size_t i;

	buf_printf(&b, "{\"seq\":%" PRIu64 ",\"time\":%" PRId64, seq, wall_ms());
	for (i = 0; i < n; i++) {
		buf_printf(&b, ",\"%s\":", member[i][0]);
		buf_json(&b, member[i][1]);
	}
	buf_adds(&b, "}\n");
	return buf_steal(&b);
}

void events_add(struct events *v, const char *lab, const char *event, const char *kind,
		const char *name, const char *id, const char *detail)
{
	const char *const member[][2] = {
		{ "lab", lab },	  { "event", event },
		{ "kind", kind }, { "name", name },
		{ "id", id },	  { "detail", detail && *detail ? detail : NULL },
	};
	uint64_t seq = ++v->last;
	struct entry *n = &v->ring[seq % v->max];

	free(n->lab);
	free(n->line);
	n->seq = seq;
	n->lab = lab ? strdup(lab) : NULL;
	n->line = lab && !n->lab ? NULL : line_make(seq, member, ARRAY_SIZE(member));
	if (n->line)
		wake(v, n);
}

void events_addf(struct events *v, const char *lab, const char *event, const char *kind,
		 const char *name, const char *id, const char *fmt, ...)
{
	char detail[1000];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(detail, sizeof(detail), fmt, ap);
	va_end(ap);
	events_add(v, lab, event, kind, name, id, detail);
}

int events_poll(struct events *v, struct http_req *r, uint64_t after, const char *lab,
		int64_t wait_ms, struct err *e)
{
	auto_buf struct buf b = BUF_INIT;
	struct poll *p;

	if (after > v->last) /* numbers of an earlier daemon: all here is news */
		after = 0;
	if (lines_after(v, after, lab, &b) != v->last || b.len > 0 || wait_ms <= 0) {
		reply(v, r, after, lab);
		return 0;
	}
	if (v->n_polls >= NETD_POLLS_MAX)
		return err_set(e, ERR_LIMIT, EMFILE, "%d clients wait for events already",
			       NETD_POLLS_MAX);
	p = calloc(1, sizeof(*p));
	if (p) {
		p->lab = lab ? strdup(lab) : NULL;
		p->timer = loop_timer(v->loop, wait_ms, poll_expired, p);
	}
	if (!p || !p->timer || (lab && !p->lab)) {
		if (p) {
			loop_event_free(p->timer);
			free(p->lab);
			free(p);
		}
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	p->of = v;
	p->req = r;
	p->after = after;
	LIST_INSERT_HEAD(&v->polls, p, link);
	v->n_polls++;
	http_on_gone(r, poll_gone, p);
	return 0;
}

struct events *events_new(struct loop *l, size_t max, uint64_t last)
{
	struct events *v = calloc(1, sizeof(*v));

	if (!v)
		return NULL;
	v->loop = l;
	v->max = max;
	v->last = v->before = last;
	v->ring = calloc(max, sizeof(*v->ring));
	return v->ring ? v : events_free(v);
}

uint64_t events_last(const struct events *v)
{
	return v->last;
}

struct events *events_free(struct events *v)
{
	size_t i;

	if (!v)
		return NULL;
	while (!LIST_EMPTY(&v->polls))
		poll_end(LIST_FIRST(&v->polls));
	for (i = 0; v->ring && i < v->max; i++) {
		free(v->ring[i].lab);
		free(v->ring[i].line);
	}
	free(v->ring);
	free(v);
	return NULL;
}
