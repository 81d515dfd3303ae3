/* SPDX-License-Identifier: MIT */
/*
 * flow_read - see flow_read.h.
 */
#include "netd/flow_read.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/log.h"
#include "lib/mutant.h"
#include "lib/nft.h"
#include "lib/util.h"
#include "netd/flow_batch.h"
#include "netd/flow_kind.h"
#include "netd/jobs.h"

#define TRIES 16     /* of a set whose table is resized; each resize disturbs one */
#define LINK_SIZE 16 /* bytes of an interface's name as a key */
#define STEPS_MAX 64 /* chains and sets that count into one set: 12 */

struct flow_read {
	struct netlab *lab;
	char *ns; /* owns */
	const struct flow_read_ops *ops;
	void *arg;
	struct nft_dump *dump; /* NULL: not open */
	struct loop_event *readable;
	struct flow_batch batch;
	unsigned set, written; /* being read; when this began, 1 or 2 */
	bool under_way;
	bool skips; /* the second of the pair is being read */
	bool last;  /* "set" is the one that was written */
	bool twice; /* some element was told twice */
	bool left;  /* there may be something in the set that isn't written */
	bool stale; /* what is in the sets was told, but not taken away */
	bool lost, failed;
	unsigned tries;
};

static void set_name(char ret[24], bool skips, unsigned set)
{
	(void)fmt_print(ret, 24, skips ? FLOW_SKIPS : FLOW_SETS, set);
}

/* ---- transactions ---- */

static int commit(struct flow_read *r, const struct step *steps, size_t n)
{
	struct netlab *l = r->lab;
	struct err e = { .code = ERR_NONE };
	struct nft *nft = spaces_nft(l->spaces, r->ns, &e);
	char hash[33];
	int x = -EIO;

	if (nft) {
		program_nft_hash(&l->actual, r->ns, hash);
		job_faults_pause();
		x = nft_commit(nft, steps, n, &l->actual, r->ns, hash, &e);
		job_faults_resume();
	}
	/* somebody else's commit has all replaced anyway */
	if (x < 0 && x != -ESTALE)
		log_warn("lab=%s flows: %s", l->name, e.msg);
	return x;
}

static void found(const void *key, size_t size, uint64_t packets, uint64_t bytes, void *arg)
{
	bool *second = arg;

	(void)key, (void)size, (void)packets, (void)bytes;
	*second = true;
}

/* which set is written?  -ENOENT: the router counts nothing */
static int written(const struct flow_read *r)
{
	struct err e = { .code = ERR_NONE };
	struct nft *nft = spaces_nft(r->lab->spaces, r->ns, &e);
	bool second = false;
	int x = nft ? nft_each_elem(nft, FLOW_TABLE, FLOW_SECOND, found, &second) : -EIO;

	return x < 0 ? x : second ? 2 : 1;
}

static int turn(struct flow_read *r)
{
	static const char key[] = FLOW_TABLE " " FLOW_SECOND "\t" FLOW_SECOND_ELEM;
	const struct item it = { ITEM_ELEM, r->ns, key, "" };
	const bool second = r->written == 1;
	const struct step s = { .op = second ? STEP_ADD : STEP_DEL,
				.phase = 2,
				.old = second ? NULL : &it,
				.new = second ? &it : NULL };
	int x = MUTANT("flow-turn") ? 0 : commit(r, &s, 1);

	return x < 0 ? x : nft_settle();
}

static bool add_anew(struct step *steps, size_t *n, const struct item *it)
{
	if (!it || *n == STEPS_MAX)
		return false;
	steps[(*n)++] = (struct step){ .op = STEP_REPLACE, .phase = 2, .old = it, .new = it };
	return true;
}

static bool add_set_anew(const struct flow_read *r, bool skips, struct step *steps, size_t *n)
{
	char name[24], key[64];

	set_name(name, skips, r->set);
	(void)fmt_print(key, sizeof(key), FLOW_TABLE " %s", name);
	return add_anew(steps, n, program_find(&r->lab->actual, r->ns, ITEM_SET, key));
}

/* makes the pair anew, and with it fills the chains that count into it */
static int empty(struct flow_read *r)
{
	const struct program *p = &r->lab->actual;
	struct step steps[STEPS_MAX];
	char name[24], use[32];
	size_t n = 0, i, end;
	bool ok = program_sync(&r->lab->actual) == 0;

	ok = ok && add_set_anew(r, false, steps, &n) && add_set_anew(r, true, steps, &n);
	set_name(name, false, r->set);
	(void)fmt_print(use, sizeof(use), "@%s ", name);
	program_range(p, r->ns, ITEM_CHAIN, &i, &end);
	for (; ok && i < end; i++)
		if (strstr(p->items[i].val, use))
			ok = add_anew(steps, &n, &p->items[i]);
	if (!ok)
		return -ENOENT; /* being replaced just now */
	return MUTANT("flow-empty") ? 0 : commit(r, steps, n);
}

/* ---- reading ---- */

static void take(const void *key, size_t size, uint64_t left_ms, uint64_t packets, uint64_t bytes,
		 void *arg)
{
	struct flow_read *r = arg;
	int x = flow_batch_add(&r->batch, key, size, left_ms, packets, bytes);

	if (x == 0)
		r->twice = true;
	else if (x < 0)
		r->failed = true;
}

static int start_dump(struct flow_read *r)
{
	char name[24];

	set_name(name, r->skips, r->set);
	return nft_dump_start(r->dump, FLOW_TABLE, name);
}

/* the pair from its beginning */
static int start_pair(struct flow_read *r)
{
	flow_batch_done(&r->batch);
	r->skips = r->twice = r->failed = false;
	return start_dump(r);
}

