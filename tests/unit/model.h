/* SPDX-License-Identifier: MIT */
/*
 * model - what the tests of store, compile and diff share: labs from text, random
 * labs from a seed, and a strict interpreter of steps that stands in for a kernel.
 */
#ifndef TEST_MODEL_H
#define TEST_MODEL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/program.h"
#include "lib/util.h"
#include "netd/compile.h"
#include "topology/store.h"

#define SEED "a seed for tests"

static inline struct lab *lab_of(const char *text)
{
	struct issues issues;
	struct lab *l = lab_parse(text, strlen(text), "test.json", NULL, &issues);

	for (size_t i = 0; i < issues.n_errors; i++)
		print_error("%u:%u: %s: %s\n", issues.errors[i].pos.line,
			    issues.errors[i].pos.column, issues.errors[i].path,
			    issues.errors[i].msg);
	issues_done(&issues);
	assert_non_null(l);
	return l;
}

/* the store of a text, after "old" (NULL: none) */
static inline struct store *store_of(const struct store *old, const char *text, struct ops *ret_ops)
{
	struct err e = { 0 };
	struct store *s = NULL;
	int r = store_commit(old, lab_of(text), SEED, NULL, &s, ret_ops, &e);

	if (r)
		print_error("%s: %s\n", e.path, e.msg);
	assert_int_equal(r, 0);
	return s;
}

static inline struct program program_of(const struct store *s)
{
	struct err e = { 0 };
	struct program p;
	int r = compile(s, &p, &e);

	if (r)
		print_error("%s: %s\n", e.path, e.msg);
	assert_int_equal(r, 0);
	return p;
}

/* caller frees */
static inline char *text_of(const struct program *p)
{
	struct buf b = BUF_INIT;
	char *s;

	program_print(p, &b);
	s = buf_steal(&b);
	assert_non_null(s);
	return s;
}

/* ---- a kernel, as strict about order as the real one ---- */

/* is there a device of this name in the namespace? */
static inline bool kernel_has_dev(const struct program *k, const char *ns, const char *dev)
{
	size_t i;

	if (!strcmp(dev, "lo"))
		return true;
	program_sync((struct program *)(uintptr_t)k);
	for (i = 0; i < k->n; i++) {
		const struct item *it = &k->items[i];
		char peer[32], peer_ns[160];

		if (it->kind != ITEM_LINK)
			continue;
		if (!strcmp(it->ns, ns) && !strcmp(it->key, dev))
			return true;
		if (!item_arg(it->val, "peer", peer, sizeof(peer)) &&
		    !item_arg(it->val, "peer-ns", peer_ns, sizeof(peer_ns)) &&
		    !strcmp(peer_ns, ns) && !strcmp(peer, dev))
			return true;
	}
	return false;
}

static inline bool kernel_link_fits(const struct program *k, const struct item *it)
{
	char peer[32], peer_ns[160];

	return !item_arg(it->val, "peer", peer, sizeof(peer)) &&
	       !item_arg(it->val, "peer-ns", peer_ns, sizeof(peer_ns)) &&
	       program_find(k, it->ns, ITEM_NS, "") && program_find(k, peer_ns, ITEM_NS, "") &&
	       !kernel_has_dev(k, it->ns, it->key) && !kernel_has_dev(k, peer_ns, peer);
}

static inline bool kernel_dev_exists(const struct program *k, const struct item *it)
{
	char dev[64];

	if (it->kind == ITEM_ROUTE) {
		if (item_arg(it->val, "dev", dev, sizeof(dev)))
			return true;
	} else {
		(void)snprintf(dev, sizeof(dev), "%.*s", (int)strcspn(it->key, " "), it->key);
	}
	return kernel_has_dev(k, it->ns, dev);
}

static inline bool kernel_elem_fits(const struct program *k, const struct item *it)
{
	char set[160], chain[200];

	(void)snprintf(set, sizeof(set), "%.*s", (int)strcspn(it->key, "\t"), it->key);
	if (!program_find(k, it->ns, ITEM_SET, set))
		return false;
	if (strncmp(it->val, "goto ", 5))
		return true;
	set[strcspn(set, " ") + 1 + strcspn(set + strcspn(set, " ") + 1, " ")] = '\0';
	(void)snprintf(chain, sizeof(chain), "%s %s", set, it->val + 5);
	return program_find(k, it->ns, ITEM_CHAIN, chain) != NULL;
}

