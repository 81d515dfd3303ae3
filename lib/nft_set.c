/* SPDX-License-Identifier: MIT */
/*
 * nft_set - types, sets and elements, as text and as the kernel's bytes.
 *
 * A key is its fields one behind the other, each padded to 4 bytes.  Intervals
 * come in two shapes: in a concatenated set every element has a first and a last
 * key; in a set of one field the end is an element of its own, one past the last,
 * with a flag.  Numbers of host order (marks) can't be ranges: the kernel compares
 * bytes from the left.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netlink.h>
#include <libnftnl/expr.h>
#include <libnftnl/udata.h>
#include <net/if.h>

#include "lib/nft_internal.h"
#include "lib/util.h"

#define WORD_MAX 256
/* what nft(8) gives a dynamic set without a size */
#define DYNAMIC_SIZE 65535
#define VERDICT_SIZE 16			/* the kernel wants no other */
enum { ORDER_HOST = 1, ORDER_BIG = 2 }; /* nft(8)'s enum byteorder */

/* ---- types ---- */

static const struct nft_type types[] = {
	{ "ipv4_addr", T_IPV4, 4, false, false },
	{ "ether_addr", T_ETHER, 6, false, false },
	{ "inet_proto", T_PROTO, 1, false, false },
	{ "inet_service", T_SERVICE, 2, false, false },
	{ "mark", T_MARK, 4, true, false },
	{ "ifname", T_IFNAME, IFNAMSIZ, true, false },
	{ "tcp_flag", T_TCP_FLAG, 1, false, true },
	{ "nf_proto", T_NFPROTO, 1, false, false },
	/* of fields only */
	{ "integer", T_INTEGER, 2, false, false },
	{ "arp_op", T_ARPOP, 2, false, false },
	{ "icmp_type", T_ICMP_TYPE, 1, false, false },
	{ "icmp_code", T_ICMP_CODE, 1, false, false },
	{ "iface_index", T_IFINDEX, 4, true, false },
	{ "ct_state", T_CT_STATE, 4, true, true },
	{ "ct_dir", T_CT_DIR, 1, false, false },
	{ "ct_status", T_CT_STATUS, 4, true, true },
	{ "ct_label", T_CT_LABEL, 16, true, true },
	{ "pkt_type", T_PKTTYPE, 1, false, false },
	{ "fib_addrtype", T_FIB_ADDR, 4, true, false },
	{ "packets", T_PACKETS, 8, true, false },
};

const struct nft_type *nft_type_by_id(unsigned id)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].id == id)
			return &types[i];
	return NULL;
}

const struct nft_type *nft_type_by_name(const char *name)
{
	size_t i;

	for (i = 0; types[i].id != T_INTEGER; i++)
		if (!strcmp(types[i].name, name))
			return &types[i];
	return NULL;
}

