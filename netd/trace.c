/* SPDX-License-Identifier: MIT */
/*
 * trace - see trace.h.  The table is committed like any of ours, with the stamp of
 * the program that is in force, so that nobody takes it for drift; a change that is
 * applied meanwhile leaves it alone, and a repair takes it away.
 */
#include "netd/trace.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/util.h"
#include "netd/drops.h"
#include "netd/jobs.h"
#include "netd/trail.h"

#define SECONDS 30 /* where the request names none */
/* marking a packet costs its messages: a busy server mustn't fill the sockets */
#define RATE "limit rate 500/second burst 500 packets"

struct traced {
	struct trace *of;
	char *ns; /* owns */
	int fd;	  /* hears of its packets */
	struct loop_event *event;
	bool marks;		    /* the table is there */
	struct nft_handle *handles; /* owns; read when the trace ends */
	size_t n_handles;
};

struct trace {
	struct netlab *lab;
	char id[24];
	struct traced *v; /* owns */
	size_t n;
	struct loop_event *timer;
	struct trail_log log;
};

/* ---- the table ---- */

struct wanted {
	const char *protocol;
	unsigned port;
	struct addr addresses[TRACE_ADDRESSES_MAX];
	size_t n;
};

static void one_way(const struct wanted *w, const char *addr, const char *port, struct buf *b)
{
	size_t i;

	buf_printf(b, "\n\tmeta l4proto %s ", w->protocol);
	if (w->n)
		buf_printf(b, "ip %s { ", addr);
	for (i = 0; i < w->n; i++)
		buf_printf(b, "%s%s", i ? ", " : "", addr_str(&w->addresses[i]));
	if (w->n)
		buf_adds(b, " } ");
	if (strcmp(w->protocol, "icmp") != 0)
		buf_printf(b, "%s %s %u ", w->protocol, port, w->port);
	/* of a connection its beginning tells all that rules decide */
	if (!strcmp(w->protocol, "tcp"))
		buf_adds(b, "tcp flags syn,rst ");
	buf_adds(b, RATE " meta nftrace set 1");
}

static void add_chain(struct program *p, const char *ns, const char *name, const char *hook,
		      int priority, const char *rules)
{
	char key[80];

	(void)snprintf(key, sizeof(key), NFT_TRACE_TABLE " %s", name);
	program_addf(p, ns, ITEM_CHAIN, key, "type filter hook %s priority %d; policy accept;%s",
		     hook, priority, rules);
}

/* before all of ours and before tracking, and behind all of it */
static int make_table(const struct wanted *w, const char *ns, struct program *ret, struct err *e)
{
	auto_buf struct buf b = BUF_INIT;

	program_init(ret);
	one_way(w, "daddr", "dport", &b);
	one_way(w, "saddr", "sport", &b);
	if (buf_error(&b))
		ret->failed = true;
	program_add(ret, ns, ITEM_TABLE, NFT_TRACE_TABLE, "");
	add_chain(ret, ns, TRAIL_IN, "prerouting", -450, buf_str(&b));
	add_chain(ret, ns, TRAIL_MADE, "output", -450, buf_str(&b));
	add_chain(ret, ns, TRAIL_ARRIVE, "input", 400, "");
	add_chain(ret, ns, TRAIL_LEAVE, "postrouting", 400, "");
	return program_seal(ret, e);
}

static int commit(struct netlab *l, const char *ns, const struct wanted *w, bool add, struct err *e)
{
	struct nft *nft = spaces_nft(l->spaces, ns, e);
	struct program table, none;
	auto_free struct step *steps = NULL;
	char hash[33];
	size_t n = 0;
	int r = nft ? make_table(w, ns, &table, e) : -EIO;

	if (!nft)
		return r;
	program_init(&none);
	if (!r)
		r = program_diff(add ? &none : &table, add ? &table : &none, &steps, &n);
	if (!r) {
		program_nft_hash(&l->actual, ns, hash);
		r = nft_commit(nft, steps, n, &table, ns, hash, e);
	}
	program_done(&none);
	program_done(&table);
	return r;
}