/* carries out one step or fails the test */
static inline void kernel_step(struct program *k, const struct step *s)
{
	const struct item *it = s->new ? s->new : s->old;
	bool fits = true;
	size_t from, to;

	if (s->op == STEP_DEL) {
		if (it->kind == ITEM_NS) {
			program_range(k, it->ns, ITEM_SOCK, &from, &to);
			assert_int_equal(from, to);
			program_unset_ns(k, it->ns);
		} else {
			fits = program_find(k, it->ns, it->kind, it->key) != NULL;
			program_unset(k, it->ns, it->kind, it->key);
		}
		if (!fits)
			fail_msg("not there: %s %s %s", it->ns, item_kind_name(it->kind), it->key);
		return;
	}
	if (s->op == STEP_REPLACE && it->kind == ITEM_SET)
		program_unset(k, it->ns, it->kind, it->key);
	else if (s->op == STEP_ADD)
		fits = !program_find(k, it->ns, it->kind, it->key);
	if (it->kind == ITEM_LINK)
		fits = fits && kernel_link_fits(k, it);
	else if (it->kind == ITEM_ADDR || it->kind == ITEM_ROUTE || it->kind == ITEM_NEIGH)
		fits = fits && kernel_dev_exists(k, it);
	else if (it->kind == ITEM_ELEM)
		fits = fits && kernel_elem_fits(k, it);
	if (it->kind != ITEM_NS)
		fits = fits && program_find(k, it->ns, ITEM_NS, "");
	if (!fits)
		fail_msg("doesn't fit: %s %s %s: %s", it->ns, item_kind_name(it->kind), it->key,
			 it->val);
	program_set(k, it);
}

/* applying diff(a, b) to a gives b, and then there is nothing left to do */
static inline size_t assert_diff_leads(const struct program *a, const struct program *b)
{
	struct step *steps;
	struct program k;
	size_t n, again, i;
	char *have, *want;

	assert_int_equal(program_copy(a, &k), 0);
	assert_int_equal(program_diff(a, b, &steps, &n), 0);
	for (i = 0; i < n; i++) {
		if (i)
			assert_true(steps[i].phase >= steps[i - 1].phase);
		kernel_step(&k, &steps[i]);
	}
	free(steps);
	have = text_of(&k);
	want = text_of(b);
	assert_string_equal(have, want);
	free(have);
	free(want);
	assert_int_equal(program_diff(&k, b, &steps, &again), 0);
	free(steps);
	assert_int_equal(again, 0);
	program_done(&k);
	return n;
}

/* ---- random labs ---- */

struct random {
	uint64_t s;
};

static inline unsigned rnd(struct random *r, unsigned n)
{
	r->s ^= r->s << 13;
	r->s ^= r->s >> 7;
	r->s ^= r->s << 17;
	return n ? (unsigned)(r->s >> 11) % n : 0;
}

/* no two rules of a group may be the same: each "i" is of its own kind or ports */
static inline void random_rule(struct buf *b, struct random *r, unsigned n_groups, unsigned i)
{
	static const char *const cidrs[] = { "0.0.0.0/0",	"10.0.0.0/8",  "10.0.1.0/24",
					     "198.51.100.0/24", "10.0.1.5/32", "10.0.0.0/16" };
	unsigned kind = i < 2 && rnd(r, 2) ? i : 2 + rnd(r, 2), port = i * 400 + rnd(r, 4) * 100;

	if (kind == 0)
		buf_adds(b, "{\"protocol\":\"-1\"");
	else if (kind == 1)
		buf_printf(b, "{\"protocol\":\"icmp\",\"from_port\":%s", rnd(r, 2) ? "8" : "-1");
	else
		buf_printf(b, "{\"protocol\":\"%s\",\"from_port\":%u,\"to_port\":%u",
			   kind == 2 ? "udp" : "tcp", port, port + rnd(r, 300));
	if (rnd(r, 3))
		buf_printf(b, ",\"cidr_blocks\":[\"%s\",\"10.%u.0.0/16\"]}", cidrs[rnd(r, 6)],
			   rnd(r, 8) + 1);
	else if (rnd(r, 2))
		buf_printf(b, ",\"security_groups\":[\"g%u\"]}", rnd(r, n_groups));
	else
		buf_adds(b, ",\"self\":true}");
}

static inline void random_rules(struct buf *b, struct random *r, const char *name,
				unsigned n_groups)
{
	unsigned i, n = rnd(r, 5);

	buf_printf(b, "\"%s\":[", name);
	for (i = 0; i < n; i++) {
		buf_adds(b, i ? "," : "");
		random_rule(b, r, n_groups, i);
	}
	buf_adds(b, "]");
}

