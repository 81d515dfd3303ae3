/* SPDX-License-Identifier: MIT */
/*
 * test_store - topology/store*.c: ids and numbers that are kept for life, what a
 * changed document means, places, saving.
 */
#include <errno.h>

#include "tests/unit/model.h"

/* a lab with room for one change: "subnet" of the VPC, "rest" after the VPC */
static char *lab_text(const char *instances, const char *vpc_rest, const char *rest)
{
	char *r;

	assert_true(asprintf(&r,
			     "{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"main\":{"
			     "\"cidr_block\":\"10.0.0.0/16\",\"internet_gateway\":true,"
			     "\"subnets\":{\"a\":{\"cidr_block\":\"10.0.1.0/28\"},"
			     "\"b\":{\"cidr_block\":\"10.0.2.0/24\"}},"
			     "\"security_groups\":{\"x\":{},\"y\":{}},"
			     "\"instances\":{%s}%s}}%s}",
			     instances, vpc_rest, rest) > 0);
	return r;
}

static struct store *next(const struct store *old, const char *instances, const char *vpc_rest,
			  const char *rest, struct ops *ops)
{
	char *text = lab_text(instances, vpc_rest, rest);
	struct store *s = store_of(old, text, ops);

	free(text);
	return s;
}

static const char *ip_of(const struct store *s, const char *name)
{
	return addr_str(&store_instance(s, name)->eni->private_ips[0]);
}

/* "create vpc main; ..." ; caller frees */
static char *ops_text(const struct ops *o)
{
	struct buf b = BUF_INIT;

	for (size_t i = 0; i < o->n; i++)
		buf_printf(&b, "%s %s %s%s%s;", op_action_name(o->v[i].action),
			   object_kind_name(o->v[i].kind), o->v[i].name,
			   o->v[i].because[0] ? ": " : "", o->v[i].because);
	return buf_steal(&b);
}

static void check_ops(struct ops *o, const char *want)
{
	char *got = ops_text(o);

	assert_string_equal(got, want);
	free(got);
	ops_done(o);
}

static void test_ids(void **state)
{
	struct store *s = next(NULL, "\"i\":{\"subnet\":\"a\"}", "", "", NULL);
	struct store *t = next(NULL, "\"i\":{\"subnet\":\"a\"}", "", "", NULL);
	const struct object *o = store_find(s, OBJECT_SUBNET, "main/a");

	(void)state;
	assert_non_null(o);
	assert_int_equal(strlen(o->id), strlen("subnet-") + 17);
	assert_ptr_equal(store_by_id(s, o->id), o);
	assert_null(store_find(s, OBJECT_SUBNET, "a"));
	assert_string_equal(o->id, store_find(t, OBJECT_SUBNET, "main/a")->id);
	assert_int_equal(strncmp(store_instance(s, "i")->o.id, "i-", 2), 0);
	assert_int_equal(strncmp(store_instance(s, "i")->eni->o.id, "eni-", 4), 0);
	assert_int_equal(strlen(store_instance(s, "i")->eni->router_interface), 15);
	assert_string_equal(store_namespace(s, "i"), store_instance(s, "i")->ns);
	assert_string_equal(store_namespace(s, "router:main"), "router.main");
	assert_string_equal(store_namespace(s, "internet"), "internet");
	assert_null(store_namespace(s, "nobody"));
	store_free(s);
	store_free(t);
}

static void test_creation(void **state)
{
	struct ops o;
	struct store *s = next(NULL, "\"i\":{\"subnet\":\"a\"}", "", "", &o);

	(void)state;
	check_ops(&o, "create vpc main;create security_group main/x;create security_group main/y;"
		      "create subnet main/a;create subnet main/b;create instance i;");
	store_free(s);
}

