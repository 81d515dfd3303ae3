/* SPDX-License-Identifier: MIT */
/*
 * test_explain - topology/explain.c: who reaches whom by the model, which line
 * decides, and what is said of the way.  That packets agree is tests/lab/test_explain.py's.
 */
#include "tests/unit/model.h"
#include "topology/explain.h"

static const char LAB[] =
	"{ \"version\": 1, \"lab\": \"t\",\n"
	"  \"internet\": { \"hosts\": {\n"
	"    \"api\": { \"ip\": \"198.51.100.10\", \"serve\": [\"tcp/443\", \"udp/53\"],\n"
	"             \"dns_names\": [\"api.example.com\"] },\n"
	"    \"dark\": { \"ip\": \"198.51.100.20\", \"command\": [\"true\"] } } },\n"
	"  \"roles\": { \"fn\": { \"managed_policies\": [\"AWSLambdaVPCAccessExecutionRole\"] } "
	"},\n"
	"  \"vpcs\": { \"main\": {\n"
	"    \"cidr_block\": \"10.0.0.0/16\", \"internet_gateway\": true,\n"
	"    \"subnets\": {\n"
	"      \"pub\": { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"pub\" },\n"
	"      \"priv\": { \"cidr_block\": \"10.0.2.0/24\", \"route_table\": \"priv\" },\n"
	"      \"seal\": { \"cidr_block\": \"10.0.3.0/24\" } },\n"
	"    \"nat_gateways\": { \"nat\": { \"subnet\": \"pub\", \"elastic_ip\": \"203.0.113.9\" } "
	"},\n"
	"    \"route_tables\": {\n"
	"      \"pub\": { \"routes\": { \"0.0.0.0/0\": \"internet_gateway\" } },\n"
	"      \"priv\": { \"routes\": { \"0.0.0.0/0\": \"nat_gateway:nat\",\n"
	"                             \"198.51.100.20/32\": \"blackhole\" } } },\n"
	"    \"security_groups\": {\n"
	"      \"web\": { \"ingress\": [\n"
	"        { \"protocol\": \"tcp\", \"from_port\": 80, \"cidr_blocks\": [\"0.0.0.0/0\"] } ] "
	"},\n"
	"      \"db\": { \"ingress\": [\n"
	"        { \"protocol\": \"tcp\", \"from_port\": 5432, \"security_groups\": [\"web\"] },\n"
	"        { \"protocol\": \"icmp\", \"self\": true } ] } },\n"
	"    \"instances\": {\n"
	"      \"web\": { \"subnet\": \"pub\", \"security_groups\": [\"web\"],\n"
	"               \"elastic_ip\": \"203.0.113.5\", \"serve\": [\"tcp/80\"] },\n"
	"      \"bare\": { \"subnet\": \"pub\", \"security_groups\": [\"web\"] },\n"
	"      \"in\": { \"subnet\": \"priv\", \"security_groups\": [\"db\"] },\n"
	"      \"db\": { \"subnet\": \"seal\", \"security_groups\": [\"db\"],\n"
	"              \"serve\": [\"tcp/5432\"] } } } },\n"
	"  \"functions\": {\n"
	"    \"plain\": { \"runtime\": \"exec\", \"command\": [\"cat\"] },\n"
	"    \"fn\": { \"runtime\": \"exec\", \"command\": [\"cat\"], \"role\": \"fn\",\n"
	"            \"vpc_config\": { \"subnets\": [\"priv\", \"seal\"],\n"
	"                            \"security_groups\": [\"web\"] } } } }\n";

static void ask(const struct store *s, const char *from, const char *to, const char *port,
		const char *address, struct explain *ret)
{
	struct explain_question q = { .from = from, .to = to, .address = address };
	struct err e = { 0 };

	assert_int_equal(port_parse(port, &q.port), 0);
	if (explain_ask(s, &q, ret, &e))
		fail_msg("%s -> %s: %s", from, to, e.msg);
}

