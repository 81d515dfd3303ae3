/* SPDX-License-Identifier: MIT */
/*
 * version, help - about the program itself.
 */
#include <stdio.h>

#include "cli/cli.h"
#include "cli/out.h"
#include "lib/json.h"

#ifndef VERSION
#define VERSION "0.1.0"
#endif

static int version(struct cli *c, const struct args *a)
{
	cJSON *o;

	(void)a;
	if (!c->json) {
		printf("vpclab %s\n", VERSION);
		return out_done(c);
	}
	o = cJSON_CreateObject();
	cJSON_AddNumberToObject(o, "api", 1);
	cJSON_AddStringToObject(o, "program", "vpclab");
	cJSON_AddStringToObject(o, "version", VERSION);
	return out_json(c, o);
}

static int help(struct cli *c, const struct args *a)
{
	const struct verb *v = a->n_words ? verb_find(a->words[0]) : NULL;

	if (a->n_words && !v)
		return out_fail_usage(c, "help: %s: no such command (vpclab help lists them)",
				      a->words[0]);
	verb_help(v);
	return out_done(c);
}

const struct verb VERB_VERSION = {
	.name = "version",
	.usage = "",
	.summary = "which vpclab this is",
	.fn = version,
};

const struct verb VERB_HELP = {
	.name = "help",
	.usage = "[COMMAND]",
	.summary = "what a command does and takes",
	.max_words = 1,
	.fn = help,
};
