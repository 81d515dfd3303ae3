/* SPDX-License-Identifier: MIT */
/*
 * versions - published versions of functions, their aliases, and environments that are
 * kept ready (INV-3, CC-3).
 *
 * A published version is a "struct func" beside $LATEST, of the same name, whose
 * specification is the document's that it was published from: code, configuration and
 * variables stay as they were, whatever the function becomes.  Its network is the
 * function's, so that one whose vpc_config was another than the function's is now can't
 * be invoked, and says so.  Concurrency is the function's (throttle.h).
 *
 * What "publish" or provisioned_concurrent_executions asks for is published by the change
 * that makes the function another one than its last version is; the number is never used
 * again as long as the function is there.  A function with provisioned concurrency has the
 * alias "live", to its last version if the file doesn't say otherwise, which is invoked
 * when no qualifier is given.
 */
#ifndef VERSIONS_H
#define VERSIONS_H

#include "lib/err.h"
#include "lib/json.h"
#include "sandbox/sandboxd.h"

/* what a change publishes; made before it is in force, linked when it is */
struct publication;

/* the versions that "lab", which "l" is being changed to, publishes; "document": its
 * text.  "ret" (owns; NULL: none).  Of aliases without a version: ERR_INVALID_LAB */
int versions_prepare(struct slab *l, const struct lab *lab, char (*codes)[65], const char *document,
		     size_t size, struct publication **ret, struct err *e);
/* NULL; what hasn't been linked is freed */
struct publication *publication_free(struct publication *p);
/* rows_done() with what is published */
int versions_commit(struct slab *l, const struct publication *p, struct err *e);
/* "p"'s versions are there, and told in "changes" (may be NULL) */
void versions_link(struct publication *p, cJSON *changes);
/* after every change: states, and what is to be ready.  true: environments begin, which
 * versions_are_ready() tells the end of */
bool versions_settle(struct slab *l);
bool versions_are_ready(const struct slab *l);
/* what couldn't be made ready, as warnings of the answer to a change */
void versions_warn(const struct slab *l, cJSON *warnings);
/* those on disk, before anything is invoked.  0, or "e" */
int versions_restore(struct slab *l, struct err *e);
/* would "s" with this digest be published? number of the new version, or 0 */
unsigned versions_next(const struct slab *l, const struct function *s, const char *digest);

/* a function by name and qualifier: "", "$LATEST", a number, or an alias; NULL: none.
 * "ret_qualifier" (may be NULL): the one that counts, if none was given "" or "live" */
struct func *versions_find(const struct slab *l, const char *name, const char *qualifier,
			   const char **ret_qualifier);
/* the same by "NAME" or "NAME:QUALIFIER" */
struct func *versions_find_whole(const struct slab *l, const char *whole);

/* an environment that is kept ready was freed: another one takes its place */
void versions_env_gone(struct func *f);
/* the init phase of one failed: no more are begun until the next change */
void versions_init_failed(struct func *f, const char *why);
/* versions and aliases of $LATEST: members of show's functions.F */
void versions_show(const struct func *f, cJSON *o);
/* AWS's lists of them, and one alias (NULL: there is none) */
cJSON *versions_list(const struct func *f);
cJSON *versions_aliases(const struct func *f);
cJSON *versions_alias(const struct func *f, const char *name);
/* GetProvisionedConcurrencyConfig; NULL: there is none */
cJSON *versions_provisioned(const struct func *f);
/* "f" is freed */
void version_doc_put(struct version_doc *d);

#endif
