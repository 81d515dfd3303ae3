/* SPDX-License-Identifier: MIT */
/*
 * program_diff - from one program to another: a merge of two sorted lists, and
 * the order of what comes out.  Most of the care is for what the kernel does by
 * itself: a link takes along what hangs on it, a namespace its links, a set its
 * elements.  Such things get no step of their own when they go, and get one when
 * they must come back.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/program.h"

/*
 * The place of a step: phase, then its group there; a group goes through the
 * namespaces one after the other, and in each through its parts.
 */
struct place {
	unsigned phase, group, part;
};

static const struct place ADD[ITEM_N_KINDS] = {
	[ITEM_NS] = { 1, 0, 0 },
	[ITEM_TABLE] = { 2, 0, 1 },
	[ITEM_SET] = { 2, 0, 2 },
	[ITEM_CHAIN] = { 2, 0, 3 },
	[ITEM_ELEM] = { 2, 0, 4 },
	[ITEM_LINK] = { 3, 1, 0 }, /* all links before what may hang on a far end */
	[ITEM_ADDR] = { 3, 2, 0 },
	[ITEM_NEIGH] = { 3, 2, 1 },
	[ITEM_RULE] = { 3, 2, 2 },
	[ITEM_ROUTE] = { 3, 2, 3 },
	[ITEM_SOCK] = { 4, 0, 0 },
};
static const struct place DEL[ITEM_N_KINDS] = {
	[ITEM_ELEM] = { 2, 0, 0 },  [ITEM_CHAIN] = { 2, 0, 5 }, [ITEM_SET] = { 2, 0, 6 },
	[ITEM_TABLE] = { 2, 0, 7 }, [ITEM_SOCK] = { 5, 0, 0 },	[ITEM_ROUTE] = { 5, 1, 0 },
	[ITEM_RULE] = { 5, 1, 1 },  [ITEM_NEIGH] = { 5, 1, 2 }, [ITEM_ADDR] = { 5, 1, 3 },
	[ITEM_LINK] = { 5, 2, 0 },  [ITEM_NS] = { 6, 0, 0 },
};
/* a link in the way of a new one goes before it comes */
static const struct place DEL_LINK_FIRST = { 3, 0, 0 };

/* ---- a set of pairs of names, for devices and namespaces ---- */

struct name {
	const char *a, *b; /* NULL a: free */
	size_t a_len, b_len;
};

struct names {
	struct name *slot;
	size_t n, cap;
	bool failed;
};

static uint64_t hash_text(uint64_t h, const char *s, size_t n)
{
	while (n--)
		h = (h ^ (unsigned char)*s++) * 0x100000001b3u;
	return h;
}

static struct name *names_slot(const struct names *s, const struct name *x)
{
	uint64_t h = hash_text(0xcbf29ce484222325u, x->a, x->a_len);
	size_t i;

	h = hash_text(h * 31, x->b, x->b_len);
	for (i = (h ^ h >> 29) & (s->cap - 1);; i = (i + 1) & (s->cap - 1)) {
		struct name *y = &s->slot[i];

		if (!y->a || (y->a_len == x->a_len && y->b_len == x->b_len &&
			      !memcmp(y->a, x->a, x->a_len) && !memcmp(y->b, x->b, x->b_len)))
			return y;
	}
}

static bool names_grow(struct names *s)
{
	struct names r = { .cap = s->cap ? s->cap * 2 : 64 };
	size_t i;

	r.slot = calloc(r.cap, sizeof(*r.slot));
	if (!r.slot)
		return false;
	for (i = 0; i < s->cap; i++)
		if (s->slot[i].a)
			*names_slot(&r, &s->slot[i]) = s->slot[i];
	free(s->slot);
	s->slot = r.slot;
	s->cap = r.cap;
	return true;
}

static void names_put(struct names *s, struct name x)
{
	struct name *y;

	if (s->failed || ((s->n + 1) * 2 > s->cap && !names_grow(s))) {
		s->failed = true;
		return;
	}
	y = names_slot(s, &x);
	if (!y->a) {
		*y = x;
		s->n++;
	}
}

static bool names_has(const struct names *s, struct name x)
{
	return s->n && names_slot(s, &x)->a;
}

static struct name name_of(const char *a, const char *b, size_t b_len)
{
	return (struct name){ .a = a, .a_len = strlen(a), .b = b, .b_len = b_len };
}

/* ---- words of items ---- */

static const char *word_after(const char *val, const char *name, size_t *ret_len)
{
	size_t n = strlen(name);
	const char *s = val;

	while (*s) {
		size_t len = strcspn(s, " ");
		const char *next = s + len + strspn(s + len, " ");

		if (len == n && !memcmp(s, name, n)) {
			*ret_len = strcspn(next, " ");
			return *next ? next : NULL;
		}
		s = next;
	}
	return NULL;
}

