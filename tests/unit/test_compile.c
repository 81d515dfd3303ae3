/* SPDX-License-Identifier: MIT */
/*
 * test_compile - the whole way from a document to a program, against goldens; and
 * that an edit touches only what it should.
 *
 * VPCLAB_GOLDEN_UPDATE=1 writes tests/golden/NAME.program anew: read the diff.
 */
#include <errno.h>

#include "lib/nft.h"
#include "tests/unit/model.h"

#define TEXT_MAX (8 * 1024 * 1024)

static struct program program_of_file(const char *path)
{
	auto_free char *text = NULL;
	struct program p;
	struct store *s;
	size_t size;

	assert_int_equal(read_file(path, TEXT_MAX, &text, &size), 0);
	s = store_of(NULL, text, NULL);
	/* goldens show a place, too */
	for (size_t i = 0; i < s->n_egresses; i++)
		assert_int_equal(store_place_add(s, s->egresses[i]->ns, NULL, NULL), 0);
	p = program_of(s);
	store_free(s);
	return p;
}

static void check_golden(const char *source, const char *name)
{
	struct program p = program_of_file(source), q;
	auto_free char *golden = NULL, *want = NULL;
	char *got = text_of(&p);
	struct err e = { 0 };
	size_t size;

	assert_true(asprintf(&golden, "tests/golden/%s.program", name) > 0);
	if (getenv("VPCLAB_GOLDEN_UPDATE"))
		assert_int_equal(write_file_atomic(golden, got, strlen(got), 0644), 0);
	assert_int_equal(read_file(golden, TEXT_MAX, &want, &size), 0);
	if (strcmp(got, want))
		fail_msg("%s isn't what %s compiles to (VPCLAB_GOLDEN_UPDATE=1 rewrites it)",
			 golden, source);
	/* the text is the program */
	assert_int_equal(program_parse(want, &q, &e), 0);
	assert_int_equal(p.n, q.n);
	assert_diff_leads(&p, &q);
	free(got);
	program_done(&p);
	program_done(&q);
}

static void test_goldens(void **state)
{
	(void)state;
	check_golden("topology/examples/three-modes.json", "three-modes");
	check_golden("topology/examples/two-tier.json", "two-tier");
	check_golden("topology/examples/overlapping.json", "overlapping");
	check_golden("tests/golden/gateways.json", "gateways");
	check_golden("tests/golden/edge.json", "edge");
	check_golden("tests/golden/nat-addresses.json", "nat-addresses");
	check_golden("tests/golden/interfaces.json", "interfaces");
	check_golden("tests/golden/smallest.json", "smallest");
	check_golden("tests/golden/acls.json", "acls");
	check_golden("tests/golden/peering.json", "peering");
	check_golden("tests/golden/flows.json", "flows");
	check_golden("tests/golden/tracking.json", "tracking");
}

/* every rule is one that lib/nft can send whole */
static void explain_chain(const struct program *p, const struct item *it)
{
	auto_free char *copy = strdup(it->val);
	char table[64], *line, *save = NULL;

	(void)snprintf(table, sizeof(table), "%.*s",
		       (int)(strchr(strchr(it->key, ' ') + 1, ' ') - it->key), it->key);
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		auto_buf struct buf b = BUF_INIT;
		struct err e = { 0 };

		if (!strncmp(line, "type ", 5))
			continue;
		if (nft_explain_rule(line, p, it->ns, table, &b, &e))
			fail_msg("%s %s: %s: %s", it->ns, it->key, line, e.msg);
	}
}

static void test_every_rule_is_understood(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed < 40; seed++) {
		auto_free char *text = random_lab(seed);
		struct store *s = store_of(NULL, text, NULL);
		struct program p = program_of(s);

		for (size_t i = 0; i < p.n; i++)
			if (p.items[i].kind == ITEM_CHAIN)
				explain_chain(&p, &p.items[i]);
		program_done(&p);
		store_free(s);
	}
}

static const char *const lab_format =
	"{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"v\":{\"cidr_block\":\"10.0.0.0/16\","
	"\"subnets\":{\"s\":{\"cidr_block\":\"10.0.1.0/24\"}},\"security_groups\":{"
	"\"x\":{\"ingress\":[{\"protocol\":\"tcp\",\"from_port\":%s,"
	"\"cidr_blocks\":[\"10.0.0.0/8\"]}]},"
	"\"y\":{\"ingress\":[{\"protocol\":\"tcp\",\"from_port\":1,"
	"\"security_groups\":[\"x\"]}]}},"
	"\"instances\":{\"a\":{\"subnet\":\"s\",\"security_groups\":[%s]},"
	"\"b\":{\"subnet\":\"s\",\"security_groups\":[\"x\",\"y\"]},"
	"\"c\":{\"subnet\":\"s\",\"security_groups\":[\"y\"]}}}}}";