/* VPC-9, and the order of the file */
static void test_addresses(void **state)
{
	struct store *s = next(NULL,
			       "\"i\":{\"subnet\":\"a\"},\"j\":{\"subnet\":\"a\"},"
			       "\"f\":{\"subnet\":\"a\",\"private_ips\":[\"10.0.1.5\"]},"
			       "\"k\":{\"subnet\":\"b\"}",
			       ",\"nat_gateways\":{\"n\":{\"subnet\":\"a\"}}", "", NULL);

	(void)state;
	assert_string_equal(ip_of(s, "i"), "10.0.1.4");
	assert_string_equal(ip_of(s, "f"), "10.0.1.5");
	assert_string_equal(ip_of(s, "j"), "10.0.1.6");
	assert_string_equal(addr_str(&s->vpcs[0].nats[0].eni->private_ips[0]), "10.0.1.7");
	assert_string_equal(addr_str(&s->vpcs[0].nats[0].eni->public_ip), "198.18.0.1");
	assert_string_equal(ip_of(s, "k"), "10.0.2.4");
	assert_false(addr_is_set(&store_instance(s, "i")->eni->public_ip));
	assert_string_equal(addr_str(&s->vpcs[0].resolver), "10.0.0.2");
	store_free(s);
}

static void test_addresses_are_kept(void **state)
{
	struct store *s = next(NULL, "\"i\":{\"subnet\":\"a\"},\"j\":{\"subnet\":\"a\"}", "", "",
			       NULL),
		     *t, *u;
	struct ops o;

	(void)state;
	t = next(s, "\"new\":{\"subnet\":\"a\"},\"j\":{\"subnet\":\"a\"}", "", "", &o);
	check_ops(&o, "create instance new;delete instance i;");
	assert_string_equal(ip_of(t, "j"), "10.0.1.5");
	assert_string_equal(ip_of(t, "new"), "10.0.1.4");
	assert_string_equal(ip_of(s, "i"), "10.0.1.4");
	assert_string_equal(store_instance(s, "j")->o.id, store_instance(t, "j")->o.id);
	/* who comes back is another one */
	u = next(t, "\"i\":{\"subnet\":\"a\"},\"j\":{\"subnet\":\"a\"}", "", "", NULL);
	assert_int_equal(store_instance(u, "i")->o.incarnation, 2);
	assert_string_not_equal(store_instance(s, "i")->o.id, store_instance(u, "i")->o.id);
	assert_string_not_equal(store_instance(s, "i")->ns, store_instance(u, "i")->ns);
	store_free(s);
	store_free(t);
	store_free(u);
}

static void test_changes(void **state)
{
	static const struct {
		const char *instances, *vpc_rest, *want;
	} cases[] = {
		{ "\"i\":{\"subnet\":\"a\"}", "", "" },
		{ "\"i\":{\"subnet\":\"b\"}", "", "replace instance i: subnet changed;" },
		{ "\"i\":{\"subnet\":\"a\",\"security_groups\":[\"x\"]}", "",
		  "update instance i: security_groups changed;" },
		{ "\"i\":{\"subnet\":\"a\",\"serve\":[\"tcp/80\"],\"source_dest_check\":false}", "",
		  "update instance i: source_dest_check, serve changed;" },
		{ "\"i\":{\"subnet\":\"a\",\"private_ips\":[\"10.0.1.4\"]}", "", "" },
		{ "\"i\":{\"subnet\":\"a\",\"private_ips\":[\"10.0.1.9\"]}", "",
		  "replace instance i: private_ips changed;" },
		{ "\"i\":{\"subnet\":\"a\"}", ",\"enable_dns_support\":false",
		  "update vpc main: enable_dns_support changed;" },
		{ "\"i\":{\"subnet\":\"a\"}",
		  ",\"route_tables\":{\"t\":{\"routes\":{\"0.0.0.0/0\":\"internet_gateway\"}}}",
		  "create route_table main/t;" },
		{ "", "", "delete instance i;" },
	};
	struct store *s = next(NULL, "\"i\":{\"subnet\":\"a\"}", "", "", NULL);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct ops o;
		struct store *t = next(s, cases[i].instances, cases[i].vpc_rest, "", &o);

		check_ops(&o, cases[i].want);
		store_free(t);
	}
	store_free(s);
}

