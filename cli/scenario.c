/* SPDX-License-Identifier: MIT */
/*
 * scenario - see scenario.h.  The parser has applied each patch to the document
 * and knows the lab that is in force at each step; what is sent to the daemon is
 * that document, as "up" would.
 *
 * What a step finds has the form of a probe's result, so that reports need to
 * know nothing about steps: {"result","took_ms","detail"} or {"error"}.
 */
#include "cli/scenario.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "cli/api.h"
#include "cli/changes.h"
#include "cli/copy.h"
#include "cli/out.h"
#include "cli/report.h"
#include "cli/trial.h"
#include "lib/loop.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define CONNECT_MS 60000 /* an answer of sandboxd's */

struct run {
	struct cli *c;
	const struct test *t;
	const struct test_job *j;
	const struct scenario *s;
	char *lab;	/* owns; the copy */
	cJSON *results; /* borrows; where they go */
	unsigned round; /* of --repeat, from 1 */
	size_t failed;	/* the step that did, from 1; 0: none */
};

/* ---- names ---- */

/* "scenario NAME: step 2 WHAT"; caller frees, NULL without memory */
static char *case_name(const struct scenario *s, size_t step, const char *what)
{
	char *text;

	return asprintf(&text, "scenario %s: step %zu %s", s->name, step + 1, what) < 0 ? NULL :
											  text;
}

/* "scenario NAME" or any of its steps: a scenario is run as a whole */
static bool matches(const char *glob, const struct scenario *s)
{
	auto_free char *name = NULL;
	bool found;

	if (asprintf(&name, "scenario %s", s->name) < 0) {
		name = NULL;
		return true;
	}
	found = fnmatch(glob, name, 0) == 0;
	for (size_t i = 0; i < s->n_steps && !found; i++) {
		auto_free char *what = scenario_step_title(&s->steps[i]);
		auto_free char *step = what ? case_name(s, i, what) : NULL;

		found = !step || fnmatch(glob, step, 0) == 0;
	}
	return found;
}

static bool is_wanted(const struct test *t, const struct scenario *s)
{
	const char *filter = args_get(t->args, "filter");

	return !filter || matches(filter, s);
}

static bool is_skipped(const struct test *t, const struct scenario *s)
{
	const char *skip = args_get(t->args, "skip");

	return skip && matches(skip, s);
}

/* an expectation's cases are those of a lab that has no other */
static struct trial trial_of(const struct scenario_step *s, struct lab *one, struct expect *x,
			     const char *copy)
{
	*x = s->expect;
	*one = *s->lab;
	one->expects = x;
	one->n_expects = 1;
	return (struct trial){ .lab = copy, .file = one, .round = 1, .rounds = 1 };
}

/* ---- results ---- */

static int add_result(struct run *r, size_t step, const char *what, bool ok, bool skipped,
		      cJSON *expected, cJSON *got, const char *message, double took_ms)
{
	auto_free char *name = case_name(r->s, step, what);
	auto_buf struct buf whole = BUF_INIT;
	cJSON *o = name ? cJSON_CreateObject() : NULL;

	if (!o) {
		cJSON_Delete(expected);
		cJSON_Delete(got);
		return out_no_memory(r->c);
	}
	buf_adds(&whole, name);
	if (r->t->repeat > 1)
		buf_printf(&whole, " (%u of %u)", r->round, r->t->repeat);
	cJSON_AddStringToObject(o, "name", buf_str(&whole));
	cJSON_AddStringToObject(o, "scenario", r->s->name);
	cJSON_AddNumberToObject(o, "step", (double)step + 1);
	cJSON_AddStringToObject(o, "file", r->j->word);
	cJSON_AddBoolToObject(o, "ok", ok);
	cJSON_AddBoolToObject(o, "skipped", skipped);
	cJSON_AddItemToObject(o, "expected", expected ? expected : cJSON_CreateNull());
	cJSON_AddItemToObject(o, "got", got ? got : cJSON_CreateNull());
	cJSON_AddNumberToObject(o, "tries", skipped ? 0 : 1);
	cJSON_AddNullToObject(o, "why");
	cJSON_AddItemToObject(o, "message",
			      message ? cJSON_CreateString(message) : cJSON_CreateNull());
	cJSON_AddNumberToObject(o, "took_ms", took_ms);
	cJSON_AddItemToArray(r->results, o);
	if (!ok)
		r->failed = step + 1;
	return 0;
}

