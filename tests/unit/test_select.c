/* SPDX-License-Identifier: MIT */
/*
 * test_select - cli/select.c: what "show LAB KIND/NAME" finds; and the place of
 * a path in a merge patch (cli/source.c).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/select.h"
#include "cli/source.h"
#include "lib/util.h"

static const char SHOW[] =
	"{\"lab\":\"l\",\"vpcs\":{"
	"\"a\":{\"id\":\"vpc-1\",\"subnets\":{\"one\":{\"id\":\"s1\"},\"both\":{\"id\":\"s2\"}},"
	"\"instances\":{\"db\":{\"id\":\"i-1\"}}},"
	"\"b\":{\"id\":\"vpc-2\",\"subnets\":{\"both\":{\"id\":\"s3\"}},"
	"\"instances\":{\"web\":{\"id\":\"i-2\"}}}},"
	"\"functions\":{\"fn\":{\"id\":\"f\"}},\"internet\":{\"hosts\":{\"api\":{\"id\":\"h\"}}}}";

static void test_objects(void **state)
{
	static const struct {
		const char *word;
		enum select_status status;
		const char *id; /* of one object */
		int n;		/* of a map */
	} cases[] = {
		{ "subnets", SELECT_OK, NULL, 3 },
		{ "subnets/a/one", SELECT_OK, "s1", 0 },
		{ "subnets/one", SELECT_OK, "s1", 0 },
		{ "subnets/both", SELECT_AMBIGUOUS, NULL, 0 },
		{ "subnets/b/both", SELECT_OK, "s3", 0 },
		{ "subnets/c/both", SELECT_NONE, NULL, 0 },
		{ "subnets/", SELECT_NONE, NULL, 0 },
		{ "subnet", SELECT_UNKNOWN_KIND, NULL, 0 },
		{ "subnet/one", SELECT_UNKNOWN_KIND, NULL, 0 },
		{ "", SELECT_UNKNOWN_KIND, NULL, 0 },
		{ "instances", SELECT_OK, NULL, 2 },
		{ "instances/db", SELECT_OK, "i-1", 0 },
		{ "instances/a/db", SELECT_NONE, NULL, 0 },
		{ "vpcs/b", SELECT_OK, "vpc-2", 0 },
		{ "hosts/api", SELECT_OK, "h", 0 },
		{ "functions/fn", SELECT_OK, "f", 0 },
		{ "functions/gn", SELECT_NONE, NULL, 0 },
		{ "network_acls", SELECT_OK, NULL, 0 },
	};
	auto_json cJSON *show = json_parse(SHOW, strlen(SHOW), NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct select_kind *k;
		cJSON *got = NULL;
		bool one = false;
		enum select_status s = select_objects(show, cases[i].word, &k, &got, &one);

		assert_int_equal(s, cases[i].status);
		if (s == SELECT_OK && one)
			assert_string_equal(json_str(got, "id", ""), cases[i].id);
		else if (s == SELECT_OK)
			assert_int_equal(cJSON_GetArraySize(got), cases[i].n);
		cJSON_Delete(got);
	}
}

static void test_keys(void **state)
{
	auto_json cJSON *show = json_parse(SHOW, strlen(SHOW), NULL);
	const struct select_kind *k;
	cJSON *got = NULL;
	bool one;

	(void)state;
	assert_int_equal(select_objects(show, "subnets", &k, &got, &one), SELECT_OK);
	assert_non_null(json_get(got, "a/one"));
	assert_non_null(json_get(got, "b/both"));
	cJSON_Delete(got);
}

static void test_places(void **state)
{
	static const char text[] =
		"{\"a\":{\"b\":[{\"c\":1},{\"c\":2}],\"bc\":3,\"0.0.0.0/0\":{\"x\":4}}}";
	static const struct {
		const char *path;
		size_t depth;
		bool whole;
		double value; /* of a number found */
	} cases[] = {
		{ "", 0, true, 0 },
		{ "a", 1, true, 0 },
		{ "a.b[1].c", 4, true, 2 },
		{ "a.bc", 2, true, 3 },
		{ "a.b[2].c", 2, false, 0 },
		{ "a.bcd", 1, false, 0 },
		{ "a[\"0.0.0.0/0\"].x", 3, true, 4 },
		{ "z", 0, false, 0 },
	};
	auto_json cJSON *root = json_parse(text, strlen(text), NULL);
	size_t i, depth;
	bool whole;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const cJSON *v = source_find(root, cases[i].path, &depth, &whole);

		assert_int_equal(depth, cases[i].depth);
		assert_int_equal(whole, cases[i].whole);
		if (cases[i].value > 0)
			assert_true(v->valuedouble >= cases[i].value &&
				    v->valuedouble <= cases[i].value);
	}
}

static void test_words(void **state)
{
	(void)state;
	assert_true(source_is_file("-"));
	assert_true(source_is_file("a/b"));
	assert_true(source_is_file("lab.json"));
	assert_false(source_is_file("lab"));
	assert_false(source_is_file(".json"));
	assert_false(source_is_file("json"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