/* both ends of a link as (namespace, device); the far one may be unknown */
static void link_ends(const struct item *link, struct name ret[2])
{
	ret[0] = name_of(link->ns, link->key, strlen(link->key));
	ret[1] = (struct name){ 0 };
	ret[1].a = word_after(link->val, "peer-ns", &ret[1].a_len);
	ret[1].b = word_after(link->val, "peer", &ret[1].b_len);
	if (!ret[1].b)
		ret[1].a = NULL;
}

static const char *dev_of(const struct item *it, size_t *ret_len)
{
	switch (it->kind) {
	case ITEM_ADDR:
	case ITEM_NEIGH:
		*ret_len = strcspn(it->key, " ");
		return it->key;
	case ITEM_ROUTE:
		return word_after(it->val, "dev", ret_len);
	default:
		return NULL;
	}
}

/* ---- the diff ---- */

struct pending {
	uint64_t order;
	struct step step; /* old and new still point into the programs */
};

/* items of one key that aren't the same */
struct pair {
	const struct item *old, *new;
	unsigned ns_rank;
};

struct diff {
	const struct program *from, *to;
	struct pair *changed; /* mostly few of many: only they are looked at again */
	size_t n_changed, cap_changed;
	struct pending *v;
	size_t n, cap;
	bool failed;
	bool sets_change; /* the definition of any */
	unsigned ns_rank;
	struct names gone_ns;	  /* (ns, "") that "to" doesn't have */
	struct names new_ends;	  /* devices that will be made */
	struct names cut;	  /* devices of "from" that go before: what hangs goes */
	struct names remade_sets; /* (ns, "ip T S"): changed definitions */
	struct names gone_nft;	  /* (ns, "ip T" or "ip T S") that go whole */
};

static void emit(struct diff *d, enum step_op op, struct place at, const struct item *old,
		 const struct item *new)
{
	struct pending *p;

	if (d->n == d->cap) {
		size_t cap = d->cap ? d->cap * 2 : 256;

		p = realloc(d->v, cap * sizeof(*p));
		if (!p) {
			d->failed = true;
			return;
		}
		d->v = p;
		d->cap = cap;
	}
	p = &d->v[d->n++];
	p->order = (uint64_t)at.phase << 60 | (uint64_t)at.group << 56 |
		   (uint64_t)d->ns_rank << 32 | (uint64_t)at.part << 28 | (d->n & 0xfffffff);
	p->step = (struct step){ .op = op, .phase = at.phase, .old = old, .new = new };
}

/* neighbours share their namespace's name, so it is compared when it is another one */
struct ns_cmp {
	const char *a, *b;
	int result;
};

static int item_cmp(struct ns_cmp *c, const struct item *a, const struct item *b)
{
	if (c->a != a->ns || c->b != b->ns)
		*c = (struct ns_cmp){ a->ns, b->ns, strcmp(a->ns, b->ns) };
	if (c->result)
		return c->result;
	if (a->kind != b->kind)
		return (int)a->kind - (int)b->kind;
	return a->key == b->key ? 0 : strcmp(a->key, b->key); /* copies share their texts */
}

typedef void (*pair_fn)(struct diff *d, const struct item *old, const struct item *new);

/* calls "fn" with each item of either program, and with twins together */
static void each_pair(struct diff *d, pair_fn fn)
{
	const struct program *a = d->from, *b = d->to;
	struct ns_cmp ns_cmp = { 0 };
	size_t i = 0, k = 0;
	const char *ns = NULL;

	d->ns_rank = 0;
	while (i < a->n || k < b->n) {
		int c = i == a->n ? 1 :
			k == b->n ? -1 :
				    item_cmp(&ns_cmp, &a->items[i], &b->items[k]);
		const struct item *old = c <= 0 ? &a->items[i++] : NULL;
		const struct item *new = c >= 0 ? &b->items[k++] : NULL;
		const char *its = old ? old->ns : new->ns;

		if (!ns || (ns != its && strcmp(ns, its))) {
			ns = its;
			d->ns_rank++;
		}
		fn(d, old, new);
	}
}

static void note_changed(struct diff *d, const struct item *old, const struct item *new)
{
	struct pair *p;

	if (old && new && (old->val == new->val || !strcmp(old->val, new->val)))
		return;
	if (d->n_changed == d->cap_changed) {
		size_t cap = d->cap_changed ? d->cap_changed * 2 : 256;

		p = realloc(d->changed, cap * sizeof(*p));
		if (!p) {
			d->failed = true;
			return;
		}
		d->changed = p;
		d->cap_changed = cap;
	}
	d->changed[d->n_changed++] = (struct pair){ old, new, d->ns_rank };
	d->sets_change |= old && new && old->kind == ITEM_SET;
}

