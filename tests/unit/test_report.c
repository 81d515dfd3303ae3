/* SPDX-License-Identifier: MIT */
/*
 * test_report - cli/report.c and cli/out.c: each form whole, and hostile names
 * in all of them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "cli/out.h"
#include "cli/report.h"
#include "lib/util.h"

static const char LABS[] =
	"[{\"lab\":\"shop-3fa21c\",\"suite\":\"shop\",\"started\":\"2026-01-02T03:04:05\",\"took_"
	"ms\":20,\"results\":["
	"{\"name\":\"a -> db tcp/80 open\",\"ok\":true,\"skipped\":false,"
	"\"expected\":{\"from\":\"a\",\"to\":\"db\",\"port\":\"tcp/80\",\"result\":\"open\"},"
	"\"got\":{\"result\":\"open\",\"took_ms\":0.4},\"tries\":1,\"why\":null,\"took_ms\":0.4},"
	"{\"name\":\"plain can't reach the "
	"database\",\"named\":true,\"ok\":false,\"skipped\":false,"
	"\"message\":\"open instead of timeout\","
	"\"expected\":{\"from\":\"plain\",\"to\":\"db\",\"port\":\"tcp/"
	"5432\",\"result\":\"timeout\"},"
	"\"got\":{\"result\":\"open\",\"seen_as\":\"192.0.2.10\",\"seen_by\":\"db\",\"took_ms\":0."
	"4},"
	"\"tries\":1,\"why\":[{\"result\":\"open\",\"decided_by\":null,\"allowed_by\":{"
	"\"code\":null,\"component\":\"main/db\",\"kind\":\"security_group\",\"detail\":"
	"\"ingress rule 1: tcp 5432 from 0.0.0.0/0\",\"file\":\"lab.json\",\"line\":31,"
	"\"column\":17},\"path\":\"plain > service > internet > igw main > db\"}],"
	"\"took_ms\":0.4},"
	"{\"name\":\"answers\",\"named\":true,\"ok\":false,\"skipped\":false,"
	"\"message\":\"the response differs\","
	"\"expected\":{\"invoke\":\"fn\",\"payload\":{\"it\":\"it's\"},\"returns\":{\"a\":1}},"
	"\"got\":{\"status\":200,\"error\":null,\"response\":{\"a\":2}},\"tries\":1,\"why\":null,"
	"\"took_ms\":3},"
	"{\"name\":\"later\",\"ok\":true,\"skipped\":true,\"expected\":{\"from\":\"a\",\"to\":"
	"\"b\","
	"\"port\":\"icmp\",\"result\":\"open\"},\"got\":null,\"tries\":0,\"why\":null,\"took_ms\":"
	"0}]}]";

static cJSON *labs_of(const char *text)
{
	cJSON *labs = json_parse(text, strlen(text), NULL), *lab;

	assert_non_null(labs);
	cJSON_ArrayForEach(lab, labs)
		report_count(lab);
	return labs;
}

static void test_text(void **state)
{
	auto_json cJSON *labs = labs_of(LABS);
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	report_text(labs->child, false, false, &b);
	assert_string_equal(
		buf_str(&b),
		"ok      a -> db tcp/80 open\n"
		"not ok  plain can't reach the database   plain -> db tcp/5432\n"
		"        expected  timeout\n"
		"        got       open in 0.4 ms; db saw 192.0.2.10\n"
		"        path      plain > service > internet > igw main > db\n"
		"        allowed   security group main.db, ingress rule 1 (lab.json:31:17): "
		"tcp 5432 from 0.0.0.0/0\n"
		"        again     vpclab probe shop-3fa21c plain db tcp/5432\n"
		"not ok  answers   invoke fn\n"
		"        expected  returns {\"a\":1}\n"
		"        got       status 200, response {\"a\":2}\n"
		"        again     vpclab invoke shop-3fa21c fn --payload '{\"it\":\"it'\\''s\"}'\n"
		"skipped later\n"
		"shop-3fa21c: 1 passed, 2 failed, 1 skipped in 20 ms\n");
}

static const char OVER_TIME[] =
	"[{\"lab\":\"shop-3fa21c\",\"suite\":\"shop\",\"took_ms\":20,\"results\":["
	"{\"name\":\"scenario s: step 1 connect c: a -> b tcp/80\",\"scenario\":\"s\",\"step\":1,"
	"\"file\":\"the shop.json\",\"ok\":true,\"skipped\":false,\"took_ms\":1},"
	"{\"name\":\"scenario s: step 2 connection c is alive\",\"scenario\":\"s\",\"step\":2,"
	"\"file\":\"the shop.json\",\"ok\":false,\"skipped\":false,"
	"\"message\":\"silent instead of alive\","
	"\"expected\":{\"connection\":\"c\",\"result\":\"alive\"},"
	"\"got\":{\"connection\":\"c\",\"result\":\"silent\",\"took_ms\":1000},\"tries\":1,"
	"\"took_ms\":1001},"
	"{\"name\":\"scenario s: step 3 advance 9 s\",\"scenario\":\"s\",\"step\":3,"
	"\"file\":\"the shop.json\",\"ok\":true,\"skipped\":true,\"message\":\"step 2 failed\","
	"\"expected\":null,\"got\":null,\"tries\":0,\"took_ms\":0}]}]";

static void test_scenarios(void **state)
{
	auto_json cJSON *labs = labs_of(OVER_TIME);
	auto_buf struct buf text = BUF_INIT, tap = BUF_INIT, junit = BUF_INIT;

	(void)state;
	report_text(labs->child, false, false, &text);
	assert_string_equal(buf_str(&text),
			    "ok      scenario s: step 1 connect c: a -> b tcp/80\n"
			    "not ok  scenario s: step 2 connection c is alive\n"
			    "        expected  alive\n"
			    "        got       silent in 1.0 s\n"
			    "        again     vpclab test 'the shop.json' --filter 'scenario s'\n"
			    "skipped scenario s: step 3 advance 9 s   step 2 failed\n"
			    "shop-3fa21c: 1 passed, 1 failed, 1 skipped in 20 ms\n");
	report_tap(labs, &tap);
	assert_string_equal(buf_str(&tap),
			    "TAP version 14\n1..3\n"
			    "ok 1 - scenario s: step 1 connect c: a -> b tcp/80\n"
			    "not ok 2 - scenario s: step 2 connection c is alive\n"
			    "  ---\n"
			    "  message: \"silent instead of alive\"\n"
			    "  expected: \"alive\"\n"
			    "  got: \"silent in 1.0 s\"\n"
			    "  again: \"vpclab test 'the shop.json' --filter 'scenario s'\"\n"
			    "  duration_ms: 1001.000\n"
			    "  ...\n"
			    "ok 3 - scenario s: step 3 advance 9 s # SKIP step 2 failed\n");
	report_junit(labs, &junit);
	assert_non_null(strstr(buf_str(&junit),
			       "<testcase name=\"scenario s: step 3 advance 9 s\" "
			       "classname=\"shop\" time=\"0.000\">"
			       "<skipped message=\"step 2 failed\"/></testcase>\n"));
	assert_non_null(
		strstr(buf_str(&junit),
		       "<failure message=\"silent instead of alive\" type=\"expectation\">"));
}

static void test_quiet_text(void **state)
{
	auto_json cJSON *labs = labs_of(LABS);
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	report_text(labs->child, true, true, &b);
	assert_null(strstr(buf_str(&b), "tcp/80"));
	assert_null(strstr(buf_str(&b), "passed"));
	assert_non_null(strstr(buf_str(&b), "\x1b[31mnot ok \x1b[0m plain"));
}

static void test_tap(void **state)
{
	auto_json cJSON *labs = labs_of(LABS);
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	report_tap(labs, &b);
	assert_string_equal(buf_str(&b), "TAP version 14\n"
					 "1..4\n"
					 "ok 1 - a -> db tcp/80 open\n"
					 "not ok 2 - plain can't reach the database\n"
					 "  ---\n"
					 "  message: \"open instead of timeout\"\n"
					 "  expected: \"timeout\"\n"
					 "  got: \"open in 0.4 ms; db saw 192.0.2.10\"\n"
					 "  path: \"plain > service > internet > igw main > db\"\n"
					 "  allowed: \"security group main.db, ingress rule 1 "
					 "(lab.json:31:17): tcp 5432 from 0.0.0.0/0\"\n"
					 "  again: \"vpclab probe shop-3fa21c plain db tcp/5432\"\n"
					 "  duration_ms: 0.400\n"
					 "  ...\n"
					 "not ok 3 - answers\n"
					 "  ---\n"
					 "  message: \"the response differs\"\n"
					 "  expected: \"returns {\\\"a\\\":1}\"\n"
					 "  got: \"status 200, response {\\\"a\\\":2}\"\n"
					 "  again: \"vpclab invoke shop-3fa21c fn --payload "
					 "'{\\\"it\\\":\\\"it'\\\\''s\\\"}'\"\n"
					 "  duration_ms: 3.000\n"
					 "  ...\n"
					 "ok 4 - later # SKIP\n");
}

static void test_junit(void **state)
{
	auto_json cJSON *labs = labs_of(LABS);
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	report_junit(labs, &b);
	assert_string_equal(
		buf_str(&b),
		"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		"<testsuites>\n"
		"  <testsuite name=\"shop\" package=\"shop\" id=\"0\" "
		"timestamp=\"2026-01-02T03:04:05\" hostname=\"localhost\" tests=\"4\" "
		"failures=\"2\" "
		"errors=\"0\" skipped=\"1\" time=\"0.020\">\n"
		"    <properties><property name=\"lab\" value=\"shop-3fa21c\"/></properties>\n"
		"    <testcase name=\"a -&gt; db tcp/80 open\" classname=\"shop\" "
		"time=\"0.000\"/>\n"
		"    <testcase name=\"plain can't reach the database\" classname=\"shop\" "
		"time=\"0.000\">"
		"<failure message=\"open instead of timeout\" type=\"expectation\">        "
		"expected  timeout&#10;"
		"        got       open in 0.4 ms; db saw 192.0.2.10&#10;"
		"        path      plain &gt; service &gt; internet &gt; igw main &gt; db&#10;"
		"        allowed   security group main.db, ingress rule 1 (lab.json:31:17): "
		"tcp 5432 from 0.0.0.0/0&#10;"
		"        again     vpclab probe shop-3fa21c plain db "
		"tcp/5432&#10;</failure></testcase>\n"
		"    <testcase name=\"answers\" classname=\"shop\" time=\"0.003\">"
		"<failure message=\"the response differs\" type=\"expectation\">        expected  "
		"returns "
		"{&quot;a&quot;:1}&#10;"
		"        got       status 200, response {&quot;a&quot;:2}&#10;"
		"        again     vpclab invoke shop-3fa21c fn --payload "
		"'{&quot;it&quot;:&quot;it'\\''s&quot;}'"
		"&#10;</failure></testcase>\n"
		"    <testcase name=\"later\" classname=\"shop\" "
		"time=\"0.000\"><skipped/></testcase>\n"
		"    <system-out/>\n"
		"    <system-err/>\n"
		"  </testsuite>\n"
		"</testsuites>\n");
}

/* a model that packets contradict is not hidden, and what stops it is named with its code */
static void test_denied_and_contradicted(void **state)
{
	static const char text[] =
		"[{\"lab\":\"l\",\"suite\":\"l\",\"results\":[{\"name\":\"x\",\"ok\":false,"
		"\"expected\":{"
		"\"from\":\"fn\",\"to\":\"b\",\"port\":\"icmp\",\"result\":\"open\"},\"got\":{"
		"\"result\":"
		"\"mixed\",\"took_ms\":1,\"parts\":[{\"result\":\"timeout\",\"interface\":\"s1\","
		"\"took_ms\":"
		"1},{\"result\":\"open\",\"interface\":\"s2\",\"took_ms\":1}]},\"why\":[{"
		"\"interface\":\"s1\","
		"\"result\":\"timeout\",\"path\":\"fn\",\"decided_by\":{\"code\":\"SG_HAS_NO_"
		"RULES\","
		"\"component\":\"v/g\",\"kind\":\"security_group\",\"detail\":\"no egress rules\","
		"\"file\":\"f.json\",\"line\":3,\"column\":4}},{\"interface\":\"s2\",\"result\":"
		"\"timeout\",\"path\":\"fn > b\",\"decided_by\":{\"code\":null,\"component\":\"b\","
		"\"kind\":\"instance\",\"detail\":\"it does not forward\",\"answer\":true}}]}]}]";
	auto_json cJSON *labs = labs_of(text);
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	report_text(labs->child, false, true, &b);
	assert_string_equal(buf_str(&b),
			    "not ok  x\n"
			    "        expected  open\n"
			    "        got       mixed in 1.0 ms\n"
			    "          from    s1: timeout in 1.0 ms\n"
			    "          from    s2: open in 1.0 ms\n"
			    "        path      s1: fn\n"
			    "        denied    SG_HAS_NO_RULES: security group v.g (f.json:3:4): "
			    "no egress rules\n"
			    "        path      s2: fn > b\n"
			    "        model     says timeout; what was measured differs\n"
			    "        denied    instance b: it does not forward (of the answer)\n"
			    "        again     vpclab probe l fn b icmp\n");
}

