/* SPDX-License-Identifier: MIT */
/* Tests of sandbox/throttle.c: buckets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sandbox/throttle.h"

static int take_all(struct bucket *b, double most, double ms, int64_t now_ms)
{
	int n = 0;

	while (n < 5000 && bucket_take(b, most, ms, now_ms))
		n++;
	return n;
}

/* ids: CC-1; kind: state */
static void a_bucket_refills_steadily_and_keeps_no_more(void **state)
{
	struct bucket b = { 0 };

	(void)state;
	assert_int_equal(take_all(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 5000), THROTTLE_RAMP);
	assert_int_equal(take_all(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 5000), 0);
	assert_int_equal(take_all(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 5100), 10);
	/* in steps too small for a whole one, nothing gets lost */
	for (int64_t ms = 5101; ms < 5110; ms++)
		assert_false(bucket_take(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, ms));
	assert_true(bucket_take(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 5111));
	/* however long nothing happens */
	assert_int_equal(take_all(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 5000000), THROTTLE_RAMP);
	/* and a clock that goes back gives nothing, nor takes */
	assert_int_equal(take_all(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 4000000), 0);
	assert_int_equal(take_all(&b, THROTTLE_RAMP, THROTTLE_RAMP_MS, 4001000), 100);
	/* nothing fits into none */
	b = (struct bucket){ 0 };
	assert_false(bucket_take(&b, 0, 1000, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_bucket_refills_steadily_and_keeps_no_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