/* a VPC that is replaced takes along all that is in it */
static void test_replaced_vpc(void **state)
{
	static const char *const text =
		"{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"v\":{"
		"\"cidr_block\":\"10.%d.0.0/16\",\"subnets\":{\"s\":{\"cidr_block\":"
		"\"10.%d.1.0/24\"}},\"security_groups\":{\"g\":{}},"
		"\"route_tables\":{\"t\":{\"routes\":{}}},"
		"\"instances\":{\"i\":{\"subnet\":\"s\"}}}}}";
	struct store *s, *t;
	struct ops o;
	char *a, *b;

	(void)state;
	assert_true(asprintf(&a, text, 0, 0) > 0);
	assert_true(asprintf(&b, text, 1, 1) > 0);
	s = store_of(NULL, a, NULL);
	t = store_of(s, b, &o);
	check_ops(&o,
		  "replace vpc v: cidr_block changed;replace security_group v/g: vpc changed;"
		  "replace subnet v/s: cidr_block, vpc changed;replace instance i: subnet changed;"
		  "replace route_table v/t: vpc changed;");
	assert_string_equal(ip_of(t, "i"), "10.1.1.4");
	store_free(s);
	store_free(t);
	free(a);
	free(b);
}

/* NAT-18: AWS makes it and it fails; kind 2 of wrong */
static void test_failed_nat_gateway(void **state)
{
	static const char *const text =
		"{\"version\":1,\"lab\":\"t\",\"vpcs\":{\"v\":{"
		"\"cidr_block\":\"10.0.0.0/16\",\"internet_gateway\":%s,\"subnets\":{\"s\":"
		"{\"cidr_block\":\"10.0.1.0/24\",\"route_table\":\"t\"}},"
		"\"nat_gateways\":{\"n\":{\"subnet\":\"s\"}},"
		"\"route_tables\":{\"t\":{\"routes\":{\"0.0.0.0/0\":\"nat_gateway:n\"}}}}}}";
	struct store *s, *t;
	struct ops o;
	char *a, *b;

	(void)state;
	assert_true(asprintf(&a, text, "false") > 0);
	assert_true(asprintf(&b, text, "true") > 0);
	s = store_of(NULL, a, &o);
	assert_int_equal(o.n_warnings, 1);
	assert_string_equal(o.warnings[0].code, "Gateway.NotAttached");
	assert_string_equal(o.warnings[0].path, "vpcs.v.nat_gateways.n");
	ops_done(&o);
	assert_string_equal(s->vpcs[0].nats[0].o.state, "failed");
	assert_null(s->vpcs[0].nats[0].eni);
	assert_false(store_route_active(&s->vpcs[0], &s->vpcs[0].tables[0].def->routes[0]));
	t = store_of(s, b, &o);
	assert_int_equal(o.n_warnings, 0);
	check_ops(&o, "update vpc v: internet_gateway changed;"
		      "replace nat_gateway v/n: internet_gateway changed;");
	assert_true(store_route_active(&t->vpcs[0], &t->vpcs[0].tables[0].def->routes[0]));
	store_free(s);
	store_free(t);
	free(a);
	free(b);
}

#define FUNCTION(name, subnets, groups)                                            \
	"\"" name "\":{\"runtime\":\"exec\",\"command\":[\"cat\"],\"role\":\"r\"," \
	"\"vpc_config\":{\"subnets\":" subnets ",\"security_groups\":" groups "}}"
#define ROLE ",\"roles\":{\"r\":{\"managed_policies\":[\"AWSLambdaVPCAccessExecutionRole\"]}}"

/* LN-8: one a (subnet, set of groups), in whatever order the groups are named */
static void test_shared_interface_of_functions(void **state)
{
	struct store *
		s = next(
		       NULL, "", "",
		       ROLE ",\"functions\":{" FUNCTION(
			       "f", "[\"a\",\"b\"]",
			       "[\"x\",\"y\"]") "," FUNCTION("g", "[\"a\"]",
							     "[\"y\",\"x\"]") "," FUNCTION("h",
											   "[\"a\""
											   "]",
											   "[\"x\""
											   "]") ","
												"\""
												"p"
												"\""
												":{"
												"\""
												"ru"
												"nt"
												"im"
												"e"
												"\""
												":"
												"\""
												"ex"
												"ec"
												"\""
												","
												"\""
												"co"
												"mm"
												"an"
												"d"
												"\""
												":["
												"\""
												"ca"
												"t"
												"\""
												"]}"
												"}",
		       NULL),
	       *t;
	const struct s_function *f = store_function(s, "f"), *g = store_function(s, "g");

	(void)state;
	assert_int_equal(f->n_egresses, 2);
	assert_ptr_equal(f->egresses[0], g->egresses[0]);
	assert_ptr_not_equal(f->egresses[0], store_function(s, "h")->egresses[0]);
	assert_int_equal(s->n_egresses, 4);
	assert_int_equal(f->egresses[0]->eni->type, ENI_LAMBDA);
	assert_int_equal(strncmp(f->egresses[0]->eni->description, "AWS Lambda VPC ENI-f-", 21), 0);
	assert_string_equal(store_function(s, "p")->egresses[0]->ns, "service");
	assert_null(store_function(s, "p")->egresses[0]->eni);
	/* its first function goes, the other keeps it as it is */
	t = next(s, "", "", ROLE ",\"functions\":{" FUNCTION("g", "[\"a\"]", "[\"y\",\"x\"]") "}",
		 NULL);
	assert_string_equal(store_function(t, "g")->egresses[0]->eni->o.id,
			    g->egresses[0]->eni->o.id);
	assert_string_equal(store_function(t, "g")->egresses[0]->eni->description,
			    g->egresses[0]->eni->description);
	store_free(s);
	store_free(t);
}

