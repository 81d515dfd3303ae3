/* SPDX-License-Identifier: MIT */
/*
 * changes - what plan, up, patch and copies ask of sandboxd for a lab file, and
 * how the list of changes is shown.
 */
#ifndef CLI_CHANGES_H
#define CLI_CHANGES_H

#include <sys/types.h>

#include "cli/cli.h"
#include "cli/source.h"

#define UP_TIMEOUT 60.0 /* s */

struct put {
	const struct source *s;
	const char *lab; /* the name it gets */
	double timeout;	 /* s */
	bool strict;
	pid_t lease;	   /* the lab goes with this process; 0: it stays */
	bool fresh;	   /* only if no lab has the name */
	const char *verb;  /* for messages; NULL: "up" */
	const char *match; /* NULL, or only if the lab's document is this one (its ETag) */
};

/* both: "ret" owns the daemon's answer, its warnings joined with the file's own
 * (which know their line); 0 or exit status, told; changes_put() CHANGES_STALE,
 * untold, where "fresh" or "match" doesn't hold */
#define CHANGES_STALE (-1)
int changes_plan(struct cli *c, const struct put *p, cJSON **ret);
int changes_put(struct cli *c, const struct put *p, cJSON **ret);

/* a line a change: "+ instance main/db" */
void changes_print(const struct cli *c, const cJSON *answer);
/* what up and patch print; takes "answer"; exit status */
int changes_tell(const struct cli *c, cJSON *answer);
/* "3 created, 1 updated", "no changes"; one static buffer */
const char *changes_summary(const cJSON *answer);

#endif
