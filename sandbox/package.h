/* SPDX-License-Identifier: MIT */
/*
 * package - all code that a function's document names, as copies by digest (code.h).
 * One copy of code alone is its own package; what has layers besides is a small text
 * below STATE/code, named by its own digest, that lists the copies.  So one digest
 * says all, in the state's rows and in a function.
 */
#ifndef PACKAGE_H
#define PACKAGE_H

#include <stddef.h>

#include "lib/buf.h"
#include "lib/err.h"
#include "sandbox/image.h"
#include "topology/lab.h"

#define PACKAGE_LAYERS_MAX 5 /* PKG-1 */

struct package {
	char code[65]; /* digest of /var/task; "": none */
	char layers[PACKAGE_LAYERS_MAX][65];
	size_t n_layers;    /* lowest first: a later one's files hide an earlier one's */
	struct image image; /* config "": none */
};

/* copies what "f" names, relative paths counted from "base" (may be NULL); "ret" gets the
 * digest, "" for a function without code.  "e" has the path of the member at fault */
int package_take(const char *state, const char *base, const struct function *f, char ret[65],
		 struct err *e);
/* what is behind a digest; 0, -errno ("ret" is empty then) */
int package_read(const char *state, const char *digest, struct package *ret);
/* appends a line with the digest of all that "digest" needs to stay: itself, its copies */
void package_keep(const char *state, const char *digest, struct buf *b);

#endif