struct word {
	unsigned type;
	const char *word;
	uint32_t val;
};
static const struct word words[] = {
	{ T_PROTO, "icmp", IPPROTO_ICMP },
	{ T_PROTO, "tcp", IPPROTO_TCP },
	{ T_PROTO, "udp", IPPROTO_UDP },
	{ T_PROTO, "igmp", IPPROTO_IGMP },
	{ T_PROTO, "gre", IPPROTO_GRE },
	{ T_PROTO, "esp", IPPROTO_ESP },
	{ T_PROTO, "ah", IPPROTO_AH },
	{ T_PROTO, "sctp", IPPROTO_SCTP },
	{ T_ARPOP, "request", 1 },
	{ T_ARPOP, "reply", 2 },
	{ T_ICMP_TYPE, "echo-reply", 0 },
	{ T_ICMP_TYPE, "destination-unreachable", 3 },
	{ T_ICMP_TYPE, "redirect", 5 },
	{ T_ICMP_TYPE, "echo-request", 8 },
	{ T_ICMP_TYPE, "time-exceeded", 11 },
	{ T_ICMP_TYPE, "parameter-problem", 12 },
	{ T_ICMP_TYPE, "timestamp-request", 13 },
	{ T_ICMP_TYPE, "timestamp-reply", 14 },
	{ T_ICMP_CODE, "net-unreachable", 0 },
	{ T_ICMP_CODE, "host-unreachable", 1 },
	{ T_ICMP_CODE, "prot-unreachable", 2 },
	{ T_ICMP_CODE, "port-unreachable", 3 },
	{ T_ICMP_CODE, "frag-needed", 4 },
	{ T_ICMP_CODE, "net-prohibited", 9 },
	{ T_ICMP_CODE, "host-prohibited", 10 },
	{ T_ICMP_CODE, "admin-prohibited", 13 },
	{ T_TCP_FLAG, "fin", 1 },
	{ T_TCP_FLAG, "syn", 2 },
	{ T_TCP_FLAG, "rst", 4 },
	{ T_TCP_FLAG, "psh", 8 },
	{ T_TCP_FLAG, "ack", 16 },
	{ T_TCP_FLAG, "urg", 32 },
	{ T_TCP_FLAG, "ecn", 64 },
	{ T_TCP_FLAG, "cwr", 128 },
	{ T_CT_STATE, "invalid", 1 },
	{ T_CT_STATE, "established", 2 },
	{ T_CT_STATE, "related", 4 },
	{ T_CT_STATE, "new", 8 },
	{ T_CT_STATE, "untracked", 64 },
	{ T_CT_DIR, "original", 0 },
	{ T_CT_DIR, "reply", 1 },
	{ T_CT_STATUS, "expected", 1 },
	{ T_CT_STATUS, "seen-reply", 2 },
	{ T_CT_STATUS, "assured", 4 },
	{ T_CT_STATUS, "confirmed", 8 },
	{ T_CT_STATUS, "snat", 16 },
	{ T_CT_STATUS, "dnat", 32 },
	{ T_CT_STATUS, "dying", 512 },
	{ T_NFPROTO, "ipv4", NFPROTO_IPV4 },
	{ T_PKTTYPE, "host", 0 },
	{ T_PKTTYPE, "unicast", 0 },
	{ T_PKTTYPE, "broadcast", 1 },
	{ T_PKTTYPE, "multicast", 2 },
	{ T_PKTTYPE, "other", 3 },
	{ T_FIB_ADDR, "unicast", 1 },
	{ T_FIB_ADDR, "local", 2 },
	{ T_FIB_ADDR, "broadcast", 3 },
	{ T_FIB_ADDR, "anycast", 4 },
	{ T_FIB_ADDR, "multicast", 5 },
	{ T_FIB_ADDR, "blackhole", 6 },
	{ T_FIB_ADDR, "unreachable", 7 },
	{ T_FIB_ADDR, "prohibit", 8 },
};

static int number(const char *s, uint64_t max, uint64_t *ret)
{
	bool hex = !strncmp(s, "0x", 2);
	const char *digits = hex ? s + 2 : s;
	char *end;

	if (!*digits ||
	    strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") != strlen(digits))
		return -EINVAL;
	errno = 0;
	*ret = strtoull(digits, &end, hex ? 16 : 10);
	return errno || *ret > max ? -EINVAL : 0;
}

static int lookup(const struct nft_type *t, const char *w, uint64_t *ret)
{
	uint64_t max = t->size >= 4 ? UINT32_MAX : (1ull << 8 * t->size) - 1;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(words); i++) {
		if (words[i].type == t->id && !strcmp(words[i].word, w)) {
			*ret = words[i].val;
			return 0;
		}
	}
	return number(w, max, ret);
}

static int bits(const struct nft_type *t, char *w, uint64_t *ret)
{
	char *save = NULL, *p;
	uint64_t v;

	*ret = 0;
	for (p = strtok_r(w, ",|", &save); p; p = strtok_r(NULL, ",|", &save)) {
		if (lookup(t, p, &v))
			return -EINVAL;
		*ret |= v;
	}
	return 0;
}

static void put_number(const struct nft_type *t, uint64_t v, uint8_t *ret)
{
	unsigned i;

	for (i = 0; i < t->size; i++) {
		unsigned at = t->host_order == (htonl(1) != 1) ? i : t->size - 1 - i;

		ret[at] = (uint8_t)(v >> 8 * i);
	}
}

static int ifname(const char *w, uint8_t *ret, uint8_t *ret_end)
{
	size_t len = strlen(w);
	bool wild = len && w[len - 1] == '*';

	if (wild)
		len--;
	if (!len || len >= IFNAMSIZ || memchr(w, '*', len) || memchr(w, '/', len) ||
	    (wild && !ret_end))
		return -EINVAL;
	memcpy(ret, w, len);
	if (!ret_end)
		return 0;
	memcpy(ret_end, ret, IFNAMSIZ);
	if (wild)
		memset(ret_end + len, 0xff, IFNAMSIZ - len);
	return wild;
}

