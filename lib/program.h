/* SPDX-License-Identifier: MIT */
/*
 * program - all that ought to exist in the kernel, as data.
 *
 * A program is a sorted set of items.  An item belongs to a namespace, has a
 * kind, a key that is unique in (namespace, kind), and a value; both are text
 * in the words of ip(8) and nft(8), so that a program prints, compares and is
 * stored as text, and a reader needs no third language.  compile (netd/, nat/)
 * fills programs, diff compares two, lib/nl and lib/nft carry steps into the
 * kernel, lib/nl dumps a namespace back into one.
 *
 * kind   key                  value
 * ns     ""                   lines: "sysctl net.ipv4.ip_forward=1", in the order they are
 *                             written; "rules none" (stock rules 32766 and 32767 are deleted
 *                             at creation); "role router|nat_gateway|egress|internet|node|place"
 * link   NAME                 "index N peer PNAME peer-ns NS peer-index M mac XX peer-mac XX mtu N
 *                             alias TEXT [proxy_arp 0|1] [proxy_delay 0] [peer-alias TEXT]"
 *                             (veth; made in this ns, the peer directly in peer-ns, both ends up)
 * addr   "DEV A/L"            ""
 * route  "TABLE DST"          "via A dev D onlink" | "dev D" | "dev D scope link" | "blackhole" |
 *                             "throw", optionally "src A", "mtu N"   (TABLE a number,
 *                             main = 254)
 * rule   PREF                 "[from A] [iif lo] [fwmark 0xV/0xM] lookup T" | "[...] blackhole"
 * neigh  "DEV A"              "lladdr XX"             (permanent)
 * table  "ip NAME"|"arp NAME" ""
 * set    "ip TABLE NAME"      "type T[ . T]*[ : T]; [flags interval,dynamic,timeout;]
 *                             [size N;] [timeout Ns;] [counter;]"
 *                             T: ipv4_addr ifname mark inet_proto inet_service ether_addr
 *                             tcp_flag nf_proto,
 *                             data also verdict
 * chain  "ip TABLE NAME"      "" or "type filter|nat hook H priority N; policy accept|drop;",
 *                             then a line a rule (grammar: lib/nft.h)
 * elem   "ip TABLE SET\tKEY"  "" | data ("0x10101", "goto NAME", an address)
 *                             KEY: fields joined by " . "; intervals "a-b" or a prefix
 * sock   "PROTO ADDR PORT"    "serve NODE" | "dns VIEW" | "http NODE"; PROTO tcp|udp
 *                             (owned by the responder)
 */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"

enum item_kind {
	ITEM_NS,
	ITEM_LINK,
	ITEM_ADDR,
	ITEM_ROUTE,
	ITEM_RULE,
	ITEM_NEIGH,
	ITEM_TABLE,
	ITEM_SET,
	ITEM_CHAIN,
	ITEM_ELEM,
	ITEM_SOCK,
	ITEM_N_KINDS
};
const char *item_kind_name(enum item_kind k);

struct item {
	enum item_kind kind;
	const char *ns, *key, *val; /* borrow from the program's arena */
};

struct program {
	struct item *items; /* owns; sorted by (ns, kind, key) once sealed */
	size_t n, cap;
	void *arena;
	bool failed; /* out of memory: sticks */
};

void program_init(struct program *p);
void program_done(struct program *p);
/* adds a copy; the same (ns, kind, key) twice is found by program_seal() */
void program_add(struct program *p, const char *ns, enum item_kind kind, const char *key,
		 const char *val);
void program_addf(struct program *p, const char *ns, enum item_kind kind, const char *key,
		  const char *fmt, ...) __attribute__((format(printf, 5, 6)));
/* sorts; -EEXIST and the item's name in "e" on two different items of one key
 * (equal twins fold into one); -ENOMEM */
int program_seal(struct program *p, struct err *e);
/* sealed programs only */
const struct item *program_find(const struct program *p, const char *ns, enum item_kind kind,
				const char *key);
/* half-open range of a namespace's items (of one kind; ITEM_N_KINDS: all) */
void program_range(const struct program *p, const char *ns, enum item_kind kind, size_t *ret_from,
		   size_t *ret_to);
/*
 * actual state: set (adds or replaces) and remove one item.  Both only write a
 * log, which the next reader merges (cost: one pass, however many there are), so
 * whoever looks at "items" himself calls program_sync() first.  Removing takes
 * along what the kernel takes along: a table its sets, chains and elements, a
 * set its elements, a link what hangs on its two ends.
 */
int program_sync(struct program *p); /* 0, -ENOMEM */
int program_set(struct program *p, const struct item *it);
void program_unset(struct program *p, const char *ns, enum item_kind kind, const char *key);
/* drops every item of a namespace (it is gone) and links of others whose peer was in
 * it, with what hangs on them */
void program_unset_ns(struct program *p, const char *ns);
/* shares the texts, unless too many of them were replaced: 0, -ENOMEM */
int program_copy(const struct program *from, struct program *ret);
/* holds many texts that were replaced: a copy of what has it all is lighter */
bool program_is_worn(const struct program *p);
/* a part of "p" that was compiled by itself as "old" becomes "new" (both sealed, either
 * may be empty): 0, -ENOMEM */
int program_replace(struct program *p, const struct program *old, const struct program *new);
/* text: "ns NAME {", indented "kind key: val" lines, "}" ; parse is the inverse */
void program_print(const struct program *p, struct buf *b);
int program_parse(const char *text, struct program *ret, struct err *e);
/* the nft script of one namespace's tables, loadable by nft -f */
void program_print_nft(const struct program *p, const char *ns, struct buf *b);
/* digest of a namespace's nft items: what the stamp holds; 32 hex characters */
void program_nft_hash(const struct program *p, const char *ns, char ret[33]);

/* the word after "name" in a value: item_arg("mtu 9001 mac x", "mac") copies "x"; -ENOENT */
int item_arg(const char *val, const char *name, char *ret, size_t size);

/*
 * Steps from one program to another, in the order in which they must be taken:
 *  1 ns add; replace: sysctls differ, they are written again
 *  2 nft (all of a namespace's nft steps are one transaction, adds and deletes)
 *  3 link del of what is in a new link's way, link add (of all namespaces);
 *    then a namespace at a time: addr add, neigh add/replace, rule add, route add/replace
 *  4 sock add
 *  5 sock del; route del, rule del, neigh del, addr del; link del
 *  6 ns del
 * A link whose value differs is deleted and made again with all that hangs on it.
 * What goes by itself has no step: contents of a namespace that goes (but for
 * sockets), links into it, contents of a table or set that goes.  A set whose
 * definition differs is "replace" (deleted and made); its elements and the chains
 * that use it follow.  "replace" of a rule or socket: the old one off, the new one on.
 */
enum step_op { STEP_ADD, STEP_REPLACE, STEP_DEL };
struct step {
	enum step_op op;
	unsigned phase;		/* 1..6 */
	const struct item *old; /* NULL for ADD; part of "ret", text borrows from "from" */
	const struct item *new; /* NULL for DEL; part of "ret", text borrows from "to" */
};
/* pure; both sealed; "ret" is allocated (free), ordered by phase, then namespace */
int program_diff(const struct program *from, const struct program *to, struct step **ret,
		 size_t *ret_n);

#endif