static void tell(struct flow_read *r)
{
	size_t i;

	if (r->stale && r->batch.n > 0)
		r->lost = true;
	for (i = 0; !r->stale && i < r->batch.n; i++) {
		const struct flow_elem *e = &r->batch.v[i];
		char link[LINK_SIZE];

		if (e->size == LINK_SIZE) {
			memcpy(link, e->key, LINK_SIZE);
			link[LINK_SIZE - 1] = '\0';
			r->ops->skip(link, r->arg);
		} else {
			r->ops->flow(e->key, e->size, e->left_ms, e->packets, e->bytes, r->arg);
		}
	}
	flow_batch_done(&r->batch);
}

static void over(struct flow_read *r, bool whole)
{
	r->under_way = false;
	if (r->readable)
		(void)loop_fd_set(r->readable, 0);
	flow_batch_done(&r->batch);
	r->left = !whole;
	if (whole)
		r->stale = false;
	r->ops->over(r->lost, r->arg);
}

/* reads the set that was written when this began, which ends it */
static int start_last(struct flow_read *r)
{
	int x = turn(r);

	if (x < 0)
		return x;
	r->set = r->written;
	r->last = true;
	return start_pair(r);
}

/* a set was read; 1: there is another, -errno */
static int next_dump(struct flow_read *r)
{
	if ((r->twice || r->failed) && ++r->tries == TRIES)
		return -EAGAIN;
	if (r->twice || r->failed)
		return start_pair(r);
	if (!r->skips) {
		r->skips = true;
		return start_dump(r);
	}
	return 1;
}

/* true: there is more to come */
static bool step(struct flow_read *r)
{
	int x = nft_dump_read(r->dump, take, r);

	if (x == 1)
		return true;
	if (x == 0)
		x = next_dump(r);
	if (x == 0)
		return true;
	if (x == 1)
		x = empty(r);
	if (x == 0) {
		tell(r);
		if (!r->last && (x = start_last(r)) == 0)
			return true;
	}
	if (x < 0 && x != -ENOENT && x != -ESTALE)
		log_warn("lab=%s ns=%s flows come later: %s", r->lab->name, r->ns, strerror(-x));
	over(r, x == 0);
	return false;
}

static void slice(int fd, unsigned what, void *arg)
{
	struct mono start = mono_now();
	struct flow_read *r = arg;

	(void)fd, (void)what;
	while (step(r) && mono_ms_since(start) * 1000 < NETD_SLICE_US)
		;
}

static int open_dump(struct flow_read *r)
{
	struct netlab *l = r->lab;
	struct err e = { .code = ERR_NONE };
	int fd, x;

	if (r->dump)
		return 0;
	fd = spaces_fd(l->spaces, r->ns, &e);
	x = fd < 0 ? fd : nft_dump_open(fd, &r->dump);
	if (x < 0)
		return x;
	r->readable = loop_fd(l->netd->loop, nft_dump_fd(r->dump), LOOP_READ, slice, r);
	if (!r->readable) {
		r->dump = nft_dump_close(r->dump);
		return -ENOMEM;
	}
	return 0;
}

static int begin(struct flow_read *r)
{
	int x = program_sync(&r->lab->actual) < 0 ? -ENOMEM : open_dump(r);

	if (x == 0)
		x = written(r);
	if (x < 0)
		return x;
	r->written = (unsigned)x;
	if (!r->left)
		return start_last(r);
	r->set = 3 - r->written;
	return start_pair(r);
}

void flow_read_start(struct flow_read *r)
{
	int x;

	if (r->under_way)
		return;
	r->under_way = true;
	r->last = r->lost = false;
	r->tries = 0;
	x = begin(r);
	if (x == 0) {
		(void)loop_fd_set(r->readable, LOOP_READ);
		return;
	}
	if (x != -ENOENT && x != -ESTALE)
		log_warn("lab=%s ns=%s flows come later: %s", r->lab->name, r->ns, strerror(-x));
	over(r, false);
}

void flow_read_finish(struct flow_read *r)
{
	flow_read_start(r);
	while (r->under_way && step(r))
		;
}

/* both pairs, as they are */
void flow_read_last(struct flow_read *r)
{
	int x = -EIO;

	/* what is under way has told nothing of the set at hand */
	r->dump = nft_dump_close(r->dump);
	r->readable = loop_event_free(r->readable);
	r->lost = false;
	for (r->set = 1; r->set <= 2; r->set++) {
		r->tries = 0;
		x = open_dump(r);
		if (x == 0)
			x = start_pair(r);
		while (x == 0) {
			x = nft_dump_read(r->dump, take, r);
			x = x == 1 ? 0 : x == 0 ? next_dump(r) : x;
		}
		if (x != 1 && x != -ENOENT) /* never whole, while packets come */
			r->lost = true;
		tell(r);
	}
	r->stale = true;
	over(r, false);
}

void flow_read_replaced(struct flow_read *r)
{
	r->stale = false;
}

bool flow_read_is_busy(const struct flow_read *r)
{
	return r->under_way;
}

struct flow_read *flow_read_new(struct netlab *l, const char *ns, const struct flow_read_ops *ops,
				void *arg)
{
	struct flow_read *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct flow_read){ .lab = l, .ns = strdup(ns), .ops = ops, .arg = arg, .left = true };
	return r->ns ? r : flow_read_free(r);
}

struct flow_read *flow_read_free(struct flow_read *r)
{
	if (!r)
		return NULL;
	loop_event_free(r->readable);
	nft_dump_close(r->dump);
	flow_batch_done(&r->batch);
	free(r->ns);
	free(r);
	return NULL;
}
