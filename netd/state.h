/* SPDX-License-Identifier: MIT */
/*
 * state - what netd keeps on disk (STATE/netd.db): for each lab what is in force
 * ("current") and what it is being changed to ("intended"), each as the document
 * with what the store must remember; and the seed of ids.
 *
 * A change writes "intended" first, then touches the kernel, then says that it
 * is current.  Who starts tries "intended", and "current" if that fails.  A disk
 * that is full makes the first write fail: nothing was touched.
 */
#ifndef STATE_H
#define STATE_H

#include <stddef.h>
#include <stdint.h>

#include "lib/db.h"
#include "lib/err.h"

int state_open(const char *dir, struct db **ret, struct err *e);
/* the seed of this state directory's ids: "wish" if not NULL, else the stored
 * one, else a new one; kept.  Caller frees */
int state_seed(struct db *d, const char *wish, char **ret, struct err *e);

/*
 * Numbers of events rise over restarts.  state_events() gives the last that an
 * earlier daemon may have used, and takes a billion for this one;
 * state_events_end() gives back what it had no use for.
 */
int state_events(struct db *d, uint64_t *ret_last, struct err *e);
int state_events_end(struct db *d, uint64_t last, struct err *e);

/* one half of a row */
struct state_half {
	const char *document; /* NULL: this half is empty */
	size_t size;
	const char *base;  /* Vpclab-Base; NULL if none */
	const char *store; /* store_save()'s text; to be written, NULL: as the current one */
};

/* the change begins: a new lab's row comes with an empty "current" */
int state_intend(struct db *d, const char *lab, int64_t created_ms, const struct state_half *h,
		 struct err *e);
/* the change is done: "intended" is "current"; or given up: it is forgotten, and
 * with it a row that has no "current" */
int state_done(struct db *d, const char *lab, struct err *e);
int state_undone(struct db *d, const char *lab, struct err *e);
int state_delete(struct db *d, const char *lab, struct err *e);
int state_clear(struct db *d, struct err *e); /* all labs */

/* strings borrow, valid during the call; a non-zero return ends and is returned */
typedef int (*state_row_fn)(const char *lab, int64_t created_ms, const struct state_half *current,
			    const struct state_half *intended, void *arg);
int state_each(struct db *d, state_row_fn fn, void *arg, struct err *e);

#endif
