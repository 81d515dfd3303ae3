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
 * what isn't there yet.  Errors name a message by its sequence number; "made[]"
 * keeps what each was for.
 *
 * The stamp (set "stamp" of the table "ip vpclab") holds the program's digest and
 * the generation that this commit makes: if both still hold later, nobody else has
 * committed since.
 */
#include "lib/nft.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <libmnl/libmnl.h>
#include <libnftnl/batch.h>
#include <libnftnl/chain.h>
#include <libnftnl/common.h>
#include <libnftnl/table.h>

#include "lib/nft_internal.h"
#include "lib/ns.h"
#include "lib/util.h"

/*
 * Must be larger than the largest message, an element list of just under 64 KiB:
 * nftnl_batch_update() drops a message that doesn't fit without a word.
 */
#define PAGE_SIZE_NFT (128 * 1024)
#define SENTENCE_SIZE 200

struct made { /* what a message was for; borrows */
	const struct item *it;
	const char *rule; /* within a chain's value; NULL */
};

struct tx {
	struct nft *s;
	const struct program *all;
	const char *ns;
	struct nftnl_batch *b;
	struct made *made; /* by sequence number, from first_seq on */
	size_t n_made, cap_made;
	uint32_t first_seq, set_id;
	int err; /* sticks: -errno of building */
	struct err *e;
	const struct item *now; /* what is being made */
	const char *now_rule;
	struct {
		uint32_t seq;
		int err;
		char sentence[SENTENCE_SIZE];
	} failed;
	bool acked;
};

/* ---- messages ---- */

static void tx_fail(struct tx *t, int r)
{
	if (t->err)
		return;
	t->err = r;
	err_set(t->e, r == -ENOMEM ? ERR_INTERNAL : ERR_KERNEL, -r, "%s: %s \"%.150s\": %s", t->ns,
		t->now ? item_kind_name(t->now->kind) : "nft", t->now ? t->now->key : "",
		strerror(-r));
}

static int remember(struct tx *t)
{
	if (t->n_made == t->cap_made) {
		size_t cap = t->cap_made ? t->cap_made * 2 : 64;
		struct made *m = reallocarray(t->made, cap, sizeof(*m));

		if (!m)
			return -ENOMEM;
		t->made = m;
		t->cap_made = cap;
	}
	t->made[t->n_made++] = (struct made){ .it = t->now, .rule = t->now_rule };
	return 0;
}

static struct nlmsghdr *hdr(struct tx *t, uint16_t type, int family, uint16_t flags)
{
	if (remember(t))
		tx_fail(t, -ENOMEM);
	return nftnl_nlmsg_build_hdr(nftnl_batch_buffer(t->b), type, (uint16_t)family, flags,
				     t->s->seq++);
}

static void put(struct tx *t)
{
	int r = fault_hit();

	if (r)
		tx_fail(t, r);
	if (nftnl_batch_update(t->b) < 0)
		tx_fail(t, -ENOMEM);
}

static void put_table(struct tx *t, uint16_t type, int family, const char *name)
{
	struct nftnl_table *x = nftnl_table_alloc();

	if (!x || nftnl_table_set_str(x, NFTNL_TABLE_NAME, name)) {
		nftnl_table_free(x);
		tx_fail(t, -ENOMEM);
		return;
	}
	nftnl_table_set_u32(x, NFTNL_TABLE_FAMILY, (uint32_t)family);
	nftnl_table_nlmsg_build_payload(
		hdr(t, type, family, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), x);
	put(t);
	nftnl_table_free(x);
}

static void put_set_del(struct tx *t, const struct nft_table_name *n, const char *name)
{
	struct nftnl_set *x = nftnl_set_alloc();

	if (!x || nftnl_set_set_str(x, NFTNL_SET_TABLE, n->table) ||
	    nftnl_set_set_str(x, NFTNL_SET_NAME, name)) {
		tx_fail(t, -ENOMEM);
	} else {
		nftnl_set_nlmsg_build_payload(hdr(t, NFT_MSG_DELSET, n->family, 0), x);
		put(t);
	}
	if (x)
		nftnl_set_free(x);
}

