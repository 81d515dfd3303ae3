/* SPDX-License-Identifier: MIT */
/*
 * nft_rule - one line of the grammar in lib/nft.h becomes expressions.
 *
 * Statements are read from left to right; each either begins with a field (a
 * match, or a look-up in a verdict map) or with a word of its own (a table of
 * them is below).  A word that nobody takes is an error with its place: a rule is
 * never made without one of its parts.  What nft(8) would make of the same line
 * is the measure, and the tests hold both against each other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>

#include "lib/buf.h"
#include "lib/nft_internal.h"
#include "lib/util.h"

#define COMMENT_MAX 128 /* nft(8)'s own limit */
#define IP_SUM_OFFSET 10

struct maker {
	const struct nft_env *env;
	const struct nft_table_name *t;
	struct nft_loader l;
	struct nft_words w;
	struct nft_rule *out;
	const char *why; /* NULL: a word is wrong */
};

static int because(struct maker *m, const char *why)
{
	m->why = why;
	return -EINVAL;
}

static struct nftnl_expr *expr(struct maker *m, const char *name)
{
	return nft_expr(&m->l, name);
}

static const char *word(struct maker *m)
{
	return nft_peek(&m->w, 0);
}

static bool take(struct maker *m, const char *w)
{
	return nft_take(&m->w, w);
}

/* ---- sets ---- */

/* "@NAME": its type */
static int find_set(struct maker *m, const char *w, struct nft_spec *ret)
{
	char key[2 * NFT_NAME_SIZE + 8];
	const struct item *it;

	if (w[0] != '@' || !w[1] || strlen(w) > NFT_NAME_SIZE)
		return because(m, "not a set");
	snprintf(key, sizeof(key), "%s %s %s", m->t->family == NFPROTO_ARP ? "arp" : "ip",
		 m->t->table, w + 1);
	it = program_find(m->env->all, m->env->ns, ITEM_SET, key);
	if (!it || nft_spec_parse(it->val, ret))
		return because(m, "no such set");
	return 0;
}

static int key_fits(struct maker *m, const struct nft_spec *sp, const struct nft_key *k)
{
	unsigned i;

	if (sp->n_fields != k->n)
		return because(m, "the set has another number of fields");
	for (i = 0; i < k->n; i++)
		if (k->any[i] ? nft_pad(sp->field[i]->size) != k->field[i]->size :
				sp->field[i] != k->field[i])
			return because(m, "the set has other types");
	return 0;
}

static int add_lookup(struct maker *m, const char *set, uint32_t id, int dreg, bool inverted)
{
	struct nftnl_expr *x = expr(m, "lookup");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SREG, NFT_REG32_00);
	if (dreg >= 0)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_DREG, (uint32_t)dreg);
	if (id)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_SET_ID, id);
	if (inverted)
		nftnl_expr_set_u32(x, NFTNL_EXPR_LOOKUP_FLAGS, NFT_LOOKUP_F_INV);
	return nftnl_expr_set_str(x, NFTNL_EXPR_LOOKUP_SET, set) ? -ENOMEM : 0;
}

/* [ byteorder reg = hton(reg) ] */
static int turn_field(struct maker *m, uint32_t at, unsigned size)
{
	struct nftnl_expr *x = expr(m, "byteorder");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_BYTEORDER_SREG, NFT_REG_OF(at));
	nftnl_expr_set_u32(x, NFTNL_EXPR_BYTEORDER_DREG, NFT_REG_OF(at));
	nftnl_expr_set_u32(x, NFTNL_EXPR_BYTEORDER_OP, NFT_BYTEORDER_HTON);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BYTEORDER_LEN, size);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BYTEORDER_SIZE, size);
	return 0;
}

/* each field that the set has turned round */
static int turn_fields(struct maker *m, const struct nft_spec *sp)
{
	uint32_t at = 0;
	unsigned i;
	int r = 0;

	for (i = 0; i < sp->n_fields && !r; at += nft_pad(sp->field[i++]->size))
		if (nft_is_turned(sp, i))
			r = turn_field(m, at, sp->field[i]->size);
	return r;
}

/* [ lookup reg set NAME ] */
static int match_set(struct maker *m, const struct nft_key *k, bool inverted)
{
	const char *name = word(m);
	struct nft_spec sp;
	int r = find_set(m, name, &sp);

	if (!r)
		r = key_fits(m, &sp, k);
	if (!r && (sp.data || sp.verdict))
		r = because(m, "a map, not a set");
	if (r)
		return r;
	m->w.at++;
	r = turn_fields(m, &sp);
	return r ? r : add_lookup(m, name + 1, 0, -1, inverted);
}

