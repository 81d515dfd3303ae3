/* SPDX-License-Identifier: MIT */
/*
 * apply - steps of program_diff() into the kernel (apply.h).
 *
 * Steps come ordered by phase and, in it, by namespace; a run of steps of one
 * phase and one namespace is handed to whoever does that kind:
 *
 *   1  namespaces made, with their settings        spaces.c, one by one
 *   2  nftables: one transaction a namespace        lib/nft, all or nothing
 *   3  links, addresses, rules, routes, neighbours  lib/nl, a few at a time
 *   4  sockets opened and handed over               responder_link.c
 *   5  the same taken away, links as a group
 *   6  namespaces unpinned; the kernel empties them later, many at once
 *
 * How much a slice holds is estimated from what each kind of step costs, because
 * a batch that was sent can't be interrupted.
 */
#include "netd/apply.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/nft.h"
#include "lib/nl.h"
#include "lib/util.h"
#include "netd/netd.h"

#define LINK_US 300  /* a veth pair */
#define OTHER_US 12  /* an address, a route, ... */
#define NEW_NS_MAX 8 /* in a row, 0.45 ms each */
#define OLD_NS_MAX 64

struct apply {
	struct apply_target t;
	struct step *steps; /* owns */
	size_t n, at;
};

/* ---- bookkeeping ---- */

static void acknowledge(struct apply *a, const struct step *s)
{
	struct program *p = a->t.actual;

	if (!s->new) {
		if (s->old->kind == ITEM_NS)
			program_unset_ns(p, s->old->ns);
		else
			program_unset(p, s->old->ns, s->old->kind, s->old->key);
		return;
	}
	if (s->op == STEP_REPLACE && s->new->kind == ITEM_SET)
		program_unset(p, s->new->ns, ITEM_SET, s->new->key); /* with its elements */
	(void)program_set(p, s->new); /* out of memory sticks: apply_slice() looks */
}

static const struct item *item_of(const struct step *s)
{
	return s->new ? s->new : s->old;
}

/* the steps from "at" on that have phase and namespace in common; whole namespaces
 * come and go in any number */
static size_t run_len(const struct apply *a)
{
	const struct step *s = &a->steps[a->at];
	size_t n = 1;

	while (a->at + n < a->n && s[n].phase == s->phase &&
	       (item_of(s)->kind == ITEM_NS || strcmp(item_of(&s[n])->ns, item_of(s)->ns) == 0))
		n++;
	return n;
}

/* ---- one run of each kind: the number of steps done; fewer than "n": "e" ---- */

static size_t do_namespaces(struct apply *a, size_t n, struct err *e)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct step *s = &a->steps[a->at + i];
		int r = s->op == STEP_ADD ? spaces_create(a->t.spaces, s->new->ns, s->new->val, e) :
					    spaces_settings(a->t.spaces, s->new->ns, s->old->val,
							    s->new->val, e);

		if (r < 0)
			break;
		acknowledge(a, s);
	}
	return i;
}

static size_t do_nft(struct apply *a, size_t n, struct err *e)
{
	const char *ns = item_of(&a->steps[a->at])->ns;
	struct nft *nft = spaces_nft(a->t.spaces, ns, e);
	char hash[33];
	size_t i;
	int r;

	if (!nft)
		return 0;
	program_nft_hash(a->t.want, ns, hash);
	r = nft_commit(nft, a->steps + a->at, n, a->t.want, ns, hash, e);
	if (r == -ESTALE) /* someone else was quicker: theirs goes */
		r = nft_replace(nft, a->t.want, ns, hash, e);
	if (r < 0) {
		err_wrap(e, "%s", ns);
		return 0;
	}
	for (i = 0; i < n; i++)
		acknowledge(a, &a->steps[a->at + i]);
	return n;
}

static int far_fd(const char *ns, void *arg)
{
	struct apply *a = arg;
	struct err ignored = { .code = ERR_NONE };

	return spaces_fd(a->t.spaces, ns, &ignored); /* the caller says what it was for */
}

static struct nl *far_nl(const char *ns, void *arg)
{
	struct apply *a = arg;
	struct err ignored = { .code = ERR_NONE };

	return spaces_nl(a->t.spaces, ns, &ignored);
}

/* how many of the next "n" steps fit a slice */
static size_t nl_share(const struct apply *a, size_t n)
{
	size_t us = 0, i;

	for (i = 0; i < n && us < NETD_SLICE_US; i++)
		us += item_of(&a->steps[a->at + i])->kind == ITEM_LINK ? LINK_US : OTHER_US;
	return i;
}

static size_t do_links_away(struct apply *a, struct nl *nl, size_t n, struct err *e)
{
	const char **names = calloc(n, sizeof(*names));
	size_t i;
	int r;

	if (!names) {
		err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return 0;
	}
	for (i = 0; i < n; i++)
		names[i] = a->steps[a->at + i].old->key;
	r = nl_delete_links(nl, names, n);
	free(names);
	if (r < 0) {
		err_set(e, ERR_KERNEL, -r, "%s: deleting %zu links: %s", a->steps[a->at].old->ns, n,
			strerror(-r));
		return 0;
	}
	for (i = 0; i < n; i++)
		acknowledge(a, &a->steps[a->at + i]);
	return n;
}

static bool link_goes(const struct step *s)
{
	return !s->new && s->old->kind == ITEM_LINK;
}