static int ether(const char *w, uint8_t *ret)
{
	unsigned b[6], i;
	int n = 0;

	if (sscanf(w, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &n) !=
		    6 ||
	    w[n] || n != 17)
		return -EINVAL;
	for (i = 0; i < 6; i++)
		ret[i] = (uint8_t)b[i];
	return 0;
}

static int prefix(const char *addr, const char *len_word, uint8_t *ret, uint8_t *ret_end)
{
	uint32_t a, mask;
	uint64_t len;

	if (inet_pton(AF_INET, addr, &a) != 1 || number(len_word, 32, &len))
		return -EINVAL;
	mask = len ? htonl(UINT32_MAX << (32 - len)) : 0;
	if (a & ~mask)
		return -EINVAL;
	memcpy(ret, &a, 4);
	a |= ~mask;
	memcpy(ret_end, &a, 4);
	return len < 32;
}

/* the number of a bit; the kernel keeps labels as words of 32 bits */
static int label(const char *w, uint8_t *ret)
{
	uint64_t bit;
	uint32_t word;

	if (number(w, 127, &bit))
		return -EINVAL;
	word = 1u << bit % 32;
	memcpy(ret + bit / 32 * sizeof(word), &word, sizeof(word));
	return 0;
}

static int single(const struct nft_type *t, char *w, uint8_t *ret)
{
	uint64_t v;
	int r;

	if (t->id == T_IPV4)
		return inet_pton(AF_INET, w, ret) == 1 ? 0 : -EINVAL;
	if (t->id == T_ETHER)
		return ether(w, ret);
	if (t->id == T_CT_LABEL)
		return label(w, ret);
	r = t->bits ? bits(t, w, &v) : lookup(t, w, &v);
	if (!r)
		put_number(t, v, ret);
	return r;
}

int nft_value(const struct nft_type *t, const char *word, uint8_t *ret, uint8_t *ret_end)
{
	char w[WORD_MAX];
	size_t len = strlen(word);
	char *cut;

	memset(ret, 0, NFT_KEY_MAX);
	if (ret_end)
		memset(ret_end, 0, NFT_KEY_MAX);
	if (len >= 2 && word[0] == '"' && word[len - 1] == '"') {
		word++;
		len -= 2;
	}
	if (!len || len >= sizeof(w))
		return -EINVAL;
	memcpy(w, word, len);
	w[len] = '\0';
	if (t->id == T_IFNAME)
		return ifname(w, ret, ret_end);
	cut = t->id == T_IPV4 ? strchr(w, '/') : NULL;
	if (cut) {
		*cut++ = '\0';
		return ret_end ? prefix(w, cut, ret, ret_end) : -EINVAL;
	}
	/* names of values have a dash of their own: a range begins with a digit */
	cut = *w >= '0' && *w <= '9' ? strchr(w, '-') : NULL;
	if (cut) {
		*cut++ = '\0';
		if (!ret_end || t->host_order || t->bits || single(t, w, ret) ||
		    single(t, cut, ret_end) || memcmp(ret, ret_end, t->size) > 0)
			return -EINVAL;
		return memcmp(ret, ret_end, t->size) != 0;
	}
	if (single(t, w, ret))
		return -EINVAL;
	if (ret_end)
		memcpy(ret_end, ret, t->size);
	return 0;
}

/* ---- names ---- */

int nft_name_parse(const char *key, struct nft_table_name *ret, char ret_rest[NFT_NAME_SIZE],
		   const char **ret_elem)
{
	size_t family = strcspn(key, " "), len;
	const char *s = key + family;

	if (family == 2 && !strncmp(key, "ip", 2))
		ret->family = NFPROTO_IPV4;
	else if (family == 3 && !strncmp(key, "arp", 3))
		ret->family = NFPROTO_ARP;
	else
		return -EINVAL;
	if (*s++ != ' ')
		return -EINVAL;
	len = strcspn(s, " \t");
	if (!len || len >= NFT_NAME_SIZE)
		return -EINVAL;
	memcpy(ret->table, s, len);
	ret->table[len] = '\0';
	s += len;
	*ret_rest = '\0';
	if (*s == ' ') {
		s++;
		len = strcspn(s, " \t");
		if (!len || len >= NFT_NAME_SIZE)
			return -EINVAL;
		memcpy(ret_rest, s, len);
		ret_rest[len] = '\0';
		s += len;
	}
	if (ret_elem)
		*ret_elem = *s == '\t' ? s + 1 : NULL;
	return *s && !(ret_elem && *s == '\t') ? -EINVAL : 0;
}

