/* SPDX-License-Identifier: MIT */
/*
 * observe - what is really there (observe.h).
 *
 * "actual" is corrected to what a dump shows; what the kernel does by itself when
 * a link goes (addresses and routes at both ends) happens in the program, too, as
 * program_unset() knows of it.  A link that isn't as it ought to be gets a value
 * that differs but names the same far end, so that the diff makes it again with
 * all that hangs on it.
 *
 * Repair is a job like any other: it waits for the change that runs, and is
 * tried again every second until it holds.
 */
#include "netd/observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/log.h"
#include "lib/nft.h"
#include "lib/nl.h"
#include "lib/ns.h"
#include "lib/util.h"
#include "nat/natmetrics.h"
#include "netd/events.h"
#include "netd/flows.h"
#include "netd/jobs.h"

#define SETTLE_MS 20  /* one hand's change is often several messages */
#define AGAIN_MS 1000 /* after a repair that failed */
#define DRIFT_NAMED 6 /* things that a drift's event names */

/* ---- counters across a replaced ruleset ---- */

static const char *const counted_sets[] = { "drops", NATMETRICS_SET };

struct carry {
	struct netlab *l;
	const char *ns, *set; /* set: "ip vpc drops" */
};

static struct carried *carried_find(const struct netlab *l, const char *ns, const char *set,
				    const void *key, size_t size)
{
	struct carried *c;

	LIST_FOREACH(c, &l->carried, link)
		if (c->size == size && memcmp(c->key, key, size) == 0 && strcmp(c->ns, ns) == 0 &&
		    strcmp(c->set, set) == 0)
			return c;
	return NULL;
}

static void carried_free(struct carried *c)
{
	LIST_REMOVE(c, link);
	free(c->ns);
	free(c->set);
	free(c);
}

static void carry_elem(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	const struct carry *y = arg;
	struct carried *c = carried_find(y->l, y->ns, y->set, key, size);

	if (!c) {
		if (size > sizeof(c->key))
			return;
		c = calloc(1, sizeof(*c));
		if (!c)
			return;
		LIST_INSERT_HEAD(&y->l->carried, c, link);
		c->ns = strdup(y->ns);
		c->set = strdup(y->set);
		c->size = size;
		memcpy(c->key, key, size);
		if (!c->ns || !c->set) {
			carried_free(c);
			return;
		}
	}
	c->packets += packets;
	c->bytes += bytes;
}

static void carry_counters(struct netlab *l, const struct program *want, const char *ns,
			   struct nft *nft)
{
	size_t from, to, i;

	program_range(want, ns, ITEM_TABLE, &from, &to);
	for (; from < to; from++)
		for (i = 0; i < ARRAY_SIZE(counted_sets); i++) {
			const char *table = want->items[from].key;
			struct carry y = { l, ns, NULL };
			char set[128];

			snprintf(set, sizeof(set), "%s %s", table, counted_sets[i]);
			y.set = set;
			/* no such set there: it was taken away with what it had counted */
			(void)nft_each_elem(nft, table, counted_sets[i], carry_elem, &y);
		}
}

/* ---- dumps ---- */

static bool is_dumped(enum item_kind k)
{
	return k == ITEM_ADDR || k == ITEM_ROUTE || k == ITEM_RULE || k == ITEM_NEIGH;
}

static bool is_nft(enum item_kind k)
{
	return k == ITEM_TABLE || k == ITEM_SET || k == ITEM_CHAIN || k == ITEM_ELEM;
}

static void set_copy(struct program *p, const struct program *from, const char *ns,
		     bool (*pick)(enum item_kind k))
{
	size_t i, end;

	program_range(from, ns, ITEM_N_KINDS, &i, &end);
	for (; i < end; i++)
		if (pick(from->items[i].kind))
			(void)program_set(p, &from->items[i]); /* failure sticks */
}

static bool same(const struct program *p, const struct item *it)
{
	const struct item *have = program_find(p, it->ns, it->kind, it->key);

	return have && strcmp(have->val, it->val) == 0;
}

/* a link's far end is a link of the dump, too, where its namespace is managed: the
 * program has it on the near end only */
static bool is_far_end(const struct program *want, const char *ns, const char *dev)
{
	size_t i;

	for (i = 0; i < want->n; i++) {
		char peer[32], far[128];

		if (want->items[i].kind == ITEM_LINK &&
		    item_arg(want->items[i].val, "peer", peer, sizeof(peer)) == 0 &&
		    strcmp(peer, dev) == 0 &&
		    item_arg(want->items[i].val, "peer-ns", far, sizeof(far)) == 0 &&
		    strcmp(far, ns) == 0)
			return true;
	}
	return false;
}