/* "vmap @MAP": [ lookup reg set NAME dreg verdict ] */
static int match_vmap(struct maker *m, const struct nft_key *k)
{
	const char *name = word(m);
	struct nft_spec sp;
	int r = find_set(m, name, &sp);

	if (!r)
		r = key_fits(m, &sp, k);
	if (!r && !sp.verdict)
		r = because(m, "not a map of verdicts");
	if (r)
		return r;
	m->w.at++;
	return add_lookup(m, name + 1, 0, NFT_REG_VERDICT, false);
}

/* FIELD map @MAP, into the first register: data of type "type" */
static int load_mapped(struct maker *m, unsigned type)
{
	struct nft_key k;
	struct nft_spec sp;
	const char *name;
	int r = nft_key_load(&m->l, &m->w, false, &k);

	if (r)
		return r == -ENOENT ? -EINVAL : r;
	if (!take(m, "map"))
		return -EINVAL;
	name = word(m);
	r = find_set(m, name, &sp);
	if (!r)
		r = key_fits(m, &sp, &k);
	if (!r && (!sp.data || sp.data->id != type))
		r = because(m, "the map has another type of data");
	if (r)
		return r;
	m->w.at++;
	return add_lookup(m, name + 1, 0, NFT_REG32_00, false);
}

/* ---- matches ---- */

static int add_cmp(struct maker *m, uint32_t op, const void *v, uint32_t size)
{
	struct nftnl_expr *x = expr(m, "cmp");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, op);
	return nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, v, size) ? -ENOMEM : 0;
}

/* reg = (reg & mask) ^ xor */
static int add_bitwise(struct maker *m, const uint8_t *mask, const uint8_t * xor, uint32_t size)
{
	struct nftnl_expr *x = expr(m, "bitwise");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, size);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	return nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, mask, size) ||
			       nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, xor, size) ?
		       -ENOMEM :
		       0;
}

static int add_and(struct maker *m, const uint8_t *mask, uint32_t size)
{
	static const uint8_t zero[NFT_KEY_MAX];

	return add_bitwise(m, mask, zero, size);
}

/* "ct state established,related": any of the bits; "!= new": not just this one */
static int match_bits(struct maker *m, const struct nft_type *t, const uint8_t *v, bool several,
		      bool inverted)
{
	static const uint8_t zero[NFT_KEY_MAX];
	int r;

	/* nft(8) takes "!= new,related" for "not both at once", which nobody means */
	if (inverted && several)
		return because(m, "several flags can't be excluded at once");
	if (inverted)
		return add_cmp(m, NFT_CMP_NEQ, v, t->size);
	r = add_and(m, v, t->size);
	return r ? r : add_cmp(m, NFT_CMP_NEQ, zero, t->size);
}

static int match_range(struct maker *m, const struct nft_type *t, const uint8_t *lo,
		       const uint8_t *hi, bool inverted)
{
	struct nftnl_expr *x;
	int r;

	if (!inverted) {
		r = add_cmp(m, NFT_CMP_GTE, lo, t->size);
		return r ? r : add_cmp(m, NFT_CMP_LTE, hi, t->size);
	}
	x = expr(m, "range");
	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_RANGE_SREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_RANGE_OP, NFT_RANGE_NEQ);
	return nftnl_expr_set(x, NFTNL_EXPR_RANGE_FROM_DATA, lo, t->size) ||
			       nftnl_expr_set(x, NFTNL_EXPR_RANGE_TO_DATA, hi, t->size) ?
		       -ENOMEM :
		       0;
}

/* an address's prefix, which nft(8) shows as one only if it is masked */
static int match_prefix(struct maker *m, const uint8_t *lo, const uint8_t *hi, bool inverted)
{
	uint8_t mask[4];
	int i, r;

	for (i = 0; i < 4; i++)
		mask[i] = (uint8_t) ~(lo[i] ^ hi[i]);
	r = add_and(m, mask, sizeof(mask));
	return r ? r : add_cmp(m, inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, lo, sizeof(mask));
}

static int match_one(struct maker *m, const struct nft_key *k, bool inverted)
{
	const struct nft_type *t = k->field[0];
	uint8_t lo[NFT_KEY_MAX], hi[NFT_KEY_MAX];
	const char *v = word(m);
	size_t len;
	int r;

	if (k->present && (!strcmp(v, "missing") || !strcmp(v, "exists"))) {
		/* another question to the same table: is there a device at all? */
		nftnl_expr_set_u32(m->l.fib, NFTNL_EXPR_FIB_FLAGS,
				   nftnl_expr_get_u32(m->l.fib, NFTNL_EXPR_FIB_FLAGS) |
					   NFTA_FIB_F_PRESENT);
		m->w.at++;
		memset(lo, 0, sizeof(uint32_t));
		lo[htonl(1) == 1 ? 3 : 0] = !strcmp(v, "exists");
		return add_cmp(m, inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, lo, sizeof(uint32_t));
	}
	r = nft_value(t, v, lo, hi);
	if (r < 0)
		return r;
	m->w.at++;
	if (t->id == T_IFNAME && r) {
		len = strcspn(v + (*v == '"'), "*");
		return add_cmp(m, inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, lo, (uint32_t)len);
	}
	if (r && t->id == T_IPV4 && strchr(v, '/'))
		return match_prefix(m, lo, hi, inverted);
	if (r)
		return match_range(m, t, lo, hi, inverted);
	if (t->bits && !k->masked)
		return match_bits(m, t, lo, strchr(v, ',') != NULL, inverted);
	return add_cmp(m, inverted ? NFT_CMP_NEQ : NFT_CMP_EQ, lo, t->size);
}

