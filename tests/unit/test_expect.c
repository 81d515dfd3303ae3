/* SPDX-License-Identifier: MIT */
/*
 * test_expect - cli/expect.c: the cases of a lab, the probes that are asked, and
 * what holds for which answer.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "cli/expect.h"
#include "lib/buf.h"
#include "lib/util.h"

static const char LAB[] =
	"{\"version\":1,\"lab\":\"l\","
	"\"internet\":{\"hosts\":{\"api\":{\"ip\":\"198.51.100.10\",\"serve\":[\"tcp/443\"]}}},"
	"\"roles\":{\"fn\":{\"managed_policies\":[\"AWSLambdaVPCAccessExecutionRole\"]}},"
	"\"vpcs\":{\"main\":{\"cidr_block\":\"10.0.0.0/16\",\"internet_gateway\":true,"
	"\"subnets\":{\"one\":{\"cidr_block\":\"10.0.1.0/24\",\"route_table\":\"public\"},"
	"\"two\":{\"cidr_block\":\"10.0.2.0/24\"}},"
	"\"route_tables\":{\"public\":{\"routes\":{\"0.0.0.0/0\":\"internet_gateway\"}}},"
	"\"nat_gateways\":{\"nat\":{\"subnet\":\"one\",\"elastic_ip\":\"203.0.113.10\"}},"
	"\"security_groups\":{\"g\":{}},"
	"\"instances\":{\"db\":{\"subnet\":\"two\",\"serve\":[\"tcp/80\"]},"
	"\"web\":{\"subnet\":\"one\",\"elastic_ip\":\"203.0.113.11\",\"serve\":[\"tcp/80\"]}}}},"
	"\"functions\":{\"plain\":{\"runtime\":\"exec\",\"command\":[\"cat\"]},"
	"\"in\":{\"runtime\":\"exec\",\"command\":[\"cat\"],\"role\":\"fn\","
	"\"vpc_config\":{\"subnets\":[\"one\",\"two\"],\"security_groups\":[\"g\"]}}},"
	"\"expect\":[%s]}";

static const char SHOW[] =
	"{\"vpcs\":{\"main\":{"
	"\"instances\":{\"db\":{\"private_ip\":\"10.0.2.4\",\"private_ips\":[\"10.0.2.4\"],"
	"\"public_ip\":null},\"web\":{\"private_ip\":\"10.0.1.4\",\"private_ips\":[\"10.0.1.4\","
	"\"10.0.1.5\"],\"public_ip\":\"203.0.113.11\"}},"
	"\"nat_gateways\":{\"nat\":{\"private_ip\":\"10.0.1.9\",\"public_ip\":\"203.0.113.10\","
	"\"secondary_ips\":[\"203.0.113.20\"]}},"
	"\"network_interfaces\":{\"eni-1\":{\"private_ip\":\"10.0.1.7\"},"
	"\"eni-2\":{\"private_ip\":\"10.0.2.7\"}}}},"
	"\"functions\":{\"in\":{\"network_interfaces\":[\"eni-1\",\"eni-2\"]}}}";

struct world {
	struct lab *lab;
	struct issues issues;
	cJSON *show;
	struct expect_case *cases;
	size_t n;
};

static void open_world(struct world *w, const char *expects)
{
	char *text = NULL;

	assert_true(asprintf(&text, LAB, expects) > 0);
	w->lab = lab_parse(text, strlen(text), "t.json", NULL, &w->issues);
	if (!w->lab)
		print_error("%s: %s\n", w->issues.errors[0].path, w->issues.errors[0].msg);
	assert_non_null(w->lab);
	free(text);
	w->show = json_parse(SHOW, strlen(SHOW), NULL);
	assert_non_null(w->show);
	assert_int_equal(expect_cases(w->lab, w->show, &w->cases, &w->n), 0);
}

static void close_world(struct world *w)
{
	expect_cases_free(w->cases, w->n);
	cJSON_Delete(w->show);
	lab_free(w->lab);
	issues_done(&w->issues);
}

#define FROM_TO(more) "{\"from\":\"plain\",\"to\":\"db\",\"port\":\"tcp/80\"," more "}"

/* expectation, answer, and why it doesn't hold ("": it does) */
static void test_probes(void **state)
{
	static const struct {
		const char *expect, *answer, *why;
	} cases[] = {
		{ FROM_TO("\"result\":\"open\""), "{\"result\":\"open\"}", "" },
		{ FROM_TO("\"result\":\"open\""), "{\"result\":\"timeout\"}",
		  "timeout instead of open" },
		{ FROM_TO("\"result\":\"timeout\""), "{\"result\":\"inconclusive\"}",
		  "inconclusive instead of timeout" },
		{ FROM_TO("\"result\":\"open\""),
		  "{\"error\":{\"code\":\"X\",\"message\":\"no such node\"}}", "no such node" },
		{ FROM_TO("\"result\":\"open\""), "{}", "nothing instead of open" },
		{ FROM_TO("\"result\":\"open\",\"seen_as\":\"service\""),
		  "{\"result\":\"open\",\"seen_as\":\"192.0.2.10\"}", "" },
		{ FROM_TO("\"result\":\"open\",\"seen_as\":\"service\""),
		  "{\"result\":\"open\",\"seen_as\":\"10.0.0.9\"}",
		  "the target saw 10.0.0.9 instead of service" },
		{ FROM_TO("\"result\":\"open\",\"seen_as\":\"10.0.0.0/16\""),
		  "{\"result\":\"open\",\"seen_as\":null}",
		  "the target told nobody's address, instead of 10.0.0.0/16" },
		{ FROM_TO("\"result\":\"timeout\",\"because\":\"ENI_SG_RULES_MISMATCH\""),
		  "{\"result\":\"timeout\",\"dropped\":{\"code\":\"ENI_SG_RULES_MISMATCH\"}}", "" },
		{ FROM_TO("\"result\":\"timeout\",\"because\":[\"SG_HAS_NO_RULES\","
			  "\"ENI_SG_RULES_MISMATCH\"]"),
		  "{\"result\":\"timeout\",\"dropped\":{\"code\":\"ENI_SG_RULES_MISMATCH\"}}", "" },
		{ FROM_TO("\"result\":\"timeout\",\"because\":\"ENI_SG_RULES_MISMATCH\""),
		  "{\"result\":\"timeout\",\"dropped\":{\"code\":\"NO_ROUTE_TO_DESTINATION\"}}",
		  "dropped by NO_ROUTE_TO_DESTINATION instead of ENI_SG_RULES_MISMATCH" },
		{ FROM_TO("\"result\":\"timeout\",\"because\":\"ENI_SG_RULES_MISMATCH\""),
		  "{\"result\":\"timeout\",\"dropped\":null}",
		  "dropped by nothing that was noted instead of ENI_SG_RULES_MISMATCH" },
		{ FROM_TO("\"result\":\"open\""),
		  "{\"result\":\"open\",\"parts\":["
		  "{\"interface\":\"one\",\"result\":\"open\"},"
		  "{\"interface\":\"two\",\"result\":\"open\"}]}",
		  "" },
		{ FROM_TO("\"result\":\"open\""),
		  "{\"result\":\"open\",\"parts\":["
		  "{\"interface\":\"one\",\"result\":\"open\"},"
		  "{\"interface\":\"two\",\"result\":\"timeout\"}]}",
		  "two: timeout instead of open" },
		{ FROM_TO("\"result\":\"open\""),
		  "{\"result\":\"timeout\",\"parts\":["
		  "{\"interface\":\"one\",\"result\":\"refused\"},"
		  "{\"interface\":\"two\",\"result\":\"timeout\"}]}",
		  "one: refused instead of open; two: timeout instead of open" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		auto_json cJSON *answer =
			json_parse(cases[i].answer, strlen(cases[i].answer), NULL);
		struct expect_verdict v;
		struct world w = { 0 };

		assert_non_null(answer);
		open_world(&w, cases[i].expect);
		assert_int_equal(w.n, 1);
		expect_judge_probe(w.lab, w.show, &w.cases[0], answer, &v);
		assert_string_equal(v.why, cases[i].why);
		assert_int_equal(v.ok, !*cases[i].why);
		assert_non_null(v.got);
		cJSON_Delete(v.got);
		close_world(&w);
	}
}

static void test_seen(void **state)
{
	static const struct {
		const char *word, *seen;
		bool is;
	} cases[] = {
		{ "10.0.0.4", "10.0.0.4", true },
		{ "10.0.0.4", "10.0.0.5", false },
		{ "10.0.0.0/24", "10.0.0.5", true },
		{ "10.0.0.0/24", "10.0.1.5", false },
		{ "web", "10.0.1.4", true },
		{ "web", "10.0.1.5", true },
		{ "web", "203.0.113.11", true },
		{ "web", "10.0.2.4", false },
		{ "api", "198.51.100.10", true },
		{ "api", "198.51.100.11", false },
		{ "in", "10.0.1.7", true },
		{ "in", "10.0.2.7", true },
		{ "in", "10.0.1.4", false },
		{ "plain", "192.0.2.10", true },
		{ "plain", "10.0.1.7", false },
		{ "service", "192.0.2.10", true },
		{ "service", "192.0.2.11", false },
		{ "nat_gateway:main/nat", "203.0.113.10", true },
		{ "nat_gateway:main/nat", "203.0.113.20", true },
		{ "nat_gateway:main/nat", "10.0.1.9", true },
		{ "nat_gateway:main/nat", "203.0.113.11", false },
		{ "nat_gateway:main/other", "203.0.113.10", false },
		{ "nobody", "10.0.0.1", false },
		{ "web", NULL, false },
		{ "web", "x", false },
	};
	struct world w = { 0 };
	size_t i;

	(void)state;
	open_world(&w, "");
	for (i = 0; i < ARRAY_SIZE(cases); i++)
		assert_int_equal(expect_is_seen(w.lab, w.show, cases[i].word, cases[i].seen),
				 cases[i].is);
	close_world(&w);
}

static void check_case(const struct expect_case *k, const char *from, const char *result,
		       const char *address)
{
	assert_string_equal(k->from, from);
	if (result)
		assert_string_equal(k->result, result);
	else
		assert_null(k->result);
	if (address)
		assert_string_equal(k->address, address);
	else
		assert_null(k->address);
}

/* the named sources, then every other node but the target, each a case */
static void test_only_from(void **state)
{
	auto_json cJSON *open = json_parse("{\"result\":\"open\"}", 17, NULL);
	auto_json cJSON *refused = json_parse("{\"result\":\"refused\"}", 20, NULL);
	auto_json cJSON *unreachable = json_parse("{\"result\":\"unreachable\"}", 24, NULL);
	struct world w = { 0 };
	struct expect_verdict v;

	(void)state;
	open_world(&w, "{\"to\":\"db\",\"port\":\"tcp/80\",\"only_from\":[\"in@one\",\"web\"]}");
	assert_int_equal(w.n, 5);
	check_case(&w.cases[0], "in@one", "open", "private");
	check_case(&w.cases[1], "web", "open", "private");
	/* db has no public address: probed at its private one */
	check_case(&w.cases[2], "api", NULL, "private");
	check_case(&w.cases[3], "plain", NULL, "private");
	assert_string_equal(w.cases[3].name, "plain -> db tcp/80 closed");
	/* naming one interface of a function doesn't name the other */
	check_case(&w.cases[4], "in@two", NULL, "private");
	expect_judge_probe(w.lab, w.show, &w.cases[3], open, &v);
	assert_false(v.ok);
	cJSON_Delete(v.got);
	expect_judge_probe(w.lab, w.show, &w.cases[3], refused, &v);
	assert_false(v.ok);
	assert_string_equal(v.why, "refused instead of neither open nor refused");
	cJSON_Delete(v.got);
	expect_judge_probe(w.lab, w.show, &w.cases[3], unreachable, &v);
	assert_true(v.ok);
	cJSON_Delete(v.got);
	close_world(&w);
}

static void test_addresses(void **state)
{
	static const struct {
		const char *expect, *address;
	} cases[] = {
		{ "{\"from\":\"api\",\"to\":\"web\",\"port\":\"tcp/80\",\"result\":\"open\"}",
		  "public" },
		{ "{\"from\":\"db\",\"to\":\"web\",\"port\":\"tcp/80\",\"result\":\"open\"}",
		  "private" },
		{ "{\"from\":\"plain\",\"to\":\"web\",\"port\":\"tcp/80\",\"result\":\"open\","
		  "\"address\":\"public\"}",
		  "public" },
		{ "{\"from\":\"db\",\"to\":\"api\",\"port\":\"tcp/443\",\"result\":\"open\"}",
		  NULL },
		{ "{\"from\":\"db\",\"to\":\"10.0.1.4\",\"port\":\"tcp/80\",\"result\":\"open\"}",
		  NULL },
		{ "{\"to\":\"web\",\"port\":\"tcp/80\",\"only_from\":[\"api\"]}", "public" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w = { 0 };
		auto_json cJSON *probe = NULL;

		open_world(&w, cases[i].expect);
		probe = expect_probe(&w.cases[0]);
		if (cases[i].address)
			assert_string_equal(json_str(probe, "address", "none"), cases[i].address);
		else
			assert_null(json_get(probe, "address"));
		assert_true(json_num(probe, "timeout", 0) > 0.99);
		close_world(&w);
	}
}

#define TO_DB ",\"to\":\"db\",\"port\":\"tcp/80\",\"result\":\"timeout\"}"
#define TO_API ",\"to\":\"api\",\"port\":\"tcp/443\",\"result\":\"open\"}"
#define FROM_PLAIN "{\"from\":\"plain\",\"port\":\"tcp/80\",\"result\":\"timeout\",\"to\":"
#define ONLY_FROM "{\"port\":\"tcp/80\",\"to\":\"db\",\"only_from\":"

/* an expectation with lists and selectors, and the names of its cells */
static void test_cells(void **state)
{
	static const struct {
		const char *expect, *names;
	} cases[] = {
		{ "{\"from\":[\"plain\",\"web\"],\"to\":[\"db\",\"api\"],"
		  "\"port\":[\"tcp/80\",\"icmp\"],\"result\":\"timeout\"}",
		  "plain -> db tcp/80 timeout|plain -> db icmp timeout|"
		  "plain -> api tcp/80 timeout|plain -> api icmp timeout|"
		  "web -> db tcp/80 timeout|web -> db icmp timeout|"
		  "web -> api tcp/80 timeout|web -> api icmp timeout|" },
		{ "{\"name\":\"N\",\"from\":[\"plain\"]" TO_DB, "N: plain -> db tcp/80 timeout|" },
		{ "{\"name\":\"N\",\"from\":\"plain\"" TO_DB, "N|" },
		/* the target is no source of its own, and everybody else is */
		{ "{\"from\":\"*\"" TO_DB,
		  "api -> db tcp/80 timeout|web -> db tcp/80 timeout|plain -> db tcp/80 timeout|"
		  "in -> db tcp/80 timeout|" },
		{ "{\"from\":\"vpc:main\"" TO_API,
		  "db -> api tcp/443 open|web -> api tcp/443 open|in -> api tcp/443 open|" },
		/* of a function in two subnets one interface */
		{ "{\"from\":\"subnet:main/one\"" TO_API,
		  "web -> api tcp/443 open|in@one -> api tcp/443 open|" },
		{ "{\"from\":\"security_group:main/g\"" TO_API, "in -> api tcp/443 open|" },
		{ "{\"from\":\"security_group:main/default\"" TO_API,
		  "db -> api tcp/443 open|web -> api tcp/443 open|" },
		/* without a word that picks, everybody but */
		{ "{\"from\":\"!plain\"" TO_API,
		  "db -> api tcp/443 open|web -> api tcp/443 open|in -> api tcp/443 open|" },
		{ "{\"from\":[\"!plain\",\"!vpc:main\",\"!db\"],\"to\":\"web\",\"port\":\"icmp\","
		  "\"result\":\"open\"}",
		  "api -> web icmp open|" },
		/* wherever the word stands that takes out */
		{ "{\"from\":[\"!subnet:main/two\",\"vpc:main\"]" TO_API,
		  "web -> api tcp/443 open|in@one -> api tcp/443 open|" },
		{ "{\"from\":[\"in\",\"!in@one\"]" TO_API, "in@two -> api tcp/443 open|" },
		/* a union: nobody twice, in the order of the words */
		{ "{\"from\":[\"web\",\"vpc:main\"]" TO_API,
		  "web -> api tcp/443 open|db -> api tcp/443 open|in -> api tcp/443 open|" },
		{ "{\"from\":[\"in@two\",\"in\"]" TO_API,
		  "in@two -> api tcp/443 open|in@one -> api tcp/443 open|" },
		/* who is named on both sides is meant */
		{ "{\"from\":[\"db\",\"web\"]" TO_DB,
		  "db -> db tcp/80 timeout|web -> db tcp/80 timeout|" },
		{ FROM_PLAIN "\"*\"}", "plain -> api tcp/80 timeout|plain -> db tcp/80 timeout|"
				       "plain -> web tcp/80 timeout|plain -> in tcp/80 timeout|" },
		{ FROM_PLAIN "[\"subnet:main/two\",\"10.9.9.9\"]}",
		  "plain -> db tcp/80 timeout|plain -> in@two tcp/80 timeout|"
		  "plain -> 10.9.9.9 tcp/80 timeout|" },
		/* by an address that only the running lab knows it is the target */
		{ "{\"from\":\"vpc:main\",\"to\":\"10.0.2.4\",\"port\":\"icmp\",\"result\":"
		  "\"open\"}",
		  "web -> 10.0.2.4 icmp open|in -> 10.0.2.4 icmp open|" },
		/* and if nobody else is there, it is asked: nothing would hold in silence */
		{ "{\"from\":[\"vpc:main\",\"!web\",\"!in\"],\"to\":\"10.0.2.4\","
		  "\"port\":\"icmp\",\"result\":\"open\"}",
		  "db -> 10.0.2.4 icmp open|" },
		{ ONLY_FROM "[\"subnet:main/one\"]}",
		  "web -> db tcp/80 open|in@one -> db tcp/80 open|api -> db tcp/80 closed|"
		  "plain -> db tcp/80 closed|in@two -> db tcp/80 closed|" },
		{ ONLY_FROM "[\"!plain\"],\"name\":\"N\"}",
		  "N: api -> db tcp/80 open|N: web -> db tcp/80 open|N: in -> db tcp/80 open|"
		  "N: plain -> db tcp/80 closed|" },
		{ "{\"port\":[\"tcp/80\",\"tcp/81\"],\"to\":[\"db\",\"web\"],"
		  "\"only_from\":[\"!api\",\"!in\"]}",
		  "db -> web tcp/80 open|db -> web tcp/81 open|"
		  "web -> db tcp/80 open|web -> db tcp/81 open|"
		  "plain -> db tcp/80 open|plain -> db tcp/81 open|"
		  "plain -> web tcp/80 open|plain -> web tcp/81 open|"
		  "api -> db tcp/80 closed|api -> db tcp/81 closed|"
		  "api -> web tcp/80 closed|api -> web tcp/81 closed|"
		  "in -> db tcp/80 closed|in -> db tcp/81 closed|"
		  "in -> web tcp/80 closed|in -> web tcp/81 closed|" },
		{ ONLY_FROM "[]}",
		  "api -> db tcp/80 closed|web -> db tcp/80 closed|plain -> db tcp/80 closed|"
		  "in -> db tcp/80 closed|" },
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w = { 0 };
		struct buf names = BUF_INIT;

		open_world(&w, cases[i].expect);
		for (j = 0; j < w.n; j++)
			buf_printf(&names, "%s|", w.cases[j].name);
		assert_string_equal(buf_str(&names), cases[i].names);
		buf_done(&names);
		close_world(&w);
	}
}

/* the public address is for who chose the pair by name; else what there is */
static void test_addresses_of_cells(void **state)
{
	static const struct {
		const char *from, *to, *more, *address;
	} cases[] = {
		{ "[\"api\"]", "[\"db\"]", "", "public" },
		{ "\"!vpc:main\"", "\"db\"", "", "private" },
		{ "\"!vpc:main\"", "\"web\"", "", "public" },
		{ "\"api\"", "[\"vpc:main\",\"!in\",\"!web\"]", "", "private" },
		{ "\"plain\"", "[\"vpc:main\",\"!in\"]", ",\"address\":\"public\"", "private" },
		{ "\"plain\"", "[\"vpc:main\",\"!db\"]", ",\"address\":\"public\"", "public" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct world w = { 0 };
		char text[300];

		(void)snprintf(
			text, sizeof(text),
			"{\"from\":%s,\"to\":%s,\"port\":\"tcp/80\",\"result\":\"timeout\"%s}",
			cases[i].from, cases[i].to, cases[i].more);
		open_world(&w, text);
		assert_string_equal(w.cases[0].address, cases[i].address);
		close_world(&w);
	}
}

/* what an expectation asks besides its result, each cell is asked */
static void test_cells_are_judged(void **state)
{
	static const char seen[] = "{\"result\":\"open\",\"seen_as\":\"10.0.1.7\"}";
	static const char dropped[] =
		"{\"result\":\"timeout\",\"dropped\":{\"code\":\"SG_HAS_NO_RULES\"}}";
	auto_json cJSON *in = json_parse(seen, strlen(seen), NULL);
	auto_json cJSON *by_sg = json_parse(dropped, strlen(dropped), NULL);
	struct world w = { 0 };
	struct expect_verdict v;

	(void)state;
	assert_non_null(in);
	assert_non_null(by_sg);
	open_world(&w, "{\"port\":\"tcp/80\",\"to\":\"db\",\"only_from\":[\"in@one\"],"
		       "\"seen_as\":\"10.0.1.0/24\",\"because\":\"NO_ROUTE_TO_DESTINATION\"}");
	expect_judge_probe(w.lab, w.show, &w.cases[0], in, &v);
	assert_string_equal(v.why, "");
	cJSON_Delete(v.got);
	expect_judge_probe(w.lab, w.show, &w.cases[1], by_sg, &v);
	assert_string_equal(v.why, "dropped by SG_HAS_NO_RULES instead of NO_ROUTE_TO_DESTINATION");
	cJSON_Delete(v.got);
	close_world(&w);
}

/* the target itself is no source, whatever it is called */
static void test_target_is_left_out(void **state)
{
	static const char *const targets[] = { "web", "10.0.1.4", "10.0.1.5", "203.0.113.11",
					       "web.main.internal" };
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(targets); i++) {
		char text[200];
		struct world w = { 0 };

		(void)snprintf(text, sizeof(text),
			       "{\"to\":\"%s\",\"port\":\"tcp/80\",\"only_from\":[\"db\"]}",
			       targets[i]);
		open_world(&w, text);
		for (j = 0; j < w.n; j++)
			assert_string_not_equal(w.cases[j].from, "web");
		assert_int_equal(w.n, 4); /* db, api, plain, in */
		close_world(&w);
	}
}

#define INVOKE(more) "{\"invoke\":\"plain\"" more "}"
#define CALL(st, text)                                               \
	{                                                            \
		.status = st, .body = text, .size = sizeof(text) - 1 \
	}
#define ERROR_CALL(text)                                                                      \
	{                                                                                     \
		.status = 200, .function_error = true, .body = text, .size = sizeof(text) - 1 \
	}
#define THROTTLED                                                                                \
	{                                                                                        \
		.status = 429, .error_type = "TooManyRequestsException", .body = "{}", .size = 2 \
	}

static void test_invocations(void **state)
{
	static const struct {
		const char *expect;
		struct expect_call calls[3];
		size_t n;
		const char *why;
	} cases[] = {
		{ INVOKE(",\"returns\":{\"a\":1,\"b\":[2]}"),
		  { CALL(200, "{\"b\":[2],\"a\":1}") },
		  1,
		  "" },
		{ INVOKE(",\"returns\":{\"a\":1}"),
		  { CALL(200, "{\"a\":1,\"b\":2}") },
		  1,
		  "the response differs" },
		{ INVOKE(",\"returns\":{\"a\":1}"),
		  { CALL(200, "no json") },
		  1,
		  "the response differs" },
		{ INVOKE(",\"matches\":{\"a\":{\"x\":1}}"),
		  { CALL(200, "{\"a\":{\"x\":1,\"y\":2},\"b\":2}") },
		  1,
		  "" },
		{ INVOKE(",\"matches\":{\"a\":1}"),
		  { CALL(200, "{\"a\":2}") },
		  1,
		  "the response does not match" },
		{ INVOKE(",\"matches\":{\"a\":1}"),
		  { CALL(200, "[1]") },
		  1,
		  "the response does not match" },
		{ INVOKE(",\"error\":\"Runtime.ExitError\""),
		  { ERROR_CALL("{\"errorType\":\"Runtime.ExitError\"}") },
		  1,
		  "" },
		{ INVOKE(",\"error\":\"Runtime.ExitError\""),
		  { CALL(200, "{}") },
		  1,
		  "no error instead of error Runtime.ExitError" },
		{ INVOKE(",\"returns\":{}"),
		  { ERROR_CALL("{\"errorType\":\"X\",\"errorMessage\":\"y\"}") },
		  1,
		  "function error X: y" },
		{ INVOKE(",\"status\":429"), { THROTTLED }, 1, "" },
		{ INVOKE(",\"status\":200"), { THROTTLED }, 1, "status 429 instead of 200" },
		{ INVOKE(",\"error\":\"TooManyRequestsException\""), { THROTTLED }, 1, "" },
		{ INVOKE(",\"log\":\"hello\""),
		  { { .status = 200, .body = "1", .size = 1, .log = "START\nhello\n" } },
		  1,
		  "" },
		{ INVOKE(",\"log\":\"hello\""),
		  { CALL(200, "1") },
		  1,
		  "the log's tail has no line with 'hello'" },
		{ INVOKE(",\"returns\":1,\"times\":2"),
		  { CALL(200, "1"), CALL(200, "2") },
		  2,
		  "the response differs" },
		{ INVOKE(",\"times\":3,\"parallel\":3,\"outcomes\":{\"ok\":2,\"throttled\":1}"),
		  { CALL(200, "1"), THROTTLED, CALL(200, "2") },
		  3,
		  "" },
		{ INVOKE(",\"times\":3,\"parallel\":3,\"outcomes\":{\"ok\":2,\"throttled\":1}"),
		  { CALL(200, "1"), CALL(200, "1"), CALL(200, "2") },
		  3,
		  "3 ok instead of 2" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct expect_verdict v;
		struct world w = { 0 };

		open_world(&w, cases[i].expect);
		assert_int_equal(w.cases[0].x->times, cases[i].n);
		expect_judge_calls(&w.cases[0], cases[i].calls, cases[i].n, &v);
		assert_string_equal(v.why, cases[i].why);
		assert_int_equal(v.ok, !*cases[i].why);
		cJSON_Delete(v.got);
		close_world(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_probes),
		cmocka_unit_test(test_seen),
		cmocka_unit_test(test_only_from),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_addresses_of_cells),
		cmocka_unit_test(test_cells_are_judged),
		cmocka_unit_test(test_target_is_left_out),
		cmocka_unit_test(test_invocations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
