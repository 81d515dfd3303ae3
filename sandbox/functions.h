/* SPDX-License-Identifier: MIT */
/*
 * functions - what of a document may be invoked: code, configuration, the
 * variables that environments get, and what changes when a document does.
 */
#ifndef FUNCTIONS_H
#define FUNCTIONS_H

#include "lib/buf.h"
#include "sandbox/sandboxd.h"

/* one that no list has yet; NULL: out of memory */
struct func *functions_new(struct slab *l, const char *name);
/* of such a one */
void functions_free(struct func *f);
/* before anything is changed: the code of every function of "lab" is copied;
 * "ret" (array of n_functions digests, "" without code; owns) */
int functions_prepare(const struct sandboxd *sd, const struct lab *lab, const char *base,
		      char (**ret)[65], struct err *e);
/* "l"'s functions become those of l->lab; environments of changed or removed ones
 * go when they are idle.  What changed is appended to "changes" (may be NULL),
 * as entries of plan's list.  0 or -ENOMEM (some functions aren't there then) */
int functions_apply(struct slab *l, char (*codes)[65], cJSON *changes);
/* a change to "lab" begins, which lives until it ends: what is new is pending, what is
 * changed is being updated.  true: ways of before are needed until it is through */
bool functions_begin(struct slab *l, const struct lab *lab, char (*codes)[65]);
/* it is over; what functions_apply() hasn't settled failed, and is as it was before */
void functions_settle(struct slab *l, const struct err *why);
/* is one pending, beyond what AWS waits (LN-32)? */
bool functions_pending_long(const struct slab *l, double ms);
/* what functions_apply() would append */
void functions_plan(const struct slab *l, const struct lab *next, char (*codes)[65],
		    cJSON *changes);
/* all go at once: the lab does */
void functions_remove(struct slab *l);
/* the daemon ends: what waits is answered, memory goes, env_clean() does the rest */
void functions_release(struct slab *l);
/* an environment was freed: a function that is gone is, too, with its last one */
void functions_env_gone(struct func *f);
/* EX-12, and the function's own variables */
void functions_environment(struct buf *b, const struct func *f, const char *stream,
			   bool provisioned);
/* of all that makes new environments needed; 0 or -ENOMEM */
int functions_digest(const struct slab *l, const struct function *s, const char *code,
		     char ret[65]);
/* appends to a list of changes (NULL: nothing) what it doesn't tell yet */
void functions_tell(cJSON *changes, const char *action, const char *kind, const char *name);
#define FUNCTIONS_ARN_SIZE 330 /* a region and a name are short */
/* "qualifier": "" for none */
void functions_arn(const struct func *f, const char *qualifier, char ret[FUNCTIONS_ARN_SIZE]);
/* members of show's functions.F */
void functions_show(const struct func *f, cJSON *o);
/* copies of code that no lab uses go */
void functions_sweep(const struct sandboxd *sd);

#endif
