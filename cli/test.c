/* SPDX-License-Identifier: MIT */
/*
 * test - expectations of lab files, each on a copy of its own, and of labs as
 * they run.  Every file is read and checked before the first copy comes up.
 *
 * A copy goes however the command ends: by itself; on SIGINT, SIGTERM and
 * SIGHUP, which only set a flag that ends the waiting; and when the process is
 * killed outright, by the lease that sandboxd holds on it.
 */
#include "cli/test.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/api.h"
#include "cli/bundle.h"
#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/copy.h"
#include "cli/out.h"
#include "cli/report.h"
#include "cli/scenario.h"
#include "cli/side.h"
#include "cli/source.h"
#include "cli/trial.h"
#include "cli/why.h"
#include "lib/loop.h"
#include "lib/mutant.h"
#include "lib/util.h"

#define REPEAT_MAX 10000
#define JOBS_MAX 64

/* ---- what is to be tested ---- */

static int add_job(const struct cli *c, struct test *t, const char *word, bool is_lab)
{
	struct test_job *j = reallocarray(t->jobs, t->n_jobs + 1, sizeof(*j));

	if (!j)
		return out_no_memory(c);
	t->jobs = j;
	t->jobs[t->n_jobs] = (struct test_job){ .word = strdup(word), .is_lab = is_lab };
	return t->jobs[t->n_jobs++].word ? 0 : out_no_memory(c);
}

static int only_json(const struct dirent *d)
{
	size_t len = strlen(d->d_name);

	return d->d_name[0] != '.' && len > 5 && !strcmp(d->d_name + len - 5, ".json");
}

static int add_folder(const struct cli *c, struct test *t, const char *folder)
{
	struct dirent **names;
	int n = scandir(folder, &names, only_json, alphasort), i, r = 0;

	if (n < 0)
		return out_fail(c, ERR_INVALID_LAB, "%s: %s", folder, strerror(errno));
	for (i = 0; i < n; i++) {
		auto_free char *path = NULL;

		if (asprintf(&path, "%s%s%s", folder, folder[strlen(folder) - 1] == '/' ? "" : "/",
			     names[i]->d_name) < 0)
			path = NULL;
		if (!r)
			r = path ? add_job(c, t, path, false) : out_no_memory(c);
		free(names[i]);
	}
	free(names);
	return r;
}

static int add_words(const struct cli *c, struct test *t)
{
	struct stat st;
	size_t i;
	int r = 0;

	for (i = 0; i < t->args->n_words && !r; i++) {
		const char *word = t->args->words[i];

		if (!source_is_file(word))
			r = add_job(c, t, word, true);
		else if (stat(word, &st) == 0 && S_ISDIR(st.st_mode))
			r = add_folder(c, t, word);
		else
			r = add_job(c, t, word, false);
	}
	if (!r && args_has(t->args, "lab") && (t->n_jobs != 1 || t->jobs[0].is_lab))
		r = out_fail_usage(c, "test: --lab goes with a single FILE");
	return r;
}

static int load_all(struct cli *c, struct test *t)
{
	size_t i;
	int r = 0;

	for (i = 0; i < t->n_jobs && !r; i++) {
		struct test_job *j = &t->jobs[i];

		r = j->is_lab ? source_of_lab(c, "test", j->word, t->args, &j->source) :
				source_load(c, j->word, t->args, &j->source);
	}
	return r;
}

static void test_done(struct test *t)
{
	size_t i;

	for (i = 0; i < t->n_jobs; i++) {
		if (!t->jobs[i].scenario)
			source_done(&t->jobs[i].source);
		free(t->jobs[i].word);
	}
	free(t->jobs);
	cJSON_Delete(t->labs);
}

/* ---- one of them ---- */

static int bring_up(struct cli *c, const struct test *t, struct test_job *j)
{
	struct copy_spec spec = {
		.s = &j->source,
		.timeout = UP_TIMEOUT,
		.own_name = t->keep,
		/* what may have to stay can't go with us */
		.stays = t->keep || t->keep_failed,
	};
	cJSON *answer = NULL;
	int r = copy_up(c, &spec, j->name, &answer);

	if (!r)
		out_warnings(c, json_get(answer, "warnings"));
	cJSON_Delete(answer);
	return r;
}

