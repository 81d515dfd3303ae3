/* SPDX-License-Identifier: MIT */
/*
 * test_explain_routes - what the model knows of routes beside the longest prefix:
 * neighbours, the local route led elsewhere, and where no route leads.
 */
#include "tests/unit/model.h"
#include "topology/explain.h"

static const char LAB[] =
	"{ \"version\": 1, \"lab\": \"t\",\n"
	"  \"vpcs\": { \"main\": {\n"
	"    \"cidr_block\": \"10.0.0.0/16\",\n"
	"    \"subnets\": {\n"
	"      \"one\": { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"one\" },\n"
	"      \"two\": { \"cidr_block\": \"10.0.2.0/24\", \"route_table\": \"two\" },\n"
	"      \"box\": { \"cidr_block\": \"10.0.9.0/24\" } },\n"
	"    \"route_tables\": {\n"
	"      \"one\": { \"routes\": { \"10.0.1.0/24\": \"blackhole\",\n"
	"                            \"169.254.0.0/16\": \"instance:box\" } },\n"
	"      \"two\": { \"routes\": { \"10.0.0.0/16\": \"instance:box\" } } },\n"
	"    \"security_groups\": { \"open\": { \"ingress\": [\n"
	"      { \"protocol\": \"-1\", \"cidr_blocks\": [\"0.0.0.0/0\"] } ] } },\n"
	"    \"instances\": {\n"
	"      \"a\": { \"subnet\": \"one\", \"security_groups\": [\"open\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"      \"b\": { \"subnet\": \"one\", \"security_groups\": [\"open\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"      \"c\": { \"subnet\": \"two\", \"security_groups\": [\"open\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"      \"box\": { \"subnet\": \"box\", \"security_groups\": [\"open\"], \"forward\": "
	"true,\n"
	"               \"source_dest_check\": false } } } } }\n";

/* the code that stops it ("" if nothing does), the question's way */
static void walks(const struct store *s, const char *from, const char *to, const char *code,
		  const char *way)
{
	struct explain_question q = { .from = from, .to = to };
	const struct explain_part *p;
	auto_buf struct buf b = BUF_INIT;
	struct explain x = { 0 };
	struct err e = { 0 };

	assert_int_equal(port_parse("tcp/80", &q.port), 0);
	if (explain_ask(s, &q, &x, &e))
		fail_msg("%s -> %s: %s", from, to, e.msg);
	p = &x.parts[0];
	explain_path(p, &b);
	if (strcmp(p->decided < 0 ? "" : p->hops[p->decided].code, code) ||
	    strcmp(buf_str(&b), way))
		fail_msg("%s -> %s: %s by %s", from, to, buf_str(&b),
			 p->decided < 0 ? "nothing" : p->hops[p->decided].code);
	explain_done(&x);
}

/* ids: RT-10, RT-11; kind: state; mutant: explain-neighbours */
static void test_neighbours(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);

	(void)state;
	walks(s, "a", "b", "", "a > b");
	walks(s, "a", "10.0.1.77", "UNKNOWN_DESTINATION", "a");
	store_free(s);
}

/* ids: RT-4; kind: state; mutant: explain-local-route */
static void test_the_local_route_led_elsewhere(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);

	(void)state;
	walks(s, "c", "a", "", "c > box > a");
	walks(s, "a", "c", "", "a > c");
	store_free(s);
}

/* ids: RT-6; kind: state; mutant: explain-no-routes */
static void test_where_no_route_leads(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);

	(void)state;
	walks(s, "a", "169.254.169.254", "NO_ROUTE_TO_DESTINATION", "a");
	walks(s, "c", "169.254.169.254", "NO_ROUTE_TO_DESTINATION", "c");
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_the_local_route_led_elsewhere),
		cmocka_unit_test(test_where_no_route_leads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