/* ---- a set's value ---- */

static int spec_type(struct nft_spec *sp, char *s)
{
	char *save = NULL, *w;
	bool want_name = true, data = false;

	for (w = strtok_r(s, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
		const struct nft_type *t = nft_type_by_name(w);

		if (!want_name && !strcmp(w, ".") && !data) {
			want_name = true;
		} else if (!want_name && !strcmp(w, ":") && !data) {
			want_name = data = true;
		} else if (want_name && data && !strcmp(w, "verdict")) {
			sp->verdict = true;
			want_name = false;
		} else if (want_name && data && t) {
			sp->data = t;
			want_name = false;
		} else if (want_name && t && sp->n_fields < NFT_FIELDS_MAX) {
			sp->field[sp->n_fields++] = t;
			sp->key_size += nft_pad(t->size);
			want_name = false;
		} else {
			return -EINVAL;
		}
	}
	return want_name || sp->key_size > NFT_KEY_MAX ? -EINVAL : 0;
}

static int spec_flags(struct nft_spec *sp, char *s)
{
	char *save = NULL, *w;

	for (w = strtok_r(s, ", ", &save); w; w = strtok_r(NULL, ", ", &save)) {
		if (!strcmp(w, "interval"))
			sp->interval = true;
		else if (!strcmp(w, "dynamic"))
			sp->dynamic = true;
		else if (!strcmp(w, "timeout"))
			sp->timeout = true;
		else
			return -EINVAL;
	}
	return 0;
}

static int spec_part(struct nft_spec *sp, char *s)
{
	uint64_t v;
	size_t len;

	s += strspn(s, " ");
	for (len = strlen(s); len && s[len - 1] == ' ';)
		s[--len] = '\0';
	if (!strncmp(s, "type ", 5))
		return spec_type(sp, s + 5);
	if (!strncmp(s, "flags ", 6))
		return spec_flags(sp, s + 6);
	if (!strcmp(s, "counter")) {
		sp->counter = true;
		return 0;
	}
	if (!strncmp(s, "size ", 5)) {
		if (number(s + 5, UINT32_MAX, &v))
			return -EINVAL;
		sp->size = (uint32_t)v;
		return 0;
	}
	if (!strncmp(s, "timeout ", 8) && len > 9 && s[len - 1] == 's') {
		s[len - 1] = '\0';
		if (number(s + 8, 1u << 30, &v))
			return -EINVAL;
		sp->timeout = true;
		sp->timeout_ms = v * 1000;
		return 0;
	}
	return *s ? -EINVAL : 0;
}

int nft_spec_parse(const char *val, struct nft_spec *ret)
{
	auto_free char *copy = strdup(val);
	struct nft_spec sp = { 0 };
	char *save = NULL, *s;

	if (!copy)
		return -ENOMEM;
	for (s = strtok_r(copy, ";\n", &save); s; s = strtok_r(NULL, ";\n", &save))
		if (spec_part(&sp, s))
			return -EINVAL;
	if (!sp.n_fields || (sp.dynamic && sp.interval))
		return -EINVAL;
	*ret = sp;
	return 0;
}

static uint32_t spec_flag_bits(const struct nft_spec *sp)
{
	return (sp->interval ? NFT_SET_INTERVAL : 0) | (sp->dynamic ? NFT_SET_EVAL : 0) |
	       (sp->timeout ? NFT_SET_TIMEOUT : 0) |
	       (sp->interval && sp->n_fields > 1 ? NFT_SET_CONCAT : 0) |
	       (sp->data || sp->verdict ? NFT_SET_MAP : 0);
}

static uint32_t spec_key_type(const struct nft_spec *sp)
{
	uint32_t r = 0;
	unsigned i;

	for (i = 0; i < sp->n_fields; i++)
		r = r << 6 | sp->field[i]->id;
	return r;
}

static int set_udata(struct nftnl_set *s, const struct nft_spec *sp)
{
	struct nftnl_udata_buf *u = nftnl_udata_buf_alloc(64);
	unsigned order = sp->n_fields > 1 ? 0 : sp->field[0]->host_order ? ORDER_HOST : ORDER_BIG;
	int r = -ENOMEM;

	if (!u)
		return -ENOMEM;
	/* else `nft list` shows names of interfaces back to front */
	if (nftnl_udata_put_u32(u, NFTNL_UDATA_SET_KEYBYTEORDER, order) &&
	    (!sp->data || nftnl_udata_put_u32(u, NFTNL_UDATA_SET_DATABYTEORDER,
					      sp->data->host_order ? ORDER_HOST : ORDER_BIG)))
		r = nftnl_set_set_data(s, NFTNL_SET_USERDATA, nftnl_udata_buf_data(u),
				       nftnl_udata_buf_len(u)) ?
			    -ENOMEM :
			    0;
	nftnl_udata_buf_free(u);
	return r;
}

static int set_shape(struct nftnl_set *s, const struct nft_spec *sp)
{
	uint8_t len[NFT_FIELDS_MAX];
	unsigned i;

	for (i = 0; i < sp->n_fields; i++)
		len[i] = (uint8_t)sp->field[i]->size;
	/* the kernel wants to know the fields only where it looks at each by itself */
	if (sp->n_fields > 1 && sp->interval &&
	    nftnl_set_set_data(s, NFTNL_SET_DESC_CONCAT, len, sp->n_fields))
		return -ENOMEM;
	if (sp->verdict) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, NFT_DATA_VERDICT);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, VERDICT_SIZE);
	} else if (sp->data) {
		nftnl_set_set_u32(s, NFTNL_SET_DATA_TYPE, sp->data->id);
		nftnl_set_set_u32(s, NFTNL_SET_DATA_LEN, sp->data->size);
	}
	if (sp->size || sp->dynamic)
		nftnl_set_set_u32(s, NFTNL_SET_DESC_SIZE, sp->size ? sp->size : DYNAMIC_SIZE);
	if (sp->timeout_ms)
		nftnl_set_set_u64(s, NFTNL_SET_TIMEOUT, sp->timeout_ms);
	if (sp->counter) {
		struct nftnl_expr *x = nftnl_expr_alloc("counter");

		if (!x)
			return -ENOMEM;
		nftnl_set_add_expr(s, x);
	}
	return set_udata(s, sp);
}

