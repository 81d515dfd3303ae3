/* SPDX-License-Identifier: MIT */
/*
 * counts - what a namespace's filters have dropped, by reason and interface: its
 * set "drops", and what it held before its tables were replaced.
 */
#ifndef COUNTS_H
#define COUNTS_H

#include "netd/labs.h"

struct count {
	const char *code; /* "ENI_SG_RULES_MISMATCH"; static */
	char link[16];
	uint64_t packets;
};

struct counts {
	struct count *v; /* owns */
	size_t n, cap;
	bool failed; /* out of memory */
};

/* of namespace "ns", in table "ip vpc", "ip natgw" or "ip egress"; 0 or -errno */
int counts_read(struct netlab *l, const char *ns, const char *table, struct counts *ret,
		struct err *e);
void counts_done(struct counts *c);
/* sum of a code over "link" (NULL: all links) */
uint64_t counts_sum(const struct counts *c, const char *link, const char *code);
/* {CODE: packets} of "link" (NULL: of all); the caller owns it; NULL: no memory */
cJSON *counts_json(const struct counts *c, const char *link);

#endif
