/* SPDX-License-Identifier: MIT */
/*
 * program - see program.h.  Three things live here: the sorted set of items with
 * its string arena, its text form, and the bookkeeping of what a kernel has
 * acknowledged (set and unset, collected in a log and merged when someone looks,
 * so that ten thousand acknowledgements cost one merge).  program_diff() is in
 * program_diff.c.
 */
#include "lib/program.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/fmt.h"
#include "lib/util.h"

#define CHUNK_SIZE (64 * 1024)
#define WORN_SIZE (1024 * 1024) /* bytes of texts that nobody reads any more */

static const char *const kind_names[ITEM_N_KINDS] = {
	"ns", "link", "addr", "route", "rule", "neigh", "table", "set", "chain", "elem", "sock",
};

const char *item_kind_name(enum item_kind k)
{
	return (unsigned)k < ITEM_N_KINDS ? kind_names[k] : "?";
}

/* ---- arena ---- */

struct chunk {
	struct chunk *next;
	size_t used, cap;
	char data[];
};

/* one entry of the log: it.val == NULL removes */
struct change {
	struct item it;
	size_t seq; /* 1.. ; what was there before the log has 0 */
};

/* the texts of a program and of its copies: written once, freed with the last */
struct texts {
	size_t users;
	size_t size; /* bytes of all chunks' texts */
	size_t base; /* of them those that the program began with */
	struct chunk *chunks;
};

/* the digest of a namespace's nft items, added up, so that a change of one item needn't
 * read the others; of the few that are asked for again and again */
#define SUMS_MAX 16

struct nft_sum {
	const char *ns;
	uint64_t v[2];
};

struct arena {
	struct nft_sum sums[SUMS_MAX];
	size_t n_sums;
	struct texts *texts;
	const char *last_ns; /* neighbours mostly share their namespace's name */
	struct change *log;
	size_t n_log, cap_log;
};

static struct arena *arena_get(struct program *p)
{
	struct arena *a = p->arena;

	if (a)
		return a;
	a = calloc(1, sizeof(*a));
	if (a)
		a->texts = calloc(1, sizeof(*a->texts));
	if (!a || !a->texts) {
		free(a);
		p->failed = true;
		return NULL;
	}
	a->texts->users = 1;
	p->arena = a;
	return a;
}

static void texts_drop(struct texts *t)
{
	if (--t->users)
		return;
	while (t->chunks) {
		struct chunk *next = t->chunks->next;

		free(t->chunks);
		t->chunks = next;
	}
	free(t);
}

static char *arena_alloc(struct program *p, size_t size)
{
	struct arena *a = arena_get(p);
	struct chunk *c;
	size_t cap;

	if (!a)
		return NULL;
	c = a->texts->chunks;
	if (!c || c->cap - c->used < size) {
		cap = size > CHUNK_SIZE ? size : CHUNK_SIZE;
		c = malloc(sizeof(*c) + cap);
		if (!c) {
			p->failed = true;
			return NULL;
		}
		c->next = a->texts->chunks;
		c->used = 0;
		c->cap = cap;
		a->texts->chunks = c;
	}
	c->used += size;
	a->texts->size += size;
	return c->data + c->used - size;
}

static const char *arena_text(struct program *p, const char *s)
{
	size_t size = strlen(s) + 1;
	char *r;

	if (size == 1)
		return "";
	r = arena_alloc(p, size);
	return r ? memcpy(r, s, size) : "";
}

static const char *arena_ns(struct program *p, const char *ns)
{
	struct arena *a = arena_get(p);

	if (!a)
		return "";
	if (!a->last_ns || strcmp(a->last_ns, ns))
		a->last_ns = arena_text(p, ns);
	return a->last_ns;
}

void program_init(struct program *p)
{
	*p = (struct program){ 0 };
}

void program_done(struct program *p)
{
	struct arena *a = p->arena;

	if (a) {
		texts_drop(a->texts);
		free(a->log);
		free(a);
	}
	free(p->items);
	program_init(p);
}

/* ---- building ---- */

static int item_cmp(const struct item *a, const struct item *b)
{
	int r = a->ns == b->ns ? 0 : strcmp(a->ns, b->ns);

	if (!r)
		r = (int)a->kind - (int)b->kind;
	return r ? r : strcmp(a->key, b->key);
}

static bool grow(void *pp, size_t *cap, size_t want, size_t size)
{
	size_t n = *cap ? *cap * 2 : 64;
	void *r;

	if (want <= *cap)
		return true;
	while (n < want)
		n *= 2;
	r = realloc(*(void **)pp, n * size);
	if (!r)
		return false;
	*(void **)pp = r;
	*cap = n;
	return true;
}

static void append(struct program *p, struct item it)
{
	if (p->failed)
		return;
	if (!grow(&p->items, &p->cap, p->n + 1, sizeof(*p->items))) {
		p->failed = true;
		return;
	}
	p->items[p->n++] = it;
}

void program_add(struct program *p, const char *ns, enum item_kind kind, const char *key,
		 const char *val)
{
	struct item it = { .kind = kind };

	it.ns = arena_ns(p, ns);
	it.key = arena_text(p, key);
	it.val = arena_text(p, val);
	append(p, it);
}