/* the words of "{ V, V }", without braces and commas, one element each */
static int anon_elems(struct maker *m, struct nftnl_set *s, const struct nft_spec *sp)
{
	int r;

	do {
		r = nft_elem_add(s, sp, word(m), "");
		if (r)
			return r;
		m->w.at++;
	} while (take(m, ","));
	return take(m, "}") ? 0 : -EINVAL;
}

/* does "{ ... }" hold a range? */
static bool anon_ranges(struct maker *m, const struct nft_type *t)
{
	uint8_t lo[NFT_KEY_MAX], hi[NFT_KEY_MAX];
	size_t i;

	for (i = 0; *nft_peek(&m->w, i) && strcmp(nft_peek(&m->w, i), "}"); i++)
		if (nft_value(t, nft_peek(&m->w, i), lo, hi) == 1)
			return true;
	return false;
}

static int match_anon(struct maker *m, const struct nft_key *k, bool inverted)
{
	struct nft_spec sp = { .n_fields = 1,
			       .field = { k->field[0] },
			       .key_size = nft_pad(k->field[0]->size) };
	struct nftnl_set *s;
	uint32_t id;

	if (k->n != 1 || k->field[0]->bits)
		return because(m, "a list fits one plain field");
	if (m->out->n_anon == NFT_ANON_MAX)
		return because(m, "too many lists");
	sp.interval = anon_ranges(m, k->field[0]);
	if (sp.interval && k->field[0]->host_order && k->field[0]->id != T_IFNAME)
		return because(m, "no ranges of this field");
	id = ++*m->env->set_id;
	s = nft_set_make(m->t, "__set%d", &sp, id);
	if (!s)
		return -ENOMEM;
	m->out->anon[m->out->n_anon++] = s;
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS,
			  nftnl_set_get_u32(s, NFTNL_SET_FLAGS) | NFT_SET_ANONYMOUS |
				  NFT_SET_CONSTANT);
	if (anon_elems(m, s, &sp))
		return -EINVAL;
	return add_lookup(m, "__set%d", id, -1, inverted);
}

/* "> N" of a counter, which the kernel compares byte by byte from the left */
static int match_above(struct maker *m, const struct nft_key *k)
{
	const struct nft_type *t = k->field[0];
	uint8_t v[NFT_KEY_MAX], turned[sizeof(uint64_t)];
	unsigned i;
	int r;

	if (k->n != 1 || t->id != T_PACKETS)
		return because(m, "only counters are compared that way");
	if (nft_value(t, word(m), v, NULL))
		return -EINVAL;
	m->w.at++;
	for (i = 0; i < t->size; i++)
		turned[i] = htonl(1) == 1 ? v[i] : v[t->size - 1 - i];
	r = turn_field(m, 0, t->size);
	return r ? r : add_cmp(m, NFT_CMP_GT, turned, t->size);
}

/* FIELD ... : what stands behind the fields */
static int do_match(struct maker *m, const struct nft_key *k)
{
	bool inverted;

	if (take(m, "vmap"))
		return match_vmap(m, k);
	if (take(m, ">"))
		return match_above(m, k);
	inverted = take(m, "!=");
	if (!inverted)
		(void)take(m, "=="); /* may be left out */
	if (*word(m) == '@')
		return match_set(m, k, inverted);
	if (take(m, "{"))
		return match_anon(m, k, inverted);
	if (k->n != 1)
		return because(m, "several fields need a set");
	/* what the rule itself has made sure of need not be asked again */
	if (k->field[0]->id == T_PROTO && !inverted && !m->l.l4) {
		uint8_t v[NFT_KEY_MAX];

		if (!nft_value(k->field[0], word(m), v, NULL))
			m->l.l4 = v[0];
	}
	return match_one(m, k, inverted);
}

/* ---- statements ---- */

static int num(const char *s, uint64_t max, uint64_t *ret)
{
	return strlen(s) && strspn(s, "0123456789") == strlen(s) && !parse_u64(s, 0, max, ret) ?
		       0 :
		       -EINVAL;
}

static int add_verdict(struct maker *m, int v, const char *chain)
{
	struct nftnl_expr *x = expr(m, "immediate");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_VERDICT, (uint32_t)v);
	return *chain && nftnl_expr_set_str(x, NFTNL_EXPR_IMM_CHAIN, chain) ? -ENOMEM : 0;
}

