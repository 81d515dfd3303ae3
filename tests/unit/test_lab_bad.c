/* SPDX-License-Identifier: MIT */
/*
 * test_lab_bad - every file of tests/bad is refused with exactly the lines that
 * its .expect holds, in that order; those named unsupported-* with exit 4, the
 * others with exit 2.  And every example is accepted.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/util.h"
#include "topology/lab.h"

static char *faults_of(const char *path, int *ret_exit, bool *ret_lab)
{
	auto_free char *text = NULL;
	struct buf lines = BUF_INIT;
	struct issues issues;
	struct lab *lab;
	size_t size;

	assert_int_equal(read_file(path, LAB_SIZE_MAX, &text, &size), 0);
	lab = lab_parse(text, size, "F", NULL, &issues);
	for (size_t i = 0; i < issues.n_errors; i++) {
		auto_free char *line = issue_line(&issues.errors[i]);

		assert_non_null(line);
		buf_printf(&lines, "%s\n", line + 2); /* without "F:" */
	}
	*ret_exit = issues_exit(&issues);
	*ret_lab = lab != NULL;
	issues_done(&issues);
	(void)lab_free(lab);
	return buf_steal(&lines);
}

static bool as_expected(const char *path)
{
	const char *name = strrchr(path, '/') + 1;
	int wanted = strncmp(name, "unsupported-", 12) == 0 ? 4 : 2, status;
	auto_free char *expected = NULL, *got = NULL, *expect_path = NULL;
	size_t size;
	bool lab;

	assert_true(asprintf(&expect_path, "%.*s.expect", (int)strlen(path) - 5, path) > 0);
	assert_int_equal(read_file(expect_path, 1 << 20, &expected, &size), 0);
	got = faults_of(path, &status, &lab);
	if (!lab && status == wanted && strcmp(got, expected) == 0)
		return true;
	print_error("%s: exit %d (expected %d)\n--- expected\n%s--- got\n%s", name, status, wanted,
		    expected, got);
	return false;
}

static void test_corpus(void **state)
{
	size_t wrong = 0;
	glob_t files;

	(void)state;
	assert_int_equal(glob("tests/bad/*.json", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= 40);
	for (size_t i = 0; i < files.gl_pathc; i++)
		wrong += !as_expected(files.gl_pathv[i]);
	globfree(&files);
	assert_int_equal(wrong, 0);
}

static void test_examples(void **state)
{
	glob_t files;

	(void)state;
	assert_int_equal(glob("topology/examples/*.json", 0, NULL, &files), 0);
	assert_true(files.gl_pathc >= 3);
	for (size_t i = 0; i < files.gl_pathc; i++) {
		int status;
		bool lab;
		auto_free char *got = faults_of(files.gl_pathv[i], &status, &lab);

		assert_string_equal(got, "");
		assert_true(lab && status == 0);
	}
	globfree(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_corpus),
		cmocka_unit_test(test_examples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
