/* SPDX-License-Identifier: MIT */
/*
 * nft_field - the words of a rule, and what of a packet they load into registers.
 *
 * Fields of one key stand in consecutive registers of 4 bytes from the first on,
 * as a set's keys are laid out; 16 of them, so 64 bytes at most.  What lies behind
 * the IP header is only read once the rule has made sure of the protocol.
 */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <linux/if_arp.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_conntrack_tuple_common.h>
#include <linux/netfilter/nf_tables.h>
#include <libnftnl/expr.h>

#include "lib/nft_internal.h"
#include "lib/util.h"

#define MAX_WORDS 256

/* ---- words ---- */

static bool is_alone(char c, bool in_braces)
{
	return c == '{' || c == '}' || (c == ',' && in_braces);
}

/* the length of the word at "s"; 0 for an open quote */
static size_t word_len(const char *s, bool in_braces)
{
	size_t n = 0;

	if (is_alone(*s, in_braces))
		return 1;
	if (*s == '"') {
		const char *end = strchr(s + 1, '"');

		return end ? (size_t)(end - s) + 1 : 0;
	}
	while (s[n] && !strchr(" \t\"", s[n]) && !is_alone(s[n], in_braces))
		n++;
	return n;
}

int nft_words_split(const char *line, struct nft_words *ret)
{
	size_t size = 2 * strlen(line) + 2, len;
	struct nft_words w = { .text = malloc(size), .w = calloc(MAX_WORDS + 1, sizeof(char *)) };
	bool in_braces = false;
	char *to = w.text;
	int r = w.text && w.w ? 0 : -ENOMEM;

	for (line += strspn(line, " \t"); !r && *line; line += strspn(line, " \t")) {
		len = word_len(line, in_braces);
		if (!len || w.n == MAX_WORDS) {
			r = -EINVAL;
			break;
		}
		if (*line == '{' || *line == '}')
			in_braces = *line == '{';
		w.w[w.n++] = to;
		memcpy(to, line, len);
		to[len] = '\0';
		to += len + 1;
		line += len;
	}
	if (r) {
		nft_words_done(&w);
		return r;
	}
	*ret = w;
	return 0;
}

void nft_words_done(struct nft_words *w)
{
	free(w->text);
	free(w->w);
	*w = (struct nft_words){ 0 };
}

bool nft_take(struct nft_words *w, const char *word)
{
	if (w->at == w->n || strcmp(w->w[w->at], word))
		return false;
	w->at++;
	return true;
}

/* ---- fields ---- */

enum source { META, PAYLOAD_LINK, PAYLOAD_NET, PAYLOAD_TH, CT, CT_ORIGINAL, CT_REPLY, FIB };

struct field {
	const char *words; /* as in the rule, separated by one blank */
	enum source from;
	unsigned what; /* meta or ct key, offset, fib result */
	unsigned type;
	int family; /* NFPROTO_UNSPEC: any */
	int l4;	    /* needs this protocol */
};

