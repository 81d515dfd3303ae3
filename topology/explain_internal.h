/* SPDX-License-Identifier: MIT */
/*
 * explain_internal - between explain.c (questions), explain_walk.c (a packet's
 * way), explain_gate.c, explain_acl.c and explain_peering.c (a router's checks).
 */
#ifndef EXPLAIN_INTERNAL_H
#define EXPLAIN_INTERNAL_H

#include "topology/explain.h"
#include "topology/reach.h"

#define WALK_TTL 64
/* Where a port matters that the file can't know: the client's own, of an answer
 * that a group hasn't seen the question of. */
#define WALK_EPHEMERAL 40000
#define WALK_MEMORY 128 /* a packet passes no more translators and gates than it has TTL */

struct packet {
	struct addr src, dst;
	struct addr about; /* of an ICMP error, an answer like others: where what it tells of went;
			    * unset: it is none */
	uint8_t proto;
	uint16_t sport, dport;
	unsigned ttl;
	bool answer;
};

/* what connection tracking knows of the question: at "where" (a VPC's router, a NAT
 * gateway, an egress namespace), in "zone" (1: past the internet gateway), it came
 * in as src -> dst and left as new_src -> dst */
struct memory {
	const void *where;
	unsigned zone;
	struct addr src, dst, new_src;
};

/* an interface's own memory of the question: it passed the gate of this direction,
 * by a rule that has the flow tracked */
struct gate_memory {
	const struct s_eni *eni;
	bool ingress;
	unsigned zone;
	struct addr src, dst;
};

enum place {
	PLACE_SEND,	/* a node or a sandbox sends */
	PLACE_EGRESS,	/* an egress namespace, from outside */
	PLACE_FROM_ENI, /* a router, from an interface */
	PLACE_FROM_IGW, /* a router, from its internet gateway */
	PLACE_FROM_PEERING,
	PLACE_INTERNET,
	PLACE_ENI,  /* the far end of an interface */
	PLACE_HOST, /* an internet host */
	PLACE_END
};

/* who asks: one of these is set */
struct asker {
	const struct s_instance *instance;
	const struct s_host *host;
	const struct s_function *function;
	const struct s_egress *egress; /* of the function */
};

struct walk {
	const struct store *s;
	const struct explain_question *q;
	struct asker from;
	struct explain_part *part;
	size_t cap;
	bool failed; /* out of memory: sticks */
	struct packet p;
	/* where it is */
	enum place place;
	const struct s_eni *eni;
	const struct s_vpc *vpc;
	const struct s_peer *peer; /* the side of the router where it is, if it came by it */
	const struct s_host *host;
	const struct s_egress *egress;
	bool refusing;			  /* the answer says no */
	const struct s_instance *renamed; /* who put its own name into the answer; NULL: nobody */
	ssize_t rejected; /* the hop that sent an ICMP error, which is the answer; -1 */
	/* which of its addresses each NAT gateway gives, and how many there were to choose from */
	size_t choice, n_choices;
	struct memory memory[WALK_MEMORY];
	size_t n_memory;
	struct gate_memory gates[WALK_MEMORY];
	size_t n_gates;
};

/* walks from w->from to w->p.dst and back; fills w->part */
void walk_run(struct walk *w);

/* before that, of an instance: where its question to w->p.dst goes out */
void walk_from_instance(struct walk *w, const struct s_instance *in);

/* a hop; "fmt" NULL: no rule */
struct explain_hop *walk_hop(struct walk *w, enum explain_action action, const char *kind,
			     const char *component, const struct where *at, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* the hop that stops it, and the end: silence ("drop" 0: without a code) or an ICMP error */
void walk_stop(struct walk *w, enum reach_drop_number drop, const char *kind, const char *component,
	       const struct where *at, const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* has it seen the question of this answer? NULL: no, or it is a question */
const struct memory *walk_remembers(const struct walk *w, const void *where, unsigned zone);
/* where the question went that the packet answers, as it was at this place */
const struct addr *walk_asked(const struct packet *p);

/* a packet as it is on the wire: "from" and "to" are the port, or ICMP's type and code */
struct gate_form {
	int protocol, from, to;
};
struct gate_form gate_form(const struct walk *w);
/* the groups of an interface for the packet; false: it stopped there.  "zone" as in
 * struct memory; "far": the interface at the packet's other end, NULL: none */
bool gate_groups(struct walk *w, const struct s_eni *e, bool ingress, unsigned zone,
		 const struct s_eni *far);
/* does the interface know the answer, having let the question pass the other way? */
bool track_knows(const struct walk *w, const struct s_eni *e, bool ingress, unsigned zone);
/* its rules let the question pass: is it a flow that it remembers? */
void track_remember(struct walk *w, const struct s_eni *e, bool ingress, unsigned zone,
		    const struct s_eni *far);
/* "tcp 5432", "tcp 80-90", "icmp type 8", "all": ports, or ICMP's type */
void gate_protocol_words(int protocol, int from, int to, char *ret, size_t size);
/* the list of a subnet for what leaves it or enters it; false: it stopped there.
 * Whether the packet crosses the subnet's border is the caller's affair (explain_acl.c) */
bool gate_list(struct walk *w, const struct s_subnet *s, bool ingress);
/* what a table makes of an address */
enum route_kind { ROUTE_NONE, ROUTE_BAD, ROUTE_LOCAL, ROUTE_IGW, ROUTE_PEERING, ROUTE_ENI };
enum route_kind gate_route(const struct s_table *t, const struct addr *dst,
			   const struct route **ret_route, const struct s_eni **ret_eni);
/* explain_peering.c: does the peering carry the packet from this side? false: it stopped */
bool peering_takes(struct walk *w, const struct s_peer *from);
/* has a member of "g", a group on the other side of "via", the address?  "ingress": the
 * packet must have come over that peering */
bool peering_member(const struct walk *w, const struct s_vpc *v, const struct peering *via,
		    const struct security_group *g, const struct addr *a, bool ingress);
/* whose interface it is, in a file's words: kind, name and place */
const char *eni_kind(const struct s_eni *e);
const char *eni_name(const struct store *s, const struct s_eni *e);
const struct where *eni_where(const struct store *s, const struct s_eni *e);

#endif
