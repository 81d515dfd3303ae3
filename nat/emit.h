/* SPDX-License-Identifier: MIT */
/*
 * emit - what every namespace's part of a program is written with: items in
 * short, chains line by line, and the accounting of drops.  Used by nat/ and by
 * netd/compile*.c.
 */
#ifndef EMIT_H
#define EMIT_H

#include "lib/buf.h"
#include "lib/program.h"
#include "topology/reach.h"
#include "topology/store.h"

#define GATEWAY_ROUTER "169.254.0.1"   /* next hop on unnumbered links, one end */
#define GATEWAY_INTERNET "169.254.0.2" /* and the other */
#define DNS_LINK_LOCAL "169.254.169.253"
#define MTU_VPC 9001
#define MTU_INTERNET 1500

/* sysctls of a namespace; "forwards": of a router of any kind */
#define EMIT_NO_IPV6                                \
	"sysctl net.ipv6.conf.all.disable_ipv6=1\n" \
	"sysctl net.ipv6.conf.default.disable_ipv6=1"
/* of a node: how many ICMP errors it sends mustn't depend on how many others were asked for
 * just before, or a closed port would sometimes be silent */
#define EMIT_NODE EMIT_NO_IPV6 "\nsysctl net.ipv4.icmp_ratemask=0"
/* ip_forward first: writing it resets others.  "all" and "default" both: some
 * settings are the larger, or the OR, of "all" and the device's */
#define EMIT_FORWARDS                                                    \
	EMIT_NODE "\n"                                                   \
		  "sysctl net.ipv4.ip_forward=1\n"                       \
		  "sysctl net.ipv4.conf.all.rp_filter=0\n"               \
		  "sysctl net.ipv4.conf.default.rp_filter=0\n"           \
		  "sysctl net.ipv4.conf.all.send_redirects=0\n"          \
		  "sysctl net.ipv4.conf.default.send_redirects=0\n"      \
		  "sysctl net.ipv4.conf.all.accept_redirects=0\n"        \
		  "sysctl net.ipv4.conf.default.accept_redirects=0\n"    \
		  "sysctl net.ipv4.conf.all.accept_source_route=0\n"     \
		  "sysctl net.ipv4.conf.default.accept_source_route=0\n" \
		  "sysctl net.ipv4.conf.all.log_martians=0\n"            \
		  "sysctl net.ipv4.conf.default.log_martians=0\n"        \
		  "sysctl net.ipv4.conf.all.proxy_arp=0"

/* rules of a namespace with one table: what it doesn't know is silent */
void emit_edge_rules(const char *ns, struct program *p);

/* one namespace, and the nft table that chains and sets go to */
struct emit {
	struct program *p;
	const char *ns;
	const char *table; /* "ip vpc" */
};

/* "set", "chain", "elem" of f->table; val as in program.h */
void emit_table(const struct emit *f);
void emit_set(const struct emit *f, const char *name, const char *val);
void emit_elem(const struct emit *f, const char *set, const char *val, const char *key_fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * A chain: emit_chain() starts it ("hook" "" for a plain one), emit_rule() adds a
 * line, emit_chain_end() puts it into the program.  The buffer is the caller's.
 */
void emit_chain(struct buf *b, const char *hook);
void emit_rule(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void emit_chain_end(const struct emit *f, const char *name, struct buf *b);

/* an interface whose far end forwards (NAT gateway, egress namespace): the link in
 * the router, and at the far end its addresses and one way out, with permanent
 * neighbours, so that nobody is ever asked.  "mtu": of what leaves there, if it is
 * less than the link's; 0 */
void emit_uplink(const struct s_eni *e, unsigned mtu, struct program *p);
/* only the link: router's end and workload's */
void emit_eni_link(const struct s_eni *e, struct program *p);

/* name of the chain that accounts for a drop and drops: for "goto %s" */
const char *emit_drop(enum reach_drop_number n);
/* the sets drops and notes that these chains write */
void emit_drop_sets(const struct emit *f);
/* one of them; "first" (NULL: none): a rule before the one that drops */
void emit_drop_chain(const struct emit *f, enum reach_drop_number n, const char *first);
void emit_drop_chains(const struct emit *f, const enum reach_drop_number *numbers, size_t n);

/* what a rule compares a field with, from an empty "b": one item, or "{ A, B }".  _end
 * returns it, and it lives as "b" does */
void emit_list_add(struct buf *b, const char *item);
const char *emit_list_end(struct buf *b);

#endif
