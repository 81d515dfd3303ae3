/* SPDX-License-Identifier: MIT */
/*
 * up - creates a lab, or changes the running one to match its file; with --bind
 * it goes with a process, which sandboxd watches; with --capture its nodes' frames are
 * written from the first on.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/record.h"
#include "cli/source.h"
#include "lib/mutant.h"
#include "lib/util.h"

/* --bind[=PID]: without one, whoever called us */
static int read_bind(const struct cli *c, const struct args *a, pid_t *ret)
{
	const char *bind = args_get(a, "bind");
	uint64_t pid = 0;

	if (!bind)
		return 0;
	if (*bind && parse_u64(bind, 1, 1 << 22, &pid) < 0)
		return out_fail_usage(c, "up: --bind %s: not a process id", bind);
	if (!*bind)
		pid = (uint64_t)getppid();
	if (pid == 0 || (!*bind && pid == 1))
		return out_fail(c, ERR_NO_OBJECT,
				"up: --bind: the caller is gone, or is init (which --bind=1 "
				"means)");
	*ret = MUTANT("bind") ? 0 : (pid_t)pid;
	return 0;
}

/* "ret" NULL: nobody wants it */
static int begin_capture(struct cli *c, const struct args *a, const char *lab, struct record **ret)
{
	const char *file = args_get(a, "capture");
	size_t n_nodes;
	int r;

	if (!file)
		return 0;
	if (!strcmp(file, "-"))
		return out_fail_usage(c, "up: --capture -: it needs a file, standard output says "
					 "what was changed");
	r = record_begin(c, lab, NULL, 0, ret, &n_nodes);
	if (!r)
		r = record_file(*ret, "up", file);
	return r ? r : record_signals(*ret);
}

/* what was sent while the lab came up is worth having also where it didn't */
static int end_capture(struct cli *c, struct record *s, int r)
{
	int end;

	if (!r && !c->quiet)
		fprintf(stderr, "capturing in %zu namespaces, until it is interrupted\n",
			record_n_namespaces(s));
	if (!r)
		r = record_run(s, UINT64_MAX, 0);
	end = record_end(s, true);
	return r ? r : end;
}

static int up(struct cli *c, const struct args *a)
{
	struct source s = { 0 };
	struct put p = { .s = &s, .strict = args_has(a, "strict") };
	struct record *record = NULL;
	cJSON *answer = NULL;
	int r;

	if (!source_is_file(a->words[0]))
		return out_fail_usage(c,
				      "up: %s: not a FILE: it has no '/' and does not end in "
				      ".json",
				      a->words[0]);
	if (args_seconds(a, "timeout", 0.001, 86400, UP_TIMEOUT, &p.timeout) < 0)
		return out_fail_usage(c, "up: --timeout %s: not a number of seconds (0.001..86400)",
				      args_get(a, "timeout"));
	r = read_bind(c, a, &p.lease);
	if (!r)
		r = source_load(c, a->words[0], a, &s);
	if (!r)
		r = begin_capture(c, a, s.lab->name, &record);
	if (r) {
		(void)record_end(record, false);
		record = NULL;
	} else {
		p.lab = s.lab->name;
		out_progress(c, "bringing %s up ...", out_safe(p.lab));
		r = changes_put(c, &p, &answer);
	}
	if (!r)
		r = changes_tell(c, answer);
	if (record)
		r = end_capture(c, record, r);
	source_done(&s);
	return r;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "timeout", 0, "SECONDS", "until every node is ready (60)" },
	{ "strict", 0, NULL, "warnings, and objects that come up failed, are errors" },
	{ "capture", 0, "FILE",
	  "a pcapng file of all nodes' packets, the first ones too; goes on" },
	{ "bind", 0, "[PID]", "the lab goes with that process (our caller)" },
	{ 0 },
};

const struct verb VERB_UP = {
	.name = "up",
	.usage = "FILE",
	.summary = "create a lab, or change the running one to match its file",
	.more = "Only what differs is touched. On failure the lab is as it was.",
	.opts = OPTS,
	.min_words = 1,
	.max_words = 1,
	.fn = up,
};
