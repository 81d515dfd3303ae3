/* SPDX-License-Identifier: MIT */
/*
 * nft_put - single messages of a transaction: tables, sets, chains, elements and
 * the rules of a chain.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>

#include "lib/nft_internal.h"
#include "lib/util.h"

void nft_put_table(struct nft_tx *t, uint16_t type, int family, const char *name)
{
	struct nftnl_table *x = nftnl_table_alloc();

	if (!x || nftnl_table_set_str(x, NFTNL_TABLE_NAME, name)) {
		if (x)
			nftnl_table_free(x);
		nft_tx_fail(t, -ENOMEM);
		return;
	}
	nftnl_table_set_u32(x, NFTNL_TABLE_FAMILY, (uint32_t)family);
	nftnl_table_nlmsg_build_payload(
		nft_tx_hdr(t, type, family, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0), x);
	nft_tx_put(t);
	nftnl_table_free(x);
}

void nft_put_set_del(struct nft_tx *t, const struct nft_table_name *n, const char *name)
{
	struct nftnl_set *x = nftnl_set_alloc();

	if (!x || nftnl_set_set_str(x, NFTNL_SET_TABLE, n->table) ||
	    nftnl_set_set_str(x, NFTNL_SET_NAME, name)) {
		nft_tx_fail(t, -ENOMEM);
	} else {
		nftnl_set_nlmsg_build_payload(nft_tx_hdr(t, NFT_MSG_DELSET, n->family, 0), x);
		nft_tx_put(t);
	}
	if (x)
		nftnl_set_free(x);
}

/* a set, not its elements */
void nft_put_set_new(struct nft_tx *t, const struct nft_table_name *n, struct nftnl_set *x)
{
	nftnl_set_nlmsg_build_payload(nft_tx_hdr(t, NFT_MSG_NEWSET, n->family, NLM_F_CREATE), x);
	nft_tx_put(t);
}

/* the elements of "x", in as many messages as it takes.  The loop goes by what the
 * builder returns: the iterator itself never ends */
void nft_put_elems(struct nft_tx *t, const struct nft_table_name *n, struct nftnl_set *x,
		   uint16_t type)
{
	struct nftnl_set_elems_iter *it = nftnl_set_elems_iter_create(x);
	int more;

	if (!it) {
		nft_tx_fail(t, -ENOMEM);
		return;
	}
	do {
		more = nftnl_set_elems_nlmsg_build_payload_iter(
			nft_tx_hdr(t, type, n->family,
				   type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0),
			it);
		if (more < 0)
			nft_tx_fail(t, -ENOMEM);
		nft_tx_put(t);
	} while (more > 0 && !t->err);
	nftnl_set_elems_iter_destroy(it);
}

/* all elements of a set, or all rules of a chain */
void nft_put_flush_set(struct nft_tx *t, const struct nft_table_name *n, const char *name)
{
	struct nlmsghdr *h = nft_tx_hdr(t, NFT_MSG_DELSETELEM, n->family, 0);

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, n->table);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, name);
	nft_tx_put(t);
}

void nft_put_flush_chain(struct nft_tx *t, const struct nft_table_name *n, const char *name)
{
	struct nlmsghdr *h = nft_tx_hdr(t, NFT_MSG_DELRULE, n->family, 0);

	mnl_attr_put_strz(h, NFTA_RULE_TABLE, n->table);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, name);
	nft_tx_put(t);
}

static void put_rule(struct nft_tx *t, const struct nft_table_name *n, struct nft_rule *r)
{
	size_t i;

	for (i = 0; i < r->n_anon; i++) {
		nft_put_set_new(t, n, r->anon[i]);
		nft_put_elems(t, n, r->anon[i], NFT_MSG_NEWSETELEM);
	}
	nftnl_rule_nlmsg_build_payload(
		nft_tx_hdr(t, NFT_MSG_NEWRULE, n->family, NLM_F_CREATE | NLM_F_APPEND), r->rule);
	nft_tx_put(t);
}

/* ---- chains ---- */

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
int nft_base_parse(const char *val, int family, struct nft_base *ret, const char **ret_rules)
{
	struct nft_base b = { .policy = NF_ACCEPT };
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

void nft_put_chain(struct nft_tx *t, uint16_t type, const struct nft_table_name *n,
		   const char *name, const struct nft_base *b)
{
	struct nftnl_chain *x = nftnl_chain_alloc();

	if (!x || nftnl_chain_set_str(x, NFTNL_CHAIN_TABLE, n->table) ||
	    nftnl_chain_set_str(x, NFTNL_CHAIN_NAME, name) ||
	    (b->is && nftnl_chain_set_str(x, NFTNL_CHAIN_TYPE, b->type))) {
		nft_tx_fail(t, -ENOMEM);
		if (x)
			nftnl_chain_free(x);
		return;
	}
	if (b->is) {
		nftnl_chain_set_u32(x, NFTNL_CHAIN_HOOKNUM, b->hook);
		nftnl_chain_set_s32(x, NFTNL_CHAIN_PRIO, b->prio);
		nftnl_chain_set_u32(x, NFTNL_CHAIN_POLICY, b->policy);
	}
	nftnl_chain_nlmsg_build_payload(
		nft_tx_hdr(t, type, n->family, type == NFT_MSG_NEWCHAIN ? NLM_F_CREATE : 0), x);
	nft_tx_put(t);
	nftnl_chain_free(x);
}

void nft_put_rules(struct nft_tx *t, const struct item *it, const struct nft_table_name *n,
		   const char *name)
{
	struct nft_env env = { .all = t->all, .ns = t->ns, .set_id = &t->set_id };
	struct nft_rule r;
	struct nft_base b;
	const char *s;

	if (nft_base_parse(it->val, n->family, &b, &s)) {
		nft_tx_fail(t, -EINVAL);
		return;
	}
	while (*s && !t->err) {
		size_t len = strcspn(s, "\n");
		auto_free char *line = strndup(s, len);
		struct err e;

		t->now_rule = s;
		if (!line) {
			nft_tx_fail(t, -ENOMEM);
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
