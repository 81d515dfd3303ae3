/* SPDX-License-Identifier: MIT */
/*
 * test_lab - what a valid lab file becomes: defaults, references, implicit
 * objects, order, warnings, look-ups; and the limits on size, depth and names.
 * Bad files are test_lab_bad's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "lib/buf.h"
#include "lib/util.h"
#include "topology/lab.h"
#include "topology/shape.h"

static struct lab *parse(const char *text)
{
	struct issues issues;
	struct lab *lab = lab_parse(text, strlen(text), "lab.json", NULL, &issues);

	for (size_t i = 0; i < issues.n_errors; i++)
		print_message("%u:%u: %s: %s\n", issues.errors[i].pos.line,
			      issues.errors[i].pos.column, issues.errors[i].path,
			      issues.errors[i].msg);
	assert_int_equal(issues.n_errors, 0);
	assert_non_null(lab);
	issues_done(&issues);
	return lab;
}

/* the codes of all errors, or of all warnings, with blanks between */
static void codes(const char *text, bool errors, char *ret, size_t size)
{
	struct issues issues;
	struct lab *lab = lab_parse(text, strlen(text), "lab.json", NULL, &issues);
	const struct issue *v = errors ? issues.errors : issues.warnings;
	size_t n = errors ? issues.n_errors : issues.n_warnings;

	ret[0] = 0;
	for (size_t i = 0; i < n; i++) {
		strncat(ret, i ? " " : "", size - strlen(ret) - 1);
		strncat(ret, v[i].code, size - strlen(ret) - 1);
	}
	issues_done(&issues);
	(void)lab_free(lab);
}

static void expect_warnings(const char *text, const char *expected)
{
	char got[400];

	codes(text, false, got, sizeof(got));
	assert_string_equal(got, expected);
}

static void expect_errors(const char *text, const char *expected)
{
	char got[400];

	codes(text, true, got, sizeof(got));
	assert_string_equal(got, expected);
}

static void assert_prefix(const struct prefix *p, const char *expected)
{
	assert_string_equal(prefix_str(p), expected);
}

static const char small[] =
	"{ \"lab\": \"small\", \"roles\": { \"r\": { \"actions\": [\"ec2:*\"] } },\n"
	"  \"internet\": { \"hosts\": { \"api\": { \"ip\": \"198.51.100.10\",\n"
	"    \"serve\": [\"tcp/443\", \"udp/53\", \"http/80\"], \"dns_names\": "
	"[\"api.example.com\"] } } },\n"
	"  \"vpcs\": { \"main\": { \"cidr_block\": \"10.0.0.0/16\", \"internet_gateway\": true,\n"
	"    \"subnets\": {\n"
	"      \"public\": { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"public\",\n"
	"        \"map_public_ip_on_launch\": true },\n"
	"      \"sealed\": { \"cidr_block\": \"10.0.2.0/24\", \"availability_zone\": "
	"\"us-east-1c\" } },\n"
	"    \"nat_gateways\": { \"nat\": { \"subnet\": \"public\" },\n"
	"      \"inner\": { \"subnet\": \"sealed\", \"connectivity_type\": \"private\", "
	"\"private_ip\": \"10.0.2.50\" } },\n"
	"    \"route_tables\": { \"public\": { \"routes\": {\n"
	"      \"0.0.0.0/0\": \"internet_gateway\", \"10.9.0.0/16\": \"instance:web\",\n"
	"      \"10.8.0.0/16\": \"nat_gateway:nat\", \"10.7.0.0/16\": \"blackhole\" } } },\n"
	"    \"security_groups\": {\n"
	"      \"web\": { \"ingress\": [ { \"protocol\": \"tcp\", \"from_port\": 80, \"to_port\": "
	"81, \"cidr_blocks\": [\"0.0.0.0/0\"] },\n"
	"        { \"protocol\": 17, \"from_port\": 53, \"security_groups\": [\"web\", "
	"\"default\"] },\n"
	"        { \"protocol\": \"icmp\", \"from_port\": 8, \"self\": true },\n"
	"        { \"protocol\": \"47\", \"cidr_blocks\": [\"10.0.0.0/8\"] } ] },\n"
	"      \"mute\": { \"egress\": [] } },\n"
	"    \"instances\": {\n"
	"      \"web\": { \"subnet\": \"public\", \"security_groups\": [\"web\", \"mute\"], "
	"\"elastic_ip\": \"203.0.113.7\",\n"
	"        \"source_dest_check\": false, \"forward\": true, \"serve\": [\"tcp/80\"] },\n"
	"      \"plain\": { \"subnet\": \"sealed\", \"private_ips\": [\"10.0.2.10\"], \"command\": "
	"[\"sleep\", \"1\"],\n"
	"        \"environment\": { \"A\": \"b\" }, \"files\": { \"/tmp/x\": \"text\" }, "
	"\"ready\": [\"tcp/90\"] } } } },\n"
	"  \"functions\": {\n"
	"    \"f\": { \"runtime\": \"exec\", \"command\": [\"cat\"], \"timeout\": 9, "
	"\"environment\": { \"KEY\": \"v\" } },\n"
	"    \"g\": { \"runtime\": \"provided.al2023\", \"code\": \"g.zip\", \"role\": \"r\",\n"
	"      \"vpc_config\": { \"subnets\": [\"sealed\"], \"security_groups\": [\"mute\"] } } "
	"},\n"
	"  \"expect\": [\n"
	"    { \"from\": \"f\", \"to\": \"api\", \"port\": \"tcp/443\", \"result\": \"open\" },\n"
	"    { \"to\": \"plain\", \"port\": \"icmp\", \"only_from\": [], \"within\": 2,\n"
	"      \"because\": [\"SG_HAS_NO_RULES\"] },\n"
	"    { \"name\": \"named\", \"from\": \"g@sealed\", \"to\": \"plain.main.internal\", "
	"\"port\": \"udp/90\",\n"
	"      \"result\": \"timeout\", \"because\": \"SG_HAS_NO_RULES\", \"timeout\": 0.5 },\n"
	"    { \"invoke\": \"f\", \"payload\": [1], \"returns\": null, \"times\": 4, \"parallel\": "
	"2 } ] }\n";

