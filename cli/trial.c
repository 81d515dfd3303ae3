/* SPDX-License-Identifier: MIT */
/*
 * trial - rounds of probes until each holds or its "within" is over, then the
 * invocations one expectation after the other.  A signal ends it between rounds.
 */
#include "cli/trial.h"

#include <errno.h>
#include <fnmatch.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/expect.h"
#include "cli/flow_records.h"
#include "cli/invocation.h"
#include "cli/out.h"
#include "cli/probes.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define RETRY_PAUSE_MS 50 /* between two tries of "within" */
#define TYPE_SIZE 100

struct item {
	struct expect_case *k;
	bool skipped, judged;
	struct expect_verdict verdict; /* owns got */
	unsigned tries;
	double took_ms;
};

struct run {
	struct cli *c;
	const struct trial *t;
	cJSON *show;		   /* owns */
	struct expect_case *cases; /* owns */
	size_t n_cases;
	struct item *items; /* owns */
	size_t n;
	struct mono start;
};

static void run_done(struct run *r)
{
	size_t i;

	for (i = 0; i < r->n; i++)
		cJSON_Delete(r->items[i].verdict.got);
	free(r->items);
	expect_cases_free(r->cases, r->n_cases);
	cJSON_Delete(r->show);
}
#define auto_run __attribute__((cleanup(run_done)))

static bool is_wanted(const struct trial *t, const char *name)
{
	return !t->filter || fnmatch(t->filter, name, 0) == 0 || MUTANT("test-filter");
}

static bool is_skipped(const struct trial *t, const char *name)
{
	return t->skip && fnmatch(t->skip, name, 0) == 0 && !MUTANT("test-skip");
}

static int make_items(struct run *r)
{
	size_t i;

	if (expect_cases(r->t->file, r->show, &r->cases, &r->n_cases) < 0)
		return out_no_memory(r->c);
	r->items = calloc(r->n_cases + 1, sizeof(*r->items));
	if (!r->items)
		return out_no_memory(r->c);
	for (i = 0; i < r->n_cases; i++)
		if (is_wanted(r->t, r->cases[i].name))
			r->items[r->n++] = (struct item){
				.k = &r->cases[i],
				.skipped = is_skipped(r->t, r->cases[i].name),
			};
	return 0;
}

/* ---- probes ---- */

static bool wants_probe(const struct run *r, const struct item *i)
{
	if (i->skipped || !i->k->from)
		return false;
	if (!i->judged)
		return true;
	return !i->verdict.ok && mono_ms_since(r->start) < i->k->x->within * 1000 &&
	       !MUTANT("expect-within");
}

static void judge_probe(struct run *r, struct item *i, const cJSON *result)
{
	cJSON_Delete(i->verdict.got);
	expect_judge_probe(r->t->file, r->show, i->k, result, &i->verdict);
	i->judged = true;
	i->tries++;
	i->took_ms = i->tries > 1 ? mono_ms_since(r->start) : json_num(result, "took_ms", 0);
}

/* one round: all that aren't known to hold yet; "ret_n": how many those were */
static int probe_round(struct run *r, size_t *ret_n)
{
	auto_json cJSON *probes = cJSON_CreateArray(), *results = NULL;
	auto_free struct item **asked = calloc(r->n + 1, sizeof(struct item *));
	const cJSON *result;
	size_t i, n = 0;
	int e;

	if (!asked || !probes)
		return out_no_memory(r->c);
	for (i = 0; i < r->n; i++)
		if (wants_probe(r, &r->items[i])) {
			cJSON_AddItemToArray(probes, expect_probe(r->items[i].k));
			asked[n++] = &r->items[i];
		}
	*ret_n = n;
	if (!n)
		return 0;
	e = probes_run(r->c, r->t->lab, probes, &results);
	if (e)
		return e;
	n = 0;
	cJSON_ArrayForEach(result, results)
		judge_probe(r, asked[n++], result);
	return 0;
}

static int run_probes(struct run *r)
{
	size_t n = 0, i, waiting;
	int e;

	for (;;) {
		e = probe_round(r, &n);
		if (e || !n)
			return e;
		for (waiting = 0, i = 0; i < r->n; i++)
			waiting += wants_probe(r, &r->items[i]);
		if (!waiting)
			return 0;
		out_progress(r->c, "%s: waiting for %zu expectations to hold ...",
			     out_safe(r->t->lab), waiting);
		(void)poll(NULL, 0, RETRY_PAUSE_MS);
		if (r->c->interrupted)
			return 128 + r->c->interrupted;
	}
}