/* a set, not its elements */
static void put_set_new(struct tx *t, const struct nft_table_name *n, struct nftnl_set *x)
{
	nftnl_set_nlmsg_build_payload(hdr(t, NFT_MSG_NEWSET, n->family, NLM_F_CREATE), x);
	put(t);
}

/* the elements of "x", in as many messages as it takes.  The loop goes by what the
 * builder returns: the iterator itself never ends */
static void put_elems(struct tx *t, const struct nft_table_name *n, struct nftnl_set *x,
		      uint16_t type)
{
	struct nftnl_set_elems_iter *it = nftnl_set_elems_iter_create(x);
	int more;

	if (!it) {
		tx_fail(t, -ENOMEM);
		return;
	}
	do {
		more = nftnl_set_elems_nlmsg_build_payload_iter(
			hdr(t, type, n->family, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0), it);
		if (more < 0)
			tx_fail(t, -ENOMEM);
		put(t);
	} while (more > 0 && !t->err);
	nftnl_set_elems_iter_destroy(it);
}

/* all elements of a set, or all rules of a chain */
static void put_flush_set(struct tx *t, const struct nft_table_name *n, const char *name)
{
	struct nlmsghdr *h = hdr(t, NFT_MSG_DELSETELEM, n->family, 0);

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, n->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, name);
	put(t);
}

static void put_flush_chain(struct tx *t, const struct nft_table_name *n, const char *name)
{
	struct nlmsghdr *h = hdr(t, NFT_MSG_DELRULE, n->family, 0);

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, n->table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, name);
	put(t);
}

static void put_rule(struct tx *t, const struct nft_table_name *n, struct nft_rule *r)
{
	size_t i;

	for (i = 0; i < r->n_anon; i++) {
		put_set_new(t, n, r->anon[i]);
		put_elems(t, n, r->anon[i], NFT_MSG_NEWSETELEM);
	}
	nftnl_rule_nlmsg_build_payload(
		hdr(t, NFT_MSG_NEWRULE, n->family, NLM_F_CREATE | NLM_F_APPEND), r->rule);
	put(t);
}

/* ---- chains ---- */

struct base {
	bool is;
	char type[16];
	uint32_t hook, policy;
	int32_t prio;
};

static int hook_number(int family, const char *name, uint32_t *ret)
{
	static const char *const ip[] = { "prerouting", "input", "forward", "output",
					  "postrouting" };
	static const char *const arp[] = { "input", "output" };
	const char *const *names = family == NFPROTO_ARP ? arp : ip;
	size_t n = family == NFPROTO_ARP ? ARRAY_SIZE(arp) : ARRAY_SIZE(ip), i;

	for (i = 0; i < n; i++) {
		if (!strcmp(names[i], name)) {
			*ret = (uint32_t)i;
			return 0;
		}
	}
	return -EINVAL;
}

static int priority(const char *w, int32_t *ret)
{
	static const struct {
		const char *name;
		int32_t v;
	} names[] = {
		{ "raw", -300 }, { "mangle", -150 }, { "dstnat", -100 },
		{ "filter", 0 }, { "security", 50 }, { "srcnat", 100 },
	};
	uint64_t v;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (!strcmp(names[i].name, w)) {
			*ret = names[i].v;
			return 0;
		}
	}
	if (parse_u64(w + (*w == '-'), 0, INT32_MAX, &v))
		return -EINVAL;
	*ret = *w == '-' ? -(int32_t)v : (int32_t)v;
	return 0;
}

