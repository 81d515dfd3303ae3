/* SPDX-License-Identifier: MIT */
/*
 * nft_internal - what the files of lib/nft share.  nft.c makes transactions of
 * steps, of messages by nft_put.c, sent by nft_tx.c; nft_set.c knows types, sets and
 * elements; nft_rule.c turns a line of a chain into expressions, with nft_field.c for
 * what can be matched; nft_read.c dumps and listens.
 */
#ifndef NFT_INTERNAL_H
#define NFT_INTERNAL_H

#include <libnftnl/rule.h>
#include <libnftnl/set.h>
#include <stdint.h>

#include "lib/nft.h"

#define NFT_KEY_MAX 64 /* bytes: 16 registers of 4 */
#define NFT_FIELDS_MAX 8
#define NFT_NAME_SIZE 128
#define NFT_ANON_MAX 8 /* unnamed sets in one rule */

#define STAMP_TABLE "vpclab"
#define STAMP_SET "stamp"
#define TRACE_TABLE (NFT_TRACE_TABLE + 3) /* its name, behind "ip " */

/* ---- types: numbers are nft(8)'s own, the kernel only stores them ---- */

struct nft_type {
	const char *name;
	unsigned id;
	unsigned size; /* bytes */
	bool host_order;
	bool bits; /* a set of flags: "a,b" matches any of them */
};
enum {
	T_VERDICT = 1,
	T_NFPROTO = 2,
	T_INTEGER = 4,
	T_IPV4 = 7,
	T_ETHER = 9,
	T_ARPOP = 11,
	T_PROTO = 12,
	T_SERVICE = 13,
	T_ICMP_TYPE = 14,
	T_TCP_FLAG = 15,
	T_MARK = 19,
	T_IFINDEX = 20,
	T_CT_STATE = 26,
	T_CT_DIR = 27,
	T_CT_STATUS = 28,
	T_CT_LABEL = 30,
	T_PKTTYPE = 31,
	T_ICMP_CODE = 32,
	T_FIB_ADDR = 38,
	T_IFNAME = 41,
	T_PACKETS = 255, /* not one of nft(8)'s, which has no sets of it */
};
const struct nft_type *nft_type_by_id(unsigned id);
const struct nft_type *nft_type_by_name(const char *name); /* those of sets only */
static inline unsigned nft_pad(unsigned size)
{
	return (size + 3) & ~3u;
}

/*
 * nft_value() - the bytes of one word of type "t", as the kernel compares them.
 * "ret_end" (may be NULL: no ranges) takes the last one of "a-b", a prefix or a
 * wildcard, else equals "ret".  Both hold NFT_KEY_MAX bytes, zeroed.  Returns 1
 * for a range, 0, -EINVAL.
 */
int nft_value(const struct nft_type *t, const char *word, uint8_t *ret, uint8_t *ret_end);

/* ---- sets ---- */

struct nft_spec { /* a set's value, parsed */
	const struct nft_type *field[NFT_FIELDS_MAX];
	unsigned n_fields, key_size; /* padded */
	const struct nft_type *data; /* NULL: not a map of data */
	bool verdict;		     /* a map of verdicts */
	bool interval, dynamic, timeout, counter;
	uint32_t size; /* 0: none */
	uint64_t timeout_ms;
};
int nft_spec_parse(const char *val, struct nft_spec *ret);

struct nft_table_name {
	int family; /* NFPROTO_* */
	char table[NFT_NAME_SIZE];
};
/* "ip vpc" and what follows: "ret_rest" is the third word, "" if there is none; of an
 * element's key up to the tab, "ret_elem" what is behind it */
int nft_name_parse(const char *key, struct nft_table_name *ret, char ret_rest[NFT_NAME_SIZE],
		   const char **ret_elem);

/* allocated; NULL if out of memory.  "id" is the set's number in the transaction */
struct nftnl_set *nft_set_make(const struct nft_table_name *t, const char *name,
			       const struct nft_spec *spec, uint32_t id);
/* appends the element "key" (with "data" unless NULL, for deletions) to "s" */
int nft_elem_add(struct nftnl_set *s, const struct nft_spec *spec, const char *key,
		 const char *data);
/* the first key of "key" alone */
int nft_elem_key(const struct nft_spec *spec, const char *key, uint8_t ret[NFT_KEY_MAX]);
int nft_verdict(const char *word, const char *chain, int *ret); /* "accept", "goto" ... */

/* ---- rules ---- */

struct nft_rule {
	struct nftnl_rule *rule;	      /* owns */
	struct nftnl_set *anon[NFT_ANON_MAX]; /* owns; with their elements */
	size_t n_anon;
};
struct nft_env {
	const struct program *all; /* borrows: where sets' types are found */
	const char *ns;
	uint32_t *set_id; /* last number given in this transaction */
};
/* "chain" may be "" when only explained */
int nft_rule_build(const struct nft_env *env, const struct nft_table_name *t, const char *chain,
		   const char *text, struct nft_rule *ret, struct err *e);
void nft_rule_done(struct nft_rule *r);

/* ---- fields: what a rule can look at ---- */

struct nft_words { /* a line, cut up; words borrow from "text" */
	char *text;
	char **w; /* w[n] is NULL */
	size_t n, at;
};
int nft_words_split(const char *line, struct nft_words *ret);
void nft_words_done(struct nft_words *w);
static inline const char *nft_peek(const struct nft_words *w, size_t ahead)
{
	return w->at + ahead < w->n ? w->w[w->at + ahead] : "";
}
bool nft_take(struct nft_words *w, const char *word);

