/* SPDX-License-Identifier: MIT */
/*
 * test_err - lib/err.c: setting, wrapping, cutting, and the table of codes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "lib/err.h"

static void test_set(void **state)
{
	struct err e = { .path = "old" };

	(void)state;
	assert_int_equal(err_set(&e, ERR_KERNEL, EBUSY, "move %s", "x"), -EBUSY);
	assert_int_equal(e.code, ERR_KERNEL);
	assert_int_equal(e.errnum, EBUSY);
	assert_string_equal(e.msg, "move x");
	assert_string_equal(e.path, "");
}

static void test_sign_and_zero(void **state)
{
	struct err e;

	(void)state;
	/* callers pass -errno as it came, and 0 where no errno fits */
	assert_int_equal(err_set(&e, ERR_KERNEL, -ENOENT, "a"), -ENOENT);
	assert_int_equal(e.errnum, ENOENT);
	assert_int_equal(err_set(&e, ERR_INVALID_LAB, 0, "a"), -EINVAL);
	assert_int_equal(err_set(NULL, ERR_KERNEL, EPERM, "a"), -EPERM);
}

static void test_wrap(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, ERR_KERNEL, EBUSY, "busy");
	assert_int_equal(err_wrap(&e, "link %d", 3), -EBUSY);
	assert_int_equal(err_wrap(&e, "attach"), -EBUSY);
	assert_string_equal(e.msg, "attach: link 3: busy");
	assert_int_equal(e.code, ERR_KERNEL);
}

static void test_wrap_cuts_the_tail(void **state)
{
	struct err e;
	char tail[sizeof(e.msg)], head[sizeof(e.msg) * 2];

	(void)state;
	memset(tail, 't', sizeof(tail) - 1);
	tail[sizeof(tail) - 1] = 0;
	memset(head, 'h', sizeof(head) - 1);
	head[sizeof(head) - 1] = 0;
	err_set(&e, ERR_KERNEL, EBUSY, "%s", tail);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	err_wrap(&e, "context");
	assert_int_equal(strncmp(e.msg, "context: ttt", 12), 0);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	/* a context longer than the room leaves a terminated text, too */
	err_wrap(&e, "%s", head);
	assert_int_equal(strlen(e.msg), sizeof(e.msg) - 1);
	assert_int_equal(e.msg[sizeof(e.msg) - 2], 'h');
}

static void test_path(void **state)
{
	struct err e;

	(void)state;
	err_set(&e, ERR_INVALID_LAB, 0, "x");
	err_path(&e, "vpcs.%s", "main");
	assert_string_equal(e.path, "vpcs.main");
	err_path(NULL, "nothing");
}

static void test_codes(void **state)
{
	(void)state;
	for (int c = ERR_NONE + 1; c <= ERR_UNAVAILABLE; c++) {
		enum err_code code = (enum err_code)c;

		assert_int_equal(err_code_from_name(err_code_name(code)), code);
		assert_true(err_code_http(code) >= 400 && err_code_http(code) < 600);
		assert_true(err_code_exit(code) >= 2 && err_code_exit(code) <= 5);
	}
	assert_int_equal(err_code_from_name("Nothing.Like.This"), ERR_INTERNAL);
	assert_int_equal(err_code_from_name(NULL), ERR_INTERNAL);
	assert_string_equal(err_code_name((enum err_code)9999), "InternalError");
	assert_int_equal(err_code_exit(ERR_NO_LAB), 3);
	assert_int_equal(err_code_exit(ERR_UNSUPPORTED), 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_set),  cmocka_unit_test(test_sign_and_zero),
		cmocka_unit_test(test_wrap), cmocka_unit_test(test_wrap_cuts_the_tail),
		cmocka_unit_test(test_path), cmocka_unit_test(test_codes),
	};

	return cmocka_run_group_tests_name("err", tests, NULL, NULL);
}