static void test_top(void **state)
{
	struct lab *l = parse("{ \"lab\": \"x\" }");

	(void)state;
	assert_string_equal(l->name, "x");
	assert_string_equal(l->description, "");
	assert_string_equal(l->region, "us-east-1");
	assert_true(l->time_scale == 1 && l->eni_linger == 0);
	assert_int_equal(l->concurrent_executions, 1000);
	assert_string_equal(addr_str(&l->service_ip), "192.0.2.10");
	assert_prefix(&l->address_pool, "198.18.0.0/15");
	assert_int_equal(l->n_vpcs + l->n_hosts + l->n_functions + l->n_expects, 0);
	(void)lab_free(l);
}

static void test_vpc(void **state)
{
	struct lab *l = parse(small);
	const struct vpc *v = lab_vpc(l, "main");
	const struct subnet *public, *sealed;

	(void)state;
	assert_non_null(v);
	assert_prefix(&v->cidr_block, "10.0.0.0/16");
	assert_true(v->internet_gateway && v->enable_dns_support && !v->enable_dns_hostnames);
	assert_int_equal(v->n_route_tables, 2);
	assert_ptr_equal(v->main_route_table, &v->route_tables[1]);
	assert_string_equal(v->main_route_table->name, "");
	public = vpc_subnet(v, "public");
	sealed = vpc_subnet(v, "sealed");
	assert_true(public->explicit_route_table && !sealed->explicit_route_table);
	assert_ptr_equal(public->route_table, vpc_route_table(v, "public"));
	assert_ptr_equal(sealed->route_table, v->main_route_table);
	assert_ptr_equal(sealed->network_acl, &v->network_acls[0]);
	assert_true(v->network_acls[0].implicit && v->network_acls[0].ingress[0].allow);
	assert_string_equal(public->availability_zone, "us-east-1a");
	assert_string_equal(sealed->availability_zone, "us-east-1c");
	assert_string_equal(sealed->at.path, "vpcs.main.subnets.sealed");
	assert_int_equal(sealed->at.pos.line, 8);
	assert_null(vpc_subnet(v, "none"));
	(void)lab_free(l);
}

