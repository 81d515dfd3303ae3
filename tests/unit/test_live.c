/* SPDX-License-Identifier: MIT */
/*
 * test_live - cli/live.c: when model and kernel agree, and a trail in words.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/live.h"
#include "lib/util.h"

static bool agrees(const char *answer, const char *result)
{
	auto_json cJSON *a = json_parse(answer, strlen(answer), NULL);
	auto_json cJSON *r = json_parse(result, strlen(result), NULL);

	assert_non_null(a);
	assert_non_null(r);
	return live_agrees(a, r);
}

static void test_agreement(void **state)
{
	(void)state;
	assert_true(agrees("{\"result\":\"open\",\"decided_by\":null}", "{\"result\":\"open\"}"));
	assert_false(agrees("{\"result\":\"open\"}", "{\"result\":\"timeout\"}"));
	/* silence for another reason is another answer */
	assert_true(agrees("{\"result\":\"timeout\",\"decided_by\":{\"code\":\"A\"}}",
			   "{\"result\":\"timeout\",\"dropped\":{\"code\":\"A\"}}"));
	assert_false(agrees("{\"result\":\"timeout\",\"decided_by\":{\"code\":\"A\"}}",
			    "{\"result\":\"timeout\",\"dropped\":{\"code\":\"B\"}}"));
	/* what only the kernel knows has no code */
	assert_true(agrees("{\"result\":\"timeout\",\"decided_by\":{\"code\":null}}",
			   "{\"result\":\"timeout\",\"dropped\":null}"));
	assert_true(agrees("{\"parts\":[{\"result\":\"open\"},{\"result\":\"timeout\"}]}",
			   "{\"parts\":[{\"result\":\"open\"},{\"result\":\"timeout\"}]}"));
	assert_false(agrees("{\"parts\":[{\"result\":\"open\"},{\"result\":\"timeout\"}]}",
			    "{\"parts\":[{\"result\":\"open\"},{\"result\":\"open\"}]}"));
	assert_false(agrees("{\"parts\":[{\"result\":\"open\"}]}",
			    "{\"parts\":[{\"result\":\"open\"},{\"result\":\"open\"}]}"));
}

static const char RESULT[] =
	"{\"result\":\"open\",\"took_ms\":0.5,\"to\":\"db\",\"seen_as\":\"10.0.0.4\",\"trail\":{"
	"\"delivered_to\":\"db.1\",\"lost\":false,\"hops\":["
	"{\"namespace\":\"router.main\",\"answer\":false,\"interface_in\":\"eni-1\","
	"\"interface_out\":\"eni-2\","
	"\"in\":{\"saddr\":\"10.0.0.4\",\"sport\":1000,\"daddr\":\"203.0.113.5\",\"dport\":80},"
	"\"out\":{\"saddr\":\"10.0.0.4\",\"sport\":1000,\"daddr\":\"10.0.1.4\",\"dport\":80},"
	"\"rules\":[{\"chain\":\"pre\",\"rule\":\"goto from_eni\",\"verdict\":\"goto from_eni\"},"
	"{\"chain\":\"from_eni\",\"rule\":\"meta mark set 0x1\",\"verdict\":\"continue\"},"
	"{\"chain\":\"lost\",\"rule\":\"policy accept\",\"verdict\":\"accept\"},"
	"{\"chain\":\"g1_in\",\"rule\":\"accept\",\"verdict\":\"accept\",\"file\":\"a.json\","
	"\"line\":3,\"column\":7}],\"verdict\":\"accept\"},"
	"{\"namespace\":\"router.main\",\"answer\":true,\"interface_in\":\"eni-2\","
	"\"interface_out\":null,"
	"\"in\":{\"saddr\":\"10.0.1.4\",\"sport\":80,\"daddr\":\"10.0.0.4\",\"dport\":1000},"
	"\"out\":null,\"rules\":[{\"chain\":\"out\",\"rule\":\"policy "
	"drop\",\"verdict\":\"drop\"}],"
	"\"verdict\":\"drop\"}]}}";

static void says(bool all, const char *want)
{
	auto_json cJSON *r = json_parse(RESULT, strlen(RESULT), NULL);
	auto_buf struct buf b = BUF_INIT;

	live_words(r, all, &b);
	assert_string_equal(buf_str(&b), want);
}

static void test_words(void **state)
{
	(void)state;
	says(false, "measured  open in 0.5 ms; db saw 10.0.0.4\n"
		    "router.main, in by eni-1: 10.0.0.4:1000 > 203.0.113.5:80\n"
		    "  g1_in        accept  (a.json:3:7)\n"
		    "  out by eni-2 as 10.0.0.4:1000 > 10.0.1.4:80\n"
		    "delivered to db.1\n"
		    "router.main (answer), in by eni-2: 10.0.1.4:80 > 10.0.0.4:1000\n"
		    "  out          policy drop\n"
		    "  dropped\n");
	says(true, "measured  open in 0.5 ms; db saw 10.0.0.4\n"
		   "router.main, in by eni-1: 10.0.0.4:1000 > 203.0.113.5:80\n"
		   "  pre          goto from_eni\n"
		   "  from_eni     meta mark set 0x1\n"
		   "  lost         policy accept\n"
		   "  g1_in        accept  (a.json:3:7)\n"
		   "  out by eni-2 as 10.0.0.4:1000 > 10.0.1.4:80\n"
		   "delivered to db.1\n"
		   "router.main (answer), in by eni-2: 10.0.1.4:80 > 10.0.0.4:1000\n"
		   "  out          policy drop\n"
		   "  dropped\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_agreement),
		cmocka_unit_test(test_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