static void test_interface_of_functions_is_new_after_it_was_gone(void **state)
{
	static const char *const with =
		ROLE ",\"functions\":{" FUNCTION("f", "[\"a\"]", "[\"x\"]") "}";
	struct store *s = next(NULL, "", "", with, NULL), *t = next(s, "", "", ROLE, NULL);
	struct store *u = next(t, "", "", with, NULL), *v = next(u, "", "", with, NULL);

	(void)state;
	assert_int_equal(t->n_egresses, 0);
	assert_string_not_equal(s->egresses[0]->eni->o.id, u->egresses[0]->eni->o.id);
	assert_string_equal(u->egresses[0]->eni->o.id, v->egresses[0]->eni->o.id);
	store_free(s);
	store_free(t);
	store_free(u);
	store_free(v);
}

static struct store *after(const struct store *old, const char *rest, const struct store_keep *keep)
{
	char *text = lab_text("", "", rest);
	struct err e = { 0 };
	struct store *s = NULL;

	assert_int_equal(store_commit(old, lab_of(text), SEED, keep, &s, NULL, &e), 0);
	free(text);
	return s;
}

static struct store *saved_again(const struct store *s, const char *rest)
{
	char *text = lab_text("", "", rest);
	struct buf b = BUF_INIT;
	struct err e = { 0 };
	struct store *t = NULL;

	store_save(s, &b);
	assert_int_equal(store_load(lab_of(text), buf_str(&b), &t, &e), 0);
	buf_done(&b);
	free(text);
	return t;
}

#define LINGER ",\"eni_linger\":10,\"time_scale\":2"

/* ids: LN-30; mutant: linger */
static void test_lingering_interface(void **state)
{
	const char *with = LINGER ROLE ",\"functions\":{" FUNCTION("f", "[\"a\"]", "[\"x\"]") "}";
	struct store_keep keep = { .now_ms = 1000 };
	struct store *s = after(NULL, with, &keep), *t = after(s, LINGER ROLE, &keep), *u, *v;

	(void)state;
	assert_int_equal(store_idle_until(s, 0), 0);
	assert_int_equal(t->n_egresses, 1);
	assert_true(t->egresses[0]->idle);
	assert_string_equal(t->egresses[0]->ns, s->egresses[0]->ns);
	assert_int_equal(store_idle_until(t, 0), 6001);
	assert_int_equal(store_idle_until(t, 6001), 0);
	/* saved, it is the same; a change doesn't begin its time anew */
	u = saved_again(t, LINGER ROLE);
	keep.now_ms = 6000;
	v = after(u, LINGER ROLE, &keep);
	assert_int_equal(store_idle_until(v, 0), 6001);
	assert_string_equal(v->egresses[0]->eni->o.id, s->egresses[0]->eni->o.id);
	assert_string_equal(v->egresses[0]->eni->description, s->egresses[0]->eni->description);
	store_free(u);
	u = after(v, with, &keep);
	assert_false(u->egresses[0]->idle);
	assert_string_equal(u->egresses[0]->eni->o.id, s->egresses[0]->eni->o.id);
	store_free(u);
	keep.now_ms = 6001;
	u = after(v, LINGER ROLE, &keep);
	assert_int_equal(u->n_egresses, 0);
	store_free(u);
	store_free(v);
	store_free(t);
	store_free(s);
}