/* every cell: the result, whom the target sees, the code and the line that stop it */
static void test_cells(void **state)
{
	static const struct {
		const char *from, *to, *port, *result, *seen, *code;
		unsigned line;
	} cells[] = {
		{ "api", "web", "tcp/80", "open", "198.51.100.10", NULL, 0 },
		{ "api", "web", "tcp/81", "timeout", NULL, "ENI_SG_RULES_MISMATCH", 19 },
		{ "api", "203.0.113.9", "tcp/80", "timeout", NULL, "NO_POSSIBLE_DESTINATION", 13 },
		{ "api", "10.0.1.4", "tcp/80", "timeout", NULL, "UNKNOWN_DESTINATION", 0 },
		{ "web", "api", "tcp/443", "open", "203.0.113.5", NULL, 0 },
		{ "web", "api.example.com", "udp/53", "open", "203.0.113.5", NULL, 0 },
		{ "web", "api", "tcp/9", "refused", "203.0.113.5", NULL, 0 },
		{ "web", "api", "icmp", "open", "203.0.113.5", NULL, 0 },
		{ "web", "db", "tcp/5432", "open", "10.0.1.5", NULL, 0 },
		{ "bare", "api", "tcp/443", "timeout", NULL, "IGW_PUBLIC_IP_ASSOCIATION_FOR_EGRESS",
		  27 },
		{ "web", "10.9.0.1", "tcp/1", "timeout", NULL,
		  "IGW_DESTINATION_ADDRESS_NOT_IN_RFC1918_EGRESS", 7 },
		{ "in", "api", "tcp/443", "open", "203.0.113.9", NULL, 0 },
		{ "in", "dark", "tcp/443", "timeout", NULL, "BAD_STATE_ROUTE", 17 },
		{ "in", "db", "tcp/5432", "timeout", NULL, "ENI_SG_RULES_MISMATCH", 21 },
		{ "in", "db", "icmp", "open", "10.0.2.4", NULL, 0 },
		{ "in", "10.0.3.99", "tcp/1", "timeout", NULL, "UNKNOWN_DESTINATION", 7 },
		{ "db", "api", "tcp/443", "timeout", NULL, "NO_ROUTE_TO_DESTINATION", 7 },
		{ "plain", "api", "tcp/443", "open", "192.0.2.10", NULL, 0 },
		{ "plain", "db", "tcp/5432", "timeout", NULL, "UNKNOWN_DESTINATION", 0 },
		{ "plain", "api", "icmp", "timeout", NULL, "PROTOCOL_RESTRICTION", 32 },
		{ "fn@priv", "api", "tcp/443", "open", "203.0.113.9", NULL, 0 },
		{ "fn@seal", "api", "tcp/443", "timeout", NULL, "NO_ROUTE_TO_DESTINATION", 7 },
		{ "fn@priv", "db", "tcp/5432", "open", "10.0.2.5", NULL, 0 },
		{ "db", "db", "tcp/5432", "open", "10.0.3.4", NULL, 0 },
	};
	struct store *s = store_of(NULL, LAB, NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cells); i++) {
		struct explain x = { 0 };
		const struct explain_part *p;
		const struct explain_hop *h;

		ask(s, cells[i].from, cells[i].to, cells[i].port, NULL, &x);
		p = &x.parts[0];
		h = p->decided >= 0 ? &p->hops[p->decided] : NULL;
		if (x.n_parts != 1 || strcmp(p->result, cells[i].result) ||
		    (cells[i].seen && strcmp(addr_str(&p->seen_as), cells[i].seen)) ||
		    strcmp(h && h->code ? h->code : "", cells[i].code ? cells[i].code : "") ||
		    (h && h->at ? h->at->pos.line : 0) != cells[i].line)
			fail_msg("%s -> %s %s: %s as %s, %s at %u", cells[i].from, cells[i].to,
				 cells[i].port, p->result, addr_str(&p->seen_as),
				 h && h->code ? h->code : "-", h && h->at ? h->at->pos.line : 0);
		explain_done(&x);
	}
	store_free(s);
}