/* ---- what comes ---- */

static int take(const struct nft_trace_step *s, void *arg)
{
	struct traced *at = arg;

	return trail_add(&at->of->log, at->ns, s);
}

static void read_one(struct traced *at)
{
	if (at->fd >= 0 && nft_trace_read(at->fd, take, at) != 0)
		at->of->log.lost = true;
}

static void heard(int fd, unsigned what, void *arg)
{
	(void)fd, (void)what;
	read_one(arg);
}

/* ---- the end ---- */

static void traced_done(struct traced *at)
{
	at->event = loop_event_free(at->event);
	if (at->fd >= 0)
		close(at->fd);
	free(at->ns);
	free(at->handles);
}

/* gone tables are fine: a repair or the lab's end took them along */
static void unmark(struct trace *t)
{
	static const struct wanted any = { .protocol = "icmp" };
	size_t i;

	job_faults_pause();
	for (i = 0; i < t->n; i++) {
		struct err e = { .code = ERR_NONE };

		if (t->v[i].marks && t->lab->spaces && !MUTANT("trace-stays") &&
		    program_find(&t->lab->actual, t->v[i].ns, ITEM_NS, "") &&
		    commit(t->lab, t->v[i].ns, &any, false, &e) < 0)
			log_debug("trace: %s", e.msg);
		t->v[i].marks = false;
	}
	job_faults_resume();
}

static void trace_free(struct trace *t)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		traced_done(&t->v[i]);
	loop_event_free(t->timer);
	trail_done(&t->log);
	free(t->v);
	t->lab->trace = NULL;
	free(t);
}

void trace_stop(struct netlab *l)
{
	if (!l->trace)
		return;
	if (program_sync(&l->actual) == 0)
		unmark(l->trace);
	trace_free(l->trace);
}

static void on_timer(void *arg)
{
	struct trace *t = arg;
	struct netlab *l = t->lab;

	if (MUTANT("trace-timer"))
		return;
	log_info("a trace that nobody ended is over lab=%s", l->name);
	trace_stop(l);
	if (!l->job)
		spaces_trim(l->spaces);
}

/* ---- the beginning ---- */

static void add_address(struct wanted *w, const struct addr *a)
{
	size_t i;

	for (i = 0; i < w->n; i++)
		if (addr_equal(&w->addresses[i], a))
			return;
	if (addr_is_set(a) && w->n < TRACE_ADDRESSES_MAX)
		w->addresses[w->n++] = *a;
}

/* what a gateway makes of an address: both are the flow's */
static void add_translated(const struct store *st, const struct addr *a, struct wanted *w)
{
	const struct s_eni *e = store_eni_by_public(st, a);
	size_t i;

	add_address(w, a);
	if (e)
		add_address(w, eni_private_of(e, a));
	for (i = 0; i < st->n_vpcs; i++) {
		e = store_eni_by_private(&st->vpcs[i], a);
		if (e)
			add_address(w, eni_public_of(e, a));
	}
}

static int read_wanted(const struct netlab *l, const cJSON *o, struct wanted *ret, double *ret_s,
		       struct err *e)
{
	const char *protocol = json_str(o, "protocol", "");
	const double port = json_num(o, "port", 0);
	const cJSON *at;
	struct addr a;

	*ret_s = json_num(o, "timeout", SECONDS);
	ret->protocol = !strcmp(protocol, "tcp")  ? "tcp" :
			!strcmp(protocol, "udp")  ? "udp" :
			!strcmp(protocol, "icmp") ? "icmp" :
						    NULL;
	if (!ret->protocol || !(port >= 0 && port <= 65535) ||
	    !(*ret_s > 0 && *ret_s <= TRACE_SECONDS_MAX))
		return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
			       "protocol (tcp, udp, icmp), port, and a timeout up to %d s",
			       TRACE_SECONDS_MAX);
	ret->port = (unsigned)port;
	if (cJSON_GetArraySize(json_get(o, "addresses")) > TRACE_ADDRESSES_MAX)
		return err_set(e, ERR_LIMIT, E2BIG, "addresses: at most %d", TRACE_ADDRESSES_MAX);
	cJSON_ArrayForEach(at, json_get(o, "addresses")) {
		if (!cJSON_IsString(at) || addr_parse(at->valuestring, &a) < 0 ||
		    a.family != AF_INET)
			return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
				       "addresses: a list of IPv4 addresses");
		add_translated(l->store, &a, ret);
	}
	return 0;
}