void program_addf(struct program *p, const char *ns, enum item_kind kind, const char *key,
		  const char *fmt, ...)
{
	char small[512], *big;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = fmt_vprint(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		p->failed = true;
		return;
	}
	if ((size_t)n < sizeof(small)) {
		program_add(p, ns, kind, key, small);
		return;
	}
	big = malloc((size_t)n + 1);
	if (!big) {
		p->failed = true;
		return;
	}
	va_start(ap, fmt);
	(void)fmt_vprint(big, (size_t)n + 1, fmt, ap);
	va_end(ap);
	program_add(p, ns, kind, key, big);
	free(big);
}

static int item_cmp_qsort(const void *a, const void *b)
{
	return item_cmp(a, b);
}

/*
 * Sorting: keys of one set or table begin alike, so comparing whole texts again
 * and again costs more than all the rest of a compile.  Instead eight bytes are
 * compared at a time, as a number, and only what is equal in them is looked at
 * further: first all of the namespace's name, then the kind, then the key.
 */
enum sort_stage { SORT_NS, SORT_KIND, SORT_KEY };

struct sort_ref {
	uint64_t word;
	const struct item *it;
};

#define SORT_FEW 6
#define SORT_DEEP 512 /* bytes; longer texts than any of ours: no deep recursion */

static int ref_cmp_item(const void *a, const void *b)
{
	return item_cmp(((const struct sort_ref *)a)->it, ((const struct sort_ref *)b)->it);
}

static uint64_t word_at(const char *s)
{
	uint64_t w = 0;
	int i;

	for (i = 56; i >= 0 && *s; i -= 8)
		w |= (uint64_t)(unsigned char)*s++ << i;
	return w;
}

/* true: they are in order already */
static bool fill_words(struct sort_ref *v, size_t n, enum sort_stage stage, size_t depth)
{
	bool sorted = true;
	size_t i;

	for (i = 0; i < n; i++) {
		const struct item *it = v[i].it;

		v[i].word = stage == SORT_KIND ?
				    it->kind :
				    word_at((stage == SORT_NS ? it->ns : it->key) + depth);
		sorted = sorted && (!i || v[i - 1].word <= v[i].word);
	}
	return sorted;
}

static void sort_few(struct sort_ref *v, size_t n)
{
	size_t i, k;

	for (i = 1; i < n; i++) {
		struct sort_ref r = v[i];

		for (k = i; k > 0 && item_cmp(v[k - 1].it, r.it) > 0; k--)
			v[k] = v[k - 1];
		v[k] = r;
	}
}

/* one counting pass, by the byte of "v"'s words at "shift" into "to" */
static void sort_byte(const struct sort_ref *v, size_t n, unsigned shift, struct sort_ref *to)
{
	size_t start[257] = { 0 }, i;

	for (i = 0; i < n; i++)
		start[(v[i].word >> shift & 0xff) + 1]++;
	for (i = 1; i < 257; i++)
		start[i] += start[i - 1];
	for (i = 0; i < n; i++)
		to[start[v[i].word >> shift & 0xff]++] = v[i];
}

/* by word, the last byte first, and only by bytes that differ */
static void sort_words(struct sort_ref *v, size_t n, struct sort_ref *spare)
{
	struct sort_ref *from = v, *to = spare, *swap;
	uint64_t differ = 0;
	unsigned shift;
	size_t i;

	for (i = 1; i < n; i++)
		differ |= v[i].word ^ v[0].word;
	for (shift = 0; shift < 64; shift += 8) {
		if (!(differ >> shift & 0xff))
			continue;
		sort_byte(from, n, shift, to);
		swap = from;
		from = to;
		to = swap;
	}
	if (from != v)
		memcpy(v, from, n * sizeof(*v));
}

/* "depth" bytes of the stage's text are equal; "spare" has room for "n" */
static void sort_refs(struct sort_ref *v, size_t n, struct sort_ref *spare, enum sort_stage stage,
		      size_t depth)
{
	size_t i, k;

	if (n <= SORT_FEW) {
		sort_few(v, n);
		return;
	}
	if (depth >= SORT_DEEP) {
		qsort(v, n, sizeof(*v), ref_cmp_item);
		return;
	}
	if (!fill_words(v, n, stage, depth))
		sort_words(v, n, spare);
	for (i = 0; i < n; i = k) {
		bool ended = stage == SORT_KIND || !(v[i].word & 0xff);

		for (k = i + 1; k < n && v[k].word == v[i].word; k++)
			;
		if (!ended)
			sort_refs(v + i, k - i, spare, stage, depth + 8);
		else if (stage != SORT_KEY)
			sort_refs(v + i, k - i, spare, stage + 1, 0);
	}
}

static bool sort_items(struct program *p)
{
	auto_free struct sort_ref *v = malloc(2 * p->n * sizeof(*v) + 1);
	struct item *items = malloc(p->n * sizeof(*items) + 1);
	size_t i;

	if (!v || !items) {
		free(items);
		return false;
	}
	for (i = 0; i < p->n; i++)
		v[i].it = &p->items[i];
	sort_refs(v, p->n, v + p->n, SORT_NS, 0);
	for (i = 0; i < p->n; i++)
		items[i] = *v[i].it;
	free(p->items);
	p->items = items;
	p->cap = p->n;
	return true;
}

/* what is added from here on replaces something */
static void texts_begin(struct program *p)
{
	struct arena *a = p->arena;

	if (a)
		a->texts->base = a->texts->size;
}