struct nft_key { /* one or several fields in registers, from the first on */
	const struct nft_type *field[NFT_FIELDS_MAX];
	bool any[NFT_FIELDS_MAX]; /* a constant: fits any type of its size */
	unsigned n, size;	  /* padded */
	bool masked;		  /* the last field was "& M" */
	bool present;		  /* "fib ... oif": may be asked for "missing" */
};
struct nft_loader {
	struct nftnl_rule *rule;
	int family;
	int l4;			/* protocol that the rule has made sure of, 0: none */
	struct nftnl_expr *fib; /* the last "fib ... oif" */
};
#define NFT_REG_OF(off) (NFT_REG32_00 + (off) / 4)

/* FIELD [& MASK] [. FIELD [& MASK]]* ; constants too if "dynamic".  0, -ENOENT if the next
 * word begins no field, -EINVAL */
int nft_key_load(struct nft_loader *l, struct nft_words *w, bool dynamic, struct nft_key *ret);
struct nftnl_expr *nft_expr(struct nft_loader *l, const char *name);
/* makes sure that the packet's protocol is "proto" */
int nft_need_l4(struct nft_loader *l, int proto);

/* ---- transactions ---- */

#define NFT_SENTENCE_SIZE 160

struct nftnl_batch;
struct nlmsghdr;
struct nft_made { /* what a message was for; borrows */
	const struct item *it;
	const char *rule; /* within a chain's value; NULL */
};

struct nft_tx {
	struct nft *s;
	const struct program *all;
	const char *ns;
	struct nftnl_batch *b;
	struct nft_made *made; /* by sequence number, from first_seq on */
	size_t n_made, cap_made;
	uint32_t first_seq, set_id;
	int err; /* sticks: -errno of building */
	struct err *e;
	const struct item *now; /* what is being made */
	const char *now_rule;
	struct {
		uint32_t seq;
		int err;
		uint32_t at; /* where in the message, 0: not said */
		char sentence[NFT_SENTENCE_SIZE];
	} failed; /* the first that the kernel refused */
};

/* errors stick: after the first, messages are made but never sent */
void nft_tx_begin(struct nft_tx *t, uint32_t gen);
void nft_tx_fail(struct nft_tx *t, int r);
/* a message is begun by its header, filled, and put into the batch */
struct nlmsghdr *nft_tx_hdr(struct nft_tx *t, uint16_t type, int family, uint16_t flags);
void nft_tx_put(struct nft_tx *t);
void nft_tx_end(struct nft_tx *t);
/* sends and frees; "gen" is what the generation will be.  0, -ESTALE, -errno */
int nft_tx_commit(struct nft_tx *t, uint32_t gen);

struct nft_base { /* the first line of a base chain */
	bool is;
	char type[16];
	uint32_t hook, policy;
	int32_t prio;
};
/* a chain's value: its base (is: false for others) and where its rules begin */
int nft_base_parse(const char *val, int family, struct nft_base *ret, const char **ret_rules);

void nft_put_table(struct nft_tx *t, uint16_t type, int family, const char *name);
void nft_put_set_new(struct nft_tx *t, const struct nft_table_name *n, struct nftnl_set *x);
void nft_put_set_del(struct nft_tx *t, const struct nft_table_name *n, const char *name);
void nft_put_elems(struct nft_tx *t, const struct nft_table_name *n, struct nftnl_set *x,
		   uint16_t type);
/* all elements of a set, all rules of a chain: away */
void nft_put_flush_set(struct nft_tx *t, const struct nft_table_name *n, const char *name);
void nft_put_flush_chain(struct nft_tx *t, const struct nft_table_name *n, const char *name);
void nft_put_chain(struct nft_tx *t, uint16_t type, const struct nft_table_name *n,
		   const char *name, const struct nft_base *b);
void nft_put_rules(struct nft_tx *t, const struct item *it, const struct nft_table_name *n,
		   const char *name);

/* ---- reading ---- */

struct mnl_socket;
struct nft {
	struct mnl_socket *sock;
	uint32_t gen; /* that the next commit expects */
	uint32_t seq;
};
struct nlmsghdr;
/* one request and its whole answer, each message to "fn" (as libmnl's callbacks);
 * "again": a dump was interrupted and begins anew.  0, -errno */
int nft_request(struct nft *s, struct nlmsghdr *h, int (*fn)(const struct nlmsghdr *h, void *arg),
		void (*again)(void *arg), void *arg);
int nft_gen_read(struct nft *s, uint32_t *ret);
/* names of all tables: "fn" gets the family's number */
int nft_tables_each(struct nft *s, int (*fn)(int family, const char *table, void *arg), void *arg);
bool nft_port_is_ours(uint32_t port);
/* Where a field is compared by its size, that is in a range next to other fields, the
 * kernel takes it for big-endian: what is in the host's order there, but for names,
 * is turned round in the element and in the rule, as nft(8) does. */
bool nft_is_turned(const struct nft_spec *sp, unsigned field);
/* a socket in the namespace "ns_fd" that hears group "group" (NFNLGRP_...) of
 * nfnetlink, with room for "size" bytes; non-blocking.  fd or -errno */
int nft_listen(int ns_fd, unsigned group, int size);
int nft_port_add(uint32_t port);
void nft_stamp_key(const char *hash, uint32_t gen, uint8_t ret[20]);

#endif