static int st_verdict(struct maker *m)
{
	const char *name = m->w.w[m->w.at - 1];
	bool chain = !strcmp(name, "jump") || !strcmp(name, "goto");
	const char *to = chain ? word(m) : "";
	int v;

	if (nft_verdict(name, to, &v))
		return -EINVAL;
	m->w.at += chain;
	return add_verdict(m, v, to);
}

static int st_counter(struct maker *m)
{
	struct nftnl_expr *x = expr(m, "counter");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u64(x, NFTNL_EXPR_CTR_PACKETS, 0);
	nftnl_expr_set_u64(x, NFTNL_EXPR_CTR_BYTES, 0);
	return 0;
}

static int add_imm(struct maker *m, uint32_t reg, const void *v, uint32_t size)
{
	struct nftnl_expr *x = expr(m, "immediate");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, reg);
	return nftnl_expr_set(x, NFTNL_EXPR_IMM_DATA, v, size) ? -ENOMEM : 0;
}

/* a number or a map's answer in the first register */
static int load_value(struct maker *m, const struct nft_type *t)
{
	uint8_t v[NFT_KEY_MAX];

	if (nft_value(t, word(m), v, NULL))
		return load_mapped(m, t->id);
	m->w.at++;
	return add_imm(m, NFT_REG32_00, v, t->size);
}

/* "mark & M | N": some bits of the mark are others from here on; one expression, as
 * nft(8) makes of it.  -ENOENT: it is something else */
static int load_mark_changed(struct maker *m)
{
	const struct nft_type *t = nft_type_by_id(T_MARK);
	size_t skip = !strcmp(word(m), "meta"), i;
	uint8_t mask[NFT_KEY_MAX], bits[NFT_KEY_MAX];
	struct nftnl_expr *x;

	if (strcmp(nft_peek(&m->w, skip), "mark") || strcmp(nft_peek(&m->w, skip + 1), "&") ||
	    strcmp(nft_peek(&m->w, skip + 3), "|"))
		return -ENOENT;
	if (nft_value(t, nft_peek(&m->w, skip + 2), mask, NULL) ||
	    nft_value(t, nft_peek(&m->w, skip + 4), bits, NULL))
		return because(m, "not a mark");
	m->w.at += skip + 5;
	x = expr(m, "meta");
	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG32_00);
	for (i = 0; i < t->size; i++)
		mask[i] = (uint8_t)(mask[i] & ~bits[i]);
	return add_bitwise(m, mask, bits, t->size);
}

/* "numgen inc mod N offset M": M, M + 1, ... M + N - 1, and from the start, one a packet.
 * -ENOENT: it is something else */
static int load_turn(struct maker *m)
{
	struct nftnl_expr *x;
	uint64_t n, offset;

	if (!take(m, "numgen"))
		return -ENOENT;
	if (!take(m, "inc") || !take(m, "mod") || num(word(m), UINT32_MAX, &n) || !n)
		return because(m, "not a series");
	m->w.at++;
	if (!take(m, "offset") || num(word(m), UINT32_MAX - n, &offset))
		return because(m, "not a series");
	m->w.at++;
	x = expr(m, "numgen");
	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_NG_DREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NG_MODULUS, (uint32_t)n);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NG_TYPE, NFT_NG_INCREMENTAL);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NG_OFFSET, (uint32_t)offset);
	return 0;
}

/* meta mark set N | FIELD map @MAP | mark & M "|" N | numgen inc mod N offset M */
static int st_mark_set(struct maker *m)
{
	struct nftnl_expr *x;
	int r = load_mark_changed(m);

	if (r == -ENOENT)
		r = load_turn(m);
	if (r == -ENOENT)
		r = load_value(m, nft_type_by_id(T_MARK));
	x = r ? NULL : expr(m, "meta");
	if (!x)
		return r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_MARK);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_SREG, NFT_REG32_00);
	return 0;
}

/* meta nftrace set 1 */
static int st_nftrace_set(struct maker *m)
{
	static const uint8_t one = 1;
	struct nftnl_expr *x;
	int r;

	if (!take(m, "1"))
		return -EINVAL;
	r = add_imm(m, NFT_REG32_00, &one, sizeof(one));
	x = r ? NULL : expr(m, "meta");
	if (!x)
		return r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, NFT_META_NFTRACE);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_SREG, NFT_REG32_00);
	return 0;
}

static int ct_set(struct maker *m, uint32_t key)
{
	struct nftnl_expr *x = expr(m, "ct");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_SREG, NFT_REG32_00);
	return 0;
}

static int st_ct_mark_set(struct maker *m)
{
	int r = load_value(m, nft_type_by_id(T_MARK));

	return r ? r : ct_set(m, NFT_CT_MARK);
}