static const struct field fields[] = {
	{ "iifname", META, NFT_META_IIFNAME, T_IFNAME, 0, 0 },
	{ "oifname", META, NFT_META_OIFNAME, T_IFNAME, 0, 0 },
	{ "meta iifname", META, NFT_META_IIFNAME, T_IFNAME, 0, 0 },
	{ "meta oifname", META, NFT_META_OIFNAME, T_IFNAME, 0, 0 },
	{ "mark", META, NFT_META_MARK, T_MARK, 0, 0 },
	{ "meta mark", META, NFT_META_MARK, T_MARK, 0, 0 },
	{ "meta l4proto", META, NFT_META_L4PROTO, T_PROTO, 0, 0 },
	{ "meta nfproto", META, NFT_META_NFPROTO, T_NFPROTO, 0, 0 },
	{ "meta pkttype", META, NFT_META_PKTTYPE, T_PKTTYPE, 0, 0 },
	{ "ether saddr", PAYLOAD_LINK, 6, T_ETHER, NFPROTO_IPV4, 0 },
	{ "ip saddr", PAYLOAD_NET, 12, T_IPV4, NFPROTO_IPV4, 0 },
	{ "ip daddr", PAYLOAD_NET, 16, T_IPV4, NFPROTO_IPV4, 0 },
	{ "ip protocol", PAYLOAD_NET, 9, T_PROTO, NFPROTO_IPV4, 0 },
	{ "ip frag-off", PAYLOAD_NET, 6, T_INTEGER, NFPROTO_IPV4, 0 },
	{ "th sport", PAYLOAD_TH, 0, T_SERVICE, NFPROTO_IPV4, 0 },
	{ "th dport", PAYLOAD_TH, 2, T_SERVICE, NFPROTO_IPV4, 0 },
	{ "th ports", PAYLOAD_TH, 0, T_MARK, NFPROTO_IPV4, 0 },
	{ "tcp sport", PAYLOAD_TH, 0, T_SERVICE, NFPROTO_IPV4, IPPROTO_TCP },
	{ "tcp dport", PAYLOAD_TH, 2, T_SERVICE, NFPROTO_IPV4, IPPROTO_TCP },
	{ "tcp flags", PAYLOAD_TH, 13, T_TCP_FLAG, NFPROTO_IPV4, IPPROTO_TCP },
	{ "udp sport", PAYLOAD_TH, 0, T_SERVICE, NFPROTO_IPV4, IPPROTO_UDP },
	{ "udp dport", PAYLOAD_TH, 2, T_SERVICE, NFPROTO_IPV4, IPPROTO_UDP },
	{ "icmp type", PAYLOAD_TH, 0, T_ICMP_TYPE, NFPROTO_IPV4, IPPROTO_ICMP },
	{ "icmp code", PAYLOAD_TH, 1, T_ICMP_CODE, NFPROTO_IPV4, IPPROTO_ICMP },
	{ "ct state", CT, NFT_CT_STATE, T_CT_STATE, NFPROTO_IPV4, 0 },
	{ "ct direction", CT, NFT_CT_DIRECTION, T_CT_DIR, NFPROTO_IPV4, 0 },
	{ "ct status", CT, NFT_CT_STATUS, T_CT_STATUS, NFPROTO_IPV4, 0 },
	{ "ct label", CT, NFT_CT_LABELS, T_CT_LABEL, NFPROTO_IPV4, 0 },
	{ "ct mark", CT, NFT_CT_MARK, T_MARK, NFPROTO_IPV4, 0 },
	{ "ct original packets", CT_ORIGINAL, NFT_CT_PKTS, T_PACKETS, NFPROTO_IPV4, 0 },
	{ "ct reply packets", CT_REPLY, NFT_CT_PKTS, T_PACKETS, NFPROTO_IPV4, 0 },
	{ "fib daddr . mark oif", FIB, NFT_FIB_RESULT_OIF, T_IFINDEX, NFPROTO_IPV4, 0 },
	{ "fib daddr . mark oifname", FIB, NFT_FIB_RESULT_OIFNAME, T_IFNAME, NFPROTO_IPV4, 0 },
	{ "fib daddr type", FIB, NFT_FIB_RESULT_ADDRTYPE, T_FIB_ADDR, NFPROTO_IPV4, 0 },
	{ "arp operation", PAYLOAD_NET, 6, T_ARPOP, NFPROTO_ARP, 0 },
	{ "arp saddr ip", PAYLOAD_NET, 14, T_IPV4, NFPROTO_ARP, 0 },
};

/* do the next words spell "f"?  returns how many */
static size_t field_words(const struct nft_words *w, const char *spelled)
{
	size_t n = 0;

	while (*spelled) {
		size_t len = strcspn(spelled, " ");
		const char *word = nft_peek(w, n++);

		if (strlen(word) != len || memcmp(word, spelled, len))
			return 0;
		spelled += len + (spelled[len] == ' ');
	}
	return n;
}

static const struct field *field_find(const struct nft_words *w, size_t *ret_n)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(fields); i++) {
		size_t n = field_words(w, fields[i].words);

		if (n) {
			*ret_n = n;
			return &fields[i];
		}
	}
	return NULL;
}

struct nftnl_expr *nft_expr(struct nft_loader *l, const char *name)
{
	struct nftnl_expr *x = nftnl_expr_alloc(name);