static const char LISTS[] =
	"{ \"version\": 1, \"lab\": \"t\", \"vpcs\": { \"v\": { \"cidr_block\": "
	"\"10.0.0.0/16\",\n"
	"  \"subnets\": {\n"
	"    \"one\": { \"cidr_block\": \"10.0.1.0/24\", \"network_acl\": \"one\" },\n"
	"    \"two\": { \"cidr_block\": \"10.0.2.0/24\", \"network_acl\": \"two\" },\n"
	"    \"three\": { \"cidr_block\": \"10.0.3.0/24\" } },\n"
	"  \"network_acls\": {\n"
	"    \"one\": { \"ingress\": [\n"
	"      { \"rule_number\": 9, \"rule_action\": \"allow\", \"protocol\": \"tcp\",\n"
	"        \"cidr_block\": \"10.0.3.0/24\", \"from_port\": 1024, \"to_port\": 65535 }, "
	"{\n"
	"        \"rule_number\": 1, \"rule_action\": \"allow\", \"protocol\": \"icmp\", "
	"\"icmp_type\": 0,\n"
	"        \"cidr_block\": \"0.0.0.0/0\" } ],\n"
	"      \"egress\": [\n"
	"      { \"rule_number\": 7, \"rule_action\": \"allow\", \"protocol\": \"-1\", "
	"\"cidr_block\": \"0.0.0.0/0\" },\n"
	"      { \"rule_number\": 3, \"rule_action\": \"deny\", \"protocol\": \"tcp\", "
	"\"from_port\": 81,\n"
	"        \"cidr_block\": \"10.0.0.0/8\" },\n"
	"      { \"rule_number\": 4, \"rule_action\": \"deny\", \"protocol\": \"-1\", "
	"\"cidr_block\": \"192.0.2.0/24\" } ] },\n"
	"    \"two\": {} },\n"
	"  \"security_groups\": { \"g\": { \"ingress\": [\n"
	"    { \"protocol\": \"-1\", \"cidr_blocks\": [\"0.0.0.0/0\"] } ] } },\n"
	"  \"instances\": {\n"
	"    \"a\": { \"subnet\": \"one\", \"security_groups\": [\"g\"] },\n"
	"    \"a2\": { \"subnet\": \"one\", \"security_groups\": [\"g\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"    \"b\": { \"subnet\": \"two\", \"security_groups\": [\"g\"], \"serve\": "
	"[\"tcp/80\"] },\n"
	"    \"c\": { \"subnet\": \"three\", \"security_groups\": [\"g\"],\n"
	"           \"serve\": [\"tcp/80\", \"tcp/81\"] } } } } }\n";

/* ids: NACL-1, NACL-2, NACL-3; kind: state; mutant: explain-acl-answer, explain-acl-same-subnet */
/* lists: the lowest number, at the border of a subnet alone, of question and answer */
static void test_lists(void **state)
{
	static const struct {
		const char *from, *to, *port, *result, *rule;
		unsigned line;
	} cells[] = {
		{ "a", "c", "tcp/80", "open", NULL, 0 },
		{ "a", "c", "tcp/81", "timeout", "egress rule 3 denies tcp 81 to 10.0.0.0/8", 14 },
		{ "a", "c", "tcp/9", "refused", NULL, 0 },
		{ "a", "c", "icmp", "open", NULL, 0 },
		/* the answer: nothing lets UDP in, and ICMP only as an echo's reply */
		{ "a", "c", "udp/9", "timeout",
		  "ingress rule *: no rule for icmp type 3 from 10.0.3.4", 7 },
		{ "c", "a", "tcp/80", "timeout", "ingress rule *: no rule for tcp 80 from 10.0.3.4",
		  7 },
		{ "c", "a", "icmp", "timeout",
		  "ingress rule *: no rule for icmp type 8 from 10.0.3.4", 7 },
		{ "a", "b", "tcp/80", "timeout", "ingress rule *: no rule for tcp 80 from 10.0.1.4",
		  17 },
		{ "b", "c", "tcp/80", "timeout", "egress rule *: no rule for tcp 80 to 10.0.3.4",
		  17 },
		{ "a", "a2", "tcp/80", "open", NULL, 0 },
		/* what has no route, and what nobody in the own subnet has */
		{ "a", "192.0.2.1", "tcp/80", "timeout", "egress rule 4 denies all to 192.0.2.0/24",
		  16 },
		{ "a", "198.51.100.1", "tcp/80", "timeout", "no route for 198.51.100.1", 1 },
		{ "b", "10.0.2.99", "tcp/80", "timeout", "nobody has 10.0.2.99", 1 },
	};
	struct store *s = store_of(NULL, LISTS, NULL);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cells); i++) {
		struct explain x = { 0 };
		const struct explain_part *p;
		const struct explain_hop *h;

		ask(s, cells[i].from, cells[i].to, cells[i].port, NULL, &x);
		p = &x.parts[0];
		h = p->decided >= 0 ? &p->hops[p->decided] : NULL;
		if (strcmp(p->result, cells[i].result) || !h != !cells[i].rule ||
		    (h && (strcmp(h->rule, cells[i].rule) || h->at->pos.line != cells[i].line)))
			fail_msg("%s -> %s %s: %s, %s at %u", cells[i].from, cells[i].to,
				 cells[i].port, p->result, h ? h->rule : "-",
				 h && h->at ? h->at->pos.line : 0);
		explain_done(&x);
	}
	store_free(s);
}

