/* SPDX-License-Identifier: MIT */
/*
 * nft - steps of a namespace become one transaction.
 *
 * A transaction is one sendmsg() of: begin (with the generation that we expect),
 * messages, end.  The kernel does all of it or nothing.  The order inside is
 * fixed, whatever the order of the steps:
 *
 *   delete elements; empty chains that change or go (and those that use a set that
 *   is made anew); delete sets and base chains that are made anew; add tables,
 *   sets, chains (empty), elements; fill chains; delete chains, sets, tables; stamp
 *
 * so that nothing is deleted while something refers to it and nothing refers to
 * what isn't there yet.
 *
 * The stamp (set "stamp" of the table "ip vpclab") holds the program's digest and
 * the generation that this commit makes: if both still hold later, nobody else has
 * committed since.
 */
#include "lib/nft.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>

#include "lib/nft_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

/* ---- the passes over the steps ---- */

struct plan {
	struct nft_tx *t;
	const struct step *steps;
	size_t n;
	/* keys, borrowed: sets to make anew; sets that go, those among them; tables that go */
	const char **anew, **sets, **tables;
	size_t n_anew, n_sets, n_tables;
};

static const struct item *item_of(const struct step *st)
{
	return st->new ? st->new : st->old;
}

static bool is(const struct step *st, enum item_kind kind)
{
	return item_of(st)->kind == kind;
}

/* is "key" below one of "keys", behind the character "sep"? */
static bool below(const char *const *keys, size_t n, const char *key, char sep)
{
	size_t i;

	for (i = 0; i < n; i++) {
		size_t len = strlen(keys[i]);

		if (!strncmp(key, keys[i], len) && key[len] == sep)
			return true;
	}
	return false;
}

/* is the table of this item deleted as a whole? */
static bool table_goes(const struct plan *p, const struct item *it)
{
	return below(p->tables, p->n_tables, it->key, ' ');
}

/* is the set of this element deleted or made anew? */
static bool set_goes(const struct plan *p, const struct item *elem)
{
	return below(p->sets, p->n_sets, elem->key, '\t');
}

static bool set_of_elem(const char *elem_key, const char *set_key)
{
	return below(&set_key, 1, elem_key, '\t');
}

struct names {
	struct nft_table_name t;
	char name[NFT_NAME_SIZE];
	const char *elem;
};

static bool names_of(struct nft_tx *t, const struct item *it, struct names *ret)
{
	t->now = it;
	if (nft_name_parse(it->key, &ret->t, ret->name,
			   it->kind == ITEM_ELEM ? &ret->elem : NULL) ||
	    !*ret->name != (it->kind == ITEM_TABLE) || (it->kind == ITEM_ELEM && !ret->elem)) {
		nft_tx_fail(t, -EINVAL);
		return false;
	}
	return true;
}

/* the type of an element's set: of "all", or (deletions from a set that changes
 * are never sent) the same */
static int spec_of_elem(struct nft_tx *t, const struct item *elem, struct nft_spec *ret)
{
	size_t len = strcspn(elem->key, "\t");
	auto_free char *key = strndup(elem->key, len);
	const struct item *set;

	if (!key)
		return -ENOMEM;
	set = program_find(t->all, t->ns, ITEM_SET, key);
	return set ? nft_spec_parse(set->val, ret) : -ENOENT;
}

/* elements of one set, put together while they follow each other */
struct heap {
	struct nft_tx *t;
	struct nftnl_set *set; /* owns; NULL: nothing yet */
	struct names n;
	struct nft_spec spec;
	const char *key; /* of the first */
	const struct item *first;
	uint16_t type;
};

static void heap_flush(struct heap *h)
{
	if (!h->set)
		return;
	h->t->now = h->first;
	if (!h->t->err)
		nft_put_elems(h->t, &h->n.t, h->set, h->type);
	nftnl_set_free(h->set);
	h->set = NULL;
}

static struct nftnl_set *set_ref(const struct names *n)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, (uint32_t)n->t.family);
	if (nftnl_set_set_str(s, NFTNL_SET_TABLE, n->t.table) ||
	    nftnl_set_set_str(s, NFTNL_SET_NAME, n->name)) {
		nftnl_set_free(s);
		return NULL;
	}
	return s;
}