/* "type filter hook forward priority -20; policy drop;" and the first rule's line */
static int base_parse(const char *val, int family, struct base *ret, const char **ret_rules)
{
	struct base b = { .policy = NF_ACCEPT };
	char hook[16], prio[16], policy[16] = "accept";
	const char *s;
	int n = 0;

	*ret_rules = val;
	if (strncmp(val, "type ", 5)) {
		*ret = b;
		return 0;
	}
	if (sscanf(val, "type %15[a-z] hook %15[a-z] priority %15[a-z0-9-] ;%n", b.type, hook, prio,
		   &n) != 3 ||
	    !n)
		return -EINVAL;
	s = val + n;
	s += strspn(s, " ");
	if (*s && *s != '\n') {
		n = 0;
		if (sscanf(s, "policy %15[a-z] ;%n", policy, &n) != 1 || !n)
			return -EINVAL;
		s += n;
		s += strspn(s, " ");
	}
	if ((*s && *s != '\n') || hook_number(family, hook, &b.hook) || priority(prio, &b.prio) ||
	    (strcmp(policy, "accept") && strcmp(policy, "drop")) ||
	    (strcmp(b.type, "filter") && strcmp(b.type, "nat") && strcmp(b.type, "route")))
		return -EINVAL;
	b.policy = strcmp(policy, "drop") ? NF_ACCEPT : NF_DROP;
	b.is = true;
	*ret = b;
	*ret_rules = *s ? s + 1 : s;
	return 0;
}

static bool base_equal(const struct base *a, const struct base *b)
{
	return a->is == b->is && !strcmp(a->type, b->type) && a->hook == b->hook &&
	       a->policy == b->policy && a->prio == b->prio;
}

static void put_chain(struct tx *t, uint16_t type, const struct nft_table_name *n, const char *name,
		      const struct base *b)
{
	struct nftnl_chain *x = nftnl_chain_alloc();

	if (!x || nftnl_chain_set_str(x, NFTNL_CHAIN_TABLE, n->table) ||
	    nftnl_chain_set_str(x, NFTNL_CHAIN_NAME, name) ||
	    (b->is && nftnl_chain_set_str(x, NFTNL_CHAIN_TYPE, b->type))) {
		tx_fail(t, -ENOMEM);
		nftnl_chain_free(x);
		return;
	}
	if (b->is) {
		nftnl_chain_set_u32(x, NFTNL_CHAIN_HOOKNUM, b->hook);
		nftnl_chain_set_s32(x, NFTNL_CHAIN_PRIO, b->prio);
		nftnl_chain_set_u32(x, NFTNL_CHAIN_POLICY, b->policy);
	}
	nftnl_chain_nlmsg_build_payload(
		hdr(t, type, n->family, type == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0), x);
	put(t);
	nftnl_chain_free(x);
}

static void fill_chain(struct tx *t, const struct item *it, const struct nft_table_name *n,
		       const char *name)
{
	struct nft_env env = { .all = t->all, .ns = t->ns, .set_id = &t->set_id };
	struct nft_rule r;
	struct base b;
	const char *s;

	if (base_parse(it->val, n->family, &b, &s)) {
		tx_fail(t, -EINVAL);
		return;
	}
	while (*s && !t->err) {
		size_t len = strcspn(s, "\n");
		auto_free char *line = strndup(s, len);
		struct err e;

		t->now_rule = s;
		if (!line) {
			tx_fail(t, -ENOMEM);
		} else if (len && nft_rule_build(&env, n, name, line, &r, &e)) {
			t->err = -e.errnum;
			err_set(t->e, e.code, e.errnum, "%s: chain %s: %s", t->ns, it->key, e.msg);
		} else if (len) {
			put_rule(t, n, &r);
			nft_rule_done(&r);
		}
		s += len + (s[len] == '\n');
	}
	t->now_rule = NULL;
}

/* ---- the passes over the steps ---- */

