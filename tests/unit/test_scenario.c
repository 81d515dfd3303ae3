/* SPDX-License-Identifier: MIT */
/*
 * test_scenario - cli/scenario.c's pure parts: which scenarios become jobs, what
 * their cases are called, and how their results join those of their lab.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "cli/report.h"
#include "cli/scenario.h"
#include "lib/util.h"

static const char FILE_A[] =
	"{ \"lab\": \"x\", \"internet\": { \"hosts\": { \"a\": { \"ip\": \"198.51.100.1\" },\n"
	"  \"b\": { \"ip\": \"198.51.100.2\", \"serve\": [\"tcp/80\"] } } },\n"
	"  \"scenarios\": { \"one\": [ { \"connect\": \"c\", \"from\": \"a\", \"to\": \"b\", "
	"\"port\": \"tcp/80\" },\n"
	"      { \"to\": \"b\", \"port\": \"tcp/80\", \"only_from\": [\"a\"] } ],\n"
	"    \"two\": [ { \"advance\": 1 } ] } }";
static const char FILE_B[] = "{ \"lab\": \"y\" }";

static const struct arg_opt OPTS[] = {
	{ "filter", 0, "GLOB", "" },
	{ "skip", 0, "GLOB", "" },
	{ 0 },
};

struct fixture {
	struct cli c;
	struct test t;
	struct args args;
};

static void add_file(struct test *t, const char *word, const char *text)
{
	struct test_job *j;

	t->jobs = reallocarray(t->jobs, t->n_jobs + 1, sizeof(*t->jobs));
	assert_non_null(t->jobs);
	j = &t->jobs[t->n_jobs++];
	*j = (struct test_job){ .word = strdup(word) };
	j->source.lab = lab_parse(text, strlen(text), word, NULL, &j->source.issues);
	assert_non_null(j->source.lab);
}

/* two files; with the scenarios that "option" lets through */
static void begin(struct fixture *f, const char *option, const char *value)
{
	char *argv[] = { (char *)"test", (char *)option, (char *)value, NULL };
	const struct arg_spec spec = { .verb = "test", .opts = OPTS, .usage = "" };
	char why[200];
	int used;

	*f = (struct fixture){ 0 };
	assert_int_equal(args_parse(&spec, option ? 3 : 1, argv, &f->args, &used, why, sizeof(why)),
			 0);
	f->t.args = &f->args;
	add_file(&f->t, "a.json", FILE_A);
	add_file(&f->t, "b.json", FILE_B);
	assert_int_equal(scenario_add_jobs(&f->c, &f->t), 0);
}

static void end(struct fixture *f)
{
	for (size_t i = 0; i < f->t.n_jobs; i++) {
		if (!f->t.jobs[i].scenario)
			source_done(&f->t.jobs[i].source);
		free(f->t.jobs[i].word);
	}
	free(f->t.jobs);
	args_done(&f->args);
}

static void test_jobs(void **state)
{
	static const struct {
		const char *option, *value;
		size_t n;	   /* jobs of scenarios */
		const char *first; /* NULL: none */
	} cases[] = {
		{ NULL, NULL, 2, "one" },
		{ "--filter", "scenario *", 2, "one" },
		{ "--filter", "scenario two", 1, "two" },
		{ "--filter", "*connect c*", 1, "one" },
		{ "--filter", "scenario one: step 2 *", 1, "one" },
		{ "--filter", "a -> b *", 0, NULL },
		{ "--skip", "scenario one", 2, "one" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fixture f;

		begin(&f, cases[i].option, cases[i].value);
		assert_int_equal(f.t.n_jobs, 2 + cases[i].n);
		assert_null(f.t.jobs[0].scenario);
		if (cases[i].first)
			assert_string_equal(f.t.jobs[1].scenario->name, cases[i].first);
		/* the other file comes last, and has none */
		assert_string_equal(f.t.jobs[f.t.n_jobs - 1].word, "b.json");
		assert_int_equal(scenario_n_jobs(&f.t, 0), cases[i].n);
		assert_int_equal(scenario_n_jobs(&f.t, 1), 0);
		end(&f);
	}
}

static void assert_names(const struct fixture *f, const char *expected)
{
	auto_json cJSON *names = cJSON_CreateArray();
	auto_free char *text = NULL;

	for (size_t i = 0; i < f->t.n_jobs; i++)
		if (f->t.jobs[i].scenario)
			assert_int_equal(scenario_list(&f->c, &f->t, &f->t.jobs[i], names), 0);
	text = json_print(names);
	assert_string_equal(text, expected);
}

static void test_names(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f, NULL, NULL);
	assert_names(&f, "[\"scenario one: step 1 connect c: a -> b tcp/80\","
			 "\"scenario one: step 2 a -> b tcp/80 open\","
			 "\"scenario two: step 1 advance 1 s\"]");
	end(&f);
	begin(&f, "--skip", "*step 2*");
	assert_names(&f, "[\"scenario two: step 1 advance 1 s\"]");
	end(&f);
}

static void test_merge(void **state)
{
	static const char text[] = "{\"lab\":\"x\",\"results\":[{\"ok\":true}],\"took_ms\":5}";
	static const char more[] = "{\"scenario\":\"one\",\"results\":[{\"ok\":false},{\"ok\":true,"
				   "\"skipped\":true}],\"took_ms\":7}";
	auto_json cJSON *lab = json_parse(text, strlen(text), NULL);

	(void)state;
	report_count(lab);
	scenario_merge(lab, json_parse(more, strlen(more), NULL));
	assert_int_equal(cJSON_GetArraySize(json_get(lab, "results")), 3);
	assert_true(json_num(lab, "passed", -1) == 1 && json_num(lab, "failed", -1) == 1 &&
		    json_num(lab, "skipped", -1) == 1 && json_num(lab, "took_ms", -1) == 12);
	assert_null(json_get(lab, "scenario"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_jobs),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_merge),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