static bool same_set(const char *a, const char *b)
{
	size_t len = strcspn(a, "\t");

	return !strncmp(a, b, len + 1);
}

static void heap_add(struct heap *h, const struct item *it)
{
	struct nft_tx *t = h->t;
	int r;

	if (h->set && !same_set(h->key, it->key))
		heap_flush(h);
	if (!names_of(t, it, &h->n))
		return;
	if (!h->set) {
		r = spec_of_elem(t, it, &h->spec);
		h->set = r ? NULL : set_ref(&h->n);
		h->key = it->key;
		h->first = it;
		if (!h->set) {
			nft_tx_fail(t, r ? r : -ENOMEM);
			return;
		}
	}
	r = nft_elem_add(h->set, &h->spec, h->n.elem,
			 h->type == NFT_MSG_NEWSETELEM ? it->val : NULL);
	if (r)
		nft_tx_fail(t, r);
}

/* ---- passes, in the order in which they are made ---- */

static void pass_del_elems(struct plan *p)
{
	struct heap h = { .t = p->t, .type = NFT_MSG_DELSETELEM };
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (!is(st, ITEM_ELEM) || st->op == STEP_ADD || set_goes(p, st->old) ||
		    table_goes(p, st->old))
			continue;
		heap_add(&h, st->old);
	}
	heap_flush(&h);
}

static bool is_name_char(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '.' || c == '/';
}

/* does a rule of the chain speak of "@NAME", NAME a set of its table made anew? */
static bool uses_anew(const struct plan *p, const struct item *chain)
{
	size_t i;

	for (i = 0; i < p->n_anew; i++) {
		const char *name = strrchr(p->anew[i], ' ') + 1, *s;
		size_t table = (size_t)(name - p->anew[i]), len = strlen(name);

		if (strncmp(chain->key, p->anew[i], table))
			continue;
		for (s = chain->val; (s = strchr(s, '@')); s++)
			if (!strncmp(s + 1, name, len) && !is_name_char(s[1 + len]))
				return true;
	}
	return false;
}

static const struct step *step_of_chain(const struct plan *p, const struct item *chain)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (is(&p->steps[i], ITEM_CHAIN) && !strcmp(item_of(&p->steps[i])->key, chain->key))
			return &p->steps[i];
	return NULL;
}

/* chains that no step speaks of but that use a set made anew */
static void each_user_of_anew(struct plan *p, void (*fn)(struct nft_tx *t, const struct item *it,
							 const struct names *n))
{
	size_t i, to;
	struct names n;

	if (!p->n_anew)
		return;
	program_range(p->t->all, p->t->ns, ITEM_CHAIN, &i, &to);
	for (; i < to && !p->t->err; i++) {
		const struct item *it = &p->t->all->items[i];

		if (uses_anew(p, it) && !step_of_chain(p, it) && names_of(p->t, it, &n))
			fn(p->t, it, &n);
	}
}

static void flush_user(struct nft_tx *t, const struct item *it, const struct names *n)
{
	(void)it;
	nft_put_flush_chain(t, &n->t, n->name);
}

static void fill_user(struct nft_tx *t, const struct item *it, const struct names *n)
{
	nft_put_rules(t, it, &n->t, n->name);
}

static void pass_flush_chains(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (is(st, ITEM_CHAIN) && st->op != STEP_ADD && !table_goes(p, st->old) &&
		    names_of(p->t, st->old, &n))
			nft_put_flush_chain(p->t, &n.t, n.name);
	}
	each_user_of_anew(p, flush_user);
}

static bool base_equal(const struct nft_base *a, const struct nft_base *b)
{
	return a->is == b->is && !strcmp(a->type, b->type) && a->hook == b->hook &&
	       a->policy == b->policy && a->prio == b->prio;
}

static int both_bases(const struct step *st, int family, struct nft_base *ret_old,
		      struct nft_base *ret_new)
{
	const char *rules;