struct plan {
	struct tx *t;
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

static bool names_of(struct tx *t, const struct item *it, struct names *ret)
{
	t->now = it;
	if (nft_name_parse(it->key, &ret->t, ret->name,
			   it->kind == ITEM_ELEM ? &ret->elem : NULL) ||
	    !*ret->name != (it->kind == ITEM_TABLE) || (it->kind == ITEM_ELEM && !ret->elem)) {
		tx_fail(t, -EINVAL);
		return false;
	}
	return true;
}

/* the type of an element's set: of "all", or (deletions from a set that changes
 * are never sent) the same */
static int spec_of_elem(struct tx *t, const struct item *elem, struct nft_spec *ret)
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
	struct tx *t;
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
		put_elems(h->t, &h->n.t, h->set, h->type);
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
	struct tx *t = h->t;
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
			tx_fail(t, r ? r : -ENOMEM);
			return;
		}
	}
	r = nft_elem_add(h->set, &h->spec, h->n.elem,
			 h->type == NFT_MSG_NEWSETELEM ? it->val : NULL);
	if (r)
		tx_fail(t, r);
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
static void each_user_of_anew(struct plan *p, void (*fn)(struct tx *t, const struct item *it,
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

static void flush_user(struct tx *t, const struct item *it, const struct names *n)
{
	(void)it;
	put_flush_chain(t, &n->t, n->name);
}

static void fill_user(struct tx *t, const struct item *it, const struct names *n)
{
	fill_chain(t, it, &n->t, n->name);
}

static void pass_flush_chains(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (is(st, ITEM_CHAIN) && st->op != STEP_ADD && !table_goes(p, st->old) &&
		    names_of(p->t, st->old, &n))
			put_flush_chain(p->t, &n.t, n.name);
	}
	each_user_of_anew(p, flush_user);
}

static int both_bases(const struct step *st, int family, struct base *ret_old, struct base *ret_new)
{
	const char *rules;

	return base_parse(st->old->val, family, ret_old, &rules) ||
			       base_parse(st->new->val, family, ret_new, &rules) ?
		       -EINVAL :
		       0;
}

/* a base chain's hook and policy can't be changed in place */
static bool chain_anew(struct tx *t, const struct step *st, const struct names *n)
{
	struct base old, new;

	if (st->op != STEP_REPLACE)
		return false;
	if (both_bases(st, n->t.family, &old, &new)) {
		tx_fail(t, -EINVAL);
		return false;
	}
	return !base_equal(&old, &new);
}

static const struct base no_base;

static void pass_del_anew(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (st->op != STEP_REPLACE || !names_of(p->t, st->new, &n))
			continue;
		if (is(st, ITEM_SET))
			put_set_del(p->t, &n.t, n.name);
		else if (is(st, ITEM_CHAIN) && chain_anew(p->t, st, &n))
			put_chain(p->t, NFT_MSG_DELCHAIN, &n.t, n.name, &no_base);
	}
}

static void pass_add_tables(struct plan *p)
{
	struct names n;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++)
		if (is(&p->steps[i], ITEM_TABLE) && p->steps[i].op == STEP_ADD &&
		    names_of(p->t, p->steps[i].new, &n))
			put_table(p->t, NFT_MSG_NEWTABLE, n.t.family, n.t.table);
}

static void add_set(struct tx *t, const struct item *it, const struct names *n)
{
	struct nft_spec spec;
	struct nftnl_set *s;
	int r = nft_spec_parse(it->val, &spec);

	if (r) {
		tx_fail(t, r);
		return;
	}
	s = nft_set_make(&n->t, n->name, &spec, ++t->set_id);
	if (!s) {
		tx_fail(t, -ENOMEM);
		return;
	}
	put_set_new(t, &n->t, s);
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
	struct base b;
	const char *rules;
	size_t i;

	for (i = 0; i < p->n && !p->t->err; i++) {
		const struct step *st = &p->steps[i];

		if (!is(st, ITEM_CHAIN) || st->op == STEP_DEL || !names_of(p->t, st->new, &n))
			continue;
		if (base_parse(st->new->val, n.t.family, &b, &rules))
			tx_fail(p->t, -EINVAL);
		else if (st->op == STEP_ADD || chain_anew(p->t, st, &n))
			put_chain(p->t, NFT_MSG_NEWCHAIN, &n.t, n.name, &b);
	}
}

/* a set made anew takes all its elements, not only those of the steps */
static void refill_set(struct heap *h, struct tx *t, const struct item *set)
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
			fill_chain(p->t, p->steps[i].new, &n.t, n.name);
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
			put_table(p->t, NFT_MSG_DELTABLE, n.t.family, n.t.table);
		else if (table_goes(p, st->old))
			continue;
		else if (kind == ITEM_CHAIN)
			put_chain(p->t, NFT_MSG_DELCHAIN, &n.t, n.name, &no_base);
		else
			put_set_del(p->t, &n.t, n.name);
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

