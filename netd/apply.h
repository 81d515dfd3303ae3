/* SPDX-License-Identifier: MIT */
/*
 * apply - carries the steps from what is to what ought to be into the kernel, a
 * slice at a time, and keeps "actual" at what the kernel has acknowledged.  That
 * is what makes undo a diff like any other: after a failure, apply from "actual"
 * to the program before.
 */
#ifndef APPLY_H
#define APPLY_H

#include "lib/err.h"
#include "lib/program.h"
#include "netd/responder_link.h"
#include "netd/spaces.h"

/* a link that its far end's namespace takes along when the kernel gets to it */
typedef void (*apply_left_fn)(const char *ns, const char *link, void *arg);

/* all borrowed, and valid until apply_free() */
struct apply_target {
	const char *lab;
	struct spaces *spaces;
	struct responder_link *responder;
	struct program *actual;
	const struct program *want;
	apply_left_fn left;
	void *arg;
};

struct apply;

int apply_new(const struct apply_target *t, struct apply **ret, struct err *e);
struct apply *apply_free(struct apply *a);
const struct step *apply_steps(const struct apply *a, size_t *ret_n); /* borrowed */
/*
 * apply_slice() - works for about NETD_SLICE_US.  1: there is more; 0: all is
 * done; negative: the step named in "e" failed, "actual" holds what was done.
 */
int apply_slice(struct apply *a, struct err *e);

#endif