/* the rest of a scenario; "why" NULL: --skip */
static int skip_from(struct run *r, size_t first, const char *why)
{
	int e = 0;

	for (size_t i = first; i < r->s->n_steps && !e; i++) {
		auto_free char *what = scenario_step_title(&r->s->steps[i]);

		e = what ? add_result(r, i, what, true, true, NULL, NULL, why, 0) :
			   out_no_memory(r->c);
	}
	return e;
}

/* "result" instead of what was asked for, or an error, in words */
static void say_why(char *ret, size_t size, const cJSON *got, const char *wanted)
{
	const cJSON *error = json_get(got, "error");
	const char *detail = json_str(got, "detail", NULL);

	if (cJSON_IsObject(error))
		(void)snprintf(ret, size, "%s", json_str(error, "message", "?"));
	else
		(void)snprintf(ret, size, "%s instead of %s%s%s",
			       json_str(got, "result", "nothing"), wanted, detail ? ": " : "",
			       detail ? detail : "");
}

/* ---- requests about the copy ---- */

/* "ret": the answer, or {"error":{...}} where the daemon refused; owns */
static int ask(struct run *r, const char *method, const char *rest, const char *base,
	       const char *text, double wait_ms, cJSON **ret)
{
	auto_free char *path = api_lab_path(r->lab, rest), *header = NULL;
	const char *headers[] = { "Content-Type: application/json", NULL, NULL };
	struct api_request q = {
		.to = DAEMON_SANDBOXD,
		.method = method,
		.path = path,
		.headers = headers,
		.body = text,
		.size = strlen(text),
		.wait_ms = (int64_t)wait_ms,
	};
	struct httpc_answer a = { 0 };
	cJSON *body;
	int e;

	if (!path || (base && asprintf(&header, "Vpclab-Base: %s", base) < 0)) {
		header = NULL;
		return out_no_memory(r->c);
	}
	headers[1] = header;
	e = api_send(r->c, &q, &a);
	if (e)
		return e;
	body = a.body ? json_parse(a.body, a.size, NULL) : NULL;
	if (!body) {
		e = out_fail(r->c, ERR_UNAVAILABLE, "scenario %s: sandboxd's answer is no JSON",
			     out_safe(r->s->name));
	} else if (a.status < 200 || a.status > 299) {
		*ret = cJSON_CreateObject();
		cJSON_AddItemToObject(*ret, "error", body);
	} else {
		*ret = body;
	}
	httpc_answer_done(&a);
	return e;
}

static int ask_json(struct run *r, const char *rest, const cJSON *body, cJSON **ret)
{
	auto_free char *text = json_print(body);

	return text ? ask(r, "POST", rest, NULL, text, CONNECT_MS, ret) : out_no_memory(r->c);
}

/* ---- steps ---- */

static int step_connect(struct run *r, const struct scenario_step *s, cJSON *expected,
			cJSON **ret_got)
{
	auto_json cJSON *body = NULL;

	cJSON_AddStringToObject(expected, "connection", s->connection);
	cJSON_AddStringToObject(expected, "from", s->from);
	cJSON_AddStringToObject(expected, "to", s->to);
	cJSON_AddStringToObject(expected, "port", s->port_text);
	body = cJSON_Duplicate(expected, true);
	cJSON_AddStringToObject(expected, "result", "open");
	return ask_json(r, "/connections", body, ret_got);
}

static int step_connection(struct run *r, const struct scenario_step *s, cJSON *expected,
			   cJSON **ret_got)
{
	auto_json cJSON *body = cJSON_CreateObject();
	char rest[100];

	cJSON_AddStringToObject(expected, "connection", s->connection);
	cJSON_AddStringToObject(expected, "result", s->result);
	(void)snprintf(rest, sizeof(rest), "/connections/%s", s->connection);
	return ask_json(r, rest, body, ret_got);
}

