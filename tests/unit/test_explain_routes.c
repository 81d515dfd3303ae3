/* SPDX-License-Identifier: MIT */
/*
 * test_explain_routes - what the model knows of routes beside the longest prefix:
 * neighbours, the local route led elsewhere, where no route leads, the gateway's table.
 */
#include "tests/unit/model.h"
#include "topology/explain.h"

static const char LAB[] =
	"{ \"version\": 1, \"lab\": \"t\",\n"
	"  \"internet\": { \"hosts\": { \"api\": { \"ip\": \"198.51.100.10\",\n"
	"    \"serve\": [\"tcp/80\"] } } },\n"
	"  \"vpcs\": { \"main\": {\n"
	"    \"cidr_block\": \"10.0.0.0/16\",\n"
	"    \"internet_gateway\": { \"route_table\": \"edge\" },\n"
	"    \"subnets\": {\n"
	"      \"one\": { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"one\" },\n"
	"      \"two\": { \"cidr_block\": \"10.0.2.0/24\", \"route_table\": \"two\" },\n"
	"      \"box\": { \"cidr_block\": \"10.0.9.0/24\" },\n"
	"      \"web\": { \"cidr_block\": \"10.0.5.0/24\", \"route_table\": \"web\" },\n"
	"      \"fw\": { \"cidr_block\": \"10.0.6.0/24\", \"route_table\": \"out\" },\n"
	"      \"past\": { \"cidr_block\": \"10.0.7.0/24\", \"route_table\": \"out\" },\n"
	"      \"bare\": { \"cidr_block\": \"10.0.8.0/24\" },\n"
	"      \"hole\": { \"cidr_block\": \"10.0.10.0/24\" } },\n"
	"    \"route_tables\": {\n"
	"      \"one\": { \"routes\": { \"10.0.1.0/24\": \"blackhole\",\n"
	"                            \"169.254.0.0/16\": \"instance:box\" } },\n"
	"      \"two\": { \"routes\": { \"10.0.0.0/16\": \"instance:box\" } },\n"
	"      \"web\": { \"routes\": { \"0.0.0.0/0\": \"instance:fw\" } },\n"
	"      \"out\": { \"routes\": { \"0.0.0.0/0\": \"internet_gateway\" } },\n"
	"      \"edge\": { \"routes\": { \"10.0.5.0/24\": \"instance:fw\",\n"
	"        \"10.0.7.0/24\": \"instance:fw\", \"10.0.8.0/24\": \"instance:box\",\n"
	"        \"10.0.10.0/24\": \"blackhole\" } } },\n"
	"    \"security_groups\": { \"open\": { \"ingress\": [\n"
	"      { \"protocol\": \"-1\", \"cidr_blocks\": [\"0.0.0.0/0\"] } ] } },\n"
	"    \"instances\": {\n"
	"      \"a\": { \"subnet\": \"one\", \"security_groups\": [\"open\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"      \"b\": { \"subnet\": \"one\", \"security_groups\": [\"open\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"      \"c\": { \"subnet\": \"two\", \"security_groups\": [\"open\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"      \"web\": { \"subnet\": \"web\", \"security_groups\": [\"open\"],\n"
	"        \"elastic_ip\": \"203.0.113.5\", \"serve\": [\"tcp/80\"] },\n"
	"      \"past\": { \"subnet\": \"past\", \"security_groups\": [\"open\"],\n"
	"        \"elastic_ip\": \"203.0.113.7\", \"serve\": [\"tcp/80\"] },\n"
	"      \"bare\": { \"subnet\": \"bare\", \"security_groups\": [\"open\"],\n"
	"        \"elastic_ip\": \"203.0.113.8\", \"serve\": [\"tcp/80\"] },\n"
	"      \"hole\": { \"subnet\": \"hole\", \"security_groups\": [\"open\"],\n"
	"        \"elastic_ip\": \"203.0.113.10\", \"serve\": [\"tcp/80\"] },\n"
	"      \"fw\": { \"subnet\": \"fw\", \"security_groups\": [\"open\"],\n"
	"        \"elastic_ip\": \"203.0.113.6\", \"serve\": [\"tcp/80\"], \"forward\": true, "
	"\"source_dest_check\": false },\n"
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

/* ids: RT-13; kind: state; mutant: explain-edge */
static void test_the_gateways_own_table(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);

	(void)state;
	walks(s, "api", "web", "", "api > internet > igw main > fw > web");
	walks(s, "web", "api", "", "web > fw > igw main > internet > api");
	walks(s, "api", "fw", "", "api > internet > igw main > fw");
	walks(s, "api", "past", "INGRESS_RTB_TRAFFIC_REDIRECTION",
	      "api > internet > igw main > fw > past");
	walks(s, "past", "api", "INGRESS_RTB_TRAFFIC_REDIRECTION", "past");
	walks(s, "api", "bare", "INGRESS_RTB_NO_PUBLIC_IP", "api > internet > igw main > box");
	walks(s, "api", "hole", "BAD_STATE_ROUTE", "api > internet > igw main");
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_neighbours),
		cmocka_unit_test(test_the_local_route_led_elsewhere),
		cmocka_unit_test(test_where_no_route_leads),
		cmocka_unit_test(test_the_gateways_own_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