/* is the namespace of the link's far end there? */
static bool far_is_there(const struct netlab *l, const struct item *it)
{
	char far[128];

	return item_arg(it->val, "peer-ns", far, sizeof(far)) < 0 ||
	       program_find(&l->actual, far, ITEM_NS, "");
}

static void correct_links(struct netlab *l, const struct program *want, const struct program *seen,
			  const char *ns)
{
	struct program *p = &l->actual;
	size_t i, end;

	program_range(want, ns, ITEM_LINK, &i, &end);
	for (; i < end; i++) {
		const struct item *it = &want->items[i];
		const struct item *at = program_find(seen, ns, ITEM_LINK, it->key);
		char other[600];

		if (!at) {
			program_unset(p, ns, ITEM_LINK, it->key);
		} else if (!nl_link_matches(at->val, it->val) || !far_is_there(l, it)) {
			snprintf(other, sizeof(other), "%s differs", it->val);
			(void)program_set(p, &(struct item){ ITEM_LINK, ns, it->key, other });
		} else if (!same(p, it)) {
			(void)program_set(p, it);
		}
	}
	program_range(seen, ns, ITEM_LINK, &i, &end);
	for (; i < end; i++) {
		const struct item *at = &seen->items[i];

		if (!program_find(want, ns, ITEM_LINK, at->key) &&
		    !program_find(p, ns, ITEM_LINK, at->key) && !job_link_is_left(l, ns, at->key) &&
		    !is_far_end(want, ns, at->key))
			(void)program_set(p, at);
	}
}

static void correct_others(struct program *p, const struct program *seen, const char *ns)
{
	auto_free const struct item **gone = NULL;
	size_t i, end, n = 0;

	program_range(p, ns, ITEM_N_KINDS, &i, &end);
	gone = calloc(end - i + 1, sizeof(*gone));
	if (!gone) {
		p->failed = true;
		return;
	}
	for (; i < end; i++) {
		const struct item *it = &p->items[i];

		if (is_dumped(it->kind) && !program_find(seen, ns, it->kind, it->key))
			gone[n++] = it;
	}
	while (n-- > 0)
		program_unset(p, ns, gone[n]->kind, gone[n]->key);
	program_range(seen, ns, ITEM_N_KINDS, &i, &end);
	for (; i < end; i++)
		if (is_dumped(seen->items[i].kind) && !same(p, &seen->items[i]))
			(void)program_set(p, &seen->items[i]);
}

static int observe_plain(struct netlab *l, const struct program *want, const char *ns,
			 struct err *e)
{
	struct nl *nl = spaces_nl(l->spaces, ns, e);
	struct program seen;
	int r;

	if (!nl)
		return -EIO;
	program_init(&seen);
	r = nl_observe(nl, ns, &seen, e);
	if (r == 0)
		r = program_seal(&seen, e);
	if (r == 0) {
		correct_links(l, want, &seen, ns);
		correct_others(&l->actual, &seen, ns);
		if (l->actual.failed)
			r = err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	}
	program_done(&seen);
	return r < 0 ? err_wrap(e, "observing %s", ns) : 0;
}

/* 1: a foreign commit was replaced; 0: the tables are ours as they are */
static int observe_nft(struct netlab *l, const struct program *want, const char *ns, struct err *e)
{
	struct nft *nft = spaces_nft(l->spaces, ns, e);
	char hash[33];
	int r, replaced = 0;

	if (!nft)
		return -EIO;
	program_nft_hash(want, ns, hash);
	r = nft_adoptable(nft, hash);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "%s: reading the stamp: %s", ns, strerror(-r));
	if (r == 0) {
		carry_counters(l, want, ns, nft);
		flows_last(l, ns);
		r = nft_replace(nft, want, ns, hash, e);
		if (r < 0)
			return err_wrap(e, "%s", ns);
		flows_replaced(l, ns);
		replaced = 1;
	}
	set_copy(&l->actual, want, ns, is_nft);
	return replaced;
}

/* ---- a whole lab ---- */

struct pins {
	struct netlab *l;
	const struct program *want;
};

static bool is_any(enum item_kind k)
{
	return k != ITEM_SOCK;
}

static int pin_found(const char *name, void *arg)
{
	const struct pins *s = arg;
	struct program *p = &s->l->actual;

	if (program_find(s->want, name, ITEM_NS, ""))
		set_copy(p, s->want, name, is_any); /* where nobody looks: for granted */
	else
		(void)program_set(p, &(struct item){ ITEM_NS, name, "", "" });
	return p->failed ? -ENOMEM : 0;
}

