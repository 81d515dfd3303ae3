/* SPDX-License-Identifier: MIT */
/*
 * flows - see flows.h.
 *
 * A reader a router with logs (flow_read.c).  A log that is to be closed waits for a
 * drain that begins after it was asked ("asked" becomes "draining"), takes its table out,
 * and is written by the log's writer, a slice at a time, one table after the other.
 */
#include "netd/flows.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/nft.h"
#include "lib/util.h"
#include "netd/flow_line.h"
#include "netd/flow_read.h"
#include "netd/flow_table.h"

#define POLL_MS 30000	 /* a set has that long to fill */
#define SLICE_LINES 1000 /* between two turns of the loop */
#define MARK ".flows"	 /* of the lab's folder: "1" while something is read and not written */

/* an interval that is over, to be written */
struct page {
	TAILQ_ENTRY(page) link;
	struct flow_table table;
	int64_t start_ms, end_ms;
	uint64_t number;
	size_t at; /* records written; then interfaces */
};

struct log {
	LIST_ENTRY(log) link;
	struct flows *of;
	char *id, *name;	   /* own; name: VPC/L */
	struct s_flow_log *object; /* of the lab's store; NULL: it is no more */
	struct flow_format format; /* as it was made, FL-1 */
	char *path;		   /* owns; NULL: no file */
	char *region;		   /* owns */
	struct flow_table table;
	int64_t start_ms;
	int64_t interval_ms; /* real time */
	struct mono due;
	struct loop_event *timer;
	bool asked, draining;
	uint64_t next, closed; /* number of the page that is made next, that was written last */
	TAILQ_HEAD(, page) pages;
	struct loop_event *writer;
	double lines;
};

struct reader {
	LIST_ENTRY(reader) link;
	struct flows *of;
	char *ns, *vpc; /* own */
	struct flow_read *read;
	struct loop_event *poll;
	bool again;
	int64_t before_ms, begun_ms; /* the drain before, this one; wall clock */
};

struct line {
	uint64_t seq;
	char *log, *text; /* own */
};

struct waiter {
	LIST_ENTRY(waiter) link;
	struct flows *of;
	struct http_req *req;
	char *log; /* owns; NULL: all */
	uint64_t after;
	int64_t wait_ms;
	bool closing; /* until all of "pages" are written */
	struct want {
		struct log *log;
		uint64_t number;
	} * wants; /* owns */
	size_t n_wants;
	struct loop_event *timer;
};

struct flows {
	struct netlab *lab;
	LIST_HEAD(, log) logs;
	LIST_HEAD(, reader) readers;
	LIST_HEAD(, waiter) waiters;
	size_t n_waiters;
	struct flow_eni **enis; /* own; sorted by link */
	size_t n_enis;
	struct line *ring; /* owns; seq % FLOW_LINES_MAX, as far as it has come */
	size_t cap_ring;
	uint64_t last;
	int mark_fd;
	char mark;
	bool skip_all; /* what a daemon before this one had read is lost */
};

static void reader_start(struct reader *r);
static void log_write(void *arg);

/* ---- the lab's folder ---- */

static char *folder_of(const struct netlab *l)
{
	char *path;

	return asprintf(&path, "%s/%s/%s", l->netd->dir.state, RUNDIR_LABS, l->name) < 0 ? NULL :
											   path;
}

static void mark_open(struct flows *f, bool adopted)
{
	auto_free char *folder = folder_of(f->lab), *path = NULL;
	struct stat st;
	char was = '0';

	f->mark_fd = -1;
	f->mark = '0';
	if (!folder || asprintf(&path, "%s/%s", folder, MARK) < 0) {
		path = NULL;
		return;
	}
	if (mkdir_p(folder, 0700) < 0 ||
	    (f->mark_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600)) < 0) {
		log_warn("lab=%s %s: %s", f->lab->name, path, strerror(errno));
		return;
	}
	if (adopted && fstat(f->mark_fd, &st) == 0 && pread(f->mark_fd, &was, 1, 0) == 1)
		f->skip_all = was == '1' ||
			      wall_ms() - (int64_t)st.st_mtim.tv_sec * 1000 > FLOW_IDLE_S * 1000;
}

/* also says when something was read last */
static void mark_set(struct flows *f, bool unwritten)
{
	f->mark = unwritten ? '1' : '0';
	if (f->mark_fd >= 0 && pwrite(f->mark_fd, &f->mark, 1, 0) != 1)
		log_warn("lab=%s %s: %s", f->lab->name, MARK, strerror(errno));
}

