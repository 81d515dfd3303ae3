/* SPDX-License-Identifier: MIT */
/*
 * probe - one probe: who reaches whom, as whom, and what dropped it.
 */
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/probes.h"
#include "topology/lab.h"

static const char *const RESULTS[] = { "open",	      "refused",      "timeout",
				       "unreachable", "inconclusive", NULL };

static int check_args(const struct cli *c, const struct args *a, double *ret_timeout)
{
	const char *expect = args_get(a, "expect"), *address = args_get(a, "address");
	struct port port;
	size_t i;

	if (port_parse(a->words[3], &port) < 0)
		return out_fail_usage(c, "probe: %s: not a port (tcp/N, udp/N, icmp)", a->words[3]);
	for (i = 0; expect && RESULTS[i]; i++)
		if (!strcmp(expect, RESULTS[i]))
			break;
	if (expect && !RESULTS[i])
		return out_fail_usage(
			c, "probe: --expect %s: open, refused, timeout or unreachable", expect);
	if (address && strcmp(address, "private") && strcmp(address, "public"))
		return out_fail_usage(c, "probe: --address %s: private or public", address);
	if (args_seconds(a, "timeout", 0.01, 900, 0, ret_timeout) < 0)
		return out_fail_usage(c, "probe: --timeout %s: not a number of seconds (0.01..900)",
				      args_get(a, "timeout"));
	return 0;
}

static int tell_error(const struct cli *c, const struct args *a, const cJSON *error)
{
	char what[200];

	(void)snprintf(what, sizeof(what), "probe %s", out_safe(a->words[0]));
	/* the codes of probe errors have exit statuses of their own; 500 is for others */
	return out_fail_api(c, what, 500, error);
}

static int print(const struct cli *c, const cJSON *result)
{
	const cJSON *part;
	auto_buf struct buf b = BUF_INIT, safe = BUF_INIT;

	if (c->json)
		return out_json(c, cJSON_Duplicate(result, true));
	probe_words(result, &b);
	cJSON_ArrayForEach(part, json_get(result, "parts")) {
		buf_printf(&b, "\n  %s  ", json_str(part, "interface", "?"));
		probe_words(part, &b);
	}
	out_escape(&safe, buf_str(&b), b.len, true);
	printf("%s\n", buf_str(&safe));
	return out_done(c);
}

static int probe(struct cli *c, const struct args *a)
{
	const char *expect = args_get(a, "expect"), *got;
	auto_json cJSON *probes = cJSON_CreateArray(), *results = NULL;
	cJSON *p = cJSON_CreateObject();
	double timeout = 0;
	int r = check_args(c, a, &timeout);

	cJSON_AddItemToArray(probes, p);
	cJSON_AddStringToObject(p, "from", a->words[1]);
	cJSON_AddStringToObject(p, "to", a->words[2]);
	cJSON_AddStringToObject(p, "port", a->words[3]);
	if (args_has(a, "address"))
		cJSON_AddStringToObject(p, "address", args_get(a, "address"));
	if (timeout > 0)
		cJSON_AddNumberToObject(p, "timeout", timeout);
	if (!r)
		r = probes_run(c, a->words[0], probes, &results);
	if (!r && json_get(results->child, "error"))
		r = tell_error(c, a, json_get(results->child, "error"));
	if (!r)
		r = print(c, results->child);
	if (r || !expect)
		return r;
	got = json_str(results->child, "result", "");
	return strcmp(got, expect) ? EXIT_FAILED : 0;
}

static const struct arg_opt OPTS[] = {
	{ "expect", 0, "RESULT",
	  "1 if the result is another: open, refused, timeout, unreachable" },
	{ "address", 0, "KIND", "which of the target's: private or public" },
	{ "timeout", 0, "SECONDS", "silence that counts (1)" },
	{ 0 },
};

const struct verb VERB_PROBE = {
	.name = "probe",
	.usage = "LAB FROM TO PORT",
	.summary = "one probe: open, refused, timeout or unreachable, as whom, and what dropped it",
	.opts = OPTS,
	.min_words = 4,
	.max_words = 4,
	.fn = probe,
};