static void put_stamp(struct tx *t, const char *hash, uint32_t gen)
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
		tx_fail(t, -EINVAL);
	else
		nft_stamp_key(hash, gen, key);
	if (!s || !el || nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, key, sizeof(key))) {
		tx_fail(t, -ENOMEM);
		if (el)
			nftnl_set_elem_free(el);
	} else {
		put_table(t, NFT_MSG_NEWTABLE, n.family, n.table);
		put_set_new(t, &n, s);
		put_flush_set(t, &n, STAMP_SET);
		nftnl_set_elem_add(s, el); /* owns it */
		put_elems(t, &n, s, NFT_MSG_NEWSETELEM);
	}
	if (s)
		nftnl_set_free(s);
}

/* ---- sending ---- */

static void tx_begin(struct tx *t, uint32_t gen)
{
	struct nlmsghdr *h;

	t->b = nftnl_batch_alloc(PAGE_SIZE_NFT, PAGE_SIZE_NFT);
	if (!t->b) {
		tx_fail(t, -ENOMEM);
		return;
	}
	t->first_seq = t->s->seq;
	if (remember(t))
		tx_fail(t, -ENOMEM);
	h = nftnl_batch_begin(nftnl_batch_buffer(t->b), t->s->seq++);
	mnl_attr_put_u32(h, NFNL_BATCH_GENID, htonl(gen));
	put(t);
}

static void tx_end(struct tx *t)
{
	if (t->err)
		return;
	nftnl_batch_end(nftnl_batch_buffer(t->b), t->s->seq++);
	put(t);
}

static int error_cb(const struct nlmsghdr *h, void *arg)
{
	const struct nlmsgerr *err = mnl_nlmsg_get_payload(h);
	struct tx *t = arg;
	const struct nlattr *a;
	size_t at = sizeof(*err);

	if (h->nlmsg_seq - t->first_seq > t->n_made)
		return MNL_CB_OK; /* an answer to something earlier */
	if (!err->error) {
		t->acked = true;
		return MNL_CB_OK;
	}
	if (t->failed.err && t->failed.seq <= h->nlmsg_seq)
		return MNL_CB_OK;
	t->failed.seq = h->nlmsg_seq;
	t->failed.err = err->error;
	t->failed.sentence[0] = '\0';
	if (!(h->nlmsg_flags & NLM_F_CAPPED))
		at += err->msg.nlmsg_len - sizeof(err->msg);
	if (!(h->nlmsg_flags & NLM_F_ACK_TLVS) || h->nlmsg_len < NLMSG_HDRLEN + at)
		return MNL_CB_OK;
	mnl_attr_for_each(a, h, at) if (mnl_attr_get_type(a) == NLMSGERR_ATTR_MSG)
		snprintf(t->failed.sentence, SENTENCE_SIZE, "%.*s",
			 (int)mnl_attr_get_payload_len(a), mnl_attr_get_str(a));
	return MNL_CB_OK;
}

static int buffers(int fd, size_t total)
{
	/* the answers may be as many as the messages, and each is larger than it looks */
	int size = (int)(total * 4 + (1 << 18));

	return setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) ||
			       setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) ?
		       -errno :
		       0;
}

static int send_batch(struct tx *t)
{
	int fd = mnl_socket_get_fd(t->s->sock), n = nftnl_batch_iovec_len(t->b), i, r;
	struct sockaddr_nl sa = { .nl_family = AF_NETLINK };
	auto_free struct iovec *iov = calloc((size_t)n, sizeof(*iov));
	struct msghdr m = {
		.msg_name = &sa, .msg_namelen = sizeof(sa), .msg_iov = iov, .msg_iovlen = (size_t)n
	};
	size_t total = 0;

	if (!iov)
		return -ENOMEM;
	nftnl_batch_iovec(t->b, iov, (uint32_t)n);
	for (i = 0; i < n; i++)
		total += iov[i].iov_len;
	if (total > INT32_MAX / 8)
		return -EMSGSIZE;
	r = buffers(fd, total);
	return r ? r : sendmsg(fd, &m, 0) < 0 ? -errno : 0;
}

