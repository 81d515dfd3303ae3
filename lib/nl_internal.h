/* SPDX-License-Identifier: MIT */
/*
 * nl_internal - what the files of lib/nl share: nl.c sends, nl_build.c makes
 * messages of steps, nl_observe.c makes items of messages, nl_monitor.c listens.
 */
#ifndef NL_INTERNAL_H
#define NL_INTERNAL_H

#include <net/if.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/nl.h"

#define NL_MSGS_PER_STEP 4 /* a link: create, settings, delay, up */
#define NL_MAP_BUCKETS 256

struct nl_name {
	char name[IFNAMSIZ];
	int index;   /* 0: gone */
	size_t next; /* in its bucket, plus 1 */
};

struct nl {
	int fd;
	uint32_t seq;
	ino_t ns; /* which namespace */
	struct nl_name *names;
	size_t n_names, cap_names;
	size_t bucket[NL_MAP_BUCKETS]; /* index in names plus 1 */
};

/* ---- a slice ---- */

enum nl_tolerate {
	NL_STRICT,
	NL_EXISTS,	   /* EEXIST means: there, and the same */
	NL_EXISTS_IF_SAME, /* a link: look */
	NL_GONE,	   /* any word for "isn't there" */
};

struct nl_slot {
	struct nl_msg *msg; /* owns */
	size_t step;
	enum nl_tolerate tolerate;
	int err; /* 0 or -errno; before the answer: -EINPROGRESS */
};

struct nl_batch {
	struct nl_slot slot[NL_SLICE_MAX];
	size_t n;
	char sentence[200]; /* the kernel's, of the first failing message */
};

void nl_batch_clear(struct nl_batch *b);
/* takes "msg", also on failure */
int nl_batch_add(struct nl_batch *b, struct nl_msg *msg, size_t step, enum nl_tolerate t);
/* sends all and waits for all answers, which are in the slots; -errno if the
 * socket itself failed */
int nl_batch_send(struct nl *s, struct nl_batch *b);

/* one request; "fn" sees each message of the answer.  A dump is tried again when
 * it was interrupted; "again" (may be NULL) is then called to forget what came.  */
typedef int (*nl_answer_fn)(struct nlmsghdr *h, void *arg);
int nl_request(struct nl *s, struct nl_msg *msg, nl_answer_fn fn, void (*again)(void *arg),
	       void *arg);

int nl_index(struct nl *s, const char *name);	    /* or -ENODEV; dumps if need be */
int nl_index_known(struct nl *s, const char *name); /* the same without a dump */
void nl_forget_name(struct nl *s, const char *name);
void nl_forget_all(struct nl *s);
const char *nl_name_of(struct nl *s, int index); /* NULL */
uint32_t nl_next_seq(struct nl *s);
bool nl_port_is_ours(uint32_t port);

/* ---- values ---- */

struct nl_link {
	char name[IFNAMSIZ], peer[IFNAMSIZ];
	char peer_ns[200], alias[200], peer_alias[200];
	uint8_t mac[6], peer_mac[6];
	bool has_mac, has_peer_mac;
	unsigned index, peer_index, mtu; /* 0: the kernel's choice */
	int proxy_arp;			 /* -1: as inherited */
	bool proxy_delay;		 /* to be 0 */
};
struct nl_addr4 {
	char dev[IFNAMSIZ];
	uint32_t addr; /* network order */
	unsigned len;
};
struct nl_route {
	uint32_t table, dst, via, src; /* network order; 0: none */
	unsigned len, metric;
	unsigned mtu;	    /* 0: the device's */
	int type;	    /* RTN_* */
	char dev[IFNAMSIZ]; /* "" */
	bool onlink, scope_link;
};
struct nl_rule {
	uint32_t pref, mark, mask, table;
	uint32_t from; /* network order; 0: any */
	bool has_mark;
	int action;	    /* FR_ACT_* */
	char iif[IFNAMSIZ]; /* "" */
};
struct nl_neigh {
	char dev[IFNAMSIZ];
	uint32_t addr;
	uint8_t mac[6];
};
/* all: 0, -EINVAL for anything that isn't wholly understood */
int nl_parse_link(const char *key, const char *val, struct nl_link *ret);
int nl_parse_addr(const char *key, const char *val, struct nl_addr4 *ret);
int nl_parse_route(const char *key, const char *val, struct nl_route *ret);
int nl_parse_rule(const char *key, const char *val, struct nl_rule *ret);
int nl_parse_neigh(const char *key, const char *val, struct nl_neigh *ret);

/* ---- messages ---- */

struct nl_build {
	struct nl *s;
	struct nl_batch *b;
	size_t step;
	nl_ns_fd_fn ns_fd;
	void *arg;
};
/* appends the messages of a step (not link deletions) */
int nl_build_step(struct nl_build *bd, const struct step *st, struct err *e);
/* appends what brings up the far end of a link, in its own namespace */
int nl_build_peer(struct nl_batch *b, size_t step, const struct nl_link *l);
struct nl_msg *nl_msg_link_by_name(int type, int flags, const char *name);

/* as nl_link_matches(), but for what a step sets again without making the link anew: up, alias */
bool nl_link_same(const char *observed_val, const char *program_val);
/* a link's observed value; -ENODEV */
int nl_observe_link(struct nl *s, const char *name, struct buf *ret);

/* ---- links that we made, so that the kernel's echo isn't taken for a foreigner's ---- */
void nl_own_link(ino_t ns, unsigned index, unsigned mtu, const uint8_t mac[6]);
void nl_disown_ns(ino_t ns);
bool nl_is_watched(ino_t ns); /* a monitor may still hear of them */

#endif
