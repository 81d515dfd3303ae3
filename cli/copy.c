/* SPDX-License-Identifier: MIT */
/*
 * copy - names are drawn at random and asked for with "only if no lab has it":
 * sandboxd decides, so two processes that draw the same differ in the next round.
 */
#include "cli/copy.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/changes.h"
#include "cli/down.h"
#include "cli/out.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define DRAWS 16 /* of 2^24 names: more than two in a row are taken by a mistake only */

static int draw(const struct cli *c, const char *lab, char ret[COPY_NAME_MAX])
{
	uint32_t random;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return out_fail(c, ERR_INTERNAL, "getrandom: %s", strerror(errno));
	(void)snprintf(ret, COPY_NAME_MAX, "%s-%06x", lab, random & 0xffffff);
	return 0;
}

/* asked before, so that what an interrupted request leaves unknown isn't somebody
 * else's lab, which copy_down() would take */
static int is_taken(struct cli *c, const char *name, bool *ret)
{
	auto_json cJSON *labs = NULL;
	const cJSON *lab;
	int r = api_get(c, "labs", "/v1/labs", &labs);

	*ret = false;
	cJSON_ArrayForEach(lab, labs)
		*ret = *ret || !strcmp(json_str(lab, "lab", ""), name);
	return r;
}

int copy_up(struct cli *c, const struct copy_spec *spec, char ret_name[COPY_NAME_MAX], cJSON **ret)
{
	struct put p = {
		.s = spec->s,
		.lab = ret_name,
		.timeout = spec->timeout,
		.lease = spec->stays ? 0 : getpid(),
		.fresh = true,
	};
	const char *lab = spec->s->lab->name;
	bool taken = true;
	unsigned i;
	int r;

	*ret_name = '\0';
	r = spec->own_name ? is_taken(c, lab, &taken) : 0;
	if (r)
		return r;
	r = CHANGES_STALE;
	for (i = 0; i < DRAWS && r == CHANGES_STALE; i++) {
		if (i == 0 && !taken) {
			(void)snprintf(ret_name, COPY_NAME_MAX, "%s", lab);
		} else if (MUTANT("copy-names")) {
			(void)snprintf(ret_name, COPY_NAME_MAX, "%s", lab);
			p.fresh = false;
		} else {
			r = draw(c, lab, ret_name);
			if (r)
				return r;
		}
		out_progress(c, "bringing %s up ...", out_safe(ret_name));
		r = changes_put(c, &p, ret);
		/* whose name it is takes it down */
		if (r == CHANGES_STALE)
			*ret_name = '\0';
	}
	if (r == CHANGES_STALE)
		return out_fail(c, ERR_BUSY, "%s: no free name for a copy after %d draws",
				out_safe(lab), DRAWS);
	return r;
}

int copy_down(struct cli *c, const char *name)
{
	auto_free char *path = api_lab_path(name, "");
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = "DELETE",
		.path = path,
		.wait_ms = API_WAIT_MS,
		.expected = 404,
	};
	int was = c->interrupted, r;
	char what[120];

	if (was && MUTANT("interrupt"))
		return 0;
	(void)snprintf(what, sizeof(what), "taking %s down", out_safe(name));
	out_progress(c, "%s ...", what);
	c->interrupted = 0;
	r = path ? api_json(c, what, &q, NULL) : out_no_memory(c);
	out_progress(c, "%s", "");
	c->interrupted = was ? was : c->interrupted;
	return r == API_EXPECTED ? 0 : r;
}