static bool has_unwritten(const struct flows *f)
{
	const struct log *l;

	LIST_FOREACH(l, &f->logs, link)
		if (l->table.n > 0 || !TAILQ_EMPTY(&l->pages))
			return true;
	return false;
}

/* ---- lines ---- */

static void ring_add(struct flows *f, const char *log, const char *text)
{
	uint64_t seq = f->last + 1;
	struct line *at;

	if (f->cap_ring < FLOW_LINES_MAX && seq >= f->cap_ring) {
		size_t cap = f->cap_ring ? 2 * f->cap_ring : 1024;
		struct line *v;

		if (cap > FLOW_LINES_MAX)
			cap = FLOW_LINES_MAX;
		v = reallocarray(f->ring, cap, sizeof(*v));
		if (!v)
			return;
		memset(v + f->cap_ring, 0, (cap - f->cap_ring) * sizeof(*v));
		f->ring = v;
		f->cap_ring = cap;
	}
	at = &f->ring[seq % f->cap_ring];
	free(at->log);
	free(at->text);
	*at = (struct line){ seq, strdup(log), strdup(text) };
	if (!at->log || !at->text)
		at->seq = 0; /* lost, its number isn't */
	f->last = seq;
}

static void file_rotate(const char *path)
{
	auto_free char *old = NULL;
	struct stat st;

	if (stat(path, &st) < 0 || st.st_size < FLOW_FILE_MAX)
		return;
	if (asprintf(&old, "%s.1", path) < 0)
		old = NULL;
	else if (rename(path, old) < 0)
		log_warn("%s: %s", path, strerror(errno));
}