static void test_ways_that_are_held_or_busy(void **state)
{
	const char *with = ROLE ",\"functions\":{" FUNCTION("f", "[\"a\"]", "[\"x\"]") "}";
	const char *ns;
	struct store_keep keep = { .now_ms = 1000, .hold = true };
	struct store *s = after(NULL, with, NULL), *t = after(s, ROLE, &keep), *u;

	(void)state;
	ns = s->egresses[0]->ns;
	assert_int_equal(t->n_egresses, 1);
	assert_int_equal(store_idle_until(t, 0), 0);
	u = after(t, ROLE, NULL);
	assert_int_equal(u->n_egresses, 0);
	store_free(u);
	assert_int_equal(store_place_add(t, ns, "token", NULL), 0);
	assert_true(store_egress_is_busy(t->egresses[0]));
	u = after(t, ROLE, NULL);
	assert_int_equal(u->n_egresses, 1);
	assert_int_equal(store_place_remove(u, ns, u->egresses[0]->places[0]->number), 0);
	store_free(t);
	t = after(u, ROLE, NULL);
	assert_int_equal(t->n_egresses, 0);
	store_free(u);
	store_free(t);
	store_free(s);
}

static void test_addresses_that_change_hands(void **state)
{
	struct store *s = next(NULL,
			       "\"i\":{\"subnet\":\"a\",\"elastic_ip\":\"auto\"},"
			       "\"j\":{\"subnet\":\"a\"}",
			       ",\"nat_gateways\":{\"n\":{\"subnet\":\"b\"}}", "", NULL);
	struct store *t = next(s, "\"j\":{\"subnet\":\"a\"}",
			       ",\"nat_gateways\":{\"n\":{\"subnet\":\"b\"}}", "", NULL);
	struct store_forgotten *f;
	struct buf b = BUF_INIT;
	size_t n;

	(void)state;
	assert_int_equal(store_forgotten(s, t, &f, &n), 0);
	for (size_t i = 0; i < n; i++)
		buf_printf(&b, "%s %s;", f[i].ns, addr_str(&f[i].addr));
	assert_string_equal(buf_str(&b), "router.main 10.0.1.4;nat.main.n 10.0.1.4;"
					 "router.main 198.18.0.1;");
	free(f);
	assert_int_equal(store_forgotten(s, s, &f, &n), 0);
	assert_int_equal(n, 0);
	free(f);
	buf_done(&b);
	store_free(s);
	store_free(t);
}

static int fail_with(const struct store *old, const char *instances, const char *rest,
		     struct err *e)
{
	char *text = lab_text(instances, "", rest);
	struct lab *l = lab_of(text);
	struct store *s = NULL;
	int r = store_commit(old, l, SEED, NULL, &s, NULL, e);

	assert_null(s);
	lab_free(l);
	free(text);
	return r;
}

#define ONE ROLE ",\"functions\":{" FUNCTION("f", "[\"a\"]", "[\"x\"]") "}"

/* eleven instances: all addresses of subnet "a" */
static char *full(void)
{
	struct buf b = BUF_INIT;

	for (int i = 0; i < 11; i++)
		buf_printf(&b, "%s\"i%d\":{\"subnet\":\"a\"}", i ? "," : "", i);
	return buf_steal(&b);
}

