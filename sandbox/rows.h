/* SPDX-License-Identifier: MIT */
/*
 * rows - what sandboxd keeps on disk (STATE/sandboxd.db): for each lab the
 * document in force and the one it is being changed to, each with the folder
 * that relative paths count from and the digests of its functions' code (what
 * runs after a restart is the copy, not a folder that was edited meanwhile).
 *
 * A change writes "intended" before it touches anything, and is in force with
 * one more commit; a row that is being deleted says so.  A restart finishes or
 * undoes what it finds.
 */
#ifndef ROWS_H
#define ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"

struct rows_doc {
	const char *text; /* NULL: none */
	size_t size;
	const char *base;  /* NULL: none */
	const char *codes; /* digests in the document's order, a line each */
};

int rows_open(const char *dir, struct db **ret, struct err *e);
int rows_intend(struct db *d, const char *lab, int64_t created_ms, const struct rows_doc *doc,
		struct err *e);

/* a published version of a function; strings borrow */
struct rows_version {
	const char *function;
	unsigned number;
	const char *code, *digest;
	int64_t published_ms;
};

/* what a change publishes, and the functions whose versions go with it */
struct rows_versions {
	struct rows_version *v;
	size_t n;
	const char **gone;
	size_t n_gone;
};

/* the intended document is in force, and with it "versions" (NULL: none), which are
 * published from it */
int rows_done(struct db *d, const char *lab, const struct rows_versions *versions, struct err *e);
/* "row": of its document, "text", which several have in a row */
typedef int (*rows_version_fn)(const struct rows_version *v, int64_t row, const char *text,
			       size_t size, void *arg);
int rows_versions_each(struct db *d, const char *lab, rows_version_fn fn, void *arg, struct err *e);
/* the intended document is forgotten, and with it a row without another */
int rows_undone(struct db *d, const char *lab, struct err *e);
/* "lease": "PID START" of the process that the lab goes with; NULL: none */
int rows_lease(struct db *d, const char *lab, const char *lease, struct err *e);
int rows_deleting(struct db *d, const char *lab, struct err *e);
int rows_delete(struct db *d, const char *lab, struct err *e);

/* the random key of this state directory, made when it is asked for first */
#define ROWS_KEY_SIZE 32
int rows_key(struct db *d, uint8_t ret[ROWS_KEY_SIZE], struct err *e);

typedef int (*rows_row_fn)(const char *lab, int64_t created_ms, const struct rows_doc *current,
			   const struct rows_doc *intended, bool deleting, const char *lease,
			   void *arg);
int rows_each(struct db *d, rows_row_fn fn, void *arg, struct err *e);

#endif
