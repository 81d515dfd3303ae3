/* SPDX-License-Identifier: MIT */
/*
 * doctor - what the product needs of a host, each need tried for real.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#define DOCTOR_DETAIL 300

struct doctor_check {
	const char *name;
	const char *fix; /* how to get it */
	bool needs_root; /* can't be tried without */
	bool optional;	 /* nothing of this build depends on it */
	/* 0 or -errno, with what was found or is wrong in "ret"; runs in a child of
	 * its own, in empty network and mount namespaces where "needs_root" is set */
	int (*fn)(char *ret, size_t size);
};

extern const struct doctor_check DOCTOR_CHECKS[]; /* ends with a NULL name */

#endif
