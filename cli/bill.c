/* SPDX-License-Identifier: MIT */
/*
 * bill - what the functions of a lab would have cost.  sandboxd counts (BILL-1), the
 * prices are here.
 */
#include <stdio.h>

#include "cli/api.h"
#include "cli/cli.h"
#include "cli/out.h"
#include "cli/price.h"
#include "lib/table.h"
#include "lib/util.h"

static void add_totals(cJSON *o)
{
	double requests = 0, gb_seconds = 0;
	const cJSON *f;
	struct price b;
	cJSON *at;

	cJSON_ArrayForEach(f, json_get(o, "functions")) {
		requests += json_num(f, "requests", 0);
		gb_seconds += json_num(f, "gb_seconds", 0);
	}
	b = price_make(requests, gb_seconds);
	cJSON_AddNumberToObject(o, "requests", requests);
	cJSON_AddNumberToObject(o, "gb_seconds", gb_seconds);
	at = cJSON_AddObjectToObject(o, "free_tier");
	cJSON_AddNumberToObject(at, "requests", b.free_requests);
	cJSON_AddNumberToObject(at, "gb_seconds", b.free_gb_seconds);
	at = cJSON_AddObjectToObject(o, "charges");
	cJSON_AddNumberToObject(at, "requests", b.requests);
	cJSON_AddNumberToObject(at, "duration", b.duration);
	cJSON_AddNumberToObject(o, "total", b.total);
	cJSON_AddNumberToObject(o, "total_without_free_tier", b.total_without_free_tier);
	cJSON_AddStringToObject(o, "currency", "USD");
}

static int add_row(struct table *t, const char *name, const cJSON *of)
{
	char requests[32], ms[32], gb_seconds[32];
	const char *const cells[] = { name, requests, ms, gb_seconds };

	(void)snprintf(requests, sizeof(requests), "%.0f", json_num(of, "requests", 0));
	(void)snprintf(ms, sizeof(ms), "%.0f", json_num(of, "billed_ms", 0));
	(void)snprintf(gb_seconds, sizeof(gb_seconds), "%.6f", json_num(of, "gb_seconds", 0));
	return table_add(t, cells);
}

static int print(const struct cli *c, const cJSON *o)
{
	static const char *const heads[] = { "FUNCTION", ">REQUESTS", ">BILLED MS", ">GB-SECONDS",
					     NULL };
	const cJSON *free_tier = json_get(o, "free_tier"), *charges = json_get(o, "charges"), *f;
	struct table *t = table_new(heads, c->color_out);
	int r;

	if (!t)
		return out_no_memory(c);
	cJSON_ArrayForEach(f, json_get(o, "functions"))
		if (add_row(t, f->string, f) < 0)
			break; /* table_print() tells */
	r = table_print(t, stdout);
	table_free(t);
	if (r < 0)
		return out_no_memory(c);
	printf("requests   %.0f, %.0f free: $%.6f\n", json_num(o, "requests", 0),
	       json_num(free_tier, "requests", 0), json_num(charges, "requests", 0));
	printf("duration   %.6f GB-s, %.6f free: $%.6f\n", json_num(o, "gb_seconds", 0),
	       json_num(free_tier, "gb_seconds", 0), json_num(charges, "duration", 0));
	printf("total      $%.6f; without the free tier $%.6f\n", json_num(o, "total", 0),
	       json_num(o, "total_without_free_tier", 0));
	return out_done(c);
}

static int bill(struct cli *c, const struct args *a)
{
	auto_free char *path = api_lab_path(a->words[0], "/bill");
	cJSON *o = NULL;
	char what[120];
	int r;

	(void)snprintf(what, sizeof(what), "bill %s", out_safe(a->words[0]));
	r = path ? api_get(c, what, path, &o) : out_no_memory(c);
	if (r)
		return r;
	add_totals(o);
	if (c->json)
		return out_json(c, o);
	r = print(c, o);
	cJSON_Delete(o);
	return r;
}

const struct verb VERB_BILL = {
	.name = "bill",
	.usage = "LAB",
	.summary = "what the lab's functions would have cost: requests, GB-seconds, the sum",
	.min_words = 1,
	.max_words = 1,
	.fn = bill,
};