static int mark_one(struct trace *t, const char *ns, const struct wanted *w, struct err *e)
{
	struct traced *at = &t->v[t->n];
	int fd = spaces_fd(t->lab->spaces, ns, e), r;

	if (fd < 0)
		return fd;
	*at = (struct traced){ .of = t, .fd = -1, .ns = strdup(ns) };
	t->n++;
	if (!at->ns)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	at->fd = nft_trace_open(fd);
	if (at->fd < 0)
		return err_set(e, ERR_KERNEL, -at->fd, "%s: hearing of traces: %s", ns,
			       strerror(-at->fd));
	at->event = loop_fd(t->lab->netd->loop, at->fd, LOOP_READ, heard, at);
	if (!at->event)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	r = commit(t->lab, ns, w, true, e);
	at->marks = r == 0;
	return r;
}

static bool is_traced(const struct item *i)
{
	return i->kind == ITEM_NS && spaces_is_managed(i->val);
}

/* all that filter or translate */
static int mark_all(struct trace *t, const struct wanted *w, struct err *e)
{
	const struct program *p = &t->lab->actual;
	size_t i, n = 0;
	int r = 0;

	for (i = 0; i < p->n; i++)
		n += is_traced(&p->items[i]);
	if (n > TRACE_SPACES_MAX)
		return err_set(e, ERR_LIMIT, E2BIG,
			       "lab %s has %zu namespaces that filter or translate: a trace is of "
			       "at most %d",
			       t->lab->name, n, TRACE_SPACES_MAX);
	t->v = calloc(n + 1, sizeof(*t->v)); /* the loop knows them by their place */
	if (!t->v)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	job_faults_pause();
	for (i = 0; i < p->n && r == 0; i++)
		if (is_traced(&p->items[i]) && (t->n < 64 || !MUTANT("trace-many")))
			r = mark_one(t, p->items[i].ns, w, e);
	job_faults_resume();
	return r;
}

int trace_begin(struct netlab *l, const cJSON *o, cJSON **ret, struct err *e)
{
	static uint64_t number;
	struct wanted w = { 0 };
	struct trace *t;
	double seconds;
	int r;

	if (!l->store)
		return err_set(e, ERR_STATE, EIO, "lab %s could not be brought back", l->name);
	if (l->trace)
		return err_set(e, ERR_LIMIT, EBUSY, "lab %s: another trace runs", l->name);
	r = read_wanted(l, o, &w, &seconds, e);
	if (r < 0)
		return r;
	t = program_sync(&l->actual) < 0 ? NULL : calloc(1, sizeof(*t));
	if (!t)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	t->lab = l;
	l->trace = t;
	(void)snprintf(t->id, sizeof(t->id), "t%llu", (unsigned long long)++number);
	t->timer = loop_timer(l->netd->loop, (int64_t)(seconds * 1000), on_timer, t);
	r = t->timer ? mark_all(t, &w, e) : err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	if (r < 0) {
		trace_stop(l);
		return r;
	}
	*ret = cJSON_CreateObject();
	cJSON_AddStringToObject(*ret, "trace", t->id);
	return 0;
}

/* ---- the answer ---- */

static struct traced *traced_of(struct trace *t, const char *ns)
{
	size_t i;

	for (i = 0; i < t->n; i++)
		if (!strcmp(t->v[i].ns, ns))
			return &t->v[i];
	return NULL;
}