/* a's packets go straight to b, its answers through a middlebox, whose own groups
 * never saw the question: only they decide */
static const char ASYMMETRIC[] =
	"{ \"version\": 1, \"lab\": \"t\", \"vpcs\": { \"v\": { \"cidr_block\": \"10.0.0.0/16\",\n"
	"  \"subnets\": { \"one\": { \"cidr_block\": \"10.0.1.0/24\" },\n"
	"    \"two\": { \"cidr_block\": \"10.0.2.0/24\", \"route_table\": \"back\" } },\n"
	"  \"route_tables\": { \"back\": { \"routes\": { \"10.0.1.0/24\": \"instance:box\" } } },\n"
	"  \"security_groups\": { \"a\": {}, \"box\": { %s },\n"
	"    \"b\": { \"ingress\": [ { \"protocol\": \"tcp\", \"from_port\": 80,\n"
	"      \"cidr_blocks\": [\"10.0.1.0/24\"] } ], \"egress\": [] } },\n"
	"  \"instances\": { \"a\": { \"subnet\": \"one\", \"security_groups\": [\"a\"] },\n"
	"    \"box\": { \"subnet\": \"one\", \"security_groups\": [\"box\"],\n"
	"      \"source_dest_check\": false, \"forward\": true },\n"
	"    \"b\": { \"subnet\": \"two\", \"security_groups\": [\"b\"], \"serve\": [\"tcp/80\"] } "
	"} } } }\n";

static void assert_asymmetric(const char *box, const char *result, const char *direction)
{
	auto_free char *text = NULL;
	struct explain x = { 0 };
	const struct explain_part *p;
	const struct explain_hop *h;
	struct store *s;

	assert_true(asprintf(&text, ASYMMETRIC, box) > 0);
	s = store_of(NULL, text, NULL);
	ask(s, "a", "b", "tcp/80", NULL, &x);
	p = &x.parts[0];
	assert_string_equal(p->result, result);
	if (direction) {
		h = &p->hops[p->decided];
		assert_true(h->answer);
		assert_string_equal(h->direction, direction);
		assert_string_equal(h->component, "v/box");
		assert_int_equal(h->at->pos.line, 5);
	}
	explain_done(&x);
	store_free(s);
}

/* ids: SG-6, CT-1; mutant: explain-tracking */
static void test_each_interface_by_itself(void **state)
{
	(void)state;
	assert_asymmetric("\"ingress\": []", "timeout", "ingress");
	assert_asymmetric("\"ingress\": [ { \"protocol\": \"tcp\", \"from_port\": 1024, "
			  "\"to_port\": 65535, \"cidr_blocks\": [\"10.0.2.0/24\"] } ], "
			  "\"egress\": []",
			  "timeout", "egress");
	assert_asymmetric("\"ingress\": [ { \"protocol\": \"tcp\", \"from_port\": 1024, "
			  "\"to_port\": 65535, \"cidr_blocks\": [\"10.0.2.0/24\"] } ]",
			  "open", NULL);
}

static void assert_path(const struct store *s, const char *from, const char *to, const char *port,
			const char *want)
{
	auto_buf struct buf b = BUF_INIT;
	struct explain x = { 0 };

	ask(s, from, to, port, NULL, &x);
	explain_path(&x.parts[0], &b);
	assert_string_equal(buf_str(&b), want);
	explain_done(&x);
}

static void test_paths(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);

	(void)state;
	assert_path(s, "plain", "203.0.113.5", "tcp/80",
		    "plain > service > internet > igw main > web");
	assert_path(s, "in", "api", "tcp/443", "in > nat main/nat > igw main > internet > api");
	assert_path(s, "fn@priv", "db", "tcp/5432", "fn > db");
	assert_path(s, "db", "api", "tcp/443", "db");
	assert_path(s, "bare", "api", "tcp/443", "bare > igw main");
	store_free(s);
}