static cJSON *took(cJSON *o, const char *result, struct mono start)
{
	cJSON_AddStringToObject(o, "result", result);
	cJSON_AddNumberToObject(o, "took_ms", mono_ms_since(start));
	return o;
}

static int step_patch(struct run *r, const struct scenario_step *s, cJSON *expected,
		      cJSON **ret_got)
{
	auto_free char *text = json_print(s->lab->doc.root);
	auto_json cJSON *answer = NULL;
	struct mono start = mono_now();
	const char *base = r->j->source.base;
	char query[40];
	int e = 0;

	cJSON_AddItemToObject(expected, "patch", cJSON_Duplicate(s->patch, true));
	cJSON_AddStringToObject(expected, "result", "applied");
	if (!text)
		return out_no_memory(r->c);
	(void)snprintf(query, sizeof(query), "?timeout=%g", UP_TIMEOUT);
	if (!MUTANT("scenario-patch"))
		e = ask(r, "PUT", query, base ? base : "/", text, UP_TIMEOUT * 1000 + API_WAIT_MS,
			&answer);
	if (e)
		return e;
	*ret_got = json_get(answer, "error") ? steal_ptr(&answer) :
					       took(cJSON_CreateObject(), "applied", start);
	return 0;
}

static void on_time(void *arg)
{
	*(bool *)arg = true;
}

static int step_advance(struct run *r, const struct scenario_step *s, cJSON *expected,
			cJSON **ret_got)
{
	/* at least as long: the lab's clocks count from before this one */
	double ms = s->advance * 1000 / s->lab->time_scale + 1;
	struct mono start = mono_now();
	struct loop_event *timer = NULL;
	bool over = MUTANT("scenario-advance");
	int e = api_ready(r->c);

	cJSON_AddNumberToObject(expected, "advance", s->advance);
	cJSON_AddStringToObject(expected, "result", "waited");
	if (!e && !over) {
		out_progress(r->c, "%s: waiting for %s ...", out_safe(r->lab), out_ms(ms));
		timer = loop_timer(r->c->loop, (int64_t)ms, on_time, &over);
		e = timer ? 0 : out_no_memory(r->c);
	}
	while (!e && !over && !r->c->interrupted)
		(void)loop_once(r->c->loop, -1); /* a signal is looked at above */
	loop_event_free(timer);
	if (!e && r->c->interrupted)
		e = 128 + r->c->interrupted;
	if (!e)
		*ret_got = took(cJSON_CreateObject(), "waited", start);
	return e;
}

/* an expectation's cases, under the step's name */
static int step_expect(struct run *r, size_t i)
{
	const struct scenario_step *s = &r->s->steps[i];
	cJSON *list = cJSON_CreateArray(), *o;
	struct expect x;
	struct lab one;
	struct trial trial = trial_of(s, &one, &x, r->lab);
	size_t n;
	int e = trial_run(r->c, &trial, list, &n);

	cJSON_ArrayForEach(o, list) {
		const char *name = json_str(o, "name", "?");
		bool ok = json_bool(o, "ok", false) || MUTANT("scenario-expect");
		cJSON *expected = cJSON_DetachItemFromObjectCaseSensitive(o, "expected");
		cJSON *got = cJSON_DetachItemFromObjectCaseSensitive(o, "got");

		if (e || add_result(r, i, name, ok, false, expected, got,
				    json_str(o, "message", NULL), json_num(o, "took_ms", 0)))
			break;
	}
	cJSON_Delete(list);
	return e;
}

typedef int (*step_fn)(struct run *r, const struct scenario_step *s, cJSON *expected,
		       cJSON **ret_got);

