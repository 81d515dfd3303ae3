/* SPDX-License-Identifier: MIT */
/*
 * nft - nf_tables through libnftnl and libmnl: one namespace's nft steps become
 * one atomic transaction with a stamp.
 *
 * Rule grammar (a subset of nft(8); a rule is one line, statements in a row):
 *   match:   FIELD [. FIELD]* [!=] VALUE|@SET|{ V, V }     FIELD [& MASK] ...
 *            ranges "a-b", prefixes for addresses, ifname wildcards "eni-*" (also in
 *            lists); flags "a,b" match any of them, "!=" takes but one
 *   FIELD:   iifname, oifname, [meta] mark, meta l4proto, meta nfproto, meta pkttype,
 *            ether saddr, ip saddr, ip daddr, ip protocol, ip frag-off, th sport, th dport,
 *            tcp sport, tcp dport, udp sport, udp dport, tcp flags, icmp type, icmp code,
 *            ct state, ct direction, ct status, ct mark, ct label (the number of a bit,
 *            0..127), ct original|reply packets (these also "> N"), fib daddr . mark oif,
 *            fib daddr . mark oifname, fib daddr type, arp operation, arp saddr ip
 *            (a field behind the IP header that names its protocol asks for it first, and
 *            so must stand first in a key of several)
 *   maps:    FIELD vmap @MAP;  "meta mark & 0xffff0000 vmap @MAP"
 *   actions: accept drop return, jump C, goto C, counter, meta mark set N,
 *            meta mark set FIELD map @MAP, meta mark set mark & M | N,
 *            meta mark set numgen inc mod N offset M (in turn), ct zone set N,
 *            ct mark set N|FIELD map @MAP, ct label set N (the other bits stay),
 *            snat|dnat to A[:P[-P]] [random|fully-random|persistent],
 *            snat|dnat to FIELD map @MAP, reject with tcp reset,
 *            reject with icmp [type] X (NAT namespace only),
 *            ip saddr set A|FIELD map @MAP (rewrite, checksums fixed),
 *            tcp option maxseg size set N (never made larger),
 *            limit rate [over] N/second [burst M packets], ct count [over] N,
 *            add|update @SET { KEY [timeout Ns] [counter] [ct count [over] N]
 *                              [limit rate [over] N/second [burst M packets]] },
 *            meta nftrace set 1,
 *            comment "text" (<= 128 characters, kept as the rule's user data)
 *   dynamic KEY fields may also be constants: "mark 0x12" is written "0x12" (4 bytes, host order).
 *   "th ports": the 4 bytes of both ports as one field of type mark (network order as loaded).
 * What the grammar doesn't know is -EINVAL with the place: a rule is never sent
 * without one of its parts.
 */
#ifndef NFT_H
#define NFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/err.h"
#include "lib/program.h"

struct nft;
int nft_open(int ns_fd, struct nft **ret, struct err *e);
struct nft *nft_close(struct nft *s);

/*
 * nft_commit() - all "steps" (kinds table, set, chain, elem of this namespace)
 * in one transaction, with NFNL_BATCH_GENID and the stamp: set "stamp" of the
 * table "ip vpclab" gets one element, "hash" (32 hex) and the generation that
 * the commit makes.  A changed chain is flushed and filled again; a changed set
 * is deleted and made (its users' chains are refilled by the caller's steps).
 * "all": the namespace's whole new nft items, for building references (set
 * types); borrowed.  -ESTALE: someone else committed in between (nothing done).
 */
int nft_commit(struct nft *s, const struct step *steps, size_t n, const struct program *all,
	       const char *ns, const char *hash, struct err *e);
/* replaces every table of ours (those in "all", and "ip vpclab") by "all", whatever
 * is there, deletes tables of others, in one transaction */
int nft_replace(struct nft *s, const struct program *all, const char *ns, const char *hash,
		struct err *e);
/* 1: the stamp is there, equals "hash", the generation is the kernel's, and there is no
 * table of traces; 0: not; -errno */
int nft_adoptable(struct nft *s, const char *hash);

/* readers of dynamic sets: "fn" per element, key bytes as in the kernel (each
 * field padded to 4), packets/bytes of its counter (0 without) */
typedef void (*nft_elem_fn)(const void *key, size_t size, uint64_t packets, uint64_t bytes,
			    void *arg);
int nft_each_elem(struct nft *s, const char *family_table, const char *set, nft_elem_fn fn,
		  void *arg);
/* the same of a set whose elements time out: "left_ms" until then, 0 without */
typedef void (*nft_expiring_fn)(const void *key, size_t size, uint64_t left_ms, void *arg);
int nft_each_expiring(struct nft *s, const char *family_table, const char *set, nft_expiring_fn fn,
		      void *arg);

