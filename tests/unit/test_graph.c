/* SPDX-License-Identifier: MIT */
/*
 * test_graph - topology/graph.c against goldens, and names that a picture's language
 * would read as its own.
 *
 * VPCLAB_GOLDEN_UPDATE=1 writes tests/golden/NAME.dot and NAME.mmd anew: read the diff.
 */
#include "tests/unit/model.h"
#include "topology/graph.h"

#define TEXT_MAX (8 * 1024 * 1024)

static void check_golden(const struct lab *lab, enum graph_format format, const char *path)
{
	auto_free char *want = NULL;
	auto_buf struct buf b = BUF_INIT;
	size_t size;

	graph_text(lab, format, &b);
	assert_false(buf_error(&b));
	if (getenv("VPCLAB_GOLDEN_UPDATE"))
		assert_int_equal(write_file_atomic(path, buf_str(&b), b.len, 0644), 0);
	assert_int_equal(read_file(path, TEXT_MAX, &want, &size), 0);
	assert_string_equal(buf_str(&b), want);
}

static void test_goldens(void **state)
{
	auto_free char *text = NULL;
	struct lab *lab;
	size_t size;

	(void)state;
	assert_int_equal(read_file("topology/examples/closed-world.json", TEXT_MAX, &text, &size),
			 0);
	lab = lab_of(text);
	check_golden(lab, GRAPH_DOT, "tests/golden/closed-world.dot");
	check_golden(lab, GRAPH_MERMAID, "tests/golden/closed-world.mmd");
	lab_free(lab);
}

/* both ends of every edge are there, or Graphviz would make nodes of them */
static void test_edges_have_ends(void **state)
{
	static const char *const files[] = { "three-modes", "two-tier", "overlapping", "traps",
					     "over-time" };
	size_t i, size;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		auto_free char *path = NULL, *text = NULL;
		auto_buf struct buf b = BUF_INIT;
		const char *at;
		struct lab *lab;

		assert_true(asprintf(&path, "topology/examples/%s.json", files[i]) > 0);
		assert_int_equal(read_file(path, TEXT_MAX, &text, &size), 0);
		lab = lab_of(text);
		graph_text(lab, GRAPH_DOT, &b);
		for (at = buf_str(&b); (at = strstr(at, " -> \"")); at++) {
			char declared[80];

			(void)snprintf(declared, sizeof(declared),
				       "\n  %.*s\" [shape=", (int)strcspn(at + 5, "\"") + 1,
				       at + 4);
			/* at any depth */
			assert_non_null(strstr(buf_str(&b), declared + 3));
		}
		lab_free(lab);
	}
}

static const char EDGE[] =
	"{ \"version\": 1, \"lab\": \"l\", \"vpcs\": {"
	"  \"a\": { \"cidr_block\": \"10.0.0.0/16\","
	"    \"internet_gateway\": { \"route_table\": \"edge\" },"
	"    \"subnets\": { \"s\": { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"gone\" } "
	"},"
	"    \"route_tables\": {"
	"      \"edge\": { \"routes\": { \"10.0.1.0/24\": \"instance:wall\" } },"
	"      \"gone\": { \"routes\": { \"192.0.2.0/24\": \"blackhole\" } } },"
	"    \"instances\": { \"wall\": { \"subnet\": \"s\", \"source_dest_check\": false } } },"
	"  \"b\": { \"cidr_block\": \"10.1.0.0/16\" } },"
	"  \"peerings\": { \"p\": { \"requester\": \"a\", \"accepter\": \"b\" } } }";

/* mutant: graph-edge, graph-blackhole */
static void test_edge_tables_peerings_and_blackholes(void **state)
{
	struct lab *lab = lab_of(EDGE);
	auto_buf struct buf dot = BUF_INIT, mmd = BUF_INIT;

	(void)state;
	graph_text(lab, GRAPH_DOT, &dot);
	graph_text(lab, GRAPH_MERMAID, &mmd);
	assert_non_null(strstr(buf_str(&mmd), "v0_w0 -->|\"10.0.1.0/24\"| v0_i0\n"));
	assert_non_null(strstr(buf_str(&dot), "\"v0_w0\" -> \"v0_i0\" ["));
	assert_non_null(strstr(buf_str(&mmd), "route table gone<br/>192.0.2.0/24: blackhole"));
	/* a peering lies between the two that it joins */
	assert_non_null(strstr(buf_str(&mmd), "v0 -->|\"requester\"| p0\n"));
	assert_non_null(strstr(buf_str(&mmd), "p0 -->|\"accepter\"| v1\n"));
	lab_free(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_goldens),
		cmocka_unit_test(test_edges_have_ends),
		cmocka_unit_test(test_edge_tables_peerings_and_blackholes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