static void each_changed(struct diff *d, pair_fn fn)
{
	size_t i;

	for (i = 0; i < d->n_changed; i++) {
		d->ns_rank = d->changed[i].ns_rank;
		fn(d, d->changed[i].old, d->changed[i].new);
	}
}

/* first pass: namespaces that go, devices that come */
static void note_plain(struct diff *d, const struct item *old, const struct item *new)
{
	const struct item *it = new ? new : old;
	struct name ends[2];

	if (it->kind == ITEM_NS && !new) {
		names_put(&d->gone_ns, name_of(it->ns, "", 0));
	} else if (it->kind == ITEM_LINK && new && (!old || strcmp(old->val, new->val))) {
		link_ends(new, ends);
		names_put(&d->new_ends, ends[0]);
		if (ends[1].a)
			names_put(&d->new_ends, ends[1]);
	}
}

/* must this link of "from" go before the new ones come? */
static bool in_the_way(const struct diff *d, const struct item *old)
{
	struct name ends[2];

	link_ends(old, ends);
	return names_has(&d->new_ends, ends[0]) || (ends[1].a && names_has(&d->new_ends, ends[1]));
}

/* second pass: devices that are cut off; links that change a name at one end
 * only are all known by now */
static void note_cut(struct diff *d, const struct item *old, const struct item *new)
{
	struct name ends[2];

	if (!old || old->kind != ITEM_LINK || (new && !strcmp(old->val, new->val)) ||
	    !in_the_way(d, old))
		return;
	link_ends(old, ends);
	names_put(&d->cut, ends[0]);
	if (ends[1].a)
		names_put(&d->cut, ends[1]);
}

static bool ns_is_gone(const struct diff *d, const char *ns, size_t len)
{
	return names_has(&d->gone_ns, (struct name){ .a = ns, .a_len = len, .b = "" });
}

static bool hangs_on_cut(const struct diff *d, const struct item *it)
{
	size_t len;
	const char *dev = d->cut.n ? dev_of(it, &len) : NULL;

	return dev && names_has(&d->cut, name_of(it->ns, dev, len));
}

static void diff_link(struct diff *d, const struct item *old, const struct item *new)
{
	if (new &&old && !strcmp(old->val, new->val))
		return;
	if (old && in_the_way(d, old)) {
		emit(d, STEP_DEL, DEL_LINK_FIRST, old, NULL);
	} else if (old) {
		struct name ends[2];

		link_ends(old, ends);
		/* the namespace at the far end takes it along */
		if (!ends[1].a || !ns_is_gone(d, ends[1].a, ends[1].a_len))
			emit(d, STEP_DEL, DEL[ITEM_LINK], old, NULL);
	}
	if (new)
		emit(d, STEP_ADD, ADD[ITEM_LINK], NULL, new);
}

/* addresses, routes, neighbours, rules, sockets, namespaces */
static void diff_plain(struct diff *d, const struct item *old, const struct item *new)
{
	const struct item *it = new ? new : old;

	if (old && hangs_on_cut(d, old)) {
		old = NULL;
		if (!new)
			return;
	}
	if (!new)
		emit(d, STEP_DEL, DEL[it->kind], old, NULL);
	else if (!old)
		emit(d, STEP_ADD, ADD[it->kind], NULL, new);
	else if (strcmp(old->val, new->val))
		emit(d, STEP_REPLACE, ADD[it->kind], old, new);
}

/* a rule or a socket has no "replace" in the kernel: the old one goes and the new
 * one comes at the same place of the order */
static void diff_swap(struct diff *d, const struct item *old, const struct item *new)
{
	if (!old || !new || !strcmp(old->val, new->val)) {
		diff_plain(d, old, new);
		return;
	}
	emit(d, STEP_REPLACE, ADD[new->kind], old, new);
}

static size_t table_len(const char *key)
{
	size_t n = strcspn(key, " ");

	return n + 1 + strcspn(key + n + 1, " ");
}

static bool nft_is_gone(const struct diff *d, const struct item *it, size_t len)
{
	return d->gone_nft.n && names_has(&d->gone_nft, name_of(it->ns, it->key, len));
}