static int try_rounds(struct cli *c, const struct test *t, const struct test_job *j, cJSON *results,
		      size_t *ret_n)
{
	struct trial trial = {
		.lab = j->is_lab ? j->word : j->name,
		.file = j->source.lab,
		.filter = args_get(t->args, "filter"),
		.skip = args_get(t->args, "skip"),
		.fail_fast = t->fail_fast,
		.rounds = t->repeat,
	};
	const cJSON *result;
	size_t n = 0;
	int r = 0;

	*ret_n = 0;
	for (trial.round = 1; trial.round <= t->repeat && !r; trial.round++) {
		r = trial_run(c, &trial, results, &n);
		if (!r)
			r = why_attach(c, trial.lab, &j->source, results);
		/* told where it fails; what was found is worth more than its bundle */
		if (!r && args_has(t->args, "bundle") &&
		    bundle_write(c, args_get(t->args, "bundle"), trial.lab, results) &&
		    c->interrupted)
			r = 128 + c->interrupted;
		*ret_n += n;
		cJSON_ArrayForEach(result, results)
			if (t->fail_fast && !json_bool(result, "ok", false))
				return r;
	}
	return r;
}

/* when and where, for reports */
static void add_stamp(cJSON *lab)
{
	time_t now = time(NULL);
	char text[80] = "";
	struct tm tm;

	if (gmtime_r(&now, &tm) && strftime(text, sizeof(text), "%FT%T", &tm))
		cJSON_AddStringToObject(lab, "started", text);
	if (gethostname(text, sizeof(text) - 1) == 0 && *text)
		cJSON_AddStringToObject(lab, "host", text);
}

int test_run_job(struct cli *c, const struct test *t, struct test_job *j, cJSON **ret)
{
	struct mono start = mono_now();
	cJSON *lab = cJSON_CreateObject(), *results = cJSON_CreateArray();
	bool stays;
	size_t n = 0;
	int r = 0, down;

	if (j->scenario) {
		cJSON_Delete(results);
		cJSON_Delete(lab);
		return scenario_run_job(c, t, j, ret);
	}
	add_stamp(lab);
	if (!j->is_lab)
		r = bring_up(c, t, j);
	if (!r)
		r = try_rounds(c, t, j, results, &n);
	cJSON_AddStringToObject(lab, "lab", j->is_lab ? j->word : *j->name ? j->name : "?");
	cJSON_AddStringToObject(lab, "suite", j->source.lab->name);
	cJSON_AddItemToObject(lab, "results", results);
	report_count(lab);
	stays = !r && (t->keep || (t->keep_failed && json_num(lab, "failed", 0) > 0));
	if (!j->is_lab && *j->name && !stays) {
		down = copy_down(c, j->name);
		r = r ? r : down;
	}
	cJSON_AddNumberToObject(lab, "took_ms", mono_ms_since(start));
	cJSON_AddBoolToObject(lab, "kept", stays && !j->is_lab);
	*ret = lab;
	return r;
}

/* ---- all of them ---- */

static void on_signal(int sig, void *arg)
{
	struct cli *c = arg;

	c->interrupted = sig;
}

int test_catch_signals(struct cli *c)
{
	static const int caught[] = { SIGINT, SIGTERM, SIGHUP };
	size_t i;
	int r = api_ready(c);

	for (i = 0; i < ARRAY_SIZE(caught) && !r; i++)
		if (!loop_signal(c->loop, caught[i], on_signal, c))
			r = out_no_memory(c);
	return r;
}

static void print_lab(const struct cli *c, const cJSON *lab)
{
	auto_buf struct buf b = BUF_INIT;

	report_text(lab, c->color_out, c->quiet, &b);
	fwrite(buf_str(&b), 1, b.len, stdout);
	fflush(stdout);
	if (json_bool(lab, "kept", false) && !c->quiet)
		fprintf(stderr, "vpclab: %s stays up\n", out_safe(json_str(lab, "lab", "?")));
}