/* of the responder's sockets: those that ought to be, in namespaces that are there;
 * it forgets the others */
static int observe_socks(struct netlab *l, const struct program *want, struct err *e)
{
	auto_json cJSON *list = NULL;
	const cJSON *keys, *at;
	size_t i, n = 0;
	int r;

	r = responder_link_list(l->netd->responder, &list, e);
	if (r < 0)
		return r;
	keys = cJSON_GetObjectItemCaseSensitive(list, l->name);
	cJSON_ArrayForEach(at, keys)
		n++;
	if (n == 0)
		return 0;
	for (i = 0; i < want->n; i++) {
		auto_free char *key = NULL;

		if (want->items[i].kind != ITEM_SOCK ||
		    !program_find(&l->actual, want->items[i].ns, ITEM_NS, ""))
			continue;
		key = responder_link_key(&want->items[i]);
		cJSON_ArrayForEach(at, keys)
			if (key && strcmp(at->valuestring, key) == 0)
				break;
		if (at) {
			(void)program_set(&l->actual, &want->items[i]);
			cJSON_Delete(cJSON_DetachItemViaPointer((cJSON *)(uintptr_t)keys,
								(cJSON *)(uintptr_t)at));
		}
	}
	return responder_link_del_keys(l->netd->responder, l->name, keys, e);
}

int observe_lab(struct netlab *l, const struct program *want, struct err *e)
{
	struct pins s = { l, want };
	size_t i;
	int r;

	r = ns_each(l->name, pin_found, &s);
	if (r < 0)
		return err_set(e, ERR_KERNEL, -r, "namespaces of %s: %s", l->name, strerror(-r));
	for (i = 0; i < want->n; i++) {
		const struct item *it = &want->items[i];

		if (it->kind != ITEM_NS || !spaces_is_managed(it->val) ||
		    !program_find(&l->actual, it->ns, ITEM_NS, ""))
			continue;
		r = observe_nft(l, want, it->ns, e);
		if (r >= 0)
			r = observe_plain(l, want, it->ns, e);
		if (r < 0)
			return r;
	}
	return observe_socks(l, want, e);
}

/* ---- drift ---- */

static void dirty_free(struct dirty *d)
{
	LIST_REMOVE(d, link);
	free(d->ns);
	free(d);
}

static struct dirty *dirty_get(struct netlab *l, const char *ns)
{
	struct dirty *d;

	LIST_FOREACH(d, &l->dirty, link)
		if (strcmp(d->ns, ns) == 0)
			return d;
	d = calloc(1, sizeof(*d));
	if (!d)
		return NULL;
	d->ns = strdup(ns);
	if (!d->ns) {
		free(d);
		return NULL;
	}
	LIST_INSERT_HEAD(&l->dirty, d, link);
	return d;
}

struct repair {
	struct job job;
	bool replaced; /* some tables were */
	bool told;     /* a drift event was written */
};

static void drift_told(struct repair *r, const char *ns, const char *detail)
{
	struct netlab *l = r->job.lab;

	r->told = true;
	log_warn("lab=%s ns=%s drift: %s", l->name, ns, detail);
	events_add(l->netd->events, l->name, "drift", "namespace", ns, NULL, detail);
}

/* names what the steps of one namespace are about to put right */
static void drift_describe(const struct step *steps, size_t n, struct buf *b)
{
	size_t i;

	for (i = 0; i < n && i < DRIFT_NAMED; i++) {
		const struct item *it = steps[i].new ? steps[i].new : steps[i].old;

		buf_printf(b, "%s%s %s %s", i ? "; " : "",
			   steps[i].op == STEP_ADD ? "missing:" :
			   steps[i].op == STEP_DEL ? "foreign:" :
						     "changed:",
			   item_kind_name(it->kind), it->key);
	}
	if (n > i)
		buf_printf(b, "; and %zu more", n - i);
}

static const char *step_ns(const struct step *s)
{
	return s->new ? s->new->ns : s->old->ns;
}

static int step_cmp(const void *a, const void *b)
{
	const struct step *x = a, *y = b;

	return strcmp(step_ns(x), step_ns(y));
}

static int drift_tell_steps(struct repair *r, struct err *e)
{
	struct netlab *l = r->job.lab;
	auto_free struct step *steps = NULL;
	size_t n, i, k;
	int d = program_diff(&l->actual, &r->job.want, &steps, &n);

	if (d < 0)
		return err_set(e, ERR_INTERNAL, -d, "diff: %s", strerror(-d));
	if (n > 0)
		qsort(steps, n, sizeof(*steps), step_cmp);
	for (i = 0; i < n; i = k) {
		auto_buf struct buf b = BUF_INIT;

		for (k = i + 1; k < n && step_cmp(&steps[i], &steps[k]) == 0; k++)
			;
		drift_describe(steps + i, k - i, &b);
		drift_told(r, step_ns(&steps[i]), buf_str(&b));
	}
	return n > 0;
}