static inline void random_vpc(struct buf *b, struct random *r, unsigned v)
{
	bool igw = rnd(r, 4) != 0, nat = igw && rnd(r, 2);
	unsigned i, n_subnets = 1 + rnd(r, 4), n_groups = 1 + rnd(r, 4), n = rnd(r, 6);

	buf_printf(b, "\"v%u\":{\"cidr_block\":\"10.0.0.0/16\",\"internet_gateway\":%s", v,
		   igw ? "true" : "false");
	buf_printf(b, ",\"enable_dns_support\":%s", rnd(r, 4) ? "true" : "false");
	buf_adds(b, ",\"subnets\":{");
	for (i = 0; i < n_subnets; i++)
		buf_printf(b, "%s\"s%u\":{\"cidr_block\":\"10.0.%u.0/24\",\"route_table\":\"t%u\"}",
			   i ? "," : "", i, i + rnd(r, 2) * 100, rnd(r, 2));
	buf_adds(b, "},\"route_tables\":{\"t0\":{\"routes\":{");
	if (igw)
		buf_adds(b, "\"0.0.0.0/0\":\"internet_gateway\"");
	buf_printf(b, "}},\"t1\":{\"routes\":{%s\"192.168.%u.0/24\":\"blackhole\"}}}",
		   nat ? "\"0.0.0.0/0\":\"nat_gateway:n\"," : "", rnd(r, 3));
	if (nat)
		buf_printf(b, ",\"nat_gateways\":{\"n\":{\"subnet\":\"s%u\"}}", rnd(r, n_subnets));
	buf_adds(b, ",\"security_groups\":{");
	for (i = 0; i < n_groups; i++) {
		buf_printf(b, "%s\"g%u\":{", i ? "," : "", i);
		random_rules(b, r, "ingress", n_groups);
		buf_adds(b, ",");
		random_rules(b, r, "egress", n_groups);
		buf_adds(b, "}");
	}
	buf_adds(b, "},\"instances\":{");
	for (i = 0; i < n; i++)
		buf_printf(b,
			   "%s\"i%u-%u\":{\"subnet\":\"s%u\",\"security_groups\":[\"g%u\"],"
			   "\"source_dest_check\":%s,\"associate_public_ip_address\":%s,"
			   "\"serve\":[\"tcp/%u\"]}",
			   i ? "," : "", v, rnd(r, 2) ? i : i + 10, rnd(r, n_subnets),
			   rnd(r, n_groups), rnd(r, 5) ? "true" : "false",
			   rnd(r, 3) ? "false" : "true", 80 + rnd(r, 3));
	buf_adds(b, "}}");
}

/* a valid lab; labs of near seeds share many names.  Caller frees */
static inline char *random_lab(uint64_t seed)
{
	struct random r = { seed * 0x9e3779b97f4a7c15u + 1 };
	unsigned n_vpcs = 1 + rnd(&r, 2), n_hosts = rnd(&r, 3), n_functions = rnd(&r, 4), i;
	struct buf b = BUF_INIT;
	char *s;

	for (i = 0; i < 10; i++)
		(void)rnd(&r, 2);
	buf_adds(&b, "{\"version\":1,\"lab\":\"random\",\"internet\":{\"hosts\":{");
	for (i = 0; i < n_hosts; i++)
		buf_printf(&b, "%s\"h%u\":{\"ip\":\"198.51.100.%u\",\"serve\":[\"udp/%u\"]}",
			   i ? "," : "", i, 10 + i + rnd(&r, 2) * 10, 53 + rnd(&r, 2));
	buf_adds(&b, "}},\"roles\":{\"r\":{\"managed_policies\":"
		     "[\"AWSLambdaVPCAccessExecutionRole\"]}},\"vpcs\":{");
	for (i = 0; i < n_vpcs; i++) {
		buf_adds(&b, i ? "," : "");
		random_vpc(&b, &r, i);
	}
	buf_adds(&b, "},\"functions\":{");
	for (i = 0; i < n_functions; i++) {
		buf_printf(&b, "%s\"f%u\":{\"runtime\":\"exec\",\"command\":[\"cat\"]",
			   i ? "," : "", i);
		if (rnd(&r, 3))
			buf_printf(&b,
				   ",\"role\":\"r\",\"vpc_config\":{\"vpc\":\"v0\","
				   "\"subnets\":[\"s0\"],\"security_groups\":[\"g0\"%s]}",
				   rnd(&r, 2) ? ",\"default\"" : "");
		buf_adds(&b, "}");
	}
	buf_adds(&b, "}}");
	s = buf_steal(&b);
	assert_non_null(s);
	return s;
}

#endif