	return nft_base_parse(st->old->val, family, ret_old, &rules) ||
			       nft_base_parse(st->new->val, family, ret_new, &rules) ?
		       -EINVAL :
		       0;
}

/* a base chain's hook and policy can't be changed in place */
static bool chain_anew(struct nft_tx *t, const struct step *st, const struct names *n)
{
	struct nft_base old, new;

	if (st->op != STEP_REPLACE)
		return false;
	if (both_bases(st, n->t.family, &old, &new)) {
		nft_tx_fail(t, -EINVAL);
		return false;
	}
	return !base_equal(&old, &new);
}

static const struct nft_base no_base;

static void pass_del_anew(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (st->op != STEP_REPLACE || !names_of(p->t, st->new, &n))
			continue;
		if (is(st, ITEM_SET))
			nft_put_set_del(p->t, &n.t, n.name);
		else if (is(st, ITEM_CHAIN) && chain_anew(p->t, st, &n))
			nft_put_chain(p->t, NFT_MSG_DELCHAIN, &n.t, n.name, &no_base);
	}
}

static void pass_add_tables(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++)
		if (is(&p->steps[i], ITEM_TABLE) && p->steps[i].op == STEP_ADD &&
		    names_of(p->t, p->steps[i].new, &n))
			nft_put_table(p->t, NFT_MSG_NEWTABLE, n.t.family, n.t.table);
}

static void add_set(struct nft_tx *t, const struct item *it, const struct names *n)
{
	struct nft_spec spec;
	struct nftnl_set *s;
	int r = nft_spec_parse(it->val, &spec);

	if (r) {
		nft_tx_fail(t, r);
		return;
	}
	s = nft_set_make(&n->t, n->name, &spec, ++t->set_id);
	if (!s) {
		nft_tx_fail(t, -ENOMEM);
		return;
	}
	nft_put_set_new(t, &n->t, s);
	nftnl_set_free(s);
}

static void pass_add_sets(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++)
		if (is(&p->steps[i], ITEM_SET) && p->steps[i].op != STEP_DEL &&
		    names_of(p->t, p->steps[i].new, &n))
			add_set(p->t, p->steps[i].new, &n);
}

static void pass_add_chains(struct plan *p)
{
	struct names n;
	struct nft_base b;
	const char *rules;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (!is(st, ITEM_CHAIN) || st->op == STEP_DEL || !names_of(p->t, st->new, &n))
			continue;
		if (nft_base_parse(st->new->val, n.t.family, &b, &rules))
			nft_tx_fail(p->t, -EINVAL);
		else if (st->op == STEP_ADD || chain_anew(p->t, st, &n))
			nft_put_chain(p->t, NFT_MSG_NEWCHAIN, &n.t, n.name, &b);
	}
}

/* a set made anew takes all its elements, not only those of the steps */
static void refill_set(struct heap *h, struct nft_tx *t, const struct item *set)
{
	size_t i, to;

	program_range(t->all, t->ns, ITEM_ELEM, &i, &to);
	for (; i < to && !t->err; i++)
		if (set_of_elem(t->all->items[i].key, set->key))
			heap_add(h, &t->all->items[i]);
}

static void pass_add_elems(struct plan *p)
{
	struct heap h = { .t = p->t, .type = NFT_MSG_NEWSETELEM };
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (is(st, ITEM_SET) && st->op == STEP_REPLACE)
			refill_set(&h, p->t, st->new);
		else if (is(st, ITEM_ELEM) && st->op != STEP_DEL && !set_goes(p, st->new))
			heap_add(&h, st->new);
	}
	heap_flush(&h);
}

static void pass_fill_chains(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++)
		if (is(&p->steps[i], ITEM_CHAIN) && p->steps[i].op != STEP_DEL &&
		    names_of(p->t, p->steps[i].new, &n))
			nft_put_rules(p->t, p->steps[i].new, &n.t, n.name);
	each_user_of_anew(p, fill_user);
}