/* ct label set N: the kernel adds the bit to those that are there */
static int st_ct_label_set(struct maker *m)
{
	const struct nft_type *t = nft_type_by_id(T_CT_LABEL);
	uint8_t v[NFT_KEY_MAX];
	int r = nft_value(t, word(m), v, NULL);

	if (r)
		return r;
	m->w.at++;
	r = add_imm(m, NFT_REG32_00, v, t->size);
	return r ? r : ct_set(m, NFT_CT_LABELS);
}

static int st_ct_zone_set(struct maker *m)
{
	uint64_t v;
	uint16_t zone;
	int r;

	if (num(word(m), UINT16_MAX, &v))
		return -EINVAL;
	m->w.at++;
	zone = (uint16_t)v;
	r = add_imm(m, NFT_REG32_00, &zone, sizeof(zone));
	return r ? r : ct_set(m, NFT_CT_ZONE);
}

/* ip saddr set A: [ immediate reg A ] [ payload write reg ], header and TCP/UDP sums fixed */
static int st_saddr_set(struct maker *m)
{
	struct nftnl_expr *x;
	int r;

	if (m->t->family != NFPROTO_IPV4)
		return -EINVAL;
	r = load_value(m, nft_type_by_id(T_IPV4));
	x = r ? NULL : expr(m, "payload");
	if (!x)
		return r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, 12);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, 4);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_SREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_INET);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_CSUM_OFFSET, IP_SUM_OFFSET);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_FLAGS, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
	return 0;
}

/* tcp option maxseg size set N; the kernel only ever makes it smaller */
static int st_maxseg_set(struct maker *m)
{
	struct nftnl_expr *x;
	uint64_t v;
	uint16_t size;
	int r;

	if (!take(m, "size") || !take(m, "set") || num(word(m), UINT16_MAX, &v))
		return -EINVAL;
	m->w.at++;
	r = nft_need_l4(&m->l, IPPROTO_TCP);
	size = htons((uint16_t)v);
	if (!r)
		r = add_imm(m, NFT_REG32_00, &size, sizeof(size));
	x = r ? NULL : expr(m, "exthdr");
	if (!x)
		return r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
	nftnl_expr_set_u8(x, NFTNL_EXPR_EXTHDR_TYPE, TCPOPT_MAXSEG);
	nftnl_expr_set_u32(x, NFTNL_EXPR_EXTHDR_OFFSET, 2);
	nftnl_expr_set_u32(x, NFTNL_EXPR_EXTHDR_LEN, sizeof(size));
	nftnl_expr_set_u32(x, NFTNL_EXPR_EXTHDR_SREG, NFT_REG32_00);
	return 0;
}

/* "A", "A:P" or "A:P-P" into registers; tells how many ports */
static int load_nat_target(struct maker *m, int *ret_ports)
{
	const struct nft_type *ip = nft_type_by_id(T_IPV4), *port = nft_type_by_id(T_SERVICE);
	uint8_t a[NFT_KEY_MAX], lo[NFT_KEY_MAX], hi[NFT_KEY_MAX];
	char copy[64];
	char *colon;
	int r, range = 0;

	*ret_ports = 0;
	if (strlen(word(m)) >= sizeof(copy) || !*word(m))
		return -EINVAL;
	strcpy(copy, word(m));
	colon = strchr(copy, ':');
	if (colon) {
		*colon++ = '\0';
		range = nft_value(port, colon, lo, hi);
		if (range < 0)
			return range;
		*ret_ports = 1 + range;
	}
	if (nft_value(ip, copy, a, NULL))
		return colon ? -EINVAL : load_mapped(m, T_IPV4);
	m->w.at++;
	r = add_imm(m, NFT_REG32_00, a, 4);
	if (!r && colon)
		r = add_imm(m, NFT_REG32_01, lo, 2);
	if (!r && range)
		r = add_imm(m, NFT_REG32_02, hi, 2);
	return r;
}

static uint32_t nat_flags(struct maker *m)
{
	uint32_t flags = 0;

	for (;;) {
		if (take(m, "fully-random"))
			flags |= NF_NAT_RANGE_PROTO_RANDOM_FULLY;
		else if (take(m, "random"))
			flags |= NF_NAT_RANGE_PROTO_RANDOM;
		else if (take(m, "persistent"))
			flags |= NF_NAT_RANGE_PERSISTENT;
		else
			return flags;
	}
}