/* the rule that lets it in is the receiver's, with its place */
static void test_allowing_rule(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);
	struct explain x = { 0 };
	const struct explain_hop *h;

	(void)state;
	ask(s, "web", "db", "tcp/5432", NULL, &x);
	assert_true(x.parts[0].allowed >= 0);
	h = &x.parts[0].hops[x.parts[0].allowed];
	assert_string_equal(h->component, "main/db");
	assert_string_equal(h->rule, "ingress rule 1: tcp 5432 from security group web");
	assert_int_equal(h->at->pos.line, 22);
	assert_int_equal(h->at->pos.column, 9);
	explain_done(&x);
	store_free(s);
}

/* a port that a command may listen on is taken for closed, and it says so */
static void test_assumed(void **state)
{
	struct store *s = store_of(NULL, LAB, NULL);
	struct explain x = { 0 };

	(void)state;
	ask(s, "web", "dark", "tcp/443", NULL, &x);
	assert_string_equal(x.result, "refused");
	assert_true(x.parts[0].assumed);
	explain_done(&x);
	store_free(s);
}

static void test_several_interfaces(void **state)
{
	static const char asked[] = "[{\"from\":\"fn\",\"to\":\"api\",\"port\":\"tcp/443\"},"
				    "{\"from\":\"nobody\",\"to\":\"api\",\"port\":\"tcp/443\"},"
				    "{\"from\":\"fn\",\"to\":\"api\",\"port\":\"tcp\"},"
				    "{\"from\":\"web\",\"to\":\"no.such.name\",\"port\":\"tcp/1\"},"
				    "{\"from\":\"api\",\"to\":\"db\",\"port\":\"tcp/1\","
				    "\"address\":\"public\"},{}]";
	static const char *const codes[] = { NULL,
					     "InvalidNode.NotFound",
					     "InvalidParameterValue",
					     "InvalidNode.NotFound",
					     "InvalidParameterValue",
					     "InvalidParameterValue" };
	auto_json cJSON *questions = json_parse(asked, strlen(asked), NULL), *answers = NULL;
	struct store *s = store_of(NULL, LAB, NULL);
	const cJSON *a;
	size_t i = 0;

	(void)state;
	answers = explain_answers(s, questions);
	assert_int_equal(cJSON_GetArraySize(answers), ARRAY_SIZE(codes));
	assert_string_equal(json_str(answers->child, "result", ""), "mixed");
	assert_int_equal(cJSON_GetArraySize(json_get(answers->child, "parts")), 2);
	cJSON_ArrayForEach(a, answers) {
		const char *code = json_str(json_get(a, "error"), "code", NULL);

		assert_int_equal(!code, !codes[i]);
		if (code)
			assert_string_equal(code, codes[i]);
		i++;
	}
	store_free(s);
}

/* every walk ends, with a result, a way and, where it is silent, what ends it */
static void test_random_labs(void **state)
{
	static const char *const ports[] = { "tcp/80", "udp/53", "icmp" };
	uint64_t seed;
	size_t k, m;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		auto_free char *text = random_lab(seed);
		struct store *s = store_of(NULL, text, NULL);
		const struct vpc *v;

		for (v = s->lab->vpcs; v < s->lab->vpcs + s->lab->n_vpcs; v++)
			for (k = 0; k < v->n_instances; k++)
				for (m = 0; m < v->n_instances * ARRAY_SIZE(ports); m++) {
					struct explain x = { 0 };
					const struct explain_part *p;

					ask(s, v->instances[k].name,
					    v->instances[m / ARRAY_SIZE(ports)].name,
					    ports[m % ARRAY_SIZE(ports)], "private", &x);
					p = &x.parts[0];
					assert_non_null(p->result);
					assert_true(p->n_hops && p->n_hops <= EXPLAIN_HOPS_MAX);
					assert_true(p->n_namespaces > 0);
					assert_int_equal(!strcmp(p->result, "timeout"),
							 p->decided >= 0 &&
								 p->hops[p->decided].action ==
									 EXPLAIN_DROP);
					explain_done(&x);
				}
		store_free(s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_each_interface_by_itself),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_cells),
		cmocka_unit_test(test_paths),
		cmocka_unit_test(test_allowing_rule),
		cmocka_unit_test(test_assumed),
		cmocka_unit_test(test_several_interfaces),
		cmocka_unit_test(test_random_labs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