	if (x)
		nftnl_rule_add_expr(l->rule, x); /* owns it */
	return x;
}

/* [ meta load KEY => reg ] [ cmp eq reg DATA ] */
static int meta_is(struct nft_loader *l, uint32_t key, const void *data, uint32_t size)
{
	struct nftnl_expr *x = nft_expr(l, "meta");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_KEY, key);
	nftnl_expr_set_u32(x, NFTNL_EXPR_META_DREG, NFT_REG32_00);
	x = nft_expr(l, "cmp");
	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_SREG, NFT_REG32_00);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CMP_OP, NFT_CMP_EQ);
	return nftnl_expr_set(x, NFTNL_EXPR_CMP_DATA, data, size) ? -ENOMEM : 0;
}

/* [ meta load l4proto => reg ] [ cmp eq reg proto ] */
int nft_need_l4(struct nft_loader *l, int proto)
{
	uint8_t p = (uint8_t)proto;

	if (!proto || l->l4 == proto)
		return 0;
	if (l->l4)
		return -EINVAL; /* never both */
	l->l4 = proto;
	return meta_is(l, NFT_META_L4PROTO, &p, sizeof(p));
}

/* [ meta load iiftype => reg ] [ cmp eq reg ether ] */
static int need_ether(struct nft_loader *l)
{
	uint16_t type = ARPHRD_ETHER;

	return meta_is(l, NFT_META_IIFTYPE, &type, sizeof(type));
}

static int load_payload(struct nft_loader *l, const struct field *f, uint32_t base, unsigned size,
			uint32_t reg)
{
	struct nftnl_expr *x = nft_expr(l, "payload");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_BASE, base);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_OFFSET, f->what);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_LEN, size);
	nftnl_expr_set_u32(x, NFTNL_EXPR_PAYLOAD_DREG, reg);
	return 0;
}

static int load_fib(struct nft_loader *l, const struct field *f, uint32_t reg)
{
	struct nftnl_expr *x = nft_expr(l, "fib");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_RESULT, f->what);
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_FLAGS,
			   NFTA_FIB_F_DADDR |
				   (f->what == NFT_FIB_RESULT_ADDRTYPE ? 0 : NFTA_FIB_F_MARK));
	nftnl_expr_set_u32(x, NFTNL_EXPR_FIB_DREG, reg);
	l->fib = x;
	return 0;
}

static int load_key(struct nft_loader *l, const char *expr, uint16_t key_attr, uint16_t reg_attr,
		    const struct field *f, uint32_t reg)
{
	struct nftnl_expr *x = nft_expr(l, expr);

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, key_attr, f->what);
	nftnl_expr_set_u32(x, reg_attr, reg);
	return 0;
}

/* of one direction of the flow */
static int load_ct_of(struct nft_loader *l, const struct field *f, uint8_t direction, uint32_t reg)
{
	struct nftnl_expr *x = nft_expr(l, "ct");

	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_KEY, f->what);
	nftnl_expr_set_u32(x, NFTNL_EXPR_CT_DREG, reg);
	nftnl_expr_set_u8(x, NFTNL_EXPR_CT_DIR, direction);
	return 0;
}

static int load_field(struct nft_loader *l, const struct field *f, uint32_t reg)
{
	unsigned size = nft_type_by_id(f->type)->size;

	switch (f->from) {
	case META:
		return load_key(l, "meta", NFTNL_EXPR_META_KEY, NFTNL_EXPR_META_DREG, f, reg);
	case CT:
		return load_key(l, "ct", NFTNL_EXPR_CT_KEY, NFTNL_EXPR_CT_DREG, f, reg);
	case CT_ORIGINAL:
		return load_ct_of(l, f, IP_CT_DIR_ORIGINAL, reg);
	case CT_REPLY:
		return load_ct_of(l, f, IP_CT_DIR_REPLY, reg);
	case PAYLOAD_LINK:
		return load_payload(l, f, NFT_PAYLOAD_LL_HEADER, size, reg);
	case PAYLOAD_NET:
		return load_payload(l, f, NFT_PAYLOAD_NETWORK_HEADER, size, reg);
	case PAYLOAD_TH:
		return load_payload(l, f, NFT_PAYLOAD_TRANSPORT_HEADER, size, reg);
	case FIB:
		return load_fib(l, f, reg);
	default:
		return -EINVAL;
	}
}