/* steps from one lab to another: "+set ip vpc NAME;..." */
static char *steps_between(const char *x, const char *y)
{
	struct buf b = BUF_INIT;
	struct program p, q;
	struct store *s, *t;
	struct step *steps;
	size_t n;

	s = store_of(NULL, x, NULL);
	t = store_of(s, y, NULL);
	p = program_of(s);
	q = program_of(t);
	assert_int_equal(program_diff(&p, &q, &steps, &n), 0);
	for (size_t i = 0; i < n; i++) {
		const struct item *it = steps[i].new ? steps[i].new : steps[i].old;

		assert_string_equal(it->ns, "router.v");
		buf_printf(&b, "%c%s %s;", "+=-"[steps[i].op], item_kind_name(it->kind),
			   it -> key + strlen("ip vpc "));
	}
	free(steps);
	program_done(&p);
	program_done(&q);
	store_free(s);
	store_free(t);
	return buf_steal(&b);
}

static char *edit(const char *port1, const char *groups1, const char *port2, const char *groups2)
{
	auto_free char *x = NULL, *y = NULL;

	assert_true(asprintf(&x, lab_format, port1, groups1) > 0);
	assert_true(asprintf(&y, lab_format, port2, groups2) > 0);
	return steps_between(x, y);
}

/* cuts the hash from a set's name */
static void cut_hashes(char *s)
{
	char *at;

	while ((at = strstr(s, "g1_in_")))
		memmove(at + 5, at + 14, strlen(at + 14) + 1);
}

static void test_group_edit(void **state)
{
	char *got = edit("80", "\"x\"", "81", "\"x\"");

	(void)state;
	cut_hashes(got);
	assert_string_equal(got, "+set g1_in;=chain g1_in;"
				 "+elem g1_in\t10.0.0.0/8 . tcp . 81;-set g1_in;");
	free(got);
}

/* a combination that is there already: elements only, none of a verdict map */
static void test_joining_a_group(void **state)
{
	char *got = edit("80", "\"x\"", "80", "\"x\",\"y\"");
	const char *eni = strstr(got, "eni-");

	(void)state;
	assert_non_null(eni);
	/* the old combination has no member left and goes */
	assert_non_null(strstr(got, "+elem g2_m\t10.0.1.4;"));
	assert_null(strstr(got, "+chain"));
	assert_null(strstr(got, "=chain"));
	assert_null(strstr(got, "+set"));
	assert_null(strstr(got, "+elem sg_"));
	free(got);
}

static void test_no_edit(void **state)
{
	char *got = edit("80", "\"x\"", "80", "\"x\"");

	(void)state;
	assert_string_equal(got, "");
	free(got);
}

static char *edit_lists(const char *list1, const char *entry1, const char *list2,
			const char *entry2)
{
	static const char format[] =
		"{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"v\":{\"cidr_block\":\"10.0.0.0/16\","
		"\"subnets\":{\"s\":{\"cidr_block\":\"10.0.1.0/24\",\"network_acl\":\"%s\"}},"
		"\"network_acls\":{\"x\":{\"ingress\":[{\"rule_number\":%s,"
		"\"rule_action\":\"allow\",\"protocol\":\"-1\",\"cidr_block\":\"10.0.0.0/8\"}]},"
		"\"y\":{}},\"instances\":{\"a\":{\"subnet\":\"s\"}}}}}";
	auto_free char *x = NULL, *y = NULL;

	assert_true(asprintf(&x, format, list1, entry1) > 0);
	assert_true(asprintf(&y, format, list2, entry2) > 0);
	return steps_between(x, y);
}

/* an entry is its list's alone, another list for a subnet that subnet's chains; the
 * maps that lead to them stay */
static void test_list_edit(void **state)
{
	auto_free char *entry = edit_lists("x", "7", "x", "8");
	auto_free char *other = edit_lists("x", "7", "y", "7");
	auto_free char *unused = edit_lists("y", "7", "y", "8");

	(void)state;
	assert_string_equal(entry, "=chain a1_in;");
	assert_string_equal(other, "=chain s1_in;=chain s1_lost;=chain s1_out;");
	assert_string_equal(unused, "=chain a1_in;");
}

/* another log changes which interfaces are counted, and nothing else; the first one
 * brings the counting */
static void test_flow_log_edit(void **state)
{
	static const char format[] =
		"{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"v\":{\"cidr_block\":\"10.0.0.0/16\","
		"\"subnets\":{\"s\":{\"cidr_block\":\"10.0.1.0/24\"}},"
		"\"flow_logs\":{\"a\":{\"resource\":\"subnet:s\",\"traffic_type\":\"ACCEPT\"}%s},"
		"\"instances\":{\"a\":{\"subnet\":\"s\"},\"b\":{\"subnet\":\"s\"}}}}}";
	auto_free char *x = NULL, *y = NULL, *steps = NULL;

	(void)state;
	assert_true(asprintf(&x, format, "") > 0);
	assert_true(asprintf(&y, format, ",\"r\":{\"resource\":\"instance:b\"}") > 0);
	steps = steps_between(x, y);
	assert_non_null(strstr(steps, "+elem"));
	assert_null(strchr(steps + 1, '='));
	assert_null(strstr(steps, "chain"));
	assert_null(strstr(steps, "flow_accept"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_every_rule_is_understood),
		cmocka_unit_test(test_group_edit),
		cmocka_unit_test(test_joining_a_group),
		cmocka_unit_test(test_list_edit),
		cmocka_unit_test(test_no_edit),
		cmocka_unit_test(test_flow_log_edit),
	};

	return cmocka_run_group_tests_name("compile", tests, NULL, NULL);
}