static int st_nat(struct maker *m)
{
	bool snat = !strcmp(m->w.w[m->w.at - 1], "snat");
	struct nftnl_expr *x;
	uint32_t flags;
	int ports, r;

	(void)take(m, "ip"); /* nft(8) writes "snat ip to" in other families */
	if (!take(m, "to") || m->t->family != NFPROTO_IPV4)
		return -EINVAL;
	r = load_nat_target(m, &ports);
	flags = nat_flags(m);
	x = r ? NULL : expr(m, "nat");
	if (!x)
		return r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_TYPE, snat ? NFT_NAT_SNAT : NFT_NAT_DNAT);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FAMILY, NFPROTO_IPV4);
	nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_ADDR_MIN, NFT_REG32_00);
	if (ports)
		nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MIN, NFT_REG32_01);
	if (ports > 1)
		nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_REG_PROTO_MAX, NFT_REG32_02);
	if (ports)
		flags |= NF_NAT_RANGE_PROTO_SPECIFIED;
	if (flags)
		nftnl_expr_set_u32(x, NFTNL_EXPR_NAT_FLAGS, flags);
	return 0;
}

/* reject with tcp reset | reject with icmp [type] CODE */
static int st_reject(struct maker *m)
{
	uint8_t code[NFT_KEY_MAX] = { 0 };
	struct nftnl_expr *x;
	bool reset;
	int r = 0;

	if (!take(m, "with") || m->t->family != NFPROTO_IPV4)
		return -EINVAL;
	reset = take(m, "tcp");
	if (reset) {
		if (!take(m, "reset"))
			return -EINVAL;
		r = nft_need_l4(&m->l, IPPROTO_TCP);
	} else {
		if (!take(m, "icmp"))
			return -EINVAL;
		(void)take(m, "type");
		r = nft_value(nft_type_by_id(T_ICMP_CODE), word(m), code, NULL);
		m->w.at += !r;
	}
	x = r ? NULL : expr(m, "reject");
	if (!x)
		return r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_REJECT_TYPE,
			   reset ? NFT_REJECT_TCP_RST : NFT_REJECT_ICMP_UNREACH);
	nftnl_expr_set_u8(x, NFTNL_EXPR_REJECT_CODE, code[0]);
	return 0;
}

/* N/second */
static int rate(const char *w, uint64_t *ret_n, uint64_t *ret_unit)
{
	static const struct {
		const char *name;
		uint64_t s;
	} units[] = {
		{ "second", 1 },
		{ "minute", 60 },
		{ "hour", 3600 },
		{ "day", 86400 },
	};
	char n[24];
	size_t len = strcspn(w, "/"), i;

	if (!w[len] || len >= sizeof(n))
		return -EINVAL;
	memcpy(n, w, len);
	n[len] = '\0';
	if (num(n, UINT32_MAX, ret_n) || !*ret_n)
		return -EINVAL;
	for (i = 0; i < ARRAY_SIZE(units); i++) {
		if (!strcmp(units[i].name, w + len + 1)) {
			*ret_unit = units[i].s;
			return 0;
		}
	}
	return -EINVAL;
}

/* limit rate [over] N/second [burst M packets], behind "limit" */
static int fill_limit(struct maker *m, struct nftnl_expr *x)
{
	uint64_t n, unit, burst = 5; /* nft(8)'s default */
	bool over;

	if (!take(m, "rate"))
		return -EINVAL;
	over = take(m, "over");
	if (rate(word(m), &n, &unit))
		return -EINVAL;
	m->w.at++;
	if (take(m, "burst")) {
		if (num(word(m), UINT32_MAX, &burst))
			return -EINVAL;
		m->w.at++;
		if (!take(m, "packets"))
			return -EINVAL;
	}
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_RATE, n);
	nftnl_expr_set_u64(x, NFTNL_EXPR_LIMIT_UNIT, unit);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_BURST, (uint32_t)burst);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_TYPE, NFT_LIMIT_PKTS);
	nftnl_expr_set_u32(x, NFTNL_EXPR_LIMIT_FLAGS, over ? NFT_LIMIT_F_INV : 0);
	return 0;
}

static int st_limit(struct maker *m)
{
	struct nftnl_expr *x = expr(m, "limit");

	return x ? fill_limit(m, x) : -ENOMEM;
}

/* ct count [over] N, behind "count" */
static int fill_count(struct maker *m, struct nftnl_expr *x)
{
	bool over = take(m, "over");
	uint64_t n;

	if (num(word(m), UINT32_MAX, &n))
		return -EINVAL;
	m->w.at++;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CONNLIMIT_COUNT, (uint32_t)n);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CONNLIMIT_FLAGS, over ? NFT_CONNLIMIT_F_INV : 0);
	return 0;
}

static int st_count(struct maker *m)
{
	struct nftnl_expr *x = expr(m, "connlimit");

	return x ? fill_count(m, x) : -ENOMEM;
}

