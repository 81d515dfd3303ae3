/* SPDX-License-Identifier: MIT */
/*
 * test_args - cli/args.c: options before and after words, mistakes by name,
 * commands that are passed through.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "cli/args.h"
#include "lib/util.h"

static const struct arg_opt OPTS[] = {
	{ "timeout", 0, "SECONDS", "" },
	{ "merge", 0, "FILE", "" },
	{ "bind", 0, "[PID]", "" },
	{ "tty", 't', NULL, "" },
	{ 0 },
};

static const struct arg_spec PLAIN = {
	.verb = "up",
	.opts = OPTS,
	.usage = "FILE",
	.min_words = 1,
	.max_words = 1,
};
static const struct arg_spec COMMAND = {
	.verb = "exec",
	.opts = OPTS,
	.usage = "LAB NODE -- CMD...",
	.min_words = 2,
	.max_words = 2,
	.command_after = 2,
};

#define WORDS(...)                \
	(const char *[])          \
	{                         \
		__VA_ARGS__, NULL \
	}

static int parse(const struct arg_spec *spec, const char *const *argv, struct args *ret, char *why)
{
	int argc = 0;

	while (argv[argc])
		argc++;
	*why = '\0';
	return args_parse(spec, argc, (char **)argv, ret, NULL, why, 300);
}

/* what is wrong, "" for nothing; the mistake must be named, never the whole help */
static void test_mistakes(void **state)
{
	static const struct {
		const struct arg_spec *spec;
		const char *argv[8];
		const char *why;
	} cases[] = {
		{ &PLAIN, { "up", "a" }, "" },
		{ &PLAIN, { "up" }, "something is missing: vpclab up FILE" },
		{ &PLAIN, { "up", "--help" }, "" },
		{ &PLAIN, { "up", "a", "b" }, "too many words, from 'b' on: vpclab up FILE" },
		{ &PLAIN, { "up", "a", "--nope" }, "unknown or ambiguous option --nope" },
		{ &PLAIN, { "up", "a", "-z" }, "unknown option -z" },
		{ &PLAIN, { "up", "a", "--timeout" }, "--timeout needs SECONDS" },
		{ &PLAIN, { "up", "a", "--tty=yes" }, "--tty takes no value" },
		{ &PLAIN, { "up", "a", "--bind" }, "" },
		{ &PLAIN, { "up", "a", "--bind", "12" }, "" },
		{ &PLAIN, { "up", "--bind", "12", "a" }, "" },
		{ &PLAIN, { "up", "--bind", "a" }, "" },
		{ &PLAIN, { "up", "a", "--", "b" }, "nothing may follow '--': vpclab up FILE" },
		{ &PLAIN, { "up", "-" }, "" },
		{ &COMMAND,
		  { "exec", "l", "n" },
		  "no command given: vpclab exec LAB NODE -- CMD..." },
		{ &COMMAND,
		  { "exec", "l", "n", "--" },
		  "no command given: vpclab exec LAB NODE -- CMD..." },
		{ &COMMAND,
		  { "exec", "l", "--", "ls" },
		  "something is missing: vpclab exec LAB NODE -- CMD..." },
		{ &COMMAND, { "exec", "l", "n", "--", "ls", "-l" }, "" },
	};
	struct args a;
	char why[300];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = parse(cases[i].spec, cases[i].argv, &a, why);

		assert_string_equal(why, cases[i].why);
		assert_int_equal(r, *cases[i].why ? -EINVAL : 0);
		args_done(&a);
	}
}

static void test_order_is_free(void **state)
{
	struct args a;
	char why[300];

	(void)state;
	assert_int_equal(parse(&PLAIN,
			       WORDS("up", "--merge", "x", "f.json", "-o", "json", "--merge=y",
				     "-q", "--timeout", "3", "--timeout=4"),
			       &a, why),
			 0);
	assert_int_equal(a.n_words, 1);
	assert_string_equal(a.words[0], "f.json");
	assert_string_equal(args_nth(&a, "merge", 0), "x");
	assert_string_equal(args_nth(&a, "merge", 1), "y");
	assert_null(args_nth(&a, "merge", 2));
	assert_string_equal(args_get(&a, "timeout"), "4");
	assert_string_equal(args_get(&a, "output"), "json");
	assert_true(args_has(&a, "quiet"));
	assert_false(args_has(&a, "verbose"));
	assert_null(a.rest);
	args_done(&a);
}

static void test_mistake_does_not_hide_output(void **state)
{
	struct args a;
	char why[300];

	(void)state;
	assert_int_equal(parse(&PLAIN, WORDS("up", "--nope", "f", "-o", "json"), &a, why), -EINVAL);
	assert_string_equal(args_get(&a, "output"), "json");
	args_done(&a);
}

static void test_command(void **state)
{
	struct args a;
	char why[300];

	(void)state;
	assert_int_equal(parse(&COMMAND,
			       WORDS("exec", "-t", "lab", "node", "--timeout", "5", "--", "ls",
				     "-t", "--", "x"),
			       &a, why),
			 0);
	assert_true(args_has(&a, "tty"));
	assert_string_equal(args_get(&a, "timeout"), "5");
	assert_string_equal(a.rest[0], "ls");
	assert_string_equal(a.rest[1], "-t");
	assert_string_equal(a.rest[2], "--");
	assert_string_equal(a.rest[3], "x");
	assert_null(a.rest[4]);
	args_done(&a);
	/* without "--", the first word after the node starts the command */
	assert_int_equal(parse(&COMMAND, WORDS("exec", "lab", "node", "ls", "-t"), &a, why), 0);
	assert_false(args_has(&a, "tty"));
	assert_string_equal(a.rest[0], "ls");
	assert_string_equal(a.rest[1], "-t");
	args_done(&a);
}

static void test_before_the_verb(void **state)
{
	static const struct arg_spec before = { .max_words = SIZE_MAX, .usage = "" };
	const char *argv[] = { "vpclab", "-o", "json", "--run-dir=/r", "up", "--nope", NULL };
	struct args a;
	char why[300];
	int used;

	(void)state;
	assert_int_equal(args_parse(&before, 6, (char **)argv, &a, &used, why, sizeof(why)), 0);
	assert_int_equal(used, 4);
	assert_string_equal(args_get(&a, "run-dir"), "/r");
	args_done(&a);
}

static void test_numbers(void **state)
{
	static const struct {
		const char *text;
		double value; /* < 0: refused */
	} cases[] = {
		{ "1", 1 },    { "0.5", 0.5 }, { "60", 60 },   { "", -1 },	{ "x", -1 },
		{ "1s", -1 },  { "-1", -1 },   { "0x10", -1 }, { "inf", -1 },	{ "nan", -1 },
		{ "1e3", -1 }, { " 1", -1 },   { "61", -1 },   { "1.2.3", -1 }, { ".", -1 },
	};
	double v;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		int r = parse_seconds(cases[i].text, 0, 60, &v);

		assert_int_equal(r, cases[i].value < 0 ? -EINVAL : 0);
		if (!r)
			assert_true(v >= cases[i].value && v <= cases[i].value);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mistakes),
		cmocka_unit_test(test_order_is_free),
		cmocka_unit_test(test_mistake_does_not_hide_output),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_before_the_verb),
		cmocka_unit_test(test_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