static int repair_look(struct repair *r, struct err *e)
{
	struct netlab *l = r->job.lab;
	struct dirty *d;
	int got;

	while ((d = LIST_FIRST(&l->dirty))) {
		if (program_find(&l->want, d->ns, ITEM_NS, "") &&
		    program_find(&l->actual, d->ns, ITEM_NS, "")) {
			got = d->nft ? observe_nft(l, &l->want, d->ns, e) : 0;
			if (got > 0) {
				r->replaced = true;
				drift_told(r, d->ns,
					   "nftables: a foreign commit; our tables were "
					   "written again, limits count from nothing");
			}
			if (got >= 0)
				got = observe_plain(l, &l->want, d->ns, e);
			if (got < 0)
				return got; /* stays dirty */
		}
		dirty_free(d);
	}
	return 0;
}

static int repair_begin(struct job *j, struct err *e)
{
	struct repair *r = (struct repair *)j;
	struct netlab *l = j->lab;
	int got;

	l->repair_waits = false;
	if (!l->store)
		return 0;
	job_faults_pause();
	got = repair_look(r, e);
	job_faults_resume();
	if (got < 0)
		return got;
	if (program_copy(&l->want, &j->want) < 0)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	return drift_tell_steps(r, e);
}

static void repair_due(void *arg)
{
	struct netlab *l = arg;

	l->dirty_timer = loop_event_free(l->dirty_timer);
	observe_rearm(l);
}

static void repair_end(struct job *j, const struct err *e)
{
	struct repair *r = (struct repair *)j;
	struct netlab *l = j->lab;

	l->repair_waits = false;
	if (e && e->code != ERR_CANCELLED) {
		log_warn("lab=%s repair failed, trying again: %s", l->name, e->msg);
		l->failed = true;
		observe_mark_all(l);
		loop_event_free(l->dirty_timer);
		l->dirty_timer = loop_timer(l->netd->loop, AGAIN_MS, repair_due, l);
	} else if (!e) {
		l->failed = false;
		if (r->told)
			events_add(l->netd->events, l->name, "repaired", "lab", l->name, NULL,
				   NULL);
	}
	free(r);
}

static const struct job_ops repair_ops = {
	.begin = repair_begin,
	.end = repair_end,
	.background = true,
	.no_undo = true,
};

static void repair_submit(void *arg)
{
	struct netlab *l = arg;
	struct repair *r;

	l->dirty_timer = loop_event_free(l->dirty_timer);
	if (l->repair_waits)
		return;
	r = calloc(1, sizeof(*r));
	if (!r)
		return; /* the next notice tries again */
	l->repair_waits = true;
	job_submit(l, &r->job, &repair_ops);
}

void observe_foreign(const char *ns, bool nft, void *arg)
{
	struct netlab *l = arg;
	struct dirty *d = dirty_get(l, ns);

	if (!d)
		return;
	if (nft)
		d->nft = true;
	else
		d->other = true;
	observe_rearm(l);
}

void observe_mark_all(struct netlab *l)
{
	size_t i;

	for (i = 0; i < l->want.n; i++) {
		const struct item *it = &l->want.items[i];
		struct dirty *d = NULL;

		if (it->kind == ITEM_NS && spaces_is_managed(it->val))
			d = dirty_get(l, it->ns);
		if (d)
			d->nft = d->other = true;
	}
}

void observe_rearm(struct netlab *l)
{
	if (LIST_EMPTY(&l->dirty) || l->dirty_timer || l->repair_waits || l->job || !l->store)
		return;
	l->dirty_timer = loop_timer(l->netd->loop, SETTLE_MS, repair_submit, l);
}

int observe_watch(struct netlab *l, struct err *e)
{
	size_t i;

	for (i = 0; i < l->want.n; i++) {
		const struct item *it = &l->want.items[i];

		if (it->kind == ITEM_NS && spaces_is_managed(it->val)) {
			int r = spaces_watch(l->spaces, it->ns, e);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

void observe_clear(struct netlab *l)
{
	l->dirty_timer = loop_event_free(l->dirty_timer);
	while (!LIST_EMPTY(&l->dirty))
		dirty_free(LIST_FIRST(&l->dirty));
	while (!LIST_EMPTY(&l->carried))
		carried_free(LIST_FIRST(&l->carried));
}