bool program_is_worn(const struct program *p)
{
	const struct arena *a = p->arena;

	return a && a->texts->size > 2 * a->texts->base + WORN_SIZE;
}

int program_seal(struct program *p, struct err *e)
{
	size_t i, n = 0;

	if (p->failed || (p->n && !sort_items(p)))
		return err_set(e, ERR_INTERNAL, ENOMEM, "program: out of memory");
	for (i = 0; i < p->n; i++) {
		struct item *it = &p->items[i];

		if (n && !item_cmp(&p->items[n - 1], it)) {
			if (!strcmp(p->items[n - 1].val, it->val))
				continue;
			return err_set(e, ERR_INTERNAL, EEXIST,
				       "program: %s %s %s is both '%s' and '%s'", it->ns,
				       item_kind_name(it->kind), it->key, p->items[n - 1].val,
				       it->val);
		}
		p->items[n++] = *it;
	}
	p->n = n;
	texts_begin(p);
	return 0;
}

/* ---- the log: what the kernel acknowledged ---- */

static void log_change(struct program *p, const char *ns, enum item_kind kind, const char *key,
		       const char *val)
{
	struct arena *a = arena_get(p);
	struct change *c;

	if (!a || p->failed)
		return;
	if (!grow(&a->log, &a->cap_log, a->n_log + 1, sizeof(*a->log))) {
		p->failed = true;
		return;
	}
	c = &a->log[a->n_log];
	*c = (struct change){ .it.kind = kind, .seq = a->n_log + 1 };
	c->it.ns = arena_ns(p, ns);
	c->it.key = arena_text(p, key);
	c->it.val = val ? arena_text(p, val) : NULL;
	if (!p->failed)
		a->n_log++;
}

int program_set(struct program *p, const struct item *it)
{
	log_change(p, it->ns, it->kind, it->key, it->val);
	return p->failed ? -ENOMEM : 0;
}

void program_unset(struct program *p, const char *ns, enum item_kind kind, const char *key)
{
	log_change(p, ns, kind, key, NULL);
}

void program_unset_ns(struct program *p, const char *ns)
{
	log_change(p, ns, ITEM_NS, "", NULL);
}

/*
 * What a removal takes with it: a table its sets, chains and elements; a set its
 * elements; a link the addresses, routes and neighbours at both ends; a namespace
 * all it holds, and links into it.  Each is a grave: (what, ns, name) and the
 * moment; whatever is older than a grave that covers it is dead.
 */
enum grave_kind { GRAVE_ITEM, GRAVE_NS = ITEM_N_KINDS, GRAVE_TABLE, GRAVE_SET, GRAVE_DEV, GRAVE_N };

struct grave {
	int what;
	const char *ns, *name; /* pieces of longer texts */
	size_t ns_len, len;
	size_t seq; /* 0: free slot */
};

struct graves {
	struct grave *slot;
	size_t n, cap; /* cap: a power of two */
	bool any[GRAVE_N];
	bool failed;
};

static uint64_t hash_bytes(uint64_t h, const char *s, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		h = (h ^ (unsigned char)s[i]) * 0x100000001b3u;
	return h;
}

static bool same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && !memcmp(a, b, a_len);
}

static struct grave *grave_slot(const struct graves *g, const struct grave *key)
{
	uint64_t h = 0xcbf29ce484222325u + (unsigned)key->what;
	size_t i;

	h = hash_bytes(h, key->ns, key->ns_len);
	h = hash_bytes(h, key->name, key->len);
	for (i = (h ^ h >> 29) & (g->cap - 1);; i = (i + 1) & (g->cap - 1)) {
		struct grave *s = &g->slot[i];

		if (!s->seq)
			return s;
		if (s->what == key->what && same_text(s->ns, s->ns_len, key->ns, key->ns_len) &&
		    same_text(s->name, s->len, key->name, key->len))
			return s;
	}
}

static bool graves_rehash(struct graves *g)
{
	struct graves r = { .cap = g->cap ? g->cap * 2 : 64 };
	size_t i;

	r.slot = calloc(r.cap, sizeof(*r.slot));
	if (!r.slot)
		return false;
	for (i = 0; i < g->cap; i++)
		if (g->slot[i].seq)
			*grave_slot(&r, &g->slot[i]) = g->slot[i];
	free(g->slot);
	g->slot = r.slot;
	g->cap = r.cap;
	return true;
}

static void grave_dig(struct graves *g, struct grave key)
{
	struct grave *s;

	if (g->failed || ((g->n + 1) * 2 > g->cap && !graves_rehash(g))) {
		g->failed = true;
		return;
	}
	s = grave_slot(g, &key);
	if (!s->seq) {
		*s = key;
		g->n++;
	} else if (key.seq > s->seq) {
		s->seq = key.seq;
	}
	g->any[key.what] = true;
}

static struct grave grave(int what, const char *ns, const char *name, size_t len, size_t seq)
{
	return (struct grave){
		.what = what, .ns = ns, .ns_len = strlen(ns), .name = name, .len = len, .seq = seq
	};
}

/* the moment of the grave, 0 if there is none */
static size_t grave_seq(const struct graves *g, int what, const char *ns, const char *name,
			size_t len)
{
	struct grave key;

	if (!g->any[what])
		return 0;
	key = grave(what, ns, name, len, 0);
	return grave_slot(g, &key)->seq;
}