struct nftnl_set *nft_set_make(const struct nft_table_name *t, const char *name,
			       const struct nft_spec *sp, uint32_t id)
{
	struct nftnl_set *s = nftnl_set_alloc();

	if (!s)
		return NULL;
	nftnl_set_set_u32(s, NFTNL_SET_FAMILY, (uint32_t)t->family);
	nftnl_set_set_u32(s, NFTNL_SET_ID, id);
	nftnl_set_set_u32(s, NFTNL_SET_FLAGS, spec_flag_bits(sp));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_TYPE, spec_key_type(sp));
	nftnl_set_set_u32(s, NFTNL_SET_KEY_LEN,
			  sp->n_fields > 1 ? sp->key_size : sp->field[0]->size);
	if (nftnl_set_set_str(s, NFTNL_SET_TABLE, t->table) ||
	    nftnl_set_set_str(s, NFTNL_SET_NAME, name) || set_shape(s, sp)) {
		nftnl_set_free(s);
		return NULL;
	}
	return s;
}

/* ---- elements ---- */

int nft_verdict(const char *word, const char *chain, int *ret)
{
	static const struct {
		const char *name;
		int v;
		bool chain;
	} v[] = {
		{ "accept", NF_ACCEPT, false },	 { "drop", NF_DROP, false },
		{ "return", NFT_RETURN, false }, { "jump", NFT_JUMP, true },
		{ "goto", NFT_GOTO, true },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(v); i++) {
		if (strcmp(v[i].name, word))
			continue;
		if (v[i].chain != (*chain != '\0'))
			return -EINVAL;
		*ret = v[i].v;
		return 0;
	}
	return -EINVAL;
}

static int elem_verdict(struct nftnl_set_elem *el, const char *data)
{
	char word[WORD_MAX];
	size_t len = strcspn(data, " ");
	const char *chain = data[len] ? data + len + 1 : "";
	int v;

	if (len >= sizeof(word) || strlen(chain) >= NFT_NAME_SIZE || strchr(chain, ' '))
		return -EINVAL;
	memcpy(word, data, len);
	word[len] = '\0';
	if (nft_verdict(word, chain, &v))
		return -EINVAL;
	nftnl_set_elem_set_u32(el, NFTNL_SET_ELEM_VERDICT, (uint32_t)v);
	return *chain && nftnl_set_elem_set_str(el, NFTNL_SET_ELEM_CHAIN, chain) ? -ENOMEM : 0;
}