static int run_step(struct run *r, size_t i)
{
	static const step_fn fns[] = {
		[SCENARIO_CONNECT] = step_connect,
		[SCENARIO_CONNECTION] = step_connection,
		[SCENARIO_PATCH] = step_patch,
		[SCENARIO_ADVANCE] = step_advance,
	};
	const struct scenario_step *s = &r->s->steps[i];
	auto_free char *what = scenario_step_title(s);
	cJSON *expected, *got = NULL;
	struct mono start = mono_now();
	const char *wanted;
	char why[500];
	bool ok;
	int e;

	if (s->kind == SCENARIO_EXPECT)
		return step_expect(r, i);
	expected = cJSON_CreateObject();
	e = what ? fns[s->kind](r, s, expected, &got) : out_no_memory(r->c);
	if (e) {
		cJSON_Delete(expected);
		return e;
	}
	wanted = json_str(expected, "result", "");
	ok = !strcmp(json_str(got, "result", ""), wanted);
	ok = ok || (s->kind == SCENARIO_CONNECT && MUTANT("scenario-connect")) ||
	     (s->kind == SCENARIO_CONNECTION && MUTANT("scenario-connection"));
	say_why(why, sizeof(why), got, wanted);
	return add_result(r, i, what, ok, false, expected, got, ok ? NULL : why,
			  mono_ms_since(start));
}

static int run_steps(struct run *r)
{
	char why[60];
	size_t i;
	int e = 0;

	for (i = 0; i < r->s->n_steps && !e && (!r->failed || MUTANT("scenario-ends")); i++) {
		out_progress(r->c, "%s: scenario %s, step %zu of %zu ...", out_safe(r->lab),
			     out_safe(r->s->name), i + 1, r->s->n_steps);
		e = run_step(r, i);
		if (!e && r->c->interrupted)
			e = 128 + r->c->interrupted;
	}
	out_progress(r->c, "%s", "");
	(void)snprintf(why, sizeof(why), "step %zu failed", r->failed);
	return e ? e : skip_from(r, i, why);
}

/* ---- a copy ---- */

static int bring_up(struct run *r, const struct lab *file)
{
	auto_free char *text = json_print(file->bare);
	const char *base = r->j->source.base;
	struct source bare = {
		.file = r->j->word,
		.text = text,
		.size = text ? strlen(text) : 0,
		.base = (char *)(base ? base : "/"), /* not written to */
		.lab = (struct lab *)file,	     /* nor to this */
	};
	struct copy_spec spec = {
		.s = &bare,
		.timeout = UP_TIMEOUT,
		/* what may have to stay can't go with us */
		.stays = r->t->keep || r->t->keep_failed,
	};
	char name[COPY_NAME_MAX];
	cJSON *answer = NULL;
	int e;

	if (!text)
		return out_no_memory(r->c);
	/* its warnings are those of the file, which were told when that came up */
	e = copy_up(r->c, &spec, name, &answer);
	cJSON_Delete(answer);
	if (*name) {
		r->lab = strdup(name);
		e = r->lab ? e : out_no_memory(r->c);
	}
	return e;
}

static int run_round(struct run *r, bool *ret_kept)
{
	const struct lab *file = r->j->source.lab;
	int e = bring_up(r, file), down = 0;

	if (!e)
		e = run_steps(r);
	*ret_kept = !e && (r->t->keep || (r->t->keep_failed && r->failed));
	if (r->lab && !*ret_kept)
		down = copy_down(r->c, r->lab);
	if (*ret_kept && !r->c->quiet)
		fprintf(stderr, "vpclab: %s stays up (scenario %s)\n", out_safe(r->lab),
			out_safe(r->s->name));
	return e ? e : down;
}

int scenario_run_job(struct cli *c, const struct test *t, struct test_job *j, cJSON **ret)
{
	cJSON *lab = cJSON_CreateObject(), *results = cJSON_AddArrayToObject(lab, "results");
	struct mono start = mono_now();
	bool kept, failed = false;
	int e = 0;

	for (unsigned round = 1; round <= t->repeat && !e && !(failed && t->fail_fast); round++) {
		struct run r = {
			.c = c,
			.t = t,
			.j = j,
			.s = j->scenario,
			.results = results,
			.round = round,
		};

		e = is_skipped(t, j->scenario) ? skip_from(&r, 0, NULL) : run_round(&r, &kept);
		failed = failed || r.failed;
		free(r.lab);
	}
	cJSON_AddStringToObject(lab, "scenario", j->scenario->name);
	cJSON_AddNumberToObject(lab, "took_ms", mono_ms_since(start));
	*ret = lab;
	return e;
}