static void test_routes_and_gateways(void **state)
{
	struct lab *l = parse(small);
	const struct vpc *v = &l->vpcs[0];
	const struct route *r = vpc_route_table(v, "public")->routes;
	const struct nat_gateway *nat = vpc_nat_gateway(v, "nat"),
				 *inner = vpc_nat_gateway(v, "inner");

	(void)state;
	assert_int_equal(r[0].target, TARGET_INTERNET_GATEWAY);
	assert_string_equal(r[0].target_name, "");
	assert_int_equal(r[1].target, TARGET_INSTANCE);
	assert_ptr_equal(r[1].instance, lab_instance(l, "web"));
	assert_string_equal(r[1].target_name, "web");
	assert_ptr_equal(r[2].nat_gateway, nat);
	assert_int_equal(r[3].target, TARGET_BLACKHOLE);
	assert_prefix(&r[3].destination, "10.7.0.0/16");
	assert_true(nat->elastic_ip.set && nat->elastic_ip.automatic && !nat->private_connectivity);
	assert_int_equal(nat->max_connections_per_destination, 55000);
	assert_true(nat->idle_timeout == 350 && !addr_is_set(&nat->private_ip));
	assert_true(inner->private_connectivity && !inner->elastic_ip.set);
	assert_string_equal(addr_str(&inner->private_ip), "10.0.2.50");
	(void)lab_free(l);
}

static void test_groups(void **state)
{
	struct lab *l = parse(small);
	const struct vpc *v = &l->vpcs[0];
	const struct security_group *web = vpc_security_group(v, "web");
	const struct security_group *mute = vpc_security_group(v, "mute");
	const struct security_group *def = vpc_security_group(v, "default");

	(void)state;
	assert_int_equal(v->n_security_groups, 3);
	assert_int_equal(web->n_ingress, 4);
	assert_int_equal(web->ingress[0].protocol, IPPROTO_TCP);
	assert_int_equal(web->ingress[0].from_port, 80);
	assert_int_equal(web->ingress[0].to_port, 81);
	assert_int_equal(web->ingress[1].protocol, IPPROTO_UDP);
	assert_int_equal(web->ingress[1].to_port, 53);
	assert_ptr_equal(web->ingress[1].security_groups[1], def);
	assert_null(web->ingress[1].via[1]);
	assert_int_equal(web->ingress[2].from_port, 8);
	assert_int_equal(web->ingress[2].to_port, -1);
	assert_true(web->ingress[2].self);
	assert_int_equal(web->ingress[3].protocol, 47);
	assert_int_equal(web->n_egress, 1);
	assert_int_equal(web->egress[0].protocol, -1);
	assert_prefix(&web->egress[0].cidr_blocks[0], "0.0.0.0/0");
	assert_int_equal(mute->n_egress + mute->n_ingress, 0);
	assert_true(def->implicit && def->ingress[0].self);
	assert_int_equal(def->n_egress, 1);
	(void)lab_free(l);
}

static void test_nodes(void **state)
{
	struct lab *l = parse(small);
	const struct instance *web = lab_instance(l, "web"), *plain = lab_instance(l, "plain");
	const struct host *api = lab_host(l, "api");
	struct port http80 = { IPPROTO_TCP, 80, false }, tcp90 = { IPPROTO_TCP, 90, false };

	(void)state;
	assert_null(lab_instance(l, "api"));
	assert_true(web->associate_public_ip_address && !plain->associate_public_ip_address);
	assert_true(!web->source_dest_check && web->forward && plain->source_dest_check);
	assert_int_equal(web->n_security_groups, 2);
	assert_string_equal(plain->security_groups[0]->name, "default");
	assert_string_equal(addr_str(&plain->private_ips[0]), "10.0.2.10");
	assert_string_equal(plain->programs.user, "root");
	assert_string_equal(plain->programs.working_directory, "/");
	assert_string_equal(plain->programs.command.v[1], "1");
	assert_string_equal(plain->programs.files[0].path, "/tmp/x");
	assert_string_equal(plain->programs.environment[0].value, "b");
	assert_true(plain->programs.ready_timeout == 30);
	assert_true(programs_serve(&plain->programs, &tcp90));
	assert_true(programs_serve(&api->programs, &http80) && api->programs.serve[2].http);
	assert_false(programs_serve(&api->programs, &tcp90));
	assert_string_equal(api->dns_names.v[0], "api.example.com");
	(void)lab_free(l);
}