/* "& M" behind a field */
static int load_mask(struct nft_loader *l, struct nft_words *w, const struct nft_type *t,
		     uint32_t reg)
{
	uint8_t mask[NFT_KEY_MAX], zero[NFT_KEY_MAX] = { 0 };
	const char *word;
	char copy[64];
	size_t len;
	struct nftnl_expr *x;

	w->at++;
	word = nft_peek(w, 0);
	len = strlen(word);
	/* "(syn|ack)" */
	if (len > 2 && len < sizeof(copy) && word[0] == '(' && word[len - 1] == ')') {
		memcpy(copy, word + 1, len - 2);
		copy[len - 2] = '\0';
		word = copy;
	}
	if (t->id == T_IFNAME || nft_value(t, word, mask, NULL))
		return -EINVAL;
	w->at++;
	x = nft_expr(l, "bitwise");
	if (!x)
		return -ENOMEM;
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_SREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_DREG, reg);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_LEN, t->size);
	nftnl_expr_set_u32(x, NFTNL_EXPR_BITWISE_OP, NFT_BITWISE_BOOL);
	return nftnl_expr_set(x, NFTNL_EXPR_BITWISE_MASK, mask, t->size) ||
			       nftnl_expr_set(x, NFTNL_EXPR_BITWISE_XOR, zero, t->size) ?
		       -ENOMEM :
		       0;
}

/* "0x3" in a dynamic key: 4 bytes, host order */
static int load_constant(struct nft_loader *l, struct nft_words *w, uint32_t reg)
{
	uint8_t v[NFT_KEY_MAX];
	struct nftnl_expr *x;

	if (nft_value(nft_type_by_id(T_MARK), nft_peek(w, 0), v, NULL))
		return -ENOENT;
	x = nft_expr(l, "immediate");
	if (!x)
		return -ENOMEM;
	w->at++;
	nftnl_expr_set_u32(x, NFTNL_EXPR_IMM_DREG, reg);
	return nftnl_expr_set(x, NFTNL_EXPR_IMM_DATA, v, 4) ? -ENOMEM : 0;
}

/* one part of a key into the registers behind what is there */
static int load_part(struct nft_loader *l, struct nft_words *w, bool dynamic, struct nft_key *k)
{
	size_t n = 0;
	const struct field *f = field_find(w, &n);
	const struct nft_type *t = nft_type_by_id(f ? f->type : T_MARK);
	uint32_t reg = NFT_REG_OF(k->size);
	int r;

	if (k->n == NFT_FIELDS_MAX || k->size + nft_pad(t->size) > NFT_KEY_MAX)
		return -EINVAL;
	k->any[k->n] = !f;
	k->field[k->n++] = t;
	k->size += nft_pad(t->size);
	if (!f)
		return dynamic ? load_constant(l, w, reg) : -ENOENT;
	if (f->family && f->family != l->family)
		return -EINVAL;
	/* the check needs a register too: only before the first part is one free */
	if (((f->l4 && f->l4 != l->l4) || f->from == PAYLOAD_LINK) && k->n > 1)
		return -EINVAL;
	r = f->from == PAYLOAD_LINK ? need_ether(l) : nft_need_l4(l, f->l4);
	if (!r)
		r = load_field(l, f, reg);
	if (r)
		return r;
	w->at += n;
	k->present = f->from == FIB && f->what == NFT_FIB_RESULT_OIF;
	k->masked = !strcmp(nft_peek(w, 0), "&");
	return k->masked ? load_mask(l, w, t, reg) : 0;
}

int nft_key_load(struct nft_loader *l, struct nft_words *w, bool dynamic, struct nft_key *ret)
{
	struct nft_key k = { 0 };
	int r;

	do {
		r = load_part(l, w, dynamic, &k);
		if (r == -ENOENT && k.n > 1)
			r = -EINVAL;
		if (r)
			return r;
	} while (nft_take(w, "."));
	*ret = k;
	return 0;
}