/* one thing that each element of a dynamic set keeps; 0 if there is none here, 1 */
static int dyn_expr(struct maker *m, struct nftnl_expr *dyn)
{
	struct nftnl_expr *x;
	int r = 0;

	if (take(m, "counter")) {
		x = nftnl_expr_alloc("counter");
	} else if (take(m, "limit")) {
		x = nftnl_expr_alloc("limit");
		r = x ? fill_limit(m, x) : 0;
	} else if (!strcmp(word(m), "ct") && !strcmp(nft_peek(&m->w, 1), "count")) {
		m->w.at += 2;
		x = nftnl_expr_alloc("connlimit");
		r = x ? fill_count(m, x) : 0;
	} else {
		return 0;
	}
	if (!x)
		return -ENOMEM;
	if (r) {
		nftnl_expr_free(x);
		return r;
	}
	nftnl_expr_add_expr(dyn, NFTNL_EXPR_DYNSET_EXPRESSIONS, x); /* owns it */
	return 1;
}

static int dyn_timeout(struct maker *m, struct nftnl_expr *dyn)
{
	const char *w;
	char n[16];
	uint64_t s;
	size_t len;

	if (!take(m, "timeout"))
		return 0;
	w = word(m);
	len = strlen(w);
	if (len < 2 || len >= sizeof(n) || w[len - 1] != 's')
		return -EINVAL;
	memcpy(n, w, len - 1);
	n[len - 1] = '\0';
	if (num(n, 1u << 30, &s))
		return -EINVAL;
	m->w.at++;
	nftnl_expr_set_u64(dyn, NFTNL_EXPR_DYNSET_TIMEOUT, s * 1000);
	return 0;
}

/* add|update @SET { KEY [timeout Ns] [counter] [limit ...] [ct count ...] } */
static int st_dynset(struct maker *m)
{
	bool update = !strcmp(m->w.w[m->w.at - 1], "update");
	const char *name = word(m);
	struct nftnl_expr *x;
	struct nft_spec sp;
	struct nft_key k;
	int r = find_set(m, name, &sp), n = 0;

	if (r)
		return r;
	m->w.at++;
	if (!take(m, "{"))
		return -EINVAL;
	r = nft_key_load(&m->l, &m->w, true, &k);
	if (!r)
		r = key_fits(m, &sp, &k);
	if (!r && !sp.dynamic)
		r = because(m, "not a dynamic set");
	x = r ? NULL : expr(m, "dynset");
	if (!x)
		return r == -ENOENT ? -EINVAL : r ? r : -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_SREG_KEY, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_OP,
			   update ? NFT_DYNSET_OP_UPDATE : NFT_DYNSET_OP_ADD);
	if (nftnl_expr_set_str(x, NFTNL_EXPR_DYNSET_SET_NAME, name + 1))
		return -ENOMEM;
	r = dyn_timeout(m, x);
	while (!r && (r = dyn_expr(m, x)) > 0) {
		n++;
		r = 0;
	}
	if (n > 1)
		nftnl_expr_set_u32(x, NFTNL_EXPR_DYNSET_FLAGS, NFT_DYNSET_F_EXPR);
	return r ? r : take(m, "}") ? 0 : -EINVAL;
}

/* comment "text" */
static int st_comment(struct maker *m)
{
	char text[COMMENT_MAX + 1];
	const char *w = word(m);
	size_t len = strlen(w);
	struct nftnl_udata_buf *u;
	int r;

	if (len < 2 || *w != '"' || len - 2 >= sizeof(text))
		return -EINVAL;
	memcpy(text, w + 1, len - 2);
	text[len - 2] = '\0';
	m->w.at++;
	u = nftnl_udata_buf_alloc(256);
	if (!u)
		return -ENOMEM;
	r = nftnl_udata_put_strz(u, NFTNL_UDATA_RULE_COMMENT, text) &&
			    !nftnl_rule_set_data(m->out->rule, NFTNL_RULE_USERDATA,
						 nftnl_udata_buf_data(u), nftnl_udata_buf_len(u)) ?
		    0 :
		    -ENOMEM;
	nftnl_udata_buf_free(u);
	return r;
}

static const struct {
	const char *words[3];
	int (*make)(struct maker *m);
} statements[] = {
	{ { "accept" }, st_verdict },
	{ { "drop" }, st_verdict },
	{ { "return" }, st_verdict },
	{ { "jump" }, st_verdict },
	{ { "goto" }, st_verdict },
	{ { "counter" }, st_counter },
	{ { "meta", "mark", "set" }, st_mark_set },
	{ { "meta", "nftrace", "set" }, st_nftrace_set },
	{ { "ct", "mark", "set" }, st_ct_mark_set },
	{ { "ct", "label", "set" }, st_ct_label_set },
	{ { "ct", "zone", "set" }, st_ct_zone_set },
	{ { "ct", "count" }, st_count },
	{ { "ip", "saddr", "set" }, st_saddr_set },
	{ { "tcp", "option", "maxseg" }, st_maxseg_set },
	{ { "snat" }, st_nat },
	{ { "dnat" }, st_nat },
	{ { "reject" }, st_reject },
	{ { "limit" }, st_limit },
	{ { "add" }, st_dynset },
	{ { "update" }, st_dynset },
	{ { "comment" }, st_comment },
};