/* ids: LN-27; mutant: function-without-address */
static void test_no_address_for_a_function(void **state)
{
	struct err e = { 0 };
	char *instances = full();
	struct ops o;
	struct store *s, *t;
	const struct s_function *f;

	(void)state;
	s = next(NULL, instances, "", ONE, &o);
	f = store_function(s, "f");
	assert_string_equal(f->o.state, "Failed");
	assert_string_equal(f->o.failure_code, "SubnetOutOfIPAddresses");
	assert_int_equal(f->n_egresses, 0);
	assert_int_equal(s->n_egresses, 0);
	assert_int_equal(o.n_warnings, 1);
	assert_string_equal(o.warnings[0].code, "SubnetOutOfIPAddresses");
	assert_string_equal(o.warnings[0].path, "functions.f");
	ops_done(&o);
	/* with room it is made */
	t = next(s, "", "", ONE, NULL);
	assert_string_equal(store_function(t, "f")->o.state, "Active");
	store_free(s);
	/* who has an interface keeps its address; the instances find no room then */
	assert_int_equal(fail_with(t, instances, ONE, &e), -ENOSPC);
	assert_int_equal(e.code, ERR_NO_ADDRESS);
	store_free(t);
	/* an update that fails leaves what was */
	s = next(NULL, instances, "",
		 ROLE ",\"functions\":{" FUNCTION("f", "[\"b\"]", "[\"x\"]") "}", NULL);
	assert_int_equal(fail_with(s, instances,
				   ROLE
				   ",\"functions\":{" FUNCTION("f", "[\"b\",\"a\"]", "[\"x\"]") "}",
				   &e),
			 -ENOSPC);
	assert_int_equal(e.code, ERR_NO_ADDRESS);
	assert_string_equal(e.path, "functions.f");
	store_free(s);
	free(instances);
}

/* ids: LN-41; mutant: eni-quota */
static void test_quota_of_functions_interfaces(void **state)
{
	struct buf b = BUF_INIT;
	struct store *s;

	(void)state;
	buf_adds(&b, "{\"lab\":\"t\"" ROLE ",\"vpcs\":{\"main\":{\"cidr_block\":\"10.0.0.0/16\","
		     "\"subnets\":{\"a\":{\"cidr_block\":\"10.0.0.0/20\"}},\"security_groups\":{");
	for (int i = 0; i <= STORE_LAMBDA_MAX; i++)
		buf_printf(&b, "%s\"g%d\":{}", i ? "," : "", i);
	buf_adds(&b, "}}},\"functions\":{");
	for (int i = 0; i <= STORE_LAMBDA_MAX; i++)
		buf_printf(&b,
			   "%s\"f%d\":{\"runtime\":\"exec\",\"command\":[\"x\"],\"role\":\"r\","
			   "\"vpc_config\":{\"subnets\":[\"a\"],\"security_groups\":[\"g%d\"]}}",
			   i ? "," : "", i, i);
	buf_adds(&b, "}}");
	s = store_of(NULL, buf_str(&b), NULL);
	assert_int_equal(s->n_egresses, STORE_LAMBDA_MAX);
	assert_string_equal(store_function(s, "f499")->o.state, "Active");
	assert_string_equal(store_function(s, "f500")->o.failure_code, "EniLimitExceeded");
	store_free(s);
	buf_done(&b);
}

static void test_address_of_another(void **state)
{
	struct store *s = next(NULL, "\"i\":{\"subnet\":\"a\"}", "", "", NULL);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(fail_with(s,
				   "\"i\":{\"subnet\":\"a\"},\"thief\":{\"subnet\":\"a\","
				   "\"private_ips\":[\"10.0.1.4\"]}",
				   "", &e),
			 -EADDRINUSE);
	assert_int_equal(e.code, ERR_ADDRESS_IN_USE);
	assert_string_equal(e.msg, "10.0.1.4 is in use by i");
	assert_string_equal(e.path, "vpcs.main.instances.thief");
	store_free(s);
}

static void test_places(void **state)
{
	struct store *s = next(NULL, "", "",
			       ",\"functions\":{\"p\":{\"runtime\":\"exec\","
			       "\"command\":[\"cat\"]}}",
			       NULL),
		     *t;
	struct s_place *p, *q;

	(void)state;
	assert_int_equal(store_place_add(s, "service", NULL, &p), 0);
	assert_string_equal(p->ns, "service.p1");
	assert_int_equal(store_place_add(s, "nowhere", NULL, &q), -ENOENT);
	assert_int_equal(store_place_take(s, "service", "mine", &q), 0);
	assert_ptr_equal(p, q);
	assert_string_equal(q->token, "mine");
	assert_int_equal(store_place_take(s, "service", "other", &q), -ENOENT);
	assert_int_equal(store_place_put(s, "service", 1, NULL, NULL), -EEXIST);
	assert_int_equal(store_place_put(s, "service", 7, "found", &q), 0);
	assert_int_equal(store_place_remove(s, "service", 1), 0);
	assert_int_equal(store_place_remove(s, "service", 1), -ENOENT);
	/* a number isn't used again soon */
	assert_int_equal(store_place_add(s, "service", NULL, &p), 0);
	assert_int_equal(p->number, 8);
	assert_int_equal(store_place_number(store_egress(s, "service"), "service.p8"), 8);
	assert_int_equal(store_place_number(store_egress(s, "service"), "service.px"), 0);
	assert_int_equal(store_place_number(store_egress(s, "service"), "serviceX.p8"), 0);
	assert_ptr_equal(store_egress_of_place(s, "service.p8"), store_egress(s, "service"));
	t = next(s, "", "", ",\"functions\":{\"p\":{\"runtime\":\"exec\",\"command\":[\"cat\"]}}",
		 NULL);
	assert_int_equal(store_egress(t, "service")->n_places, 2);
	assert_string_equal(store_egress(t, "service")->places[0]->token, "found");
	store_free(s);
	store_free(t);
}