void test_take_result(const struct cli *c, struct test *t, cJSON *lab)
{
	int n = cJSON_GetArraySize(t->labs);

	if (json_get(lab, "scenario")) {
		scenario_merge(cJSON_GetArrayItem(t->labs, n - 1), lab);
		t->n_pending--;
	} else {
		t->n_pending = scenario_n_jobs(t, (size_t)n++);
		cJSON_AddItemToArray(t->labs, lab);
	}
	if (!t->n_pending && t->format == FORMAT_TEXT)
		print_lab(c, cJSON_GetArrayItem(t->labs, n - 1));
}

/* what waited for scenarios that don't come any more */
static void print_pending(const struct cli *c, struct test *t)
{
	int n = cJSON_GetArraySize(t->labs);

	if (t->n_pending && t->format == FORMAT_TEXT)
		print_lab(c, cJSON_GetArrayItem(t->labs, n - 1));
	t->n_pending = 0;
}

static bool any_failed(const struct test *t)
{
	const cJSON *lab;

	cJSON_ArrayForEach(lab, t->labs)
		if (json_num(lab, "failed", 0) > 0)
			return true;
	return false;
}

static int run_in_turn(struct cli *c, struct test *t)
{
	cJSON *lab;
	size_t i;
	int r = test_catch_signals(c);

	for (i = 0; i < t->n_jobs && !r; i++) {
		lab = NULL;
		r = test_run_job(c, t, &t->jobs[i], &lab);
		if (r) {
			cJSON_Delete(lab);
			break;
		}
		test_take_result(c, t, lab);
		if (t->fail_fast && any_failed(t))
			break;
		if (c->interrupted)
			r = 128 + c->interrupted;
	}
	return r;
}

static int print_list(const struct cli *c, const struct test *t)
{
	cJSON *names = cJSON_CreateArray();
	const cJSON *name;
	size_t i;
	int r = 0, n;

	for (i = 0; i < t->n_jobs && !r; i++) {
		struct trial trial = {
			.lab = t->jobs[i].word,
			.file = t->jobs[i].source.lab,
			.filter = args_get(t->args, "filter"),
			.skip = args_get(t->args, "skip"),
		};

		r = t->jobs[i].scenario ? scenario_list(c, t, &t->jobs[i], names) :
					  trial_list(c, &trial, names);
	}
	n = cJSON_GetArraySize(names);
	if (!r && !n)
		r = out_fail(c, ERR_NO_OBJECT, "test: no expectation matched");
	if (!r && c->json)
		return out_json(c, names);
	cJSON_ArrayForEach(name, names)
		if (!r)
			printf("%s\n", out_safe(name->valuestring));
	cJSON_Delete(names);
	return r ? r : out_done(c);
}

/* ---- options ---- */

static int read_options(const struct cli *c, struct test *t)
{
	static const char *const formats[] = { "text", "tap", "junit", "json" };
	const char *format = args_get(t->args, "format");
	uint64_t n;
	size_t i;

	t->format = c->json ? FORMAT_JSON : FORMAT_TEXT;
	for (i = 0; format && i < ARRAY_SIZE(formats); i++)
		if (!strcmp(format, formats[i]))
			break;
	if (format && i == ARRAY_SIZE(formats))
		return out_fail_usage(c, "test: --format %s: text, tap, junit or json", format);
	if (format)
		t->format = (enum test_format)i;
	if (args_number(t->args, "repeat", 1, REPEAT_MAX, 1, &n) < 0)
		return out_fail_usage(c, "test: --repeat %s: not a number (1..%d)",
				      args_get(t->args, "repeat"), REPEAT_MAX);
	t->repeat = MUTANT("test-repeat") ? 1 : (unsigned)n;
	if (args_number(t->args, "jobs", 1, JOBS_MAX, 1, &n) < 0)
		return out_fail_usage(c, "test: -j %s: not a number (1..%d)",
				      args_get(t->args, "jobs"), JOBS_MAX);
	t->parallel = (size_t)n;
	t->keep = args_has(t->args, "keep");
	t->keep_failed = args_has(t->args, "keep-failed") && !MUTANT("test-keep-failed");
	t->fail_fast = args_has(t->args, "fail-fast") && !MUTANT("test-fail-fast");
	return 0;
}