/* does a chain's text use a set that is made again? */
static bool uses_remade_set(const struct diff *d, const struct item *chain)
{
	size_t table = table_len(chain->key), n;
	char key[160];
	const char *s;

	if (!d->remade_sets.n || table + 2 >= sizeof(key))
		return false;
	memcpy(key, chain->key, table);
	key[table] = ' ';
	for (s = strchr(chain->val, '@'); s; s = strchr(s + 1, '@')) {
		n = strspn(s + 1,
			   "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
		if (table + 1 + n >= sizeof(key))
			continue;
		memcpy(key + table + 1, s + 1, n);
		if (names_has(&d->remade_sets, name_of(chain->ns, key, table + 1 + n)))
			return true;
	}
	return false;
}

static void diff_nft(struct diff *d, const struct item *old, const struct item *new)
{
	const struct item *it = new ? new : old;
	bool same = old && new && !strcmp(old->val, new->val);

	if (!new && it->kind != ITEM_TABLE && nft_is_gone(d, it, table_len(it->key)))
		return;
	if (it->kind == ITEM_ELEM) {
		size_t set = strcspn(it->key, "\t");

		if (!new &&nft_is_gone(d, it, set))
			return;
		if (d->remade_sets.n && names_has(&d->remade_sets, name_of(it->ns, it->key, set))) {
			if (new)
				emit(d, STEP_ADD, ADD[ITEM_ELEM], NULL, new);
			return;
		}
	}
	if (!new && (it->kind == ITEM_TABLE || it->kind == ITEM_SET))
		names_put(&d->gone_nft, name_of(it->ns, it->key, strlen(it->key)));
	if (old && new && !same && it->kind == ITEM_SET)
		names_put(&d->remade_sets, name_of(it->ns, it->key, strlen(it->key)));
	if (same && (it->kind != ITEM_CHAIN || !uses_remade_set(d, it)))
		return;
	if (!new)
		emit(d, STEP_DEL, DEL[it->kind], old, NULL);
	else
		emit(d, old ? STEP_REPLACE : STEP_ADD, ADD[it->kind], old, new);
}

static void diff_pair(struct diff *d, const struct item *old, const struct item *new)
{
	const struct item *it = new ? new : old;

	if (!new && it->kind != ITEM_NS && it->kind != ITEM_SOCK &&
	    d->gone_ns.n &&ns_is_gone(d, it->ns, strlen(it->ns))) {
		/* goes with its namespace; sockets hold it, so they do not, and that
		 * would be too late for a link in the way */
		if (it->kind == ITEM_LINK && in_the_way(d, it))
			emit(d, STEP_DEL, DEL_LINK_FIRST, it, NULL);
		return;
	}
	switch (it->kind) {
	case ITEM_LINK:
		diff_link(d, old, new);
		break;
	case ITEM_TABLE:
	case ITEM_SET:
	case ITEM_CHAIN:
	case ITEM_ELEM:
		diff_nft(d, old, new);
		break;
	case ITEM_RULE:
	case ITEM_SOCK:
		diff_swap(d, old, new);
		break;
	case ITEM_NS:
	case ITEM_ADDR:
	case ITEM_ROUTE:
	case ITEM_NEIGH:
	case ITEM_N_KINDS:
		diff_plain(d, old, new);
		break;
	}
}

static int pending_cmp(const void *a, const void *b)
{
	const struct pending *x = a, *y = b;

	return (x->order > y->order) - (x->order < y->order);
}

/* steps and the items they show in one block */
static int diff_result(struct diff *d, struct step **ret, size_t *ret_n)
{
	struct step *s;
	struct item *it;
	size_t i;

	s = malloc(d->n * (sizeof(*s) + 2 * sizeof(*it)) + 1);
	if (!s)
		return -ENOMEM;
	if (d->n)
		qsort(d->v, d->n, sizeof(*d->v), pending_cmp);
	it = (struct item *)(s + d->n);
	for (i = 0; i < d->n; i++) {
		s[i] = d->v[i].step;
		if (s[i].old) {
			*it = *s[i].old;
			s[i].old = it++;
		}
		if (s[i].new) {
			*it = *s[i].new;
			s[i].new = it++;
		}
	}
	*ret = s;
	*ret_n = d->n;
	return 0;
}

int program_diff(const struct program *from, const struct program *to, struct step **ret,
		 size_t *ret_n)
{
	struct diff d = { .from = from, .to = to };
	size_t ignore;
	int r;

	/* readers merge the log of acknowledgements */
	program_range(from, "", ITEM_NS, &ignore, &ignore);
	program_range(to, "", ITEM_NS, &ignore, &ignore);
	each_pair(&d, note_changed);
	each_changed(&d, note_plain);
	each_changed(&d, note_cut);
	/* what hangs on a device or a set that is made again comes again, same as it was */
	if (d.cut.n || d.sets_change)
		each_pair(&d, diff_pair);
	else
		each_changed(&d, diff_pair);
	if (d.failed || from->failed || to->failed || d.gone_ns.failed || d.new_ends.failed ||
	    d.cut.failed || d.remade_sets.failed || d.gone_nft.failed)
		r = -ENOMEM;
	else
		r = diff_result(&d, ret, ret_n);
	free(d.v);
	free(d.changed);
	free(d.gone_ns.slot);
	free(d.new_ends.slot);
	free(d.cut.slot);
	free(d.remade_sets.slot);
	free(d.gone_nft.slot);
	return r;
}