static int elem_data(struct nftnl_set_elem *el, const struct nft_spec *sp, const char *data)
{
	uint8_t v[NFT_KEY_MAX];

	if (!data)
		return 0;
	if (sp->verdict)
		return elem_verdict(el, data);
	if (!sp->data)
		return *data ? -EINVAL : 0;
	if (nft_value(sp->data, data, v, NULL))
		return -EINVAL;
	return nftnl_set_elem_set(el, NFTNL_SET_ELEM_DATA, v, sp->data->size) ? -ENOMEM : 0;
}

bool nft_is_turned(const struct nft_spec *sp, unsigned field)
{
	const struct nft_type *t = sp->field[field];

	return sp->interval && sp->n_fields > 1 && t->host_order && t->id != T_IFNAME &&
	       htonl(1) != 1;
}

static void turn(uint8_t *v, unsigned size)
{
	unsigned i;

	for (i = 0; i < size / 2; i++) {
		uint8_t other = v[size - 1 - i];

		v[size - 1 - i] = v[i];
		v[i] = other;
	}
}

/* the key's fields into "lo" and "hi"; 1 if any is a range */
static int elem_key(const struct nft_spec *sp, const char *key, uint8_t lo[NFT_KEY_MAX],
		    uint8_t hi[NFT_KEY_MAX])
{
	uint8_t a[NFT_KEY_MAX], b[NFT_KEY_MAX];
	char w[WORD_MAX];
	unsigned i, at = 0;
	bool range = false;

	memset(lo, 0, NFT_KEY_MAX);
	memset(hi, 0, NFT_KEY_MAX);
	for (i = 0; i < sp->n_fields; i++) {
		const char *dot = strstr(key, " . ");
		size_t len = dot ? (size_t)(dot - key) : strlen(key);
		int r;

		if (len >= sizeof(w) || !dot != (i + 1 == sp->n_fields))
			return -EINVAL;
		memcpy(w, key, len);
		w[len] = '\0';
		r = nft_value(sp->field[i], w, a, b);
		if (r < 0)
			return r;
		range |= r;
		if (nft_is_turned(sp, i)) {
			turn(a, sp->field[i]->size);
			turn(b, sp->field[i]->size);
		}
		memcpy(lo + at, a, sp->field[i]->size);
		memcpy(hi + at, b, sp->field[i]->size);
		at += nft_pad(sp->field[i]->size);
		key += len + (dot ? 3 : 0);
	}
	return range;
}

int nft_elem_key(const struct nft_spec *sp, const char *key, uint8_t ret[NFT_KEY_MAX])
{
	uint8_t hi[NFT_KEY_MAX];

	return elem_key(sp, key, ret, hi) < 0 ? -EINVAL : 0;
}

static struct nftnl_set_elem *elem_new(struct nftnl_set *s, const uint8_t *key, unsigned size)
{
	struct nftnl_set_elem *el = nftnl_set_elem_alloc();

	if (!el)
		return NULL;
	if (nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY, key, size)) {
		nftnl_set_elem_free(el);
		return NULL;
	}
	nftnl_set_elem_add(s, el);
	return el;
}

/* big-endian plus one; false past the end */
static bool increment(uint8_t *b, unsigned size)
{
	while (size)
		if (++b[--size])
			return true;
	return false;
}

/* the end of an interval of one field: one past the last; the last of all has none */
static int elem_end(struct nftnl_set *s, uint8_t *hi, unsigned size)
{
	struct nftnl_set_elem *el;

	if (!increment(hi, size))
		return 0;
	el = elem_new(s, hi, size);
	if (!el)
		return -ENOMEM;
	nftnl_set_elem_set_u32(el, NFTNL_SET_ELEM_FLAGS, NFT_SET_ELEM_INTERVAL_END);
	return 0;
}

int nft_elem_add(struct nftnl_set *s, const struct nft_spec *sp, const char *key, const char *data)
{
	uint8_t lo[NFT_KEY_MAX], hi[NFT_KEY_MAX];
	unsigned size = sp->n_fields > 1 ? sp->key_size : sp->field[0]->size;
	struct nftnl_set_elem *el;
	int r = elem_key(sp, key, lo, hi);

	if (r < 0 || (r && !sp->interval))
		return -EINVAL;
	el = elem_new(s, lo, size);
	if (!el)
		return -ENOMEM;
	r = elem_data(el, sp, data);
	if (r || !sp->interval)
		return r;
	if (sp->n_fields == 1)
		return elem_end(s, hi, size);
	return nftnl_set_elem_set(el, NFTNL_SET_ELEM_KEY_END, hi, size) ? -ENOMEM : 0;
}