static void file_add(const struct log *l, const struct buf *b)
{
	auto_close int fd = -1;
	int r;

	if (!l->path || !b->len)
		return;
	file_rotate(l->path);
	fd = open(l->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	r = fd < 0 ? -errno : write_all(fd, buf_str(b), b->len);
	if (r < 0)
		log_warn("lab=%s %s: %s", l->of->lab->name, l->path, strerror(-r));
}

static void line_add(struct log *l, const struct flow_line *x, struct buf *b)
{
	size_t at = b->len;

	flow_line_print(x, b);
	if (buf_error(b))
		return;
	ring_add(l->of, l->name, buf_str(b) + at);
	buf_adds(b, "\n");
	l->lines++;
}

/* NODATA and SKIPDATA are of an interface (FL-10) */
static void status_add(struct log *l, const struct page *p, const struct flow_eni *eni,
		       struct buf *b)
{
	const struct flow_seen *s = flow_table_seen(&p->table, eni);
	bool skipped = p->table.skipped || (s && s->skipped);
	struct flow_line x = { .format = &l->format,
			       .region = l->region,
			       .eni = eni,
			       .status = skipped ? "SKIPDATA" : "NODATA",
			       .start_ms = p->start_ms,
			       .end_ms = p->end_ms };

	if ((skipped && !MUTANT("flow-skipdata")) || (!(s && s->data) && !MUTANT("flow-nodata")))
		line_add(l, &x, b);
}

static const struct flow_eni *eni_find(const struct flows *f, const char *link)
{
	size_t from = 0, to = f->n_enis;

	while (from < to) {
		size_t at = (from + to) / 2;
		int r = strcmp(link, f->enis[at]->link);

		if (r == 0)
			return f->enis[at];
		if (r < 0)
			to = at;
		else
			from = at + 1;
	}
	return NULL;
}

static void statuses_add(struct log *l, const struct page *p, struct buf *b)
{
	const struct store *s = l->of->lab->store;
	size_t i;

	for (i = 0; s && l->object && i < l->object->vpc->n_enis; i++) {
		const struct s_eni *e = l->object->vpc->enis[i];
		const struct flow_eni *eni = eni_find(l->of, e->router_interface);

		if (eni && store_flow_log_covers(s, l->object, e))
			status_add(l, p, eni, b);
	}
}

/* some of a page; false: that was all of it */
static bool page_write(struct log *l, struct page *p, size_t most)
{
	auto_buf struct buf b = BUF_INIT;
	size_t end = p->table.n - p->at > most ? p->at + most : p->table.n;

	for (; p->at < end; p->at++) {
		const struct flow_count *c = &p->table.v[p->at];
		struct flow_line x = { .format = &l->format,
				       .region = l->region,
				       .eni = c->eni,
				       .count = c,
				       .status = "OK",
				       .start_ms = c->first_ms,
				       .end_ms = c->last_ms };

		line_add(l, &x, &b);
	}
	if (p->at == p->table.n)
		statuses_add(l, p, &b);
	file_add(l, &b);
	return p->at < p->table.n;
}

static void page_free(struct log *l, struct page *p)
{
	TAILQ_REMOVE(&l->pages, p, link);
	flow_table_done(&p->table);
	free(p);
}

/* ---- who waits ---- */

static struct waiter *waiter_free(struct waiter *w)
{
	if (!w)
		return NULL;
	loop_event_free(w->timer);
	free(w->wants);
	free(w->log);
	free(w);
	return NULL;
}

static bool is_of(const char *log, const struct line *n)
{
	return n->seq && (!log || strcmp(log, n->log) == 0);
}

static uint64_t first_after(const struct flows *f, uint64_t after)
{
	uint64_t first = f->last >= f->cap_ring ? f->last - f->cap_ring + 1 : 1;

	return after + 1 > first ? after + 1 : first;
}

static bool has_lines(const struct flows *f, const char *log, uint64_t after)
{
	uint64_t seq;

	for (seq = first_after(f, after); f->cap_ring && seq <= f->last; seq++)
		if (is_of(log, &f->ring[seq % f->cap_ring]))
			return true;
	return false;
}

static bool add_formats(const struct flows *f, cJSON *o)
{
	const struct log *l;
	size_t i;

	LIST_FOREACH(l, &f->logs, link) {
		cJSON *x = cJSON_AddObjectToObject(o, l->name);
		cJSON *list = x ? cJSON_AddArrayToObject(x, "fields") : NULL;

		if (!list)
			return false;
		for (i = 0; i < l->format.n_fields; i++) {
			cJSON *s = cJSON_CreateString(flow_field_name(l->format.fields[i]));

			if (!s || !cJSON_AddItemToArray(list, s)) {
				cJSON_Delete(s);
				return false;
			}
		}
	}
	return true;
}

static bool add_line(cJSON *list, const struct line *n)
{
	cJSON *o = cJSON_CreateObject();

	if (!o || !cJSON_AddItemToArray(list, o)) {
		cJSON_Delete(o);
		return false;
	}
	return cJSON_AddNumberToObject(o, "seq", (double)n->seq) &&
	       cJSON_AddStringToObject(o, "flow_log", n->log) &&
	       cJSON_AddStringToObject(o, "line", n->text);
}

/* NULL: out of memory */
static cJSON *answer_make(const struct flows *f, const char *log, uint64_t after)
{
	auto_json cJSON *o = cJSON_CreateObject();
	cJSON *formats = o ? cJSON_AddObjectToObject(o, "flow_logs") : NULL;
	cJSON *list = formats ? cJSON_AddArrayToObject(o, "records") : NULL;
	uint64_t seq = after;
	bool ok = list && (!f || add_formats(f, formats));
	size_t n = 0;

	if (f) {
		for (seq = first_after(f, after); ok && n < FLOW_ANSWER_MAX && seq <= f->last;
		     seq++) {
			const struct line *at = &f->ring[seq % f->cap_ring];

			if (!is_of(log, at))
				continue;
			ok = add_line(list, at);
			n++;
		}
		seq--;
	}
	if (!ok || !cJSON_AddNumberToObject(o, "seq", (double)seq) ||
	    !cJSON_AddBoolToObject(o, "more", f && seq < f->last))
		return NULL;
	return steal_ptr(&o);
}

static void answer(struct http_req *req, const struct flows *f, const char *log, uint64_t after)
{
	struct err e = { .code = ERR_NONE };
	cJSON *o = answer_make(f, log, after);

	if (o) {
		http_reply_json(req, 200, o);
		return;
	}
	err_set(&e, ERR_INTERNAL, ENOMEM, "out of memory");
	http_reply_err(req, &e);
}

static void waiter_end(struct waiter *w)
{
	LIST_REMOVE(w, link);
	w->of->n_waiters--;
	answer(w->req, w->of, w->log, w->after);
	waiter_free(w);
}

static void waiter_gone(struct http_req *r, void *arg)
{
	(void)r;
	waiter_end(arg);
}

static void waiter_expired(void *arg)
{
	waiter_end(arg);
}

static bool are_written(const struct waiter *w)
{
	size_t i;

	for (i = 0; i < w->n_wants; i++)
		if (w->wants[i].log && w->wants[i].log->closed < w->wants[i].number)
			return false;
	return true;
}

static void waiters_wake(struct flows *f)
{
	struct waiter *w, *next;

	for (w = LIST_FIRST(&f->waiters); w; w = next) {
		next = LIST_NEXT(w, link);
		if (w->closing && !are_written(w))
			continue;
		w->closing = false;
		if (w->wait_ms <= 0 || has_lines(f, w->log, w->after))
			waiter_end(w);
	}
}

/* ---- intervals ---- */

static void page_done(struct log *l, struct page *p)
{
	l->closed = p->number;
	page_free(l, p);
	mark_set(l->of, has_unwritten(l->of));
}

/* all that is left, at once */
static void log_finish(struct log *l)
{
	struct page *p;

	while ((p = TAILQ_FIRST(&l->pages))) {
		(void)page_write(l, p, SIZE_MAX);
		page_done(l, p);
	}
	l->writer = loop_event_free(l->writer);
}

static void writer_arm(struct log *l)
{
	if (l->writer || TAILQ_EMPTY(&l->pages))
		return;
	l->writer = loop_timer(l->of->lab->netd->loop, 0, log_write, l);
	if (!l->writer)
		log_finish(l);
}

static void log_write(void *arg)
{
	struct log *l = arg;
	struct page *p = TAILQ_FIRST(&l->pages);

	l->writer = loop_event_free(l->writer);
	if (p && !page_write(l, p, SLICE_LINES))
		page_done(l, p);
	writer_arm(l);
	waiters_wake(l->of);
}

/* the interval is over: what the table has is written, another one begins */
static void log_close(struct log *l)
{
	struct page *p = calloc(1, sizeof(*p));
	int64_t now = wall_ms();

	l->draining = false;
	if (!p) { /* the interval goes on */
		l->closed = l->next++;
		return;
	}
	p->table = l->table;
	p->start_ms = l->start_ms;
	p->end_ms = now;
	p->number = l->next++;
	l->table = (struct flow_table){ .v = NULL };
	l->start_ms = now;
	TAILQ_INSERT_TAIL(&l->pages, p, link);
	writer_arm(l);
}

static struct reader *reader_of(const struct log *l)
{
	struct reader *r;

	LIST_FOREACH(r, &l->of->readers, link)
		if (l->object && strcmp(r->vpc, l->object->vpc->def->name) == 0)
			return r;
	return NULL;
}

static void log_ask(struct log *l)
{
	struct reader *r = reader_of(l);

	l->asked = true;
	if (!r)
		log_close(l);
	else if (flow_read_is_busy(r->read))
		r->again = true;
	else
		reader_start(r);
}

static void interval_arm(struct log *l);

static void interval_over(void *arg)
{
	struct log *l = arg;

	l->timer = loop_event_free(l->timer);
	log_ask(l);
	interval_arm(l);
}

/* by the clock, or each interval would begin later than it ought to */
static void interval_arm(struct log *l)
{
	struct mono now = mono_now();
	int64_t left;

	l->due.ns += l->interval_ms * 1000000;
	left = (l->due.ns - now.ns) / 1000000;
	if (left < 1) { /* the host slept, or is too slow */
		left = l->interval_ms;
		l->due.ns = now.ns + left * 1000000;
	}
	l->timer = loop_timer(l->of->lab->netd->loop, left, interval_over, l);
	if (!l->timer)
		log_err("lab=%s %s: no memory for its intervals", l->of->lab->name, l->name);
}

/* ---- reading ---- */

static bool wants(const struct log *l, const struct flow_count *c)
{
	enum flow_traffic t = l->object->def->traffic_type;

	return t == FLOW_ALL || MUTANT("flow-traffic-type") ||
	       (t == FLOW_REJECT) == (bool)(c->kind & 1);
}

/* does the log want to know of the interface? */
static bool covers(const struct log *l, const struct flow_eni *eni)
{
	return l->object && eni->of && store_flow_log_covers(l->of->lab->store, l->object, eni->of);
}

static void count_read(const void *key, size_t size, uint64_t left_ms, uint64_t packets,
		       uint64_t bytes, void *arg)
{
	struct reader *r = arg;
	struct flow_count c;
	struct log *l;
	char link[16];

	if (flow_key_parse(key, size, &c, link) < 0)
		return; /* of another version of ours; its rules are about to go */
	c.eni = eni_find(r->of, link);
	if (!c.eni)
		return;
	c.packets = packets;
	c.bytes = bytes;
	c.last_ms = wall_ms() - (FLOW_IDLE_S * 1000 - (int64_t)left_ms);
	LIST_FOREACH(l, &r->of->logs, link) {
		if (!l->object || !covers(l, c.eni) || !wants(l, &c))
			continue;
		c.first_ms = r->before_ms > l->start_ms ? r->before_ms : l->start_ms;
		if (c.last_ms < c.first_ms)
			c.last_ms = c.first_ms;
		flow_table_add(&l->table, &c);
	}
}

static void skip_read(const char *link, void *arg)
{
	struct reader *r = arg;
	const struct flow_eni *eni = eni_find(r->of, link);
	struct log *l;

	LIST_FOREACH(l, &r->of->logs, link)
		if (eni && l->object && covers(l, eni))
			flow_table_skip(&l->table, eni);
}

static void logs_of_skip(struct reader *r)
{
	struct log *l;

	LIST_FOREACH(l, &r->of->logs, link)
		if (reader_of(l) == r)
			l->table.skipped = true;
}

static void reader_done(bool lost, void *arg)
{
	struct reader *r = arg;
	struct log *l;
	bool again = r->again;

	r->again = false;
	r->before_ms = r->begun_ms;
	if (lost)
		logs_of_skip(r);
	mark_set(r->of, has_unwritten(r->of));
	LIST_FOREACH(l, &r->of->logs, link)
		if (l->draining && reader_of(l) == r)
			log_close(l);
	if (again)
		reader_start(r);
}

static const struct flow_read_ops read_ops = {
	.flow = count_read,
	.skip = skip_read,
	.over = reader_done,
};

static void reader_begin(struct reader *r)
{
	struct log *l;

	LIST_FOREACH(l, &r->of->logs, link)
		if (l->asked && reader_of(l) == r) {
			l->asked = false;
			l->draining = true;
		}
	r->begun_ms = wall_ms();
}

static void reader_start(struct reader *r)
{
	if (flow_read_is_busy(r->read))
		return;
	reader_begin(r);
	flow_read_start(r->read);
}

static void reader_poll(void *arg)
{
	reader_start(arg);
}

static struct reader *reader_free(struct reader *r)
{
	LIST_REMOVE(r, link);
	loop_event_free(r->poll);
	flow_read_free(r->read);
	free(r->ns);
	free(r->vpc);
	free(r);
	return NULL;
}

static void reader_finish(struct reader *r)
{
	if (!flow_read_is_busy(r->read))
		reader_begin(r);
	flow_read_finish(r->read);
}

/* ---- a store's objects ---- */

static int eni_cmp(const void *a, const void *b)
{
	return strcmp((*(struct flow_eni *const *)a)->link, (*(struct flow_eni *const *)b)->link);
}

static struct flow_eni *eni_make(const struct s_eni *e, const struct store *s)
{
	struct flow_eni *x = calloc(1, sizeof(*x));
	const struct object *owner = e->owner;

	if (!x)
		return NULL;
	(void)fmt_print(x->link, sizeof(x->link), "%s", e->router_interface);
	(void)fmt_print(x->id, sizeof(x->id), "%s", e->o.id);
	(void)fmt_print(x->vpc, sizeof(x->vpc), "%s", e->vpc->o.id);
	(void)fmt_print(x->subnet, sizeof(x->subnet), "%s", e->subnet->o.id);
	/* FL-7: a NAT gateway's interface belongs to no instance */
	if (owner && owner->kind == OBJECT_INSTANCE)
		(void)fmt_print(x->instance, sizeof(x->instance), "%s", owner->id);
	flow_az_id(s->lab->region, e->subnet->def->availability_zone, x->az_id, sizeof(x->az_id));
	x->primary = e->n_private_ips ? addr_to_v4(&e->private_ips[0]) : 0;
	return x;
}

static bool is_used(const struct flows *f, const struct flow_eni *eni)
{
	const struct page *p;
	const struct log *l;

	LIST_FOREACH(l, &f->logs, link) {
		if (flow_table_seen(&l->table, eni))
			return true;
		TAILQ_FOREACH(p, &l->pages, link)
			if (flow_table_seen(&p->table, eni))
				return true;
	}
	return false;
}

/* those of the store; others as long as a record shows them */
static void enis_settle(struct flows *f, const struct store *s)
{
	size_t n = f->n_enis, i, k, kept = 0;
	struct flow_eni **v;

	for (i = 0; i < s->n_vpcs; i++)
		n += s->vpcs[i].n_flow_logs ? s->vpcs[i].n_enis : 0;
	v = calloc(n + 1, sizeof(struct flow_eni *));
	if (!v) {
		log_err("lab=%s flow logs: out of memory", f->lab->name);
		return;
	}
	for (i = 0; i < f->n_enis; i++)
		f->enis[i]->of = NULL;
	for (i = 0; i < s->n_vpcs; i++)
		for (k = 0; s->vpcs[i].n_flow_logs && k < s->vpcs[i].n_enis; k++) {
			const struct s_eni *e = s->vpcs[i].enis[k];
			struct flow_eni *x =
				(struct flow_eni *)(uintptr_t)eni_find(f, e->router_interface);

			if (!x && (x = eni_make(e, s)))
				v[kept++] = x;
			if (x)
				x->of = e;
		}
	for (i = 0; i < f->n_enis; i++) {
		if (!f->enis[i]->of && !is_used(f, f->enis[i]))
			free(f->enis[i]);
		else
			v[kept++] = f->enis[i];
	}
	qsort(v, kept, sizeof(*v), eni_cmp);
	free(f->enis);
	f->enis = v;
	f->n_enis = kept;
}

static struct log *log_free(struct log *l)
{
	struct waiter *w;
	size_t i;

	LIST_FOREACH(w, &l->of->waiters, link)
		for (i = 0; i < w->n_wants; i++)
			if (w->wants[i].log == l)
				w->wants[i].log = NULL;
	LIST_REMOVE(l, link);
	while (!TAILQ_EMPTY(&l->pages))
		page_free(l, TAILQ_FIRST(&l->pages));
	loop_event_free(l->timer);
	loop_event_free(l->writer);
	flow_table_done(&l->table);
	free(l->id);
	free(l->name);
	free(l->path);
	free(l->region);
	free(l);
	return NULL;
}

/* FL-4: 600 s or 60 s of AWS's time; not less than a real one */
static int64_t interval_of(const struct store *s, const struct flow_log *def)
{
	double ms = MUTANT("flow-interval") ? 600000 : def->max_aggregation_interval * 1000.0;

	ms /= s->lab->time_scale;
	return ms < 1000 ? 1000 : (int64_t)ms;
}

static void log_new(struct flows *f, struct s_flow_log *o, const struct store *s)
{
	auto_free char *folder = folder_of(f->lab);
	struct log *l = calloc(1, sizeof(*l));

	if (!l) {
		log_err("lab=%s flow log %s: out of memory", f->lab->name, o->o.name);
		return;
	}
	l->of = f;
	TAILQ_INIT(&l->pages);
	LIST_INSERT_HEAD(&f->logs, l, link);
	l->id = strdup(o->o.id);
	l->name = strdup(o->o.name);
	l->region = strdup(s->lab->region);
	l->format = o->def->format;
	l->next = 1;
	if (folder && o->def->destination &&
	    asprintf(&l->path, "%s/%s", folder, o->def->destination) < 0)
		l->path = NULL;
	if (!l->id || !l->name || !l->region || !folder) {
		log_err("lab=%s flow log %s: out of memory", f->lab->name, o->o.name);
		log_free(l);
		return;
	}
	l->start_ms = wall_ms();
	l->due = mono_now();
	l->interval_ms = interval_of(s, o->def);
	l->table.skipped = f->skip_all;
	interval_arm(l);
}

static struct log *log_by_id(const struct flows *f, const char *id)
{
	struct log *l;

	LIST_FOREACH(l, &f->logs, link)
		if (strcmp(l->id, id) == 0)
			return l;
	return NULL;
}

static void logs_settle(struct flows *f, const struct store *s)
{
	struct log *l, *next;
	size_t i, k;

	LIST_FOREACH(l, &f->logs, link)
		l->object = NULL;
	for (i = 0; i < s->n_vpcs; i++)
		for (k = 0; k < s->vpcs[i].n_flow_logs; k++) {
			struct s_flow_log *o = &s->vpcs[i].flow_logs[k];

			l = log_by_id(f, o->o.id);
			if (!l) {
				log_new(f, o, s);
				l = log_by_id(f, o->o.id);
			} else {
				l->interval_ms = interval_of(s, o->def);
			}
			if (l)
				l->object = o;
		}
	for (l = LIST_FIRST(&f->logs); l; l = next) {
		next = LIST_NEXT(l, link);
		if (l->object)
			continue;
		log_close(l);
		log_finish(l);
		log_free(l);
	}
}

static bool reader_is_wanted(const struct reader *r, const struct store *s)
{
	size_t i;

	for (i = 0; i < s->n_vpcs; i++)
		if (s->vpcs[i].n_flow_logs && strcmp(s->vpcs[i].ns, r->ns) == 0)
			return true;
	return false;
}

static void reader_new(struct flows *f, const struct s_vpc *v)
{
	struct reader *r = calloc(1, sizeof(*r));

	if (r) {
		LIST_INSERT_HEAD(&f->readers, r, link);
		r->of = f;
		r->ns = strdup(v->ns);
		r->vpc = strdup(v->def->name);
		r->before_ms = wall_ms();
		r->read = r->ns ? flow_read_new(f->lab, r->ns, &read_ops, r) : NULL;
		r->poll = loop_every(f->lab->netd->loop, POLL_MS, reader_poll, r);
	}
	if (!r || !r->ns || !r->vpc || !r->read || !r->poll) {
		log_err("lab=%s flow logs of %s: out of memory", f->lab->name, v->o.name);
		if (r)
			reader_free(r);
	}
}

static void readers_settle(struct flows *f, const struct store *s)
{
	struct reader *r, *next;
	size_t i;

	for (r = LIST_FIRST(&f->readers); r; r = next) {
		next = LIST_NEXT(r, link);
		if (!reader_is_wanted(r, s))
			reader_free(r);
	}
	for (i = 0; i < s->n_vpcs; i++) {
		LIST_FOREACH(r, &f->readers, link)
			if (strcmp(r->ns, s->vpcs[i].ns) == 0)
				break;
		if (!r && s->vpcs[i].n_flow_logs)
			reader_new(f, &s->vpcs[i]);
	}
}

static bool has_logs(const struct store *s)
{
	size_t i;

	for (i = 0; i < s->n_vpcs; i++)
		if (s->vpcs[i].n_flow_logs)
			return true;
	return false;
}

void flows_settle(struct netlab *l, bool adopted)
{
	struct flows *f = l->flows;

	if (!f && !has_logs(l->store))
		return;
	if (!f) {
		f = calloc(1, sizeof(*f));
		if (!f) {
			log_err("lab=%s flow logs: out of memory", l->name);
			return;
		}
		l->flows = f;
		f->lab = l;
		mark_open(f, adopted);
		f->skip_all |= adopted && l->flows_lost;
	}
	logs_settle(f, l->store);
	readers_settle(f, l->store);
	enis_settle(f, l->store);
	f->skip_all = false;
	mark_set(f, has_unwritten(f));
	waiters_wake(f);
}

static struct reader *reader_by_ns(const struct netlab *l, const char *ns)
{
	struct reader *r;

	LIST_FOREACH(r, &l->flows->readers, link)
		if (strcmp(r->ns, ns) == 0)
			return r;
	return NULL;
}

void flows_drain(struct netlab *l)
{
	struct reader *r;

	if (l->flows)
		LIST_FOREACH(r, &l->flows->readers, link)
			reader_finish(r);
}

void flows_last(struct netlab *l, const char *ns)
{
	struct reader *r = l->flows ? reader_by_ns(l, ns) : NULL;

	if (!l->flows)
		l->flows_lost = true;
	if (!r)
		return;
	if (!flow_read_is_busy(r->read))
		reader_begin(r);
	if (!MUTANT("flow-last"))
		flow_read_last(r->read);
}

void flows_replaced(struct netlab *l, const char *ns)
{
	struct reader *r = l->flows ? reader_by_ns(l, ns) : NULL;

	if (r)
		flow_read_replaced(r->read);
}

void flows_close(struct netlab *l, bool remove)
{
	auto_free char *folder = folder_of(l);
	struct flows *f = l->flows;
	struct log *log;
	size_t i;

	if (!f && remove && folder)
		(void)rm_rf(folder);
	if (!f)
		return;
	if (!remove)
		flows_drain(l);
	LIST_FOREACH(log, &f->logs, link) {
		if (remove)
			break;
		log_close(log);
		log_finish(log);
	}
	while (!LIST_EMPTY(&f->waiters))
		waiter_end(LIST_FIRST(&f->waiters));
	while (!LIST_EMPTY(&f->readers))
		reader_free(LIST_FIRST(&f->readers));
	mark_set(f, false);
	while (!LIST_EMPTY(&f->logs))
		log_free(LIST_FIRST(&f->logs));
	if (f->mark_fd >= 0)
		close(f->mark_fd);
	for (i = 0; i < f->n_enis; i++)
		free(f->enis[i]);
	free(f->enis);
	for (i = 0; i < f->cap_ring; i++) {
		free(f->ring[i].log);
		free(f->ring[i].text);
	}
	free(f->ring);
	free(f);
	l->flows = NULL;
	if (remove && folder && rm_rf(folder) < 0)
		log_warn("lab=%s %s can't be removed", l->name, folder);
}

/* ---- questions ---- */

static int ask_all(struct waiter *w)
{
	struct log *l;
	size_t n = 0;

	LIST_FOREACH(l, &w->of->logs, link)
		n++;
	w->wants = calloc(n + 1, sizeof(*w->wants));
	if (!w->wants)
		return -ENOMEM;
	LIST_FOREACH(l, &w->of->logs, link)
		if (!w->log || strcmp(w->log, l->name) == 0)
			/* the drain under way is of a page that began before */
			w->wants[w->n_wants++] =
				(struct want){ l, l->next + (l->draining ? 1 : 0) };
	return 0;
}

static bool log_is_known(const struct flows *f, const char *name)
{
	const struct log *l;

	LIST_FOREACH(l, &f->logs, link)
		if (strcmp(l->name, name) == 0)
			return true;
	return false;
}

int flows_answer(struct netlab *l, struct http_req *req, const char *log, uint64_t after,
		 bool close, int64_t wait_ms, struct err *e)
{
	struct flows *f = l->flows;
	struct waiter *w;
	size_t i, n;

	if (log && (!f || !log_is_known(f, log)))
		return err_set(e, ERR_NO_OBJECT, ENOENT, "there is no flow log \"%s\"", log);
	if (f && after > f->last) /* numbers of an earlier daemon: all here is news */
		after = 0;
	if (!f || (!close && (wait_ms <= 0 || has_lines(f, log, after)))) {
		answer(req, f, log, after);
		return 0;
	}
	if (f->n_waiters >= NETD_POLLS_MAX)
		return err_set(e, ERR_LIMIT, EMFILE, "%d clients wait for flows already",
			       NETD_POLLS_MAX);
	w = calloc(1, sizeof(*w));
	if (!w)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	w->of = f;
	w->log = log ? strdup(log) : NULL;
	w->closing = close;
	if ((log && !w->log) || (close && ask_all(w) < 0) ||
	    (wait_ms > 0 && !(w->timer = loop_timer(l->netd->loop, wait_ms, waiter_expired, w)))) {
		waiter_free(w);
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	w->req = req;
	w->after = after;
	w->wait_ms = wait_ms;
	LIST_INSERT_HEAD(&f->waiters, w, link);
	f->n_waiters++;
	http_on_gone(req, waiter_gone, w);
	/* asking may end the waiter, if nothing can be read: its list is no more then */
	n = w->n_wants;
	for (i = 0; i < n; i++)
		log_ask(w->wants[i].log);
	return 0;
}

struct flow_state flows_state(const struct netlab *l, const char *id)
{
	const struct log *x = l->flows ? log_by_id(l->flows, id) : NULL;

	return x ? (struct flow_state){ x->lines, (double)x->interval_ms } :
		   (struct flow_state){ 0, 0 };
}

int flows_check(const struct store *s, struct err *e)
{
	size_t i;
	int r;

	for (i = 0; i < s->n_vpcs && !s->vpcs[i].n_flow_logs; i++)
		;
	r = i < s->n_vpcs ? nft_settle() : 0;
	if (r == 0)
		return 0;
	r = err_set(e, ERR_UNSUPPORTED, -r,
		    "flow_logs: membarrier(2): %s (vpclab doctor says what it takes)",
		    strerror(-r));
	err_path(e, "%s", s->vpcs[i].flow_logs[0].o.path);
	return r;
}