static void test_several_labs(void **state)
{
	static const char text[] =
		"[{\"lab\":\"a-1\",\"suite\":\"a\",\"results\":[{\"name\":\"x\","
		"\"ok\":true}]},{\"lab\":\"b-1\",\"suite\":\"b\",\"results\":[{\"name\":\"y\","
		"\"ok\":true}]}]";
	auto_json cJSON *labs = labs_of(text), *doc = report_json(labs);
	auto_buf struct buf b = BUF_INIT;

	(void)state;
	report_tap(labs, &b);
	assert_string_equal(buf_str(&b), "TAP version 14\n1..2\nok 1 - a: x\nok 2 - b: y\n");
	assert_int_equal(cJSON_GetArraySize(json_get(doc, "labs")), 2);
	assert_true(json_num(doc, "passed", 0) > 1.9);
}

/* a name that would colour the terminal, end a tag, or comment out a verdict */
static void test_hostile_names(void **state)
{
	static const char evil[] =
		"[{\"lab\":\"l\",\"suite\":\"s\",\"results\":[{\"name\":"
		"\"\\u001b[2J\\u009b<&\\\"# SKIP \\\\ \\n \\ufffe\",\"ok\":false,\"expected\":{"
		"\"from\":\"a\",\"to\":\"b\",\"port\":\"icmp\",\"result\":\"open\"},"
		"\"got\":{\"result\":\"timeout\",\"detail\":\"\\u001b]0;x\\u0007\"}}]}]";
	auto_json cJSON *labs = labs_of(evil);
	auto_buf struct buf text = BUF_INIT, tap = BUF_INIT, xml = BUF_INIT;
	const struct buf *all[] = { &text, &tap, &xml };
	size_t i, j;

	(void)state;
	report_text(labs->child, false, false, &text);
	report_tap(labs, &tap);
	report_junit(labs, &xml);
	assert_non_null(strstr(buf_str(&tap), "not ok 1 -  [2J"));
	assert_non_null(strstr(buf_str(&tap), "\\# SKIP \\\\"));
	assert_non_null(strstr(buf_str(&xml), "\\x1b[2J\\xc2\\x9b&lt;&amp;&quot;# SKIP \\ &#10;"));
	assert_null(strstr(buf_str(&xml), "\xef\xbf\xbe"));
	for (i = 0; i < ARRAY_SIZE(all); i++)
		for (j = 0; j < all[i]->len; j++)
			assert_true((unsigned char)all[i]->s[j] >= 0x20 || all[i]->s[j] == '\n');
}