/* ---- jobs ---- */

static size_t count_wanted(const struct test *t, const struct test_job *j)
{
	const struct lab *lab = j->source.lab;
	size_t n = 0;

	for (size_t i = 0; i < lab->n_scenarios; i++)
		n += is_wanted(t, &lab->scenarios[i]);
	return n;
}

static struct test_job job_of(const struct test_job *j, const struct scenario *s)
{
	return (struct test_job){
		.word = strdup(j->word),
		.is_lab = j->is_lab,
		.source = j->source,
		.scenario = s,
	};
}

int scenario_add_jobs(const struct cli *c, struct test *t)
{
	size_t n = t->n_jobs, at = 0;
	struct test_job *jobs;
	bool whole = true;

	for (size_t i = 0; i < t->n_jobs; i++)
		n += count_wanted(t, &t->jobs[i]);
	jobs = calloc(n + 1, sizeof(*jobs));
	if (!jobs)
		return out_no_memory(c);
	for (size_t i = 0; i < t->n_jobs; i++) {
		const struct lab *lab = t->jobs[i].source.lab;

		jobs[at++] = t->jobs[i];
		for (size_t k = 0; k < lab->n_scenarios; k++) {
			if (!is_wanted(t, &lab->scenarios[k]))
				continue;
			jobs[at] = job_of(&t->jobs[i], &lab->scenarios[k]);
			whole = whole && jobs[at++].word;
		}
	}
	free(t->jobs);
	t->jobs = jobs;
	t->n_jobs = at;
	return whole ? 0 : out_no_memory(c);
}

size_t scenario_n_jobs(const struct test *t, size_t idx)
{
	size_t i, n = 0;

	for (i = 0; i < t->n_jobs; i++)
		if (!t->jobs[i].scenario && !idx--)
			break;
	while (++i < t->n_jobs && t->jobs[i].scenario)
		n++;
	return n;
}

int scenario_list(const struct cli *c, const struct test *t, const struct test_job *j, cJSON *names)
{
	const struct scenario *s = j->scenario;
	int e = 0;

	for (size_t i = 0; i < s->n_steps && !e && !is_skipped(t, s); i++) {
		auto_json cJSON *own = cJSON_CreateArray();
		auto_free char *what = scenario_step_title(&s->steps[i]);
		struct expect x;
		struct lab one;
		struct trial trial = trial_of(&s->steps[i], &one, &x, "");
		const cJSON *name;

		if (s->steps[i].kind == SCENARIO_EXPECT)
			e = trial_list(c, &trial, own);
		else
			cJSON_AddItemToArray(own, cJSON_CreateString(what ? what : "?"));
		cJSON_ArrayForEach(name, own) {
			auto_free char *text = case_name(s, i, name->valuestring);

			cJSON_AddItemToArray(names, cJSON_CreateString(text ? text : "?"));
		}
	}
	return e;
}

void scenario_merge(cJSON *lab, cJSON *from)
{
	static const char *const counts[] = { "passed", "failed", "skipped" };
	cJSON *into = cJSON_GetObjectItemCaseSensitive(lab, "results");
	cJSON *list = cJSON_GetObjectItemCaseSensitive(from, "results");
	double ms = json_num(lab, "took_ms", 0) + json_num(from, "took_ms", 0);

	while (list && list->child)
		cJSON_AddItemToArray(into, cJSON_DetachItemViaPointer(list, list->child));
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(lab, counts[i]);
	report_count(lab);
	cJSON_DeleteItemFromObjectCaseSensitive(lab, "took_ms");
	cJSON_AddNumberToObject(lab, "took_ms", ms);
	cJSON_Delete(from);
}