/* ---- invocations ---- */

struct calls {
	size_t n;
	struct httpc_answer *answers; /* own, as the next two */
	struct expect_call *calls;
	double *ms;
	char (*types)[TYPE_SIZE];
};

static void calls_done(struct calls *k)
{
	size_t i;

	for (i = 0; i < k->n && k->answers; i++)
		httpc_answer_done(&k->answers[i]);
	for (i = 0; i < k->n && k->calls; i++)
		free((char *)k->calls[i].log);
	free(k->answers);
	free(k->calls);
	free(k->ms);
	free(k->types);
}
#define auto_calls __attribute__((cleanup(calls_done)))

static int make_calls(const struct cli *c, const struct expect *x, struct calls *k)
{
	k->n = x->times; /* "parallel" is at most as many */
	k->answers = calloc(k->n, sizeof(*k->answers));
	k->calls = calloc(k->n, sizeof(*k->calls));
	k->ms = calloc(k->n, sizeof(*k->ms));
	k->types = calloc(k->n, sizeof(*k->types));
	return k->answers && k->calls && k->ms && k->types ? 0 : out_no_memory(c);
}

static void read_call(struct calls *k, size_t i)
{
	const struct httpc_answer *a = &k->answers[i];
	char value[40];

	k->calls[i] = (struct expect_call){
		.status = a->status,
		.body = a->body ? a->body : "",
		.size = a->size,
		.function_error =
			httpc_header(a, "X-Amz-Function-Error", value, sizeof(value)) == 0,
		.log = invocation_log(a),
	};
	if (httpc_header(a, "x-amzn-ErrorType", k->types[i], TYPE_SIZE) == 0)
		k->calls[i].error_type = k->types[i];
}

static int run_calls(struct run *r, struct item *item)
{
	const struct expect *x = item->k->x;
	auto_free char *payload = x->payload ? json_print(x->payload) : strdup("{}");
	struct invocation i = {
		.lab = r->t->lab,
		.function = x->invoke,
		.qualifier = x->qualifier,
		.type = x->type,
		.tail = x->log != NULL,
		.payload = payload,
		.size = payload ? strlen(payload) : 0,
	};
	auto_calls struct calls k = { 0 };
	struct mono start = mono_now();
	size_t j;
	int e;

	e = payload ? make_calls(r->c, x, &k) : out_no_memory(r->c);
	if (!e)
		e = invocation_run_many(r->c, &i, k.n, x->parallel, k.answers, k.ms);
	if (e)
		return e;
	for (j = 0; j < k.n; j++) {
		if (!k.answers[j].status)
			return out_fail(r->c, ERR_UNAVAILABLE, "invoke %s: no answer: %s",
					out_safe(x->invoke), k.answers[j].error);
		read_call(&k, j);
	}
	expect_judge_calls(item->k, k.calls, k.n, &item->verdict);
	item->judged = true;
	item->tries = 1;
	item->took_ms = mono_ms_since(start);
	return 0;
}

static int run_invocations(struct run *r)
{
	bool failed = false;
	size_t i;
	int e;

	for (i = 0; i < r->n; i++) {
		struct item *item = &r->items[i];

		if (failed && r->t->fail_fast)
			item->skipped = true;
		else if (!item->skipped && item->k->x->invoke) {
			e = run_calls(r, item);
			if (e)
				return e;
		}
		failed = failed || (!item->skipped && !item->verdict.ok);
	}
	return 0;
}

/* ---- records of flow logs ---- */

/* adds what came since the record "after"; the intervals are ended first, so that all
 * that was sent before is in it */
static int read_flows(struct run *r, cJSON *records, uint64_t *after)
{
	struct flow_records q = { .lab = r->t->lab, .after = *after, .close = true };
	bool more;

	do {
		auto_json cJSON *answer = NULL;
		const cJSON *at;
		int e = flow_records_get(r->c, &q, &answer);

		if (e)
			return e;
		cJSON_ArrayForEach(at, json_get(answer, "records"))
			cJSON_AddItemToArray(records, flow_records_object(answer, at));
		q.after = (uint64_t)json_num(answer, "seq", (double)q.after);
		q.close = false;
		more = cJSON_IsTrue(json_get(answer, "more"));
	} while (more);
	*after = q.after;
	return 0;
}