static void test_escape(void **state)
{
	static const struct {
		const char *in, *out, *lines; /* lines NULL: as out */
	} cases[] = {
		{ "plain", "plain", NULL },
		{ "gr\xc3\xb6\xc3\x9f"
		  "e \xf0\x9f\x98\x80",
		  "gr\xc3\xb6\xc3\x9f"
		  "e \xf0\x9f\x98\x80",
		  NULL },
		{ "a\nb\tc", "a\\x0ab\\x09c", "a\nb\tc" },
		{ "\x1b[31m", "\\x1b[31m", NULL },
		{ "\x7f\r", "\\x7f\\x0d", NULL },
		{ "\xc2\x9b"
		  "31m",
		  "\\xc2\\x9b31m", NULL }, /* C1: CSI */
		{ "\xe2\x80\xae"
		  "evil",
		  "\\xe2\\x80\\xaeevil", NULL }, /* right to left */
		{ "\xff\xc0\xaf\xed\xa0\x80", "\\xff\\xc0\\xaf\\xed\\xa0\\x80", NULL },
		{ "\xc3", "\\xc3", NULL },
		{ "\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", NULL }, /* past U+10FFFF */
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_buf struct buf b = BUF_INIT, l = BUF_INIT;

		out_escape(&b, cases[i].in, strlen(cases[i].in), false);
		out_escape(&l, cases[i].in, strlen(cases[i].in), true);
		assert_string_equal(buf_str(&b), cases[i].out);
		assert_string_equal(buf_str(&l), cases[i].lines ? cases[i].lines : cases[i].out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),	     cmocka_unit_test(test_scenarios),
		cmocka_unit_test(test_quiet_text),   cmocka_unit_test(test_tap),
		cmocka_unit_test(test_junit),	     cmocka_unit_test(test_denied_and_contradicted),
		cmocka_unit_test(test_several_labs), cmocka_unit_test(test_hostile_names),
		cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
