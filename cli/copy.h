/* SPDX-License-Identifier: MIT */
/*
 * copy - a lab file brought up under a name that no other lab has, as test and
 * run do: any number of them side by side.  A copy goes with its process: by
 * copy_down(), or, when that was killed, by the lease that sandboxd holds on it.
 */
#ifndef CLI_COPY_H
#define CLI_COPY_H

#include "cli/cli.h"
#include "cli/source.h"
#include "lib/json.h"

#define COPY_NAME_MAX (63 + 1) /* what sandboxd takes as a lab's name, and NUL */

struct copy_spec {
	const struct source *s;
	double timeout; /* s */
	bool own_name;	/* under the file's own name, if no lab has it */
	bool stays;	/* no lease: it may outlive us */
};

/*
 * copy_up() - "ret_name" is what it is called, also on failure, so that
 * copy_down() may be told of what came up half; "" where nothing was asked of a
 * daemon yet.  "ret" (owned by the caller) is the daemon's answer, on success
 * only.  0 or exit status, told.
 */
int copy_up(struct cli *c, const struct copy_spec *spec, char ret_name[COPY_NAME_MAX], cJSON **ret);
/* down, also while c->interrupted is set; one that never came up is as good as
 * gone.  0 or exit status, told */
int copy_down(struct cli *c, const char *name);

#endif