/* a store built again from document and text is the same, and lives on the same */
static void test_save_and_load(void **state)
{
	(void)state;
	for (uint64_t i = 1; i < 120; i++) {
		char *x = random_lab(i), *y = random_lab(i + 1);
		struct store *first = store_of(NULL, x, NULL), *s = store_of(first, y, NULL), *t;
		struct program p = program_of(s), q;
		struct buf saved = BUF_INIT, again = BUF_INIT;
		struct err e = { 0 };
		struct ops o;
		char *want, *got;

		store_save(s, &saved);
		assert_int_equal(store_load(lab_of(y), buf_str(&saved), &t, &e), 0);
		q = program_of(t);
		want = text_of(&p);
		got = text_of(&q);
		assert_string_equal(got, want);
		store_free(store_of(t, y, &o));
		assert_int_equal(o.n, 0);
		ops_done(&o);
		store_save(t, &again);
		assert_int_equal(saved.len, again.len);
		free(want);
		free(got);
		free(x);
		free(y);
		buf_done(&saved);
		buf_done(&again);
		program_done(&p);
		program_done(&q);
		store_free(first);
		store_free(s);
		store_free(t);
	}
}

static void test_damaged_text(void **state)
{
	static const char *const bad[] = {
		"",
		"seed\n",
		"seed x\nwhat\n",
		"seed x\npast vpc\t0\n",
		"seed x\nalloc a\n",
		"seed x\nnote n\n",
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct lab *l = lab_of("{\"version\":1,\"lab\":\"t\"}");
		struct err e = { 0 };
		struct store *s;

		assert_true(store_load(l, bad[i], &s, &e) < 0);
		assert_int_equal(e.code, ERR_STATE);
		lab_free(l);
	}
}

static void test_plan_changes_nothing(void **state)
{
	struct store *s = next(NULL, "\"i\":{\"subnet\":\"a\"}", "", "", NULL);
	char *text = lab_text("\"i\":{\"subnet\":\"b\"}", "", "");
	struct lab *l = lab_of(text);
	struct err e = { 0 };
	struct ops o;

	(void)state;
	assert_int_equal(store_plan(s, l, SEED, NULL, &o, &e), 0);
	check_ops(&o, "replace instance i: subnet changed;");
	assert_int_equal(store_plan(NULL, l, SEED, NULL, &o, &e), 0);
	assert_int_equal(o.n, 6);
	ops_done(&o);
	lab_free(l);
	free(text);
	store_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ids),
		cmocka_unit_test(test_creation),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_addresses_are_kept),
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_replaced_vpc),
		cmocka_unit_test(test_failed_nat_gateway),
		cmocka_unit_test(test_shared_interface_of_functions),
		cmocka_unit_test(test_interface_of_functions_is_new_after_it_was_gone),
		cmocka_unit_test(test_lingering_interface),
		cmocka_unit_test(test_ways_that_are_held_or_busy),
		cmocka_unit_test(test_addresses_that_change_hands),
		cmocka_unit_test(test_no_address_for_a_function),
		cmocka_unit_test(test_quota_of_functions_interfaces),
		cmocka_unit_test(test_address_of_another),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_save_and_load),
		cmocka_unit_test(test_damaged_text),
		cmocka_unit_test(test_plan_changes_nothing),
	};

	return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