static int print_results(const struct cli *c, const struct test *t)
{
	auto_buf struct buf b = BUF_INIT;

	switch (t->format) {
	case FORMAT_TAP:
		report_tap(t->labs, &b);
		break;
	case FORMAT_JUNIT:
		report_junit(t->labs, &b);
		break;
	case FORMAT_JSON:
		return out_json(c, report_json(t->labs));
	case FORMAT_TEXT:
		break;
	}
	if (buf_error(&b))
		return out_no_memory(c);
	fwrite(buf_str(&b), 1, b.len, stdout);
	return out_done(c);
}

static bool any_result(const struct test *t)
{
	const cJSON *lab;

	cJSON_ArrayForEach(lab, t->labs)
		if (cJSON_GetArraySize(json_get(lab, "results")))
			return true;
	return false;
}

static int run_all(struct cli *c, struct test *t)
{
	struct side_files side;
	int r = side_open(c, t->args, &side);

	if (!r && args_has(t->args, "bundle"))
		r = bundle_open(c, args_get(t->args, "bundle"));
	if (!r) {
		/* a reader of ours that goes mustn't end us before the copy is gone */
		(void)signal(SIGPIPE, SIG_IGN);
		if (t->parallel > 1 && t->n_jobs > 1)
			r = side_run_parallel(c, t);
		else
			r = run_in_turn(c, t);
		print_pending(c, t);
	}
	if (!r && !any_result(t))
		r = out_fail(c, ERR_NO_OBJECT, "test: no expectation matched");
	if (!r)
		r = side_write(c, &side, t->labs);
	if (!r)
		r = print_results(c, t);
	side_done(&side);
	return r ? r : any_failed(t) ? EXIT_FAILED : 0;
}

static int test(struct cli *c, const struct args *a)
{
	struct test t = { .args = a, .labs = cJSON_CreateArray() };
	int r = t.labs ? read_options(c, &t) : out_no_memory(c);

	if (!r)
		r = add_words(c, &t);
	if (!r)
		r = load_all(c, &t);
	if (!r)
		r = scenario_add_jobs(c, &t);
	if (!r)
		r = args_has(a, "list") ? print_list(c, &t) : run_all(c, &t);
	test_done(&t);
	return r;
}

static const struct arg_opt OPTS[] = {
	SOURCE_OPTS,
	{ "format", 0, "text|tap|junit|json", "of standard output (text)" },
	{ "junit", 0, "FILE", "JUnit XML, besides" },
	{ "tap", 0, "FILE", "TAP 14, besides" },
	{ "json", 0, "FILE", "JSON, besides" },
	{ "filter", 0, "GLOB", "only expectations whose name matches" },
	{ "skip", 0, "GLOB", "skip expectations whose name matches" },
	{ "jobs", 'j', "N", "so many labs side by side (1)" },
	{ "fail-fast", 0, NULL, "the first failure ends it" },
	{ "repeat", 0, "N", "everything N times on the same lab (1)" },
	{ "keep", 0, NULL, "copies stay up, under the file's name if it is free" },
	{ "keep-failed", 0, NULL, "copies stay up where an expectation failed" },
	{ "list", 0, NULL, "only the names" },
	{ "bundle", 0, "DIR", "a folder a failure: capture, rules, routes, connections, logs" },
	{ 0 },
};

const struct verb VERB_TEST = {
	.name = "test",
	.usage = "FILE|DIR|LAB...",
	.summary = "try the expectations: of files on copies of their own, of labs as they run",
	.more = "1: an expectation failed, 3: none matched.",
	.opts = OPTS,
	.min_words = 1,
	.max_words = SIZE_MAX,
	.fn = test,
};
