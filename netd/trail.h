/* SPDX-License-Identifier: MIT */
/*
 * trail - one packet's way, and its answer's, put together from what the kernel told
 * of traced packets in each namespace (lib/nft.h).  Pure.
 *
 * A packet that leaves a namespace is found again behind the link by its tuple, so
 * that each hop's translation is seen, and nothing has to be known beforehand.
 */
#ifndef TRAIL_H
#define TRAIL_H

#include "lib/json.h"
#include "lib/nft.h"
#include "topology/store.h"

#define TRAIL_PACKETS_MAX 4096 /* of one trace, all namespaces together */
#define TRAIL_STEPS_MAX 65536
#define TRAIL_HOPS_MAX 32 /* of one packet */

/* chains of the table of traces: where packets are marked, and where they end */
#define TRAIL_IN "in"
#define TRAIL_MADE "made"
#define TRAIL_ARRIVE "arrive"
#define TRAIL_LEAVE "leave"

struct trail_packet {
	const char *ns; /* borrows from whoever adds */
	uint32_t id;
	struct nft_trace_step *steps; /* owns */
	size_t n, cap;
	bool used;
};

struct trail_log {
	struct trail_packet *v; /* owns */
	size_t n, cap, n_steps;
	bool lost; /* there was more than is kept */
};

/* one step of namespace "ns", in the order in which they came there; 0, -ENOMEM */
int trail_add(struct trail_log *l, const char *ns, const struct nft_trace_step *s);
void trail_done(struct trail_log *l);

/* the text of a rule as the program has it, into "ret"; false: nobody knows it */
typedef bool (*trail_rule_fn)(const char *ns, const struct nft_trace_step *s, struct buf *ret,
			      void *arg);

struct trail_ask {
	const struct program *program; /* whose links lead from namespace to namespace */
	const struct store *store;     /* whose ids rules' comments name */
	trail_rule_fn rule;
	void *arg;
};

/*
 * trail_follow() - from namespace "ns" as "flow": {"hops":[{"namespace","answer",
 * "interface_in","interface_out","in":{"saddr","sport","daddr","dport"},"out","rules":
 * [{"table","chain","rule","verdict","id","path"}],"verdict"}],"delivered_to"}.
 * "verdict": "accept" (it left, as "out"), "local", "drop", or "routing" (no rule dropped
 * it, and it did not leave).  Marks packets that it passes as used.  NULL: no memory.
 */
cJSON *trail_follow(struct trail_log *l, const struct trail_ask *q, const char *ns,
		    const struct nft_flow *flow);

#endif