static void pass_del(struct plan *p, enum item_kind kind)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (!is(st, kind) || st->op != STEP_DEL || !names_of(p->t, st->old, &n))
			continue;
		if (kind == ITEM_TABLE)
			nft_put_table(p->t, NFT_MSG_DELTABLE, n.t.family, n.t.table);
		else if (table_goes(p, st->old))
			continue;
		else if (kind == ITEM_CHAIN)
			nft_put_chain(p->t, NFT_MSG_DELCHAIN, &n.t, n.name, &no_base);
		else
			nft_put_set_del(p->t, &n.t, n.name);
	}
}

/* ---- the stamp ---- */

void nft_stamp_key(const char *hash, uint32_t gen, uint8_t ret[20])
{
	size_t i;

	/* 32 hex digits as four words, and the generation, each as a number */
	for (i = 0; i < 4; i++) {
		char part[9] = { 0 };
		uint32_t v;

		memcpy(part, hash + 8 * i, 8);
		v = (uint32_t)strtoul(part, NULL, 16);
		memcpy(ret + 4 * i, &v, 4);
	}
	memcpy(ret + 16, &gen, 4);
}

static void put_stamp(struct nft_tx *t, const char *hash, uint32_t gen)
{
	const struct nft_type *mark = nft_type_by_id(T_MARK);
	struct nft_spec spec = { .field = { mark, mark, mark, mark, mark },
				 .n_fields = 5,
				 .key_size = 20 };
	struct nft_table_name n = { .family = NFPROTO_IPV4, .table = STAMP_TABLE };
	struct nftnl_set *s = nft_set_make(&n, STAMP_SET, &spec, ++t->set_id);
	struct nftnl_set_elem *el = nftnl_set_elem_alloc();
	uint8_t key[20] = { 0 };

	t->now = NULL;
	if (strlen(hash) != 32)
		nft_tx_fail(t, -EINVAL);
	else
		nft_stamp_key(hash, gen, key);
	if (!s || !el || nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, key, sizeof(key))) {
		nft_tx_fail(t, -ENOMEM);
		if (el)
			nftnl_set_elem_free(el);
	} else {
		nft_put_table(t, NFT_MSG_NEWTABLE, n.family, n.table);
		nft_put_set_new(t, &n, s);
		nft_put_flush_set(t, &n, STAMP_SET);
		nftnl_set_elem_add(s, el); /* owns it */
		nft_put_elems(t, &n, s, NFT_MSG_NEWSETELEM);
	}
	if (s)
		nftnl_set_free(s);
}

/* what a commit makes of generation "gen": 0 is left out */
static uint32_t gen_after(uint32_t gen)
{
	return gen + 1 ? gen + 1 : 1;
}

static void plan_done(struct plan *p)
{
	free(p->anew);
	free(p->sets);
	free(p->tables);
}

static int plan_init(struct plan *p)
{
	size_t i;

	p->anew = calloc(p->n + 1, sizeof(*p->anew));
	p->sets = calloc(p->n + 1, sizeof(*p->sets));
	p->tables = calloc(p->n + 1, sizeof(*p->tables));
	if (!p->anew || !p->sets || !p->tables) {
		plan_done(p);
		return -ENOMEM;
	}
	for (i = 0; i < p->n; i++) {
		const struct step *st = &p->steps[i];

		if (is(st, ITEM_TABLE) && st->op == STEP_DEL)
			p->tables[p->n_tables++] = st->old->key;
		if (!is(st, ITEM_SET) || st->op == STEP_ADD)
			continue;
		p->sets[p->n_sets++] = st->old->key;
		if (st->op == STEP_REPLACE)
			p->anew[p->n_anew++] = st->new->key;
	}
	return 0;
}

static void make_steps(struct nft_tx *t, const struct step *steps, size_t n)
{
	struct plan p = { .t = t, .steps = steps, .n = n };

	if (plan_init(&p)) {
		nft_tx_fail(t, -ENOMEM);
		return;
	}
	pass_del_elems(&p);
	pass_flush_chains(&p);
	pass_del_anew(&p);
	pass_add_tables(&p);
	pass_add_sets(&p);
	pass_add_chains(&p);
	pass_add_elems(&p);
	pass_fill_chains(&p);
	pass_del(&p, ITEM_CHAIN);
	pass_del(&p, ITEM_SET);
	pass_del(&p, ITEM_TABLE);
	plan_done(&p);
}