static int drain(struct tx *t)
{
	static char buf[65536] __attribute__((aligned(8)));
	static mnl_cb_t cbs[NLMSG_MIN_TYPE] = { [NLMSG_ERROR] = error_cb };

	/* all of it is there: the kernel answers before sendmsg() returns */
	for (;;) {
		ssize_t len = recv(mnl_socket_get_fd(t->s->sock), buf, sizeof(buf), MSG_DONTWAIT);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0)
			return errno == EAGAIN ? 0 : -errno;
		if (mnl_cb_run2(buf, (size_t)len, 0, 0, NULL, t, cbs, NLMSG_MIN_TYPE) < 0)
			return -errno;
	}
}

/* names what the kernel refused */
static int refused(struct tx *t)
{
	size_t i = t->failed.seq - t->first_seq;
	const struct made *m = i < t->n_made ? &t->made[i] : NULL;
	const char *said = t->failed.sentence;
	int r = t->failed.err;

	if (r == -ERESTART || (r == -EAGAIN && !i))
		return err_set(t->e, ERR_KERNEL, ESTALE, "%s: nftables were changed by another",
			       t->ns);
	if (!m || !m->it)
		return err_set(t->e, ERR_KERNEL, -r, "%s: nftables: %s%s%s", t->ns, strerror(-r),
			       *said ? ": " : "", said);
	return err_set(t->e, ERR_KERNEL, -r, "%s: %s \"%.100s\"%s%.*s: %s%s%.100s", t->ns,
		       item_kind_name(m->it->kind), m->it->key, m->rule ? ": " : "",
		       m->rule ? (int)strcspn(m->rule, "\n") : 0, m->rule ? m->rule : "",
		       strerror(-r), *said ? ": " : "", said);
}

/* sends what was built; t->s->gen is the new generation on success */
static int tx_commit(struct tx *t, uint32_t gen)
{
	int r = t->err;

	if (!r) {
		r = send_batch(t);
		if (!r)
			r = drain(t);
		if (r)
			err_set(t->e, ERR_KERNEL, -r, "%s: nftables: %s", t->ns, strerror(-r));
		else if (t->failed.err)
			r = refused(t);
		else
			t->s->gen = gen;
	}
	if (t->b)
		nftnl_batch_free(t->b);
	free(t->made);
	return r;
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

static void make_steps(struct tx *t, const struct step *steps, size_t n)
{
	struct plan p = { .t = t, .steps = steps, .n = n };

	if (plan_init(&p)) {
		tx_fail(t, -ENOMEM);
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
	struct tx t = { .s = s, .all = all, .ns = ns, .e = e };
	uint32_t gen = s->gen;

	tx_begin(&t, gen);
	if (!t.err)
		make_steps(&t, steps, n);
	if (!t.err)
		put_stamp(&t, hash, gen_after(gen));
	tx_end(&t);
	return tx_commit(&t, gen_after(gen));
}

/* ---- all anew ---- */

static int del_table_cb(int family, const char *table, void *arg)
{
	struct tx *t = arg;

	put_table(t, NFT_MSG_DELTABLE, family, table);
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
	struct tx t = { .s = s, .all = all, .ns = ns, .e = e };
	auto_free struct step *steps = NULL;
	uint32_t gen;
	size_t n = 0;
	int r = nft_gen_read(s, &gen);

	if (r)
		return err_set(e, ERR_KERNEL, -r, "%s: nftables: %s", ns, strerror(-r));
	steps = steps_of(all, ns, &n);
	if (!steps)
		return err_set(e, ERR_INTERNAL, ENOMEM, "%s: out of memory", ns);
	tx_begin(&t, gen);
	r = t.err ? 0 : nft_tables_each(s, del_table_cb, &t);
	if (r && !t.err)
		tx_fail(&t, r);
	if (!t.err)
		make_steps(&t, steps, n);
	if (!t.err)
		put_stamp(&t, hash, gen_after(gen));
	tx_end(&t);
	return tx_commit(&t, gen_after(gen));
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
