/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/util.h"
#include "sandbox/async_policy.h"

static const struct async_limits usual = { 2, 21600, 1 };

/* ids: AS-1; mutant: async-retries, async-first-wait */
static void test_retries(void **state)
{
	struct async_event v = { .accepted_ms = 1000, .attempts = 1 };
	const struct async_limits fast = { 2, 21600, 100 };
	int64_t at = 0;

	(void)state;
	assert_int_equal(async_judge(&v, &usual, ASYNC_SUCCESS, 5000, &at), ASYNC_DONE);
	assert_int_equal(async_judge(&v, &usual, ASYNC_FUNCTION_ERROR, 5000, &at), ASYNC_AGAIN);
	assert_int_equal(at, 65000);
	v.attempts = 2;
	assert_int_equal(async_judge(&v, &usual, ASYNC_FUNCTION_ERROR, 5000, &at), ASYNC_AGAIN);
	assert_int_equal(at, 125000);
	assert_int_equal(async_judge(&v, &fast, ASYNC_FUNCTION_ERROR, 5000, &at), ASYNC_AGAIN);
	assert_int_equal(at, 6200);
	v.attempts = 3;
	assert_int_equal(async_judge(&v, &usual, ASYNC_FUNCTION_ERROR, 5000, &at), ASYNC_EXHAUSTED);
}

/* ids: AS-2, AS-7; mutant: async-age */
static void test_waiting(void **state)
{
	struct async_event v = { .accepted_ms = 0 };
	const struct async_limits brief = { 2, 60, 1 };
	static const int waits[] = { 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300 };
	int64_t at = 0;

	(void)state;
	for (unsigned n = 0; n < ARRAY_SIZE(waits); n++) {
		v.waits = n + 1;
		assert_int_equal(async_judge(&v, &usual, ASYNC_NOT_NOW, 7, &at), ASYNC_AGAIN);
		assert_int_equal(at, 7 + waits[n] * 1000);
	}
	v = (struct async_event){ .accepted_ms = 0, .waits = 1 };
	assert_int_equal(async_judge(&v, &brief, ASYNC_NOT_NOW, 59000, &at), ASYNC_AGAIN);
	assert_int_equal(async_judge(&v, &brief, ASYNC_NOT_NOW, 59001, &at), ASYNC_TOO_OLD);
	assert_int_equal(async_judge(&v, &usual, ASYNC_ZERO, 0, &at), ASYNC_REFUSED);
}

/* ids: AS-3 */
static void test_doubled(void **state)
{
	static const struct {
		double rate;
		unsigned of_100;
	} cases[] = { { 0, 0 }, { 0.25, 25 }, { 0.5, 50 }, { 0.999, 99 }, { 1, 100 } };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		unsigned n = 0;

		for (uint64_t k = 1; k <= 100; k++)
			n += async_is_doubled(cases[i].rate, k);
		assert_int_equal(n, cases[i].of_100);
	}
}

static void check_json(const char *text, const char *expected)
{
	auto_buf struct buf b = BUF_INIT;

	async_put_json(&b, text, strlen(text));
	assert_string_equal(buf_str(&b), expected);
}

static void test_json_on_a_line(void **state)
{
	(void)state;
	check_json("", "null");
	check_json("{\n  \"a\": 1,\r\n  \"b\": \"x\\ny\"\n}\n", "{  \"a\": 1,  \"b\": \"x\\ny\"}");
	check_json("no json\n", "\"no json\\n\"");
}

/* ids: AS-4, AS-6 */
static void test_documents(void **state)
{
	static const char response[] = "{\"errorMessage\":\"it's no & good\"}";
	const struct async_record r = {
		.id = "i",
		.arn = "a",
		.version = "$LATEST",
		.verdict = ASYNC_EXHAUSTED,
		.attempts = 3,
		.now_ms = 1700000000042,
		.payload = "[1]",
		.size = 3,
		.has_response = true,
		.failed = true,
		.response = response,
		.response_size = sizeof(response) - 1,
	};
	auto_buf struct buf b = BUF_INIT, form = BUF_INIT;
	struct async_letter l;

	(void)state;
	async_put_record(&b, &r);
	assert_string_equal(
		buf_str(&b),
		"{\"version\":\"1.0\",\"timestamp\":\"2023-11-14T22:13:20.042Z\","
		"\"requestContext\":"
		"{\"requestId\":\"i\",\"functionArn\":\"a\",\"condition\":\"RetriesExhausted\","
		"\"approximateInvokeCount\":3},\"requestPayload\":[1],\"responseContext\":"
		"{\"statusCode\":200,\"executedVersion\":\"$LATEST\",\"functionError\":"
		"\"Unhandled\"},"
		"\"responsePayload\":{\"errorMessage\":\"it's no & good\"}}");
	async_letter(&l, &r);
	assert_int_equal(l.code, 200);
	async_put_sqs(&form, "http://h/1/q", "[1]", 3, &l);
	assert_string_equal(buf_str(&form),
			    "Action=SendMessage&Version=2012-11-05&QueueUrl=http%3A%2F%2Fh%2F1%2Fq"
			    "&MessageBody=%5B1%5D"
			    "&MessageAttribute.1.Name=RequestID"
			    "&MessageAttribute.1.Value.DataType=String"
			    "&MessageAttribute.1.Value.StringValue=i"
			    "&MessageAttribute.2.Name=ErrorCode"
			    "&MessageAttribute.2.Value.DataType=Number"
			    "&MessageAttribute.2.Value.StringValue=200"
			    "&MessageAttribute.3.Name=ErrorMessage"
			    "&MessageAttribute.3.Value.DataType=String"
			    "&MessageAttribute.3.Value.StringValue=it%27s%20no%20%26%20good");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_retries),	  cmocka_unit_test(test_waiting),
		cmocka_unit_test(test_doubled),	  cmocka_unit_test(test_json_on_a_line),
		cmocka_unit_test(test_documents),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