static size_t max_seq(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* length of the first "n" words of "s" */
static size_t words_len(const char *s, int n)
{
	size_t len = 0;

	for (;;) {
		len += strcspn(s + len, " ");
		if (!--n || !s[len])
			return len;
		len++;
	}
}

/* finds the word after "name"; NULL if there is none */
static const char *arg_find(const char *val, const char *name, size_t *ret_len)
{
	size_t n = strlen(name);
	const char *s = val;

	while (*s) {
		size_t len = strcspn(s, " \n");
		const char *next = s + len;

		while (*next == ' ' || *next == '\n')
			next++;
		if (len == n && !memcmp(s, name, n) && *next) {
			*ret_len = strcspn(next, " \n");
			return next;
		}
		s = next;
	}
	return NULL;
}

int item_arg(const char *val, const char *name, char *ret, size_t size)
{
	size_t len;
	const char *s = arg_find(val, name, &len);

	if (!s)
		return -ENOENT;
	if (len >= size)
		return -ERANGE;
	memcpy(ret, s, len);
	ret[len] = '\0';
	return 0;
}

/* the device that an address, a route or a neighbour hangs on; NULL if none */
static const char *item_dev(const struct item *it, size_t *ret_len)
{
	if (it->kind == ITEM_ADDR || it->kind == ITEM_NEIGH) {
		*ret_len = words_len(it->key, 1);
		return it->key;
	}
	return it->kind == ITEM_ROUTE ? arg_find(it->val, "dev", ret_len) : NULL;
}

/* the graves of the two devices of a veth pair */
static void dig_ends(struct graves *g, const struct item *link, size_t seq)
{
	struct grave far = { .what = GRAVE_DEV, .seq = seq };

	grave_dig(g, grave(GRAVE_DEV, link->ns, link->key, strlen(link->key), seq));
	far.name = arg_find(link->val, "peer", &far.len);
	far.ns = arg_find(link->val, "peer-ns", &far.ns_len);
	if (far.name && far.ns)
		grave_dig(g, far);
}

static const struct item *base_find(const struct program *p, const struct item *it)
{
	return p->n ? bsearch(it, p->items, p->n, sizeof(*p->items), item_cmp_qsort) : NULL;
}

/* the link as it was when the log removed it: set before in the log, or older */
static const struct item *link_before(const struct program *p, size_t before)
{
	const struct arena *a = p->arena;
	const struct item *it = &a->log[before].it;
	size_t i;

	for (i = before; i-- > 0;)
		if (a->log[i].it.val && !item_cmp(&a->log[i].it, it))
			return &a->log[i].it;
	return base_find(p, it);
}

static void dig_change(struct graves *g, const struct program *p, size_t i)
{
	const struct arena *a = p->arena;
	const struct change *c = &a->log[i];
	const struct item *it = &c->it;
	size_t len = strlen(it->key);

	if (it->kind == ITEM_NS) {
		grave_dig(g, grave(GRAVE_NS, it->ns, "", 0, c->seq));
		return;
	}
	grave_dig(g, grave((int)it->kind, it->ns, it->key, len, c->seq));
	if (it->kind == ITEM_TABLE) {
		grave_dig(g, grave(GRAVE_TABLE, it->ns, it->key, len, c->seq));
	} else if (it->kind == ITEM_SET) {
		grave_dig(g, grave(GRAVE_SET, it->ns, it->key, len, c->seq));
	} else if (it->kind == ITEM_LINK) {
		const struct item *link = link_before(p, i);

		if (link)
			dig_ends(g, link, c->seq);
	}
}

/* when the namespace at either end of a link went */
static size_t link_ns_seq(const struct graves *g, const struct item *link)
{
	struct grave far = { .what = GRAVE_NS, .name = "" };
	size_t seq = grave_seq(g, GRAVE_NS, link->ns, "", 0);

	far.ns = g->any[GRAVE_NS] ? arg_find(link->val, "peer-ns", &far.ns_len) : NULL;
	return far.ns ? max_seq(seq, grave_slot(g, &far)->seq) : seq;
}

static void dig_link_of_gone_ns(struct graves *g, const struct item *it, size_t born)
{
	size_t seq;

	if (it->kind != ITEM_LINK || !it->val)
		return;
	seq = link_ns_seq(g, it);
	if (seq > born)
		dig_ends(g, it, seq);
}

static void dig_all(struct graves *g, const struct program *p)
{
	const struct arena *a = p->arena;
	size_t i;

	for (i = 0; i < a->n_log; i++)
		if (!a->log[i].it.val)
			dig_change(g, p, i);
	if (!g->any[GRAVE_NS])
		return;
	for (i = 0; i < p->n; i++)
		dig_link_of_gone_ns(g, &p->items[i], 0);
	for (i = 0; i < a->n_log; i++)
		dig_link_of_gone_ns(g, &a->log[i].it, a->log[i].seq);
}

static bool alive(const struct graves *g, const struct item *it, size_t born)
{
	size_t seq, len;
	const char *dev;

	if (!g->n)
		return true;
	seq = grave_seq(g, GRAVE_NS, it->ns, "", 0);
	seq = max_seq(seq, grave_seq(g, (int)it->kind, it->ns, it->key, strlen(it->key)));
	if (it->kind == ITEM_LINK)
		seq = max_seq(seq, link_ns_seq(g, it));
	if (it->kind == ITEM_SET || it->kind == ITEM_CHAIN || it->kind == ITEM_ELEM)
		seq = max_seq(seq,
			      grave_seq(g, GRAVE_TABLE, it->ns, it->key, words_len(it->key, 2)));
	if (it->kind == ITEM_ELEM)
		seq = max_seq(seq,
			      grave_seq(g, GRAVE_SET, it->ns, it->key, strcspn(it->key, "\t")));
	if (g->any[GRAVE_DEV]) {
		dev = item_dev(it, &len);
		if (dev)
			seq = max_seq(seq, grave_seq(g, GRAVE_DEV, it->ns, dev, len));
	}
	return seq <= born;
}

static int change_cmp(const void *a, const void *b)
{
	const struct change *x = a, *y = b;
	int r = item_cmp(&x->it, &y->it);

	return r ? r : (x->seq > y->seq) - (x->seq < y->seq);
}

/* merges what is alive of the base and of the sorted sets into "out" */
static size_t merge_log(const struct program *p, const struct graves *g, const struct change *sets,
			size_t n_sets, struct item *out)
{
	size_t i = 0, k = 0, n = 0;

	while (i < p->n || k < n_sets) {
		int c = i == p->n ? 1 : k == n_sets ? -1 : item_cmp(&p->items[i], &sets[k].it);

		if (c < 0) {
			if (alive(g, &p->items[i], 0))
				out[n++] = p->items[i];
			i++;
			continue;
		}
		if (!c)
			i++;
		/* of one key the last counts */
		while (k + 1 < n_sets && !item_cmp(&sets[k].it, &sets[k + 1].it))
			k++;
		if (alive(g, &sets[k].it, sets[k].seq))
			out[n++] = sets[k].it;
		k++;
	}
	return n;
}

/* ---- sums of nft items ---- */

static bool is_nft(const struct item *it)
{
	return it->kind >= ITEM_TABLE && it->kind <= ITEM_ELEM;
}

static void item_hash(const struct item *it, uint64_t ret[2])
{
	uint64_t seed = hash64(it->key, strlen(it->key), (uint64_t)it->kind);

	hash128(it->val, strlen(it->val), seed, ret);
}

static void sum_add(struct nft_sum *s, const struct item *it)
{
	uint64_t h[2];

	item_hash(it, h);
	s->v[0] += h[0];
	s->v[1] += h[1];
}

static struct nft_sum *sum_find(const struct program *p, const char *ns)
{
	struct arena *a = p->arena;
	size_t i;

	for (i = 0; a && i < a->n_sums; i++)
		if (!strcmp(a->sums[i].ns, ns))
			return &a->sums[i];
	return NULL;
}

/* "old" goes, "new" comes (either may be NULL), in a namespace whose sum may be known */
static void sum_change(struct program *p, const struct item *old, const struct item *new)
{
	const struct item *it = new ? new : old;
	struct nft_sum *s = is_nft(it) ? sum_find(p, it->ns) : NULL;
	uint64_t h[2];

	if (!s)
		return;
	if (old) {
		item_hash(old, h);
		s->v[0] -= h[0];
		s->v[1] -= h[1];
	}
	if (new)
		sum_add(s, new);
}

/*
 * A short log is taken entry by entry, which costs a search and a move each; not
 * one that removes what others hang on in ways that only graves know.
 */
#define LOG_SHORT 16

static bool log_is_short(const struct arena *a)
{
	size_t i;

	if (a->n_log > LOG_SHORT)
		return false;
	for (i = 0; i < a->n_log; i++) {
		const struct item *it = &a->log[i].it;

		if (!it->val &&
		    (it->kind == ITEM_NS || it->kind == ITEM_LINK || it->kind == ITEM_TABLE))
			return false;
	}
	return true;
}

/* the first item that isn't before "it" */
static size_t item_bound(const struct program *p, const struct item *it)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (item_cmp(&p->items[mid], it) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void cut_items(struct program *p, size_t from, size_t to)
{
	size_t i;

	for (i = from; i < to; i++)
		sum_change(p, &p->items[i], NULL);
	memmove(p->items + from, p->items + to, (p->n - to) * sizeof(*p->items));
	p->n -= to - from;
}

/* a set's elements stand together: their keys are its own, a tab, which comes before
 * all that a name may hold, and more */
static void cut_elems(struct program *p, const struct item *set)
{
	const struct item first = { .kind = ITEM_ELEM, .ns = set->ns, .key = set->key };
	size_t from = item_bound(p, &first), len = strlen(set->key), to;

	for (to = from; to < p->n && p->items[to].kind == ITEM_ELEM &&
			!strcmp(p->items[to].ns, set->ns) &&
			!strncmp(p->items[to].key, set->key, len) && p->items[to].key[len] == '\t';)
		to++;
	cut_items(p, from, to);
}

static bool take_change(struct program *p, const struct item *it)
{
	size_t at = item_bound(p, it);
	bool there = at < p->n && !item_cmp(&p->items[at], it);

	if (!it->val) {
		if (there)
			cut_items(p, at, at + 1);
		if (it->kind == ITEM_SET)
			cut_elems(p, it);
		return true;
	}
	sum_change(p, there ? &p->items[at] : NULL, it);
	if (!there) {
		if (!grow(&p->items, &p->cap, p->n + 1, sizeof(*p->items)))
			return false;
		memmove(p->items + at + 1, p->items + at, (p->n - at) * sizeof(*p->items));
		p->n++;
	}
	p->items[at] = *it;
	return true;
}

static int sync_short(struct program *p)
{
	struct arena *a = p->arena;
	size_t i;

	for (i = 0; i < a->n_log && !p->failed; i++)
		p->failed = !take_change(p, &a->log[i].it);
	a->n_log = 0;
	return p->failed ? -ENOMEM : 0;
}

int program_sync(struct program *p)
{
	struct arena *a = p->arena;
	struct graves g = { 0 };
	auto_free struct change *sets = NULL;
	struct item *out;
	size_t i, n = 0;

	if (p->failed)
		return -ENOMEM;
	if (!a || !a->n_log)
		return 0;
	if (log_is_short(a))
		return sync_short(p);
	a->n_sums = 0;
	sets = malloc(a->n_log * sizeof(*sets));
	out = malloc((p->n + a->n_log) * sizeof(*out));
	dig_all(&g, p);
	if (!sets || !out || g.failed) {
		free(g.slot);
		free(out);
		p->failed = true;
		return -ENOMEM;
	}
	for (i = 0; i < a->n_log; i++)
		if (a->log[i].it.val)
			sets[n++] = a->log[i];
	qsort(sets, n, sizeof(*sets), change_cmp);
	p->cap = p->n + a->n_log;
	p->n = merge_log(p, &g, sets, n, out);
	free(p->items);
	p->items = out;
	a->n_log = 0;
	free(g.slot);
	return 0;
}

/* readers see the log merged; it is a cache of writes, so "const" holds for
 * what a reader can tell */
static const struct program *synced(const struct program *p)
{
	(void)program_sync((struct program *)(uintptr_t)p);
	return p;
}

/* ---- reading ---- */

const struct item *program_find(const struct program *p, const char *ns, enum item_kind kind,
				const char *key)
{
	struct item it = { .kind = kind, .ns = ns, .key = key };

	return base_find(synced(p), &it);
}

/* first item that isn't before (ns, kind) */
static size_t lower_bound(const struct program *p, const char *ns, int kind)
{
	size_t lo = 0, hi = p->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;
		const struct item *it = &p->items[mid];
		int c = strcmp(it->ns, ns);

		if (!c)
			c = (int)it->kind - kind;
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

void program_range(const struct program *p, const char *ns, enum item_kind kind, size_t *ret_from,
		   size_t *ret_to)
{
	synced(p);
	if (kind == ITEM_N_KINDS) {
		*ret_from = lower_bound(p, ns, 0);
		*ret_to = lower_bound(p, ns, ITEM_N_KINDS);
	} else {
		*ret_from = lower_bound(p, ns, (int)kind);
		*ret_to = lower_bound(p, ns, (int)kind + 1);
	}
}

/* without the texts that were replaced */
static int copy_whole(const struct program *from, struct program *ret)
{
	struct program r = { 0 };
	size_t i;

	for (i = 0; i < from->n; i++)
		program_add(&r, from->items[i].ns, from->items[i].kind, from->items[i].key,
			    from->items[i].val);
	texts_begin(&r);
	if (r.failed) {
		program_done(&r);
		return -ENOMEM;
	}
	*ret = r;
	return 0;
}

int program_copy(const struct program *from, struct program *ret)
{
	struct program r = { 0 };
	struct arena *a;

	if (program_sync((struct program *)(uintptr_t)from) < 0)
		return -ENOMEM;
	if (program_is_worn(from))
		return copy_whole(from, ret);
	r.n = r.cap = from->n;
	r.items = malloc(r.n * sizeof(*r.items) + 1);
	a = r.items && from->arena ? calloc(1, sizeof(*a)) : NULL;
	if (!r.items || (from->arena && !a)) {
		free(r.items);
		return -ENOMEM;
	}
	if (r.n)
		memcpy(r.items, from->items, r.n * sizeof(*r.items));
	if (a) {
		const struct arena *other = from->arena;

		a->texts = other->texts;
		a->texts->users++;
		a->n_sums = other->n_sums;
		memcpy(a->sums, other->sums, sizeof(a->sums));
		r.arena = a;
	}
	*ret = r;
	return 0;
}

int program_replace(struct program *p, const struct program *old, const struct program *new)
{
	size_t i = 0, k = 0;

	while (i < old->n || k < new->n) {
		const struct item *was = &old->items[i], *is = &new->items[k];
		int c = i == old->n ? 1 : k == new->n ? -1 : item_cmp(was, is);

		if (c < 0 && was->kind == ITEM_NS)
			program_unset_ns(p, was->ns);
		else if (c < 0)
			program_unset(p, was->ns, was->kind, was->key);
		else if (c > 0 || strcmp(was->val, is->val) != 0)
			(void)program_set(p, is); /* failure sticks */
		i += c <= 0;
		k += c >= 0;
	}
	return p->failed ? -ENOMEM : 0;
}

/* ---- text ---- */

/* keys and values keep to a line: newline, tab and backslash are escaped */
static void print_escaped(struct buf *b, const char *s)
{
	for (; *s; s++) {
		size_t n = strcspn(s, "\n\t\\");

		buf_add(b, s, n);
		s += n;
		if (!*s)
			return;
		buf_adds(b, *s == '\n' ? "\\n" : *s == '\t' ? "\\t" : "\\\\");
	}
}

/* a value of several lines is printed as an indented block, which reads better */
static void print_block(struct buf *b, const char *val)
{
	while (*val) {
		size_t n = strcspn(val, "\n");

		buf_adds(b, "\t\t");
		buf_add(b, val, n);
		buf_adds(b, "\n");
		val += n + (val[n] == '\n');
	}
}

static bool is_block(const char *val)
{
	const char *nl = strchr(val, '\n');

	/* a block can hold neither empty lines nor a final newline */
	return nl && *val != '\n' && !strstr(val, "\n\n") && val[strlen(val) - 1] != '\n';
}

void program_print(const struct program *p, struct buf *b)
{
	const char *ns = NULL;
	size_t i;

	synced(p);
	for (i = 0; i < p->n; i++) {
		const struct item *it = &p->items[i];

		if (!ns || strcmp(ns, it->ns)) {
			buf_printf(b, "%sns %s {\n", ns ? "}\n" : "", it->ns);
			ns = it->ns;
		}
		buf_printf(b, "\t%s ", item_kind_name(it->kind));
		print_escaped(b, it->key);
		if (is_block(it->val)) {
			buf_adds(b, ":|\n");
			print_block(b, it->val);
			continue;
		}
		buf_adds(b, *it->val ? ": " : ":");
		print_escaped(b, it->val);
		buf_adds(b, "\n");
	}
	if (ns)
		buf_adds(b, "}\n");
}

static int unescape(const char *s, size_t len, struct buf *b)
{
	size_t i;

	buf_clear(b);
	for (i = 0; i < len; i++) {
		char c = s[i];

		if (c == '\\') {
			if (++i == len)
				return -EINVAL;
			c = s[i] == 'n' ? '\n' : s[i] == 't' ? '\t' : s[i];
			if (s[i] != 'n' && s[i] != 't' && s[i] != '\\')
				return -EINVAL;
		}
		buf_add(b, &c, 1);
	}
	return buf_error(b);
}

static int kind_parse(const char *s, size_t len)
{
	int k;

	for (k = 0; k < ITEM_N_KINDS; k++)
		if (same_text(kind_names[k], strlen(kind_names[k]), s, len))
			return k;
	return -1;
}

struct parser {
	const char *at; /* start of the next line */
	unsigned line;
	struct buf ns, key, val;
};

static const char *next_line(struct parser *ps, size_t *ret_len)
{
	const char *s = ps->at;

	if (!*s)
		return NULL;
	*ret_len = strcspn(s, "\n");
	ps->at = s + *ret_len + (s[*ret_len] == '\n');
	ps->line++;
	return s;
}

static void parse_block(struct parser *ps)
{
	buf_clear(&ps->val);
	while (!strncmp(ps->at, "\t\t", 2)) {
		size_t len = 0;
		const char *s = next_line(ps, &len);

		if (ps->val.len)
			buf_adds(&ps->val, "\n");
		buf_add(&ps->val, s + 2, len - 2);
	}
}

/* the colon that ends a key: of ":", ": val" and ":|" the first that is followed
 * by the end, a space or "|" and the end (addresses of hardware have colons too) */
static const char *key_end(const char *s, const char *end)
{
	for (; s < end; s++)
		if (*s == ':' && (s + 1 == end || s[1] == ' ' || (s[1] == '|' && s + 2 == end)))
			return s;
	return NULL;
}

static int parse_item(struct parser *ps, const char *s, size_t len, struct program *p)
{
	const char *end = s + len, *key, *colon;
	size_t word = strcspn(s + 1, " \n");
	int kind = kind_parse(s + 1, word);

	key = s + 1 + word + 1;
	if (kind < 0 || key > end || !ps->ns.len)
		return -EINVAL;
	colon = key_end(key, end);
	if (!colon || unescape(key, (size_t)(colon - key), &ps->key))
		return -EINVAL;
	if (colon + 1 < end && colon[1] == '|')
		parse_block(ps);
	else if (unescape(colon + 1 == end ? end : colon + 2,
			  colon + 1 == end ? 0 : (size_t)(end - colon - 2), &ps->val))
		return -EINVAL;
	program_add(p, buf_str(&ps->ns), (enum item_kind)kind, buf_str(&ps->key),
		    buf_str(&ps->val));
	return 0;
}

static int parse_line(struct parser *ps, const char *s, size_t len, struct program *p)
{
	if (len > 5 && !memcmp(s, "ns ", 3) && !memcmp(s + len - 2, " {", 2)) {
		buf_clear(&ps->ns);
		buf_add(&ps->ns, s + 3, len - 5);
		return 0;
	}
	if (len == 1 && *s == '}') {
		buf_clear(&ps->ns);
		return 0;
	}
	return *s == '\t' ? parse_item(ps, s, len, p) : -EINVAL;
}

int program_parse(const char *text, struct program *ret, struct err *e)
{
	struct parser ps = { .at = text };
	struct program p;
	const char *s;
	size_t len = 0;
	int r = 0;

	program_init(&p);
	while (!r && (s = next_line(&ps, &len)))
		r = len ? parse_line(&ps, s, len, &p) : 0;
	if (r)
		r = err_set(e, ERR_STATE, EINVAL, "program: line %u isn't an item", ps.line);
	else if (buf_error(&ps.ns) || buf_error(&ps.key) || buf_error(&ps.val))
		r = err_set(e, ERR_INTERNAL, ENOMEM, "program: out of memory");
	else
		r = program_seal(&p, e);
	buf_done(&ps.ns);
	buf_done(&ps.key);
	buf_done(&ps.val);
	if (r) {
		program_done(&p);
		return r;
	}
	*ret = p;
	return 0;
}

/* ---- nft ---- */

/* what nft(8) says otherwise than the grammar of lib/nft.h */
static void print_rule(struct buf *b, const char *rule, size_t len)
{
	static const char ports[] = "th ports";
	size_t i;

	/* six fields, or seven, are more than nft(8) can type, though the kernel can */
	if (memmem(rule, len, "update @notes", 13) || memmem(rule, len, "update @flows", 13))
		buf_adds(b, "# ");
	for (i = 0; i < len; i++) {
		if (len - i >= sizeof(ports) - 1 && !memcmp(rule + i, ports, sizeof(ports) - 1)) {
			buf_adds(b, "@th,0,32");
			i += sizeof(ports) - 2;
		} else {
			buf_add(b, rule + i, 1);
		}
	}
}

static void print_nft_chain(struct buf *b, const struct item *it, const char *name)
{
	const char *s = it->val;

	buf_printf(b, "\tchain %s {\n", name);
	while (*s) {
		size_t n = strcspn(s, "\n");

		buf_adds(b, "\t\t");
		print_rule(b, s, n);
		buf_adds(b, "\n");
		s += n + (s[n] == '\n');
	}
	buf_adds(b, "\t}\n");
}

static void print_nft_elems(struct buf *b, const struct program *p, const struct item *set,
			    size_t from, size_t to)
{
	size_t len = strlen(set->key), n = 0;

	for (; from < to; from++) {
		const struct item *it = &p->items[from];

		if (strncmp(it->key, set->key, len) || it->key[len] != '\t')
			continue;
		buf_printf(b, "%s%s", n++ ? ", " : "\t\telements = { ", it->key + len + 1);
		if (*it->val)
			buf_printf(b, " : %s", it->val);
	}
	if (n)
		buf_adds(b, " }\n");
}

static void print_nft_set(struct buf *b, const struct program *p, const struct item *it,
			  const char *name, size_t from, size_t to)
{
	bool map = strstr(it->val, " : ") != NULL;
	const char *s = it->val;

	buf_printf(b, "\t%s %s {\n", map ? "map" : "set", name);
	while (*s) {
		size_t n = strcspn(s, ";");

		buf_adds(b, "\t\t");
		buf_add(b, s, n);
		buf_adds(b, "\n");
		s += n;
		s += strspn(s, "; ");
	}
	print_nft_elems(b, p, it, from, to);
	buf_adds(b, "\t}\n");
}

static const char *name_in_table(const struct item *it, const struct item *table)
{
	size_t len = strlen(table->key);

	return !strncmp(it->key, table->key, len) && it->key[len] == ' ' ? it->key + len + 1 : NULL;
}

static void print_nft_table(struct buf *b, const struct program *p, const char *ns,
			    const struct item *table)
{
	size_t from, to, elem_from, elem_to;
	const char *name;

	buf_printf(b, "table %s {\n", table->key);
	program_range(p, ns, ITEM_ELEM, &elem_from, &elem_to);
	program_range(p, ns, ITEM_SET, &from, &to);
	for (; from < to; from++) {
		name = name_in_table(&p->items[from], table);
		if (name)
			print_nft_set(b, p, &p->items[from], name, elem_from, elem_to);
	}
	program_range(p, ns, ITEM_CHAIN, &from, &to);
	for (; from < to; from++) {
		name = name_in_table(&p->items[from], table);
		if (name)
			print_nft_chain(b, &p->items[from], name);
	}
	buf_adds(b, "}\n");
}

void program_print_nft(const struct program *p, const char *ns, struct buf *b)
{
	size_t from, to;

	program_range(p, ns, ITEM_TABLE, &from, &to);
	for (; from < to; from++)
		print_nft_table(b, p, ns, &p->items[from]);
}

/* reads them all, and remembers what they come to */
static struct nft_sum sum_make(const struct program *p, size_t from, size_t to)
{
	struct nft_sum sum = { .ns = p->items[from].ns };
	struct arena *a = p->arena;
	size_t i;

	for (i = from; i < to; i++)
		if (is_nft(&p->items[i]))
			sum_add(&sum, &p->items[i]);
	a->sums[a->n_sums % SUMS_MAX] = sum;
	a->n_sums += a->n_sums < SUMS_MAX;
	return sum;
}

void program_nft_hash(const struct program *p, const char *ns, char ret[33])
{
	const struct nft_sum *known;
	struct nft_sum sum = { 0 };
	size_t from, to;

	program_range(p, ns, ITEM_N_KINDS, &from, &to);
	known = sum_find(p, ns);
	if (known)
		sum = *known;
	else if (from < to)
		sum = sum_make(p, from, to);
	(void)snprintf(ret, 33, "%016" PRIx64 "%016" PRIx64, sum.v[0], sum.v[1]);
}