static void test_functions(void **state)
{
	struct lab *l = parse(small);
	const struct function *f = lab_function(l, "f"), *g = lab_function(l, "g");

	(void)state;
	assert_int_equal(f->timeout, 9);
	assert_int_equal(f->memory_size, 128);
	assert_int_equal(f->ephemeral_storage, 512);
	assert_int_equal(f->reserved_concurrent_executions, -1);
	assert_string_equal(f->environment[0].name, "KEY");
	assert_null(f->vpc);
	assert_string_equal(f->code, "");
	assert_string_equal(g->code, "g.zip");
	assert_ptr_equal(g->vpc, &l->vpcs[0]);
	assert_ptr_equal(g->subnets[0], vpc_subnet(g->vpc, "sealed"));
	assert_ptr_equal(g->security_groups[0], vpc_security_group(g->vpc, "mute"));
	assert_ptr_equal(g->role, &l->roles[0]);
	(void)lab_free(l);
}

static void test_expectations(void **state)
{
	struct lab *l = parse(small);
	const struct expect *x = l->expects;

	(void)state;
	assert_int_equal(l->n_expects, 4);
	assert_true(x[0].timeout == 1 && x[0].within == 0 && !x[0].has_only_from);
	assert_true(x[0].from.n == 1 && x[0].to.n == 1 && x[0].n_ports == 1 && !x[0].product);
	assert_string_equal(x[0].from.v[0].text, "f");
	assert_string_equal(x[0].to.v[0].node, "api");
	assert_string_equal(x[0].ports[0].text, "tcp/443");
	assert_string_equal(x[0].result, "open");
	assert_true(x[1].has_only_from && !x[1].from.n && x[1].within == 2);
	assert_int_equal(x[1].ports[0].port.proto, IPPROTO_ICMP);
	assert_int_equal(x[1].because.n, 1);
	assert_string_equal(x[2].from.v[0].text, "g@sealed");
	assert_string_equal(x[2].from.v[0].node, "g");
	assert_null(x[2].to.v[0].node);
	assert_string_equal(x[2].because.v[0], "SG_HAS_NO_RULES");
	assert_true(x[2].timeout == 0.5);
	assert_string_equal(x[3].invoke, "f");
	assert_true(cJSON_IsArray(x[3].payload) && cJSON_IsNull(x[3].returns) && !x[3].matches);
	assert_int_equal(x[3].times * 10 + x[3].parallel, 42);
	(void)lab_free(l);
}

/* a lab of "n" hosts, and "expects" */
static char *hosts_text(unsigned n, const char *expects)
{
	struct buf b = BUF_INIT;

	buf_adds(&b, "{ \"lab\": \"x\", \"internet\": { \"hosts\": {");
	for (unsigned i = 0; i < n; i++)
		buf_printf(&b, "%s\"h%u\": { \"ip\": \"198.51.%u.%u\" }", i ? ", " : " ", i,
			   i / 200, i % 200 + 1);
	buf_printf(&b, " } },\n\"expect\": [%s] }", expects);
	return buf_steal(&b);
}

