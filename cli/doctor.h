/* SPDX-License-Identifier: MIT */
/*
 * doctor - what the product needs of a host, each need tried for real.
 */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

#define DOCTOR_DETAIL 300

/* what a check is given, and where it says what it found */
struct doctor {
	const char *run, *state;    /* directories, absolute; needn't exist */
	char detail[DOCTOR_DETAIL]; /* what was found or is wrong; may stay empty */
};

struct doctor_check {
	const char *name;
	const char *why; /* which part of the product is lost without */
	const char *fix; /* how to get it */
	bool needs_root; /* can't be tried without; starts in a network namespace of its own */
	bool optional;	 /* the product does without */
	/* 0 or -errno; runs in a child of its own, whose namespaces and mounts go with it */
	int (*fn)(struct doctor *d);
};

/* each ends with a NULL name: processes, files and limits; then the network */
extern const struct doctor_check DOCTOR_HOST[], DOCTOR_NET[];

/* fill "d"->detail and return: 0; the error's number, negative; that of errno as "WHAT: why" */
int doctor_found(struct doctor *d, const char *text);
int doctor_broken(struct doctor *d, const struct err *e);
int doctor_failed(struct doctor *d, const char *what);
/* the same for the number "r" (-errno) that a call returned; 0 and more are returned as 0 */
int doctor_result(struct doctor *d, const char *what, int r);

#define DOCTOR_KERNEL(option)                                                       \
	"a kernel with " option " (Debian's and Ubuntu's have it; in a container, " \
	"have the host load the module: modprobe)"

#endif