static bool wants_flow(const struct item *i, struct mono start)
{
	if (i->skipped || !i->k->x->flow || (i->judged && i->verdict.ok))
		return false;
	return !i->judged ||
	       (mono_ms_since(start) < i->k->x->within * 1000 && !MUTANT("expect-within"));
}

/* whatever the probes and invocations have sent is over: they come first */
static int run_flows(struct run *r)
{
	auto_json cJSON *records = cJSON_CreateArray();
	struct mono start = mono_now();
	uint64_t after = 0;
	size_t i, n;
	int e;

	for (;;) {
		for (n = 0, i = 0; i < r->n; i++)
			n += wants_flow(&r->items[i], start);
		if (!n)
			return 0;
		e = r->c->interrupted ? 128 + r->c->interrupted : read_flows(r, records, &after);
		if (e)
			return e;
		for (i = 0; i < r->n; i++) {
			struct item *item = &r->items[i];

			if (!wants_flow(item, start))
				continue;
			cJSON_Delete(item->verdict.got);
			expect_judge_flow(item->k, records, &item->verdict);
			item->judged = true;
			item->tries++;
			item->took_ms = mono_ms_since(start);
		}
		for (n = 0, i = 0; i < r->n; i++)
			n += wants_flow(&r->items[i], start);
		if (n)
			(void)poll(NULL, 0, RETRY_PAUSE_MS);
	}
}

/* ---- results ---- */

/* "got" of interface.md 4, from what sandboxd answered */
static cJSON *got_of(struct item *i)
{
	static const char *const again[] = { "from", "to", "port" };
	cJSON *got = i->verdict.got;
	size_t j;

	i->verdict.got = NULL;
	/* "expected" says those already */
	for (j = 0; j < ARRAY_SIZE(again) && i->k->from; j++)
		cJSON_DeleteItemFromObjectCaseSensitive(got, again[j]);
	return got ? got : cJSON_CreateNull();
}

static cJSON *result_of(const struct run *r, struct item *i)
{
	cJSON *o = cJSON_CreateObject();
	auto_buf struct buf name = BUF_INIT;

	buf_adds(&name, i->k->name);
	if (r->t->rounds > 1)
		buf_printf(&name, " (%u of %u)", r->t->round, r->t->rounds);
	cJSON_AddStringToObject(o, "name", buf_str(&name));
	if (i->k->named)
		cJSON_AddTrueToObject(o, "named");
	cJSON_AddBoolToObject(o, "ok", i->skipped || i->verdict.ok);
	cJSON_AddBoolToObject(o, "skipped", i->skipped);
	cJSON_AddItemToObject(o, "expected", expect_expected(i->k));
	cJSON_AddItemToObject(o, "got", i->skipped ? cJSON_CreateNull() : got_of(i));
	cJSON_AddNumberToObject(o, "tries", i->tries);
	cJSON_AddNullToObject(o, "why");
	if (i->skipped || i->verdict.ok)
		cJSON_AddNullToObject(o, "message");
	else
		cJSON_AddStringToObject(o, "message", i->verdict.why);
	cJSON_AddNumberToObject(o, "took_ms", i->took_ms);
	return o;
}

int trial_run(struct cli *c, const struct trial *t, cJSON *results, size_t *ret_n)
{
	auto_run struct run r = { .c = c, .t = t };
	auto_free char *path = api_lab_path(t->lab, "");
	char what[120];
	size_t i;
	int e;

	(void)snprintf(what, sizeof(what), "show %s", out_safe(t->lab));
	e = api_get(c, what, path, &r.show);
	if (!e)
		e = make_items(&r);
	if (e)
		return e;
	*ret_n = r.n;
	out_progress(c, "%s: %zu expectations ...", out_safe(t->lab), r.n);
	r.start = mono_now();
	e = run_probes(&r);
	if (!e)
		e = run_invocations(&r);
	if (!e)
		e = run_flows(&r);
	for (i = 0; i < r.n && !e; i++)
		cJSON_AddItemToArray(results, result_of(&r, &r.items[i]));
	out_progress(c, "%s", "");
	return e;
}

int trial_list(const struct cli *c, const struct trial *t, cJSON *names)
{
	struct expect_case *cases = NULL;
	size_t n, i;

	if (expect_cases(t->file, NULL, &cases, &n) < 0)
		return out_no_memory(c);
	for (i = 0; i < n; i++)
		if (is_wanted(t, cases[i].name) && !is_skipped(t, cases[i].name))
			cJSON_AddItemToArray(names, cJSON_CreateString(cases[i].name));
	expect_cases_free(cases, n);
	return 0;
}