/* a few words can ask for very much */
static void test_limit_of_cases(void **state)
{
#define ALL_TO_ALL(port) \
	"{ \"from\": \"*\", \"to\": \"*\", \"port\": " port ", \"result\": \"open\" }"
#define ONE "{ \"from\": \"h0\", \"to\": \"h1\", \"port\": \"icmp\", \"result\": \"open\" }"
	static const struct {
		unsigned n;
		const char *expects, *path;
	} cases[] = {
		{ 100, ALL_TO_ALL("[\"tcp/1\", \"tcp/2\"]"), NULL },
		{ 100, ALL_TO_ALL("[\"tcp/1\", \"tcp/2\"]") ", " ONE, "expect[1]" },
		{ 100, ALL_TO_ALL("[\"tcp/1\", \"tcp/2\", \"tcp/3\"]"), "expect[0]" },
		{ 142, ALL_TO_ALL("\"icmp\""), "expect[0]" },
		/* told once, and what follows is still read */
		{ 142, ALL_TO_ALL("\"icmp\"") ", " ALL_TO_ALL("\"icmp\""), "expect[0]" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		auto_free char *text = hosts_text(cases[i].n, cases[i].expects);
		struct issues issues;
		struct lab *l = lab_parse(text, strlen(text), "t.json", NULL, &issues);

		assert_int_equal(issues.n_errors, cases[i].path ? 1 : 0);
		assert_int_equal(l != NULL, !cases[i].path);
		if (cases[i].path) {
			assert_string_equal(issues.errors[0].path, cases[i].path);
			assert_string_equal(issues.errors[0].code, "TestCaseLimitExceeded");
		}
		issues_done(&issues);
		(void)lab_free(l);
	}
}

static void test_warnings(void **state)
{
	(void)state;
	expect_warnings(
		"{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"100.68.0.18/18\" } } }",
		"cidr-host-bits");
	expect_warnings("{ \"lab\": \"x\", \"internet\": { \"hosts\": { \"h\": { \"ip\": "
			"\"10.9.9.9\" } } } }",
			"internet-host-private-address");
	expect_warnings("{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/16\","
			"\"subnets\": { \"s\": { \"cidr_block\": \"10.0.0.0/24\" } },"
			"\"nat_gateways\": { \"n\": { \"subnet\": \"s\" } },"
			"\"security_groups\": { \"g\": { \"ingress\": [ { \"protocol\": \"-1\","
			"\"from_port\": 80, \"self\": true } ] } },"
			"\"instances\": { \"i\": { \"subnet\": \"s\", "
			"\"associate_public_ip_address\": true } } } } }",
			"nat-without-igw sg-rule-ports-ignored public-address-without-igw");
	expect_warnings(
		"{ \"lab\": \"x\", \"internet\": { \"hosts\": { \"h\": { \"ip\": "
		"\"198.51.100.1\" }, \"g\": { \"ip\": \"198.51.100.2\" } } }, \"expect\": [ { "
		"\"from\": [\"h\", \"!g\"], \"to\": [\"*\", \"!g\", \"h\"], \"port\": \"icmp\", "
		"\"result\": \"open\" }, { \"from\": \"!h\", \"to\": \"h\", \"port\": \"icmp\", "
		"\"result\": \"open\" } ] }",
		"selector-takes-nothing-out");
	expect_warnings(
		"{ \"lab\": \"x\", \"roles\": { \"r\": { \"managed_policies\": [\"Mine\"],"
		"\"actions\": [\"*\"] } }, \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/16\","
		"\"internet_gateway\": true,"
		"\"subnets\": { \"s\": { \"cidr_block\": \"10.0.0.0/24\" },"
		"\"p\": { \"cidr_block\": \"10.0.1.0/24\", \"route_table\": \"out\" } },"
		"\"route_tables\": { \"out\": { \"routes\": { \"0.0.0.0/0\": \"internet_gateway\" "
		"} } },"
		"\"nat_gateways\": { \"n\": { \"subnet\": \"s\" } } } },"
		"\"functions\": { \"f\": { \"runtime\": \"exec\", \"command\": [\"cat\"], "
		"\"role\": \"r\","
		"\"vpc_config\": { \"subnets\": [\"s\", \"p\"], \"security_groups\": [\"default\"] "
		"} } } }",
		"managed-policy-unknown nat-in-private-subnet lambda-public-subnet "
		"function-subnets-differ");
}

/* refused by this build, but their warnings are there already */
static void test_warnings_about_answers(void **state)
{
	(void)state;
	expect_warnings(
		"{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/16\","
		"\"route_tables\": { \"r\": { \"routes\": { \"10.1.0.0/16\": \"peering:p\" } } } },"
		"\"b\": { \"cidr_block\": \"10.1.0.0/16\" } },"
		"\"peerings\": { \"p\": { \"requester\": \"a\", \"accepter\": \"b\" } } }",
		"peering-one-sided-route");
	expect_warnings("{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/16\","
			"\"network_acls\": { \"n\": { \"ingress\": [ { \"rule_number\": 1,"
			"\"rule_action\": \"allow\", \"protocol\": \"tcp\", \"from_port\": 80,"
			"\"cidr_block\": \"0.0.0.0/0\" } ], \"egress\": [ { \"rule_number\": 1,"
			"\"rule_action\": \"allow\", \"protocol\": \"tcp\", \"from_port\": 1,"
			"\"to_port\": 1024, \"cidr_block\": \"0.0.0.0/0\" } ] } } } } }",
			"acl-no-return-ports");
}

/* one list each way: "in" and "out" are entries as ACTION PROTOCOL FROM-TO, in the order
 * of their numbers */
static void expect_acl_warning(const char *in, const char *out, const char *want)
{
	auto_buf struct buf b = BUF_INIT;
	const char *lists[] = { in, out };
	size_t i;

	buf_adds(&b, "{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/16\","
		     "\"network_acls\": { \"n\": { ");
	for (i = 0; i < ARRAY_SIZE(lists); i++) {
		const char *at = lists[i];
		char action[8], protocol[8];
		int from, to, n, number = 0;

		buf_adds(&b, i ? " ], \"egress\": [ " : "\"ingress\": [ ");
		while (sscanf(at, "%7s %7s %d-%d%n", action, protocol, &from, &to, &n) == 4) {
			buf_printf(&b,
				   "%s{ \"rule_number\": %d, \"rule_action\": \"%s\","
				   "\"protocol\": \"%s\", \"from_port\": %d, \"to_port\": %d,"
				   "\"cidr_block\": \"0.0.0.0/0\" }",
				   number ? ", " : "", number + 1, action, protocol, from, to);
			number++;
			at += n;
		}
	}
	buf_adds(&b, " ] } } } } }");
	expect_warnings(buf_str(&b), want);
}

static void test_warnings_about_lists(void **state)
{
	(void)state;
	expect_acl_warning("allow tcp 80-80", "allow tcp 1024-65535", "");
	expect_acl_warning("allow tcp 1024-65535", "allow tcp 443-443", "");
	expect_acl_warning("allow tcp 443-443", "allow tcp 443-443", "acl-no-return-ports");
	expect_acl_warning("allow tcp 80-80", "allow tcp 1024-60000", "acl-no-return-ports");
	expect_acl_warning("allow tcp 80-80", "allow udp 1024-65535", "acl-no-return-ports");
	expect_acl_warning("allow -1 0-0", "allow tcp 0-65535", "acl-no-return-ports");
	/* two make one, a deny makes a hole, what is denied first lets nobody in */
	expect_acl_warning("allow tcp 80-80", "allow tcp 1024-40000 allow tcp 40001-65535", "");
	expect_acl_warning("allow tcp 80-80", "deny tcp 50000-50010 allow tcp 1024-65535",
			   "acl-no-return-ports");
	expect_acl_warning("deny tcp 0-1023 allow tcp 80-80", "allow udp 1024-65535", "");
	expect_acl_warning("allow icmp 0-0 allow 47 0-0", "", "");
}

static void test_aws_codes(void **state)
{
	(void)state;
	expect_errors("{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/15\" },"
		      "\"b\": { \"cidr_block\": \"ten\" } } }",
		      "InvalidVpc.Range InvalidParameterValue");
	expect_errors("{ \"lab\": \"x\", \"vpcs\": { \"a\": { \"cidr_block\": \"10.0.0.0/16\", "
		      "\"subnets\": {"
		      "\"s\": { \"cidr_block\": \"10.1.0.0/24\" }, \"t\": { \"cidr_block\": "
		      "\"10.0.0.0/24\" },"
		      "\"u\": { \"cidr_block\": \"10.0.0.0/25\" } } } } }",
		      "InvalidSubnet.Range InvalidSubnet.Conflict");
	expect_errors(
		"{ \"lab\": \"x\", \"functions\": { \"f\": { \"runtime\": \"exec\", \"command\": "
		"[\"cat\"],"
		"\"timeout\": 0, \"x\": 1, \"code\": 5 }, \"g\": {} } }",
		"ValidationException UnknownParameter SerializationException MissingParameter");
}

static void test_replaced_name(void **state)
{
	const char text[] = "{ \"lab\": \"x\" }";
	struct issues issues;
	struct lab *l = lab_parse(text, strlen(text), "-",
				  "three-modes-of-a-very-long-name-indeed-3fa21c", &issues);

	(void)state;
	assert_non_null(l);
	assert_string_equal(l->name, "three-modes-of-a-very-long-name-indeed-3fa21c");
	issues_done(&issues);
	(void)lab_free(l);
	l = lab_parse(text, strlen(text), "-", "../x", &issues);
	assert_null(l);
	assert_int_equal(issues_exit(&issues), 2);
	assert_string_equal(issues.errors[0].path, "lab");
	issues_done(&issues);
}

static void parse_depth(unsigned depth, int expected)
{
	char text[400] = "{ \"lab\": \"x\", \"expect\": [ { \"invoke\": \"f\", \"returns\": ";
	const char tail[] = " } ], \"functions\": { \"f\": { \"runtime\": \"exec\", \"command\": "
			    "[\"cat\"] } } }";
	size_t at = strlen(text);
	struct issues issues;

	/* the top, the list and the expectation are three levels */
	memset(text + at, '[', depth - 3);
	memset(text + at + depth - 3, ']', depth - 3);
	strcpy(text + at + 2 * (depth - 3), tail);
	(void)lab_free(lab_parse(text, strlen(text), "-", NULL, &issues));
	assert_int_equal(issues_exit(&issues), expected);
	issues_done(&issues);
}

static void test_limits(void **state)
{
	char *big = malloc(LAB_SIZE_MAX + 1);
	struct issues issues;
	struct lab *l;

	(void)state;
	parse_depth(64, 0);
	parse_depth(65, 2);
	assert_non_null(big);
	memset(big, ' ', LAB_SIZE_MAX + 1);
	memcpy(big, "{ \"lab\": \"x\" }", 14);
	l = lab_parse(big, LAB_SIZE_MAX, "-", NULL, &issues);
	assert_non_null(l);
	(void)lab_free(l);
	issues_done(&issues);
	assert_null(lab_parse(big, LAB_SIZE_MAX + 1, "-", NULL, &issues));
	assert_int_equal(issues.n_errors, 1);
	assert_string_equal(issues.errors[0].code, "file-too-large");
	issues_done(&issues);
	free(big);
}

static void test_many_faults(void **state)
{
	const size_t n = LAB_SIZE_MAX / 64;
	char *text = malloc(n * 20 + 100), *end = text;
	struct issues issues;

	(void)state;
	assert_non_null(text);
	end += sprintf(end, "{ \"lab\": \"x\"");
	for (size_t i = 0; i < n; i++)
		end += sprintf(end, ",\"x%zu\":1", i);
	end += sprintf(end, "}");
	assert_null(lab_parse(text, (size_t)(end - text), "-", NULL, &issues));
	assert_int_equal(issues.n_errors, 10000);
	assert_string_equal(issues.errors[9999].msg, "and more faults, which aren't listed");
	issues_done(&issues);
	free(text);
}

static void test_json_of_issues(void **state)
{
	const char text[] = "{ \"lab\": \"x\",\n  \"vpcs\": { \"a\": { \"cidr_block\": "
			    "\"10.0.0.5/16\", \"b\": 1 } } }";
	struct issues issues;
	char *line, *printed;
	cJSON *o;

	(void)state;
	assert_null(lab_parse(text, strlen(text), "lab.json", NULL, &issues));
	o = issues_json(&issues);
	printed = json_print(o);
	assert_string_equal(
		printed,
		"{\"valid\":false,\"errors\":[{\"file\":\"lab.json\",\"line\":2,\"column\":54,"
		"\"path\":\"vpcs.a.b\",\"message\":\"there is no such member (allowed: cidr_block, "
		"secondary_cidr_blocks, internet_gateway, enable_dns_support, "
		"enable_dns_hostnames, "
		"main_route_table, subnets, route_tables, nat_gateways, security_groups, "
		"network_acls, "
		"instances, network_interfaces, private_zone, "
		"flow_logs)\",\"code\":\"UnknownParameter\"}],"
		"\"warnings\":[{\"file\":\"lab.json\",\"line\":2,\"column\":34,"
		"\"path\":\"vpcs.a.cidr_block\",\"message\":\"10.0.0.5/16 has host bits set; it is "
		"taken as "
		"10.0.0.0/16\",\"code\":\"cidr-host-bits\"}]}");
	line = issue_line(&issues.warnings[0]);
	assert_string_equal(line,
			    "lab.json:2:34: vpcs.a.cidr_block: 10.0.0.5/16 has host bits set; "
			    "it is taken as 10.0.0.0/16");
	free(line);
	free(printed);
	cJSON_Delete(o);
	issues_done(&issues);
}

static void test_ports(void **state)
{
	struct port p;

	(void)state;
	assert_int_equal(port_parse("http/8080", &p), 0);
	assert_true(p.http && p.proto == IPPROTO_TCP && p.port == 8080);
	assert_int_equal(port_parse("udp/65535", &p), 0);
	assert_int_equal(p.port, 65535);
	assert_int_equal(port_parse("icmp", &p), 0);
	assert_int_equal(p.proto, IPPROTO_ICMP);
	assert_true(port_parse("tcp/0", &p) < 0 && port_parse("tcp/65536", &p) < 0);
	assert_true(port_parse("tcp/01", &p) < 0 && port_parse("tcp/", &p) < 0);
	assert_true(port_parse("sctp/1", &p) < 0 && port_parse("", &p) < 0);
	assert_true(reach_code_known("SG_HAS_NO_RULES") && !reach_code_known("NO_LUCK"));
}

static void test_scenario_steps(void **state)
{
	static const char *const titles[] = {
		"connect old: a -> b udp/9", "patch vpcs.v.instances.c.subnet",
		"connection old is alive",   "advance 0.5 s",
		"c -> b tcp/80 open",	     "patch the lab",
	};
	struct lab *l = parse(
		"{ \"lab\": \"x\", \"expect\": [{ \"from\": \"a\", \"to\": \"b\", \"port\": "
		"\"icmp\", \"result\": \"open\" }],\n"
		"  \"vpcs\": { \"v\": { \"cidr_block\": \"10.0.0.0/16\", \"subnets\": { \"s\": { "
		"\"cidr_block\": \"10.0.0.0/24\" } },\n"
		"    \"instances\": { \"a\": { \"subnet\": \"s\" }, \"b\": { \"subnet\": \"s\" } } "
		"} "
		"},\n"
		"  \"scenarios\": { \"one\": [\n"
		"    { \"connect\": \"old\", \"from\": \"a\", \"to\": \"b\", \"port\": \"udp/9\" "
		"},\n"
		"    { \"patch\": { \"vpcs\": { \"v\": { \"instances\": {\n"
		"        \"c\": { \"subnet\": \"s\" }, \"$comment\": \"x\" } } } } },\n"
		"    { \"connection\": \"old\", \"result\": \"alive\" },\n"
		"    { \"advance\": 0.5 },\n"
		"    { \"from\": \"c\", \"to\": \"b\", \"port\": \"tcp/80\", \"result\": "
		"\"open\" },\n"
		"    { \"patch\": { \"region\": null, \"description\": \"y\" } } ],\n"
		"    \"none\": [] } }");
	const struct scenario *s = &l->scenarios[0];

	(void)state;
	assert_int_equal(l->n_scenarios, 2);
	assert_string_equal(s->name, "one");
	assert_string_equal(s->steps[4].at.path, "scenarios.one[4]");
	assert_int_equal(s->n_steps, ARRAY_SIZE(titles));
	for (size_t i = 0; i < s->n_steps; i++) {
		auto_free char *title = scenario_step_title(&s->steps[i]);

		assert_string_equal(title, titles[i]);
	}
	/* what is in force at a step */
	assert_ptr_equal(s->steps[0].lab, l);
	assert_non_null(lab_instance(s->steps[1].lab, "c"));
	assert_ptr_equal(s->steps[4].lab, s->steps[1].lab);
	assert_string_equal(s->steps[5].lab->description, "y");
	assert_null(lab_instance(l, "c"));
	/* copies have neither */
	assert_null(json_get(l->bare, "expect"));
	assert_null(json_get(l->bare, "scenarios"));
	assert_int_equal(s->steps[1].lab->n_expects, 0);
	(void)lab_free(l);
}

static void test_patches_have_a_limit(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	/* each patch makes a lab of a megabyte */
	buf_adds(&b, "{ \"lab\": \"x\", \"description\": \"");
	for (size_t i = 0; i < 1 << 20; i++)
		buf_adds(&b, "x");
	buf_adds(&b, "\", \"scenarios\": { \"s\": [");
	for (size_t i = 0; i < 17; i++)
		buf_printf(&b, "%s{ \"patch\": {} }", i ? ", " : "");
	buf_adds(&b, " ] } }");
	expect_errors(buf_str(&b), "LimitExceeded");
	buf_done(&b);
}

static void test_schema_file_is_the_tables(void **state)
{
	cJSON *schema = shape_schema();
	auto_free char *printed = schema ? cJSON_Print(schema) : NULL;
	auto_free char *file = NULL;
	size_t size;

	(void)state;
	assert_non_null(printed);
	assert_int_equal(read_file("topology/schema.json", 1 << 20, &file, &size), 0);
	assert_int_equal(size, strlen(printed) + 1);
	assert_memory_equal(file, printed, size - 1);
	cJSON_Delete(schema);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_vpc),
		cmocka_unit_test(test_routes_and_gateways),
		cmocka_unit_test(test_groups),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_expectations),
		cmocka_unit_test(test_limit_of_cases),
		cmocka_unit_test(test_warnings),
		cmocka_unit_test(test_warnings_about_answers),
		cmocka_unit_test(test_warnings_about_lists),
		cmocka_unit_test(test_aws_codes),
		cmocka_unit_test(test_replaced_name),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_many_faults),
		cmocka_unit_test(test_json_of_issues),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_scenario_steps),
		cmocka_unit_test(test_patches_have_a_limit),
		cmocka_unit_test(test_schema_file_is_the_tables),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