/*
 * nft_dump - a big dynamic set, read in pieces between a loop's other duties, by a socket
 * of its own.
 *
 * _start() begins; _read() takes what is there: 1 more to come (when the descriptor is
 * readable), 0 that was all; -errno: it is over and not whole (-ENOENT: no such set).
 * Elements that counted nothing aren't told.  The kernel walks the set anew for each
 * piece and skips as many as it has told: of a set that changes meanwhile, elements are
 * told twice or passed over.  In one whose elements stay, only a resize of its table
 * can do that, and as many are told twice then as are passed over: if none is told
 * twice, it was all of them.
 */
struct nft_dump;
typedef void (*nft_dump_fn)(const void *key, size_t size, uint64_t left_ms, uint64_t packets,
			    uint64_t bytes, void *arg);
int nft_dump_open(int ns_fd, struct nft_dump **ret); /* 0, -errno */
struct nft_dump *nft_dump_close(struct nft_dump *d);
int nft_dump_fd(const struct nft_dump *d);
int nft_dump_start(struct nft_dump *d, const char *family_table, const char *set);
int nft_dump_read(struct nft_dump *d, nft_dump_fn fn, void *arg);

/* waits until no packet is on its way through rules as they were before the last commit:
 * membarrier(2), which waits for an RCU grace period, as packets are in a critical
 * section of it from interface to interface.  0; -errno: the kernel can't, or has
 * processors that nohz_full spares */
int nft_settle(void);

/* hears commits in the namespace; nft_monitor_read(): 1 foreign, 0 ours, -errno
 * (ENOBUFS counts as foreign) */
int nft_monitor_open(int ns_fd);
int nft_monitor_read(int fd);

/*
 * Traces: packets that a rule with "meta nftrace set 1" has marked are told of, rule by
 * rule.  The rule belongs into a table of this name, which is never part of a program
 * and makes a namespace that is found with it one to replace (nft_adoptable()).
 */
#define NFT_TRACE_TABLE "ip vpclab_trace"
enum nft_trace_kind { NFT_TRACE_RULE, NFT_TRACE_RETURN, NFT_TRACE_POLICY };

/* connection tracking's and traces' idea of a packet; an echo's "sport" is its id */
struct nft_flow {
	uint8_t proto;	       /* IPPROTO_* */
	uint32_t saddr, daddr; /* host order */
	uint16_t sport, dport; /* host order */
};

struct nft_trace_step {
	uint32_t id; /* of the packet while it is in the namespace; used again soon */
	enum nft_trace_kind kind;
	char table[64], chain[64]; /* the table without its family */
	uint64_t handle;	   /* of the rule; 0: none */
	char verdict[80];	   /* "accept", "drop", "continue", "return", "goto CHAIN" ... */
	bool has_flow;		   /* the first step of a base chain: what follows is told */
	struct nft_flow flow;
	uint32_t iif, oif; /* 0: none (yet) */
};
int nft_trace_open(int ns_fd); /* a socket that hears of all traces there; -errno */
/* what has come so far: 0; 1: some was lost; -errno, also what "fn" returned */
typedef int (*nft_trace_fn)(const struct nft_trace_step *s, void *arg);
int nft_trace_read(int fd, nft_trace_fn fn, void *arg);

/* a rule of a table of family ip, the "index"th of its chain, from 0 */
struct nft_handle {
	char table[64], chain[64];
	uint64_t handle;
	size_t index;
};
/* all of the namespace, a chain's in its order; "ret" is allocated.  0, -errno */
int nft_handles(struct nft *s, struct nft_handle **ret, size_t *ret_n);

/* pure, for tests and goldens: what a rule becomes, one expression a line */
int nft_explain_rule(const char *rule, const struct program *all, const char *ns,
		     const char *family_table, struct buf *b, struct err *e);

/* connection tracking of a namespace (libnetfilter_conntrack) */
/* the flow's translation there: "ret" is what leaves (source/destination after
 * NAT).  zone is searched 0 then 1; -ENOENT if not tracked */
int ct_translate(int ns_fd, const struct nft_flow *in, struct nft_flow *ret);
/* every entry as a line, as conntrack(8) writes them, up to "max" of them; one
 * more line then says that there are others.  0 or -errno */
int ct_print(int ns_fd, size_t max, struct buf *b);
/* how many entries have "mark" in the bits of "mask" (not 0): of any protocol, and of
 * TCP.  The kernel picks them, so the others cost nothing.  0 or -errno */
struct ct_census {
	size_t all, tcp;
};
int ct_count_marked(int ns_fd, uint32_t mark, uint32_t mask, struct ct_census *ret);
/* deletes every entry that has "addr" as an address of either tuple */
int ct_forget(int ns_fd, uint32_t addr);

#endif