static size_t do_nl(struct apply *a, size_t n, struct err *e)
{
	const struct step *s = &a->steps[a->at];
	struct nl *nl = spaces_nl(a->t.spaces, item_of(s)->ns, e);
	bool done[NETD_SLICE_US / OTHER_US + 1] = { false };
	size_t got, i, k = 1;

	if (!nl)
		return 0;
	while (k < n && link_goes(&s[k]) == link_goes(s))
		k++;
	if (link_goes(s))
		return do_links_away(a, nl, k, e);
	k = nl_share(a, k);
	got = nl_apply(nl, s, k, done, far_fd, far_nl, a, e);
	for (i = 0; i < k; i++)
		if (i < got || done[i])
			acknowledge(a, &s[i]);
	if (got < k)
		err_wrap(e, "%s", item_of(s)->ns);
	return got;
}

static size_t do_socks_away(struct apply *a, size_t n, struct err *e)
{
	const struct item **items = calloc(n, sizeof(*items));
	size_t n_items = 0, i;
	int r;

	if (!items) {
		err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return 0;
	}
	for (i = 0; i < n; i++)
		if (a->steps[a->at + i].old)
			items[n_items++] = a->steps[a->at + i].old;
	r = responder_link_del(a->t.responder, a->t.lab, items, n_items, e);
	for (i = 0; r == 0 && i < n_items; i++)
		program_unset(a->t.actual, items[i]->ns, ITEM_SOCK, items[i]->key);
	free(items);
	return r == 0 ? n : 0;
}

/* new ones, and those that take an old one's place */
static size_t do_socks(struct apply *a, size_t n, struct err *e)
{
	int fd = spaces_fd(a->t.spaces, item_of(&a->steps[a->at])->ns, e);
	const struct item **items;
	size_t done, i;

	if (fd < 0 || do_socks_away(a, n, e) < n)
		return 0;
	items = calloc(n, sizeof(*items));
	if (!items) {
		err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		return 0;
	}
	for (i = 0; i < n; i++)
		items[i] = a->steps[a->at + i].new;
	done = responder_link_add(a->t.responder, a->t.lab, fd, items, n, e);
	free(items);
	for (i = 0; i < done; i++)
		acknowledge(a, &a->steps[a->at + i]);
	return done;
}

static size_t do_drops(struct apply *a, size_t n, struct err *e)
{
	size_t i;

	for (i = 0; i < n; i++) {
		const struct step *s = &a->steps[a->at + i];

		if (spaces_drop(a->t.spaces, s->old->ns, e) < 0)
			break;
		acknowledge(a, s);
	}
	return i;
}

/* ---- slices ---- */

/* does part of the next run; the number of steps done, 0: failed */
static size_t do_some(struct apply *a, struct err *e)
{
	const struct step *s = &a->steps[a->at];
	size_t n = run_len(a);

	switch (s->phase) {
	case 1:
		return do_namespaces(a, n < NEW_NS_MAX ? n : NEW_NS_MAX, e);
	case 2:
		return do_nft(a, n, e);
	case 4:
		return do_socks(a, n, e);
	case 6:
		return do_drops(a, n < OLD_NS_MAX ? n : OLD_NS_MAX, e);
	default:
		return item_of(s)->kind == ITEM_SOCK ? do_socks_away(a, n, e) : do_nl(a, n, e);
	}
}

int apply_slice(struct apply *a, struct err *e)
{
	struct mono start = mono_now();

	while (a->at < a->n) {
		struct err why = { .code = ERR_NONE };
		size_t done = do_some(a, &why);

		a->at += done;
		if (why.code != ERR_NONE) {
			*e = why;
			return -(why.errnum ? why.errnum : EIO);
		}
		if (a->t.actual->failed)
			return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
		if (mono_ms_since(start) * 1000 >= NETD_SLICE_US)
			break;
	}
	return a->at < a->n;
}

/* ---- links that go with their far end ---- */

static int text_cmp(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int tell_left(struct apply *a, struct err *e)
{
	const struct program *p = a->t.actual;
	const char **gone = calloc(a->n + 1, sizeof(*gone));
	size_t n = 0, i;

	if (!gone)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	for (i = 0; i < a->n; i++)
		if (a->steps[i].phase == 6)
			gone[n++] = a->steps[i].old->ns;
	qsort(gone, n, sizeof(*gone), text_cmp);
	for (i = 0; n > 0 && i < p->n; i++) {
		const struct item *it = &p->items[i];
		char far[128];
		const char *key = far, *near = it->ns;

		if (it->kind == ITEM_LINK && item_arg(it->val, "peer-ns", far, sizeof(far)) == 0 &&
		    bsearch(&key, gone, n, sizeof(*gone), text_cmp) &&
		    !bsearch(&near, gone, n, sizeof(*gone), text_cmp))
			a->t.left(it->ns, it->key, a->t.arg);
	}
	free(gone);
	return 0;
}

int apply_new(const struct apply_target *t, struct apply **ret, struct err *e)
{
	struct apply *a = calloc(1, sizeof(*a));
	int r;

	if (!a)
		return err_set(e, ERR_INTERNAL, ENOMEM, "out of memory");
	a->t = *t;
	r = program_diff(t->actual, t->want, &a->steps, &a->n);
	r = r < 0 ? err_set(e, ERR_INTERNAL, -r, "diff: %s", strerror(-r)) : tell_left(a, e);
	if (r < 0) {
		apply_free(a);
		return r;
	}
	*ret = a;
	return 0;
}

const struct step *apply_steps(const struct apply *a, size_t *ret_n)
{
	*ret_n = a->n;
	return a->steps;
}

struct apply *apply_free(struct apply *a)
{
	if (!a)
		return NULL;
	free(a->steps);
	free(a);
	return NULL;
}