/* the "index"th rule of a chain's value: lines, behind the one that has its hook */
static bool rule_line(const char *val, size_t index, struct buf *ret)
{
	const char *at = strncmp(val, "type ", 5) ? val : strchr(val, '\n');

	for (; at && index > 0; index--) {
		at += strspn(at, "\n");
		at = strchr(at, '\n');
	}
	if (!at)
		return false;
	at += strspn(at, "\n\t ");
	buf_add(ret, at, strcspn(at, "\n"));
	return true;
}

/* trail_rule_fn; the kernel names a rule by its handle, the program by its place */
static bool rule_text(const char *ns, const struct nft_trace_step *s, struct buf *ret, void *arg)
{
	struct trace *t = arg;
	struct traced *at = traced_of(t, ns);
	const struct item *chain;
	char key[140];
	size_t i;

	for (i = 0; at && i < at->n_handles; i++)
		if (at->handles[i].handle == s->handle && !strcmp(at->handles[i].chain, s->chain) &&
		    !strcmp(at->handles[i].table, s->table))
			break;
	if (!at || i == at->n_handles)
		return false;
	(void)snprintf(key, sizeof(key), "ip %s %s", s->table, s->chain);
	chain = program_find(&t->lab->actual, ns, ITEM_CHAIN, key);
	return chain && rule_line(chain->val, at->handles[i].index, ret);
}

/* only where packets came: handles are many */
static int read_handles(struct trace *t, struct err *e)
{
	size_t i, k;

	for (i = 0; i < t->n; i++) {
		struct traced *at = &t->v[i];
		struct nft *nft;
		int r;

		read_one(at);
		for (k = 0; k < t->log.n && t->log.v[k].ns != at->ns; k++)
			;
		if (k == t->log.n)
			continue;
		nft = spaces_nft(t->lab->spaces, at->ns, e);
		if (!nft)
			return -EIO;
		r = nft_handles(nft, &at->handles, &at->n_handles);
		if (r < 0)
			return err_set(e, ERR_KERNEL, -r, "%s: reading rules: %s", at->ns,
				       strerror(-r));
	}
	return 0;
}

static int answer(struct trace *t, const cJSON *flows, cJSON *list, struct err *e)
{
	struct trail_ask q = { &t->lab->actual, t->lab->store, rule_text, t };
	const cJSON *at;

	cJSON_ArrayForEach(at, flows) {
		struct nft_flow f;
		const char *ns;
		cJSON *o;

		if (drops_flow_read(at, &f, &ns) < 0)
			return err_set(e, ERR_INVALID_PARAMETER, EINVAL,
				       "namespace, protocol, addresses and ports are required");
		o = trail_follow(&t->log, &q, ns, &f);
		if (!o || !cJSON_AddItemToArray(list, o)) {
			cJSON_Delete(o);
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		}
	}
	return 0;
}

int trace_end(struct netlab *l, const char *id, const cJSON *flows, cJSON **ret, struct err *e)
{
	auto_json cJSON *o = cJSON_CreateObject();
	cJSON *list = cJSON_AddArrayToObject(o, "trails");
	struct trace *t = l->trace;
	int r = 0;

	if (!t || strcmp(t->id, id) != 0)
		return err_set(e, ERR_NO_OBJECT, ENOENT, "lab %s has no trace %s", l->name, id);
	if (!list || program_sync(&l->actual) < 0)
		r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	else if (!l->store)
		r = err_set(e, ERR_STATE, EIO, "lab %s could not be brought back", l->name);
	else if (cJSON_GetArraySize(flows) > NETD_FLOWS_MAX)
		r = err_set(e, ERR_LIMIT, E2BIG, "flows: at most %d", NETD_FLOWS_MAX);
	if (!r) {
		job_faults_pause();
		r = read_handles(t, e);
		job_faults_resume();
	}
	if (!r)
		r = answer(t, flows, list, e);
	trace_stop(l);
	if (!l->job)
		spaces_trim(l->spaces);
	if (!r)
		*ret = steal_ptr(&o);
	return r;
}
