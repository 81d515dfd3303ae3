/* SPDX-License-Identifier: MIT */
/*
 * flow_table - what one flow log has counted in an interval: a record a flow (FL-4),
 * and which interfaces had traffic or lost some.  Pure.
 */
#ifndef FLOW_TABLE_H
#define FLOW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "netd/flow_index.h"
#include "netd/flow_kind.h"

#define FLOW_RECORDS_MAX 500000 /* of one log in one interval; more makes SKIPDATA */

struct s_eni;

/* an interface as records show it; outlives the store it was read from */
struct flow_eni {
	char link[16];						   /* in the router */
	char id[32], vpc[32], subnet[32], instance[32], az_id[32]; /* instance: "" none */
	uint32_t primary;					   /* private address, host order */
	const struct s_eni *of; /* in the store; NULL: not any more */
};

/* an element of the kernel's set, read */
struct flow_count {
	const struct flow_eni *eni;
	enum flow_kind kind;
	uint32_t saddr, daddr; /* host order */
	uint16_t sport, dport; /* host order */
	uint8_t proto, tcp_flags;
	uint64_t packets, bytes;
	int64_t first_ms, last_ms; /* not before; about when; wall clock */
};

struct flow_seen {
	const struct flow_eni *eni;
	bool data, skipped;
};

struct flow_table {
	struct flow_count *v; /* owns; a record each, "tcp_flags" OR-ed (FL-8) */
	size_t n, cap;
	struct flow_index index;
	struct flow_seen *seen; /* owns */
	size_t n_seen, cap_seen;
	bool skipped; /* of all interfaces something may be missing */
};

/* takes the 40 bytes of an element's key apart; -EINVAL: not one of ours.  "eni" isn't
 * set: "ret_link" (16 bytes) names it */
int flow_key_parse(const void *key, size_t size, struct flow_count *ret, char ret_link[16]);
/* a record, new or added to; what finds no room or memory is a skip of its interface */
void flow_table_add(struct flow_table *t, const struct flow_count *c);
void flow_table_skip(struct flow_table *t, const struct flow_eni *eni);
/* NULL: nothing is known of it */
const struct flow_seen *flow_table_seen(const struct flow_table *t, const struct flow_eni *eni);
void flow_table_done(struct flow_table *t); /* empty again */

#endif