static bool spells(struct maker *m, const char *const words[3], size_t *ret_n)
{
	size_t n;

	for (n = 0; n < 3 && words[n]; n++)
		if (strcmp(nft_peek(&m->w, n), words[n]))
			return false;
	*ret_n = n;
	return true;
}

static int make_statement(struct maker *m)
{
	struct nft_key k;
	size_t i, n;
	int r;

	for (i = 0; i < ARRAY_SIZE(statements); i++) {
		if (!spells(m, statements[i].words, &n))
			continue;
		m->w.at += n;
		return statements[i].make(m);
	}
	r = nft_key_load(&m->l, &m->w, false, &k);
	return r == -ENOENT ? -EINVAL : r ? r : do_match(m, &k);
}

static int rule_alloc(struct maker *m, const char *chain)
{
	struct nftnl_rule *r = nftnl_rule_alloc();

	if (!r)
		return -ENOMEM;
	m->out->rule = m->l.rule = r;
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, (uint32_t)m->t->family);
	return nftnl_rule_set_str(r, NFTNL_RULE_TABLE, m->t->table) ||
			       nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, chain) ?
		       -ENOMEM :
		       0;
}

/* where it went wrong: the words up to there */
static int refuse(struct maker *m, const char *text, int r, struct err *e)
{
	char place[128] = "";
	size_t i, n = 0;

	if (r == -ENOMEM)
		return err_set(e, ERR_INTERNAL, ENOMEM, "rule \"%.200s\": out of memory", text);
	for (i = m->w.at > 3 ? m->w.at - 3 : 0; i <= m->w.at && i < m->w.n; i++) {
		int k = snprintf(place + n, sizeof(place) - n, "%s%s", n ? " " : "", m->w.w[i]);

		n += k < (int)(sizeof(place) - n) ? (size_t)k : sizeof(place) - n - 1;
	}
	return err_set(e, ERR_INTERNAL, EINVAL, "rule \"%.200s\": %s at word %zu: \"%s\"", text,
		       m->why ? m->why : "not understood", m->w.at + 1, place);
}

int nft_rule_build(const struct nft_env *env, const struct nft_table_name *t, const char *chain,
		   const char *text, struct nft_rule *ret, struct err *e)
{
	struct nft_rule out = { 0 };
	struct maker m = { .env = env, .t = t, .out = &out, .l = { .family = t->family } };
	int r = nft_words_split(text, &m.w);

	if (r)
		return err_set(e, ERR_INTERNAL, -r, "rule \"%.200s\": %s", text, strerror(-r));
	r = rule_alloc(&m, chain);
	while (!r && m.w.at < m.w.n)
		r = make_statement(&m);
	if (!r && !m.w.n)
		r = -EINVAL;
	if (r) {
		r = refuse(&m, text, r, e);
		nft_rule_done(&out);
	} else {
		*ret = out;
	}
	nft_words_done(&m.w);
	return r;
}

void nft_rule_done(struct nft_rule *r)
{
	while (r->n_anon)
		nftnl_set_free(r->anon[--r->n_anon]);
	if (r->rule)
		nftnl_rule_free(r->rule);
	*r = (struct nft_rule){ 0 };
}

/* ---- for readers ---- */

static int explain_cb(struct nftnl_expr *x, void *arg)
{
	char line[1024];

	if (nftnl_expr_snprintf(line, sizeof(line), x, NFTNL_OUTPUT_DEFAULT, 0) < 0)
		return -1;
	buf_printf(arg, "[ %s %s]\n", nftnl_expr_get_str(x, NFTNL_EXPR_NAME), line);
	return 0;
}

int nft_explain_rule(const char *rule, const struct program *all, const char *ns,
		     const char *family_table, struct buf *b, struct err *e)
{
	struct nft_table_name t;
	struct nft_rule out;
	char rest[NFT_NAME_SIZE], line[4096];
	uint32_t id = 0;
	struct nft_env env = { .all = all, .ns = ns, .set_id = &id };
	size_t i;
	int r;

	if (nft_name_parse(family_table, &t, rest, NULL) || *rest)
		return err_set(e, ERR_INTERNAL, EINVAL, "table \"%.100s\"", family_table);
	r = nft_rule_build(&env, &t, "", rule, &out, e);
	if (r)
		return r;
	for (i = 0; i < out.n_anon; i++) {
		nftnl_set_snprintf(line, sizeof(line), out.anon[i], NFTNL_OUTPUT_DEFAULT, 0);
		buf_printf(b, "%s\n", line);
	}
	r = nftnl_expr_foreach(out.rule, explain_cb, b) < 0 ? -ENOMEM : buf_error(b);
	nft_rule_done(&out);
	return r ? err_set(e, ERR_INTERNAL, -r, "%s", strerror(-r)) : 0;
}
