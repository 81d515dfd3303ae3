/* SPDX-License-Identifier: MIT */
/* Tests of sandbox/bill.c, what is billed, and of cli/price.c, what it costs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/price.h"
#include "sandbox/bill.h"

static void assert_about(double got, double want)
{
	if (fabs(got - want) > 1e-9)
		fail_msg("%.12f instead of %.12f", got, want);
}

/* ids: BILL-1; kind: state; mutant: bill-init */
static void durations_are_rounded_up_with_their_init(void **state)
{
	(void)state;
	assert_int_equal(bill_ms(25006, 10077), 351); /* AWS's own example */
	assert_int_equal(bill_ms(100, 0), 1);
	assert_int_equal(bill_ms(101, 0), 2);
	assert_int_equal(bill_ms(50, 50), 1);
	assert_int_equal(bill_ms(0, 0), 1);
	assert_int_equal(bill_ms(90000000, 0), 900000);
}

/* ids: BILL-2; kind: state; mutant: bill-free-tier */
static void the_free_tier_comes_off(void **state)
{
	/* 3 million requests of 120 ms at 1,536 MB: AWS's pricing page says $2.73 */
	struct price b = price_make(3e6, 3e6 * 0.12 * 1.5);

	(void)state;
	assert_about(b.free_requests, 1e6);
	assert_about(b.free_gb_seconds, 4e5);
	assert_about(b.requests, 0.40);
	assert_about(b.duration, 140000 * 0.0000166667);
	assert_about(b.total, 0.40 + 140000 * 0.0000166667);
	assert_int_equal(lround(b.total * 100), 273);
	assert_about(b.total_without_free_tier, 0.60 + 540000 * 0.0000166667);
	/* all of it is free, and shows what it would cost */
	b = price_make(10, 0.5);
	assert_about(b.total, 0);
	assert_about(b.free_requests, 10);
	assert_about(b.free_gb_seconds, 0.5);
	assert_about(b.total_without_free_tier, 10 * 0.0000002 + 0.5 * 0.0000166667);
	b = price_make(0, 0);
	assert_about(b.total_without_free_tier, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations_are_rounded_up_with_their_init),
		cmocka_unit_test(the_free_tier_comes_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