int nft_commit(struct nft *s, const struct step *steps, size_t n, const struct program *all,
	       const char *ns, const char *hash, struct err *e)
{
	struct nft_tx t = { .s = s, .all = all, .ns = ns, .e = e };
	uint32_t gen = s->gen;

	nft_tx_begin(&t, gen);
	if (!t.err)
		make_steps(&t, steps, n);
	if (!t.err)
		put_stamp(&t, hash, gen_after(gen));
	nft_tx_end(&t);
	return nft_tx_commit(&t, gen_after(gen));
}

/* ---- all anew ---- */

static int del_table_cb(int family, const char *table, void *arg)
{
	struct nft_tx *t = arg;

	nft_put_table(t, NFT_MSG_DELTABLE, family, table);
	return t->err;
}

/* every nft item of the namespace as a step that adds it */
static struct step *steps_of(const struct program *all, const char *ns, size_t *ret_n)
{
	size_t i, from, to, n = 0;
	struct step *steps;

	program_range(all, ns, ITEM_N_KINDS, &from, &to);
	steps = calloc(to - from + 1, sizeof(*steps));
	if (!steps)
		return NULL;
	for (i = from; i < to; i++) {
		const struct item *it = &all->items[i];

		if (it->kind >= ITEM_TABLE && it->kind <= ITEM_ELEM)
			steps[n++] = (struct step){ .op = STEP_ADD, .phase = 2, .new = it };
	}
	*ret_n = n;
	return steps;
}

int nft_replace(struct nft *s, const struct program *all, const char *ns, const char *hash,
		struct err *e)
{
	struct nft_tx t = { .s = s, .all = all, .ns = ns, .e = e };
	auto_free struct step *steps = NULL;
	uint32_t gen;
	size_t n = 0;
	int r = nft_gen_read(s, &gen);

	if (r)
		return err_set(e, ERR_KERNEL, -r, "%s: nftables: %s", ns, strerror(-r));
	steps = steps_of(all, ns, &n);
	if (!steps)
		return err_set(e, ERR_INTERNAL, ENOMEM, "%s: out of memory", ns);
	nft_tx_begin(&t, gen);
	r = t.err ? 0 : nft_tables_each(s, del_table_cb, &t);
	if (r && !t.err)
		nft_tx_fail(&t, r);
	if (!t.err)
		make_steps(&t, steps, n);
	if (!t.err)
		put_stamp(&t, hash, gen_after(gen));
	nft_tx_end(&t);
	return nft_tx_commit(&t, gen_after(gen));
}

/* ---- the socket ---- */

static int sock_setup(struct nft *s, int fd)
{
	int one = 1;

	s->sock = mnl_socket_fdopen(fd); /* owns it */
	if (!s->sock) {
		close(fd);
		return -ENOMEM;
	}
	if (setsockopt(fd, SOL_NETLINK, NETLINK_EXT_ACK, &one, sizeof(one)) ||
	    setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one)) ||
	    mnl_socket_bind(s->sock, 0, MNL_SOCKET_AUTOPID))
		return -errno;
	return nft_port_add(mnl_socket_get_portid(s->sock));
}

int nft_open(int ns_fd, struct nft **ret, struct err *e)
{
	struct nft *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return err_set(e, ERR_INTERNAL, ENOMEM, "nftables socket: out of memory");
	s->seq = 1;
	r = fault_hit();
	if (!r)
		r = ns_socket(ns_fd, AF_NETLINK, SOCK_RAW, NETLINK_NETFILTER);
	if (r >= 0)
		r = sock_setup(s, r);
	if (!r)
		r = nft_gen_read(s, &s->gen);
	if (r) {
		nft_close(s);
		return err_set(e, ERR_KERNEL, -r, "nftables socket: %s", strerror(-r));
	}
	*ret = s;
	return 0;
}

struct nft *nft_close(struct nft *s)
{
	if (!s)
		return NULL;
	if (s->sock)
		mnl_socket_close(s->sock);
	free(s);
	return NULL;
}
